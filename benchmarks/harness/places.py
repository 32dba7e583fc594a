"""Where a frame has addresses, and the checksums that cover them."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["IPV4", "IPV6", "MAC", "Checksum", "Places", "find_places"]

MAC, IPV4, IPV6 = 6, 4, 16
"""Kinds of addresses, as long as they are."""

ETHERNET, SLL, SLL2 = 1, 113, 276
AT_ONCE = {12, 14, 101, 228, 229}
"""Link types whose frames begin with the IP header."""
LOOPBACK = {0, 108}
TAGS = {0x8100, 0x88A8, 0x9100}
TYPE_IPV4, TYPE_ARP, TYPE_IPV6 = 0x0800, 0x0806, 0x86DD
CHECKSUM_AT = {6: 16, 17: 6, 58: 2}
"""Where TCP, UDP and ICMPv6 have the checksum that covers addresses, too."""
UDP = 17


class Checksum(NamedTuple):
    """A checksum that covers the frame's IP addresses.  may_be_absent: 0 says that there is none."""

    at: int
    may_be_absent: bool = False


class Places(NamedTuple):
    """addresses: position and kind of each. The checksums cover those of IP."""

    addresses: tuple[tuple[int, int], ...] = ()
    checksums: tuple[Checksum, ...] = ()


def find_places(link_type: int, data: bytes) -> Places:
    """Return a frame's places; those of a header that is cut are left out."""
    if link_type == ETHERNET:
        return of_ethernet(data)
    if link_type in AT_ONCE:
        return of_ip(data, 0)
    if link_type in LOOPBACK:
        return of_ip(data, 4)
    if link_type == SLL:
        return of_type(data, int.from_bytes(data[14:16], "big"), 16)
    if link_type == SLL2:
        return of_type(data, int.from_bytes(data[0:2], "big"), 20)
    return Places()


def of_ethernet(data: bytes) -> Places:
    """Return the places of an Ethernet frame, behind any VLAN tags."""
    if len(data) < 14:
        return Places()
    kind, at = int.from_bytes(data[12:14], "big"), 14
    while kind in TAGS and len(data) >= at + 4:
        kind, at = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
    inner = of_type(data, kind, at)
    return inner._replace(addresses=((0, MAC), (6, MAC), *inner.addresses))


def of_type(data: bytes, kind: int, at: int) -> Places:
    """Return the places of what an Ethernet type says is at a position."""
    if kind in {TYPE_IPV4, TYPE_IPV6}:
        return of_ip(data, at)
    if kind == TYPE_ARP and data[at : at + 6] == b"\0\1\x08\0\6\4" and len(data) >= at + 28:
        return Places(((at + 8, MAC), (at + 14, IPV4), (at + 18, MAC), (at + 24, IPV4)))
    return Places()


def of_ip(data: bytes, at: int) -> Places:
    """Return the places of an IP header."""
    version = data[at] >> 4 if len(data) > at else 0
    if version == 4 and len(data) >= at + 20:
        addresses, protocol, payload_at = ((at + 12, IPV4), (at + 16, IPV4)), data[at + 9], at + (data[at] & 15) * 4
        checksums: tuple[Checksum, ...] = (Checksum(at + 10),)
        if int.from_bytes(data[at + 6 : at + 8], "big") & 0x1FFF or protocol == 58:
            return Places(addresses, checksums)
    elif version == 6 and len(data) >= at + 40:
        addresses, protocol, payload_at, checksums = ((at + 8, IPV6), (at + 24, IPV6)), data[at + 6], at + 40, ()
    else:
        return Places()
    if protocol in CHECKSUM_AT and len(data) >= payload_at + CHECKSUM_AT[protocol] + 2:
        checksums = (*checksums, Checksum(payload_at + CHECKSUM_AT[protocol], protocol == UDP))
    return Places(addresses, checksums)
