"""The reference decoder's reading of IP headers and what is behind them (docs/decoding.md).

Private to `fastmon.decode`.
"""

from __future__ import annotations

from typing import NamedTuple

from dpkt.ip import IP
from dpkt.ip6 import IP6, IP6FragmentHeader

from fastmon.decode.walk import Cursor, Stop
from fastmon.model.frames import MAX_PAYLOAD_BYTES, FrameStatus

__all__ = [
    "IpHeader",
    "UpperLayer",
    "is_echo_request",
    "is_fresh",
    "is_router_advertisement",
    "read_ip",
    "read_payload",
    "read_ports",
    "read_tcp_flags",
]

V4_MAPPED = bytes(10) + b"\xff\xff"
FRAGMENT = 44
AUTHENTICATION = 51
EXTENSION_HEADERS = {0, 43, FRAGMENT, AUTHENTICATION, 60, 135, 139, 140}
MAX_EXTENSION_HEADERS = 32
TCP, UDP = 6, 17
ECHO_REQUESTS = {1: 8, 58: 128}
ICMPV6, ROUTER_ADVERTISEMENT = 58, (134, 0)
LONGEST_HOP_LIMIT = 255
SENDERS_HOP_LIMITS = {64, 128, LONGEST_HOP_LIMIT}
PROTOCOLS_WITH_PORTS = {6, 17, 33, 132, 136}


class UpperLayer(NamedTuple):
    """What an IP header carries.

    protocol: None when it was not captured.
    at: where the upper layer begins, captured or not; None in a later fragment and when `protocol` is None.
    """

    protocol: int | None
    at: Cursor | None
    is_fragment: bool


class IpHeader(NamedTuple):
    """One IP header.

    src, dst: 16-byte host keys.
    claimed_len: the packet's length, as the header claims; 0 if it claims none, or less than the header is long.
    packet: what was captured of the packet, from its IP header on, no more than it states as its length if it states one.
    hop_limit: of IPv6; 0 of IPv4.
    """

    src: bytes
    dst: bytes
    upper: UpperLayer
    claimed_len: int
    packet: Cursor
    hop_limit: int = 0


def read_ip(at: Cursor) -> IpHeader:
    """Read the IP header at `at`, of the version that it states itself."""
    at.need(1)
    version = at.u8(0) >> 4
    if version == 4:
        return _read_ipv4(at)
    if version == 6:
        return _read_ipv6(at)
    raise Stop(FrameStatus.MALFORMED)


def _read_ipv4(at: Cursor) -> IpHeader:
    header = at.header(IP)
    if header.hl < 5:
        raise Stop(FrameStatus.MALFORMED)
    payload = at.skip(header.hl * 4)
    upper = UpperLayer(
        protocol=header.p,
        at=payload if header.offset == 0 else None,
        is_fragment=bool(header.offset or header.mf),
    )
    claimed_len = header.len if header.len >= header.hl * 4 else 0
    return IpHeader(V4_MAPPED + header.src, V4_MAPPED + header.dst, upper, claimed_len, _cut(at, header.len))


def _read_ipv6(at: Cursor) -> IpHeader:
    header = at.header(IP6)
    claimed_len = 40 + header.plen if header.plen else 0
    upper = _walk_extension_headers(header.nxt, at.skip(40))
    return IpHeader(header.src, header.dst, upper, claimed_len, _cut(at, claimed_len), header.hlim)


def _cut(at: Cursor, length: int) -> Cursor:
    """Return the same place without what is captured behind `length` bytes from there; 0: of unknown length, all of it."""
    return Cursor(at.data[: at.start + length], at.start) if length else at


def _walk_extension_headers(next_header: int, at: Cursor) -> UpperLayer:
    is_fragment = False
    n_walked = 0
    while next_header in EXTENSION_HEADERS:
        if n_walked == MAX_EXTENSION_HEADERS or not at.has(8):
            return UpperLayer(None, None, is_fragment)
        length = (at.u8(1) + 1) * 8
        if next_header == AUTHENTICATION:
            length = (at.u8(1) + 2) * 4
        elif next_header == FRAGMENT:
            length = 8
            fragment = at.header(IP6FragmentHeader)
            if fragment.frag_off:
                return UpperLayer(fragment.nxt, None, is_fragment=True)
            is_fragment |= bool(fragment.m_flag)
        next_header, at = at.u8(0), at.skip(length)
        n_walked += 1
    return UpperLayer(next_header, at, is_fragment)


def read_ports(upper: UpperLayer) -> tuple[int, int] | None:
    """Return the (source, destination) ports, None where there are none or they were not captured."""
    if upper.protocol not in PROTOCOLS_WITH_PORTS or upper.at is None or not upper.at.has(4):
        return None
    return upper.at.u16(0), upper.at.u16(2)


def read_tcp_flags(upper: UpperLayer) -> int | None:
    """Return the 14th byte of the TCP header, None where there is none or it was not captured."""
    if upper.protocol != TCP or upper.at is None or not upper.at.has(14):
        return None
    return upper.at.u8(13)


def is_echo_request(upper: UpperLayer) -> bool:
    """Tell whether it is an echo request of ICMP or ICMPv6, as far as it was captured."""
    if upper.protocol not in ECHO_REQUESTS or upper.at is None or not upper.at.has(4):
        return False
    return upper.at.u8(0) == ECHO_REQUESTS[upper.protocol]


def is_router_advertisement(header: IpHeader) -> bool:
    """Tell whether it is a router advertisement (RFC 4861) that no router has forwarded, whole and of IPv6."""
    upper = header.upper
    if upper.protocol != ICMPV6 or upper.at is None or upper.is_fragment or not upper.at.has(4):
        return False
    return header.hop_limit == LONGEST_HOP_LIMIT and (upper.at.u8(0), upper.at.u8(1)) == ROUTER_ADVERTISEMENT


def is_fresh(header: IpHeader) -> bool:
    """Tell whether an IPv6 packet has a hop limit that senders set."""
    return header.hop_limit in SENDERS_HOP_LIMITS


def read_payload(header: IpHeader) -> bytes:
    """Return what was captured of TCP's or UDP's payload, or of a router advertisement's, at most `MAX_PAYLOAD_BYTES`."""
    upper = header.upper
    if upper.at is None or not (upper.protocol in (TCP, UDP) or is_router_advertisement(header)):
        return b""
    segment = Cursor(header.packet.data, upper.at.start)
    length = 8 if upper.protocol != TCP else _tcp_header_length(segment)
    return segment.span(length, length + MAX_PAYLOAD_BYTES) if length else b""


def _tcp_header_length(segment: Cursor) -> int:
    """Return the length that a TCP header states of itself, 0 if it was not captured or is too short to be one."""
    length = (segment.u8(12) >> 4) * 4 if segment.has(13) else 0
    return length if length >= 20 else 0
