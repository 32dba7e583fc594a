"""One grid of intervals: however a capture is cut and whoever reads it, its snapshots are the same."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

import fastmon

if TYPE_CHECKING:
    from collections.abc import Iterator

DEMO = Path(__file__).parents[1] / "pcaps" / "demo.pcap"
S = 1_000_000_000


class Seen(NamedTuple):
    """What a snapshot says that does not hang on who accounted which conversation."""

    interval: fastmon.Interval
    counters: fastmon.Counters
    hosts: dict[str, dict[str, int | bool]]


def see(*paths: Path, **options: Any) -> list[Seen]:
    return [Seen(s.interval, s.counters, s.to_dict()) for s in fastmon.watch(*paths, **options)]


def records(data: bytes) -> Iterator[bytes]:
    at = 24
    while at < len(data):
        length = 16 + struct.unpack_from("<I", data, at + 8)[0]
        yield data[at : at + length]
        at += length


@pytest.fixture(scope="module")
def pieces(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The demo's capture cut into seven."""
    folder = tmp_path_factory.mktemp("pieces")
    data = DEMO.read_bytes()
    every = list(records(data))
    paths = []
    for index in range(7):
        paths.append(folder / f"{index}.pcap")
        part = every[index * len(every) // 7 : (index + 1) * len(every) // 7]
        paths[-1].write_bytes(data[:24] + b"".join(part))
    return paths


@pytest.mark.parametrize("interval", [60, 10, 7.5])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_pieces_give_the_snapshots_of_the_whole(pieces: list[Path], workers: int, interval: float) -> None:
    whole = see(DEMO, interval=interval)
    assert see(*pieces, interval=interval, workers=workers) == whole
    assert all(seen.interval.end_ns % int(interval * S) == 0 for seen in whole[:-2])


def test_reference_engine_has_the_same_grid(pieces: list[Path]) -> None:
    assert see(*pieces, interval=60, engine="reference") == see(DEMO, interval=60)


def test_pieces_in_the_wrong_order_lose_nothing_and_say_so(pieces: list[Path]) -> None:
    told: list[Any] = []
    shuffled = [pieces[index] for index in (0, 6, 1, 2, 3, 4, 5)]
    *intervals, summary = see(*shuffled, interval=60, on_problem=told.append)
    assert summary == see(DEMO, interval=60)[-1]
    assert sum(seen.counters.frames.frames for seen in intervals) == summary.counters.frames.frames
    (problem,) = told
    assert "the clock steps back" in problem.text
