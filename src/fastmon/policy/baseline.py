"""Rules of kind `baseline`: a host, or the network, that moves far more than is usual for it at this hour of the week.

Windows end at whole multiples of their length since the epoch. A window tells nothing before its bucket has enough samples, nor
if it has few bytes. A window without traffic is a sample, too; one in the middle of which a host appeared is none. An incident
clears with the first window that is usual again.

What it does not do: count, or keep habits; `measures` and `habits` do.
"""

from __future__ import annotations

import calendar
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from fastmon.errors import ConfigError
from fastmon.model.addresses import key_from_text, key_to_text
from fastmon.model.alerts import NETWORK
from fastmon.model.memory import Baseline
from fastmon.model.units import NS_PER_S, format_duration, format_value
from fastmon.policy.cases import CaseBook
from fastmon.policy.families import Governing, group_specs, make_table, match_specs, split_specs
from fastmon.policy.habits import MAX_SUBJECTS, Habits, deviation, learn
from fastmon.policy.incidents import Lives
from fastmon.policy.key_index import GONE
from fastmon.policy.measures import Traffic
from fastmon.policy.periods import WEEK_HOURS, hour_of_week
from fastmon.policy.words import SCHEDULE_ENDED, VERBS, format_subject

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from numpy.typing import NDArray
    from typing_extensions import Self

    from fastmon.model.alerts import Alert
    from fastmon.model.memory import Changes, Memory
    from fastmon.policy.hosts import Roster
    from fastmon.policy.measures import Readings
    from fastmon.policy.rules import Context, View
    from fastmon.policy.specs import BaselineSpec
    from fastmon.policy.subjects import Subject

__all__ = ["BaselineFamily", "make_baselines"]

_DIRECTIONS = {"bytes": "both", "bytes-in": "in", "bytes-out": "out"}

_MAX_SILENCE_NS = 24 * 3600 * NS_PER_S
"""After a longer time without ticks windows begin anew: nobody measured in between."""

_MAX_KEPT = 1 << 14
"""Buckets that are kept at once; the others are kept the next time."""


def make_baselines(specs: Sequence[BaselineSpec], context: Context) -> list[BaselineFamily]:
    """Return the families of rules of kind `baseline`."""
    return [BaselineFamily(each, context) for each in group_specs(specs, _family_key).values()]


def _family_key(spec: BaselineSpec) -> Hashable:
    return spec.kind, spec.measure, spec.window_ns


