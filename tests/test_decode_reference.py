"""The reference decoder, rule by rule (docs/decoding.md), on frames with hand-written addresses."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import builders as b
import dpkt
import pytest

from fastmon.decode import SUPPORTED_LINK_TYPES, decode
from fastmon.model.frames import Frame, FrameStatus, PacketSummary

if TYPE_CHECKING:
    from collections.abc import Callable

PACKET = b.ipv4("10.1.2.3", "192.0.2.9")
PACKET6 = b.ipv6("2001:db8::1", "2001:db8::2")
SNAP = b.llc_snap(b.IPV4, PACKET)
FRAME = b.ethernet(b.IPV4, PACKET)
ETHERNET, RAW = 1, 101

NON_IP, TRUNCATED, MALFORMED = FrameStatus.NON_IP, FrameStatus.TRUNCATED, FrameStatus.MALFORMED
TOO_DEEP, ENCRYPTED, UNSUPPORTED = FrameStatus.TOO_DEEP, FrameStatus.ENCRYPTED, FrameStatus.UNSUPPORTED_LINK_TYPE


def summarize(link_type: int, data: bytes) -> PacketSummary:
    return decode(Frame(0, len(data), link_type, data))


def hosts(summary: PacketSummary) -> tuple[bytes, bytes]:
    return summary.src, summary.dst


def inside(ethertype: int, payload: bytes) -> tuple[int, bytes]:
    """Return an Ethernet capture's frame with `payload` as `ethertype`."""
    return ETHERNET, b.ethernet(ethertype, payload)


