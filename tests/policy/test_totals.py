"""Rules of kind `total`."""

from __future__ import annotations

from bisect import bisect_right
from datetime import datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmon.model.addresses import key_from_text
from fastmon.model.alerts import CLEARED, FIRING
from fastmon.model.memory import Memory
from fastmon.model.names import NameBook, NameFact
from fastmon.policy.rules import View
from fastmon.policy.specs import PortRange, ScheduleSpec, TotalSpec
from policy.worlds import DAY, HOUR, MINUTE, T0, S, World, brief, remember, rule_set, run

CAMERA = "192.168.1.40"


def total(limit: int = 1000, name: str = "quota", **values: Any) -> TotalSpec:
    return TotalSpec(kind="total", name=name, limit_bytes=limit, **values)


def test_each_level_is_told_once_with_the_exact_value() -> None:
    rules, world = rule_set(total(per="month", warn_at=(80, 90, 100))), World()
    alerts = run(rules, world, *((T0 + second * S + 1, CAMERA, 79) for second in range(20)))
    assert [(alert.value, alert.evidence["warn_at"], alert.state) for alert in alerts] == [
        (869, 80, FIRING),
        (948, 90, FIRING),
        (1027, 100, FIRING),
    ]
    assert {(alert.id, alert.since_ns) for alert in alerts} == {(alerts[0].id, alerts[0].ts_ns)}
    assert alerts[2].reason == f"{CAMERA} moved 1.0 kB of 1.0 kB this month (since 1 January, 102 %)"
    assert (alerts[2].limit, alerts[2].unit, alerts[2].host, alerts[2].local) == (1000, "bytes", CAMERA, True)


def test_tick_that_passes_several_levels_tells_the_greatest() -> None:
    alerts = run(rule_set(total(warn_at=(80, 90, 100))), World(), (T0 + 1, CAMERA, 950), (T0 + S + 1, CAMERA, 5000))
    assert [alert.evidence["warn_at"] for alert in alerts] == [90, 100]


def test_level_that_no_counter_reaches_is_never_told() -> None:
    alerts = run(rule_set(total(2**62, warn_at=(100, 199, 200, 1000))), World(), (T0 + 1, CAMERA, 2**63 - 2))
    assert [alert.evidence["warn_at"] for alert in alerts] == [199]


def test_period_begins_at_its_boundary_and_the_incident_clears() -> None:
    rules, world = rule_set(total(per="day")), World()
    end = T0 + DAY
    alerts = run(rules, world, (end - 5 * S, CAMERA, 999), (end - 1, CAMERA, 1), (end, CAMERA, 999), (end + 5 * S, CAMERA, 1))
    assert [(alert.state, alert.ts_ns - end, alert.value) for alert in alerts] == [
        (FIRING, 0, 1000),
        (CLEARED, 0, 1000),
        (FIRING, 6 * S, 1000),
    ]
    assert alerts[0].id == alerts[1].id != alerts[2].id


def test_silence_over_a_boundary_clears_at_the_boundary() -> None:
    rules, world = rule_set(total(per="hour")), World()
    alerts = run(rules, world, (T0 + 1, CAMERA, 1000), (T0 + 5 * HOUR + 7 * S, CAMERA, 1))
    assert brief(alerts) == [("quota", CAMERA, FIRING, 1), ("quota", CAMERA, CLEARED, 3600)]


def test_total_of_a_run_never_clears() -> None:
    alerts = run(rule_set(total()), World(), (T0 + 1, CAMERA, 1000), until_ns=T0 + 400 * DAY)
    assert brief(alerts) == [("quota", CAMERA, FIRING, 1)]
    assert alerts[0].reason == f"{CAMERA} moved 1.0 kB of 1.0 kB since the start (100 %)"


@pytest.mark.parametrize(("direction", "expected"), [("in", 1), ("out", 2), ("both", 3)])
def test_direction_counts_the_hosts_own_view(direction: str, expected: int) -> None:
    rules, world = rule_set(total(1, direction=direction)), World()
    world.move(CAMERA, T0 + 1, n_in=1, n_out=2)
    (alert,) = rules.evaluate(world.view(T0 + S), T0 + S)
    assert alert.value == expected


def test_most_specific_rule_governs() -> None:
    specs = [total(100, "all", scope="all"), total(200, "net", scope="192.168.0.0/16"), total(300, "one", scope=CAMERA)]
    moves = [(T0 + 1, address, 350) for address in (CAMERA, "192.168.1.41", "10.0.0.1")]
    alerts = run(rule_set(*specs), World(), *moves)
    assert {(alert.rule, alert.host) for alert in alerts} == {("one", CAMERA), ("net", "192.168.1.41"), ("all", "10.0.0.1")}


