"""The table of applications as tables of bytes, for the native side: an id for each IP protocol number and each port.

What it does not do: look at payloads.
"""

from __future__ import annotations

from fastmon.classify.applications import APPLICATIONS
from fastmon.classify.matching import SCTP, TCP, UDP

__all__ = ["by_port", "by_protocol"]

_FIELDS = {TCP: "tcp", UDP: "udp", SCTP: "sctp"}


def by_protocol() -> bytes:
    """Return 256 ids, for the IP protocol numbers; 0 where ports or payload decide."""
    ids = bytearray(256)
    for application in APPLICATIONS:
        for number in application.protocols:
            ids[number] = application.id
    return bytes(ids)


def by_port(protocol: int) -> bytes:
    """Return 65536 ids, for the ports of TCP (6), UDP (17) or SCTP (132); 0 where a port means nothing.

    Of two ports of a conversation, the one that means something counts; of two that do, the lower.
    """
    ids = bytearray(65536)
    for application in APPLICATIONS:
        for port in getattr(application, _FIELDS[protocol]):
            ids[port] = ids[port] or application.id
    return bytes(ids)
