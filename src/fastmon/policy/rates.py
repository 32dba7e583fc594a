"""Rules of kind `rate`: bits, packets or conversations a second, over a window that slides.

The window has at most five steps, whole seconds each. Its rate is looked at when a step ends, so an excess is noticed a fifth of
the window late, or a second, whichever is longer. A window that is no whole number of seconds is taken for the next longer one.
Steps end at fixed times, which do not depend on when the run began. A host has what it counted when the last step ended, and
what it moved in each of the four steps before, in single precision: 24 bytes.

What it does not do: count; `measures` does.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastmon.model.units import NS_PER_S, format_duration, format_value
from fastmon.policy.cases import CaseBook
from fastmon.policy.families import Governing, group_specs, make_table, match_specs, split_specs
from fastmon.policy.incidents import Lives
from fastmon.policy.measures import Openings, Traffic
from fastmon.policy.subjects import CHUNK_ROWS, Column
from fastmon.policy.words import SCHEDULE_ENDED, VERBS, format_subject

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence

    from numpy.typing import DTypeLike, NDArray
    from typing_extensions import Self

    from fastmon.model.alerts import Alert
    from fastmon.model.memory import Changes, Memory
    from fastmon.policy.hosts import Roster
    from fastmon.policy.measures import Measure, Readings
    from fastmon.policy.rules import Context, View
    from fastmon.policy.specs import RateSpec
    from fastmon.policy.subjects import Subject

__all__ = ["RateFamily", "Steps", "make_rates"]

_MAX_STEPS = 5

_WHAT = {"bit/s": "bytes", "packets/s": "packets"}

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

    def begin(self, rows: slice, counters: NDArray[np.uint64] | None) -> None:
        """Begin anew, with counters of now."""
        if counters is not None:
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
        self._steps = Steps(first.window_ns)
        self._measure: Measure = Openings() if first.unit == "conversations/s" else Traffic(_WHAT[first.unit], first.direction)
        of_hosts, of_network = split_specs(specs, context.groups)
        self._table = make_table(of_hosts, context.groups)
        self._hosts = _RateCases(of_hosts, self._steps, context, is_network=False)
        self._network = _RateCases(of_network, self._steps, context, is_network=True)
        self._governing: Governing[RateSpec] | None = None
        self._rings: tuple[_Ring, _Ring] | None = None
        self._step: Step | None = None
        self._now_ns = 0
        self._wait_until_ns: int | None = None

    def evaluate(self, view: View, now_ns: int, hosts: Roster) -> Iterable[Alert]:
        """See `Family`."""
        if view.totals is None:
            return []
        governing = self._governing or self._attach(hosts)
        governing.update(hosts)
        readings: Readings | None = self._measure.read(view, view.totals)
        step = self._begin(readings, now_ns, hosts)
        alerts = self._hosts.book.settle(now_ns, hosts, governing.rules)
        n_quiet = 0
        while (step := self._next(step, n_quiet)).ts_ns <= now_ns:
            alerts += self._end_step(step, readings, hosts, governing.rules)
            self._step = step
            readings, n_quiet = None, n_quiet + 1  # of a silence, only its first step has traffic
        return alerts

    def _attach(self, hosts: Roster) -> Governing[RateSpec]:
        self._governing = Governing(self._hosts.book.specs, self._table, hosts)
        if self._rings is None:
            self._rings = _Ring(self._steps.n_steps, hosts.add_column), _Ring(self._steps.n_steps, _make_single)
        self._hosts.book.incidents.attach(hosts)
        return self._governing

    def _begin(self, readings: Readings | None, now_ns: int, hosts: Roster) -> Step:
        """Return the last step that was looked at. Begin anew in the middle of a run, and when the clock was set back."""
        if self._wait_until_ns is None:
            self._wait_until_ns = now_ns + _WAIT_NS
        elif now_ns >= self._wait_until_ns:
            self._hosts.book.incidents.stop_waiting()
        before_ns, self._now_ns = self._now_ns, now_ns
        if self._step is None and hosts.is_first:
            self._step = self._steps.last(now_ns - 1)
            if (hosts.hosts["first_seen_ns"] < self._step.ts_ns).any():  # the first rules came in the middle of the run
                self._step = self._begin_anew(readings, now_ns, hosts)
        elif self._step is None or now_ns < before_ns:
            self._step = self._begin_anew(readings, now_ns, hosts)
        return self._step

    def _begin_anew(self, readings: Readings | None, now_ns: int, hosts: Roster) -> Step:
        for ring, rows, counters in self._chunks(readings, len(hosts)):
            ring.begin(rows, counters)
        for cases in (self._hosts, self._network):
            cases.book.incidents.restart(now_ns)
        return self._steps.last(now_ns)

    def _next(self, step: Step, n_quiet: int) -> Step:
        """Return the next step. After a window of silence and one step more, it is the next with which anything may happen."""
        following = self._steps.next(step)
        if n_quiet <= self._steps.n_steps:
            return following
        due_ns = min(self._hosts.next_due_ns(), self._network.next_due_ns())
        if due_ns > self._now_ns:
            return max(following, self._steps.last(self._now_ns))
        return max(following, self._steps.next(self._steps.last(due_ns - 1)))

    def _end_step(self, step: Step, readings: Readings | None, hosts: Roster, rules: NDArray[np.signedinteger]) -> list[Alert]:
        """End a step; return the alerts of rules on hosts, then of those on the network. readings: None if nothing moved."""
        self._hosts.hold(step.ts_ns)
        self._network.hold(step.ts_ns)
        candidates = []
        windows = np.empty(0)
        for ring, rows, counters in self._chunks(readings, len(hosts)):
            window = ring.advance(rows, counters, step.number)
            if ring is self._of_hosts:
                candidates.append(self._hosts.pick(rows.start, window, rules[rows]))
            else:
                windows = window
        alerts = []
        if candidates:
            found, values = (np.concatenate(each) for each in zip(*candidates, strict=True))
            alerts += self._hosts.step(step.ts_ns, found, rules[found], values, hosts)
        all_rules = np.arange(len(self._network.book.specs))
        alerts += self._network.step(step.ts_ns, all_rules, all_rules, np.repeat(windows, len(all_rules)), hosts)
        return alerts

    @property
    def _of_hosts(self) -> _Ring | None:
        return None if self._rings is None else self._rings[0]

    def _chunks(self, readings: Readings | None, n_rows: int) -> Iterator[tuple[_Ring, slice, NDArray[np.uint64] | None]]:
        """Iterate over all hosts, some at a time, and the network, if there are rules on it, with their rings and counters."""
        if self._rings is None:
            return
        of_hosts, of_network = self._rings
        if self._hosts.book.specs:
            for start in range(0, n_rows, CHUNK_ROWS):
                rows = slice(start, min(start + CHUNK_ROWS, n_rows))
                yield of_hosts, rows, None if readings is None else readings.of(rows)
        if self._network.book.specs:
            yield of_network, slice(0, 1), None if readings is None else np.array([readings.network()], np.uint64)

    def restore(self, memory: Memory) -> None:
        """See `Family`."""
        for cases in (self._hosts, self._network):
            cases.book.restore(memory)

    def adopt(self, old: Self) -> None:
        """See `Family`."""
        self._rings, old._rings = old._rings, None
        self._step, self._now_ns, self._wait_until_ns = old._step, old._now_ns, old._wait_until_ns
        for mine, theirs in ((self._hosts.book, old._hosts.book), (self._network.book, old._network.book)):
            mine.adopt(theirs, match_specs(theirs.specs, mine.specs))

    def close(self, now_ns: int, hosts: Roster) -> Iterable[Alert]:
        """See `Family`."""
        if self._governing is not None:
            self._governing.drop(hosts)
            hosts.drop(self._hosts.book.incidents)
        if self._rings is not None:
            for column in self._rings[0].columns:
                hosts.drop(column)
        return self._hosts.book.close(now_ns, hosts) + self._network.book.close(now_ns, hosts)

    def take_changes(self, changes: Changes) -> None:
        """See `Family`."""
        self._hosts.book.take_changes(changes)
        self._network.book.take_changes(changes)

    def n_bytes(self) -> int:
        """See `Family`."""
        return self._hosts.book.incidents.n_bytes() + self._network.book.incidents.n_bytes()


class _RateCases:
    """The rules of a family on hosts, or on the network, with their limits as counts in a window."""

    def __init__(self, specs: Sequence[RateSpec], steps: Steps, context: Context, *, is_network: bool) -> None:
        self.book = CaseBook(specs, _RateWording(steps.window_ns), context, is_network=is_network)
        self._lives = Lives(specs, [spec.for_ns for spec in specs], [spec.clear_for_ns for spec in specs])
        per_unit = [steps.window_ns / NS_PER_S / (8 if spec.unit == "bit/s" else 1) for spec in specs]
        self._per_unit = np.array(per_unit)
        # The last one is for hosts that no rule governs, whose index is -1.
        self._all_limits = np.array([*(spec.limit for spec in specs), np.inf]) * [*per_unit, 1]
        self._all_clears = np.array([*(spec.clear for spec in specs), np.inf]) * [*per_unit, 1]
        self._limits, self._clears = self._all_limits, self._all_clears

    def hold(self, now_ns: int) -> None:
        """Let only rules hold that do by their schedule. One that does not is never over its limit, and clears."""
        is_holding = np.append(self.book.schedules.holding(now_ns), True)
        self._limits, self._clears = (np.where(is_holding, levels, np.inf) for levels in (self._all_limits, self._all_clears))

    def next_due_ns(self) -> int:
        """Return when something will happen if no value changes."""
        return self.book.incidents.next_due_ns(self._lives)

    def pick(
        self, start: int, window: NDArray[np.float64], rules: NDArray[np.signedinteger]
    ) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Return the rows and values of hosts that are over their limit or have an incident, of some from row `start` on."""
        is_picked = window > self._limits[rules]
        first, last = np.searchsorted(self.book.incidents.rows, [start, start + len(window)])
        is_picked[self.book.incidents.rows[first:last] - start] = True
        picked = np.flatnonzero(is_picked)
        return picked + start, window[picked]

    def step(
        self,
        ts_ns: int,
        rows: NDArray[np.intp],
        rules: NDArray[np.signedinteger],
        windows: NDArray[np.float64],
        hosts: Roster,
    ) -> list[Alert]:
        """Let a step end for some rows; `windows`: what they have moved in the window."""
        if not len(rows):
            return []
        found = self.book.find(rows, rules, hosts)
        is_over, is_low = windows > self._limits[rules], windows <= self._clears[rules]
        turns = self.book.incidents.step(ts_ns, self._lives, found, windows / self._per_unit[rules], is_over, is_low)
        return self.book.tell(turns, ts_ns, hosts)