def test_rules_of_other_periods_do_not_compete() -> None:
    alerts = run(rule_set(total(100, "run"), total(100, "day", per="day")), World(), (T0 + 1, CAMERA, 100))
    assert [alert.rule for alert in alerts] == ["run", "day"]


def test_network_as_a_whole() -> None:
    rules, world = rule_set(total(100, scope="network", per="day")), World()
    alerts = run(rules, world, (T0 + 1, CAMERA, 60), (T0 + S + 1, "10.0.0.1", 60), until_ns=T0 + DAY)
    assert [(alert.subject, alert.state, alert.value, alert.local) for alert in alerts] == [
        ("network", FIRING, 120, None),
        ("network", CLEARED, 120, None),
    ]
    assert alerts[0].reason == "the network moved 120 B of 100 B this day (since 1 January, 120 %)"


def test_applications_and_ports() -> None:
    specs = [total(100, "web", apps=("tls", "http")), total(100, "iperf", ports=(PortRange(6, 5201, 5210),))]
    rules, world = rule_set(*specs, apps={1: "http", 2: "tls", 3: "dns"}), World()
    host = world.host(CAMERA)
    host.apps = {1: 40, 2: 59, 3: 500}
    host.services = {(0, 6, 5201): 50, (0, 6, 5210): 49, (0, 17, 5201): 500, (0, 6, 5211): 500}
    assert rules.evaluate(world.view(T0 + S), T0 + S) == []
    host.apps[2] += 1
    host.services[0, 6, 5201] += 1
    alerts = list(rules.evaluate(world.view(T0 + 2 * S), T0 + 2 * S))
    assert [(alert.rule, alert.value) for alert in alerts] == [("web", 100), ("iperf", 100)]
    assert alerts[1].evidence["services"] == {"tcp/5211": 500, "udp/5201": 500, "tcp/5201": 51, "tcp/5210": 49}
    assert alerts[0].evidence["apps"] == {"dns": 500, "tls": 60, "http": 40}


def test_schedule_tells_nothing_outside_and_what_was_passed_when_it_begins() -> None:
    schedule = ScheduleSpec(frozenset(range(7)), 60, 120)
    rules, world = rule_set(total(per="day", schedule=(schedule,))), World()
    alerts = run(rules, world, (T0 + 1, CAMERA, 1000), (T0 + 59 * MINUTE, CAMERA, 1), until_ns=T0 + HOUR)
    assert brief(alerts) == [("quota", CAMERA, FIRING, 3600)]


def test_host_that_turns_local_keeps_its_total() -> None:
    rules, world = rule_set(total(per="day")), World()
    world.host(CAMERA).local = False
    assert run(rules, world, (T0 + 1, CAMERA, 999)) == []
    world.host(CAMERA).local = True
    (alert,) = run(rules, world, (T0 + S + 1, CAMERA, 1))
    assert alert.value == 1000


def test_name_that_is_learnt_changes_the_rule() -> None:
    book = NameBook()
    specs = [total(100, "any", per="day"), total(1000, "cameras", per="day", scope="name:cam-*")]
    rules, world = rule_set(*specs, names=book), World()
    assert brief(run(rules, world, (T0 + 1, CAMERA, 100))) == [("any", CAMERA, FIRING, 1)]
    book.record([NameFact(key_from_text(CAMERA), "cam-1", "dhcp")], T0 + S)
    assert brief(run(rules, world, (T0 + S + 1, CAMERA, 899))) == [("any", CAMERA, CLEARED, 2)]
    (alert,) = run(rules, world, (T0 + 2 * S + 1, CAMERA, 1))
    assert (alert.rule, alert.value, alert.name) == ("cameras", 1000, "cam-1")


def test_rows_that_move_take_their_totals_along() -> None:
    rules, world = rule_set(total(per="day", scope="all")), World()
    hosts = [f"10.0.0.{number}" for number in range(1, 7)]
    first = run(rules, world, *((T0 + 1, host, 500 + 500 * (host == hosts[1])) for host in hosts))
    assert brief(first) == [("quota", hosts[1], FIRING, 1)]
    world.evict(hosts[0], hosts[3])
    moved = [(T0 + S + 1, host, 500) for host in (hosts[5], hosts[4], hosts[3])]
    alerts = run(rules, world, *moved)
    assert {(alert.host, alert.value) for alert in alerts} == {(hosts[4], 1000), (hosts[5], 1000)}
    world.evict(hosts[1])
    assert brief(run(rules, world, (T0 + 2 * S, hosts[2], 1))) == [("quota", hosts[1], CLEARED, 3)]


