"""How much is kept, and what goes first when it is too much.

What it does not do: choose the moment.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from fastmon.model.units import NS_PER_S
from fastmon.state.schema import IS_OPEN

if TYPE_CHECKING:
    import sqlite3

__all__ = ["BOUNDS", "Bounds", "count_rows", "forget_old", "remove_excess"]

DAY_NS = 86_400 * NS_PER_S

ROOM = 50
"""A table that is too full is emptied by this part of its bound, beside the excess."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most rows of each table."""

    periods: int = 2_000_000
    incidents: int = 1_000_000
    told: int = 1_000_000
    devices: int = 100_000
    baselines: int = 4_000_000
    days: int = 4_000_000
    alerts: int = 100_000
    outbox: int = 20_000


BOUNDS = Bounds()

_KEYS = {
    "periods": "rule, subject",
    "incidents": "rule, subject, item",
    "told": "rule, subject, item",
    "devices": "id",
    "baselines": "rule, subject, bucket",
    "days": "day_start_ns, subject",
    "alerts": "id",
    "outbox": "id",
}

_FIRST_TO_GO = {
    "periods": "end_ns",
    "incidents": "alert_id",
    "told": "ts_ns",
    "devices": "last_seen_ns",
    "baselines": "saved_ns",
    "days": "day_start_ns",
    "alerts": f"{IS_OPEN}, last_ns",
    "outbox": "id",
}

_OLD = {
    "periods": ("end_ns < ?", 40),
    "baselines": ("saved_ns < ?", 100),
    "days": ("day_start_ns < ?", 400),
    "alerts": (f"last_ns < ? AND NOT {IS_OPEN}", 400),
    "silences": ("until_ns < ?", 1),
}
"""What is old, and the days that it is kept."""


def count_rows(connection: sqlite3.Connection) -> dict[str, int]:
    """Return the number of rows of each bounded table."""
    return {table: _count(connection, table) for table in _KEYS}


def _count(connection: sqlite3.Connection, table: str) -> int:
    (n_rows,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(n_rows)


def remove_excess(connection: sqlite3.Connection, at_most: dict[str, int], bounds: Bounds) -> None:
    """Bring each table to its bound, in the running transaction.

    at_most: how many rows each can have by now; where that is too much they are counted, and it is set right.
    """
    for table, bound in asdict(bounds).items():
        if at_most[table] <= bound:
            continue
        n_rows = _count(connection, table)
        if n_rows > bound:
            n_removed = n_rows - bound + bound // ROOM  # or a full table would be sorted at each checkpoint
            key = _KEYS[table]
            chosen = f"SELECT {key} FROM {table} ORDER BY {_FIRST_TO_GO[table]} LIMIT ?"
            connection.execute(f"DELETE FROM {table} WHERE ({key}) IN ({chosen})", (n_removed,))
            n_rows -= n_removed
        at_most[table] = n_rows


def forget_old(connection: sqlite3.Connection, now_ns: int) -> None:
    """Remove what is too old at `now_ns`, in the running transaction."""
    for table, (condition, n_days) in _OLD.items():
        connection.execute(f"DELETE FROM {table} WHERE {condition}", (now_ns - n_days * DAY_NS,))
