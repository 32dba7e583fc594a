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

__all__ = ["ADDRESS_DTYPE", "HOST_DTYPE", "MAX_ADDRESSES", "RUN_TOTAL_DTYPE", "SIGHT_DTYPE", "UNGROUPED", "Grouping", "RowGroups"]

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

ADDRESS_DTYPE = np.dtype([("host", "u4"), ("key", "u1", (16,)), ("total_bytes", "u8")])
"""One address of a device: 28 bytes. `host` is the device's row index; `total_bytes` are the address's bytes since the start, in
and out, in the run where it has most."""

SIGHT_DTYPE = np.dtype([("key", "u1", (16,)), ("mac", "u8"), ("own", "u1"), ("local", "u1"), ("_", "V6")])
"""The Ethernet address that a host's frames come from or go to: 32 bytes. own: the host itself sent from it."""

RUN_TOTAL_DTYPE = np.dtype([("host", "u4"), ("run", "u4"), ("bytes_in", "u8"), ("bytes_out", "u8")])
"""The bytes of one host in one run since the run's start: 24 bytes. `host` is the host's row index, `run` the run's index."""

MAX_ADDRESSES = 32
"""Addresses kept of one device. A device that sends from thousands of them must not take memory for each."""

_Scalar = TypeVar("_Scalar", bound=np.generic)

_V4_WORD, _V4_HALF = 0, 0xFFFF
_LINK_LOCAL_V4, _LINK_LOCAL_V6 = 0xFFFF_A9FE, 0x3FA


@dataclass(frozen=True, slots=True)
class Grouping:
    """What a row of a snapshot stands for, where that may be more than one host.

    by_mac: hosts of one Ethernet address are one row, a device. Hosts without an Ethernet address stay alone.
    v6_prefix: other IPv6 hosts that share this many leading bits are one row; 128: each is alone. IPv4 hosts stay alone.

    Raises ConfigError if `v6_prefix` is not between 1 and 128.
    """

    by_mac: bool = False
    v6_prefix: int = 128

    def __post_init__(self) -> None:
        if not 0 < self.v6_prefix <= 128:
            raise ConfigError(f"an IPv6 prefix length must be between 1 and 128, not {self.v6_prefix}")

    def identity(self, keys: NDArray[np.uint8], macs: NDArray[np.uint64]) -> list[NDArray[np.uint64]]:
        """Return the columns that are equal in rows of the same host, device or prefix."""
        words = key_words(keys)
        if not self.by_mac:
            return [words[:, 0], words[:, 1]]
        words[macs != 0] = 0
        return [macs, words[:, 0], words[:, 1]]

    def texts(self, keys: NDArray[np.uint8], macs: NDArray[np.uint64] | None) -> list[str]:
        """Return each row's text: an address, or a prefix in CIDR."""
        texts = keys_to_text(keys)
        if self.v6_prefix < 128:
            are_prefixes = ~are_v4(key_words(keys)) & (True if macs is None else macs == 0)
            for row in np.flatnonzero(are_prefixes).tolist():
                texts[row] += f"/{self.v6_prefix}"
        return texts


UNGROUPED = Grouping()
"""A row is a host."""


@dataclass(frozen=True, slots=True, eq=False)
class RowGroups:
    """Rows sorted so that those of one group are side by side.

    order: row indices, group after group.  starts: where in `order` each group begins.
    """

    order: NDArray[np.intp]
    starts: NDArray[np.intp]

    @classmethod
    def of(cls, identity: Sequence[NDArray[np.generic]], preference: Sequence[NDArray[np.generic]] = ()) -> RowGroups:
        """Group the rows that are equal in all columns of `identity`, and sort by these; within a group, by `preference`."""
        order = np.lexsort((*reversed(preference), *reversed(identity)))
        is_first = np.ones(len(order), np.bool_)
        sorted_columns = (column[order] for column in identity)
        is_first[1:] = reduce(or_, (column[1:] != column[:-1] for column in sorted_columns))
        return cls(order, np.flatnonzero(is_first))

    @property
    def first_rows(self) -> NDArray[np.intp]:
        """The index of each group's first row."""
        return self.order[self.starts]

    def indices(self) -> NDArray[np.intp]:
        """Return each row's group index."""
        indices = np.empty(len(self.order), np.intp)
        indices[self.order] = np.repeat(np.arange(len(self.starts)), np.diff(self.starts, append=len(self.order)))
        return indices

    def reduce(self, values: NDArray[_Scalar], operation: np.ufunc) -> NDArray[_Scalar]:
        """Return one value for each group."""
        reduced: NDArray[_Scalar] = operation.reduceat(values[self.order], self.starts) if len(self.starts) else values[:0]
        return reduced

    def reduce_hosts(self, hosts: NDArray[np.void]) -> NDArray[np.void]:
        """Return one row of hosts for each group, with the key of its first row."""
        reduced: NDArray[np.void] = hosts[self.first_rows]
        for name in ("bytes_in", "bytes_out", "packets_in", "packets_out"):
            reduced[name] = self.reduce(hosts[name], np.add)
        reduced["first_seen_ns"] = self.reduce(hosts["first_seen_ns"], np.minimum)
        reduced["last_seen_ns"] = self.reduce(hosts["last_seen_ns"], np.maximum)
        return reduced


