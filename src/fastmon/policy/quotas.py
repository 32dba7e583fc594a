"""What hosts, devices, or the network, have moved in their rules' running periods, and which warn levels were told.

What it does not do: decide which rule governs a host; `totals` asks `families`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastmon.model.units import NS_PER_S, format_time, format_value
from fastmon.policy.cases import CaseBook
from fastmon.policy.incidents import FIRING, NEVER_NS, Turns
from fastmon.policy.key_index import GONE
from fastmon.policy.ledger import Entries, Ledger
from fastmon.policy.periods import ENDLESS_NS, Calendar
from fastmon.policy.subjects import Column
from fastmon.policy.words import VERBS, format_subject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fastmon.model.alerts import Alert
    from fastmon.model.memory import Changes, Memory
    from fastmon.policy.ledger import Kept
    from fastmon.policy.rules import Context
    from fastmon.policy.sights import Sight
    from fastmon.policy.specs import TotalSpec
    from fastmon.policy.subjects import Subject, Subjects

__all__ = ["Quotas"]

_THIS = {"run": "since the start", "hour": "this hour", "day": "this day", "week": "this week", "month": "this month"}


class Quotas:
    """Rules of a family, on hosts, devices or the network, with the totals of their running periods.

    book: the incidents: a subject has one from its first level on until its period ends.
    """

    def __init__(
        self, specs: Sequence[TotalSpec], context: Context, *, is_network: bool = False, are_devices: bool = False
    ) -> None:
        self.book = CaseBook(specs, _TotalWording(self), context, is_network=is_network, are_devices=are_devices)
        self._keeps = context.keeps and bool(specs) and specs[0].per != "run"
        self._ledger = Ledger(specs, is_network=is_network, are_devices=are_devices)
        of_specs = [Calendar(spec.per, spec.reset_day, spec.zone) for spec in specs]
        self._calendars = list(dict.fromkeys(of_specs))
        # The last one is for hosts that no rule governs, whose index is -1: they go by the first calendar.
        self._calendar_of = np.array([*map(self._calendars.index, of_specs), 0])
        self._periods: list[tuple[int, int]] = []
        self._old_periods: dict[Calendar, tuple[int, int]] = {}
        self._levels = _make_levels(specs)
        self._base, self._told = Column("i8"), Column("u1")
        self._is_attached = False
        self._adopted = np.zeros(len(specs), np.bool_)
        self._known: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None
        self._urgent: list[NDArray[np.intp]] = []

    # Whose totals.

    def begin(self, now_ns: int) -> None:
        """Begin the periods, at the first tick. One that begins with this tick has not begun: the tick is of the one before."""
        if not self._periods:
            old = self._old_periods
            self._periods = [old.get(calendar) or calendar.period_at(now_ns - 1) for calendar in self._calendars]

    def begin_as(self, other: Quotas) -> None:
        """Begin in the running periods of other quotas of the same rules."""
        self._periods = list(other._periods)

    def attach(self, subjects: Subjects) -> None:
        """Let the columns follow the rows."""
        if not self._is_attached:
            self._base, self._told = subjects.add_column("i8"), subjects.add_column("u1")
            self._is_attached = True
        self.book.incidents.attach(subjects)

    def begin_network(self, sight: Sight) -> None:
        """Begin the totals of the network, but for those of rules that were there before.

        Other rules go on with what is known: with the total that those before them had, or an earlier run has kept.
        """
        self._base.follow(None, len(sight.rules))
        self._told.follow(None, len(sight.rules))
        rows = np.flatnonzero(~self._adopted)
        self.change_rules(sight, rows, rows, np.full(len(rows), -ENDLESS_NS - 1))
        if self._known is not None:
            starts, bases = self._known
            for row, start in zip(rows.tolist(), self.starts_of(rows).tolist(), strict=True):
                self._base.values[row] = bases[starts >= start].min(initial=self._base.values[row])
            self._known = None
            return
        for _, kept in self._ledger.find(np.zeros((1, 2), np.uint64)):
            for row in rows.tolist():
                self._go_on(row, row, [each for each in kept if each.rule == row])

    def period_of(self, rule: int) -> tuple[int, int]:
        """Return when the running period of a rule begins and ends."""
        return self._periods[int(self._calendar_of[rule])]

    def starts_of(self, rules: NDArray[np.signedinteger]) -> NDArray[np.int64]:
        """Return when the running period of each of some rules began."""
        starts = np.array([start for start, _ in self._periods] or [-ENDLESS_NS], np.int64)
        if len(starts) == 1:
            return np.broadcast_to(starts, len(rules))
        of_rules: NDArray[np.int64] = starts[self._calendar_of[rules]]
        return of_rules

    def change_rules(
        self, sight: Sight, rows: NDArray[np.intp], rules: NDArray[np.signedinteger], old_starts_ns: NDArray[np.int64]
    ) -> None:
        """Let other rules govern some rows. rules: of these.  old_starts_ns: since when their totals count."""
        starts = self.starts_of(rules)
        is_lost = old_starts_ns < starts
        lost = rows[is_lost]
        is_whole = sight.first_seen(lost) >= starts[is_lost]
        self._base.values[lost] = np.where(is_whole, 0, sight.counters(lost))
        self._told.values[rows] = 0
        if self._ledger.has_restored:
            for index, kept in self._ledger.find(sight.words(rows)):
                self._told.values[rows[index]] = self._n_told(kept, rules[index])

    def rejoin(self, sight: Sight, new: NDArray[np.intp]) -> None:
        """Let the totals of new rows go on that an earlier run has kept."""
        if not self._ledger.has_restored:
            return
        for index, kept in self._ledger.find(sight.words(new)):
            self._go_on(int(new[index]), int(sight.rules[new[index]]), kept)

    def _go_on(self, row: int, rule: int, kept: list[Kept]) -> None:
        self._base.values[row] -= max((each.n_bytes for each in kept if self._is_running(each)), default=0)
        self._told.values[row] = self._n_told(kept, rule)

    def _is_running(self, kept: Kept) -> bool:
        return kept.start_ns == self.period_of(kept.rule)[0]

    def _n_told(self, kept: list[Kept], rule: int) -> int:
        """Return how many levels of a rule were told in the running period."""
        told = max((each.told_percent for each in kept if each.rule == rule and self._is_running(each)), default=0)
        return sum(percent <= told for percent in self.book.specs[rule].warn_at) if rule >= 0 else 0

    def restart(self, sight: Sight, rows: NDArray[np.intp]) -> None:
        """Let some rows begin at 0."""
        self._base.values[rows], self._told.values[rows] = sight.counters(rows), 0

    def move_bases(self, rows: NDArray[np.intp], by: NDArray[np.int64]) -> None:
        """Let the totals of some rows, which may repeat, begin at counters that are greater `by` so much."""
        np.add.at(self._base.values, rows, by)

    def hand_over(
        self, sight: Sight, rows: NDArray[np.intp], rules: NDArray[np.signedinteger], new: NDArray[np.intp]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Let the totals of some rows count for others from now on; return their bases, and of which anything was kept.

        rules: those that govern the others.  new: rows of which this run has kept nothing.
        """
        were_kept = np.full(len(rows), self._keeps) & ~np.isin(rows, new)
        if self._ledger.has_restored:
            were_kept[[index for index, _ in self._ledger.find(sight.words(rows))]] = True
        self.change_rules(sight, rows, rules, self.starts_of(sight.rules[rows]))
        kept = rows[were_kept]
        self.close_kept(sight, kept, self.book.specs, sight.rules[kept])
        return self._base.values[rows], were_kept

    def close_kept(
        self, sight: Sight, rows: NDArray[np.intp], specs: Sequence[TotalSpec], rules: NDArray[np.signedinteger]
    ) -> None:
        """Let nothing be kept any more of some rows for a rule of `specs`, by its index in `rules`, and of an earlier run."""
        if self._keeps and len(rows):
            names = [specs[rule].name if rule >= 0 else "" for rule in rules.tolist()]
            self._ledger.close(sight.keys(rows), names)

    def must_note(self, rows: NDArray[np.intp]) -> None:
        """Let some rows be kept the next time, also if they have moved nothing."""
        self._urgent.append(rows)

    # Time passes.

    def look(self, now_ns: int, sight: Sight, subjects: Subjects) -> list[Alert]:
        """Return the alerts of those that have passed a level."""
        holding = np.append(self.book.schedules.holding(now_ns), [True])
        levels = np.where(holding[:, np.newaxis], self._levels, NEVER_NS)
        n_levels = levels.shape[1]
        flat = levels.ravel()
        hits = []
        for rows in sight.chunks():
            total = self._count(rows, sight)
            at = sight.rules[rows].astype(np.intp) * n_levels + self._told.values[rows]
            if (is_hit := total >= flat[at]).any():  # where no rule governs, `at` is negative: the last row of levels
                hits.append(np.flatnonzero(is_hit) + rows.start)
        if not hits:
            return []
        found = np.concatenate(hits)
        total = sight.counters(found) - self._base.values[found]
        rules = sight.rules[found]
        self._told.values[found] = (total[:, np.newaxis] >= levels[rules]).sum(axis=1)
        return self._fire(now_ns, found, rules, total, subjects)

    def _count(self, rows: slice, sight: Sight) -> NDArray[np.int64]:
        """Return what some rows have moved in their period. A host that was evicted and has come back begins at 0."""
        counters, base = sight.counters(rows), self._base.values[rows]
        total: NDArray[np.int64] = counters - base
        if total.size and total.min() < 0:
            has_returned = total < 0
            base[has_returned] = counters[has_returned]
            total[has_returned] = 0
        return total

    def _fire(
        self,
        now_ns: int,
        rows: NDArray[np.intp],
        rules: NDArray[np.signedinteger],
        totals: NDArray[np.int64],
        subjects: Subjects,
    ) -> list[Alert]:
        incidents = self.book.incidents
        is_new = incidents.find(rows) == GONE
        found = self.book.find(rows[is_new], rules[is_new], subjects)
        found["state"], found["since_ns"], found["changed_ns"] = FIRING, now_ns, NEVER_NS
        incidents.put(found)
        at = incidents.find(rows)
        incidents.entries["peak"][at], incidents.entries["is_dirty"][at] = totals, True
        nothing = incidents.entries[:0]
        return self.book.tell(Turns(incidents.entries[at], totals, nothing, totals[:0]), now_ns, subjects)

    def roll(self, now_ns: int, sight: Sight, subjects: Subjects) -> list[Alert]:
        """End the periods that are over by `now_ns`, and begin those in which it lies; return the alerts that clear."""
        is_over = np.array([end <= now_ns for _, end in self._periods], np.bool_)
        return self._begin_periods(now_ns, is_over, sight, subjects) if is_over.any() else self._clear_old(now_ns, subjects)

    def step_back(self, now_ns: int, sight: Sight, subjects: Subjects) -> list[Alert]:
        """Begin the periods anew that the clock has left, being set back."""
        is_left = np.array([start > now_ns for start, _ in self._periods], np.bool_)
        return self._begin_periods(now_ns, is_left, sight, subjects) if is_left.any() else []

    def _begin_periods(self, now_ns: int, are_over: NDArray[np.bool_], sight: Sight, subjects: Subjects) -> list[Alert]:
        incidents = self.book.incidents
        alerts: list[Alert] = []
        for index in np.flatnonzero(are_over).tolist():
            ends = incidents.take(self._calendar_of[incidents.entries["rule"]] == index)
            rows = ends["row"].astype(np.intp)
            totals = sight.counters(rows) - self._base.values[rows]
            ended_ns = min(-(-self._periods[index][1] // NS_PER_S) * NS_PER_S, now_ns)  # a silence may have hidden its tick
            alerts += self.book.tell(Turns(ends[:0], totals[:0], ends, totals), ended_ns, subjects)
            self._periods[index] = self._calendars[index].period_at(now_ns)
        for chunk in sight.chunks():
            begins = are_over[self._calendar_of[sight.rules[chunk]]]
            np.copyto(self._base.values[chunk], sight.counters(chunk), where=begins)
            self._told.values[chunk][begins] = 0
        self._ledger.forget(self._is_running)
        return alerts + self._clear_old(now_ns, subjects)

    def _clear_old(self, now_ns: int, subjects: Subjects) -> list[Alert]:
        """Clear incidents of an earlier run whose periods are over."""
        incidents = self.book.incidents
        incidents.stop_waiting(incidents.waiting["since_ns"] < self.starts_of(incidents.waiting["rule"]))
        old = incidents.take(incidents.entries["since_ns"] < self.starts_of(incidents.entries["rule"]))
        old = np.concatenate([incidents.take_gone(), old])
        return self.book.clear(old, now_ns, subjects, "the period is over")

    # What survives.

    def restore(self, memory: Memory) -> None:
        """Go on with what an earlier run kept."""
        self.book.restore(memory)
        self._ledger.restore(memory)

    def adopt(self, old: Quotas, indices: NDArray[np.int64]) -> None:
        """Take over the totals of `old`, and the incidents of rules that stay. indices: of each old rule, its index here."""
        self.book.adopt(old.book, indices)
        self._ledger.adopt(old._ledger)
        self._old_periods = dict(zip(old._calendars, old._periods, strict=False)) or old._old_periods
        if not self.book.is_network:
            self._base, self._told, self._is_attached = old._base, old._told, old._is_attached
            old._is_attached = False
            return
        has_begun = bool(old._periods)
        self._known = (old.starts_of(np.arange(len(indices))), old._base.values) if has_begun else old._known
        theirs = np.flatnonzero((indices >= 0) & (old._adopted | has_begun))
        self._adopted[indices[theirs]] = True
        for column, old_column in ((self._base, old._base), (self._told, old._told)):
            column.follow(None, len(self.book.specs))
            column.values[indices[theirs]] = old_column.values[theirs]

    def close(self, now_ns: int, subjects: Subjects) -> list[Alert]:
        """Clear what is open, and give the columns back."""
        if not self.book.is_network:
            subjects.drop(self.book.incidents)
            if self._is_attached:
                subjects.drop(self._base)
                subjects.drop(self._told)
        return self.book.close(now_ns, subjects)

    def note(self, now_ns: int, sight: Sight) -> None:
        """Note what must survive, if anybody keeps it."""
        urgent, self._urgent = self._urgent, []
        if not self._keeps:
            return
        self._ledger.note(self._entries(self._ledger.select(sight.rules, sight.last_seen(), now_ns), sight))
        if urgent:
            rows = np.unique(np.concatenate(urgent))
            self._ledger.note_urgent(self._entries(rows[sight.rules[rows] >= 0], sight), self.period_of)

    def _entries(self, rows: NDArray[np.intp], sight: Sight) -> Entries:
        totals = sight.counters(rows) - self._base.values[rows]
        return Entries(sight.keys(rows), sight.rules[rows], totals, self._told.values[rows])

    def take_changes(self, changes: Changes) -> None:
        """Add what must survive and has changed."""
        self.book.take_changes(changes)
        self._ledger.take(changes, self.period_of)

    # Words.

    def describe(self, spec: TotalSpec) -> tuple[Calendar, int]:
        """Return a rule's calendar, and when its running period began."""
        calendar = Calendar(spec.per, spec.reset_day, spec.zone)
        return calendar, self._periods[self._calendars.index(calendar)][0]


class _TotalWording:
    def __init__(self, quotas: Quotas) -> None:
        self._quotas = quotas

    def facts(self, spec: TotalSpec, row: int) -> dict[str, Any]:  # noqa: ARG002 - it is the rule's
        return {"limit": spec.limit_bytes, "unit": "bytes"}

    def fired(self, spec: TotalSpec, subject: Subject, value: float, row: int) -> str:  # noqa: ARG002 - all is in the value
        calendar, start_ns = self._quotas.describe(spec)
        kinds = " of ".join(filter(None, ("", ", ".join(spec.apps) or ("its ports" if spec.ports else ""))))
        moved = f"{VERBS[spec.direction]} {format_value(value, 'bytes')} of {format_value(spec.limit_bytes, 'bytes')}{kinds}"
        since = "" if spec.per == "run" else f"since {calendar.since(start_ns)}, "
        return f"{format_subject(subject)} {moved} {_THIS[spec.per]} ({since}{_percent(spec, value)} %)"

    def cleared(self, spec: TotalSpec, value: float, *, is_holding: bool) -> str:  # noqa: ARG002 - its period is over
        moved = f"{VERBS[spec.direction]} {format_value(value, 'bytes')} of {format_value(spec.limit_bytes, 'bytes')}"
        return f"{moved}, and the {spec.per} is over"

    def details(self, spec: TotalSpec, value: float, row: int) -> dict[str, object]:  # noqa: ARG002 - all is in the value
        _, start_ns = self._quotas.describe(spec)
        percent = _percent(spec, value)
        level = max((each for each in spec.warn_at if each <= percent), default=percent)
        since = {} if spec.per == "run" else {"period_start": format_time(start_ns)}
        return {"percent": percent, "warn_at": level, **since}


def _percent(spec: TotalSpec, value: float) -> int:
    return int(value) * 100 // spec.limit_bytes if spec.limit_bytes else 100


def _make_levels(specs: Sequence[TotalSpec]) -> NDArray[np.int64]:
    """Return the bytes at which each level is told: a row for each rule, then one for none; a column for each level, then one."""
    n_levels = max((len(spec.warn_at) for spec in specs), default=0)
    levels = np.full((len(specs) + 1, n_levels + 1), NEVER_NS, np.int64)
    for row, spec in zip(levels, specs, strict=False):
        sizes = [max(-(-spec.limit_bytes * percent // 100), 1) for percent in spec.warn_at]
        row[: len(sizes)] = [min(size, NEVER_NS) for size in sizes]  # which no counter ever reaches
    return levels
