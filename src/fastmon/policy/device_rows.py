"""Devices, row by row: a device is an Ethernet address (MAC), with all local hosts that have it.

A router's is no exception here, unlike in `devices`: it is known for a router's only when many hosts have come, and a sum that
falls apart then would lose what it had. `--by mac` groups hosts in the same way.

What it does not do: count, or look at remote hosts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastmon.model.vendors import format_mac
from fastmon.policy.devices import mac_ids
from fastmon.policy.key_index import GONE
from fastmon.policy.subjects import Subject, Subjects

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastmon.policy.hosts import Roster

__all__ = ["MAX_ABSENT", "DeviceRows", "Members"]

MAX_ABSENT = 1 << 16
"""Devices that are remembered though no host has their MAC any more. If there are more, all of them are forgotten, at the
latest when as many new ones have come."""


class Members(NamedTuple):
    """Hosts, ordered by device.

    hosts: their rows.  devices: the rows of the devices that have any, ascending.  starts: where those of each device begin.
    """

    hosts: NDArray[np.intp]
    devices: NDArray[np.intp]
    starts: NDArray[np.intp]

    @classmethod
    def of(cls, hosts: NDArray[np.intp], devices: NDArray[np.signedinteger]) -> Members:
        """Return some hosts, ascending, each with its device, in this order."""
        order = np.argsort(devices, kind="stable")
        unique, starts = np.unique(devices[order], return_index=True)
        return cls(hosts[order], unique.astype(np.intp), starts)

    def of_device(self, device: int) -> NDArray[np.intp]:
        """Return the hosts of a device, ascending."""
        first, last = np.searchsorted(self.devices, [device, device + 1])
        bounds = [*self.starts[first : last + 1].tolist(), len(self.hosts)] if first < last else [0, 0]
        return self.hosts[bounds[0] : bounds[1]]


class DeviceRows(Subjects):
    """The devices of a roster's local hosts, in the order in which they came. To be updated at every tick.

    A device keeps its row when no host has its MAC any more: it may come back with another address.

    of_hosts: (n,) int32, the row of each host's device; `GONE` for remote hosts, and where the MAC is not known.
    of_hosts_before: the same at the last tick, for the hosts of now; `GONE` for new ones.
    """

    def __init__(self, hosts: Roster) -> None:
        super().__init__()
        self._hosts = hosts
        self._column = hosts.add_column("i4", GONE)
        self._macs = np.empty(0, np.uint64)
        self._in_order = np.empty(0, np.intp)  # the rows, by MAC
        self._members: Members | None = None
        self._next_look = MAX_ABSENT
        self.of_hosts_before = self._column.values

    def __len__(self) -> int:
        """Return the number of devices."""
        return len(self._macs)

    def keys_of(self, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Return the ids of some devices."""
        return mac_ids(self._macs[rows])

    @property
    def of_hosts(self) -> NDArray[np.int32]:
        """The row of each host's device."""
        return self._column.values

    def subject(self, row: int) -> Subject:
        """Return whom an alert about a device is about. Its name is that of the first of its hosts that has one."""
        if self._members is None:
            rows = np.flatnonzero(self.of_hosts != GONE)
            self._members = Members.of(rows, self.of_hosts[rows])
        names = map(self._hosts.name, self._members.of_device(row).tolist())
        mac = format_mac(int(self._macs[row]))
        return Subject(mac, next(filter(None, names), ""), mac, local=True)

    def describe(self, key: bytes) -> Subject:
        """See `Subjects`."""
        return self._hosts.describe(key)

    def n_bytes(self) -> int:
        """Return how much memory it takes, but for the column of the hosts."""
        return super().n_bytes() + self._macs.nbytes + self._in_order.nbytes

    def update(self, rows: NDArray[np.intp]) -> None:
        """Look at new hosts and at those of which something has changed."""
        self.moved, self._members = None, None
        if len(self) > self._next_look:
            self._forget_absent()
        of_hosts = self._column.values
        n_before = len(self)
        found = self._find(self._hosts.macs[rows] * self._hosts.local[rows])
        self.new = np.arange(n_before, len(self))
        self.changed = np.unique(found[(found != GONE) & (found < n_before)])
        is_other = found != of_hosts[rows]
        self.of_hosts_before = of_hosts.copy() if is_other.any() else of_hosts
        of_hosts[rows] = found
        if len(self.new):
            if self.moved is not None:
                self.moved = np.concatenate([self.moved, np.full(len(self.new), GONE)])
            for follower in self._followers:
                follower.follow(None, len(self))

    def _find(self, macs: NDArray[np.uint64]) -> NDArray[np.int32]:
        """Return the row of each MAC, which gets one if it has none; `GONE` for 0."""
        unique, inverse = np.unique(macs, return_inverse=True)
        places = np.searchsorted(self._macs, unique, sorter=self._in_order)
        rows = np.append(self._in_order, GONE)[places]
        is_new = (np.append(self._macs, np.uint64(0))[rows] != unique) & (unique != 0)
        rows[unique == 0] = GONE
        rows[is_new] = len(self) + np.arange(np.count_nonzero(is_new))
        self._in_order = np.insert(self._in_order, places[is_new], rows[is_new])
        self._macs = np.concatenate([self._macs, unique[is_new]])
        return rows.astype(np.int32)[inverse]

    def _forget_absent(self) -> None:
        """Forget the devices that no host belongs to, if there are too many."""
        of_hosts = self._column.values
        is_present = np.zeros(len(self), np.bool_)
        is_present[of_hosts[of_hosts != GONE]] = True
        if len(self) - np.count_nonzero(is_present) > MAX_ABSENT:
            self.moved = np.flatnonzero(is_present)
            new_rows = np.append(np.cumsum(is_present) - 1, GONE)
            of_hosts[:] = new_rows[of_hosts]
            self._macs = self._macs[self.moved]
            self._in_order = np.argsort(self._macs)
            for follower in self._followers:
                follower.follow(self.moved, len(self))
        self._next_look = len(self) + MAX_ABSENT
