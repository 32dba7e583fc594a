"""Damaged files: what was whole before the damage is accounted, and the error says what is wrong."""

from __future__ import annotations

import re
import struct
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import builders as b
import pytest

import fastmon
from fastmon.errors import CaptureError, TruncatedCaptureError, UnsupportedLinkTypeError

from .reading import FRAMES, PACKET, pcapng_file, read_file, snoop_file

if TYPE_CHECKING:
    from collections.abc import Sequence

GOOD = FRAMES[:2]
PCAP, PCAPNG, SNOOP = b.pcap_file(GOOD), pcapng_file(GOOD), snoop_file(GOOD)
SOURCE = Path(__file__).parents[2] / "src" / "fastmon" / "native" / "files" / "savefile.pxd"
TOO_LONG = "at most 262144 are allowed"
AFTER_GOOD = f" (after {len(GOOD)} records)"


class Case(NamedTuple):
    """A damaged file; `fault`: its name in `native/files/savefile.pxd`."""

    fault: str
    file: bytes
    text: str
    n_frames: int = 0


def after_good(fault: str, block: bytes, text: str) -> Case:
    """Return a case of a damaged block after two good packets."""
    return Case(fault, PCAPNG + block, text + AFTER_GOOD, len(GOOD))


def block(block_type: int, body: bytes, *, length: int | None = None, behind: int | None = None, byte_order: str = "<") -> bytes:
    """Return a block that may lie about its length, in front and behind."""
    in_front = 12 + len(body) if length is None else length
    behind = in_front if behind is None else behind
    return struct.pack(byte_order + "II", block_type, in_front) + body + struct.pack(byte_order + "I", behind)


def packet(cap_len: int, *, interface: int = 0, room: int = 60) -> bytes:
    """Return an enhanced packet block that claims `cap_len` bytes and has room for `room`."""
    return block(6, struct.pack("<IIIII", interface, 0, 0, cap_len, 60) + bytes(room))


def interface(options: bytes) -> bytes:
    return block(1, struct.pack("<HHI", 1, 0, 0) + options)


def snoop_record(cap_len: int, length: int) -> bytes:
    return struct.pack(">IIIIII", 60, cap_len, length, 0, 0, 0) + bytes(100)


def pcap_header(major: int, minor: int, link_field: int = 1) -> bytes:
    return struct.pack("<IHHiIII", 0xA1B2C3D4, major, minor, 0, 0, 65535, link_field)


SECTION_BODY = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
NO_MAGIC = "which is no pcap, pcapng or snoop magic number"
BLOCK_BOUNDS = "at least its header and at most 16777216 are allowed"

