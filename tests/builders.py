"""Frames and capture files for tests, built byte by byte.

Nothing here uses dpkt or fastmon's decoders, so that what tests expect does not come from what they test.
A builder puts its header before `payload`; lengths and checksums that no decoder may trust are mostly 0.
"""

from __future__ import annotations

import ipaddress
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from fastmon.model.frames import Frame

MAC_A = bytes.fromhex("02000000000a")
MAC_B = bytes.fromhex("02000000000b")

IPV4, IPV6, ARP = 0x0800, 0x86DD, 0x0806
VLAN, QINQ, MPLS, PPPOE, PPP = 0x8100, 0x88A8, 0x8847, 0x8864, 0x880B
ETHERNET, PBB, MACSEC, NSH, TRILL = 0x6558, 0x88E7, 0x88E5, 0x894F, 0x22F3
TCP, UDP, SCTP, ICMP = 6, 17, 132, 1


def host(address: str) -> bytes:
    """Return the 16-byte host key of an address."""
    parsed = ipaddress.ip_address(address)
    return parsed.packed if parsed.version == 6 else bytes(10) + b"\xff\xff" + parsed.packed


# Between the link type and IP.


def ethernet(ethertype: int, payload: bytes, *, dst: bytes = MAC_B, src: bytes = MAC_A) -> bytes:
    """Ethernet II, or 802.3 where `ethertype` is a length."""
    return dst + src + struct.pack(">H", ethertype) + payload


def isl(payload: bytes) -> bytes:
    """Cisco ISL, before a whole Ethernet frame."""
    return bytes.fromhex("01000c0000 00 02000000000a 0000 aaaa03 00000c 000e 0000 0000") + payload


def vlan(ethertype: int, payload: bytes, *, vlan_id: int = 7) -> bytes:
    return struct.pack(">HH", vlan_id, ethertype) + payload


def mpls(payload: bytes, *, labels: Iterable[int] = (16,)) -> bytes:
    """Return a label stack; the last label has the bottom bit."""
    *upper, bottom = labels
    return b"".join(struct.pack(">I", label << 12 | 64) for label in upper) + struct.pack(">I", bottom << 12 | 0x140) + payload


def pppoe(payload: bytes, *, code: int = 0, version_type: int = 0x11) -> bytes:
    return struct.pack(">BBHH", version_type, code, 1, len(payload) & 0xFFFF) + payload


def ppp(protocol: int, payload: bytes, *, address_control: bool = False) -> bytes:
    """PPP; a protocol below 256 that is odd is compressed to one byte."""
    field = bytes([protocol]) if protocol < 0x100 and protocol & 1 else struct.pack(">H", protocol)
    return (b"\xff\x03" if address_control else b"") + field + payload


def llc(payload: bytes, *, sap: int = 0x06, control: int = 3) -> bytes:
    return bytes([sap, sap, control]) + payload


def llc_snap(ethertype: int, payload: bytes, *, oui: bytes = bytes(3)) -> bytes:
    return b"\xaa\xaa\x03" + oui + struct.pack(">H", ethertype) + payload


def fabricpath(payload: bytes) -> bytes:
    """Return a Cisco FabricPath tag before an Ethernet frame."""
    return b"\x01\x20" + payload


def pbb(payload: bytes) -> bytes:
    return bytes.fromhex("00000001") + payload


def macsec(ethertype: int, payload: bytes, *, control: int = 0, channel: bool = False) -> bytes:
    """Return a SecTAG; `channel`: with a secure channel identifier; `control` & 0x0C: encrypted or changed."""
    return bytes([control | (0x20 if channel else 0)]) + bytes(13 if channel else 5) + struct.pack(">H", ethertype) + payload


def nsh(next_protocol: int, payload: bytes, *, words: int = 2) -> bytes:
    return bytes([0x0F, 0xC0 | words, 1, next_protocol]) + bytes(max(words * 4, 8) - 4) + payload


def vntag(ethertype: int, payload: bytes) -> bytes:
    return struct.pack(">IH", 1, ethertype) + payload


