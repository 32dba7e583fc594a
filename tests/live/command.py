"""`fastmon live` as a person runs it, in the namespace that the thread is in."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from waiting import DEADLINE_S, is_caught, is_stopped, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

__all__ = ["Command", "Result", "run"]

COMMAND = [sys.executable, "-m", "fastmon"]


class Result(NamedTuple):
    """What is left of a command that has ended."""

    status: int
    output: str
    errors: str

    @property
    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.splitlines()]

    @property
    def summary(self) -> dict[str, Any]:
        """The last record of a run without problems."""
        assert (self.status, self.errors) == (0, "")
        summary = self.records[-1]
        assert summary["type"] == "summary"
        return summary


class Command:
    """A running command, what it writes, and how to end it. It must be killed if it may not have ended.

    program: what is run.  options: as those of `subprocess.Popen`.
    """

    program: ClassVar[Sequence[str]] = COMMAND
    live_options: ClassVar[Sequence[str]] = ()

    def __init__(self, folder: Path, *arguments: str, **options: Any) -> None:
        self._stdout, self._stderr = folder / "stdout", folder / "stderr"
        with self._stdout.open("wb") as stdout, self._stderr.open("wb") as stderr:
            name, *others = arguments
            command = [*self.program, name, *(self.live_options if name == "live" else ()), *others]
            self.process = subprocess.Popen(command, cwd=folder, stdout=stdout, stderr=stderr, **options)

    @property
    def output(self) -> str:
        """All that it has written, but for a line that is not complete."""
        lines = self._stdout.read_text().splitlines(keepends=True)
        return "".join(line for line in lines if line.endswith("\n"))

    @property
    def errors(self) -> str:
        return self._stderr.read_text()

    @property
    def snapshots(self) -> list[dict[str, Any]]:
        """The snapshots of intervals that it has written."""
        return [record for record in map(json.loads, self.output.splitlines()) if record["type"] == "snapshot"]

    def wait_until(self, condition: Callable[[], Any], what: str) -> None:
        """Wait for something that it has to do before it ends."""

        def checked() -> bool:
            return bool(condition()) or self.process.poll() is not None

        wait_until(checked, what)
        assert condition(), f"it ended, with {self.process.returncode}, before {what}: {self.errors}"

    def begin(self) -> None:
        """Wait until it captures: it answers a SIGUSR1 with a report."""
        self.wait_until(lambda: is_caught(self.process.pid, signal.SIGUSR1), "the signal handlers")
        self.process.send_signal(signal.SIGUSR1)
        self.wait_until(lambda: self.output, "the first report")

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop the process meanwhile."""
        self.process.send_signal(signal.SIGSTOP)
        self.wait_until(lambda: is_stopped(self.process.pid), "its stop")
        yield
        self.process.send_signal(signal.SIGCONT)

    def wait_for_frames(self, n_frames: int) -> None:
        """Ask for snapshots until so many frames are accounted or lost in them."""

        def are_there() -> bool:
            if sum(record["frames"] + record["dropped"]["kernel"] for record in self.snapshots) >= n_frames:
                return True
            self.process.send_signal(signal.SIGUSR1)
            return False

        self.wait_until(are_there, f"{n_frames} frames")

    def end(self, number: signal.Signals | None = None) -> Result:
        """Send it a signal, perhaps, and wait for its end."""
        if number is not None:
            self.process.send_signal(number)
        status = self.process.wait(DEADLINE_S)
        return Result(status, self._stdout.read_text(), self.errors)

    def kill(self) -> None:
        """End it whatever it does."""
        self.process.kill()
        self.process.wait()


def run(folder: Path, *arguments: str, within: Sequence[str] = ()) -> Result:
    """Run the command to its own end; `within`: what starts it."""
    command = [*within, *COMMAND, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    return Result(done.returncode, done.stdout, done.stderr)