def test_step_back_into_the_period_before_begins_it_anew() -> None:
    rules, world = rule_set(total(per="day")), World()
    alerts = run(rules, world, (T0 + DAY + 1, CAMERA, 1000))
    world.move(CAMERA, T0 + 5 * S, n_out=5000)
    alerts += rules.evaluate(world.view(T0 + 6 * S), T0 + 6 * S)
    alerts += run(rules, world, (T0 + 6 * S, CAMERA, 999), (T0 + 7 * S, CAMERA, 1))
    assert brief(alerts) == [
        ("quota", CAMERA, FIRING, 86401),
        ("quota", CAMERA, CLEARED, 6),
        ("quota", CAMERA, FIRING, 8),
    ]


def test_between_ticks_nothing_is_evaluated() -> None:
    assert rule_set(total()).evaluate(View(), T0) == []


# Reload and restart.


def test_reload_goes_on_with_unchanged_rules() -> None:
    world = World()
    old = rule_set(total(per="day", warn_at=(50, 100)), total(300, "gone", per="day", scope="10.0.0.0/8"))
    alerts = run(old, world, (T0 + 1, CAMERA, 600), (T0 + 2, "10.0.0.1", 300))
    assert len(alerts) == 2
    new = rule_set(total(per="day", warn_at=(50, 100), severity="critical"), previous=old)
    (removed,) = run(new, world, (T0 + S + 1, CAMERA, 1))
    assert brief([removed]) == [("gone", "10.0.0.1", CLEARED, 2)]
    assert "rule removed" in removed.reason
    (alert,) = run(new, world, (T0 + 2 * S + 1, CAMERA, 400))
    assert (alert.id, alert.value, alert.severity) == (alerts[0].id, 1001, "critical")


def test_reload_with_another_limit_tells_anew() -> None:
    world = World()
    old = rule_set(total(per="day"))
    run(old, world, (T0 + 1, CAMERA, 1500))
    new = rule_set(total(1200, per="day"), previous=old)
    alerts = run(new, world, (T0 + S + 1, CAMERA, 1))
    assert [(alert.state, alert.limit) for alert in alerts] == [(CLEARED, 1000), (FIRING, 1200)]
    assert alerts[1].value == 1501


@pytest.mark.parametrize("scope", ["local", "network"])
@pytest.mark.parametrize("limits", [(900,), (1000, 900), (900, 900)])
def test_reload_with_another_limit_goes_on_counting(scope: str, limits: tuple[int, ...]) -> None:
    world = World()
    world.host(CAMERA, T0 - DAY).bytes_out = 5000
    rules = rule_set(total(10**9, per="day", scope=scope))
    run(rules, world, (T0 + 1, CAMERA, 700))
    for limit in limits:  # without a tick in between
        rules = rule_set(total(limit, per="day", scope=scope), previous=rules)
    assert run(rules, world, (T0 + 2 * S + 1, CAMERA, 100)) == []
    alerts = run(rules, world, (T0 + 3 * S + 1, CAMERA, 150))
    assert [alert.value for alert in alerts] == [950]


@pytest.mark.parametrize("scope", ["local", "network"])
@pytest.mark.parametrize("ticks", [True, False])
def test_reload_with_another_limit_goes_on_with_what_an_earlier_run_kept(scope: str, ticks: bool) -> None:
    first = rule_set(total(10**9, per="month", scope=scope), restored=Memory())
    run(first, World(), (T0 + 1, CAMERA, 500))
    world = World()
    rules = rule_set(total(10**9, per="month", scope=scope), restored=remember(first.take_changes()))
    if ticks:
        run(rules, world, (T0 + HOUR, CAMERA, 200))
    else:
        world.move(CAMERA, T0 + HOUR, n_out=200)
    rules = rule_set(total(900, per="month", scope=scope), previous=rules)
    assert run(rules, world, (T0 + HOUR + 2 * S, CAMERA, 100)) == []
    assert [row.bytes for row in remember(rules.take_changes()).periods] == [800]
    (alert,) = run(rules, world, (T0 + HOUR + 4 * S, CAMERA, 100))
    assert alert.value == 900


