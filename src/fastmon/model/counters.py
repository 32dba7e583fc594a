"""Counters of frames and bytes, and the period that they cover.

What it does not do: count hosts; `rows` has their layout.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, field
from operator import add, sub
from typing import TYPE_CHECKING

from fastmon.model.frames import UNDECODED

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Count", "Counters", "Dropped", "Interval", "Overflow", "SourceCounts", "add_sources"]


@dataclass(frozen=True, slots=True)
class Interval:
    """The half-open period [start_ns, end_ns), nanoseconds since the epoch."""

    start_ns: int
    end_ns: int

    @property
    def length_ns(self) -> int:
        """Its length, in nanoseconds."""
        return self.end_ns - self.start_ns


@dataclass(frozen=True, slots=True)
class Count:
    """A number of frames and their wire bytes."""

    frames: int = 0
    bytes: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.frames + other.frames, self.bytes + other.bytes)

    def __sub__(self, other: Count) -> Count:
        return Count(self.frames - other.frames, self.bytes - other.bytes)


@dataclass(frozen=True, slots=True)
class Overflow:
    """Traffic of hosts that did not fit in the table, by direction."""

    frames_in: int = 0
    bytes_in: int = 0
    frames_out: int = 0
    bytes_out: int = 0

    def __add__(self, other: Overflow) -> Overflow:
        return Overflow(
            self.frames_in + other.frames_in,
            self.bytes_in + other.bytes_in,
            self.frames_out + other.frames_out,
            self.bytes_out + other.bytes_out,
        )


@dataclass(frozen=True, slots=True)
class Dropped:
    """Frames lost before fastmon saw them.

    kernel, interface, backlog: in the ring buffer, at the interface, in the whole machine's backlog.
    file_interface, file_system, file_frames: as a capture file says of its own capture: at its interfaces, in its system, and
        counted from frame to frame. The last may be some of the same frames as the others.
    """

    kernel: int = 0
    interface: int = 0
    backlog: int = 0
    file_interface: int = 0
    file_system: int = 0
    file_frames: int = 0

    def __add__(self, other: Dropped) -> Dropped:
        return Dropped(*map(add, astuple(self), astuple(other)))

    def __sub__(self, other: Dropped) -> Dropped:
        return Dropped(*map(sub, astuple(self), astuple(other)))


@dataclass(frozen=True, slots=True)
class SourceCounts:
    """The share of one of a live run's sources.

    name: its interface's.  frames: those that came from it.  dropped: those that were lost at it; the backlog is the machine's.
    away_ns: how long the interface was not there.
    """

    name: str
    frames: int = 0
    dropped: Dropped = Dropped()
    away_ns: int = 0

    def __add__(self, other: SourceCounts) -> SourceCounts:
        dropped, away_ns = self.dropped + other.dropped, self.away_ns + other.away_ns
        return SourceCounts(self.name, self.frames + other.frames, dropped, away_ns)

    def __sub__(self, other: SourceCounts) -> SourceCounts:
        dropped, away_ns = self.dropped - other.dropped, self.away_ns - other.away_ns
        return SourceCounts(self.name, self.frames - other.frames, dropped, away_ns)


def add_sources(sources: Iterable[SourceCounts]) -> tuple[SourceCounts, ...]:
    """Return one for each name, ordered by it."""
    by_name: dict[str, SourceCounts] = {}
    for source in sources:
        by_name[source.name] = by_name.get(source.name, SourceCounts(source.name)) + source
    return tuple(by_name[name] for name in sorted(by_name))


@dataclass(frozen=True, slots=True)
class Counters:
    """Frames and bytes of one period, by what became of them. Bytes are wire bytes; those of IP as `Snapshot.bytes_of` says.

    duplicates: copies, which were left out.
    undecoded: one `Count` for each reason in `frames.UNDECODED`, keyed by its name in lower case.
    """

    frames: Count = Count()
    ip: Count = Count()
    non_ip: Count = Count()
    undecoded: dict[str, Count] = field(default_factory=lambda: {status.name.lower(): Count() for status in UNDECODED})
    overflow: Overflow = Overflow()
    duplicates: Count = Count()

    def __add__(self, other: Counters) -> Counters:
        return Counters(
            self.frames + other.frames,
            self.ip + other.ip,
            self.non_ip + other.non_ip,
            {name: count + other.undecoded[name] for name, count in self.undecoded.items()},
            self.overflow + other.overflow,
            self.duplicates + other.duplicates,
        )
