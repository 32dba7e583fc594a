"""The small captures of IP over Ethernet, and of everything that may stand between the two.

A function's name is its capture's; what it yields are the frames.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .ethernet import (
    ethernet,
    ethertype_of,
    ieee802_3,
    isl,
    llc,
    llc_ip,
    macsec,
    mpls,
    nsh,
    ppp,
    pppoe,
    pseudowire,
    snap,
    tagged,
    trill,
    vlan,
)
from .ip import PROTOCOLS, address, extensions, icmp, ipv4, ipv6, sctp, tcp, udp
from .pdu import MALFORMED, Mark, decided, non_ip, opaque

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .maker import Maker
    from .pdu import Pdu

__all__ = ["CAPTURES"]

ARP, MPLS, PPPOE, PPP, LLC, BRIDGED = 0x0806, 0x8847, 0x8864, 0x880B, 0x8870, 0x6558
PBB, MACSEC, NSH, VNTAG, ETAG, CMD, RTAG, TRILL = 0x88E7, 0x88E5, 0x894F, 0x8926, 0x893F, 0x8909, 0xF1C1, 0x22F3
DEEPEST = 32  # headers; the next one is too deep


def ethernet_ipv4(make: Maker) -> Iterator[Pdu]:
    """Transport protocols, options of every length, fragments, claimed lengths that lie, special addresses."""
    yield ethernet(make.v4(tcp(b"", flags=2, options=b"\2\4\5\xb4"), PROTOCOLS["tcp"]), pad=True)
    yield ethernet(make.v4(tcp(make.payload()), PROTOCOLS["tcp"]))
    yield ethernet(make.v4(), pad=True)
    yield ethernet(make.v4(icmp(8, make.payload()), PROTOCOLS["icmp"]))
    yield ethernet(make.v4(sctp(make.payload()), PROTOCOLS["sctp"]))
    yield ethernet(make.v4(opaque(b"\x16\0\0\0" + address("224.0.0.251")), PROTOCOLS["igmp"], options=b"\x94\4\0\0"), pad=True)
    yield ethernet(make.v4(opaque(make.payload()), PROTOCOLS["esp"]))
    yield ethernet(make.v4(opaque(b""), 253), pad=True)
    for words in range(1, 11):
        yield ethernet(make.v4(options=b"\1" * (4 * words)))
    for fragment in (0x2000, 0x2000 | 185, 370, 0x4000, 0x8000):  # first, middle, last, not to be fragmented, reserved bit
        yield ethernet(make.v4(opaque(make.payload()), fragment=fragment))
    for total_len in (0, 19, 21, 65535):  # 0: segmentation offload
        yield ethernet(make.v4(total_len=total_len), pad=True)
    src, dst = make.pair(4)
    yield ethernet(ipv4(src, src, 17, udp(opaque(b"to itself"))))
    yield ethernet(ipv4(address("0.0.0.0"), address("255.255.255.255"), 17, udp(opaque(bytes(240)), 68, 67)))
    yield ethernet(ipv4(dst, address("224.0.0.251"), 17, udp(opaque(make.payload()), 5353, 5353)))
    yield ethernet(ipv4(src, dst, 17, udp(opaque(b"there"))))
    yield ethernet(ipv4(dst, src, 17, udp(opaque(b"and back again"))))


def ethernet_ipv6(make: Maker) -> Iterator[Pdu]:
    """Transport protocols, every extension header alone and in chains, fragments, a jumbogram's length, special addresses."""
    yield ethernet(make.v6(tcp(make.payload()), PROTOCOLS["tcp"]))
    yield ethernet(make.v6())
    yield ethernet(make.v6(icmp(135, make.payload()), PROTOCOLS["icmpv6"]))
    yield ethernet(make.v6(sctp(make.payload()), PROTOCOLS["sctp"]))
    yield ethernet(make.v6(opaque(make.payload()), PROTOCOLS["esp"]))
    yield ethernet(make.v6(opaque(b""), 59))
    for kinds in ([0], [43], [44], [51], [60], [135], [139], [140], [0, 60, 43, 44, 51, 60], [60] * 32, [60] * 33):
        first, body = extensions(kinds, PROTOCOLS["tcp"], tcp(make.payload()))
        yield ethernet(make.v6(body, first))
    for fragment in (0, 1, 185 << 3 | 1, 370 << 3):  # atomic, first, middle, last
        first, body = extensions([44], PROTOCOLS["udp"], opaque(make.payload()), fragment=fragment)
        yield ethernet(make.v6(body, first))
    for payload_len in (0, 65535):
        yield ethernet(make.v6(payload_len=payload_len))
    yield ethernet(ipv6(address("fe80::1"), address("ff02::fb"), 17, udp(opaque(make.payload()), 5353, 5353)))
    yield ethernet(ipv6(bytes(16), address("ff02::1:ff00:1"), 58, icmp(135, bytes(16))))


