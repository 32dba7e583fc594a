"""Timestamps: their resolutions and offsets, past the ends of 32-bit seconds, and at the ends of 64-bit nanoseconds."""

from __future__ import annotations

import struct
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING

import builders as b
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from replays import finish, replay
from snapshot_checks import row

from fastmon.accounting import make_accountant
from fastmon.capture import open_offline

from .reading import FRAMES, PACKET, read_file, read_frames, snoop_file

if TYPE_CHECKING:
    from pathlib import Path

LAST_NS = 2**63 - 2
"""The time at which those beyond it are put; the first is as far before 1970."""

SECONDS_PAST_2038, SECONDS_PAST_2106 = 2**31 + 1, 2**32 - 1


def pcapng_at(units: int, resolution: int | None, offset_s: int | None) -> bytes:
    """Return a pcapng file with one packet; `resolution`: the byte of if_tsresol."""
    file = b.PcapngFile()
    file.interface(ts_resolution=resolution, ts_offset_s=offset_s)
    file.block(6, struct.pack("<IIIII", 0, units >> 32, units & 0xFFFFFFFF, len(PACKET), len(PACKET)) + PACKET)
    return bytes(file)


def expected_ns(units: int, resolution: int | None, offset_s: int | None) -> int:
    resolution = 6 if resolution is None else resolution
    ticks_per_s = 2 ** (resolution & 0x7F) if resolution & 0x80 else 10**resolution
    ts_ns = Fraction(units * 10**9, ticks_per_s).__floor__() + (offset_s or 0) * 10**9
    return max(-LAST_NS, min(ts_ns, LAST_NS))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("timestamps") / "x"


RESOLUTIONS = [None, *range(20), *(0x80 | n for n in range(64))]


@settings(max_examples=400, deadline=None)
@given(
    units=st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 2**40)),
    resolution=st.sampled_from(RESOLUTIONS),
    offset_s=st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.integers(-(2**34), 2**34)),
)
@example(units=2**64 - 1, resolution=0, offset_s=2**63 - 1)
@example(units=0, resolution=6, offset_s=-(2**63))
@example(units=LAST_NS, resolution=9, offset_s=None)
@example(units=LAST_NS + 1, resolution=9, offset_s=None)
def test_pcapng_time_is_exact(path: Path, units: int, resolution: int | None, offset_s: int | None) -> None:
    path.write_bytes(pcapng_at(units, resolution, offset_s))
    (frame,) = read_frames(path).frames
    assert frame.ts_ns == expected_ns(units, resolution, offset_s)


@pytest.mark.parametrize("resolution", RESOLUTIONS)
def test_every_resolution_at_a_present_time(resolution: int | None, path: Path) -> None:
    ticks_per_s = 10**6 if resolution is None else 2 ** (resolution & 0x7F) if resolution & 0x80 else 10**resolution
    units = min(1_767_225_600 * ticks_per_s + ticks_per_s // 3, 2**64 - 1)
    path.write_bytes(pcapng_at(units, resolution, None))
    assert read_file(path).frames[0].ts_ns == expected_ns(units, resolution, None)


@pytest.mark.parametrize("option", [(9, b""), (9, b"\3\3"), (14, bytes(7)), (14, bytes(9)), (0x8009, b"\3")], ids=repr)
def test_option_of_another_length_or_code_says_nothing(option: tuple[int, bytes], path: Path) -> None:
    code, value = option
    file = b.PcapngFile()
    file.block(1, struct.pack("<HHIHH", 1, 0, 0, code, len(value)) + value)
    file.block(6, struct.pack("<IIIII", 0, 0, 5, len(PACKET), len(PACKET)) + PACKET)
    path.write_bytes(bytes(file))
    assert read_file(path).frames[0].ts_ns == 5000


@pytest.mark.parametrize("seconds", [0, SECONDS_PAST_2038, SECONDS_PAST_2106])
def test_seconds_are_unsigned(seconds: int, path: Path) -> None:
    frame = replace(FRAMES[0], ts_ns=seconds * 10**9 + 999_999_000)
    for file in (b.pcap_file([frame]), b.pcap_file([frame], nanoseconds=True, byte_order=">"), snoop_file([frame])):
        path.write_bytes(file)
        assert read_file(path).frames == [frame]


def test_pcapng_knows_times_past_2106(path: Path) -> None:
    path.write_bytes(pcapng_at(5_000_000_000_000_000, None, None))
    assert read_file(path).frames[0].ts_ns == 5_000_000_000 * 10**9


def test_fraction_of_more_than_a_second_is_added(path: Path) -> None:
    record = struct.pack("<IIII", 10, 2**32 - 1, 0, 60)
    for nanoseconds in (False, True):
        path.write_bytes(b.pcap_file([], nanoseconds=nanoseconds) + record)
        assert read_file(path).frames[0].ts_ns == 10 * 10**9 + (2**32 - 1) * (1 if nanoseconds else 1000)


def test_frames_at_the_ends_of_time_are_accounted(path: Path) -> None:
    file = b.PcapngFile()
    for offset_s in (2**63 - 1, -(2**63)):
        file.interface(ts_resolution=0, ts_offset_s=offset_s)
    for interface, units in ((0, 2**64 - 1), (1, 0), (0, 0)):
        file.block(6, struct.pack("<IIIII", interface, units >> 32, units & 0xFFFFFFFF, len(PACKET), 60) + PACKET)
    path.write_bytes(bytes(file))
    summary, error = replay(path, make_accountant())
    assert error is None
    seen = row(summary, b.host("10.0.0.1"))
    assert (seen.packets_out, seen.first_seen_ns, seen.last_seen_ns) == (3, -LAST_NS, LAST_NS)


def test_bound_past_the_end_of_time_is_none(path: Path) -> None:
    path.write_bytes(pcapng_at(2**64 - 1, 0, None))
    for bound_ns in (2**63 - 1, 2**63, 2**70, None):
        target = make_accountant()
        with open_offline(str(path)) as source, open_offline(str(path)) as other:
            assert target.drain(source, 10, bound_ns) == 1
            assert len(other.read(10, bound_ns)) == 1
        assert finish(target).counters.ip.frames == 1
