"""A run on an interface, on the wall clock.

A frame counts in the interval of its own timestamp, so that a capture of the same frames, replayed, gives the same snapshots.

What it does not do: open interfaces; it is given captures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastmon.model.snapshot import Dropped, Interval
from fastmon.run.clock import StepWatch, SystemClock
from fastmon.run.control import Control
from fastmon.run.monitor import Monitor
from fastmon.run.shards import MAX_BACKSTEP_NS, LiveShard

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastmon.capture import Capture
    from fastmon.run.clock import Clock
    from fastmon.run.plan import Plan, Team
    from fastmon.run.shards import PacketLog
    from fastmon.run.subscriber import Subscriber

__all__ = ["LiveMonitor"]

POLL_S = 0.5
"""How often to ask the shards for alerts and conversations: each time costs the threads that drain."""


class LiveMonitor(Monitor[LiveShard]):
    """Accounts an interface until it is stopped, a duration has passed, or the interface is gone.

    captures: open, and left open, one for each worker of the team; several share the interface's frames (a fanout group).
    packet_log: takes a record of each frame. Completed before the summary.

    A thread for each capture drains it, and does nothing else.
    """

    def __init__(
        self,
        plan: Plan,
        captures: Sequence[Capture],
        team: Team,
        subscriber: Subscriber,
        control: Control | None = None,
        clock: Clock | None = None,
        packet_log: PacketLog | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        shards = [
            LiveShard(worker, capture, self._clock, packet_log) for worker, capture in zip(team.workers, captures, strict=True)
        ]
        self._step_watch = StepWatch(self._clock, MAX_BACKSTEP_NS)
        super().__init__(
            plan,
            team,
            shards,
            subscriber,
            control or Control(),
            packet_log,
            has_crew=True,
            merges_at_ticks=True,
            drains_on=True,
            poll_s=POLL_S,
        )

    def _run(self) -> None:
        first_ns = self._clock.now_ns()
        last = self._run_phases(first_ns)
        end_ns = self._schedule.start_ns
        for shard in self._shards:
            shard.last_call(end_ns)
        self._collect()
        self._tell()
        self._finish(last, Interval(min(first_ns, end_ns), end_ns))

    def _now_ns(self) -> int:
        return self._clock.now_ns()

    def _covered_until_ns(self) -> int:
        return self._clock.now_ns()

    def _step(self) -> tuple[int, int] | None:
        step = self._step_watch.step()
        frames_step = next((shard.step for shard in self._shards if shard.step is not None), None)
        if step is None and frames_step is not None:  # frames have another clock than ours, by which intervals end
            self._begin_phase_of_frames(*frames_step)
        return step

    def _dropped(self) -> Dropped:
        """Return the frames lost since the start; each capture sees all that its interface and the machine lost."""
        shares = [shard.dropped() for shard in self._shards]
        return Dropped(
            kernel=sum(share.kernel for share in shares),
            interface=max(share.interface for share in shares),
            backlog=max(share.backlog for share in shares),
        )
