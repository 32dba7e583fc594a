"""What a person writes with dpkt and a dict: dpkt_hosts.py FILE."""

import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import dpkt

totals: defaultdict[Any, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
frames = 0
with Path(sys.argv[1]).open("rb") as file:
    reader = dpkt.pcap.Reader(file)
    first_layer = {1: dpkt.ethernet.Ethernet, 101: dpkt.ip.IP, 113: dpkt.sll.SLL, 276: dpkt.sll2.SLL2}[reader.datalink()]
    for _, data in reader:
        frames += 1
        try:
            packet = first_layer(data)
        except (dpkt.UnpackError, ValueError, IndexError):
            continue
        if not isinstance(packet, dpkt.ip.IP):
            packet = packet.data
        if isinstance(packet, (dpkt.ip.IP, dpkt.ip6.IP6)):
            sender, receiver = totals[packet.src], totals[packet.dst]
            sender[0] += len(data)
            sender[1] += 1
            receiver[2] += len(data)
            receiver[3] += 1
print(frames, "frames", len(totals), "hosts")
