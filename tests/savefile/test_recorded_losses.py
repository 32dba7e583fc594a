"""What a capture file says that its own capture lost: beside the totals, once, and by where it was lost."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import builders as b
import pytest

from fastmon.capture import open_offline
from fastmon.library import analyze
from fastmon.model.snapshot import Dropped

from .reading import FRAMES, T0, read_file, snoop_file

if TYPE_CHECKING:
    from pathlib import Path


def statistics(interface: int, byte_order: str = "<", **lost: int) -> bytes:
    """Return an interface statistics block's body; `received`, `dropped`, `accepted`, `system`, `delivered`."""
    codes = {"received": 4, "dropped": 5, "accepted": 6, "system": 7, "delivered": 8}
    options = b"".join(struct.pack(byte_order + "HHQ", codes[name], 8, value) for name, value in lost.items())
    return struct.pack(byte_order + "III", interface, 0, 0) + options + bytes(4)


def drop_count(n: int, byte_order: str = "<") -> bytes:
    return struct.pack(byte_order + "HHQ", 4, 8, n) + bytes(4)


def lost_in(path: Path, engine: str = "native") -> Dropped:
    with open_offline(str(path)) as source:
        while not source.exhausted:
            source.read(1)
        from_reading = source.dropped()
    summary = analyze(str(path), engine=engine)
    assert summary.dropped == from_reading
    return summary.dropped


@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_every_kind_apart(byte_order: str, engine: str, tmp_path: Path) -> None:
    file = b.PcapngFile(byte_order)
    file.interface()
    file.packet(FRAMES[0], options=drop_count(7, byte_order))
    file.packet(FRAMES[1], flags=1, options=drop_count(2, byte_order))
    file.block(5, statistics(0, byte_order, received=400, dropped=321, accepted=79, system=55, delivered=24))
    (tmp_path / "x").write_bytes(bytes(file))
    assert lost_in(tmp_path / "x", engine) == Dropped(file_interface=321, file_system=55, file_frames=9)


def test_last_statistics_of_each_interface_count(tmp_path: Path) -> None:
    file = b.PcapngFile()
    file.interface()
    file.interface()
    for interface, dropped in ((0, 10), (1, 5), (0, 30), (1, 6), (0, 30)):
        file.block(5, statistics(interface, dropped=dropped, system=2 * dropped))
    file.section(">")
    file.interface()
    file.block(5, statistics(0, ">", dropped=100))
    (tmp_path / "x").write_bytes(bytes(file))
    assert lost_in(tmp_path / "x") == Dropped(file_interface=136, file_system=72)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        bytes(11),
        statistics(9, dropped=5),
        struct.pack("<IIIHHI", 0, 0, 0, 5, 4, 99),
        struct.pack("<IIIHH", 0, 0, 0, 5, 8),
        struct.pack("<IIIHHQ", 0, 0, 0, 0, 0, 0) + statistics(0, dropped=5)[12:],
        struct.pack("<IIIHHQ", 0, 0, 0, 9, 0xFFFF, 0),
    ],
    ids=["empty", "short", "of no interface", "of 4 bytes", "cut", "behind the end", "too long"],
)
def test_statistics_that_make_no_sense_are_none(body: bytes, tmp_path: Path) -> None:
    file = b.PcapngFile()
    file.packet(FRAMES[0], file.interface())
    file.block(5, body)
    file.packet(FRAMES[1])
    (tmp_path / "x").write_bytes(bytes(file))
    assert lost_in(tmp_path / "x") == Dropped()
    assert read_file(tmp_path / "x") == (FRAMES[:2], None)


def test_obsolete_packets_count_what_was_lost_before_them(tmp_path: Path) -> None:
    file = b.PcapngFile()
    file.interface()
    for n_lost in (3, 0xFFFF, 4):  # 65535: not known
        lengths = (len(FRAMES[0].data), FRAMES[0].wire_len)
        body = struct.pack("<HHIIII", 0, n_lost, 0, 0, *lengths)
        file.block(2, body + FRAMES[0].data)
    (tmp_path / "x").write_bytes(bytes(file))
    assert lost_in(tmp_path / "x") == Dropped(file_frames=7)


def test_snoop_counts_from_its_beginning(tmp_path: Path) -> None:
    file = bytearray(snoop_file([replace(FRAMES[0], ts_ns=T0 + n) for n in range(3)]))
    length = (len(file) - 16) // 3
    for n, drops in enumerate((2, 2, 9)):
        file[16 + n * length + 12 : 16 + n * length + 16] = struct.pack(">I", drops)
    (tmp_path / "x").write_bytes(bytes(file))
    assert lost_in(tmp_path / "x") == Dropped(file_frames=9)


def test_erf_counts_before_each_record(tmp_path: Path) -> None:
    records = [
        b.erf(2, FRAMES[0].data, ts_ns=T0, lost=5),
        b.erf(11, FRAMES[0].data, ts_ns=T0, lost=1000),
        b.erf(22, b"", ts_ns=T0),
    ]
    (tmp_path / "x").write_bytes(b"".join(records))
    assert lost_in(tmp_path / "x") == Dropped(file_frames=5)  # the second has a colour there


def test_losses_of_several_files_add_up(tmp_path: Path) -> None:
    for name in "ab":
        file = b.PcapngFile()
        file.packet(FRAMES[0], file.interface(), options=drop_count(7))
        file.block(5, statistics(0, dropped=3))
        (tmp_path / name).write_bytes(bytes(file))
    assert analyze(str(tmp_path / "a"), str(tmp_path / "b")).dropped == Dropped(file_interface=6, file_frames=14)


def test_filtered_frames_have_been_lost_all_the_same(tmp_path: Path) -> None:
    file = b.PcapngFile()
    file.packet(FRAMES[0], file.interface(), options=drop_count(7))
    file.packet(FRAMES[2], options=drop_count(8))
    (tmp_path / "x").write_bytes(bytes(file))
    assert analyze(str(tmp_path / "x"), filter="ip").dropped == Dropped(file_frames=15)
