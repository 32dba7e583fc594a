"""Rules of kinds `ports`, `apps` and `peers`: with whom devices talk, and how, against allow and deny lists.

What a rule does not allow is told once for each device, service and peer, and not again after a restart. A rule that learns
allows what it sees in the time that it learns.

What it does not do: account contacts, match lists (`lists`), keep what is known (`contact_memory`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from fastmon.model.addresses import key_to_text
from fastmon.model.protocols import service_text
from fastmon.model.services import ROLES
from fastmon.model.units import format_time
from fastmon.policy.contact_cases import NO_CASES, Cases, Governors, WaitingCases
from fastmon.policy.contact_memory import ContactMemory, News
from fastmon.policy.devices import LocalHosts
from fastmon.policy.families import match_specs
from fastmon.policy.key_index import GONE
from fastmon.policy.lists import AppLists, PeerLists, PortLists, have_application
from fastmon.policy.periods import Schedules
from fastmon.policy.scopes import parse_scope
from fastmon.policy.subjects import Subject
from fastmon.policy.words import fire_alert, format_subject

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TypeAlias

    from numpy.typing import NDArray
    from typing_extensions import Self

    from fastmon.model.alerts import Alert
    from fastmon.model.memory import Changes, Memory
    from fastmon.policy.hosts import Roster
    from fastmon.policy.rules import Context, View
    from fastmon.policy.specs import AppsSpec, PeersSpec, PortsSpec

    _Spec: TypeAlias = PortsSpec | AppsSpec | PeersSpec
    _Lists: TypeAlias = PortLists | AppLists | PeerLists

__all__ = ["GRACE_NS", "ContactFamily", "make_apps", "make_peers", "make_ports"]

GRACE_NS = 5_000_000_000
"""How long a contact is waited for whose application is a guess, or whose peer has no name yet."""

MAX_WAITING = 1 << 14

_DEEDS = {
    "ports": ("used {service} of", "offered {service} to"),
    "apps": ("used {app} ({service}) of", "offered {app} ({service}) to"),
    "peers": ("talked ({service}) to", "answered ({service})"),
}
"""What a device did to its peer, by kind and role."""

_T = TypeVar("_T")


def make_ports(specs: Sequence[PortsSpec], context: Context) -> list[ContactFamily]:
    """Return the family of rules of kind `ports`."""
    lists = PortLists([_listed(spec.allow, spec.deny) for spec in specs])
    return _make("ports", specs, context, lists, LocalHosts(context.names))


def make_apps(specs: Sequence[AppsSpec], context: Context) -> list[ContactFamily]:
    """Return the family of rules of kind `apps`. Raises ConfigError for an unknown application."""
    numbers = {name: number for number, name in context.apps.items()}
    lists = AppLists([_listed(spec.allow, spec.deny) for spec in specs], numbers.get)
    return _make("apps", specs, context, lists, LocalHosts(context.names))


def make_peers(specs: Sequence[PeersSpec], context: Context) -> list[ContactFamily]:
    """Return the family of rules of kind `peers`. Raises ConfigError for a wrong peer."""
    local_hosts = LocalHosts(context.names)
    lists = PeerLists([_listed(spec.allow, spec.deny) for spec in specs], local_hosts.names_of)
    return _make("peers", specs, context, lists, local_hosts)


def _listed(allow: Sequence[_T] | None, deny: Sequence[_T] | None) -> Sequence[_T]:
    return (deny or ()) if allow is None else allow


def _make(kind: str, specs: Sequence[_Spec], context: Context, lists: _Lists, local_hosts: LocalHosts) -> list[ContactFamily]:
    return [ContactFamily(kind, specs, context, lists, local_hosts)] if specs else []


class ContactFamily:
    """All rules of one kind. A rule that allows and one that denies do not compete: both hold."""

    def __init__(self, kind: str, specs: Sequence[_Spec], context: Context, lists: _Lists, local_hosts: LocalHosts) -> None:
        self.key = kind
        self._specs = specs
        self._lists = lists
        self._local_hosts = local_hosts
        self._apps = context.apps
        self._governors = Governors(specs, context.groups)
        self._schedules = Schedules(specs)
        self._memory = ContactMemory(kind, specs, context, local_hosts.names_of)
        self._waiting = WaitingCases(GRACE_NS, MAX_WAITING)
        self._allows = np.array([spec.allow is not None for spec in specs])
        self._are_of_network = np.array([parse_scope(spec.scope, context.groups).is_network for spec in specs])

    def evaluate(self, view: View, now_ns: int, hosts: Roster) -> Iterable[Alert]:
        """Return an alert for each thing that a rule does not allow, and that was not told yet."""
        self._local_hosts.update(hosts)
        self._memory.begin(now_ns)
        due = self._waiting.take_due(now_ns)
        cases = self._find_cases(view.contacts, now_ns, hosts)
        if not len(cases) and not len(due):
            return ()
        violates, is_undecided = self._judge(cases)
        is_undecided &= violates
        self._waiting.settle(cases.select(~is_undecided))
        no_room = self._waiting.add(cases.select(is_undecided))
        still, _ = self._judge(due)
        found = cases.select(violates & ~is_undecided).join(no_room).join(due.select(still))
        return self._tell(found, hosts)

    def restore(self, memory: Memory) -> None:
        """See `Family`."""
        self._memory.restore(memory)

    def adopt(self, old: Self) -> None:
        """See `Family`."""
        new_rules = match_specs(old._specs, self._specs)
        self._memory.adopt(old._memory, new_rules)
        self._waiting.adopt(old._waiting, new_rules)

    def close(self, now_ns: int, hosts: Roster) -> Iterable[Alert]:  # noqa: ARG002 - what is told once is not open
        """See `Family`."""
        return ()

    def take_changes(self, changes: Changes) -> None:
        """See `Family`."""
        changes.told += self._memory.take_changes()

    def n_bytes(self) -> int:
        """See `Family`."""
        return self._memory.n_bytes() + self._waiting.n_bytes()

    def _find_cases(self, contacts: NDArray[np.void], now_ns: int, hosts: Roster) -> Cases:
        """Return the cases of rules that hold now."""
        if not len(contacts):
            return NO_CASES
        rows = self._local_hosts.rows_of(contacts["local"])
        is_known = rows != GONE
        cases = self._governors.find(contacts[is_known], rows[is_known], hosts, now_ns)
        return cases.select(self._schedules.holding(now_ns)[cases.rules])

    def _judge(self, cases: Cases) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which cases their rules do not allow, and which may look different in a moment."""
        are_listed, are_undecided = self._lists.match(cases.contacts, cases.rules)
        violates = are_listed != self._allows[cases.rules]
        if self.key == "apps":
            violates &= have_application(cases.contacts)
        return violates, are_undecided

    def _tell(self, cases: Cases, hosts: Roster) -> list[Alert]:
        """Return the alerts of cases that are neither learnt nor told."""
        rows = self._local_hosts.rows_of(cases.contacts["local"])
        cases, rows = cases.select(rows != GONE), rows[rows != GONE]
        devices = self._local_hosts.ids_of(hosts, rows)
        devices[self._are_of_network[cases.rules]] = 0
        is_foreign = self._memory.find_foreign(cases, devices)
        news = self._memory.take_news(cases.select(is_foreign), devices[is_foreign])
        contacts = news.cases.contacts
        names = self._local_hosts.names_of(contacts["peer"])
        subjects = [hosts.subject(row) for row in self._local_hosts.rows_of(contacts["local"]).tolist()]
        return [self._alert(news, index, subjects[index], names[index]) for index in range(len(names))]

    def _alert(self, news: News, index: int, host: Subject, peer_name: str) -> Alert:
        contact, rule = news.cases.contacts[index], int(news.cases.rules[index])
        spec = self._specs[rule]
        peer = Subject(key_to_text(contact["peer"].tobytes()), peer_name)
        service = service_text(int(contact["protocol"]), int(contact["port"]))
        app = self._apps.get(int(contact["app"]), "unknown")
        evidence: dict[str, object] = {
            "peer": peer.host,
            "peer_name": peer.name,
            "role": ROLES[contact["role"]],
            "service": service,
            "app": app,
            "bytes_in": int(contact["bytes_in"]),
            "bytes_out": int(contact["bytes_out"]),
            "first_seen": format_time(int(contact["first_ns"])),
        }
        subject = host
        if self._are_of_network[rule]:
            subject = Subject()
            evidence |= {"host": host.host, "host_name": host.name}
        reason = (
            f"{format_subject(host)} {_DEEDS[self.key][contact['role']].format(service=service, app=app)} "
            f"{format_subject(peer)}, which rule {spec.name!r} {'does not allow' if self._allows[rule] else 'denies'}"
        )
        if news.n_more[index]:
            evidence["more"] = news.n_more[index]
            reason += f"; and {news.n_more[index]} more at this moment"
        if news.is_last[index]:
            reason += "; no more of this device is told today"
        return fire_alert(
            spec,
            subject,
            ts_ns=int(news.cases.ts_ns[index]),
            since_ns=int(contact["first_ns"]),
            item=news.items[index],
            reason=reason,
            evidence=evidence,
        )
