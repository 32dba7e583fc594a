"""What devices have used: totals of periods against their limits, and of days and months.

What it does not do: read them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastmon.model.units import NS_PER_S, format_size
from fastmon.reports.texts import cell, moment, span, time_text
from fastmon.sinks.grid import Grid

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from fastmon.model.memory import PeriodTotal
    from fastmon.state.queries import DayAndMonth, Hosts

__all__ = ["day_grid", "day_records", "period_grid", "period_records"]

ENDLESS_NS = 1 << 62
"""A period that ends after this never ends: that of a whole run."""

DAY_NS = 86_400 * NS_PER_S


def period_grid(periods: Sequence[PeriodTotal], hosts: Hosts, now_ns: int) -> Grid:
    """Return a table of periods and their limits."""
    grid = Grid(
        ("rule", "host", "name", "used", "limit", "%", "since", "until", "left"),
        numbers=frozenset({3, 4, 5, 8}),
        optional=(frozenset({6}), frozenset({7}), frozenset({2})),
        folded=frozenset({0}),
    )
    for period in periods:
        percent = _percent(period)
        if not _is_over(period, now_ns) and percent is not None and percent >= 100:
            grid.styles[len(grid.rows)] = "bold red"
        is_endless = period.period_end_ns >= ENDLESS_NS
        grid.rows.append(
            (
                cell(period.rule),
                cell(period.subject),
                cell(hosts.name(period.subject)),
                format_size(period.bytes),
                format_size(period.limit_bytes),
                "" if percent is None else f"{percent:.0f}",
                "" if is_endless else moment(period.period_start_ns),
                "" if is_endless else moment(period.period_end_ns),
                _left(period, now_ns),
            )
        )
    return grid


def day_grid(days: Sequence[DayAndMonth], hosts: Hosts) -> Grid:
    """Return a table of days and months."""
    titles = ("host", "name", "day", "in", "out", "month", "in", "out")
    grid = Grid(titles, numbers=frozenset({3, 4, 6, 7}), optional=(frozenset({1}),))
    for day, month_in, month_out in days:
        date = moment(day.day_start_ns)[:10]
        day_sizes = (format_size(day.bytes_in), format_size(day.bytes_out))
        month_sizes = (format_size(month_in), format_size(month_out))
        grid.rows.append((cell(day.subject), cell(hosts.name(day.subject)), date, *day_sizes, date[:7], *month_sizes))
    return grid


def period_records(periods: Iterable[PeriodTotal], hosts: Hosts, now_ns: int) -> Iterator[dict[str, object]]:
    """Yield a record of each period."""
    for period in periods:
        record: dict[str, object] = {
            "type": "usage",
            "rule": period.rule,
            "host": period.subject,
            "name": cell(hosts.name(period.subject)),
            "bytes": period.bytes,
            "limit_bytes": period.limit_bytes,
            "percent": _percent(period),
        }
        if addresses := hosts.addresses(period.subject):
            record["addresses"] = list(map(cell, addresses))
        if period.period_end_ns < ENDLESS_NS:
            record |= {
                "start": time_text(period.period_start_ns),
                "end": time_text(period.period_end_ns),
                "over": _is_over(period, now_ns),
                "days_left": max(0.0, round((period.period_end_ns - now_ns) / DAY_NS, 2)),
            }
        yield record


def day_records(days: Iterable[DayAndMonth], hosts: Hosts) -> Iterator[dict[str, object]]:
    """Yield a record of each host."""
    for day, month_in, month_out in days:
        date = moment(day.day_start_ns)[:10]
        yield {
            "type": "usage",
            "host": day.subject,
            "name": cell(hosts.name(day.subject)),
            "day": {"date": date, "bytes_in": day.bytes_in, "bytes_out": day.bytes_out},
            "month": {"month": date[:7], "bytes_in": month_in, "bytes_out": month_out},
        }


def _percent(period: PeriodTotal) -> float | None:
    return round(100 * period.bytes / period.limit_bytes, 1) if period.limit_bytes else None


def _is_over(period: PeriodTotal, now_ns: int) -> bool:
    return period.period_end_ns <= now_ns


def _left(period: PeriodTotal, now_ns: int) -> str:
    """Return how long a period still lasts."""
    if period.period_end_ns >= ENDLESS_NS:
        return ""
    return "ended" if _is_over(period, now_ns) else span(period.period_end_ns - now_ns)
