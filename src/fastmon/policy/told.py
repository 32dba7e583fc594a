"""Things that are told once: a bounded set of fixed-size keys, each with the time when it was seen last.

What it does not do: say what a key means, or keep anything for a restart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ToldTable"]


class ToldTable:
    """Keys in their order, each once, with a time.

    When more than `max_keys` are kept, the quarter that was seen longest ago is evicted.
    """

    def __init__(self, key_bytes: int, max_keys: int) -> None:
        self._dtype = np.dtype(f"S{key_bytes}")
        self._max_keys = max_keys
        self.keys: NDArray[np.bytes_] = np.empty(0, self._dtype)
        self.seen_ns: NDArray[np.int64] = np.empty(0, np.int64)

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self.keys)

    def find(self, keys: NDArray[np.bytes_]) -> NDArray[np.intp]:
        """Return the index of each key; -1 for those that are not here."""
        if not len(self.keys):
            return np.full(len(keys), -1, np.intp)
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[at] == keys, at, -1)

    def contain(self, keys: NDArray[np.bytes_]) -> NDArray[np.bool_]:
        """Return which of the keys are here."""
        are_here: NDArray[np.bool_] = self.find(keys) >= 0
        return are_here

    def add(self, keys: NDArray[np.bytes_], ts_ns: NDArray[np.int64]) -> None:
        """Add keys that are not here, each given once, with their times."""
        joined, times = np.concatenate((self.keys, keys)), np.concatenate((self.seen_ns, ts_ns))
        if len(joined) > self._max_keys:
            is_kept = np.sort(np.argsort(times, kind="stable")[-(self._max_keys - self._max_keys // 4) :])
            joined, times = joined[is_kept], times[is_kept]
        order = np.argsort(joined, kind="stable")
        self.keys, self.seen_ns = joined[order], times[order]

    def n_bytes(self) -> int:
        """Return how much memory it takes."""
        return self.keys.nbytes + self.seen_ns.nbytes
