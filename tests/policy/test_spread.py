"""Hosts that scan, and hosts whose conversations fail: when an incident fires, and when it clears."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmon.errors import ConfigError
from fastmon.model.alerts import CLEARED, FIRING, Alert
from fastmon.policy.failed import FailedFamily, make_failed
from fastmon.policy.specs import FailedSpec, ScheduleSpec, SpreadSpec
from fastmon.policy.spread import SpreadFamily, make_spread
from policy.world import T0, Host, S, World, survive

A, B, C = "10.0.0.1", "10.0.0.2", "10.0.1.3"
M = 60


def network() -> World:
    return World([Host(A), Host("192.0.2.1", local=False), Host(B), Host(C)])


def spread(world: World, *specs: SpreadSpec, **values: object) -> SpreadFamily:
    chosen = specs or (SpreadSpec(kind="spread", name="scan", **values),)  # type: ignore[arg-type]
    (family,) = make_spread(chosen, world.context)
    return family


def failed(world: World, *specs: FailedSpec, **values: object) -> FailedFamily:
    chosen = specs or (FailedSpec(kind="failed", name="vain", **values),)  # type: ignore[arg-type]
    (family,) = make_failed(chosen, world.context)
    return family


def states(alerts: list[Alert]) -> list[tuple[str, str]]:
    return [(alert.state, alert.host) for alert in alerts]


class TestSpread:
    def test_what_is_probed_is_counted_by_rules_that_ask_for_it(self) -> None:
        world = network()
        opened, probed = make_spread(
            [
                SpreadSpec(kind="spread", name="opened", peers=20),
                SpreadSpec(kind="spread", name="probed", count="probed", peers=20, ports=5),
            ],
            world.context,
        )

        assert world.tick(opened, 1, fanout={A: (20, 9)}, probed={A: (30, 9)}) == []
        (fired,) = world.tick(probed, 1, fanout={B: (90, 90)}, probed={A: (30, 4)})
        assert fired.reason == f"{A} probed about 30 peers (limit 20) and about 4 ports (limit 5) in 1m"
        (cleared,) = world.tick(probed, 62)
        assert "it probes little again; at its peak 1.5 times its limit" in cleared.reason

    def test_more_peers_than_the_limit_fire_once_and_clear_a_window_later(self) -> None:
        world = network()
        family = spread(world, peers=200)

        assert world.tick(family, 1, fanout={A: (200, 2)}) == []
        world.hosts[0].last = 1.5
        (fired,) = world.tick(family, 2, fanout={A: (201, 2), B: (3, 1)})
        assert (fired.state, fired.host, fired.value, fired.limit, fired.unit) == (FIRING, A, 201, 200, "peers")
        assert fired.reason == f"{A} opened conversations with about 201 peers (limit 200) in 1m"
        assert fired.evidence["distinct_peers"] == 201
        assert (fired.evidence["distinct_ports"], fired.window_ns) == (2, 60 * S)
        world.hosts[0].last = 2.5
        assert world.tick(family, 3, fanout={A: (300, 2)}) == []
        for at in range(4, 62):
            assert world.tick(family, at, fanout={A: (60, 2)}) == []
        (cleared,) = world.tick(family, 63, fanout={A: (60, 2)})
        assert (cleared.state, cleared.id, cleared.ts_ns) == (CLEARED, fired.id, T0 + int(62.5 * S))
        assert (cleared.peak, cleared.unit) == (300, "peers")
        assert "peak 300 peers" in cleared.reason

    def test_it_does_not_clear_while_more_than_half_goes_on(self) -> None:
        world = network()
        family = spread(world, ports=100)

        for at in range(200):
            world.hosts[0].last = at
            alerts = world.tick(family, at, fanout={A: (1, 101 if at == 0 else 60)})
            assert states(alerts) == ([(FIRING, A)] if at == 0 else [])

    def test_a_silence_seen_at_its_ends_clears_at_the_same_time(self) -> None:
        times = []
        for ticks in (range(2, 200), [2, 199]):
            world = network()
            family = spread(world, peers=10)
            world.hosts[0].last = 1
            world.tick(family, 1, fanout={A: (50, 1)})
            alerts = [alert for at in ticks for alert in world.tick(family, at, fanout={A: (50, 1)} if at < 40 else {})]
            times.append([(alert.state, alert.ts_ns) for alert in alerts])

        assert times[0] == times[1] == [(CLEARED, T0 + 61 * S)]

    def test_either_limit_fires_and_the_worse_one_is_told(self) -> None:
        world = network()
        family = spread(world, peers=100, ports=10)

        alerts = world.tick(family, 1, fanout={A: (101, 1), B: (1, 11), C: (150, 30)})

        assert [(alert.host, alert.unit, alert.value) for alert in alerts] == [
            (A, "peers", 101),
            (B, "ports", 11),
            (C, "ports", 30),
        ]
        assert alerts[2].reason.endswith("about 150 peers (limit 100) and about 30 ports (limit 10) in 1m")
        cleared = world.tick(family, 100)
        assert {alert.state for alert in cleared} == {CLEARED}
        assert "at its peak 3.0 times its limit" in cleared[2].reason

    def test_the_most_specific_rule_of_a_window_governs(self) -> None:
        world = network()
        specs = [
            SpreadSpec(kind="spread", name="local", peers=10),
            SpreadSpec(kind="spread", name="net", scope="10.0.0.0/24", peers=100),
            SpreadSpec(kind="spread", name="slow", peers=10, window_ns=600 * S),
        ]
        families = make_spread(specs, world.context)
        assert [family.key for family in families] == [("spread", 60 * S, "opened"), ("spread", 600 * S, "opened")]

        told = {
            alert.rule + " " + alert.host for each in families for alert in world.tick(each, 1, fanout={A: (50, 1), C: (50, 1)})
        }

        assert told == {f"local {C}", f"slow {A}", f"slow {C}"}

    def test_out_of_its_hours_it_does_not_fire(self) -> None:
        world = network()
        family = spread(world, peers=10, schedule=(ScheduleSpec(frozenset({0}), 0, 60),))

        assert world.tick(family, 1, fanout={A: (50, 1)}) == []

    def test_the_next_one_is_held_back_by_the_cooldown(self) -> None:
        world = network()
        family = spread(world, peers=10, cooldown_ns=600 * S)

        world.tick(family, 1, fanout={A: (50, 1)})
        assert states(world.tick(family, 70)) == [(CLEARED, A)]
        assert world.tick(family, 300, fanout={A: (50, 1)}) == []
        assert states(world.tick(family, 661, fanout={A: (50, 1)})) == [(FIRING, A)]

    def test_the_network_as_a_whole_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="rule 'scan': kind spread is about hosts"):
            spread(network(), peers=1, scope="network")

    def test_a_restart_tells_nothing_again_and_clears(self) -> None:
        world = network()
        first = spread(world, peers=10, cooldown_ns=600 * S)
        (fired,) = world.tick(first, 1, fanout={A: (50, 1)})

        second = spread(world, peers=10, cooldown_ns=600 * S)
        second.restore(survive(first))
        assert world.tick(second, 5, fanout={A: (40, 1)}) == []
        (cleared,) = world.tick(second, 70)
        assert (cleared.id, cleared.peak, cleared.host) == (fired.id, 50, A)

        third = spread(world, peers=10, cooldown_ns=600 * S)
        third.restore(survive(second))
        assert world.tick(third, 100, fanout={A: (50, 1)}) == []
        assert len(world.tick(third, 700, fanout={A: (50, 1)})) == 1

    def test_a_closed_incident_is_closed_for_the_next_run(self) -> None:
        world = network()
        family = spread(world, peers=10)
        world.tick(family, 1, fanout={A: (50, 1)})
        assert [row.is_closed for row in survive(family).incidents] == [False]
        world.tick(family, 70)
        memory = survive(family)
        assert [(row.rule, row.subject, row.is_closed) for row in memory.incidents] == [("scan", A, True)]

        again = spread(world, peers=10)
        again.restore(memory)
        assert len(world.tick(again, 71, fanout={A: (50, 1)})) == 1

    def test_a_kept_incident_of_another_kind_or_shape_is_left(self) -> None:
        world = network()
        family = spread(world, peers=10)
        world.tick(family, 1, fanout={A: (50, 1)})
        (row,) = survive(family).incidents
        wrongs: list[dict[str, object]] = [{**row.data, "kind": "failed"}, {"kind": "spread"}, {**row.data, "peak": "high"}]
        for wrong in wrongs:
            again = spread(world, peers=10)
            again.restore(replace(survive(), incidents=(replace(row, data=wrong),)))
            assert len(world.tick(again, 2, fanout={A: (50, 1)})) == 1

    def test_a_reload_keeps_the_incidents_of_rules_that_stay_and_clears_the_others(self) -> None:
        world = network()
        stays = SpreadSpec(kind="spread", name="stays", scope=A, peers=10)
        goes = SpreadSpec(kind="spread", name="goes", scope=B, peers=10)
        old = spread(world, goes, stays)
        fired = world.tick(old, 1, fanout={A: (50, 1), B: (50, 1)})

        new = spread(world, stays)
        new.adopt(old)
        (removed,) = old.close(T0 + 2 * S, world.roster)
        assert (removed.rule, removed.state, removed.id) == ("goes", CLEARED, fired[1].id)
        assert "rule removed" in removed.reason
        assert world.tick(new, 3, fanout={A: (50, 1), B: (50, 1)}) == []
        assert [alert.id for alert in world.tick(new, 70)] == [fired[0].id]


class TestFailed:
    def test_more_failures_than_the_limit_in_a_window_fire(self) -> None:
        world = network()
        family = failed(world, limit=100)

        assert world.tick(family, 1, openings={A: (500, 100), B: (500, 0)}) == []
        (fired,) = world.tick(family, 2, openings={A: (501, 101), B: (600, 0)})
        assert (fired.host, fired.value, fired.limit, fired.unit, fired.ts_ns) == (A, 101, 100, "conversations", T0 + 2 * S)
        assert fired.reason == f"{A}: 101 conversations got no answer in 1m (limit 100)"

    def test_a_slow_trickle_does_not_fire(self) -> None:
        world = network()
        family = failed(world, limit=100)

        for at in range(0, 300, 2):
            assert world.tick(family, at, openings={A: (at, int(at * 1.6))}) == []

    def test_it_clears_at_the_end_of_a_step_with_its_peak(self) -> None:
        world = network()
        family = failed(world, limit=100)
        world.tick(family, 0)
        world.tick(family, 5, openings={A: (0, 150)})
        alerts = {at: world.tick(family, at, openings={A: (0, 250)}) for at in range(6, 100)}

        ((at, (cleared,)),) = [(at, found) for at, found in alerts.items() if found]
        assert at == 72  # the last failures were seen in the step that ends at 12 s
        assert (cleared.ts_ns, cleared.state, cleared.peak) == (T0 + 72 * S, CLEARED, 250)

    def test_a_silence_seen_at_its_ends_clears_at_the_same_time(self) -> None:
        found = []
        for ticks in (range(6, 400), [6, 399]):
            world = network()
            family = failed(world, limit=100)
            world.tick(family, 0)
            world.tick(family, 5, openings={A: (0, 150)})
            alerts = [alert for at in ticks for alert in world.tick(family, at, openings={A: (0, 150)})]
            found.append([(alert.state, alert.ts_ns, alert.peak) for alert in alerts])

        assert found[0] == found[1] == [(CLEARED, T0 + 72 * S, 150)]

    def test_what_failed_before_a_reload_of_new_rules_does_not_count(self) -> None:
        world = network()
        world.tick(spread(world, peers=10), 0)
        family = failed(world, limit=100)

        assert world.tick(family, 1, openings={A: (0, 5000)}) == []
        assert len(world.tick(family, 2, openings={A: (0, 5101)})) == 1

    def test_after_a_step_of_the_clock_it_begins_anew(self) -> None:
        world = network()
        family = failed(world, limit=100)
        world.tick(family, 1000, openings={A: (0, 90)})

        assert world.tick(family, 10, openings={A: (0, 180)}) == []
        assert len(world.tick(family, 11, openings={A: (0, 281)})) == 1

    def test_hosts_whose_rows_move_keep_their_counts(self) -> None:
        world = network()
        family = failed(world, limit=100)
        world.tick(family, 0)
        world.tick(family, 1, openings={A: (0, 90), C: (0, 10)})

        del world.hosts[1]
        alerts = world.tick(family, 2, openings={A: (0, 90), B: (0, 5), C: (0, 111)})

        assert states(alerts) == [(FIRING, C)]

    def test_a_reload_goes_on_counting(self) -> None:
        world = network()
        spec = FailedSpec(kind="failed", name="vain", limit=100)
        old = failed(world, spec)
        world.tick(old, 0)
        world.tick(old, 1, openings={A: (0, 90)})

        new = failed(world, msgspec.structs.replace(spec, severity="critical"))
        new.adopt(old)
        assert list(old.close(T0 + S, world.roster)) == []
        (fired,) = world.tick(new, 2, openings={A: (0, 101)})
        assert fired.severity == "critical"

    def test_memory_is_bounded_by_the_hosts_whose_conversations_fail(self) -> None:
        world = World([Host(f"10.0.{n // 250}.{n % 250}") for n in range(100)])
        family = failed(world, limit=100)

        for at in range(60):
            world.tick(family, at, openings={host.address: (at, at) for host in world.hosts[:10]})

        assert family.n_bytes() - 24 * 100 < 10 * 40

    @given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 30)), min_size=1, max_size=40))
    def test_it_fires_as_a_simple_model_does(self, steps: list[tuple[int, int]]) -> None:
        world = World([Host(A)])
        family = failed(world, limit=50, window_ns=5 * S)
        times, counts = np.cumsum([seconds for seconds, _ in steps]).tolist(), np.cumsum([n for _, n in steps]).tolist()
        is_open = False
        world.tick(family, 0)

        for index, at in enumerate(times):
            alerts = world.tick(family, at, openings={A: (0, counts[index])})
            before = max((counts[i] for i in range(index + 1) if times[i] <= at - 5), default=0)
            fires = [alert.ts_ns for alert in alerts if alert.state == FIRING]
            is_open = is_open and not any(alert.state == CLEARED for alert in alerts)
            assert bool(fires) == (counts[index] - before > 50 and not is_open)
            is_open = is_open or bool(fires)
