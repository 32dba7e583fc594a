"""Periods and schedules in time zones."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmon.policy.periods import Calendar, Schedules, hour_of_week
from fastmon.policy.specs import RateSpec, ScheduleSpec

S = 1_000_000_000
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "America/Havana", "Australia/Lord_Howe")


def at(zone: str, *moment: Any, fold: int = 0) -> int:
    return int(datetime(*moment).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()) * S


@pytest.mark.parametrize(
    ("calendar", "now", "start", "end"),
    [
        (Calendar("day", zone="Europe/Berlin"), (2025, 3, 30, 12), (2025, 3, 30), (2025, 3, 31)),  # 23 hours
        (Calendar("day", zone="Europe/Berlin"), (2025, 10, 26, 2, 30), (2025, 10, 26), (2025, 10, 27)),  # 25 hours
        (Calendar("week", 0, "Europe/Berlin"), (2025, 10, 26, 23, 59), (2025, 10, 20), (2025, 10, 27)),
        (Calendar("week", 6, "America/New_York"), (2025, 11, 2), (2025, 11, 2), (2025, 11, 9)),
        (Calendar("month", 31, "America/New_York"), (2025, 2, 27, 23), (2025, 1, 31), (2025, 2, 28)),
        (Calendar("month", 31, "America/New_York"), (2025, 2, 28), (2025, 2, 28), (2025, 3, 31)),
        (Calendar("month", 31, "Europe/Berlin"), (2024, 12, 31), (2024, 12, 31), (2025, 1, 31)),
        (Calendar("month", 15, "Europe/Berlin"), (2025, 1, 14), (2024, 12, 15), (2025, 1, 15)),
        (Calendar("day", zone="America/Havana"), (2025, 3, 9, 12), (2025, 3, 9, 1), (2025, 3, 10)),  # clocks skip midnight
    ],
)
def test_period(calendar: Calendar, now: Any, start: Any, end: Any) -> None:
    assert calendar.period_at(at(calendar.zone, *now)) == (at(calendar.zone, *start), at(calendar.zone, *end))


def test_hours_that_clocks_repeat_are_two() -> None:
    calendar = Calendar("hour", zone="Europe/Berlin")
    first, second = (calendar.period_at(at("Europe/Berlin", 2025, 10, 26, 2, 30, fold=fold)) for fold in (0, 1))
    assert first[1] == second[0]
    assert second[1] - first[0] == 7200 * S


@given(
    st.sampled_from(["day", "week", "month"]),
    st.integers(0, 31),
    st.sampled_from(ZONES),
    st.integers(0, 2**31).map(lambda seconds: seconds * S),
)
def test_periods_follow_each_other_without_a_gap(per: str, reset_day: int, zone: str, now_ns: int) -> None:
    calendar = Calendar(per, reset_day % 7 if per == "week" else max(reset_day, 1), zone)
    start, end = calendar.period_at(now_ns)
    assert start <= now_ns < end
    assert calendar.period_at(end)[0] == end
    assert calendar.period_at(start) == calendar.period_at(end - 1) == (start, end)


def test_since_for_people() -> None:
    start = at("Europe/Berlin", 2025, 11, 1)
    assert Calendar("month", 1, "Europe/Berlin").since(start) == "1 November"
    assert Calendar("hour", 1, "Europe/Berlin").since(at("Europe/Berlin", 2025, 11, 1, 14)) == "14:00"


def rule(*schedule: ScheduleSpec, zone: str = "Europe/Berlin") -> RateSpec:
    return RateSpec(kind="rate", name="x", limit=1, clear=1, schedule=schedule, zone=zone)


@pytest.mark.parametrize(
    ("now", "holds"),
    [
        ((2025, 7, 4, 21, 59), False),  # a Friday
        ((2025, 7, 4, 22), True),
        ((2025, 7, 5, 5, 59), True),
        ((2025, 7, 5, 6), False),
        ((2025, 7, 5, 22), False),
        ((2025, 7, 6, 10), True),
    ],
)
def test_schedule_over_midnight_belongs_to_its_first_day(now: Any, holds: bool) -> None:
    schedules = Schedules([rule(ScheduleSpec(frozenset({4}), 22 * 60, 6 * 60), ScheduleSpec(frozenset({6}), 600, 601)), rule()])
    assert schedules.holding(at("Europe/Berlin", *now)).tolist() == [holds, True]


def test_schedule_follows_the_clocks_of_its_zone() -> None:
    schedules = Schedules([rule(ScheduleSpec(frozenset(range(7)), 120, 180), zone="America/New_York")])
    assert schedules.holding(at("UTC", 2025, 7, 1, 6)).tolist() == [True]
    assert schedules.holding(at("UTC", 2025, 1, 1, 6)).tolist() == [False]
    assert schedules.holding(at("UTC", 2025, 1, 1, 7)).tolist() == [True]


def test_hour_of_week() -> None:
    moment = int(datetime(2026, 1, 4, 23, 30, tzinfo=timezone.utc).timestamp()) * S
    assert (hour_of_week(moment, "UTC"), hour_of_week(moment, "Europe/Berlin")) == (167, 0)
