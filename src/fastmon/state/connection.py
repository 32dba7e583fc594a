"""Connections to a state: opened, and checked before anything is believed.

What it does not do: make a state, lock one.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

from fastmon.errors import StateError
from fastmon.state.files import check_owner, has_content, shown, side_path
from fastmon.state.schema import VERSION, has_all_tables, stated_version

__all__ = ["DamagedStateError", "check", "connect", "is_damage", "open_readable", "reason_of"]

BUSY_S = 10.0
"""How long to wait for a command, or a run, that writes at the moment."""

_SURROUNDINGS = (
    "unable to open",
    "disk I/O error",
    "is locked",
    "readonly database",
    "disk is full",
    "locking protocol",
    "interrupted",
    "permission denied",
)
"""What SQLite says of faults of the disk, the file system or other processes, in `OperationalError`."""


class DamagedStateError(StateError):
    """The file is a state, but damaged."""


def is_damage(error: sqlite3.Error) -> bool:
    """Return whether an error says that the file's content is wrong, rather than the disk, the file system or the statement."""
    if isinstance(error, sqlite3.OperationalError):
        return not any(words in str(error) for words in _SURROUNDINGS)
    return type(error) is sqlite3.DatabaseError


def reason_of(error: Exception) -> str:
    """Return why something failed, for messages."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def connect(path: Path, *, writes: bool) -> sqlite3.Connection:
    """Open a state that is there, unchecked; each statement is its own transaction, unless one is begun."""
    uri = f"file:{quote(str(path))}?mode={'rw' if writes else 'ro'}"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    if writes:
        try:
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute(f"PRAGMA journal_size_limit = {32 << 20}")
        except sqlite3.Error:
            connection.close()
            raise
    return connection


def check(connection: sqlite3.Connection, path: Path, *, thoroughly: bool = False) -> int:
    """Return the version of a state. thoroughly: read all of it.

    Raises StateError if it is newer than this fastmon, DamagedStateError if it is damaged, sqlite3.OperationalError if it cannot
    be read.
    """
    try:
        version = stated_version(connection)
        if version is not None and version > VERSION:
            raise StateError(
                f"the state {shown(path)} is of version {version}, this fastmon knows versions up to {VERSION}: "
                "use a newer fastmon, or name another state with --state"
            )
        if version is None or not has_all_tables(connection, version):
            raise DamagedStateError("its tables are not as fastmon makes them")
        if thoroughly:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if found != "ok":
                raise DamagedStateError(str(found).replace("\n", " "))
    except sqlite3.Error as error:
        if is_damage(error):
            raise DamagedStateError(str(error)) from error
        raise
    return version


def open_readable(path: Path) -> sqlite3.Connection:
    """Open a state for reading, whoever has it, and check it. Raises StateError."""
    try:
        if not has_content(path):
            raise StateError(f"there is no state at {shown(path)}: a run with --state makes one; or name another with --state")
        connection = connect(path, writes=False)
        try:
            check(connection, path)
        except BaseException:
            connection.close()
            raise
    except DamagedStateError as error:
        check_owner(path)  # a run refuses a stranger's file
        raise StateError(f"the state {shown(path)} is damaged ({error}): the next run sets it aside") from error
    except (OSError, sqlite3.Error) as error:
        copy = _copy(path)
        if copy is None:
            raise StateError(f"cannot read the state {shown(path)}: {reason_of(error)}") from error
        return copy
    return connection


def _copy(path: Path) -> sqlite3.Connection | None:
    """Return a copy in memory: beside a file on a read-only file system, SQLite cannot make the files that reading needs."""
    with suppress(OSError, sqlite3.Error, StateError), tempfile.TemporaryDirectory(prefix="fastmon-") as directory:
        copied = Path(directory, "state.db")
        shutil.copyfile(path, copied)
        with suppress(FileNotFoundError):
            shutil.copyfile(side_path(path, "-wal"), side_path(copied, "-wal"))
        with closing(connect(copied, writes=True)) as source:
            check(source, path)
            copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
            source.backup(copy)
            return copy
    return None
