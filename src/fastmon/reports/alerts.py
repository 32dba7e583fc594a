"""Kept alerts, as a table and as records.

What it does not do: choose them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from fastmon.alerts.records import alert_record
from fastmon.model.alerts import CLEARED
from fastmon.model.units import format_value
from fastmon.reports.texts import cell, moment, span
from fastmon.sinks.grid import Grid

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastmon.state.rows import KeptAlert

__all__ = ["alert_grid", "kept_record"]

_STYLES = {"critical": "bold red", "warning": "yellow"}


def alert_grid(alerts: Iterable[KeptAlert]) -> Grid:
    """Return a table of alerts."""
    grid = Grid(
        ("state", "severity", "rule", "host", "name", "since", "lasted", "value", "limit", "reason"),
        numbers=frozenset({6, 7, 8}),
        # The reason names the host, and a colour shows the severity.
        optional=tuple(frozenset(columns) for columns in ({7, 8}, {6}, {4}, {1}, {3}, {5})),
        prose=frozenset({9}),
    )
    for kept in alerts:
        alert = kept.alert
        if kept.is_open:
            grid.styles[len(grid.rows)] = _STYLES.get(alert.severity, "")
        grid.rows.append(
            (
                _state(kept) + (", silenced" if alert.is_silenced else ""),
                cell(alert.severity),
                cell(alert.rule),
                cell(alert.subject),
                cell(alert.name),
                moment(alert.since_ns),
                span(alert.ts_ns - alert.since_ns) if alert.state == CLEARED else "",
                _value(alert.value, alert.unit),
                _value(alert.limit, alert.unit),
                cell(alert.reason),
            )
        )
    return grid


def _state(kept: KeptAlert) -> str:
    if kept.alert.state == CLEARED:
        return "cleared"
    return "open" if kept.is_open else "told"


def _value(value: float | None, unit: str) -> str:
    return "" if value is None else cell(format_value(value, unit))


def kept_record(kept: KeptAlert) -> dict[str, object]:
    """Return an alert's record: that of its end, if it has cleared, with why it had fired."""
    always: dict[str, object] = {"open": kept.is_open, "window": 0, "evidence": {}, "silenced": False}
    record: dict[str, object] = {**always, **msgspec.to_builtins(alert_record(kept.alert))}
    return record | {"cleared_reason": kept.cleared_reason} if kept.cleared_reason else record
