"""Rules on live traffic: the same alerts as of the same frames replayed, and actions that get them."""

from __future__ import annotations

import json
import signal
import time
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import builders as b
from scenarios.month import (
    BURST,
    EPOCH,
    FLAP,
    HOST_SCANNER,
    KNOWN,
    LAMP,
    LEAK,
    NEWCOMER,
    NEWCOMERS_OTHER,
    PORT_SCANNER,
    PRINTER,
    frame,
)
from waiting import wait_until

from fastmon.model.frames import Frame

from .command import run as run_command
from .traffic import Sending

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from .command import Command
    from .traffic import Sender

    Start = Callable[..., Command]

S = 1_000_000_000

RULES = """
[[rule]]
name = "leak"
kind = "total"
scope = "10.0.0.40"
limit = "10kB"
warn-at = [80, 100]

[[rule]]
name = "flap"
kind = "rate"
scope = "10.0.0.7"
limit = "100kbit/s"
clear = "50kbit/s"
window = "1s"
for = "1s"
clear-for = "2s"

[[rule]]
name = "burst"
kind = "rate"
scope = "10.0.0.8"
limit = "1Mbit/s"
window = "1s"

[[rule]]
name = "scan"
kind = "spread"
ports = 100
peers = 100
window = "2s"

[[rule]]
name = "newcomer"
kind = "new"
scope = "10.0.0.96/28"
learn = "3s"

[[rule]]
name = "lamp"
kind = "silent"
scope = "10.0.0.50"
for = "5s"

[[rule]]
name = "printer"
kind = "ports"
scope = "10.0.0.41"
learn = "3s"
allow = []
"""

TOLD = {
    "leak": ["firing", "firing"],
    "flap": ["firing", "cleared"],
    "burst": ["firing", "cleared"],
    "scan": ["firing", "firing", "cleared", "cleared"],
    "newcomer": ["firing"],
    "lamp": ["firing", "cleared"],
    "printer": ["firing"],
}


def at(second: float, src: str, *details: Any, n_frames: int = 1, **more: Any) -> tuple[float, list[bytes]]:
    """Return when to send, in seconds from the start, and the same frame so many times."""
    data = frame(EPOCH, src, *details, **more).data
    return second, [data + bytes(1400 - len(data))] * n_frames


def scans() -> list[tuple[float, list[bytes]]]:
    ports = [frame(EPOCH, PORT_SCANNER, port=1000 + number, flags=b.SYN).data for number in range(200)]
    peers = [frame(EPOCH, HOST_SCANNER, f"198.51.100.{number}", 22, flags=b.SYN).data for number in range(1, 201)]
    return [(7.4, ports), (8.6, peers)]


SCENARIO = sorted(
    [
        at(0.4, KNOWN),
        at(0.4, PRINTER),
        at(1.4, LAMP),
        *(at(second + 0.3, FLAP, n_frames=10 if second in (1, 2, 3, 5) else 5) for second in range(1, 7)),
        *(at(second + 0.2, LEAK, n_frames=2) for second in range(1, 5)),
        at(4.5, BURST, n_frames=140),
        at(6.2, KNOWN),
        at(6.4, NEWCOMER),
        at(6.6, NEWCOMERS_OTHER),
        *scans(),
        at(8.4, LAMP),
        at(9.4, PRINTER),
        at(9.5, PRINTER, port=8443, flags=b.SYN),
        at(11.6, KNOWN),
    ],
    key=lambda part: part[0],
)


def send(sender: Sender, capture: Path) -> None:
    """Send the scenario from a full second on; write it as a capture with the times when it was sent."""
    sent: list[Frame] = []
    start_ns = (time.time_ns() // S + 1) * S
    for second, frames in SCENARIO:
        time.sleep(max(start_ns + int(second * S) - time.time_ns(), 0) / S)
        ts_ns = time.time_ns()
        sender.send(Sending(frames=frames))
        sent += [Frame(ts_ns, len(data), 1, data) for data in frames]
    capture.write_bytes(b.pcap_file(sent))


def alerts(records: Sequence[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the alerts of each rule, in order."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in TOLD}
    for record in records:
        if record["type"] == "alert":
            found[record["rule"]].append(record)
    return found


def moment(alert: dict[str, Any]) -> float:
    return datetime.fromisoformat(alert["time"].replace("Z", "+00:00")).timestamp()


def test_live_traffic_gives_the_alerts_of_its_replay(sender: Sender, command: Start, tmp_path: Path) -> None:
    """A live tick may come before a frame or after it where the replayed one does not: they are a tick apart at most."""
    rules, capture = tmp_path / "rules.toml", tmp_path / "sent.pcap"
    rules.write_text(RULES)
    options = ("--config", str(rules), "--local", "10.0.0.0/8")
    run = command(*options)
    send(sender, capture)
    n_told = sum(map(len, TOLD.values()))
    run.wait_until(lambda: run.output.count('"type":"alert"') >= n_told, "all alerts")
    result = run.end(signal.SIGINT)
    summary = result.summary
    assert summary["frames"] == sum(len(frames) for _, frames in SCENARIO)
    live = alerts(result.records)
    assert {name: [alert["state"] for alert in told] for name, told in live.items()} == TOLD

    again = run_command(tmp_path, "replay", str(capture), "--format", "jsonl", "-i", "0", "--limit", "0", *options)
    replayed = alerts(again.records)
    for name, told in live.items():
        assert [(alert["host"], alert["state"]) for alert in told] == [
            (alert["host"], alert["state"]) for alert in replayed[name]
        ]
        for mine, other in zip(told, replayed[name], strict=True):
            assert abs(moment(mine) - moment(other)) <= 1.001, (mine, other)


def has_lines(path: Path, n_lines: int) -> bool:
    return path.exists() and path.read_text().count("\n") == n_lines


def test_alerts_reach_a_program_while_the_capture_goes_on(sender: Sender, command: Start, tmp_path: Path) -> None:
    told, rules = tmp_path / "told.jsonl", tmp_path / "rules.toml"
    rules.write_text(f"""
[[rule]]
name = "printer"
kind = "ports"
scope = "10.0.0.41"
deny = ["tcp/1-65535"]
actions = ["program"]

[[action]]
name = "program"
exec = ["/bin/sh", "-c", "cat >> {told}"]
""")
    run = command("--config", str(rules), "--local", "10.0.0.0/8")
    for number in range(1, 4):
        sender.send(Sending(frames=[frame(EPOCH, PRINTER, port=number, flags=b.SYN).data]))
        wait_until(partial(has_lines, told, number), "the program")
    assert run.process.poll() is None
    services = [json.loads(line)["evidence"]["service"] for line in told.read_text().splitlines()]
    assert services == ["tcp/1", "tcp/2", "tcp/3"]
    assert run.end(signal.SIGINT).summary["frames"] == 3
