"""The command line as people and programs meet it: what it prints where, and its exit codes."""

from __future__ import annotations

import csv
import fcntl
import gzip
import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
from contextlib import suppress
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import builders as b
import pytest
from waiting import is_pending, n_open, wait_until, waiting_bytes

from fastmon.config import OutputOptions, RunOptions
from fastmon.model.frames import Frame
from fastmon.run.shards import CHUNK_FRAMES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

S = 1_000_000_000
T0 = 1_767_225_600 * S
COMMAND = [sys.executable, "-m", "fastmon"]
NOBODY = 65534


def frame(second: float, wire_len: int = 100, src: str = "10.0.0.1", dst: str = "192.0.2.1") -> Frame:
    return Frame(T0 + int(second * S), wire_len, 1, b.ethernet(b.IPV4, b.ipv4(src, dst)))


def run(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    options = {"capture_output": True, "text": True, "timeout": 60, **options}
    return subprocess.run([*COMMAND, *map(str, arguments)], check=False, **options)


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def assert_one_line(result: subprocess.CompletedProcess[str], status: int, *words: str) -> None:
    """Check that the run said in one line on stderr what is wrong, with `words`, and nothing on stdout."""
    assert result.returncode == status, result.stderr
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("fastmon: ")
    for word in words:
        assert word in line


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """Frames at 0, 1 and 61 s, 100, 200 and 400 bytes."""
    path = tmp_path / "x.pcap"
    path.write_bytes(b.pcap_file([frame(0), frame(1, 200), frame(61, 400, src="10.0.0.2")]))
    return path


# Results.


def test_jsonl_of_a_replay(capture: Path) -> None:
    result = run("replay", capture, "--format", "jsonl", "--limit", "650", "--limit-scope", "all")
    assert (result.returncode, result.stderr) == (0, "")
    *intervals, summary = records(result.stdout)
    assert [record["type"] for record in intervals] == ["snapshot", "alert", "snapshot"]
    assert [record["frames"] for record in intervals if record["type"] == "snapshot"] == [2, 1]
    assert intervals[1]["host"] == "192.0.2.1"
    assert summary["type"] == "summary"
    assert summary["source"] == str(capture)
    assert (summary["start"], summary["end"]) == ("2026-01-01T00:00:00.000000Z", "2026-01-01T00:01:01.000000Z")
    by_host = {host["host"]: host for host in summary["hosts"]}
    assert by_host["192.0.2.1"]["bytes_in"] == 700
    assert by_host["192.0.2.1"]["flagged"]
    assert not by_host["192.0.2.1"]["local"]
    assert by_host["10.0.0.1"]["local"]


def test_engines_agree(capture: Path) -> None:
    native, reference = (
        records(run("replay", capture, "-i", "0", "--format", "jsonl", "--engine", engine).stdout)
        for engine in ("native", "reference")
    )
    for summary in (*native, *reference):
        summary["hosts"].sort(key=lambda host: host["host"])
    assert native == reference


def test_table_of_a_replay_has_alerts_between_tables(capture: Path) -> None:
    result = run("replay", capture, "--limit", "250", "-n", "1", "--limit-scope", "all")
    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    starts = [line.split()[0] for line in lines if line]
    assert starts.index("ALERT") < starts.index(str(capture))
    assert any(line.startswith("3 hosts, 3 frames, 700 B, ") for line in lines)
    assert "2 more hosts" in lines


def test_csv_of_a_replay_has_alerts_on_stderr(capture: Path) -> None:
    result = run("replay", capture, "--limit", "250", "--format", "csv", "-i", "0", "--limit-scope", "all")
    assert result.returncode == 0
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert {(row["type"], row["host"], row["bytes_out"]) for row in rows} == {
        ("summary", "10.0.0.1", "300"),
        ("summary", "10.0.0.2", "400"),
        ("summary", "192.0.2.1", "0"),
    }
    assert [line.split()[0] for line in result.stderr.splitlines()] == ["ALERT"] * 3


def test_limit_0_flags_nobody(capture: Path) -> None:
    result = run("replay", capture, "--limit", "0", "--format", "jsonl")
    assert {record["type"] for record in records(result.stdout)} == {"snapshot", "summary"}


def test_local_networks_of_the_command_line(capture: Path) -> None:
    result = run("replay", capture, "-i", "0", "--format", "jsonl", "--local", "192.0.2.0/24", "--local", "10.0.0.2")
    (summary,) = records(result.stdout)
    assert {host["host"] for host in summary["hosts"] if host["local"]} == {"192.0.2.1", "10.0.0.2"}


def test_output_and_log_files(capture: Path, tmp_path: Path) -> None:
    output, log = tmp_path / "out.jsonl", tmp_path / "run.log"
    result = run("replay", capture, "--format", "jsonl", "-o", output, "--log", log, "--limit", "650", "--limit-scope", "all")
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert records(output.read_text())[-1]["type"] == "summary"
    assert [line.split()[2] for line in log.read_text().splitlines()] == ["snapshot", "ALERT", "snapshot", "summary"]


def test_filter(capture: Path) -> None:
    (summary,) = records(run("replay", capture, "-i", "0", "--format", "jsonl", "-f", "host 10.0.0.2").stdout)
    assert summary["frames"] == 1


def test_duration_of_a_replay(capture: Path) -> None:
    (summary,) = records(run("replay", capture, "-i", "0", "--format", "jsonl", "--duration", "30s").stdout)
    assert summary["frames"] == 2


def test_standard_input(capture: Path) -> None:
    with capture.open("rb") as stream:
        result = run("replay", "-", "-i", "0", "--format", "jsonl", stdin=stream)
    assert records(result.stdout)[0]["frames"] == 3
    assert records(result.stdout)[0]["source"] == "standard input"


def test_gzip(capture: Path, tmp_path: Path) -> None:
    packed = tmp_path / "x.pcap.gz"
    packed.write_bytes(gzip.compress(capture.read_bytes()))
    assert records(run("replay", packed, "-i", "0", "--format", "jsonl").stdout)[0]["frames"] == 3


@pytest.mark.parametrize("workers", ["1", "2", "5"])
def test_several_files_are_one_run(capture: Path, tmp_path: Path, workers: str) -> None:
    other = tmp_path / "y.pcap"
    other.write_bytes(b.pcap_file([frame(30, 1000)]))
    result = run(
        "replay", capture, other, "-i", "0", "--format", "jsonl", "--workers", workers, "--limit", "1200", "--limit-scope", "all"
    )
    *alerts, summary = records(result.stdout)
    assert summary["frames"] == 4
    assert summary["source"] == f"{capture}, {other}"
    assert {alert["host"] for alert in alerts} == {"10.0.0.1", "192.0.2.1"}


def test_empty_capture_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "none.pcap"
    path.write_bytes(b.pcap_file([]))
    result = run("replay", path)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout == f"summary of {path}: no traffic\n\n"


def test_file_name_with_control_characters_is_cleaned(tmp_path: Path) -> None:
    path = tmp_path / "a\x1b[31m\nb.pcap"
    path.write_bytes(b.pcap_file([frame(0)]))
    assert "\\x1b[31m\\nb.pcap" in run("replay", path, "-i", "0").stdout
    assert_one_line(run("replay", tmp_path / "no\nsuch\x1b"), 1, "no\\nsuch\\x1b")


def test_file_name_that_is_no_unicode(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff.pcap"
    Path(os.fsdecode(path)).write_bytes(b.pcap_file([frame(0)]))
    for output_format in ("table", "jsonl", "csv"):
        result = subprocess.run(
            [*COMMAND, "replay", path, "--format", output_format], capture_output=True, timeout=60, check=False
        )
        assert (result.returncode, result.stderr) == (0, b"")


# Help.


def test_help_of_each_command_has_every_option() -> None:
    flags = {
        flag for options in (RunOptions, OutputOptions) for option in fields(options) for flag in option.metadata["flags"]
    } | {"--config"}
    for command in ("live", "replay"):
        result = run(command, "--help", env={**os.environ, "COLUMNS": "200"})
        assert (result.returncode, result.stderr) == (0, "")
        shown = result.stdout.replace(",", " ").split()
        assert flags <= set(shown)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_help(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.returncode == 0
    assert all(command in result.stdout for command in ("live", "replay", "interfaces"))


def test_version() -> None:
    assert run("--version").stdout.split()[0] == "fastmon"


def imported(code: str, *arguments: str | Path) -> set[str]:
    """Return the top-level modules that `code` leaves imported."""
    code += "\nimport sys; print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    result = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=True
    )
    return set(result.stderr.split())


MAIN = "import sys; from fastmon.cli import main; main(sys.argv[1:])"


def test_heavy_libraries_are_imported_where_they_are_used(capture: Path) -> None:
    heavy = {"numpy", "rich", "msgspec", "dpkt", "pcap", "psutil", "zstandard", "typer", "netaddr", "cryptography", "_hashlib"}
    assert imported("import fastmon") & heavy == set()
    assert imported(MAIN, "--help") & heavy == {"typer"}
    table = imported(MAIN, "replay", capture)
    assert table & heavy == {"typer", "numpy", "netaddr"}
    talk = capture.with_name("talk.pcap")
    talk.write_bytes(
        b.pcap_file([Frame(0, 60, 1, b.ethernet(b.IPV4, b.ipv4("10.0.0.1", "192.0.2.1", b.udp(1, 2, b"\0\1boot\0octet\0"))))])
    )
    assert imported(MAIN, "replay", talk) & heavy == {"typer", "numpy", "netaddr", "dpkt", "_hashlib"}
    hosts = imported(MAIN, "replay", capture, "--hosts-only")
    assert hosts & heavy == {"typer", "numpy"}
    jsonl = imported(MAIN, "replay", capture, "--hosts-only", "--format", "jsonl")
    assert jsonl & heavy == {"typer", "numpy", "msgspec"}


# Wrong usage.


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--no-such-option"], ["--no-such-option"]),
        (["-i", "5x"], ["interval", "'5x'", "duration"]),
        (["-i", "-5s"], ["interval", "'-5s'"]),
        (["-i", "1us"], ["interval", "1ms"]),
        (["--duration", "soon"], ["duration", "'soon'"]),
        (["--limit", "much"], ["limit", "'much'", "size"]),
        (["--buffer", "1XB"], ["buffer", "'1XB'"]),
        (["--local", "10.0.0.0/33"], ["local", "'10.0.0.0/33'", "network"]),
        (["--local", "home"], ["local", "'home'"]),
        (["-n", "-1"], ["top", "-1"]),
        (["-n", "many"], ["--top"]),
        (["--max-hosts", "0"], ["max-hosts", "0"]),
        (["--snaplen", "0"], ["snaplen", "0"]),
        (["--workers", "0"], ["workers", "0"]),
        (["--format", "xml"], ["format", "'xml'", "jsonl"]),
        (["--engine", "steam"], ["engine", "'steam'", "reference"]),
        (["--direction", "up"], ["direction", "'up'", "inout"]),
        (["-f", "no such filter"], ["filter"]),
        (["-o", "/no/such/folder/out"], ["/no/such/folder/out", "No such file"]),
        (["--log", "/no/such/folder/log"], ["/no/such/folder/log", "No such file"]),
        (["--config", "/no/such.toml"], ["/no/such.toml", "No such file"]),
        (["--interval"], ["--interval"]),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(capture: Path, arguments: list[str], words: list[str]) -> None:
    assert_one_line(run("replay", capture, *arguments), 2, *words)


@pytest.mark.parametrize(
    ("arguments", "word"), [(["replay"], "FILE"), (["live"], "IFACE"), (["fly"], "fly"), (["interfaces", "x"], "x")]
)
def test_missing_and_unexpected_arguments(arguments: list[str], word: str) -> None:
    assert_one_line(run(*arguments), 2, word, "--help")


def test_capture_is_not_overwritten_by_its_results(capture: Path, tmp_path: Path) -> None:
    before = capture.read_bytes()
    link = tmp_path / "link"
    link.symlink_to(capture)
    assert_one_line(run("replay", capture, "-o", capture), 2, str(capture))
    assert_one_line(run("replay", capture, "--log", link), 2, str(link))
    assert capture.read_bytes() == before


# Configuration file.


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], Path]:
    def written(text: str) -> Path:
        path = tmp_path / "fastmon.toml"
        path.write_text(text)
        return path

    return written


