"""Evidence: what hosts, devices and the network were doing when alerts were raised.

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
from fastmon.policy.key_index import GONE
from fastmon.policy.measures import services_of
from fastmon.policy.scopes import parse_mac
from fastmon.policy.subjects import NO_ROWS

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

_MAX_ADDRESSES = 16
"""Addresses of a device that are told: those that moved most."""

_ABOUT_SUMS = frozenset({"total", "rate", "baseline"})
"""Kinds of rules that can be about the sums of all hosts."""


def add_evidence(alerts: Sequence[Alert], view: View, hosts: Roster, apps: Mapping[int, str]) -> list[Alert]:
    """Return the alerts of a tick; those that fire, with what their subject was doing.

    view: of the tick.  hosts: its roster.  apps: the applications' names, by their numbers.
    """
    firing = [alert for alert in alerts if alert.state == FIRING]
    if view.totals is None or not firing:
        return list(alerts)
    subjects = list(dict.fromkeys(alert.host for alert in firing if alert.host))[:_MAX_HOSTS]
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
    """Return what is known of some hosts, and of some devices, by their MACs."""
    rows_of = _rows_of_subjects(subjects, hosts)
    if not rows_of:
        return {}
    every = np.unique(np.concatenate([*rows_of.values()]))
    peers = view.peers(hosts.keys[every])
    of_peers = every[peers["host"]]
    found: dict[str, dict[str, object]] = {}
    for subject, rows in rows_of.items():
        found[subject] = _of_rows(totals, rows, peers[np.isin(of_peers, rows)], apps)
        if parse_mac(subject) is not None:
            found[subject] |= _addresses_of(rows, hosts)
    return found


def _rows_of_subjects(subjects: Sequence[str], hosts: Roster) -> dict[str, NDArray[np.intp]]:
    """Return the rows of each subject's hosts, ascending; of those that have any."""
    macs = {mac: subject for subject in subjects if (mac := parse_mac(subject)) is not None}
    of_macs = np.flatnonzero(hosts.local & np.isin(hosts.macs, np.array([*macs], np.uint64))) if macs else NO_ROWS
    found = {subject: of_macs[hosts.macs[of_macs] == mac] for mac, subject in macs.items()}
    addresses = [subject for subject in subjects if subject not in found]
    keys = np.frombuffer(b"".join(map(key_from_text, addresses)), np.uint8).reshape(-1, 16)
    found |= {subject: rows[rows != GONE] for subject, rows in zip(addresses, hosts.rows_of(keys).reshape(-1, 1), strict=True)}
    return {subject: rows for subject, rows in found.items() if len(rows)}


def _addresses_of(rows: NDArray[np.intp], hosts: Roster) -> dict[str, object]:
    """Return the addresses of a device, with the bytes of each since the start, and its names if it has several."""
    moved = {key_to_text(hosts.keys[rows[at]].tobytes()): n for at, n in _top(_bytes_of(hosts.hosts[rows]), _MAX_ADDRESSES)}
    names = [*dict.fromkeys(filter(None, map(hosts.name, rows.tolist())))][:_MAX_ADDRESSES]
    return {"addresses": moved} | ({"names": names} if len(names) > 1 else {})


def _of_rows(totals: Snapshot, rows: NDArray[np.intp], talks: NDArray[np.void], apps: Mapping[int, str]) -> dict[str, object]:
    """Return what hosts moved since the start, their top applications and services, and top peers of running conversations.

    Bytes are in and out together. What is not known is left out.
    """
    of_apps, app_bytes = _sum_up(totals.apps, rows, "app")
    services, service_bytes = _sum_up(services_of(totals), rows, "role", "protocol", "port")
    return _present(
        total_bytes=int(_bytes_of(totals.hosts[rows]).sum()),
        apps=_name_apps(apps, of_apps["app"], app_bytes),
        services={_name_service(services[at]): n_bytes for at, n_bytes in _top(service_bytes)},
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


def _sum_up(entries: NDArray[np.void], hosts: NDArray[np.intp], *names: str) -> tuple[NDArray[np.void], NDArray[np.uint64]]:
    """Return what hosts have among entries, and its bytes: entries alike in some fields are one, in place of the first of them.

    entries: ordered by host.
    """
    bounds = np.searchsorted(entries["host"], [hosts, hosts + 1])
    found = np.concatenate([entries[start:end] for start, end in bounds.T.tolist()])
    if len(hosts) == 1:
        return found, _bytes_of(found)
    _, firsts, places = np.unique(found[[*names]], return_index=True, return_inverse=True)
    moved = np.zeros(len(firsts), np.uint64)
    np.add.at(moved, places, _bytes_of(found))
    order = np.argsort(firsts)
    return found[firsts[order]], moved[order]


def _bytes_of(rows: NDArray[np.void]) -> NDArray[np.uint64]:
    moved: NDArray[np.uint64] = rows["bytes_in"] + rows["bytes_out"]
    return moved


def _top(n_bytes: NDArray[np.uint64], n: int = _N_TOP) -> list[tuple[int, int]]:
    """Return the indices and values of the greatest, greatest first; of equal ones, the first."""
    best = find_smallest([~n_bytes], n)
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