# Frames that end with the addresses of PACKET, so that no byte can be spared.
WAYS_TO_IPV4 = {
    "ethernet": (ETHERNET, FRAME),
    "802.3 with LLC": (ETHERNET, b.ethernet(23, b.llc(PACKET))),
    "802.3 of the greatest length": (ETHERNET, b.ethernet(1500, b.llc(PACKET))),
    "SNAP": (ETHERNET, b.ethernet(28, SNAP)),
    "SNAP with the OUI of bridged Ethernet": (ETHERNET, b.ethernet(28, b.llc_snap(b.IPV4, PACKET, oui=b"\x00\x00\xf8"))),
    "Cisco ISL": (ETHERNET, b.isl(FRAME)),
    "Cisco ISL to the other address": (ETHERNET, b"\x03" + b.isl(FRAME)[1:]),
    "VLAN 0x8100": inside(0x8100, b.vlan(b.IPV4, PACKET)),
    "VLAN 0x88A8": inside(0x88A8, b.vlan(b.IPV4, PACKET)),
    "VLAN 0x9100": inside(0x9100, b.vlan(b.IPV4, PACKET)),
    "VLAN 0x9200": inside(0x9200, b.vlan(b.IPV4, PACKET)),
    "VLAN 0x9300": inside(0x9300, b.vlan(b.IPV4, PACKET)),
    "three VLAN tags": inside(b.QINQ, b.vlan(b.VLAN, b.vlan(0x9100, b.vlan(b.IPV4, PACKET)))),
    "VLAN before LLC": inside(b.VLAN, b.vlan(28, SNAP)),
    "MPLS": inside(b.MPLS, b.mpls(PACKET)),
    "multicast MPLS": inside(0x8848, b.mpls(PACKET)),
    "three MPLS labels": inside(b.MPLS, b.mpls(PACKET, labels=(16, 17, 18))),
    "MPLS pseudowire": inside(b.MPLS, b.mpls(b"\x20" + FRAME[1:])),
    "MPLS pseudowire with control word": inside(b.MPLS, b.mpls(bytes(4) + FRAME)),
    "PPPoE": inside(b.PPPOE, b.pppoe(b.ppp(0x0021, PACKET))),
    "PPPoE with compressed protocol": inside(b.PPPOE, b.pppoe(b.ppp(0x21, PACKET))),
    "PPPoE with uncompressed protocol": inside(b.PPPOE, b.pppoe(b"\x00\x21" + PACKET)),
    "PPPoE, MPLS": inside(b.PPPOE, b.pppoe(b.ppp(0x0281, b.mpls(PACKET)))),
    "PPPoE, multicast MPLS": inside(b.PPPOE, b.pppoe(b.ppp(0x0283, b.mpls(PACKET)))),
    "PPP in Ethernet": inside(b.PPP, b.ppp(0x0021, PACKET, address_control=True)),
    "LLC by EtherType": inside(0x8870, b.llc(PACKET)),
    "Ethernet in Ethernet": inside(b.ETHERNET, FRAME),
    "PBB": inside(b.PBB, b.pbb(FRAME)),
    "FabricPath": inside(0x8903, b.fabricpath(FRAME)),
    "MACsec": inside(b.MACSEC, b.macsec(b.IPV4, PACKET)),
    "MACsec with channel": inside(b.MACSEC, b.macsec(b.IPV4, PACKET, channel=True)),
    "MACsec before LLC": inside(b.MACSEC, b.macsec(28, SNAP)),
    "NSH before IPv4": inside(b.NSH, b.nsh(1, PACKET)),
    "NSH with context": inside(b.NSH, b.nsh(1, PACKET, words=6)),
    "NSH before Ethernet": inside(b.NSH, b.nsh(3, FRAME)),
    "NSH in NSH": inside(b.NSH, b.nsh(4, b.nsh(1, PACKET))),
    "NSH before MPLS": inside(b.NSH, b.nsh(5, b.mpls(PACKET))),
    "VN-tag": inside(0x8926, b.vntag(b.IPV4, PACKET)),
    "E-tag": inside(0x893F, b.etag(b.IPV4, PACKET)),
    "Cisco metadata": inside(0x8909, b.cmd(b.IPV4, PACKET)),
    "R-tag": inside(0xF1C1, b.rtag(b.IPV4, PACKET)),
    "TRILL": inside(b.TRILL, b.trill(FRAME)),
    "TRILL with options": inside(b.TRILL, b.trill(FRAME, option_words=3)),
    "IPv4 announced as IPv6": inside(b.IPV6, PACKET),
    "NULL": (0, b.null(2, PACKET)),
    "NULL, big-endian": (0, b.null(2, PACKET, byte_order=">")),
    "NULL with an EtherType": (0, b.null(b.IPV4, PACKET)),
    "NULL with an EtherType behind two other bytes": (0, b.hdlc(b.IPV4, PACKET)),
    "LOOP": (108, b.null(2, PACKET, byte_order=">")),
    "RAW 12": (12, PACKET),
    "RAW 14": (14, PACKET),
    "RAW 101": (RAW, PACKET),
    "IPV4": (228, PACKET),
    "IPV6 that is IPv4": (229, PACKET),
    "PPP": (9, b.ppp(0x0021, PACKET, address_control=True)),
    "PPP without address": (9, b.ppp(0x0021, PACKET)),
    "PPP over serial": (50, b.ppp(0x0021, PACKET, address_control=True)),
    "PPP over serial, Cisco unicast": (50, b.hdlc(b.IPV4, PACKET)),
    "PPP over serial, Cisco multicast": (50, b.hdlc(b.IPV4, PACKET, address=0x8F)),
    "PPP over Ethernet": (51, b.pppoe(b.ppp(0x0021, PACKET))),
    "C-HDLC": (104, b.hdlc(b.IPV4, PACKET, address=0x00)),
    "C-HDLC that is PPP": (104, b.ppp(0x0021, PACKET, address_control=True)),
    "PPP with direction": (204, b"\x01" + b.ppp(0x0021, PACKET, address_control=True)),
    "C-HDLC with direction": (205, b"\x00" + b.hdlc(b.IPV4, PACKET)),
    "SLL": (113, b.sll(b.IPV4, PACKET)),
    "SLL with VLAN": (113, b.sll(b.VLAN, b.vlan(b.IPV4, PACKET))),
    "SLL with LLC": (113, b.sll(4, b.llc(PACKET))),
    "SLL with radiotap": (113, b.sll(1, b.radiotap(b.dot11(SNAP)), hardware=803)),
    "SLL with a hidden tag": (113, b.sll(b.IPV4, b.vlan(b.IPV4, PACKET))),
    "SLL with a tag put back and one hidden": (113, b.sll(b.QINQ, b.vlan(b.IPV4, b.vlan(b.IPV4, PACKET)))),
    "SLL with two hidden tags": (113, b.sll(b.IPV4, b.vlan(b.VLAN, b.vlan(b.IPV4, PACKET)))),
    "SLL with a tag put back and two hidden": (113, b.sll(b.VLAN, b.vlan(b.IPV4, b.vlan(b.QINQ, b.vlan(b.IPV4, PACKET))))),
    "SLL with a hidden tag before MPLS": (113, b.sll(b.MPLS, b.vlan(b.MPLS, b.mpls(PACKET)))),
    "SLL with a hidden tag before PPPoE": (113, b.sll(b.PPPOE, b.vlan(b.PPPOE, b.pppoe(b.ppp(0x21, PACKET))))),
    "SLL with a hidden tag like PPPoE": (113, b.sll(b.PPPOE, b.vlan(b.PPPOE, b.pppoe(b.ppp(0x21, PACKET)), vlan_id=0x1105))),
    "SLL of Frame Relay": (113, b.sll(0, b.frame_relay(PACKET), hardware=770)),
    "SLL2 with a hidden tag": (276, b.sll2(b.IPV4, b.vlan(b.IPV4, PACKET))),
    "SLL2 with a hidden tag before IPv6": (276, b.sll2(b.IPV6, b.vlan(b.IPV6, PACKET))),
    "SLL2 with a hidden tag like IPv4": (276, b.sll2(b.IPV4, b.vlan(b.IPV4, PACKET, vlan_id=0x4509))),
    "SLL2 with a hidden tag like IPv4 with options": (276, b.sll2(b.IPV4, b.vlan(b.IPV4, PACKET, vlan_id=0x4FFF))),
    "SLL2 with a hidden tag like IPv4 of no length": (276, b.sll2(b.IPV4, b.vlan(b.IPV4, PACKET, vlan_id=0x4009))),
    "SLL2 with a hidden tag like IPv6": (276, b.sll2(b.IPV4, b.vlan(b.IPV4, PACKET, vlan_id=0x6001))),
    "SLL2 with a hidden tag like IPv6 before it": (276, b.sll2(b.IPV6, b.vlan(b.IPV6, PACKET, vlan_id=0x6FFF))),
    "SLL2 with hidden tags like IPv4": (
        276,
        b.sll2(b.IPV4, b.vlan(0x9100, b.vlan(b.IPV4, PACKET, vlan_id=0x4501), vlan_id=0x4501)),
    ),
    "SLL2 with hidden tags like IPv6": (276, b.sll2(b.IPV6, b.vlan(b.VLAN, b.vlan(b.IPV6, PACKET, vlan_id=7), vlan_id=0x6005))),
    "SLL2 with two hidden tags before MPLS": (276, b.sll2(b.MPLS, b.vlan(b.VLAN, b.vlan(b.MPLS, b.mpls(PACKET))))),
    "SLL2": (276, b.sll2(b.IPV4, PACKET)),
    "SLL2 with LLC": (276, b.sll2(4, SNAP)),
    "SLL2 with radiotap": (276, b.sll2(1, b.radiotap(b.dot11(SNAP)), hardware=803)),
    "802.11": (105, b.dot11(SNAP)),
    "802.11, four addresses": (105, b.dot11(SNAP, four_addresses=True)),
    "802.11 with acknowledgement and poll": (105, b"\x38" + b.dot11(SNAP)[1:]),
    "802.11 QoS": (105, b.dot11(SNAP, qos=0)),
    "802.11 QoS, four addresses": (105, b.dot11(SNAP, qos=0, four_addresses=True)),
    "802.11 QoS with HT control": (105, b.dot11(SNAP, qos=0, ht_control=True)),
    "802.11 aggregate": (105, b.dot11(bytes(14) + SNAP, qos=0x80)),
    "802.11 with the order bit and no QoS": (105, b.dot11(SNAP, ht_control=True)),
    "radiotap": (127, b.radiotap(b.dot11(SNAP))),
    "radiotap without data pad": (127, b.radiotap(b.dot11(SNAP, qos=0), present=[2], fields=b"\xdf")),
    "radiotap with data pad": (127, b.radiotap(b.dot11(SNAP, qos=0, pad=True), present=[2], fields=b"\x20")),
    "radiotap, pad after timestamp": (127, b.radiotap(b.dot11(SNAP, qos=0, pad=True), present=[3], fields=bytes(8) + b"\x20")),
    "radiotap, pad after aligned timestamp": (
        127,
        b.radiotap(b.dot11(SNAP, qos=0, pad=True), present=[3, 0], fields=bytes(12) + b"\x20"),
    ),
    "PPI with 802.11": (192, struct.pack("<BBHI", 0, 0, 12, 105) + bytes(4) + b.dot11(SNAP)),
    "PPI of RAW": (192, struct.pack("<BBHI", 0, 0, 8, 101) + PACKET),
    "PPI with Ethernet": (192, struct.pack("<BBHI", 0, 0, 8, 1) + FRAME),
    "Prism": (119, struct.pack("<II", 0x44, 144) + bytes(136) + b.dot11(SNAP)),
    "Prism, big-endian": (119, struct.pack(">II", 0x44, 144) + bytes(136) + b.dot11(SNAP)),
    "AVS in Prism": (119, struct.pack(">II", 0x80211001, 64) + bytes(56) + b.dot11(SNAP)),
    "AVS": (163, struct.pack(">II", 0x80211001, 64) + bytes(56) + b.dot11(SNAP)),
    "FDDI": (10, b"\x50" + bytes(12) + SNAP),
    "Token Ring": (6, bytes(8) + b"\x7f" + bytes(5) + SNAP),
    "Token Ring, source routed": (6, bytes(8) + b"\x80" + bytes(5) + b"\xc6" + bytes(5) + SNAP),
    "ARCNET, RFC 1201": (7, b"\x01\x02\xd4" + bytes(3) + PACKET),
    "ARCNET, IPv6": (7, b"\x01\x02\xc4" + bytes(3) + PACKET),
    "ARCNET, RFC 1051": (7, b"\x01\x02\xf0" + PACKET),
    "ARCNET of Linux, RFC 1201": (129, b"\x01\x02\x00\x00\xd4" + bytes(3) + PACKET),
    "ARCNET of Linux, RFC 1051": (129, b"\x01\x02\x00\x00\xf0" + PACKET),
    "PFLOG": (117, b"\x3d" + bytes(63) + PACKET),
    "PFLOG of 4 bytes": (117, b"\x01" + bytes(3) + PACKET),
    "IP over Fibre Channel": (122, bytes(16) + SNAP),
    "ATM, RFC 1483": (100, SNAP),
    "SunATM": (123, b"\x82" + bytes(3) + SNAP),
    "FireWire": (138, bytes(16) + b"\x08\x00" + PACKET),
    "MPLS capture": (219, b.mpls(PACKET)),
    "IPNET": (226, b"\x01\x02" + bytes(22) + PACKET),
    "IPNET, IPv6": (226, b"\x01\x1a" + bytes(22) + PACKET),
    "NFLOG": (239, b.nflog(PACKET, before=[b"\x00", b"wlan0", b""])),
    "IPoIB": (242, bytes(40) + b"\x08\x00\x00\x00" + PACKET),
    "PKTAP": (258, b.pktap(ETHERNET, FRAME)),
    "PKTAP by Apple's number": (149, b.pktap(ETHERNET, FRAME)),
    "PKTAP of RAW": (258, b.pktap(RAW, PACKET, length=12)),
    "ERF": (197, bytes(8) + b"\x02\x04" + bytes(6) + bytes(2) + FRAME),
    "ERF with a colour": (197, bytes(8) + b"\x0b\x04" + bytes(6) + bytes(2) + FRAME),
    "ERF, extended": (197, bytes(8) + b"\x82\x04" + bytes(6) + b"\x83" + bytes(7) + b"\x03" + bytes(7) + bytes(2) + FRAME),
    "ERF of Cisco HDLC": (197, bytes(8) + b"\x01\x04" + bytes(6) + b"\x0f\x00\x08\x00" + PACKET),
    "ERF of a channel": (197, bytes(8) + b"\x05\x04" + bytes(6) + bytes(4) + b"\x0f\x00\x08\x00" + PACKET),
    "ERF of IP": (197, bytes(8) + b"\x16\x04" + bytes(6) + PACKET),
    "mPacket": (274, b"\x55" * 7 + b"\xd5" + FRAME),
    "SLIP": (8, bytes(16) + PACKET),
    "PKTAP of SLIP": (258, b.pktap(8, bytes(16) + PACKET)),
    "PKTAP of Juniper": (258, b.pktap(178, b.juniper(FRAME))),
    "AX.25": (3, b.ax25(PACKET)),
    "AX.25 by digipeaters": (3, b.ax25(PACKET, n_addresses=10, control=0x13)),
    "AX.25 information": (3, b.ax25(PACKET, control=0xA4)),
    "AX.25 with KISS": (202, b"\x00" + b.ax25(PACKET)),
    "Symantec firewall": (99, bytes(6) + b"\x08\x00" + bytes(36) + PACKET),
    "classical IP over ATM": (106, PACKET),
    "classical IP over ATM with LLC": (106, SNAP),
    "Frame Relay": (107, b.frame_relay(PACKET)),
    "Frame Relay of IPv6": (107, b.frame_relay(PACKET, nlpid=b"\x8e")),
    "Frame Relay with pad": (107, b.frame_relay(PACKET, address=b"\x18\x40\x01", nlpid=b"\x00\xcc")),
    "Frame Relay with 4 bytes of address": (107, b.frame_relay(PACKET, address=b"\x18\x40\x80\x01")),
    "Frame Relay with SNAP": (107, b.frame_relay(PACKET, nlpid=b"\x00\x80\x00\x00\x00\x08\x00")),
    "Frame Relay with bridged Ethernet": (107, b.frame_relay(FRAME, nlpid=b"\x00\x80\x00\x80\xc2\x00\x07")),
    "Frame Relay with PPP": (107, b.frame_relay(b.ppp(0x21, PACKET), nlpid=b"\xcf")),
    "Frame Relay of Cisco": (107, b"\x18\x41\x08\x00" + PACKET),
    "Frame Relay with direction": (206, b"\x01" + b.frame_relay(PACKET)),
    "multi-link Frame Relay": (182, b"\xc0\x05" + b.frame_relay(PACKET)),
    "multi-link Frame Relay, first fragment": (182, b"\x9e\xff" + b.frame_relay(PACKET)),
    "ENC": (109, b.null(2, bytes(8) + PACKET)),
    "ENC, big-endian": (109, b.null(24, bytes(8) + PACKET, byte_order=">")),
    "NetBSD HDLC": (112, b.hdlc(b.IPV4, PACKET)),
    "PPP of pppd": (166, b"\x01\x03" + b.ppp(0x0021, PACKET)),
    "Juniper Ethernet": (178, b.juniper(FRAME)),
    "Juniper Ethernet with extensions": (178, b.juniper(FRAME, flags=0x41, extensions=bytes.fromhex("010203000201"))),
    "Juniper Ethernet without link layer": (178, b.juniper(bytes(4) + PACKET, flags=2)),
    "Juniper, without link layer and with extensions": (179, b.juniper(bytes(4) + PACKET, flags=2, extensions=bytes(3))),
    "Juniper PPPoE": (167, b.juniper(b.ethernet(b.PPPOE, b.pppoe(b.ppp(0x21, PACKET))))),
    "Juniper PPPoE over ATM": (168, b.juniper(b"\x88\x64" + b.pppoe(b.ppp(0x21, PACKET)))),
    "Juniper PPP": (179, b.juniper(b.ppp(0x0021, PACKET, address_control=True))),
    "Juniper Frame Relay": (180, b.juniper(b.frame_relay(PACKET))),
    "Juniper C-HDLC": (181, b.juniper(b.hdlc(b.IPV4, PACKET))),
    "Juniper GGSN": (133, b.juniper(bytes(8) + PACKET)),
    "Juniper services": (136, b.juniper(b"\x47" + bytes(7) + PACKET)),
    "Juniper monitor": (164, b.juniper(bytes(8) + PACKET)),
    "netANALYZER": (240, bytes(4) + FRAME),
    "netANALYZER, transparent": (241, bytes(4) + b"\x55" * 7 + b"\xd5" + FRAME),
    "EPON": (259, b"\xd5\x55\x55\x00\x01\x37" + FRAME),
    "Broadcom tag": (281, FRAME[:12] + b"\x00\x00\x00\x03" + FRAME[12:]),
    "Broadcom tag, VLAN": (281, FRAME[:12] + b"\x20\x00\x00\x03\x81\x00" + b.vlan(b.IPV4, PACKET)),
    "Broadcom tag in front": (282, b"\x00\x00\x00\x03" + FRAME),
    "Marvell tag": (284, FRAME[:12] + b"\xc0\x08\x00\x01" + FRAME[12:]),
    "Marvell tag, LLC": (284, FRAME[:12] + b"\xc0\x08\x00\x01\x00\x1c" + SNAP),
    "Marvell tag with an EtherType": (285, FRAME[:12] + b"\xda\xda\x00\x00\xc0\x08\x00\x01" + FRAME[12:]),
    "ALP": (289, b.alp(PACKET)),
    "ALP, long": (289, b.alp(PACKET, first=0x08, more=b"\x08")),
    "ALP, long, with stream and extension": (289, b.alp(PACKET, first=0x08, more=b"\x03\x07\x01\x02" + bytes(3))),
    "ALP, first segment": (289, b.alp(PACKET, first=0x10, more=b"\x02\x07")),
    "ALP, two packets": (289, b.alp(PACKET, first=0x18, more=b"\x02" + bytes(3))),
    "ALP, three packets with stream": (289, b.alp(PACKET, first=0x18, more=b"\x05" + bytes(5) + b"\x07")),
}


