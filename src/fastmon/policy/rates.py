"""Rules of kind `rate`: bits, packets or conversations a second, over a window that slides.

The window has at most five steps, whole seconds each. Its rate is looked at when a step ends, so an excess is noticed a fifth of
the window late, or a second, whichever is longer. A window that is no whole number of seconds is taken for the next longer one.
Steps end at fixed times, which do not depend on when the run began. A host has what it counted when the last step ended, and
what it moved in each of the four steps before, in single precision: 24 bytes.

What it does not do: count; `measures` does.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastmon.model.units import NS_PER_S
from fastmon.policy.cases import CaseBook
from fastmon.policy.families import Governing, group_specs, match_specs, split_specs
from fastmon.policy.hosts import CHUNK_ROWS, Column
from fastmon.policy.incidents import NEVER_NS, Lives
from fastmon.policy.measures import Openings, Traffic
from fastmon.policy.periods import Schedules
from fastmon.policy.words import VERBS, format_subject, format_value

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

    from numpy.typing import DTypeLike, NDArray
    from typing_extensions import Self

    from fastmon.model.alerts import Alert
    from fastmon.model.memory import Changes, Memory
    from fastmon.policy.hosts import Roster, Subject
    from fastmon.policy.measures import Measure, Readings
    from fastmon.policy.rules import Context, View
    from fastmon.policy.specs import RateSpec

__all__ = ["RateFamily", "Steps", "make_rates"]

_MAX_STEPS = 5

_WAIT_NS = 60 * NS_PER_S
"""How long a host of an earlier run's incident may stay away before the incident ends."""


def make_rates(specs: Sequence[RateSpec], context: Context) -> list[RateFamily]:
    """Return the families of rules of kind `rate`."""
    return [RateFamily(each, context) for each in group_specs(specs, _family_key).values()]


def _family_key(spec: RateSpec) -> Hashable:
    return spec.kind, spec.window_ns, spec.unit, spec.direction


class Step(NamedTuple):
    """The end of a step. number: of the step, counted from the epoch."""

    ts_ns: int
    number: int


