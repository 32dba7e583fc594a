"""What each local host has moved on each day (UTC), as it is kept for people who ask later.

It raises no alerts, and is evaluated beside the rules if anything is kept.

What it does not do: compare totals with anything.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from fastmon.errors import ConfigError
from fastmon.model.addresses import key_from_text, key_to_text
from fastmon.model.memory import DayTotal
from fastmon.policy.key_index import GONE
from fastmon.policy.periods import Calendar

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from numpy.typing import NDArray
    from typing_extensions import Self

    from fastmon.model.alerts import Alert
    from fastmon.model.memory import Changes, Memory
    from fastmon.policy.hosts import Roster
    from fastmon.policy.rules import View

__all__ = ["DayBook"]

_COLUMNS = ("bytes_in", "bytes_out", "packets_in", "packets_out")

_MAX_HOSTS = 1 << 16
"""Local hosts whose days are kept; those that come when there are so many are left out."""

_MAX_KEPT = 1 << 14
"""Rows that are kept at once; the others are kept the next time."""

_DAY = Calendar("day")


class DayBook:
    """A family without rules.

    All arrays have one row for each local host, in the order in which they came. told: what was kept of the day.
    """

    def __init__(self) -> None:
        self.key: Hashable = "days"
        self._rows = np.empty(0, np.intp)
        self._keys = np.empty((0, 16), np.uint8)
        self._base = np.empty((0, len(_COLUMNS)), np.int64)
        self._moved = np.empty((0, len(_COLUMNS)), np.int64)
        self._told = np.empty((0, len(_COLUMNS)), np.int64)
        self._start_ns = 0
        self._end_ns = 0
        self._is_attached = False
        self._past: list[DayTotal] = []
        self._restored: dict[bytes, DayTotal] = {}

    def evaluate(self, view: View, now_ns: int, hosts: Roster) -> Iterable[Alert]:
        """See `Family`."""
        totals = view.totals
        if totals is None:
            return ()
        if not self._is_attached:
            self._is_attached = True
            hosts.add_follower(self)
            self._start_ns, self._end_ns = _DAY.period_at(now_ns - 1)
            self._add(np.flatnonzero(hosts.local), totals.hosts)
        else:
            appeared = hosts.join(hosts.new, hosts.changed)
            self._add(np.setdiff1d(appeared[hosts.local[appeared]], self._rows), totals.hosts)
        counters = _counters(totals.hosts, self._rows)
        self._moved = np.maximum(counters - self._base, 0)
        if not self._start_ns <= now_ns < self._end_ns:
            self._past += self._changed(len(self._rows))
            self._start_ns, self._end_ns = _DAY.period_at(now_ns)
            self._base, self._moved, self._told = counters, counters * 0, counters * 0
            self._restored.clear()
        return ()

    def follow(self, moved: NDArray[np.intp] | None, n_rows: int) -> None:  # noqa: ARG002 - rows that are added change nothing
        """See `hosts.Follower`."""
        if moved is None or not len(self._rows):
            return
        is_kept = moved != GONE
        new_rows = np.full(int(max(self._rows.max(), moved.max(initial=-1))) + 1, GONE)
        new_rows[moved[is_kept]] = np.flatnonzero(is_kept)
        rows = new_rows[self._rows]
        are_left = rows != GONE
        self._rows, self._keys = rows[are_left], self._keys[are_left]
        self._base, self._moved, self._told = self._base[are_left], self._moved[are_left], self._told[are_left]

    def _add(self, rows: NDArray[np.intp], hosts: NDArray[np.void]) -> None:
        """Begin with hosts that were not there, or not local. What they moved before their first tick counts, if it was today."""
        rows = rows[: max(_MAX_HOSTS - len(self._rows), 0)]
        if not len(rows):
            return
        keys = hosts["key"][rows]
        is_whole = (hosts["first_seen_ns"][rows] >= self._start_ns)[:, np.newaxis]
        base = np.where(is_whole, 0, _counters(hosts, rows))
        told = np.zeros_like(base)
        for index, key in enumerate(keys) if self._restored else ():
            row = self._restored.pop(key.tobytes(), None)
            if row is not None and row.day_start_ns == self._start_ns:
                told[index] = row.bytes_in, row.bytes_out, row.packets_in, row.packets_out
        self._rows = np.append(self._rows, rows)
        self._keys = np.concatenate([self._keys, keys])
        self._base = np.concatenate([self._base, base - told])
        self._told = np.concatenate([self._told, told])

    def restore(self, memory: Memory) -> None:
        """See `Family`."""
        for row in sorted(memory.days, key=lambda row: row.day_start_ns):
            with suppress(ConfigError):
                self._restored[key_from_text(row.subject)] = row

    def adopt(self, old: Self) -> None:
        """See `Family`. The rule set keeps the day book itself: nothing is to be taken over."""

    def close(self, now_ns: int, hosts: Roster) -> Iterable[Alert]:  # noqa: ARG002 - nothing is open
        """See `Family`."""
        hosts.drop(self)
        return ()

    def take_changes(self, changes: Changes) -> None:
        """See `Family`."""
        changes.days += self._past
        self._past = []
        changes.days += self._changed(_MAX_KEPT)

    def n_bytes(self) -> int:
        """See `Family`."""
        return sum(each.nbytes for each in (self._rows, self._keys, self._base, self._moved, self._told))

    def _changed(self, n_most: int) -> list[DayTotal]:
        """Return what has changed since it was kept, of so many hosts at most."""
        if len(self._moved) != len(self._told):
            return []
        changed = np.flatnonzero((self._moved != self._told).any(axis=1))[:n_most]
        self._told[changed] = self._moved[changed]
        subjects = [key_to_text(key.tobytes()) for key in self._keys[changed]]
        moved = self._moved[changed].tolist()
        return [DayTotal(subject, self._start_ns, *each) for subject, each in zip(subjects, moved, strict=True)]


def _counters(hosts: NDArray[np.void], rows: NDArray[np.intp]) -> NDArray[np.int64]:
    """Return the counters of some rows, a column for each of `_COLUMNS`."""
    return np.stack([hosts[name][rows] for name in _COLUMNS], axis=1).view(np.int64)
