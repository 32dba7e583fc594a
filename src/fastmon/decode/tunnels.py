"""The reference decoder's rules for what leads from one IP header to the next (docs/decoding.md).

Private to `fastmon.decode`. Whatever stops here, for whatever reason, leaves the IP header before it standing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpkt.gre import GRE
from dpkt.ip6 import IP6
from dpkt.udp import UDP

from fastmon.decode.layers import ethertype, type_or_length
from fastmon.decode.walk import Cursor, Rule, RuleFunction, Step, Stop
from fastmon.model.frames import FrameStatus

if TYPE_CHECKING:
    from fastmon.decode.network import UpperLayer

__all__ = ["RULES", "enter_tunnel"]

RULE_OF_PROTOCOL = {4: Rule.IP, 41: Rule.IP, 47: Rule.GRE, 97: Rule.ETHERIP, 137: Rule.MPLS}
UDP_PROTOCOL = 17
RULE_OF_UDP_PORT = {
    2152: Rule.GTPU,
    4789: Rule.VXLAN,
    4790: Rule.VXLAN_GPE,
    6081: Rule.GENEVE,
    6635: Rule.MPLS,
    8472: Rule.VXLAN,
}
RULE_OF_VXLAN_GPE_PROTOCOL = {1: Rule.IP, 2: Rule.IP, 3: Rule.ETHERNET, 4: Rule.NSH, 5: Rule.MPLS}
TEREDO_PORT = 3544
TEREDO_AUTHENTICATION, TEREDO_ORIGIN = 1, 0
NO_NEXT_HEADER = 59
GRE_CHECKSUM, GRE_ROUTING, GRE_KEY, GRE_SEQUENCE, GRE_ACKNOWLEDGEMENT = 0x8000, 0x4000, 0x2000, 0x1000, 0x0080
ERSPAN_1_OR_2, ERSPAN_3, PPP_IN_GRE = 0x88BE, 0x22EB, 0x880B


def enter_tunnel(upper: UpperLayer) -> Step:
    """Return the step into the tunnel that an IP header carries, or stop."""
    if upper.at is None:
        raise _no_tunnel()
    if upper.protocol == UDP_PROTOCOL:
        return _udp_tunnel(upper.at)
    return _step(RULE_OF_PROTOCOL, upper.protocol, upper.at)


def _no_tunnel() -> Stop:
    return Stop(FrameStatus.NON_IP)


def _step(table: dict[int, Rule], key: int | None, at: Cursor) -> Step:
    if key not in table:
        raise _no_tunnel()
    return Step(table[key], at)


def _udp_tunnel(at: Cursor) -> Step:
    header = at.header(UDP)
    if header.dport not in RULE_OF_UDP_PORT and TEREDO_PORT in (header.sport, header.dport):
        return Step(Rule.TEREDO, at)
    return _step(RULE_OF_UDP_PORT, header.dport, at.skip(8))


def _etherip(at: Cursor) -> Step:
    at.need(2)
    if at.u8(0) >> 4 != 3:
        raise _no_tunnel()
    return Step(Rule.ETHERNET, at.skip(2))


def _gre(at: Cursor) -> Step:
    header = at.header(GRE)
    if header.v == 0 and not header.flags & GRE_ROUTING:
        return _gre_version_0(header, at)
    if header.v == 1 and header.p == PPP_IN_GRE and header.flags & GRE_SEQUENCE:
        return Step(Rule.PPP, at.skip(16 if header.flags & GRE_ACKNOWLEDGEMENT else 12))
    raise _no_tunnel()


def _gre_version_0(header: GRE, at: Cursor) -> Step:
    n_fields = sum(bool(header.flags & flag) for flag in (GRE_CHECKSUM, GRE_KEY, GRE_SEQUENCE))
    payload = at.skip(4 + 4 * n_fields)
    if header.p == ERSPAN_1_OR_2:
        is_type_2 = header.flags & GRE_SEQUENCE
        return Step(Rule.ETHERNET, payload.skip(8 if is_type_2 else 0))
    if header.p == ERSPAN_3:
        payload.need(12)
        has_platform_header = payload.u8(11) & 1
        return Step(Rule.ETHERNET, payload.skip(20 if has_platform_header else 12))
    return ethertype(header.p, payload)


def _need_vxlan(at: Cursor) -> None:
    at.need(8)
    has_network_id = at.u8(0) & 0x08
    if not has_network_id:
        raise _no_tunnel()


def _vxlan(at: Cursor) -> Step:
    _need_vxlan(at)
    return Step(Rule.ETHERNET, at.skip(8))


def _vxlan_gpe(at: Cursor) -> Step:
    _need_vxlan(at)
    return _step(RULE_OF_VXLAN_GPE_PROTOCOL, at.u8(3), at.skip(8))


def _geneve(at: Cursor) -> Step:
    at.need(8)
    if at.u8(0) >> 6 != 0:
        raise _no_tunnel()
    return type_or_length(at.u16(2), at.skip(8 + (at.u8(0) & 0x3F) * 4))


def _gtpu(at: Cursor) -> Step:
    at.need(8)
    flags, message_type = at.u8(0), at.u8(1)
    if flags >> 5 != 1 or not flags & 0x10 or message_type != 0xFF:
        raise _no_tunnel()
    if not flags & 0x07:
        return Step(Rule.IP, at.skip(8))
    at.need(12)
    payload = at.skip(12)
    next_type = at.u8(11) if flags & 0x04 else 0
    while next_type != 0:
        payload.need(1)
        length = payload.u8(0) * 4
        if length == 0:
            raise _no_tunnel()
        payload.need(length)
        next_type, payload = payload.u8(length - 1), payload.skip(length)
    return Step(Rule.IP, payload)


def _teredo(at: Cursor) -> Step:
    """Read a Teredo datagram from its UDP header on: it must hold an IPv6 packet, and nothing else but trailers of a bubble."""
    n_claimed, packet = at.header(UDP).ulen, at.skip(8)
    packet.need(4)
    if packet.u16(0) == TEREDO_AUTHENTICATION:
        packet = packet.skip(13 + packet.u8(2) + packet.u8(3))
        packet.need(4)
    if packet.u16(0) == TEREDO_ORIGIN:
        packet = packet.skip(8)
    header = packet.header(IP6)
    n_behind = n_claimed - (packet.start - at.start) - 40 - header.plen
    if packet.u8(0) >> 4 != 6 or n_behind < 0 or (n_behind > 0 and header.nxt != NO_NEXT_HEADER):
        raise _no_tunnel()
    return Step(Rule.IP, packet)


RULES: dict[Rule, RuleFunction] = {
    Rule.ETHERIP: _etherip,
    Rule.GRE: _gre,
    Rule.VXLAN: _vxlan,
    Rule.VXLAN_GPE: _vxlan_gpe,
    Rule.GENEVE: _geneve,
    Rule.GTPU: _gtpu,
    Rule.TEREDO: _teredo,
}
