"""The store of a run: its state as a SQLite file, opened, written a checkpoint at a time, and read back.

The file is in WAL mode: commands read while a run writes, and a crash leaves the last whole transaction. `synchronous` is FULL:
with NORMAL, SQLite syncs its log only now and then, and a power cut could take more than one checkpoint. A checkpoint is one
transaction, so what belongs together is kept together.

What it does not do: run in the background (`keeper`), serve commands (`queries`).
"""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from fastmon.errors import StateError
from fastmon.model.memory import Kept, Memory
from fastmon.model.silences import Silence
from fastmon.state import files
from fastmon.state.connection import DamagedStateError, check, connect, is_damage, open_readable, reason_of
from fastmon.state.pending import Batch
from fastmon.state.pruning import BOUNDS, Bounds, count_rows, forget_old, remove_excess
from fastmon.state.rows import ALERT, TABLES, alert_row, fit, read_all
from fastmon.state.schema import VERSION, migrate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from typing_extensions import Self

    from fastmon.model.alerts import Alert
    from fastmon.model.memory import Changes
    from fastmon.state.rows import Row

__all__ = ["Store"]

LOADED_DAYS = 4
"""How many of the last days are read back. The last two would do, had no clock ever been wrong."""

_LAST_DAYS = (
    "WHERE day_start_ns IN (SELECT DISTINCT day_start_ns FROM days ORDER BY day_start_ns DESC "
    f"LIMIT {LOADED_DAYS}) ORDER BY day_start_ns, subject"
)
_CONDITIONS = {"devices": "WHERE forgotten_ns = 0", "days": _LAST_DAYS}

_UNFIT = (OverflowError, TypeError, UnicodeEncodeError, sqlite3.IntegrityError, sqlite3.InterfaceError, sqlite3.ProgrammingError)
"""What a value raises that SQLite cannot hold, or a check of the tables refuses."""

_T = TypeVar("_T")


