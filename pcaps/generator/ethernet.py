"""Ethernet, and what may stand between it and IP: tags, labels, PPPoE, LLC, carrier and data-centre headers."""

from __future__ import annotations

import struct

from .pdu import MALFORMED, Mark, Pdu, decided

__all__ = [
    "ETHERTYPE_IPV4",
    "ETHERTYPE_IPV6",
    "ethernet",
    "ethertype_of",
    "ieee802_3",
    "isl",
    "llc",
    "llc_ip",
    "macsec",
    "mpls",
    "nsh",
    "ppp",
    "pppoe",
    "pseudowire",
    "snap",
    "tagged",
    "trill",
    "vlan",
]

ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_IPV6 = 0x86DD
MAC_A = bytes.fromhex("02005e100001")
MAC_B = bytes.fromhex("02005e100002")


def ethertype_of(packet: Pdu) -> int:
    """Return the EtherType of an IP packet that this package built."""
    return ETHERTYPE_IPV4 if len(packet.marks[0].src) == 4 else ETHERTYPE_IPV6


def ethernet(payload: Pdu, ethertype: int | None = None, *, src: bytes = MAC_A, dst: bytes = MAC_B, pad: bool = False) -> Pdu:
    """Return a frame without FCS; `ethertype` (or 802.3 length) by default that of an IP packet; `pad` fills it up to 60."""
    header = dst + src + struct.pack(">H", ethertype_of(payload) if ethertype is None else ethertype)
    trailer = bytes(max(0, 46 - len(payload.data))) if pad else b""
    return payload.under(header, trailer=trailer)


def ieee802_3(payload: Pdu) -> Pdu:
    """Return a frame whose type field is the length of its LLC payload."""
    return ethernet(payload, len(payload.data))


def vlan(payload: Pdu, ethertype: int | None = None, vid: int = 100) -> Pdu:
    """Return the payload under a tag's control word; the header above must say 0x8100, 0x88A8..."""
    return payload.under(struct.pack(">HH", vid, ethertype_of(payload) if ethertype is None else ethertype))


def mpls(payload: Pdu, labels: int = 1) -> Pdu:
    """Return the payload under a stack of labels (RFC 3032)."""
    return payload.under(b"".join(struct.pack(">I", (1000 + n) << 12 | (n == labels - 1) << 8 | 64) for n in range(labels)))


def pseudowire(frame: Pdu) -> Pdu:
    """Return an Ethernet frame under a control word, as the payload of a label stack (RFC 4448)."""
    return frame.under(bytes(4))


def ppp(payload: Pdu, protocol: int | None = None, *, compressed: bool = False, framed: bool = False) -> Pdu:
    """Return a PPP frame (RFC 1661); `compressed`: a protocol field of one byte; `framed`: with FF 03 before it (RFC 1662)."""
    if protocol is None:
        protocol = 0x0021 if ethertype_of(payload) == ETHERTYPE_IPV4 else 0x0057
    field = bytes([protocol]) if compressed else struct.pack(">H", protocol)
    framing = b"\xff\x03" if framed else b""
    return payload.under(framing + field, need=len(framing) + 2)


def pppoe(payload: Pdu, *, code: int = 0, version_and_type: int = 0x11) -> Pdu:
    """Return a PPPoE packet (RFC 2516) around a PPP frame, or, with a `code`, around tags."""
    header = struct.pack(">BBHH", version_and_type, code, 7, len(payload.data))
    if version_and_type != 0x11:
        return decided(header + payload.data, MALFORMED, 6)
    return payload.under(header)


def llc(payload: Pdu, dsap: int, ssap: int, control: int = 3) -> Pdu:
    """Return an LLC frame (802.2) with a control field of one byte."""
    return payload.under(bytes([dsap, ssap, control]))


def llc_ip(packet: Pdu) -> Pdu:
    """Return an IP packet directly over LLC."""
    return llc(packet, 0x06, 0x06)


def snap(payload: Pdu, ethertype: int | None = None, oui: bytes = b"\0\0\0") -> Pdu:
    """Return an LLC/SNAP frame."""
    field = struct.pack(">H", ethertype_of(payload) if ethertype is None else ethertype)
    return llc(payload.under(oui + field), 0xAA, 0xAA)


def isl(frame: Pdu) -> Pdu:
    """Return an Ethernet frame in Cisco's Inter-Switch Link encapsulation, from its very first byte."""
    header = bytes.fromhex("01000c0000") + b"\0" + MAC_A + struct.pack(">H", len(frame.data) + 12) + bytes(12)
    return frame.under(header)


def macsec(payload: Pdu, ethertype: int | None = None, *, sci: bool = False, encrypted: bool = False) -> Pdu:
    """Return a MACsec tag (802.1AE) and the payload, integrity-only unless `encrypted`."""
    control = (0x20 if sci else 0) | (0x0C if encrypted else 0)
    tag = struct.pack(">BBI", control, 0, 7) + (MAC_A + b"\0\1" if sci else b"")
    if encrypted:
        return Pdu(tag + bytes(2) + payload.data, (Mark(6, "encrypted"),))
    return payload.under(tag + struct.pack(">H", ethertype_of(payload) if ethertype is None else ethertype), trailer=bytes(16))


def nsh(payload: Pdu, next_protocol: int, words: int = 6) -> Pdu:
    """Return a Network Service Header (RFC 8300) of `words` times 4 bytes, with zeroed context."""
    header = struct.pack(">BBBBI", 0x0F, 0xC0 | words, 1, next_protocol, 0x2AFF).ljust(words * 4, b"\0")
    if words < 2:
        return decided(header + payload.data, MALFORMED, 8)
    return payload.under(header)


def tagged(payload: Pdu, header_len: int, ethertype: int | None = None) -> Pdu:
    """Return the payload under a tag of zeroes whose last two bytes are its EtherType (VN-tag, E-tag, CMD, R-tag)."""
    return payload.under(bytes(header_len - 2) + struct.pack(">H", ethertype_of(payload) if ethertype is None else ethertype))


def trill(frame: Pdu, option_words: int = 0) -> Pdu:
    """Return an Ethernet frame under a TRILL header (RFC 6325)."""
    return frame.under(struct.pack(">HHH", option_words << 6 | 0x3F, 1, 2) + bytes(4 * option_words))
