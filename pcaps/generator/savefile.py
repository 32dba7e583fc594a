"""Capture files as bytes: pcap in its variants, pcapng block by block, ERF, compression around them.

What it does not do: read them.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .truth import Record

__all__ = ["NgFile", "erf_record", "gzipped", "lz4_stored", "pcap", "pcap_record", "snoop", "zstandard_stored"]

MICROSECONDS, NANOSECONDS, MODIFIED = 0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34
SECTION, INTERFACE, OBSOLETE_PACKET, SIMPLE_PACKET, ENHANCED_PACKET = 0x0A0D0D0A, 1, 2, 3, 6
OPTION_RESOLUTION, OPTION_OFFSET = 9, 14


def pcap(
    records: Iterable[Record],
    link_type: int,
    *,
    byte_order: str = "<",
    magic: int = MICROSECONDS,
    snaplen: int = 262144,
) -> bytes:
    """Return a pcap file; `magic` chooses the resolution of its timestamps and Kuznetzov's longer record header."""
    header = struct.pack(byte_order + "IHHiIII", magic, 2, 4, 0, 0, snaplen, link_type)
    return header + b"".join(pcap_record(record, byte_order, magic) for record in records)


def pcap_record(
    record: Record, byte_order: str = "<", magic: int = MICROSECONDS, *, claimed_len: int | None = None, checksum: bytes = b""
) -> bytes:
    """Return a record; `claimed_len` replaces its captured length in the header, `checksum` is captured behind the frame."""
    seconds, fraction = divmod(record.ts_ns or 0, 10**9)
    cap_len = len(record.data) + len(checksum) if claimed_len is None else claimed_len
    fraction = fraction if magic == NANOSECONDS else fraction // 1000
    header = struct.pack(byte_order + "IIII", seconds, fraction, cap_len, record.wire_len + len(checksum))
    if magic == MODIFIED:
        header += struct.pack(byte_order + "IHBB", 2, 0x0800, 0, 0)
    return header + record.data + checksum


def longer_pcap(records: Iterable[Record], extra: int, magic: int = MICROSECONDS) -> bytes:
    """Return a pcap file of Ethernet whose records' headers are `extra` bytes longer than usual, which no magic number tells."""
    file = pcap([], 1, magic=magic)
    for record in records:
        header = pcap_record(record)[:16] + struct.pack("<IHBBI", 2, 0x0800, 0, 0, 0xC5D89600)[:extra]
        file += header + record.data
    return file