class _RateWording:
    def __init__(self, window_ns: int) -> None:
        self._window_ns = window_ns

    def facts(self, spec: RateSpec, row: int) -> dict[str, Any]:  # noqa: ARG002 - it is the rule's
        return {"limit": spec.limit, "unit": spec.unit, "window_ns": self._window_ns}

    def fired(self, spec: RateSpec, subject: Subject, value: float, row: int) -> str:  # noqa: ARG002 - all is in the value
        verb = "opened" if spec.unit == "conversations/s" else VERBS[spec.direction]
        moved = f"{verb} {format_value(value, spec.unit)} over {format_duration(self._window_ns)}"
        held = f", for {format_duration(spec.for_ns)}" if spec.for_ns else ""
        return f"{format_subject(subject)} {moved}, above {format_value(spec.limit, spec.unit)}{held}"

    def cleared(self, spec: RateSpec, value: float, *, is_holding: bool) -> str:
        return f"back to {format_value(value, spec.unit)}" if is_holding or value <= spec.clear else SCHEDULE_ENDED

    def details(self, spec: RateSpec, value: float, row: int) -> dict[str, object]:  # noqa: ARG002 - there are none
        return {}


def _make_single(dtype: DTypeLike) -> Column:
    """Return a column for the network alone."""
    column = Column(dtype)
    column.follow(None, 1)
    return column
