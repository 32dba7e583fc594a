"""The loop: shards are drained up to the end of each interval, their accountants rotated; events come out.

It owns the clock and the rotation. What it does not do: show anything, handle signals, open interfaces.

Intervals are [start + k * interval, start + (k + 1) * interval). Replay keeps the packet clock: the first interval starts with
the first frame, a frame older than the running interval counts in it, and a long silence is skipped. Live keeps the wall clock.
"""

from __future__ import annotations

import abc
from collections import Counter
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import TYPE_CHECKING, Generic, TypeVar

from fastmon.model.grouping import group_hosts
from fastmon.model.rows import UNGROUPED
from fastmon.model.snapshot import Dropped, Interval
from fastmon.model.units import NS_PER_S, format_duration
from fastmon.policy.limits import Alerts, limit_alert
from fastmon.run.shards import LAST_CALL_NS, LiveShard, ReplayShard, WallClock

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from concurrent.futures import ThreadPoolExecutor
    from typing import TypeAlias

    from fastmon.accounting import Accountant
    from fastmon.capture import Capture
    from fastmon.errors import FastmonError
    from fastmon.model.conversations import EndedConversations
    from fastmon.model.names import NameBook
    from fastmon.model.rows import Grouping
    from fastmon.model.snapshot import Snapshot
    from fastmon.run.inspection import Inspector
    from fastmon.run.shards import Clock, SourceOpener
    from fastmon.sinks.packet_log import PacketLog

    Event: TypeAlias = "Snapshot | Alerts | Problem | EndedConversations"

__all__ = ["Control", "LiveMonitor", "Plan", "Problem", "ReplayMonitor"]

MOST_SILENT_INTERVALS = 1440
"""Replay: a silence of more intervals than these (a day of minutes) is skipped in one step."""

MERGE_NS = NS_PER_S
"""Live, several workers: how often their sums are merged, so that an alert is no later than this."""

ALERTS_AT_ONCE = 1 << 12
"""At most, so that what a sink makes of them stays small: a merge may find a million hosts over their limit."""

PROGRESS_S = 0.1
"""Several workers: how often the run says how far it is."""

_BEFORE_ANY_FRAME_NS = -(1 << 63)


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that a person should know. `error` is what ended a source, None for a mere remark."""

    text: str
    error: FastmonError | None = None


@dataclass(slots=True)
class Control:
    """What is asked of a running monitor, from a signal handler or another thread.

    stop: end now, with the last interval and the summary.
    snapshot_now: end the running interval here; the next one ends when this one would have.
    """

    stop: bool = False
    snapshot_now: bool = False

    @property
    def is_pending(self) -> bool:
        """Something is asked."""
        return self.stop or self.snapshot_now


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is to do.

    source: its name in every snapshot.  interval_ns: 0: only the summary.  duration_ns: 0: to the end.
    grouping: what a row of a snapshot stands for.  names: where what is learnt of hosts' names is.
    """

    source: str
    interval_ns: int = 0
    duration_ns: int = 0
    grouping: Grouping = UNGROUPED
    names: NameBook | None = None


_ShardT = TypeVar("_ShardT", LiveShard, ReplayShard)