def erf_record(record: Record, kind: int, header: bytes = b"", *, checksum: bytes = b"", lost: int = 0) -> bytes:
    """Return a record of Endace's ERF; `header`: of its type, before the frame, whose `checksum` is behind it."""
    seconds, nanos = divmod(record.ts_ns or 0, 10**9)
    body = header + record.data + checksum
    body += bytes(-len(body) % 8)
    times = struct.pack("<II", -(-(nanos << 32) // 10**9), seconds)
    return times + struct.pack(">BBHHH", kind, 4, 16 + len(body), lost, record.wire_len + len(checksum)) + body


def snoop(records: Iterable[Record], data_link: int = 4) -> bytes:
    """Return a file of Solaris' snoop (RFC 1761); data link 4 is Ethernet."""
    return struct.pack(">8sII", b"snoop", 2, data_link) + b"".join(snoop_record(record) for record in records)


def snoop_record(record: Record) -> bytes:
    """Return a record, filled up to a multiple of 4."""
    seconds, fraction = divmod(record.ts_ns or 0, 10**9)
    body = padded(record.data)
    return struct.pack(">IIIIII", record.wire_len, len(record.data), 24 + len(body), 0, seconds, fraction // 1000) + body


class NgFile:
    """A pcapng file (draft-ietf-opsawg-pcapng) that grows block by block; a new section may change the byte order."""

    def __init__(self, byte_order: str = "<", *, section_len: int = -1) -> None:
        self.data = b""
        self.section(byte_order, section_len)

    def section(self, byte_order: str, section_len: int = -1) -> NgFile:
        """Begin a section; its interfaces are numbered from 0 again."""
        self.byte_order = byte_order
        body = self.packed("IHHq", 0x1A2B3C4D, 1, 0, section_len)
        return self.block(SECTION, body + self.options((2, b"made by hand"), (4, b"generate.py")))

    def interface(
        self, link_type: int, snaplen: int = 0, *, resolution: int | None = None, offset_s: int | None = None
    ) -> NgFile:
        """Describe an interface; `resolution` is the option's byte (6 without it), `offset_s` is added to its timestamps."""
        options = [(2, b"eth0")]
        if resolution is not None:
            options.append((OPTION_RESOLUTION, bytes([resolution])))
        if offset_s:
            options.append((OPTION_OFFSET, self.packed("q", offset_s)))
        return self.block(INTERFACE, self.packed("HHI", link_type, 0, snaplen) + self.options(*options))

    def enhanced(self, record: Record, ticks: int | None = None, interface: int = 0, *, claimed_len: int | None = None) -> NgFile:
        """Add an enhanced packet block; `ticks` is its time in the interface's units, microseconds by default."""
        ticks = (record.ts_ns or 0) // 1000 if ticks is None else ticks
        cap_len = len(record.data) if claimed_len is None else claimed_len
        header = self.packed("IIIII", interface, ticks >> 32, ticks & 0xFFFFFFFF, cap_len, record.wire_len)
        return self.block(
            ENHANCED_PACKET, header + padded(record.data) + self.options((1, b"a comment"), (2, self.packed("I", 1)))
        )

    def enhanced_all(self, records: Iterable[Record], interface: int = 0) -> NgFile:
        """Add an enhanced packet block for each record."""
        for record in records:
            self.enhanced(record, interface=interface)
        return self

    def obsolete(self, record: Record, interface: int = 0) -> NgFile:
        """Add a packet block of the format's first drafts, its time in microseconds."""
        ticks = (record.ts_ns or 0) // 1000
        lengths = (len(record.data), record.wire_len)
        header = self.packed("HHIIII", interface, 0xFFFF, ticks >> 32, ticks & 0xFFFFFFFF, *lengths)
        return self.block(OBSOLETE_PACKET, header + padded(record.data))

    def simple(self, record: Record) -> NgFile:
        """Add a simple packet block: of the section's first interface, cut at its snaplen, without a time."""
        return self.block(SIMPLE_PACKET, self.packed("I", record.wire_len) + padded(record.data))

    def block(self, kind: int, body: bytes, *, claimed_len: int | None = None, trailing_len: int | None = None) -> NgFile:
        """Add a block of any kind; either of its two lengths can be made to lie."""
        length = 12 + len(body)
        leading = length if claimed_len is None else claimed_len
        trailing = length if trailing_len is None else trailing_len
        self.data += self.packed("II", kind, leading) + body + self.packed("I", trailing)
        return self

    def options(self, *options: tuple[int, bytes]) -> bytes:
        """Return options and the end-of-options one."""
        return b"".join(self.packed("HH", code, len(value)) + padded(value) for code, value in options) + bytes(4)

    def packed(self, layout: str, *values: int) -> bytes:
        """Return numbers in the section's byte order."""
        return struct.pack(self.byte_order + layout, *values)


def padded(data: bytes) -> bytes:
    """Return bytes filled up to a multiple of 4."""
    return data + bytes(-len(data) % 4)


def gzipped(*parts: bytes) -> bytes:
    """Return a gzip file with one member for each part."""
    members = []
    for part in parts:
        deflate = zlib.compressobj(9, zlib.DEFLATED, 31)
        members.append(deflate.compress(part) + deflate.flush())
    return b"".join(members)


def zstandard_stored(*parts: bytes) -> bytes:
    """Return a Zstandard file with one frame for each part, in raw blocks (RFC 8878): no library needed to write it."""
    return b"".join(zstandard_frame(part) for part in parts)


def lz4_stored(data: bytes) -> bytes:
    """Return an lz4 frame of stored blocks of up to 64 KiB, without checksums."""
    chunks = [data[start : start + 0x10000] for start in range(0, len(data), 0x10000)]
    blocks = [struct.pack("<I", 1 << 31 | len(chunk)) + chunk for chunk in chunks]
    return b"\x04\x22\x4d\x18\x60\x40\x82" + b"".join(blocks) + bytes(4)


def zstandard_frame(data: bytes) -> bytes:
    """Return a frame with a single segment, its content size in 4 bytes, and blocks of 64 KiB."""
    chunks = [data[start : start + 0x10000] for start in range(0, len(data), 0x10000)] or [b""]
    blocks = [
        struct.pack("<I", len(chunk) << 3 | (n == len(chunks) - 1))[:3] + chunk  # last-block flag, type 0 (raw), size
        for n, chunk in enumerate(chunks)
    ]
    return struct.pack("<IBI", 0xFD2FB528, 0xA0, len(data)) + b"".join(blocks)
