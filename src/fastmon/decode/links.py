"""The reference decoder's table of link types (LINKTYPE_ numbers; docs/decoding.md).

Private to `fastmon.decode`. A link-type header counts only where it is one of the rules of `walk.Rule`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpkt.pcap import DLT_SLIP, dltoff

from fastmon.decode.cooked import sll, sll2
from fastmon.decode.layers import MIN_ETHERTYPE, ethertype, typed
from fastmon.decode.walk import Cursor, Rule, RuleFunction, Step, Stop, after, enter
from fastmon.decode.wan import (
    atm_clip,
    atm_rfc1483,
    c_hdlc,
    frame_relay,
    ip_by_version,
    juniper,
    multilink_frame_relay,
    ppp_hdlc,
    sunatm,
)
from fastmon.decode.wireless import avs, ieee802_11, prism, radiotap
from fastmon.model.frames import FrameStatus

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["LINK_RULES", "link_layer"]

ADDRESS_FAMILIES = {2, 10, 23, 24, 28, 30}  # AF_INET, and AF_INET6 of Linux, Windows, NetBSD, FreeBSD, macOS
AX25_ADDRESSES = range(2, 11)
AX25_UNNUMBERED = 0x03
AX25_IP = 0xCC
ARCNET_OLD_IP = 0xF0
ARCNET_IP = {0xD4, 0xC4}
IPNET_FAMILIES = {2, 26}
NFLOG_PAYLOAD = 9
ERF_ETHERNET = {2, 11, 16, 20}
ERF_HDLC = {1, 5, 10, 15, 17, 19}
ERF_IP = {22, 23}
ERF_CHANNEL = {5, 6, 7, 8, 9, 12, 17, 18}
PKTAP_PACKET = 1
MPACKET_START = 0xD5


def _family(header_length: int) -> RuleFunction:
    """Return the function of a header that begins with an address family in the capturing host's byte order."""

    def family(at: Cursor) -> Step:
        at.need(header_length)
        number = next((number for number in (at.u32_le(0), at.u32(0)) if number < 0x10000), None)
        if number is None:
            return ethertype(at.u16(2), at.skip(header_length))
        if number in ADDRESS_FAMILIES:
            return Step(Rule.IP, at.skip(header_length))
        if number >= MIN_ETHERTYPE:
            return ethertype(number, at.skip(header_length))
        raise Stop(FrameStatus.NON_IP)

    return family


def _typed_before(length: int, type_at: int) -> RuleFunction:
    """Return the function of a header of `length` bytes with an EtherType at `type_at`."""

    def typed_before(at: Cursor) -> Step:
        at.need(length)
        return ethertype(at.u16(type_at), at.skip(length))

    return typed_before


def _ax25(at: Cursor) -> Step:
    at.need(14)
    n_addresses = next((n for n in AX25_ADDRESSES if at.has(n * 7) and at.u8(n * 7 - 1) & 1), None)
    if n_addresses is None:
        at.need(AX25_ADDRESSES[-1] * 7)
        raise Stop(FrameStatus.MALFORMED)
    control = at.skip(n_addresses * 7)
    control.need(2)
    is_information = not control.u8(0) & 1
    has_protocol = is_information or control.u8(0) & 0xEF == AX25_UNNUMBERED
    if not has_protocol or control.u8(1) != AX25_IP:
        raise Stop(FrameStatus.NON_IP)
    return Step(Rule.IP, control.skip(2))


def _fddi(at: Cursor) -> Step:
    at.need(13)
    if at.u8(0) & 0xC0 != 0x40:
        raise Stop(FrameStatus.NON_IP)
    return Step(Rule.LLC, at.skip(13))


def _ieee802_5(at: Cursor) -> Step:
    at.need(14)
    is_source_routed = at.u8(8) & 0x80
    if not is_source_routed:
        return Step(Rule.LLC, at.skip(14))
    at.need(16)
    return Step(Rule.LLC, at.skip(14 + (at.u8(14) & 0x1F)))


def _arcnet(header_length: int, type_at: int) -> RuleFunction:
    def arcnet(at: Cursor) -> Step:
        at.need(header_length)
        if at.u8(type_at) == ARCNET_OLD_IP:
            return Step(Rule.IP, at.skip(type_at + 1))
        if at.u8(type_at) in ARCNET_IP:
            return Step(Rule.IP, at.skip(header_length))
        raise Stop(FrameStatus.NON_IP)

    return arcnet


def _pflog(at: Cursor) -> Step:
    at.need(4)
    length = (at.u8(0) + 3) & ~3
    if length < 4:
        raise Stop(FrameStatus.MALFORMED)
    return Step(Rule.IP, at.skip(length))


def _ipnet(at: Cursor) -> Step:
    at.need(24)
    if at.u8(1) not in IPNET_FAMILIES:
        raise Stop(FrameStatus.NON_IP)
    return Step(Rule.IP, at.skip(24))


def _nflog(at: Cursor) -> Step:
    at.need(4)
    tlv = at.skip(4)
    while True:
        tlv.need(4)
        length, tlv_type = tlv.u16_le(0), tlv.u16_le(2)
        if length < 4:
            raise Stop(FrameStatus.MALFORMED)
        if tlv_type == NFLOG_PAYLOAD:
            return Step(Rule.IP, tlv.skip(4))
        tlv = tlv.skip((length + 3) & ~3)


