"""The reference decoder's rules for what stands between a link type and IP (docs/decoding.md).

Private to `fastmon.decode`.
"""

from __future__ import annotations

from dpkt.ethernet import Ethernet, MPLSlabel, VLANtag8021Q, VLANtagISL
from dpkt.llc import LLC
from dpkt.pppoe import PPPoE

from fastmon.decode.walk import Cursor, Rule, RuleFunction, Step, Stop
from fastmon.model.frames import FrameStatus

__all__ = ["MIN_ETHERTYPE", "RULES", "RULE_OF_ETHERTYPE", "ethertype", "type_or_length", "typed"]

MIN_ETHERTYPE = 0x0600
MAX_LENGTH = 1500

RULE_OF_ETHERTYPE = {
    0x0800: Rule.IP,
    0x86DD: Rule.IP,
    0x8100: Rule.VLAN,
    0x88A8: Rule.VLAN,
    0x9100: Rule.VLAN,
    0x9200: Rule.VLAN,
    0x9300: Rule.VLAN,
    0x8847: Rule.MPLS,
    0x8848: Rule.MPLS,
    0x8864: Rule.PPPOE,
    0x880B: Rule.PPP,
    0x8870: Rule.LLC,
    0x6558: Rule.ETHERNET,
    0x88E7: Rule.PBB,
    0x8903: Rule.FABRICPATH,
    0x88E5: Rule.MACSEC,
    0x894F: Rule.NSH,
    0x8926: Rule.VNTAG,
    0x893F: Rule.ETAG,
    0x8909: Rule.CMD,
    0xF1C1: Rule.RTAG,
    0x22F3: Rule.TRILL,
}
RULE_OF_PPP_PROTOCOL = {0x0021: Rule.IP, 0x0057: Rule.IP, 0x0281: Rule.MPLS, 0x0283: Rule.MPLS}
RULE_OF_NSH_PROTOCOL = {1: Rule.IP, 2: Rule.IP, 3: Rule.ETHERNET, 4: Rule.NSH, 5: Rule.MPLS}
ISL_DESTINATIONS = (b"\x01\x00\x0c\x00\x00", b"\x03\x00\x0c\x00\x00")
SNAP = (0xAA, 0xAA, 3)
LLC_IP = (6, 6, 3)
SNAP_OUIS = (b"\x00\x00\x00", b"\x00\x00\xf8")
PPP_ADDRESS_CONTROL = b"\xff\x03"


def ethertype(number: int, at: Cursor) -> Step:
    """Return the step into what an EtherType names."""
    if number not in RULE_OF_ETHERTYPE:
        raise Stop(FrameStatus.NON_IP)
    return Step(RULE_OF_ETHERTYPE[number], at)


def type_or_length(number: int, at: Cursor) -> Step:
    """Return the step after a field that is an EtherType or an 802.3 length."""
    if number >= MIN_ETHERTYPE:
        return ethertype(number, at)
    if number <= MAX_LENGTH:
        return Step(Rule.LLC, at)
    raise Stop(FrameStatus.NON_IP)


def typed(at: Cursor) -> Step:
    """Read a field of two bytes that says what follows it: an EtherType or an 802.3 length."""
    at.need(2)
    return type_or_length(at.u16(0), at.skip(2))


def _ethernet(at: Cursor) -> Step:
    header = at.header(Ethernet)
    if header.type <= MAX_LENGTH and header.dst.startswith(ISL_DESTINATIONS):
        at.header(VLANtagISL)
        return Step(Rule.ETHERNET, at.skip(26))
    return type_or_length(header.type, at.skip(14))


def _vlan(at: Cursor) -> Step:
    return type_or_length(at.header(VLANtag8021Q).type, at.skip(4))


