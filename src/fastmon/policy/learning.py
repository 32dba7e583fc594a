"""Learning: what local devices do in a run, as rules that allow just that, to be reviewed.

It learns by the measure that the rules will judge by: a client's contacts count when it opens them, a server's when it answers,
and an application when a payload has told it, or nothing better has come for a while.

What it does not do: guard. The text of the rules is `learnt_rules`'.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastmon.model.addresses import key_to_text
from fastmon.model.services import CLIENT
from fastmon.model.vendors import vendor_of
from fastmon.policy.contact_cases import Cases, WaitingCases
from fastmon.policy.contact_keys import KEY_BYTES, join_keys, split_keys
from fastmon.policy.contacts import GRACE_NS, MAX_WAITING
from fastmon.policy.devices import LocalHosts, device_text
from fastmon.policy.hosts import Roster
from fastmon.policy.key_index import GONE
from fastmon.policy.learnt_rules import Habits, write_rules
from fastmon.policy.lists import are_guesses, have_application

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from fastmon.model.alerts import Alert
    from fastmon.model.names import NameBook
    from fastmon.policy.rules import View

__all__ = ["Learner"]

MAX_ITEMS = 1 << 18
"""Different things that are remembered, of all hosts: a service and a peer, or an application."""

MAX_ITEMS_OF_HOST = 1 << 12

_SERVICE_FIELDS = ("role", "protocol", "port", "peer")
_APP_FIELDS = ("role", "app")
_HOST_BYTES = slice(2, 18)


class Learner:
    """A rule without alerts: it watches a run, and writes down what it saw.

    apps: the applications' names, by their numbers.  names: the book of hosts' names.
    """

    wants_ticks = True

    def __init__(self, apps: Mapping[int, str], names: NameBook | None = None) -> None:
        self._apps = apps
        self._hosts = Roster(names)
        self._local_hosts = LocalHosts(names)
        self._waiting = WaitingCases(GRACE_NS, MAX_WAITING)
        self._services = _Tally()
        self._uses = _Tally()
        self._now_ns = 0

    def evaluate(self, view: View, now_ns: int) -> Iterable[Alert]:
        """Look at a tick. It has no alerts."""
        if view.totals is None:
            return ()
        self._now_ns = now_ns
        self._hosts.update(view.totals)
        self._local_hosts.update(self._hosts)
        contacts = view.contacts
        counts = (contacts["role"] == CLIENT) | (contacts["answered"] != 0)
        contacts = contacts[counts & (self._local_hosts.rows_of(contacts["local"]) != GONE)]
        self._services.add(_keys(contacts, _SERVICE_FIELDS), contacts["first_ns"])
        contacts = contacts[have_application(contacts)]
        cases = Cases(contacts, np.zeros(len(contacts), np.int64), np.full(len(contacts), now_ns))
        is_guess = are_guesses(contacts)
        self._waiting.settle(cases.select(~is_guess))
        no_room = self._waiting.add(cases.select(is_guess))
        for part in (cases.select(~is_guess), no_room, self._waiting.take_due(now_ns)):
            self._note_uses(part)
        return ()

    def to_toml(self) -> str:
        """Return rules for all devices that were seen, as a part of a configuration file.

        Names of peers are those that are known now. Applications that are still guesses are taken as they are.
        """
        self._note_uses(self._waiting.take_due(self._now_ns + GRACE_NS))
        return write_rules(self._devices(), self._services.n_skipped + self._uses.n_skipped)

    def _note_uses(self, cases: Cases) -> None:
        self._uses.add(_keys(cases.contacts, _APP_FIELDS), cases.contacts["first_ns"])

    def _devices(self) -> list[Habits]:
        """Return what each device does, in the order of their first hosts."""
        habits: dict[bytes, Habits] = {}
        of_hosts: dict[bytes, Habits] = {}
        hosts = self._hosts
        services, uses = self._services, self._uses
        rows = self._local_hosts.rows_of(np.unique(np.concatenate((services.hosts(), uses.hosts())), axis=0))
        rows = np.sort(rows[rows != GONE])
        for row, device in zip(rows.tolist(), self._local_hosts.ids_of(hosts, rows), strict=True):
            subject = hosts.subject(row)
            found = habits.setdefault(device.tobytes(), Habits(device_text(device.tobytes())))
            found.addresses.append(subject.host)
            found.name = found.name or subject.name
            found.vendor = found.vendor or vendor_of(int(hosts.macs[row])) or ""
            of_hosts[hosts.hosts["key"][row].tobytes()] = found
        peers = np.unique(services.fields["peer"], axis=0)
        names = dict(zip(map(np.ndarray.tobytes, peers), self._local_hosts.names_of(peers), strict=True))
        for item, n in zip(services.fields, services.counts.tolist(), strict=True):
            found, key = of_hosts[item["device"].tobytes()], item["peer"].tobytes()
            peer = key_to_text(key)
            found.services[int(item["role"]), int(item["protocol"]), int(item["port"])] += n
            found.peers[peer] += n
            found.peer_names[peer] = names[key]
        for item, n in zip(uses.fields, uses.counts.tolist(), strict=True):
            of_hosts[item["device"].tobytes()].apps[self._apps.get(int(item["app"]), "unknown")] += n
        return list(habits.values())


class _Tally:
    """How many conversations there were of each of some things.

    counts: the numbers, in the order of `fields`.  n_skipped: things that did not fit.
    """

    def __init__(self) -> None:
        self._keys = np.empty(0, f"S{KEY_BYTES}")
        self.counts = np.empty(0, np.int64)
        self._last_ns = np.empty(0, np.int64)
        self.n_skipped = 0

    def add(self, keys: NDArray[np.bytes_], first_ns: NDArray[np.int64]) -> None:
        """Add conversations. One that was counted before is told by its first frame, which is no later than the last one's."""
        if not len(keys):
            return
        self._make_room(np.unique(keys))
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        is_new = (self._keys[at] == keys) & (first_ns > self._last_ns[at])
        pairs = np.unique(np.stack((at[is_new], first_ns[is_new]), axis=1), axis=0)
        np.add.at(self.counts, pairs[:, 0], 1)
        np.maximum.at(self._last_ns, pairs[:, 0], pairs[:, 1])

    @property
    def fields(self) -> NDArray[np.void]:
        """The fields of all keys, in their order."""
        return split_keys(self._keys)

    def hosts(self) -> NDArray[np.uint8]:
        """Return the host of each key."""
        hosts: NDArray[np.uint8] = self.fields["device"]
        return hosts

    def _make_room(self, keys: NDArray[np.bytes_]) -> None:
        """Make a place for each of some keys, given once each and in order, that has none, as far as there is room."""
        new = keys[~np.isin(keys, self._keys)]
        hosts, places = np.unique(_hosts_of(new), return_inverse=True)
        before = np.searchsorted(_hosts_of(self._keys), hosts, "right") - np.searchsorted(_hosts_of(self._keys), hosts)
        ranks = np.arange(len(new)) - np.searchsorted(places, places)
        fits = before[places] + ranks < MAX_ITEMS_OF_HOST
        fits &= np.cumsum(fits) <= MAX_ITEMS - len(self._keys)
        self.n_skipped += int(np.count_nonzero(~fits))
        joined = np.concatenate((self._keys, new[fits]))
        order = np.argsort(joined, kind="stable")
        n_new = len(joined) - len(self._keys)
        self._keys = joined[order]
        self.counts = np.concatenate((self.counts, np.zeros(n_new, np.int64)))[order]
        self._last_ns = np.concatenate((self._last_ns, np.full(n_new, -(1 << 62), np.int64)))[order]


def _keys(contacts: NDArray[np.void], names: Sequence[str]) -> NDArray[np.bytes_]:
    return join_keys(len(contacts), device=contacts["local"], **{name: contacts[name] for name in names})


def _hosts_of(keys: NDArray[np.bytes_]) -> NDArray[np.bytes_]:
    """Return the host's part of each key."""
    parts = np.ascontiguousarray(keys.view(np.uint8).reshape(-1, KEY_BYTES)[:, _HOST_BYTES])
    return parts.view("S16").ravel()
