"""Evidence: what hosts, and the network, were doing when alerts were raised.

It is gathered once for all alerts of a tick: with one look at the conversations, and only if there are any.

What it does not do: decide what is worth an alert.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fastmon.model.addresses import key_from_text, key_to_text
from fastmon.model.alerts import FIRING
from fastmon.model.protocols import service_text
from fastmon.model.rows import find_smallest
from fastmon.model.services import ROLES
from fastmon.policy.hosts import GONE
from fastmon.policy.measures import services_of
from fastmon.policy.scopes import parse_mac

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fastmon.model.alerts import Alert
    from fastmon.model.snapshot import Snapshot
    from fastmon.policy.hosts import Roster
    from fastmon.policy.rules import View

__all__ = ["add_evidence"]

_N_TOP = 5

_MAX_HOSTS = 1 << 8
"""Hosts of one tick that get evidence; more of them explain each other, and nobody waits for their details."""

_ABOUT_SUMS = frozenset({"total", "rate", "baseline"})
"""Kinds of rules that can be about the sums of all hosts."""


def add_evidence(alerts: Sequence[Alert], view: View, hosts: Roster, apps: Mapping[int, str]) -> list[Alert]:
    """Return the alerts of a tick; those that fire, with what their subject was doing.

    view: of the tick.  hosts: its roster.  apps: the applications' names, by their numbers.
    """
    firing = [alert for alert in alerts if alert.state == FIRING]
    if view.totals is None or not firing:
        return list(alerts)
    addresses = (alert.host for alert in firing if alert.host and parse_mac(alert.host) is None)
    subjects = list(dict.fromkeys(addresses))[:_MAX_HOSTS]
    found = _of_hosts(subjects, view, view.totals, hosts, apps)
    if any(_is_about_sums(alert) for alert in firing):
        found[""] = _of_network(view.totals, apps)
    return [_with(alert, found) for alert in alerts]


def _is_about_sums(alert: Alert) -> bool:
    return not alert.host and alert.kind in _ABOUT_SUMS


def _with(alert: Alert, found: Mapping[str, dict[str, object]]) -> Alert:
    if alert.state != FIRING or alert.host not in found or not (alert.host or _is_about_sums(alert)):
        return alert
    return replace(alert, evidence={**alert.evidence, **found[alert.host]})


def _of_hosts(
    subjects: Sequence[str], view: View, totals: Snapshot, hosts: Roster, apps: Mapping[int, str]
) -> dict[str, dict[str, object]]:
    """Return what is known of some hosts."""
    if not subjects:
        return {}
    keys = np.frombuffer(b"".join(map(key_from_text, subjects)), np.uint8).reshape(-1, 16)
    peers = view.peers(keys)
    return {
        subject: _of_host(totals, row, peers[peers["host"] == index], apps)
        for index, (subject, row) in enumerate(zip(subjects, hosts.rows_of(keys).tolist(), strict=True))
        if row != GONE
    }


def _of_host(totals: Snapshot, row: int, talks: NDArray[np.void], apps: Mapping[int, str]) -> dict[str, object]:
    """Return what a host moved since the start, its top applications and services, and top peers of running conversations.

    Bytes are in and out together. What is not known is left out.
    """
    of_apps, services = _rows_of(totals.apps, row), _rows_of(services_of(totals), row)
    return _present(
        total_bytes=int(totals.hosts["bytes_in"][row] + totals.hosts["bytes_out"][row]),
        apps=_name_apps(apps, of_apps["app"], _bytes_of(of_apps)),
        services={_name_service(services[at]): n_bytes for at, n_bytes in _top(_bytes_of(services))},
        top_peers=_top_peers(talks),
    )


def _of_network(totals: Snapshot, apps: Mapping[int, str]) -> dict[str, object]:
    """Return the hosts and applications that moved most since the start."""
    top = totals.top(_N_TOP)
    of_apps = totals.app_totals
    return _present(
        total_bytes=totals.counters.ip.bytes,
        hosts=dict(zip(top.host_texts(), _bytes_of(top.hosts).tolist(), strict=True)),
        apps=_name_apps(apps, of_apps["app"], of_apps["bytes"]),
    )


def _present(**facts: object) -> dict[str, object]:
    return {name: value for name, value in facts.items() if value}


def _rows_of(entries: NDArray[np.void], host: int) -> NDArray[np.void]:
    """Return the entries of a host. They are ordered by host."""
    start, end = np.searchsorted(entries["host"], [host, host + 1])
    return entries[start:end]


def _bytes_of(rows: NDArray[np.void]) -> NDArray[np.uint64]:
    moved: NDArray[np.uint64] = rows["bytes_in"] + rows["bytes_out"]
    return moved


def _top(n_bytes: NDArray[np.uint64]) -> list[tuple[int, int]]:
    """Return the indices and values of the greatest, greatest first; of equal ones, the first."""
    best = find_smallest([~n_bytes], _N_TOP)
    return list(zip(best.tolist(), n_bytes[best].tolist(), strict=True))


def _name_apps(names: Mapping[int, str], numbers: NDArray[np.uint8], n_bytes: NDArray[np.uint64]) -> dict[str, int]:
    return {names.get(int(numbers[at]), str(numbers[at])): value for at, value in _top(n_bytes)}


def _name_service(service: np.void) -> str:
    text = service_text(int(service["protocol"]), int(service["port"]))
    return text if ROLES[service["role"]] == "client" else f"{text} (server)"


def _top_peers(talks: NDArray[np.void]) -> dict[str, int]:
    """Return the peers with the most bytes, of a host's `PEER_DTYPE`; of equal ones, the least addresses."""
    if not len(talks):
        return {}
    _, firsts, places = np.unique(np.ascontiguousarray(talks["peer"]).view("S16").ravel(), return_index=True, return_inverse=True)
    moved = np.zeros(len(firsts), np.uint64)
    np.add.at(moved, places, _bytes_of(talks))
    return {key_to_text(talks["peer"][firsts[at]].tobytes()): n_bytes for at, n_bytes in _top(moved)}
