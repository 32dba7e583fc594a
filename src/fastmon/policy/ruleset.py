"""The rules of the configuration, as the one rule that a run evaluates.

What it does not do: know kinds of rules; their families do.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from fastmon.model.alerts import CLEARED, NETWORK, Alert
from fastmon.model.memory import Changes
from fastmon.policy.baseline import make_baselines
from fastmon.policy.contacts import make_apps, make_peers, make_ports
from fastmon.policy.days import DayBook
from fastmon.policy.duplicates import make_duplicate
from fastmon.policy.evidence import add_evidence
from fastmon.policy.failed import make_failed
from fastmon.policy.hosts import Roster
from fastmon.policy.loss import make_losses
from fastmon.policy.new_devices import make_new
from fastmon.policy.presence import make_silent
from fastmon.policy.rates import make_rates
from fastmon.policy.rules import Context
from fastmon.policy.scopes import parse_scope
from fastmon.policy.spread import make_spread
from fastmon.policy.totals import make_totals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import TypeAlias

    from fastmon.model.memory import Memory, OpenIncident
    from fastmon.model.names import NameBook
    from fastmon.policy.rules import Family, View
    from fastmon.policy.specs import AnySpec

    Maker: TypeAlias = Callable[[Sequence[Any], Context], Sequence[Family]]

__all__ = ["MAKERS", "RuleSet"]

MAKERS: dict[str, Maker] = {
    "total": make_totals,
    "rate": make_rates,
    "ports": make_ports,
    "apps": make_apps,
    "peers": make_peers,
    "spread": make_spread,
    "failed": make_failed,
    "new": make_new,
    "silent": make_silent,
    "duplicate": make_duplicate,
    "baseline": make_baselines,
    "loss": make_losses,
}
"""What makes the families of each kind of rule."""


class RuleSet:
    """All rules of a configuration.

    specs: what the rules are told; their names are unique.  groups: the members of each group, by its name.
    apps: the applications' names, by their numbers.  names: the book of hosts' names.
    restored: what an earlier run kept; empty at a first start; None if nothing is kept.
    previous: the rule set in whose place this one comes. Its counters and open incidents go on, for rules of the same name and
        meaning; other incidents clear. It must not be used afterwards.

    Raises ConfigError for a scope that is none.
    """

    wants_ticks = True

    def __init__(
        self,
        specs: Sequence[AnySpec],
        *,
        groups: Mapping[str, Sequence[str]],
        apps: Mapping[int, str],
        names: NameBook | None = None,
        restored: Memory | None = None,
        previous: RuleSet | None = None,
    ) -> None:
        if previous is None:
            self._context = Context(groups, apps, names, restored is not None)
        else:
            self._context = previous.make_context(groups, apps, names)
        by_kind: dict[str, list[AnySpec]] = {}
        for spec in specs:
            by_kind.setdefault(spec.kind, []).append(spec)
        if self._context.keeps:
            by_kind.setdefault("new", [])  # it keeps the book of devices, also without a rule
        watches_names = any(parse_scope(spec.scope, groups).names for spec in specs)
        made = [MAKERS[kind](of_kind, self._context) for kind, of_kind in by_kind.items()]
        self._families: list[Family] = list(chain.from_iterable(made))
        self._closing: list[Family] = []
        self._gone: list[Family] = []  # closed, but what they closed has not been taken
        self._orphans: list[OpenIncident] = []
        self._closed: list[OpenIncident] = []
        self._hosts = Roster(names)
        self._days = DayBook() if self._context.keeps else None
        if previous is not None:
            self._take_over(previous)
        self._hosts.watches_names = watches_names
        if restored is not None:
            self._restore(restored, {spec.name for spec in specs})

    @property
    def has_rules(self) -> bool:
        """Whether there is anything to evaluate."""
        return bool(self._families or self._closing or self._orphans)

    def evaluate(self, view: View, now_ns: int) -> Iterable[Alert]:
        """Return the alerts of a tick; none between ticks."""
        if view.totals is None:
            return []
        hosts = self._hosts
        hosts.update(view.totals)
        alerts = [_clear_orphan(incident, now_ns) for incident in self._orphans]
        self._orphans = []
        for family in self._closing:
            alerts += family.close(now_ns, hosts)
        if self._context.keeps:
            self._gone += self._closing
        self._closing = []
        for family in self._families:
            alerts += family.evaluate(view, now_ns, hosts)
        if self._days is not None:
            self._days.evaluate(view, now_ns, hosts)
        alerts = add_evidence(alerts, view, hosts, self._context.apps)
        _ = view.contacts  # takes them, whether or not a rule did: what piles up would be dropped
        hosts.release()
        return sorted(alerts, key=lambda alert: alert.ts_ns)  # a tick after a silence may have alerts of several moments

    def take_changes(self, *, is_last: bool = False) -> Changes:
        """Return what must survive, and has changed since the last call. is_last: there is no further call."""
        changes = Changes(incidents=self._closed, is_last=is_last)
        self._closed = []
        for family in chain(self._gone, self._closing, self._families):
            family.take_changes(changes)
        self._gone = []
        if self._days is not None:
            self._days.take_changes(changes)
        return changes

    def make_context(self, groups: Mapping[str, Sequence[str]], apps: Mapping[int, str], names: NameBook | None) -> Context:
        """Return what rules are made with that come in the place of these."""
        return replace(self._context, groups=groups, apps=apps, names=names)

    def n_bytes(self) -> int:
        """Return how much memory the rules' state takes."""
        of_days = 0 if self._days is None else self._days.n_bytes()
        return self._hosts.n_bytes() + of_days + sum(family.n_bytes() for family in self._families)

    def _take_over(self, previous: RuleSet) -> None:
        self._hosts, self._days = previous._hosts, previous._days
        old = {family.key: family for family in previous._families}
        for family in self._families:
            if family.key in old:
                family.adopt(old[family.key])
        self._closing = previous._closing + previous._families
        self._gone = previous._gone
        self._orphans, self._closed = previous._orphans, previous._closed

    def _restore(self, memory: Memory, rules: set[str]) -> None:
        for family in self._families:
            family.restore(memory)
        if self._days is not None:
            self._days.restore(memory)
        self._orphans = [each for each in memory.incidents if each.rule not in rules and not each.is_closed]
        self._closed = [_close(incident) for incident in self._orphans]


def _close(incident: OpenIncident) -> OpenIncident:
    return replace(incident, is_closed=True)


def _clear_orphan(incident: OpenIncident, now_ns: int) -> Alert:
    """Return the record that clears an earlier run's incident whose rule is no more."""
    since_ns = incident.data.get("since_ns")
    return Alert(
        id=incident.alert_id,
        rule=incident.rule,
        kind=str(incident.data.get("kind", "")),
        severity="info",
        scope="",
        ts_ns=now_ns,
        since_ns=since_ns if isinstance(since_ns, int) else now_ns,
        state=CLEARED,
        host="" if incident.subject == NETWORK else incident.subject,
        reason=f"{incident.subject}: rule removed",
    )
