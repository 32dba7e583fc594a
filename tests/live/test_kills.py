"""A live run that is killed (SIGKILL) at random moments, again and again: what its state knows afterwards.

The variable FASTMON_KILLS says how often. What is compared are amounts and orders: never more than was sent, never less than
was sent before a checkpoint that is followed by three others, no alert that a checkpoint has is told again. No time is.
"""

from __future__ import annotations

import bisect
import json
import os
import random
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import builders as b
from scenarios.month import EPOCH, far_reset_day, frame

from fastmon.state.queries import Desk

from .command import Command
from .network import CAPTURED
from .traffic import Sending

if TYPE_CHECKING:
    from collections.abc import Callable

    from .traffic import Sender

N_KILLS = int(os.environ.get("FASTMON_KILLS", "8"))
HERE = Path(__file__).parent
HOST = "10.0.0.40"

RULES = f"""
[[rule]]
name = "month"
kind = "total"
scope = "10.0.0.40"
limit = "1TB"
per = "month"
reset-day = {far_reset_day()}

[[rule]]
name = "services"
kind = "ports"
scope = "10.0.0.41"
deny = ["tcp/1-65535"]
"""


class Killable(Command):
    """A run that tells of its checkpoints."""

    program = (sys.executable, str(HERE / "killable.py"))

    def __init__(self, folder: Path, *arguments: str) -> None:
        reading, writing = os.pipe()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), *sys.path])}
        super().__init__(folder, str(writing), *arguments, pass_fds=(writing,), env=environment)
        os.close(writing)
        os.set_blocking(reading, False)
        self._pipe = reading
        self._told = b""

    def checkpoints(self) -> list[dict[str, Any]]:
        """Return what the run has told of its checkpoints."""
        with suppress(BlockingIOError):
            while part := os.read(self._pipe, 1 << 16):
                self._told += part
        return [json.loads(line) for line in self._told.splitlines(keepends=True) if line.endswith(b"\n")]

    def has_fewer_checkpoints(self, number: int) -> bool:
        return len(self.checkpoints()) < number

    def kill(self) -> None:
        """Kill it. What it has told is still there."""
        super().kill()
        self.checkpoints()
        os.close(self._pipe)
        self._pipe = os.open(os.devnull, os.O_RDONLY)


def is_before(deadline: float) -> bool:
    return time.monotonic() < deadline


class Account:
    """What was sent, and when."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender
        self._sending = Sending(frames=[frame(EPOCH, HOST).data + bytes(1000)])
        self.times: list[float] = []
        self.n_bytes = len(self._sending.frames[0])

    def send_while(self, condition: Callable[[], bool]) -> None:
        """Send a frame every two milliseconds."""
        while condition():
            self.times.append(time.monotonic())
            self._sender.send(self._sending)
            time.sleep(0.002)

    def sent_before(self, moment: float) -> int:
        return bisect.bisect(self.times, moment) * self.n_bytes


def kept_bytes(state: Path) -> int:
    with Desk(state) as desk:
        return sum(total.bytes for total in desk.periods() if total.subject == HOST)


def test_killed_at_random_moments(sender: Sender, tmp_path: Path) -> None:
    moments = random.Random(12)
    state, rules = tmp_path / "state.db", tmp_path / "rules.toml"
    rules.write_text(RULES)
    arguments = ["live", CAPTURED, "--format", "jsonl", "-i", "0", "--limit", "0", "--local", "10.0.0.0/8"]
    arguments += ["--config", str(rules), "--state", str(state)]
    account = Account(sender)
    kept, safe, told, worst_s = 0, set[str](), list[str](), 0.0
    for number in range(1, N_KILLS + 1):
        run = Killable(tmp_path, *arguments)
        try:
            run.begin()
            # Every earlier alert's cause is there again, and a new one.
            sender.send(Sending(frames=[frame(EPOCH, "10.0.0.41", port=port, flags=b.SYN).data for port in range(1, number + 1)]))
            account.times = []
            n_checkpoints, wait_s = moments.randint(0, 5), moments.uniform(0, 0.25)
            account.send_while(partial(run.has_fewer_checkpoints, n_checkpoints))
            account.send_while(partial(is_before, time.monotonic() + wait_s))
        finally:
            run.kill()
        killed_at = time.monotonic()
        assert run.errors == ""
        checkpoints = run.checkpoints()
        ids = [record["id"] for record in map(json.loads, run.output.splitlines()) if record["type"] == "alert"]
        assert not safe.intersection(ids), "told before"
        told += ids
        safe |= {alert for checkpoint in checkpoints for alert in checkpoint["alerts"]}

        before, kept = kept, kept_bytes(state) if state.exists() else 0
        sent = account.sent_before(killed_at)
        least = account.sent_before(checkpoints[-4]["time"]) if len(checkpoints) > 3 else 0
        assert before + least <= kept <= before + sent, (before, least, kept, sent)
        n_kept = (kept - before) // account.n_bytes
        worst_s = max(worst_s, killed_at - account.times[n_kept] if n_kept < len(account.times) else 0)

    assert len(set(told)) >= len(safe) > 0
    listed = subprocess.run(
        [sys.executable, "-m", "fastmon", "usage", "--state", str(state), "--format", "jsonl"],
        capture_output=True,
        text=True,
        check=True,
    )
    (usage,) = [json.loads(line) for line in listed.stdout.splitlines() if '"rule"' in line]
    assert (usage["rule"], usage["host"], usage["bytes"]) == ("month", HOST, kept)
    assert [path.name for path in tmp_path.glob("state.db.damaged-*")] == []
    print(f"{N_KILLS} kills, {len(safe)} alerts, the greatest loss {worst_s:.2f} s of traffic")  # noqa: T201