def ethernet_vlan(make: Maker) -> Iterator[Pdu]:
    """One to four tags of every EtherType; a priority tag; tags over 802.3 and over what is no IP."""
    for outer in (0x8100, 0x88A8, 0x9100, 0x9200, 0x9300):
        for packet in make.each():
            yield ethernet(vlan(packet), outer)
            yield ethernet(vlan(vlan(packet, vid=7), 0x8100), outer)
    yield ethernet(vlan(make.v4(), vid=0), 0x8100, pad=True)
    yield ethernet(vlan(vlan(vlan(vlan(make.v4()), 0x8100), 0x9100), 0x8100), 0x88A8)
    logical = snap(make.v4())
    yield ethernet(vlan(logical, len(logical.data)), 0x8100)
    yield ethernet(vlan(non_ip(bytes(28)), ARP), 0x8100)
    yield ethernet(vlan(non_ip(bytes(46)), 1501), 0x8100)


def ethernet_mpls(make: Maker) -> Iterator[Pdu]:
    """One to six labels over IP; Ethernet under labels, with a control word and without; an associated channel."""
    for labels in range(1, 7):
        for packet in make.each():
            yield ethernet(mpls(packet, labels), MPLS)
    yield ethernet(mpls(make.v4()), 0x8848)
    yield ethernet(vlan(mpls(make.v6(), 2), MPLS), 0x8100)
    yield ethernet(mpls(pseudowire(ethernet(make.v4()))), MPLS)
    yield ethernet(mpls(ethernet(vlan(make.v6()), 0x8100, dst=b"\x22" * 6), 2), MPLS)
    yield ethernet(mpls(decided(b"\x10\0\0\x21" + bytes(24), Mark(0, "non_ip"), 1)), MPLS)


def ethernet_ppp(make: Maker) -> Iterator[Pdu]:
    """PPPoE sessions and discovery, and PPP over Ethernet without a session."""
    for packet in make.each():
        yield ethernet(pppoe(ppp(packet)), PPPOE)
        yield ethernet(pppoe(ppp(packet, framed=True)), PPPOE)
        yield ethernet(vlan(pppoe(ppp(packet)), PPPOE), 0x8100)
        yield ethernet(ppp(packet), PPP)
    yield ethernet(pppoe(ppp(make.v4(), 0x21, compressed=True)), PPPOE, pad=True)
    yield ethernet(pppoe(ppp(make.v6(), 0x57, compressed=True, framed=True)), PPPOE)
    yield ethernet(pppoe(ppp(mpls(make.v4(), 2), 0x0281)), PPPOE)
    yield ethernet(pppoe(ppp(non_ip(b"\1\1\0\4"), 0xC021)), PPPOE, pad=True)  # link control
    yield ethernet(pppoe(non_ip(bytes(8)), code=0xA7), PPPOE, pad=True)  # end of session
    yield ethernet(non_ip(b"\x11\x09" + bytes(44)), 0x8863)  # discovery
    yield ethernet(pppoe(opaque(bytes(46)), version_and_type=0x21), PPPOE)


