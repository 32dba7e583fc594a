"""IANA's keywords of IP protocols, and services as text.

What it does not do: know what a service is used for (`classify` does).
"""

from __future__ import annotations

from functools import lru_cache

__all__ = ["PORT_PROTOCOLS", "PROTOCOLS", "PROTOCOL_NUMBERS", "protocol_text", "service_text"]

PROTOCOLS = {
    1: "icmp",
    2: "igmp",
    6: "tcp",
    17: "udp",
    33: "dccp",
    41: "ipv6",
    47: "gre",
    50: "esp",
    51: "ah",
    58: "icmpv6",
    89: "ospf",
    103: "pim",
    112: "vrrp",
    132: "sctp",
    136: "udplite",
}
"""The protocols that are met most; any other is its number."""

PROTOCOL_NUMBERS = {name: number for number, name in PROTOCOLS.items()}

PORT_PROTOCOLS = frozenset(PROTOCOL_NUMBERS[name] for name in ("tcp", "udp", "dccp", "sctp", "udplite"))
"""Those that have ports."""


def protocol_text(protocol: int) -> str:
    """Return a protocol's keyword, or its number."""
    return PROTOCOLS.get(protocol) or str(protocol)


@lru_cache(maxsize=1 << 12)  # outputs ask for the same few services of each host
def service_text(protocol: int, port: int) -> str:
    """Return "tcp/443", or "icmp" for a protocol without ports."""
    name = protocol_text(protocol)
    return f"{name}/{port}" if protocol in PORT_PROTOCOLS else name
