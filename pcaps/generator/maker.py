"""Packets between pairs of hosts that no other packet of the capture uses, so that a wrong total names its frame."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from .ip import address, ipv4, ipv6, udp
from .pdu import Pdu, opaque
from .truth import Record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["START_NS", "Maker", "records"]

START_NS = 1_767_225_600_000_000_000  # 2026-01-01T00:00:00Z
STEP_NS = 1_000_001_000  # whole microseconds, and every digit of them used


class Maker:
    """Makes packets with hosts, sizes and payloads of their own; the same ones for the same seed."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)
        self.pairs = 0

    def pair(self, family: int) -> tuple[bytes, bytes]:
        """Return a new source and destination of IP version 4 (private addresses) or 6 (documentation addresses)."""
        self.pairs += 1
        number = self.pairs.to_bytes(2, "big")
        if family == 4:
            return address("10.1.0.0")[:2] + number, address("172.16.0.0")[:2] + number
        return address("2001:db8:1::")[:14] + number, address("2001:db8:2::")[:14] + number

    def payload(self) -> bytes:
        """Return 8 to 39 random bytes."""
        return self.random.randbytes(8 + self.random.getrandbits(5))

    def v4(self, body: Pdu | None = None, protocol: int = 17, **header: Any) -> Pdu:
        """Return an IPv4 packet, a UDP datagram if no `body` is given; `header` as for `ip.ipv4`."""
        return ipv4(*self.pair(4), protocol, udp(opaque(self.payload())) if body is None else body, **header)

    def v6(self, body: Pdu | None = None, next_header: int = 17, **header: Any) -> Pdu:
        """Return an IPv6 packet, a UDP datagram if no `body` is given; `header` as for `ip.ipv6`."""
        return ipv6(*self.pair(6), next_header, udp(opaque(self.payload())) if body is None else body, **header)

    def each(self) -> Iterator[Pdu]:
        """Return a datagram of each IP version."""
        yield self.v4()
        yield self.v6()


def records(frames: Iterable[Pdu]) -> list[Record]:
    """Return whole frames as records, a little over a second apart."""
    return [Record(frame, START_NS + n * STEP_NS) for n, frame in enumerate(frames)]
