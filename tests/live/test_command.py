"""`fastmon live` as people and programs meet it: totals, intervals, signals, exit codes."""

from __future__ import annotations

import csv
import io
import signal
import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from waiting import wait_until

from fastmon.model.snapshot import Count

from .command import run as run_command
from .network import CAPTURED, SENDING, ip
from .traffic import Sending, conversations, totals_of_record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from .command import Command
    from .traffic import Sender

    Start = Callable[..., Command]

ENGINES = ["native", "reference"]
ENDS = [signal.SIGINT, signal.SIGTERM]


def period(record: dict[str, Any]) -> tuple[datetime, datetime]:
    start, end = (datetime.fromisoformat(record[name].replace("Z", "+00:00")) for name in ("start", "end"))
    return start, end


def assert_seamless(records: Sequence[dict[str, Any]]) -> None:
    """Check that each snapshot starts where the one before ended, and that they add up to the summary, the last of `records`."""
    *snapshots, summary = records
    assert [record["type"] for record in records] == ["snapshot"] * len(snapshots) + ["summary"]
    periods = [period(record) for record in snapshots]
    assert [end for _, end in periods[:-1]] == [start for start, _ in periods[1:]]
    assert (periods[0][0], periods[-1][1]) == period(summary)
    frames = sum((Count(record["frames"], record["bytes"]) for record in snapshots), Count())
    assert frames == Count(summary["frames"], summary["bytes"])


# Totals.


@pytest.mark.parametrize("engine", ENGINES)
def test_everything_sent_before_the_end_is_in_the_summary(sender: Sender, command: Start, engine: str) -> None:
    run = command("--engine", engine)
    sent = sender.send(conversations(3_000))
    summary = run.end(signal.SIGINT).summary
    assert totals_of_record(summary) == sent
    assert (summary["dropped"]["kernel"], summary["dropped"]["interface"]) == (0, 0)
    assert summary["source"] == CAPTURED


def test_filter_direction_and_snaplen(sender: Sender, command: Start) -> None:
    run = command("-f", "udp dst port 53", "--direction", "in", "--snaplen", "64")
    sender.send(conversations(100))
    sent = sender.send(Sending().ip_frame("10.0.0.1", "192.0.2.1", 1514, port=53).ip_frame("2001:db8::1", "2001:db8::2", port=53))
    assert totals_of_record(run.end(signal.SIGINT).summary) == sent


def test_direction_out_of_an_interface_that_only_receives(sender: Sender, command: Start) -> None:
    run = command("--direction", "out")
    sender.send(conversations(100))
    assert run.end(signal.SIGINT).summary["frames"] == 0


def test_workers_share_an_interface(sender: Sender, command: Start) -> None:
    run = command("--workers", "2", "-i", "100ms")
    sent = sender.send(conversations(2_000), 5)
    run.wait_for_frames(10_000)
    result = run.end(signal.SIGINT)
    assert totals_of_record(result.summary) == sent
    assert_seamless(result.records)


def test_packet_log_has_every_frame(sender: Sender, command: Start, tmp_path: Path) -> None:
    path = tmp_path / "packets.csv"
    run = command("--packet-log", str(path), "--workers", "2")
    sent = sender.send(conversations(2_000), 5)
    result = run.end(signal.SIGINT)
    assert totals_of_record(result.summary) == sent
    with path.open(newline="") as lines:
        sizes = [int(row["wire_len"]) for row in csv.DictReader(lines)]
    assert Count(len(sizes), sum(sizes)) == Count(result.summary["frames"], result.summary["bytes"])


def test_limit_is_told_of_while_it_runs(sender: Sender, command: Start) -> None:
    run = command("--limit", "50kB", "--limit-scope", "all")
    sender.send(Sending().ip_frame("10.0.0.1", "192.0.2.1", 1_000), 60)
    run.wait_until(lambda: '"alert"' in run.output, "an alert")
    result = run.end(signal.SIGINT)
    assert {(record["host"], record["limit_bytes"]) for record in result.records if record["type"] == "alert"} == {
        ("10.0.0.1", 50_000),
        ("192.0.2.1", 50_000),
    }
    assert all(host["flagged"] for host in result.summary["hosts"])


def test_networks_of_the_interface_are_local(sender: Sender, command: Start) -> None:
    ip("address", "add", "198.51.100.1/24", "dev", CAPTURED)
    run = command()
    sender.send(Sending().ip_frame("198.51.100.7", "10.0.0.1"))
    hosts = run.end(signal.SIGINT).summary["hosts"]
    assert {host["host"]: host["local"] for host in hosts} == {"198.51.100.7": True, "10.0.0.1": False}


def test_csv(sender: Sender, command: Start) -> None:
    run = command("--format", "csv")
    sender.send(Sending().ip_frame("10.0.0.1", "192.0.2.1", 200), 3)
    result = run.end(signal.SIGINT)
    rows = [row for row in csv.DictReader(io.StringIO(result.output)) if row["type"] == "summary"]
    assert {(row["host"], row["bytes_out"], row["packets_in"]) for row in rows} == {
        ("10.0.0.1", "600", "0"),
        ("192.0.2.1", "0", "3"),
    }


# The end.


@pytest.mark.parametrize("number", ENDS)
@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["alone", "two workers"])
def test_signal_ends_a_silent_capture(command: Start, number: signal.Signals, options: tuple[str, ...]) -> None:
    result = command("-i", "1h", *options).end(number)
    assert result.summary["frames"] == 0
    assert_seamless(result.records)


