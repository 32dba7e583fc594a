"""The small captures that exercise file formats: whole ones in every variant, cut ones, ones that lie about a length."""

from __future__ import annotations

import bz2
import lzma
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .ethernet import ethernet, ppp, vlan
from .ip import udp
from .links import cisco_hdlc, loopback
from .maker import START_NS, Maker, records
from .pdu import UNSUPPORTED, decided, non_ip, opaque
from .savefile import (
    ENHANCED_PACKET,
    MODIFIED,
    NANOSECONDS,
    NgFile,
    erf_record,
    gzipped,
    longer_pcap,
    lz4_stored,
    pcap,
    pcap_record,
    snoop,
    zstandard_stored,
)
from .truth import Record

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Variant", "variants"]

ETHERNET, RAW, PPP, NULL, ERF, NO_LINK_TYPE = 1, 101, 9, 0, 197, 147  # 147: LINKTYPE_USER0, for private use
FCS_PRESENT = 1 << 26  # in a pcap file's link type; the length in 16-bit words is in the top four bits


@dataclass(frozen=True, slots=True)
class Variant:
    """A file, the records that reading it gives, and why reading ends (as for `truth.totals`)."""

    name: str
    data: bytes
    records: list[Record]
    error: str | None = None


def mixed(make: Maker, count: int = 8) -> list[Record]:
    """Return Ethernet frames of both IP versions, some of them tagged."""
    frames = []
    for n in range(count):
        packet = make.v6() if n % 3 == 2 else make.v4()
        frames.append(ethernet(vlan(packet), 0x8100) if n % 4 == 3 else ethernet(packet, pad=True))
    return records(frames)


def pcap_variants(make: Maker) -> Iterator[Variant]:
    """Yield both byte orders in each resolution, the modified format, odd headers, snaplens, snoop, and no frames at all."""
    for order, byte_order in (("little", "<"), ("big", ">")):
        whole = mixed(make)
        fine = [replace(record, ts_ns=START_NS + n * 1_000_000_007) for n, record in enumerate(mixed(make))]
        modified = mixed(make)
        yield Variant(f"pcap_us_{order}.pcap", pcap(whole, ETHERNET, byte_order=byte_order), whole)
        yield Variant(f"pcap_ns_{order}.pcap", pcap(fine, ETHERNET, byte_order=byte_order, magic=NANOSECONDS), fine)
        yield Variant(f"pcap_modified_{order}.pcap", pcap(modified, ETHERNET, byte_order=byte_order, magic=MODIFIED), modified)
    cut = [replace(record, cap_len=40, wire_len=1000 + n) for n, record in enumerate(mixed(make))]
    yield Variant("pcap_snaplen_40.pcap", pcap(cut, ETHERNET, snaplen=40), cut)
    bare = mixed(make)
    checked = [pcap_record(record, checksum=b"FCS.") for record in bare]
    header = pcap([], ETHERNET | FCS_PRESENT | 2 << 28)
    yield Variant("pcap_fcs_bits.pcap", header + b"".join(checked), bare)
    large = records([ethernet(make.v4(udp(opaque(bytes(size))), total_len=0)) for size in (9000, 70000)])
    yield Variant("pcap_jumbo.pcap", pcap(large, ETHERNET), large)
    backwards = [replace(record, ts_ns=START_NS - n * 10**9) for n, record in enumerate(mixed(make))]
    yield Variant("pcap_time_runs_back.pcap", pcap(backwards, ETHERNET), backwards)
    cut = [replace(record, cap_len=60 + n) for n, record in enumerate(mixed(make))]
    yield Variant("snoop.snoop", snoop(cut), cut)
    yield Variant("pcap_no_frames.pcap", pcap([], ETHERNET), [])


def pcapng_variants(make: Maker) -> Iterator[Variant]:
    """Yield the blocks that carry frames, in both byte orders, among blocks that do not."""
    for order, byte_order in (("little", "<"), ("big", ">")):
        yield pcapng_blocks(make, f"pcapng_{order}.pcapng", byte_order)
    yield pcapng_sections(make)
    yield pcapng_interfaces(make)
    yield pcapng_resolutions(make)
    yield pcapng_simple(make)
    yield Variant("pcapng_no_frames.pcapng", NgFile().interface(ETHERNET).data, [])
    yield Variant("pcapng_no_interface.pcapng", NgFile().data, [])


def pcapng_blocks(make: Maker, name: str, byte_order: str) -> Variant:
    """Return enhanced and obsolete packet blocks between name, statistics, custom, secrets and unknown blocks."""
    frames = mixed(make)
    file = NgFile(byte_order).interface(ETHERNET, 65535)
    for n, record in enumerate(frames):
        (file.obsolete if n % 3 == 1 else file.enhanced)(record)
        file.block((4, 5, 0xBAD, 10, 0x40000BAD, 0x7FFFFFFF)[n % 6], bytes(4 * n))
    return Variant(name, file.data, frames)


