"""A clock that jumps, in whole replays with rules: every frame counts, each jump is told in a line, and rules go on."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import timedelta
from typing import TYPE_CHECKING

import builders as b
import pytest

from .month import BUSY, LEAK, frame, moment

if TYPE_CHECKING:
    from pathlib import Path

RULES = """
limit = "0"

[[rule]]
name = "run"
kind = "total"
scope = "10.0.0.40"
limit = "100kB"
warn-at = [100]

[[rule]]
name = "day"
kind = "total"
scope = "10.0.0.40"
limit = "80kB"
per = "day"
warn-at = [100]

[[rule]]
name = "silence"
kind = "silent"
scope = "10.0.0.40"
for = "1h"
"""


@pytest.mark.parametrize("interval", ["0", "60s"])
@pytest.mark.parametrize(
    ("jump", "days"),
    [
        (timedelta(days=30), ["cleared"]),  # the day is over
        (timedelta(days=-30), ["cleared"]),  # it is another day, and a period that the clock has left ends
        (timedelta(minutes=-10), []),
    ],
    ids=["a month ahead", "a month back", "ten minutes back"],
)
def test_jump_of_the_clock(tmp_path: Path, jump: timedelta, days: list[str], interval: str) -> None:
    """Ninety seconds of a kilobyte each, the jump, and thirty more."""
    frames = [frame(moment(BUSY, second), LEAK, size=1000) for second in range(90)]
    frames += [frame(moment(BUSY, second) + jump, LEAK, size=1000) for second in range(90, 120)]
    capture, rules = tmp_path / "jump.pcap", tmp_path / "rules.toml"
    capture.write_bytes(b.pcap_file(frames))
    rules.write_text(RULES)
    command = [sys.executable, "-m", "fastmon", "replay", capture, "--config", rules, "--format", "jsonl", "-i", interval]
    result = subprocess.run([str(word) for word in command], check=False, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0
    assert (result.stderr.count("\n"), "clock" in result.stderr) == (1, True), result.stderr
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert (records[-1]["frames"], records[-1]["bytes"]) == (120, 120_000)
    told = [(record["rule"], record["state"], record["value"]) for record in records if record["type"] == "alert"]
    assert told.count(("run", "firing", 100_000)) == 1
    assert told.count(("day", "firing", 80_000)) == 1
    assert [state for rule, state, _ in told if rule == "day"][1:] == days
    assert [rule for rule, _, _ in told if rule == "silence"] == []
