"""Periods of totals, and schedules of rules, in time zones.

A period begins at its boundary on the clocks of its zone: a day of 23 or 25 hours is one day. All times here are nanoseconds
since the epoch.

What it does not do: tell the time, or keep totals.
"""

from __future__ import annotations

import calendar
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np

from fastmon.model.units import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fastmon.policy.specs import RuleSpec, ScheduleSpec

__all__ = ["ENDLESS_NS", "WEEK_HOURS", "Calendar", "Schedules", "hour_of_week"]

ENDLESS_NS = (1 << 63) - 1
"""When a period ends that never does."""

WEEK_HOURS = 168

_HOUR_S = 3600
_MINUTE_NS = 60 * NS_PER_S


class Calendar(NamedTuple):
    """Divides time into periods.

    per: one of `specs.PERIODS`.  reset_day: of a month, 1 to 31, the last day in shorter ones; of a week, 0 (Monday) to 6; else
    it means nothing.  zone: IANA's name.
    """

    per: str
    reset_day: int = 1
    zone: str = "UTC"

    def period_at(self, now_ns: int) -> tuple[int, int]:
        """Return when the period of a moment begins and ends. That of a run began before all times, and never ends."""
        if self.per == "run":
            return -ENDLESS_NS, ENDLESS_NS
        now = _local_time(now_ns, self.zone)
        if self.per == "hour":
            offset_s = int((now.utcoffset() or timedelta()).total_seconds())
            now_s = now_ns // NS_PER_S
            start_s = now_s - (now_s + offset_s) % _HOUR_S
            return start_s * NS_PER_S, (start_s + _HOUR_S) * NS_PER_S
        first, after = self._days(now.date())
        return self._midnight_ns(first), self._midnight_ns(after)

    def since(self, start_ns: int) -> str:
        """Return for people when a period began: "1 November", "14:00"."""
        start = _local_time(start_ns, self.zone)
        return f"{start:%H:%M}" if self.per == "hour" else f"{start.day} {start:%B}"

    def _days(self, today: date) -> tuple[date, date]:
        """Return the first day of the period of a day, and the first one after it."""
        if self.per == "day":
            return today, today + timedelta(days=1)
        if self.per == "week":
            first = today - timedelta(days=(today.weekday() - self.reset_day) % 7)
            return first, first + timedelta(days=7)
        this = self._reset_in(today.year, today.month)
        if today >= this:
            return this, self._reset_in(today.year + today.month // 12, today.month % 12 + 1)
        return self._reset_in(today.year - (today.month == 1), (today.month - 2) % 12 + 1), this

    def _reset_in(self, year: int, month: int) -> date:
        return date(year, month, min(self.reset_day, calendar.monthrange(year, month)[1]))

    def _midnight_ns(self, day: date) -> int:
        """Return when a day begins. Where clocks skip midnight, that is when they do; where they repeat it, the first one."""
        return int(datetime.combine(day, time(), ZoneInfo(self.zone)).timestamp()) * NS_PER_S


class Schedules:
    """Tells which of some rules hold. A rule without a schedule always does."""

    def __init__(self, specs: Sequence[RuleSpec]) -> None:
        self._scheduled = [(index, spec.zone, spec.schedule) for index, spec in enumerate(specs) if spec.schedule]
        self._holding = np.ones(len(specs), np.bool_)
        self._minute = -ENDLESS_NS

    def holding(self, now_ns: int) -> NDArray[np.bool_]:
        """Return, for each rule, whether it holds. The array is the schedules' own."""
        minute = now_ns // _MINUTE_NS
        if self._scheduled and minute != self._minute:
            self._minute = minute
            for index, zone, schedule in self._scheduled:
                now = _local_time(now_ns, zone)
                self._holding[index] = any(_holds(each, now.weekday(), now.hour * 60 + now.minute) for each in schedule)
        return self._holding


def hour_of_week(now_ns: int, zone: str) -> int:
    """Return the hour of the week, 0 (Monday from 0:00) to 167, on the clocks of a zone."""
    now = _local_time(now_ns, zone)
    return now.weekday() * 24 + now.hour


def _holds(schedule: ScheduleSpec, day: int, minute: int) -> bool:
    days, start, end = schedule
    if start < end:
        return day in days and start <= minute < end
    return (day in days and minute >= start) or ((day - 1) % 7 in days and minute < end)


def _local_time(now_ns: int, zone: str) -> datetime:
    return datetime.fromtimestamp(now_ns // NS_PER_S, ZoneInfo(zone))
