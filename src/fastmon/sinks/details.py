"""What is known of a snapshot's hosts beside their counters: names, devices, applications.

What it does not do: choose or order hosts, lay anything out.
"""

from __future__ import annotations

from functools import cache, lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from fastmon.model.vendors import format_mac, vendor_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastmon.classify.online import OnlineService
    from fastmon.model.conversations import AppTraffic
    from fastmon.model.snapshot import Count, Snapshot

__all__ = ["HostDetails", "app_name", "host_details", "network_apps", "service_columns"]


class HostDetails(NamedTuple):
    """One host. Unknown values are empty.

    name, name_from: what it is called, and who says so.  service, category: the online service that the name belongs to.
    addresses: a device's.  apps: by name, those with most bytes first.
    """

    name: str = ""
    name_from: str = ""
    service: str = ""
    category: str = ""
    mac: str = ""
    vendor: str = ""
    addresses: Sequence[str] = ()
    apps: Mapping[str, AppTraffic] = MappingProxyType({})


@cache
def app_name(number: int) -> str:
    """Return an application's name in every output."""
    from fastmon.classify import APPLICATIONS  # it is there already where anything was classified

    return APPLICATIONS[number].name


@lru_cache(maxsize=4096)
def _service_of(name: str | None) -> OnlineService:
    """Return the service that a name belongs to, with empty values if there is none."""
    from fastmon.classify.online import NO_SERVICE, online_service_of

    return (online_service_of(name) if name else None) or NO_SERVICE


def service_columns(names: Sequence[str | None]) -> tuple[list[str], list[str]]:
    """Return the services that names belong to, and the categories of these; "" for a name without one."""
    found = [_service_of(name) for name in names]
    return [one.service for one in found], [one.category for one in found]


def host_details(chunk: Snapshot) -> list[HostDetails]:
    """Return the details of a snapshot's hosts, in their order; nothing is known where only hosts are accounted."""
    n_hosts = len(chunk)
    names: Sequence[tuple[str, str] | None] = [None] * n_hosts
    if chunk.names is not None:
        names = chunk.names.names_of(chunk.hosts["key"], chunk.local)
    macs = [0] * n_hosts if chunk.macs is None else chunk.macs.tolist()
    rows = zip(names, macs, chunk.device_addresses(), chunk.host_apps(), strict=True)
    return [
        HostDetails(
            *(name or ("", "")),
            *_service_of(name and name[0]),
            format_mac(mac) if mac else "",
            (vendor_of(mac) or "") if mac else "",
            tuple(addresses),
            {app_name(app): traffic for app, traffic in sorted(apps.items(), key=_bytes_first)},
        )
        for name, mac, addresses, apps in rows
    ]


def _bytes_first(item: tuple[int, AppTraffic]) -> tuple[int, int]:
    app, traffic = item
    return -(traffic.bytes_in + traffic.bytes_out), app


def network_apps(snapshot: Snapshot) -> dict[str, Count]:
    """Return what each application moved over all hosts, by its name, those with most bytes first."""
    apps = sorted(snapshot.network_apps().items(), key=lambda item: (-item[1].bytes, item[0]))
    return {app_name(app): count for app, count in apps}
