"""Rules of kind `failed`: hosts that open many conversations which get no answer, or are refused.

A window has at most five steps of whole seconds. A host's failures are known at the end of each step, so a window between two of
them is counted a little too short, never too long. An incident clears at the end of a step.

What it does not do: say what failed; the accountant does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastmon.model.units import format_duration
from fastmon.policy.families import group_specs
from fastmon.policy.host_watch import HostWatch, refuse_network
from fastmon.policy.open_cases import OpenCase
from fastmon.policy.rates import Steps
from fastmon.policy.scopes import NO_SCOPE
from fastmon.policy.watched_rows import WatchedRows
from fastmon.policy.words import format_subject

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from numpy.typing import NDArray
    from typing_extensions import Self

    from fastmon.model.alerts import Alert
    from fastmon.policy.hosts import Roster
    from fastmon.policy.rates import Step
    from fastmon.policy.rules import Context, View
    from fastmon.policy.specs import FailedSpec

__all__ = ["FailedFamily", "make_failed"]

_UNIT = "conversations"


def make_failed(specs: Sequence[FailedSpec], context: Context) -> list[FailedFamily]:
    """Return the families of rules of kind `failed`. Raises ConfigError for a rule on the network as a whole."""
    refuse_network(specs, context)
    return [FailedFamily(each, context) for each in group_specs(specs, _family_key).values()]


def _family_key(spec: FailedSpec) -> Hashable:
    return spec.kind, spec.window_ns


class _History:
    """How many conversations had failed at the end of each of the last steps, of hosts with any: 4 bytes for each number."""

    def __init__(self, n_steps: int) -> None:
        self.watched = WatchedRows(np.dtype([("now", "u4"), ("past", "u4", (n_steps + 1,))]))

    @property
    def rows(self) -> NDArray[np.intp]:
        """The hosts' rows, ascending."""
        return self.watched.rows

    @property
    def now(self) -> NDArray[np.uint32]:
        """What is known now."""
        now: NDArray[np.uint32] = self.watched.values["now"]
        return now

    @property
    def past(self) -> NDArray[np.uint32]:
        """(n, steps + 1): what was at the ends of the steps, the last one first."""
        past: NDArray[np.uint32] = self.watched.values["past"]
        return past

    def look(self, openings: NDArray[np.void]) -> NDArray[np.uint32]:
        """Return what is known at a tick. Of hosts that are new here nothing had failed before."""
        rows = openings["host"].astype(np.intp)
        new = np.setdiff1d(rows, self.rows)
        self.watched.add(new, np.zeros(len(new), self.watched.values.dtype))
        latest = self.now.copy()
        latest[self.watched.find(rows)] = openings["failed"]
        return latest

    def begin(self) -> None:
        """Forget what was before now."""
        self.past[:] = self.now[:, None]

    def end_step(self) -> None:
        """Let a step end now."""
        self.past[:, 1:] = self.past[:, :-1].copy()
        self.past[:, 0] = self.now


