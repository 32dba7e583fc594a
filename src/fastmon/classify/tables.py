"""The table of applications as byte tables for the native side: an application's id by IP protocol number, and by port.

What it does not do: look at payloads.
"""

from __future__ import annotations

from functools import cache

from fastmon.classify.applications import APPLICATIONS
from fastmon.classify.model import SCTP, TCP, UDP
from fastmon.classify.online import resolver_suffixes
from fastmon.model.conversations import AppTables

__all__ = ["app_tables", "by_port", "by_protocol", "for_native"]

_FIELDS = {TCP: "tcp", UDP: "udp", SCTP: "sctp"}


def by_protocol() -> bytes:
    """Return 256 ids, one for each IP protocol number; 0 where ports or payload decide."""
    ids = bytearray(256)
    for application in APPLICATIONS:
        for number in application.protocols:
            ids[number] = application.id
    return bytes(ids)


@cache
def by_port(protocol: int) -> bytes:
    """Return 65536 ids, one for each port of TCP (6), UDP (17) or SCTP (132); 0 for a port of no application.

    A conversation has two ports. If both belong to an application, the lower port decides.
    """
    ids = bytearray(65536)
    for application in APPLICATIONS:
        for port in getattr(application, _FIELDS[protocol]):
            ids[port] = ids[port] or application.id
    return bytes(ids)


def app_tables() -> AppTables:
    """Return what protocols and ports say of applications, as an accountant needs it."""
    return AppTables(by_protocol(), by_port(TCP), by_port(UDP))


def for_native() -> tuple[list[tuple[int, str, bytes, int]], dict[str, int], bytes, bytes, list[bytes]]:
    """Return the arguments of `native.matchers.Matchers`: its rows, numbers, tables of ports, and the names of resolvers."""
    rows = [
        (matcher.protocol, matcher.name, bytes(sorted(matcher.first)), matcher.least)
        for application in APPLICATIONS
        for matcher in application.matchers
    ]
    numbers = {application.name: application.id for application in APPLICATIONS}
    return rows, numbers, by_port(TCP), by_port(UDP), resolver_suffixes()
