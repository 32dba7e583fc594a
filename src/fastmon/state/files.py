"""The files of a state: where they are, whose they are, and how a damaged one is put out of the way.

A state is `PATH`, with SQLite's `PATH-wal` and `PATH-shm`. A run holds a lock on `PATH-lock`, so that two runs do not count into
one state. Commands do not take it: they read and write while a run goes on.

What it does not do: know SQL.
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fastmon.errors import StateError
from fastmon.model.texts import printable
from fastmon.model.units import NS_PER_S, format_time
from fastmon.state.schema import APPLICATION_ID

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "Lock",
    "check_owner",
    "default_path",
    "has_content",
    "is_damaged",
    "make_directory",
    "set_aside",
    "shown",
    "side_path",
    "sync_directory",
]

SERVICE_PATH = "/var/lib/fastmon/state.db"
"""Where the service's state is; its unit says `StateDirectory=fastmon`."""

_MAGIC = b"SQLite format 3\0"
HEADER_BYTES = 100
WAL_SUFFIXES = ("-wal", "-shm")


def default_path(environment: Mapping[str, str] = os.environ) -> Path:
    """Return where a state is if nobody says: in `$STATE_DIRECTORY`, which a service has; else the service's, if there is one;
    else in `$XDG_STATE_HOME/fastmon`, by default `~/.local/state/fastmon`.
    """
    directory = environment.get("STATE_DIRECTORY", "").split(":")[0]
    if directory:
        return Path(directory, "state.db")
    with suppress(OSError):
        if Path(SERVICE_PATH).exists():
            return Path(SERVICE_PATH)
    home = environment.get("XDG_STATE_HOME", "")
    if not home.startswith("/"):  # the specification: relative ones are ignored
        home = os.path.join(environment.get("HOME") or os.path.expanduser("~"), ".local", "state")  # noqa: PTH111, PTH118
    return Path(home, "fastmon", "state.db")


def shown(path: Path) -> str:
    """Return a path for messages."""
    return printable(str(path))


def side_path(path: Path, suffix: str) -> Path:
    """Return the path of a file beside a state's."""
    return path.with_name(path.name + suffix)


def has_content(path: Path) -> bool:
    """Return whether there is a file at `path` that is not empty. Raises StateError if it is no regular file."""
    try:
        status = path.stat()
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(status.st_mode):
        what = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise StateError(f"{shown(path)} is {what}: name a file for the state")
    return status.st_size > 0


def make_directory(path: Path) -> None:
    """Make the directory of a state's file, for its owner alone, and those above."""
    if not path.parent.is_dir():
        path.parent.parent.mkdir(parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)


def sync_directory(path: Path) -> None:
    """Make the names in the directory of `path` last."""
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def is_damaged(path: Path) -> bool:
    """Return whether the header of a file is not one that fastmon writes. SQLite takes some damage there for a property."""
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
    page_bytes = int.from_bytes(header[16:18], "big")
    return (
        len(header) < HEADER_BYTES
        or not header.startswith(_MAGIC)
        or page_bytes not in {1, *(1 << power for power in range(9, 16))}
        or header[18:24] != b"\x02\x02\x00\x40\x20\x20"  # WAL, no reserved bytes, the fixed fractions
        or int.from_bytes(header[44:48], "big") not in {0, 4}  # the schema's format
        or int.from_bytes(header[56:60], "big") not in {0, 1}  # UTF-8
        or int.from_bytes(header[68:72], "big") != APPLICATION_ID
    )


def check_owner(path: Path) -> None:
    """Raise StateError if a file is a stranger's: it is not fastmon's by its header, and no run has had a state of this name."""
    if is_damaged(path) and not side_path(path, "-lock").exists():
        raise StateError(f"{shown(path)} is not a state of fastmon's: name another file with --state, or remove it")


def set_aside(path: Path, now_ns: int) -> Path:
    """Rename a state's files; return the new path. Raises OSError if that fails."""
    stamp = format_time(now_ns // NS_PER_S * NS_PER_S)[:19].replace("-", "").replace(":", "")
    aside = side_path(path, f".damaged-{stamp}Z")
    number = 1
    while aside.exists():
        number += 1
        aside = side_path(path, f".damaged-{stamp}Z-{number}")
    for suffix in WAL_SUFFIXES:
        with suppress(FileNotFoundError):
            side_path(path, suffix).rename(side_path(aside, suffix))
    with suppress(FileNotFoundError):
        path.rename(aside)
    sync_directory(path)
    return aside


class Lock:
    """Holds a state for one run. It ends with the process, however that ends.

    Raises StateError if another process has it, OSError if it cannot be made.
    """

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(side_path(path, "-lock"), flags, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(self._descriptor, 20, 0).decode("ascii", "replace").strip()
            self.release()
            who = f"process {holder}" if holder.isdecimal() else "another process"
            raise StateError(f"the state {shown(path)} is in use by fastmon, {who}: name another with --state") from None
        except BaseException:
            self.release()
            raise
        with suppress(OSError):  # it only serves messages; a full disk is told elsewhere
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    @staticmethod
    def holder(path: Path) -> int | None:
        """Return the process that holds a state; None if none does. Raises OSError if that cannot be found out."""
        descriptor = os.open(side_path(path, "-lock"), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            return int(text) if text.isdecimal() else None
        else:
            return None
        finally:
            os.close(descriptor)

    def release(self) -> None:
        """Let the state go. The file stays: removing it could let two runs in."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
