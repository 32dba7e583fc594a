"""Habits: what is usual for each of some subjects, in each hour of the week.

A habit is an exponentially weighted mean of samples, and one of their distances from it, which is less moved by outliers than a
standard deviation. A sample that is far off counts as if it were at most `_MAX_PULL` deviations off, so that an attack does not
become usual.

What it does not do: say what is worth an alert.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastmon.policy.key_index import GONE
from fastmon.policy.periods import WEEK_HOURS

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["HABIT_DTYPE", "MAX_SUBJECTS", "Habits", "deviation", "learn"]

MAX_SUBJECTS = 1 << 14
"""Hosts of which habits are kept, for each kind of measure: 2.2 kB each. Those that come when there are so many have none."""

HABIT_DTYPE = np.dtype([("n_samples", "f4"), ("mean", "f4"), ("spread", "f4"), ("is_dirty", "?")])
"""One bucket: how many samples, their mean, their mean distance from it. is_dirty: it has changed since it was last kept."""

_MIN_WEIGHT = 1 / 48
"""The least weight of a new sample: those of four weeks of five-minute windows count."""

_MAX_PULL = 3.0

_PER_SPREAD = 1.2533
"""The standard deviation of a normal distribution, in mean distances from its mean."""

_MIN_SHARE = 0.1
"""A deviation is never taken for less than this share of the mean: who does the same every day may do a little more."""


def deviation(habits: NDArray[np.void]) -> NDArray[np.float64]:
    """Return what stands for a standard deviation in each of some buckets."""
    mean, spread = habits["mean"].astype(np.float64), habits["spread"].astype(np.float64)
    found: NDArray[np.float64] = np.maximum(np.maximum(spread * _PER_SPREAD, mean * _MIN_SHARE), 1.0)
    return found


def learn(habits: NDArray[np.void], samples: NDArray[np.float64], min_samples: NDArray[np.int64]) -> None:
    """Let each of some buckets learn a sample, in place. min_samples: from which on outliers are cut."""
    mean, n_samples = habits["mean"].astype(np.float64), habits["n_samples"].astype(np.float64)
    reach = np.where(n_samples >= min_samples, deviation(habits) * _MAX_PULL, np.inf)
    cut = np.clip(samples, mean - reach, mean + reach)
    weight = np.maximum(1 / (n_samples + 1), _MIN_WEIGHT)
    # The first sample has no mean to be away from; the second one's distance is from the first.
    spread_weight = np.maximum(1 / np.maximum(n_samples, 1), _MIN_WEIGHT) * (n_samples > 0)
    habits["spread"] += spread_weight * (np.abs(cut - mean) - habits["spread"])
    habits["mean"] += weight * (cut - mean)
    habits["n_samples"] = n_samples + 1
    habits["is_dirty"] = True


class Habits:
    """The habits of some rows.

    rows: ascending.  keys: (n, 16) uint8.  buckets: (n, 168) `HABIT_DTYPE`.  base: their counters when the last window ended.
    is_whole: whether they were seen for the whole of the running window.
    """

    def __init__(self) -> None:
        self.rows = np.empty(0, np.intp)
        self.keys = np.empty((0, 16), np.uint8)
        self.buckets = np.zeros((0, WEEK_HOURS), HABIT_DTYPE)
        self.base = np.empty(0, np.int64)
        self.is_whole = np.empty(0, np.bool_)

    def n_bytes(self) -> int:
        """Return how much memory they take."""
        return self.rows.nbytes + self.buckets.nbytes + self.base.nbytes + self.is_whole.nbytes

    def follow(self, moved: NDArray[np.intp] | None, n_rows: int) -> None:  # noqa: ARG002 - rows that are added change nothing
        """See `hosts.Follower`."""
        if moved is None or not len(self.rows):
            return
        is_kept = moved != GONE
        new_rows = np.full(int(max(self.rows.max(), moved.max(initial=-1))) + 1, GONE)
        new_rows[moved[is_kept]] = np.flatnonzero(is_kept)
        rows = new_rows[self.rows]
        self.keep(np.flatnonzero(rows != GONE), rows)

    def add(self, rows: NDArray[np.intp], keys: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Begin the habits of rows, which have none, while there is room; return the indices of those that were begun."""
        new = rows[: max(MAX_SUBJECTS - len(self.rows), 0)]
        if not len(new):
            return new
        self.keys = np.concatenate([self.keys, keys[: len(new)]])
        self.buckets = np.concatenate([self.buckets, np.zeros((len(new), WEEK_HOURS), HABIT_DTYPE)])
        self.base = np.append(self.base, np.zeros(len(new), np.int64))
        self.is_whole = np.append(self.is_whole, np.zeros(len(new), np.bool_))
        rows = np.append(self.rows, new)
        self.keep(np.arange(len(rows)), rows)
        return np.searchsorted(self.rows, new)

    def end_window(self, counters: NDArray[np.int64] | None) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Return the indices of those that were seen for the whole window, and what they moved in it; begin the next one.

        counters: of `rows`; None if nothing has moved.
        """
        moved = np.zeros(len(self.rows)) if counters is None else np.maximum(counters - self.base, 0).astype(np.float64)
        whole = np.flatnonzero(self.is_whole)
        if counters is not None:
            self.base = counters
        self.is_whole[:] = True
        return whole, moved[whole]

    def keep(self, indices: NDArray[np.intp], rows: NDArray[np.intp]) -> None:
        """Keep some of the habits, which are of these rows now."""
        order = indices[np.argsort(rows[indices], kind="stable")]
        self.rows, self.keys, self.buckets = rows[order], self.keys[order], self.buckets[order]
        self.base, self.is_whole = self.base[order], self.is_whole[order]
