"""The subjects of rules, row by row, and columns of rules' state that follow their rows.

What it does not do: know what the subjects are, or what the columns mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from fastmon.policy.key_index import GONE

if TYPE_CHECKING:
    from numpy.typing import DTypeLike, NDArray

__all__ = ["CHUNK_ROWS", "NO_ROWS", "Column", "Follower", "Subject", "Subjects"]

CHUNK_ROWS = 1 << 14
"""Rows that are looked at together: a megabyte, so that several looks at them find them in the processor's cache."""

NO_ROWS = np.empty(0, np.intp)

_SLACK = 32
"""A column grows by one part in so many."""


class Subject(NamedTuple):
    """Whom an alert is about: a host, or the network, whose `host` is ""."""

    host: str = ""
    name: str = ""
    mac: str = ""
    local: bool | None = None


class Follower(Protocol):
    """What has something for each host, and must know when rows change."""

    def follow(self, moved: NDArray[np.intp] | None, n_rows: int) -> None:
        """Note that there are `n_rows` rows now.

        moved: for each row, which one it was, or `GONE` for a new host; None: the first rows are what they were.
        """
        ...


class Column:
    """One value, or a row of `width` values, for each host. `fill`: that of a new host."""

    def __init__(self, dtype: DTypeLike, fill: Any = 0, width: int = 0) -> None:
        self._fill = fill
        self._shape = (width,) if width else ()
        self._n_rows = 0
        self._array: NDArray[Any] = np.empty((0, *self._shape), dtype)

    @property
    def values(self) -> NDArray[Any]:
        """The values of all hosts, to be changed in place; not to be kept until the next tick."""
        return self._array[: self._n_rows]

    def n_bytes(self) -> int:
        """Return how much memory it takes."""
        return self._array.nbytes

    def follow(self, moved: NDArray[np.intp] | None, n_rows: int) -> None:
        """See `Follower`."""
        if moved is None and n_rows <= len(self._array):
            self._array[self._n_rows : n_rows] = self._fill
        else:
            array = np.zeros((n_rows + n_rows // _SLACK, *self._shape), self._array.dtype)
            if moved is None or not self._n_rows:
                array[: self._n_rows] = self.values
                if self._fill:
                    array[self._n_rows : n_rows] = self._fill
            else:
                array[:n_rows] = self.values[moved]
                array[:n_rows][moved == GONE] = self._fill
            self._array = array
        self._n_rows = n_rows


class Subjects:
    """Rows of subjects, what has changed of them since the last tick, and what follows them.

    moved: as `Follower.follow` has it.  new: the rows that were not there at the last tick.  changed: others of which something
    has changed that may change their rule.
    """

    def __init__(self) -> None:
        self.moved: NDArray[np.intp] | None = None
        self.new = self.changed = NO_ROWS
        self._followers: list[Follower] = []

    def __len__(self) -> int:
        """Return the number of rows."""
        raise NotImplementedError

    def keys_of(self, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Return the keys of some rows, (n, 16)."""
        raise NotImplementedError

    def subject(self, row: int) -> Subject:
        """Return whom an alert about a row is about."""
        raise NotImplementedError

    def describe(self, key: bytes) -> Subject:
        """Return whom an alert is about that may have no row any more."""
        raise NotImplementedError

    def add_column(self, dtype: DTypeLike, fill: Any = 0, width: int = 0) -> Column:
        """Return a new column, which has a row for each subject and follows them until `drop`."""
        column = Column(dtype, fill, width)
        self.add_follower(column)
        return column

    def add_follower(self, follower: Follower) -> None:
        """Let `follower` know when rows change."""
        follower.follow(None, len(self))
        self._followers.append(follower)

    def drop(self, follower: Follower) -> None:
        """Let go of a column or another follower, if it is there."""
        if follower in self._followers:
            self._followers.remove(follower)

    def n_bytes(self) -> int:
        """Return how much memory the columns take."""
        return sum(column.n_bytes() for column in self._followers if isinstance(column, Column))