@pytest.mark.parametrize(("link_type", "data"), WAYS_TO_IPV4.values(), ids=WAYS_TO_IPV4.keys())
class TestWayToIp:
    def test_reaches_the_addresses(self, link_type: int, data: bytes) -> None:
        summary = summarize(link_type, data)
        assert summary.status is FrameStatus.IP
        assert hosts(summary) == (b.host("10.1.2.3"), b.host("192.0.2.9"))

    def test_cut_anywhere_before_the_last_address_byte_is_truncated(self, link_type: int, data: bytes) -> None:
        assert {summarize(link_type, data[:n]).status for n in range(len(data))} == {TRUNCATED}

    def test_ipv6_in_the_place_of_ipv4_is_decoded(self, link_type: int, data: bytes) -> None:
        summary = summarize(link_type, data[: -len(PACKET)] + PACKET6)
        assert hosts(summary) == (b.host("2001:db8::1"), b.host("2001:db8::2"))


NETLINK = 253


def test_every_link_type_but_netlink_has_a_way_to_ip() -> None:
    assert {link_type for link_type, _ in WAYS_TO_IPV4.values()} == SUPPORTED_LINK_TYPES - {NETLINK}


STOPS = {
    "unknown EtherType": (*inside(b.ARP, PACKET), NON_IP),
    "field between length and EtherType": (*inside(1501, SNAP), NON_IP),
    "ISL cut in its header": (ETHERNET, b.isl(FRAME)[:25], TRUNCATED),
    "VLAN before a field between length and EtherType": (*inside(b.VLAN, b.vlan(0x05FF, SNAP)), NON_IP),
    "MPLS channel": (*inside(b.MPLS, b.mpls(b"\x10" + bytes(40))), NON_IP),
    "MPLS and no payload": (*inside(b.MPLS, b.mpls(b"")), TRUNCATED),
    "MPLS and a cut control word": (*inside(b.MPLS, b.mpls(bytes(3))), TRUNCATED),
    "PPPoE of version 2": (*inside(b.PPPOE, b.pppoe(b.ppp(0x21, PACKET), version_type=0x21)), MALFORMED),
    "PPPoE of type 2": (*inside(b.PPPOE, b.pppoe(b.ppp(0x21, PACKET), version_type=0x12)), MALFORMED),
    "PPPoE discovery": (*inside(b.PPPOE, b.pppoe(b.ppp(0x21, PACKET), code=9)), NON_IP),
    "PPP link control": (9, b.ppp(0xC021, PACKET), NON_IP),
    "LLC of another service": (*inside(40, b.llc(PACKET, sap=0x42)), NON_IP),
    "LLC that is no datagram": (*inside(40, b.llc(PACKET, control=0x7F)), NON_IP),
    "SNAP of another organisation": (*inside(40, b.llc_snap(b.IPV4, PACKET, oui=b"\x00\x00\x0c")), NON_IP),
    "SNAP with a length": (*inside(40, b.llc_snap(0x05FF, PACKET)), NON_IP),
    "MACsec, encrypted": (*inside(b.MACSEC, b.macsec(b.IPV4, PACKET, control=0x0C)), ENCRYPTED),
    "MACsec, changed": (*inside(b.MACSEC, b.macsec(b.IPV4, PACKET, control=0x04)), ENCRYPTED),
    "NSH too short": (*inside(b.NSH, b.nsh(1, PACKET, words=1)), MALFORMED),
    "NSH before something else": (*inside(b.NSH, b.nsh(6, PACKET)), NON_IP),
    "IP of version 5": (RAW, b"\x55" + PACKET[1:], MALFORMED),
    "IPv4 header of 16 bytes": (RAW, b"\x44" + PACKET[1:], MALFORMED),
    "IPv4 header of 16 bytes, cut": (RAW, b"\x44" + PACKET[1:19], TRUNCATED),
    "IP without a byte": (RAW, b"", TRUNCATED),
    "NULL of another family": (0, b.null(18, PACKET), NON_IP),
    "NULL of no family": (0, b.null(0x12345678, PACKET), NON_IP),
    "SLL of Netlink": (113, b.sll(b.IPV4, PACKET, hardware=824), NON_IP),
    "SLL of another protocol": (113, b.sll(1, PACKET), NON_IP),
    "SLL2 of Netlink": (276, b.sll2(b.IPV4, PACKET, hardware=824), NON_IP),
    "802.11 management": (105, b.dot11(SNAP, kind=0), NON_IP),
    "802.11 null data": (105, b"\x48" + b.dot11(SNAP)[1:], NON_IP),
    "802.11 management, protected": (105, b.dot11(SNAP, kind=0, protected=True), NON_IP),
    "802.11 protected": (105, b.dot11(SNAP, protected=True), ENCRYPTED),
    "802.11 protected, cut": (105, b.dot11(SNAP, protected=True)[:2], ENCRYPTED),
    "radiotap of version 1": (127, b.radiotap(b.dot11(SNAP), version=1), MALFORMED),
    "radiotap too short": (127, b"\x00\x00\x07\x00" + bytes(60), MALFORMED),
    "radiotap words beyond its length": (127, b"\x00\x00\x08\x00\x00\x00\x00\x80" + b.dot11(SNAP), MALFORMED),
    "radiotap words beyond its length, management": (127, b"\x00\x00\x08\x00\x00\x00\x00\x80\x00\x00", MALFORMED),
    "radiotap flags beyond its length": (127, b.radiotap(b.dot11(SNAP), present=[2]), MALFORMED),
    "radiotap flags after a timestamp beyond its length": (
        127,
        b.radiotap(b.dot11(SNAP), present=[3], fields=bytes(8)),
        MALFORMED,
    ),
    "PPI too short": (192, struct.pack("<BBHI", 0, 0, 7, 1) + FRAME, MALFORMED),
    "PPI of an unknown link type": (192, struct.pack("<BBHI", 0, 0, 8, 147) + PACKET, UNSUPPORTED),
    "PPI in PPI": (192, struct.pack("<BBHIBBHI", 0, 0, 8, 192, 0, 0, 8, 101) + PACKET, MALFORMED),
    "PPI in PKTAP": (258, b.pktap(192, struct.pack("<BBHI", 0, 0, 8, 101) + PACKET), MALFORMED),
    "Prism too short": (119, struct.pack("<II", 0x44, 7) + bytes(200), MALFORMED),
    "Prism longer than the capture": (119, struct.pack(">II", 0x44, 0xFFFFFFFF) + bytes(200), TRUNCATED),
    "AVS too short": (163, struct.pack(">II", 0x80211001, 7) + bytes(200), MALFORMED),
    "FDDI, not LLC": (10, b"\x10" + bytes(12) + SNAP, NON_IP),
    "ARCNET of another type": (7, b"\x01\x02\xd5" + bytes(3) + PACKET, NON_IP),
    "PFLOG without length": (117, bytes(4) + PACKET, MALFORMED),
    "ATM with FE": (100, b"\xfe\xfe\x03" + PACKET, NON_IP),
    "SunATM of LAN emulation": (123, b"\x01" + bytes(3) + SNAP, NON_IP),
    "IPNET of another family": (226, b"\x01\x03" + bytes(22) + PACKET, NON_IP),
    "NFLOG with a TLV too short": (239, bytes(4) + b"\x03\x00\x01\x00" + PACKET, MALFORMED),
    "NFLOG without payload": (239, bytes(4) + b"\x04\x00\x01\x00", TRUNCATED),
    "PKTAP too short": (258, b.pktap(ETHERNET, FRAME, length=11), MALFORMED),
    "PKTAP without packet": (258, b.pktap(ETHERNET, FRAME, record_type=0), NON_IP),
    "PKTAP in PKTAP": (258, b.pktap(258, b.pktap(ETHERNET, FRAME)), MALFORMED),
    "PKTAP of an unknown link type": (258, b.pktap(147, FRAME), UNSUPPORTED),
    "SLL of no IP version, and no tags": (113, b.sll(b.IPV4, b"\x00\x07\x08\x06" + PACKET), MALFORMED),
    "SLL with tags that lead to no IP version": (113, b.sll(b.IPV4, b.vlan(b.IPV4, b"\x50" + PACKET[1:])), MALFORMED),
    "SLL with tags that lead to the other version of IP": (113, b.sll(b.IPV4, b.vlan(b.IPV6, PACKET)), MALFORMED),
    "SLL with tags that lead to another protocol": (113, b.sll(b.IPV4, b.vlan(b.VLAN, b.vlan(b.ARP, PACKET))), MALFORMED),
    "SLL with tags before ARP": (113, b.sll(b.ARP, b.vlan(b.ARP, PACKET)), NON_IP),
    "SLL of PPPoE discovery, without tags": (113, b.sll(b.PPPOE, b"\x11\x09\x88\x64" + bytes(20)), NON_IP),
    "Ethernet with a tag that nothing tells of": (*inside(b.IPV4, b.vlan(b.IPV4, PACKET)), MALFORMED),
    "Netlink": (253, bytes(16) + PACKET, NON_IP),
    "Netlink without a byte": (253, b"", NON_IP),
    "AX.25 of another protocol": (3, b.ax25(PACKET, protocol=0xF0), NON_IP),
    "AX.25 supervisory": (3, b.ax25(PACKET, control=0x01), NON_IP),
    "AX.25 with 11 addresses": (3, b.ax25(PACKET, n_addresses=11), MALFORMED),
    "Symantec firewall of another type": (99, bytes(44) + PACKET, NON_IP),
    "Frame Relay with an address of one byte": (107, b.frame_relay(PACKET, address=b"\x19\x41"), MALFORMED),
    "Frame Relay with an address without end": (107, b.frame_relay(PACKET, address=b"\x18\x40\x00\x00"), MALFORMED),
    "Frame Relay of Q.933": (107, b.frame_relay(PACKET, address=b"\x00\x01", nlpid=b"\x08"), NON_IP),
    "Frame Relay with SNAP of another organisation": (
        107,
        b.frame_relay(PACKET, nlpid=b"\x80\x00\x00\x0c\x08\x00"),
        NON_IP,
    ),
    "Frame Relay with SNAP and a length": (107, b.frame_relay(SNAP, nlpid=b"\x80\x00\x00\x00\x00\x1c"), NON_IP),
    "Frame Relay with bridged FDDI": (107, b.frame_relay(FRAME, nlpid=b"\x80\x00\x80\xc2\x00\x04"), NON_IP),
    "multi-link Frame Relay, control": (182, b"\xe1\x00" + b.frame_relay(PACKET), NON_IP),
    "multi-link Frame Relay, last fragment": (182, b"\x40\x05" + b.frame_relay(PACKET), NON_IP),
    "ENC of another family": (109, b.null(18, bytes(8) + PACKET), NON_IP),
    "Juniper without its magic number": (178, b"MGD\x00" + FRAME, MALFORMED),
    "Juniper without link layer or IP": (178, b.juniper(bytes(5) + PACKET, flags=2), NON_IP),
    "Juniper monitor of no IP": (164, b.juniper(bytes(9) + PACKET), NON_IP),
    "Juniper Ethernet with extensions beyond the capture": (178, b"MGC\x80\xff\xff" + FRAME, TRUNCATED),
    "Broadcom tag, ARP": (281, FRAME[:12] + b"\x00\x00\x00\x03\x08\x06" + PACKET, NON_IP),
    "ALP of signalling": (289, b.alp(PACKET, first=0x80), NON_IP),
    "ALP, later segment": (289, b.alp(PACKET, first=0x10, more=b"\x0a\x07"), NON_IP),
    "ERF of ATM": (197, bytes(8) + b"\x03\x04" + bytes(6) + PACKET, NON_IP),
    "ERF, cut in an extension": (197, bytes(8) + b"\x83\x04" + bytes(6) + b"\x83" + bytes(14), TRUNCATED),
    "mPacket fragment": (274, b"\x55" * 7 + b"\x61" + FRAME, NON_IP),
    "unknown link type": (147, PACKET, UNSUPPORTED),
    "unknown link type without a byte": (147, b"", UNSUPPORTED),
}