def _alp(at: Cursor) -> Step:
    at.need(2)
    packet_type, is_plain, mode = at.u8(0) >> 5, not at.u8(0) & 0x10, at.u8(0) & 0x08
    if packet_type != 0:
        raise Stop(FrameStatus.NON_IP)
    if is_plain and not mode:
        return Step(Rule.IP, at.skip(2))
    at.need(3)
    more = at.u8(2)
    if not is_plain and mode:
        n_lengths, has_stream = (more >> 1 & 7) + 1, more & 1
        return Step(Rule.IP, at.skip(3 + (12 * n_lengths + 7) // 8 + has_stream))
    is_later_segment = not is_plain and more >> 3
    if is_later_segment:
        raise Stop(FrameStatus.NON_IP)
    has_stream, has_extension = more >> 1 & 1, more & 1
    length = 3 + has_stream
    if has_extension:
        at.need(length + 2)
        length += 2 + at.u8(length + 1) + 1
    return Step(Rule.IP, at.skip(length))


def _erf(at: Cursor) -> Step:
    at.need(16)
    record_type, length = at.u8(8) & 0x7F, 16
    extended = at.u8(8) & 0x80
    while extended:
        at.need(length + 8)
        extended = at.u8(length) & 0x80
        length += 8
    length += 2 if record_type in ERF_ETHERNET else 4 if record_type in ERF_CHANNEL else 0
    at.need(length)
    frame = at.skip(length)
    if record_type in ERF_ETHERNET:
        return Step(Rule.ETHERNET, frame)
    if record_type in ERF_HDLC:
        return ppp_hdlc(frame)
    if record_type in ERF_IP:
        return Step(Rule.IP, frame)
    raise Stop(FrameStatus.NON_IP)


def _ethernet_mpacket(at: Cursor) -> Step:
    at.need(8)
    if at.u8(7) != MPACKET_START:
        raise Stop(FrameStatus.NON_IP)
    return Step(Rule.ETHERNET, at.skip(8))


def _pktap(at: Cursor) -> tuple[int, Cursor]:
    at.need(12)
    length, record_type = at.u32_le(0), at.u32_le(4)
    if length < 12:
        raise Stop(FrameStatus.MALFORMED)
    if record_type != PKTAP_PACKET:
        raise Stop(FrameStatus.NON_IP)
    return at.u32_le(8), at.skip(length)


def _ppi(at: Cursor) -> tuple[int, Cursor]:
    at.need(8)
    length = at.u16_le(2)
    if length < 8:
        raise Stop(FrameStatus.MALFORMED)
    return at.u32_le(4), at.skip(length)


def _around_any(outer_rule: Callable[[Cursor], tuple[int, Cursor]]) -> RuleFunction:
    """Return the function of a header around frames of a link type that it names."""

    def around_any(at: Cursor) -> Step:
        link_type, frame = outer_rule(at)
        if link_type in AROUND_ANY:
            raise Stop(FrameStatus.MALFORMED)
        return link_layer(link_type, frame)

    return around_any


def _non_ip(_at: Cursor) -> Step:
    raise Stop(FrameStatus.NON_IP)


AROUND_ANY: dict[int, RuleFunction] = {149: _around_any(_pktap), 192: _around_any(_ppi), 258: _around_any(_pktap)}
"""The link types whose frames hold one of another link type."""

_ETHERNET = enter(Rule.ETHERNET)
_IP = enter(Rule.IP)
_JUNIPER_SERVICES = juniper(after(8, ip_by_version))

LINK_RULES: dict[int, RuleFunction] = AROUND_ANY | {
    0: _family(4),
    1: _ETHERNET,
    3: _ax25,
    6: _ieee802_5,
    7: _arcnet(header_length=6, type_at=2),
    DLT_SLIP: after(dltoff[DLT_SLIP], _IP),
    9: enter(Rule.PPP),
    10: _fddi,
    12: _IP,
    14: _IP,
    50: ppp_hdlc,
    51: enter(Rule.PPPOE),
    99: _typed_before(44, type_at=6),
    100: atm_rfc1483,
    101: _IP,
    104: c_hdlc,
    105: ieee802_11,
    106: atm_clip,
    107: frame_relay,
    108: _family(4),
    109: _family(12),
    112: c_hdlc,
    113: sll,
    117: _pflog,
    119: prism,
    122: after(16, enter(Rule.LLC)),
    123: sunatm,
    127: radiotap,
    129: _arcnet(header_length=8, type_at=4),
    133: _JUNIPER_SERVICES,
    136: _JUNIPER_SERVICES,
    138: after(16, typed),
    163: avs,
    164: _JUNIPER_SERVICES,
    166: after(2, enter(Rule.PPP)),
    167: juniper(_ETHERNET),
    168: juniper(typed),
    178: juniper(_ETHERNET),
    179: juniper(enter(Rule.PPP)),
    180: juniper(frame_relay),
    181: juniper(c_hdlc),
    182: multilink_frame_relay,
    197: _erf,
    202: after(1, _ax25),
    204: after(1, ppp_hdlc),
    205: after(1, c_hdlc),
    206: after(1, frame_relay),
    219: enter(Rule.MPLS),
    226: _ipnet,
    228: _IP,
    229: _IP,
    239: _nflog,
    240: after(4, _ETHERNET),
    241: after(12, _ETHERNET),
    242: _typed_before(44, type_at=40),
    253: _non_ip,
    259: after(6, _ETHERNET),
    274: _ethernet_mpacket,
    276: sll2,
    281: after(16, typed),
    282: after(4, _ETHERNET),
    284: after(16, typed),
    285: after(20, typed),
    289: _alp,
}
"""What the frames of each link type begin with."""


def link_layer(link_type: int, at: Cursor) -> Step:
    """Return the step after the header of `link_type`, one of the table."""
    if link_type not in LINK_RULES:
        raise Stop(FrameStatus.UNSUPPORTED_LINK_TYPE)
    return LINK_RULES[link_type](at)
