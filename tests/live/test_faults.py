"""Faults of actions and of the state while frames come: the capture goes on, loses nothing, and says in a line what is wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import builders as b
import pytest
from alerts.servers import Webhook, free_port
from scenarios.month import EPOCH, PRINTER, far_reset_day, frame
from state.disks import fill, remount, small_disk
from waiting import wait_until

from fastmon.model.snapshot import Count

from .command import run as run_command
from .network import ip
from .traffic import Sending, conversations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from .command import Command, Result
    from .traffic import Sender

    Start = Callable[..., Command]

TOKEN = "86399.125"
"""How long what scripts leave behind would sleep: nothing else does."""

SCRIPTS = {
    "never-ends": f"sleep {TOKEN}",
    "forks": f"for i in 1 2 3 4 5 6 7 8 9 10; do (trap '' TERM; sleep {TOKEN}) & done; wait",
    "floods": "exec yes",
    "floods-errors": "exec yes >&2",
    "reads-nothing": "exec true",
}


N_ALERTS = int(os.environ.get("FASTMON_ALERTS", "8000"))


class Site:
    """An interface that is captured with a rule that tells of each new port, and what was sent into it."""

    def __init__(self, folder: Path, sender: Sender, start: Start) -> None:
        self.folder = folder
        self.told = folder / "told.jsonl"
        self.state = folder / "state.db"
        self.sent = Count()
        self.n_causes = 0
        self.run: Command
        self._sender = sender
        self._start = start

    def begin(self, actions: Sequence[str] = (), *options: str) -> None:
        """Start a run with actions, tables of TOML, beside one that writes a file."""
        named = re.findall(r'name = "([^"]+)"', "\n".join(actions))
        rules = self.folder / "rules.toml"
        file = f'[[action]]\nname = "file"\nfile = "{self.told}"\n'
        rule = '[[rule]]\nname = "ports"\nkind = "ports"\nscope = "10.0.0.41"\ndeny = ["tcp/1-65535"]\n'
        quota = '[[rule]]\nname = "month"\nkind = "total"\nscope = "10.0.0.41"\nlimit = "1TB"\nper = "month"\n'
        quota += f"reset-day = {far_reset_day()}\n"
        rules.write_text("\n".join([rule, f"actions = {json.dumps(['file', *named])}\n", quota, file, *actions]))
        self.run = self._start("--config", str(rules), "--local", "10.0.0.0/8", *options)

    def cause(self, n_alerts: int = 1) -> None:
        """Send what the rule tells of, and much else."""
        first = self.n_causes + 1
        self.n_causes += n_alerts
        ports = range(first, first + n_alerts)
        sending = Sending(frames=[frame(EPOCH, PRINTER, port=port, flags=b.SYN).data for port in ports])
        self._sender.send(sending)
        self.sent += Count(n_alerts, sum(map(len, sending.frames)))
        others = self._sender.send(conversations(1_000, first="10.1.0.1"))
        self.sent += others.frames

    def wait_for_alerts(self) -> None:
        """Wait until the action that works has been told all."""
        wait_until(lambda: self.told.exists() and self.told.read_text().count("\n") >= self.n_causes, "the alerts")

    def wait_for_lines(self, *parts: str) -> None:
        """Wait until standard error has a line with each of some texts."""
        self.run.wait_until(lambda: all(part in self.run.errors for part in parts), f"lines with {parts}")

    def end(self, status: int = 0) -> Result:
        """End the run; check that it had every frame, and told each alert once."""
        result = self.run.end(signal.SIGINT)
        assert result.status == status, result.errors
        records = result.records
        assert (records[-1]["type"], Count(records[-1]["frames"], records[-1]["bytes"])) == ("summary", self.sent)
        assert (records[-1]["dropped"]["kernel"], records[-1]["dropped"]["interface"]) == (0, 0)
        ids = [record["id"] for record in records if record["type"] == "alert"]
        assert len(ids) == len(set(ids)) == self.n_causes
        assert [json.loads(line)["id"] for line in self.told.read_text().splitlines()] == ids
        return result

    def usage(self) -> int:
        """Return what the state says that the host has moved in the month."""
        listed = run_command(self.folder, "usage", "--state", str(self.state), "--rule", "month", "--format", "jsonl")
        (record,) = [record for record in listed.records if "rule" in record]
        n_bytes: int = record["bytes"]
        return n_bytes


@pytest.fixture
def site(sender: Sender, command: Start, tmp_path: Path) -> Site:
    ip("link", "set", "lo", "up")
    return Site(tmp_path, sender, command)


# Actions.


def test_webhooks_that_fail_in_every_way(site: Site) -> None:
    """One hangs, one answers 500, one a byte at a time, one is not there. The next run finds one of them well."""
    with ExitStack() as stack:
        hooks = {way: stack.enter_context(Webhook(way)) for way in ("hang", "error", "trickle")}
        ports = {way: hook.port for way, hook in hooks.items()} | {"refuse": free_port()}
        actions = [
            f'[[action]]\nname = "{name}"\ntimeout = "1s"\napprise = "json://127.0.0.1:{port}"\n' for name, port in ports.items()
        ]
        site.begin(actions, "--state", str(site.state))
        site.cause(3)
        site.wait_for_alerts()
        site.wait_for_lines(*(f"action {name}: " for name in ports))
        site.cause(2)
        site.wait_for_alerts()
        errors = site.end().errors.splitlines()
        for name in ports:
            first, last = (line for line in errors if line.startswith(f"fastmon: action {name}: "))
            assert "; trying again in 2s" in first
            assert last.endswith("5 alerts could not be delivered: the next run tries again")
        assert len(errors) == 2 * len(ports)

        well = hooks["error"]
        well.way = "answer"
        site.begin(actions[1:2], "--state", str(site.state))
        wait_until(lambda: well.received, "the delivery by the next run")
        site.run.end(signal.SIGINT)
        assert "5 alerts" in well.received[0]["title"]


def test_programs_that_fail_in_every_way(site: Site) -> None:
    actions = [
        f'[[action]]\nname = "{name}"\ntimeout = "1s"\nexec = ["/bin/sh", "-c", {json.dumps(script)}]\n'
        for name, script in SCRIPTS.items()
    ]
    site.begin(actions)
    site.cause(3)
    site.wait_for_alerts()
    failing = [name for name in SCRIPTS if name != "reads-nothing"]
    site.wait_for_lines(*(f"action {name}: had not ended after 1 s, and was killed" for name in failing))
    site.cause()
    site.wait_for_alerts()
    errors = site.end().errors.splitlines()
    assert len(errors) == 2 * len(failing)
    assert [line for line in errors if "reads-nothing" in line] == []
    assert processes_with(TOKEN) == []


def processes_with(argument: str) -> list[str]:
    """Return the command lines that have an argument."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_text().split("\0")
        except OSError:
            continue  # it has ended
        if argument in words:
            found.append(" ".join(words))
    return found


