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

from fastmon.policy.families import Governing, group_specs, make_table, match_specs, split_specs
from fastmon.policy.measures import AppBytes, PortBytes, Traffic
from fastmon.policy.periods import ENDLESS_NS
from fastmon.policy.quotas import Quotas, Sight

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from numpy.typing import NDArray
    from typing_extensions import Self

    from fastmon.model.alerts import Alert
    from fastmon.model.memory import Changes, Memory
    from fastmon.policy.hosts import Roster
    from fastmon.policy.measures import Measure
    from fastmon.policy.rules import Context, View
    from fastmon.policy.specs import TotalSpec

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
        self._hosts = Quotas(of_hosts, context, is_network=False)
        self._network = Quotas(of_network, context, is_network=True)
        self._parts = (self._hosts, self._network)
        self._governing: Governing[TotalSpec] | None = None
        self._old: tuple[Governing[TotalSpec], NDArray[np.int64], NDArray[np.int64]] | None = None
        self._now_ns = -ENDLESS_NS

    def evaluate(self, view: View, now_ns: int, hosts: Roster) -> Iterable[Alert]:
        """See `Family`."""
        totals = view.totals
        if totals is None:
            return []
        for each in self._parts:
            each.begin(now_ns)
        is_new = self._governing is None
        governing = self._governing or self._attach(hosts)
        rows, before = governing.update(hosts)
        readings = self._measure.read(view, totals)
        of_hosts = Sight.of_hosts(totals, readings, governing.rules)
        of_network = Sight.of_network(totals, readings, len(self._network.book.specs))
        if is_new:
            self._begin(of_hosts, of_network, hosts)
        self._hosts.change_rules(of_hosts, rows, self._hosts.starts_of(before))
        self._hosts.rejoin(of_hosts, hosts.new)
        alerts = self._hosts.book.settle(now_ns, hosts, governing.rules)
        for quotas, sight in zip(self._parts, (of_hosts, of_network), strict=True):
            if not quotas.book.specs:
                continue
            if now_ns < self._now_ns:
                alerts += quotas.step_back(now_ns, sight, hosts)
            alerts += quotas.look(now_ns, sight, hosts)
            alerts += quotas.roll(now_ns, sight, hosts)
            quotas.note(now_ns, sight)
        self._now_ns = now_ns
        return alerts

    def _attach(self, hosts: Roster) -> Governing[TotalSpec]:
        self._governing = Governing(self._hosts.book.specs, self._table, hosts)
        self._hosts.attach(hosts)
        return self._governing

    def _begin(self, of_hosts: Sight, of_network: Sight, hosts: Roster) -> None:
        """Begin with hosts that were there before, or go on with what the family in the place of this one had."""
        self._network.begin_network(of_network)
        if self._old is None:
            self._hosts.change_rules(of_hosts, np.arange(len(hosts)), np.full(len(hosts), -ENDLESS_NS - 1))
            return
        governing, indices, starts = self._old
        known = hosts.without_new(np.arange(len(hosts)))
        before = governing.rules[known]
        is_other = np.append(indices, -1)[before] != of_hosts.rules[known]
        self._hosts.change_rules(of_hosts, known[is_other], starts[before[is_other]])
        governing.drop(hosts)
        self._old = None

    def restore(self, memory: Memory) -> None:
        """See `Family`."""
        for each in self._parts:
            each.restore(memory)

    def adopt(self, old: Self) -> None:
        """See `Family`."""
        self._now_ns = old._now_ns
        indices = [match_specs(theirs.book.specs, mine.book.specs) for mine, theirs in zip(self._parts, old._parts, strict=True)]
        if old._governing is not None:
            starts = old._hosts.starts_of(np.append(np.arange(len(indices[0])), -1))
            self._old = old._governing, indices[0], starts
            old._governing = None
        elif old._old is not None:  # there was no tick since it has taken over itself
            governing, before, starts = old._old
            self._old = governing, np.append(indices[0], -1)[before], starts
            old._old = None
        for mine, theirs, each in zip(self._parts, old._parts, indices, strict=True):
            mine.adopt(theirs, each)

    def close(self, now_ns: int, hosts: Roster) -> Iterable[Alert]:
        """See `Family`."""
        if self._governing is not None:
            self._governing.drop(hosts)
        return [alert for each in self._parts for alert in each.close(now_ns, hosts)]

    def take_changes(self, changes: Changes) -> None:
        """See `Family`."""
        for each in self._parts:
            each.take_changes(changes)

    def n_bytes(self) -> int:
        """See `Family`."""
        return sum(each.book.incidents.n_bytes() for each in self._parts)
