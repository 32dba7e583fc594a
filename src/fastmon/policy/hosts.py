"""The roster: the hosts of the totals, row by row, and columns of rules' state that follow them.

A host's row is its index in `View.totals`. Rows move when a full table evicts idle remote hosts; the roster notices, and moves
what rules keep of each host along.

What it does not do: evaluate rules, or know what their columns mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastmon.model.addresses import key_to_text
from fastmon.model.rows import HOST_DTYPE, are_v4, key_words
from fastmon.model.vendors import format_mac
from fastmon.policy.device_rows import DeviceRows
from fastmon.policy.devices import parse_mac_id
from fastmon.policy.key_index import GONE, KeyIndex, are_equal, match_words
from fastmon.policy.subjects import CHUNK_ROWS, NO_ROWS, Subject, Subjects

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastmon.model.names import NameBook
    from fastmon.model.snapshot import Snapshot

__all__ = ["Roster", "as_words", "find_router_macs"]

MAX_DEVICE_ADDRESSES = 8
"""IPv4 addresses of one device. An Ethernet address that more hosts have is a router's."""

_NO_MACS = np.empty(0, np.uint64)

_LOCAL = np.uint64(1)
"""The bit of a host's facts that tells whether it is local; the others are its Ethernet address."""


class Roster(Subjects):
    """The hosts of the totals at a tick.

    names: the book of hosts' names.  watches_names: whether a rule depends on names; else `changed` tells nothing of them.

    keys: (n, 16) uint8, of all hosts.  local: (n,) bool.  macs: (n,) uint64, 0 where unknown.  Between `release` and the next
        `update` there are none.
    moved: as `Follower.follow` has it.
    new: the rows of hosts that were not there at the last tick.
    changed: the rows of others whose name, MAC or `local` has changed since.
    macs_before: which MACs these had, 0 where it was unknown or they were not local.
    is_first: whether there was no tick before.
    """

    def __init__(self, names: NameBook | None = None, *, watches_names: bool = False) -> None:
        super().__init__()
        self.hosts = np.empty(0, HOST_DTYPE)
        self.local = np.empty(0, np.bool_)
        self.macs = np.empty(0, np.uint64)
        self.macs_before = _NO_MACS
        self.is_first = True
        self.watches_names = watches_names
        self._has_begun = False
        self._names = names
        self._n_rows = 0
        self._words = self.add_column("u8", width=2)
        self._facts = self.add_column("u8")
        self._index: KeyIndex | None = None
        self._routers: NDArray[np.uint64] | None = None
        self._devices: DeviceRows | None = None

    def __len__(self) -> int:
        """Return the number of hosts."""
        return self._n_rows

    @property
    def keys(self) -> NDArray[np.uint8]:
        """The hosts' keys."""
        keys: NDArray[np.uint8] = self.hosts["key"]
        return keys

    def keys_of(self, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        """See `Subjects`."""
        return self.keys[rows]

    def name(self, row: int) -> str:
        """Return the best name of a host; "" where none is known."""
        if self._names is None:
            return ""
        found = self._names.name_of(self.hosts["key"][row].tobytes(), bool(self.local[row]))
        return "" if found is None else found[0]

    def subject(self, row: int) -> Subject:
        """Return whom an alert about a host is about."""
        mac = int(self.macs[row])
        host = key_to_text(self.hosts["key"][row].tobytes())
        return Subject(host, self.name(row), format_mac(mac) if mac else "", bool(self.local[row]))

    def describe(self, key: bytes) -> Subject:
        """Return whom an alert about a host, or a device, is about that may have no row any more."""
        if mac := parse_mac_id(key):
            return Subject(format_mac(mac), mac=format_mac(mac), local=True)
        found = None if self._names is None else self._names.name_of(key, is_local=False)
        return Subject(key_to_text(key), "" if found is None else found[0], "", local=False)

    def n_bytes(self) -> int:
        """Return how much memory its columns, its index and its devices take."""
        return super().n_bytes() + sum(each.n_bytes() for each in (self._index, self._devices) if each is not None)

    def update(self, totals: Snapshot) -> None:
        """Look at the hosts of a tick, and move the columns along."""
        n_before, n_rows = len(self), len(totals)
        self._n_rows = n_rows
        self.is_first, self._has_begun = not self._has_begun, True
        self.hosts, self.local = totals.hosts, totals.local
        self.macs = np.zeros(n_rows, np.uint64) if totals.macs is None else totals.macs
        words = as_words(totals.hosts)
        self.moved = self._find_moved(words)
        for follower in self._followers:
            follower.follow(self.moved, n_rows)
        if self.moved is None:
            self.new = np.arange(n_before, n_rows)
            self._words.values[n_before:] = words[n_before:]
        else:
            self.new = np.flatnonzero(self.moved == GONE)
            self._words.values[:] = words
            self._index = None
        self._find_changed()
        if self.moved is not None or len(self.changed) or self.local[self.new].any():
            self._routers = None
        if self._devices is not None:
            self._devices.update(self.join(self.new, self.changed))

    def release(self) -> None:
        """Let go of the totals."""
        self.hosts, self.local, self.macs = np.empty(0, HOST_DTYPE), np.empty(0, np.bool_), np.empty(0, np.uint64)
        self.moved, self.new, self.changed, self.macs_before = None, NO_ROWS, NO_ROWS, _NO_MACS

    def rows_of(self, keys: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Return the row of each of (m, 16) keys; `GONE` for hosts that are not there."""
        if self._index is None:
            self._index = KeyIndex()
        self._index.add(self._words.values)
        return self._index.find(np.ascontiguousarray(keys).view(np.uint64), self._words.values)

    def local_rows_of(self, keys: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Return the row of each of (m, 16) keys; `GONE` for hosts that are not local."""
        rows = self.rows_of(keys)
        here = np.flatnonzero(rows != GONE)
        rows[here[self._facts.values[rows[here]] & _LOCAL == 0]] = GONE
        return rows

    @property
    def devices(self) -> DeviceRows:
        """The devices of local hosts, followed from the first time on that they are asked for, which is at a tick."""
        if self._devices is None:
            self._devices = DeviceRows(self)
            self._devices.update(np.arange(len(self)))
        return self._devices

    @property
    def routers(self) -> NDArray[np.uint64]:
        """The Ethernet addresses of routers between the local hosts and the capture, in order."""
        if self._routers is None:
            facts = self._facts.values
            rows = np.flatnonzero((facts & _LOCAL != 0) & (facts > _LOCAL))
            keys = self._words.values[rows].view(np.uint8)
            self._routers = find_router_macs(keys, facts[rows] >> _LOCAL)
        return self._routers

    def join(self, *parts: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return some rows in ascending order, each once."""
        is_meant = np.zeros(len(self), np.bool_)
        for rows in parts:
            is_meant[rows] = True
        return np.flatnonzero(is_meant)

    def without_new(self, rows: NDArray[np.intp]) -> NDArray[np.intp]:
        """Return some rows in ascending order, each once, but for those of new hosts."""
        is_meant = np.zeros(len(self), np.bool_)
        is_meant[rows] = True
        is_meant[self.new] = False
        return np.flatnonzero(is_meant)

    def _find_moved(self, words: NDArray[np.uint64]) -> NDArray[np.intp] | None:
        """Compare the keys with those of the last tick; return `moved`."""
        before = self._words.values
        n_common = min(len(words), len(before))
        differing = [
            start + np.flatnonzero(~are_equal(words[start:end], before[start:end]))
            for start in range(0, n_common, CHUNK_ROWS)
            for end in (min(start + CHUNK_ROWS, n_common),)
            if not np.array_equal(words[start:end], before[start:end])
        ]
        if not differing and n_common == len(before):
            return None
        places = np.concatenate([*differing, NO_ROWS])
        of_new = np.concatenate([places, np.arange(n_common, len(words))])
        of_old = np.concatenate([places, np.arange(n_common, len(before))])
        moved = np.arange(len(words))
        if self._index is None:
            found = match_words(words[of_new], before[of_old])
            moved[of_new] = np.append(of_old, GONE)[found]
        else:
            self._index.add(before)
            moved[of_new] = self._index.find(words[of_new], before)
        return moved

    def _find_changed(self) -> None:
        """Compare what is known of the hosts with the last tick, and keep it for the next one."""
        facts = self._facts.values
        found, before = [NO_ROWS], [_NO_MACS]
        for start in range(0, len(self), CHUNK_ROWS):
            chunk = slice(start, start + CHUNK_ROWS)
            now = self.macs[chunk] << _LOCAL | self.local[chunk]
            if not np.array_equal(now, facts[chunk]):
                differing = np.flatnonzero(now != facts[chunk])
                found.append(start + differing)
                before.append(facts[chunk][differing])
                facts[chunk] = now
        rows = np.concatenate(found)
        renamed = NO_ROWS
        if self.watches_names and self._names is not None:
            keys = self._names.take_renamed()
            renamed = self.rows_of(np.frombuffer(b"".join(keys), np.uint8).reshape(-1, 16))
            renamed = renamed[renamed != GONE]
        self.changed, self.macs_before = NO_ROWS, _NO_MACS
        if len(rows) or len(renamed):
            self.changed = self.without_new(np.concatenate([rows, renamed]))
            of_changed = facts[self.changed]
            is_old = np.isin(rows, self.changed, assume_unique=True)
            of_changed[np.searchsorted(self.changed, rows[is_old])] = np.concatenate(before)[is_old]
            self.macs_before = (of_changed >> _LOCAL) * (of_changed & _LOCAL)


def as_words(hosts: NDArray[np.void]) -> NDArray[np.uint64]:
    """Return the keys of rows of hosts as (n, 2) uint64, in no particular order of bytes: a view."""
    return np.ascontiguousarray(hosts).view(np.uint64).reshape(-1, hosts.itemsize // 8)[:, :2]


def find_router_macs(keys: NDArray[np.uint8], macs: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the Ethernet addresses that more than `MAX_DEVICE_ADDRESSES` IPv4 hosts have, in order."""
    unique, counts = np.unique(macs[are_v4(key_words(keys)) & (macs != 0)], return_counts=True)
    routers: NDArray[np.uint64] = unique[counts > MAX_DEVICE_ADDRESSES]
    return routers
