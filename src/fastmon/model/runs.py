"""The runs that a snapshot covers: the time covered of each, and its conversations that were running at the end.

What it does not do: hold counters of hosts.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

from fastmon.model.counters import Interval

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["RunPart", "covered_time", "make_run_id", "merge_parts", "span"]


@dataclass(frozen=True, slots=True)
class RunPart:
    """A snapshot's share of one run.

    run: the run's id, "" if it is unknown.  source: the name of its capture.
    interval: from the start of its first interval to the end of its last.  duration_ns: the time covered by all of them.
    n_intervals: how many there are.  sequence: the last one's `Snapshot.sequence`.
    running: conversations that were running at the end of the last one; None where only hosts are accounted.
    """

    run: str
    source: str
    interval: Interval
    duration_ns: int
    n_intervals: int = 1
    sequence: int = 0
    running: int | None = None


def make_run_id() -> str:
    """Return a new run id: 32 random hexadecimal digits, unique among all machines."""
    return os.urandom(16).hex()


def merge_parts(parts: Iterable[RunPart]) -> tuple[RunPart, ...]:
    """Return one part for each run, ordered by run. A part of an unknown run stays alone."""
    alone: list[RunPart] = []
    by_run: dict[str, list[RunPart]] = {}
    for part in parts:
        (by_run.setdefault(part.run, []) if part.run else alone).append(part)
    return tuple(sorted([*alone, *(reduce(_join, of_run) for of_run in by_run.values())], key=_order))


def covered_time(parts: Sequence[RunPart]) -> int:
    """Return the time that runs cover together, in nanoseconds.

    Runs of the same period cover it once, runs of different periods cover the sum: so it is the sum of the runs' own times, but
    at most the span from the first start to the last end, and never less than the longest of them.
    """
    durations = [part.duration_ns for part in parts]
    return max(*durations, min(sum(durations), span(part.interval for part in parts).length_ns))


def span(intervals: Iterable[Interval]) -> Interval:
    """Return the interval from the first start to the last end."""
    starts, ends = zip(*((interval.start_ns, interval.end_ns) for interval in intervals), strict=True)
    return Interval(min(starts), max(ends))


def _join(one: RunPart, other: RunPart) -> RunPart:
    """Add up two parts of the same run."""
    last = max(one, other, key=_last)
    return RunPart(
        one.run,
        min(one.source, other.source),  # a run has one source: where somebody renamed it, the order of merging must not matter
        span((one.interval, other.interval)),
        one.duration_ns + other.duration_ns,
        one.n_intervals + other.n_intervals,
        last.sequence,
        last.running,
    )


def _last(part: RunPart) -> tuple[int, int, int]:
    """Order the parts of a run by time; the sequence comes first because a clock may be set back."""
    return part.sequence, part.interval.end_ns, -1 if part.running is None else part.running


def _order(part: RunPart) -> tuple[object, ...]:
    return part.run, part.source, part.interval.start_ns, part.interval.end_ns, part.duration_ns, part.n_intervals, *_last(part)
