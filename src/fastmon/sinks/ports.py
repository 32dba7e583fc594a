"""The services of a snapshot's hosts, as outputs show them: by role, then as "tcp/443".

What it does not do: choose or order hosts, lay anything out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from fastmon.model.protocols import service_text
from fastmon.model.services import ROLES
from fastmon.model.snapshot import Count
from fastmon.sinks.hosts import time_texts

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastmon.model.snapshot import Snapshot

__all__ = ["TopService", "host_ports", "top_services", "top_unknown"]

UseT = TypeVar("UseT")


class TopService(NamedTuple):
    """One service of one host, which is a row of the snapshot."""

    host: int
    role: str
    service: str
    bytes_in: int
    bytes_out: int
    conversations: int


def host_ports(chunk: Snapshot, make: Callable[..., UseT]) -> list[dict[str, dict[str, UseT]]]:
    """Return each host's services by role and service, those with most bytes first; none for hosts that are not local.

    make: called with bytes in and out, packets in and out, conversations, first and last seen as ISO-8601 in UTC.
    """
    by_host: list[dict[str, dict[str, UseT]]] = [{} for _ in range(len(chunk))]
    services = chunk.services
    services = services[np.lexsort((~(services["bytes_in"] + services["bytes_out"]), services["role"], services["host"]))]
    times = (time_texts(services[name]) for name in ("first_ns", "last_ns"))
    for (host, role, protocol, port, *numbers, _, _), first_seen, last_seen in zip(services.tolist(), *times, strict=True):
        use = make(*numbers, first_seen, last_seen)
        by_host[host].setdefault(ROLES[role], {})[service_text(protocol, port)] = use
    return by_host


def top_unknown(snapshot: Snapshot, n: int) -> dict[str, Count]:
    """Return the `n` ports with the most bytes behind traffic of no known application, as "tcp/5201", greatest first."""
    ports = snapshot.unknown_ports
    best = ports[np.argsort(~ports["bytes"], kind="stable")[:n]].tolist()
    return {service_text(protocol, port): Count(frames, n_bytes) for frames, n_bytes, port, protocol in best}


def top_services(snapshot: Snapshot, n: int) -> list[TopService]:
    """Return the `n` services with the most bytes of a snapshot's hosts, greatest first."""
    services = snapshot.services
    best = services[np.argsort(~(services["bytes_in"] + services["bytes_out"]), kind="stable")[:n]].tolist()
    return [
        TopService(host, ROLES[role], service_text(protocol, port), bytes_in, bytes_out, conversations)
        for host, role, protocol, port, bytes_in, bytes_out, _, _, conversations, *_ in best
    ]