def test_configuration_gives_options_and_the_command_line_wins(capture: Path, config: Callable[[str], Path]) -> None:
    path = config('interval = "0"\nformat = "jsonl"\nlimit = "650"\nmax-hosts = 100\nlocal = ["192.0.2.0/24"]\ninner = true\n')
    alert, summary = records(run("replay", capture, "--config", path).stdout)
    assert alert["type"] == "alert"
    assert {host["host"] for host in summary["hosts"] if host["local"]} == {"192.0.2.1"}
    (summary,) = records(run("replay", capture, "--config", path, "--limit", "0", "--local", "10.0.0.1").stdout)
    assert {host["host"] for host in summary["hosts"] if host["local"]} == {"10.0.0.1"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('intervall = "1s"', ["intervall"]),
        ('interval = "5x"', ["interval", "'5x'"]),
        ("interval = [5]", ["interval", "60s", "(5,)"]),
        ("interval = true", ["interval", "60s", "True"]),
        ('top = "5"', ["top", "whole number", "'5'"]),
        ("limit = 1.5", ["limit", "1MB", "1.5"]),
        ('local = "10.0.0.0/8"', ["local"]),
        ("interval = ", ["document"]),
        ("inner = 1", ["inner", "true or false", "1"]),
    ],
)
def test_wrong_configuration(capture: Path, config: Callable[[str], Path], text: str, words: list[str]) -> None:
    path = config(text)
    assert_one_line(run("replay", capture, "--config", path), 2, str(path), *words)


