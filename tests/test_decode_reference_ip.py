"""The reference decoder above the link layer: IP headers, what they carry, tunnels (docs/decoding.md)."""

from __future__ import annotations

import builders as b
import pytest

from fastmon.decode import decode
from fastmon.model.frames import Frame, FrameStatus, PacketSummary

RAW = 101
INNER_SRC, INNER_DST = b.host("10.1.2.3"), b.host("192.0.2.9")
OUTER_SRC, OUTER_DST = b.host("198.51.100.1"), b.host("198.51.100.2")
PACKET = b.ipv4("10.1.2.3", "192.0.2.9", b.tcp(40000, 443), protocol=b.TCP)
PACKET6 = b.ipv6("2001:db8::1", "2001:db8::2", b.udp(5353, 53), next_header=b.UDP)
FRAME = b.ethernet(b.IPV4, PACKET)
BUBBLE = b.ipv6("2001:db8::8", "2001:db8::9", next_header=59)


def summarize(packet: bytes, *, inner: bool = False) -> PacketSummary:
    return decode(Frame(0, len(packet), RAW, packet), inner=inner)


def v4(payload: bytes, protocol: int) -> bytes:
    return b.ipv4("198.51.100.1", "198.51.100.2", payload, protocol=protocol)


def v6(payload: bytes, next_header: int) -> bytes:
    return b.ipv6("2001:db8::8", "2001:db8::9", payload, next_header=next_header)


def udp4(port: int, payload: bytes) -> bytes:
    return v4(b.udp(50000, port, payload), b.UDP)


# Ports, protocol, fragments.

UPPER_LAYERS = {
    "TCP": (v4(b.tcp(40000, 443), b.TCP), b.TCP, (40000, 443), False),
    "UDP": (v4(b.udp(5353, 53), b.UDP), b.UDP, (5353, 53), False),
    "SCTP": (v4(b.sctp(36412, 38412), b.SCTP), b.SCTP, (36412, 38412), False),
    "DCCP": (v4(b.tcp(1, 2), 33), 33, (1, 2), False),
    "UDP-Lite": (v4(b.udp(1, 2), 136), 136, (1, 2), False),
    "ICMP": (v4(b.icmp(), b.ICMP), b.ICMP, None, False),
    "TCP cut after its ports": (v4(b.tcp(1, 2)[:4], b.TCP), b.TCP, (1, 2), False),
    "TCP cut in its ports": (v4(b.tcp(1, 2)[:3], b.TCP), b.TCP, None, False),
    "no total length, as in segmentation offload": (
        b.ipv4("10.1.2.3", "192.0.2.9", b.tcp(1, 2), protocol=b.TCP, total_length=0),
        b.TCP,
        (1, 2),
        False,
    ),
    "total length that ends before the ports": (
        b.ipv4("10.1.2.3", "192.0.2.9", b.tcp(1, 2), protocol=b.TCP, total_length=21),
        b.TCP,
        (1, 2),
        False,
    ),
    "options": (b.ipv4("10.1.2.3", "192.0.2.9", b.udp(1, 2), options=bytes(40)), b.UDP, (1, 2), False),
    "options cut": (b.ipv4("10.1.2.3", "192.0.2.9", b.udp(1, 2), options=bytes(40))[:59], b.UDP, None, False),
    "first fragment": (b.ipv4("10.1.2.3", "192.0.2.9", b.udp(1, 2), more=True), b.UDP, (1, 2), True),
    "later fragment": (b.ipv4("10.1.2.3", "192.0.2.9", b.udp(1, 2), offset=1, more=True), b.UDP, None, True),
    "last fragment": (b.ipv4("10.1.2.3", "192.0.2.9", b.udp(1, 2), offset=0x1FFF), b.UDP, None, True),
    "IPv6 and TCP": (v6(b.tcp(1, 2), b.TCP), b.TCP, (1, 2), False),
    "IPv6 without next header": (v6(b"", 59), 59, None, False),
    "hop-by-hop, routing, destination": (
        v6(b.extension6(43, b.extension6(60, b.extension6(b.UDP, b.udp(1, 2)), units=2), units=1), 0),
        b.UDP,
        (1, 2),
        False,
    ),
    "mobility, host identity, shim": (
        v6(b.extension6(139, b.extension6(140, b.extension6(b.TCP, b.tcp(1, 2)))), 135),
        b.TCP,
        (1, 2),
        False,
    ),
    "authentication": (v6(b.authentication(b.TCP, b.tcp(1, 2)), 51), b.TCP, (1, 2), False),
    "encapsulating security payload": (v6(bytes(40), 50), 50, None, False),
    "atomic fragment": (v6(b.fragment6(b.UDP, b.udp(1, 2)), 44), b.UDP, (1, 2), False),
    "first fragment of IPv6": (v6(b.fragment6(b.UDP, b.udp(1, 2), more=True), 44), b.UDP, (1, 2), True),
    "later fragment of IPv6": (v6(b.fragment6(b.UDP, b.udp(1, 2), offset=1), 44), b.UDP, None, True),
    "later fragment of an extension header": (v6(b.fragment6(60, b.udp(1, 2), offset=1), 44), 60, None, True),
    "later fragment after an extension header": (
        v6(b.extension6(44, b.fragment6(b.UDP, b.udp(1, 2), offset=9, more=True)), 60),
        b.UDP,
        None,
        True,
    ),
    "extension header of which 7 bytes were captured": (v6(b.extension6(b.UDP, b"")[:7], 0), None, None, False),
    "extension header cut after 8 bytes": (v6(b.extension6(b.UDP, b"", units=1)[:8], 0), b.UDP, None, False),
    "extension header cut before another": (v6(b.extension6(60, b"", units=1)[:8], 0), None, None, False),
    "fragment header before a cut extension header": (v6(b.fragment6(60, b"", more=True), 44), None, None, True),
    "32 extension headers": (v6(b.extension6(60, b"") * 31 + b.extension6(b.UDP, b.udp(1, 2)), 60), b.UDP, (1, 2), False),
    "33 extension headers": (v6(b.extension6(60, b"") * 32 + b.extension6(b.UDP, b.udp(1, 2)), 60), None, None, False),
}


