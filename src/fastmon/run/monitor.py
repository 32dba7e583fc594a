"""The loop that both kinds of runs share: drain all shards up to what is due next, then do it.

It owns the intervals, phases and ticks, rotates the accountant and evaluates the rules.

What it does not do: show anything, handle signals, open sources.
"""

from __future__ import annotations

import abc
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np

from fastmon.errors import ConfigError
from fastmon.model.grouping import group_hosts
from fastmon.model.rows import UNGROUPED
from fastmon.model.units import NS_PER_S
from fastmon.run.crew import Crew
from fastmon.run.live_shards import LiveShard
from fastmon.run.looks import Looks
from fastmon.run.networks import TeamNetworks
from fastmon.run.reporter import Reporter
from fastmon.run.schedule import Schedule
from fastmon.run.shards import ReplayShard, out_of_memory
from fastmon.run.sides import SideCounts
from fastmon.run.subscriber import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fastmon.accounting import Accountant
    from fastmon.model.counters import Dropped, Interval, SourceCounts
    from fastmon.model.snapshot import Snapshot
    from fastmon.policy.rules import View
    from fastmon.run.control import Control
    from fastmon.run.plan import Plan, Team
    from fastmon.run.shards import PacketLog
    from fastmon.run.subscriber import Subscriber

__all__ = ["Monitor"]

TICK_NS = NS_PER_S
"""The beat of rules, and of the sums of several workers."""

MAX_SILENT_INTERVALS = 1440
"""A silence of more intervals than these (a day of minutes) is skipped in one step."""

MAX_GAP_NS = 24 * 3600 * NS_PER_S
"""A longer silence is a step of the clock: nobody measured in between."""

MAX_PHASES = 1000
"""After more steps back than these the times mean nothing, and frames count in the running interval."""

RESERVE_BYTES = 64 << 20
"""Address space, which is never touched, for the end of a run that has no memory left."""

_ShardT = TypeVar("_ShardT", LiveShard, ReplayShard)


