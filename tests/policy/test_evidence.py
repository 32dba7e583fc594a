"""What alerts say that their subjects were doing."""

from __future__ import annotations

from fastmon.policy.specs import PortsSpec, RateSpec, SilentSpec, TotalSpec
from policy.worlds import T0, S, World, rule_set

CAMERA, OTHER = "192.168.1.40", "192.168.1.41"
QUOTA = TotalSpec(kind="total", name="quota", limit_bytes=1000, warn_at=(100,))


def test_top_peers_applications_and_services_have_their_bytes() -> None:
    rules, world = rule_set(QUOTA, apps={1: "ssh", 2: "https"}), World()
    host = world.host(CAMERA)
    host.apps = {1: 10, 2: 900}
    host.services = {(0, 6, 443): 900, (1, 6, 22): 90}
    world.talks = [(CAMERA, f"2001:db8::{number}", number, 10 * number) for number in range(1, 9)]
    world.talks += [(CAMERA, "2001:db8::2", 100, 0), (OTHER, "2001:db8::99", 10**9, 0)]
    world.move(CAMERA, T0, n_out=1000)
    (alert,) = rules.evaluate(world.view(T0 + S), T0 + S)
    assert alert.evidence["top_peers"] == {
        "2001:db8::2": 122,
        "2001:db8::8": 88,
        "2001:db8::7": 77,
        "2001:db8::6": 66,
        "2001:db8::5": 55,
    }
    assert alert.evidence["apps"] == {"https": 900, "ssh": 10}
    assert alert.evidence["services"] == {"tcp/443": 900, "tcp/22 (server)": 90}
    assert alert.evidence["total_bytes"] == 1000
    assert alert.evidence["percent"] == 100


def test_peers_of_as_many_bytes_are_told_by_address() -> None:
    rules, world = rule_set(QUOTA), World()
    addresses = [f"192.0.2.{number}" for number in (200, 9, 31, 30, 100, 7, 8)]
    world.talks = [(CAMERA, address, 1, 1) for address in addresses]
    world.move(CAMERA, T0, n_out=1000)
    (alert,) = rules.evaluate(world.view(T0 + S), T0 + S)
    assert list(alert.evidence["top_peers"]) == [f"192.0.2.{number}" for number in (7, 8, 9, 30, 31)]  # type: ignore[call-overload]


def test_of_many_alerts_at_once_some_have_evidence_and_conversations_are_looked_at_once() -> None:
    rules, world = rule_set(QUOTA), World()
    for number in range(300):
        world.move(f"10.0.{number // 200}.{number % 200}", T0, n_out=1000)
    alerts = list(rules.evaluate(world.view(T0 + S), T0 + S))
    assert len(alerts) == 300
    assert sum("total_bytes" in alert.evidence for alert in alerts) == 256
    assert world.n_looks_at_talks == 1


def test_without_an_alert_nothing_is_looked_at() -> None:
    rules, world = rule_set(QUOTA), World()
    world.move(CAMERA, T0, n_out=1)
    assert list(rules.evaluate(world.view(T0 + S), T0 + S)) == []
    assert world.n_looks_at_talks == 0


def test_all_alerts_of_a_host_have_the_same_and_those_that_clear_none() -> None:
    rate = RateSpec(kind="rate", name="fast", limit=100.0, clear=50.0, unit="bit/s", window_ns=S)
    rules, world = rule_set(QUOTA, rate), World()
    world.host(CAMERA)
    world.talks = [(CAMERA, "192.0.2.1", 5, 0)]
    rules.evaluate(world.view(T0), T0)
    world.move(CAMERA, T0 + 1, n_out=1000)
    first, second = rules.evaluate(world.view(T0 + S), T0 + S)
    assert {first.rule, second.rule} == {"quota", "fast"}
    assert first.evidence["top_peers"] == second.evidence["top_peers"] == {"192.0.2.1": 5}
    (cleared,) = rules.evaluate(world.view(T0 + 3 * S), T0 + 3 * S)
    assert (cleared.state, cleared.evidence) == ("cleared", {})


def test_device_that_has_no_address_has_none() -> None:
    rules, world = rule_set(SilentSpec(kind="silent", name="gone", scope="02:00:00:00:99:99", for_ns=60 * S)), World()
    world.host(CAMERA)
    assert rules.evaluate(world.view(T0), T0) == []
    (alert,) = rules.evaluate(world.view(T0 + 61 * S), T0 + 61 * S)
    assert (alert.rule, alert.host) == ("gone", "02:00:00:00:99:99")
    assert "total_bytes" not in alert.evidence


def test_alert_about_the_network_has_its_hosts() -> None:
    rules, world = rule_set(TotalSpec(kind="total", name="all", scope="network", limit_bytes=1000, warn_at=(100,))), World()
    world.move(CAMERA, T0, n_out=900)
    world.move(OTHER, T0, n_in=100)
    (alert,) = rules.evaluate(world.view(T0 + S), T0 + S)
    assert alert.evidence["hosts"] == {CAMERA: 900, OTHER: 100}
    assert "top_peers" not in alert.evidence


def test_contacts_are_taken_at_every_tick_though_no_rule_looks_at_them() -> None:
    taken = []
    for spec in (QUOTA, PortsSpec(kind="ports", name="ports", deny=())):
        rules, world = rule_set(spec), World()
        world.host(CAMERA)
        view = world.view(T0 + S)
        rules.evaluate(view, T0 + S)
        taken.append("contacts" in vars(view))
    assert taken == [True, True]