class FailedFamily(HostWatch["FailedSpec"]):
    """Rules of the same window."""

    def __init__(self, specs: Sequence[FailedSpec], context: Context) -> None:
        super().__init__(_family_key(specs[0]), specs, context)
        self._steps = Steps(specs[0].window_ns)
        self._limits = np.array([spec.limit for spec in specs])
        self._history: _History | None = None
        self._step: Step | None = None
        self._now_ns = 0

    def evaluate(self, view: View, now_ns: int, hosts: Roster) -> Iterable[Alert]:
        """See `Family`."""
        self.begin(now_ns, hosts)
        history = self._history
        if history is None:
            history = self._history = _History(self._steps.n_steps)
            hosts.add_follower(history.watched)
        latest = history.look(view.openings[view.openings["failed"] > 0])
        step = self._begin(history, latest, now_ns, hosts)
        alerts = self._end_steps(history, latest, step, now_ns)
        history.now[:] = latest
        return alerts + self._find_over(history, now_ns, hosts)

    def adopt(self, old: Self) -> None:
        """See `Family`."""
        super().adopt(old)
        self._history, old._history = old._history, None
        self._step, self._now_ns = old._step, old._now_ns

    def close(self, now_ns: int, hosts: Roster) -> Iterable[Alert]:
        """See `Family`."""
        if self._history is not None:
            hosts.drop(self._history.watched)
        return super().close(now_ns, hosts)

    def n_bytes(self) -> int:
        """See `Family`."""
        return super().n_bytes() + (0 if self._history is None else self._history.watched.n_bytes())

    def _begin(self, history: _History, latest: NDArray[np.uint32], now_ns: int, hosts: Roster) -> Step:
        """Return the last step that was looked at. Begin anew in the middle of a run, or when the clock was set back."""
        if self._step is None or now_ns < self._now_ns:
            if not hosts.is_first:
                history.now[:] = latest
            history.begin()
            self._step = self._steps.last(now_ns - hosts.is_first)
        self._now_ns = now_ns
        return self._step

    def _end_steps(self, history: _History, latest: NDArray[np.uint32], step: Step, now_ns: int) -> list[Alert]:
        """Look at the ends of the steps since the last tick."""
        alerts = []
        n_looked_at = 0
        while (following := self._steps.next(step)).ts_ns <= now_ns:
            if n_looked_at > self._steps.n_steps + 1:  # a silence longer than the window: nothing can change any more
                following = self._steps.last(now_ns)
            step = following
            if step.ts_ns == now_ns:
                history.now[:] = latest
            history.end_step()
            alerts += self._look_at_open(history, step.ts_ns)
            n_looked_at += 1
        self._step = step
        return alerts

    def _look_at_open(self, history: _History, ts_ns: int) -> list[Alert]:
        """Clear the incidents that are over at the end of a step."""
        values = history.past[:, 0] - history.past[:, -1]
        open_cases = self.cases.firing()
        alerts = []
        for case, row in zip(open_cases, self.rows_of(open_cases), strict=True):
            at = np.searchsorted(history.rows, row)
            value = int(values[at]) if at < len(values) and history.rows[at] == row else 0
            limit = int(self._limits[case.rule])
            if 2 * value <= limit:
                reason = "few of its conversations fail again"
                facts = {"value": float(value), "limit": float(limit), "unit": _UNIT, "peak": case.peak}
                alerts.append(self.cases.clear(case, ts_ns, reason, window_ns=self._steps.window_ns, **facts))
        return alerts

    def _find_over(self, history: _History, now_ns: int, hosts: Roster) -> list[Alert]:
        """Let incidents fire."""
        is_step_end = self._step is not None and self._step.ts_ns == now_ns
        values = history.now - history.past[:, -1 if is_step_end else -2]
        candidates = np.flatnonzero(values > self._limits.min())
        rows, values = history.rows[candidates], values[candidates]
        rules = self.find_rules(hosts, rows, now_ns)
        alerts = []
        for at in np.flatnonzero((rules != NO_SCOPE) & (values > self._limits[rules])).tolist():
            row, rule, value = int(rows[at]), int(rules[at]), float(values[at])
            case = OpenCase(rule, self.id_of(hosts, row), hosts.subject(row), now_ns, now_ns, value)
            if self.cases.fire(case):
                alerts.append(self._fire(case, value))
                continue
            known = self.cases.find(rule, case.id)
            if known is not None and known.is_firing and value > known.peak:
                known.peak = value
                self.cases.note(known)
        return alerts

    def _fire(self, case: OpenCase, value: float) -> Alert:
        limit = float(self._limits[case.rule])
        window = format_duration(self._steps.window_ns)
        reason = f"{format_subject(case.subject)}: {value:.0f} conversations got no answer in {window} (limit {limit:.0f})"
        return self.fire(case, reason, {}, value=value, limit=limit, unit=_UNIT)
