"""The small captures of link types other than Ethernet: each with its LINKTYPE_ number and its frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .ethernet import ethernet, llc, llc_ip, macsec, mpls, ppp, pppoe, snap, vlan
from .links import (
    arcnet,
    arcnet_linux,
    cisco_hdlc,
    fddi,
    ieee1394,
    infiniband,
    ip_over_fc,
    ipnet,
    loopback,
    mpacket,
    nflog,
    pflog,
    pktap,
    slip,
    sll,
    sll2,
    sunatm,
    switch_tagged,
    token_ring,
    with_direction,
)
from .pdu import MALFORMED, Mark, Pdu, decided, non_ip, opaque
from .wan import frame_relay
from .wireless import avs, broken_radiotap, ppi, prism, radiotap, wifi, wifi_other, wifi_protected

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .maker import Maker

__all__ = ["CAPTURES"]

ARP = 0x0806
SPANNING_TREE = llc(non_ip(bytes(35)), 0x42, 0x42)


def null(make: Maker) -> Iterator[Pdu]:
    for byte_order in "<>":
        yield loopback(make.v4(), byte_order)
        for family in (10, 23, 24, 28, 30):
            yield loopback(make.v6(), byte_order, family)
        yield loopback(make.v4(), byte_order, 0x0800)
        yield loopback(non_ip(bytes(20)), byte_order, 7)
    yield loopback(non_ip(bytes(20)), "<", 0x01020304)


def raw(make: Maker) -> Iterator[Pdu]:
    yield from make.each()
    yield decided(b"\x10" + bytes(19), MALFORMED, 1)


def ppp_frames(make: Maker) -> Iterator[Pdu]:
    for packet in make.each():
        yield ppp(packet)
        yield ppp(packet, framed=True)
        yield ppp(packet, 0x21 if len(packet.marks[0].src) == 4 else 0x57, compressed=True)
    yield ppp(mpls(make.v6(), 2), 0x0283, framed=True)
    yield ppp(non_ip(b"\1\1\0\4"), 0xC021, framed=True)


def hdlc(make: Maker) -> Iterator[Pdu]:
    for packet in make.each():
        yield cisco_hdlc(packet)
        yield cisco_hdlc(packet, broadcast=True)
        yield ppp(packet, framed=True)
    yield cisco_hdlc(mpls(make.v4()), 0x8847)
    yield cisco_hdlc(non_ip(bytes(18)), 0x8035)  # SLARP


def ppp_hdlc(make: Maker) -> Iterator[Pdu]:
    yield from hdlc(make)
    yield ppp(make.v4())


def directed_ppp(make: Maker) -> Iterator[Pdu]:
    for n, frame in enumerate(ppp_frames(make)):
        yield with_direction(frame, sent=n % 2 == 0)


def directed_hdlc(make: Maker) -> Iterator[Pdu]:
    for n, frame in enumerate(hdlc(make)):
        yield with_direction(frame, sent=n % 2 == 0)


def ppp_ether(make: Maker) -> Iterator[Pdu]:
    for packet in make.each():
        yield pppoe(ppp(packet))
    yield pppoe(non_ip(bytes(8)), code=0x09)
    yield pppoe(opaque(bytes(30)), version_and_type=0x12)


def linux_cooked(make: Maker, cook: Callable[..., Pdu]) -> Iterator[Pdu]:
    for packet in make.each():
        yield cook(packet)
        yield cook(vlan(packet), 0x8100)
        yield cook(snap(packet), 4)
        yield cook(frame_relay(packet), 0, hardware=770)
        for control in (100, 0x1100, 0x400A, 0x4F00, 0x6001):  # hidden tags, some of which look like something else
            yield cook(vlan(packet, vid=control))
            yield cook(vlan(vlan(packet, vid=control)), 0x88A8)
            yield cook(vlan(vlan(packet), 0x8100, vid=control))
            yield cook(vlan(mpls(packet), 0x8847, vid=control), 0x8847)
        yield cook(radiotap(wifi(snap(packet)), flags=0), 0x0019, hardware=803)
    yield cook(pppoe(ppp(make.v4())), 0x8864, hardware=512)
    yield cook(vlan(pppoe(ppp(make.v4())), 0x8864, vid=0x1105), 0x8864)
    yield cook(SPANNING_TREE, 4)
    yield cook(non_ip(bytes(28)), ARP)
    yield cook(non_ip(bytes(28)), 0x0001)  # 802.3 without LLC
    yield cook(non_ip(bytes(32)), 0x0800, hardware=824)  # netlink: the protocol is its family


def linux_sll(make: Maker) -> Iterator[Pdu]:
    return linux_cooked(make, sll)


def linux_sll2(make: Maker) -> Iterator[Pdu]:
    return linux_cooked(make, sll2)


def wifi_frames(make: Maker) -> Iterator[Pdu]:
    for packet in make.each():
        yield wifi(snap(packet))
        yield wifi(snap(packet), qos=True)
        yield wifi(snap(packet), four_address=True)
        yield wifi(snap(packet), qos=True, four_address=True)
        yield wifi(snap(packet), qos=True, ht_control=True)
        yield wifi(snap(packet), qos=True, amsdu=True)
    yield wifi(snap(vlan(make.v4()), 0x8100), qos=True)
    yield wifi(snap(non_ip(bytes(28)), ARP))
    yield wifi_protected(make.payload())
    yield wifi_other(0, 8, make.payload())  # beacon
    yield wifi_other(1, 11)  # request to send
    yield wifi_other(2, 4)  # null data
    yield wifi_other(2, 12)  # null data with QoS


def radiotap_frames(make: Maker) -> Iterator[Pdu]:
    for packet in make.each():
        frame, padded = wifi(snap(packet), qos=True), wifi(snap(packet), qos=True, data_pad=True)
        yield radiotap(frame)
        yield radiotap(frame, timestamp=True)
        for timestamp in (False, True):
            for more_words in (0, 1, 2):
                yield radiotap(frame, timestamp=timestamp, flags=0x10, more_words=more_words)
                yield radiotap(padded, timestamp=timestamp, flags=0x30, more_words=more_words)
    yield radiotap(wifi(snap(make.v4()), qos=True, four_address=True, data_pad=True, amsdu=True), flags=0x20)
    yield radiotap(wifi_protected(make.payload()), flags=0x10)
    yield radiotap(wifi_other(0, 5, make.payload()))
    for kind in ("version", "length", "present"):
        yield broken_radiotap(kind)


def ppi_frames(make: Maker) -> Iterator[Pdu]:
    for packet in make.each():
        yield ppi(wifi(snap(packet)))
        yield ppi(ethernet(packet), link_type=1)
        yield ppi(packet, link_type=101)
    yield decided(ppi(opaque(bytes(30)), link_type=192).data, MALFORMED, 8)
    yield decided(bytes([0, 0, 7, 0]) + bytes(20), MALFORMED, 8)


def prism_frames(make: Maker) -> Iterator[Pdu]:
    for packet in make.each():
        yield prism(wifi(snap(packet)))
        yield avs(wifi(snap(packet), qos=True))
    yield prism(wifi_other(0, 8))


def avs_frames(make: Maker) -> Iterator[Pdu]:
    for packet in make.each():
        yield avs(wifi(snap(packet)))
    yield decided(bytes.fromhex("8021100100000004") + bytes(60), MALFORMED, 8)


def fddi_frames(make: Maker) -> Iterator[Pdu]:
    for packet in make.each():
        yield fddi(snap(packet))
    yield fddi(SPANNING_TREE)
    yield fddi(non_ip(bytes(20)), frame_control=0xC0)


def token_ring_frames(make: Maker) -> Iterator[Pdu]:
    for packet in make.each():
        yield token_ring(snap(packet))
        yield token_ring(snap(packet), route=bytes.fromhex("00100020"))
        yield token_ring(llc_ip(packet), route=bytes(16))


def arcnet_frames(make: Maker) -> Iterator[Pdu]:
    yield arcnet(make.v4())
    yield arcnet(make.v4(), 0xF0)
    yield arcnet(make.v6(), 0xC4)
    yield arcnet(non_ip(bytes(20)), 0xD5)


def arcnet_linux_frames(make: Maker) -> Iterator[Pdu]:
    yield arcnet_linux(make.v4())
    yield arcnet_linux(make.v4(), 0xF0)
    yield arcnet_linux(make.v6(), 0xC4)
    yield arcnet_linux(non_ip(bytes(20)), 0xD5)


def pflog_frames(make: Maker) -> Iterator[Pdu]:
    for packet in make.each():
        yield pflog(packet)
    yield pflog(opaque(bytes(20)), claimed_len=0)


def fibre_channel(make: Maker) -> Iterator[Pdu]:
    for packet in make.each():
        yield ip_over_fc(snap(packet))


def atm_rfc1483(make: Maker) -> Iterator[Pdu]:
    for packet in make.each():
        yield snap(packet)
    yield Pdu(b"\xfe\xfe\x03\x83" + bytes(30), (Mark(3, "non_ip"),))  # ISO protocols


def sunatm_frames(make: Maker) -> Iterator[Pdu]:
    for packet in make.each():
        yield sunatm(snap(packet))
    yield sunatm(non_ip(bytes(30)), kind=5)


def firewire(make: Maker) -> Iterator[Pdu]:
    for packet in make.each():
        yield ieee1394(packet)


def labelled(make: Maker) -> Iterator[Pdu]:
    for packet in make.each():
        yield mpls(packet)
        yield mpls(packet, 3)


def ipnet_frames(make: Maker) -> Iterator[Pdu]:
    for packet in make.each():
        yield ipnet(packet)
    yield ipnet(non_ip(bytes(30)), family=1)


def nflog_frames(make: Maker) -> Iterator[Pdu]:
    for packet in make.each():
        yield nflog(packet)
        yield nflog(packet, mark=False)
    yield nflog(opaque(bytes(20)), bad_length=True)


def infiniband_frames(make: Maker) -> Iterator[Pdu]:
    for packet in make.each():
        yield infiniband(packet)


def pktap_frames(make: Maker) -> Iterator[Pdu]:
    for packet in make.each():
        yield pktap(ethernet(packet), 1)
        yield pktap(packet, 12)
        yield pktap(loopback(packet), 0, header_len=156)
    yield pktap(non_ip(bytes(30)), 1, record=2)
    yield pktap(opaque(bytes(60)), 258)
    yield pktap(opaque(bytes(60)), 1, header_len=11)
    yield pktap(opaque(bytes(60)), 0x10001)


def tagged_by(tag: bytes) -> Callable[[Maker], Iterator[Pdu]]:
    """Return Ethernet frames with a switch's tag."""

    def tagged(make: Maker) -> Iterator[Pdu]:
        for packet in make.each():
            yield switch_tagged(ethernet(packet), tag)
            yield switch_tagged(ethernet(vlan(packet), 0x8100), tag)
            yield switch_tagged(ethernet(snap(packet), 40), tag)
        yield switch_tagged(ethernet(non_ip(bytes(28)), ARP), tag)

    return tagged


