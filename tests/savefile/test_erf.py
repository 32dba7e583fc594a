"""ERF files, which have no magic number, and ERF records in other files: what was on the wire counts."""

from __future__ import annotations

import random
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import builders as b
import pytest
from replays import replay

from fastmon.accounting import make_accountant
from fastmon.errors import CaptureError, TruncatedCaptureError
from fastmon.model.frames import Frame
from fastmon.model.snapshot import Count
from fastmon.native.readers import SavefileReader

from .reading import PACKET, T0, read_file

if TYPE_CHECKING:
    from pathlib import Path

ERF = 197
IP_PACKET = PACKET[14:]
RECORDS = [
    b.erf(2, PACKET + b"FCS!", ts_ns=T0),
    b.erf(2, PACKET[:40], ts_ns=T0 + 500, wire_len=1518),
    b.erf(1, b"\x0f\0\x08\0" + IP_PACKET, ts_ns=T0 + 1_000_000_000, extensions=3),
    b.erf(22, IP_PACKET, ts_ns=T0 + 999_999_999),
    b.erf(24, bytes(40), ts_ns=T0 + 2_000_000_000),
    b.erf(27, bytes(24), ts_ns=T0 + 2_000_000_000),
]
WIRE_LENGTHS = [len(PACKET), 1514, 4 + len(IP_PACKET), len(IP_PACKET), 40, 24]
TIMES = [T0, T0 + 500, T0 + 1_000_000_000, T0 + 999_999_999, T0 + 2_000_000_000, T0 + 2_000_000_000]
PAD = b.erf(48, bytes(16))


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_what_was_on_the_wire_counts(engine: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"".join(RECORDS))
    summary, error = replay(tmp_path / "x", make_accountant(engine))
    assert error is None
    assert summary.counters.frames == Count(6, sum(WIRE_LENGTHS))
    assert summary.counters.ip == Count(4, sum(WIRE_LENGTHS[:4]))
    assert summary.counters.non_ip == Count(2, 64)


def test_frames_are_the_records_without_what_fills_them_up(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"".join(RECORDS))
    frames, error = read_file(tmp_path / "x")
    assert error is None
    assert [(frame.ts_ns, frame.wire_len, frame.link_type) for frame in frames] == [
        (ts_ns, wire_len, ERF) for ts_ns, wire_len in zip(TIMES, WIRE_LENGTHS, strict=True)
    ]
    assert frames[0].data == RECORDS[0][: 18 + len(PACKET)]  # nor the checksum
    assert frames[1].data == RECORDS[1][:64]  # all that was captured


def test_padding_between_records_is_none(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(RECORDS[0] + PAD + PAD + b"".join(RECORDS[1:]) + PAD)
    frames, error = read_file(tmp_path / "x")
    assert ([frame.wire_len for frame in frames], error) == (WIRE_LENGTHS, None)


@pytest.mark.parametrize("byte_order", ["<", ">"])
@pytest.mark.parametrize("pcapng", [False, True])
def test_records_in_other_files_count_alike(pcapng: bool, byte_order: str, tmp_path: Path) -> None:
    frames = [Frame(ts_ns // 1000 * 1000, len(record), ERF, record) for ts_ns, record in zip(TIMES, RECORDS, strict=True)]
    if pcapng:
        file = b.PcapngFile(byte_order)
        file.interface(ERF)
        for frame in frames:
            file.packet(frame)
        (tmp_path / "x").write_bytes(bytes(file))
    else:
        (tmp_path / "x").write_bytes(b.pcap_file(frames, link_type=ERF, byte_order=byte_order))
    (tmp_path / "y").write_bytes(b"".join(RECORDS))
    ours, error = read_file(tmp_path / "x")
    assert error is None
    theirs = read_file(tmp_path / "y").frames
    assert ours == [replace(frame, ts_ns=ts_ns // 1000 * 1000) for frame, ts_ns in zip(theirs, TIMES, strict=True)]


def test_record_in_another_file_cut_in_its_headers(tmp_path: Path) -> None:
    cut = Frame(T0, 900, ERF, RECORDS[0][:15])
    (tmp_path / "x").write_bytes(b.pcap_file([cut], link_type=ERF))
    assert read_file(tmp_path / "x") == ([cut], None)


@pytest.mark.parametrize("n_records", [1, 2, 3, 6])
def test_any_number_of_records_is_a_file(n_records: int, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"".join(RECORDS[:n_records]))
    assert len(read_file(tmp_path / "x").frames) == n_records


@pytest.mark.parametrize("n_left", [1, 15, 16, 30])
def test_cut_in_a_later_record(n_left: int, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(RECORDS[0] + RECORDS[1][:n_left])
    frames, error = read_file(tmp_path / "x")
    assert len(frames) == 1
    assert type(error) is TruncatedCaptureError


def test_record_shorter_than_its_header(tmp_path: Path) -> None:
    damaged = bytearray(RECORDS[0])
    damaged[10:12] = b"\0\x0f"
    (tmp_path / "x").write_bytes(b"".join(RECORDS) + damaged)
    frames, error = read_file(tmp_path / "x")
    assert len(frames) == 6
    assert "a record claims a length of 15 bytes; at least 16" in str(error)


def changed(record: bytes, at: int, value: bytes) -> bytes:
    return record[:at] + value + record[at + len(value) :]


@pytest.mark.parametrize(
    "file",
    [
        changed(RECORDS[0], 8, b"\x00"),
        changed(RECORDS[0], 8, b"\x1f"),
        changed(RECORDS[0], 10, b"\0\x0f"),
        changed(RECORDS[0], 4, struct.pack("<I", 631_151_999)),
        RECORDS[0] + changed(RECORDS[1], 4, struct.pack("<I", T0 // 10**9 - 2)),
        RECORDS[0] + changed(RECORDS[1], 4, struct.pack("<I", T0 // 10**9 + 400 * 86400)),
        RECORDS[0] + RECORDS[1] + bytes(16),
        PAD + RECORDS[0],
    ],
    ids=["no type", "no such type", "too short", "of 1989", "time back", "a year on", "zeros", "padding first"],
)
def test_what_is_no_erf_file(file: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(file + bytes(100))
    frames, error = read_file(tmp_path / "x")
    assert frames == []
    assert "not a capture file: it begins with 0x" in str(error)


def test_random_bytes_are_no_erf_file(tmp_path: Path) -> None:
    generator = random.Random(1)
    for _ in range(300):
        (tmp_path / "x").write_bytes(generator.randbytes(200_000))
        with (tmp_path / "x").open("rb") as file, pytest.raises(CaptureError, match="not a capture file"):
            SavefileReader(file, "x").open()