class _Monitor(abc.ABC, Generic[_ShardT]):
    """What both kinds share: draining all shards, in threads if there are several, and completing snapshots."""

    def __init__(
        self,
        plan: Plan,
        shards: Sequence[_ShardT],
        collector: Accountant,
        control: Control,
        packet_log: PacketLog | None = None,
    ) -> None:
        self._plan = plan
        self._shards: Sequence[_ShardT] = shards
        self._collector = collector
        self._control = control
        self._dropped_before = Dropped()
        self._packet_log = packet_log
        self._log_dropped_before = 0
        self._has_told_of_loss = False
        self._has_log_ended = False
        self._workers = _thread_pool(len(shards)) if len(shards) > 1 else None
        self._told = Counter[str]()
        self._told_by: Sequence[Counter[str]] = [Counter() for _ in shards]

    def events(self) -> Generator[Event, None, None]:
        """Run, and yield snapshots, alerts and problems as they come; the summary is last but for problems."""
        try:
            yield from self._run()
        finally:
            self._control.stop = True
            if self._workers is not None:
                self._workers.shutdown()
            if self._packet_log is not None:
                self._packet_log.close()

    @abc.abstractmethod
    def _run(self) -> Iterator[Event]: ...

    @abc.abstractmethod
    def _dropped(self) -> Dropped:
        """Return the frames lost since the start."""

    def _advance(self, until_ns: int | None) -> Iterator[Event]:
        """Drain all shards up to `until_ns`, or until something is asked of the monitor."""
        if self._workers is None:
            while not self._control.is_pending and self._shards[0].gulp(until_ns):
                self._after_gulp()
                yield from self._news()
        else:
            yield from self._advance_in_threads(self._workers, until_ns)
        yield from self._news()

    def _advance_in_threads(self, workers: ThreadPoolExecutor, until_ns: int | None) -> Iterator[Event]:
        from concurrent.futures import wait

        futures = [workers.submit(self._drain, shard, until_ns) for shard in self._shards]
        while wait(futures, timeout=PROGRESS_S).not_done:
            self._after_gulp()
            yield from self._ended()
        for future, shard in zip(futures, self._shards, strict=True):
            future.result()
            self._collector.merge(shard.accountant)

    def _collect(self) -> None:
        """End the conversations of several workers, and add up what they accounted last."""
        if self._workers is not None:
            for shard in self._shards:
                shard.accountant.end_conversations()
                self._collector.merge(shard.accountant)

    def _after_gulp(self) -> None:
        """Say how far the run is, where anybody wants to know."""

    def _drain(self, shard: _ShardT, until_ns: int | None) -> None:
        while not self._control.is_pending and shard.gulp(until_ns):
            pass

    def _news(self) -> Iterator[Event]:
        """Yield the conversations that ended, and the alerts and problems that have come up."""
        yield from self._ended()
        crossings = self._collector.take_limit_crossings()
        for start in range(0, len(crossings), ALERTS_AT_ONCE):
            yield Alerts([limit_alert(crossing) for crossing in crossings[start : start + ALERTS_AT_ONCE]])
        for number, shard in enumerate(self._shards):
            while shard.warnings:
                text = shard.warnings.popleft()
                if self._is_news(number, text):
                    yield Problem(text)
        for number, shard in enumerate(self._shards):  # what ends a source comes after all that led to it
            while shard.problems:
                error = shard.problems.popleft()
                if self._is_news(number, str(error)):
                    yield Problem(str(error), error)
        yield from self._news_of_log()

    def _ended(self) -> Iterator[Event]:
        for shard in self._shards:
            while shard.ended:
                yield shard.ended.popleft()

    def _is_news(self, number: int, text: str) -> bool:
        """Return whether shard `number` says `text` once more than any other did: what befalls all is told once."""
        self._told_by[number][text] += 1
        if self._told_by[number][text] <= self._told[text]:
            return False
        self._told[text] += 1
        return True

    def _news_of_log(self) -> Iterator[Event]:
        """Yield what befell the packet log: its first loss, and what ended it."""
        log = self._packet_log
        if log is None:
            return
        if log.error is not None and not self._has_log_ended:
            self._has_log_ended = self._has_told_of_loss = True
            yield Problem(str(log.error), log.error)
        elif log.dropped and not self._has_told_of_loss:
            self._has_told_of_loss = True
            yield Problem(f"packet log {log.path}: records are dropped: it cannot be written as fast as frames come")

    def _has_ended(self) -> bool:
        return self._control.stop or all(shard.has_ended for shard in self._shards)

    def _rotate(self, start_ns: int, end_ns: int) -> Snapshot:
        self._control.snapshot_now = False  # here it is
        return self._completed(self._collector.rotate(Interval(start_ns, end_ns)))

    def _completed(self, snapshot: Snapshot) -> Snapshot:
        """Return an interval's snapshot with what the accountant does not know."""
        before, self._dropped_before = self._dropped_before, self._dropped()
        log_before, self._log_dropped_before = self._log_dropped_before, self._log_dropped()
        return self._described(snapshot, self._dropped_before - before, self._log_dropped_before - log_before)

    def _described(self, snapshot: Snapshot, dropped: Dropped, log_dropped: int) -> Snapshot:
        plan = self._plan
        snapshot = replace(snapshot, source=plan.source, dropped=dropped, names=plan.names, packet_log_dropped=log_dropped)
        return snapshot if plan.grouping == UNGROUPED else group_hosts(snapshot, plan.grouping)

    def _log_dropped(self) -> int:
        """Return the packet log's records lost since the start."""
        return 0 if self._packet_log is None else self._packet_log.dropped

    def _complete_log(self) -> Iterator[Event]:
        """Wait until the packet log is written; say what it lacks."""
        if self._packet_log is not None:
            self._packet_log.close()
            yield from self._news()
            if self._packet_log.dropped and self._packet_log.error is None:
                yield Problem(f"packet log {self._packet_log.path}: {self._packet_log.dropped:,} records dropped")

    def _finish(self, last: Interval | None, whole: Interval) -> Iterator[Event]:
        """Yield the last interval's snapshot, if intervals are reported and one is running, and the summary."""
        yield from self._complete_log()
        last_snapshot, summary = self._collector.finish(last or whole, whole)
        for shard in self._shards:
            shard.take_ended()
        yield from self._ended()
        if last is not None and self._plan.interval_ns:
            yield self._completed(last_snapshot)
        del last_snapshot
        yield self._described(replace(summary, is_summary=True), self._dropped(), self._log_dropped())