@pytest.mark.parametrize(("link_type", "data", "status"), STOPS.values(), ids=STOPS.keys())
def test_stops_with_status(link_type: int, data: bytes, status: FrameStatus) -> None:
    assert summarize(link_type, data) == PacketSummary(status)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b.ethernet(b.VLAN, b.vlan(b.VLAN, b"") * 29 + b.vlan(b.IPV4, PACKET)), FrameStatus.IP),
        (b.ethernet(b.VLAN, b.vlan(b.VLAN, b"") * 30 + b.vlan(b.IPV4, PACKET)), TOO_DEEP),
        (b.ethernet(b.MPLS, b.mpls(PACKET, labels=[16] * 30)), FrameStatus.IP),
        (b.ethernet(b.MPLS, b.mpls(PACKET, labels=[16] * 31)), TOO_DEEP),
        (b.ethernet(b.MPLS, b.mpls(b"", labels=[16] * 32)), TOO_DEEP),
    ],
    ids=["32 with VLAN", "33 with VLAN", "32 with MPLS", "33 with MPLS", "33 before the end is reached"],
)
def test_the_33rd_header_is_too_deep(data: bytes, status: FrameStatus) -> None:
    assert summarize(ETHERNET, data).status is status


def test_a_link_type_header_that_is_no_rule_does_not_count() -> None:
    tags = b.vlan(b.VLAN, b"") * 30 + b.vlan(b.IPV4, PACKET)
    assert summarize(113, b.sll(b.VLAN, tags)).status is FrameStatus.IP
    assert summarize(113, b.sll(b.VLAN, b.vlan(b.VLAN, tags))).status is TOO_DEEP


