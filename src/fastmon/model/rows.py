"""Arrays of hosts: their layout, their order, and which of their rows belong together.

What it does not do: know what else a snapshot holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from fastmon.errors import ConfigError
from fastmon.model.addresses import keys_to_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["ADDRESS_DTYPE", "HOST_DTYPE", "MAX_ADDRESSES", "UNGROUPED", "Grouping", "Runs"]

HOST_DTYPE = np.dtype(
    [
        ("key", "u1", (16,)),
        ("bytes_in", "u8"),
        ("bytes_out", "u8"),
        ("packets_in", "u8"),
        ("packets_out", "u8"),
        ("first_seen_ns", "i8"),
        ("last_seen_ns", "i8"),
    ]
)
"""One host: 64 bytes, the layout of a row of the native table."""

ADDRESS_DTYPE = np.dtype([("host", "u4"), ("key", "u1", (16,))])
"""One address of a device, `host` being the device's row number: 20 bytes."""

MAX_ADDRESSES = 32
"""Addresses of one device that are kept: whoever sends from a thousand is not remembered a thousand times."""

_Scalar = TypeVar("_Scalar", bound=np.generic)

_V4_WORD, _V4_HALF = 0, 0xFFFF
_LINK_LOCAL_V4, _LINK_LOCAL_V6 = 0xFFFF_A9FE, 0x3FA


@dataclass(frozen=True, slots=True)
class Grouping:
    """What a row of a snapshot stands for, where that may be more than one host.

    by_mac: hosts of one Ethernet address are one row, a device; hosts without stay alone.
    v6_prefix: other IPv6 hosts that share so many bits are one row; 128: each is alone. IPv4 hosts stay as they are.

    Raises ConfigError for a prefix length that is none.
    """

    by_mac: bool = False
    v6_prefix: int = 128

    def __post_init__(self) -> None:
        if not 0 < self.v6_prefix <= 128:
            raise ConfigError(f"an IPv6 prefix length is {self.v6_prefix}, and must be 1 to 128")

    def identity(self, keys: NDArray[np.uint8], macs: NDArray[np.uint64]) -> list[NDArray[np.uint64]]:
        """Return the columns that are equal in rows of the same host, device or prefix."""
        words = key_words(keys)
        if not self.by_mac:
            return [words[:, 0], words[:, 1]]
        words[macs != 0] = 0
        return [macs, words[:, 0], words[:, 1]]

    def texts(self, keys: NDArray[np.uint8], macs: NDArray[np.uint64] | None) -> list[str]:
        """Return what rows are called: an address, or a prefix in CIDR."""
        texts = keys_to_text(keys)
        if self.v6_prefix < 128:
            prefixes = ~are_v4(key_words(keys)) & (True if macs is None else macs == 0)
            for row in np.flatnonzero(prefixes).tolist():
                texts[row] += f"/{self.v6_prefix}"
        return texts


UNGROUPED = Grouping()
"""A row is a host."""


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """Rows that belong together, side by side.

    order: the rows' numbers, those of one run behind one another.  starts: where in `order` each run begins.
    """

    order: NDArray[np.intp]
    starts: NDArray[np.intp]

    @classmethod
    def of(cls, identity: Sequence[NDArray[np.generic]], preference: Sequence[NDArray[np.generic]] = ()) -> Runs:
        """Return the runs of rows equal in all columns of `identity`, in their order; within, in that of `preference`."""
        order = np.lexsort((*reversed(preference), *reversed(identity)))
        is_first = np.ones(len(order), np.bool_)
        sorted_columns = (column[order] for column in identity)
        is_first[1:] = reduce(or_, (column[1:] != column[:-1] for column in sorted_columns))
        return cls(order, np.flatnonzero(is_first))

    @property
    def firsts(self) -> NDArray[np.intp]:
        """The number of each run's first row."""
        return self.order[self.starts]

    def numbers(self) -> NDArray[np.intp]:
        """Return each row's run's number."""
        numbers = np.empty(len(self.order), np.intp)
        numbers[self.order] = np.repeat(np.arange(len(self.starts)), np.diff(self.starts, append=len(self.order)))
        return numbers

    def places(self) -> NDArray[np.intp]:
        """Return each row's place in `order`."""
        places = np.empty(len(self.order), np.intp)
        places[self.order] = np.arange(len(self.order))
        return places

    def reduced(self, values: NDArray[_Scalar], operation: np.ufunc) -> NDArray[_Scalar]:
        """Return one value for each run of rows."""
        reduced: NDArray[_Scalar] = operation.reduceat(values[self.order], self.starts) if len(self.starts) else values
        return reduced

    def hosts(self, hosts: NDArray[np.void]) -> NDArray[np.void]:
        """Return one row of hosts for each run, its key that of the first."""
        reduced: NDArray[np.void] = hosts[self.firsts]
        for name in ("bytes_in", "bytes_out", "packets_in", "packets_out"):
            reduced[name] = self.reduced(hosts[name], np.add)
        reduced["first_seen_ns"] = self.reduced(hosts["first_seen_ns"], np.minimum)
        reduced["last_seen_ns"] = self.reduced(hosts["last_seen_ns"], np.maximum)
        return reduced


