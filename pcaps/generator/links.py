"""Link-layer headers of the capture formats' link types other than Ethernet and 802.11.

Each function takes what the link carries (an IP packet where nothing else is said) and returns the frame; the numbers are
LINKTYPE_ values.
"""

from __future__ import annotations

import struct

from .ethernet import MAC_A, MAC_B, ethertype_of
from .pdu import MALFORMED, UNSUPPORTED, Mark, Pdu, decided

__all__ = [
    "arcnet",
    "arcnet_linux",
    "cisco_hdlc",
    "fddi",
    "ieee1394",
    "infiniband",
    "ip_over_fc",
    "ipnet",
    "loopback",
    "mpacket",
    "nflog",
    "pflog",
    "pktap",
    "slip",
    "sll",
    "sll2",
    "sunatm",
    "switch_tagged",
    "token_ring",
    "with_direction",
]

LLC_FRAME = 4
ARCNET_IP, ARCNET_IP_RFC1051, ARCNET_IPV6 = 0xD4, 0xF0, 0xC4


def loopback(packet: Pdu, byte_order: str = "<", family: int | None = None) -> Pdu:
    """Return a BSD loopback frame (0 NULL in the capturing host's order, 108 LOOP in network order)."""
    if family is None:
        family = 2 if len(packet.marks[0].src) == 4 else 30
    return packet.under(struct.pack(byte_order + "I", family))


def cisco_hdlc(payload: Pdu, ethertype: int | None = None, *, broadcast: bool = False) -> Pdu:
    """Return a Cisco HDLC frame (104 C_HDLC)."""
    field = ethertype_of(payload) if ethertype is None else ethertype
    return payload.under(struct.pack(">BBH", 0x8F if broadcast else 0x0F, 0, field))


def with_direction(frame: Pdu, *, sent: bool = False) -> Pdu:
    """Return a frame after the direction byte of 204 PPP_WITH_DIR and 205 C_HDLC_WITH_DIR."""
    return frame.under(bytes([sent]))


def sll(payload: Pdu, protocol: int | None = None, *, hardware: int = 1) -> Pdu:
    """Return a Linux "cooked" frame (113 LINUX_SLL); `hardware` is an ARPHRD_ value."""
    field = ethertype_of(payload) if protocol is None else protocol
    return payload.under(struct.pack(">HHH8sH", 0, hardware, 6, MAC_A, field))


def sll2(payload: Pdu, protocol: int | None = None, *, hardware: int = 1) -> Pdu:
    """Return a Linux "cooked" frame of version 2 (276 LINUX_SLL2)."""
    field = ethertype_of(payload) if protocol is None else protocol
    return payload.under(struct.pack(">HHIHBB8s", field, 0, 3, hardware, 4, 6, MAC_A))


def fddi(payload: Pdu, frame_control: int = 0x50) -> Pdu:
    """Return an FDDI frame around an LLC payload (10 FDDI)."""
    return payload.under(bytes([frame_control]) + MAC_A + MAC_B)


def token_ring(payload: Pdu, route: bytes = b"") -> Pdu:
    """Return a Token Ring frame around an LLC payload, with a routing field if `route` is not empty (6 IEEE802_5)."""
    src = bytes([MAC_B[0] | 0x80]) + MAC_B[1:] if route else MAC_B
    routing = bytes([2 + len(route), 0]) + route if route else b""
    return payload.under(b"\x10\x40" + MAC_A + src + routing)


def arcnet(packet: Pdu, kind: int = ARCNET_IP) -> Pdu:
    """Return an ARCNET frame, of RFC 1201 or of RFC 1051 (7 ARCNET)."""
    return packet.under(bytes([1, 2, kind]) + (b"" if kind == ARCNET_IP_RFC1051 else bytes(3)), need=6)


def arcnet_linux(packet: Pdu, kind: int = ARCNET_IP) -> Pdu:
    """Return an ARCNET frame with Linux's offset field (129 ARCNET_LINUX)."""
    return packet.under(bytes([1, 2, 0, 0, kind]) + (b"" if kind == ARCNET_IP_RFC1051 else bytes(3)), need=8)


