"""The small captures of frames cut short: one frame of each kind, at every length from nothing to all of it.

What it does not do: cut files; those are in `set_formats`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .ethernet import ethernet, ieee802_3, isl, llc_ip, macsec, mpls, nsh, ppp, pppoe, pseudowire, snap, tagged, trill, vlan
from .ip import PROTOCOLS, extensions, icmp, sctp, tcp
from .maker import START_NS, STEP_NS
from .pdu import non_ip, opaque
from .truth import Record
from .tunnels import erspan, etherip, geneve, gre, gtpu, mpls_over_udp, pptp, vxlan, vxlan_gpe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from .maker import Maker
    from .pdu import Pdu

__all__ = ["CAPTURES", "cut_everywhere", "deepest"]


def truncated_ip(make: Maker) -> Iterator[Pdu]:
    yield ethernet(make.v4())
    yield ethernet(make.v4(tcp(make.payload()), PROTOCOLS["tcp"], options=b"\1" * 40))
    yield ethernet(make.v4(icmp(8, make.payload()), PROTOCOLS["icmp"]))
    yield ethernet(make.v4(opaque(make.payload()), fragment=185))
    yield ethernet(make.v6(sctp(make.payload()), PROTOCOLS["sctp"]))
    first, body = extensions([0, 43, 51, 60], PROTOCOLS["tcp"], tcp(make.payload()))
    yield ethernet(make.v6(body, first))
    first, body = extensions([44], PROTOCOLS["udp"], opaque(make.payload()))
    yield ethernet(make.v6(body, first))


def truncated_encapsulations(make: Maker) -> Iterator[Pdu]:
    yield ethernet(vlan(vlan(make.v6()), 0x8100), 0x88A8)
    yield ethernet(mpls(make.v4(), 3), 0x8847)
    yield ethernet(mpls(pseudowire(ethernet(make.v4()))), 0x8847)
    yield ethernet(pppoe(ppp(make.v4())), 0x8864)
    yield ethernet(pppoe(ppp(make.v6(), 0x57, compressed=True, framed=True)), 0x8864)
    yield ethernet(pppoe(ppp(non_ip(b"\1\1\0\4"), 0xC021)), 0x8864)
    yield ieee802_3(snap(make.v4()))
    yield ieee802_3(llc_ip(make.v6()))
    yield isl(ethernet(make.v4()))
    yield ethernet(ethernet(make.v4()).under(bytes(4)), 0x88E7)
    yield ethernet(macsec(make.v4(), sci=True), 0x88E5)
    yield ethernet(macsec(opaque(bytes(40)), encrypted=True), 0x88E5)
    yield ethernet(nsh(make.v4(), 1), 0x894F)
    yield ethernet(tagged(make.v4(), 6), 0x8926)
    yield ethernet(tagged(make.v6(), 8), 0x893F)
    yield ethernet(trill(ethernet(make.v4()), 2), 0x22F3)
    yield ethernet(non_ip(bytes(46)), 0x0806)


def truncated_tunnels(make: Maker) -> Iterator[Pdu]:
    yield ethernet(make.v4(make.v6(make.v4(), PROTOCOLS["ipip"]), PROTOCOLS["ipv6"]))
    yield ethernet(make.v4(gre(ethernet(make.v4()), 0x6558, flags=0xB0), PROTOCOLS["gre"]))
    yield ethernet(make.v4(erspan(ethernet(make.v4()), 2), PROTOCOLS["gre"]))
    yield ethernet(make.v4(erspan(ethernet(make.v4()), 3, subheader=True), PROTOCOLS["gre"]))
    yield ethernet(make.v4(pptp(ppp(make.v4()), acknowledgement=True), PROTOCOLS["gre"]))
    yield ethernet(make.v4(etherip(ethernet(make.v4())), 97))
    yield ethernet(make.v4(vxlan(ethernet(vlan(make.v6()), 0x8100))))
    yield ethernet(make.v4(vxlan_gpe(nsh(make.v4(), 1), 4)))
    yield ethernet(make.v6(geneve(ethernet(make.v4()), option_words=3)))
    yield ethernet(make.v4(gtpu(make.v4(), sequence=True, extension_words=(1, 2))))
    yield ethernet(make.v4(mpls_over_udp(make.v4(), 2)))


def deepest(frames_of: Callable[[Maker], Iterable[Pdu]]) -> Callable[[Maker], list[Pdu]]:
    """Return a function that makes only the deepest of the frames that `frames_of` makes: of those with an IP header, if any."""

    def only(make: Maker) -> list[Pdu]:
        frames = list(frames_of(make))
        with_ip = [frame for frame in frames if frame.marks[-1].status == "ip"]
        return [max(with_ip or frames, key=lambda frame: frame.marks[-1].end)]

    return only


def cut_everywhere(frames: Iterable[Pdu]) -> list[Record]:
    """Return a record for every length to which each frame can be cut, each claiming the frame's whole length."""
    cuts = [(frame, cap_len) for frame in frames for cap_len in range(len(frame.data) + 1)]
    return [Record(frame, START_NS + n * STEP_NS, cap_len) for n, (frame, cap_len) in enumerate(cuts)]


CAPTURES = (truncated_ip, truncated_encapsulations, truncated_tunnels)
