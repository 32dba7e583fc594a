"""What waits to be written: the newest row of each key, and no more than a bound.

What it does not do: write, lock.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastmon.state.rows import TABLES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastmon.model.alerts import Alert
    from fastmon.model.memory import Changes, Kept

__all__ = ["Batch", "Pending"]

MAX_ROWS = 1 << 20
"""Of each table. Only a disk that is stuck or full makes so many wait."""

MAX_ALERTS = 20_000
MAX_OUTBOX = 20_000
MAX_UNMERGED = 4


@dataclass(slots=True)
class Batch:
    """What one checkpoint writes.

    rows: by table and key.  alerts: records by alert and state, in their order.
    outbox: the undelivered, by id; None for one that is delivered.
    """

    rows: dict[str, dict[Any, Any]] = field(default_factory=lambda: {table.name: {} for table in TABLES})
    alerts: dict[tuple[str, str], Alert] = field(default_factory=dict)
    outbox: dict[int, Kept | None] = field(default_factory=dict)

    def add(self, changes: Changes, alerts: Iterable[Alert]) -> None:
        """Add rows and alerts; each replaces an older one with its key."""
        for table in TABLES:
            self.rows[table.name].update((table.key(row), row) for row in getattr(changes, table.name))
        self.alerts.update(((alert.id, alert.state), alert) for alert in alerts)

    def update(self, newer: Batch) -> None:
        """Add another batch, which is newer."""
        for name, rows in newer.rows.items():
            self.rows[name].update(rows)
        self.alerts.update(newer.alerts)
        self.outbox.update(newer.outbox)

    def remove_excess(self) -> Counter[str]:
        """Drop the oldest rows beyond the bounds; return how many of each table."""
        tables: dict[str, tuple[dict[Any, Any], int]] = {name: (rows, MAX_ROWS) for name, rows in self.rows.items()}
        tables["alerts"] = (self.alerts, MAX_ALERTS)
        tables["outbox"] = (self.outbox, MAX_OUTBOX)
        dropped = Counter[str]()
        for name, (rows, bound) in tables.items():
            while len(rows) > bound:
                del rows[next(iter(rows))]
                dropped[name] += 1
        return dropped

    def __bool__(self) -> bool:
        return bool(self.alerts or self.outbox or any(self.rows.values()))


class Pending:
    """Takes what is to be written, quickly: merging is left to whoever takes it, unless that is held up."""

    def __init__(self) -> None:
        self._merged = Batch()
        self._unmerged: deque[tuple[Changes, list[Alert]]] = deque()
        self._dropped = Counter[str]()

    def put(self, changes: Changes, alerts: list[Alert]) -> None:
        """Add rows and alerts."""
        self._unmerged.append((changes, alerts))
        if len(self._unmerged) > MAX_UNMERGED:
            self._merge_one()

    def deliver(self, kept: Kept) -> None:
        """Add an undelivered record."""
        self._merged.outbox[kept.id] = kept
        self._remove_excess()

    def mark_done(self, number: int) -> None:
        """Add that a record is delivered."""
        self._merged.outbox[number] = None
        self._remove_excess()

    def take(self) -> Batch:
        """Return all of it; it waits no more."""
        while self._unmerged:
            self._merge_one()
        batch, self._merged = self._merged, Batch()
        return batch

    def put_back(self, batch: Batch) -> None:
        """Let what was taken wait again. What has come since is newer."""
        batch.update(self._merged)
        self._merged = batch
        self._remove_excess()

    def take_dropped(self) -> Counter[str]:
        """Return how many rows of each table did not fit, since this was last asked."""
        dropped, self._dropped = self._dropped, Counter[str]()
        return dropped

    def _merge_one(self) -> None:
        self._merged.add(*self._unmerged.popleft())
        self._remove_excess()

    def _remove_excess(self) -> None:
        self._dropped += self._merged.remove_excess()
