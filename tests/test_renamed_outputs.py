"""Output files that others rename or truncate while they are written (logrotate), and a terminal that hangs up."""

from __future__ import annotations

import csv
import gzip
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import builders as b
import pytest
from waiting import DEADLINE_S, is_caught, wait_until

from fastmon.model.frames import Frame

if TYPE_CHECKING:
    from collections.abc import Iterator

T0_NS = 1_767_225_600_000_000_000
COMMAND = [sys.executable, "-m", "fastmon", "replay", "-i", "0", "--limit", "0"]


def frame(second: float, n_bytes: int = 20) -> Frame:
    packet = b.ipv4("192.168.1.2", "192.0.2.1", b.udp(1000 + int(second), 5000, bytes(n_bytes)))
    return Frame(T0_NS + int(second * 1e9), 14 + len(packet), 1, b.ethernet(b.IPV4, packet))


def tcp_frame(second: float, flags: int) -> Frame:
    packet = b.ipv4("192.168.1.2", "192.0.2.1", b.tcp(7, 80, flags=flags), protocol=6)
    return Frame(T0_NS + int(second * 1e9), 14 + len(packet), 1, b.ethernet(b.IPV4, packet))


class Run:
    """A replay of standard input, in a folder, without a terminal."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [*COMMAND, "-", *options],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        self._begun = False
        wait_until(lambda: is_caught(self.process.pid, signal.SIGUSR1), "the signal handlers")

    def feed(self, *frames: Frame) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(b.pcap_file(frames)[24 if self._begun else 0 :])
        self.process.stdin.flush()
        self._begun = True

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def report(self, path: str, n_frames: int) -> None:
        """Ask for snapshots until those in a file have so many frames."""

        def is_there() -> bool:
            found: int = sum(record["frames"] for record in records(self.folder / path) if record["type"] == "snapshot")
            if found < n_frames:
                self.signal(signal.SIGUSR1)
            return found >= n_frames

        wait_until(is_there, f"{n_frames} frames")

    def end(self) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=DEADLINE_S)
        return self.process.returncode, errors.decode()


def records(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]


@pytest.fixture
def runs() -> Iterator[list[Run]]:
    started: list[Run] = []
    yield started
    for run in started:
        run.process.kill()
        with run.process:  # closes the pipes
            pass


def frames_of(path: Path) -> int:
    return sum(record["frames"] for record in records(path) if record["type"] == "snapshot")


OUTPUTS = ("out.jsonl", "run.log", "conversations.csv", "packets.csv.gz")
ALL = (
    "-i",
    "1s",
    "--format",
    "jsonl",
    "-o",
    OUTPUTS[0],
    "--log",
    OUTPUTS[1],
    "--conversations",
    OUTPUTS[2],
    "--packet-log",
    OUTPUTS[3],
)


def test_renamed_files_are_completed_and_new_ones_begun(tmp_path: Path, runs: list[Run]) -> None:
    runs.append(run := Run(tmp_path, *ALL))
    run.feed(tcp_frame(0, b.RST), tcp_frame(1, b.SYN), frame(5))  # with the second one a conversation has ended
    run.report("out.jsonl", 3)
    wait_until((tmp_path / OUTPUTS[2]).exists, "the conversation")
    for name in OUTPUTS:
        (tmp_path / name).rename(tmp_path / f"old-{name}")
    run.signal(signal.SIGHUP)
    wait_until(lambda: all((tmp_path / name).exists() for name in OUTPUTS), "the new files")
    wait_until(lambda: is_whole(tmp_path / "old-packets.csv.gz"), "the old packet log's end")
    run.feed(frame(6), frame(9))
    assert run.end() == (0, "")
    old, new = records(tmp_path / "old-out.jsonl"), records(tmp_path / "out.jsonl")
    assert (old[0]["type"], new[-1]["type"], new[-1]["frames"]) == ("snapshot", "summary", 5)
    assert frames_of(tmp_path / "old-out.jsonl") == 3
    assert frames_of(tmp_path / "out.jsonl") == 2
    rows = [list(csv.DictReader((tmp_path / name).read_text().splitlines())) for name in ("old-conversations.csv", OUTPUTS[2])]
    assert [sum(int(row["packets_ab"]) for row in part) for part in rows] == [1, 4]
    packets = [
        gzip.decompress((tmp_path / name).read_bytes()).decode().splitlines() for name in ("old-packets.csv.gz", OUTPUTS[3])
    ]
    assert [part[0].startswith("time,") for part in packets] == [True, True]
    assert [len(part) - 1 for part in packets] == [3, 2]
    assert "summary" in (tmp_path / "run.log").read_text()
    assert "summary" not in (tmp_path / "old-run.log").read_text()


def is_whole(path: Path) -> bool:
    try:
        return bool(gzip.decompress(path.read_bytes()))
    except EOFError:
        return False


def test_files_that_are_not_renamed_are_written_on(tmp_path: Path, runs: list[Run]) -> None:
    runs.append(run := Run(tmp_path, "--format", "csv", "-o", "out.csv", "--conversations", "c.csv", "--packet-log", "p.csv"))
    run.feed(frame(0))
    packets = tmp_path / "p.csv"
    wait_until(lambda: packets.exists() and packets.read_text().count("\n") == 2, "the record")
    run.signal(signal.SIGHUP)
    run.signal(signal.SIGUSR1)
    wait_until(lambda: (tmp_path / "out.csv").exists() and "snapshot" in (tmp_path / "out.csv").read_text(), "the report")
    run.signal(signal.SIGHUP)
    run.feed(frame(1))
    assert run.end() == (0, "")
    assert [(tmp_path / name).read_text().count(first) for name, first in (("out.csv", "type,"), ("c.csv", "protocol,"))] == [
        1,
        1,
    ]
    assert packets.read_text().count("\n") == 3
    assert not (tmp_path / "p.1.csv").exists()


def test_truncated_files_get_no_zeros(tmp_path: Path, runs: list[Run]) -> None:
    """As logrotate's copytruncate does it: fastmon is not told."""
    runs.append(run := Run(tmp_path, "--format", "jsonl", "-o", "out.jsonl"))
    run.feed(frame(0), frame(1))
    run.report("out.jsonl", 2)
    os.truncate(tmp_path / "out.jsonl", 0)
    run.feed(frame(2))
    assert run.end() == (0, "")
    assert b"\0" not in (tmp_path / "out.jsonl").read_bytes()
    assert records(tmp_path / "out.jsonl")[-1]["frames"] == 3


