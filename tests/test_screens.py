"""What people see on terminals of all widths and kinds, and in which time zone."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import builders as b
import pytest
from test_renamed_outputs import frame

from fastmon.capture import live
from fastmon.config import load_config
from fastmon.errors import CaptureError
from fastmon.model.frames import Frame
from fastmon.model.units import format_local_time, format_time
from fastmon.sinks.grid import Grid, open_page

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pcap

WIDTHS = (20, 40, 60, 80, 132)
LONG_V6 = "2001:db8:1234:5678:9abc:def0:1234:5678"
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def shown(monkeypatch: pytest.MonkeyPatch, grid: Grid, columns: int) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm-256color")
    terminal = Terminal()
    open_page(terminal).grid(grid)
    return [ESCAPE.sub("", line) for line in terminal.getvalue().splitlines()]


def grid_of(*rows: Sequence[str]) -> Grid:
    optional = [frozenset({1}), frozenset({2})]
    return Grid(("host", "name", "bytes", "total"), numbers=frozenset({2, 3}), rows=list(rows), optional=optional)


@pytest.mark.parametrize("host", ["192.168.111.121", LONG_V6])
@pytest.mark.parametrize("columns", WIDTHS)
def test_addresses_stay_whole_and_totals_are_there(monkeypatch: pytest.MonkeyPatch, columns: int, host: str) -> None:
    lines = shown(monkeypatch, grid_of((host, "a-very-long-name-of-a-device", "1.1 MB", "1.2 MB")), columns)
    assert any(host in line for line in lines)
    assert any("1.2 MB" in line for line in lines)
    assert all(len(line) <= columns or line == host for line in lines)


def test_row_that_fits_on_no_line_takes_several(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, grid_of((LONG_V6, "name", "1 B", "2 B")), 40) == [LONG_V6, "  total 2 B"]


def test_lists_are_wrapped_between_their_words(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = Grid(("interface", "addresses"), rows=[("eth0", "192.168.1.2/24, 10.0.0.2/8")], folded=frozenset({1}))
    assert [line.split() for line in shown(monkeypatch, grid, 26)[1:]] == [["eth0", "192.168.1.2/24,"], ["10.0.0.2/8"]]


def on_terminal(tmp_path: Path, *arguments: str, columns: int = 80, **environment: str | None) -> str:
    """Return what a command writes to a terminal."""
    code = (
        "import fcntl, os, pty, struct, sys, termios\n"
        "pid, terminal = pty.fork()\n"
        "if pid == 0:\n"
        f"    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 24, {columns}, 0, 0))\n"
        "    os.execv(sys.executable, [sys.executable, '-m', 'fastmon', *sys.argv[1:]])\n"
        "try:\n"
        "    while data := os.read(terminal, 65536): os.write(1, data)\n"
        "except OSError: pass\n"
    )
    usual = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "TERM", "NO_COLOR", "COLORTERM")}
    told = {"TERM": "xterm-256color", **environment}
    settings = usual | {name: value for name, value in told.items() if value is not None}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=tmp_path, env=settings, capture_output=True, timeout=120, check=True
    )
    return done.stdout.decode().replace("\r\n", "\n")


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    packet = b.ipv6(LONG_V6, "2a00:1450:4001:0831:ffff:ffff:ffff:200e", b.udp(1, 2))
    frames = [frame(0), frame(1), Frame(frame(2).ts_ns, 14 + len(packet), 1, b.ethernet(b.IPV6, packet))]
    path = tmp_path / "x.pcap"
    path.write_bytes(b.pcap_file(frames))
    return path


@pytest.mark.parametrize("columns", WIDTHS)
def test_summary_has_hosts_and_totals_on_any_terminal(tmp_path: Path, capture: Path, columns: int) -> None:
    text = ESCAPE.sub("", on_terminal(tmp_path, "replay", str(capture), "-i", "0", "--ports", columns=columns))
    assert {LONG_V6, "192.168.1.2", "192.0.2.1"} <= set(text.split())
    assert "total" in text
    assert "…" not in text


@pytest.mark.parametrize(
    ("environment", "has_colours"),
    [({}, True), ({"TERM": None}, False), ({"TERM": "dumb"}, False), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": ""}, True)],
)
def test_colours(tmp_path: Path, capture: Path, environment: dict[str, str | None], has_colours: bool) -> None:
    text = on_terminal(tmp_path, "replay", str(capture), "-i", "0", columns=60, **environment)
    assert ("\x1b" in text) == has_colours
    assert "192.168.1.2" in text


def test_local_times_have_their_offset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        assert format_local_time(1_767_225_600_500_000_000) == "2026-01-01T01:00:00.500000+01:00"
        assert format_local_time(1_782_864_000_000_000_001) == "2026-07-01T02:00:00.000000+02:00"
        assert format_time(1_767_225_600_500_000_000) == "2026-01-01T00:00:00.500000Z"
    finally:
        monkeypatch.undo()
        time.tzset()


def run(folder: Path, *options: str, **environment: str) -> str:
    command = [sys.executable, "-m", "fastmon", "replay", "x.pcap", "-i", "0", *options]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_tables_and_logs_show_local_times_and_records_do_not(tmp_path: Path, capture: Path) -> None:
    assert capture.name == "x.pcap"
    zone = {"TZ": "Asia/Kolkata"}
    table = run(tmp_path, "--time", "local", "--limit", "50", "--log", "run.log", **zone)
    assert "2026-01-01 05:30:00.000 to 05:30:02.000 +05:30 (2s)" in table
    assert "at 2026-01-01T05:30:00.000000+05:30" in table
    log = (tmp_path / "run.log").read_text()
    assert "start=2026-01-01T05:30:00.000000+05:30" in log
    assert all("+05:30 " in line[:40] for line in log.splitlines())
    assert '"start":"2026-01-01T00:00:00.000000Z"' in run(tmp_path, "--time", "local", "--format", "jsonl", **zone)
    assert "2026-01-01 00:00:00.000 to 00:00:02.000 UTC (2s)" in run(tmp_path, **zone)


def test_table_across_a_change_of_clocks_has_both_zones(tmp_path: Path) -> None:
    first, last = frame(0), replace(frame(0), ts_ns=frame(0).ts_ns + 20_000_000 * 1_000_000_000)
    (tmp_path / "x.pcap").write_bytes(b.pcap_file([first, last]))
    text = run(tmp_path, "--time", "local", TZ="Europe/Berlin")
    assert "2026-01-01 01:00:00.000 +01:00 to 2026-08-20 13:33:20.000 +02:00" in text


@pytest.mark.parametrize("text", [b"\xef\xbb\xbf", b"\xef\xbb\xbf# Notepad\r\n"])
def test_configuration_with_a_byte_order_mark_is_read(text: bytes) -> None:
    assert load_config("x.toml", lambda *_: text + b"top = 7\r\n").options == {"top": 7}


@pytest.mark.parametrize("is_own", [True, False])
def test_permission_that_is_missing_is_named_with_the_way_to_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, is_own: bool
) -> None:
    """An interpreter of fastmon's own gets the capability; for one that others use the risk is told."""
    python = tmp_path / "venv" / "bin" / "python3"
    python.parent.mkdir(parents=True)
    shared = tmp_path / "python3.11"
    shared.touch()
    if is_own:
        python.touch()
    else:
        python.symlink_to(shared)
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "venv"))

    def refused(*_: object, **__: object) -> pcap.pcap:
        raise OSError("socket: Operation not permitted")

    monkeypatch.setattr("pcap.pcap", refused)
    with pytest.raises(CaptureError) as caught:
        live.open_live("lo")
    told = str(caught.value)
    assert f"setcap cap_net_raw=ep {python if is_own else shared}" in told
    assert ("would let every program" in told) == (not is_own)
    assert "AmbientCapabilities=CAP_NET_RAW" in told
    assert "ADMIN" not in told
    assert "\n" not in told
