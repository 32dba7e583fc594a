"""Kept alerts, as a table and as records.

What it does not do: choose them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastmon.model.alerts import CLEARED
from fastmon.model.units import NS_PER_S, format_rate, format_size
from fastmon.reports.texts import cell, moment, span, time_text
from fastmon.sinks.grid import Grid

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastmon.state.rows import KeptAlert

__all__ = ["alert_grid", "alert_record"]

_STYLES = {"critical": "bold red", "warning": "yellow"}


def alert_grid(alerts: Iterable[KeptAlert]) -> Grid:
    """Return a table of alerts."""
    grid = Grid(
        ("state", "severity", "rule", "host", "name", "since", "lasted", "value", "limit", "reason"),
        numbers=frozenset({6, 7, 8}),
        optional=(frozenset({7, 8}), frozenset({6}), frozenset({4})),
        folded=frozenset({9}),
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
                _number(alert.value, alert.unit),
                _number(alert.limit, alert.unit),
                cell(alert.reason),
            )
        )
    return grid


def _state(kept: KeptAlert) -> str:
    if kept.alert.state == CLEARED:
        return "cleared"
    return "open" if kept.is_open else "told"


def _number(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    if unit == "bytes":
        return format_size(round(value))
    if unit == "bit/s":
        return format_rate(round(value), 8 * NS_PER_S)  # so many bytes in 8 s
    return f"{value:,.{0 if value == int(value) else 2}f} {cell(unit)}".rstrip()


def alert_record(kept: KeptAlert) -> dict[str, object]:
    """Return an alert's record: that of its end, if it has cleared, with why it had fired."""
    alert = kept.alert
    record: dict[str, object] = {
        "type": "alert",
        "id": alert.id,
        "rule": alert.rule,
        "kind": alert.kind,
        "state": alert.state,
        "open": kept.is_open,
        "severity": alert.severity,
        "scope": alert.scope,
        "time": time_text(alert.ts_ns),
        "since": time_text(alert.since_ns),
        "host": alert.host,
        "name": alert.name,
        "mac": alert.mac,
        "local": alert.local,
        "value": _whole(alert.value),
        "limit": _whole(alert.limit),
        "unit": alert.unit,
        "window": _whole(alert.window_ns / NS_PER_S),
        "peak": _whole(alert.peak),
        "reason": alert.reason,
        "cleared_reason": kept.cleared_reason,
        "evidence": alert.evidence,
        "silenced": alert.is_silenced,
    }
    if alert.kind == "total" and alert.host and alert.unit == "bytes":
        record["total_bytes"] = record["value"]
        record["limit_bytes"] = record["limit"]
    if alert.state == CLEARED:
        record["duration_seconds"] = _whole((alert.ts_ns - alert.since_ns) / NS_PER_S)
    return {name: value for name, value in record.items() if value not in (None, "", {}) or name == "evidence"}


def _whole(value: float | None) -> float | None:
    return int(value) if value is not None and value == int(value) else value