def test_reload_with_another_limit_keeps_what_is_known_of_hosts_not_seen_yet() -> None:
    first = rule_set(total(1000, per="month", warn_at=(50, 100)), restored=Memory())
    run(first, World(), (T0 + 1, CAMERA, 600))
    rules, world = rule_set(total(1000, per="month", warn_at=(50, 100)), restored=remember(first.take_changes())), World()
    run(rules, world, (T0 + HOUR, "10.0.0.1", 1))
    rules = rule_set(total(2000, per="month", warn_at=(50, 100)), previous=rules)
    alerts = run(rules, world, (T0 + 2 * HOUR, CAMERA, 400))
    assert [(alert.host, alert.state, alert.value) for alert in alerts if alert.state == FIRING] == [(CAMERA, FIRING, 1000)]


def test_rule_that_comes_with_a_reload_counts_what_is_known() -> None:
    world = World()
    world.host("10.0.0.9", T0 - DAY).bytes_out = 5000
    old = rule_set(total(10**9))
    run(old, world, (T0 + 1, CAMERA, 900))
    new = rule_set(total(10**9), total(per="day", name="day", scope="all"), previous=old)
    alerts = run(new, world, (T0 + S + 1, CAMERA, 100), (T0 + S + 2, "10.0.0.9", 999))
    assert [(alert.host, alert.value) for alert in alerts] == [(CAMERA, 1000)]


def test_restart_in_the_middle_of_a_month_goes_on() -> None:
    spec = total(per="month", warn_at=(80, 100))
    first = rule_set(spec, restored=Memory())
    (alert,) = run(first, World(), (T0 + 1, CAMERA, 850), (T0 + S + 1, "10.0.0.1", 5))
    kept = [first.take_changes()]
    memory = remember(*kept)
    assert {(row.subject, row.bytes, row.told_percent) for row in memory.periods} == {(CAMERA, 850, 80), ("10.0.0.1", 5, 0)}
    second = rule_set(spec, restored=memory)
    start = T0 + 3 * DAY
    assert run(second, World(), (start + 1, CAMERA, 149)) == []
    world = World()
    third = rule_set(spec, restored=remember(*kept, second.take_changes()))
    alerts = run(third, world, (start + S + 1, CAMERA, 1), until_ns=T0 + 31 * DAY)
    assert [(each.state, each.value, each.id) for each in alerts] == [
        (FIRING, 1000, alert.id),
        (CLEARED, 1000, alert.id),
    ]


def test_restart_after_the_period_forgets_it_and_clears() -> None:
    spec = total(per="day")
    first = rule_set(spec, restored=Memory())
    (alert,) = run(first, World(), (T0 + 1, CAMERA, 1000))
    second = rule_set(spec, restored=remember(first.take_changes()))
    world = World()
    alerts = run(second, world, (T0 + DAY + 1, "10.0.0.1", 999), (T0 + DAY + S + 1, CAMERA, 999))
    assert [(each.host, each.state, each.id) for each in alerts] == [(CAMERA, CLEARED, alert.id)]
    assert [row.is_closed for row in second.take_changes().incidents] == [True]


def test_restart_of_the_networks_total() -> None:
    spec = total(per="month", scope="network")
    first = rule_set(spec, restored=Memory())
    run(first, World(), (T0 + 1, CAMERA, 999))
    second = rule_set(spec, restored=remember(first.take_changes()))
    (alert,) = run(second, World(), (T0 + HOUR, CAMERA, 1))
    assert alert.value == 1000


def test_rule_that_is_gone_after_a_restart_clears() -> None:
    first = rule_set(total(per="month"), restored=Memory())
    (alert,) = run(first, World(), (T0 + 1, CAMERA, 1000))
    second = rule_set(total(per="month", name="other"), restored=remember(first.take_changes()))
    (cleared,) = run(second, World(), (T0 + HOUR, "10.0.0.1", 1))
    assert (cleared.id, cleared.state, cleared.host) == (alert.id, CLEARED, CAMERA)
    assert [row.is_closed for row in second.take_changes().incidents] == [True]


# Against a simple model.

ZONES = ("UTC", "Europe/Berlin", "America/New_York")


def boundaries(per: str, reset_day: int, zone: str) -> list[int]:
    """Return when periods begin, from 2025 to 2027, by walking through all hours."""
    if per == "run":
        return []
    found = []
    before: datetime | None = None
    now = datetime(2024, 12, 30, tzinfo=timezone.utc)
    while now.year < 2027:
        local = now.astimezone(ZoneInfo(zone))
        if before is not None and (per == "hour" or (local.date() != before.date() and is_reset(local, per, reset_day))):
            found.append(int(now.timestamp()) * S)
        before = local
        now += timedelta(hours=1)
    return found


