"""Rules of kind `spread`: hosts that open conversations with many peers or ports, or probe many, as scans, worms and
peer-to-peer do.

An incident clears when, for a whole window, its host has done nothing while it was above half of a limit. So it clears at the
same time whether or not there are ticks in a silence.

What it does not do: count. The numbers of peers and ports are the accountant's estimates.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastmon.model.units import format_duration
from fastmon.policy.families import group_specs
from fastmon.policy.host_watch import HostWatch, refuse_network
from fastmon.policy.open_cases import OpenCase
from fastmon.policy.scopes import NO_SCOPE
from fastmon.policy.words import format_subject

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from numpy.typing import NDArray

    from fastmon.model.alerts import Alert
    from fastmon.policy.hosts import Roster
    from fastmon.policy.rules import Context, View
    from fastmon.policy.specs import SpreadSpec

__all__ = ["SpreadFamily", "make_spread"]

_UNITS = ("peers", "ports")
_CLEAR_SHARE = 0.5
_DONE = {"opened": "it opens few conversations again", "probed": "it probes little again"}
_DEEDS = {"opened": "opened conversations with", "probed": "probed"}


def make_spread(specs: Sequence[SpreadSpec], context: Context) -> list[SpreadFamily]:
    """Return the families of rules of kind `spread`. Raises ConfigError for a rule on the network as a whole."""
    refuse_network(specs, context)
    return [SpreadFamily(each, context) for each in group_specs(specs, _family_key).values()]


def _family_key(spec: SpreadSpec) -> Hashable:
    return spec.kind, spec.window_ns, spec.count


class SpreadFamily(HostWatch["SpreadSpec"]):
    """Rules of the same window that count the same."""

    def __init__(self, specs: Sequence[SpreadSpec], context: Context) -> None:
        super().__init__(_family_key(specs[0]), specs, context)
        self._window_ns = specs[0].window_ns
        self._count = specs[0].count
        self._limits = np.array([[spec.peers or np.inf, spec.ports or np.inf] for spec in specs])
        self._least = self._limits.min(axis=0)

    def evaluate(self, view: View, now_ns: int, hosts: Roster) -> Iterable[Alert]:
        """See `Family`."""
        self.begin(now_ns, hosts)
        fanout = view.fanout(self._window_ns, probes=self._count == "probed")
        rows = fanout["host"].astype(np.intp)
        values = np.stack([fanout[unit] for unit in _UNITS], axis=1).astype(np.float64)
        candidates = np.flatnonzero((values > self._least).any(axis=1))
        rules = self.find_rules(hosts, rows[candidates], now_ns)
        shares = (values[candidates] / self._limits[rules]).max(axis=1)
        alerts = []
        for at in np.flatnonzero((rules != NO_SCOPE) & (shares > 1)).tolist():
            row, rule = int(rows[candidates[at]]), int(rules[at])
            case = OpenCase(rule, self.id_of(hosts, row), hosts.subject(row), now_ns, now_ns, float(shares[at]))
            if self.cases.fire(case):
                alerts.append(self._fire(case, values[candidates[at]]))
        return alerts + self._look_at_open(rows, values, now_ns, hosts)

    def _look_at_open(self, rows: NDArray[np.intp], values: NDArray[np.float64], now_ns: int, hosts: Roster) -> list[Alert]:
        """Note what open incidents do, and clear those that are over."""
        open_cases = self.cases.firing()
        order = np.argsort(rows)
        alerts = []
        for case, row in zip(open_cases, self.rows_of(open_cases), strict=True):
            at = np.searchsorted(rows, row, sorter=order)
            is_there = at < len(rows) and rows[order[at]] == row
            share = float((values[order[at]] / self._limits[case.rule]).max()) if is_there else 0.0
            if share >= _CLEAR_SHARE:
                last_ns, peak = min(int(hosts.hosts["last_seen_ns"][row]), now_ns), max(case.peak, share)
                if (last_ns, peak) != (case.last_ns, case.peak):
                    case.last_ns, case.peak = last_ns, peak
                    self.cases.note(case)
            elif now_ns >= case.last_ns + self._window_ns:
                alerts.append(self._clear(case))
        return alerts

    def _fire(self, case: OpenCase, values: NDArray[np.float64]) -> Alert:
        limits = self._limits[case.rule]
        worst = int((values / limits).argmax())
        reason = f"{format_subject(case.subject)} {_DEEDS[self._count]} {_counted(values, limits)}"
        reason += f" in {format_duration(self._window_ns)}"
        evidence = {f"distinct_{unit}": int(value) for unit, value in zip(_UNITS, values, strict=True)}
        return self.fire(case, reason, evidence, value=float(values[worst]), limit=float(limits[worst]), unit=_UNITS[worst])

    def _clear(self, case: OpenCase) -> Alert:
        ts_ns = case.last_ns + self._window_ns
        limits = self._limits[case.rule]
        looked_at = np.flatnonzero(np.isfinite(limits))
        if len(looked_at) > 1:
            reason = f"{_DONE[self._count]}; at its peak {case.peak:.1f} times its limit"
            return self.cases.clear(case, ts_ns, reason, window_ns=self._window_ns)
        (unit,) = looked_at.tolist()
        limit = float(limits[unit])
        facts = {"limit": limit, "unit": _UNITS[unit], "peak": float(round(case.peak * limit))}
        return self.cases.clear(case, ts_ns, _DONE[self._count], window_ns=self._window_ns, **facts)


def _counted(values: NDArray[np.float64], limits: NDArray[np.float64]) -> str:
    """Return the numbers that have a limit, in words."""
    return " and ".join(
        f"about {value:.0f} {unit if value != 1 else unit[:-1]} (limit {limit:.0f})"
        for value, limit, unit in zip(values, limits, _UNITS, strict=True)
        if np.isfinite(limit)
    )
