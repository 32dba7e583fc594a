"""The small captures of wide-area links, of routers, radio and television: each with its LINKTYPE_ number and its frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .ethernet import ethernet, mpls, ppp, pppoe, snap, vlan
from .links import cisco_hdlc, with_direction
from .pdu import MALFORMED, Mark, Pdu, decided, non_ip, opaque
from .wan import BRIDGED, SNAP, alp, ax25, cisco_frame_relay, enc, frame_relay, juniper, multilink, symantec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .maker import Maker

__all__ = ["CAPTURES"]

NON_IP = Mark(0, "non_ip")
NO_LINK_LAYER = 2
ARP = 0x0806


def frame_relay_frames(make: Maker) -> Iterator[Pdu]:
    for packet in make.each():
        for n_address in (2, 3, 4):
            yield frame_relay(packet, n_address=n_address)
            yield frame_relay(packet, n_address=n_address, pad=True)
        yield cisco_frame_relay(packet)
        yield frame_relay(ethernet(packet), BRIDGED, pad=True)
        yield frame_relay(ppp(packet), b"\xcf")
    yield frame_relay(make.v4(), SNAP + b"\x08\x00", pad=True)
    yield frame_relay(mpls(make.v6()), SNAP + b"\x88\x47")
    yield frame_relay(non_ip(bytes(10)), b"\x08")  # local management
    yield decided(b"\x19\x41\x03\xcc" + bytes(20), MALFORMED, 4)


def directed_frame_relay(make: Maker) -> Iterator[Pdu]:
    for n, frame in enumerate(frame_relay_frames(make)):
        yield with_direction(frame, sent=n % 2 == 0)


def multilink_frames(make: Maker) -> Iterator[Pdu]:
    for frame in frame_relay_frames(make):
        yield multilink(frame)
    yield multilink(frame_relay(make.v4()), ends=False)
    yield decided(b"\x40\x02" + bytes(40), NON_IP, 2)  # a last fragment
    yield decided(b"\xe1\x00\x04" + bytes(40), NON_IP, 2)  # hello


def junipers(around: Callable[[Pdu], Pdu]) -> Callable[[Maker], Iterator[Pdu]]:
    """Return the frames behind Juniper's header, of which `around` makes one of a packet."""

    def juniper_frames(make: Maker) -> Iterator[Pdu]:
        for packet in make.each():
            yield juniper(around(packet))
            yield juniper(around(packet), flags=0x40, tlvs=bytes.fromhex("010203000201"))
            yield juniper(packet, flags=NO_LINK_LAYER)
            yield juniper(packet, flags=NO_LINK_LAYER, tlvs=b"")
        yield juniper(decided(bytes(20), NON_IP, 1), flags=NO_LINK_LAYER)
        yield decided(b"MGD\x00" + bytes(60), MALFORMED, 4)

    return juniper_frames


def services(packet: Pdu) -> Pdu:
    """Return a packet behind what a service card says of it."""
    return packet.under(bytes(8))


def pppoe_over_atm(packet: Pdu) -> Pdu:
    """Return a packet in PPPoE behind an EtherType."""
    return pppoe(ppp(packet)).under(b"\x88\x64")


def enc_frames(make: Maker) -> Iterator[Pdu]:
    for byte_order in "<>":
        for packet in make.each():
            yield enc(packet, byte_order)
        yield enc(non_ip(bytes(20)), byte_order, family=18)


def symantec_frames(make: Maker) -> Iterator[Pdu]:
    for packet in make.each():
        yield symantec(packet)
    yield symantec(vlan(make.v4()), 0x8100)
    yield symantec(non_ip(bytes(28)), ARP)


def atm_clip(make: Maker) -> Iterator[Pdu]:
    for packet in make.each():
        yield packet
        yield snap(packet)


def pppd(make: Maker) -> Iterator[Pdu]:
    for packet in make.each():
        yield ppp(packet).under(b"\x00\x03")
        yield ppp(packet, 0x21 if len(packet.marks[0].src) == 4 else 0x57, compressed=True).under(b"\x01\x03")


def ax25_frames(make: Maker) -> Iterator[Pdu]:
    for packet in make.each():
        for digipeaters in (0, 1, 8):
            yield ax25(packet, digipeaters=digipeaters)
            yield ax25(packet, digipeaters=digipeaters, control=0x42)
    yield ax25(non_ip(bytes(20)), protocol=0xF0)
    yield ax25(non_ip(bytes(20)), control=0x01)
    frame = ax25(opaque(bytes(20)), digipeaters=9)
    yield decided(frame.data, MALFORMED, 70)


def kiss(make: Maker) -> Iterator[Pdu]:
    for frame in ax25_frames(make):
        yield frame.under(b"\x00")


def television(make: Maker) -> Iterator[Pdu]:
    for packet in make.each():
        yield alp(packet)
        yield alp(packet, 0x08, b"\x00")
        yield alp(packet, 0x08, b"\x03\x07\x01\x02" + bytes(3))
        yield alp(packet, 0x10, b"\x02\x07")
        yield alp(packet, 0x18, b"\x02" + bytes(3))
        yield alp(packet, 0x18, b"\x05" + bytes(5) + b"\x07")
    yield alp(non_ip(bytes(20)), 0x80)
    yield decided(b"\x10\x14\x0a\x07" + bytes(20), NON_IP, 3)


def netlink(_make: Maker) -> Iterator[Pdu]:
    yield non_ip(bytes(40))
    yield non_ip(b"")


CAPTURES: dict[str, tuple[int, Callable[[Maker], Iterator[Pdu]]]] = {
    "link_frame_relay": (107, frame_relay_frames),
    "link_frame_relay_with_dir": (206, directed_frame_relay),
    "link_mfr": (182, multilink_frames),
    "link_enc": (109, enc_frames),
    "link_symantec": (99, symantec_frames),
    "link_atm_clip": (106, atm_clip),
    "link_ppp_pppd": (166, pppd),
    "link_ax25": (3, ax25_frames),
    "link_ax25_kiss": (202, kiss),
    "link_juniper_ggsn": (133, junipers(services)),
    "link_juniper_services": (136, junipers(services)),
    "link_juniper_monitor": (164, junipers(services)),
    "link_juniper_pppoe": (167, junipers(lambda packet: ethernet(pppoe(ppp(packet)), 0x8864))),
    "link_juniper_pppoe_atm": (168, junipers(pppoe_over_atm)),
    "link_juniper_ether": (178, junipers(ethernet)),
    "link_juniper_ppp": (179, junipers(ppp)),
    "link_juniper_frelay": (180, junipers(frame_relay)),
    "link_juniper_chdlc": (181, junipers(cisco_hdlc)),
    "link_atsc_alp": (289, television),
    "link_netlink": (253, netlink),
}
