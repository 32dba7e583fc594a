"""Accounting in its simplest form: a dict of hosts, which never overflows."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple


class Traffic(NamedTuple):
    """What a host received and sent."""

    packets_in: int = 0
    bytes_in: int = 0
    packets_out: int = 0
    bytes_out: int = 0

    def plus(self, other: Traffic) -> Traffic:
        return Traffic(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


@dataclass
class HostModel:
    """The hosts' traffic by their keys."""

    hosts: defaultdict[bytes, Traffic] = field(default_factory=lambda: defaultdict(Traffic))

    def add(self, src: bytes, dst: bytes, wire_len: int) -> None:
        """Account a frame."""
        self.hosts[src] = self.hosts[src].plus(Traffic(packets_out=1, bytes_out=wire_len))
        self.hosts[dst] = self.hosts[dst].plus(Traffic(packets_in=1, bytes_in=wire_len))

    def merge(self, hosts: dict[bytes, Traffic]) -> None:
        """Add the traffic of some hosts."""
        for key, traffic in hosts.items():
            self.hosts[key] = self.hosts[key].plus(traffic)
