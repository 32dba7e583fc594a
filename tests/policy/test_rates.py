"""Rules of kind `rate`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastmon.model.alerts import CLEARED, FIRING, Alert
from fastmon.model.memory import Memory
from fastmon.policy.rates import Steps
from fastmon.policy.specs import RateSpec, ScheduleSpec
from policy.worlds import DAY, MINUTE, T0, S, World, brief, remember, rule_set, run

CAMERA = "192.168.1.40"


def rate(limit: float = 800, name: str = "fast", clear: float | None = None, **values: Any) -> RateSpec:
    return RateSpec(kind="rate", name=name, limit=limit, clear=limit if clear is None else clear, **values)


def stream(start_s: int, end_s: int, size: int, host: str = CAMERA) -> list[tuple[int, str, int]]:
    """Return moves of a host, one each second."""
    return [(T0 + second * S + 1, host, size) for second in range(start_s, end_s)]


@given(st.integers(1, 200), st.integers(0, 10**6))
def test_steps_of_any_window_are_as_long_as_the_window(n_seconds: int, start_s: int) -> None:
    steps = Steps(n_seconds * S - S // 2)
    assert steps.window_ns == n_seconds * S
    first = step = steps.last(start_s * S)
    assert first.ts_ns <= start_s * S < steps.next(first).ts_ns
    longest = 0
    for _ in range(steps.n_steps):
        following = steps.next(step)
        longest = max(longest, following.ts_ns - step.ts_ns)
        step = following
    assert step.ts_ns - first.ts_ns == n_seconds * S
    assert longest <= max(n_seconds // 5 + 1, 1) * S


def test_rate_fires_and_clears_once_with_duration_and_peak() -> None:
    rules = rule_set(rate(800, clear=400, window_ns=S))
    alerts = run(rules, World(), *stream(0, 3, 100), *stream(3, 5, 200), (T0 + 5 * S + 1, CAMERA, 300), *stream(6, 20, 40))
    assert [(alert.state, (alert.ts_ns - T0) // S, alert.value) for alert in alerts] == [(FIRING, 4, 1600), (CLEARED, 7, 320)]
    fired, cleared = alerts
    assert fired.reason == f"{CAMERA} moved 1.6 kbit/s over 1s, above 800 bit/s"
    assert cleared.reason == f"{CAMERA}: back to 320 bit/s (after 3s, peak 2.4 kbit/s)"
    assert (cleared.id, cleared.since_ns, cleared.peak) == (fired.id, fired.ts_ns, 2400)
    assert (fired.limit, fired.unit, fired.window_ns) == (800, "bit/s", S)


def test_rate_that_flaps_around_its_limit_gives_one_alert_and_one_clear() -> None:
    rules = rule_set(rate(800, clear=600, window_ns=2 * S, for_ns=3 * S, clear_for_ns=5 * S))
    flapping = [move for second in range(60) for move in stream(second, second + 1, 140 if second % 4 < 3 else 70)]
    alerts = run(rules, World(), *flapping, *stream(60, 120, 1))
    assert brief(alerts) == [("fast", CAMERA, FIRING, 5), ("fast", CAMERA, CLEARED, 66)]


def test_pending_incident_that_sinks_is_never_told() -> None:
    rules = rule_set(rate(800, window_ns=S, for_ns=5 * S))
    bursts = [move for start in range(0, 100, 10) for move in stream(start, start + 5, 500)]
    assert run(rules, World(), *bursts) == []


def test_cooldown_holds_the_next_alert_back() -> None:
    rules = rule_set(rate(800, window_ns=S, cooldown_ns=10 * S))
    alerts = run(rules, World(), *stream(0, 2, 200), *stream(2, 4, 1), *stream(4, 6, 200), *stream(6, 8, 1), *stream(8, 30, 200))
    assert brief(alerts) == [("fast", CAMERA, FIRING, 1), ("fast", CAMERA, CLEARED, 3), ("fast", CAMERA, FIRING, 13)]


def test_silence_is_time_that_passes_without_traffic() -> None:
    rules = rule_set(rate(800, window_ns=10 * S, clear_for_ns=30 * S, cooldown_ns=MINUTE))
    alerts = run(rules, World(), *stream(0, 10, 200), (T0 + DAY + 1, CAMERA, 1))
    assert brief(alerts) == [("fast", CAMERA, FIRING, 6), ("fast", CAMERA, CLEARED, 46)]


def test_burst_before_a_silence_fires_when_its_time_has_come() -> None:
    rules = rule_set(rate(80, window_ns=10 * S, for_ns=6 * S))
    alerts = run(rules, World(), (T0 + 1, CAMERA, 1000), (T0 + DAY + 1, CAMERA, 1))
    assert brief(alerts) == [("fast", CAMERA, FIRING, 8), ("fast", CAMERA, CLEARED, 12)]


@pytest.mark.parametrize(("direction", "value"), [("in", 8), ("out", 16), ("both", 24)])
def test_direction(direction: str, value: int) -> None:
    rules, world = rule_set(rate(1, direction=direction, window_ns=S)), World()
    world.move(CAMERA, T0 + 1, n_in=1, n_out=2)
    (alert,) = rules.evaluate(world.view(T0 + S), T0 + S)
    assert alert.value == value


def test_packets_and_conversations() -> None:
    rules = rule_set(
        rate(10, "packets", unit="packets/s", direction="out", window_ns=S),
        rate(5, "opened", unit="conversations/s", window_ns=S),
    )
    world = World()
    world.move(CAMERA, T0 + 1, n_out=2000, n_packets=11)
    world.host(CAMERA).opened = 6
    alerts = list(rules.evaluate(world.view(T0 + S), T0 + S))
    assert [(alert.rule, alert.value) for alert in alerts] == [("packets", 11), ("opened", 6)]
    assert alerts[1].reason == f"{CAMERA} opened 6 conversations/s over 1s, above 5 conversations/s"


def test_network_rules_are_each_evaluated() -> None:
    specs = [rate(800, "busy", scope="network", window_ns=S), rate(1600, "full", scope="network", window_ns=S)]
    hosts = [(T0 + 1, CAMERA, 120), (T0 + 2, "10.0.0.1", 90), *stream(1, 3, 120)]
    alerts = run(rule_set(*specs), World(), *hosts, *stream(3, 5, 1))
    assert brief(alerts) == [
        ("busy", "network", FIRING, 1),
        ("full", "network", FIRING, 1),
        ("full", "network", CLEARED, 2),
        ("busy", "network", CLEARED, 4),
    ]
    assert alerts[0].evidence["hosts"] == {CAMERA: 120, "10.0.0.1": 90}


def test_schedule_clears_what_fires_when_it_ends() -> None:
    schedule = ScheduleSpec(frozenset(range(7)), 0, 1)
    rules = rule_set(rate(800, window_ns=S, schedule=(schedule,)))
    alerts = run(rules, World(), *stream(50, 70, 200))
    assert brief(alerts) == [("fast", CAMERA, FIRING, 51), ("fast", CAMERA, CLEARED, 60)]
    assert alerts[1].reason == f"{CAMERA}: the rule's schedule has ended (after 9s, peak 1.6 kbit/s)"


def test_rate_that_has_sunk_when_the_schedule_ends_says_so() -> None:
    schedule = ScheduleSpec(frozenset(range(7)), 0, 1)
    rules = rule_set(rate(800, window_ns=S, clear_for_ns=5 * S, schedule=(schedule,)))
    alerts = run(rules, World(), *stream(50, 58, 200), *stream(58, 70, 50))
    assert brief(alerts)[1:] == [("fast", CAMERA, CLEARED, 64)]
    assert alerts[1].reason == f"{CAMERA}: back to 400 bit/s (after 13s, peak 1.6 kbit/s)"


def test_step_back_begins_anew() -> None:
    rules, world = rule_set(rate(800, window_ns=5 * S, clear_for_ns=2 * S)), World()
    alerts = run(rules, world, *stream(100, 110, 200))
    assert brief(alerts) == [("fast", CAMERA, FIRING, 103)]
    world.move(CAMERA, T0 + 20 * S, n_out=10**6)
    assert list(rules.evaluate(world.view(T0 + 21 * S), T0 + 21 * S)) == []
    assert brief(run(rules, world, *stream(21, 30, 1))) == [("fast", CAMERA, CLEARED, 24)]


def test_host_that_is_evicted_clears_and_one_that_returns_begins_anew() -> None:
    rules, world = rule_set(rate(800, window_ns=S, scope="all")), World()
    world.host("10.0.0.1")
    alerts = run(rules, world, *stream(0, 2, 200))
    world.evict(CAMERA)
    alerts += run(rules, world, *stream(2, 4, 10, "10.0.0.1"))
    alerts += run(rules, world, *stream(4, 5, 200))
    assert brief(alerts) == [("fast", CAMERA, FIRING, 1), ("fast", CAMERA, CLEARED, 3), ("fast", CAMERA, FIRING, 5)]


def test_reload_keeps_windows_and_incidents() -> None:
    world = World()
    old = rule_set(rate(800, window_ns=5 * S), rate(8, "gone", window_ns=5 * S, scope="10.0.0.1"))
    alerts = run(old, world, *sorted([*stream(0, 6, 120), *stream(0, 6, 120, "10.0.0.1")]))
    assert brief(alerts) == [("gone", "10.0.0.1", FIRING, 1), ("fast", CAMERA, FIRING, 5)]
    new = rule_set(rate(10**6, "other", scope="10.0.0.2", window_ns=5 * S), rate(800, window_ns=5 * S), previous=old)
    found = run(new, world, *stream(6, 12, 1))
    assert brief(found) == [("gone", "10.0.0.1", CLEARED, 7), ("fast", CAMERA, CLEARED, 7)]
    assert found[1].id == alerts[1].id


def test_rule_that_comes_with_a_reload_does_not_count_what_was_before() -> None:
    world = World()
    old = rule_set(rate(10**9, window_ns=S))
    run(old, world, *stream(0, 3, 10**6))
    new = rule_set(rate(800, "new", window_ns=10 * S), previous=old)
    assert run(new, world, *stream(3, 20, 90)) == []


def test_restart_repeats_no_alert() -> None:
    spec = rate(800, window_ns=S, cooldown_ns=20 * S)
    first = rule_set(spec, restored=Memory())
    (fired,) = run(first, World(), *stream(0, 5, 200))
    kept = [first.take_changes()]
    second = rule_set(spec, restored=remember(*kept))
    (cleared,) = run(second, World(), *stream(7, 10, 200), *stream(10, 12, 1))
    assert (cleared.id, cleared.state, cleared.peak) == (fired.id, CLEARED, 1600)
    kept.append(second.take_changes())
    third = rule_set(spec, restored=remember(*kept))
    assert brief(run(third, World(), *stream(13, 40, 200))) == [("fast", CAMERA, FIRING, 31)]
    assert [row.data["state"] for row in third.take_changes().incidents if not row.is_closed] == ["firing"]


def test_incident_of_a_host_that_does_not_come_back_clears_after_a_minute() -> None:
    spec = rate(800, window_ns=S)
    first = rule_set(spec, restored=Memory())
    (fired,) = run(first, World(), *stream(0, 5, 200))
    second = rule_set(spec, restored=remember(first.take_changes()))
    (cleared,) = run(second, World(), *stream(10, 90, 1, "10.0.0.1"))
    assert (cleared.id, cleared.state, (cleared.ts_ns - T0) // S) == (fired.id, CLEARED, 71)
    assert [row.is_closed for row in second.take_changes().incidents] == [True]


# Against a simple model.


class Model:
    """The life of one host's incident, second by second."""

    def __init__(self, spec: RateSpec, moved: dict[int, int]) -> None:
        self.spec = spec
        self.moved = moved
        self.found: list[tuple[str, int, float, float | None]] = []

    def play(self, first_s: int, last_s: int) -> list[tuple[str, int, float, float | None]]:
        window_s = self.spec.window_ns // S
        n_steps = min(window_s, 5)
        ends = {index * window_s // n_steps for index in range(n_steps)}
        over_since = firing_since = low_since = cool_until = None
        peak = 0.0
        for second in range(first_s, last_s + 1):
            if (T0 // S + second) % window_s not in ends:
                continue
            value = sum(self.moved.get(each, 0) for each in range(second - window_s, second)) * 8 / window_s
            if cool_until is not None and second >= cool_until:
                cool_until = None
            if firing_since is None:
                if value <= self.spec.limit:
                    over_since = None
                elif over_since is None:
                    over_since = second
                if over_since is not None and cool_until is None and (second - over_since) * S >= self.spec.for_ns:
                    firing_since, peak, over_since, low_since = second, value, None, None
                    self.found.append((FIRING, second, value, None))
            peak = max(peak, value)
            if firing_since is not None:
                if value > self.spec.clear:
                    low_since = None
                elif low_since is None:
                    low_since = second
                if low_since is not None and (second - low_since) * S >= self.spec.clear_for_ns:
                    self.found.append((CLEARED, second, value, peak))
                    cool_until = second + self.spec.cooldown_ns // S
                    firing_since = over_since = None
        return self.found


SECONDS = st.lists(
    st.tuples(st.sampled_from([1, 1, 1, 2, 3, 10, 40, 150]), st.sampled_from([1, 50, 90, 120, 200, 1000])),
    min_size=1,
    max_size=20,
)
DURATIONS = st.sampled_from([0, S, 3 * S, 7 * S, 20 * S])


@given(
    SECONDS,
    st.builds(
        rate,
        clear=st.sampled_from([200, 500, 800]),
        window_ns=st.sampled_from([S, 2 * S, 5 * S, 7 * S, 10 * S, 60 * S]),
        for_ns=DURATIONS,
        clear_for_ns=DURATIONS,
        cooldown_ns=DURATIONS,
    ),
    st.integers(0, 59),
)
def test_rates_equal_a_simple_model(steps: list[tuple[int, int]], spec: RateSpec, start_s: int) -> None:
    moved: dict[int, int] = {}
    second = start_s
    for n_seconds, size in steps:
        second += n_seconds
        moved[second] = size
    moves = [(T0 + at * S + 1, CAMERA, size) for at, size in moved.items()]
    alerts = run(rule_set(spec), World(), *moves, until_ns=T0 + (second + 200) * S)
    found = [(alert.state, (alert.ts_ns - T0) // S, alert.value, alert.peak) for alert in alerts]
    assert found == Model(spec, moved).play(start_s, second + 200)


@settings(max_examples=30)
@given(SECONDS, st.sampled_from([S, 5 * S, 10 * S]), DURATIONS, DURATIONS)
def test_ticks_of_a_silence_change_nothing(steps: list[tuple[int, int]], window_ns: int, for_ns: int, clear_for_ns: int) -> None:
    """Live, a silence has all of its ticks; in a replay, its first and its last."""
    spec = rate(clear=500, window_ns=window_ns, for_ns=for_ns, clear_for_ns=clear_for_ns, cooldown_ns=for_ns)
    moves, second = [], 0
    for n_seconds, size in steps:
        second += n_seconds
        moves.append((T0 + second * S + 1, CAMERA, size))
    replayed = run(rule_set(spec), World(), *moves, until_ns=T0 + (second + 100) * S)
    live: list[Alert] = []
    rules, world = rule_set(spec), World()
    for now_ns in range(moves[0][0] // S * S + S, T0 + (second + 100) * S + 1, S):
        while moves and moves[0][0] < now_ns:
            ts_ns, host, size = moves.pop(0)
            world.move(host, ts_ns, n_out=size)
        live += rules.evaluate(world.view(now_ns), now_ns)
    assert replayed == live


def test_reload_while_a_host_before_is_evicted_leaves_the_alert_to_its_host() -> None:
    world, spec = World(), rate(800, window_ns=S, scope="all")
    old = rule_set(spec)
    world.host("10.0.0.1")
    (fired,) = run(old, world, *stream(0, 2, 200))
    new = rule_set(spec, previous=old)
    world.evict("10.0.0.1")
    world.host("10.0.0.2", T0 + 2 * S)
    (cleared,) = run(new, world, *stream(2, 4, 200), *stream(4, 6, 1))
    assert (cleared.id, cleared.host, cleared.state, cleared.ts_ns) == (fired.id, CAMERA, CLEARED, T0 + 5 * S)


def test_reload_while_the_host_of_an_alert_is_evicted_clears_it() -> None:
    world, spec = World(), rate(800, window_ns=S, scope="all")
    old = rule_set(spec)
    world.host("10.0.0.1")
    (fired,) = run(old, world, *stream(0, 2, 200))
    new = rule_set(spec, previous=old)
    world.evict(CAMERA)
    (cleared,) = run(new, world, *stream(2, 3, 1, "10.0.0.1"))
    assert (cleared.id, cleared.host, cleared.state) == (fired.id, CAMERA, CLEARED)
