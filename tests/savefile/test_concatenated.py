"""A capture file behind another one, as `cat` and `zcat` make them: each has its own format, byte order, clock and link type."""

from __future__ import annotations

import gzip
import io
import os
import struct
import threading
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import builders as b
import pytest
from replays import replay

from fastmon.accounting import make_accountant
from fastmon.capture import open_offline
from fastmon.errors import TruncatedCaptureError, UnsupportedLinkTypeError
from fastmon.model.frames import Frame

from .reading import FRAMES, PACKET, T0, pcapng_file, read_file, read_frames, snoop_file

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "pcap": b.pcap_file(FRAMES),
    "pcap, big-endian": b.pcap_file(FRAMES, byte_order=">"),
    "pcap, nanoseconds": b.pcap_file(FRAMES, nanoseconds=True),
    "pcap, modified": b.pcap_file(FRAMES, modified=True, byte_order=">"),
    "pcap, nanoseconds, big-endian": b.pcap_file(FRAMES, nanoseconds=True, byte_order=">"),
    "pcapng": pcapng_file(FRAMES),
    "pcapng, big-endian": pcapng_file(FRAMES, ">"),
    "snoop": snoop_file(FRAMES),
}


@pytest.mark.parametrize(("first", "second"), list(product(FILES, FILES)))
def test_any_format_behind_any_other(first: str, second: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(FILES[first] + FILES[second])
    assert read_file(tmp_path / "x") == (FRAMES + FRAMES, None)


@pytest.mark.parametrize("name", FILES)
def test_headers_without_frames(name: str, tmp_path: Path) -> None:
    empty = b.pcap_file([]) + b.pcap_file([], byte_order=">", nanoseconds=True) + pcapng_file([]) + snoop_file([])
    (tmp_path / "x").write_bytes(empty + FILES[name] + empty)
    assert read_file(tmp_path / "x") == (FRAMES, None)


@pytest.mark.parametrize("zone", [3600, -3600, 12 * 3600, 2**31 - 1])
@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("first", ["pcap", "pcap, big-endian", "pcapng", "snoop"])
def test_header_with_a_time_zone(first: str, byte_order: str, zone: int, tmp_path: Path) -> None:
    second = bytearray(b.pcap_file(FRAMES, byte_order=byte_order))
    second[8:16] = struct.pack(byte_order + "iI", zone, 6)
    (tmp_path / "x").write_bytes(FILES[first] + second)
    assert read_file(tmp_path / "x") == (FRAMES + FRAMES, None)


@pytest.mark.parametrize("name", FILES)
def test_any_format_behind_erf(name: str, tmp_path: Path) -> None:
    """ERF files have no header: one is recognised only at the beginning."""
    (tmp_path / "x").write_bytes(b.erf(2, PACKET, ts_ns=T0) * 5 + FILES[name])
    frames, error = read_file(tmp_path / "x")
    assert error is None
    assert frames[5:] == FRAMES
    assert [frame.link_type for frame in frames[:5]] == [197] * 5


def test_record_of_a_type_that_erf_does_not_have(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b.erf(2, PACKET, ts_ns=T0) * 5 + b.erf(77, PACKET, ts_ns=T0))
    frames, error = read_file(tmp_path / "x")
    assert len(frames) == 5
    assert "type 77, which ERF does not have (after 5 records)" in str(error)


def test_each_has_its_own_link_type(tmp_path: Path) -> None:
    raw = [replace(frame, link_type=101, data=PACKET[14:]) for frame in FRAMES]
    (tmp_path / "x").write_bytes(b.pcap_file(FRAMES) + b.pcap_file(raw, link_type=101) + b.pcap_file(FRAMES))
    assert read_file(tmp_path / "x") == (FRAMES + raw + FRAMES, None)


def test_compressed_members(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"".join(gzip.compress(file) for file in FILES.values()))
    assert read_file(tmp_path / "x") == (FRAMES * len(FILES), None)


def test_pipe_that_breaks_anywhere_in_the_second_header() -> None:
    whole = b.pcap_file(FRAMES[:1]) + b.pcap_file(FRAMES[1:], byte_order=">")
    begin = len(b.pcap_file(FRAMES[:1]))
    for cut in range(begin, begin + 25):
        source, target = os.pipe()

        def write(target: int = target, cut: int = cut) -> None:
            with open(target, "wb", buffering=0) as file:
                file.write(whole[:cut])
                file.write(whole[cut:])

        writer = threading.Thread(target=write)
        writer.start()
        summary, error = replay(f"/dev/fd/{source}", make_accountant())
        writer.join()
        os.close(source)
        assert (summary.counters.frames.frames, error) == (len(FRAMES), None)


def test_cut_in_the_second_header(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b.pcap_file(FRAMES) + b.pcap_file([])[:-1])
    frames, error = read_file(tmp_path / "x")
    assert frames == FRAMES
    assert type(error) is TruncatedCaptureError


@pytest.mark.parametrize("first", FILES)
def test_link_type_that_nobody_knows_ends_the_reading(first: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(FILES[first] + b.pcap_file(FRAMES, link_type=147))
    frames, error = read_file(tmp_path / "x")
    assert frames == FRAMES
    assert type(error) is UnsupportedLinkTypeError
    text = "another capture file begins here, whose link type 147 is not supported (after 5 records)"
    assert str(error) == f"{tmp_path / 'x'}: {text}"


def test_version_that_nobody_knows_is_no_header(tmp_path: Path) -> None:
    """It is read as a record, of 2055."""
    header = bytearray(b.pcap_file([]))
    header[4:6] = b"\x05\0"
    (tmp_path / "x").write_bytes(b.pcap_file(FRAMES[:1]) + header[:16])
    assert [frame.ts_ns // 10**9 for frame in read_file(tmp_path / "x").frames] == [T0 // 10**9, 0xA1B2C3D4]


@pytest.mark.parametrize("ts_s", [0xA1B2C3D4, 0xA1B23C4D, 0xA1B20000, 0x0A0D0D0A, 0xD4C3B2A1])
def test_frame_of_the_time_of_a_magic_number(ts_s: int, tmp_path: Path) -> None:
    frames = [*FRAMES, *(Frame(ts_s * 10**9 + 5000, 60, 1, data) for data in (PACKET, b"")), *FRAMES]
    (tmp_path / "x").write_bytes(b.pcap_file(frames))
    assert read_file(tmp_path / "x") == (frames, None)


def test_filter_holds_in_all_of_them(tmp_path: Path) -> None:
    raw = [replace(frame, link_type=101, data=PACKET[14:]) for frame in FRAMES]
    (tmp_path / "x").write_bytes(b.pcap_file(FRAMES) + b.pcap_file(raw, link_type=101, byte_order=">"))
    frames, error = read_frames(tmp_path / "x", filter="host 10.0.0.1")
    assert error is None
    assert {frame.link_type for frame in frames} == {1, 101}


def test_times_ahead_end_at_another_file(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b.pcap_file(FRAMES[:2]) + b.pcap_file(FRAMES, byte_order=">"))
    with open_offline(str(tmp_path / "x")) as source:
        assert source.times_ahead(5) == [FRAMES[0].ts_ns, FRAMES[1].ts_ns]
        assert len(source.read(10)) == 7


def test_interfaces_of_all_sections_are_warned_of(tmp_path: Path) -> None:
    parts = io.BytesIO()
    for link_type in (147, 189, 148):
        file = b.PcapngFile()
        file.packet(FRAMES[0], file.interface(1))
        file.packet(replace(FRAMES[0], link_type=link_type), file.interface(link_type))
        parts.write(bytes(file))
    (tmp_path / "x").write_bytes(parts.getvalue())
    with open_offline(str(tmp_path / "x")) as source:
        assert len(source.read(100)) == 6
        assert len(source.warnings) == 3
