"""The loop that both kinds of runs share: drain all shards up to what is due next, then do it.

It owns the intervals, phases and ticks, rotates the accountant and evaluates the rules.

What it does not do: show anything, handle signals, open sources.
"""

from __future__ import annotations

import abc
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from fastmon.errors import ConfigError
from fastmon.model.counters import Dropped, Interval
from fastmon.model.grouping import group_hosts
from fastmon.model.rows import UNGROUPED
from fastmon.model.runs import make_run_id
from fastmon.model.units import NS_PER_S, format_duration, format_time
from fastmon.policy.rules import View
from fastmon.run.crew import Crew
from fastmon.run.schedule import Schedule
from fastmon.run.shards import LiveShard, ReplayShard, out_of_memory
from fastmon.run.subscriber import Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastmon.accounting import Accountant
    from fastmon.model.names import NameBook
    from fastmon.model.rows import Grouping
    from fastmon.model.snapshot import LimitCrossing, Snapshot
    from fastmon.policy.rules import Alert, Rule
    from fastmon.run.control import Control
    from fastmon.run.inspection import Inspector
    from fastmon.run.shards import PacketLog
    from fastmon.run.subscriber import Subscriber

__all__ = ["Monitor", "Plan", "Team", "Worker"]

TICK_NS = NS_PER_S
"""The beat of rules, and of the sums of several workers."""

MAX_SILENT_INTERVALS = 1440
"""A silence of more intervals than these (a day of minutes) is skipped in one step."""

MAX_GAP_NS = 24 * 3600 * NS_PER_S
"""A longer silence is a step of the clock: nobody measured in between."""

MAX_PHASES = 1000
"""After more steps back than these the times mean nothing, and frames count in the running interval."""

MAX_TOLD_STEPS = 10
"""Steps of the clock that are told one by one."""

ALERTS_AT_ONCE = 1 << 12
"""At most, so that what a sink makes of them stays small: a merge may find a million hosts over their limit."""

RESERVE_BYTES = 64 << 20
"""Address space, which is never touched, for the end of a run that has no memory left."""

PROGRESS_S = 0.1
"""How often the run says how far it is."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is to do.

    source: its name in every snapshot.  interval_ns: 0: only the summary.  duration_ns: 0: to the end.
    grouping: what a row of a snapshot stands for.  names: where what is learnt of hosts' names is.
    load_rules: returns the rules; called again when a reload is asked for; raises ConfigError.
    run: identifies the run in its snapshots.
    """

    source: str
    interval_ns: int = 0
    duration_ns: int = 0
    grouping: Grouping = UNGROUPED
    names: NameBook | None = None
    load_rules: Callable[[], Sequence[Rule]] = tuple
    run: str = field(default_factory=make_run_id)


@dataclass(frozen=True, slots=True)
class Worker:
    """An accountant that drains, and who looks at the payloads that it keeps, if anybody does."""

    accountant: Accountant
    inspector: Inspector | None = None


@dataclass(frozen=True, slots=True)
class Team:
    """The workers of a run, and the accountant that has their sums: the only worker's own, or one that merges all."""

    workers: Sequence[Worker]
    collector: Accountant

    @property
    def merges(self) -> bool:
        """Whether the collector must merge what the workers accounted."""
        return self.workers[0].accountant is not self.collector


_ShardT = TypeVar("_ShardT", LiveShard, ReplayShard)