class ReplayMonitor(_Monitor[ReplayShard]):
    """Replays sources.

    sources: functions that open one each, in the order of the run.
    accountants: one; or a collector and one for each worker, among which the sources are dealt.
    inspectors: one for each worker, or none.
    on_gulp: called now and then with the bytes read so far, in the thread that iterates over `events`.
    packet_log: takes a record of each frame; the workers keep them. Completed before the summary.

    Nothing but problems come out if no source can be opened, unless the run is stopped before that.
    """

    def __init__(
        self,
        plan: Plan,
        sources: Sequence[SourceOpener],
        accountants: Sequence[Accountant],
        control: Control | None = None,
        on_gulp: Callable[[int], None] | None = None,
        inspectors: Sequence[Inspector] = (),
        packet_log: PacketLog | None = None,
    ) -> None:
        workers = accountants[1:] or accountants
        put = None if packet_log is None else packet_log.put
        shards = [
            ReplayShard(worker, sources[number :: len(workers)], inspector, put)
            for number, (worker, inspector) in enumerate(zip_longest(workers, inspectors))
        ]
        super().__init__(plan, shards, accountants[0], control or Control(), packet_log)
        self._on_gulp = on_gulp

    def _after_gulp(self) -> None:
        if self._on_gulp is not None:
            self._on_gulp(sum(shard.position_bytes for shard in self._shards))

    def _run(self) -> Iterator[Event]:
        try:
            first_ns = yield from self._first_ts_ns()
            last = None if first_ns is None else (yield from self._intervals(first_ns))
        finally:
            for shard in self._shards:
                shard.close()
        self._collect()
        yield from self._news()
        if self._control.stop or any(shard.n_opened for shard in self._shards):
            yield from self._finish(last, Interval(self._collector.first_ts_ns or 0, self._collector.last_ts_ns or 0))

    def _first_ts_ns(self) -> Generator[Event, None, int | None]:
        """Open sources up to the first frame; return its timestamp, None if there is no frame."""
        while True:
            yield from self._advance(_BEFORE_ANY_FRAME_NS)
            first_ns = self._next_ts_ns()
            if first_ns is not None or self._has_ended():
                return first_ns
            self._control.snapshot_now = False  # there is nothing yet

    def _intervals(self, start_ns: int) -> Generator[Event, None, Interval]:
        """Yield what happens up to the end; return the interval that is running then."""
        interval_ns, duration_ns = self._plan.interval_ns, self._plan.duration_ns
        deadline_ns = start_ns + duration_ns if duration_ns else None
        end_ns = start_ns + interval_ns if interval_ns else None
        while True:
            until_ns = _earliest(end_ns, deadline_ns)
            yield from self._advance(until_ns)
            next_ns = self._next_ts_ns()
            is_last = end_ns is None or _is_reached(deadline_ns, end_ns)
            if self._has_ended() or (is_last and _is_reached(deadline_ns, next_ns)):
                return Interval(start_ns, start_ns if until_ns is None else until_ns)
            if end_ns is not None and next_ns is not None and next_ns >= end_ns:
                yield self._rotate(start_ns, end_ns)
                # Up to the deadline and no further: its own interval is the last.
                start_ns = yield from self._silence(end_ns, next_ns if deadline_ns is None else min(next_ns, deadline_ns - 1))
                end_ns = start_ns + interval_ns
            else:
                now_ns = max(start_ns, (self._collector.last_ts_ns or 0) + 1)
                yield self._rotate(start_ns, now_ns)
                start_ns = now_ns

    def _silence(self, start_ns: int, next_ns: int) -> Generator[Event, None, int]:
        """Yield the snapshots of the silent intervals from `start_ns` on; return the start of the one with the next frame."""
        interval_ns = self._plan.interval_ns
        n_silent = (next_ns - start_ns) // interval_ns
        end_ns = start_ns + n_silent * interval_ns
        if n_silent > MOST_SILENT_INTERVALS:
            yield Problem(
                f"{self._plan.source}: no frame for {format_duration(end_ns - start_ns)}: "
                f"{n_silent} intervals without traffic are left out"
            )
            return end_ns
        for silent_ns in range(start_ns, end_ns, interval_ns):
            if self._control.stop:
                return silent_ns
            yield self._rotate(silent_ns, silent_ns + interval_ns)
        return end_ns

    def _next_ts_ns(self) -> int | None:
        return _earliest(*(shard.next_ts_ns for shard in self._shards))

    def _dropped(self) -> Dropped:
        """Return nothing: what a capture file's writer lost is not in it."""
        return Dropped()


