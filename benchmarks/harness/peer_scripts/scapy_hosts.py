"""What a person writes with scapy and a dict: scapy_hosts.py FILE."""

import sys
from collections import defaultdict
from typing import Any

from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether  # noqa: F401  (registers the link types)
from scapy.utils import PcapReader

totals: defaultdict[Any, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
frames = 0
with PcapReader(sys.argv[1]) as reader:
    for packet in reader:
        frames += 1
        for layer in (IP, IPv6):
            if layer in packet:
                sender, receiver = totals[packet[layer].src], totals[packet[layer].dst]
                sender[0] += packet.wirelen
                sender[1] += 1
                receiver[2] += packet.wirelen
                receiver[3] += 1
                break
print(frames, "frames", len(totals), "hosts")
