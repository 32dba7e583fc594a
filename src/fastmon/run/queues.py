"""Bounded queues between the thread of a run and those that take what comes out of it.

What it does not do: start threads; show or write anything.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from typing import TYPE_CHECKING, Generic, TypeVar

from fastmon.run.subscriber import Subscriber

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from typing import Any, TypeAlias

    from fastmon.model.alerts import Alert
    from fastmon.model.conversations import EndedConversations
    from fastmon.model.snapshot import Snapshot
    from fastmon.run.subscriber import Problem

    Event: TypeAlias = tuple[str, Any]

__all__ = ["BoundedQueue", "EventQueue", "deliver"]

MAX_ROWS = 1 << 18
"""Hosts, alerts and conversations that may wait: some 30 MB."""

MAX_SNAPSHOTS = 4
"""Snapshots that may wait."""

NEWEST_ONLY = ("tick", "progress")
"""Events of which a newer one makes an older one useless."""

PATIENCE_S = 0.1
"""How often whoever waits for room asks whether to go on waiting."""

_T = TypeVar("_T")


class BoundedQueue(Generic[_T]):
    """Items on their way to one consumer, bounded by the sum of their weights; a single item always fits.

    is_patient: asked while there is no room: whether `put` waits for it. Otherwise the item is refused.
    n_refused: the weight of all items that were refused or thrown away.
    """

    def __init__(self, max_weight: int, is_patient: Callable[[], bool]) -> None:
        self.n_refused = 0
        self._max_weight = max_weight
        self._is_patient = is_patient
        self._items: deque[tuple[_T, int]] = deque()
        self._weight = 0
        self._is_closed = False
        self._changed = threading.Condition()

    def put(self, item: _T, weight: int = 1) -> bool:
        """Add an item, waiting for room if that is wanted; return False if it was refused."""
        with self._changed:
            while not self._is_closed and not self._has_room(item, weight) and self._is_patient():
                self._changed.wait(PATIENCE_S)
            if self._is_closed or not (self._has_room(item, weight) or self._make_room(item, weight)):
                self.n_refused += weight
                return False
            self._append(item, weight)
            return True

    def get(self) -> _T | None:
        """Take the oldest item, waiting for one; None when the queue is closed and empty."""
        with self._changed:
            while not self._items and not self._is_closed:
                self._changed.wait()
            if not self._items:
                return None
            item, weight = self._items.popleft()
            self._weight -= weight
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Let no more items in; those that wait can still be taken."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """Close the queue, and throw away what waits."""
        with self._changed:
            self.n_refused += self._weight
            self._items.clear()
            self._weight = 0
        self.close()

    def _has_room(self, item: _T, weight: int) -> bool:  # noqa: ARG002 - for those that look at it
        return not self._items or self._weight + weight <= self._max_weight

    def _make_room(self, item: _T, weight: int) -> bool:  # noqa: ARG002 - likewise
        """Make room for an item that will not wait; return False if that cannot be done."""
        return False

    def _append(self, item: _T, weight: int) -> None:
        self._items.append((item, weight))
        self._weight += weight
        self._changed.notify_all()


class EventQueue(BoundedQueue["Event"], Subscriber):
    """The events of a run on their way to one subscriber in another thread.

    A snapshot that finds no room is merged with the one before it, unless the queue is patient: the sums stay exact, and
    `Snapshot.n_intervals` says how many intervals it stands for. Of totals and progress only the newest waits. Problems and
    requests, of which a run has few, always find room. Alerts and conversations are refused.

    kinds: the names of the methods whose events are wanted; others are ignored.
    lost: how many alerts and conversations were refused.
    """

    def __init__(self, is_patient: Callable[[], bool], kinds: Collection[str]) -> None:
        super().__init__(MAX_ROWS, is_patient)
        self._kinds = kinds
        self.lost = Counter[str]()

    def snapshot(self, snapshot: Snapshot) -> None:
        """Queue a snapshot."""
        self._queue("snapshot", snapshot, len(snapshot))

    def alerts(self, alerts: Sequence[Alert]) -> None:
        """Queue alerts."""
        self._queue("alerts", alerts, len(alerts))

    def conversations(self, ended: EndedConversations) -> None:
        """Queue conversations."""
        self._queue("conversations", ended, len(ended.rows))

    def problem(self, problem: Problem) -> None:
        """Queue a problem."""
        self._queue("problem", problem, 1)

    def tick(self, totals: Snapshot) -> None:
        """Queue totals."""
        self._queue("tick", totals, len(totals))

    def progress(self, position_bytes: int) -> None:
        """Queue how far the run is."""
        self._queue("progress", position_bytes, 1)

    def reopen(self) -> None:
        """Queue the request."""
        self._queue("reopen", None, 1)

    def _queue(self, kind: str, value: object, n_rows: int) -> None:
        if kind not in self._kinds or self.put((kind, value), max(n_rows, 1)):
            return
        if self._is_closed:
            return
        self.lost[kind] += n_rows
        if len(self.lost) == 1 and self.lost[kind] == n_rows:
            self._tell_of_loss(kind)

    def _tell_of_loss(self, kind: str) -> None:
        """Say that events are refused; called once."""

    def _has_room(self, item: Event, weight: int) -> bool:
        kind, value = item
        if kind in (*NEWEST_ONLY, "problem", "reopen"):
            return True
        if kind == "snapshot" and not value.is_summary and self._n_snapshots() >= MAX_SNAPSHOTS:
            return False
        return super()._has_room(item, weight)

    def _n_snapshots(self) -> int:
        return sum(kind == "snapshot" for (kind, _), _ in self._items)

    def _make_room(self, item: Event, weight: int) -> bool:  # noqa: ARG002 - the kind decides
        """Let a snapshot in: `_append` bounds them by merging."""
        return item[0] == "snapshot"

    def _append(self, item: Event, weight: int) -> None:
        kind, value = item
        if kind in NEWEST_ONLY:
            self._take_out_last(kind)
        elif kind == "snapshot" and not value.is_summary and not self._has_room(item, weight):
            earlier = self._take_out_last("snapshot")
            if earlier is not None:
                value = earlier.merge(value)
                item, weight = (kind, value), max(len(value), 1)
        super()._append(item, weight)

    def _take_out_last(self, kind: str) -> Snapshot | None:
        """Take out and return the last snapshot of this kind of event that waits; None if there is none."""
        for place in range(len(self._items) - 1, -1, -1):
            (found, value), weight = self._items[place]
            if found == kind:
                del self._items[place]
                self._weight -= weight
                return value  # type: ignore[no-any-return]
        return None


def deliver(event: Event, subscriber: Subscriber) -> None:
    """Pass an event that was taken out of a queue on."""
    kind, value = event
    getattr(subscriber, kind)(value)