def test_file_that_cannot_be_begun_is_told_and_the_old_one_written_on(tmp_path: Path, runs: list[Run]) -> None:
    (tmp_path / "logs").mkdir()
    runs.append(run := Run(tmp_path, "--format", "jsonl", "-o", "logs/out.jsonl"))
    run.feed(frame(0))
    run.report("logs/out.jsonl", 1)
    (tmp_path / "logs").rename(tmp_path / "moved")
    run.signal(signal.SIGHUP)
    told = "cannot open the results again: cannot write logs/out.jsonl: No such file or directory; the renamed file is written on"
    assert run.process.stderr is not None
    assert run.process.stderr.readline().decode() == f"fastmon: {told}\n"
    run.feed(frame(1))
    assert run.end() == (1, "")
    assert records(tmp_path / "moved" / "out.jsonl")[-1]["frames"] == 2


def replay(folder: Path, *options: str) -> None:
    (folder / "x.pcap").write_bytes(b.pcap_file([frame(0), frame(1)]))
    done = subprocess.run([*COMMAND, "x.pcap", *options], cwd=folder, capture_output=True, timeout=DEADLINE_S, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("form", ["csv", "jsonl", "table"])
def test_append_keeps_what_a_run_before_wrote(tmp_path: Path, form: str) -> None:
    options = ("--format", form, "-o", "out", "--conversations", "c.csv")
    replay(tmp_path, *options)
    once = [(tmp_path / name).read_text() for name in ("out", "c.csv")]
    replay(tmp_path, *options)
    assert [(tmp_path / name).read_text() for name in ("out", "c.csv")] == once
    replay(tmp_path, *options, "--append")
    heads = [once[0].splitlines(keepends=True)[0] if form == "csv" else "", once[1].splitlines(keepends=True)[0]]
    twice = [text + text.removeprefix(head) for text, head in zip(once, heads, strict=True)]
    assert [(tmp_path / name).read_text() for name in ("out", "c.csv")] == twice


def test_append_goes_on_below_a_line_that_was_cut(tmp_path: Path) -> None:
    (tmp_path / "out").write_text('{"type":"snap')
    replay(tmp_path, "--format", "jsonl", "-o", "out", "--append")
    cut, summary = (tmp_path / "out").read_text().splitlines()
    assert cut == '{"type":"snap'
    assert json.loads(summary)["frames"] == 2


def hang_up(folder: Path, *options: str) -> int:
    """Run on a terminal of its own, which hangs up when two frames are accounted; return the exit code."""
    read_end, write_end = os.pipe()
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.dup2(read_end, 0)
        os.close(write_end)
        os.execv(COMMAND[0], [*COMMAND, "-", *options])
    os.close(read_end)
    os.write(write_end, b.pcap_file([frame(0), frame(1)]))
    log = folder / "run.log"
    wait_until(lambda: is_caught(pid, signal.SIGUSR1), "the signal handlers")

    def is_accounted() -> bool:
        os.kill(pid, signal.SIGUSR1)
        return log.exists() and sum(int(text.split()[0]) for text in log.read_text().split("frames=")[1:]) >= 2

    wait_until(is_accounted, "the frames")
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    os.close(write_end)
    return os.waitstatus_to_exitcode(status)


def test_hang_up_ends_a_run_with_all_files_complete(tmp_path: Path) -> None:
    options = (
        "--format",
        "jsonl",
        "-o",
        "out.jsonl",
        "--log",
        "run.log",
        "--conversations",
        "c.jsonl",
        "--packet-log",
        "p.csv.gz",
    )
    assert hang_up(tmp_path, *options) == 0
    summary = records(tmp_path / "out.jsonl")[-1]
    assert (summary["type"], summary["frames"]) == ("summary", 2)
    assert len(records(tmp_path / "c.jsonl")) == 2
    assert len(gzip.decompress((tmp_path / "p.csv.gz").read_bytes()).splitlines()) == 3


def test_hang_up_of_the_terminal_that_has_the_results(tmp_path: Path) -> None:
    """The table has nowhere to go; all else is complete."""
    assert hang_up(tmp_path, "--log", "run.log", "--conversations", "c.jsonl", "--packet-log", "p.csv.gz") in (0, 1)
    assert "summary" in (tmp_path / "run.log").read_text()
    assert len(records(tmp_path / "c.jsonl")) == 2
    assert len(gzip.decompress((tmp_path / "p.csv.gz").read_bytes()).splitlines()) == 3
