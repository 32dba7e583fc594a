"""Where alerts wait that could not be delivered yet.

What it does not do: outlive the process; `state` has an outbox that does.
"""

from __future__ import annotations

import threading
from itertools import count
from typing import Protocol

from fastmon.model.memory import Kept

__all__ = ["MemoryOutbox", "Outbox"]


class Outbox(Protocol):
    """Keeps records for actions. Any thread may call it, but never the run's: it may wait for a disk.

    is_lasting: whether the next run has what this one leaves.

    Raises FastmonError or OSError where it cannot read or write.
    """

    is_lasting: bool

    def put(self, action: str, record: str) -> int:
        """Keep a record, and return its id."""
        ...

    def done(self, kept_id: int) -> None:
        """Forget a record, if there is one."""
        ...

    def load(self) -> list[Kept]:
        """Return all that is kept, the oldest first. It is called once, before everything else."""
        ...


class MemoryOutbox:
    """Keeps records for as long as the process lives."""

    is_lasting = False

    def __init__(self) -> None:
        self._kept: dict[int, Kept] = {}
        self._ids = count(1)
        self._lock = threading.Lock()

    def put(self, action: str, record: str) -> int:
        """Keep a record, and return its id."""
        with self._lock:
            kept = Kept(next(self._ids), action, record)
            self._kept[kept.id] = kept
            return kept.id

    def done(self, kept_id: int) -> None:
        """Forget a record, if there is one."""
        with self._lock:
            self._kept.pop(kept_id, None)

    def load(self) -> list[Kept]:
        """Return all that is kept, the oldest first."""
        with self._lock:
            return list(self._kept.values())
