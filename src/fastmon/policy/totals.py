"""Rules of kind `total`: bytes in a period, told once at each warn level.

A tick at a period's boundary still counts for the period that ends. If one tick passes several levels, the greatest is told. A
host that begins to be governed in the middle of a period goes on with what it has moved, where that is known: it was first seen
in this period, or its rules have the same periods. Else it begins at 0. Outside a rule's schedule bytes count, but nothing is
told. A host has 9 bytes: its counter when its period began, and how many levels were told.

What it does not do: count; `measures` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastmon.policy.device_quotas import DeviceQuotas
from fastmon.policy.families import Governing, group_specs, make_table, match_specs, split_specs
from fastmon.policy.measures import AppBytes, PortBytes, Traffic
from fastmon.policy.periods import ENDLESS_NS
from fastmon.policy.quotas import Quotas
from fastmon.policy.sights import HostSight, NetworkSight

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from numpy.typing import NDArray
    from typing_extensions import Self

    from fastmon.model.alerts import Alert
    from fastmon.model.memory import Changes, Memory
    from fastmon.policy.hosts import Roster
    from fastmon.policy.measures import Measure
    from fastmon.policy.rules import Context, View
    from fastmon.policy.sights import Sight
    from fastmon.policy.specs import TotalSpec
    from fastmon.policy.subjects import Subjects

__all__ = ["TotalFamily", "make_totals"]


def make_totals(specs: Sequence[TotalSpec], context: Context) -> list[TotalFamily]:
    """Return the families of rules of kind `total`."""
    return [TotalFamily(each, context) for each in group_specs(specs, _family_key).values()]


def _family_key(spec: TotalSpec) -> Hashable:
    return spec.kind, spec.per, spec.direction, spec.apps, spec.ports


def _measure(spec: TotalSpec, context: Context) -> Measure:
    if spec.apps:
        return AppBytes(spec.direction, spec.apps, context.apps)
    return PortBytes(spec.direction, spec.ports) if spec.ports else Traffic("bytes", spec.direction)


class TotalFamily:
    """Rules of the same kind of period, direction, applications and ports."""

    def __init__(self, specs: Sequence[TotalSpec], context: Context) -> None:
        self.key: Hashable = _family_key(specs[0])
        self._measure = _measure(specs[0], context)
        of_hosts, of_network = split_specs(specs, context.groups)
        self._table = make_table(of_hosts, context.groups)
        self._hosts = Quotas(of_hosts, context)
        self._devices = DeviceQuotas(of_hosts, self._table, context)
        self._network = Quotas(of_network, context, is_network=True)
        self._parts = (self._hosts, self._devices.quotas, self._network)
        self._governing: Governing[TotalSpec] | None = None
        self._old: tuple[Governing[TotalSpec], NDArray[np.int64], NDArray[np.int64]] | None = None
        self._now_ns = -ENDLESS_NS

    def evaluate(self, view: View, now_ns: int, hosts: Roster) -> Iterable[Alert]:
        """See `Family`."""
        totals = view.totals
        if totals is None:
            return []
        for each in (self._hosts, self._network):
            each.begin(now_ns)
        is_new = self._governing is None
        governing = self._governing or self._attach(hosts)
        rows, before = governing.update(hosts)
        readings = self._measure.read(view, totals)
        of_hosts = HostSight(totals, readings, governing.rules, self._devices.have_counted())
        of_network = NetworkSight(totals, readings, len(self._network.book.specs))
        if is_new:
            self._begin(of_hosts, of_network, hosts)
        self._change_rules(of_hosts, rows, before, governing.specs, self._hosts.starts_of(before))
        self._hosts.rejoin(of_hosts, hosts.new)
        alerts = self._hosts.book.settle(now_ns, hosts, governing.rules)
        if self._devices.are_needed:
            of_hosts, of_devices = self._devices.regroup(of_hosts, self._hosts, hosts)
            joined = self._devices.take_joined(self._hosts)
            alerts += self._hosts.book.clear(joined, now_ns, hosts, "it counts for its device now")
            alerts += self._devices.quotas.book.settle(now_ns, hosts.devices, of_devices.rules)
            alerts += self._go_through(now_ns, self._devices.quotas, of_devices, hosts.devices)
        alerts += self._go_through(now_ns, self._hosts, of_hosts, hosts)
        alerts += self._go_through(now_ns, self._network, of_network, hosts)
        self._now_ns = now_ns
        return alerts

    def _go_through(self, now_ns: int, quotas: Quotas, sight: Sight, subjects: Subjects) -> list[Alert]:
        """Let time pass for some quotas."""
        if not quotas.book.specs:
            return []
        alerts = quotas.step_back(now_ns, sight, subjects) if now_ns < self._now_ns else []
        alerts += quotas.look(now_ns, sight, subjects)
        alerts += quotas.roll(now_ns, sight, subjects)
        quotas.note(now_ns, sight)
        return alerts

    def _change_rules(
        self,
        sight: HostSight,
        rows: NDArray[np.intp],
        before: NDArray[np.signedinteger],
        specs: Sequence[TotalSpec],
        starts: NDArray[np.int64],
    ) -> None:
        """Let other rules govern some hosts. before: the index in `specs` of those that did.  starts: since when they counted."""
        self._hosts.change_rules(sight, rows, sight.rules[rows], starts)
        if self._devices.are_needed:  # what is kept for other rules, too, would count twice when the host joins a device
            self._hosts.close_kept(sight, rows, specs, before)
            self._hosts.must_note(rows)

    def _attach(self, hosts: Roster) -> Governing[TotalSpec]:
        self._governing = Governing(self._hosts.book.specs, self._table, hosts)
        self._hosts.attach(hosts)
        return self._governing

    def _begin(self, of_hosts: HostSight, of_network: NetworkSight, hosts: Roster) -> None:
        """Begin with hosts that were there before, or go on with what the family in the place of this one had."""
        self._network.begin_network(of_network)
        if self._old is None:
            rows = np.arange(len(hosts))
            self._hosts.change_rules(of_hosts, rows, of_hosts.rules, np.full(len(rows), -ENDLESS_NS - 1))
            return
        governing, indices, starts = self._old
        known = hosts.without_new(np.arange(len(hosts)))
        before = governing.rules[known]
        is_other = np.append(indices, -1)[before] != of_hosts.rules[known]
        self._change_rules(of_hosts, known[is_other], before[is_other], governing.specs, starts[before[is_other]])
        governing.drop(hosts)
        self._old = None

    def restore(self, memory: Memory) -> None:
        """See `Family`."""
        for each in self._parts:
            each.restore(memory)

    def adopt(self, old: Self) -> None:
        """See `Family`."""
        self._now_ns = old._now_ns
        pairs = ((self._hosts, old._hosts), (self._network, old._network))
        indices = [match_specs(theirs.book.specs, mine.book.specs) for mine, theirs in pairs]
        if old._governing is not None:
            starts = old._hosts.starts_of(np.append(np.arange(len(indices[0])), -1))
            self._old = old._governing, indices[0], starts
            old._governing = None
        elif old._old is not None:  # there was no tick since it has taken over itself
            governing, before, starts = old._old
            self._old = governing, np.append(indices[0], -1)[before], starts
            old._old = None
        self._hosts.adopt(old._hosts, indices[0])
        self._devices.adopt(old._devices, indices[0])
        self._network.adopt(old._network, indices[1])

    def close(self, now_ns: int, hosts: Roster) -> Iterable[Alert]:
        """See `Family`."""
        if self._governing is not None:
            self._governing.drop(hosts)
        of_hosts, of_devices = self._hosts.close(now_ns, hosts), self._devices.close(now_ns, hosts)
        return [*of_hosts, *of_devices, *self._network.close(now_ns, hosts)]

    def take_changes(self, changes: Changes) -> None:
        """See `Family`."""
        for each in self._parts:
            each.take_changes(changes)

    def n_bytes(self) -> int:
        """See `Family`."""
        return sum(each.book.incidents.n_bytes() for each in self._parts)
