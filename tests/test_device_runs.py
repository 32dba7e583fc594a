"""Quotas of devices in whole runs of the command line: files, workers, restarts, what is shown of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import builders as b
import pytest
from test_guard import T0, S, alerts, run

from fastmon.model.frames import Frame

if TYPE_CHECKING:
    from pathlib import Path

V4, V6, NEW_V4, OTHER, SERVER, SERVER_V6 = "10.0.0.40", "fd00::40", "10.0.0.41", "10.0.0.7", "192.0.2.10", "2001:db8::10"
MAC, OTHER_MAC, ROUTER_MAC = (bytes.fromhex(f"02005e10{number:04x}") for number in (0x14, 0x15, 0x01))
CAMERA, LAPTOP = "02:00:5e:10:00:14", "02:00:5e:10:00:15"

RULES = """
limit = "0"
local = ["10.0.0.0/24", "fd00::/64"]

[[rule]]
name = "quota"
kind = "total"
scope = "10.0.0.0/24"
limit = "100kB"
by = "mac"
per = "day"
warn-at = [50, 100]
"""


def frame(second: float, src: str, mac: bytes, size: int, *, sport: int = 40000) -> Frame:
    """Return a frame from a local host to the server, through the router. sport: of its conversation."""
    is_v6 = ":" in src
    segment = b.tcp(sport, 443, flags=b.ACK)
    packet = b.ipv6(src, SERVER_V6, segment, next_header=b.TCP) if is_v6 else b.ipv4(src, SERVER, segment, protocol=b.TCP)
    ethernet = b.ethernet(b.IPV6 if is_v6 else b.IPV4, packet, src=mac, dst=ROUTER_MAC)
    return Frame(T0 + int(second * S), size, 1, ethernet)


def scenario() -> list[Frame]:
    """Return ten minutes: a device by two protocols, another one; then the first one's address goes to the other one."""
    frames = [frame(second, V4 if second % 2 else V6, MAC, 200) for second in range(300)]
    frames += [frame(second + 0.5, OTHER, OTHER_MAC, 50) for second in range(0, 300, 10)]
    frames += [
        frame(second, V4, OTHER_MAC, 400, sport=50000) for second in range(420, 540)
    ]  # a MAC is learnt with a conversation
    frames += [frame(second + 0.5, V6 if second % 2 else NEW_V4, MAC, 350) for second in range(420, 540)]
    return sorted(frames, key=lambda each: each.ts_ns)


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    path = tmp_path / "rules.toml"
    path.write_text(RULES)
    return path


EXPECTED = [("quota", CAMERA, 50_000, 50), ("quota", CAMERA, 100_000, 100)]


def told(*arguments: str | Path) -> list[tuple[str, str, int, int]]:
    found = alerts(run("replay", *arguments, "--format", "jsonl", "-i", "0"))
    return [(each["rule"], each["host"], each["value"] // 1000 * 1000, each["evidence"]["warn_at"]) for each in found]


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_device_has_one_quota(rules: Path, tmp_path: Path, engine: str) -> None:
    options = ("--format", "jsonl", "-i", "0", "--config", rules, "--engine", engine)
    found = alerts(run("replay", *b.write_pieces(tmp_path, scenario(), 1), *options))
    assert [(each["host"], each["mac"], each["value"]) for each in found] == [(CAMERA, CAMERA, 50_000), (CAMERA, CAMERA, 100_300)]
    assert [each["time"] for each in found] == ["2026-01-01T00:04:10.000000Z", "2026-01-01T00:08:54.000000Z"]
    assert [each["evidence"]["addresses"].keys() for each in found] == [{V4, V6}, {V6, NEW_V4}]


def test_same_alerts_from_any_number_of_files_and_workers(rules: Path, tmp_path: Path) -> None:
    one = alerts(run("replay", *b.write_pieces(tmp_path, scenario(), 1), "--format", "jsonl", "-i", "0", "--config", rules))
    assert len(one) == 2
    for workers in (1, 2):
        options = ("--format", "jsonl", "-i", "0", "--config", rules, "--workers", str(workers))
        several = alerts(run("replay", *b.write_pieces(tmp_path, scenario(), 7), *options))
        assert [(each["id"], each["value"], each["time"]) for each in several] == [
            (each["id"], each["value"], each["time"]) for each in one
        ]


@pytest.mark.parametrize("n_files", [2, 5])
def test_restarts_lose_nothing_and_tell_nothing_twice(rules: Path, tmp_path: Path, n_files: int) -> None:
    state = tmp_path / "state.db"
    one = told(*b.write_pieces(tmp_path, scenario(), 1), "--config", rules)
    several = [
        each for path in b.write_pieces(tmp_path, scenario(), n_files) for each in told(path, "--config", rules, "--state", state)
    ]
    assert several == one == EXPECTED
    used = [json.loads(line) for line in run("usage", "--state", state, "--format", "jsonl").stdout.splitlines()]
    assert {(each["rule"], each["host"], each["bytes"]) for each in used} == {
        ("quota", CAMERA, 300 * 200 + 120 * 350 + 400),  # what moved in the second in which the MAC changed
        ("quota", LAPTOP, 30 * 50 + 119 * 400),
    }
    (camera,) = (each for each in used if each["host"] == CAMERA)
    assert {V6, NEW_V4} <= set(camera["addresses"])
    listed = run("alerts", "--state", state, "--format", "jsonl", "--host", V6).stdout.splitlines()
    assert [json.loads(line)["host"] for line in listed] == [CAMERA]
    assert LAPTOP in run("usage", "--state", state, "--host", OTHER).stdout