def test_hidden_tags_count_as_headers() -> None:
    tags = b.vlan(b.VLAN, b"") * 30 + b.vlan(b.IPV4, PACKET)
    assert summarize(276, b.sll2(b.IPV4, tags)).status is FrameStatus.IP
    assert summarize(276, b.sll2(b.IPV4, b.vlan(b.VLAN, tags))).status is TOO_DEEP
    assert summarize(276, b.sll2(b.IPV4, b.vlan(b.VLAN, b"") * 400)).status is TOO_DEEP


def checked_ipv4(packet: bytes) -> bytes:
    """Return an IPv4 packet without options with the checksum of its header."""
    total = sum(struct.unpack(">10H", packet[:10] + bytes(2) + packet[12:20]))
    return packet[:10] + struct.pack(">H", 0xFFFF - total % 0xFFFF) + packet[12:]


class TestIpThatLooksLikeTags:
    """What an IP header proves is stronger than a chance that its bytes read as a hidden tag and an IP header."""

    @pytest.mark.parametrize(("link_type", "cook"), [(113, b.sll), (276, b.sll2)], ids=["SLL", "SLL2"])
    @pytest.mark.parametrize("total_length", [0x0800, 0x8100])
    def test_ipv4_by_its_checksum(self, link_type: int, cook: Callable[..., bytes], total_length: int) -> None:
        header = bytearray(b.ipv4("10.1.2.3", "192.0.2.9", total_length=total_length))
        header[4:8] = b"\x45\x00\x08\x00"  # the identification reads as a version, or flags and offset as a type
        summary = summarize(link_type, cook(b.IPV4, checked_ipv4(bytes(header)) + bytes(40)))
        assert hosts(summary) == (b.host("10.1.2.3"), b.host("192.0.2.9"))

    def test_ipv4_by_its_length(self) -> None:
        packet = bytearray(b.ipv4("10.1.2.3", "192.0.2.9", bytes(2028)))
        packet[4:6] = b"\x45\x00"
        assert hosts(summarize(113, b.sll(b.IPV4, bytes(packet)))) == (b.host("10.1.2.3"), b.host("192.0.2.9"))

    def test_ipv6_by_its_length(self) -> None:
        packet = bytearray(b.ipv6("2001:db8::1", "2001:db8::2", bytes(0x6001)))
        packet[2:4] = b"\x86\xdd"
        assert hosts(summarize(276, b.sll2(b.IPV6, bytes(packet)))) == (b.host("2001:db8::1"), b.host("2001:db8::2"))

    @pytest.mark.parametrize(("label", "length"), [(b"\x08\x00", 0x4664), (b"\x08\x00", 0x6664)])
    def test_cut_ipv6_whose_flow_label_reads_as_a_type(self, label: bytes, length: int) -> None:
        """Of a packet for segmentation offload, as `any` sees it."""
        packet = bytearray(b.ipv6("2001:db8::1", "2001:db8::2", bytes(1500), payload_length=length))
        packet[2:4] = label
        assert hosts(summarize(276, b.sll2(b.IPV6, bytes(packet)))) == (b.host("2001:db8::1"), b.host("2001:db8::2"))

    def test_a_pppoe_session_by_its_first_bytes(self) -> None:
        frame = bytearray(b.pppoe(b.ppp(0x21, PACKET)))
        frame[2:4] = b"\x88\x64"
        frame[4:6] = b"\x11\x00"
        assert hosts(summarize(113, b.sll(b.PPPOE, bytes(frame)))) == (b.host("10.1.2.3"), b.host("192.0.2.9"))


@pytest.mark.parametrize("family", [2, 10, 23, 24, 28, 30])
def test_null_knows_the_address_families_of_every_system(family: int) -> None:
    assert summarize(0, b.null(family, PACKET6)).status is FrameStatus.IP


def test_dpkt_takes_a_later_fragment_behind_an_extension_header_for_a_datagram() -> None:
    # Why the decoder does not use dpkt's chaining. When dpkt is mended, this fails and the module's text is to be changed.
    packet = b.ipv6("::1", "::2", b.extension6(44, b.fragment6(b.UDP, b.udp(1, 2, bytes(8)), offset=5)), next_header=60)
    assert isinstance(dpkt.ip6.IP6(packet).data, dpkt.udp.UDP)
    assert summarize(RAW, packet).ports is None