class LiveMonitor(_Monitor[LiveShard]):
    """Accounts an interface until it is stopped, a duration has passed, or the interface is gone.

    captures: open, and left open; several of one interface share its frames (a fanout group).
    accountants: one for one capture; for several, a collector and one for each.  inspectors: one for each capture, or none.
    packet_log: takes a record of each frame; the workers keep them. Completed before the summary.
    """

    def __init__(
        self,
        plan: Plan,
        captures: Sequence[Capture],
        accountants: Sequence[Accountant],
        control: Control | None = None,
        clock: Clock | None = None,
        inspectors: Sequence[Inspector] = (),
        packet_log: PacketLog | None = None,
    ) -> None:
        self._clock = clock or WallClock()
        workers = accountants[1:] or accountants
        put = None if packet_log is None else packet_log.put
        shards = [
            LiveShard(worker, capture, self._clock, inspector, put)
            for worker, capture, inspector in zip_longest(workers, captures, inspectors)
        ]
        super().__init__(plan, shards, accountants[0], control or Control(), packet_log)

    def _run(self) -> Iterator[Event]:
        first_ns = self._clock.now_ns()
        last_start_ns = yield from self._intervals(first_ns)
        last_call_ns = self._clock.now_ns() + LAST_CALL_NS
        for shard in self._shards:
            shard.last_call(last_call_ns)
        self._collect()
        yield from self._news()
        stop_ns = max(last_start_ns, self._clock.now_ns())
        yield from self._finish(Interval(last_start_ns, stop_ns), Interval(min(first_ns, stop_ns), stop_ns))

    def _intervals(self, start_ns: int) -> Generator[Event, None, int]:
        """Yield what happens up to the end; return the start of the interval that is running then."""
        interval_ns, duration_ns = self._plan.interval_ns, self._plan.duration_ns
        deadline_ns = start_ns + duration_ns if duration_ns else None
        end_ns = start_ns + interval_ns if interval_ns else None
        now_ns = start_ns
        while True:
            merge_ns = None if self._workers is None else now_ns + MERGE_NS
            yield from self._advance(_earliest(end_ns, deadline_ns, merge_ns))
            now_ns = self._clock.now_ns()
            if self._has_ended() or _is_reached(deadline_ns, now_ns):
                return start_ns
            if end_ns is not None and now_ns >= end_ns:
                boundary_ns = now_ns - (now_ns - end_ns) % interval_ns  # the last one, if several passed at once
                yield self._rotate(start_ns, boundary_ns)
                start_ns, end_ns = boundary_ns, boundary_ns + interval_ns
            elif now_ns < start_ns:  # the clock was set back: the running interval ends, and a new phase begins
                yield self._rotate(start_ns, start_ns)
                start_ns = now_ns
                end_ns = start_ns + interval_ns if interval_ns else None
            elif self._control.snapshot_now:
                yield self._rotate(start_ns, now_ns)
                start_ns = now_ns

    def _dropped(self) -> Dropped:
        """Return the frames lost since the start; each capture sees all that its interface and the machine lost."""
        shares = [shard.dropped() for shard in self._shards]
        return Dropped(
            kernel=sum(share.kernel for share in shares),
            interface=max(share.interface for share in shares),
            backlog=max(share.backlog for share in shares),
        )


def _thread_pool(n_threads: int) -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(n_threads, "fastmon-shard")


def _earliest(*times_ns: int | None) -> int | None:
    return min((ts_ns for ts_ns in times_ns if ts_ns is not None), default=None)


def _is_reached(bound_ns: int | None, ts_ns: int | None) -> bool:
    return bound_ns is not None and ts_ns is not None and ts_ns >= bound_ns
