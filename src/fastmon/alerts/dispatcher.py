"""Passes alerts on to the actions that their rules name.

What it does not do: deliver, wait or try again; each action's `Worker` does, in a thread of its own.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from fastmon.alerts.actions import make_action
from fastmon.alerts.worker import Worker
from fastmon.errors import FastmonError
from fastmon.model.texts import printable
from fastmon.run.subscriber import Problem
from fastmon.run.threads import start_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from fastmon.alerts.action import Action
    from fastmon.alerts.outbox import Outbox
    from fastmon.alerts.worker import Item
    from fastmon.model.alerts import Alert
    from fastmon.model.memory import Kept
    from fastmon.policy.specs import ActionSpec

__all__ = ["Dispatcher"]

CLOSE_S = 5.0


class Dispatcher:
    """Gives alerts to actions. The run's thread calls `send`, which never waits for an action, a disk or the network.

    outbox: keeps what could not be delivered.  report: takes what befalls actions; called in any thread.
    make: makes an action of its spec.

    Raises ConfigError if an action cannot be made.
    """

    def __init__(
        self,
        actions: Sequence[ActionSpec],
        outbox: Outbox,
        report: Callable[[Problem], None],
        *,
        make: Callable[[ActionSpec], Action] = make_action,
    ) -> None:
        self._outbox = outbox
        self._report = report
        self._make = make
        self._workers: dict[str, Worker] = {}
        self._retired: list[Worker] = []
        self._kept = self._load()
        self.set_actions(actions)
        for name in sorted({entry.action for entry in self._kept}):
            report(Problem(f"alerts wait for the action {printable(name)}, which is not in the configuration"))

    def send(self, alert: Alert) -> None:
        """Give an alert to each action that its rule names, unless it is silenced."""
        if alert.is_silenced:
            return
        for name in alert.actions:
            worker = self._workers.get(name)
            if worker is not None:
                worker.send(alert)

    def counts(self) -> dict[str, dict[str, int]]:
        """Return what became of each action's alerts, by the names of `worker.Counts`, and how many are `waiting`."""
        return {name: {**worker.counts.as_dict(), "waiting": worker.waiting()} for name, worker in self._workers.items()}

    def set_actions(self, actions: Sequence[ActionSpec]) -> None:
        """Replace the actions, without waiting. One that is as before goes on; a changed one takes over what waits.

        Raises ConfigError, and changes nothing, if an action cannot be made.
        """
        before = self._workers
        workers: dict[str, Worker] = {}
        for spec in actions:
            same = before.get(spec.name)
            if same is None or same.spec != spec:
                workers[spec.name] = Worker(spec, self._make(spec), self._outbox, self._report)
            else:
                workers[spec.name] = same
        made = [worker for worker in workers.values() if worker not in before.values()]
        self._workers = workers
        retired = [worker for worker in before.values() if worker not in workers.values()]
        self._retired += retired
        if retired:  # what they leave in the outbox is for those that take their place
            start_thread("fastmon-actions", self._replace, retired, made)
        else:
            self._start(made, {})

    def close(self, timeout_s: float = CLOSE_S) -> None:
        """Let every action deliver what waits, all at the same time; what is left after `timeout_s` goes to the outbox."""
        _close([*self._workers.values(), *self._retired], timeout_s)

    def _replace(self, retired: Sequence[Worker], made: Sequence[Worker]) -> None:
        left = _close(retired, CLOSE_S)
        self._retired = [worker for worker in self._retired if worker not in retired]
        self._start(made, left)

    def _start(self, workers: Sequence[Worker], left: Mapping[str, Sequence[Item]]) -> None:
        for worker in workers:
            name = worker.spec.name
            worker.start([entry for entry in self._kept if entry.action == name], left.get(name, ()))
            self._kept = [entry for entry in self._kept if entry.action != name]

    def _load(self) -> list[Kept]:
        try:
            return self._outbox.load()
        except (OSError, FastmonError) as error:
            self._report(Problem(f"undelivered alerts cannot be read: {error}"))
            return []


def _close(workers: Sequence[Worker], timeout_s: float) -> dict[str, list[Item]]:
    """Close workers, all at the same time; return what each could not deliver, by the action's name."""
    deadline_s = time.monotonic() + timeout_s
    for worker in workers:
        worker.begin_close(deadline_s)
    return {worker.spec.name: worker.finish_close() for worker in workers}