def etag(ethertype: int, payload: bytes) -> bytes:
    return struct.pack(">IHH", 1, 0, ethertype) + payload


def cmd(ethertype: int, payload: bytes) -> bytes:
    """Cisco metadata."""
    return struct.pack(">BBHHH", 1, 1, 1, 5, ethertype) + payload


def rtag(ethertype: int, payload: bytes) -> bytes:
    return struct.pack(">HHH", 0, 1, ethertype) + payload


def trill(payload: bytes, *, option_words: int = 0) -> bytes:
    return struct.pack(">HHH", option_words << 6, 1, 2) + bytes(4 * option_words) + payload


# Link types.


def null(family: int, payload: bytes, *, byte_order: str = "<") -> bytes:
    return struct.pack(byte_order + "I", family) + payload


def hdlc(ethertype: int, payload: bytes, *, address: int = 0x0F) -> bytes:
    """Cisco HDLC."""
    return struct.pack(">BBH", address, 0, ethertype) + payload


def frame_relay(payload: bytes, *, address: bytes = b"\x18\x41", nlpid: bytes = b"\xcc") -> bytes:
    """Frame Relay with RFC 2427's header; `nlpid`: what stands behind its control byte."""
    return address + b"\x03" + nlpid + payload


def juniper(payload: bytes, *, flags: int = 0, extensions: bytes | None = None) -> bytes:
    """Juniper's header; `extensions`: its TLVs, with bit 0x80 of the flags."""
    if extensions is None:
        return b"MGC" + bytes([flags]) + payload
    return b"MGC" + bytes([flags | 0x80]) + struct.pack(">H", len(extensions)) + extensions + payload


def ax25(payload: bytes, *, n_addresses: int = 2, control: int = 3, protocol: int = 0xCC) -> bytes:
    """AX.25 between stations, through `n_addresses` - 2 digipeaters."""
    addresses = b"".join(bytes([0x82] * 6) + bytes([0x60 | (n == n_addresses)]) for n in range(1, n_addresses + 1))
    return addresses + bytes([control, protocol]) + payload


def alp(payload: bytes, *, first: int = 0, more: bytes = b"") -> bytes:
    """ATSC's link layer; `first`: the bits of its first byte; `more`: what stands behind its first two bytes."""
    return struct.pack(">H", first << 8 | len(payload) & 0x07FF) + more + payload


def sll(protocol: int, payload: bytes, *, hardware: int = 1) -> bytes:
    """Linux cooked capture."""
    return struct.pack(">HHH", 0, hardware, 6) + MAC_A + bytes(2) + struct.pack(">H", protocol) + payload


def sll2(protocol: int, payload: bytes, *, hardware: int = 1) -> bytes:
    """Linux cooked capture, version 2."""
    return struct.pack(">HHIHBB", protocol, 0, 1, hardware, 0, 6) + MAC_A + bytes(2) + payload


def radiotap(payload: bytes, *, present: Iterable[int] = (0,), fields: bytes = b"", version: int = 0) -> bytes:
    """Radiotap; `present`: its words, each but the last with bit 31; `fields`: from behind the words, alignment included."""
    *chained, last = present
    words = struct.pack(f"<{len(chained) + 1}I", *(word | 1 << 31 for word in chained), last)
    return struct.pack("<BBH", version, 0, 4 + len(words) + len(fields)) + words + fields + payload


def dot11(
    payload: bytes,
    *,
    qos: int | None = None,
    four_addresses: bool = False,
    ht_control: bool = False,
    protected: bool = False,
    kind: int = 2,
    pad: bool = False,
) -> bytes:
    """Return an 802.11 frame of type `kind` (2: data); `qos`: the QoS control's first byte; `pad`: header padded to 4 bytes."""
    flags = (3 if four_addresses else 1) | (0x40 if protected else 0) | (0x80 if ht_control else 0)
    header = bytes([kind << 2 | (0 if qos is None else 0x80), flags]) + bytes(28 if four_addresses else 22)
    if qos is not None:
        header += bytes([qos, 0]) + (bytes(4) if ht_control else b"")
    return header + (bytes(-len(header) % 4) if pad else b"") + payload


