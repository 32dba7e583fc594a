"""Evidence: what a host was doing when an alert was raised.

What it does not do: decide what is worth an alert.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastmon.model.addresses import key_to_text
from fastmon.model.protocols import service_text
from fastmon.model.rows import find_smallest
from fastmon.model.services import CONTACT_DTYPE, ROLES
from fastmon.policy.measures import services_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fastmon.model.snapshot import Snapshot
    from fastmon.policy.rules import View

__all__ = ["Witness"]

_N_TOP = 5

_MAX_CONTACTS = 1 << 12
"""Contacts of earlier ticks that are remembered."""

_MAX_LOOKED_AT = 1 << 8
"""Contacts of one host, from the last one on, in which its peers are looked for."""

_MAX_TOLD = 1 << 8
"""Alerts of one tick that get evidence; more of them explain each other, and nobody waits for their details."""


class Witness:
    """Remembers the last contacts, and describes hosts from these and from the totals of a tick.

    apps: the applications' names, by their numbers.
    """

    def __init__(self, apps: Mapping[int, str] | None = None) -> None:
        self._apps = apps or {}
        self._contacts = np.empty(0, CONTACT_DTYPE)
        self._totals: Snapshot | None = None
        self._n_told = 0

    def observe(self, view: View) -> None:
        """Look at a tick."""
        self._totals = view.totals
        self._n_told = 0
        if len(view.contacts):
            self._contacts = np.concatenate([self._contacts[-_MAX_CONTACTS:], view.contacts])

    def release(self) -> None:
        """Let go of the tick's totals."""
        self._totals = None
        self._contacts = self._contacts[-_MAX_CONTACTS:]

    def of_host(self, row: int) -> dict[str, object]:
        """Return a host's top applications and services with their bytes, in and out, since the start, and its last peers.

        What is not known is left out.
        """
        totals = self._totals
        if totals is None or self._n_told >= _MAX_TOLD:
            return {}
        self._n_told += 1
        apps, services = _rows_of(totals.apps, row), _rows_of(services_of(totals), row)
        contacts = self._contacts[(self._contacts["local"] == totals.hosts["key"][row]).all(axis=1)]
        return _present(
            total_bytes=int(totals.hosts["bytes_in"][row] + totals.hosts["bytes_out"][row]),
            apps=self._name_apps(apps["app"], _bytes_of(apps)),
            services={_name_service(services[at]): n_bytes for at, n_bytes in _top(_bytes_of(services))},
            recent_peers=_recent_peers(contacts),
        )

    def of_network(self) -> dict[str, object]:
        """Return the hosts and applications that moved most since the start."""
        totals = self._totals
        if totals is None:
            return {}
        top = totals.top(_N_TOP)
        hosts = dict(zip(top.host_texts(), _bytes_of(top.hosts).tolist(), strict=True))
        apps = totals.app_totals
        return _present(
            total_bytes=totals.counters.ip.bytes,
            hosts=hosts,
            apps=self._name_apps(apps["app"], apps["bytes"]),
        )

    def _name_apps(self, numbers: NDArray[np.uint8], n_bytes: NDArray[np.uint64]) -> dict[str, int]:
        return {self._apps.get(int(numbers[at]), str(numbers[at])): value for at, value in _top(n_bytes)}


def _present(**facts: object) -> dict[str, object]:
    return {name: value for name, value in facts.items() if value}


def _rows_of(entries: NDArray[np.void], host: int) -> NDArray[np.void]:
    """Return the entries of a host. They are ordered by host."""
    start, end = np.searchsorted(entries["host"], [host, host + 1])
    return entries[start:end]


def _bytes_of(rows: NDArray[np.void]) -> NDArray[np.uint64]:
    moved: NDArray[np.uint64] = rows["bytes_in"] + rows["bytes_out"]
    return moved


def _top(n_bytes: NDArray[np.uint64]) -> Sequence[tuple[int, int]]:
    """Return the indices and values of the greatest, greatest first."""
    best = find_smallest([~n_bytes], _N_TOP)
    return list(zip(best.tolist(), n_bytes[best].tolist(), strict=True))


def _name_service(service: np.void) -> str:
    text = service_text(int(service["protocol"]), int(service["port"]))
    return text if ROLES[service["role"]] == "client" else f"{text} (server)"


def _recent_peers(contacts: NDArray[np.void]) -> list[str]:
    """Return the peers of the last conversations, the last one first. What these have moved since is not known here."""
    peers = dict.fromkeys(peer.tobytes() for peer in contacts["peer"][: -_MAX_LOOKED_AT - 1 : -1])
    return [key_to_text(peer) for peer in list(peers)[:_N_TOP]]