@pytest.mark.parametrize("number", ENDS)
def test_signal_ends_a_busy_capture(sender: Sender, command: Start, number: signal.Signals) -> None:
    run = command("-i", "1h")
    sent = sender.send(conversations(1_000))
    run.wait_for_frames(1_000)
    result = run.end(number)
    assert totals_of_record(result.summary) == sent
    assert_seamless(result.records)


def test_signal_ends_it_while_frames_come(sender: Sender, command: Start) -> None:
    run = command()
    sending, n_sent = conversations(100), 0
    run.process.send_signal(signal.SIGINT)

    def has_ended() -> bool:
        nonlocal n_sent
        sender.send(sending)
        n_sent += 100
        return run.process.poll() is not None

    wait_until(has_ended, "its end")
    summary = run.end().summary
    assert 0 <= summary["frames"] <= n_sent
    assert summary["frames"] == summary["ip"]["frames"] + summary["non_ip"]["frames"]


def test_duration_ends_it(sender: Sender, command: Start) -> None:
    """What was sent before is in the summary."""
    run = command("--duration", "2s")
    sending, sent_at = Sending().ip_frame("10.0.0.1", "192.0.2.1"), []

    def has_ended() -> bool:
        sender.send(sending)
        sent_at.append(time.time())
        return run.process.poll() is not None

    wait_until(has_ended, "its end")
    summary = run.end().summary
    start, end = period(summary)
    until = start + timedelta(seconds=2)
    assert until <= end
    assert 0 < sum(moment < until.timestamp() for moment in sent_at) <= summary["frames"] <= len(sent_at)


def test_duration_of_a_silent_capture(command: Start) -> None:
    assert command("--duration", "1s").end().summary["frames"] == 0


# Intervals.


def test_sigusr1_reports_now(sender: Sender, command: Start) -> None:
    run = command("-i", "1h")
    sender.send(conversations(400))
    run.wait_for_frames(400)
    assert sum(record["frames"] for record in run.snapshots) == 400
    sender.send(conversations(300))
    run.wait_for_frames(700)
    result = run.end(signal.SIGINT)
    assert_seamless(result.records)
    assert result.summary["frames"] == 700


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["alone", "two workers"])
def test_silent_interface_has_its_intervals_too(command: Start, options: tuple[str, ...]) -> None:
    run = command("-i", "200ms", *options)
    run.wait_until(lambda: len(run.snapshots) >= 6, "six intervals")
    result = run.end(signal.SIGINT)
    assert_seamless(result.records)
    assert result.summary["frames"] == 0
    are_on_the_grid = [period(record)[1].microsecond % 200_000 == 0 for record in result.records[:-1]]
    assert are_on_the_grid.count(False) <= 2  # the report that `command` asked for, and the last


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["alone", "two workers"])
def test_frame_counts_in_the_interval_of_its_timestamp(
    sender: Sender, command: Start, tmp_path: Path, options: tuple[str, ...]
) -> None:
    """So a replay of the same frames gives the same snapshots. The packet log has the timestamps."""
    path = tmp_path / "packets.csv"
    run = command("-i", "50ms", "--packet-log", str(path), *options)
    n_sent = 0

    def are_enough() -> bool:
        nonlocal n_sent
        sender.send(conversations(50))
        n_sent += 50
        return len(run.snapshots) >= 20

    run.wait_until(are_enough, "twenty intervals")
    result = run.end(signal.SIGINT)
    assert_seamless(result.records)
    with path.open(newline="") as lines:
        times = [datetime.fromisoformat(row["time"][:26] + "+00:00") for row in csv.DictReader(lines)]
    assert len(times) == result.summary["frames"] == n_sent
    inner = [record for record in result.records[:-1] if all(moment.microsecond % 50_000 == 0 for moment in period(record))]
    assert len(inner) >= 15
    for record in inner:
        start, end = period(record)
        assert record["frames"] == sum(start <= moment < end for moment in times)


def test_intervals_are_on_the_wall_clock(sender: Sender, command: Start) -> None:
    before = time.time()
    run = command("-i", "300ms")
    sending = Sending().ip_frame("10.0.0.1", "192.0.2.1")
    n_sent = 0

    def are_enough() -> bool:
        nonlocal n_sent
        sender.send(sending)
        n_sent += 1
        return len(run.snapshots) >= 6

    run.wait_until(are_enough, "six intervals")
    result = run.end(signal.SIGINT)
    assert totals_of_record(result.summary) == sending.totals(n_sent)
    assert_seamless(result.records)
    start, end = period(result.summary)
    assert before < start.timestamp() < end.timestamp() < time.time()


# What can be captured from.


@pytest.mark.usefixtures("sender")
def test_interfaces_of_the_namespace(tmp_path: Path) -> None:
    ip("address", "add", "198.51.100.1/24", "dev", CAPTURED)
    ip("link", "set", SENDING, "down")
    result = run_command(tmp_path, "interfaces")
    assert (result.status, result.errors) == (0, "")
    lines = {line.split()[0]: line.split()[1:] for line in result.output.splitlines()[1:]}
    assert lines[CAPTURED] == ["down", "198.51.100.1/24"]  # without a carrier
    assert lines[SENDING] == ["down"]
    assert lines["lo"] == ["down"]
    assert lines["any"][0] == "up"
    assert not any(name.startswith(("eth", "en", "wl")) for name in lines)
