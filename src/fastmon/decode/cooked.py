"""The reference decoder's rules for Linux cooked frames, and for the VLAN tags that their protocol hides.

Private to `fastmon.decode`.
"""

from __future__ import annotations

from dpkt.dpkt import in_cksum
from dpkt.sll import SLL
from dpkt.sll2 import SLL2

from fastmon.decode.layers import RULE_OF_ETHERTYPE, type_or_length
from fastmon.decode.walk import Cursor, Rule, RuleFunction, Step, Stop
from fastmon.decode.wan import frame_relay
from fastmon.decode.wireless import radiotap
from fastmon.model.frames import FrameStatus

__all__ = ["RULES", "sll", "sll2"]

ARPHRD_FRAD = 770
ARPHRD_RADIOTAP = 803
ARPHRD_NETLINK = 824
SLL_802_2 = 4
MAX_LENGTH_FIELD = 0x05FF
MAY_HIDE_TAGS = {Rule.IP, Rule.MPLS, Rule.PPPOE}
PPPOE_SESSION = b"\x11\x00"
MOST_TAGS = 32


def sll(at: Cursor) -> Step:
    """Read a cooked header of version 1."""
    header = at.header(SLL)
    return _cooked(header.hrd, header.ethtype, at.skip(16))


def sll2(at: Cursor) -> Step:
    """Read a cooked header of version 2."""
    header = at.header(SLL2)
    return _cooked(header.hrd, header.ethtype, at.skip(20))


def _cooked(hardware: int, protocol: int, payload: Cursor) -> Step:
    if hardware == ARPHRD_NETLINK:
        raise Stop(FrameStatus.NON_IP)
    if hardware == ARPHRD_RADIOTAP:
        return radiotap(payload)
    if hardware == ARPHRD_FRAD:
        return frame_relay(payload)
    if protocol == SLL_802_2:
        return Step(Rule.LLC, payload)
    if protocol <= MAX_LENGTH_FIELD:
        raise Stop(FrameStatus.NON_IP)
    return _by_protocol(protocol, payload)


def _by_protocol(protocol: int, payload: Cursor) -> Step:
    rule = RULE_OF_ETHERTYPE.get(protocol)
    if rule is Rule.VLAN or (rule in MAY_HIDE_TAGS and _hides_tags(protocol, payload)):
        return Step(Rule.COOKED_VLAN, payload)
    return type_or_length(protocol, payload)


def _cooked_vlan(at: Cursor) -> Step:
    at.need(4)
    return _by_protocol(at.u16(2), at.skip(4))


def _hides_tags(protocol: int, payload: Cursor) -> bool:
    """Tell whether VLAN tags stand before what `protocol` names: their last type is it, and it is not there already."""
    rule = RULE_OF_ETHERTYPE[protocol]
    if rule is Rule.IP and _is_surely_ip(payload):
        return False
    if rule is Rule.PPPOE and payload.span(0, 2) == PPPOE_SESSION:
        return False
    tag = payload
    for _ in range(MOST_TAGS):
        if not tag.has(4):
            return True
        following, tag = tag.u16(2), tag.skip(4)
        if following == protocol:
            return _may_begin(rule, tag)
        if RULE_OF_ETHERTYPE.get(following) is not Rule.VLAN:
            return False
    return True


def _may_begin(rule: Rule, at: Cursor) -> bool:
    """Tell whether the first byte, if it was captured, may be that of `rule`."""
    if rule is Rule.MPLS or not at.has(1):
        return True
    return at.u8(0) == PPPOE_SESSION[0] if rule is Rule.PPPOE else at.u8(0) >> 4 in (4, 6)


def _is_surely_ip(at: Cursor) -> bool:
    """Tell an IP header from a tag that looks like one: its packet ends with what was captured, or IPv4's checksum is right."""
    if not at.has(20):
        return False
    version, length, n_captured = at.u8(0) >> 4, (at.u8(0) & 0x0F) * 4, len(at.data) - at.start
    if version == 6:
        return n_captured == 40 + at.u16(4)
    is_whole = version == 4 and length >= 20 and at.has(length)
    return is_whole and (in_cksum(at.span(0, length)) == 0 or n_captured == at.u16(2))


RULES: dict[Rule, RuleFunction] = {Rule.COOKED_VLAN: _cooked_vlan}