@pytest.mark.parametrize(("packet", "protocol", "ports", "is_fragment"), UPPER_LAYERS.values(), ids=UPPER_LAYERS.keys())
def test_upper_layer(packet: bytes, protocol: int | None, ports: tuple[int, int] | None, is_fragment: bool) -> None:
    summary = summarize(packet)
    assert summary.status is FrameStatus.IP
    assert (summary.protocol, summary.ports, summary.is_fragment) == (protocol, ports, is_fragment)


def test_addresses_captured_to_their_last_byte_are_enough() -> None:
    assert summarize(PACKET[:20]) == PacketSummary(FrameStatus.IP, INNER_SRC, INNER_DST, b.TCP, claimed_len=40)
    assert summarize(PACKET[:19]).status is FrameStatus.TRUNCATED
    assert summarize(PACKET6[:40]).dst == b.host("2001:db8::2")
    assert summarize(PACKET6[:39]).status is FrameStatus.TRUNCATED


def test_v4_mapped_address_of_an_ipv6_packet_is_the_ipv4_host() -> None:
    assert summarize(b.ipv6("::ffff:10.1.2.3", "2001:db8::2")).src == b.host("10.1.2.3")


# Tunnels.

TO_INNER = {
    "IP in IP": v4(PACKET, 4),
    "IPv4 in IPv6": v6(PACKET, 4),
    "IPv4 announced as IPv6": v4(PACKET, 41),
    "after IPv4 options": b.ipv4("198.51.100.1", "198.51.100.2", PACKET, protocol=4, options=bytes(8)),
    "after IPv6 extension headers": v6(b.extension6(51, b.authentication(4, PACKET)), 60),
    "in a first fragment": b.ipv4("198.51.100.1", "198.51.100.2", PACKET, protocol=4, more=True),
    "Ethernet in IP": v4(b.etherip(FRAME), 97),
    "MPLS in IP": v4(b.mpls(PACKET, labels=[16, 17]), 137),
    "GRE": v4(b.gre(b.IPV4, PACKET), 47),
    "GRE with checksum, key and sequence": v4(b.gre(b.IPV4, PACKET, checksum=True, key=True, sequence=True), 47),
    "GRE with key": v4(b.gre(b.IPV4, PACKET, key=True), 47),
    "GRE with Ethernet": v4(b.gre(b.ETHERNET, FRAME), 47),
    "GRE with PPP": v4(b.gre(b.PPP, b.ppp(0x0021, PACKET)), 47),
    "GRE with NSH": v4(b.gre(b.NSH, b.nsh(1, PACKET)), 47),
    "ERSPAN I": v4(b.gre(0x88BE, FRAME), 47),
    "ERSPAN II": v4(b.gre(0x88BE, bytes(8) + FRAME, sequence=True), 47),
    "ERSPAN III": v4(b.gre(0x22EB, b.erspan3(FRAME), sequence=True), 47),
    "ERSPAN III with platform header": v4(b.gre(0x22EB, b.erspan3(FRAME, platform=True), sequence=True), 47),
    "PPTP": v4(b.gre(b.PPP, b.ppp(0x0021, PACKET, address_control=True), sequence=True, version=1), 47),
    "PPTP with acknowledgement": v4(b.gre(b.PPP, b.ppp(0x21, PACKET), sequence=True, acknowledgement=True, version=1), 47),
    "VXLAN": udp4(4789, b.vxlan(FRAME)),
    "VXLAN of Linux": udp4(8472, b.vxlan(FRAME)),
    "VXLAN-GPE with IPv4": udp4(4790, b.vxlan(PACKET, next_protocol=1)),
    "VXLAN-GPE with IPv6": udp4(4790, b.vxlan(PACKET, next_protocol=2)),
    "VXLAN-GPE with Ethernet": udp4(4790, b.vxlan(FRAME, next_protocol=3)),
    "VXLAN-GPE with NSH": udp4(4790, b.vxlan(b.nsh(3, FRAME), next_protocol=4)),
    "VXLAN-GPE with MPLS": udp4(4790, b.vxlan(b.mpls(PACKET), next_protocol=5)),
    "Geneve with Ethernet": udp4(6081, b.geneve(b.ETHERNET, FRAME)),
    "Geneve with IPv4 and options": udp4(6081, b.geneve(b.IPV4, PACKET, option_words=5)),
    "MPLS in UDP": udp4(6635, b.mpls(PACKET)),
    "GTP-U": udp4(2152, b.gtpu(PACKET)),
    "GTP-U with sequence number": udp4(2152, b.gtpu(PACKET, flags=0x32)),
    "GTP-U with extensions": udp4(2152, b.gtpu(PACKET, extensions=[1, 2])),
    "GTP-U with a next type that no flag announces": udp4(2152, b.gtpu(b"", flags=0x31)[:11] + b"\x85" + PACKET),
    "Teredo": udp4(3544, b.teredo(v6(PACKET, 4))),
    "Teredo from the server": v4(b.udp(3544, 50000, b.teredo(v6(PACKET, 4))), b.UDP),
    "Teredo with origin": udp4(3544, b.teredo(v6(PACKET, 4), origin=True)),
    "Teredo with authentication": udp4(3544, b.teredo(v6(PACKET, 4), client=0)),
    "Teredo with authentication by name, and origin": udp4(3544, b.teredo(v6(PACKET, 4), client=127, origin=True)),
    "VXLAN from the port of Teredo": v4(b.udp(3544, 4789, b.vxlan(FRAME)), b.UDP),
    "three deep": udp4(4789, b.vxlan(b.ethernet(b.IPV6, v6(b.gre(b.IPV4, v4(PACKET, 4)), 47)))),
    "30 deep": v4(b"", 4) * 30 + PACKET,
}


