"""A capture file from its first frame to its end or damage, through one accountant."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from host_model import Traffic
from snapshot_checks import assert_conserved, rows

from fastmon.capture import open_offline
from fastmon.errors import CaptureError
from fastmon.model.snapshot import Interval

if TYPE_CHECKING:
    import os

    from fastmon.accounting import Accountant
    from fastmon.capture import Capture
    from fastmon.model.snapshot import Snapshot

GULP_FRAMES = 1 << 16
EVER = Interval(-(1 << 62), 1 << 62)


class Replay(NamedTuple):
    """The summary, and the error with which reading ended, if it did."""

    summary: Snapshot
    error: CaptureError | None = None


def drain(target: Accountant, source: Capture, max_frames: int = GULP_FRAMES) -> int:
    """Account all of an open capture, `max_frames` a call; return the number of frames."""
    n_frames = 0
    while not source.exhausted:
        n_frames += target.drain(source, max_frames)
    return n_frames


def finish(target: Accountant) -> Snapshot:
    """Return the checked summary of what `target` accounted."""
    _, summary = target.finish(EVER, EVER)
    assert_conserved(summary)
    return summary


def replay(
    path: str | os.PathLike[str], target: Accountant, *, filter: str | None = None, max_frames: int = GULP_FRAMES
) -> Replay:
    """Account a whole file."""
    error = None
    try:
        with open_offline(str(path), filter=filter) as source:
            drain(target, source, max_frames)
    except CaptureError as caught:
        error = caught
    return Replay(finish(target), error)


def traffic(snapshot: Snapshot) -> dict[bytes, Traffic]:
    """Return the counters of each host by its key."""
    return {row.key: Traffic(row.packets_in, row.bytes_in, row.packets_out, row.bytes_out) for row in rows(snapshot)}


def assert_same(found: Replay, expected: Replay) -> None:
    """Check that two replays came to the same counters, hosts and end."""
    assert found.summary.counters == expected.summary.counters
    assert rows(found.summary) == rows(expected.summary)
    assert type(found.error) is type(expected.error)
