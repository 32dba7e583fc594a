"""The reference decoder's table of link types (LINKTYPE_ numbers; docs/decoding.md).

Private to `fastmon.decode`. A link-type header counts only where it is one of the rules of `walk.Rule`.
"""

from __future__ import annotations

from dpkt.pcap import DLT_SLIP, dltoff
from dpkt.sll import SLL
from dpkt.sll2 import SLL2

from fastmon.decode.layers import MIN_ETHERTYPE, ethertype, type_or_length
from fastmon.decode.walk import Cursor, Rule, RuleFunction, Step, Stop, enter
from fastmon.decode.wireless import avs, ieee802_11, ppi, prism, radiotap
from fastmon.model.frames import FrameStatus

__all__ = ["LINK_RULES", "link_layer"]

ADDRESS_FAMILIES = {2, 10, 23, 24, 28, 30}  # AF_INET, and AF_INET6 of Linux, Windows, NetBSD, FreeBSD, macOS
HDLC_CISCO = {0x0F, 0x8F}
ARPHRD_NETLINK = 824
ARPHRD_RADIOTAP = 803
SLL_802_2 = 4
ARCNET_OLD_IP = 0xF0
ARCNET_IP = {0xD4, 0xC4}
IPNET_FAMILIES = {2, 26}
NFLOG_PAYLOAD = 9
LINKTYPE_PKTAP = 258
PKTAP_PACKET = 1
MPACKET_START = 0xD5


def _null(at: Cursor) -> Step:
    at.need(4)
    family = next((number for number in (at.u32_le(0), at.u32(0)) if number < 0x10000), None)
    if family is None:
        return ethertype(at.u16(2), at.skip(4))
    if family in ADDRESS_FAMILIES:
        return Step(Rule.IP, at.skip(4))
    if family >= MIN_ETHERTYPE:
        return ethertype(family, at.skip(4))
    raise Stop(FrameStatus.NON_IP)


def _ppp_hdlc(at: Cursor) -> Step:
    at.need(4)
    return type_or_length(at.u16(2), at.skip(4)) if at.u8(0) in HDLC_CISCO else Step(Rule.PPP, at)


def _c_hdlc(at: Cursor) -> Step:
    at.need(4)
    return type_or_length(at.u16(2), at.skip(4)) if at.u8(0) != 0xFF else Step(Rule.PPP, at)


def _with_direction(link_rule: RuleFunction) -> RuleFunction:
    def with_direction(at: Cursor) -> Step:
        at.need(1)
        return link_rule(at.skip(1))

    return with_direction


def _sll(at: Cursor) -> Step:
    header = at.header(SLL)
    return _cooked(header.hrd, header.ethtype, at.skip(16))


def _sll2(at: Cursor) -> Step:
    header = at.header(SLL2)
    return _cooked(header.hrd, header.ethtype, at.skip(20))


def _cooked(hardware: int, protocol: int, payload: Cursor) -> Step:
    if hardware == ARPHRD_NETLINK:
        raise Stop(FrameStatus.NON_IP)
    if hardware == ARPHRD_RADIOTAP:
        return radiotap(payload)
    if protocol == SLL_802_2:
        return Step(Rule.LLC, payload)
    if protocol >= MIN_ETHERTYPE:
        return ethertype(protocol, payload)
    raise Stop(FrameStatus.NON_IP)


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


def _ip_over_fc(at: Cursor) -> Step:
    at.need(16)
    return Step(Rule.LLC, at.skip(16))


def _atm_rfc1483(at: Cursor) -> Step:
    at.need(3)
    if at.u8(0) == 0xFE:
        raise Stop(FrameStatus.NON_IP)
    return Step(Rule.LLC, at)


def _sunatm(at: Cursor) -> Step:
    at.need(4)
    if at.u8(0) & 0x0F != 2:
        raise Stop(FrameStatus.NON_IP)
    return Step(Rule.LLC, at.skip(4))


def _apple_ip_over_ieee1394(at: Cursor) -> Step:
    at.need(18)
    return type_or_length(at.u16(16), at.skip(18))


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


def _ipoib(at: Cursor) -> Step:
    at.need(44)
    return ethertype(at.u16(40), at.skip(44))


def _pktap(at: Cursor) -> Step:
    at.need(12)
    length, record_type, link_type = at.u32_le(0), at.u32_le(4), at.u32_le(8)
    if length < 12:
        raise Stop(FrameStatus.MALFORMED)
    if record_type != PKTAP_PACKET:
        raise Stop(FrameStatus.NON_IP)
    if link_type == LINKTYPE_PKTAP:
        raise Stop(FrameStatus.MALFORMED)
    return link_layer(link_type, at.skip(length))


def _ethernet_mpacket(at: Cursor) -> Step:
    at.need(8)
    if at.u8(7) != MPACKET_START:
        raise Stop(FrameStatus.NON_IP)
    return Step(Rule.ETHERNET, at.skip(8))


LINK_RULES: dict[int, RuleFunction] = {
    0: _null,
    1: enter(Rule.ETHERNET),
    6: _ieee802_5,
    7: _arcnet(header_length=6, type_at=2),
    DLT_SLIP: enter(Rule.IP, skip=dltoff[DLT_SLIP]),
    9: enter(Rule.PPP),
    10: _fddi,
    12: enter(Rule.IP),
    14: enter(Rule.IP),
    50: _ppp_hdlc,
    51: enter(Rule.PPPOE),
    100: _atm_rfc1483,
    101: enter(Rule.IP),
    104: _c_hdlc,
    105: ieee802_11,
    108: _null,
    113: _sll,
    117: _pflog,
    119: prism,
    122: _ip_over_fc,
    123: _sunatm,
    127: radiotap,
    129: _arcnet(header_length=8, type_at=4),
    138: _apple_ip_over_ieee1394,
    163: avs,
    192: ppi,
    204: _with_direction(_ppp_hdlc),
    205: _with_direction(_c_hdlc),
    219: enter(Rule.MPLS),
    226: _ipnet,
    228: enter(Rule.IP),
    229: enter(Rule.IP),
    239: _nflog,
    242: _ipoib,
    LINKTYPE_PKTAP: _pktap,
    274: _ethernet_mpacket,
    276: _sll2,
}
"""What the frames of each link type begin with."""


def link_layer(link_type: int, at: Cursor) -> Step:
    """Return the step after the header of `link_type`, one of the table."""
    if link_type not in LINK_RULES:
        raise Stop(FrameStatus.UNSUPPORTED_LINK_TYPE)
    return LINK_RULES[link_type](at)
