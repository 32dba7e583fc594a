"""The records of alerts that are still to be delivered, kept in a state.

What it does not do: deliver, write (`keeper` does, with the next checkpoint).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

from fastmon.model.memory import Kept

__all__ = ["KeptOutbox"]


class KeptOutbox:
    """Keeps records for actions. Any thread may call it, and waits for nothing.

    entries: what the last run has left.  keep, forget: write it.

    A record that was delivered within the last second before a crash is delivered again after it.
    """

    is_lasting = True

    def __init__(self, entries: list[Kept], keep: Callable[[Kept], None], forget: Callable[[int], None]) -> None:
        self._entries = entries
        self._keep = keep
        self._forget = forget
        self._last_id = max((kept.id for kept in entries), default=0)
        self._lock = threading.Lock()

    def load(self) -> list[Kept]:
        """Return what the last run has left, the oldest first."""
        return list(self._entries)

    def put(self, action: str, record: str) -> int:
        """Keep a record, and return its id."""
        with self._lock:
            self._last_id += 1
            kept = Kept(self._last_id, action, record)
        self._keep(kept)
        return kept.id

    def done(self, kept_id: int) -> None:
        """Forget a record, if there is one."""
        self._forget(kept_id)
