"""Values of some hosts only, that follow their rows: less memory than a column where few hosts are watched.

What it does not do: know what the values mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastmon.policy.key_index import GONE

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["WatchedRows"]


class WatchedRows:
    """A value, of a structured dtype, for each of some rows of the roster. rows: (n,), ascending.  values: (n,)."""

    def __init__(self, dtype: np.dtype[np.void]) -> None:
        self.rows = np.empty(0, np.intp)
        self.values: NDArray[np.void] = np.empty(0, dtype)

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.rows)

    def follow(self, moved: NDArray[np.intp] | None, n_rows: int) -> None:  # noqa: ARG002 - new rows are not watched yet
        """See `hosts.Follower`."""
        if moved is None or not len(self.rows):
            return
        are_old = np.flatnonzero(moved != GONE)
        new_rows = np.full(max(int(self.rows[-1]), int(moved.max())) + 1, GONE)
        new_rows[moved[are_old]] = are_old
        rows = new_rows[self.rows]
        self._set(rows[rows != GONE], self.values[rows != GONE])

    def find(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return the index of each row; `GONE` for those that are not watched."""
        if not len(self.rows):
            return np.full(len(rows), GONE)
        at = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        return np.where(self.rows[at] == rows, at, GONE)

    def add(self, rows: NDArray[np.intp], values: NDArray[np.void]) -> None:
        """Watch rows that are not watched yet."""
        if len(rows):
            self._set(np.concatenate((self.rows, rows)), np.concatenate((self.values, values)))

    def keep(self, are_kept: NDArray[np.bool_]) -> None:
        """Watch only these, in the order of `rows`."""
        self.rows, self.values = self.rows[are_kept], self.values[are_kept]

    def n_bytes(self) -> int:
        """Return how much memory it takes."""
        return self.rows.nbytes + self.values.nbytes

    def _set(self, rows: NDArray[np.intp], values: NDArray[np.void]) -> None:
        order = np.argsort(rows)
        self.rows, self.values = rows[order], values[order]