# Bad captures.


def with_link_type(link_type: int) -> bytes:
    return b.pcap_file([], link_type=link_type) + b.pcap_file([frame(0)])[24:]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["empty"]),
        (b"this is no capture, only some text in a file\n" * 10, []),
        (b.pcap_file([frame(0)])[:11], ["header"]),
        (with_link_type(147), ["link type", "147"]),
        (b"\x1f\x8b not gzip at all", []),
    ],
    ids=["empty", "text", "half a header", "unknown link type", "broken gzip"],
)
def test_file_that_is_no_capture(tmp_path: Path, content: bytes, words: list[str]) -> None:
    path = tmp_path / "bad.pcap"
    path.write_bytes(content)
    assert_one_line(run("replay", path), 1, str(path), *words)


def test_missing_file_and_directory(tmp_path: Path) -> None:
    assert_one_line(run("replay", tmp_path / "absent.pcap"), 1, "absent.pcap", "o such file")
    assert_one_line(run("replay", tmp_path), 1, str(tmp_path), "directory")


def test_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "secret.pcap"
    path.write_bytes(b.pcap_file([frame(0)]))
    path.chmod(0)
    tmp_path.chmod(0o755)
    code = (
        "import os, sys, fastmon.library, fastmon.run.inspection, fastmon.sinks.open, fastmon.sinks.notices, fastmon.sinks.table;"
        "from fastmon.cli import main;"
        f"os.geteuid() == 0 and os.setuid({NOBODY}); sys.exit(main(['replay', 'secret.pcap']))"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert_one_line(result, 1, "secret.pcap", "ermission")


def test_cut_file_is_reported_up_to_the_cut(capture: Path) -> None:
    capture.write_bytes(capture.read_bytes()[:-7])
    result = run("replay", capture, "-i", "0", "--format", "jsonl")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert str(capture) in result.stderr
    assert records(result.stdout)[-1]["frames"] == 2


def test_other_files_are_replayed_when_one_fails(capture: Path, tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    result = run("replay", tmp_path / "absent", capture, tmp_path, "-i", "0", "--format", "jsonl", "--log", log)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 2
    assert records(result.stdout)[-1]["frames"] == 3
    assert [line.split()[1] for line in log.read_text().splitlines()] == ["ERROR", "ERROR", "INFO"]


def test_unknown_interface() -> None:
    result = run("live", "nosuchif0")
    assert_one_line(result, 1, "nosuchif0")


def test_interfaces_are_listed() -> None:
    result = run("interfaces")
    assert (result.returncode, result.stderr) == (0, "")
    header, *lines = result.stdout.splitlines()
    assert header.split() == ["interface", "state", "addresses", "description"]
    assert any(line.startswith("lo ") and "127.0.0.1/8" in line for line in lines)


# Output that fails.


@pytest.mark.parametrize("output_format", ["table", "jsonl", "csv"])
def test_reader_of_the_results_that_leaves_ends_the_run_quietly(tmp_path: Path, output_format: str) -> None:
    path = tmp_path / "long.pcap"
    path.write_bytes(b.pcap_file([frame(second) for second in range(3000)]))
    command = [*COMMAND, "replay", str(path), "-i", "1s", "--format", output_format]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


def test_full_device(capture: Path) -> None:
    assert_one_line(run("replay", capture, "-o", "/dev/full"), 1, "No space left")
    assert_one_line(run("replay", capture, "--log", "/dev/full", "-o", "/dev/null"), 1, "No space left")


@pytest.mark.parametrize("output_format", ["table", "jsonl"])
def test_closed_stdout(capture: Path, output_format: str) -> None:
    command = f"{sys.executable} -m fastmon replay {capture} --format {output_format} >&-"
    result = subprocess.run(command, shell=True, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert result.returncode == 2
    assert result.stderr.splitlines() == ["fastmon: standard output is closed: name a file with --output"]


# Signals.


class Fed:
    """A replay of standard input, to which records are fed; what it reports can be waited for."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, terminal: int) -> None:
        self.process = process
        self.log = log
        self.terminal = terminal

    def feed(self, data: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def wait_for(self, text: str) -> None:
        """Wait until the log says `text`."""
        wait_until(lambda: self.log.exists() and text in self.log.read_text(), text)

    def result(self) -> tuple[int, list[dict[str, Any]], str]:
        """Wait for the end; return the exit code, the records and what stands on stderr."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        text, errors = self.process.stdout.read().decode(), self.process.stderr.read().decode()
        return self.process.wait(60), records(text), errors


@pytest.fixture
def fed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Fed]:
    """A replay in a session of its own: without a terminal, or, with the parameter True, with one."""
    terminal, its_side = pty.openpty() if getattr(request, "param", False) else (-1, -1)
    log = tmp_path / "run.log"
    command = [*COMMAND, "replay", "-", "--format", "jsonl", "--limit", "150", "--log", str(log)]
    pipe = subprocess.PIPE
    take = None if terminal < 0 else partial(fcntl.ioctl, its_side, termios.TIOCSCTTY, 0)
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True, preexec_fn=take) as process:  # noqa: PLW1509
        if its_side >= 0:
            os.close(its_side)
        yield Fed(process, log, terminal)
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_a_stalled_replay_with_the_summary(fed: Fed, number: signal.Signals) -> None:
    fed.feed(b.pcap_file([frame(0), frame(1)]))
    fed.wait_for("ALERT")
    fed.process.send_signal(number)
    status, lines, errors = fed.result()
    assert (status, errors) == (0, "")
    assert [(line["type"], line.get("frames")) for line in lines[-2:]] == [("snapshot", 2), ("summary", 2)]


@pytest.mark.parametrize("fed", [True], indirect=True)
def test_terminal_that_hangs_up_ends_a_run_with_the_summary(fed: Fed) -> None:
    fed.feed(b.pcap_file([frame(0), frame(1)]))
    fed.wait_for("ALERT")
    os.close(fed.terminal)
    status, lines, errors = fed.result()
    assert (status, errors) == (0, "")
    assert [(line["type"], line.get("frames")) for line in lines[-2:]] == [("snapshot", 2), ("summary", 2)]


def test_sighup_without_a_terminal_ends_no_run(fed: Fed) -> None:
    fed.feed(b.pcap_file([frame(0), frame(1)]))
    fed.wait_for("ALERT")
    fed.process.send_signal(signal.SIGHUP)
    fed.feed(b.pcap_file([frame(2)])[24:])
    assert fed.process.stdin is not None
    fed.process.stdin.close()
    status, lines, errors = fed.result()
    assert (status, errors, lines[-1]["frames"]) == (0, "", 3)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_while_the_interpreter_ends_changes_no_exit_code(number: signal.Signals) -> None:
    code = (
        "import os, signal, sys; from fastmon import __main__\n"
        "class Last:\n"
        f"    def __del__(self, send=signal.raise_signal): send({int(number)})\n"
        "sys.last = Last(); sys.argv[1:] = ['--version']; sys.exit(__main__.main())"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False).returncode == 0


def test_sighup_that_is_ignored_ends_no_run(capture: Path) -> None:
    code = (
        "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); from fastmon import __main__, cli; run = cli.main;"
        "cli.main = lambda: (os.kill(os.getpid(), signal.SIGHUP), run())[1];"
        f"sys.argv[1:] = ['replay', {str(capture)!r}, '-i', '0', '--limit', '0', '--format', 'jsonl']; sys.exit(__main__.main())"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert assert_summary_alone(process)["frames"] == 3


def test_sigusr1_reports_at_once_and_the_run_goes_on(fed: Fed) -> None:
    fed.feed(b.pcap_file([frame(0), frame(1)]))
    fed.wait_for("ALERT")
    fed.process.send_signal(signal.SIGUSR1)
    fed.wait_for(" snapshot ")
    fed.feed(b.pcap_file([frame(2)])[24:])
    assert fed.process.stdin is not None
    fed.process.stdin.close()
    status, lines, errors = fed.result()
    assert (status, errors) == (0, "")
    assert [line["frames"] for line in lines if line["type"] != "alert"] == [2, 1, 3]


COMPRESSED = gzip.compress(b.pcap_file([frame(n, 100 + n) for n in range(300)], link_type=1))


@pytest.mark.parametrize("data", [b"", b"\x1f", COMPRESSED[:2], COMPRESSED[:200]], ids=["no byte", "a byte", "magic", "some"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_wait_for_standard_input(data: bytes, number: signal.Signals) -> None:
    """Also where it is compressed: with exit code 0 and the summary."""
    pipe = subprocess.PIPE
    with subprocess.Popen(
        [*COMMAND, "replay", "-", "-i", "0", "--format", "jsonl"], stdin=pipe, stdout=pipe, stderr=pipe
    ) as process:
        assert process.stdin is not None
        process.stdin.write(data)
        process.stdin.flush()
        wait_until(partial(is_read_out, process.pid, process.stdin), "all of it to be read")
        process.send_signal(number)
        assert_summary_alone(process)


@pytest.mark.parametrize(("workers", "frames"), [(1, 3), (2, 0)])
def test_signal_ends_the_wait_for_writers_of_named_pipes(capture: Path, tmp_path: Path, workers: int, frames: int) -> None:
    """Several workers begin when the first frames of all are there."""
    pipes = [str(tmp_path / "one"), str(tmp_path / "two")]
    for path in pipes:
        os.mkfifo(path)
    command = [
        *COMMAND,
        "replay",
        str(capture),
        *pipes,
        "-i",
        "0",
        "--limit",
        "0",
        "--format",
        "jsonl",
        "--workers",
        str(workers),
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        wait_until(lambda: n_open(process.pid, pipes[0]), "the first pipe to be opened, after what comes before it")
        process.send_signal(signal.SIGINT)
        assert assert_summary_alone(process)["frames"] == frames


@pytest.mark.parametrize("format", ["table", "jsonl"])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_signal_while_a_slow_reader_keeps_output_waiting(tmp_path: Path, format: str, unbuffered: str) -> None:
    """It interrupts the write, which has then written a part; the rest is not lost."""
    path, n_hosts = tmp_path / "x.pcap", 3000
    path.write_bytes(b.pcap_file([frame(0, 100, f"10.0.{n >> 8}.{n & 255}", "192.0.2.1") for n in range(n_hosts)]))
    command = [*COMMAND, "replay", str(path), "--hosts-only", "--limit", "1", "--limit-scope", "all", "--format", format]
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        wait_until(lambda: is_full(process.pid), "a full pipe")
        process.send_signal(signal.SIGUSR1)
        wait_until(lambda: not is_pending(process.pid, signal.SIGUSR1), "the signal to come")
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, b"")
    assert output.count(b"ALERT" if format == "table" else b'"alert"') == n_hosts + 1


def is_read_out(pid: int, stdin: IO[bytes]) -> bool:
    """Return whether a run has opened standard input, which it reads through a second descriptor, and read all there is."""
    return n_open(pid, stdin.fileno()) > 1 and waiting_bytes(stdin) == 0


def is_full(pid: int) -> bool:
    """Return whether a process's standard output is a pipe that holds no more."""
    end = os.open(f"/proc/{pid}/fd/1", os.O_WRONLY | os.O_NONBLOCK)
    try:
        return not select.select([], [end], [], 0)[1]
    finally:
        os.close(end)


def assert_summary_alone(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    """Check that a run ends well with nothing but its summary, and return it."""
    process.wait(30)  # before its input is closed
    output, errors = process.communicate()
    assert (process.returncode, errors) == (0, b"")
    (summary,) = records(output.decode())
    assert summary["type"] == "summary"
    return summary


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_signal_during_the_imports_is_kept(capture: Path, number: signal.Signals) -> None:
    """One that ends the run does so with a summary; SIGUSR1 does not kill."""
    code = (
        "import os, sys; from fastmon import __main__, signals; keep = signals.keep;"
        f"signals.keep = lambda: (keep(), os.kill(os.getpid(), {int(number)}));"
        f"sys.argv[1:] = ['replay', {str(capture)!r}, '-i', '0', '--limit', '0', '--format', 'jsonl']; sys.exit(__main__.main())"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert assert_summary_alone(process)["frames"] == (3 if number == signal.SIGUSR1 else 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("arguments", [["interfaces"], ["--help"], ["replay", "--help"], ["--version"], ["replay", "--odd"]])
def test_signal_ends_what_is_no_run_and_cannot_be_written(arguments: list[str], number: signal.Signals) -> None:
    reading, written = os.pipe()
    os.set_blocking(written, False)
    with suppress(BlockingIOError):
        while True:
            os.write(written, bytes(select.PIPE_BUF))
    os.set_blocking(written, True)
    with subprocess.Popen([*COMMAND, *arguments], stdout=written, stderr=written) as process:
        wait_until(lambda: "pipe" in Path(f"/proc/{process.pid}/wchan").read_text(), "a write that is stuck")
        process.send_signal(number)
        try:
            assert process.wait(30) == -number
        finally:
            process.kill()
    os.close(reading)
    os.close(written)


def test_filter_that_does_not_suit_a_later_interface_ends_the_file_with_its_report(tmp_path: Path) -> None:
    """Also where the damage is the first frame of a gulp."""
    packet = b.ipv4("10.0.0.1", "10.0.0.2")
    file = b.PcapngFile()
    file.interface(1)
    for _ in range(CHUNK_FRAMES):
        file.packet(Frame(0, 34, 1, b.ethernet(b.IPV4, packet)))
    file.interface(101)
    file.packet(Frame(0, 20, 101, packet), interface=1)
    path = tmp_path / "two.pcapng"
    path.write_bytes(bytes(file))
    result = run("replay", path, "-i", "0", "--limit", "0", "-f", "not vlan", "--format", "jsonl")
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    (summary,) = records(result.stdout)
    assert summary["ip"] == {"frames": CHUNK_FRAMES, "bytes": 34 * CHUNK_FRAMES}


def test_filter_that_does_not_suit_the_first_interface_ends_its_file_alone(capture: Path, tmp_path: Path) -> None:
    file = b.PcapngFile()
    file.interface(101)
    file.packet(Frame(T0, 20, 101, b.ipv4("10.0.0.1", "10.0.0.2")))
    path = tmp_path / "raw.pcapng"
    path.write_bytes(bytes(file))
    result = run("replay", path, capture, "-i", "0", "--limit", "0", "-f", "not vlan", "--format", "jsonl")
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert str(path) in line
    assert "link type 101" in line
    (summary,) = records(result.stdout)
    assert summary["frames"] == 3


# Results in the way of what is read.


def test_standard_input_is_not_overwritten_by_the_results(capture: Path) -> None:
    before = capture.read_bytes()
    with capture.open("rb") as stdin:
        assert_one_line(run("replay", "-", "-o", capture, stdin=stdin), 2, "a capture file to replay")
    with capture.open("ab") as stdout:
        result = run("replay", capture, capture_output=False, stdout=stdout, stderr=subprocess.PIPE)
    assert (result.returncode, "a capture file to replay" in result.stderr) == (2, True)
    assert capture.read_bytes() == before


def test_files_to_be_written_differ(capture: Path, config: Callable[[str], Path], tmp_path: Path) -> None:
    path, out = config('interval = "0"\n'), tmp_path / "out"
    assert_one_line(run("replay", capture, "-o", out, "--log", tmp_path / "." / "out"), 2, "the file of the results")
    assert_one_line(run("replay", capture, "-o", path, "--config", path), 2, "the configuration file")
    assert_one_line(run("live", "lo", "--log", path, "--config", path), 2, "the configuration file")
    assert path.read_text() == 'interval = "0"\n'
    assert run("replay", capture, "-o", os.devnull, "--log", os.devnull).returncode == 0


def test_results_of_before_stay_where_nothing_can_be_read(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.write_text("of before")
    for output_format in ("table", "csv", "jsonl"):
        assert_one_line(run("replay", tmp_path / "absent", "-o", out, "--format", output_format), 1, "absent")
    assert out.read_text() == "of before"
    assert_one_line(run("replay", tmp_path / "absent", "-o", tmp_path), 2, "directory")


# What has no traceback.


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["replay", "--help"], []])
def test_help_that_cannot_be_written(arguments: list[str]) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        result = run(*arguments, capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert result.returncode == 1
    assert result.stderr.splitlines() == ["fastmon: cannot write to standard output: No space left on device"]
    closed = f"{sys.executable} -m fastmon {' '.join(arguments)} >&-"
    result = subprocess.run(closed, shell=True, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert (result.returncode, result.stderr) == (2, "fastmon: standard output is closed\n")


def test_results_that_cannot_be_written_to_standard_output(capture: Path) -> None:
    with open("/dev/full", "w") as full:  # noqa: PTH123
        result = run("replay", capture, capture_output=False, stdout=full, stderr=subprocess.PIPE)
        assert run("replay", capture, capture_output=False, stdout=subprocess.DEVNULL, stderr=full).returncode == 0
        assert run("replay", "absent", capture_output=False, stdout=subprocess.DEVNULL, stderr=full).returncode == 1
    assert result.returncode == 1
    assert result.stderr.splitlines() == ["fastmon: cannot write the results: No space left on device"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_file_name_that_the_output_encoding_lacks(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "\u20ac.pcap"
    path.write_bytes(b.pcap_file([frame(0)]))
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    result = run("replay", path, "-i", "0", env=environment)
    assert (result.returncode, result.stderr) == (0, "")
    assert "\\u20ac.pcap" in result.stdout
    assert_one_line(run("replay", tmp_path / "\u20ac", env=environment), 1, "\\u20ac")


HUGE = "1" + "0" * 5000


@pytest.mark.parametrize(
    "arguments",
    [["--limit", HUGE], ["--duration", HUGE], ["-i", f"1.{HUGE}s"], ["-n", HUGE], ["--local", f"10.0.0.0/{HUGE}"], ["--log", ""]],
)
def test_number_of_thousands_of_digits(capture: Path, arguments: list[str]) -> None:
    assert_one_line(run("replay", capture, *arguments), 2)


@pytest.mark.parametrize(
    ("content", "word"),
    [(b"\xff\xfe", "UTF-8"), (b"top = " + b"[" * 200_000, "nested"), (f"top = {HUGE}".encode(), "digits")],
    ids=["no UTF-8", "nested deeply", "huge number"],
)
def test_odd_configuration(capture: Path, tmp_path: Path, content: bytes, word: str) -> None:
    path = tmp_path / "odd.toml"
    path.write_bytes(content)
    assert_one_line(run("replay", capture, "--config", path), 2, str(path), word)
