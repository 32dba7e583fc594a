"""Protocol data units, and what a decoder may say of them as more of their bytes are captured.

What it does not do: know any protocol. The other modules of this package build with it.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ENCRYPTED", "MALFORMED", "TRUNCATED", "UNSUPPORTED", "Mark", "Pdu", "decided", "non_ip", "opaque"]


@dataclass(frozen=True, slots=True)
class Mark:
    """With `end` captured bytes a decoder knows this much.

    status: "ip", "non_ip" or the reason of an undecoded frame.  src, dst: an IP header's addresses, 4 or 16 bytes.
    """

    end: int
    status: str
    src: bytes = b""
    dst: bytes = b""


@dataclass(frozen=True, slots=True)
class Pdu:
    """The bytes of a header and everything under it, with its marks in the order of their ends."""

    data: bytes
    marks: tuple[Mark, ...] = ()

    def under(self, header: bytes, *, need: int = 0, trailer: bytes = b"") -> Pdu:
        """Return this unit as the payload of `header`, of which a decoder wants at least `need` bytes from its start."""
        marks = tuple(Mark(max(len(header) + mark.end, need), mark.status, mark.src, mark.dst) for mark in self.marks)
        return Pdu(header + self.data + trailer, marks)

    def reached(self, cap_len: int) -> tuple[Mark, ...]:
        """Return the marks that `cap_len` captured bytes reach."""
        return tuple(mark for mark in self.marks if mark.end <= cap_len)

    def outer(self, cap_len: int) -> Mark:
        """Return what accounting by the outermost IP header makes of the first `cap_len` bytes."""
        return next(iter(self.reached(cap_len)), TRUNCATED)

    def inner(self, cap_len: int) -> Mark:
        """Return what accounting by the innermost IP header makes of the first `cap_len` bytes."""
        first = self.outer(cap_len)
        if first.status != "ip":
            return first
        return [mark for mark in self.reached(cap_len) if mark.status == "ip"][-1]


TRUNCATED = Mark(0, "truncated")
MALFORMED = Mark(0, "malformed")
ENCRYPTED = Mark(0, "encrypted")
UNSUPPORTED = Mark(0, "unsupported_link_type")


def opaque(data: bytes) -> Pdu:
    """Return bytes that no decoder looks at, or only as the payload of an IP header."""
    return Pdu(data)


def non_ip(data: bytes) -> Pdu:
    """Return bytes of which the header above says that they are no IP packet."""
    return Pdu(data, (Mark(0, "non_ip"),))


def decided(data: bytes, mark: Mark, end: int = 0) -> Pdu:
    """Return bytes of which the first `end` decide that the frame ends as `mark` says."""
    return Pdu(data, (Mark(end, mark.status),))
