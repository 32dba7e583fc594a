"""The reference accountant's sketches of what local hosts open and probe, exact ones; and the ARP requests that are probes.

Private to `fastmon.reference`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastmon.model.units import NS_PER_S

if TYPE_CHECKING:
    from fastmon.model.frames import Frame

__all__ = ["Sketches", "arp_request", "second_of"]

ETHERNET = 1
TAG, ARP = b"\x81\x00", b"\x08\x06"
ARP_REQUEST = (1, 0x0800, 6, 4, 1)
"""Of Ethernet, for IPv4, with addresses of these lengths, an operation."""
BACKSTEP_S = 10
SKETCHES_LOOKED_AT = 8
V4_PREFIX = bytes(10) + b"\xff\xff"


@dataclass(slots=True)
class _Sketch:
    """When a local host last had to do with each peer and each service, and with any."""

    peers: dict[bytes, int] = field(default_factory=dict)
    services: dict[tuple[int, int], int] = field(default_factory=dict)
    last_s: int = 0

    def touch(self, peer: bytes, service: tuple[int, int], second: int) -> None:
        """Note that it had to do with them."""
        self.peers[peer] = later_of(self.peers.get(peer, 0), second)
        self.services[service] = later_of(self.services.get(service, 0), second)
        self.last_s = later_of(self.last_s, second)

    def absorb(self, other: _Sketch) -> None:
        """Add what another sketch of the same host has."""
        for peer, second in other.peers.items():
            self.peers[peer] = max(self.peers.get(peer, 0), second)
        for service, second in other.services.items():
            self.services[service] = max(self.services.get(service, 0), second)
        self.last_s = max(self.last_s, other.last_s)

    def count(self, first_s: int, last_s: int) -> tuple[int, int]:
        """Return how many peers and services it had to do with in some seconds."""
        times = (list(self.peers.values()), list(self.services.values()))
        n_peers, n_services = (sum(first_s <= second <= last_s for second in seconds) for seconds in times)
        return n_peers, n_services


class Sketches:
    """The sketches of local hosts, no more than there is room for."""

    def __init__(self, max_sketches: int) -> None:
        self.rows: dict[bytes, _Sketch] = {}
        self.n_evicted = 0
        self._max_sketches = max_sketches
        self._owners: list[bytes] = []
        self._hand = 0

    def of(self, key: bytes) -> _Sketch:
        """Return a local host's sketch; if it has none and there is no room, another host's goes."""
        if key not in self.rows:
            if len(self._owners) < self._max_sketches:
                self._owners.append(key)
            else:
                slot = self._choose_evicted()
                del self.rows[self._owners[slot]]
                self._owners[slot] = key
                self.n_evicted += 1
            self.rows[key] = _Sketch()
        return self.rows[key]

    def _choose_evicted(self) -> int:
        """Return the slot of the next few that was touched the longest ago, and move the hand past them."""
        n_slots = len(self._owners)
        slots = [(self._hand + i) % n_slots for i in range(min(SKETCHES_LOOKED_AT, n_slots))]
        self._hand = (self._hand + len(slots)) % n_slots
        return min(slots, key=lambda slot: self.rows[self._owners[slot]].last_s)


def arp_request(frame: Frame) -> tuple[bytes, bytes] | None:
    """Return who asks for whom in a frame, as hosts' keys, if it is a host's ARP request for another one."""
    if frame.link_type != ETHERNET:
        return None
    data = frame.data[4:] if frame.data[12:14] == TAG else frame.data
    if data[12:14] != ARP or len(data) < 14 + 28:
        return None
    *kind, _, sender, _, target = struct.unpack_from(">HHBBH6s4s6s4s", data, 14)
    if tuple(kind) != ARP_REQUEST or sender in (bytes(4), target):
        return None
    return V4_PREFIX + sender, V4_PREFIX + target


def second_of(ts_ns: int) -> int:
    """Return the whole second of a time, as 32 bits without 0."""
    return min(max(ts_ns // NS_PER_S, 1), (1 << 32) - 1)


def later_of(before: int, now: int) -> int:
    """Return the later of two times, but the new one if the clock was set back."""
    return now if before - now > BACKSTEP_S else max(before, now)
