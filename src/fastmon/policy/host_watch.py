"""What rules share that watch local hosts and tell of few at a time: `spread`, `failed` and `duplicate`.

What it does not do: measure anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic

import numpy as np

from fastmon.errors import ConfigError
from fastmon.model.addresses import key_from_text, key_to_text
from fastmon.policy.devices import LocalHosts
from fastmon.policy.families import SpecT, match_specs
from fastmon.policy.open_cases import OpenCase, OpenCases
from fastmon.policy.periods import Schedules
from fastmon.policy.scopes import NO_SCOPE, ScopeTable, parse_scope
from fastmon.policy.words import fire_alert

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray
    from typing_extensions import Self

    from fastmon.model.alerts import Alert
    from fastmon.model.memory import Changes, Memory
    from fastmon.policy.hosts import Roster
    from fastmon.policy.rules import Context
    from fastmon.policy.specs import RuleSpec

__all__ = ["HostWatch", "refuse_network"]


def refuse_network(specs: Sequence[RuleSpec], context: Context) -> None:
    """Raise ConfigError if one of the rules is on the network as a whole."""
    for spec in specs:
        if parse_scope(spec.scope, context.groups).is_network:
            raise ConfigError(f"rule {spec.name!r}: kind {spec.kind} is about hosts; use another scope than {spec.scope!r}")


class HostWatch(Generic[SpecT]):
    """Rules that compete for local hosts, and their open incidents. An incident's id is its host's address."""

    def __init__(self, key: Hashable, specs: Sequence[SpecT], context: Context) -> None:
        self.key = key
        self.specs = specs
        self.cases = OpenCases(specs, keeps=context.keeps)
        self._table = ScopeTable([parse_scope(spec.scope, context.groups) for spec in specs])
        self._schedules = Schedules(specs)
        self._local_hosts = LocalHosts(context.names)

    def begin(self, now_ns: int, hosts: Roster) -> None:
        """Look at the hosts of a tick."""
        self._local_hosts.update(hosts)
        self.cases.cool(now_ns)
        for case in self.cases.firing():
            case.last_ns = min(case.last_ns, now_ns)  # after a step of the clock back

    def find_rules(self, hosts: Roster, rows: NDArray[np.intp], now_ns: int) -> NDArray[np.int64]:
        """Return the rule that governs each host, if it holds now; else `NO_SCOPE`."""
        rules = self._table.assign(hosts, rows)
        holds = self._schedules.holding(now_ns)
        return np.where((rules != NO_SCOPE) & holds[rules], rules, NO_SCOPE)

    def id_of(self, hosts: Roster, row: int) -> str:
        """Return the id of a host's incident."""
        return key_to_text(hosts.hosts["key"][row].tobytes())

    def rows_of(self, cases: Sequence[OpenCase]) -> list[int]:
        """Return the rows of the hosts of incidents; `hosts.GONE` for those that are not there."""
        keys = np.frombuffer(b"".join(key_from_text(case.id) for case in cases), np.uint8).reshape(-1, 16)
        return list(map(int, self._local_hosts.rows_of(keys)))

    def fire(self, case: OpenCase, reason: str, evidence: Mapping[str, object], **facts: Any) -> Alert:
        """Return the alert of an incident that fires. facts: as `fire_alert` takes them."""
        window_ns: int = getattr(self.specs[case.rule], "window_ns", 0)
        return fire_alert(
            self.specs[case.rule],
            case.subject,
            ts_ns=case.since_ns,
            reason=reason,
            evidence=evidence,
            window_ns=window_ns,
            **facts,
        )

    def restore(self, memory: Memory) -> None:
        """See `Family`."""
        self.cases.restore(memory)

    def adopt(self, old: Self) -> None:
        """See `Family`."""
        self.cases.adopt(old.cases, match_specs(old.specs, self.specs))

    def close(self, now_ns: int, hosts: Roster) -> Iterable[Alert]:  # noqa: ARG002 - it has no columns
        """See `Family`."""
        return self.cases.close(now_ns)

    def take_changes(self, changes: Changes) -> None:
        """See `Family`."""
        self.cases.take_changes(changes)

    def n_bytes(self) -> int:
        """See `Family`."""
        return self.cases.n_bytes()