def key_words(keys: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return (n, 16) keys as (n, 2) uint64, whose lexicographic order is the keys'."""
    return np.ascontiguousarray(keys).view(">u8").astype(np.uint64)


def are_v4(words: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Return which of the keys, in the form of `key_words`, are IPv4."""
    are: NDArray[np.bool_] = (words[:, 0] == _V4_WORD) & (words[:, 1] >> 32 == _V4_HALF)
    return are


def rank_columns(hosts: NDArray[np.void]) -> list[NDArray[np.uint64]]:
    """Return the columns by which hosts are ranked, smallest first: bytes descending, then the key."""
    words = key_words(hosts["key"])
    return [~(hosts["bytes_in"] + hosts["bytes_out"]), words[:, 0], words[:, 1]]


def find_smallest(columns: Sequence[NDArray[np.uint64]], n: int) -> NDArray[np.intp]:
    """Return the indices of the `n` lexicographically smallest rows of `columns`, in order, without sorting the others."""
    rows = np.arange(len(columns[0]))
    if n < len(rows):
        chosen = []
        for column in columns:  # each one decides all rows but those that tie with the last one chosen
            values = column[rows]
            last = np.partition(values, n - 1)[n - 1]
            chosen.append(rows[values < last])
            n -= len(chosen[-1])
            rows = rows[values == last]
        rows = np.concatenate([*chosen, rows[:n]])
    return rows[np.lexsort([column[rows] for column in reversed(columns)])]


def select_entries(entries: NDArray[np.void], rows: NDArray[np.intp]) -> NDArray[np.void]:
    """Return the entries (of applications, addresses, runs) of some rows, sorted by `host`, which becomes the index in `rows`."""
    starts, ends = (np.searchsorted(entries["host"], rows, side) for side in ("left", "right"))
    lengths = ends - starts
    n_before = np.cumsum(lengths) - lengths
    selected: NDArray[np.void] = entries[np.repeat(starts - n_before, lengths) + np.arange(lengths.sum())]
    selected["host"] = np.repeat(np.arange(len(rows)), lengths)
    return selected


def merge_addresses(parts: Sequence[NDArray[np.void]], new_rows: Sequence[NDArray[np.intp]]) -> NDArray[np.void]:
    """Merge addresses of devices: each address once, the most telling `MAX_ADDRESSES` of a device, in this order.

    IPv4 comes first and link-local last; then the address with the most bytes, then the least.
    new_rows: for each part, the new row index of each of its hosts.

    An address keeps the greatest of its totals. So if one part left it out for others, it is not among the first of the whole.
    """
    addresses = concatenate_entries(parts, new_rows)
    words = key_words(addresses["key"])
    same = RowGroups.of([addresses["host"], words[:, 0], words[:, 1]])
    merged: NDArray[np.void] = addresses[same.first_rows]
    merged["total_bytes"] = same.reduce(addresses["total_bytes"], np.maximum)
    words = words[same.first_rows]
    merged = merged[np.lexsort((words[:, 1], words[:, 0], ~merged["total_bytes"], _address_classes(words), merged["host"]))]
    is_kept = np.arange(len(merged)) - np.searchsorted(merged["host"], merged["host"]) < MAX_ADDRESSES
    return merged[is_kept]


def concatenate_entries(parts: Sequence[NDArray[np.void]], new_rows: Sequence[NDArray[np.intp]]) -> NDArray[np.void]:
    """Return the entries of all parts, unsorted, with the new row index of their hosts."""
    entries: NDArray[np.void] = np.concatenate(parts)
    entries["host"] = np.concatenate([rows[part["host"]] for part, rows in zip(parts, new_rows, strict=True)])
    return entries


def _address_classes(words: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Return 0 for IPv4, 1 for IPv6, 2 for link-local addresses."""
    are_link_local = (words[:, 1] >> 16 == _LINK_LOCAL_V4) & (words[:, 0] == 0) | (words[:, 0] >> 54 == _LINK_LOCAL_V6)
    return np.where(are_link_local, 2, (~are_v4(words)).astype(np.int64))
