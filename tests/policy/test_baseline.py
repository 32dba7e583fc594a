"""Rules of kind `baseline`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmon.model.alerts import CLEARED, FIRING, Alert
from fastmon.model.memory import Memory
from fastmon.policy import habits
from fastmon.policy.habits import HABIT_DTYPE, deviation, learn
from fastmon.policy.ruleset import RuleSet
from fastmon.policy.specs import BaselineSpec, ScheduleSpec
from policy.worlds import DAY, HOUR, MINUTE, T0, Host, S, World, brief, remember, rule_set

CAMERA = "192.168.1.40"
WINDOW = 5 * MINUTE


def baseline(**values: Any) -> BaselineSpec:
    return BaselineSpec(kind="baseline", name="habit", **values)


def live(rules: RuleSet, world: World, sizes: list[int], start_ns: int = T0, host: str = CAMERA) -> list[Alert]:
    """Let a host send so much in each window, and tick at its end and just before."""
    alerts: list[Alert] = []
    for number, size in enumerate(sizes):
        end_ns = start_ns + (number + 1) * WINDOW
        world.move(host, end_ns - 2 * S, n_out=size)
        alerts += rules.evaluate(world.view(end_ns - S), end_ns - S)
        alerts += rules.evaluate(world.view(end_ns), end_ns)
    return alerts


def test_excess_is_told_and_explained_and_clears() -> None:
    sizes = [2_000_000 + 100_000 * (number % 3) for number in range(11)] + [20_000_000, 2_000_000]
    assert live(rule_set(baseline(min_samples=12)), World(), sizes) == []
    alerts = live(rule_set(baseline(min_samples=6)), World(), sizes)
    assert [(alert.state, (alert.ts_ns - T0) // WINDOW, alert.value) for alert in alerts] == [
        (FIRING, 12, 20_000_000),
        (CLEARED, 13, 2_000_000),
    ]
    fired = alerts[0]
    assert fired.evidence["samples"] == 10
    assert fired.evidence["hour"] == "Thursday 00:00"
    assert "deviations above its usual 2.1 MB on Thursday 00:00 (10 samples)" in fired.reason
    assert fired.limit is not None
    assert 2_100_000 < fired.limit < 20_000_000


def test_nothing_is_told_below_the_least_bytes() -> None:
    assert live(rule_set(baseline(min_samples=5)), World(), [1000] * 10 + [900_000]) == []


def test_other_hours_have_habits_of_their_own() -> None:
    world, rules = World(), rule_set(baseline(min_samples=6))
    assert live(rules, world, [5_000_000] * 12) == []
    assert live(rules, world, [50_000_000] * 12, T0 + HOUR) == []
    week_ns = T0 + 7 * DAY
    told = live(rules, world, [5_000_000, 50_000_000, *[5_000_000] * 10], week_ns)  # the first window is not whole
    assert [(alert.state, (alert.ts_ns - week_ns) // WINDOW) for alert in told] == [(FIRING, 2), (CLEARED, 3)]
    assert live(rules, world, [50_000_000] * 12, week_ns + HOUR) == []


def test_habit_goes_on_after_a_restart() -> None:
    spec = baseline(min_samples=6)
    first = rule_set(spec, restored=Memory())
    live(first, World(), [5_000_000] * 9)
    memory = remember(first.take_changes())
    assert [(row.subject, row.bucket, row.n_samples) for row in memory.baselines] == [(CAMERA, 72, 8)]
    second = rule_set(spec, restored=memory)
    (alert,) = live(second, World(), [5_000_000, 90_000_000], T0 + 9 * WINDOW)
    assert (alert.state, alert.evidence["samples"]) == (FIRING, 8)
    assert first.take_changes().baselines == []


def test_reload_keeps_habits_and_what_fires() -> None:
    world = World()
    old = rule_set(baseline(min_samples=6))
    (fired,) = live(old, world, [5_000_000] * 9 + [90_000_000])
    new = rule_set(baseline(min_samples=6, severity="critical"), previous=old)
    (cleared,) = live(new, world, [5_000_000], T0 + 10 * WINDOW)
    assert (cleared.id, cleared.state, cleared.peak) == (fired.id, CLEARED, 90_000_000)


def test_end_of_the_schedule_clears_and_is_told() -> None:
    schedule = ScheduleSpec(frozenset(range(7)), 0, 51)
    alerts = live(rule_set(baseline(min_samples=6, schedule=(schedule,))), World(), [5_000_000] * 9 + [90_000_000] * 2)
    assert brief(alerts) == [("habit", CAMERA, FIRING, 3000), ("habit", CAMERA, CLEARED, 3300)]
    assert alerts[1].reason == f"{CAMERA}: the rule's schedule has ended (after 5m, peak 90.0 MB)"


def test_network_has_a_habit() -> None:
    (alert,) = live(rule_set(baseline(min_samples=6, scope="network")), World(), [5_000_000] * 9 + [90_000_000])
    assert (alert.subject, alert.state) == ("network", FIRING)


def test_silence_gives_samples_of_nothing_and_a_host_that_left_takes_its_habit_along() -> None:
    rules, world = rule_set(baseline(min_samples=6, scope="all")), World()
    world.host("10.0.0.1")
    assert live(rules, world, [5_000_000]) == []
    silent_until = T0 + 10 * WINDOW
    assert list(rules.evaluate(world.view(silent_until), silent_until)) == []
    world.evict("10.0.0.1")
    (alert,) = live(rules, world, [2_000_000], silent_until)
    assert alert.evidence["samples"] == 9
    assert alert.evidence["usual"] == 0


def test_step_back_begins_windows_anew() -> None:
    rules, world = rule_set(baseline(min_samples=3)), World()
    live(rules, world, [1_000_000] * 9)
    assert live(rules, world, [90_000_000], T0) == []


@given(st.lists(st.floats(0, 1e9), min_size=2, max_size=60))
def test_habits_learn_as_one_host_by_itself_would(samples: list[float]) -> None:
    n = mean = spread = 0.0
    habit = np.zeros(1, HABIT_DTYPE)
    for sample in samples:
        learn(habit, np.array([sample]), np.array([5]))
        sigma = max(spread * 1.2533, mean * 0.1, 1.0)
        cut = min(max(sample, mean - 3 * sigma), mean + 3 * sigma) if n >= 5 else sample
        if n:
            spread += max(1 / n, 1 / 48) * (abs(cut - mean) - spread)
        mean += max(1 / (n + 1), 1 / 48) * (cut - mean)
        n += 1
        assert habit["mean"][0] == pytest.approx(mean, rel=1e-3, abs=1)
        assert habit["spread"][0] == pytest.approx(spread, rel=1e-2, abs=max(mean, spread) * 1e-3 + 1)
    assert habit["n_samples"][0] == len(samples)
    assert deviation(habit)[0] >= 1


def test_alerts_of_many_hosts_come_in_the_order_of_rows() -> None:
    rules, world = rule_set(baseline(min_samples=6)), World()
    for number in range(10):
        for host in ("10.0.0.1", "10.0.0.2"):
            world.move(host, T0 + (number + 1) * WINDOW - S, n_out=90_000_000 if number == 9 else 5_000_000)
        alerts = list(rules.evaluate(world.view(T0 + (number + 1) * WINDOW), T0 + (number + 1) * WINDOW))
    assert brief(alerts) == [("habit", host, FIRING, 3000) for host in ("10.0.0.1", "10.0.0.2")]


@pytest.mark.parametrize("scope", ["local", "network"])
def test_what_fires_goes_on_after_a_restart_until_a_whole_window_is_usual(scope: str) -> None:
    spec = baseline(min_samples=6, scope=scope)
    first = rule_set(spec, restored=Memory())
    (fired,) = live(first, World(), [5_000_000] * 9 + [90_000_000])
    second = rule_set(spec, restored=remember(first.take_changes()))
    world = World()
    assert live(second, world, [5_000_000, 90_000_000], T0 + 10 * WINDOW) == []  # the first window is not whole
    (cleared,) = live(second, world, [5_000_000], T0 + 12 * WINDOW)
    assert (cleared.id, cleared.state, cleared.peak) == (fired.id, CLEARED, 90_000_000)


def test_what_fires_outlasts_a_step_back() -> None:
    rules, world = rule_set(baseline(min_samples=6)), World()
    (fired,) = live(rules, world, [5_000_000] * 9 + [90_000_000])
    (cleared,) = live(rules, world, [5_000_000] * 2, T0)
    assert (cleared.id, cleared.state, cleared.ts_ns) == (fired.id, CLEARED, T0 + 2 * WINDOW)


def test_host_that_comes_back_beside_one_that_fires_does_not_take_its_alert() -> None:
    spec, other = baseline(min_samples=6), "192.168.1.50"
    first, world = rule_set(spec, restored=Memory()), World()
    for number, size in enumerate([5_000_000] * 7 + [90_000_000]):
        world.move(CAMERA, T0 + (number + 1) * WINDOW - S, n_out=size)
        live(first, world, [5_000_000], T0 + number * WINDOW, other)
    second, world = rule_set(spec, restored=remember(first.take_changes())), World()
    live(second, world, [5_000_000] * 2, T0 + 8 * WINDOW, other)
    end_ns = T0 + 11 * WINDOW
    world.hosts.insert(0, Host(CAMERA, end_ns - 3 * S))
    assert live(second, world, [90_000_000], T0 + 10 * WINDOW, other)[0].subject == other
    cleared = live(second, world, [5_000_000], T0 + 11 * WINDOW, other)
    assert [(alert.subject, alert.state, alert.peak) for alert in cleared] == [
        (CAMERA, CLEARED, 90_000_000),
        (other, CLEARED, 90_000_000),
    ]


def test_restored_alert_of_a_host_without_room_for_its_habit_clears(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = baseline(min_samples=6)
    first = rule_set(spec, restored=Memory())
    live(first, World(), [5_000_000] * 9 + [90_000_000])
    monkeypatch.setattr(habits, "MAX_SUBJECTS", 1)
    second, world = rule_set(spec, restored=remember(first.take_changes())), World()
    world.host("192.168.1.2", T0 + 10 * WINDOW)
    (cleared,) = live(second, world, [90_000_000], T0 + 10 * WINDOW)
    assert (cleared.subject, cleared.state) == (CAMERA, CLEARED)
    assert "its habit is not known any more" in cleared.reason
