"""The reference decoder: what a frame is, by the rules of docs/decoding.md.

Header layouts are dpkt's wherever dpkt has them; the way from one header to the next is decided here, because
dpkt's own chaining takes lengths that senders claim for true, and cannot tell a cut header from an unknown one.
It is slow and clear, and shares no code with the native decoder, which tests compare with it.

What it does not do: raise, whatever the bytes; count; read captures.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from fastmon.decode import cooked, layers, tunnels
from fastmon.decode.links import LINK_RULES, link_layer
from fastmon.decode.network import (
    IpHeader,
    is_echo_request,
    is_fresh,
    is_router_advertisement,
    read_ip,
    read_payload,
    read_ports,
    read_tcp_flags,
)
from fastmon.decode.walk import Cursor, Rule, RuleFunction, Step, Stop
from fastmon.model.frames import FrameStatus, PacketSummary

if TYPE_CHECKING:
    from fastmon.model.frames import Frame

__all__ = ["SUPPORTED_LINK_TYPES", "decode"]

SUPPORTED_LINK_TYPES: frozenset[int] = frozenset(LINK_RULES)
"""LINKTYPE_ numbers of the frames that this decoder decodes."""

_RULES: dict[Rule, RuleFunction] = layers.RULES | cooked.RULES | tunnels.RULES
_MAX_HEADERS = 32


def decode(frame: Frame, *, inner: bool = False) -> PacketSummary:
    """Return what `frame` is: its hosts, by its outermost IP header, or why it has none.

    inner: take the innermost IP header of tunnels instead.
    """
    try:
        packet, n_headers = _find_ip(link_layer(frame.link_type, Cursor(frame.data, 0)), 0)
    except Stop as stop:
        return PacketSummary(stop.status)
    if inner:
        packet = _innermost(packet, n_headers)
    return PacketSummary(
        FrameStatus.IP,
        packet.src,
        packet.dst,
        packet.upper.protocol,
        read_ports(packet.upper),
        packet.upper.is_fragment,
        read_tcp_flags(packet.upper),
        read_payload(packet),
        is_echo_request(packet.upper),
        packet.packet.start,
        packet.claimed_len,
        is_router_advertisement(packet),
        is_fresh(packet),
    )


def _find_ip(step: Step, n_headers: int) -> tuple[IpHeader, int]:
    """Follow the rules from `step` to an IP header; return it and the number of headers entered, it included."""
    while True:
        n_headers += 1
        if n_headers > _MAX_HEADERS:
            raise Stop(FrameStatus.TOO_DEEP)
        if step.rule is Rule.IP:
            return read_ip(step.at), n_headers
        step = _RULES[step.rule](step.at)


def _innermost(packet: IpHeader, n_headers: int) -> IpHeader:
    with suppress(Stop):
        while True:
            packet, n_headers = _find_ip(tunnels.enter_tunnel(packet.upper), n_headers)
    return packet
