"""A month of traffic in whole replays: exactly the expected alerts with the packets' times, however the capture is cut."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import builders as b
import pytest

from .month import BURST, FLAP, PEER, RULES, SEASONS, Told

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COMMAND = [sys.executable, "-m", "fastmon"]
SHAPES = [
    ("spring", 1, 1, "0"),
    ("spring", 7, 2, "0"),
    ("autumn", 1, 1, "1d"),
    ("autumn", 7, 2, "0"),
    ("evening", 1, 1, "60s"),
    ("evening", 7, 1, "0"),
    ("evening", 7, 2, "60s"),
]


@pytest.fixture
def replay(tmp_path: Path) -> Callable[..., list[dict[str, Any]]]:
    """Return what replays a season, cut into a number of files, and returns its alerts."""

    def replayed(season: str, n_files: int, n_workers: int, interval: str) -> list[dict[str, Any]]:
        rules = tmp_path / "rules.toml"
        rules.write_text(RULES)
        paths = b.write_pieces(tmp_path, SEASONS[season].frames, n_files)
        options = ["--config", rules, "--workers", n_workers, "-i", interval, "--format", "jsonl"]
        command = [*COMMAND, "replay", *map(str, (*paths, *options))]
        result = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
        assert (result.returncode, result.stderr) == (0, "")
        return [record for record in map(json.loads, result.stdout.splitlines()) if record["type"] == "alert"]

    return replayed


@pytest.fixture(scope="module")
def first_told() -> dict[str, list[dict[str, Any]]]:
    """What a season has given when it was replayed first: the others have to be the same, whole."""
    return {}


def brief(alerts: list[dict[str, Any]]) -> list[Told]:
    return [Told(each["time"].removesuffix("Z"), each["rule"], each["host"], each["state"]) for each in alerts]


def without_conversations(alerts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    left_out = ("top_peers", "apps", "services")
    return [
        {**each, "evidence": {key: value for key, value in each.get("evidence", {}).items() if key not in left_out}}
        for each in alerts
    ]


@pytest.mark.parametrize(("season", "n_files", "n_workers", "interval"), SHAPES)
def test_month_gives_exactly_the_expected_alerts(
    replay: Callable[..., list[dict[str, Any]]],
    first_told: dict[str, list[dict[str, Any]]],
    season: str,
    n_files: int,
    n_workers: int,
    interval: str,
) -> None:
    alerts = replay(season, n_files, n_workers, interval)
    assert sorted(brief(alerts)) == SEASONS[season].told
    first = first_told.setdefault(season, alerts)
    if n_workers > 1:  # of a conversation whose frames two workers account, each knows its part
        alerts, first = without_conversations(alerts), without_conversations(first)
    assert alerts == first


def test_alerts_say_what_was_measured(
    replay: Callable[..., list[dict[str, Any]]], first_told: dict[str, list[dict[str, Any]]]
) -> None:
    alerts = first_told.get("spring") or replay("spring", 1, 1, "0")
    values = [(each["rule"], each["value"]) for each in alerts if each["kind"] == "total" and each["state"] == "firing"]
    assert values == [("month", 90_000), ("leak", 80_000), ("leak", 100_000), ("day", 120_000), ("month", 81_000)]
    rates = {each["host"]: each["peak"] for each in alerts if each["kind"] == "rate" and each["state"] == "cleared"}
    assert rates == {FLAP: 112_000, BURST: 60 * 14_000 * 8 / 5}
    (newcomer,) = [each for each in alerts if each["kind"] == "new"]
    assert newcomer["mac"] == "02:00:5e:00:01:63"
    (printer,) = [each for each in alerts if each["kind"] == "ports"]
    assert (printer["evidence"]["service"], printer["evidence"]["peer"]) == ("tcp/8443", "198.51.100.5")
    leaks = [each["evidence"] for each in alerts if each["rule"] == "leak" and each["state"] == "firing"]
    assert [(leak["top_peers"], leak["apps"], leak["services"]) for leak in leaks] == [
        ({PEER: size}, {"https": size}, {"tcp/443": size}) for size in (80_000, 100_000)
    ]
