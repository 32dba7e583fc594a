"""Captures that come through a pipe bit by bit, with pauses: what comes out is what the same file gives."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import builders as b
import pytest
from waiting import DEADLINE_S, wait_until, waiting_bytes

from fastmon.model.frames import Frame

if TYPE_CHECKING:
    from collections.abc import Iterable

S = 1_000_000_000
T0 = 1_767_225_600 * S
COMMAND = [sys.executable, "-m", "fastmon", "replay", "--format", "jsonl", "-i", "1s", "--limit", "0"]
PAUSE_S = 0.15
"""Longer than the reader waits for a pipe before it looks after other things."""

FRAMES = [
    Frame(T0 + int(second * S), 60 + number, 1, b.ethernet(b.IPV4, b.ipv4(f"10.0.0.{number}", "192.0.2.1", bytes(40))))
    for number, second in enumerate((0, 0.5, 0.9, 1.1, 1.2, 4.5, 4.6, 5.0, 5.1, 9.9))
]
RECORD = 16 + len(FRAMES[0].data)
FILE_HEADER = 24
INSIDE = [2, FILE_HEADER, FILE_HEADER + 7, FILE_HEADER + 16, FILE_HEADER + 2 * RECORD + 30, FILE_HEADER + 4 * RECORD + 1]
BETWEEN = [FILE_HEADER + n_records * RECORD for n_records in (1, 3, 5, 6, 9)]


def pcapng() -> bytes:
    file = b.PcapngFile()
    file.interface()
    for frame in FRAMES:
        file.packet(frame)
    return bytes(file)


PCAP = b.pcap_file(FRAMES)
FILES = {"pcap": PCAP, "pcapng": pcapng(), "gzip": gzip.compress(PCAP)}


def pieces(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    ends = [*cuts, len(data)]
    return [data[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def feed(pipe: IO[bytes], data: Iterable[bytes]) -> None:
    """Write each piece when the one before has been read and nothing came for a while; close the pipe."""
    with pipe:
        for piece in data:
            pipe.write(piece)
            pipe.flush()
            wait_until(lambda: waiting_bytes(pipe) == 0, "the reader")
            time.sleep(PAUSE_S)


def records(process: subprocess.Popen[bytes]) -> list[dict[str, Any]]:
    """Wait for the end of a run without problems; return its records, without the name of what they are of."""
    assert process.stdout is not None
    assert process.stderr is not None
    output, errors = process.stdout.read(), process.stderr.read()
    assert (process.wait(DEADLINE_S), errors) == (0, b"")
    found = [json.loads(line) for line in output.splitlines()]
    for record in found:
        del record["source"]
        record["hosts"].sort(key=lambda host: host["host"])
    return found


def replay(*arguments: str, stdin: int | None = None) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*COMMAND, *arguments], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def of_files(folder: Path, *contents: bytes, options: Iterable[str] = ()) -> list[dict[str, Any]]:
    """Return what files of these contents give."""
    paths = [folder / f"{number}.pcap" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    with replay(*map(str, paths), *options) as process:
        return records(process)


@pytest.mark.parametrize("cuts", [INSIDE, BETWEEN], ids=["inside of records", "between records"])
@pytest.mark.parametrize("file_format", FILES)
@pytest.mark.parametrize("engine", ["native", "reference"])
def test_slow_standard_input(tmp_path: Path, file_format: str, cuts: list[int], engine: str) -> None:
    content = FILES[file_format]
    options = ["--engine", engine]
    with replay("-", *options, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        feed(process.stdin, pieces(content, cuts))
        found = records(process)
    assert found == of_files(tmp_path, content, options=options)
    assert [record["frames"] for record in found] == [3, 2, 0, 0, 2, 2, 0, 0, 0, 1, 10]


@pytest.mark.parametrize("options", [(), ("--workers", "2"), ("--workers", "3"), ("-f", "host 10.0.0.4 or host 10.0.0.9")])
def test_slow_standard_input_among_files(tmp_path: Path, options: tuple[str, ...]) -> None:
    """An interval ends when all sources are past its end."""
    before, after = b.pcap_file(FRAMES[:4]), b.pcap_file(FRAMES[7:])
    (tmp_path / "before").write_bytes(before)
    (tmp_path / "after").write_bytes(after)
    names = [str(tmp_path / "before"), "-", str(tmp_path / "after")]
    with replay(*names, *options, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        feed(process.stdin, pieces(PCAP, [*INSIDE, *BETWEEN[2:]]))
        found = records(process)
    assert found == of_files(tmp_path, before, PCAP, after, options=options)


def test_two_slow_pipes(tmp_path: Path) -> None:
    """One after the other, and each in a thread of its own."""
    halves = b.pcap_file(FRAMES[::2]), b.pcap_file(FRAMES[1::2])
    paths = [tmp_path / "even", tmp_path / "odd"]
    for path in paths:
        os.mkfifo(path)
    with replay(*map(str, paths), "--workers", "2") as process:
        pipes = [path.open("wb") for path in paths]
        feeders = [
            threading.Thread(target=feed, args=(pipe, pieces(half, INSIDE[:4]))) for pipe, half in zip(pipes, halves, strict=True)
        ]
        for feeder in feeders:
            feeder.start()
        found = records(process)
        for feeder in feeders:
            feeder.join()
    assert found == of_files(tmp_path, *halves, options=["--workers", "2"])
    assert found[-1]["frames"] == len(FRAMES)


def test_pipe_that_ends_within_a_record() -> None:
    with replay("-", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        feed(process.stdin, pieces(PCAP[:-5], INSIDE))
        (line,) = process.stderr.read().decode().splitlines()
        assert process.wait(DEADLINE_S) == 1
    assert line == "fastmon: standard input: the file ends in the middle of a record, after 9 records"


def test_pipe_that_nobody_writes_into_is_empty() -> None:
    with replay("-", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        feed(process.stdin, [])
        assert process.stderr.read() == b"fastmon: standard input: the file is empty\n"
        assert process.wait(DEADLINE_S) == 1
