"""Rules of kind `new`: local devices that were never seen before; and the book of known devices.

A device is one that has sent something: addresses that others only ask for are none. A host's device is looked up when the host
is new, or its Ethernet address has changed.

What it does not do: say whether a device may be there.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastmon.errors import ConfigError
from fastmon.model.addresses import key_to_text
from fastmon.model.alerts import NETWORK
from fastmon.model.memory import KnownDevice, Told
from fastmon.model.rows import MAX_ADDRESSES
from fastmon.model.units import NS_PER_S, format_time
from fastmon.model.vendors import is_locally_administered, vendor_of
from fastmon.policy.devices import LocalHosts, device_text, parse_device
from fastmon.policy.families import match_specs
from fastmon.policy.host_watch import refuse_network
from fastmon.policy.periods import Schedules
from fastmon.policy.scopes import NO_SCOPE, ScopeTable, parse_scope
from fastmon.policy.words import fire_alert, format_subject

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from typing_extensions import Self

    from fastmon.model.alerts import Alert
    from fastmon.model.memory import Changes, Memory
    from fastmon.policy.hosts import Roster
    from fastmon.policy.rules import Context, View
    from fastmon.policy.specs import NewSpec
    from fastmon.policy.subjects import Column

__all__ = ["MAX_AT_ONCE", "MAX_DEVICES", "SEEN_STEP_NS", "NewFamily", "make_new"]

MAX_DEVICES = 1 << 16
"""Devices that are known. One that does not fit is told, and told again in the next run."""

MAX_AT_ONCE = 16
"""New devices that a rule tells of at a tick. The last one says how many more there were."""

_MAX_LOOKED_UP = 1 << 12
"""Hosts that are looked up at a tick; others wait for the next one."""

_LOOK_NS = 60 * NS_PER_S
_SAVE_NS = 300 * NS_PER_S

SEEN_STEP_NS = _LOOK_NS + _SAVE_NS
"""How much later than it is kept a device may have been seen, where a run did not come to its end."""

_DEVICE_BYTES = 512
_UNKNOWN, _NOT_KEPT = -1, -2
_LEARNING = "learning"


def make_new(specs: Sequence[NewSpec], context: Context) -> list[NewFamily]:
    """Return the family of rules of kind `new`; without rules, one that only keeps the book, where anything is kept.

    Raises ConfigError for a rule on the network as a whole.
    """
    refuse_network(specs, context)
    return [NewFamily(specs, context)] if specs or context.keeps else []


@dataclass(slots=True)
class _Device:
    """A known device. saved_ns: `last_ns` when it was last kept."""

    mac: str
    addresses: list[str]
    name: str
    vendor: str
    first_ns: int
    last_ns: int
    saved_ns: int = -(1 << 62)
    is_dirty: bool = True

    def meet(self, address: str) -> None:
        """Note an address; the oldest of too many is forgotten."""
        if address not in self.addresses:
            self.addresses = [*self.addresses[1 - MAX_ADDRESSES :], address]
            self.is_dirty = True


class NewFamily:
    """All rules of the kind, and the devices that are known."""

    key = "new"

    def __init__(self, specs: Sequence[NewSpec], context: Context) -> None:
        self._specs = specs
        self._keeps = context.keeps
        self._table = ScopeTable([parse_scope(spec.scope, context.groups) for spec in specs])
        self._schedules = Schedules(specs)
        self._local_hosts = LocalHosts(context.names)
        self._devices: list[_Device] = []
        self._indices: dict[bytes, int] = {}
        self._learning_since: dict[int, int] = {}
        self._told: list[Told] = []
        self._column: Column | None = None
        self._looked_ns = -(1 << 62)
        self._seen = (np.empty(0, np.int32), np.empty(0, np.int64))  # at the last tick: local hosts' devices, and when

    def evaluate(self, view: View, now_ns: int, hosts: Roster) -> Iterable[Alert]:  # noqa: ARG002 - it is all in the hosts
        """See `Family`."""
        self._local_hosts.update(hosts)
        if self._column is None:
            self._column = hosts.add_column("i4", _UNKNOWN)
        of_rows = self._column.values
        self._begin(now_ns)
        of_rows[hosts.changed] = _UNKNOWN
        rows = np.flatnonzero(hosts.local & (of_rows == _UNKNOWN))
        rows = rows[hosts.hosts["packets_out"][rows] > 0][:_MAX_LOOKED_UP]
        new = self._look_up(rows, hosts, of_rows) if len(rows) else rows
        alerts = self._tell(new, now_ns, hosts) if len(new) else []
        if not 0 <= now_ns - self._looked_ns < _LOOK_NS:
            self._looked_ns = now_ns
            self._look_again(hosts, of_rows)
        if self._keeps:
            rows = np.flatnonzero(hosts.local & (of_rows >= 0))
            self._seen = of_rows[rows], hosts.hosts["last_seen_ns"][rows]
        return alerts

    def restore(self, memory: Memory) -> None:
        """See `Family`."""
        for known in sorted(memory.devices, key=lambda device: -device.last_seen_ns)[:MAX_DEVICES]:
            with suppress(ConfigError):
                self._add(parse_device(known.id), _read(known))
        rules = {spec.name: rule for rule, spec in enumerate(self._specs)}
        for told in memory.told:
            if told.item == _LEARNING and told.rule in rules:
                self._learning_since[rules[told.rule]] = told.ts_ns

    def adopt(self, old: Self) -> None:
        """See `Family`."""
        self._devices, self._indices = old._devices, old._indices
        self._column, old._column = old._column, None
        self._looked_ns, self._seen = old._looked_ns, old._seen
        self._told, old._told = old._told, []
        for rule, new_rule in enumerate(match_specs(old._specs, self._specs).tolist()):
            if new_rule >= 0 and rule in old._learning_since:
                self._learning_since[new_rule] = old._learning_since[rule]
        old._devices, old._indices = [], {}

    def close(self, now_ns: int, hosts: Roster) -> Iterable[Alert]:  # noqa: ARG002 - a new device is told once, and is not open
        """See `Family`."""
        if self._column is not None:
            hosts.drop(self._column)
        return ()

    def take_changes(self, changes: Changes) -> None:
        """See `Family`."""
        changes.told += self._told
        self._told = []
        if not self._keeps:
            return
        if changes.is_last:
            self._note_seen(*self._seen, step_ns=1)
        for device_id, index in self._indices.items():
            device = self._devices[index]
            if device.is_dirty:
                device.is_dirty, device.saved_ns = False, device.last_ns
                changes.devices.append(_row(device_text(device_id), device))

    def n_bytes(self) -> int:
        """See `Family`."""
        return len(self._devices) * _DEVICE_BYTES

    def _begin(self, now_ns: int) -> None:
        """Let rules learn from now on that have not begun to."""
        for rule, spec in enumerate(self._specs):
            if spec.learn_ns and rule not in self._learning_since:
                self._learning_since[rule] = now_ns
                if self._keeps:
                    self._told.append(Told(spec.name, NETWORK, _LEARNING, now_ns))

    def _look_up(self, rows: NDArray[np.intp], hosts: Roster, of_rows: NDArray[np.int32]) -> NDArray[np.intp]:
        """Find the devices of some hosts; return the rows of those whose device is new."""
        new = []
        for row, device in zip(rows.tolist(), self._local_hosts.ids_of(hosts, rows), strict=True):
            device_id, address = device.tobytes(), hosts.hosts["key"][row].tobytes()
            index = self._indices.get(device_id, _NOT_KEPT)
            if index >= 0:
                self._devices[index].meet(key_to_text(address))
            else:
                before = self._indices.get(address, _NOT_KEPT)
                index = self._add(device_id, _describe(hosts, row))
                if before < 0:
                    new.append(row)
                elif index >= 0:  # until now its Ethernet address was not known
                    self._devices[index].first_ns = self._devices[before].first_ns
            of_rows[row] = index
        return np.array(new, np.intp)

    def _add(self, device_id: bytes, device: _Device) -> int:
        """Know a device; return its index."""
        if len(self._devices) >= MAX_DEVICES:
            return _NOT_KEPT
        self._indices[device_id] = len(self._devices)
        self._devices.append(device)
        return len(self._devices) - 1

    def _look_again(self, hosts: Roster, of_rows: NDArray[np.int32]) -> None:
        """Note when devices were seen last, and their names."""
        rows = np.flatnonzero(hosts.local & (of_rows >= 0))
        self._note_seen(of_rows[rows], hosts.hosts["last_seen_ns"][rows], step_ns=_SAVE_NS)
        names = self._local_hosts.names_of(hosts.keys[rows])
        for index, name in zip(of_rows[rows].tolist(), names, strict=True):
            device = self._devices[index]
            if name and name != device.name:
                device.name, device.is_dirty = name, True

    def _note_seen(self, indices: NDArray[np.int32], seen_ns: NDArray[np.int64], *, step_ns: int) -> None:
        """Note when devices were seen last, where that is so much later than what is kept."""
        last_ns = np.full(len(self._devices), -(1 << 62), np.int64)
        np.maximum.at(last_ns, indices, seen_ns)
        saved_ns = np.fromiter((device.saved_ns for device in self._devices), np.int64, len(self._devices))
        for index in np.flatnonzero(last_ns - step_ns >= saved_ns).tolist():
            device = self._devices[index]
            device.last_ns, device.is_dirty = int(last_ns[index]), True

    def _tell(self, rows: NDArray[np.intp], now_ns: int, hosts: Roster) -> list[Alert]:
        """Return the alerts of rules that govern the hosts of new devices, hold, and do not learn."""
        rules = self._table.assign(hosts, rows)
        holds = self._schedules.holding(now_ns)
        alerts = []
        for rule in np.unique(rules[rules != NO_SCOPE]).tolist():
            spec = self._specs[rule]
            if not holds[rule] or (spec.learn_ns and now_ns - self._learning_since[rule] < spec.learn_ns):
                continue
            of_rule = rows[rules == rule].tolist()
            n_more = max(len(of_rule) - MAX_AT_ONCE, 0)
            told = of_rule[:MAX_AT_ONCE]
            alerts += [_alert(spec, hosts, row, now_ns, n_more if row == told[-1] else 0) for row in told]
        return alerts


def _describe(hosts: Roster, row: int) -> _Device:
    subject, mac = hosts.subject(row), int(hosts.macs[row])
    first_ns, last_ns = (int(hosts.hosts[name][row]) for name in ("first_seen_ns", "last_seen_ns"))
    return _Device(subject.mac, [subject.host], subject.name, vendor_of(mac) or "", first_ns, last_ns)


def _alert(spec: NewSpec, hosts: Roster, row: int, now_ns: int, n_more: int) -> Alert:
    subject, mac = hosts.subject(row), int(hosts.macs[row])
    first_ns = int(hosts.hosts["first_seen_ns"][row])
    vendor = vendor_of(mac) or ""
    evidence: dict[str, object] = {"vendor": vendor, "first_seen": format_time(first_ns)}
    maker = vendor or ("random or virtual Ethernet address" if is_locally_administered(mac) else "unknown vendor")
    reason = f"{format_subject(subject)} was never seen before" + (f": {subject.mac}, {maker}" if mac else "")
    if n_more:
        evidence["more"] = n_more
        reason += f"; and {n_more} more at this moment"
    item = subject.mac or subject.host
    return fire_alert(spec, subject, ts_ns=now_ns, since_ns=first_ns, item=item, reason=reason, evidence=evidence)


def _read(known: KnownDevice) -> _Device:
    times = (known.first_seen_ns, known.last_seen_ns, known.last_seen_ns)
    return _Device(known.mac, list(known.addresses), known.name, known.vendor, *times, is_dirty=False)


def _row(device_id: str, device: _Device) -> KnownDevice:
    addresses = tuple(device.addresses)
    return KnownDevice(device_id, device.mac, addresses, device.name, device.vendor, device.first_ns, device.last_ns)