def ethernet_behind(header: bytes) -> Callable[[Maker], Iterator[Pdu]]:
    """Return Ethernet frames behind a header."""

    def frames(make: Maker) -> Iterator[Pdu]:
        for packet in make.each():
            yield ethernet(packet).under(header)
            yield ethernet(vlan(packet), 0x8100).under(header)
        yield ethernet(non_ip(bytes(28)), ARP).under(header)

    return frames


def slip_frames(make: Maker) -> Iterator[Pdu]:
    for packet in make.each():
        yield slip(packet)


def mpacket_frames(make: Maker) -> Iterator[Pdu]:
    for packet in make.each():
        yield mpacket(ethernet(packet))
    yield mpacket(ethernet(vlan(macsec(make.v4()), 0x88E5), 0x8100))
    yield mpacket(non_ip(bytes(60)), delimiter=0x7F)


CAPTURES: dict[str, tuple[int, Callable[[Maker], Iterator[Pdu]]]] = {
    "link_null": (0, null),
    "link_loop": (108, null),
    "link_raw": (101, raw),
    "link_raw_12": (12, raw),
    "link_raw_14": (14, raw),
    "link_ipv4": (228, raw),
    "link_ipv6": (229, raw),
    "link_ppp": (9, ppp_frames),
    "link_ppp_hdlc": (50, ppp_hdlc),
    "link_ppp_ether": (51, ppp_ether),
    "link_ppp_with_dir": (204, directed_ppp),
    "link_c_hdlc": (104, hdlc),
    "link_netbsd_hdlc": (112, hdlc),
    "link_c_hdlc_with_dir": (205, directed_hdlc),
    "link_linux_sll": (113, linux_sll),
    "link_linux_sll2": (276, linux_sll2),
    "link_ieee802_11": (105, wifi_frames),
    "link_radiotap": (127, radiotap_frames),
    "link_ppi": (192, ppi_frames),
    "link_prism": (119, prism_frames),
    "link_avs": (163, avs_frames),
    "link_fddi": (10, fddi_frames),
    "link_token_ring": (6, token_ring_frames),
    "link_arcnet": (7, arcnet_frames),
    "link_arcnet_linux": (129, arcnet_linux_frames),
    "link_pflog": (117, pflog_frames),
    "link_ip_over_fc": (122, fibre_channel),
    "link_atm_rfc1483": (100, atm_rfc1483),
    "link_sunatm": (123, sunatm_frames),
    "link_ieee1394": (138, firewire),
    "link_mpls": (219, labelled),
    "link_ipnet": (226, ipnet_frames),
    "link_nflog": (239, nflog_frames),
    "link_ipoib": (242, infiniband_frames),
    "link_slip": (8, slip_frames),
    "link_pktap": (258, pktap_frames),
    "link_pktap_apple": (149, pktap_frames),
    "link_mpacket": (274, mpacket_frames),
    "link_dsa_tag_brcm": (281, tagged_by(b"\x00\x00\x00\x03")),
    "link_dsa_tag_brcm_prepend": (282, ethernet_behind(b"\x00\x00\x00\x03")),
    "link_dsa_tag_dsa": (284, tagged_by(b"\xc0\x08\x00\x01")),
    "link_dsa_tag_edsa": (285, tagged_by(b"\xda\xda\x00\x00\xc0\x08\x00\x01")),
    "link_netanalyzer": (240, ethernet_behind(bytes(4))),
    "link_netanalyzer_transparent": (241, ethernet_behind(bytes(4) + b"\x55" * 7 + b"\xd5")),
    "link_epon": (259, ethernet_behind(b"\xd5\x55\x55\x00\x01\x37")),
}
