"""Link-layer headers of wide-area links: Frame Relay, Juniper's headers, amateur radio, broadcast television.

Each function takes what the link carries (an IP packet where nothing else is said) and returns the frame; the numbers are
LINKTYPE_ values.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from .ethernet import ethertype_of

if TYPE_CHECKING:
    from .pdu import Pdu

__all__ = ["alp", "ax25", "cisco_frame_relay", "enc", "frame_relay", "juniper", "multilink", "symantec"]

ADDRESSES = {2: b"\x18\x41", 3: b"\x18\x40\x01", 4: b"\x18\x40\x80\x01"}
NLPID = {4: b"\xcc", 16: b"\x8e"}
SNAP = b"\x80\x00\x00\x00"
BRIDGED = b"\x80\x00\x80\xc2\x00\x07"
STATIONS = b"\x9c\x60\x86\x84\x98\x98"


def frame_relay(payload: Pdu, nlpid: bytes | None = None, *, n_address: int = 2, pad: bool = False) -> Pdu:
    """Return a Frame Relay frame (107 FRELAY) with the header of RFC 2427; `nlpid` is by default that of an IP packet."""
    if nlpid is None:
        nlpid = NLPID[len(payload.marks[0].src)]
    return payload.under(ADDRESSES[n_address] + b"\x03" + (b"\x00" if pad else b"") + nlpid)


def cisco_frame_relay(payload: Pdu, ethertype: int | None = None) -> Pdu:
    """Return a Frame Relay frame with an EtherType behind the address, as Cisco has it."""
    field = ethertype_of(payload) if ethertype is None else ethertype
    return payload.under(ADDRESSES[2] + struct.pack(">H", field))


def multilink(frame: Pdu, *, ends: bool = True) -> Pdu:
    """Return the first fragment of a multi-link Frame Relay frame (182 MFR), or all of it if it `ends` there."""
    return frame.under(bytes([0xC0 if ends else 0x80, 1]))


def juniper(frame: Pdu, *, flags: int = 1, tlvs: bytes | None = None) -> Pdu:
    """Return a frame behind Juniper's header; without its link layer if the flags say so (2)."""
    extensions = b"" if tlvs is None else struct.pack(">H", len(tlvs)) + tlvs
    flags |= 0 if tlvs is None else 0x80
    return frame.under(b"MGC" + bytes([flags]) + extensions + (bytes(4) if flags & 2 else b""))


def enc(packet: Pdu, byte_order: str = "<", family: int | None = None) -> Pdu:
    """Return a frame of OpenBSD's encapsulating interface (109 ENC)."""
    if family is None:
        family = 2 if len(packet.marks[0].src) == 4 else 24
    return packet.under(struct.pack(byte_order + "III", family, 0x1234, 0))


def symantec(packet: Pdu, ethertype: int | None = None) -> Pdu:
    """Return a frame of a Symantec firewall (99 SYMANTEC_FIREWALL)."""
    field = ethertype_of(packet) if ethertype is None else ethertype
    return packet.under(bytes(6) + struct.pack(">H", field) + bytes(36))


def ax25(packet: Pdu, *, digipeaters: int = 0, control: int = 3, protocol: int = 0xCC) -> Pdu:
    """Return a frame between two radio stations (3 AX25)."""
    n_addresses = 2 + digipeaters
    addresses = b"".join(STATIONS + bytes([0x60 | (n == n_addresses)]) for n in range(1, n_addresses + 1))
    return packet.under(addresses + bytes([control, protocol]))


def alp(packet: Pdu, bits: int = 0, more: bytes = b"") -> Pdu:
    """Return a frame of ATSC's link layer (289 ATSC_ALP); `bits` of its first byte; `more` behind its first two bytes."""
    return packet.under(struct.pack(">H", bits << 8 | len(packet.data) & 0x7FF) + more)
