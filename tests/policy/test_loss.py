"""Rules of kind `loss`."""

from __future__ import annotations

from typing import Any

from fastmon.model.alerts import CLEARED, FIRING, Alert
from fastmon.model.counters import Dropped, SourceCounts
from fastmon.policy.specs import LossSpec, ScheduleSpec
from policy.worlds import DAY, T0, S, World, brief, rule_set, run

CAMERA = "192.168.1.40"


def loss(**values: Any) -> LossSpec:
    return LossSpec(kind="loss", name="blind", scope="network", **values)


def test_share_of_lost_frames_over_the_window() -> None:
    rules, world = rule_set(loss(share=0.1, window_ns=5 * S)), World()
    alerts: list[Alert] = []
    for second in range(1, 16):
        world.move(CAMERA, T0 + second * S - 1, n_out=100, n_packets=10)
        if second == 4:
            world.dropped = Dropped(kernel=3, interface=2, backlog=4)
        alerts += rules.evaluate(world.view(T0 + second * S), T0 + second * S)
    assert brief(alerts) == [("blind", "network", FIRING, 4), ("blind", "network", CLEARED, 9)]
    assert alerts[0].value == 9 / 39
    assert alerts[0].reason == "23.08% of all frames were lost over 5s, more than 10.00%"


def test_evidence_says_where_it_was_lost() -> None:
    """In the window; of one interface there is no need to."""
    for names, by_source in ((("eth0", "wg\x1b0"), {"eth0": 3, "wg\\x1b0": 7}), (("eth0",), None)):
        rules, world = rule_set(loss(share=0.1, window_ns=5 * S)), World()
        for second, lost in ((1, (0, 90)), (9, (3, 97))):
            world.move(CAMERA, T0 + second * S - 1, n_out=100, n_packets=10)
            pairs = list(zip(names, lost, strict=False))
            world.sources = tuple(SourceCounts(name, 0, Dropped(n_lost - 1, 1)) for name, n_lost in pairs)
            world.dropped = Dropped(kernel=sum(n_lost for _, n_lost in pairs))
            alerts = list(rules.evaluate(world.view(T0 + second * S), T0 + second * S))
        assert alerts[-1].evidence.get("lost_by_source") == by_source


def test_silence_fires_when_it_has_lasted_and_clears_with_the_next_frame() -> None:
    rules = rule_set(loss(silence_ns=60 * S))
    alerts = run(rules, World(), (T0 + 1, CAMERA, 100), (T0 + DAY + 1, CAMERA, 100))
    assert brief(alerts) == [("blind", "network", FIRING, 61), ("blind", "network", CLEARED, 86401)]
    assert alerts[0].reason == "no frame came for 1m"


def test_traffic_without_loss_tells_nothing() -> None:
    moves = [(T0 + second * S + 1, CAMERA, 100) for second in range(200)]
    assert run(rule_set(loss(silence_ns=2 * S)), World(), *moves) == []


def test_step_back_is_no_silence() -> None:
    rules, world = rule_set(loss(silence_ns=60 * S)), World()
    run(rules, world, (T0 + DAY, CAMERA, 100))
    world.move(CAMERA, T0 + 1, n_out=1)
    assert list(rules.evaluate(world.view(T0 + S), T0 + S)) == []
    assert brief(run(rules, world, (T0 + 30 * S, CAMERA, 1), (T0 + 120 * S, CAMERA, 1))) == [
        ("blind", "network", FIRING, 91),
        ("blind", "network", CLEARED, 121),
    ]


def test_end_of_the_schedule_clears_and_is_told() -> None:
    rules, world = rule_set(loss(share=0.1, window_ns=20 * S, schedule=(ScheduleSpec(frozenset(range(7)), 0, 1),))), World()
    world.move(CAMERA, T0, n_out=100)
    alerts = list(rules.evaluate(world.view(T0 + 49 * S), T0 + 49 * S))
    world.dropped = Dropped(kernel=9)
    alerts += run(rules, world, *((T0 + second * S + 1, CAMERA, 1) for second in range(50, 65)))
    assert brief(alerts) == [("blind", "network", FIRING, 50), ("blind", "network", CLEARED, 60)]
    assert alerts[1].reason == "the network: the rule's schedule has ended (after 10s, peak 100.00%)"
