"""Stands between a run and its store: a thread that writes checkpoints, so that the run never waits for the disk.

A checkpoint is due every 10 s. Alerts make one at once (but no more than one a second): an alert that was told must not be told
again after a crash. While the disk fails or is slow, what waits is merged, up to a bound: the newest row of each key.

What it does not do: know rules, know the run's clock.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

from fastmon.errors import StateError
from fastmon.model.units import NS_PER_S
from fastmon.run.subscriber import Problem
from fastmon.run.threads import start_thread
from fastmon.state.files import shown
from fastmon.state.outbox import KeptOutbox
from fastmon.state.pending import Pending

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from fastmon.model.alerts import Alert
    from fastmon.model.memory import Changes, Kept
    from fastmon.model.silences import Silence
    from fastmon.state.pending import Batch
    from fastmon.state.store import Store

__all__ = ["INTERVAL_S", "Keeper"]

INTERVAL_S = 10.0
"""Between two checkpoints. What a crash can cost."""

EARLY = 0.95
"""The part of an interval after which changes are due: a run asks once a second, and a bit early is better than a second late."""

LEAST_GAP_S = 1.0
PRUNE_S = 3600.0
CLOSE_S = 10.0

STEP_NS = 60 * NS_PER_S
"""If the system's clock was moved by more than this in the last hour, nothing is old yet: it may be wrong."""

MAX_TOLD = 10
"""Faults and recoveries that are told one by one."""


class Keeper:
    """Writes what a run must not forget into its store, which is the keeper's from now on.

    report: takes what a person should know; called in the keeper's thread, and in `close`.

    All methods may be called by any thread, and none but `close` waits.
    """

    def __init__(self, store: Store, report: Callable[[Problem], None], *, interval_s: float = INTERVAL_S) -> None:
        self.outbox = KeptOutbox(store.load_outbox(), self._deliver, self._mark_done)
        self._store = store
        self._report = report
        self._interval_s = interval_s
        self._wake = threading.Condition()
        self._pending = Pending()
        self._is_closing = False
        self._is_urgent = False
        self._has_failed = False
        self._last_put_s = self._last_try_s = time.monotonic()
        self._silences = store.silences()
        self._given_names = store.given_names()
        self._fault: StateError | None = None
        self._dropped = Counter[str]()
        self._n_told = 0
        self._pruned = _Moment()
        for remark in store.take_remarks():
            report(Problem(remark))
        if store.fault is not None:
            self._tell_of(store.fault)
        self._thread = start_thread("fastmon-keeper", self._serve)

    @property
    def is_due(self) -> bool:
        """Whether the run should put its changes, for the next checkpoint."""
        return time.monotonic() - self._last_put_s >= self._interval_s * EARLY

    def put(self, changes: Changes, alerts: Iterable[Alert] = ()) -> None:
        """Take changes and alerts. They are written soon if there are alerts or a checkpoint is due, else with the next."""
        alerts = list(alerts)
        with self._wake:
            if self._has_failed:
                return
            self._is_urgent |= bool(alerts) or self.is_due
            self._last_put_s = time.monotonic()
            self._pending.put(changes, alerts)
            self._wake.notify()

    def silences(self) -> tuple[Silence, ...]:
        """Return the silences as of the last checkpoint, with those that are over."""
        return self._silences

    def given_names(self) -> Mapping[str, str]:
        """Return the names that people have given to devices, by id, as of the last checkpoint."""
        return self._given_names

    def close(self, timeout_s: float = CLOSE_S) -> bool:
        """Write the last checkpoint and close the store; return False if the disk is stuck: then the process ends the thread."""
        with self._wake:
            self._is_closing = True
            self._wake.notify()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            text = f"cannot keep the state {shown(self._store.path)}: the disk does not answer"
            self._report(Problem(text, StateError(text)))
            return False
        if self._dropped:
            lost = ", ".join(f"{n_rows:,} rows of {table}" for table, n_rows in self._dropped.items())
            self._report(Problem(f"{lost} dropped: the state {shown(self._store.path)} could not be written for too long"))
        if self._fault is not None:
            text = f"{self._fault}; what has come since the last checkpoint is not kept"
            self._report(Problem(text, StateError(text)))
        return True

    def _deliver(self, kept: Kept) -> None:
        """Write an undelivered record at the next checkpoint."""
        with self._wake:
            if not self._has_failed:
                self._pending.deliver(kept)

    def _mark_done(self, number: int) -> None:
        """Write soon that a record is delivered."""
        with self._wake:
            if not self._has_failed:
                self._pending.mark_done(number)
                self._is_urgent = True
                self._wake.notify()

    # The thread.

    def _serve(self) -> None:
        try:
            is_last = False
            while not is_last:
                with self._wake:
                    while not self._is_closing and (wait_s := self._wait_s()) > 0:
                        self._wake.wait(wait_s)
                    is_last = self._is_closing
                    batch = self._pending.take()
                    self._is_urgent = False
                self._checkpoint(batch)
                self._last_try_s = time.monotonic()
        except BaseException as error:
            with self._wake:
                self._has_failed = True
                self._pending = Pending()
            text = f"the state {shown(self._store.path)} is kept no more: {type(error).__name__}: {error}"
            self._report(Problem(text, StateError(text)))
            raise
        finally:
            self._store.close()

    def _wait_s(self) -> float:
        """Return how long until the next checkpoint. A disk that has just failed is left alone for a whole interval."""
        gap_s = LEAST_GAP_S if self._is_urgent and self._fault is None else self._interval_s
        return self._last_try_s + min(gap_s, self._interval_s) - time.monotonic()

    def _checkpoint(self, batch: Batch) -> None:
        try:
            if batch or self._fault is not None:
                self._store.write(batch)
            if self._pruned.is_past(PRUNE_S):
                if not self._pruned.has_stepped():
                    self._store.prune(time.time_ns())
                self._pruned = _Moment()
        except StateError as error:
            with self._wake:
                self._pending.put_back(batch)
            self._tell_of(error)
        else:
            self._tell_of(None)
            self._silences = self._store.silences()
            self._given_names = self._store.given_names()
        for remark in self._store.take_remarks():
            self._report(Problem(remark))
        self._tell_of_loss()

    def _tell_of(self, fault: StateError | None) -> None:
        """Tell that writing has begun to fail, or works again."""
        if (fault is None) != (self._fault is None) and self._n_told < MAX_TOLD:
            self._n_told += 1
            text = f"the state {shown(self._store.path)} is kept again" if fault is None else f"{fault}; it is tried again"
            self._report(Problem(text))
        self._fault = fault

    def _tell_of_loss(self) -> None:
        """Tell once that rows are dropped. How many they are is told at the end."""
        with self._wake:
            dropped = self._pending.take_dropped()
        if dropped and not self._dropped:
            self._report(Problem(f"rows are dropped: the state {shown(self._store.path)} could not be written for too long"))
        self._dropped += dropped


class _Moment:
    """A moment on both clocks: the system's, which may be moved, and the one that never is."""

    def __init__(self) -> None:
        self._ts_ns = time.time_ns()
        self._mono_ns = time.monotonic_ns()

    def is_past(self, duration_s: float) -> bool:
        """Return whether it was so long ago."""
        return time.monotonic_ns() - self._mono_ns >= duration_s * NS_PER_S

    def has_stepped(self) -> bool:
        """Return whether the system's clock has been moved since."""
        return abs((time.time_ns() - self._ts_ns) - (time.monotonic_ns() - self._mono_ns)) > STEP_NS