def is_reset(day: datetime, per: str, reset_day: int) -> bool:
    if per == "week":
        return day.weekday() == reset_day
    is_last = (day + timedelta(days=1)).month != day.month
    return per == "day" or day.day == reset_day or (is_last and day.day < reset_day)


CALENDARS = [
    ("run", 1, "UTC"),
    ("hour", 1, "Europe/Berlin"),
    ("day", 1, "Europe/Berlin"),
    ("day", 1, "America/New_York"),
    ("week", 0, "Europe/Berlin"),
    ("week", 6, "America/New_York"),
    ("month", 1, "America/New_York"),
    ("month", 31, "Europe/Berlin"),
    ("month", 15, "UTC"),
]
BOUNDARIES = {each: boundaries(*each) for each in CALENDARS}

MOMENTS = [
    int(datetime(2025, 3, 29, 22, 30, tzinfo=timezone.utc).timestamp()) * S,  # clocks go ahead in Berlin the next night
    int(datetime(2025, 10, 25, 21, 30, tzinfo=timezone.utc).timestamp()) * S,  # and back
    int(datetime(2025, 11, 2, 3, 30, tzinfo=timezone.utc).timestamp()) * S,  # and in New York
    int(datetime(2026, 1, 30, 22, 30, tzinfo=timezone.utc).timestamp()) * S,
]

STEPS = st.sampled_from([S // 2, S, 7 * S, 20 * MINUTE, HOUR, 5 * HOUR, DAY, 6 * DAY, 31 * DAY])
MOVES = st.lists(st.tuples(STEPS, st.integers(0, 2), st.sampled_from([0, 1, 100, 450, 900, 1500])), min_size=1, max_size=40)


def model(moves: list[tuple[int, str, int]], starts: list[int], warn_at: tuple[int, ...]) -> set[tuple[str, str, int, int]]:
    """Return the host, state, time and value of each alert, worked out for one host at a time, frame by frame."""
    expected = set()
    last_ns = -(-(moves[-1][0] + 1) // S) * S
    for host in {host for _, host, _ in moves}:
        by_period: dict[int, dict[int, int]] = {}
        for ts_ns, mover, size in moves:
            if mover == host:
                ticks = by_period.setdefault(bisect_right(starts, ts_ns), {})
                tick = ts_ns // S * S + S
                ticks[tick] = ticks.get(tick, 0) + size
        for period, ticks in by_period.items():
            moved = told = 0
            for tick, size in ticks.items():
                moved += size
                level = max((percent for percent in warn_at if moved * 100 >= 1000 * percent), default=0)
                if level > told:
                    expected.add((host, FIRING, tick, moved))
                    told = level
            if told and period < len(starts) and starts[period] <= last_ns:
                expected.add((host, CLEARED, starts[period], moved))
    return expected


@given(st.sampled_from(CALENDARS), st.sampled_from(MOMENTS), MOVES, st.sampled_from([(100,), (50, 80, 100, 200)]), st.data())
def test_totals_equal_a_simple_model(
    calendar: tuple[str, int, str],
    start_ns: int,
    steps: list[tuple[int, int, int]],
    warn_at: tuple[int, ...],
    data: st.DataObject,
) -> None:
    per, reset_day, zone = calendar
    moves = []
    now_ns = start_ns + 1
    for step_ns, host, size in steps:
        now_ns += step_ns
        moves.append((now_ns, f"10.0.0.{host}", size))
    rules, world = rule_set(total(per=per, reset_day=reset_day, zone=zone, warn_at=warn_at), restored=Memory()), World()
    cut = data.draw(st.integers(0, len(moves)))
    while 0 < cut < len(moves) and moves[cut][0] // S == moves[cut - 1][0] // S:
        cut += 1
    alerts = run(rules, world, *moves[:cut])
    if data.draw(st.booleans()):
        rules = rule_set(total(per=per, reset_day=reset_day, zone=zone, warn_at=warn_at), previous=rules)
    alerts += run(rules, world, *moves[cut:])
    found = [(alert.host, alert.state, alert.ts_ns, alert.value) for alert in alerts]
    assert len(found) == len(set(found))
    assert set(found) == model(moves, BOUNDARIES[calendar], warn_at)
