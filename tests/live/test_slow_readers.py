"""Whoever reads the results slowly, or not at all for a while, costs the capture no frame."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from waiting import DEADLINE_S, wait_until

from .command import COMMAND
from .network import CAPTURED
from .traffic import Sending

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .traffic import Sender

N_HOSTS, N_TIMES = 2_000, 60
PAUSE_S = 0.05
"""Between the times that all hosts send: several intervals pass."""


def sending() -> Sending:
    """Frames of many hosts, so that each interval's results are more than a pipe holds."""
    frames = Sending()
    for n in range(N_HOSTS):
        frames.ip_frame(f"10.1.{n >> 8}.{n & 255}", "192.0.2.1", 200)
    return frames


class Run:
    """A live capture whose results go where nobody reads until `read` is called."""

    def __init__(self, kind: str, folder: Path, options: tuple[str, ...]) -> None:
        self.kind = kind
        self.text = bytearray()
        self.fifo = folder / "fifo"
        self.stdout = folder / "stdout"
        arguments = ["live", CAPTURED, "-i", "100ms", "--limit", "0", "--buffer", "16MiB", *options]
        if kind != "terminal":
            arguments += ["--format", "jsonl"]
        if kind in {"output", "log", "conversations"}:
            os.mkfifo(self.fifo)
            arguments += [f"--{kind}", str(self.fifo)]
        self.reading, stdout = -1, -1
        if kind == "stdout":
            self.reading, stdout = os.pipe()
        elif kind == "terminal":
            self.reading, stdout = pty.openpty()
        else:
            stdout = os.open(self.stdout, os.O_WRONLY | os.O_CREAT)
        self.process = subprocess.Popen([*COMMAND, *arguments], cwd=folder, stdout=stdout, stderr=subprocess.PIPE)
        os.close(stdout)

    def read(self) -> threading.Thread:
        """Begin to read."""
        thread = threading.Thread(target=self._read)
        thread.start()
        return thread

    def _read(self) -> None:
        if self.reading < 0:
            self.reading = os.open(self.fifo, os.O_RDONLY)
        with suppress(OSError):  # the terminal's other side has gone
            while data := os.read(self.reading, 1 << 16):
                self.text += data

    def records(self) -> list[dict[str, object]]:
        data = bytes(self.text) if self.kind in {"stdout", "output"} else self.stdout.read_bytes()
        return [json.loads(line) for line in data.splitlines()]


@pytest.fixture
def runs() -> Iterator[list[Run]]:
    runs: list[Run] = []
    yield runs
    for run in runs:
        run.process.kill()
        run.process.wait()
        assert run.process.stderr is not None
        run.process.stderr.close()
        if run.reading >= 0:
            os.close(run.reading)


@pytest.mark.parametrize("options", [("--hosts-only",), ("--workers", "2")], ids=["hosts only", "two workers"])
@pytest.mark.parametrize("kind", ["stdout", "output", "log", "conversations", "terminal"])
def test_reader_that_sleeps_costs_no_frame(
    sender: Sender, tmp_path: Path, runs: list[Run], kind: str, options: tuple[str, ...]
) -> None:
    if kind == "conversations" and "--hosts-only" in options:
        options = ()
    run = Run(kind, tmp_path, options)
    runs.append(run)
    wait_until(lambda: is_capturing(run.process.pid, n_captures=2 if "2" in options else 1), "the capture")
    time.sleep(PAUSE_S)  # what came before the last one was opened does not count
    frames = sending()
    for _ in range(N_TIMES):
        sender.send(frames)
        time.sleep(PAUSE_S)
    reader = run.read()
    run.process.send_signal(signal.SIGINT)
    assert run.process.stderr is not None
    assert run.process.stderr.read() == b""
    assert run.process.wait(DEADLINE_S) == 0
    reader.join(DEADLINE_S)
    if kind == "terminal":
        text = re.sub(rb"\x1b\[[0-9;]*m", b"", bytes(run.text)).decode()
        assert f"{N_HOSTS + 1:,} hosts, {N_HOSTS * N_TIMES:,} frames" in text
        assert "LOST" not in text
        return
    *snapshots, summary = run.records()
    assert set(summary["dropped"].values()) == {0}  # type: ignore[attr-defined]
    assert summary["frames"] == sum(record["frames"] for record in snapshots) == N_HOSTS * N_TIMES  # type: ignore[misc]
    sums = sum(host["bytes_out"] for record in snapshots for host in record["hosts"])  # type: ignore[attr-defined]
    assert sums == summary["ip"]["bytes"]  # type: ignore[index]
    if kind in {"stdout", "output"}:
        assert any(record["intervals"] > 1 for record in snapshots)  # type: ignore[operator]
        times = [(record["start"], record["end"]) for record in snapshots]
        assert [end for _, end in times[:-1]] == [start for start, _ in times[1:]]
    elif kind == "conversations":
        assert len(run.text.splitlines()) == N_HOSTS
    else:
        assert f"frames={N_HOSTS * N_TIMES} ".encode() in run.text.splitlines()[-1]


def packet_sockets(pid: int) -> list[list[str]]:
    """Return the lines of /proc/net/packet that are a process' sockets."""
    inodes = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208
        with suppress(OSError):
            inodes.add(os.readlink(f"/proc/{pid}/fd/{fd}"))  # noqa: PTH115
    with open(f"/proc/{pid}/net/packet") as file:  # noqa: PTH123
        lines = [line.split() for line in file.readlines()[1:]]
    return [line for line in lines if f"socket:[{line[8]}]" in inodes]


def is_capturing(pid: int, n_captures: int = 1) -> bool:
    return sum(line[5] == "1" for line in packet_sockets(pid)) >= n_captures
