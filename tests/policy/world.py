"""A small network, written out: its hosts, their names and contacts, tick by tick, for one family of rules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastmon.model.addresses import key_from_text
from fastmon.model.alerts import Alert
from fastmon.model.conversations import LABELLED_BY
from fastmon.model.memory import Changes, Memory
from fastmon.model.names import NameBook, NameFact
from fastmon.model.services import CONTACT_DTYPE, FANOUT_DTYPE, OPENING_DTYPE, ROLES
from fastmon.model.snapshot import HOST_DTYPE, Counters, Interval, Snapshot
from fastmon.policy.hosts import Roster
from fastmon.policy.rules import Context, Family, View
from fastmon.policy.services import parse_service

S = 1_000_000_000
T0 = 1_767_225_600 * S
"""2026-01-01T00:00:00Z."""

APPS = {0: "unknown", 1: "http", 2: "https", 3: "dns", 4: "ssh", 5: "mqtt"}
_APP_NUMBERS = {name: number for number, name in APPS.items()}


def contact(
    local: str,
    peer: str,
    service: str = "tcp/443",
    *,
    role: str = "client",
    app: str = "unknown",
    by: str = "payload",
    answered: bool = True,
    at: float = 0,
    size: int = 100,
) -> NDArray[np.void]:
    """Return one contact that began `at` seconds after `T0`."""
    row = np.zeros(1, CONTACT_DTYPE)
    row["local"], row["peer"] = (np.frombuffer(key_from_text(text), np.uint8) for text in (local, peer))
    row["protocol"], row["port"] = parse_service(service)
    row["role"], row["app"], row["by"] = ROLES.index(role), _APP_NUMBERS[app], LABELLED_BY.index(by)
    row["answered"], row["first_ns"], row["last_ns"] = answered, T0 + int(at * S), T0 + int(at * S) + 1
    row["bytes_out"], row["packets_out"] = size, 1
    row["bytes_in"], row["packets_in"] = (2 * size, 1) if answered else (0, 0)
    return row


@dataclass
class Host:
    """One host. `last`: seconds after `T0` at which it was seen last; it was first seen `first` after. `sent`: packets."""

    address: str
    local: bool = True
    mac: int = 0
    first: float = 0
    last: float = 0
    sent: int = 1

    def send(self, at: float) -> None:
        """Let it send a packet."""
        self.last, self.sent = at, self.sent + 1


@dataclass
class World:
    """Hosts, and a roster that follows them."""

    hosts: list[Host]
    names: NameBook = field(default_factory=NameBook)
    groups: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.roster = Roster(self.names)

    @property
    def context(self) -> Context:
        return Context(groups=self.groups, apps=APPS, names=self.names, keeps=True)

    def call(self, address: str, name: str, source: str = "dns") -> None:
        """Let a host have a name."""
        self.names.record([NameFact(key_from_text(address), name, source)], T0)

    def totals(self) -> Snapshot:
        rows = np.zeros(len(self.hosts), HOST_DTYPE)
        for row, host in zip(rows, self.hosts, strict=True):
            row["key"] = np.frombuffer(key_from_text(host.address), np.uint8)
            row["first_seen_ns"], row["last_seen_ns"] = T0 + int(host.first * S), T0 + int(host.last * S)
            row["packets_out"] = host.sent
        sums = np.zeros(len(rows), np.uint64)
        return Snapshot(
            interval=Interval(T0, T0 + S),
            counters=Counters(),
            hosts=rows,
            total_bytes_in=sums,
            total_bytes_out=sums,
            local=np.array([host.local for host in self.hosts], np.bool_),
            flagged=np.zeros(len(rows), np.bool_),
            macs=np.array([host.mac for host in self.hosts], np.uint64),
            names=self.names,
        )

    def tick(
        self,
        family: Family,
        at: float,
        contacts: Sequence[NDArray[np.void]] = (),
        *,
        fanout: dict[str, tuple[int, int]] | None = None,
        probed: dict[str, tuple[int, int]] | None = None,
        openings: dict[str, tuple[int, int]] | None = None,
    ) -> list[Alert]:
        """Let a tick come, `at` seconds after `T0`.

        fanout, probed: peers and ports, by host.  openings: opened and failed since the start, by host.
        """
        joined = np.concatenate([*contacts, np.empty(0, CONTACT_DTYPE)])
        view = View(
            copy_totals=self.totals,
            take_contacts=lambda: joined,
            copy_fanout=lambda _, probes: self._rows(FANOUT_DTYPE, ("peers", "ports"), (probed if probes else fanout) or {}),
            copy_openings=lambda: self._rows(OPENING_DTYPE, ("opened", "failed"), openings or {}),
        )
        assert view.totals is not None
        self.roster.update(view.totals)
        return list(family.evaluate(view, T0 + int(at * S), self.roster))

    def _rows(self, dtype: np.dtype[Any], names: Iterable[str], values: dict[str, tuple[int, int]]) -> NDArray[np.void]:
        addresses = [host.address for host in self.hosts]
        rows = np.zeros(len(values), dtype)
        for row, (address, numbers) in zip(rows, values.items(), strict=True):
            row["host"] = addresses.index(address)
            for name, number in zip(names, numbers, strict=True):
                row[name] = number
        return rows


def survive(*families: Family, is_last: bool = True) -> Memory:
    """Return what a restart finds. is_last: the run has come to its end."""
    changes = Changes(is_last=is_last)
    for family in families:
        family.take_changes(changes)
    return Memory(*(tuple(getattr(changes, name)) for name in ("periods", "incidents", "told", "devices", "baselines", "days")))