def pflog(packet: Pdu, claimed_len: int = 61) -> Pdu:
    """Return a frame of OpenBSD's packet filter log (117 PFLOG), whose header is rounded up to 4 bytes."""
    header = bytes([claimed_len]) + bytes(63)
    return packet.under(header) if claimed_len else decided(header + packet.data, MALFORMED, 4)


def ip_over_fc(payload: Pdu) -> Pdu:
    """Return an LLC payload over Fibre Channel (122 IP_OVER_FC)."""
    return payload.under(b"\x10\0" + MAC_A + b"\x10\0" + MAC_B)


def sunatm(payload: Pdu, kind: int = 2) -> Pdu:
    """Return a cell's frame after SunATM's header (123 SUNATM); kind 2 is LLC."""
    return payload.under(struct.pack(">BBH", kind, 0, 100))


def ieee1394(packet: Pdu) -> Pdu:
    """Return an IP packet over FireWire (138 APPLE_IP_OVER_IEEE1394)."""
    return packet.under(bytes(16) + struct.pack(">H", ethertype_of(packet)))


def ipnet(packet: Pdu, family: int | None = None) -> Pdu:
    """Return a frame of Solaris' ipnet devices (226 IPNET)."""
    if family is None:
        family = 2 if len(packet.marks[0].src) == 4 else 26
    return packet.under(bytes([1, family]) + bytes(22))


def nflog(packet: Pdu, *, mark: bool = True, bad_length: bool = False) -> Pdu:
    """Return a frame of Linux's netfilter log (239 NFLOG), the payload after a prefix and, by default, a mark."""
    header = struct.pack(">BBH", 2, 0, 0)
    if bad_length:
        return decided(header + struct.pack("<HH", 3, 10) + packet.data, MALFORMED, 8)
    header += struct.pack("<HH", 4 + 6, 10) + b"fw in\0" + bytes(2)
    if mark:
        header += struct.pack("<HHI", 8, 2, 1)
    return packet.under(header + struct.pack("<HH", 4 + len(packet.data), 9))


def infiniband(packet: Pdu) -> Pdu:
    """Return an IP packet over InfiniBand (242 IPOIB)."""
    return packet.under(bytes(40) + struct.pack(">HH", ethertype_of(packet), 0))


def pktap(frame: Pdu, link_type: int, *, record: int = 1, header_len: int = 108) -> Pdu:
    """Return a frame of Apple's packet tap (258 PKTAP) around a frame of another link type.

    An undecodable `link_type`: give 258 (a tap in a tap is malformed) or a number beyond 65535 (unsupported).
    """
    header = struct.pack("<III", header_len, record, link_type).ljust(max(header_len, 12), b"\0")
    if header_len < 12 or (record == 1 and link_type == 258):
        return decided(header + frame.data, MALFORMED, 12)
    if record == 1 and link_type > 0xFFFF:
        return decided(header + frame.data, UNSUPPORTED, header_len)
    return frame.under(header)


def slip(packet: Pdu) -> Pdu:
    """Return an IP packet after BSD's header of a direction and a compressed TCP/IP header (8 SLIP)."""
    return packet.under(bytes(16))


def switch_tagged(frame: Pdu, tag: bytes) -> Pdu:
    """Return an Ethernet frame with a switch's tag behind its addresses (281 DSA_TAG_BRCM, 284, 285)."""
    marks = tuple(Mark(mark.end + len(tag), mark.status, mark.src, mark.dst) for mark in frame.marks)
    return Pdu(frame.data[:12] + tag + frame.data[12:], marks)


def mpacket(frame: Pdu, delimiter: int = 0xD5) -> Pdu:
    """Return an Ethernet frame after its preamble (274 ETHERNET_MPACKET); only the express delimiter means a whole one."""
    return frame.under(bytes([0x55] * 7 + [delimiter]))