# The state.


def test_full_disk(site: Site) -> None:
    with small_disk(site.folder / "disk") as disk:
        site.state = disk / "state.db"
        site.begin((), "--state", str(site.state))
        fill(disk)
        site.cause()
        site.wait_for_lines("cannot keep the state")
        site.cause()
        site.wait_for_alerts()
        errors = site.end(status=1).errors.splitlines()
    assert len(errors) == 2
    assert errors[0].endswith("; it is tried again")
    assert errors[1].endswith("; what has come since the last checkpoint is not kept")


def test_full_disk_that_has_room_again(site: Site) -> None:
    with small_disk(site.folder / "disk") as disk:
        site.state = disk / "state.db"
        site.begin((), "--state", str(site.state))
        filler = fill(disk)
        site.cause()
        site.wait_for_lines("cannot keep the state")
        filler.unlink()
        site.cause()
        site.wait_for_alerts()
        errors = site.end().errors.splitlines()
        assert (len(errors), errors[-1]) == (2, f"fastmon: the state {site.state} is kept again")
        assert site.usage() == 54 * site.n_causes


def test_read_only_disk(site: Site) -> None:
    with small_disk(site.folder / "disk") as disk:
        site.state = disk / "state.db"
        site.begin((), "--state", str(site.state))
        site.cause()
        site.wait_for_alerts()
        site.end()
        site.told.unlink()
        before, site.sent, site.n_causes = site.usage(), Count(), 0
        remount(disk, "ro")
        site.begin((), "--state", str(site.state))
        site.n_causes = 1  # its cause was told by the run before
        site.cause()
        site.n_causes = 1
        site.wait_for_alerts()
        errors = site.end(status=1).errors.splitlines()
        assert len(errors) == 2
        assert "cannot keep the state" in errors[0]
        assert site.usage() == before
        remount(disk, "rw")