def nflog(payload: bytes, *, before: Iterable[bytes] = (), family: int = 2) -> bytes:
    """NFLOG: TLVs of type 1 with the values `before`, then the payload's."""
    tlvs = b"".join(struct.pack("<HH", 4 + len(value), 1) + value + bytes(-len(value) % 4) for value in before)
    return struct.pack(">BBH", family, 0, 0) + tlvs + struct.pack("<HH", (4 + len(payload)) & 0xFFFF, 9) + payload


def pktap(link_type: int, payload: bytes, *, length: int = 108, record_type: int = 1) -> bytes:
    return struct.pack("<III", length, record_type, link_type) + bytes(max(length - 12, 0)) + payload


def erf(
    record_type: int, payload: bytes, *, ts_ns: int = 0, lost: int = 0, wire_len: int | None = None, extensions: int = 0
) -> bytes:
    """A record of Endace's format, filled up to 8 bytes; `wire_len`: of the frame with its checksum, if it has one."""
    kinds = [record_type | (0x80 if extensions else 0), *([0x83] * (extensions - 1) + [0x03] if extensions else [])]
    inner = b"".join(bytes([kind]).ljust(8, b"\x01") for kind in kinds[1:])
    inner += bytes(2 if record_type in {2, 11, 16, 20} else 4 if record_type in {5, 6, 7, 8, 9, 12, 17, 18} else 0) + payload
    inner += bytes(-len(inner) % 8)
    seconds, nanos = divmod(ts_ns, 10**9)
    length = len(payload) if wire_len is None else wire_len
    header = struct.pack("<II", -(-(nanos << 32) // 10**9), seconds)
    return header + struct.pack(">BBHHH", kinds[0], 4, 16 + len(inner), lost, length) + inner


# IP and above.


def ipv4(
    src: str,
    dst: str,
    payload: bytes = b"",
    *,
    protocol: int = UDP,
    options: bytes = b"",
    offset: int = 0,
    more: bool = False,
    total_length: int | None = None,
) -> bytes:
    """IPv4; `options` of a multiple of 4 bytes; `offset` of a fragment, in units of 8 bytes."""
    length = 20 + len(options) + len(payload) if total_length is None else total_length
    fragment = offset | (0x2000 if more else 0)
    header = struct.pack(">BBHHHBBH", 0x45 + len(options) // 4, 0, length & 0xFFFF, 1, fragment, 64, protocol, 0)
    return header + ipaddress.IPv4Address(src).packed + ipaddress.IPv4Address(dst).packed + options + payload


def ipv6(src: str, dst: str, payload: bytes = b"", *, next_header: int = UDP, payload_length: int | None = None) -> bytes:
    addresses = ipaddress.IPv6Address(src).packed + ipaddress.IPv6Address(dst).packed
    length = len(payload) if payload_length is None else payload_length
    return struct.pack(">IHBB", 0x60000000, length & 0xFFFF, next_header, 64) + addresses + payload


def extension6(next_header: int, payload: bytes, *, units: int = 0) -> bytes:
    """Return an IPv6 extension header of (1 + `units`) * 8 bytes: hop-by-hop, routing, destination, ..."""
    return bytes([next_header, units]) + bytes(6 + 8 * units) + payload


def authentication(next_header: int, payload: bytes, *, words: int = 4) -> bytes:
    """Return an authentication header of (2 + `words`) * 4 bytes."""
    return bytes([next_header, words]) + bytes(6 + 4 * words) + payload


def fragment6(next_header: int, payload: bytes, *, offset: int = 0, more: bool = False) -> bytes:
    return struct.pack(">BBHI", next_header, 0, offset << 3 | more, 1) + payload


FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16


def tcp(source: int, destination: int, payload: bytes = b"", *, flags: int = SYN, words: int = 5, options: bytes = b"") -> bytes:
    """TCP; `words`: the header length that it states, in units of 4 bytes; `options` stand behind its 20 bytes."""
    header = struct.pack(">HHIIBBHHH", source, destination, 0, 0, words << 4, flags, 8192, 0, 0)
    return header + options + payload


def udp(source: int, destination: int, payload: bytes = b"") -> bytes:
    return struct.pack(">HHHH", source, destination, 8 + len(payload) & 0xFFFF, 0) + payload


def sctp(source: int, destination: int, payload: bytes = b"") -> bytes:
    return struct.pack(">HHII", source, destination, 0, 0) + payload


def icmp(payload: bytes = b"", *, kind: int = 8) -> bytes:
    return struct.pack(">BBHI", kind, 0, 0, 0) + payload


def arp(sender: str, target: str, *, operation: int = 1) -> bytes:
    """Return an ARP packet, of Ethernet and IPv4."""
    src, dst = (host(address)[12:] for address in (sender, target))
    return struct.pack(">HHBBH6s4s6s4s", 1, 0x0800, 6, 4, operation, MAC_A, src, bytes(6), dst)


# Tunnels.


def gre(
    protocol: int,
    payload: bytes,
    *,
    checksum: bool = False,
    routing: bool = False,
    key: bool = False,
    sequence: bool = False,
    acknowledgement: bool = False,
    version: int = 0,
) -> bytes:
    """GRE; version 1 (PPTP) has its key field always."""
    flags = checksum << 15 | routing << 14 | key << 13 | sequence << 12 | acknowledgement << 7 | version
    n_fields = checksum + (key or version == 1) + sequence + acknowledgement
    return struct.pack(">HH", flags, protocol) + bytes(4 * n_fields) + payload


def erspan3(payload: bytes, *, platform: bool = False) -> bytes:
    return bytes(11) + bytes([platform]) + bytes(8 if platform else 0) + payload


def etherip(payload: bytes, *, version: int = 3) -> bytes:
    return bytes([version << 4, 0]) + payload


def vxlan(payload: bytes, *, flags: int = 0x08, next_protocol: int = 0) -> bytes:
    """VXLAN, and VXLAN-GPE with `next_protocol`."""
    return bytes([flags, 0, 0, next_protocol, 0, 0, 1, 0]) + payload


def geneve(ethertype: int, payload: bytes, *, option_words: int = 0, version: int = 0) -> bytes:
    return struct.pack(">BBHI", version << 6 | option_words, 0, ethertype, 1 << 8) + bytes(4 * option_words) + payload


def teredo(payload: bytes, *, client: int | None = None, origin: bool = False) -> bytes:
    """Teredo; `client`: with an authentication whose client identifier has so many bytes, and its value one more."""
    authentication = b"" if client is None else bytes([0, 1, client, client + 1]) + bytes(2 * client + 1 + 9)
    return authentication + (bytes(8) if origin else b"") + payload


def gtpu(payload: bytes, *, flags: int = 0x30, message: int = 0xFF, extensions: Iterable[int] = ()) -> bytes:
    """GTP-U; `extensions`: the length of each extension header, in units of 4 bytes."""
    lengths = list(extensions)
    flags |= 0x04 if lengths else 0
    header = struct.pack(">BBHI", flags, message, len(payload) & 0xFFFF, 1)
    if flags & 0x07:
        header += bytes(3) + bytes([0x85 if lengths else 0])
    for n_following, words in zip(reversed(range(len(lengths))), lengths, strict=True):
        header += bytes([words]) + bytes(max(4 * words - 2, 0)) + (bytes([0x85 if n_following else 0]) if words else b"")
    return header + payload


# Capture files.


def write_pieces(folder: Path, frames: Sequence[Frame], n_files: int) -> list[Path]:
    """Write frames into a number of pcap files, one after the other."""
    paths = [folder / f"{index}-of-{n_files}.pcap" for index in range(n_files)]
    for index, path in enumerate(paths):
        path.write_bytes(pcap_file(frames[index * len(frames) // n_files : (index + 1) * len(frames) // n_files]))
    return paths


def pcap_file(
    frames: Iterable[Frame],
    *,
    link_type: int = 1,
    byte_order: str = "<",
    nanoseconds: bool = False,
    modified: bool = False,
    snaplen: int = 262144,
) -> bytes:
    """Return a pcap file; `modified`: with the record headers of 24 bytes of Kuznetzov's libpcap."""
    magic = 0xA1B2CD34 if modified else 0xA1B23C4D if nanoseconds else 0xA1B2C3D4
    tick_ns = 1 if nanoseconds else 1000
    file = struct.pack(byte_order + "IHHiIII", magic, 2, 4, 0, 0, snaplen, link_type)
    for frame in frames:
        seconds, nanos = divmod(frame.ts_ns, 1_000_000_000)
        file += struct.pack(byte_order + "IIII", seconds, nanos // tick_ns, len(frame.data), frame.wire_len)
        file += (struct.pack(byte_order + "IHBB", 1, 0, 0, 0) if modified else b"") + frame.data
    return file


class PcapngFile:
    """A pcapng file, block by block; the current section's byte order and interfaces hold for what is added."""

    def __init__(self, byte_order: str = "<") -> None:
        self._blocks: list[bytes] = []
        self.section(byte_order)

    def __bytes__(self) -> bytes:
        return b"".join(self._blocks)

    def block(self, block_type: int, body: bytes) -> None:
        """Add a block of any type; `body` is padded."""
        length = 12 + len(body) + -len(body) % 4
        self._blocks.append(self._pack("II", block_type, length) + body + bytes(-len(body) % 4) + self._pack("I", length))

    def section(self, byte_order: str = "<") -> None:
        """Begin a section, without interfaces."""
        self._byte_order = byte_order
        self._clocks: list[tuple[int, int]] = []
        self.block(0x0A0D0D0A, self._pack("IHHq", 0x1A2B3C4D, 1, 0, -1))

    def interface(
        self,
        link_type: int = 1,
        *,
        snaplen: int = 0,
        ts_resolution: int | None = None,
        ts_offset_s: int | None = None,
        fcs_length: int | None = None,
    ) -> int:
        """Add an interface and return its number; `ts_resolution`, `fcs_length`: the byte of option if_tsresol, if_fcslen."""
        options = b""
        if ts_resolution is not None:
            options += self._pack("HH", 9, 1) + bytes([ts_resolution, 0, 0, 0])
        if ts_offset_s is not None:
            options += self._pack("HHq", 14, 8, ts_offset_s)
        if fcs_length is not None:
            options += self._pack("HH", 13, 1) + bytes([fcs_length, 0, 0, 0])
        self.block(1, self._pack("HHI", link_type, 0, snaplen) + options + (bytes(4) if options else b""))
        resolution = 6 if ts_resolution is None else ts_resolution
        ticks_per_s = 2 ** (resolution & 0x7F) if resolution & 0x80 else 10**resolution
        self._clocks.append((ticks_per_s, ts_offset_s or 0))
        return len(self._clocks) - 1

    def packet(self, frame: Frame, interface: int = 0, *, flags: int | None = None, options: bytes = b"") -> None:
        """Add an enhanced packet block; `flags`: its option epb_flags."""
        if flags is not None:
            options = self._pack("HHI", 2, 4, flags) + options
        data = frame.data + (bytes(-len(frame.data) % 4) if options else b"")
        self.block(6, self._pack("IIIII", interface, *self._lengths(frame, interface)) + data + options)

    def simple_packet(self, frame: Frame) -> None:
        """Add a simple packet block, which has no time."""
        self.block(3, self._pack("I", frame.wire_len) + frame.data)

    def obsolete_packet(self, frame: Frame, interface: int = 0) -> None:
        """Add an obsolete packet block."""
        self.block(2, self._pack("HHIIII", interface, 0xFFFF, *self._lengths(frame, interface)) + frame.data)

    def _lengths(self, frame: Frame, interface: int) -> tuple[int, int, int, int]:
        """Return the time's high and low half, captured length and wire length."""
        ticks_per_s, offset_s = self._clocks[interface]
        ticks = (frame.ts_ns - offset_s * 1_000_000_000) * ticks_per_s // 1_000_000_000
        return ticks >> 32, ticks & 0xFFFFFFFF, len(frame.data), frame.wire_len

    def _pack(self, layout: str, *values: int) -> bytes:
        return struct.pack(self._byte_order + layout, *values)