class BaselineFamily:
    """Rules of the same measure and window."""

    def __init__(self, specs: Sequence[BaselineSpec], context: Context) -> None:
        self.key: Hashable = _family_key(specs[0])
        self._window_ns = max(-(-specs[0].window_ns // NS_PER_S), 1) * NS_PER_S
        self._measure = Traffic("bytes", _DIRECTIONS[specs[0].measure])
        of_hosts, of_network = split_specs(specs, context.groups)
        self._table = make_table(of_hosts, context.groups)
        self._hosts = _Part(of_hosts, self._window_ns, context, is_network=False)
        self._network = _Part(of_network, self._window_ns, context, is_network=True)
        self._governing: Governing[BaselineSpec] | None = None
        self._now_ns: int | None = None

    def evaluate(self, view: View, now_ns: int, hosts: Roster) -> Iterable[Alert]:
        """See `Family`."""
        if view.totals is None:
            return []
        governing = self._governing or self._attach(hosts)
        governing.update(hosts)
        rules = governing.rules
        self._hosts.add(rules, hosts)
        alerts = self._hosts.settle(now_ns, hosts, rules)
        before_ns, self._now_ns = self._now_ns, now_ns
        if before_ns is None:
            before_ns = now_ns - 1
        if not before_ns <= now_ns <= before_ns + _MAX_SILENCE_NS:
            self._hosts.habits.is_whole[:] = self._network.habits.is_whole[:] = False
            before_ns = now_ns - 1
        readings: Readings | None = self._measure.read(view, view.totals)
        for window in range(before_ns // self._window_ns + 1, now_ns // self._window_ns + 1):
            for part, of_rows in ((self._hosts, rules), (self._network, np.arange(len(self._network.book.specs)))):
                alerts += part.end_window(window * self._window_ns, readings, of_rows, hosts)
            readings = None  # of a silence, only its first window has traffic
        self._hosts.rules = rules[self._hosts.habits.rows]
        return alerts

    def _attach(self, hosts: Roster) -> Governing[BaselineSpec]:
        self._governing = Governing(self._hosts.book.specs, self._table, hosts)
        self._hosts.book.incidents.attach(hosts)
        hosts.drop(self._hosts.habits)
        hosts.add_follower(self._hosts.habits)
        return self._governing

    def restore(self, memory: Memory) -> None:
        """See `Family`."""
        self._hosts.restore(memory)
        self._network.restore(memory)

    def adopt(self, old: Self) -> None:
        """See `Family`."""
        self._now_ns = old._now_ns
        for mine, theirs in ((self._hosts, old._hosts), (self._network, old._network)):
            mine.adopt(theirs, match_specs(theirs.book.specs, mine.book.specs))

    def close(self, now_ns: int, hosts: Roster) -> Iterable[Alert]:
        """See `Family`."""
        if self._governing is not None:
            self._governing.drop(hosts)
            hosts.drop(self._hosts.book.incidents)
            hosts.drop(self._hosts.habits)
        return self._hosts.book.close(now_ns, hosts) + self._network.book.close(now_ns, hosts)

    def take_changes(self, changes: Changes) -> None:
        """See `Family`."""
        self._hosts.take_changes(changes)
        self._network.take_changes(changes)

    def n_bytes(self) -> int:
        """See `Family`."""
        return self._hosts.n_bytes() + self._network.n_bytes()


class _Part:
    """The rules of a family on hosts, or on the network, with the habits of their subjects.

    usual: of the rows that the last window picked out, their bucket, and what is usual in it.
    rules: the index of the rule of each habit.
    """

    def __init__(self, specs: Sequence[BaselineSpec], window_ns: int, context: Context, *, is_network: bool) -> None:
        self.habits = Habits()
        self.usual: dict[int, tuple[int, np.void]] = {}
        self.rules: NDArray[np.signedinteger] = np.arange(len(specs) if is_network else 0)
        self.book = CaseBook(specs, _BaselineWording(window_ns, self), context, is_network=is_network)
        self._keeps = context.keeps
        self._window_ns = window_ns
        self._lives = Lives(specs)
        # The last one is for hosts that no rule governs any more, whose index is -1.
        self._scores = np.array([*(spec.score for spec in specs), np.inf])
        self._min_samples = np.array([*(spec.min_samples for spec in specs), 1 << 32])
        self._least = np.array([*(spec.least_bytes for spec in specs), np.inf])
        self._restored: dict[bytes, list[Baseline]] = {}
        if is_network:
            self.habits.add(np.arange(len(specs)), np.zeros((len(specs), 16), np.uint8))

    def add(self, rules: NDArray[np.signedinteger], hosts: Roster) -> None:
        """Begin the habits of hosts that a rule governs."""
        has_none = rules >= 0
        has_none[self.habits.rows] = False
        rows = np.flatnonzero(has_none)
        for index in self.habits.add(rows, hosts.hosts["key"][rows[:MAX_SUBJECTS]]).tolist() if len(rows) else ():
            self._fill(index, self._restored.pop(self.habits.keys[index].tobytes(), []))

    def _fill(self, index: int, kept: list[Baseline]) -> None:
        for row in kept:
            self.habits.buckets[index, row.bucket] = row.n_samples, row.mean, row.spread, False

    def settle(self, now_ns: int, hosts: Roster, rules: NDArray[np.signedinteger]) -> list[Alert]:
        """Clear the incidents of hosts that are gone, or have no habits: there was no room for them after a restart."""
        alerts = self.book.settle(now_ns, hosts, rules)
        are_lost = ~np.isin(self.book.incidents.rows, self.habits.rows)
        return alerts + self.book.clear(self.book.incidents.take(are_lost), now_ns, hosts, "its habit is not known any more")

    def end_window(self, ts_ns: int, readings: Readings | None, rules: NDArray[np.signedinteger], hosts: Roster) -> list[Alert]:
        """End a window; return the alerts. readings: None if nothing has moved."""
        habits = self.habits
        if not len(habits.rows):
            return []
        counters = None
        if readings is not None:
            of_network = np.full(len(habits.rows), readings.network() if self.book.is_network else 0)
            counters = of_network if self.book.is_network else readings.of(habits.rows).view(np.int64)
        seen, samples = habits.end_window(counters)
        rows = habits.rows[seen]
        of_rows = rules[rows]
        hours = np.array([*(hour_of_week(ts_ns - 1, spec.zone) for spec in self.book.specs), 0])[of_rows]
        usual = habits.buckets[seen, hours]
        excess = (samples - usual["mean"]) / deviation(usual)
        holding = np.append(self.book.schedules.holding(ts_ns), [False])
        is_over = (excess > self._scores[of_rows]) & (samples >= self._least[of_rows]) & holding[of_rows]
        is_over &= usual["n_samples"] >= self._min_samples[of_rows]
        learnt = usual.copy()
        learn(learnt, samples, self._min_samples[of_rows])
        habits.buckets[seen, hours] = learnt
        picked = np.flatnonzero(is_over | (self.book.incidents.find(rows) != GONE))
        self.usual = {int(rows[at]): (int(hours[at]), usual[at]) for at in picked}
        found = self.book.find(rows[picked], of_rows[picked], hosts)
        over = is_over[picked]
        turns = self.book.incidents.step(ts_ns, self._lives, found, samples[picked], over, ~over)
        return self.book.tell(turns, ts_ns, hosts)

    def restore(self, memory: Memory) -> None:
        """Go on with an earlier run's habits and incidents, as soon as their hosts are seen."""
        self.book.restore(memory)
        indices = {spec.name: index for index, spec in enumerate(self.book.specs)}
        for row in memory.baselines:
            if row.rule not in indices or not 0 <= row.bucket < WEEK_HOURS:
                continue
            if row.subject == NETWORK and self.book.is_network:
                self._fill(indices[row.rule], [row])
            elif row.subject != NETWORK and not self.book.is_network:
                with suppress(ConfigError):
                    self._restored.setdefault(key_from_text(row.subject), []).append(row)

    def adopt(self, old: _Part, indices: NDArray[np.int64]) -> None:
        """Take over the habits of `old`, and the incidents of rules that stay. indices: of each old rule, its index here."""
        self.book.adopt(old.book, indices)
        self._restored = old._restored
        if not self.book.is_network:
            self.habits, old.habits = old.habits, Habits()
            return
        mine, theirs = indices[indices != GONE], np.flatnonzero(indices != GONE)
        for name in ("buckets", "base", "is_whole"):
            getattr(self.habits, name)[mine] = getattr(old.habits, name)[theirs]

    def take_changes(self, changes: Changes) -> None:
        """Add the habits and incidents that have changed."""
        self.book.take_changes(changes)
        if not self._keeps:
            return
        at, hours = np.nonzero(self.habits.buckets["is_dirty"])
        at, hours = at[:_MAX_KEPT], hours[:_MAX_KEPT]
        kept = self.habits.buckets[at, hours]
        for index, hour, bucket in zip(at.tolist(), hours.tolist(), kept.tolist(), strict=True):
            rule = self.book.specs[self.rules[index]].name
            subject = NETWORK if self.book.is_network else key_to_text(self.habits.keys[index].tobytes())
            changes.baselines.append(Baseline(rule, subject, hour, *bucket[:3]))
        kept["is_dirty"] = False
        self.habits.buckets[at, hours] = kept

    def n_bytes(self) -> int:
        """Return how much memory the state takes."""
        return self.habits.n_bytes() + self.book.incidents.n_bytes()


class _BaselineWording:
    def __init__(self, window_ns: int, part: _Part) -> None:
        self._window_ns = window_ns
        self._part = part

    def facts(self, spec: BaselineSpec, row: int) -> dict[str, Any]:
        _, usual = self._part.usual.get(row, (0, None))
        limit = None if usual is None else round(_level(spec, usual))
        return {"limit": limit, "unit": "bytes", "window_ns": self._window_ns}

    def fired(self, spec: BaselineSpec, subject: Subject, value: float, row: int) -> str:
        details = self.details(spec, value, row)
        verb = VERBS[_DIRECTIONS[spec.measure]]
        moved = f"{verb} {format_value(value, 'bytes')} in {format_duration(self._window_ns)}"
        habit = f"{details['score']} deviations above its usual {format_value(float(str(details['usual'])), 'bytes')}"
        return f"{format_subject(subject)} {moved}, {habit} on {details['hour']} ({details['samples']} samples)"

    def cleared(self, spec: BaselineSpec, value: float, *, is_holding: bool) -> str:  # noqa: ARG002 - it is the host's
        return f"back to {format_value(value, 'bytes')} in {format_duration(self._window_ns)}" if is_holding else SCHEDULE_ENDED

    def details(self, spec: BaselineSpec, value: float, row: int) -> dict[str, object]:  # noqa: ARG002 - it is the host's
        hour, usual = self._part.usual[row]
        mean, spread = float(usual["mean"]), float(deviation(np.array([usual]))[0])
        return {
            "usual": round(mean),
            "deviation": round(spread),
            "score": round((value - mean) / spread, 1),
            "samples": int(usual["n_samples"]),
            "hour": f"{calendar.day_name[hour // 24]} {hour % 24:02}:00",
        }


def _level(spec: BaselineSpec, usual: np.void) -> float:
    """Return how many bytes are too many in a bucket."""
    return max(float(usual["mean"] + spec.score * deviation(np.array([usual]))[0]), float(spec.least_bytes))