class Monitor(abc.ABC, Generic[_ShardT]):
    """One run.

    shards: one for each worker.
    has_crew: whether threads of their own drain; else the run's own thread does.
    merges_at_ticks: whether the sums of several workers are added up at each tick.
    poll_s: how often the run looks after those that drain, if they have nothing to tell.
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
        poll_s: float,
    ) -> None:
        self._plan = plan
        self._team = team
        self._shards: Sequence[_ShardT] = shards
        self._subscriber = subscriber
        self._control = control
        self._packet_log = packet_log
        self._rules = plan.load_rules()
        self._poll_s = poll_s
        self._merges_at_ticks = merges_at_ticks and team.merges
        self._schedule = Schedule(plan.interval_ns, plan.duration_ns, self._tick_ns())
        self._crew = Crew(len(shards)) if has_crew else None
        self._dropped_before = Dropped()
        self._log_dropped_before = 0
        self._has_told_of_loss = False
        self._has_log_ended = False
        self._n_intervals = 0
        self._n_steps = 0
        self._reserve: bytearray | None = bytearray(RESERVE_BYTES)
        self._next_progress_s = 0.0
        self._told = Counter[str]()
        self._told_by: Sequence[Counter[str]] = [Counter() for _ in shards]

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
            if self._packet_log is not None:
                self._packet_log.close()

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

    @property
    def _collector(self) -> Accountant:
        return self._team.collector

    # Draining.

    def _advance(self, until_ns: int | None) -> None:
        """Drain all shards up to `until_ns`, or until something is asked of the run."""
        if self._crew is None:
            while not self._control.is_pending and self._shards[0].drain_chunk(until_ns):
                self._tell()
        else:
            self._crew.start([partial(self._drain, self._crew, shard, until_ns) for shard in self._shards])
            while not self._crew.wait(self._poll_s):
                self._tell()
            self._merge()
        self._tell()

    def _drain(self, crew: Crew, shard: _ShardT, until_ns: int | None) -> None:
        while not self._control.is_pending and shard.drain_chunk(until_ns):
            if shard.has_news():
                crew.notify()

    def _merge(self) -> None:
        if self._team.merges:
            for worker in self._team.workers:
                self._collector.merge(worker.accountant)

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
        while (tick_ns := schedule.take_tick(bound_ns)) is not None:
            self._tick(tick_ns)
        if end_ns is not None and now_ns >= end_ns and not schedule.is_over(end_ns):
            n_silent = schedule.n_silent(now_ns)
            self._rotate(end_ns)
            if n_silent > MAX_SILENT_INTERVALS:
                self._skip(n_silent)
            return False
        return schedule.is_over(now_ns)

    def _skip(self, n_silent: int) -> None:
        start_ns = self._schedule.start_ns
        self._schedule.skip_intervals(n_silent)
        self._subscriber.problem(
            Problem(
                f"{self._plan.source}: no frame for {format_duration(self._schedule.start_ns - start_ns)}: "
                f"{n_silent} intervals without traffic are left out"
            )
        )

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
            self._rotate(from_ns + 1)
        self._schedule.end_phase(from_ns + 1)
        self._schedule.begin_phase(to_ns)
        self._begin_phase_of_frames(from_ns, to_ns)

    def _begin_phase_of_frames(self, from_ns: int, to_ns: int) -> None:
        for shard in self._shards:
            shard.begin_phase()
        self._tell_of_step(from_ns, to_ns)

    def _tell_of_step(self, from_ns: int, to_ns: int) -> None:
        self._n_steps += 1
        way = "back" if to_ns < from_ns else "ahead"
        text = f"{self._plan.source}: the clock steps {way} from {format_time(from_ns)} to {format_time(to_ns)}"
        if self._n_steps == MAX_PHASES:
            for shard in self._shards:
                shard.max_backstep_ns = None
            self._subscriber.problem(Problem(f"{text}; after {MAX_PHASES} steps frames count in the running interval"))
        elif self._n_steps < MAX_TOLD_STEPS:
            self._subscriber.problem(Problem(f"{text}: a new phase begins"))
        elif self._n_steps == MAX_TOLD_STEPS:
            self._subscriber.problem(Problem(f"{text}: a new phase begins; further steps are not told"))

    def _do_what_is_asked(self) -> None:
        if self._control.reload:
            self._control.reload = False
            self._reload()
        if self._control.snapshot_now:
            self._control.snapshot_now = False
            self._rotate(self._covered_until_ns())

    def _reload(self) -> None:
        try:
            self._rules = self._plan.load_rules()
        except ConfigError as error:
            self._subscriber.problem(Problem(f"{error}; the rules stay as they were"))
        else:
            self._schedule.set_tick(self._tick_ns())

    def _tick_ns(self) -> int:
        """Return how long a tick is; 0 if nobody wants any."""
        are_wanted = self._merges_at_ticks or self._subscriber.wants_ticks or any(rule.wants_ticks for rule in self._rules)
        return TICK_NS if are_wanted else 0

    def _tick(self, now_ns: int) -> None:
        view = View(copy_totals=partial(self._copy_totals, now_ns))
        self._raise_alerts(view, now_ns, [rule for rule in self._rules if rule.wants_ticks])
        if self._subscriber.wants_ticks and view.totals is not None:
            self._subscriber.tick(view.totals)

    def _copy_totals(self, now_ns: int) -> Snapshot:
        start_ns = self._collector.first_ts_ns
        totals = self._collector.totals(Interval(now_ns if start_ns is None else min(start_ns, now_ns), now_ns))
        return replace(totals, source=self._plan.source, run=self._plan.run, names=self._plan.names)

    def _raise_alerts(self, view: View, now_ns: int, rules: Sequence[Rule]) -> None:
        alerts: list[Alert] = [alert for rule in rules for alert in rule.evaluate(view, now_ns)]
        for start in range(0, len(alerts), ALERTS_AT_ONCE):
            self._subscriber.alerts(alerts[start : start + ALERTS_AT_ONCE])

    # Snapshots.

    def _rotate(self, end_ns: int) -> None:
        self._subscriber.snapshot(self._complete(self._collector.rotate(self._schedule.interval_until(end_ns))))

    def _last_interval(self, end_ns: int) -> Interval:
        interval = self._schedule.interval_until(end_ns)
        self._schedule.end_phase(interval.end_ns)
        return interval

    def _complete(self, snapshot: Snapshot) -> Snapshot:
        """Return an interval's snapshot with what the accountant does not know."""
        self._n_intervals += 1
        before, self._dropped_before = self._dropped_before, self._dropped()
        log_before, self._log_dropped_before = self._log_dropped_before, self._log_dropped()
        snapshot = replace(snapshot, sequence=self._n_intervals)
        return self._describe(snapshot, self._dropped_before - before, self._log_dropped_before - log_before)

    def _describe(self, snapshot: Snapshot, dropped: Dropped, log_dropped: int) -> Snapshot:
        plan = self._plan
        snapshot = replace(
            snapshot, source=plan.source, run=plan.run, dropped=dropped, names=plan.names, packet_log_dropped=log_dropped
        )
        return snapshot if plan.grouping == UNGROUPED else group_hosts(snapshot, plan.grouping)

    def _finish(self, last: Interval | None, whole: Interval) -> None:
        """Report the last interval's snapshot, if intervals are reported and one is running, and the summary."""
        self._complete_log()
        last_snapshot, summary = self._collector.finish(last or whole, whole)
        for shard in self._shards:
            shard.take_ended()
        self._tell_of_shards()
        if last is not None and self._plan.interval_ns:
            self._subscriber.snapshot(self._complete(last_snapshot))
        del last_snapshot
        summary = replace(summary, is_summary=True, duration_ns=self._schedule.covered_ns)
        self._subscriber.snapshot(self._describe(summary, self._dropped(), self._log_dropped()))

    def _collect(self) -> None:
        """Let everything be looked at; end the conversations of several workers, and add up what they accounted last."""
        for shard in self._shards:
            shard.finish_inspection()
        if self._team.merges:
            for worker in self._team.workers:
                worker.accountant.end_conversations()
            self._merge()

    # Events.

    def _tell(self) -> None:
        """Pass on the conversations that ended, and the alerts and problems that have come up."""
        self._tell_of_shards()
        if self._team.merges:
            self._tell_of_crossings(self._collector.take_limit_crossings())
        for index, shard in enumerate(self._shards):
            while shard.warnings:
                text = shard.warnings.popleft()
                if self._is_first_report(index, text):
                    self._subscriber.problem(Problem(text))
        for index, shard in enumerate(self._shards):  # what ends a source comes after all that led to it
            while shard.problems:
                error = shard.problems.popleft()
                if self._is_first_report(index, str(error)):
                    self._subscriber.problem(Problem(str(error), error))
        self._tell_of_log()

    def _tell_of_shards(self) -> None:
        for shard in self._shards:
            while shard.ended:
                self._subscriber.conversations(shard.ended.popleft())
            while shard.crossings:
                self._tell_of_crossings(shard.crossings.popleft())
        if time.monotonic() >= self._next_progress_s:
            self._next_progress_s = time.monotonic() + PROGRESS_S
            self._subscriber.progress(sum(shard.position_bytes for shard in self._shards))

    def _tell_of_crossings(self, crossings: Sequence[LimitCrossing]) -> None:
        if crossings:
            now_ns = max(crossing.ts_ns for crossing in crossings)
            self._raise_alerts(View(crossings), now_ns, self._rules)

    def _is_first_report(self, shard_index: int, text: str) -> bool:
        """Return True unless another shard has already reported this occurrence of `text`."""
        self._told_by[shard_index][text] += 1
        if self._told_by[shard_index][text] <= self._told[text]:
            return False
        self._told[text] += 1
        return True

    # The packet log.

    def _tell_of_log(self) -> None:
        """Report the packet log's first loss, and what ended it."""
        log = self._packet_log
        if log is None:
            return
        if log.error is not None and not self._has_log_ended:
            self._has_log_ended = self._has_told_of_loss = True
            self._subscriber.problem(Problem(str(log.error), log.error))
        elif log.dropped and not self._has_told_of_loss:
            self._has_told_of_loss = True
            self._subscriber.problem(
                Problem(f"packet log {log.path}: records are dropped: it cannot be written as fast as frames come")
            )

    def _log_dropped(self) -> int:
        """Return the packet log's records lost since the start."""
        return 0 if self._packet_log is None else self._packet_log.dropped

    def _complete_log(self) -> None:
        """Wait until the packet log is written; say what it lacks."""
        if self._packet_log is not None:
            self._packet_log.close()
            self._tell_of_log()
            if self._packet_log.dropped and self._packet_log.error is None:
                self._subscriber.problem(
                    Problem(f"packet log {self._packet_log.path}: {self._packet_log.dropped:,} records dropped")
                )
