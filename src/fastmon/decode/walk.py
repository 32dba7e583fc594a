"""What the reference decoder's rules are made of: a place in a frame, and a step to the next one.

Private to `fastmon.decode`. The rules themselves stand in `layers`, `links`, `cooked`, `wan`, `wireless` and `tunnels`.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from dpkt.dpkt import Packet

from fastmon.model.frames import FrameStatus

__all__ = ["Cursor", "Rule", "RuleFunction", "Step", "Stop", "after", "enter"]


class Rule(enum.Enum):
    """The rules that count as a header when entered: those in capitals of docs/decoding.md."""

    ETHERNET = enum.auto()
    VLAN = enum.auto()
    MPLS = enum.auto()
    PPPOE = enum.auto()
    PPP = enum.auto()
    LLC = enum.auto()
    PBB = enum.auto()
    FABRICPATH = enum.auto()
    MACSEC = enum.auto()
    NSH = enum.auto()
    VNTAG = enum.auto()
    ETAG = enum.auto()
    CMD = enum.auto()
    RTAG = enum.auto()
    TRILL = enum.auto()
    COOKED_VLAN = enum.auto()
    IP = enum.auto()
    ETHERIP = enum.auto()
    GRE = enum.auto()
    VXLAN = enum.auto()
    VXLAN_GPE = enum.auto()
    GENEVE = enum.auto()
    GTPU = enum.auto()
    TEREDO = enum.auto()


class Stop(Exception):  # noqa: N818 - it ends a walk, which is not always an error
    """The walk ends before an IP header."""

    def __init__(self, status: FrameStatus) -> None:
        super().__init__(status.name)
        self.status = status


class Cursor(NamedTuple):
    """A place in a frame's captured bytes. Loads are of bytes that `need` or `header` found captured."""

    data: bytes
    start: int

    def has(self, n: int) -> bool:
        """Tell whether `n` bytes were captured from here on."""
        return len(self.data) - self.start >= n

    def need(self, n: int) -> None:
        """Stop as truncated unless `n` bytes were captured from here on."""
        if not self.has(n):
            raise Stop(FrameStatus.TRUNCATED)

    def header(self, header_class: Any) -> Any:
        """Return dpkt's header from here, needed whole, without what dpkt makes of the bytes behind it."""
        self.need(header_class.__hdr_len__)
        header = header_class.__new__(header_class)
        Packet.unpack(header, self.data[self.start : self.start + header_class.__hdr_len__])
        return header

    def skip(self, n: int) -> Cursor:
        """Return the place `n` bytes further, captured or not."""
        return Cursor(self.data, self.start + n)

    def span(self, begin: int, end: int) -> bytes:
        """Return the bytes [begin, end) from here."""
        return self.data[self.start + begin : self.start + end]

    def u8(self, at: int) -> int:
        """Return the byte at `at` from here."""
        return self.data[self.start + at]

    def u16(self, at: int) -> int:
        """Return the big-endian 16-bit number at `at` from here."""
        return self._load(">H", at)

    def u32(self, at: int) -> int:
        """Return the big-endian 32-bit number at `at` from here."""
        return self._load(">I", at)

    def u16_le(self, at: int) -> int:
        """Return the little-endian 16-bit number at `at` from here."""
        return self._load("<H", at)

    def u32_le(self, at: int) -> int:
        """Return the little-endian 32-bit number at `at` from here."""
        return self._load("<I", at)

    def _load(self, number: str, at: int) -> int:
        value: int = struct.unpack_from(number, self.data, self.start + at)[0]
        return value


class Step(NamedTuple):
    """The rule to enter next, and where."""

    rule: Rule
    at: Cursor


RuleFunction = Callable[[Cursor], Step]
"""Reads one header; returns the step after it or raises Stop."""


def enter(rule: Rule) -> RuleFunction:
    """Return the function of a rule that only enters `rule`."""
    return lambda at: Step(rule, at)


def after(length: int, rule: RuleFunction) -> RuleFunction:
    """Return the function of a header of `length` bytes that only `rule` follows."""

    def skip(at: Cursor) -> Step:
        at.need(length)
        return rule(at.skip(length))

    return skip
