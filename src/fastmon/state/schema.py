"""The tables of a state and their versions.

Every version, later ones too, has `meta` with the row `version`, and SQLite's `application_id` and `user_version`: so each
can tell that a state is newer than itself.

All times are whole nanoseconds since the epoch, UTC. Columns check their types, so that damage to them is found when a state
is opened.

What it does not do: open files, know rows.
"""

from __future__ import annotations

import sqlite3
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["APPLICATION_ID", "IS_OPEN", "MIGRATIONS", "VERSION", "has_all_tables", "migrate", "stated_version"]

APPLICATION_ID = 0x464D4F4E
""""FMON", which stands in the header of the file."""


def _text(*names: str) -> str:
    return ", ".join(f"{name} TEXT NOT NULL CHECK (typeof({name}) = 'text')" for name in names)


def _count(*names: str) -> str:
    return ", ".join(f"{name} INTEGER NOT NULL CHECK (typeof({name}) = 'integer' AND {name} >= 0)" for name in names)


def _time(*names: str) -> str:
    return ", ".join(f"{name} INTEGER NOT NULL CHECK (typeof({name}) = 'integer')" for name in names)


def _real(*names: str) -> str:
    return ", ".join(f"{name} REAL NOT NULL CHECK (typeof({name}) = 'real')" for name in names)


def _optional(*names: str) -> str:
    return ", ".join(f"{name} REAL CHECK ({name} IS NULL OR typeof({name}) = 'real')" for name in names)


def _table(name: str, key: str, *columns: str) -> str:
    return f"CREATE TABLE {name} ({', '.join(columns)}, PRIMARY KEY ({key})) WITHOUT ROWID"


_FIRST = (
    _table("meta", "key", _text("key", "value")),
    _table(
        "periods",
        "rule, subject",
        _text("rule", "subject"),
        _time("start_ns", "end_ns"),
        _count("bytes", "limit_bytes", "told_percent"),
    ),
    _table("incidents", "rule, subject, item", _text("rule", "subject", "item", "alert_id", "data")),
    _table("told", "rule, subject, item", _text("rule", "subject", "item"), _time("ts_ns")),
    _table(
        "devices",
        "id",
        _text("id", "mac", "addresses", "name", "vendor", "given_name"),
        _time("first_seen_ns", "last_seen_ns", "forgotten_ns"),
    ),
    _table(
        "baselines",
        "rule, subject, bucket",
        _text("rule", "subject"),
        _time("bucket"),
        _real("n_samples", "mean", "spread"),
        _time("saved_ns"),
    ),
    _table(
        "days",
        "day_start_ns, subject",
        _text("subject"),
        _time("day_start_ns"),
        _count("bytes_in", "bytes_out", "packets_in", "packets_out"),
    ),
    _table(
        "alerts",
        "id",
        _text("id", "rule", "kind", "severity", "scope", "host", "name", "mac", "unit", "reason", "cleared_reason"),
        _text("evidence", "actions"),
        _time("since_ns", "fired_ns", "ended_ns", "last_ns", "window_ns"),
        _count("is_local", "is_silenced"),
        _optional("value", "bound", "peak"),
    ),
    "CREATE INDEX alerts_by_time ON alerts (last_ns)",
    "CREATE TABLE outbox (id INTEGER PRIMARY KEY, " + _text("action", "record") + ")",
    _table("silences", "target", _text("target"), _time("since_ns", "until_ns")),
)

MIGRATIONS: Sequence[Sequence[str]] = (_FIRST,)
"""The statements that lead from each version to the next; the first ones make a state. A released one is never changed."""

VERSION = len(MIGRATIONS)


IS_OPEN = (
    "(alerts.ended_ns = 0 AND EXISTS (SELECT 1 FROM incidents i WHERE i.rule = alerts.rule AND "
    "(i.alert_id = alerts.id OR i.subject = CASE alerts.host WHEN '' THEN 'network' ELSE alerts.host END)))"
)
"""Whether an alert may still clear: its rule has an open case. One that is told once has none."""


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring a state from `version` (0: an empty file) to this one, in the running transaction."""
    for statements in MIGRATIONS[version:VERSION]:
        for statement in statements:
            connection.execute(statement)
    connection.execute("INSERT OR REPLACE INTO meta VALUES ('version', ?)", (str(VERSION),))
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {VERSION}")


def stated_version(connection: sqlite3.Connection) -> int | None:
    """Return the version that a state is of; None if what it says of that is contradictory: it is damaged.

    Raises sqlite3.Error if it cannot be read.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    row = connection.execute("SELECT value FROM meta WHERE key = 'version'").fetchone()
    return int(version) if row is not None and row[0] == str(version) and version > 0 else None


def has_all_tables(connection: sqlite3.Connection, version: int) -> bool:
    """Return whether a state has the tables and indexes of its version, unchanged; more may be there."""
    return _schema(version) <= _definitions(connection)


@cache
def _schema(version: int) -> set[tuple[str, str]]:
    connection = sqlite3.connect(":memory:")
    try:
        for statements in MIGRATIONS[:version]:
            for statement in statements:
                connection.execute(statement)
        return _definitions(connection)
    finally:
        connection.close()


def _definitions(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    return set(connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
