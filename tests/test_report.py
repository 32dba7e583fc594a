"""What each format shows."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest
from fakes import T0, FakeFrame, S, key, limit_alert, snapshot_of

from fastmon.model.alerts import Alert
from fastmon.model.counters import SourceCounts
from fastmon.model.snapshot import CHUNK_ROWS, HOST_DTYPE, Count, Counters, Dropped, Interval, Overflow, Snapshot
from fastmon.run.subscriber import Problem
from fastmon.sinks.base import printable
from fastmon.sinks.csv import CsvSink
from fastmon.sinks.grid import Grid, open_page
from fastmon.sinks.jsonl import JsonlSink
from fastmon.sinks.log import LogSink
from fastmon.sinks.notices import NoticeSink, ProgressBar, ProgressSink
from fastmon.sinks.output import Writing
from fastmon.sinks.table import TableSink

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MINUTE = Interval(T0, T0 + 60 * S)
ALERTS = (
    limit_alert("10.0.0.1", T0 + S, 1_000_400, 1_000_000, local=True),
    limit_alert("2001:db8::1", T0 + 2 * S, 1_000_001, 1_000_000, local=False),
)
COUNTERS = Counters(
    frames=Count(9, 900),
    ip=Count(2, 150),
    non_ip=Count(6, 700),
    undecoded={
        "truncated": Count(1, 50),
        "malformed": Count(),
        "too_deep": Count(),
        "encrypted": Count(),
        "unsupported_link_type": Count(),
    },
    overflow=Overflow(5, 500, 0, 0),
)


def snapshot(**changes: Any) -> Snapshot:
    frames = [FakeFrame(T0, 100, 1, 2), FakeFrame(T0 + S, 50, 2, 1)]
    return replace(snapshot_of(frames, MINUTE, flagged=[key(2)]), **{"source": "x.pcap", **changes})


def many_hosts(n_hosts: int) -> Snapshot:
    hosts = np.zeros(n_hosts, HOST_DTYPE)
    hosts["key"][:, 12:] = np.arange(n_hosts, dtype=">u4").view(np.uint8).reshape(-1, 4)
    hosts["bytes_in"] = np.arange(n_hosts)
    marks = np.zeros(n_hosts, np.bool_)
    return Snapshot(MINUTE, Counters(), hosts, hosts["bytes_in"], hosts["bytes_out"], marks, marks)


def jsonl(*events: Snapshot | Sequence[Alert]) -> list[dict[str, Any]]:
    stream = io.BytesIO()
    sink = JsonlSink(stream)
    for event in events:
        sink.snapshot(event) if isinstance(event, Snapshot) else sink.alerts(event)
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def table(*events: Snapshot | Sequence[Alert], top: int = 20) -> str:
    stream = io.StringIO()
    sink = TableSink(stream, top)
    for event in events:
        sink.snapshot(event) if isinstance(event, Snapshot) else sink.alerts(event)
    return stream.getvalue()


def test_jsonl_summary_is_the_contract() -> None:
    (record,) = jsonl(snapshot(counters=COUNTERS, dropped=Dropped(1, 2, 3, 4, 5, 6), is_summary=True))
    assert record == {
        "type": "summary",
        "source": "x.pcap",
        "start": "2026-01-01T00:00:00.000000Z",
        "end": "2026-01-01T00:01:00.000000Z",
        "intervals": 1,
        "bytes_of": "frame",
        "duration_seconds": 60.0,
        "frames": 9,
        "bytes": 900,
        "ip": {"frames": 2, "bytes": 150},
        "non_ip": {"frames": 6, "bytes": 700},
        "undecoded": {
            "truncated": {"frames": 1, "bytes": 50},
            "malformed": {"frames": 0, "bytes": 0},
            "too_deep": {"frames": 0, "bytes": 0},
            "encrypted": {"frames": 0, "bytes": 0},
            "unsupported_link_type": {"frames": 0, "bytes": 0},
        },
        "duplicates": {"frames": 0, "bytes": 0},
        "dropped": {"kernel": 1, "interface": 2, "backlog": 3, "file_interface": 4, "file_system": 5, "file_frames": 6},
        "packet_log_dropped": 0,
        "contacts_dropped": 0,
        "names_dropped": 0,
        "overflow": {"frames_in": 5, "bytes_in": 500, "frames_out": 0, "bytes_out": 0},
        "hosts": [
            {
                "host": "10.0.0.1",
                "bytes_in": 50,
                "bytes_out": 100,
                "packets_in": 1,
                "packets_out": 1,
                "first_seen": "2026-01-01T00:00:00.000000Z",
                "last_seen": "2026-01-01T00:00:01.000000Z",
                "local": True,
                "flagged": False,
            },
            {
                "host": "10.0.0.2",
                "bytes_in": 100,
                "bytes_out": 50,
                "packets_in": 1,
                "packets_out": 1,
                "first_seen": "2026-01-01T00:00:00.000000Z",
                "last_seen": "2026-01-01T00:00:01.000000Z",
                "local": True,
                "flagged": True,
            },
        ],
    }


def test_jsonl_snapshot_has_totals_since_the_start() -> None:
    (record,) = jsonl(snapshot(total_bytes_in=np.array([7, 8], np.uint64), total_bytes_out=np.array([2**63, 9], np.uint64)))
    assert record["type"] == "snapshot"
    assert [(host["total_bytes_in"], host["total_bytes_out"]) for host in record["hosts"]] == [(7, 2**63), (8, 9)]


def test_jsonl_alerts() -> None:
    first, second = jsonl(ALERTS)
    assert len(first.pop("id")) == 16
    assert first == {
        "type": "alert",
        "rule": "limit",
        "kind": "total",
        "state": "firing",
        "severity": "warning",
        "scope": "local",
        "time": "2026-01-01T00:00:01.000000Z",
        "since": "2026-01-01T00:00:01.000000Z",
        "host": "10.0.0.1",
        "local": True,
        "value": 1_000_400,
        "limit": 1_000_000,
        "unit": "bytes",
        "total_bytes": 1_000_400,
        "limit_bytes": 1_000_000,
        "reason": "10.0.0.1 moved 1,000,400 bytes since the start (limit 1,000,000)",
    }
    assert (second["host"], second["local"], second["total_bytes"]) == ("2001:db8::1", False, 1_000_001)


def test_silenced_alert_is_recorded_but_not_shown() -> None:
    silenced = replace(ALERTS[0], is_silenced=True)
    (record,) = jsonl([silenced])
    assert record["silenced"] is True
    assert table([silenced, ALERTS[1]]).count("ALERT") == 1
    stream = io.StringIO()
    NoticeSink(stream, ProgressBar(0)).alerts([silenced, ALERTS[1]])
    assert stream.getvalue().count("ALERT") == 1


def test_cleared_alert_says_how_long_and_how_much() -> None:
    cleared = replace(
        ALERTS[0],
        state="cleared",
        rule="uplink",
        kind="rate",
        unit="bit/s",
        ts_ns=T0 + 131 * S,
        peak=95.2e6,
        reason="",
        value=1.0,
    )
    assert table([cleared]) == (
        "CLEARED uplink (warning): 10.0.0.1 (local): after 2m10s, peak 95.2 Mbit/s; 1 bit/s, the limit is 1.0 Mbit/s, "
        "at 2026-01-01T00:02:11.000000Z\n"
    )
    (record,) = jsonl([cleared])
    assert (record["state"], record["duration_seconds"], record["peak"]) == ("cleared", 130, 95_200_000)
    assert "total_bytes" not in record


def test_alerts_keep_their_order_on_the_page() -> None:
    cleared = replace(ALERTS[0], state="cleared")
    assert [line.split()[0] for line in table([ALERTS[0], cleared, ALERTS[1]]).splitlines()] == ["ALERT", "CLEARED", "ALERT"]


@pytest.mark.parametrize("n_hosts", [0, 1, CHUNK_ROWS, CHUNK_ROWS + 1])
def test_jsonl_of_any_number_of_hosts_is_one_line(n_hosts: int) -> None:
    (record,) = jsonl(many_hosts(n_hosts))
    assert [host["bytes_in"] for host in record["hosts"]] == list(range(n_hosts))


def test_jsonl_source_that_is_no_unicode() -> None:
    (record,) = jsonl(snapshot(source="a\udcff\n.pcap"))
    assert record["source"] == "a\\udcff\n.pcap"


def test_jsonl_is_what_msgspec_reads() -> None:
    stream = io.BytesIO()
    JsonlSink(stream).snapshot(snapshot())
    assert msgspec.json.decode(stream.getvalue())["hosts"][0]["host"] == "10.0.0.1"


class FlushedStream(io.BytesIO):
    """Keeps what had been written at each flush."""

    def __init__(self) -> None:
        super().__init__()
        self.flushed: list[bytes] = []

    def flush(self) -> None:
        self.flushed.append(self.getvalue())


def test_jsonl_is_flushed_after_each_event() -> None:
    stream = FlushedStream()
    sink = JsonlSink(stream)
    sink.alerts(ALERTS)
    sink.snapshot(snapshot())
    assert [text.count(b"\n") for text in stream.flushed] == [2, 3]


def test_csv_has_one_header_and_every_host() -> None:
    stream = io.StringIO()
    sink = CsvSink(stream)
    sink.snapshot(snapshot(source='odd, "name"\n.pcap'))
    sink.alerts(ALERTS)
    sink.snapshot(replace(many_hosts(CHUNK_ROWS + 1), is_summary=True))
    header, *lines = csv.reader(io.StringIO(stream.getvalue()))
    assert " ".join(header) == (
        "type source start end host bytes_in bytes_out packets_in packets_out first_seen last_seen local flagged "
        "total_bytes_in total_bytes_out name mac vendor app apps addresses service category bytes_of"
    )
    assert dict(zip(header, lines[1], strict=True)) == {
        "type": "snapshot",
        "source": 'odd, "name"\\n.pcap',
        "start": "2026-01-01T00:00:00.000000Z",
        "end": "2026-01-01T00:01:00.000000Z",
        "host": "10.0.0.2",
        "bytes_in": "100",
        "bytes_out": "50",
        "packets_in": "1",
        "packets_out": "1",
        "first_seen": "2026-01-01T00:00:00.000000Z",
        "last_seen": "2026-01-01T00:00:01.000000Z",
        "local": "true",
        "flagged": "true",
        "total_bytes_in": "100",
        "total_bytes_out": "50",
        **dict.fromkeys(("name", "mac", "vendor", "app", "apps", "addresses", "service", "category"), ""),
        "bytes_of": "frame",
    }
    assert [line[5] for line in lines if line[0] == "summary"] == [str(n) for n in range(CHUNK_ROWS + 1)]
    assert "ALERT" not in stream.getvalue()


def test_table_on_no_terminal_is_plain_and_aligned() -> None:
    assert table(snapshot()) == (
        "x.pcap  2026-01-01 00:00:00.000 to 00:01:00.000 UTC (1m)\n"
        "2 hosts, 2 frames, 150 B, 0 frames/s, 20 bit/s\n"
        "host      side   bytes in  bytes out  total  packets in  packets out   share  state\n"
        "10.0.0.1  local      50 B      100 B  150 B           1            1  100.0%  OK\n"
        "10.0.0.2  local     100 B       50 B  150 B           1            1  100.0%  FLAGGED\n"
        "\n"
    )


def test_table_says_what_belongs_to_no_host() -> None:
    text = table(snapshot(counters=COUNTERS, dropped=Dropped(12, 0, 3)))
    assert "not IP: 6 frames (700 B)\n" in text
    assert "not decoded: truncated 1 frames (50 B)\n" in text
    assert "of hosts that did not fit: in 5 frames (500 B), out 0 frames (0 B)\n" in text
    assert "LOST frames: 12 in the capture buffer, 3 in the kernel's backlog (whole machine)\n" in text


def test_table_has_the_losses_of_a_file_apart() -> None:
    text = table(snapshot(dropped=Dropped(file_interface=1321, file_system=55, file_frames=7)))
    losses = "1,321 at its interface, 55 in its system, 7 counted from frame to frame"
    assert f"LOST frames, as the capture file says: {losses}\n" in text
    assert "LOST frames:" not in text


def test_table_is_silent_about_zeros() -> None:
    text = table(snapshot())
    assert not any(word in text for word in ("not IP", "not decoded", "did not fit", "LOST", "more hosts"))


def test_table_has_the_biggest_hosts() -> None:
    lines = table(many_hosts(100), top=2).splitlines()
    assert [line.split()[0] for line in lines if line.startswith("::")] == ["::63", "::62"]
    assert "98 more hosts" in lines


def test_table_of_no_rows() -> None:
    assert "10.0.0.1" not in table(snapshot(), top=0)


def test_table_of_silence_is_one_line() -> None:
    assert table(replace(snapshot_of([], MINUTE), source="eth0")) == (
        "eth0  2026-01-01 00:00:00.000 to 00:01:00.000 UTC (1m): no traffic\n\n"
    )


def test_table_of_silence_still_tells_of_loss() -> None:
    assert "LOST frames: 5 in the capture buffer" in table(replace(snapshot_of([], MINUTE), dropped=Dropped(5)))
    assert "LOST names: 5,000\n" in table(replace(snapshot_of([], MINUTE), names_dropped=5000))


SOURCES = (SourceCounts("eth\x1b0", 9, Dropped(4, 3), 0), SourceCounts("wg0", 1, Dropped(), 1_549_000_000))


def test_table_tells_which_interface_lost_frames_and_which_was_away() -> None:
    text = table(replace(snapshot_of([], MINUTE), sources=SOURCES))
    assert "LOST frames by interface: eth\\x1b0 7\n" in text
    assert "AWAY: wg0 for 1s500ms\n" in text
    assert "LOST" not in table(replace(snapshot_of([], MINUTE), sources=SOURCES[1:]))


def test_jsonl_has_the_share_of_each_interface() -> None:
    (record,) = jsonl(replace(snapshot_of([], MINUTE), sources=SOURCES))
    assert record["sources"] == [
        {"source": "eth\x1b0", "frames": 9, "dropped": {"kernel": 4, "interface": 3}, "away_seconds": 0.0},
        {"source": "wg0", "frames": 1, "dropped": {"kernel": 0, "interface": 0}, "away_seconds": 1.549},
    ]


def test_table_of_an_empty_capture_has_no_time() -> None:
    empty = replace(snapshot_of([], Interval(0, 0)), source="x.pcap", is_summary=True)
    assert table(empty) == "summary of x.pcap: no traffic\n\n"


def test_table_of_an_instant_has_no_rates() -> None:
    assert "frames/s" not in table(snapshot(interval=Interval(T0, T0)))


def test_table_interval_over_midnight_has_both_dates() -> None:
    text = table(snapshot(interval=Interval(T0 - S, T0 + S)))
    assert "2025-12-31 23:59:59.000 to 2026-01-01 00:00:01.000 UTC (2s)" in text


def test_table_cleans_foreign_names() -> None:
    text = table(snapshot(source="a\x1b[31m\nb.pcap"))
    assert "\x1b" not in text
    assert text.startswith("a\\x1b[31m\\nb.pcap  ")


def test_share_of_a_host_that_talks_to_itself_is_no_more_than_all() -> None:
    assert "  100.0%  " in table(snapshot_of([FakeFrame(T0, 100, 1, 1)], MINUTE))


def test_alert_lines() -> None:
    assert table(ALERTS) == (
        "ALERT limit (warning): 10.0.0.1 moved 1,000,400 bytes since the start (limit 1,000,000), "
        "at 2026-01-01T00:00:01.000000Z\n"
        "ALERT limit (warning): 2001:db8::1 moved 1,000,001 bytes since the start (limit 1,000,000), "
        "at 2026-01-01T00:00:02.000000Z\n"
    )


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("total_bytes", "patience_s", "is_terminal", "is_shown"),
    [(10**9, 0, True, True), (10**6, 0, True, False), (10**9, 3600, True, False), (10**9, 0, False, False)],
)
def test_progress_is_shown_of_a_long_replay_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, total_bytes: int, patience_s: float, is_terminal: bool, is_shown: bool
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal() if is_terminal else io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr("fastmon.sinks.notices.PATIENCE_S", patience_s)
    bar = ProgressBar(total_bytes)
    if bar.is_wanted:
        sink = ProgressSink(stream, bar)
        sink.progress(total_bytes // 2)
        sink.close()
    assert ("0.5/1.0 GB" in stream.getvalue()) == is_shown
    assert (stream.getvalue() == "") == (not is_shown)


def test_table_on_a_terminal_is_drawn_by_rich(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.delenv("NO_COLOR", raising=False)
    stream = Terminal()
    TableSink(stream, 20).snapshot(snapshot(source="[red]x[/red].pcap"))
    lines = stream.getvalue().splitlines()
    (flagged,) = (line for line in lines if "FLAGGED" in line)
    assert "\x1b[31m" in flagged
    assert "[red]x[/red].pcap" in stream.getvalue()


def test_grid_without_rows_has_titles() -> None:
    stream = io.StringIO()
    open_page(stream).grid(Grid(("interface", "state")))
    assert stream.getvalue() == "interface  state\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [("eth0", "eth0"), ("ü.pcap", "ü.pcap"), ("a\tb", "a\\tb"), ("\x9b", "\\x9b"), ("\u202e", "\\u202e"), ("\udcff", "\\udcff")],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_log_has_the_shares_of_several_interfaces(tmp_path: Path) -> None:
    path = tmp_path / "fastmon.log"
    sink = LogSink(str(path), Writing())
    sink.snapshot(replace(snapshot(), sources=SOURCES))
    sink.snapshot(replace(snapshot(), sources=(SourceCounts("eth0", 2),)))
    sink.close()
    several, alone = path.read_text().splitlines()
    shares = "frames[eth\\x1b0]=9 dropped[eth\\x1b0]=7 away[eth\\x1b0]=0s frames[wg0]=1 dropped[wg0]=0 away[wg0]=1s549ms"
    assert several.endswith(shares)
    assert "[" not in alone


def test_log_has_a_line_for_each_event(tmp_path: Path) -> None:
    path = tmp_path / "fastmon.log"
    sink = LogSink(str(path), Writing())
    sink.snapshot(snapshot(dropped=Dropped(7, file_interface=8, file_frames=9)))
    sink.alerts(ALERTS)
    sink.problem(Problem("x.pcap: cut\nin the middle"))
    sink.snapshot(snapshot(counters=COUNTERS, is_summary=True))
    sink.close()
    lines = [line.split(" ", 2) for line in path.read_text().splitlines()]
    assert [level for _, level, _ in lines] == ["INFO", "WARNING", "WARNING", "ERROR", "INFO"]
    assert all(time.endswith("Z") for time, _, _ in lines)
    assert lines[0][2] == (
        "snapshot source=x.pcap start=2026-01-01T00:00:00.000000Z end=2026-01-01T00:01:00.000000Z frames=2 bytes=150 hosts=2 "
        "flagged=1 non_ip=0 undecoded=0 duplicates=0 dropped_kernel=7 dropped_interface=0 dropped_backlog=0 "
        "dropped_file_interface=8 dropped_file_system=0 dropped_file_frames=9 "
        "packet_log_dropped=0 contacts_dropped=0 names_dropped=0 bytes_of=frame"
    )
    assert [line.split()[3] for _, _, line in lines[1:3]] == ["10.0.0.1", "2001:db8::1"]
    assert lines[3][2] == "x.pcap: cut\\nin the middle"
    assert lines[4][2].startswith("summary ")
    assert " non_ip=6 undecoded=1 " in lines[4][2]


def test_log_is_appended_to_and_rotated(tmp_path: Path) -> None:
    path = tmp_path / "fastmon.log"
    path.write_text("before\n")
    sink = LogSink(str(path), Writing(), max_bytes=500, kept_files=2)
    for _ in range(20):
        sink.problem(Problem("x" * 100))
    sink.close()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["fastmon.log", "fastmon.log.1", "fastmon.log.2"]
    assert all(file.stat().st_size <= 500 for file in tmp_path.iterdir())


def test_log_that_cannot_be_written_raises(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="directory"):
        LogSink(str(tmp_path / "absent" / "fastmon.log"), Writing())
    sink = LogSink("/dev/full", Writing())
    with pytest.raises(OSError, match="No space left"):
        sink.problem(Problem("x"))
    with pytest.raises(OSError, match="No space left"):
        sink.close()


@pytest.mark.parametrize("path", [None, "/dev/full"], ids=["closed", "full"])
def test_notices_that_cannot_be_written_are_nobodys_problem(path: str | None) -> None:
    stream = None if path is None else open(path, "w", buffering=1)  # noqa: SIM115, PTH123 - closing it fails too
    sink = NoticeSink(stream, ProgressBar(0))
    sink.alerts(ALERTS)
    sink.problem(Problem("x"))
    if stream is not None:
        with pytest.raises(OSError, match="No space left"):
            stream.close()


def test_notices_are_lines() -> None:
    stream = io.StringIO()
    sink = NoticeSink(stream, ProgressBar(0))
    sink.alerts(ALERTS)
    sink.problem(Problem("x.pcap: cut\nin the middle"))
    *alerts, last = stream.getvalue().splitlines()
    assert last == "fastmon: x.pcap: cut\\nin the middle"
    assert [line.split()[0] for line in alerts] == ["ALERT", "ALERT"]


LONG = "2001:db8:1111:2222:3333:4444:5555:6666"


def long_named(snapshot: Snapshot) -> Snapshot:
    """Give a snapshot's first host the address `LONG`, whose text has 38 characters, and much traffic."""
    hosts = snapshot.hosts.copy()
    hosts["key"][0] = np.frombuffer(bytes.fromhex(LONG.replace("2001:db8", "2001:0db8").replace(":", "")), np.uint8)
    hosts["bytes_in"][0], hosts["packets_in"][0] = 999_900_000, 999_999_999
    return replace(snapshot, hosts=hosts)


