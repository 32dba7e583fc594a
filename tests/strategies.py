"""Hypothesis strategies for frames: stacks of encapsulations of every link type, whole, deep, damaged.

A function that takes `draw` and `depth` returns bytes that hold an IP header below at most `depth` further encapsulations.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Callable
from typing import TypeAlias

import builders as b
from hypothesis import strategies as st
from transports import stated_length, transport

from fastmon.model.frames import Frame

Draw: TypeAlias = st.DrawFn
Stack: TypeAlias = Callable[[Draw, int], bytes]
Typed: TypeAlias = Callable[[Draw, int], tuple[int, bytes]]

MAX_DEPTH = 5
WIRE_LENGTHS = st.sampled_from([0, 1, 60, 64, 1514, 65549, 2**32 - 1])
ODD_NUMBERS = [0, 1, 2, 4, 23, 0x4400, 1500, 1501, 0x05FF, 0x0600, 0x0806, 0xFFFF, 2152, 4789, 4790, 6081, 6635, 8472]
KNOWN_NUMBERS = [0x0800, 0x86DD, 0x8100, 0x8847, 0x8864, 0x880B, 0x88BE, 0x22EB, 0x6558, 0x88E7, 0x88E5, 0x894F]


def words(draw: Draw, most: int = 3) -> int:
    return draw(st.integers(0, most))


def flag(draw: Draw) -> bool:
    return draw(st.booleans())


# IP and what it carries.


def ip(draw: Draw, depth: int) -> bytes:
    return draw(st.sampled_from([ip4, ip4, ip6]))(draw, depth)


def ip4(draw: Draw, depth: int) -> bytes:
    protocol, payload = upper(draw, depth)
    src, dst = (str(ipaddress.IPv4Address(draw(st.integers(0, 2**32 - 1)))) for _ in range(2))
    offset = draw(st.sampled_from([0, 0, 0, 0, 1, 0x1FFF]))
    options = bytes(4 * words(draw, 10))
    length = stated_length(draw, 20 + len(options) + len(payload))
    return b.ipv4(
        src,
        dst,
        payload,
        protocol=protocol,
        options=options,
        offset=offset,
        more=draw(st.integers(0, 3)) == 0,
        total_length=length,
    )


def ip6(draw: Draw, depth: int) -> bytes:
    next_header, payload = upper(draw, depth)
    for _ in range(draw(st.sampled_from([0, 0, 1, 2, 3, 31, 32, 33]))):
        next_header, payload = extension_header(draw, next_header, payload)
    src, dst = (str(ipaddress.IPv6Address(draw(st.integers(0, 2**128 - 1)))) for _ in range(2))
    return b.ipv6(src, dst, payload, next_header=next_header, payload_length=stated_length(draw, len(payload)))


def extension_header(draw: Draw, next_header: int, payload: bytes) -> tuple[int, bytes]:
    kind = draw(st.sampled_from([0, 43, 44, 51, 60, 60, 135, 139, 140]))
    if kind == 44:
        offset = draw(st.sampled_from([0, 0, 0, 0x1FFF]))
        return kind, b.fragment6(next_header, payload, offset=offset, more=flag(draw))
    if kind == 51:
        return kind, b.authentication(next_header, payload, words=words(draw))
    return kind, b.extension6(next_header, payload, units=words(draw, 2))


def upper(draw: Draw, depth: int) -> tuple[int, bytes]:
    """Return (protocol, payload)."""
    is_tunnel = depth > 0 and draw(st.integers(0, 3)) > 0
    return draw(st.sampled_from(TUNNELS))(draw, depth - 1) if is_tunnel else transport(draw)


def udp_tunnel(port: int, content: Stack) -> Typed:
    return lambda draw, depth: (b.UDP, b.udp(draw(st.sampled_from([port, 50000])), port, content(draw, depth)))


def gre(draw: Draw, depth: int) -> tuple[int, bytes]:
    protocol, payload = typed(draw, depth)
    return 47, b.gre(protocol, payload, checksum=flag(draw), key=flag(draw), sequence=flag(draw))


def pptp(draw: Draw, depth: int) -> tuple[int, bytes]:
    return 47, b.gre(b.PPP, ppp(draw, depth), sequence=True, acknowledgement=flag(draw), key=flag(draw), version=1)


def erspan(draw: Draw, depth: int) -> tuple[int, bytes]:
    frame, has_sequence = ethernet(draw, depth), flag(draw)
    if flag(draw):
        return 47, b.gre(0x88BE, (bytes(8) if has_sequence else b"") + frame, sequence=has_sequence)
    return 47, b.gre(0x22EB, b.erspan3(frame, platform=flag(draw)), sequence=has_sequence)


def vxlan_gpe(draw: Draw, depth: int) -> bytes:
    protocol, content = draw(st.sampled_from([(1, ip), (2, ip), (3, ethernet), (4, nsh), (5, mpls)]))
    return b.vxlan(content(draw, depth), next_protocol=protocol)


def geneve(draw: Draw, depth: int) -> bytes:
    return b.geneve(*typed_or_llc(draw, depth), option_words=draw(st.sampled_from([0, 1, 63])))


def gtpu(draw: Draw, depth: int) -> bytes:
    extensions = draw(st.lists(st.integers(1, 3), max_size=3))
    return b.gtpu(ip(draw, depth), flags=0x30 | words(draw, 3), extensions=extensions)


def teredo(draw: Draw, depth: int) -> tuple[int, bytes]:
    client = draw(st.sampled_from([None, 0, 5, 127]))
    payload = b.teredo(ip6(draw, depth), client=client, origin=flag(draw))
    return b.UDP, b.udp(*draw(st.sampled_from([(50000, 3544), (3544, 50000), (3544, 3544)])), payload)


TUNNELS: list[Typed] = [
    lambda draw, depth: (4, ip(draw, depth)),
    lambda draw, depth: (41, ip(draw, depth)),
    lambda draw, depth: (97, b.etherip(ethernet(draw, depth))),
    lambda draw, depth: (137, mpls(draw, depth)),
    gre,
    pptp,
    erspan,
    udp_tunnel(4789, lambda draw, depth: b.vxlan(ethernet(draw, depth))),
    udp_tunnel(8472, lambda draw, depth: b.vxlan(ethernet(draw, depth))),
    udp_tunnel(4790, vxlan_gpe),
    udp_tunnel(6081, geneve),
    udp_tunnel(6635, lambda draw, depth: mpls(draw, depth)),  # noqa: PLW0108 - defined below
    udp_tunnel(2152, gtpu),
    teredo,
]


# Between the link type and IP.


def typed(draw: Draw, depth: int) -> tuple[int, bytes]:
    """Return (EtherType, payload)."""
    if depth <= 0 or draw(st.integers(0, 2)) == 0:
        return draw(st.sampled_from([b.IPV4, b.IPV6])), ip(draw, depth)
    ethertype, content = draw(st.sampled_from(ETHERTYPES))
    return ethertype, content(draw, depth - 1)


def typed_or_llc(draw: Draw, depth: int) -> tuple[int, bytes]:
    """Return (EtherType or length, payload)."""
    if draw(st.integers(0, 4)) > 0:
        return typed(draw, depth)
    return draw(st.sampled_from([0, 23, 1500])), llc(draw, depth)


def ethernet(draw: Draw, depth: int) -> bytes:
    frame = b.ethernet(*typed_or_llc(draw, depth))
    return b.isl(frame) if draw(st.integers(0, 15)) == 0 else frame


def llc(draw: Draw, depth: int) -> bytes:
    if draw(st.integers(0, 2)) == 0:
        return b.llc(ip(draw, depth))
    return b.llc_snap(*typed(draw, depth), oui=draw(st.sampled_from([bytes(3), b"\x00\x00\xf8"])))


def mpls(draw: Draw, depth: int) -> bytes:
    content = draw(st.sampled_from([ip, ip, ethernet, lambda draw, depth: bytes(4) + ethernet(draw, depth)]))
    return b.mpls(content(draw, depth), labels=[16] * draw(st.integers(1, 3)))


def ppp(draw: Draw, depth: int) -> bytes:
    protocol, content = draw(st.sampled_from([(0x0021, ip), (0x0057, ip), (0x0281, mpls), (0x0283, mpls)]))
    is_compressed = protocol < 0x100 and flag(draw)
    field = bytes([protocol]) if is_compressed else struct.pack(">H", protocol)
    return (b"\xff\x03" if flag(draw) else b"") + field + content(draw, depth)


def pppoe(draw: Draw, depth: int) -> bytes:
    return b.pppoe(ppp(draw, depth))


def nsh(draw: Draw, depth: int) -> bytes:
    protocol, content = draw(st.sampled_from([(1, ip), (2, ip), (3, ethernet), (5, mpls)]))
    payload = b.nsh(protocol, content(draw, depth), words=draw(st.sampled_from([2, 6, 63])))
    return b.nsh(4, payload) if flag(draw) else payload


def macsec(draw: Draw, depth: int) -> bytes:
    return b.macsec(*typed_or_llc(draw, depth), control=draw(st.sampled_from([0, 0, 0, 1, 0x40, 0x08])), channel=flag(draw))


def tag(build: Callable[[int, bytes], bytes]) -> Stack:
    return lambda draw, depth: build(*typed_or_llc(draw, depth))


ETHERTYPES: list[tuple[int, Stack]] = [
    *((ethertype, tag(b.vlan)) for ethertype in (0x8100, 0x88A8, 0x9100, 0x9200, 0x9300)),
    (0x8847, mpls),
    (0x8848, mpls),
    (0x8864, pppoe),
    (0x880B, ppp),
    (0x8870, llc),
    (0x6558, ethernet),
    (0x8903, lambda draw, depth: b.fabricpath(ethernet(draw, depth))),
    (0x88E7, lambda draw, depth: b.pbb(ethernet(draw, depth))),
    (0x88E5, macsec),
    (0x894F, nsh),
    (0x8926, tag(b.vntag)),
    (0x893F, tag(b.etag)),
    (0x8909, tag(b.cmd)),
    (0xF1C1, tag(b.rtag)),
    (0x22F3, lambda draw, depth: b.trill(ethernet(draw, depth), option_words=draw(st.sampled_from([0, 2, 31])))),
]


# Link types.


def null(draw: Draw, depth: int) -> bytes:
    byte_order = draw(st.sampled_from("<>"))
    if flag(draw):
        return b.null(*typed(draw, depth), byte_order=byte_order)
    return b.null(draw(st.sampled_from([2, 10, 23, 24, 28, 30])), ip(draw, depth), byte_order=byte_order)


TAGS = st.sampled_from([7, 0x0FFF, 0x1100, 0x4009, 0x4509, 0x4FFF, 0x6001])
"""Control words of VLAN tags, some of which look like an IP or PPPoE header."""


def frame_relay(draw: Draw, depth: int) -> bytes:
    address = draw(st.sampled_from([b"\x18\x41", b"\x18\x40\x01", b"\x18\x40\x80\x01"]))
    if draw(st.integers(0, 3)) == 0:
        return address + b.hdlc(*typed_or_llc(draw, depth))[2:]
    pad = b"\x00" if flag(draw) else b""
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return b.frame_relay(ip(draw, depth), address=address, nlpid=pad + draw(st.sampled_from([b"\xcc", b"\x8e"])))
    if kind == 1:
        return b.frame_relay(ppp(draw, depth), address=address, nlpid=pad + b"\xcf")
    if kind == 2:
        return b.frame_relay(ethernet(draw, depth), address=address, nlpid=pad + b"\x80\x00\x80\xc2\x00\x07")
    protocol, payload = typed(draw, depth)
    return b.frame_relay(payload, address=address, nlpid=pad + b"\x80\x00\x00\x00" + struct.pack(">H", protocol))


def enc(draw: Draw, depth: int) -> bytes:
    family = struct.pack(draw(st.sampled_from("<>")) + "I", draw(st.sampled_from([2, 24, 28, 30])))
    return family + bytes(8) + ip(draw, depth)


def juniper(content: Stack) -> Stack:
    def frame(draw: Draw, depth: int) -> bytes:
        extensions = draw(st.one_of(st.none(), st.binary(max_size=9)))
        if draw(st.integers(0, 3)) == 0:
            return b.juniper(bytes(4) + ip(draw, depth), flags=0x02, extensions=extensions)
        return b.juniper(content(draw, depth), flags=draw(st.sampled_from([0, 0x01, 0x44])), extensions=extensions)

    return frame


def ax25(draw: Draw, depth: int) -> bytes:
    return b.ax25(ip(draw, depth), n_addresses=draw(st.integers(2, 11)), control=draw(st.sampled_from([3, 0x13, 0, 0xA4, 1])))


def alp(draw: Draw, depth: int) -> bytes:
    more = draw(st.sampled_from([b"\x00", b"\x02\x07", b"\x01\x01\x00\x00", b"\x03\x07\x01\x01\x00\x00"]))
    n_more = draw(st.integers(0, 7))
    several = bytes([n_more << 1]) + bytes((n_more * 3 + 4) // 2)
    first, more = draw(st.sampled_from([(0, b""), (0x08, more), (0x10, more), (0x18, several), (0x10, b"\x08")]))
    return b.alp(ip(draw, depth), first=first, more=more)


def hdlc(draw: Draw, depth: int) -> bytes:
    if flag(draw):
        return b"\xff\x03" + struct.pack(">H", 0x0021) + ip(draw, depth)
    return b.hdlc(*typed_or_llc(draw, depth), address=draw(st.sampled_from([0x0F, 0x8F])))


def cooked(build: Callable[..., bytes]) -> Stack:
    def frame(draw: Draw, depth: int) -> bytes:
        kind = draw(st.integers(0, 5))
        if kind == 0:
            return build(4, llc(draw, depth))
        if kind == 1:
            return build(1, radiotap(draw, depth), hardware=803)
        if kind == 2:
            return build(0, frame_relay(draw, depth), hardware=770)
        protocol, payload = typed(draw, depth)
        first = protocol
        for tag_type in draw(st.lists(st.sampled_from([0x8100, 0x88A8]), max_size=2)):  # the first tag's type is not there
            payload = b.vlan(first, payload, vlan_id=draw(TAGS))
            first = tag_type
        if flag(draw):
            return build(protocol, payload)
        return build(b.QINQ, b.vlan(protocol, payload, vlan_id=draw(TAGS)))

    return frame


def dot11(draw: Draw, depth: int, *, pad: bool = False) -> bytes:
    qos = draw(st.sampled_from([None, 0, 0x80]))
    payload = (bytes(14) if qos == 0x80 else b"") + llc(draw, depth)
    protected = draw(st.integers(0, 15)) == 0
    return b.dot11(payload, qos=qos, four_addresses=flag(draw), ht_control=flag(draw), protected=protected, pad=pad)


def radiotap(draw: Draw, depth: int) -> bytes:
    present = draw(st.sampled_from([0, 1, 2, 3]))
    chained = draw(st.sampled_from([[], [0], [0, 0]]))
    flags = draw(st.sampled_from([0, 0x10, 0x20, 0xFF]))
    alignment = 4 * (len(chained) % 2) if present & 1 else 0
    fields = bytes(alignment + (8 if present & 1 else 0)) + bytes([flags]) + bytes(words(draw, 2))
    pad = bool(present & 2 and flags & 0x20)
    return b.radiotap(dot11(draw, depth, pad=pad), present=[present, *chained], fields=fields)


def ppi(draw: Draw, depth: int) -> bytes:
    link_type = draw(st.sampled_from([1, 105, *INSIDE_ANY]))
    return struct.pack("<BBHI", 0, 0, 12, link_type) + bytes(4) + LINKS[link_type](draw, depth)


def prism(draw: Draw, depth: int) -> bytes:
    if flag(draw):
        return avs(draw, depth)
    return struct.pack(draw(st.sampled_from("<>")) + "II", 0x44, 24) + bytes(16) + dot11(draw, depth)


def avs(draw: Draw, depth: int) -> bytes:
    return struct.pack(">II", 0x80211001, 64) + bytes(56) + dot11(draw, depth)


def token_ring(draw: Draw, depth: int) -> bytes:
    if flag(draw):
        return bytes(14) + llc(draw, depth)
    return bytes(8) + b"\x80" + bytes(5) + b"\x06" + bytes(5) + llc(draw, depth)


def arcnet(before: bytes) -> Stack:
    def frame(draw: Draw, depth: int) -> bytes:
        return before + draw(st.sampled_from([b"\xd4" + bytes(3), b"\xc4" + bytes(3), b"\xf0"])) + ip(draw, depth)

    return frame


def after(header: bytes, content: Stack) -> Stack:
    return lambda draw, depth: header + content(draw, depth)


def tag_after(length: int, behind: bytes = b"") -> Stack:
    """Return `length` bytes, then an EtherType or a length, then the bytes `behind` it."""
    return tag(lambda number, payload: bytes(length) + struct.pack(">H", number) + behind + payload)


def snap(draw: Draw, depth: int) -> bytes:
    return b.llc_snap(*typed(draw, depth))


def ipoib(draw: Draw, depth: int) -> bytes:
    ethertype, payload = typed(draw, depth)
    return bytes(40) + struct.pack(">HH", ethertype, 0) + payload


def nflog(draw: Draw, depth: int) -> bytes:
    return b.nflog(ip(draw, depth), before=draw(st.lists(st.binary(max_size=5), max_size=3)))


def erf(draw: Draw, depth: int) -> bytes:
    record_type, content = draw(
        st.sampled_from([(2, ethernet), (11, ethernet), (1, hdlc), (5, hdlc), (19, hdlc), (22, ip), (27, ip)])
    )
    return b.erf(record_type, content(draw, depth), extensions=draw(st.integers(0, 2)))


def pktap(draw: Draw, depth: int) -> bytes:
    link_type = draw(st.sampled_from(INSIDE_ANY))
    return b.pktap(link_type, LINKS[link_type](draw, depth), length=draw(st.sampled_from([12, 108])))


LINKS: dict[int, Stack] = {
    0: null,
    1: ethernet,
    3: ax25,
    6: token_ring,
    7: arcnet(b"\x01\x02"),
    8: after(bytes(16), ip),
    9: ppp,
    10: after(b"\x50" + bytes(12), llc),
    12: ip,
    14: ip,
    50: hdlc,
    51: pppoe,
    99: tag_after(6, bytes(36)),
    100: llc,
    101: ip,
    104: hdlc,
    105: dot11,
    106: lambda draw, depth: draw(st.sampled_from([ip, snap]))(draw, depth),
    107: frame_relay,
    108: null,
    109: enc,
    112: hdlc,
    113: cooked(b.sll),
    117: after(b"\x3d" + bytes(63), ip),
    119: prism,
    122: after(bytes(16), llc),
    123: after(b"\x02" + bytes(3), llc),
    127: radiotap,
    129: arcnet(b"\x01\x02\x00\x00"),
    133: juniper(after(bytes(8), ip)),
    136: juniper(after(bytes(8), ip)),
    138: tag_after(16),
    149: pktap,
    163: avs,
    164: juniper(after(bytes(8), ip)),
    166: after(b"\x01\x03", ppp),
    167: juniper(ethernet),
    168: juniper(tag_after(0)),
    178: juniper(ethernet),
    179: juniper(ppp),
    180: juniper(frame_relay),
    181: juniper(hdlc),
    182: after(b"\xc0\x01", frame_relay),
    192: ppi,
    197: erf,
    202: after(b"\x00", ax25),
    204: after(b"\x01", hdlc),
    205: after(b"\x00", hdlc),
    206: after(b"\x01", frame_relay),
    219: mpls,
    226: after(b"\x01\x02" + bytes(22), ip),
    228: ip,
    229: ip,
    239: nflog,
    240: after(bytes(4), ethernet),
    241: after(bytes(12), ethernet),
    242: ipoib,
    253: after(bytes(16), ip),
    258: pktap,
    259: after(bytes(6), ethernet),
    274: after(b"\x55" * 7 + b"\xd5", ethernet),
    276: cooked(b.sll2),
    281: tag_after(16),
    282: after(bytes(4), ethernet),
    284: tag_after(16),
    285: tag_after(20),
    289: alp,
}
"""The link types that both decoders know."""

INSIDE_ANY = [number for number in LINKS if number not in (149, 192, 258)]
"""Those whose frames PPI and PKTAP may hold."""


# Whole frames.


@st.composite
def whole_frames(draw: Draw) -> Frame:
    """Return a well-formed frame of any link type, of which nearly all lead to IP."""
    link_type = draw(st.sampled_from(sorted(LINKS)))
    return Frame(0, draw(WIRE_LENGTHS), link_type, LINKS[link_type](draw, draw(st.integers(0, MAX_DEPTH))))


@st.composite
def deep_frames(draw: Draw) -> Frame:
    """Return an Ethernet frame of about as many headers as a decoder enters."""
    packet = ip(draw, 0)
    for _ in range(draw(st.integers(0, 34))):
        packet = b.ipv4("192.0.2.1", "192.0.2.2", packet, protocol=4)
    n_tags = draw(st.integers(0, 33))
    if flag(draw):
        return Frame(0, 0, 1, b.ethernet(b.MPLS, b.mpls(packet, labels=[16] * max(n_tags, 1))))
    return Frame(0, 0, 1, b.ethernet(b.VLAN, b.vlan(b.VLAN, b"") * n_tags + b.vlan(b.IPV4, packet)))


@st.composite
def damaged_frames(draw: Draw) -> Frame:
    """Return a frame with some bytes or numbers changed, and often cut; of a link type that may not be its own."""
    frame = draw(whole_frames())
    data = bytearray(frame.data)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, min(len(data), 150) - 2))
        if flag(draw):
            data[at] = draw(st.integers(0, 255))
        else:
            data[at : at + 2] = struct.pack(">H", draw(st.sampled_from(ODD_NUMBERS + KNOWN_NUMBERS)))
    end = draw(st.one_of(st.just(len(data)), st.integers(0, len(data))))
    link_type = draw(st.sampled_from([frame.link_type] * 9 + [147, 256 + 1, 1]))
    return Frame(0, frame.wire_len, link_type, bytes(data[:end]))


@st.composite
def arbitrary_frames(draw: Draw) -> Frame:
    """Return arbitrary bytes of any link type."""
    link_type = draw(st.one_of(st.sampled_from(sorted(LINKS)), st.integers(0, 300)))
    return Frame(0, draw(WIRE_LENGTHS), link_type, draw(st.binary(max_size=120)))
