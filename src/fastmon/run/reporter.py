"""Tells a run's subscriber what its shards, its rules and its packet log have come to.

What it does not do: drain, rotate, know intervals.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from fastmon.model.units import format_duration, format_time
from fastmon.policy.rules import View
from fastmon.run.subscriber import Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastmon.model.alerts import Alert
    from fastmon.model.snapshot import LimitCrossing
    from fastmon.policy.rules import Rule
    from fastmon.run.control import Control
    from fastmon.run.live_shards import LiveShard
    from fastmon.run.shards import PacketLog, ReplayShard
    from fastmon.run.subscriber import Subscriber

__all__ = ["Reporter"]

ALERTS_AT_ONCE = 1 << 12
"""At most, so that what a sink makes of them stays small: a merge may find a million hosts over their limit."""

MAX_TOLD_STEPS = 10
"""Steps of the clock that are told one by one."""

PROGRESS_S = 0.1
"""How often to tell how far a run is."""


class Reporter:
    """Passes events on.

    source: the run's name in messages.
    rules: those that are evaluated.
    """

    def __init__(
        self,
        source: str,
        shards: Sequence[LiveShard | ReplayShard],
        subscriber: Subscriber,
        rules: Sequence[Rule],
        packet_log: PacketLog | None,
    ) -> None:
        self.rules = rules
        self._source = source
        self._shards = shards
        self._subscriber = subscriber
        self._packet_log = packet_log
        self._has_told_of_loss = False
        self._has_log_ended = False
        self._n_steps = 0
        self._next_progress_s = 0.0
        self._told = Counter[str]()
        self._told_by: Sequence[Counter[str]] = [Counter() for _ in shards]

    # What shards have to tell.

    def tell(self, crossings: Sequence[LimitCrossing] = ()) -> None:
        """Tell of conversations that ended, of `crossings` and those of the shards, of warnings and problems, and of progress."""
        found: list[LimitCrossing] = []
        for shard in self._shards:
            while shard.ended:
                self._subscriber.conversations(shard.ended.popleft())
            while shard.crossings:
                found.append(shard.crossings.popleft())
        found += crossings
        self._tell_of_crossings(found)
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
        self._tell_progress()

    def _is_first_report(self, shard_index: int, text: str) -> bool:
        """Return True unless another shard has already reported this occurrence of `text`."""
        self._told_by[shard_index][text] += 1
        if self._told_by[shard_index][text] <= self._told[text]:
            return False
        self._told[text] += 1
        return True

    def _tell_progress(self) -> None:
        if time.monotonic() >= self._next_progress_s:
            self._next_progress_s = time.monotonic() + PROGRESS_S
            self._subscriber.progress(sum(shard.position_bytes for shard in self._shards))

    # Rules.

    @property
    def wants_ticks(self) -> bool:
        """Whether a rule or the subscriber wants ticks."""
        return self._subscriber.wants_ticks or self.has_rules_at_ticks

    @property
    def has_rules_at_ticks(self) -> bool:
        """Whether a rule wants ticks."""
        return any(rule.wants_ticks for rule in self.rules)

    def tick(self, now_ns: int, view: View) -> None:
        """Show all hosts to the rules and the subscriber, if they want ticks."""
        self._raise_alerts(view, now_ns, [rule for rule in self.rules if rule.wants_ticks])
        if self._subscriber.wants_ticks and view.totals is not None:
            self._subscriber.tick(view.totals)

    def _tell_of_crossings(self, crossings: Sequence[LimitCrossing]) -> None:
        if crossings:
            self._raise_alerts(View(crossings), max(crossing.ts_ns for crossing in crossings), self.rules)

    def _raise_alerts(self, view: View, now_ns: int, rules: Sequence[Rule]) -> None:
        alerts: list[Alert] = [alert for rule in rules for alert in rule.evaluate(view, now_ns)]
        for start in range(0, len(alerts), ALERTS_AT_ONCE):
            self._subscriber.alerts(alerts[start : start + ALERTS_AT_ONCE])

    # The clock.

    def tell_of_step(self, from_ns: int, to_ns: int, *, is_last: bool) -> None:
        """Tell that the clock has stepped. is_last: no further step will be looked for."""
        self._n_steps += 1
        way = "back" if to_ns < from_ns else "ahead"
        text = f"{self._source}: the clock steps {way} from {format_time(from_ns)} to {format_time(to_ns)}"
        if is_last:
            self._subscriber.problem(Problem(f"{text}; after {self._n_steps} steps frames count in the running interval"))
        elif self._n_steps < MAX_TOLD_STEPS:
            self._subscriber.problem(Problem(f"{text}: a new phase begins"))
        elif self._n_steps == MAX_TOLD_STEPS:
            self._subscriber.problem(Problem(f"{text}: a new phase begins; further steps are not told"))

    def tell_of_silence(self, duration_ns: int, n_intervals: int) -> None:
        """Tell that intervals without traffic are not reported."""
        text = f"no frame for {format_duration(duration_ns)}: {n_intervals} intervals without traffic are left out"
        self._subscriber.problem(Problem(f"{self._source}: {text}"))

    # The files.

    def reopen_if_asked(self, control: Control) -> None:
        """Have those opened anew that were renamed, if that is asked for."""
        if control.reopen:
            control.reopen = False
            self._subscriber.reopen()
            if self._packet_log is not None:
                self._packet_log.reopen()

    @property
    def log_dropped(self) -> int:
        """The packet log's records lost since the start."""
        return 0 if self._packet_log is None else self._packet_log.dropped

    def _tell_of_log(self) -> None:
        """Tell of the packet log's first loss, and of what ended it."""
        log = self._packet_log
        if log is None:
            return
        if log.error is not None and not self._has_log_ended:
            self._has_log_ended = self._has_told_of_loss = True
            self._subscriber.problem(Problem(str(log.error), log.error))
        elif log.dropped and not self._has_told_of_loss:
            self._has_told_of_loss = True
            text = f"packet log {log.path}: records are dropped: it cannot be written as fast as frames come"
            self._subscriber.problem(Problem(text))

    def complete_log(self) -> None:
        """Wait until the packet log is written; tell what it lacks."""
        log = self._packet_log
        if log is not None:
            log.close()
            self._tell_of_log()
            if log.dropped and log.error is None:
                self._subscriber.problem(Problem(f"packet log {log.path}: {log.dropped:,} records dropped"))
