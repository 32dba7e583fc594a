"""The queue and the thread of one action: batches, what is tried again and when, what waits in the outbox.

What it does not do: deliver (`Action`), choose which action takes an alert (`Dispatcher`).
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

import msgspec

from fastmon.alerts.action import DeliveryError
from fastmon.alerts.limiter import Limiter, More
from fastmon.alerts.records import Record, alert_record, decode_record, encode_record
from fastmon.model.alerts import Alert
from fastmon.model.texts import printable
from fastmon.model.units import NS_PER_S, format_duration
from fastmon.run.subscriber import Problem
from fastmon.run.threads import start_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fastmon.alerts.action import Action
    from fastmon.alerts.outbox import Outbox
    from fastmon.model.memory import Kept
    from fastmon.policy.specs import ActionSpec

__all__ = ["Counts", "Item", "Worker"]

MAX_WAITING = 1000
"""Alerts that wait for one action, in memory and in the outbox. Those that find no room are counted, and told as a number."""

MAX_SUMS = 100
"""Numbers of alerts that wait beside them. Then the oldest of all that waits is dropped."""

MAX_BATCH = 50
"""Alerts of one delivery."""

GATHER_S = 0.1
"""How long the first alert waits for others that come with it."""

ABORT_S = 0.5
"""How long a delivery may take to end when it is told to."""

FIRST_DELAY_S = 2.0
LAST_DELAY_S = 300.0
"""Between two attempts: the first delay, doubled with each, up to the last."""

MAX_TOGETHER = 4
"""Attempts of a batch. Then its alerts are tried one by one, and behind others: one of them may be what is refused."""

MAX_ATTEMPTS = 8
"""After so many, an alert that fails while others are delivered is given up."""


@dataclass(slots=True)
class Counts:
    """What became of an action's alerts.

    delivered, failed (given up after their attempts), dropped (found no room: told as a number, or lost), summarised (past the
    rate: told as a number).
    retried: alerts that were tried once more, each time.
    """

    delivered: int = 0
    retried: int = 0
    failed: int = 0
    dropped: int = 0
    summarised: int = 0

    def as_dict(self) -> dict[str, int]:
        """Return the counts by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


class Item:
    """Something to deliver: an alert, a record that was kept, or a number of alerts.

    kept_id: the outbox's; None if it is not there.  n_delivered_before: of the action, when it failed first.
    """

    __slots__ = ("_source", "kept_id", "n_attempts", "n_delivered_before")

    def __init__(self, source: Alert | Record | More, kept_id: int | None = None) -> None:
        self._source = source
        self.kept_id = kept_id
        self.n_attempts = 0
        self.n_delivered_before = 0

    @property
    def more(self) -> More | None:
        """The number of alerts that this is, if it is one of this run."""
        return self._source if isinstance(self._source, More) else None

    def record(self) -> Record:
        """Return its record, which is made when it is asked for first: `send` shall be quick."""
        if isinstance(self._source, Alert):
            self._source = alert_record(self._source)
        return self._source.record() if isinstance(self._source, More) else self._source