CASES = {
    "text": Case(
        "FAULT_MAGIC",
        b"hello, world\n",
        f"not a capture file: it begins with 0x68656c6c, {NO_MAGIC}",
    ),
    "snoop's first half": Case(
        "FAULT_MAGIC",
        b"snooze".ljust(16),
        f"not a capture file: it begins with 0x736e6f6f, {NO_MAGIC}",
    ),
    "first section's byte order": Case(
        "FAULT_BYTE_ORDER",
        block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4E, 1, 0, -1)),
        "a section's byte-order magic number is 0x1a2b3c4e, and should be 0x1a2b3c4d (after 0 records)",
    ),
    "later section's byte order": after_good(
        "FAULT_BYTE_ORDER",
        block(0x0A0D0D0A, bytes(16)),
        "a section's byte-order magic number is 0x00000000, and should be 0x1a2b3c4d",
    ),
    "pcap version 1": Case("FAULT_VERSION", pcap_header(1, 4), "format version 1.4 is not supported"),
    "pcap version 3": Case("FAULT_VERSION", pcap_header(3, 0), "format version 3.0 is not supported"),
    "pcap version 543.1": Case("FAULT_VERSION", pcap_header(543, 1), "format version 543.1 is not supported"),
    "snoop version": Case("FAULT_VERSION", snoop_file([], version=1), "format version 1.0 is not supported"),
    "pcapng version": after_good(
        "FAULT_VERSION", block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 2, 1, -1)), "format version 2.1 is not supported"
    ),
    "reserved bits": Case(
        "FAULT_RESERVED", pcap_header(2, 4, 0x00010001), "reserved bits of the link-type field 0x00010001 are set"
    ),
    "link type of a file behind another": Case(
        "FAULT_LINK_TYPE",
        PCAP + b.pcap_file(GOOD, link_type=147),
        f"another capture file begins here, whose link type 147 is not supported{AFTER_GOOD}",
        len(GOOD),
    ),
    "snoop link type": Case("FAULT_SNOOP_LINK", snoop_file([], link_type=3), "snoop link type 3 is not supported"),
    "pcap captured length": Case(
        "FAULT_CAP_LEN",
        PCAP + struct.pack("<IIII", 0, 0, 262145, 60) + bytes(300_000),
        f"a record claims 262145 captured bytes; {TOO_LONG}{AFTER_GOOD}",
        len(GOOD),
    ),
    "pcap captured length of all ones": Case(
        "FAULT_CAP_LEN",
        PCAP + struct.pack("<IIII", 0, 0, 2**32 - 1, 2**32 - 1),
        f"a record claims 4294967295 captured bytes; {TOO_LONG}{AFTER_GOOD}",
        len(GOOD),
    ),
    "snoop captured length": Case(
        "FAULT_CAP_LEN",
        SNOOP + snoop_record(2**32 - 24, 0),
        f"a record claims 4294967272 captured bytes; {TOO_LONG}{AFTER_GOOD}",
        len(GOOD),
    ),
    "pcapng captured length": after_good(
        "FAULT_CAP_LEN", packet(262145, room=262148), f"a record claims 262145 captured bytes; {TOO_LONG}"
    ),
    "packet longer than its block": after_good(
        "FAULT_ROOM", packet(61, room=60), "a record claims 61 captured bytes; its block holds 60"
    ),
    "packet without room": after_good("FAULT_ROOM", packet(1, room=0), "a record claims 1 captured bytes; its block holds 0"),
    "simple packet longer than its block": after_good(
        "FAULT_ROOM", block(3, struct.pack("<I", 9) + bytes(8)), "a record claims 9 captured bytes; its block holds 8"
    ),
    "block of no length": after_good(
        "FAULT_BLOCK_LENGTH", block(6, b"", length=0), f"a block of type 0x00000006 claims a length of 0 bytes; {BLOCK_BOUNDS}"
    ),
    "unknown block below its header": after_good(
        "FAULT_BLOCK_LENGTH",
        block(0x0BAD, b"", length=11),
        f"a block of type 0x00000bad claims a length of 11 bytes; {BLOCK_BOUNDS}",
    ),
    "known block over the limit": after_good(
        "FAULT_BLOCK_LENGTH",
        block(6, b"", length=(1 << 24) + 4),
        f"a block of type 0x00000006 claims a length of 16777220 bytes; {BLOCK_BOUNDS}",
    ),
    "section below its header": Case(
        "FAULT_BLOCK_LENGTH",
        block(0x0A0D0D0A, SECTION_BODY, length=24),
        f"a block of type 0x0a0d0d0a claims a length of 24 bytes; {BLOCK_BOUNDS} (after 0 records)",
    ),
    "interface below its header": after_good(
        "FAULT_BLOCK_LENGTH", block(1, bytes(4)), f"a block of type 0x00000001 claims a length of 16 bytes; {BLOCK_BOUNDS}"
    ),
    "packet below its header": after_good(
        "FAULT_BLOCK_LENGTH", block(6, bytes(16)), f"a block of type 0x00000006 claims a length of 28 bytes; {BLOCK_BOUNDS}"
    ),
    "obsolete packet below its header": after_good(
        "FAULT_BLOCK_LENGTH", block(2, bytes(16)), f"a block of type 0x00000002 claims a length of 28 bytes; {BLOCK_BOUNDS}"
    ),
    "simple packet below its header": after_good(
        "FAULT_BLOCK_LENGTH", block(3, b""), f"a block of type 0x00000003 claims a length of 12 bytes; {BLOCK_BOUNDS}"
    ),
    "snoop record shorter than its frame": Case(
        "FAULT_RECORD_LENGTH",
        SNOOP + snoop_record(60, 83),
        f"a record claims a length of 83 bytes; at least 84 and at most 16777216 are allowed{AFTER_GOOD}",
        len(GOOD),
    ),
    "snoop record over the limit": Case(
        "FAULT_RECORD_LENGTH",
        SNOOP + snoop_record(60, 2**32 - 1),
        f"a record claims a length of 4294967295 bytes; at least 84 and at most 16777216 are allowed{AFTER_GOOD}",
        len(GOOD),
    ),
    "block's two lengths": after_good(
        "FAULT_TRAILER", block(6, bytes(24), behind=32), "a block's two lengths differ: 36 in front, 32 behind"
    ),
    "second interface": after_good("FAULT_INTERFACE", packet(60, interface=1), "a packet names interface 1, but 1 are described"),
    "interface of all ones": after_good(
        "FAULT_INTERFACE", packet(60, interface=2**32 - 1), "a packet names interface 4294967295, but 1 are described"
    ),
    "interface of another section": after_good(
        "FAULT_INTERFACE", block(0x0A0D0D0A, SECTION_BODY) + packet(60), "a packet names interface 0, but 0 are described"
    ),
    "simple packet without interface": Case(
        "FAULT_INTERFACE",
        block(0x0A0D0D0A, SECTION_BODY) + block(3, struct.pack("<I", 4) + bytes(4)),
        "a packet names interface 0, but 0 are described (after 0 records)",
    ),
    "decimal resolution": after_good(
        "FAULT_RESOLUTION", interface(struct.pack("<HHI", 9, 1, 20)), "timestamp resolution 0x14 is not supported"
    ),
    "binary resolution": after_good(
        "FAULT_RESOLUTION", interface(struct.pack("<HHI", 9, 1, 0x80 | 64)), "timestamp resolution 0xc0 is not supported"
    ),
    "option longer than its block": after_good(
        "FAULT_OPTION", interface(struct.pack("<HHI", 2, 5, 0)), "an option claims 5 bytes, but its block has 4 left"
    ),
    "too many interfaces": after_good("FAULT_MEMORY", interface(b"") * (1 << 16), "too many interfaces"),
    "cut": Case("FAULT_CUT", PCAP[:-1], "the file ends in the middle of a record, after 1 records", 1),
}


