"""Where keys of hosts stand in an array: a hash table made of arrays, so that a million keys are found in a few sweeps.

What it does not do: keep the keys.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

__all__ = ["GONE", "KeyIndex", "are_equal", "match_words"]

GONE = -1
"""The row of a host that is not there, or not any more."""

_AT_ONCE = 1 << 15
"""Keys that are looked at together, so that all that is computed of them stays in the processor's cache."""

_FACTORS = np.frombuffer(os.urandom(24), np.uint64) | np.uint64(1)
"""Secret: else somebody could choose addresses that all have the same place."""


class KeyIndex:
    """Finds the rows of keys: 5 to 12 bytes for each.

    All keys are words, (n, 2) uint64. The array of the keys that are here is given with each call, and only grows.
    """

    def __init__(self) -> None:
        self._n_keys = 0
        self._set_bits(4)

    def add(self, words: NDArray[np.uint64]) -> None:
        """Add the keys that are not here yet, which are the last ones. Of equal ones one is found."""
        if 4 * len(words) > 3 * len(self._table):
            self._set_bits((3 * len(words) // 2).bit_length())
            self._n_keys = 0
        for start, first in self._places(words[self._n_keys :]):
            places = first
            rows = np.arange(start, start + len(places), dtype=np.int32) + np.int32(self._n_keys)
            while len(rows):
                taken = self._table[places]
                is_free = taken == GONE
                self._table[places[is_free]] = rows[is_free]
                left = np.flatnonzero(self._table[places] != rows)
                rows, places = rows[left], places[left] + 1 & self._mask
        self._n_keys = len(words)

    def find(self, wanted: NDArray[np.uint64], words: NDArray[np.uint64]) -> NDArray[np.intp]:
        """Return the row of each of the `wanted` keys; `GONE` for those that are not here."""
        found = np.full(len(wanted), GONE)
        for start, first in self._places(wanted) if self._n_keys else ():
            places = first
            asked = np.arange(start, start + len(places))
            while len(asked):
                rows = self._table[places]
                is_it = are_equal(words[rows], wanted[asked]) & (rows != GONE)
                found[asked[is_it]] = rows[is_it]
                left = np.flatnonzero(~is_it & (rows != GONE))
                asked, places = asked[left], places[left] + 1 & self._mask
        return found

    def n_bytes(self) -> int:
        """Return how much memory it takes."""
        return self._table.nbytes

    def _set_bits(self, n_bits: int) -> None:
        self._table = np.full(1 << n_bits, GONE, np.int32)
        self._mask = (1 << n_bits) - 1
        self._shift = np.uint64(64 - n_bits)

    def _places(self, words: NDArray[np.uint64]) -> Iterator[tuple[int, NDArray[np.intp]]]:
        """Iterate over keys, some at a time: the number of the first, and where each should stand in the table."""
        for start in range(0, len(words), _AT_ONCE):
            some = words[start : start + _AT_ONCE]
            mixed = some[:, 0] * _FACTORS[0] + some[:, 1] * _FACTORS[1]
            mixed ^= mixed >> np.uint64(32)
            mixed *= _FACTORS[2]
            mixed >>= self._shift
            yield start, mixed.view(np.intp)


def are_equal(words: NDArray[np.uint64], others: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which keys are the same in both."""
    are: NDArray[np.bool_] = (words[:, 0] == others[:, 0]) & (words[:, 1] == others[:, 1])
    return are


def match_words(wanted: NDArray[np.uint64], words: NDArray[np.uint64]) -> NDArray[np.intp]:
    """Return where each of the `wanted` keys stands in `words`; `GONE` where it does not."""
    index = KeyIndex()
    index.add(words)
    return index.find(wanted, words)
