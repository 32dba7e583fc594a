"""The local networks that frames of a capture announce (docs/counting.md has the rules).

Private to `fastmon.reference`.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from fastmon.model.addresses import Network

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastmon.model.frames import PacketSummary

__all__ = ["announced_networks"]

UDP = 17
DHCP_SERVER, DHCP_CLIENT, DHCPV6_SERVER, DHCPV6_CLIENT = 67, 68, 547, 546
V4_BITS = range(8, 33)
V6_BITS = range(48, 129)
BITS_AROUND_A_LEASE = 64
LINK_LOCAL = ipaddress.ip_network("fe80::/10")
GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
NO_HOSTS = [ipaddress.ip_network(text) for text in ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3")]
ON_LINK = 0x80
OFFER, ACK = b"\x02", b"\x05"
ADVERTISE, REPLY = 2, 7
IA_NA, IA_ADDRESS, IA_PD, IA_PREFIX = 3, 5, 25, 26


def announced_networks(packet: PacketSummary) -> Iterator[Network]:
    """Yield the networks that a frame announces as local."""
    if packet.is_router_advertisement:
        if _is_link_local(packet.src):
            yield from _of_router(packet.payload)
    elif packet.protocol == UDP and packet.ports == (DHCP_SERVER, DHCP_CLIENT):
        yield from _of_dhcp(packet.payload, packet.dst[12:])
    elif packet.protocol == UDP and packet.ports == (DHCPV6_SERVER, DHCPV6_CLIENT) and _is_link_local(packet.src):
        yield from _of_dhcpv6(packet.payload)


def _is_link_local(key: bytes) -> bool:
    return ipaddress.IPv6Address(key) in LINK_LOCAL


def _of_router(data: bytes) -> Iterator[Network]:
    """Yield the prefixes that are on-link; `data` begins behind the router's lifetime."""
    options = data[8:]
    while len(options) >= 8:
        length = options[1] * 8
        option, options = options[:length], options[length:]
        if not length or len(option) < length:
            return
        if option[0] == 3 and length == 32 and option[3] & ON_LINK and any(option[4:8]):
            yield from _v6(option[16:32], option[2])


def _of_dhcp(data: bytes, receiver: bytes) -> Iterator[Network]:
    if len(data) < 240 or data[0] != 2 or data[236:240] != b"\x63\x82\x53\x63":
        return
    mask, message, rest = bytes(4), b"", data[240:]
    while len(rest) > 1 and rest[0] != 255:
        length = 1 if rest[0] == 0 else 2 + rest[1]
        option, rest = rest[:length], rest[length:]
        if option[0] == 1 and len(option) == length == 6:
            mask = option[2:]
        elif option[0] == 53 and len(option) == length == 3:
            message = option[2:]
    address = ipaddress.IPv4Address(data[16:20] if any(data[16:20]) else data[12:16])
    bits = f"{int.from_bytes(mask, 'big'):032b}"
    n_bits = bits.count("1")
    is_sane = "01" not in bits and n_bits in V4_BITS and not any(address in network for network in NO_HOSTS)
    is_meant = receiver in (b"\xff\xff\xff\xff", address.packed)
    if message in (OFFER, ACK) and is_sane and is_meant:
        yield _network(b"\0" * 10 + b"\xff\xff" + address.packed, 96 + n_bits)


def _of_dhcpv6(data: bytes) -> Iterator[Network]:
    if len(data) < 4 or data[0] not in (ADVERTISE, REPLY):
        return
    for kind, lease in _options(data[4:]):
        for inner_kind, option in _options(lease[12:]) if kind in (IA_NA, IA_PD) else ():
            if (kind, inner_kind) == (IA_NA, IA_ADDRESS) and len(option) >= 24 and any(option[20:24]):
                yield from _v6(option[:16], BITS_AROUND_A_LEASE)
            elif (kind, inner_kind) == (IA_PD, IA_PREFIX) and len(option) >= 25 and any(option[4:8]):
                yield from _v6(option[9:25], option[8])


def _options(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield the options of DHCPv6, up to one that is cut."""
    while len(data) >= 4:
        end = 4 + int.from_bytes(data[2:4], "big")
        if end > len(data):
            return
        yield int.from_bytes(data[:2], "big"), data[4:end]
        data = data[end:]


def _v6(address: bytes, n_bits: int) -> Iterator[Network]:
    if n_bits in V6_BITS and ipaddress.IPv6Address(address) in GLOBAL_UNICAST:
        yield _network(address, n_bits)


def _network(key: bytes, n_bits: int) -> Network:
    return Network((int.from_bytes(key, "big") >> 128 - n_bits << 128 - n_bits).to_bytes(16, "big"), n_bits)
