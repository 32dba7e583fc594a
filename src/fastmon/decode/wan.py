"""The reference decoder's rules for wide-area links: HDLC, Frame Relay, ATM, and Juniper's headers around them.

Private to `fastmon.decode`. None of them counts as a header.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastmon.decode.layers import MIN_ETHERTYPE, ethertype, type_or_length, typed
from fastmon.decode.walk import Cursor, Rule, RuleFunction, Step, Stop
from fastmon.model.frames import FrameStatus

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "atm_clip",
    "atm_rfc1483",
    "c_hdlc",
    "frame_relay",
    "ip_by_version",
    "juniper",
    "multilink_frame_relay",
    "ppp_hdlc",
    "sunatm",
]

HDLC_CISCO = {0x0F, 0x8F}
PPP_ADDRESS = 0xFF
UNNUMBERED = 0x03
NLPID_SNAP = 0x80
RULE_OF_NLPID = {0xCC: Rule.IP, 0x8E: Rule.IP, 0xCF: Rule.PPP}
OUI_ETHERTYPE = b"\x00\x00\x00"
OUI_BRIDGED = b"\x00\x80\xc2"
BRIDGED_ETHERNET = {0x0001, 0x0007}  # with and without its FCS
LLC_SNAP = b"\xaa\xaa\x03"
MAGIC = b"MGC"
NO_LINK_LAYER, HAS_EXTENSIONS = 0x02, 0x80


def _hdlc(is_cisco: Callable[[int], bool]) -> RuleFunction:
    def hdlc(at: Cursor) -> Step:
        at.need(4)
        return type_or_length(at.u16(2), at.skip(4)) if is_cisco(at.u8(0)) else Step(Rule.PPP, at)

    return hdlc


ppp_hdlc = _hdlc(lambda address: address in HDLC_CISCO)
c_hdlc = _hdlc(lambda address: address != PPP_ADDRESS)


def frame_relay(at: Cursor) -> Step:
    """Read a Q.922 address, and RFC 2427's or Cisco's header behind it."""
    at.need(4)
    extended = [at.u8(n) & 1 for n in range(4)]
    if extended[0] or not any(extended):
        raise Stop(FrameStatus.MALFORMED)
    control = extended.index(1) + 1
    at.need(control + 2)
    if at.u8(control) != UNNUMBERED:
        return typed(at.skip(control))
    is_padded = at.u8(control + 1) == 0
    return _nlpid(at.skip(control + 2 if is_padded else control + 1))


def _nlpid(at: Cursor) -> Step:
    at.need(1)
    number, payload = at.u8(0), at.skip(1)
    if number in RULE_OF_NLPID:
        return Step(RULE_OF_NLPID[number], payload)
    if number != NLPID_SNAP:
        raise Stop(FrameStatus.NON_IP)
    payload.need(5)
    organisation, protocol = payload.span(0, 3), payload.u16(3)
    if organisation == OUI_ETHERTYPE and protocol >= MIN_ETHERTYPE:
        return ethertype(protocol, payload.skip(5))
    if organisation == OUI_BRIDGED and protocol in BRIDGED_ETHERNET:
        return Step(Rule.ETHERNET, payload.skip(5))
    raise Stop(FrameStatus.NON_IP)


def multilink_frame_relay(at: Cursor) -> Step:
    """Read the fragmentation header of a multi-link frame; only a first or whole one has more headers."""
    at.need(2)
    begins, is_control = at.u8(0) & 0x80, at.u8(0) & 0x20
    if not begins or is_control:
        raise Stop(FrameStatus.NON_IP)
    return frame_relay(at.skip(2))


def atm_rfc1483(at: Cursor) -> Step:
    """Read multiprotocol encapsulation over ATM."""
    at.need(3)
    if at.u8(0) == 0xFE:
        raise Stop(FrameStatus.NON_IP)
    return Step(Rule.LLC, at)


def atm_clip(at: Cursor) -> Step:
    """Read classical IP over ATM, with or without LLC and SNAP."""
    at.need(3)
    return Step(Rule.LLC if at.span(0, 3) == LLC_SNAP else Rule.IP, at)


def sunatm(at: Cursor) -> Step:
    """Read SunATM's header."""
    at.need(4)
    if at.u8(0) & 0x0F != 2:
        raise Stop(FrameStatus.NON_IP)
    return Step(Rule.LLC, at.skip(4))


def ip_by_version(at: Cursor) -> Step:
    """Enter IP if the first byte says so."""
    at.need(1)
    if at.u8(0) >> 4 not in (4, 6):
        raise Stop(FrameStatus.NON_IP)
    return Step(Rule.IP, at)


def juniper(link_rule: RuleFunction) -> RuleFunction:
    """Return the function of Juniper's header around frames of `link_rule`."""

    def juniper_header(at: Cursor) -> Step:
        at.need(4)
        if at.span(0, 3) != MAGIC:
            raise Stop(FrameStatus.MALFORMED)
        length, flags = 4, at.u8(3)
        if flags & HAS_EXTENSIONS:
            at.need(6)
            length = 6 + at.u16(4)
        if flags & NO_LINK_LAYER:
            return ip_by_version(at.skip(length + 4))
        return link_rule(at.skip(length))

    return juniper_header
