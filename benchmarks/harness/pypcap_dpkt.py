"""The baseline: what a person writes with pypcap, dpkt and a dict. Run by `replay.py`: pypcap_dpkt.py FILE.

pypcap does not tell a frame's wire length, so bytes are of what was captured, and are left out of the answer.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict

import dpkt
import pcap


def main(path: str) -> None:
    totals: dict[bytes, list[int]] = defaultdict(lambda: [0, 0, 0, 0])
    frames = 0
    for _, data in pcap.pcap(path):
        frames += 1
        packet = dpkt.ethernet.Ethernet(data).data
        if isinstance(packet, (dpkt.ip.IP, dpkt.ip6.IP6)):
            sender, receiver = totals[packet.src], totals[packet.dst]
            sender[0] += len(data)
            sender[1] += 1
            receiver[2] += len(data)
            receiver[3] += 1
    print(json.dumps({"frames": frames, "n_hosts": len(totals)}))


main(sys.argv[1])
