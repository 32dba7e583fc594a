"""The rule set as a whole: kinds side by side, days, what is kept, and hosts by the thousand."""

from __future__ import annotations

import pytest

from fastmon.errors import ConfigError
from fastmon.model.alerts import CLEARED, FIRING
from fastmon.model.memory import DayTotal, Memory
from fastmon.policy.ruleset import MAKERS, RuleSet
from fastmon.policy.specs import (
    AppsSpec,
    BaselineSpec,
    DuplicateSpec,
    FailedSpec,
    LossSpec,
    NewSpec,
    PeersSpec,
    PortRange,
    PortsSpec,
    RateSpec,
    SilentSpec,
    SpreadSpec,
    TotalSpec,
)
from policy.worlds import DAY, T0, S, World, brief, remember, rule_set, run

CAMERA = "192.168.1.40"

ONE_OF_EACH = [
    TotalSpec(kind="total", name="total", limit_bytes=1000),
    RateSpec(kind="rate", name="rate", limit=800, clear=800, window_ns=S),
    PortsSpec(kind="ports", name="ports", allow=(PortRange(6, 443, 443),)),
    AppsSpec(kind="apps", name="apps", deny=("ssh",)),
    PeersSpec(kind="peers", name="peers", deny=("192.0.2.0/24",)),
    SpreadSpec(kind="spread", name="spread", peers=5),
    FailedSpec(kind="failed", name="failed", limit=5),
    NewSpec(kind="new", name="new"),
    SilentSpec(kind="silent", name="silent", for_ns=60 * S),
    DuplicateSpec(kind="duplicate", name="duplicate"),
    BaselineSpec(kind="baseline", name="baseline"),
    LossSpec(kind="loss", name="loss", scope="network", silence_ns=120 * S),
]


def test_every_kind_is_known_and_they_go_on_side_by_side() -> None:
    assert {spec.kind for spec in ONE_OF_EACH} == set(MAKERS)
    rules = rule_set(*ONE_OF_EACH, restored=Memory())
    alerts = run(rules, World(), (T0 + 1, CAMERA, 1000), (T0 + 600 * S, CAMERA, 1))
    found = {(alert.rule, alert.state) for alert in alerts}
    assert {
        ("total", FIRING),
        ("rate", FIRING),
        ("rate", CLEARED),
        ("silent", FIRING),
        ("loss", FIRING),
        ("new", FIRING),
    } <= found
    assert [alert.kind for alert in alerts] == [alert.rule for alert in alerts]


def test_reload_of_every_kind_repeats_nothing_and_removal_clears() -> None:
    world = World()
    rules = rule_set(*ONE_OF_EACH, restored=Memory())
    first = run(rules, world, (T0 + 1, CAMERA, 1000))
    again = rule_set(*ONE_OF_EACH, previous=rules)
    assert run(again, world, (T0 + S + 1, CAMERA, 101)) == []
    none = rule_set(previous=again)
    cleared = run(none, world, (T0 + 2 * S + 1, CAMERA, 101))
    assert {(alert.rule, alert.state) for alert in cleared} >= {("total", CLEARED), ("rate", CLEARED)}
    assert {alert.id for alert in cleared} <= {alert.id for alert in first}
    assert run(none, world, (T0 + 3 * S + 1, CAMERA, 10**6)) == []


def test_two_runs_over_the_same_traffic_give_the_same_alerts() -> None:
    moves = [(T0 + number * 400_000_000, f"10.0.0.{number % 7}", number * 37 % 500) for number in range(300)]
    one, other = (run(rule_set(*ONE_OF_EACH), World(), *moves) for _ in range(2))
    assert one == other
    assert one


def test_first_rules_that_come_in_the_middle_of_a_run_count_what_is_known() -> None:
    world = World()
    for second in range(100):
        world.move(CAMERA, T0 + DAY - 50 * S + second * S, n_out=100)
    rules = rule_set(
        TotalSpec(kind="total", name="run", limit_bytes=10_050),
        TotalSpec(kind="total", name="day", per="day", limit_bytes=1_050),
        RateSpec(kind="rate", name="rate", limit=850, clear=850, window_ns=10 * S),
    )
    moves = [(T0 + DAY + 50 * S + second * S, CAMERA, 100) for second in range(20)]
    assert brief(run(rules, world, *moves)) == [("run", CAMERA, FIRING, 86451), ("day", CAMERA, FIRING, 86461)]


def test_scope_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown group 'cams'"):
        RuleSet([TotalSpec(kind="total", name="x", scope="group:cams", limit_bytes=1)], groups={}, apps={})


def test_nothing_is_noted_where_nothing_is_kept() -> None:
    rules = rule_set(*ONE_OF_EACH[:2])
    run(rules, World(), (T0 + 1, CAMERA, 5000), (T0 + DAY, CAMERA, 5000))
    changes = rules.take_changes()
    assert (changes.periods, changes.days) == ([], [])


def test_days_of_local_hosts_are_kept_and_go_on_after_a_restart() -> None:
    world = World()
    world.host("203.0.113.1", T0).local = False
    rules = rule_set(restored=Memory())
    run(rules, world, (T0 + 1, CAMERA, 100), (T0 + 2, "203.0.113.1", 5))
    kept = [rules.take_changes()]
    assert kept[0].days == [DayTotal(CAMERA, T0, 0, 100, 0, 1)]
    assert rules.take_changes().days == []
    second = rule_set(restored=Memory(days=tuple(kept[0].days)))
    run(second, World(), (T0 + 9 * S, CAMERA, 11), (T0 + DAY + 1, CAMERA, 7))
    assert second.take_changes().days == [DayTotal(CAMERA, T0, 0, 111, 0, 2), DayTotal(CAMERA, T0 + DAY, 0, 7, 0, 1)]


def test_totals_of_more_hosts_than_are_kept_at_once_are_kept_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastmon.policy.ledger.MAX_KEPT", 10)
    rules, world = rule_set(TotalSpec(kind="total", name="day", per="day", limit_bytes=10**9), restored=Memory()), World()
    kept = []
    for second in range(6):
        for number in range(25):
            world.move(f"10.0.0.{number}", T0 + second * S + 1, n_out=1)
        rules.evaluate(world.view(T0 + second * S + S), T0 + second * S + S)
        kept.append(rules.take_changes())
    assert [len(each.periods) for each in kept] == [10] * 6
    periods = remember(*kept).periods
    assert len(periods) == 25
    assert min(row.bytes for row in periods) >= 4


def test_state_of_many_hosts_is_small() -> None:
    rules = rule_set(
        TotalSpec(kind="total", name="total", per="month", scope="all", limit_bytes=1000),
        RateSpec(kind="rate", name="rate", limit=10**9, clear=10**9, scope="all"),
    )
    world = World()
    for number in range(5000):
        world.host(f"10.{number // 2500}.{number // 250 % 10}.{number % 250}")
    rules.evaluate(world.view(T0 + S), T0 + S)
    assert rules.n_bytes() <= 64 * 5000


def test_alerts_of_a_crowd_are_told_at_once() -> None:
    rules, world = rule_set(TotalSpec(kind="total", name="total", per="day", limit_bytes=10)), World()
    for number in range(1000):
        world.move(f"10.0.{number // 250}.{number % 250}", T0 + 1, n_out=10)
    alerts = list(rules.evaluate(world.view(T0 + S), T0 + S))
    assert len({alert.id for alert in alerts}) == 1000
    assert brief(rules.evaluate(world.view(T0 + 2 * S), T0 + 2 * S)) == []
