"""The small captures of IP in IP, on Ethernet: tunnels that `--inner` walks, and whatever stops the walk.

A function's name is its capture's; what it yields are the frames.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from .ethernet import ethernet, mpls, nsh, ppp, vlan
from .ip import PROTOCOLS, extensions, icmp, udp
from .pdu import ENCRYPTED, decided, non_ip, opaque
from .tunnels import erspan, etherip, geneve, gre, gtpu, mpls_over_udp, pptp, teredo, vxlan, vxlan_gpe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .maker import Maker
    from .pdu import Pdu

__all__ = ["CAPTURES"]

GRE, ETHERIP, MPLS_IN_IP = 47, 97, 137
ARP, BRIDGED = 0x0806, 0x6558
DEEPEST = 32


def in_ip(packet: Pdu) -> int:
    """Return the protocol number that says this IP packet is inside another."""
    return PROTOCOLS["ipip"] if len(packet.marks[0].src) == 4 else PROTOCOLS["ipv6"]


def tunnel_ip(make: Maker) -> Iterator[Pdu]:
    """IP directly in IP, each version in each, behind options and extension headers, nested, deeper than is walked."""
    for packet in (*make.each(), *make.each()):
        yield ethernet(make.v4(packet, in_ip(packet)))
        yield ethernet(make.v6(packet, in_ip(packet)))
        yield ethernet(make.v4(packet, in_ip(packet), options=bytes([1] * 12)))
        first, body = extensions([0, 60, 43, 51], in_ip(packet), packet)
        yield ethernet(make.v6(body, first))
        third = make.v6(make.v4(packet, in_ip(packet)), PROTOCOLS["ipip"])
        yield ethernet(vlan(make.v4(third, PROTOCOLS["ipv6"])), 0x8100)
    packet = make.v4()
    for _ in range(40):
        packet = make.v4(packet, PROTOCOLS["ipip"])
    frame = ethernet(packet)
    yield replace(frame, marks=frame.marks[: DEEPEST - 1])
    first, body = extensions([60] * 32, PROTOCOLS["ipip"], make.v4())
    yield ethernet(make.v6(body, first))


def tunnel_gre(make: Maker) -> Iterator[Pdu]:
    """GRE with each optional field, transparent Ethernet, ERSPAN, PPTP, and versions and routing that stop the walk."""
    for packet in make.each():
        for flags in (0x00, 0x80, 0x20, 0x10, 0xB0):
            yield ethernet(make.v4(gre(packet, flags=flags), GRE))
        yield ethernet(make.v6(gre(packet), GRE))
        yield ethernet(make.v4(gre(ethernet(packet), BRIDGED), GRE))
        yield ethernet(make.v4(gre(ethernet(vlan(packet), 0x8100), BRIDGED, flags=0x20), GRE))
        yield ethernet(make.v4(gre(mpls(packet, 2), 0x8847), GRE))
        for version in (1, 2, 3):
            yield ethernet(make.v4(erspan(ethernet(packet), version), GRE))
        yield ethernet(make.v4(erspan(ethernet(packet), 3, subheader=True), GRE))
        yield ethernet(make.v4(pptp(ppp(packet)), GRE))
        yield ethernet(make.v4(pptp(ppp(packet, framed=True), acknowledgement=True), GRE))
    stopped = opaque(make.v4().data)
    yield ethernet(make.v4(gre(stopped, 0x0800, flags=0x40), GRE))
    yield ethernet(make.v4(opaque(b"\0\2\x08\0" + stopped.data), GRE))
    yield ethernet(make.v4(gre(non_ip(bytes(28)), ARP), GRE))


def tunnel_udp(make: Maker) -> Iterator[Pdu]:
    """VXLAN, VXLAN-GPE, Geneve, GTP-U, Teredo and MPLS in datagrams, and flags and versions that stop the walk."""
    for packet in make.each():
        version = 1 if len(packet.marks[0].src) == 4 else 2
        yield ethernet(make.v4(vxlan(ethernet(packet))))
        yield ethernet(make.v6(vxlan(ethernet(vlan(packet), 0x8100), port=8472)))
        yield ethernet(make.v4(vxlan_gpe(packet, version)))
        yield ethernet(make.v4(vxlan_gpe(ethernet(packet), 3)))
        yield ethernet(make.v4(vxlan_gpe(nsh(packet, version), 4)))
        yield ethernet(make.v4(vxlan_gpe(mpls(packet), 5)))
        yield ethernet(make.v4(geneve(ethernet(packet))))
        yield ethernet(make.v6(geneve(ethernet(packet), option_words=5)))
        yield ethernet(make.v4(geneve(packet, 0x0800)))
        yield ethernet(make.v4(gtpu(packet)))
        yield ethernet(make.v4(gtpu(packet, sequence=True)))
        yield ethernet(make.v6(gtpu(packet, extension_words=(1,))))
        yield ethernet(make.v4(gtpu(packet, sequence=True, extension_words=(1, 2, 3))))
        yield ethernet(make.v4(mpls_over_udp(packet, 3)))
        first, body = extensions([60], PROTOCOLS["udp"], vxlan(ethernet(packet)))
        yield ethernet(make.v6(body, first))
    for client in (None, 0, 9):
        for origin in (False, True):
            yield ethernet(make.v4(teredo(make.v6(), client=client, origin=origin)))
            yield ethernet(make.v4(teredo(make.v6(), client=client, origin=origin, server=True)))
    yield ethernet(make.v4(teredo(make.v6(make.v4(), PROTOCOLS["ipip"]))))
    yield ethernet(make.v4(teredo(opaque(make.v4().data))))
    yield ethernet(make.v4(teredo(opaque(make.v6().data + b"\0"))))
    stopped = opaque(ethernet(make.v4()).data)
    yield ethernet(make.v4(vxlan(stopped, flags=0)))
    yield ethernet(make.v4(vxlan(stopped, port=4788)))
    yield ethernet(make.v4(geneve(stopped, version=1)))
    yield ethernet(make.v4(gtpu(opaque(make.v4().data), message=1)))
    yield ethernet(make.v4(vxlan(ethernet(non_ip(bytes(28)), ARP))))


def tunnel_mixed(make: Maker) -> Iterator[Pdu]:
    """EtherIP, MPLS in IP, tunnels in tunnels; fragments, errors' quotes and damage inside, none of which is walked."""
    for packet in make.each():
        yield ethernet(make.v4(etherip(ethernet(packet)), ETHERIP))
        yield ethernet(make.v6(mpls(packet, 2), MPLS_IN_IP))
        deep = make.v4(gtpu(make.v6(gre(ethernet(packet), BRIDGED), GRE)))
        yield ethernet(vlan(make.v6(vxlan(ethernet(mpls(deep), 0x8847)))), 0x88A8)
    inside = opaque(make.v4().data)
    yield ethernet(make.v4(inside, PROTOCOLS["ipip"], fragment=185))
    yield ethernet(make.v4(make.v4(), PROTOCOLS["ipip"], fragment=0x2000))  # a first fragment is walked
    first, body = extensions([44], PROTOCOLS["ipip"], inside, fragment=185 << 3)
    yield ethernet(make.v6(body, first))
    first, body = extensions([44], PROTOCOLS["ipip"], make.v4())
    yield ethernet(make.v6(body, first))
    yield ethernet(make.v4(icmp(3, inside.data, code=1), PROTOCOLS["icmp"]))
    yield ethernet(make.v4(opaque(b"\x20\0" + ethernet(make.v4()).data), ETHERIP))  # EtherIP of another version
    yield ethernet(make.v4(opaque(b"\x90" + bytes(39)), PROTOCOLS["ipip"]))  # no IP version
    yield ethernet(make.v4(opaque(b"\x44" + bytes(39)), PROTOCOLS["ipip"]))  # IHL below 5
    encrypted = decided(b"\x0c\0\0\0\0\7" + bytes(40), ENCRYPTED, 6)
    yield ethernet(make.v4(gre(encrypted, 0x88E5), GRE))
    yield ethernet(make.v4(udp(opaque(bytes(7)), dst_port=4789)))


CAPTURES = (tunnel_ip, tunnel_gre, tunnel_udp, tunnel_mixed)
