"""Host keys and networks.

A host key is 16 bytes in network order, IPv4 as v4-mapped IPv6 (::ffff:a.b.c.d), so one table holds both families.

What it does not do: look up names.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastmon.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "PRIVATE_NETWORKS",
    "Network",
    "interface_addresses",
    "interface_networks",
    "key_from_text",
    "key_to_text",
    "keys_to_text",
    "parse_network",
]

PRIVATE_NETWORKS: tuple[str, ...] = (
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "100.64.0.0/10",
    "169.254.0.0/16",
    "127.0.0.0/8",
    "fc00::/7",
    "fe80::/10",
    "::1/128",
)
"""The networks that are local by default: RFC 1918, shared address space, link-local, loopback, unique local."""

_V4_MAPPED = bytes(10) + b"\xff\xff"


@dataclass(frozen=True, slots=True)
class Network:
    """A network in key space.

    prefix: 16 bytes; the bits after `length` are zero.  length: 0 to 128; that of an IPv4 network is 96 more than in its text.
    """

    prefix: bytes
    length: int

    @property
    def mask(self) -> bytes:
        """16 bytes, with as many ones in front."""
        return ((1 << 128) - (1 << 128 - self.length)).to_bytes(16, "big")


def key_from_text(text: str) -> bytes:
    """Return the key of an IPv4 or IPv6 address. Raises ConfigError for any other text."""
    try:
        return _key(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        raise ConfigError(f"invalid address {text!r}: use an IPv4 or IPv6 address, like 192.168.1.10") from None


def _key(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bytes:
    return _V4_MAPPED + address.packed if address.version == 4 else address.packed


def key_to_text(key: bytes) -> str:
    """Return a key's address as text, a v4-mapped one as IPv4."""
    if key.startswith(_V4_MAPPED):
        return socket.inet_ntop(socket.AF_INET, key[12:])
    return socket.inet_ntop(socket.AF_INET6, key)


def keys_to_text(keys: NDArray[np.uint8]) -> list[str]:
    """Return the addresses of (n, 16) keys as text, in the same order."""
    joined = keys.tobytes()
    return [key_to_text(joined[start : start + 16]) for start in range(0, len(joined), 16)]


def parse_network(text: str) -> Network:
    """Return the network of a text: CIDR, or an address for itself alone. Host bits are cleared.

    Raises ConfigError for any other text.
    """
    try:
        network = ipaddress.ip_network(text.strip(), strict=False)
    except ValueError:
        raise ConfigError(f"invalid network {text!r}: use an address and a prefix length, like 192.168.0.0/16") from None
    key = _key(network.network_address)
    return Network(key, network.prefixlen + (96 if network.version == 4 else 0))


def interface_networks(interface: str) -> Sequence[str]:
    """Return the networks of an interface's own addresses, as CIDR texts.

    An interface with link-local addresses only (a mirror port, say) has none: its addresses do not show what is local. An
    unknown interface has none either; opening it raises the error.
    """
    networks = {ipaddress.ip_interface(address).network for address in interface_addresses(interface)}
    if all(network.is_link_local for network in networks):
        return ()
    return sorted(map(str, networks))


def interface_addresses(interface: str) -> Sequence[str]:
    """Return an interface's addresses with their prefix lengths, as CIDR texts; none for an unknown interface."""
    import psutil

    return [
        f"{address.address.partition('%')[0]}/{_prefix_length(address.netmask)}"
        for address in psutil.net_if_addrs().get(interface, ())
        if address.family in (socket.AF_INET, socket.AF_INET6) and address.netmask
    ]


def _prefix_length(netmask: str) -> int:
    return int.from_bytes(ipaddress.ip_address(netmask).packed, "big").bit_count()
