"""Cases: contacts, each with the rule that judges it; and those that wait until more is known of them.

What it does not do: judge.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fastmon.model.services import CLIENT, CONTACT_DTYPE, SERVER
from fastmon.policy.contact_keys import join_keys
from fastmon.policy.scopes import NO_SCOPE, ScopeTable, parse_scope

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fastmon.policy.hosts import Roster
    from fastmon.policy.specs import AppsSpec, PeersSpec, PortsSpec

__all__ = ["NO_CASES", "Cases", "Governors", "WaitingCases"]


@dataclass(frozen=True, slots=True, eq=False)
class Cases:
    """Contacts to be judged. A contact has a case for each rule that governs its host.

    contacts: (n,) `CONTACT_DTYPE`.  rules: (n,) int64, indices.  ts_ns: (n,) int64, when each is judged.
    """

    contacts: NDArray[np.void]
    rules: NDArray[np.int64]
    ts_ns: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of cases."""
        return len(self.rules)

    def select(self, chosen: NDArray[np.bool_] | NDArray[np.intp]) -> Cases:
        """Return some of the cases."""
        return Cases(self.contacts[chosen], self.rules[chosen], self.ts_ns[chosen])

    def join(self, other: Cases) -> Cases:
        """Return these cases and others."""
        return Cases(
            np.concatenate((self.contacts, other.contacts)),
            np.concatenate((self.rules, other.rules)),
            np.concatenate((self.ts_ns, other.ts_ns)),
        )

    def identities(self, *more: str) -> NDArray[np.bytes_]:
        """Return what tells cases apart, as far as it does not change: rule, host, service and peer. more: further fields."""
        fields = {name: self.contacts[name] for name in ("role", "protocol", "port", "peer", *more)}
        return join_keys(len(self), rule=self.rules, device=self.contacts["local"], **fields)


NO_CASES = Cases(np.empty(0, CONTACT_DTYPE), np.empty(0, np.int64), np.empty(0, np.int64))


class Governors:
    """Finds the rules that govern contacts: for each role of the host, one that allows and one that denies, and the network's.

    Of the rules on hosts, that with the most specific scope governs; of those on the network, the first.
    """

    def __init__(self, specs: Sequence[PortsSpec | AppsSpec | PeersSpec], groups: Mapping[str, Sequence[str]]) -> None:
        scopes = [parse_scope(spec.scope, groups) for spec in specs]
        self._groups: list[tuple[int, NDArray[np.int64], ScopeTable]] = []
        self._of_network: list[tuple[int, int]] = []
        for role, name in ((CLIENT, "client"), (SERVER, "server")):
            for allows in (True, False):
                rules = [i for i, spec in enumerate(specs) if spec.role in (name, "both") and (spec.allow is not None) == allows]
                on_hosts = [rule for rule in rules if not scopes[rule].is_network]
                if on_hosts:
                    self._groups.append((role, np.array(on_hosts), ScopeTable([scopes[rule] for rule in on_hosts])))
                self._of_network += [(role, rule) for rule in rules if scopes[rule].is_network][:1]

    def find(self, contacts: NDArray[np.void], rows: NDArray[np.intp], hosts: Roster, now_ns: int) -> Cases:
        """Return the cases of contacts. rows: those of their local hosts.

        A host is a server where it answers; one that is merely asked offers nothing.
        """
        counts = (contacts["role"] == CLIENT) | (contacts["answered"] != 0)
        by_role = [np.flatnonzero((contacts["role"] == role) & counts) for role in (CLIENT, SERVER)]
        unique, inverse = np.unique(rows, return_inverse=True)
        found = [(by_role[role], np.full(len(by_role[role]), rule)) for role, rule in self._of_network]
        for role, rules, table in self._groups:
            at = by_role[role]
            if len(at):
                assigned = table.assign(hosts, unique)[inverse[at]]
                is_governed = assigned != NO_SCOPE
                found.append((at[is_governed], rules[assigned[is_governed]]))
        if not found:
            return NO_CASES
        places, governing = (np.concatenate(part) for part in zip(*found, strict=True))
        return Cases(contacts[places], governing, np.full(len(places), now_ns))


class WaitingCases:
    """Cases that are undecided: each once, for `grace_ns` at most. No more than `max_cases` wait."""

    def __init__(self, grace_ns: int, max_cases: int) -> None:
        self._grace_ns = grace_ns
        self._max_cases = max_cases
        self._cases = NO_CASES

    def settle(self, decided: Cases) -> None:
        """Forget those that are decided by now."""
        if len(self._cases) and len(decided):
            self._cases = self._cases.select(~np.isin(self._cases.identities(), decided.identities()))

    def add(self, cases: Cases) -> Cases:
        """Let cases wait, but for those that do already; return those that there is no room for."""
        if not len(cases):
            return cases
        identities, first = np.unique(cases.identities("app"), return_index=True)
        cases = cases.select(np.sort(first[~np.isin(identities, self._cases.identities("app"))]))
        fits = np.arange(len(cases)) < self._max_cases - len(self._cases)
        waiting = cases.select(fits)
        self._cases = self._cases.join(replace(waiting, ts_ns=waiting.ts_ns + self._grace_ns))
        return cases.select(~fits)

    def take_due(self, now_ns: int) -> Cases:
        """Return those that have waited long enough, and forget them; after a step of the clock back, forget all."""
        waiting = self._cases
        if not len(waiting):
            return waiting
        is_due = waiting.ts_ns <= now_ns
        self._cases = waiting.select(~is_due & (waiting.ts_ns <= now_ns + self._grace_ns))
        return waiting.select(is_due)

    def adopt(self, old: WaitingCases, new_rules: NDArray[np.int64]) -> None:
        """Take over the cases of `old` whose rules go on. new_rules: their indices, by the old ones; negative: none."""
        cases = replace(old._cases, rules=new_rules[old._cases.rules])
        self._cases = cases.select(cases.rules >= 0)

    def n_bytes(self) -> int:
        """Return how much memory it takes."""
        return self._cases.contacts.nbytes + self._cases.rules.nbytes + self._cases.ts_ns.nbytes