class Monitor(abc.ABC, Generic[_ShardT]):
    """One run.

    shards: one for each worker.
    has_crew: whether threads of their own drain; else the run's own thread does.
    merges_at_ticks: whether the sums of several workers are added up at each tick.
    drains_on: whether the crew drains on while rules are evaluated; only what an alert adds then may be of a moment later.
    poll_s: how often the run asks those that drain whether they have something to tell.
    packet_log: takes a record of each frame; the shards put them. Completed before the summary.
    """

    def __init__(
        self,
        plan: Plan,
        team: Team,
        shards: Sequence[_ShardT],
        subscriber: Subscriber,
        control: Control,
        packet_log: PacketLog | None,
        *,
        has_crew: bool,
        merges_at_ticks: bool,
        drains_on: bool = False,
        poll_s: float,
    ) -> None:
        self._plan = plan
        self._team = team
        self._shards: Sequence[_ShardT] = shards
        self._subscriber = subscriber
        self._control = control
        self.packet_log = packet_log
        self._reporter = Reporter(plan.source, shards, subscriber, plan.load_rules(), packet_log)
        self._poll_s, self._drains_on = poll_s, drains_on
        self._merges_at_ticks = merges_at_ticks and team.merges
        self._schedule = Schedule(plan.interval_ns, plan.duration_ns, self._tick_ns())
        self._crew = Crew(len(shards)) if has_crew else None
        self._is_draining = self._is_halted = False
        self._looks = Looks(plan, team, self._halt_crew)
        self._networks = TeamNetworks(team, infers=plan.infers_networks)
        self._contacts_dropped_unasked = 0
        self._side_before: SideCounts | None = None
        self._has_told_of_contacts = False
        self._n_intervals = self._n_steps = 0
        self._last_tick_ns: int | None = None
        self._reserve: NDArray[np.uint8] | None = np.empty(RESERVE_BYTES, np.uint8)

    def run(self) -> None:
        """Run to the end, and tell the subscriber everything; the summary is last but for problems."""
        try:
            self._run()
        except BaseException:
            self._control.stop = True  # or the threads that drain would go on
            raise
        finally:
            if self._crew is not None:
                self._crew.close()
            if self.packet_log is not None:
                self.packet_log.close()

    @abc.abstractmethod
    def _run(self) -> None: ...

    @abc.abstractmethod
    def _now_ns(self) -> int | None:
        """Return the time on the run's clock, once all shards are drained up to what was due; None at the end."""

    @abc.abstractmethod
    def _step(self) -> tuple[int, int] | None:
        """Return from when to when the clock has stepped, if it has since the phase began."""

    @abc.abstractmethod
    def _dropped(self) -> Dropped:
        """Return the frames lost since the start."""

    def _sources(self) -> tuple[SourceCounts, ...]:
        """Return the share of each live source since the start."""
        return ()

    def _attend(self) -> None:
        """Look after the sources, now and then."""

    @property
    def _collector(self) -> Accountant:
        return self._team.collector

    # Draining.

    def _advance(self, until_ns: int | None) -> None:
        """Drain all shards up to `until_ns`, or until something is asked of the run."""
        if self._crew is None:
            while not self._control.is_pending and self._shards[0].drain_chunk(until_ns):
                self._reporter.tell()
        else:
            if not self._is_draining:
                self._start_crew(until_ns)
            while not self._crew.wait(self._poll_s):
                self._attend()
                self._reporter.tell()
            self._is_draining = False
            self._merge()
        self._attend()
        self._tell()

    def _start_crew(self, until_ns: int | None) -> None:
        if self._crew is not None:
            self._crew.start([partial(self._drain, shard, until_ns) for shard in self._shards])
            self._is_draining = True

    def _halt_crew(self) -> None:
        """Let the crew stop after the chunks that it is at; the next advance starts it again."""
        if self._crew is not None and self._is_draining:
            self._is_halted = True
            while not self._crew.wait(self._poll_s):
                pass
            self._is_halted = self._is_draining = False

    def _drain(self, shard: _ShardT, until_ns: int | None) -> None:
        while not self._control.is_pending and not self._is_halted and shard.drain_chunk(until_ns):
            pass

    def _merge(self) -> None:
        self._team.merge()
        self._networks.share()

    def _has_ended(self) -> bool:
        return self._control.stop or all(shard.has_ended for shard in self._shards)

    # Intervals, phases, ticks.

    def _run_phases(self, start_ns: int) -> Interval | None:
        """Report what happens from `start_ns` on; return the interval that is running at the end.

        None if there is no memory to go on, nor to report that interval: what it had is in the summary.
        """
        try:
            return self._run_all_phases(start_ns)
        except MemoryError:
            for shard in self._shards:
                shard.forget_inspection()
            error = out_of_memory()
            self._subscriber.problem(Problem(str(error), error))
            self._last_interval(self._covered_until_ns())
            return None
        finally:
            self._reserve = None

    def _run_all_phases(self, start_ns: int) -> Interval:
        schedule = self._schedule
        schedule.begin_phase(start_ns)
        while True:
            self._advance(schedule.due_ns)
            if self._has_ended():
                return self._last_interval(self._covered_until_ns())
            if (step := self._step()) is not None:
                self._begin_phase(*step)
            elif self._control.is_pending:
                self._do_what_is_asked()
            elif (now_ns := self._now_ns()) is not None and self._pass(now_ns):
                return self._last_interval(schedule.deadline_ns or 0)

    def _pass(self, now_ns: int) -> bool:
        """Do what is due at `now_ns`; return whether that is the end of the run."""
        schedule = self._schedule
        end_ns = schedule.end_ns
        bound_ns = min(time_ns for time_ns in (now_ns, end_ns, schedule.deadline_ns) if time_ns is not None)
        views = []
        while (tick_ns := schedule.take_tick(bound_ns)) is not None:
            views.append((tick_ns, self._look(tick_ns)))
        snapshot, n_silent, left_out_ns = None, 0, 0
        if end_ns is not None and now_ns >= end_ns and not schedule.is_over(end_ns):
            n_silent = schedule.n_silent(now_ns)
            snapshot = self._rotated(end_ns)
            if n_silent > MAX_SILENT_INTERVALS:
                left_out_ns = schedule.skip_intervals(n_silent)
        if views and self._drains_on and self._reporter.wants_ticks and not schedule.is_over(now_ns):
            self._start_crew(schedule.due_ns)
        for tick_ns, view in views:
            self._evaluate(tick_ns, view)
        if snapshot is not None:
            self._subscriber.snapshot(snapshot)
        if left_out_ns:
            self._reporter.tell_of_silence(left_out_ns, n_silent)
        return snapshot is None and schedule.is_over(now_ns)

    def _covered_until_ns(self) -> int:
        """Return when the part of the phase ends that frames, or a clock, have covered."""
        newest_ns = self._newest_ns()
        return self._schedule.start_ns if newest_ns is None else newest_ns + 1

    def _newest_ns(self) -> int | None:
        """Return the greatest timestamp of the phase."""
        newest = [shard.newest_ts_ns for shard in self._shards if shard.newest_ts_ns is not None]
        return max(newest, default=None)

    def _begin_phase(self, from_ns: int, to_ns: int) -> None:
        """End the interval and the phase, which the clock's step from `from_ns` to `to_ns` ends, and begin new ones."""
        if self._plan.interval_ns:
            self._subscriber.snapshot(self._rotated(from_ns + 1))
        self._schedule.end_phase(from_ns + 1)
        self._schedule.begin_phase(to_ns)
        self._begin_phase_of_frames(from_ns, to_ns)

    def _begin_phase_of_frames(self, from_ns: int, to_ns: int) -> None:
        self._n_steps += 1
        for shard in self._shards:
            shard.begin_phase()
            if self._n_steps == MAX_PHASES:
                shard.max_backstep_ns = None
        self._reporter.tell_of_step(from_ns, to_ns, is_last=self._n_steps == MAX_PHASES)

    def _do_what_is_asked(self) -> None:
        self._reporter.reopen_if_asked(self._control)
        if self._control.reload:
            self._control.reload = False
            self._reload()
        if self._control.snapshot_now:
            self._control.snapshot_now = False
            self._subscriber.snapshot(self._rotated(self._covered_until_ns()))

    def _reload(self) -> None:
        took_contacts = self._reporter.has_rules_at_ticks
        try:
            self._reporter.rules = self._plan.load_rules()
        except ConfigError as error:
            self._subscriber.problem(Problem(f"{error}; the rules stay as they were"))
        else:
            self._schedule.set_tick(self._tick_ns(), self._covered_until_ns())
            if not took_contacts:
                self._contacts_dropped_unasked += self._contacts_dropped()

    def _tick_ns(self) -> int:
        """Return how long a tick is; 0 if nobody wants any."""
        return TICK_NS if self._merges_at_ticks or self._reporter.wants_ticks else 0

    def _look(self, now_ns: int) -> View:
        """Return what rules see at a tick."""
        self._last_tick_ns = now_ns
        if sum(worker.accountant.note_unanswered(now_ns) for worker in self._team.workers):
            self._merge()
        view = self._looks.at(now_ns, self._dropped(), self._sources())
        if self._reporter.wants_ticks:
            view.prepare()
        return view

    def _evaluate(self, now_ns: int, view: View) -> None:
        self._reporter.tick(now_ns, view)
        if self._contacts_dropped() and not self._has_told_of_contacts:
            self._has_told_of_contacts = True
            text = "rules do not see all conversations: more of them begin and end within a second than are kept for rules"
            self._subscriber.problem(Problem(f"{self._plan.source}: {text}"))

    def _contacts_dropped(self) -> int:
        """Return the records of contacts that were dropped since there have been rules that look at them."""
        if not self._reporter.has_rules_at_ticks:
            return 0
        return sum(worker.accountant.contacts_dropped for worker in self._team.workers) - self._contacts_dropped_unasked

    # Snapshots.

    def _rotated(self, end_ns: int) -> Snapshot:
        """End the running interval; return its snapshot."""
        self._networks.infer()
        return self._complete(self._collector.rotate(self._schedule.interval_until(end_ns)))

    def _last_interval(self, end_ns: int) -> Interval:
        interval = self._schedule.interval_until(end_ns)
        self._schedule.end_phase(interval.end_ns)
        return interval

    def _complete(self, snapshot: Snapshot) -> Snapshot:
        """Return an interval's snapshot with what the accountant does not know."""
        self._n_intervals += 1
        before, self._side_before = self._side_before, self._side_counts()
        return self._describe(replace(snapshot, sequence=self._n_intervals), self._side_before - before)

    def _side_counts(self) -> SideCounts:
        log_dropped, contacts, names = self._reporter.log_dropped, self._contacts_dropped(), self._team.names_dropped
        return SideCounts(self._dropped(), self._sources(), log_dropped, contacts, names)

    def _describe(self, snapshot: Snapshot, counts: SideCounts) -> Snapshot:
        plan = self._plan
        names = None if plan.names is None else plan.names.frozen()  # whoever takes it, and when: the names are the same
        flagged = snapshot.flagged if plan.limit_scope == "all" else snapshot.flagged & snapshot.local
        snapshot = counts.added_to(replace(snapshot, flagged=flagged, source=plan.source, run=plan.run, names=names))
        return snapshot if plan.grouping == UNGROUPED else group_hosts(snapshot, plan.grouping)

    def _finish(self, last: Interval | None, whole: Interval) -> None:
        """Report the last interval's snapshot, if intervals are reported and one is running, and the summary."""
        self._reporter.reopen_if_asked(self._control)
        self._reporter.complete_log()
        end_ns = self._covered_until_ns()
        if self._reporter.wants_ticks and end_ns != self._last_tick_ns:
            self._evaluate(end_ns, self._look(end_ns))  # what has come since the last one
        self._end_conversations()
        self._networks.infer()
        last_snapshot, summary = self._collector.finish(last or whole, whole)
        for shard in self._shards:
            shard.take_ended()
        self._reporter.tell()
        if last is not None and self._plan.interval_ns:
            self._subscriber.snapshot(self._complete(last_snapshot))
        del last_snapshot
        summary = replace(summary, is_summary=True, duration_ns=self._schedule.covered_ns)
        self._subscriber.snapshot(self._describe(summary, self._side_counts()))

    def _collect(self) -> None:
        """Let everything be looked at, and add up what the workers accounted last."""
        for shard in self._shards:
            shard.finish_inspection()
        self._merge()

    def _end_conversations(self) -> None:
        """End the conversations of several workers, which the collector cannot end itself."""
        if self._team.merges:
            for worker in self._team.workers:
                worker.accountant.end_conversations()
            self._merge()

    def _tell(self) -> None:
        """Tell what has come up, with the hosts over their limit that only the workers' sums show."""
        self._reporter.tell(self._collector.take_limit_crossings() if self._team.merges else ())
