"""Hosts whose counters grow, and the views of them that rules get at ticks."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fastmon.model.addresses import key_from_text
from fastmon.model.conversations import APP_DTYPE
from fastmon.model.memory import Memory, OpenIncident, PeriodTotal
from fastmon.model.services import CONTACT_DTYPE, FANOUT_DTYPE, OPENING_DTYPE, PEER_DTYPE, SERVICE_DTYPE
from fastmon.model.snapshot import HOST_DTYPE, Count, Counters, Dropped, Interval, Snapshot
from fastmon.policy.rules import View
from fastmon.policy.ruleset import RuleSet

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from fastmon.model.alerts import Alert
    from fastmon.model.counters import SourceCounts
    from fastmon.model.memory import Changes
    from fastmon.model.names import NameBook

S = 1_000_000_000
MINUTE, HOUR, DAY = 60 * S, 3600 * S, 86_400 * S
T0 = 1_767_225_600 * S
"""2026-01-01T00:00:00Z, a Thursday."""


@dataclass(frozen=True, slots=True, eq=False)
class Totals(Snapshot):
    """Totals with services."""

    services: NDArray[np.void] = field(default_factory=lambda: np.empty(0, SERVICE_DTYPE))


@dataclass
class Host:
    """One host's counters."""

    address: str
    first_ns: int
    local: bool = True
    mac: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    packets_in: int = 0
    packets_out: int = 0
    opened: int = 0
    failed: int = 0
    last_ns: int = 0
    apps: dict[int, int] = field(default_factory=dict)
    services: dict[tuple[int, int, int], int] = field(default_factory=dict)


class World:
    """Hosts in the order of their rows, and what a run would show of them."""

    def __init__(self) -> None:
        self.hosts: list[Host] = []
        self.contacts: list[tuple[Any, ...]] = []
        self.fanout: list[tuple[str, int, int]] = []
        self.talks: list[tuple[str, str, int, int]] = []
        self.n_looks_at_talks = 0
        self.dropped = Dropped()
        self.sources: tuple[SourceCounts, ...] = ()
        self.frames = 0
        self.start_ns: int | None = None
        self.ticked_ns = 0

    def host(self, address: str, ts_ns: int = T0, **facts: Any) -> Host:
        """Return a host, which appears if it was not there."""
        for host in self.hosts:
            if host.address == address:
                return host
        self.hosts.append(Host(address, ts_ns, last_ns=ts_ns, **facts))
        if self.start_ns is None:
            self.start_ns = ts_ns
        return self.hosts[-1]

    def move(self, address: str, ts_ns: int, n_in: int = 0, n_out: int = 0, n_packets: int = 1) -> None:
        """Let a host receive and send bytes."""
        host = self.host(address, ts_ns)
        host.bytes_in += n_in
        host.bytes_out += n_out
        host.packets_in += n_packets if n_in else 0
        host.packets_out += n_packets if n_out else 0
        host.last_ns = ts_ns
        self.frames += n_packets

    def evict(self, *addresses: str) -> None:
        """Let hosts lose their rows."""
        self.hosts = [host for host in self.hosts if host.address not in addresses]

    def totals(self, now_ns: int) -> Totals:
        """Return the totals of a tick."""
        rows = np.zeros(len(self.hosts), HOST_DTYPE)
        for row, host in zip(rows, self.hosts, strict=True):
            row["key"] = np.frombuffer(key_from_text(host.address), np.uint8)
            for name in ("bytes_in", "bytes_out", "packets_in", "packets_out"):
                row[name] = getattr(host, name)
            row["first_seen_ns"], row["last_seen_ns"] = host.first_ns, host.last_ns
        apps = [(index, app, n, 0, 1, 0) for index, host in enumerate(self.hosts) for app, n in sorted(host.apps.items())]
        services = [
            (index, *service, n, 0, 1, 0, 1, host.first_ns, host.last_ns)
            for index, host in enumerate(self.hosts)
            for service, n in sorted(host.services.items())
        ]
        ip = Count(self.frames, sum(host.bytes_in + host.bytes_out for host in self.hosts))
        local = np.array([host.local for host in self.hosts], np.bool_)
        start_ns = now_ns if self.start_ns is None else min(self.start_ns, now_ns)
        return Totals(
            interval=Interval(start_ns, now_ns),
            counters=replace(Counters(), ip=ip, frames=ip),
            hosts=rows,
            total_bytes_in=rows["bytes_in"],
            total_bytes_out=rows["bytes_out"],
            local=local,
            flagged=np.zeros(len(rows), np.bool_),
            macs=np.array([host.mac for host in self.hosts], np.uint64),
            apps=np.array(apps, APP_DTYPE),
            is_summary=True,
            services=np.array(services, SERVICE_DTYPE),
        )

    def view(self, now_ns: int) -> View:
        """Return what a rule sees at a tick."""
        self.ticked_ns = now_ns
        contacts, self.contacts = self.contacts, []
        addresses, fanout = [host.address for host in self.hosts], self.fanout
        openings = [(index, 0, host.opened, host.failed) for index, host in enumerate(self.hosts) if host.opened]
        return View(
            copy_totals=lambda: self.totals(now_ns),
            take_contacts=lambda: np.array(contacts, CONTACT_DTYPE),
            copy_openings=lambda: np.array(openings, OPENING_DTYPE),
            copy_fanout=lambda *_: np.array([(addresses.index(host), *numbers) for host, *numbers in fanout], FANOUT_DTYPE),
            copy_peers=self.peers,
            dropped=self.dropped,
            sources=self.sources,
        )

    def peers(self, keys: NDArray[np.uint8]) -> NDArray[np.void]:
        """Return what some hosts moved with their peers: `talks` has host, peer, bytes in and out."""
        self.n_looks_at_talks += 1
        wanted = [key.tobytes() for key in keys]
        found = [
            (list(key_from_text(peer)), n_in, n_out, wanted.index(key_from_text(host)), 0)
            for host, peer, n_in, n_out in self.talks
            if key_from_text(host) in wanted
        ]
        return np.array(found, PEER_DTYPE)