@pytest.mark.parametrize(
    ("width", "titles"),
    [
        (130, ["host", "side", "bytes in", "bytes out", "total", "packets in", "packets out", "share", "state"]),
        (80, ["host", "bytes in", "bytes out", "total", "state"]),
    ],
)
def test_terminal_shows_hosts_whole_and_as_many_columns_as_fit(
    width: int, titles: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    TableSink(stream, 20).snapshot(long_named(snapshot()))
    lines = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()).splitlines()
    (header,) = (line for line in lines if line.startswith("host"))
    assert header.split() == " ".join(titles).split()
    (row,) = (line for line in lines if line.startswith(LONG))
    assert row.split()[-1] == "OK"
    assert max(map(len, lines)) <= width


@pytest.mark.parametrize(("width", "titles"), [(120, ["rule", "host", "reason"]), (45, ["rule", "reason"])])
def test_terminal_wraps_sentences_before_it_leaves_columns_out(
    width: int, titles: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    grid = Grid(
        ("rule", "host", "reason"),
        rows=[("quota", "192.168.100.200", "it moved much " * 12)],
        optional=(frozenset({1}),),
        prose=frozenset({2}),
    )
    open_page(stream).grid(grid)
    head, *rows = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()).splitlines()
    assert head.split() == titles
    assert " ".join(rows).split().count("moved") == 12
    assert max(map(len, rows)) <= width


@pytest.mark.parametrize("width", [30, 80])
def test_terminal_folds_what_is_too_wide(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    addresses = ", ".join([f"{LONG}/64"] * 3)
    grid = Grid(("interface", "state", "addresses"), rows=[("eth0", "down", addresses)], folded=frozenset({0, 2}))
    open_page(stream).grid(grid)
    _, *rows = re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()).splitlines()
    assert "down" in rows[0]
    assert "".join("".join(rows).split()).replace("eth0", "").replace("down", "") == addresses.replace(" ", "")
