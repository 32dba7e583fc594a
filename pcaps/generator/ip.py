"""Internet headers: IPv4, IPv6 and its extension headers, and the transport protocols over them."""

from __future__ import annotations

import ipaddress
import struct
from typing import TYPE_CHECKING

from .pdu import Mark, Pdu, opaque

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["PROTOCOLS", "address", "checksum", "extensions", "icmp", "ipv4", "ipv6", "sctp", "tcp", "udp"]

PROTOCOLS = {"icmp": 1, "igmp": 2, "ipip": 4, "tcp": 6, "udp": 17, "ipv6": 41, "gre": 47, "esp": 50, "icmpv6": 58, "sctp": 132}

HOP_BY_HOP, ROUTING, FRAGMENT, AUTHENTICATION, DESTINATION = 0, 43, 44, 51, 60


def address(text: str) -> bytes:
    """Return the 4 or 16 bytes of an address in its usual notation."""
    return ipaddress.ip_address(text).packed


def checksum(data: bytes) -> int:
    """Return the Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ipv4(
    src: bytes,
    dst: bytes,
    protocol: int,
    payload: Pdu,
    *,
    options: bytes = b"",
    fragment: int = 0,
    total_len: int | None = None,
    ttl: int = 64,
) -> Pdu:
    """Return an IPv4 packet (RFC 791).

    options: a multiple of 4 bytes, at most 40.  fragment: the flags and the offset as in the header.
    total_len: what the header claims; the true length by default.
    """
    header_len = 20 + len(options)
    claimed = header_len + len(payload.data) if total_len is None else total_len
    fields = (0x40 | header_len // 4, 0, claimed, 0, fragment, ttl, protocol)
    unchecked = struct.pack(">BBHHHBBH4s4s", *fields, 0, src, dst) + options
    header = struct.pack(">BBHHHBBH4s4s", *fields, checksum(unchecked), src, dst) + options
    below = payload.under(header)
    return Pdu(below.data, (Mark(20, "ip", src, dst), *below.marks))


def ipv6(src: bytes, dst: bytes, next_header: int, payload: Pdu, *, payload_len: int | None = None, hops: int = 64) -> Pdu:
    """Return an IPv6 packet (RFC 8200); `payload_len` is what the header claims, the true length by default."""
    claimed = len(payload.data) if payload_len is None else payload_len
    below = payload.under(struct.pack(">IHBB16s16s", 6 << 28, claimed, next_header, hops, src, dst))
    return Pdu(below.data, (Mark(40, "ip", src, dst), *below.marks))


def extensions(kinds: Iterable[int], protocol: int, payload: Pdu, *, fragment: int = 1) -> tuple[int, Pdu]:
    """Return the first next-header value, and `payload` behind extension headers of these `kinds`, outermost first.

    fragment: the offset and the M flag of fragment headers as in the header (RFC 8200, 4.5); 1 is a first fragment.
    """
    for kind in reversed(list(kinds)):
        if kind == FRAGMENT:
            header = struct.pack(">BBHI", protocol, 0, fragment, 0x12345678)
        elif kind == AUTHENTICATION:
            header = struct.pack(">BBHII12x", protocol, 4, 0, 0x100, 1)  # 24 bytes: its length counts words, less two
        else:
            header = struct.pack(">BBBB4xBB6x", protocol, 1, 1, 4, 1, 6)  # 16 bytes: two PadN options
        protocol, payload = kind, payload.under(header)
    return protocol, payload


def udp(payload: Pdu, src_port: int = 50000, dst_port: int = 9) -> Pdu:
    """Return a datagram without a checksum."""
    return payload.under(struct.pack(">HHHH", src_port, dst_port, (8 + len(payload.data)) & 0xFFFF, 0))


def tcp(
    payload: bytes,
    src_port: int = 50000,
    dst_port: int = 443,
    *,
    seq: int = 1,
    ack: int = 1,
    flags: int = 0x18,
    options: bytes = b"",
) -> Pdu:
    """Return a segment without a checksum; `flags` as in the header, PSH and ACK by default."""
    words = 5 + len(options) // 4
    header = struct.pack(">HHIIBBHHH", src_port, dst_port, seq, ack, words << 4, flags, 0xFFFF, 0, 0)
    return opaque(header + options + payload)


def icmp(kind: int, payload: bytes, code: int = 0) -> Pdu:
    """Return an ICMP or ICMPv6 message, without a checksum."""
    return opaque(struct.pack(">BBHI", kind, code, 0, 1) + payload)


def sctp(payload: bytes, src_port: int = 36412, dst_port: int = 36412) -> Pdu:
    """Return an SCTP packet with one DATA chunk (RFC 9260)."""
    return opaque(struct.pack(">HHIIBBHIHHI", src_port, dst_port, 1, 0, 0, 3, 16 + len(payload), 1, 0, 0, 0) + payload)
