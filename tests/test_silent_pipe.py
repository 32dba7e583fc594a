"""A pipe from a capture that is running and falls silent: its intervals end on time, and what comes late counts."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from itertools import pairwise
from typing import IO, TYPE_CHECKING, Any

import builders as b
import pytest
from fakes import FakeClock
from waiting import DEADLINE_S, wait_until, waiting_bytes

from fastmon.errors import ConfigError
from fastmon.model.frames import Frame
from fastmon.run.clock import LATE_NS, NEAR_NS, PipeClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

S = 1_000_000_000
OLD = 1_767_225_600 * S
COMMAND = [sys.executable, "-m", "fastmon", "replay", "-", "--format", "jsonl", "-i", "1s", "--limit", "0"]
HEADER = b.pcap_file([])


def record(ts_ns: int) -> bytes:
    frame = Frame(ts_ns, 60, 1, b.ethernet(b.IPV4, b.ipv4("10.0.0.1", "192.0.2.1", bytes(20))))
    return b.pcap_file([frame])[len(HEADER) :]


class Run:
    """A replay of standard input; what it has written, line by line."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin is not None
        self.process = process
        self.pipe: IO[bytes] = process.stdin
        self.records: list[dict[str, Any]] = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()
        self.write(HEADER)
        wait_until(lambda: waiting_bytes(self.pipe) == 0, "the reader")

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.records.append(json.loads(line))

    def write(self, data: bytes) -> None:
        self.pipe.write(data)
        self.pipe.flush()

    def wait_for(self, n_records: int) -> None:
        wait_until(lambda: len(self.records) >= n_records, f"{n_records} records")

    def finish(self) -> list[dict[str, Any]]:
        assert self.process.stderr is not None
        errors = self.process.stderr.read()
        assert (self.process.wait(DEADLINE_S), errors) == (0, b"")
        self._thread.join()
        return self.records


@contextmanager
def replayed(*options: str) -> Iterator[Run]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*COMMAND, *options], **pipes) as process:  # type: ignore[call-overload]
        try:
            yield Run(process)
        finally:
            process.kill()


def assert_aligned(records: list[dict[str, Any]]) -> None:
    *snapshots, summary = records
    for one, other in pairwise(snapshots):
        assert one["end"] == other["start"]
        assert one["end"].endswith(".000000Z")
    assert summary["type"] == "summary"
    assert sum(snapshot["frames"] for snapshot in snapshots) == summary["frames"]
    assert summary["duration_seconds"] == pytest.approx(sum(snapshot["duration_seconds"] for snapshot in snapshots))


@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.parametrize("options", [(), ("--workers", "2")])
def test_intervals_end_while_nothing_comes(engine: str, options: tuple[str, ...]) -> None:
    with replayed("--engine", engine, *options) as run:
        first_ns = time.time_ns()
        run.write(record(first_ns))
        run.wait_for(3)
        run.write(record(first_ns + 1) + record(first_ns + 2))  # of the first interval: they were buffered
        run.wait_for(len(run.records) + 2)
        run.write(record(time.time_ns()))
        run.pipe.close()
        records = run.finish()
    assert_aligned(records)
    frames = [record["frames"] for record in records]
    assert (frames[:3], frames[-1]) == ([1, 0, 0], 4)
    assert sum(frames[3:-1]) == 3


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_frame_of_the_future_that_nothing_follows_yet(engine: str) -> None:
    """The pipe's clock tells that its time is wrong: it counts in the running interval."""
    with replayed("--engine", engine) as run:
        run.write(record(time.time_ns()))
        run.wait_for(2)
        run.write(record(time.time_ns() + 5 * 3600 * S))
        run.wait_for(len(run.records) + 2)
        run.write(record(time.time_ns()))
        run.pipe.close()
        assert run.process.stderr is not None
        (line,) = run.process.stderr.read().splitlines()
        assert b"away from those around it" in line
        assert run.process.wait(DEADLINE_S) == 0
        wait_until(lambda: run.records[-1]["type"] == "summary", "the summary")
    assert_aligned(run.records)
    assert run.records[-1]["frames"] == 3
    assert run.records[-1]["duration_seconds"] < DEADLINE_S


def test_clock_of_another_machine_may_differ_a_little() -> None:
    with replayed() as run:
        run.write(record(time.time_ns() + 3 * S))
        run.wait_for(2)
        run.pipe.close()
        records = run.finish()
    assert_aligned(records)
    assert records[-1]["frames"] == 1


def test_pipe_with_old_times_is_waited_for() -> None:
    with replayed() as run:
        run.write(record(OLD) + record(OLD + S))
        run.wait_for(1)
        time.sleep(3)
        assert len(run.records) == 1
        run.write(record(OLD + 3 * S))
        run.pipe.close()
        records = run.finish()
    assert [record["frames"] for record in records] == [1, 1, 0, 1, 3]


def test_option_lets_the_clock_of_old_times_run_on() -> None:
    with replayed("--live-clock") as run:
        run.write(record(OLD))
        run.wait_for(3)
        run.write(record(OLD + 1))
        run.pipe.close()
        records = run.finish()
    assert_aligned(records)
    assert records[0]["start"] == "2026-01-01T00:00:00.000000Z"
    assert (records[0]["frames"], records[-1]["frames"]) == (1, 2)


def test_duration_ends_in_silence() -> None:
    with replayed("--live-clock", "--duration", "1500ms", "-i", "0") as run:
        run.write(record(OLD))
        (summary,) = run.finish()
    assert (summary["frames"], summary["duration_seconds"]) == (1, 1.5)


def test_one_signal_ends_a_silent_run() -> None:
    with replayed() as run:
        run.write(record(time.time_ns()))
        run.wait_for(2)
        run.process.send_signal(signal.SIGINT)
        records = run.finish()
    assert_aligned(records)
    assert records[-1]["frames"] == 1
    assert records[-1]["end"] >= records[-2]["end"]


def test_file_is_never_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "now.pcap"
    now_ns = time.time_ns()
    path.write_bytes(HEADER + record(now_ns) + record(now_ns + 1))
    command = [path.as_posix() if argument == "-" else argument for argument in COMMAND]
    done = subprocess.run([*command, "--live-clock"], capture_output=True, check=True, timeout=DEADLINE_S)
    assert [json.loads(line)["frames"] for line in done.stdout.splitlines()] == [2, 2]


@pytest.mark.parametrize(
    ("offset_ns", "always", "runs"),
    [
        (0, False, True),
        (NEAR_NS, False, True),
        (-NEAR_NS - 1, False, False),
        (NEAR_NS + 1, False, False),
        (-86400 * S, True, True),
    ],
)
def test_clock_runs_on_from_the_newest_frame(offset_ns: int, always: bool, runs: bool) -> None:
    clock = FakeClock()
    pipe_clock = PipeClock(clock, always=always)
    assert pipe_clock.now_ns() is None
    newest_ns = clock.now_ns() + offset_ns
    pipe_clock.note(newest_ns)
    clock.sleep(7 * S)
    clock.set_by(3600 * S)
    assert pipe_clock.now_ns() == (newest_ns + 7 * S - LATE_NS if runs else None)


def test_live_captures_have_no_clock_of_pipes() -> None:
    from fastmon.library import watch

    class Link:
        is_live = True
        name = "link0"

    with pytest.raises(ConfigError, match="live_clock is of pipes"):
        watch(Link(), live_clock=True)  # type: ignore[arg-type]
