"""Tunnels over IP: GRE and its relatives, VXLAN, Geneve, GTP-U, EtherIP, MPLS over IP."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from .ethernet import ethertype_of, mpls
from .ip import udp

if TYPE_CHECKING:
    from .pdu import Pdu

__all__ = ["erspan", "etherip", "geneve", "gre", "gtpu", "mpls_over_udp", "pptp", "teredo", "vxlan", "vxlan_gpe"]

ETHERNET_BRIDGING = 0x6558
CHECKSUM, ROUTING, KEY, SEQUENCE = 0x80, 0x40, 0x20, 0x10


def gre(payload: Pdu, protocol: int | None = None, *, flags: int = 0) -> Pdu:
    """Return a GRE packet (RFC 2784, 2890); `flags` is its first byte, and each of its fields is there when its flag is."""
    fields = sum(4 for flag in (CHECKSUM, KEY, SEQUENCE) if flags & flag)
    return payload.under(struct.pack(">BBH", flags, 0, ethertype_of(payload) if protocol is None else protocol) + bytes(fields))


def pptp(frame: Pdu, *, acknowledgement: bool = False) -> Pdu:
    """Return a PPP frame in enhanced GRE (RFC 2637), with a sequence number."""
    header = struct.pack(">BBHHHI", 0x30, 0x81 if acknowledgement else 0x01, 0x880B, len(frame.data), 1, 1)
    return frame.under(header + (bytes(4) if acknowledgement else b""))


def erspan(frame: Pdu, version: int, *, subheader: bool = False) -> Pdu:
    """Return a mirrored Ethernet frame in GRE: ERSPAN type I, II or III, the last with or without a platform subheader."""
    if version == 1:
        return gre(frame, 0x88BE)
    if version == 2:
        return gre(frame.under(struct.pack(">II", 0x10 << 24 | 100 << 16, 1)), 0x88BE, flags=SEQUENCE)
    header = struct.pack(">III", 2 << 28 | 100 << 16, 0, int(subheader))
    return gre(frame.under(header + (bytes(8) if subheader else b"")), 0x22EB, flags=SEQUENCE)


def etherip(frame: Pdu) -> Pdu:
    """Return an Ethernet frame in EtherIP (RFC 3378)."""
    return frame.under(b"\x30\x00")


def vxlan(frame: Pdu, *, port: int = 4789, flags: int = 0x08) -> Pdu:
    """Return an Ethernet frame in a VXLAN datagram (RFC 7348)."""
    return udp(frame.under(struct.pack(">BBHI", flags, 0, 0, 4096 << 8)), 49152, port)


def vxlan_gpe(payload: Pdu, next_protocol: int) -> Pdu:
    """Return a payload in a VXLAN-GPE datagram (draft-ietf-nvo3-vxlan-gpe)."""
    return udp(payload.under(struct.pack(">BBBBI", 0x0C, 0, 0, next_protocol, 4096 << 8)), 49152, 4790)


def geneve(payload: Pdu, protocol: int = ETHERNET_BRIDGING, *, option_words: int = 0, version: int = 0) -> Pdu:
    """Return a payload in a Geneve datagram (RFC 8926)."""
    header = struct.pack(">BBHI", version << 6 | option_words, 0, protocol, 7 << 8) + bytes(4 * option_words)
    return udp(payload.under(header), 49152, 6081)


def gtpu(packet: Pdu, *, sequence: bool = False, extension_words: tuple[int, ...] = (), message: int = 0xFF) -> Pdu:
    """Return an IP packet in a GTP-U datagram (3GPP TS 29.281), with extension headers of these lengths in words."""
    optional = b""
    if sequence or extension_words:
        chain = b"".join(
            bytes([words]).ljust(words * 4 - 1, b"\0") + (b"\x85" if n + 1 < len(extension_words) else b"\0")
            for n, words in enumerate(extension_words)
        )
        optional = struct.pack(">HBB", 1, 0, 0x85 if extension_words else 0) + chain
    flags = 0x30 | (0x02 if sequence else 0) | (0x04 if extension_words else 0)
    header = struct.pack(">BBHI", flags, message, len(optional) + len(packet.data), 0x1001) + optional
    return udp(packet.under(header), 2152, 2152)


def teredo(packet: Pdu, *, client: int | None = None, origin: bool = False, server: bool = False) -> Pdu:
    """Return an IPv6 packet in a Teredo datagram (RFC 4380), with an authentication by a name of `client` bytes if given."""
    header = b"" if client is None else bytes([0, 1, client, 16]) + bytes(client + 16 + 9)
    header += struct.pack(">HH4s", 0, 0xFFFF ^ 50000, bytes(4)) if origin else b""
    return udp(packet.under(header), *((3544, 50000) if server else (50000, 3544)))


def mpls_over_udp(packet: Pdu, labels: int = 1) -> Pdu:
    """Return a labelled packet in a datagram (RFC 7510)."""
    return udp(mpls(packet, labels), 49152, 6635)
