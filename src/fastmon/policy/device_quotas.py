"""Quotas of devices: rules of kind `total` with `by = "mac"`, which sum up what all local hosts with one MAC move.

The most specific of such rules of its hosts governs a device. A host counts for its device while one does, the host is local, its
MAC is known, and its own rule does not count it by itself. When a host begins to count for a device, what it has moved in the
period comes along: it was the device's, whose MAC was not known. When it leaves, what it has moved stays with the device, and it
begins at 0, alone or for the next device. What it moved until the tick that notices is the old device's.

The total of a device is the sum of its hosts' counters less a base, so that all of this is done to the bases alone.

What it does not do: know which host has which MAC; `device_rows` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastmon.policy.device_rows import Members
from fastmon.policy.key_index import GONE
from fastmon.policy.quotas import Quotas
from fastmon.policy.scopes import NO_SCOPE
from fastmon.policy.sights import DeviceSight, HostSight

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from typing_extensions import Self

    from fastmon.model.alerts import Alert
    from fastmon.policy.device_rows import DeviceRows
    from fastmon.policy.hosts import Roster
    from fastmon.policy.rules import Context
    from fastmon.policy.scopes import ScopeTable
    from fastmon.policy.specs import TotalSpec
    from fastmon.policy.subjects import Column

__all__ = ["DeviceQuotas"]

_ALONE, _COUNTS, _HAS_COUNTED = range(3)


class _Columns(NamedTuple):
    """What is known of each host, and of each device.

    roles: of hosts: `_COUNTS` for its device; `_HAS_COUNTED` before, and is alone now; `_ALONE`.
    rules: of devices: the rule, by its index.  are_mixed: whether hosts have come, or left, with something on their counters.
    """

    roles: Column
    rules: Column
    are_mixed: Column


class DeviceQuotas:
    """The quotas of a family's devices. table: of the scopes of `specs`."""

    def __init__(self, specs: Sequence[TotalSpec], table: ScopeTable, context: Context) -> None:
        self.quotas = Quotas(specs, context, are_devices=True)
        self._table = table
        self._are_by_mac = np.array([*(spec.by == "mac" for spec in specs), False])
        self._columns: _Columns | None = None
        self._has_begun = False
        self._members: Members | None = None
        # Of rules whose devices were taken over: their indices here, and since when their totals count; the last one is of none.
        self._before: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None

    @property
    def are_needed(self) -> bool:
        """Whether there is, or was, any device with a quota."""
        waits = len(self.quotas.book.incidents.waiting) > 0
        return bool(self._columns is not None or waits or self._are_by_mac.any())

    def have_counted(self) -> NDArray[np.bool_] | None:
        """Return whose counters have bytes that count for a device."""
        return None if self._columns is None else self._columns.roles.values != _ALONE

    def regroup(self, sight: HostSight, alone: Quotas, hosts: Roster) -> tuple[HostSight, DeviceSight]:
        """Let hosts join and leave devices; return what is seen of those that count by themselves, and of devices.

        sight: of all hosts.  alone: the quotas of hosts.
        """
        devices = hosts.devices
        is_first, columns = not self._has_begun, self._begin(alone, hosts)
        rows = np.arange(len(hosts)) if is_first else hosts.join(hosts.new, hosts.changed)
        if is_first or ((columns.roles.values[rows] == _COUNTS) | (devices.of_hosts[rows] != GONE)).any():
            self._move(sight, alone, hosts)
        elif hosts.moved is not None or devices.moved is not None:
            self._members = None
        if self._members is None:
            self._members = _find_members(columns.roles.values == _COUNTS, devices.of_hosts)
        of_devices = self._sight(sight, devices, self._members)
        self.quotas.rejoin(of_devices, devices.new)
        rules = np.where(columns.roles.values == _COUNTS, NO_SCOPE, sight.rules)
        return sight.with_rules(rules), of_devices

    def take_joined(self, alone: Quotas) -> NDArray[np.void]:
        """End and return the incidents of hosts that count for their devices now."""
        incidents = alone.book.incidents
        if self._columns is None:
            return incidents.entries[:0]
        return incidents.take(self._columns.roles.values[incidents.rows] == _COUNTS)

    def adopt(self, old: Self, indices: NDArray[np.int64]) -> None:
        """Take over the devices of `old`. indices: of each old rule, its index here."""
        if old._columns is not None:
            starts = old.quotas.starts_of(np.append(np.arange(len(indices)), -1))
            self._before = np.append(indices, NO_SCOPE), starts
            if old._before is not None:  # there was no tick since it has taken over itself
                of_old, starts = old._before
                self._before = np.append(indices, NO_SCOPE)[of_old], starts
            self._columns, old._columns = old._columns, None
        self.quotas.adopt(old.quotas, indices)

    def close(self, now_ns: int, hosts: Roster) -> list[Alert]:
        """Clear what is open, and give the columns back."""
        if self._columns is not None:
            hosts.drop(self._columns.roles)
            for column in self._columns[1:]:
                hosts.devices.drop(column)
        are_followed = self._has_begun or self._columns is not None
        return self.quotas.close(now_ns, hosts.devices if are_followed else hosts)

    def _begin(self, alone: Quotas, hosts: Roster) -> _Columns:
        devices = hosts.devices
        if self._columns is None:
            of_devices = (devices.add_column(*each) for each in (("i4", NO_SCOPE), ("?",)))
            self._columns = _Columns(hosts.add_column("u1"), *of_devices)
        if not self._has_begun:
            self._has_begun = True
            self.quotas.begin_as(alone)
            self.quotas.attach(devices)
        return self._columns

    def _move(self, sight: HostSight, alone: Quotas, hosts: Roster) -> None:
        """Let hosts change their devices, and find the devices' rules."""
        devices, columns = hosts.devices, self._columns
        assert columns is not None
        roles = columns.roles.values
        counted = roles == _COUNTS
        rows = np.flatnonzero(counted | (devices.of_hosts != GONE))
        before = np.where(counted[rows], devices.of_hosts_before[rows], GONE)
        now = self._whom_they_count_for(sight.rules[rows], devices.of_hosts[rows], len(devices))
        is_other = before != now
        rows, before, now = rows[is_other], before[is_other], now[is_other]
        roles[rows] = np.where(now != GONE, _COUNTS, _HAS_COUNTED)
        self._members = _find_members(roles == _COUNTS, devices.of_hosts)
        self._govern(sight, devices, counted, self._members)
        counters = sight.counters(rows)
        leave, stays_alone, comes_alone = before != GONE, now == GONE, before == GONE
        self._shift(before[leave], -counters[leave])
        alone.restart(sight, rows[stays_alone])
        comes_over = leave & ~stays_alone
        self._shift(now[comes_over], counters[comes_over])
        joined, their_devices = rows[comes_alone], now[comes_alone]
        bases, were_kept = alone.hand_over(sight, joined, columns.rules.values[their_devices], hosts.new)
        self._shift(their_devices, bases)
        self.quotas.must_note(np.concatenate([before[leave], their_devices[were_kept]]))

    def _whom_they_count_for(
        self, rules: NDArray[np.signedinteger], devices: NDArray[np.int32], n_devices: int
    ) -> NDArray[np.int32]:
        """Return the device that each host counts for, `GONE` for none. rules, devices: the hosts' own."""
        are_governed = np.zeros(n_devices + 1, np.bool_)  # the last one is none
        is_by_mac = self._are_by_mac[rules] & (devices != GONE)
        are_governed[devices[is_by_mac]] = True
        return np.where(is_by_mac | ((rules == NO_SCOPE) & are_governed[devices]), devices, np.int32(GONE))

    def _shift(self, devices: NDArray[np.signedinteger], by: NDArray[np.int64]) -> None:
        """Let the totals of some devices begin at other counters."""
        assert self._columns is not None
        self.quotas.move_bases(devices, by)
        self._columns.are_mixed.values[devices[by != 0]] = True

    def _govern(self, sight: HostSight, devices: DeviceRows, counted: NDArray[np.bool_], members: Members) -> None:
        """Let each device have the most specific rule of its hosts; one without hosts keeps its rule.

        counted: which hosts counted for devices until now.
        """
        assert self._columns is not None
        rules = self._columns.rules.values
        if self._before is None:
            starts = self.quotas.starts_of(rules)
        else:
            indices, of_old = self._before
            starts, self._before = of_old[rules], None
            rules[:] = indices[rules]
        governed = rules.copy()
        governed[members.devices] = self._table.most_specific(sight.rules[members.hosts], members.starts)
        changed = np.flatnonzero(governed != rules)
        rules[:] = governed
        if len(changed):
            before = self._sight(sight, devices, _find_members(counted, devices.of_hosts_before))
            self.quotas.change_rules(before, changed, governed[changed], starts[changed])

    def _sight(self, sight: HostSight, devices: DeviceRows, members: Members) -> DeviceSight:
        assert self._columns is not None
        return DeviceSight(sight, devices, members, self._columns.rules.values, self._columns.are_mixed.values)


def _find_members(counts: NDArray[np.bool_], of_hosts: NDArray[np.int32]) -> Members:
    """Return the hosts that count for devices. counts: (n,) which do.  of_hosts: each one's device."""
    rows = np.flatnonzero(counts)
    return Members.of(rows, of_hosts[rows])