@pytest.mark.parametrize("packet", TO_INNER.values(), ids=TO_INNER.keys())
class TestTunnel:
    def test_inner_takes_the_innermost_header(self, packet: bytes) -> None:
        assert summarize(packet, inner=True) == PacketSummary(
            FrameStatus.IP,
            INNER_SRC,
            INNER_DST,
            b.TCP,
            (40000, 443),
            tcp_flags=b.SYN,
            ip_at=len(packet) - len(PACKET),
            claimed_len=len(PACKET),
        )

    def test_outer_is_the_default(self, packet: bytes) -> None:
        assert summarize(packet).src in (OUTER_SRC, b.host("2001:db8::8"))

    def test_cut_before_the_inner_addresses_end_leaves_the_header_before(self, packet: bytes) -> None:
        end_of_addresses = len(packet) - len(b.tcp(0, 0))
        assert summarize(packet[:end_of_addresses], inner=True).src == INNER_SRC
        assert summarize(packet[: end_of_addresses - 1], inner=True).src in (OUTER_SRC, b.host("2001:db8::8"))


NO_TUNNEL = {
    "TCP": v4(b.tcp(1, 4789, PACKET), b.TCP),
    "ICMP error that quotes a packet": v4(b.icmp(PACKET, kind=3), b.ICMP),
    "later fragment": b.ipv4("198.51.100.1", "198.51.100.2", PACKET, protocol=4, offset=1),
    "later fragment of IPv6": v6(b.fragment6(4, PACKET, offset=1), 44),
    "authentication in IPv4": v4(b.authentication(4, PACKET), 51),
    "Ethernet in IP of version 2": v4(b.etherip(FRAME, version=2), 97),
    "GRE with routing": v4(b.gre(b.IPV4, PACKET, routing=True), 47),
    "GRE of version 2": v4(b.gre(b.IPV4, PACKET, version=2), 47),
    "GRE of version 2 with PPP": v4(b.gre(b.PPP, b.ppp(0x21, PACKET), sequence=True, version=2), 47),
    "GRE with an 802.3 length": v4(b.gre(23, b.llc(PACKET)), 47),
    "PPTP without payload": v4(b.gre(b.PPP, b.ppp(0x21, PACKET), version=1), 47),
    "PPTP of another protocol": v4(b.gre(b.IPV4, PACKET, sequence=True, version=1), 47),
    "UDP of another port": udp4(4788, b.vxlan(FRAME)),
    "UDP from the port of VXLAN": v4(b.udp(4789, 50000, b.vxlan(FRAME)), b.UDP),
    "VXLAN without network identifier": udp4(4789, b.vxlan(FRAME, flags=0)),
    "VXLAN-GPE without network identifier": udp4(4790, b.vxlan(PACKET, flags=0x04, next_protocol=1)),
    "VXLAN-GPE of another protocol": udp4(4790, b.vxlan(PACKET, next_protocol=7)),
    "Geneve of version 1": udp4(6081, b.geneve(b.IPV4, PACKET, version=1)),
    "GTP-U of version 2": udp4(2152, b.gtpu(PACKET, flags=0x50)),
    "GTP prime": udp4(2152, b.gtpu(PACKET, flags=0x20)),
    "GTP-U echo": udp4(2152, b.gtpu(PACKET, message=1)),
    "GTP-U with an empty extension": udp4(2152, b.gtpu(PACKET, extensions=[0])),
    "Teredo of IPv4": udp4(3544, b.teredo(PACKET)),
    "Teredo with something behind the packet": udp4(3544, b.teredo(v6(PACKET, 4) + b"\x04")),
    "Teredo with a packet longer than the datagram": udp4(3544, b.teredo(v6(PACKET, 4))[:-1]),
    "Teredo with two origins": udp4(3544, bytes(8) + b.teredo(v6(PACKET, 4), origin=True)),
    "Teredo with the origin first": udp4(3544, bytes(8) + b.teredo(v6(PACKET, 4), client=0)),
    "Teredo in a datagram that claims 7 bytes": v4(b"\xc3\x50\x0d\xd8\x00\x07\x00\x00" + BUBBLE, b.UDP),
    "DNS from the port of Teredo": v4(b.udp(3544, 53, b"\x60\x01\x01\x00\x00\x01" + bytes(50)), b.UDP),
    "malformed inner header": v4(b"\x42" + PACKET[1:], 4),
    "inner ciphertext": v4(b.gre(b.MACSEC, b.macsec(b.IPV4, PACKET, control=8)), 47),
}


@pytest.mark.parametrize("packet", NO_TUNNEL.values(), ids=NO_TUNNEL.keys())
def test_what_is_no_tunnel_leaves_the_outer_header(packet: bytes) -> None:
    assert summarize(packet, inner=True) == summarize(packet)
    assert summarize(packet).src in (OUTER_SRC, b.host("2001:db8::8"))


def test_behind_a_bubble_of_teredo_there_may_be_trailers() -> None:
    for datagram in (BUBBLE, BUBBLE + b"\x01\x04" + bytes(4)):
        assert summarize(udp4(3544, datagram), inner=True).src == b.host("2001:db8::8")


def test_the_33rd_header_ends_the_walk_into_tunnels() -> None:
    assert summarize(v4(b"", 4) * 31 + PACKET, inner=True).src == INNER_SRC
    assert summarize(v4(b"", 4) * 32 + PACKET, inner=True).src == OUTER_SRC


def test_tunnel_headers_count_as_headers() -> None:
    pair = v4(b.gre(b.IPV4, b""), 47)
    assert summarize(v4(b"", 4) + pair * 15 + PACKET, inner=True).src == INNER_SRC
    assert summarize(v4(b"", 4) * 2 + pair * 15 + PACKET, inner=True).src == OUTER_SRC
