"""Looking at the times of the next frames, without reading them."""

from __future__ import annotations

import random
import struct
from functools import partial
from typing import TYPE_CHECKING, Any

import builders as b
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fastmon
from fastmon.capture import open_offline
from fastmon.errors import CaptureError
from fastmon.model.frames import Frame
from fastmon.native.readers import SavefileReader

from .reading import PACKET, T0, pcapng_file, snoop_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

S = 1_000_000_000
BUILDERS: dict[str, Callable[[list[Frame]], bytes]] = {"pcap": b.pcap_file, "pcapng": pcapng_file, "snoop": snoop_file}


def frames_at(*seconds: int, length: int = len(PACKET)) -> list[Frame]:
    return [Frame(T0 + second * S, length, 1, (PACKET + bytes(length))[:length]) for second in seconds]


@pytest.mark.parametrize("kind", BUILDERS)
def test_nothing_is_read(kind: str, tmp_path: Path) -> None:
    frames = frames_at(5, 3, 9, 1)
    (tmp_path / "x").write_bytes(BUILDERS[kind](frames))
    with open_offline(str(tmp_path / "x")) as capture:
        times = [frame.ts_ns for frame in frames]
        for n in range(4):
            assert [capture.times_ahead(k) for k in range(6)] == [times[n : n + k] for k in range(6)]
            assert capture.next_ts_ns == times[n]
            assert capture.read(1) == [frames[n]]
        assert capture.times_ahead(2) == []
    assert capture.times_ahead(2) == []


@pytest.mark.parametrize("kind", BUILDERS)
def test_frames_beyond_the_buffer_are_fetched(kind: str, tmp_path: Path) -> None:
    numbers = random.Random(3)
    frames = [
        Frame(T0 + n * S, length, 1, numbers.randbytes(length))
        for n, length in enumerate(numbers.choice([60, 1500, 70_000, 262_144]) for _ in range(40))
    ]
    (tmp_path / "x").write_bytes(BUILDERS[kind](frames))
    with open_offline(str(tmp_path / "x")) as capture:
        assert capture.times_ahead(100) == [frame.ts_ns for frame in frames]
        assert capture.read(100) == frames


def test_what_is_no_packet_ends_the_look(tmp_path: Path) -> None:
    """A description of an interface would have to be taken in."""
    file = b.PcapngFile()
    file.interface()
    first, second, third = frames_at(0, 1, 2)
    file.packet(first)
    file.packet(second)
    file.section(">")
    file.interface()
    file.interface()
    file.packet(third)
    (tmp_path / "x").write_bytes(bytes(file))
    with open_offline(str(tmp_path / "x")) as capture:
        assert capture.times_ahead(5) == [first.ts_ns, second.ts_ns]
        assert capture.read(2) == [first, second]
        assert capture.times_ahead(5) == []
        assert capture.next_ts_ns == third.ts_ns
        assert capture.times_ahead(5) == [third.ts_ns]
        assert capture.read(2) == [third]


def test_damage_ahead_is_told_when_it_is_reached(tmp_path: Path) -> None:
    first, second = frames_at(0, 1)
    (tmp_path / "x").write_bytes(b.pcap_file([first, second])[:-1])
    with open_offline(str(tmp_path / "x")) as capture:
        assert capture.times_ahead(2) == [first.ts_ns]
        assert capture.read(1) == [first]
        with pytest.raises(CaptureError, match="in the middle of a record"):
            capture.read(1)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300), cut=st.integers(0, 400), n=st.integers(1, 20), kind=st.sampled_from(sorted(BUILDERS)))
def test_looking_ahead_changes_nothing(tmp_path: Path, data: bytes, cut: int, n: int, kind: str) -> None:
    """Of files with odd bytes behind some frames."""
    path = tmp_path / "x"
    path.write_bytes((BUILDERS[kind](frames_at(0, 1, 2)))[: cut + 24] + data)

    def read(*, looks: bool) -> list[Any]:
        seen: list[Any] = []
        try:
            with open_offline(str(path)) as capture:
                while not capture.exhausted:
                    if looks:
                        capture.times_ahead(n)
                    seen += capture.read(1)
        except CaptureError as error:
            seen.append(str(error))
        return seen

    assert read(looks=True) == read(looks=False)


@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.parametrize("kind", BUILDERS)
@pytest.mark.parametrize("stray_s", [31_536_000, 700, -1_000_000])
def test_frame_with_a_stray_time_counts_in_the_running_interval(tmp_path: Path, engine: str, kind: str, stray_s: int) -> None:
    path = tmp_path / "x"
    path.write_bytes(BUILDERS[kind](frames_at(*range(30), stray_s, *range(31, 600))))
    told: list[Any] = []
    *intervals, summary = fastmon.watch(path, interval=60, engine=engine, on_problem=told.append)
    assert [snapshot.counters.frames.frames for snapshot in intervals] == [60] * 10
    assert summary.covered_ns == pytest.approx(599 * S, abs=2)
    (problem,) = told
    assert "a frame is stamped" in problem.text
    assert fastmon.analyze(path, engine=engine, duration=300).counters.frames.frames == 300


@pytest.mark.parametrize("method", ["reading", "mapping", "prefetching"])
def test_stray_in_a_large_file_is_one_by_every_way_of_reading(
    tmp_path: Path, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastmon.capture.files.SavefileReader", partial(SavefileReader, method=method))
    seconds = list(range(20_000))
    for second in range(500, 20_000, 1000):
        seconds[second] = 10_000_000
    path = tmp_path / "x.pcap"
    records = (struct.pack("<IIII", T0 // S + second, 0, 1000, 1000) + (PACKET + bytes(1000))[:1000] for second in seconds)
    path.write_bytes(b.pcap_file([]) + b"".join(records))
    *intervals, summary = fastmon.watch(path, interval=1000)
    assert [snapshot.counters.frames.frames for snapshot in intervals][1:-1] == [1000] * (len(intervals) - 2)
    assert summary.covered_ns == pytest.approx(19_999 * S, abs=2)
