"""Waits for a condition instead of a time, and looks at the state of other processes."""

from __future__ import annotations

import array
import fcntl
import os
import termios
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable

DEADLINE_S = 30
"""Long enough for slow machines and sanitized builds. A test that passes does not wait so long."""

_T = TypeVar("_T")


def wait_until(condition: Callable[[], _T], what: str) -> _T:
    """Return the result of `condition` when it is true; fail after DEADLINE_S."""
    deadline = time.monotonic() + DEADLINE_S
    while not (result := condition()):
        assert time.monotonic() < deadline, f"in vain waited for {what}"
        time.sleep(0.01)
    return result


def waiting_bytes(pipe: IO[bytes]) -> int:
    """Return the number of unread bytes in a pipe, given either end."""
    n_bytes = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, n_bytes)
    return n_bytes[0]


def n_open(pid: int, file: str | Path | int) -> int:
    """Return how many descriptors of a process refer to `file`: a path, or a descriptor of this process."""
    wanted = os.stat(file)  # noqa: PTH116 - it may be a descriptor
    n_found = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            found = entry.stat()
        except FileNotFoundError:
            continue  # closed in the meantime
        n_found += (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino)
    return n_found


def is_caught(pid: int, number: signal.Signals) -> bool:
    """Return whether a process has a handler for a signal."""
    return _has_signal(pid, "SigCgt", number)


def is_pending(pid: int, number: signal.Signals) -> bool:
    """Return whether a process has not yet received a signal that was sent to it."""
    return _has_signal(pid, "ShdPnd", number)


def is_stopped(pid: int) -> bool:
    """Return whether all threads of a process are stopped."""
    return all(_status(task)["State"].startswith("T") for task in Path(f"/proc/{pid}/task").iterdir())


def _has_signal(pid: int, field: str, number: signal.Signals) -> bool:
    return bool(int(_status(Path(f"/proc/{pid}"))[field], 16) >> (number - 1) & 1)


def _status(process: Path) -> dict[str, str]:
    lines = (process / "status").read_text().splitlines()
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
