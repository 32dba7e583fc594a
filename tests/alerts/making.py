"""Alerts, actions that tests hold in their hands, and a dispatcher of either."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from fakes import T0, S
from waiting import wait_until

from fastmon.alerts.action import DeliveryError
from fastmon.alerts.dispatcher import Dispatcher
from fastmon.alerts.outbox import MemoryOutbox
from fastmon.model.alerts import Alert
from fastmon.policy.specs import ActionSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastmon.alerts.action import Action
    from fastmon.alerts.outbox import Outbox
    from fastmon.alerts.records import Record
    from fastmon.run.subscriber import Problem


def make_alert(number: int = 0, **changes: Any) -> Alert:
    """Return an alert of the host 10.0.0.`number`, for the action `test`."""
    values: dict[str, Any] = {
        "id": f"{number:016x}",
        "rule": "uplink",
        "kind": "rate",
        "severity": "warning",
        "scope": "local",
        "ts_ns": T0 + number * S,
        "since_ns": T0,
        "host": f"10.0.0.{number}",
        "local": True,
        "value": 95_200_000.0,
        "limit": 80_000_000.0,
        "unit": "bit/s",
        "window_ns": 10 * S,
        "reason": "sends and receives 95.2 Mbit/s, more than 80.0 Mbit/s",
        "actions": ("test",),
    }
    return Alert(**{**values, **changes})


class HandAction:
    """Notes what it is to deliver. While `fails` or `refuses` it does not; while `gate` is clear it hangs."""

    def __init__(self) -> None:
        self.batches: list[list[Record]] = []
        self.attempts: list[list[Record]] = []
        self.fails = ""
        self.refuses: Callable[[Record], bool] = lambda _: False
        self.gate = threading.Event()
        self.gate.set()
        self.is_closed = False
        self.is_open = False

    def open(self) -> None:
        self.is_open = True

    def deliver(self, records: Sequence[Record], timeout_s: float) -> None:
        self.attempts.append(list(records))
        if not self.gate.wait(timeout_s):
            raise DeliveryError("had no answer")
        if self.fails:
            raise DeliveryError(self.fails)
        if any(map(self.refuses, records)):
            raise DeliveryError("was refused")
        self.batches.append(list(records))

    def abort(self) -> None:
        self.fails = "was stopped"
        self.gate.set()

    def close(self) -> None:
        self.is_closed = True

    @property
    def delivered(self) -> list[Record]:
        return [record for batch in self.batches for record in batch]


OPEN_DESKS: list[Desk] = []
"""Closed when a test is over: their threads would disturb others."""


class Desk:
    """A dispatcher with its outbox and what it reported."""

    def __init__(
        self, *specs: ActionSpec, outbox: Outbox | None = None, make: Callable[[ActionSpec], Action] | None = None
    ) -> None:
        self.outbox = MemoryOutbox() if outbox is None else outbox
        self.problems: list[str] = []
        options: dict[str, Any] = {} if make is None else {"make": make}
        self.dispatcher = Dispatcher(specs, self.outbox, self._take, **options)
        OPEN_DESKS.append(self)

    def _take(self, problem: Problem) -> None:
        assert problem.error is None  # an action's trouble is no failure of the run
        self.problems.append(problem.text)

    def send(self, *alerts: Alert) -> None:
        for alert in alerts:
            self.dispatcher.send(alert)

    def count(self, name: str, action: str = "test") -> int:
        return self.dispatcher.counts()[action][name]

    def wait_for(self, **counts: int) -> None:
        """Wait until the counts of the action `test` are these."""
        wait_until(lambda: all(self.count(name) == number for name, number in counts.items()), f"{counts}")

    def wait_for_problem(self, part: str) -> str:
        return wait_until(lambda: next((text for text in self.problems if part in text), ""), f"a problem with {part!r}")


def spec(name: str = "test", **values: Any) -> ActionSpec:
    """Return what is configured of an action, which takes all alerts at once unless told otherwise."""
    return ActionSpec(name=name, **{"rate": 0, **values})
