"""A run on interfaces, on the wall clock.

A frame counts in the interval of its own timestamp, so that a capture of the same frames, replayed, gives the same snapshots.

What it does not do: open interfaces; it is given captures.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fastmon.capture.live import attend
from fastmon.model.counters import Dropped, Interval, SourceCounts
from fastmon.model.units import NS_PER_S
from fastmon.run.clock import StepWatch, SystemClock
from fastmon.run.control import Control
from fastmon.run.live_shards import LiveShard
from fastmon.run.monitor import Monitor
from fastmon.run.networks import InterfaceNetworks
from fastmon.run.shards import MAX_BACKSTEP_NS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastmon.capture import LiveCapture
    from fastmon.run.clock import Clock
    from fastmon.run.plan import Plan, Team
    from fastmon.run.shards import PacketLog
    from fastmon.run.subscriber import Subscriber

__all__ = ["LiveMonitor"]

POLL_S = 0.5
"""How often to ask the shards for alerts and conversations, which costs the threads that drain, and to look for interfaces."""


class LiveMonitor(Monitor[LiveShard]):
    """Accounts interfaces until it is stopped, a duration has passed, or all of them are gone.

    captures: those of each interface together, one for each worker of the team; left open. Several share the interface's frames
        (a fanout group). One that is away, and waited for, is opened again when it is back.
    packet_log: takes a record of each frame. Completed before the summary.

    A thread for each worker drains its share of all interfaces, and does nothing else.
    """

    def __init__(
        self,
        plan: Plan,
        captures: Sequence[LiveCapture],
        team: Team,
        subscriber: Subscriber,
        control: Control | None = None,
        clock: Clock | None = None,
        packet_log: PacketLog | None = None,
    ) -> None:
        self._clock = clock or SystemClock()
        n_workers = len(team.workers)
        self._interfaces = [captures[start : start + n_workers] for start in range(0, len(captures), n_workers)]
        shards = [
            LiveShard(worker, shares, self._clock, packet_log)
            for worker, *shares in zip(team.workers, *self._interfaces, strict=True)
        ]
        self._step_watch = StepWatch(self._clock, MAX_BACKSTEP_NS)
        self._next_look_ns = 0
        self._at_start = tuple(SourceCounts(shares[0].name) for shares in self._interfaces)
        find = plan.find_networks or tuple
        self._interface_networks = InterfaceNetworks(find, lambda: self._clock.steady_ns() / NS_PER_S)
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

    def _attend(self) -> None:
        """Open interfaces again that are back, and let networks be local that they have got."""
        if self._clock.steady_ns() >= self._next_look_ns:
            self._next_look_ns = self._clock.steady_ns() + int(POLL_S * NS_PER_S)
            for shares in self._interfaces:
                attend(shares)
        for network in self._interface_networks.new():
            for shard in self._shards:
                shard.networks.append(network)

    def _run(self) -> None:
        first_ns = self._clock.now_ns()
        self._at_start = self._sources()
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
        at_interfaces = sum((source.dropped for source in self._sources()), Dropped())
        backlogs = (share.dropped().backlog for shares in self._interfaces for share in shares)
        return replace(at_interfaces, backlog=max(backlogs))

    def _sources(self) -> tuple[SourceCounts, ...]:
        counts = map(_counts_of, self._interfaces)
        return tuple(now - replace(then, dropped=Dropped()) for now, then in zip(counts, self._at_start, strict=True))


def _counts_of(shares: Sequence[LiveCapture]) -> SourceCounts:
    losses = [share.dropped() for share in shares]
    dropped = Dropped(sum(lost.kernel for lost in losses), max(lost.interface for lost in losses))
    return SourceCounts(shares[0].name, sum(share.n_frames for share in shares), dropped, shares[0].away_ns)