def pcapng_sections(make: Maker) -> Variant:
    """Return three sections, of both byte orders, each with interfaces of its own."""
    first, second, third = mixed(make), records(make.each()), mixed(make)
    file = NgFile("<").interface(ETHERNET).enhanced_all(first)
    file.section(">").interface(RAW).enhanced_all(second)
    file.section("<").interface(PPP).interface(ETHERNET).enhanced_all(third, interface=1)
    return Variant("pcapng_sections.pcapng", file.data, first + second + third)


def pcapng_interfaces(make: Maker) -> Variant:
    """Return interfaces of different link types, one of them known to no decoder, described where they are first needed."""
    frames = records(
        [
            ethernet(make.v4()),
            make.v6(),
            ppp(make.v4(), framed=True),
            loopback(make.v6()),
            decided(make.payload(), UNSUPPORTED),
            ethernet(make.v4()),
        ]
    )
    file = NgFile()
    for interface, link_type in enumerate((ETHERNET, RAW, PPP, NULL, NO_LINK_TYPE)):
        file.interface(link_type).enhanced(frames[interface], interface=interface)
    file.enhanced(frames[5])
    return Variant("pcapng_interfaces.pcapng", file.data, frames)


def pcapng_resolutions(make: Maker) -> Variant:
    """Return interfaces with timestamps in seconds to picoseconds, in powers of two, and with an offset."""
    file, frames = NgFile(), []
    for interface, (resolution, unit_per_s) in enumerate(((0, 1), (3, 10**3), (6, 10**6), (9, 10**9), (0x8A, 1 << 10))):
        file.interface(ETHERNET, resolution=resolution)
        since_ns = START_NS + interface * 10**9
        frames.append(Record(ethernet(make.v4()), since_ns))
        file.enhanced(frames[-1], since_ns // 10**9 * unit_per_s, interface)
    file.interface(ETHERNET, resolution=12).interface(ETHERNET, resolution=9, offset_s=START_NS // 10**9)
    frames.append(Record(ethernet(make.v4()), 1_234_567_891))
    file.enhanced(frames[-1], 1_234_567_891_999, 5)  # picoseconds are cut off, not rounded
    frames.append(Record(ethernet(make.v4()), START_NS + 77))
    file.enhanced(frames[-1], 77, 6)
    return Variant("pcapng_resolutions.pcapng", file.data, frames)


def pcapng_simple(make: Maker) -> Variant:
    """Return simple packet blocks, some of them cut at the interface's snaplen; they have no time."""
    frames = [Record(record.frame, None, min(len(record.frame.data), 62)) for record in mixed(make)]
    file = NgFile().interface(ETHERNET, snaplen=62)
    for record in frames:
        file.simple(record)
    return Variant("pcapng_simple.pcapng", file.data, frames)


def compressed_variants(make: Maker) -> Iterator[Variant]:
    """Yield gzip and Zstandard, of one member or frame and of several, the last cut in the middle."""
    frames = mixed(make, 40)
    data = pcap(frames, ETHERNET)
    half = len(data) // 2
    yield Variant("compressed.pcap.gz", gzipped(data), frames)
    yield Variant("compressed_members.pcap.gz", gzipped(data[:half], data[half:], b""), frames)
    yield Variant("compressed.pcap.zst", zstandard_stored(data), frames)
    yield Variant("compressed_frames.pcap.zst", zstandard_stored(data[:half], data[half:]), frames)
    yield Variant("compressed.pcapng.gz", gzipped(NgFile().interface(ETHERNET).enhanced_all(frames).data), frames)


def damaged_variants(make: Maker) -> Iterator[Variant]:
    """Yield files that end in the middle of something, and files whose lengths cannot be true."""
    frames = mixed(make)
    data, last = pcap(frames, ETHERNET), len(pcap_record(frames[-1]))
    yield Variant("damaged_mid_record_header.pcap", data[: -last + 9], frames[:-1], "truncated")
    yield Variant("damaged_mid_frame.pcap", data[:-7], frames[:-1], "truncated")
    for claimed_len in (0xFFFFFFFF, 0x7FFFFFFF):
        lie = pcap_record(frames[-1], claimed_len=claimed_len)
        yield Variant(f"damaged_length_{claimed_len:x}.pcap", pcap(frames, ETHERNET) + lie + data[24:], frames, "damaged")
    yield from damaged_pcapng(mixed(make))


def damaged_pcapng(frames: list[Record]) -> Iterator[Variant]:
    """Yield the pcapng files among them."""

    def good() -> NgFile:
        return NgFile().interface(ETHERNET).enhanced_all(frames)

    yield Variant("damaged_mid_block.pcapng", good().data[:-30], frames[:-1], "truncated")
    yield Variant("damaged_mid_block_header.pcapng", good().data + struct.pack("<I", ENHANCED_PACKET), frames, "truncated")
    lies = {
        "block_length": good().block(ENHANCED_PACKET, bytes(20), claimed_len=8),
        "block_length_odd": good().block(ENHANCED_PACKET, bytes(20), claimed_len=33),
        "trailing_length": good().block(ENHANCED_PACKET, bytes(20), trailing_len=99999),
        "captured_length": good().enhanced(frames[0], claimed_len=5000),
        "unknown_interface": good().enhanced(frames[0], interface=7),
    }
    for name, file in lies.items():
        yield Variant(f"damaged_{name}.pcapng", file.enhanced_all(frames).data, frames, "damaged")


def longer_variants(make: Maker) -> Iterator[Variant]:
    """Yield pcap files whose records' headers are longer than usual, as some systems wrote them."""
    nokia, red_hat, suse = mixed(make), mixed(make), mixed(make)
    yield Variant("pcap_nokia.pcap", longer_pcap(nokia, 4), nokia)
    yield Variant("pcap_red_hat_6_1.pcap", longer_pcap(red_hat, 8), red_hat)
    yield Variant("pcap_suse_6_3.pcap", longer_pcap(suse, 12, MODIFIED), suse)


def joined_variants(make: Maker) -> Iterator[Variant]:
    """Yield files of which each stands behind another, as `cat` makes them."""
    first, second, third, fourth, fifth = mixed(make), records(make.each()), mixed(make), mixed(make), mixed(make)
    parts = [
        pcap(first, ETHERNET),
        pcap(second, RAW, byte_order=">", magic=NANOSECONDS),
        NgFile().interface(ETHERNET).enhanced_all(third).data,
        snoop(fourth),
        pcap(fifth, ETHERNET),
    ]
    frames = first + second + third + fourth + fifth
    yield Variant("joined.pcap", b"".join(parts), frames)
    yield Variant("compressed_joined.pcap.gz", gzipped(*parts), frames)
    unsupported = pcap(third, NO_LINK_TYPE)
    yield Variant("damaged_joined_link_type.pcap", parts[0] + unsupported, first, "unsupported")


def erf_variants(make: Maker) -> Iterator[Variant]:
    """Yield ERF records in a file of their own, padding among them, and in a pcap file."""
    frames = [*mixed(make), *records([cisco_hdlc(make.v4()), make.v4(), make.v6(), non_ip(bytes(40))])]
    frames = [replace(record, ts_ns=START_NS + n * 1_000_000_007) for n, record in enumerate(frames)]
    kinds = [
        *((kind, bytes(2), b"FCS.") for kind in (2, 11, 16, 20) * 2),
        (1, b"", b""),
        (22, b"", b""),
        (23, b"", b""),
        (3, b"", b""),
    ]
    erf = [erf_record(record, *how[:2], checksum=how[2]) for record, how in zip(frames, kinds, strict=True)]
    padding = erf_record(Record(opaque(bytes(24)), None), 48)
    yield Variant("erf.erf", erf[0] + padding + b"".join(erf[1:]), frames)
    fine = [Record(opaque(data), record.ts_ns) for data, record in zip(erf, frames, strict=True)]
    yield Variant("pcap_erf.pcap", pcap(fine, ERF, magic=NANOSECONDS), frames)


def more_compressed_variants(make: Maker) -> Iterator[Variant]:
    """Yield the other compressions."""
    frames = mixed(make, 40)
    data = pcap(frames, ETHERNET)
    half = len(data) // 2
    yield Variant("compressed.pcap.xz", lzma.compress(data[:half]) + lzma.compress(data[half:]), frames)
    yield Variant("compressed.pcap.bz2", bz2.compress(data[:half]) + bz2.compress(data[half:]), frames)
    yield Variant("compressed.pcap.lz4", lz4_stored(data[:half]) + lz4_stored(data[half:]), frames)


FAMILIES = (
    pcap_variants,
    pcapng_variants,
    compressed_variants,
    damaged_variants,
    longer_variants,
    joined_variants,
    erf_variants,
    more_compressed_variants,
)
"""A new one goes to the end: its place is in its frames' seed."""


def variants(seed: str) -> Iterator[Variant]:
    """Yield every file of this set."""
    for number, family in enumerate(FAMILIES):
        yield from family(Maker(f"{seed}:formats:{number}"))
