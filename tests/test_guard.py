"""Rules of a configuration in whole runs of the command line: restarts, silences, reloads. `scenarios` has what they tell of."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import builders as b
import pytest
from waiting import wait_until

from fastmon.model.frames import Frame

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

S = 1_000_000_000
T0 = 1_767_225_600 * S
COMMAND = [sys.executable, "-m", "fastmon"]

CAMERA, LAPTOP, SCANNER, SERVER = "10.0.0.40", "10.0.0.7", "10.0.0.66", "192.0.2.10"

RULES = """
limit = "0"

[groups]
cameras = ["10.0.0.40"]

[[rule]]
name = "quota"
kind = "total"
scope = "group:cameras"
limit = "100kB"
per = "hour"
warn-at = [80, 100]

[[rule]]
name = "services"
kind = "ports"
scope = "group:cameras"
allow = ["udp/53", "tcp/443"]

[[rule]]
name = "scan"
kind = "spread"
scope = "local"
ports = 100
window = "1m"

[[rule]]
name = "flap"
kind = "rate"
scope = "10.0.0.7"
limit = "100kbit/s"
clear = "50kbit/s"
window = "5s"
for = "5s"
clear-for = "20s"
"""


def tcp(second: float, src: str, dst: str, dport: int, *, flags: int = b.SYN, sport: int = 40000, wire_len: int = 100) -> Frame:
    packet = b.ipv4(src, dst, b.tcp(sport, dport, flags=flags), protocol=b.TCP)
    return Frame(T0 + int(second * S), wire_len, 1, b.ethernet(b.IPV4, packet))


def scenario() -> list[Frame]:
    """Return twenty minutes: a slow leak, a rate that flaps around its limit, a scan of ports, a port that was never used."""
    frames = [tcp(second, CAMERA, SERVER, 443, flags=b.ACK, wire_len=200) for second in range(600)]
    sizes = {second: 14000 if second < 120 or second % 10 < 5 else 7000 for second in range(100, 200)}
    frames += [tcp(second + 0.1, LAPTOP, SERVER, 443, flags=b.ACK, wire_len=size) for second, size in sizes.items()]
    frames += [tcp(700 + port / 10, SCANNER, SERVER, 1000 + port, sport=50000) for port in range(300)]
    frames += [tcp(900, CAMERA, "198.51.100.5", 8443, sport=41000), tcp(1200, LAPTOP, SERVER, 443, flags=b.ACK)]
    return sorted(frames, key=lambda frame: frame.ts_ns)


def run(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *map(str, arguments)], check=False, capture_output=True, text=True, timeout=120, **options)


def alerts(result: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert result.returncode == 0, result.stderr
    return [record for record in map(json.loads, result.stdout.splitlines()) if record["type"] == "alert"]


def brief(records: Sequence[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(record["rule"], record["host"], record["state"]) for record in records]


@pytest.fixture
def cut(tmp_path: Path) -> Callable[[int], list[Path]]:
    """Return a function that writes the scenario into a number of files, one after the other."""
    return partial(b.write_pieces, tmp_path, scenario())


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    return path


EXPECTED = [
    ("flap", LAPTOP, "firing"),
    ("flap", LAPTOP, "cleared"),
    ("quota", CAMERA, "firing"),
    ("quota", CAMERA, "firing"),
    ("scan", SCANNER, "firing"),
    ("scan", SCANNER, "cleared"),
    ("services", CAMERA, "firing"),
]


def test_capture_shorter_than_a_tick_is_looked_at(rules: Path, tmp_path: Path) -> None:
    path = tmp_path / "short.pcap"
    path.write_bytes(b.pcap_file([tcp(0.2, CAMERA, SERVER, 8443)]))
    assert brief(alerts(run("replay", path, "--format", "jsonl", "--config", rules))) == [("services", CAMERA, "firing")]


def test_nothing_is_told_twice_after_a_restart_and_totals_go_on(
    cut: Callable[[int], list[Path]], rules: Path, tmp_path: Path
) -> None:
    options = ("--format", "jsonl", "--config", rules, "-i", "0", "--state", tmp_path / "state.db")
    first, second = cut(2)
    found = [*alerts(run("replay", first, *options)), *alerts(run("replay", second, *options))]
    assert brief(found) == EXPECTED
    assert alerts(run("replay", second, *options))[:0] == []
    listed = run("alerts", "--state", tmp_path / "state.db", "--format", "jsonl")
    assert {json.loads(line)["rule"] for line in listed.stdout.splitlines()} == {"quota", "flap", "scan", "services"}
    assert CAMERA in run("usage", "--state", tmp_path / "state.db").stdout
    assert CAMERA in run("devices", "--state", tmp_path / "state.db").stdout


def test_devices_were_seen_last_when_they_were(tmp_path: Path, rules: Path) -> None:
    """Though a run that goes on keeps that every few minutes only."""
    capture, state = tmp_path / "half-a-minute.pcap", tmp_path / "state.db"
    capture.write_bytes(b.pcap_file([tcp(second, CAMERA, SERVER, 443, flags=b.ACK) for second in range(30)]))
    alerts(run("replay", capture, "--format", "jsonl", "--config", rules, "-i", "0", "--state", state))
    (device,) = map(json.loads, run("devices", "--state", state, "--format", "jsonl").stdout.splitlines())
    assert device["last_seen"] == "2026-01-01T00:00:29.000000Z"


def test_silenced_alerts_say_so_and_reach_no_action(rules: Path, tmp_path: Path) -> None:
    state, told, capture = tmp_path / "state.db", tmp_path / "told.jsonl", tmp_path / "now.pcap"
    named = RULES.replace('name = "services"', 'name = "services"\nactions = ["file"]')
    rules.write_text(named + f'\n[[action]]\nname = "file"\nfile = "{told}"\n')
    options = ("--format", "jsonl", "--config", rules, "-i", "0", "--state", state)

    def see(port: int) -> list[dict[str, Any]]:
        capture.write_bytes(b.pcap_file([tcp((time.time_ns() - T0) / S, CAMERA, SERVER, port)]))
        return alerts(run("replay", capture, *options))

    (heard,) = see(8443)
    assert run("silence", "services", "1h", "--state", state).returncode == 0
    (silenced,) = see(8444)
    assert ("silenced" in heard, silenced["silenced"]) == (False, True)
    assert [json.loads(line)["id"] for line in told.read_text().splitlines()] == [heard["id"]]
    assert "services" in run("silence", "--list", "--state", state).stdout
    assert see(8444) == []  # it was told, if to nobody


def test_files_of_rules_are_kept_apart(cut: Callable[[int], list[Path]], rules: Path, tmp_path: Path) -> None:
    (capture,) = cut(1)
    result = run("replay", capture, "--config", rules, "--state", capture)
    assert (result.returncode, "a capture file to replay" in result.stderr) == (2, True)
    rules.write_text(RULES + f'\n[[action]]\nname = "file"\nfile = "{tmp_path}/out.jsonl"\n')
    result = run("replay", capture, "--config", rules, "-o", tmp_path / "out.jsonl")
    assert (result.returncode, "the file of the results" in result.stderr) == (2, True)


def test_learnt_rules_are_accepted_and_tell_a_foreign_service(cut: Callable[[int], list[Path]], tmp_path: Path) -> None:
    known = tmp_path / "known.pcap"
    known.write_bytes(b.pcap_file([frame for frame in scenario() if frame.ts_ns < T0 + 650 * S]))
    learnt = tmp_path / "learnt.toml"
    result = run("learn", known)
    assert result.returncode == 0, result.stderr
    learnt.write_text(result.stdout)
    assert run("check-config", learnt).returncode == 0
    options = ("--format", "jsonl", "--limit", "0", "-i", "0", "--config", learnt)
    assert alerts(run("replay", known, *options)) == []
    told = alerts(run("replay", *cut(1), *options))
    assert any(record["host"] == CAMERA and "tcp/8443" in record["reason"] for record in told)


def test_reload_refuses_rules_that_cannot_work(tmp_path: Path, rules: Path) -> None:
    state = tmp_path / "state.db"
    frames = [tcp(second, CAMERA, SERVER, 443, flags=b.ACK, wire_len=200) for second in range(700)]
    options = ("--hosts-only", "--format", "jsonl", "-i", "0", "--config", str(rules), "--state", str(state))
    command = [*COMMAND, "replay", "-", *options]
    total = '[[rule]]\nname = "quota"\nkind = "total"\nlimit = "90kB"\nwarn-at = [100]\n'
    rules.write_text(total)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(b.pcap_file(frames[:400]))
        process.stdin.flush()
        wait_until(lambda: run("reload", "--state", state).returncode == 0, "a run that can be told to reload")
        rules.write_text(total + '[[rule]]\nname = "failures"\nkind = "failed"\nlimit = 5\n')
        assert run("reload", "--state", state).returncode == 0
        said = process.stderr.readline()
        out, err = process.communicate(b.pcap_file(frames[400:])[24:], timeout=120)
    assert process.returncode == 0, err
    assert said == (
        b"fastmon: --hosts-only cannot be combined with rule 'failures' (failed: it needs conversations); "
        b"the rules stay as they were\n"
    )
    assert [record["rule"] for record in map(json.loads, out.splitlines()) if record["type"] == "alert"] == ["quota"]


def test_reload_keeps_counters_and_takes_new_rules(tmp_path: Path, rules: Path) -> None:
    """A pipe is the capture, so that the run goes on for as long as the test wants."""
    state = tmp_path / "state.db"
    frames = [tcp(second, CAMERA, SERVER, 443, flags=b.ACK, wire_len=200) for second in range(700)]
    command = [*COMMAND, "replay", "-", "--format", "jsonl", "-i", "0", "--config", str(rules), "--state", str(state)]
    rules.write_text(RULES.replace("100kB", "1GB"))
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(b.pcap_file(frames[:400]))
        process.stdin.flush()
        wait_until(lambda: run("reload", "--state", state).returncode == 0, "a run that can be told to reload")
        rules.write_text("limit = 5 5")
        assert run("reload", "--state", state).returncode == 0
        assert b"the rules stay as they were" in process.stderr.readline()
        rules.write_text(RULES.replace("100kB", "90kB"))
        assert run("reload", "--state", state).returncode == 0
        out, err = process.communicate(b.pcap_file(frames[400:])[24:], timeout=120)
    assert process.returncode == 0, err
    told = [record for record in map(json.loads, out.splitlines()) if record["type"] == "alert"]
    assert [(record["rule"], record["limit"]) for record in told] == [("quota", 90_000)] * 2
    assert told[-1]["value"] == 90_000
    assert run("reload", "--state", state).returncode == 1
