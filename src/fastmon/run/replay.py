"""A run over capture files, on the packets' clock; that of a pipe runs on while the capture behind it is silent.

Its intervals end where those of a live run would have: an hour's capture gives the same snapshots in a second.

What it does not do: open files; it is given functions that do.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from fastmon.model.snapshot import Dropped, Interval
from fastmon.run.clock import PipeClock, SystemClock
from fastmon.run.control import Control
from fastmon.run.monitor import MAX_GAP_NS, Monitor
from fastmon.run.reporter import PROGRESS_S
from fastmon.run.schedule import earliest
from fastmon.run.shards import ReplayShard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastmon.run.clock import Clock
    from fastmon.run.plan import Plan, Team
    from fastmon.run.shards import PacketLog, SourceOpener
    from fastmon.run.subscriber import Subscriber

__all__ = ["ReplayMonitor"]

_BEFORE_ANY_FRAME_NS = -(1 << 63)


class ReplayMonitor(Monitor[ReplayShard]):
    """Replays sources.

    sources: functions that open one each, in the order of the run; they are dealt among the workers of the team.
    packet_log: takes a record of each frame. Completed before the summary.
    live_clock: the clock of a pipe that falls silent runs on, even if its frames are not of this machine's time.

    Nothing but problems come out if no source can be opened, unless the run is stopped before that.
    """

    def __init__(
        self,
        plan: Plan,
        sources: Sequence[SourceOpener],
        team: Team,
        subscriber: Subscriber,
        control: Control | None = None,
        packet_log: PacketLog | None = None,
        clock: Clock | None = None,
        *,
        live_clock: bool = False,
    ) -> None:
        n_workers = len(team.workers)
        make_clock = partial(PipeClock, clock or SystemClock(), always=live_clock)
        shards = [
            ReplayShard(worker, sources[index::n_workers], make_clock, packet_log) for index, worker in enumerate(team.workers)
        ]
        self._ran_on_until_ns = _BEFORE_ANY_FRAME_NS
        super().__init__(
            plan,
            team,
            shards,
            subscriber,
            control or Control(),
            packet_log,
            has_crew=n_workers > 1,
            merges_at_ticks=False,
            poll_s=PROGRESS_S,
        )

    def _run(self) -> None:
        try:
            first_ns = self._first_ts_ns()
            last = None if first_ns is None else self._run_phases(first_ns)
        finally:
            for shard in self._shards:
                shard.close()
        self._collect()
        self._tell()
        if self._control.stop or any(shard.n_opened for shard in self._shards):
            last_ns = self._collector.last_ts_ns or 0
            if last is not None and self._ran_on_until_ns > last_ns:
                last_ns = last.end_ns
            self._finish(last, Interval(self._collector.first_ts_ns or 0, last_ns))

    def _first_ts_ns(self) -> int | None:
        """Open sources up to the first frame; return its timestamp, None if there is no frame."""
        while True:
            self._advance(_BEFORE_ANY_FRAME_NS)
            first_ns = self._now_ns()
            if first_ns is not None or self._has_ended():
                return first_ns
            self._reporter.reopen_if_asked(self._control)
            self._control.snapshot_now = self._control.reload = False  # there is nothing yet

    def _now_ns(self) -> int | None:
        """Return the time of the next frame, or what time it is on the clock of a pipe that is silent."""
        times = []
        for shard in self._shards:
            time_ns = shard.next_ts_ns
            if time_ns is None and not shard.has_ended and (time_ns := shard.silent_ns) is not None:
                self._ran_on_until_ns = max(self._ran_on_until_ns, time_ns)
            times.append(time_ns)
        return earliest(*times)

    def _covered_until_ns(self) -> int:
        """Return what time it is, too, where only that has ended the last interval."""
        covered_ns = super()._covered_until_ns()
        if covered_ns <= self._schedule.start_ns <= self._ran_on_until_ns:
            covered_ns = max(self._schedule.start_ns, *(shard.silent_ns or covered_ns for shard in self._shards))
        return covered_ns

    def _step(self) -> tuple[int, int] | None:
        """Also ahead: after a silence of more than a day nothing was measured in between, unless the clock of a pipe ran on."""
        backward = min((shard.step for shard in self._shards if shard.step is not None), key=lambda step: step[1], default=None)
        if backward is not None:
            return backward
        newest_ns, next_ns = self._newest_ns(), earliest(*(shard.next_ts_ns for shard in self._shards))
        if newest_ns is not None and next_ns is not None and next_ns - max(newest_ns, self._ran_on_until_ns) > MAX_GAP_NS:
            return newest_ns, next_ns
        return None

    def _dropped(self) -> Dropped:
        """Return what the files say that their captures lost."""
        return sum((shard.dropped() for shard in self._shards), Dropped())