def test_damaged_state(site: Site) -> None:
    site.state.write_bytes(b"nonsense" * 1000)
    site.state.with_name("state.db-lock").touch()
    site.begin((), "--state", str(site.state))
    site.cause()
    site.wait_for_alerts()
    (error,) = site.end().errors.splitlines()
    (aside,) = site.folder.glob("state.db.damaged-*")
    assert error.endswith(f"it is set aside as {aside}, and a new one is begun")
    assert aside.read_bytes() == b"nonsense" * 1000
    assert site.usage() == 54


@contextmanager
def locked(state: Path) -> Iterator[None]:
    """Let somebody else write the state meanwhile."""
    with closing(sqlite3.connect(state, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def test_state_that_another_program_locks_for_a_while(site: Site) -> None:
    site.begin((), "--state", str(site.state))
    with locked(site.state):
        site.cause()
        site.wait_for_alerts()
    site.cause()
    site.wait_for_alerts()
    assert site.end().errors == ""
    assert site.usage() == 54 * 2


def test_state_of_another_run_is_refused(site: Site) -> None:
    site.begin((), "--state", str(site.state))
    other = run_command(site.folder, "live", "lo", "--state", str(site.state))
    assert (other.status, other.errors.count("\n")) == (1, 1)
    assert f"process {site.run.process.pid}" in other.errors
    site.cause()
    site.wait_for_alerts()
    assert site.end().errors == ""


# Too many alerts.


def test_more_alerts_than_anybody_can_take(site: Site, sender: Sender, command: Start) -> None:
    """The variable FASTMON_ALERTS says how many: 100000 are sent within seconds, too. Each is delivered or counted."""
    rules, program = site.folder / "rules.toml", site.folder / "program.jsonl"
    with Webhook("hang") as webhook:
        rules.write_text(f"""
[[rule]]
name = "little"
kind = "total"
limit = 50
warn-at = [100]
actions = ["file", "program", "hook"]

[[action]]
name = "file"
file = "{site.told}"

[[action]]
name = "program"
exec = ["/bin/sh", "-c", "cat >> {program}"]

[[action]]
name = "hook"
rate = "1000000/1s"
timeout = "5s"
apprise = "json://127.0.0.1:{webhook.port}"
""")
        run = command("--config", str(rules), "--local", "10.0.0.0/8", "--state", str(site.state))
        for start in range(0, N_ALERTS, 2_000):
            numbers = range(start, min(start + 2_000, N_ALERTS))
            hosts = [f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}" for number in numbers]
            sender.send(Sending(frames=[frame(EPOCH, host).data for host in hosts]))
        run.wait_until(lambda: run.output.count('"alert"') >= N_ALERTS, "the alerts")
        result = run.end(signal.SIGINT)
    assert result.status == 0, result.errors
    summary = result.records[-1]
    assert (summary["frames"], summary["dropped"]["kernel"]) == (N_ALERTS, 0)
    assert told_of(site.told) == told_of(program) == N_ALERTS
    assert program.read_text().count("\n") == 21  # twenty in a minute, and the number of the others
    lines = [line for line in result.errors.splitlines() if line.startswith("fastmon: action hook: ")]
    (n_left, n_counted) = (int(found.replace(",", "")) for found in re.findall(r"([\d,]+) alerts (?:could|found)", lines[-1]))
    assert n_left <= 1_000 + 50 + 2
    assert n_left + n_counted >= N_ALERTS


def told_of(path: Path) -> int:
    """Return how many alerts a file of JSON lines tells of, each for itself or in a number."""
    return sum(json.loads(line).get("alerts", 1) for line in path.read_text().splitlines())