def key_words(keys: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return (n, 16) keys as (n, 2) uint64, whose lexicographic order is the keys'."""
    return np.ascontiguousarray(keys).view(">u8").astype(np.uint64)


def are_v4(words: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which of the keys, as `key_words` has them, are IPv4."""
    are: NDArray[np.bool_] = (words[:, 0] == _V4_WORD) & (words[:, 1] >> 32 == _V4_HALF)
    return are


def telling_first(keys: NDArray[np.uint8], total_bytes: NDArray[np.uint64]) -> list[NDArray[np.generic]]:
    """Return columns that order a device's addresses: IPv4 first, link-local last, then by bytes, most first, then by key."""
    words = key_words(keys)
    link_local = (words[:, 1] >> 16 == _LINK_LOCAL_V4) & (words[:, 0] == 0) | (words[:, 0] >> 54 == _LINK_LOCAL_V6)
    return [np.where(link_local, 2, ~are_v4(words)), ~total_bytes, words[:, 0], words[:, 1]]


def ranks(hosts: NDArray[np.void]) -> list[NDArray[np.uint64]]:
    """Return the columns by which hosts are ranked, smallest first: bytes descending, then the key."""
    words = key_words(hosts["key"])
    return [~(hosts["bytes_in"] + hosts["bytes_out"]), words[:, 0], words[:, 1]]


def smallest_rows(columns: Sequence[NDArray[np.uint64]], n: int) -> NDArray[np.intp]:
    """Return the numbers of the `n` lexicographically smallest rows of `columns`, in order, without sorting the rest."""
    rows = np.arange(len(columns[0]))
    if n < len(rows):
        chosen = []
        for column in columns:  # each one settles all rows but those that tie with the last one that fits
            values = column[rows]
            last = np.partition(values, n - 1)[n - 1]
            chosen.append(rows[values < last])
            n -= len(chosen[-1])
            rows = rows[values == last]
        rows = np.concatenate([*chosen, rows[:n]])
    return rows[np.lexsort([column[rows] for column in reversed(columns)])]


def entries_of_rows(entries: NDArray[np.void], rows: NDArray[np.intp]) -> NDArray[np.void]:
    """Return the entries (applications, addresses), ordered by `host`, of some hosts; their `host` is the place in `rows`."""
    starts, ends = (np.searchsorted(entries["host"], rows, side) for side in ("left", "right"))
    lengths = ends - starts
    n_before = np.cumsum(lengths) - lengths
    taken: NDArray[np.void] = entries[np.repeat(starts - n_before, lengths) + np.arange(lengths.sum())]
    taken["host"] = np.repeat(np.arange(len(rows)), lengths)
    return taken


def no_addresses() -> NDArray[np.void]:
    """Return the addresses of a snapshot that is not grouped by device."""
    return np.empty(0, ADDRESS_DTYPE)


def merged_addresses(parts: Sequence[NDArray[np.void]], runs: Runs, lengths: Sequence[int]) -> NDArray[np.void]:
    """Return the addresses of runs of hosts, each once, `MAX_ADDRESSES` of a run, the first row's first.

    parts: addresses of the hosts of each part.  lengths: how many hosts each part has.  runs: of the hosts of all parts.
    """
    addresses = np.concatenate(parts)
    if not len(addresses):
        return addresses
    offsets = np.repeat(np.cumsum([0, *lengths[:-1]]), list(map(len, parts)))
    rows = addresses["host"] + offsets
    order = np.argsort(runs.places()[rows], kind="stable")
    addresses, hosts = addresses[order], runs.numbers()[rows[order]]
    words = key_words(addresses["key"])
    firsts = np.sort(Runs.of([hosts, words[:, 0], words[:, 1]]).firsts)
    hosts = hosts[firsts]
    kept = np.arange(len(hosts)) - np.searchsorted(hosts, hosts) < MAX_ADDRESSES
    merged: NDArray[np.void] = addresses[firsts[kept]]
    merged["host"] = hosts[kept]
    return merged