class Worker:
    """Serves one action. `send` is called by the run's thread, everything else that is public by the dispatcher's owner."""

    def __init__(self, spec: ActionSpec, action: Action, outbox: Outbox, report: Callable[[Problem], None]) -> None:
        self.spec = spec
        self.counts = Counts()
        self._action = action
        self._outbox = outbox
        self._report = report
        self._limiter = Limiter(0 if spec.file is not None else spec.rate, spec.rate_ns)
        self._changed = threading.Condition()
        self._pending: deque[Item] = deque()
        self._in_flight: list[Item] = []
        self._forgotten: list[int] = []
        self._ready_s = 0.0
        self._retry_s = 0.0
        self._n_failures = 0
        self._n_dropped_told = 0
        self._is_outbox_failing = False
        self._deadline_s: float | None = None
        self._has_failed_last = False
        self._is_abandoned = False
        self._thread: threading.Thread | None = None

    def start(self, kept: Iterable[Kept], left: Iterable[Item] = ()) -> None:
        """Start the thread. `kept` was not delivered by an earlier run, `left` by the worker that this one replaces."""
        items = [Item(record, entry.id) for entry in kept if (record := self._read(entry)) is not None]
        items += left
        with self._changed:
            self._pending.extendleft(reversed(items))
            self._drop_oldest(MAX_WAITING)
            if self._deadline_s is None:
                self._thread = start_thread(f"fastmon-action-{self.spec.name}", self._serve)

    def _read(self, entry: Kept) -> Record | None:
        try:
            return decode_record(entry.record)
        except msgspec.MsgspecError:  # nobody could ever deliver it
            self._forgotten.append(entry.id)
            return None

    def send(self, alert: Alert) -> None:
        """Take an alert. It never waits for more than other calls of this object, which only move items."""
        with self._changed:
            if self._deadline_s is not None:
                self.counts.dropped += 1
                return
            now_s = time.monotonic()
            if not self._limiter.passes(alert, now_s):
                self.counts.summarised += 1
                if self._limiter.more.n_alerts == 1:
                    self._changed.notify_all()
                return
            if len(self._pending) >= MAX_WAITING:
                self._count_only(alert)
                return
            self._append(Item(alert), now_s)

    def waiting(self) -> int:
        """Return how many alerts have not been delivered yet."""
        with self._changed:
            return len(self._pending) + len(self._in_flight)

    def begin_close(self, deadline_s: float) -> None:
        """Let no more alerts in, and try what waits once more, until the deadline."""
        with self._changed:
            self._deadline_s = deadline_s
            self._changed.notify_all()

    def finish_close(self) -> list[Item]:
        """Wait for the deadline at most; then put what is left into the outbox, say how many, and return it."""
        if self._thread is not None and self._deadline_s is not None:
            self._thread.join(max(self._deadline_s - time.monotonic(), 0))
            if self._thread.is_alive():
                self._action.abort()
                self._thread.join(ABORT_S)
        with self._changed:
            self._is_abandoned = True
            self._take_more(at_once=True)
            left = [*self._in_flight, *self._pending]
            self._changed.notify_all()
        self._keep(left)
        self._forget()
        found_no_room = self._take_dropped()
        if left:
            who = "the next run tries again" if self._outbox.is_lasting else "without a state nobody tries again"
            self._tell(f"{_alerts(len(left))} could not be delivered: {who}{found_no_room}")
        elif found_no_room:
            self._tell(f"all that waited is delivered{found_no_room}")
        return left

    def _serve(self) -> None:
        self._action.open()
        while (batch := self._next_batch()) is not None:
            self._forget()
            if batch:
                self._attempt(batch)
        self._action.close()

    def _next_batch(self) -> list[Item] | None:
        """Wait for something to deliver, and return it; None when the worker is closed."""
        with self._changed:
            while not self._is_abandoned:
                now_s = time.monotonic()
                is_closing = self._deadline_s is not None
                self._take_more(at_once=is_closing)
                if self._deadline_s is not None:
                    if not self._pending or now_s >= self._deadline_s or self._has_failed_last:
                        return None
                    return self._take_batch()
                due_s = max(self._ready_s, self._retry_s)
                if self._pending and now_s >= due_s:
                    return self._take_batch()
                times = [time_s for time_s in (due_s if self._pending else None, self._limiter.due_s) if time_s is not None]
                self._changed.wait(max(min(times) - now_s, 0) if times else None)
            return None

    def _take_batch(self) -> list[Item]:
        is_alone = self._pending[0].n_attempts >= MAX_TOGETHER
        batch = [self._pending.popleft()]
        while not is_alone and self._pending and len(batch) < MAX_BATCH and self._pending[0].n_attempts < MAX_TOGETHER:
            batch.append(self._pending.popleft())
        self._in_flight = batch
        return batch

    def _attempt(self, batch: Sequence[Item]) -> None:
        timeout_s = self.spec.timeout_ns / NS_PER_S
        if self._deadline_s is not None:
            timeout_s = max(min(timeout_s, self._deadline_s - time.monotonic()), 0.01)
        self.counts.retried += sum(item.n_attempts > 0 for item in batch)
        try:
            self._action.deliver([item.record() for item in batch], timeout_s)
        except DeliveryError as error:
            self._failed(batch, str(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this action's affair; its text may hold a secret
            self._failed(batch, f"failed: {type(error).__name__}")
        else:
            self._delivered(batch)

    def _delivered(self, batch: Sequence[Item]) -> None:
        with self._changed:
            if self._is_abandoned:  # they are in the outbox: told twice is better than not at all
                return
            self._in_flight = []
            self.counts.delivered += sum(item.more is None for item in batch)
            was_failing = self._n_failures > 0
            self._n_failures = 0
            self._retry_s = 0.0
            self._forgotten += [item.kept_id for item in batch if item.kept_id is not None]
        self._forget()
        if was_failing:
            self._tell(f"works again{self._take_dropped()}")

    def _failed(self, batch: Sequence[Item], why: str) -> None:
        self._keep(batch)
        with self._changed:
            if self._is_abandoned:
                return
            self._in_flight = []
            self._n_failures += 1
            delay_s = min(FIRST_DELAY_S * 2 ** min(self._n_failures - 1, 30), LAST_DELAY_S)
            delay_s *= random.uniform(0.75, 1.0)  # so that many sensors do not come at once
            self._retry_s = time.monotonic() + delay_s
            given_up = [item for item in batch if self._is_hopeless(item)]
            left = [item for item in batch if item not in given_up]
            if left and left[0].n_attempts >= MAX_TOGETHER:
                self._pending.extend(left)
            else:
                self._pending.extendleft(reversed(left))
            self.counts.failed += len(given_up)
            self._forgotten += [item.kept_id for item in given_up if item.kept_id is not None]
            is_first = self._n_failures == 1 and not given_up
            is_closing = self._has_failed_last = self._deadline_s is not None
        self._forget()
        if given_up:
            self._tell(f"{_alerts(len(given_up))} given up after {MAX_ATTEMPTS} attempts: {why}")
        elif is_first:
            again = "" if is_closing else f"; trying again in {format_duration(max(round(delay_s), 1) * NS_PER_S)}"
            self._tell(f"{why}{again}")

    def _is_hopeless(self, item: Item) -> bool:
        """Count an attempt, and tell whether it is the item that is refused: others were delivered meanwhile."""
        if not item.n_attempts:
            item.n_delivered_before = self.counts.delivered
        item.n_attempts += 1
        return item.n_attempts >= MAX_ATTEMPTS and self.counts.delivered > item.n_delivered_before

    def _take_more(self, *, at_once: bool) -> None:
        more = self._limiter.take_more(time.monotonic(), at_once=at_once)
        if more is not None:
            self._append(Item(more), time.monotonic())
            self._drop_oldest(MAX_WAITING + MAX_SUMS)

    def _append(self, item: Item, now_s: float) -> None:
        if not self._pending:
            self._ready_s = now_s + GATHER_S
            self._changed.notify_all()
        self._pending.append(item)

    def _count_only(self, alert: Alert) -> None:
        """Take an alert that finds no room: the last that waits becomes, or is, a number of alerts."""
        self.counts.dropped += 1
        more = self._pending[-1].more
        if more is None or self._pending[-1].n_attempts:
            more = More(self.spec.rate_ns / NS_PER_S)
            self._pending.append(Item(more))
            self._drop_oldest(MAX_WAITING + MAX_SUMS)
        more.add(alert)

    def _keep(self, items: Sequence[Item]) -> None:
        """Put items into the outbox that are not there yet."""
        for item in items:
            if item.kept_id is not None:
                continue
            try:
                kept_id = self._outbox.put(self.spec.name, encode_record(item.record()).decode())
            except Exception as error:  # noqa: BLE001 - the alert is to be delivered, whatever is wrong with the outbox
                self._tell_of_outbox(error)
                return
            with self._changed:
                if item.kept_id is None:
                    item.kept_id = kept_id
                else:  # another thread was faster
                    self._forgotten.append(kept_id)

    def _forget(self) -> None:
        """Take out of the outbox what need not be there."""
        with self._changed:
            forgotten, self._forgotten = self._forgotten, []
        try:
            for kept_id in forgotten:
                self._outbox.done(kept_id)
        except Exception as error:  # noqa: BLE001 - likewise
            self._tell_of_outbox(error)

    def _drop_oldest(self, most: int) -> None:
        """Drop the oldest of what waits, until `most` are left."""
        while len(self._pending) > most:
            item = self._pending.popleft()
            self.counts.dropped += 1
            if item.kept_id is not None:
                self._forgotten.append(item.kept_id)

    def _take_dropped(self) -> str:
        """Return the words for the alerts that were dropped since they were last told of, if there are any."""
        with self._changed:
            n_new, self._n_dropped_told = self.counts.dropped - self._n_dropped_told, self.counts.dropped
        return f"; {_alerts(n_new)} found no room, and were counted at best" if n_new else ""

    def _tell_of_outbox(self, error: Exception) -> None:
        if not self._is_outbox_failing:
            self._is_outbox_failing = True
            self._tell(f"undelivered alerts cannot be kept: {error}")

    def _tell(self, text: str) -> None:
        self._report(Problem(f"action {self.spec.name}: {printable(text)}"))


def _alerts(number: int) -> str:
    return f"{number:,} alert" if number == 1 else f"{number:,} alerts"