def ethernet_llc(make: Maker) -> Iterator[Pdu]:
    """802.3 with LLC and SNAP, Inter-Switch Link, lengths that are neither length nor type."""
    for packet in make.each():
        yield ieee802_3(snap(packet))
        yield ieee802_3(snap(packet, oui=bytes.fromhex("0000f8")))
        yield ieee802_3(llc_ip(packet))
        yield ethernet(snap(packet), LLC)
        yield isl(ethernet(packet))
    yield ieee802_3(snap(vlan(make.v4()), 0x8100))
    yield ieee802_3(snap(non_ip(bytes(60)), 0x2000, oui=bytes.fromhex("00000c")))  # Cisco discovery
    yield ieee802_3(snap(non_ip(bytes(30)), 0x0042))  # SNAP with a type below 0x0600
    yield ieee802_3(llc(non_ip(bytes(35)), 0x42, 0x42))  # spanning tree
    yield ieee802_3(llc(non_ip(bytes(40)), 0xE0, 0xE0))  # IPX
    yield ethernet(non_ip(bytes(46)), 1501)
    yield ethernet(non_ip(bytes(46)), 1535)


def ethernet_carrier(make: Maker) -> Iterator[Pdu]:
    """Carriers' headers: provider backbone, MACsec, service chaining, tags of NICs, extenders, Cisco and redundancy, TRILL."""
    for packet in make.each():
        yield ethernet(ethernet(packet).under(bytes(4)), PBB)
        yield ethernet(vlan(ethernet(vlan(packet), 0x8100).under(bytes(4)), PBB), 0x88A8)
        yield ethernet(macsec(packet), MACSEC)
        yield ethernet(macsec(packet, sci=True), MACSEC)
        yield ethernet(nsh(packet, 1 if ethertype_of(packet) == 0x0800 else 2), NSH)
        yield ethernet(nsh(ethernet(packet), 3, words=2), NSH)
        yield ethernet(tagged(packet, 6), VNTAG)
        yield ethernet(tagged(packet, 8), ETAG)
        yield ethernet(tagged(packet, 8), CMD)
        yield ethernet(tagged(packet, 6), RTAG)
        yield ethernet(trill(ethernet(packet)), TRILL)
        yield ethernet(trill(ethernet(packet), 3), TRILL)
        yield ethernet(ethernet(packet), BRIDGED)
    yield ethernet(nsh(nsh(mpls(make.v4()), 5), 4), NSH)
    yield ethernet(nsh(non_ip(bytes(40)), 6), NSH)
    yield ethernet(macsec(opaque(make.payload()), encrypted=True), MACSEC)
    yield ethernet(macsec(opaque(make.payload()), sci=True, encrypted=True), MACSEC)


def ethernet_non_ip(make: Maker) -> Iterator[Pdu]:
    """EtherTypes that carry no IP."""
    for ethertype in (ARP, 0x8035, 0x88CC, 0x888E, 0x9000, 0x88F7, 0x8892, 0x0842, 0x8137, 0x0600, 0xFFFF):
        yield ethernet(non_ip(make.payload()), ethertype, pad=True)


def ethernet_malformed(make: Maker) -> Iterator[Pdu]:
    """Headers that contradict themselves, and stacks of exactly as many headers as are walked, and of one more."""
    for first in (0x00, 0x50, 0xF5, 0x7F):  # no IP version
        yield ethernet(decided(bytes([first]) + bytes(45), MALFORMED, 1), 0x0800)
    for first in (0x40, 0x44):  # IHL below 5
        yield ethernet(decided(bytes([first]) + bytes(45), MALFORMED, 20), 0x0800)
    yield ethernet(make.v6(), 0x0800)  # the version decides, whatever the type says
    yield ethernet(make.v4(), 0x86DD)
    yield ethernet(nsh(opaque(bytes(40)), 1, words=1), NSH)
    for tags in (DEEPEST - 2, DEEPEST - 1, DEEPEST, 60):
        frame = vlan(make.v4())
        for _ in range(tags - 1):
            frame = vlan(frame, 0x8100)
        frame = ethernet(frame, 0x8100)
        yield frame if tags + 2 <= DEEPEST else replace(frame, marks=(Mark(14 + 4 * (DEEPEST - 1), "too_deep"),))


CAPTURES = (
    ethernet_ipv4,
    ethernet_ipv6,
    ethernet_vlan,
    ethernet_mpls,
    ethernet_ppp,
    ethernet_llc,
    ethernet_carrier,
    ethernet_non_ip,
    ethernet_malformed,
)
