"""TCP flags and payloads: what both decoders say of them (docs/decoding.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import builders as b
import pytest
from engines import decode_with

if TYPE_CHECKING:
    from collections.abc import Callable

RAW = 101
SRC, DST = "10.1.2.3", "192.0.2.9"
SRC6, DST6 = "2001:db8::1", "2001:db8::2"
DATA = b"GET / HTTP/1.1"
OPTIONS = bytes(12)
PADDING = b"\xee" * 6


def tcp4(payload: bytes = DATA, *, total_length: int | None = None) -> bytes:
    return b.ipv4(SRC, DST, b.tcp(1, 2, payload, flags=0x18), protocol=b.TCP, total_length=total_length)


def udp4(payload: bytes = DATA, *, total_length: int | None = None) -> bytes:
    return b.ipv4(SRC, DST, b.udp(1, 2, payload), total_length=total_length)


def tcp6(payload: bytes = DATA, *, payload_length: int | None = None) -> bytes:
    return b.ipv6(SRC6, DST6, b.tcp(1, 2, payload, flags=0x18), next_header=b.TCP, payload_length=payload_length)


def udp6(payload: bytes = DATA, *, payload_length: int | None = None) -> bytes:
    return b.ipv6(SRC6, DST6, b.udp(1, 2, payload), payload_length=payload_length)


def extended6(payload: bytes, protocol: int, *, payload_length: int | None = None) -> bytes:
    """IPv6 with a hop-by-hop header of 24 bytes and an authentication header of 24."""
    headers = b.extension6(51, b.authentication(protocol, payload), units=2)
    return b.ipv6(SRC6, DST6, headers, next_header=0, payload_length=payload_length)


PAYLOADS = {
    "TCP": (tcp4(), 0x18, DATA),
    "UDP": (udp4(), None, DATA),
    "TCP over IPv6": (tcp6(), 0x18, DATA),
    "UDP over IPv6": (udp6(), None, DATA),
    "TCP without payload": (tcp4(b""), 0x18, b""),
    "UDP without payload": (udp4(b""), None, b""),
    "TCP options": (
        b.ipv4(SRC, DST, b.tcp(1, 2, DATA, words=8, options=OPTIONS, flags=0xFF), protocol=b.TCP),
        0xFF,
        DATA,
    ),
    "TCP header longer than the packet": (b.ipv4(SRC, DST, b.tcp(1, 2, DATA, words=15), protocol=b.TCP), 2, b""),
    "TCP header shorter than one": (b.ipv4(SRC, DST, b.tcp(1, 2, DATA, words=4), protocol=b.TCP), 2, b""),
    "TCP header of no length": (b.ipv4(SRC, DST, b.tcp(1, 2, DATA, words=0), protocol=b.TCP), 2, b""),
    "IPv4 options": (b.ipv4(SRC, DST, b.udp(1, 2, DATA), options=bytes(40)), None, DATA),
    "IPv4 options and padding": (b.ipv4(SRC, DST, b.udp(1, 2, DATA), options=bytes(8)) + PADDING, None, DATA),
    "padding behind TCP": (tcp4() + PADDING, 0x18, DATA),
    "padding behind UDP": (udp4() + PADDING, None, DATA),
    "padding behind IPv6": (udp6() + PADDING, None, DATA),
    "padding behind TCP without payload": (tcp4(b"") + PADDING, 0x18, b""),
    "no total length, as in segmentation offload": (tcp4(total_length=0), 0x18, DATA),
    "no payload length, as of a jumbogram": (tcp6(payload_length=0), 0x18, DATA),
    "no total length, and padding": (udp4(total_length=0) + PADDING, None, DATA + PADDING),
    "total length that claims more": (udp4(total_length=9000), None, DATA),
    "payload length that claims more": (udp6(payload_length=9000), None, DATA),
    "greatest payload length": (udp6(payload_length=0xFFFF), None, DATA),
    "total length that ends in the payload": (udp4(total_length=20 + 8 + 3), None, DATA[:3]),
    "payload length that ends in the payload": (tcp6(payload_length=20 + 3), 0x18, DATA[:3]),
    "total length that ends where the payload begins": (udp4(total_length=20 + 8), None, b""),
    "total length that ends in the TCP header": (tcp4(total_length=20 + 8), 0x18, b""),
    "total length that ends in the IPv4 header": (udp4(total_length=1), None, b""),
    "payload length of 1": (udp6(payload_length=1), None, b""),
    "extension headers": (extended6(b.udp(1, 2, DATA), b.UDP) + PADDING, None, DATA),
    "extension headers before TCP": (extended6(b.tcp(1, 2, DATA, flags=0x11), b.TCP) + PADDING, 0x11, DATA),
    "payload length that counts extension headers": (
        extended6(b.udp(1, 2, DATA), b.UDP, payload_length=48 + 8 + 5),
        None,
        DATA[:5],
    ),
    "payload length that ends in extension headers": (extended6(b.udp(1, 2, DATA), b.UDP, payload_length=30), None, b""),
    "first fragment": (b.ipv4(SRC, DST, b.udp(1, 2, DATA), more=True), None, DATA),
    "first fragment of IPv6": (
        b.ipv6(SRC6, DST6, b.fragment6(b.TCP, b.tcp(1, 2, DATA), more=True), next_header=44),
        2,
        DATA,
    ),
    "later fragment": (b.ipv4(SRC, DST, b.tcp(1, 2, DATA), protocol=b.TCP, offset=1), None, b""),
    "later fragment of IPv6": (b.ipv6(SRC6, DST6, b.fragment6(b.UDP, b.udp(1, 2, DATA), offset=1), next_header=44), None, b""),
    "UDP length that lies": (b.ipv4(SRC, DST, b.udp(1, 2)[:4] + b"\x00\x01\x00\x00" + DATA), None, DATA),
    "most that is kept": (udp4(b"x" * 1500), None, b"x" * 1500),
    "more than is kept": (udp4(b"x" * 1501), None, b"x" * 1500),
    "SCTP": (b.ipv4(SRC, DST, b.sctp(1, 2, bytes(20)), protocol=b.SCTP), None, b""),
    "DCCP": (b.ipv4(SRC, DST, b.tcp(1, 2, DATA), protocol=33), None, b""),
    "UDP-Lite": (b.ipv4(SRC, DST, b.udp(1, 2, DATA), protocol=136), None, b""),
    "ICMP": (b.ipv4(SRC, DST, b.icmp(bytes(40)), protocol=b.ICMP), None, b""),
}


@pytest.mark.parametrize(("packet", "flags", "payload"), PAYLOADS.values(), ids=PAYLOADS.keys())
def test_flags_and_payload(packet: bytes, flags: int | None, payload: bytes, conversation_engine: str) -> None:
    summary = decode_with(conversation_engine, RAW, packet)
    assert (summary.tcp_flags, summary.payload) == (flags, payload)


CUT = {
    "TCP": (tcp4, 20, 20),
    "UDP": (udp4, 20, 8),
    "TCP over IPv6": (tcp6, 40, 20),
    "UDP over IPv6": (udp6, 40, 8),
    "IPv4 options": (lambda: b.ipv4(SRC, DST, b.tcp(1, 2, DATA, flags=0x18), protocol=b.TCP, options=bytes(4)), 24, 20),
    "extension headers": (lambda: extended6(b.tcp(1, 2, DATA, flags=0x18), b.TCP), 88, 20),
    "TCP options": (
        lambda: b.ipv4(SRC, DST, b.tcp(1, 2, DATA, words=8, options=OPTIONS, flags=0x18), protocol=b.TCP),
        20,
        32,
    ),
}


@pytest.mark.parametrize(("build", "upper_at", "header_length"), CUT.values(), ids=CUT.keys())
def test_cut_at_every_length(build: Callable[[], bytes], upper_at: int, header_length: int, conversation_engine: str) -> None:
    packet = build() + PADDING
    is_tcp = header_length != 8
    for n_captured in range(20 if packet[0] >> 4 == 4 else 40, len(packet) + 1):
        summary = decode_with(conversation_engine, RAW, packet[:n_captured])
        assert summary.tcp_flags == (0x18 if is_tcp and n_captured >= upper_at + 14 else None)
        assert summary.payload == DATA[: max(n_captured - upper_at - header_length, 0)]


def test_innermost_header_says_where_the_payload_ends(conversation_engine: str) -> None:
    inner = tcp4() + PADDING
    tunnel = b.ipv4("198.51.100.1", "198.51.100.2", inner, protocol=4) + PADDING
    summary = decode_with(conversation_engine, RAW, tunnel, inner=True)
    assert (summary.tcp_flags, summary.payload) == (0x18, DATA)
    outer = decode_with(conversation_engine, RAW, tunnel)
    assert (outer.tcp_flags, outer.payload) == (None, b"")


def test_inner_packet_that_claims_more_than_the_outer_one_is_read_as_captured(conversation_engine: str) -> None:
    tunnel = b.ipv4("198.51.100.1", "198.51.100.2", tcp4(total_length=0), protocol=4, total_length=50) + PADDING
    assert decode_with(conversation_engine, RAW, tunnel, inner=True).payload == DATA + PADDING


def test_ethernet_padding_is_no_payload(conversation_engine: str) -> None:
    frame = b.ethernet(b.IPV4, udp4(b"ab")) + bytes(60 - 14 - 30)
    assert decode_with(conversation_engine, 1, frame).payload == b"ab"


def test_frame_without_ip_has_none(conversation_engine: str) -> None:
    summary = decode_with(conversation_engine, 1, b.ethernet(b.ARP, bytes(46)))
    assert (summary.tcp_flags, summary.payload) == (None, b"")