class Steps:
    """The steps of a window: fixed times, so that as many as the window has are always as long as the window."""

    def __init__(self, window_ns: int) -> None:
        self._n_seconds = max(-(-window_ns // NS_PER_S), 1)
        self.n_steps = min(self._n_seconds, _MAX_STEPS)
        self.window_ns = self._n_seconds * NS_PER_S
        self._starts = [index * self._n_seconds // self.n_steps for index in range(self.n_steps)]

    def last(self, now_ns: int) -> Step:
        """Return the last one that has ended by `now_ns`."""
        window, second = divmod(now_ns // NS_PER_S, self._n_seconds)
        index = bisect_right(self._starts, second) - 1
        return self._end(window * self.n_steps + index)

    def next(self, step: Step) -> Step:
        """Return the one after `step`."""
        return self._end(step.number + 1)

    def _end(self, number: int) -> Step:
        window, index = divmod(number, self.n_steps)
        return Step((window * self._n_seconds + self._starts[index]) * NS_PER_S, number)


class _Ring:
    """What was counted at the end of the last step, and moved in each of those before it, as columns."""

    def __init__(self, n_steps: int, make_column: Callable[[DTypeLike], Column]) -> None:
        self.base = make_column("u8")
        self.moved = [make_column("f4") for _ in range(n_steps - 1)]

    @property
    def columns(self) -> list[Column]:
        return [self.base, *self.moved]

    def begin(self, rows: slice, counters: NDArray[np.uint64]) -> None:
        """Begin anew, with counters of now."""
        self.base.values[rows] = counters
        for column in self.moved:
            column.values[rows] = 0

    def advance(self, rows: slice, counters: NDArray[np.uint64] | None, number: int) -> NDArray[np.float64]:
        """End a step; return what was moved in the window that ends with it. counters: None if nothing has moved."""
        base = self.base.values[rows]
        if counters is None:
            window = np.zeros(len(base))
        else:
            # A host that was evicted and came back between two ticks counts anew.
            window = np.where(counters > base, counters - base, 0).astype(np.float64)
            base[:] = counters
        newest = window.astype(np.float32) if self.moved else window
        for column in self.moved:
            window += column.values[rows]
        if self.moved:
            self.moved[number % len(self.moved)].values[rows] = newest
        return window


class RateFamily:
    """Rules of the same window, unit and direction."""

    def __init__(self, specs: Sequence[RateSpec], context: Context) -> None:
        first = specs[0]
        self.key: Hashable = _family_key(first)
        self.steps = Steps(first.window_ns)
        self._context = context
        self._measure = _measure(first)
        self._per_count = (8 if first.unit == "bit/s" else 1) * NS_PER_S / self.steps.window_ns
        of_hosts, of_network = split_specs(specs, context.groups)
        self._cases = [_RateCases(each, self, context, is_network=each is of_network) for each in (of_hosts, of_network)]
        self._governing: Governing[RateSpec] | None = None
        self._rings: list[_Ring] = []
        self._old: RateFamily | None = None
        self._step: Step | None = None
        self._now_ns = 0

    def evaluate(self, view: View, now_ns: int, hosts: Roster) -> Iterable[Alert]:
        """See `Family`."""
        if view.totals is None:
            return []
        readings = self._measure.read(view, view.totals)
        governing = self._governing or self._attach(hosts)
        governing.update(hosts)
        step = self._begin(readings, now_ns, hosts)
        for cases in self._cases:
            cases.look(view, now_ns, hosts, governing.rules)
        alerts = [alert for cases in self._cases for alert in cases.settle()]
        has_moved = True
        n_quiet = 0
        while (step := self._next(step, n_quiet)).ts_ns <= now_ns:
            for cases, ring in zip(self._cases, self._rings, strict=True):
                alerts += cases.step(step, ring, readings if has_moved else None)
            self._step = step
            n_quiet = 0 if has_moved else n_quiet + 1
            has_moved = False
        for cases in self._cases:
            cases.forget()
        return alerts

    def _attach(self, hosts: Roster) -> Governing[RateSpec]:
        self._governing = Governing(self._cases[0].specs, self._context.groups, hosts)
        if not self._rings:
            self._rings = [_Ring(self.steps.n_steps, hosts.add_column), _Ring(self.steps.n_steps, _single)]
        hosts.add_follower(self._cases[0].incidents)
        return self._governing

    def _begin(self, readings: Readings, now_ns: int, hosts: Roster) -> Step:
        """Return the last step that has been looked at. Begin anew in the middle of a run, or when the clock was set back."""
        if self._step is None and hosts.is_first:
            self._step = self.steps.last(now_ns - 1)
        elif self._step is None or now_ns < self._now_ns:
            self._step = self.steps.last(now_ns)
            for rows, counters in _chunks(readings, len(hosts)):
                self._rings[0].begin(rows, counters)
            self._rings[1].begin(slice(1), np.array([readings.network()], np.uint64))
            for cases in self._cases:
                cases.incidents.restart(now_ns)
        self._now_ns = now_ns
        return self._step

    def _next(self, step: Step, n_quiet: int) -> Step:
        """Return the next step; after a window of silence, the next one with which anything may happen."""
        following = self.steps.next(step)
        if n_quiet <= self.steps.n_steps:
            return following
        due_ns = min(cases.next_due_ns() for cases in self._cases)
        if due_ns == NEVER_NS:
            due_ns = max(self._now_ns, following.ts_ns)
        due = self.steps.last(due_ns)
        return max(following, due if due.ts_ns == due_ns or due_ns == self._now_ns else self.steps.next(due))

    def restore(self, memory: Memory) -> None:
        """See `Family`."""
        for cases in self._cases:
            cases.restore(memory)

    def adopt(self, old: Self) -> None:
        """See `Family`."""
        self._rings, old._rings = old._rings, []
        self._step, self._now_ns = old._step, old._now_ns
        for mine, theirs in zip(self._cases, old._cases, strict=True):
            mine.adopt(theirs, match_specs(theirs.specs, mine.specs))

    def close(self, now_ns: int, hosts: Roster) -> Iterable[Alert]:
        """See `Family`."""
        if self._governing is not None:
            self._governing.drop(hosts)
            hosts.drop(self._cases[0].incidents)
            for column in self._rings[0].columns if self._rings else ():
                hosts.drop(column)
        return [alert for cases in self._cases for alert in cases.close(now_ns, hosts)]

    def take_changes(self, changes: Changes) -> None:
        """See `Family`."""
        for cases in self._cases:
            cases.take_changes(changes)

    def n_bytes(self) -> int:
        """See `Family`."""
        return sum(cases.incidents.n_bytes() for cases in self._cases)
