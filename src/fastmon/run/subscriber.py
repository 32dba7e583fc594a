"""Who gets the events of a run, and the events that are no results.

What it does not do: queue events (`run.queues`), show them (`sinks`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastmon.errors import FastmonError
    from fastmon.model.alerts import Alert
    from fastmon.model.conversations import EndedConversations
    from fastmon.model.snapshot import Snapshot

__all__ = ["Problem", "Subscriber", "Subscribers"]


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that a person should know. `error` is what failed; None for a mere remark."""

    text: str
    error: FastmonError | None = None


class Subscriber:
    """Takes the events of a run in their order. A subscriber overrides what it wants, and ignores the rest.

    wants_ticks: whether `tick` is to be called; a run without anybody who wants ticks makes none.

    All methods are called by the run's own thread, but for `problem`, which any thread may call.
    """

    wants_ticks = False

    def snapshot(self, snapshot: Snapshot) -> None:
        """Take an interval's snapshot, or the summary, which comes last."""

    def alerts(self, alerts: Sequence[Alert]) -> None:
        """Take alerts that came up together, before the snapshot of their interval."""

    def conversations(self, ended: EndedConversations) -> None:
        """Take conversations that have ended."""

    def problem(self, problem: Problem) -> None:
        """Take something that went wrong, or that a person should know."""

    def tick(self, totals: Snapshot) -> None:
        """Take all hosts with their totals since the start; no interval is closed for it."""

    def progress(self, position_bytes: int) -> None:
        """Take how many bytes of capture files have been read so far."""

    def reopen(self) -> None:
        """Write on in new files, if those that are written have been renamed."""


class Subscribers(Subscriber):
    """Passes every event on to each of some subscribers."""

    def __init__(self, subscribers: Sequence[Subscriber]) -> None:
        self._subscribers = subscribers
        self.wants_ticks = any(subscriber.wants_ticks for subscriber in subscribers)

    def snapshot(self, snapshot: Snapshot) -> None:
        """Pass a snapshot on."""
        for subscriber in self._subscribers:
            subscriber.snapshot(snapshot)

    def alerts(self, alerts: Sequence[Alert]) -> None:
        """Pass alerts on."""
        for subscriber in self._subscribers:
            subscriber.alerts(alerts)

    def conversations(self, ended: EndedConversations) -> None:
        """Pass conversations on."""
        for subscriber in self._subscribers:
            subscriber.conversations(ended)

    def problem(self, problem: Problem) -> None:
        """Pass a problem on."""
        for subscriber in self._subscribers:
            subscriber.problem(problem)

    def tick(self, totals: Snapshot) -> None:
        """Pass totals on to those that want ticks."""
        for subscriber in self._subscribers:
            if subscriber.wants_ticks:
                subscriber.tick(totals)

    def progress(self, position_bytes: int) -> None:
        """Pass the position on."""
        for subscriber in self._subscribers:
            subscriber.progress(position_bytes)

    def reopen(self) -> None:
        """Pass the request on."""
        for subscriber in self._subscribers:
            subscriber.reopen()