@pytest.mark.parametrize("name", CASES)
def test_damage_is_told_and_what_came_before_is_accounted(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    (tmp_path / "x").write_bytes(case.file)
    frames, error = read_file(tmp_path / "x")
    assert frames == GOOD[: case.n_frames]
    assert str(error) == f"{tmp_path / 'x'}: {case.text}"
    kinds = {"FAULT_CUT": TruncatedCaptureError, "FAULT_LINK_TYPE": UnsupportedLinkTypeError}
    assert type(error) is kinds.get(case.fault, CaptureError)


def test_every_fault_has_a_case() -> None:
    faults = set(re.findall(r"^    (FAULT_\w+)", SOURCE.read_text(), re.MULTILINE))
    # test_mapping.py: no file has the one, but what is done to it; test_concatenated.py: an ERF file begins with ERF's records
    elsewhere = {"FAULT_SHRUNK", "FAULT_ERF_TYPE"}
    assert faults - {"FAULT_NONE"} - elsewhere == {case.fault for case in CASES.values()}


def test_as_many_interfaces_as_are_allowed(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(PCAPNG + interface(b"") * ((1 << 16) - 1) + packet(60, interface=(1 << 16) - 1))
    assert len(read_file(tmp_path / "x").frames) == len(GOOD) + 1


def pieces(name: str) -> Sequence[bytes]:
    """Return a file in pieces: its header, each record or block."""
    if name == "pcapng":
        file, blocks = PCAPNG + block(0x0BAD, bytes(8)), []
        while file:
            length = struct.unpack_from("<I", file, 4)[0]
            blocks.append(file[:length])
            file = file[length:]
        return blocks
    build = b.pcap_file if name == "pcap" else snoop_file
    header = build([])
    return [header, *(build([frame])[len(header) :] for frame in GOOD)]


@pytest.mark.parametrize("name", ["pcap", "pcapng", "snoop"])
def test_cut_anywhere(name: str, tmp_path: Path) -> None:
    parts = pieces(name)
    file, ends = b"".join(parts), list(accumulate(map(len, parts)))
    for end in range(len(file) + 1):
        (tmp_path / "x").write_bytes(file[:end])
        frames, error = read_file(tmp_path / "x")
        n_whole = sum(at <= end for at in ends)
        n_frames = n_whole - 1 if name != "pcapng" else min(max(n_whole - 2, 0), len(GOOD))
        assert frames == GOOD[: max(n_frames, 0)]
        if end == 0:
            assert str(error) == f"{tmp_path / 'x'}: the file is empty"
        elif end in ends:
            assert error is None
        else:
            assert type(error) is TruncatedCaptureError
            place = "middle of its header" if end < (4 if name == "pcapng" else ends[0]) else "middle of a record, after "
            assert f"the file ends in the {place}" in str(error)


def test_huge_record_that_is_not_there_takes_no_memory(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(PCAPNG + struct.pack("<II", 0x0BAD, 2**32 - 1) + bytes(100))
    frames, error = read_file(tmp_path / "x")
    assert frames == GOOD
    assert type(error) is TruncatedCaptureError


def test_error_comes_again_when_one_goes_on(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(PCAP[:-1])
    with fastmon.open_offline(str(tmp_path / "x")) as source:
        assert len(source.read(10)) == 1
        for _ in range(3):
            with pytest.raises(TruncatedCaptureError):
                source.read(10)
            with pytest.raises(TruncatedCaptureError):
                fastmon.make_accountant().drain(source, 10)
            assert source.exhausted
            assert source.next_ts_ns is None


def test_packet_that_ends_with_its_block_is_whole(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(PCAPNG + packet(len(PACKET), room=len(PACKET) + -len(PACKET) % 4))
    assert len(read_file(tmp_path / "x").frames) == len(GOOD) + 1
