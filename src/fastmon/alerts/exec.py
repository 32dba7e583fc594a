"""The action `exec`: a program that gets alerts on its standard input, one JSON object a line.

What it does not do: use a shell, pass anything of an alert as an argument, or let the program or what it starts live on.
"""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from fastmon.alerts.action import DeliveryError
from fastmon.alerts.records import encode_record
from fastmon.alerts.secrets import read_secret
from fastmon.errors import ConfigError
from fastmon.model.texts import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from typing_extensions import Self

    from fastmon.alerts.records import Record

__all__ = ["ExecAction"]

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where programs are looked for, here and by the program."""

GRACE_S = 1.0
"""Between SIGTERM and SIGKILL."""

LOOK_S = 0.05
"""How often it is looked whether the program has ended, and how often its standard error is read: a flood costs little."""

PART_BYTES = 1 << 15
TAIL_BYTES = 300
"""Of standard error, which the message of a failure shows."""


class ExecAction:
    """Runs a program for each delivery, one at a time.

    It runs in a session of its own, in the folder /, with the environment PATH, LANG=C.UTF-8, FASTMON_ACTION (the action's name)
    and `environment`, whose values may be "env:NAME" or "file:PATH". Its standard output is discarded. When it ends, or its time
    is up, its whole process group is ended.

    Raises ConfigError if there is no such program.
    """

    def __init__(self, name: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self._name = name
        self._arguments = [_find_program(arguments), *arguments[1:]]
        self._environment = dict(environment or {})
        self._is_aborted = False

    def open(self) -> None:
        """Do nothing: a program is started for each delivery."""

    def deliver(self, records: Sequence[Record], timeout_s: float) -> None:
        """Run the program; it has failed unless it exits with 0 in time."""
        deadline_s = time.monotonic() + timeout_s
        data = b"".join(encode_record(record) + b"\n" for record in records)
        try:
            process = subprocess.Popen(
                self._arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                bufsize=0,
                cwd="/",
                env=self._make_environment(),
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise DeliveryError(f"cannot be started: {getattr(error, 'strerror', None) or error}") from None
        with _Child(process, data) as child:
            is_over = child.wait_until(deadline_s, lambda: self._is_aborted)
            if not is_over and not self._is_aborted:  # whoever aborts does not wait so long
                child.send(signal.SIGTERM)
                child.wait_until(time.monotonic() + GRACE_S, lambda: False)
            code, tail = child.end()
        if not is_over:
            when = "when fastmon ended" if self._is_aborted else f"after {timeout_s:.3g} s"
            raise DeliveryError(f"had not ended {when}, and was killed{tail}")
        if code:
            raise DeliveryError(f"{_exit_text(code)}{tail}")

    def abort(self) -> None:
        """End the program."""
        self._is_aborted = True

    def close(self) -> None:
        """Do nothing: no program runs between deliveries."""

    def _make_environment(self) -> dict[str, str]:
        try:
            own = {name: read_secret(value) for name, value in self._environment.items()}
        except ConfigError as error:
            raise DeliveryError(str(error)) from None
        return {"PATH": PATH, "LANG": "C.UTF-8", "FASTMON_ACTION": self._name, **own}


class _Child:
    """A running program: feeds it, keeps the end of what it says on standard error, and ends its process group."""

    def __init__(self, process: subprocess.Popen[bytes], data: bytes) -> None:
        self._process = process
        self._data = memoryview(data)
        self._tail = b""
        self._selector = selectors.DefaultSelector()

    def __enter__(self) -> Self:
        for stream, event in ((self._process.stdin, selectors.EVENT_WRITE), (self._process.stderr, selectors.EVENT_READ)):
            if stream is not None:
                os.set_blocking(stream.fileno(), False)
                self._selector.register(stream, event)
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def wait_until(self, deadline_s: float, is_given_up: Callable[[], bool]) -> bool:
        """Serve the program until it has ended; return False if it has not at the deadline."""
        while not self._has_ended():
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or is_given_up():
                return False
            if self._serve(min(LOOK_S, left_s)):
                time.sleep(min(LOOK_S, left_s))  # who floods is made to wait
        return True

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the process group. The program is not yet reaped, so the group's number is still its own."""
        if self._process.returncode is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, number)

    def end(self) -> tuple[int, str]:
        """Kill what is left of the process group; return the program's exit code, and the last of its standard error."""
        if self._process.returncode is None:
            self._serve(0)
            self.send(signal.SIGKILL)
            self._process.wait()
            self._selector.close()
            for stream in (self._process.stdin, self._process.stderr):
                if stream is not None:
                    stream.close()
        text = printable(" ".join(self._tail.decode("utf-8", "replace").split()))
        return self._process.returncode, f": {text}" if text else ""

    def _has_ended(self) -> bool:
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _serve(self, timeout_s: float) -> bool:
        """Write and read what can be; return whether there was much to read."""
        n_read = 0
        for key, _ in self._selector.select(timeout_s):
            stream: IO[bytes] = key.fileobj  # type: ignore[assignment]
            if stream is self._process.stdin:
                self._feed(stream)
            else:
                n_read = self._listen(stream)
        return n_read > TAIL_BYTES

    def _feed(self, stream: IO[bytes]) -> None:
        try:
            self._data = self._data[os.write(stream.fileno(), self._data[:PART_BYTES]) :]
        except BlockingIOError:
            return
        except OSError:  # it reads no more, which is its right
            self._data = self._data[:0]
        if not self._data:
            self._selector.unregister(stream)
            stream.close()

    def _listen(self, stream: IO[bytes]) -> int:
        try:
            part = os.read(stream.fileno(), PART_BYTES)
        except BlockingIOError:
            return 0
        if not part:
            self._selector.unregister(stream)
        self._tail = (self._tail + part)[-TAIL_BYTES:]
        return len(part)


def _find_program(arguments: Sequence[str]) -> str:
    from shutil import which

    if not arguments:
        raise ConfigError("it must be a list of a program and its arguments, not an empty one")
    path = which(arguments[0], path=PATH)
    if path is None:
        raise ConfigError(f"there is no program {printable(arguments[0])} to run: use a path, or a name in {PATH}")
    return os.path.abspath(path)  # noqa: PTH100 - a link stays one: some programs look at their name


def _exit_text(code: int) -> str:
    if code > 0:
        return f"exited with {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