class Store:
    """A state. Not for use by two threads at once.

    path: the file.  bounds: the most rows of its tables.
    fault: why nothing can be written at the moment; None: it can.

    What makes a state unusable (another run has it, it is of a newer version, it is a stranger's file) is raised by `open`. A
    full or a read-only disk is a fault instead: what can be read is read, and each `write` tries again.
    """

    def __init__(self, path: str | Path, bounds: Bounds = BOUNDS) -> None:
        self.path = Path(os.path.realpath(Path(path).expanduser()))
        self.fault: StateError | None = None
        self._bounds = bounds
        self._lock: files.Lock | None = None
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._n_rows: dict[str, int] = {}
        self._remarks: list[str] = []

    @classmethod
    def open(cls, path: str | Path, *, read_only: bool = False, bounds: Bounds = BOUNDS) -> Self:
        """Open a run's state; make it if it is not there. read_only: what is there, whoever has it. Raises StateError."""
        store = cls(path, bounds)
        if read_only:
            store._connection = open_readable(store.path)
            return store
        try:
            store._open()
        except (OSError, sqlite3.Error) as error:
            store._fail(error)
        except BaseException:
            store.close()
            raise
        return store

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it, and let others have it."""
        self._disconnect()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def take_remarks(self) -> list[str]:
        """Return what a person should know of the state, since this was last asked."""
        remarks, self._remarks = self._remarks, []
        return remarks

    # Reading. A state that turns out to be damaged is set aside then, and nothing is known.

    def load(self) -> Memory:
        """Return what rules remember; of a state that cannot be written, what can be read."""
        memory = self._read(_load)
        return Memory() if memory is None else memory

    def load_outbox(self) -> list[Kept]:
        """Return the undelivered records, the oldest first."""
        return self._read(_load_outbox) or []

    def silences(self) -> tuple[Silence, ...]:
        """Return the silences, with those that are over."""
        return self._read(_load_silences) or ()

    def given_names(self) -> Mapping[str, str]:
        """Return the names that people have given to devices, by the devices' ids."""
        return self._read(_load_given_names) or {}

    def _read(self, read: Callable[[sqlite3.Connection], _T]) -> _T | None:
        try:
            if self._connection is None:
                with closing(open_readable(self.path)) as connection:
                    return read(connection)
            return read(self._connection)
        except StateError:
            return None
        except (sqlite3.Error, msgspec.DecodeError) as error:
            if isinstance(error, sqlite3.Error) and not is_damage(error):
                self._fail(error)
            elif self._lock is not None and self._connection is not None:
                try:
                    self._start_anew(str(error))
                except (OSError, sqlite3.Error) as failure:
                    self._fail(failure)
            return None

    # Writing.

    def save(self, changes: Changes, alerts: Iterable[Alert] = ()) -> None:
        """Write what has changed, and alerts, in one transaction. Raises StateError if nothing could be written."""
        batch = Batch()
        batch.add(changes, alerts)
        self.write(batch)

    def write(self, batch: Batch) -> None:
        """Write a checkpoint. Raises StateError if nothing could be written; a row that is unfit is left out, with a remark."""
        try:
            self._open_again()
            try:
                self._write(batch)
            except sqlite3.Error as error:
                if not is_damage(error):
                    raise
                self._start_anew(str(error))
                self._write(batch)
        except StateError as error:
            self.fault = error
            raise
        except (OSError, sqlite3.Error) as error:
            raise self._fail(error) from error
        self.fault = None

    def prune(self, now_ns: int) -> None:
        """Remove what is too old. Raises StateError if nothing could be written."""
        try:
            if self._connection is not None:
                with _transaction(self._connection):
                    forget_old(self._connection, now_ns)
        except sqlite3.Error as error:
            raise self._fail(error) from error

    def _write(self, batch: Batch) -> None:
        try:
            self._write_rows(batch, _write_fast)
        except _UNFIT:
            n_unfit = self._write_rows(batch, _write_one_by_one)
            if n_unfit:
                self._remarks.append(f"{n_unfit:,} rows are not fit for the state {files.shown(self.path)}: they are left out")

    def _write_rows(self, batch: Batch, write: Callable[..., int]) -> int:
        connection = self._connected()
        n_rows = dict(self._n_rows)
        n_unfit = 0
        with _transaction(connection):
            for statement, name, make_row, values in _statements(batch):
                n_unfit += write(connection, statement, make_row, values)
                n_rows[name] += len(values)
            remove_excess(connection, n_rows, self._bounds)
        self._n_rows = n_rows
        return n_unfit

    # Opening.

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StateError(f"the state {files.shown(self.path)} is closed")
        return self._connection

    def _open_again(self) -> None:
        """Open the state unless it is open, and still the file of its name."""
        if self._connection is not None and self._identity != _identity(self.path):
            self._disconnect()
            self._remarks.append(f"the state {files.shown(self.path)} has been removed or replaced: it is opened again")
        if self._connection is None:
            self._open()

    def _open(self) -> None:
        files.make_directory(self.path)
        is_new = not files.has_content(self.path)
        if not is_new:
            files.check_owner(self.path)
        if self._lock is None:
            self._lock = files.Lock(self.path)
            is_new = not files.has_content(self.path)  # another run may have made one in between
        if is_new:
            self._create()
            return
        try:
            if files.is_damaged(self.path):
                raise DamagedStateError("its header is not one that fastmon writes")
            with closing(connect(self.path, writes=False)) as readable:
                version = check(readable, self.path, thoroughly=True)
            self._connect(version)
        except DamagedStateError as error:
            self._start_anew(str(error))

    def _connect(self, version: int) -> None:
        connection = connect(self.path, writes=True)
        try:
            with _transaction(connection):  # it fails here if the file cannot be written
                migrate(connection, version)
            self._n_rows = count_rows(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self._identity = _identity(self.path)

    def _create(self) -> None:
        """Make an empty state, whole: under another name, which it gives up at the end."""
        new = files.side_path(self.path, "-new")
        for suffix in ("", "-journal", *files.WAL_SUFFIXES):
            files.side_path(new, suffix).unlink(missing_ok=True)
        os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        with closing(connect(new, writes=True)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            with _transaction(connection):
                migrate(connection, 0)
        for suffix in files.WAL_SUFFIXES:  # those of a file that was removed would be taken for the new one's
            files.side_path(self.path, suffix).unlink(missing_ok=True)
        new.rename(self.path)
        files.sync_directory(self.path)
        self._connect(VERSION)

    def _start_anew(self, reason: str) -> None:
        self._disconnect()
        aside = files.set_aside(self.path, time.time_ns())
        what = f"the state {files.shown(self.path)} is damaged ({reason})"
        self._remarks.append(f"{what}: it is set aside as {files.shown(aside)}, and a new one is begun")
        self._create()

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _fail(self, error: Exception) -> StateError:
        self._disconnect()
        self.fault = StateError(f"cannot keep the state {files.shown(self.path)}: {reason_of(error)}")
        return self.fault


class _transaction:  # noqa: N801  (it reads as a function)
    """Begins a transaction that writes, and ends it: all of it counts, or nothing."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._connection.execute("COMMIT")
        finally:
            if self._connection.in_transaction:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino


def _load(connection: sqlite3.Connection) -> Memory:
    return Memory(**{table.name: tuple(read_all(connection, table, _CONDITIONS.get(table.name, ""))) for table in TABLES})


def _load_outbox(connection: sqlite3.Connection) -> list[Kept]:
    return [Kept(*row) for row in connection.execute("SELECT id, action, record FROM outbox ORDER BY id")]


def _load_silences(connection: sqlite3.Connection) -> tuple[Silence, ...]:
    rows = connection.execute("SELECT target, since_ns, until_ns FROM silences ORDER BY target")
    return tuple(Silence(*row) for row in rows)


def _load_given_names(connection: sqlite3.Connection) -> dict[str, str]:
    return dict(connection.execute("SELECT id, given_name FROM devices WHERE given_name != ''"))


def _statements(batch: Batch) -> Iterator[tuple[str, str, Callable[..., Row], list[object]]]:
    """Yield what a batch writes: the statement, its table, what makes a row of a value, and the values."""
    for table in TABLES:
        rows = batch.rows[table.name].values()
        if table.forget:
            yield table.statement, table.name, table.row, [row for row in rows if not row.is_closed]
            yield table.forget, table.name, table.key, [row for row in rows if row.is_closed]
        else:
            yield table.statement, table.name, table.row, list(rows)
    yield ALERT, "alerts", alert_row, list(batch.alerts.values())
    yield "INSERT OR REPLACE INTO outbox VALUES (?, ?, ?)", "outbox", tuple, [kept for kept in batch.outbox.values() if kept]
    done = [kept_id for kept_id, kept in batch.outbox.items() if kept is None]
    yield "DELETE FROM outbox WHERE id = ?", "outbox", lambda kept_id: (kept_id,), list(done)


def _write_fast(connection: sqlite3.Connection, statement: str, make_row: Callable[..., Row], values: list[object]) -> int:
    connection.executemany(statement, map(make_row, values))
    return 0


def _write_one_by_one(connection: sqlite3.Connection, statement: str, make_row: Callable[..., Row], values: list[object]) -> int:
    """Write what can be written; return how many values cannot."""
    n_unfit = 0
    for value in values:
        try:
            connection.execute(statement, fit(make_row(value)))
        except _UNFIT:  # noqa: PERF203  (one row is not to cost the others)
            n_unfit += 1
    return n_unfit
