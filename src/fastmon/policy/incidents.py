"""Incidents: the open cases of rules, as arrays, and their life.

    over its limit ──> pending ──(for)──> firing <──> clearing ──(clear-for)──> cooling ──(cooldown)──> no more
                          └──> no more: it was below the limit before `for` was over

An incident is of one row: of a host, or of a rule on the network. There is at most one for a row.

What it does not do: measure anything, or write alerts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastmon.policy.key_index import GONE, match_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fastmon.policy.specs import RuleSpec
    from fastmon.policy.subjects import Subjects

__all__ = ["CLEARING", "COOLING", "FIRING", "INCIDENT_DTYPE", "NEVER_NS", "PENDING", "Incidents", "Lives", "Turns"]

_NONE, PENDING, FIRING, CLEARING, COOLING = range(5)

NEVER_NS = (1 << 63) - 1

INCIDENT_DTYPE = np.dtype(
    [
        ("key", "u1", (16,)),
        ("row", "i4"),
        ("rule", "i4"),
        ("since_ns", "i8"),
        ("changed_ns", "i8"),
        ("peak", "f8"),
        ("state", "u1"),
        ("is_dirty", "?"),
    ]
)
"""One incident: 50 bytes.

key: of its host; zeros for the network.  rule: its index.
since_ns: pending and cooling: since when it is over its limit, `NEVER_NS` if it is not; else when it began to fire.
changed_ns: clearing: since when; cooling: until when.
is_dirty: it has changed since it was last kept.
"""


class Lives:
    """How long the incidents of each rule take to change, in nanoseconds: arrays, one value for each rule."""

    def __init__(self, specs: Sequence[RuleSpec], for_ns: Sequence[int] | int = 0, clear_for_ns: Sequence[int] | int = 0) -> None:
        self.for_ns = np.broadcast_to(np.asarray(for_ns, np.int64), len(specs))
        self.clear_for_ns = np.broadcast_to(np.asarray(clear_for_ns, np.int64), len(specs))
        self.cooldown_ns = np.array([spec.cooldown_ns for spec in specs], np.int64)


class Turns(NamedTuple):
    """What became of incidents: those that now fire, and those that have cleared, as `INCIDENT_DTYPE`, and their values."""

    fired: NDArray[np.void]
    fired_values: NDArray[np.number]
    cleared: NDArray[np.void]
    cleared_values: NDArray[np.number]


class Incidents:
    """The incidents of a family, ordered by row.

    keeps: whether to note which have ended, for `take_closed`.

    gone: open ones of hosts that were evicted, until `take_gone`.
    waiting: those of an earlier run, whose hosts have not been seen yet.
    """

    def __init__(self, *, keeps: bool = False) -> None:
        self.entries = np.zeros(0, INCIDENT_DTYPE)
        self.gone = np.zeros(0, INCIDENT_DTYPE)
        self.waiting = np.zeros(0, INCIDENT_DTYPE)
        self._keeps = keeps
        self._closed: list[NDArray[np.void]] = []

    @property
    def rows(self) -> NDArray[np.int32]:
        """Their rows, ascending."""
        rows: NDArray[np.int32] = self.entries["row"]
        return rows

    def n_bytes(self) -> int:
        """Return how much memory they take."""
        return self.entries.nbytes + self.waiting.nbytes

    def attach(self, subjects: Subjects) -> None:
        """Follow the hosts' rows. Those taken over from other rules are of the tick before, and move with this one."""
        self.follow(subjects.moved, len(subjects))
        subjects.add_follower(self)

    def follow(self, moved: NDArray[np.intp] | None, n_rows: int) -> None:  # noqa: ARG002 - rows that are added change nothing
        """See `hosts.Follower`."""
        if moved is None or not len(self.entries):
            return
        old = self.entries
        is_kept = moved != GONE
        new_rows = np.full(max(int(old["row"].max()), int(moved.max(initial=-1))) + 1, GONE, np.int32)
        new_rows[moved[is_kept]] = np.flatnonzero(is_kept)
        old["row"] = new_rows[old["row"]]
        self.gone = np.concatenate([self.gone, self.take(old["row"] == GONE)])
        self.entries = self.entries[np.argsort(self.entries["row"], kind="stable")]

    def take_gone(self) -> NDArray[np.void]:
        """Return the incidents of hosts that were evicted since the last call."""
        gone, self.gone = self.gone, self.gone[:0]
        return gone

    def rejoin(self, subjects: Subjects, rules: NDArray[np.signedinteger]) -> None:
        """Let incidents that wait for their hosts go on, if these have come, and are governed by the same rule.

        rules: of all rows.
        """
        if not len(self.waiting):
            return
        rows = np.concatenate([subjects.new, subjects.changed])
        words = np.ascontiguousarray(self.waiting["key"]).view(np.uint64)
        at = match_words(words, np.ascontiguousarray(subjects.keys_of(rows)).view(np.uint64))
        found = np.append(rows, GONE)[at]
        has_come = (found != GONE) & (np.append(rules, GONE)[found] == self.waiting["rule"])
        come = self.waiting[has_come]
        come["row"] = found[has_come]
        self.waiting = self.waiting[~has_come]
        self.put(come)

    def stop_waiting(self, are_due: NDArray[np.bool_] | None = None) -> None:
        """Take the hosts that have not come for gone. are_due: in the order of `waiting`; None for all."""
        if len(self.waiting):
            due = np.ones(len(self.waiting), np.bool_) if are_due is None else are_due
            self.gone = np.concatenate([self.gone, self.waiting[due]])
            self._note_closed(self.waiting[due])
            self.waiting = self.waiting[~due]

    def take_closed(self) -> NDArray[np.void]:
        """Return the incidents that have ended since the last call, for good or to begin anew."""
        closed, self._closed = self._closed, []
        return np.concatenate([self.entries[:0], *closed])

    def put(self, entries: NDArray[np.void]) -> None:
        """Add incidents of rows that have none."""
        if len(entries):
            both = np.concatenate([self.entries, entries])
            self.entries = both[np.argsort(both["row"], kind="stable")]

    def take(self, are_taken: NDArray[np.bool_]) -> NDArray[np.void]:
        """End some of the incidents, and return them. are_taken: in the order of `entries`."""
        if not are_taken.any():
            return self.entries[:0]
        taken: NDArray[np.void] = self.entries[are_taken]
        self.entries = self.entries[~are_taken]
        self._note_closed(taken)
        return taken

    def leave(self, rules: NDArray[np.signedinteger]) -> NDArray[np.void]:
        """End and return the incidents that are not of the rule that now governs their row. rules: of all rows."""
        return self.take(rules[self.rows] != self.entries["rule"])

    def move_rules(self, old: Incidents, indices: NDArray[np.int64], *, rows_are_rules: bool = False) -> None:
        """Take over from `old` the incidents of rules that stay.

        indices: for each rule of `old`, its index here, or -1.  rows_are_rules: they are of the network.
        """
        for name in ("entries", "waiting"):
            theirs = getattr(old, name)
            rules = np.append(indices, GONE)[theirs["rule"]]
            mine = theirs[rules != GONE]
            mine["rule"] = rules[rules != GONE]
            if rows_are_rules:
                mine["row"] = mine["rule"]
                mine = mine[np.argsort(mine["row"], kind="stable")]
            setattr(self, name, mine)
            setattr(old, name, theirs[rules == GONE])

    def _note_closed_of(self, cases: NDArray[np.void], have_ended: NDArray[np.bool_]) -> None:
        if self._keeps and have_ended.any():
            self._closed.append(cases[have_ended])

    def _note_closed(self, entries: NDArray[np.void]) -> None:
        if self._keeps and len(entries):
            self._closed.append(entries[entries["state"] >= FIRING])

    def find(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the index in `entries` of each row's incident; `GONE` where it has none."""
        if not len(self.entries):
            return np.full(len(rows), GONE)
        at = np.minimum(np.searchsorted(self.rows, rows), len(self.entries) - 1)
        return np.where(self.rows[at] == rows, at, GONE)

    def restart(self, now_ns: int) -> None:
        """Begin all waiting anew: the clock was set back. What fires goes on firing."""
        entries = self.entries
        self.entries = entries = entries[entries["state"] != PENDING]
        entries["state"][entries["state"] == CLEARING] = FIRING
        is_cooling = entries["state"] == COOLING
        entries["since_ns"][is_cooling] = NEVER_NS
        self.entries = entries[~(is_cooling & (entries["changed_ns"] <= now_ns))]

    def next_due_ns(self, lives: Lives) -> int:
        """Return when something will happen to them if no value changes; `NEVER_NS` for never."""
        state, rule = self.entries["state"], self.entries["rule"]
        due = np.full(len(state), NEVER_NS, np.int64)
        np.add(self.entries["changed_ns"], lives.clear_for_ns[rule], out=due, where=state == CLEARING)
        np.copyto(due, self.entries["changed_ns"], where=state == COOLING)
        return int(due.min(initial=NEVER_NS))

    def step(
        self,
        now_ns: int,
        lives: Lives,
        found: NDArray[np.void],
        values: NDArray[np.float64],
        is_over: NDArray[np.bool_],
        is_low: NDArray[np.bool_],
    ) -> Turns:
        """Let `now_ns` come. The incidents of rows that are not looked at stay what they are.

        found: `INCIDENT_DTYPE` with key, row and rule, of those rows that are over their limit or have an incident, ascending.
        values: of these.  is_over: above its limit.  is_low: at or below the level at which it clears.
        """
        cases = found
        at = np.searchsorted(cases["row"], self.rows)
        is_found = np.append(cases["row"], GONE)[at] == self.rows
        cases[at[is_found]], others = self.entries[is_found], self.entries[~is_found]
        state, since, changed, rule = (cases[name] for name in ("state", "since_ns", "changed_ns", "rule"))
        was_told = state >= FIRING
        self._cool(now_ns, cases, is_over)
        begins = (state == _NONE) & is_over
        state[begins], since[begins] = PENDING, now_ns
        state[(state == PENDING) & ~is_over] = _NONE
        fires = (state == PENDING) & (now_ns - since >= lives.for_ns[rule])
        state[fires], since[fires], cases["peak"][fires], cases["is_dirty"][fires] = FIRING, now_ns, values[fires], True
        is_open = (state == FIRING) | (state == CLEARING)
        rises = is_open & (values > cases["peak"])
        cases["peak"][rises], cases["is_dirty"][rises] = values[rises], True
        state[(state == CLEARING) & ~is_low] = FIRING
        sinks = (state == FIRING) & is_low
        state[sinks], changed[sinks] = CLEARING, now_ns
        clears = (state == CLEARING) & (now_ns - changed >= lives.clear_for_ns[rule])
        turns = Turns(cases[fires], values[fires], cases[clears], values[clears])
        changed[clears] = now_ns + lives.cooldown_ns[rule][clears]
        state[clears] = np.where(lives.cooldown_ns[rule][clears] > 0, COOLING, _NONE)
        since[clears], cases["is_dirty"][clears] = NEVER_NS, True
        self._note_closed_of(cases, was_told & (state <= PENDING))
        self.entries = cases[state != _NONE]
        self.put(others)
        return turns

    def _cool(self, now_ns: int, cases: NDArray[np.void], is_over: NDArray[np.bool_]) -> None:
        """Note since when those that are cooling are over their limit; let those that have cooled down wait, or go."""
        state, since = cases["state"], cases["since_ns"]
        is_cooling = state == COOLING
        since[is_cooling & ~is_over] = NEVER_NS
        since[is_cooling & is_over & (since == NEVER_NS)] = now_ns
        has_cooled = is_cooling & (cases["changed_ns"] <= now_ns)
        state[has_cooled] = np.where(is_over[has_cooled], PENDING, _NONE)