def _mpls(at: Cursor) -> Step:
    payload = at.skip(4)
    if not at.header(MPLSlabel).s:
        return Step(Rule.MPLS, payload)
    payload.need(1)
    nibble = payload.u8(0) >> 4
    if nibble in (4, 6):
        return Step(Rule.IP, payload)
    if nibble == 1:
        raise Stop(FrameStatus.NON_IP)
    if nibble == 0:
        payload.need(4)
        return Step(Rule.ETHERNET, payload.skip(4))
    return Step(Rule.ETHERNET, payload)


def _pppoe(at: Cursor) -> Step:
    header = at.header(PPPoE)
    if (header.v, header.type) != (1, 1):
        raise Stop(FrameStatus.MALFORMED)
    if header.code != 0:
        raise Stop(FrameStatus.NON_IP)
    return Step(Rule.PPP, at.skip(6))


def _ppp(at: Cursor) -> Step:
    at.need(2)
    if at.span(0, 2) == PPP_ADDRESS_CONTROL:
        at = at.skip(2)
        at.need(2)
    is_compressed = at.u8(0) & 1
    protocol, length = (at.u8(0), 1) if is_compressed else (at.u16(0), 2)
    if protocol not in RULE_OF_PPP_PROTOCOL:
        raise Stop(FrameStatus.NON_IP)
    return Step(RULE_OF_PPP_PROTOCOL[protocol], at.skip(length))


def _llc(at: Cursor) -> Step:
    header = at.header(LLC)
    service = (header.dsap, header.ssap, header.ctl)
    if service == LLC_IP:
        return Step(Rule.IP, at.skip(3))
    if service == SNAP:
        at.need(8)
        if at.span(3, 6) in SNAP_OUIS and at.u16(6) >= MIN_ETHERTYPE:
            return ethertype(at.u16(6), at.skip(8))
    raise Stop(FrameStatus.NON_IP)


def _before_ethernet(length: int) -> RuleFunction:
    """Return the function of a header of `length` bytes before an Ethernet header."""

    def before_ethernet(at: Cursor) -> Step:
        at.need(length)
        return Step(Rule.ETHERNET, at.skip(length))

    return before_ethernet


def _macsec(at: Cursor) -> Step:
    at.need(6)
    if at.u8(0) & 0x0C:
        raise Stop(FrameStatus.ENCRYPTED)
    length = 14 if at.u8(0) & 0x20 else 6
    at.need(length + 2)
    return type_or_length(at.u16(length), at.skip(length + 2))


def _nsh(at: Cursor) -> Step:
    at.need(8)
    length = (at.u8(1) & 0x3F) * 4
    if length < 8:
        raise Stop(FrameStatus.MALFORMED)
    if at.u8(3) not in RULE_OF_NSH_PROTOCOL:
        raise Stop(FrameStatus.NON_IP)
    return Step(RULE_OF_NSH_PROTOCOL[at.u8(3)], at.skip(length))


def _tag(length: int) -> RuleFunction:
    """Return the function of a tag of `length` bytes whose last two say what follows."""

    def tag(at: Cursor) -> Step:
        at.need(length)
        return type_or_length(at.u16(length - 2), at.skip(length))

    return tag


def _trill(at: Cursor) -> Step:
    at.need(6)
    n_option_words = (at.u16(0) >> 6) & 0x1F
    return Step(Rule.ETHERNET, at.skip(6 + 4 * n_option_words))


RULES: dict[Rule, RuleFunction] = {
    Rule.ETHERNET: _ethernet,
    Rule.VLAN: _vlan,
    Rule.MPLS: _mpls,
    Rule.PPPOE: _pppoe,
    Rule.PPP: _ppp,
    Rule.LLC: _llc,
    Rule.PBB: _before_ethernet(4),
    Rule.FABRICPATH: _before_ethernet(2),
    Rule.MACSEC: _macsec,
    Rule.NSH: _nsh,
    Rule.VNTAG: _tag(6),
    Rule.ETAG: _tag(8),
    Rule.CMD: _tag(8),
    Rule.RTAG: _tag(6),
    Rule.TRILL: _trill,
}
