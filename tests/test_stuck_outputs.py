"""Outputs that take no data: they hold up nobody else, and one signal ends the run with what can still be written."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from queue import Queue
from typing import TYPE_CHECKING

import builders as b
import pytest
from waiting import DEADLINE_S, wait_until, waiting_bytes

from fastmon.model.frames import Frame
from fastmon.run.threads import start_thread
from fastmon.sinks.output import Output, Writing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

S = 1_000_000_000
T0 = 1_767_225_600 * S
COMMAND = [sys.executable, "-m", "fastmon", "replay", "--limit", "0", "-i", "1s"]
N_HOSTS = 2000


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """Ten seconds, in each of which many hosts send a frame: more results than a pipe holds."""
    frames = [
        Frame(T0 + second * S + n, 100, 1, b.ethernet(b.IPV4, b.ipv4(f"10.0.{n >> 8}.{n & 255}", "192.0.2.1", b.udp(n, 53))))
        for second in range(10)
        for n in range(N_HOSTS)
    ]
    path = tmp_path / "x.pcap"
    path.write_bytes(b.pcap_file(frames))
    return path


@contextmanager
def running(*arguments: str | Path, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    command = [*COMMAND, *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, **options) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.kill()


def state(process: subprocess.Popen[bytes]) -> list[str]:
    """Return where each thread of a process waits in the kernel."""
    places = []
    for task in os.listdir(f"/proc/{process.pid}/task"):  # noqa: PTH208
        with open(f"/proc/{process.pid}/task/{task}/wchan") as file:  # noqa: PTH123
            places.append(file.read())
    return places


def wait_for_summary(log: Path) -> None:
    wait_until(lambda: log.exists() and " summary " in log.read_text(), "the summary in the log")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("option", ["-o", "--conversations", "--packet-log"])
def test_named_pipe_that_nobody_reads_is_given_up_at_the_first_signal(
    capture: Path, tmp_path: Path, option: str, number: signal.Signals
) -> None:
    pipe, log = tmp_path / "pipe.csv", tmp_path / "run.log"
    os.mkfifo(pipe)
    with running(capture, option, pipe, "--log", log, stdout=subprocess.DEVNULL) as process:
        if option == "-o":  # the queue of the results is full: the replay waits
            wait_until(lambda: log.exists() and log.read_text().count(" snapshot ") >= 4, "snapshots")
        elif option == "--conversations":
            wait_for_summary(log)
        else:
            wait_until(lambda: any("wait_for_partner" in place for place in state(process)), "the wait for a reader")
        process.send_signal(number)
        assert process.wait(DEADLINE_S) == 1
        assert process.stderr is not None
        errors = process.stderr.read().decode()
    assert "nobody reads it" in errors
    assert len(errors.splitlines()) == 1
    assert log.read_text().splitlines()[-1].split()[2] in {"summary", "the", "cannot"}
    assert " summary " in log.read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_log_that_is_a_named_pipe_without_a_reader_costs_no_results(
    capture: Path, tmp_path: Path, number: signal.Signals
) -> None:
    pipe, out = tmp_path / "pipe", tmp_path / "out.jsonl"
    os.mkfifo(pipe)
    with running(capture, "--log", pipe, "-o", out, "--format", "jsonl", "-i", "0") as process:
        wait_until(lambda: out.exists() and out.read_text().endswith("}\n"), "the results")
        process.send_signal(number)
        assert process.wait(DEADLINE_S) == 1
    assert json.loads(out.read_text().splitlines()[-1])["frames"] == 10 * N_HOSTS


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_configuration_that_is_a_named_pipe_without_a_writer(capture: Path, tmp_path: Path, number: signal.Signals) -> None:
    pipe = tmp_path / "fastmon.toml"
    os.mkfifo(pipe)
    with running(capture, "--config", pipe, stdout=subprocess.PIPE) as process:
        wait_until(lambda: any("poll" in place for place in state(process)), "the wait for a writer")
        process.send_signal(number)
        assert process.wait(DEADLINE_S) == 0
        assert process.stdout is not None
        assert process.stderr is not None
        assert (process.stdout.read(), process.stderr.read()) == (b"", b"")


def test_configuration_from_a_named_pipe(capture: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "fastmon.toml"
    os.mkfifo(pipe)
    with running(capture, "--config", pipe, stdout=subprocess.PIPE) as process:
        pipe.write_text('format = "jsonl"\n')
        output, errors = process.communicate(timeout=DEADLINE_S)
    assert (process.returncode, errors) == (0, b"")
    assert json.loads(output.splitlines()[-1])["frames"] == 10 * N_HOSTS


@pytest.mark.parametrize("format", ["table", "jsonl", "csv"])
@pytest.mark.parametrize("kind", ["pipe", "terminal"])
def test_standard_output_that_is_not_read_is_given_up_at_the_first_signal(
    capture: Path, tmp_path: Path, kind: str, format: str
) -> None:
    log = tmp_path / "run.log"
    reading, written = os.pipe() if kind == "pipe" else pty.openpty()
    with running(capture, "--format", format, "-n", "2000", "--log", log, stdout=written) as process:
        os.close(written)
        wait_until(lambda: log.exists() and log.read_text().count(" snapshot ") >= 4, "snapshots")
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE_S) == 1
        assert process.stderr is not None
        assert process.stderr.read() == b"fastmon: cannot finish the results: nobody reads it\n"
    os.close(reading)
    assert " summary " in log.read_text()


@pytest.mark.parametrize("option", ["--log", "--conversations", "-o"])
def test_output_that_fails_ends_no_other(capture: Path, tmp_path: Path, option: str) -> None:
    """/dev/full takes nothing; the others have everything, and the exit code says that something failed."""
    out, log, conversations = tmp_path / "out", tmp_path / "log", tmp_path / "conversations"
    paths = {"-o": out, "--log": log, "--conversations": conversations, option: "/dev/full"}
    arguments = [str(part) for pair in paths.items() for part in pair]
    with running(capture, "--format", "jsonl", *arguments, stdout=subprocess.DEVNULL) as process:
        assert process.stderr is not None
        (line,) = process.stderr.read().decode().splitlines()
        assert process.wait(DEADLINE_S) == 1
    assert line.startswith("fastmon: cannot write the ")
    assert line.endswith("No space left on device")
    if option != "-o":
        assert json.loads(out.read_text().splitlines()[-1])["frames"] == 10 * N_HOSTS
    if option != "--log":
        assert " summary " in log.read_text()
    if option != "--conversations":
        assert len(conversations.read_text().splitlines()) == N_HOSTS


@pytest.mark.parametrize("output", ["full", "left"])
def test_results_that_fail_do_not_end_the_packet_log(tmp_path: Path, output: str) -> None:
    """Many chunks of frames follow the failure."""
    path, log = tmp_path / "long.pcap", tmp_path / "packets.csv"
    data = b.ethernet(b.IPV4, b.ipv4("10.0.0.1", "192.0.2.1", b.udp(1, 53)))
    seconds = [b.pcap_file([Frame(T0 + second * S, 100, 1, data)])[24:] * 100 for second in range(1000)]
    path.write_bytes(b.pcap_file([]) + b"".join(seconds))
    reading, written = (-1, os.open("/dev/full", os.O_WRONLY)) if output == "full" else os.pipe()
    if reading >= 0:
        os.close(reading)
    with running(path, "--format", "jsonl", "--packet-log", log, stdout=written) as process:
        os.close(written)
        assert process.stderr is not None
        (line,) = process.stderr.read().decode().splitlines()
        assert process.wait(DEADLINE_S) == 1
    assert line.startswith("fastmon: cannot write the results: ")
    assert log.read_text().count("\n") == 1 + 100 * 1000


def test_run_ends_when_the_packet_log_has_failed_too(capture: Path, tmp_path: Path) -> None:
    """Standard input would not end."""
    pipe = tmp_path / "packets.csv"
    os.mkfifo(pipe)
    command = [*COMMAND, "-", "--packet-log", str(pipe), "-o", "/dev/full"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdin is not None
            assert process.stderr is not None
            process.stdin.write(capture.read_bytes())
            process.stdin.flush()
            with os.fdopen(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb") as reader:
                wait_until(lambda: waiting_bytes(reader), "records")
            assert process.wait(DEADLINE_S) == 1
            errors = process.stderr.read().decode()
        finally:
            process.kill()
    assert "cannot write the results: No space left on device" in errors
    assert f"cannot write the packet log {pipe}: Broken pipe" in errors


@pytest.mark.parametrize("blocks", [True, False])
def test_write_returns_as_soon_as_a_pipe_has_taken_some_bytes(blocks: bool) -> None:
    """So that a reader who takes a page now and then is never taken for one who reads nothing."""
    reading, written = os.pipe()
    os.set_blocking(written, blocks)
    n_bytes = fcntl.fcntl(written, fcntl.F_GETPIPE_SZ)
    output = Output(written, Writing(), closes=True)
    results: Queue[int] = Queue()

    def write_on() -> None:
        with suppress(OSError):
            while True:
                results.put(output.write(bytes(10 * n_bytes)))

    thread = start_thread("writer", write_on)
    assert results.get(timeout=DEADLINE_S) == n_bytes
    for _ in range(5):
        assert os.read(reading, select.PIPE_BUF) == bytes(select.PIPE_BUF)
        assert results.get(timeout=DEADLINE_S) == select.PIPE_BUF
    os.close(reading)
    thread.join(DEADLINE_S)
    assert not thread.is_alive()


@pytest.mark.parametrize("kind", ["pipe", "terminal"])
def test_output_that_does_not_block_is_waited_for(capture: Path, tmp_path: Path, kind: str) -> None:
    log = tmp_path / "run.log"
    reading, written = os.pipe() if kind == "pipe" else pty.openpty()
    os.set_blocking(written, False)
    with running(capture, "--format", "jsonl", "--log", log, stdout=written) as process:
        os.close(written)
        wait_until(lambda: log.exists() and log.read_text().count(" snapshot ") >= 4, "snapshots")
        data = bytearray()
        with suppress(OSError):  # the terminal's other side has gone
            while part := os.read(reading, 1 << 16):
                data += part
        assert process.stderr is not None
        assert process.stderr.read() == b""
        assert process.wait(DEADLINE_S) == 0
    os.close(reading)
    assert json.loads(data.splitlines()[-1])["frames"] == 10 * N_HOSTS


def test_reader_that_leaves_does_not_end_the_other_outputs(capture: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with running(capture, "--format", "jsonl", "--log", log, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b"fastmon: cannot write the results: Broken pipe\n"
        assert process.wait(DEADLINE_S) == 1
    assert log.read_text().count(" snapshot ") == 10
    assert " summary " in log.read_text()
    assert f"frames={10 * N_HOSTS} " in log.read_text()


@pytest.mark.parametrize("option", ["-o", "--log", "--conversations"])
def test_reader_of_a_named_pipe_that_leaves_is_told(capture: Path, tmp_path: Path, option: str) -> None:
    """Also where nothing else is written: whoever names an output wants all of it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with running(capture, "--format", "jsonl", "--limit", "1", option, pipe, stdout=subprocess.DEVNULL) as process:
        with pipe.open("rb", buffering=0) as reader:
            reader.read(10)
        assert process.stderr is not None
        (line,) = process.stderr.read().decode().splitlines()
        assert process.wait(DEADLINE_S) == 1
    assert line.startswith("fastmon: cannot write the ")
    assert line.endswith(": Broken pipe")
