"""What the reference accountant adds up, for the whole run and for the interval that is running.

Private to `fastmon.reference`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from fastmon.model.snapshot import Count

__all__ = ["Account", "Sums", "Traffic", "greatest"]


NOTHING = Count()


@dataclass(frozen=True, slots=True)
class Traffic:
    """Sums of one host, or of the hosts that did not fit."""

    bytes_in: int = 0
    bytes_out: int = 0
    packets_in: int = 0
    packets_out: int = 0

    @classmethod
    def of(cls, *, sent: Count = NOTHING, received: Count = NOTHING) -> Traffic:
        """Return the traffic of a host that sent and received these frames."""
        return cls(received.bytes, sent.bytes, received.frames, sent.frames)

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(
            self.bytes_in + other.bytes_in,
            self.bytes_out + other.bytes_out,
            self.packets_in + other.packets_in,
            self.packets_out + other.packets_out,
        )

    def __sub__(self, other: Traffic) -> Traffic:
        return Traffic(
            self.bytes_in - other.bytes_in,
            self.bytes_out - other.bytes_out,
            self.packets_in - other.packets_in,
            self.packets_out - other.packets_out,
        )

    @property
    def sent(self) -> Traffic:
        """The half that hosts sent."""
        return Traffic(bytes_out=self.bytes_out, packets_out=self.packets_out)

    @property
    def received(self) -> Traffic:
        """The half that hosts received."""
        return Traffic(bytes_in=self.bytes_in, packets_in=self.packets_in)


Sums = TypeVar("Sums", Traffic, Count)


class Account(Generic[Sums]):
    """A total since the start, and what it was at the last rotation."""

    def __init__(self, nothing: Sums) -> None:
        self.total: Sums = nothing
        self.base: Sums = nothing

    @property
    def interval(self) -> Sums:
        """What was added since the last rotation."""
        return self.total - self.base

    def add(self, sums: Sums) -> None:
        """Add what moved in this interval."""
        self.total += sums

    def add_earlier(self, sums: Sums) -> None:
        """Add what moved in earlier intervals, and was reported otherwise."""
        self.total += sums
        self.base += sums

    def withdraw_earlier(self, sums: Sums) -> None:
        """Take away what moved in earlier intervals."""
        self.total -= sums
        self.base -= sums

    def absorb(self, other: Account[Sums]) -> None:
        """Add another account, each interval's sums to the same interval's."""
        self.total += other.total
        self.base += other.base

    def begin_interval(self) -> None:
        """Let the interval's sums begin at 0."""
        self.base = self.total


def greatest(*numbers: int | None) -> int | None:
    """Return the greatest of some numbers that may be missing; None if all are."""
    return max((number for number in numbers if number is not None), default=None)