def rule_set(
    *specs: Any,
    groups: Mapping[str, Sequence[str]] | None = None,
    apps: Mapping[int, str] | None = None,
    names: NameBook | None = None,
    restored: Memory | None = None,
    previous: RuleSet | None = None,
) -> RuleSet:
    """Return a rule set."""
    return RuleSet(specs, groups=groups or {}, apps=apps or {1: "ssh"}, names=names, restored=restored, previous=previous)


def remember(*changes: Changes) -> Memory:
    """Return what is read back after some changes were kept, one after the other."""
    periods: dict[tuple[str, str], PeriodTotal] = {}
    incidents: dict[tuple[str, str, str], OpenIncident] = {}
    baselines = {}
    for each in changes:
        periods.update({(row.rule, row.subject): row for row in each.periods})
        incidents.update({(row.rule, row.subject, row.item): row for row in each.incidents})
        baselines.update({(row.rule, row.subject, row.bucket): row for row in each.baselines})
    kept = tuple(row for row in periods.values() if not row.is_closed)
    is_open = tuple(row for row in incidents.values() if not row.is_closed)
    return Memory(periods=kept, incidents=is_open, baselines=tuple(baselines.values()))


def tick_times(times_ns: Iterable[int]) -> list[int]:
    """Return the ticks of a run with frames of these times: of a silence, the first one and the last one."""
    return sorted({tick for ts_ns in times_ns for tick in (ts_ns // S * S, ts_ns // S * S + S)})


def brief(alerts: Iterable[Alert]) -> list[tuple[str, str, str, int]]:
    """Return the rule, subject, state and second since `T0` of each alert."""
    return [(alert.rule, alert.subject, alert.state, (alert.ts_ns - T0) // S) for alert in alerts]


def run(rules: RuleSet, world: World, *moves: tuple[int, str, int], until_ns: int = 0) -> list[Alert]:
    """Let hosts send at times, in order, and tick at each full second in between; return all alerts."""
    times = tick_times([*(ts_ns for ts_ns, _, _ in moves), *([until_ns - 1] if until_ns else [])])
    alerts: list[Alert] = []
    left = list(moves)
    for now_ns in times:
        while left and left[0][0] < now_ns:
            ts_ns, address, size = left.pop(0)
            world.move(address, ts_ns, n_out=size)
        if world.hosts and now_ns != world.ticked_ns:
            alerts += rules.evaluate(world.view(now_ns), now_ns)
    return alerts
