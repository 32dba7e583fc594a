"""Rules of kind `total` with `by = "mac"`: the addresses of one device have one quota."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmon.model.addresses import key_from_text
from fastmon.model.alerts import CLEARED, FIRING, Alert
from fastmon.model.memory import Changes, Memory
from fastmon.model.names import NameBook, NameFact
from fastmon.policy import device_rows
from fastmon.policy.specs import TotalSpec
from policy.worlds import DAY, HOUR, T0, S, World, brief, remember, rule_set, run

V4, V6, OTHER_V6 = "192.168.1.40", "2001:db8::40", "2001:db8::41"
MAC, OTHER_MAC = 0x02005E100014, 0x02005E100015
CAMERA, LAPTOP = "02:00:5e:10:00:14", "02:00:5e:10:00:15"


def quota(limit: int = 1000, name: str = "quota", **values: Any) -> TotalSpec:
    return TotalSpec(**{"kind": "total", "name": name, "limit_bytes": limit, "by": "mac", "per": "month", **values})


def world_of(*addresses: str, mac: int = MAC, **facts: Any) -> World:
    """Return a world with hosts of one device."""
    world = World()
    for address in addresses:
        world.host(address, mac=mac, **facts)
    return world


def kept(*changes: Changes) -> dict[str, int]:
    """Return what is kept of each subject that has moved anything."""
    return {row.subject: row.bytes for row in remember(*changes).periods if row.bytes}


def test_addresses_of_a_device_have_one_quota_and_one_alert_for_each_level() -> None:
    names = NameBook()
    for address, name in ((V4, "camera"), (V6, "camera-6"), (OTHER_V6, "camera")):
        names.record([NameFact(key_from_text(address), name, "dhcp")], T0)
    rules, world = rule_set(quota(warn_at=(50, 100)), names=names, apps={1: "http", 2: "dns"}), world_of(V4, V6, OTHER_V6)
    world.host(V4).apps, world.host(V6).apps = {1: 300, 2: 50}, {1: 250}
    world.host(V4).services, world.host(V6).services = {(0, 6, 80): 300}, {(0, 6, 80): 250, (1, 6, 80): 7}
    world.talks = [(V4, "198.51.100.1", 10, 0), (V6, "198.51.100.1", 5, 0), (V6, "198.51.100.2", 12, 0)]
    alerts = run(rules, world, (T0 + 1, V4, 300), (T0 + 2, V6, 250), (T0 + S + 1, OTHER_V6, 449), (T0 + 2 * S + 1, V4, 1))
    assert brief(alerts) == [("quota", CAMERA, FIRING, 1), ("quota", CAMERA, FIRING, 3)]
    assert [alert.value for alert in alerts] == [550, 1000]
    first = alerts[0]
    assert (first.mac, first.name, first.local) == (CAMERA, "camera", True)
    assert first.reason == f"{CAMERA} (camera) moved 550 B of 1.0 kB this month (since 1 January, 55 %)"
    assert first.evidence == {
        "percent": 55,
        "warn_at": 50,
        "period_start": "2026-01-01T00:00:00.000000Z",
        "total_bytes": 550,
        "apps": {"http": 550, "dns": 50},
        "services": {"tcp/80": 550, "tcp/80 (server)": 7},
        "top_peers": {"198.51.100.1": 15, "198.51.100.2": 12},
        "addresses": {V4: 300, V6: 250, OTHER_V6: 0},
        "names": ["camera", "camera-6"],
    }


def test_devices_count_by_themselves_and_clear_with_the_period() -> None:
    rules, world = rule_set(quota(per="day")), world_of(V4, V6)
    world.host(OTHER_V6, mac=OTHER_MAC)
    alerts = run(rules, world, (T0 + 1, V4, 600), (T0 + 2, OTHER_V6, 999), (T0 + S, V6, 400), until_ns=T0 + DAY)
    alerts += run(rules, world, (T0 + DAY + 1, V4, 500), (T0 + DAY + 2, V6, 499))
    assert [(*each[1:], alert.value) for each, alert in zip(brief(alerts), alerts, strict=True)] == [
        (CAMERA, FIRING, 2, 1000),
        (CAMERA, CLEARED, 86400, 1000),
    ]
    assert alerts[0].id == alerts[1].id


def test_remote_hosts_never_group() -> None:
    rules, world = rule_set(quota(scope="all")), world_of(V4, V6, local=False)
    alerts = run(rules, world, (T0 + 1, V4, 999), (T0 + 2, V6, 999))
    assert alerts == []
    (alert,) = run(rules, world, (T0 + S + 1, V4, 1))
    assert (alert.host, alert.value, "addresses" in alert.evidence) == (V4, 1000, False)


def test_rows_that_move_keep_their_devices() -> None:
    rules, world = rule_set(quota(scope="all")), World()
    world.host("198.51.100.1", local=False)
    world.host(V4, mac=MAC)
    world.host("198.51.100.2", local=False)
    world.host(V6, mac=MAC)
    run(rules, world, *((T0 + 1, host.address, 400) for host in world.hosts))
    world.evict("198.51.100.1", "198.51.100.2")
    (alert,) = run(rules, world, (T0 + S + 1, V6, 200))
    assert (alert.host, alert.value) == (CAMERA, 1000)


# Which rule governs a device.


def test_the_most_specific_rule_of_its_addresses_governs_a_device() -> None:
    rules = rule_set(quota(100, "all"), quota(1000, "net", scope="192.168.1.0/24"), quota(100, "v6", scope="2001:db8::/16"))
    alerts = run(rules, world_of(V6, V4), (T0 + 1, V6, 500), (T0 + 2, V4, 499), (T0 + S + 1, V6, 1))
    assert [(alert.rule, alert.host, alert.value) for alert in alerts] == [("net", CAMERA, 1000)]


def test_rule_on_some_addresses_of_a_device_counts_the_others_too() -> None:
    rules, world = rule_set(quota(scope="192.168.1.0/24"), restored=Memory()), world_of(V6, V4)
    world.host(OTHER_V6, mac=OTHER_MAC)
    alerts = run(rules, world, (T0 + 1, V6, 600), (T0 + 2, OTHER_V6, 2000), (T0 + 3, V4, 399), (T0 + S + 1, V6, 1))
    assert [(alert.host, alert.value) for alert in alerts] == [(CAMERA, 1000)]
    changes = [rules.take_changes()]
    world.host(V4).mac = OTHER_MAC
    (alert,) = run(rules, world, (T0 + 2 * S + 1, V6, 50), (T0 + 3 * S + 1, V6, 50))
    assert (alert.host, alert.value) == (LAPTOP, 2000)
    assert kept(*changes, rules.take_changes()) == {CAMERA: 1050, LAPTOP: 2000}


def test_address_with_a_rule_of_its_own_does_not_count_for_its_device() -> None:
    rules = rule_set(quota(), quota(700, "one", scope=V4, by="host"))
    alerts = run(rules, world_of(V4, V6), (T0 + 1, V4, 700), (T0 + 2, V6, 999))
    assert [(alert.rule, alert.host, alert.value) for alert in alerts] == [("one", V4, 700)]


def test_name_that_is_learnt_changes_the_rule_of_the_whole_device() -> None:
    names = NameBook()
    rules, world = rule_set(quota(100), quota(1000, "named", scope="name:cam*"), names=names), world_of(V4, V6)
    assert brief(run(rules, world, (T0 + 1, V6, 100))) == [("quota", CAMERA, FIRING, 1)]
    names.record([NameFact(key_from_text(V4), "cam", "dhcp")], T0 + S)
    alerts = run(rules, world, (T0 + S + 1, V6, 899), (T0 + 2 * S + 1, V4, 1))
    assert brief(alerts) == [("quota", CAMERA, CLEARED, 2), ("named", CAMERA, FIRING, 3)]
    assert alerts[1].value == 1000


def test_rule_of_another_period_goes_on_with_what_is_known() -> None:
    names = NameBook()
    day = quota(1000, "named", scope="name:cam*", zone="Asia/Tokyo", per="day")
    rules, world = rule_set(quota(per="day"), day, names=names), world_of(V4, V6)
    run(rules, world, (T0 + 1, V4, 300), (T0 + 2, V6, 300))
    names.record([NameFact(key_from_text(V4), "cam", "dhcp")], T0 + S)
    (alert,) = run(rules, world, (T0 + S + 1, V4, 400))
    assert (alert.rule, alert.value) == ("named", 1000)


# MACs that come and change.


def test_address_counts_by_itself_until_its_mac_is_known() -> None:
    rules, world = rule_set(quota(warn_at=(50, 100)), restored=Memory()), world_of(V4)
    world.host(V6)
    alerts = run(rules, world, (T0 + 1, V6, 600), (T0 + 2, V4, 300))
    assert brief(alerts) == [("quota", V6, FIRING, 1)]
    changes = [rules.take_changes()]
    assert kept(*changes) == {V6: 600, CAMERA: 300}
    world.host(V6).mac = MAC
    later = run(rules, world, (T0 + S + 1, V6, 50))
    assert brief(later) == [("quota", V6, CLEARED, 2), ("quota", CAMERA, FIRING, 2)]
    assert (later[0].id, later[1].value) == (alerts[0].id, 950)
    assert "it counts for its device now" in later[0].reason
    assert kept(*changes, rules.take_changes()) == {CAMERA: 950}
    assert [alert.value for alert in run(rules, world, (T0 + 2 * S + 1, V4, 50))] == [1000]


def test_bytes_that_an_address_moved_for_the_first_device_stay_with_it() -> None:
    rules, world = rule_set(quota(), restored=Memory()), world_of(V4, V6)
    world.host(OTHER_V6, mac=OTHER_MAC)
    run(rules, world, (T0 + 1, V4, 500), (T0 + 2, V6, 100), (T0 + 3, OTHER_V6, 10))
    changes = [rules.take_changes()]
    world.host(V4).mac = OTHER_MAC
    assert run(rules, world, (T0 + S + 1, "10.0.0.1", 1), (T0 + 2 * S + 1, V4, 300)) == []
    changes.append(rules.take_changes())
    assert kept(*changes) == {CAMERA: 600, LAPTOP: 310, "10.0.0.1": 1}
    world.host(V4).mac = MAC
    run(rules, world, (T0 + 3 * S + 1, "10.0.0.1", 1))
    (alert,) = run(rules, world, (T0 + 4 * S + 1, V4, 400))
    assert (alert.host, alert.value) == (CAMERA, 1000)


def test_device_that_comes_back_with_another_address_goes_on() -> None:
    rules, world = rule_set(quota(warn_at=(50, 100))), world_of(V4)
    alerts = run(rules, world, (T0 + 1, V4, 600))
    world.host(V4).mac = OTHER_MAC
    alerts += run(rules, world, (T0 + S + 1, V6, 0))
    world.host(V6).mac = MAC
    alerts += run(rules, world, (T0 + 2 * S + 1, V6, 400))
    assert [(alert.host, alert.value, alert.id == alerts[0].id) for alert in alerts] == [
        (CAMERA, 600, True),
        (CAMERA, 1000, True),
    ]


def test_host_that_leaves_its_device_begins_at_0_also_under_a_rule_of_another_period() -> None:
    names = NameBook()
    day = quota(100, "named", scope="name:cam*", zone="Asia/Tokyo", per="day")
    rules, world = rule_set(quota(per="day"), day, names=names), world_of(V4, V6)
    run(rules, world, (T0 + 1, V4, 300))
    world.host(V4).mac = 0
    run(rules, world, (T0 + S + 1, V6, 1))
    names.record([NameFact(key_from_text(V4), "cam", "dhcp")], T0 + S)
    assert run(rules, world, (T0 + 2 * S + 1, V4, 99), (T0 + 3 * S + 1, V6, 698)) == []
    assert {alert.host: alert.value for alert in run(rules, world, (T0 + 4 * S, V4, 1), (T0 + 4 * S, V6, 1))} == {
        V4: 100,
        CAMERA: 1000,
    }


def test_absent_devices_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_rows, "MAX_ABSENT", 4)
    rules, world = rule_set(quota(per="day", warn_at=(50, 100))), World()
    world.host(V6, mac=OTHER_MAC)
    alerts = run(rules, world, (T0 + 1, V6, 300))
    for second in range(1, 12):
        world.host(V4, mac=MAC).mac = MAC + 0x100 * second
        alerts += run(rules, world, (T0 + second * S + 1, V4, 600))
    assert {alert.host for alert in alerts if alert.state == CLEARED} == {
        f"02:00:5e:10:{second:02x}:14" for second in range(1, 9)
    }
    alerts = run(rules, world, (T0 + 12 * S + 1, V6, 700), until_ns=T0 + DAY)
    assert [(alert.host, alert.state, alert.value) for alert in alerts if alert.host == LAPTOP] == [
        (LAPTOP, FIRING, 1000),
        (LAPTOP, CLEARED, 1000),
    ]


# Reload and restart.


def test_reload_with_another_limit_goes_on_counting() -> None:
    rules, world = rule_set(quota(10**9)), world_of(V4, V6)
    run(rules, world, (T0 + 1, V4, 500), (T0 + 2, V6, 300))
    for limit in (5000, 1000):  # without a tick in between
        rules = rule_set(quota(limit), previous=rules)
    (alert,) = run(rules, world, (T0 + S + 1, V6, 250))
    assert (alert.value, alert.limit) == (1050, 1000)
    rules = rule_set(quota(1000, severity="critical"), previous=rules)
    assert run(rules, world, (T0 + 2 * S + 1, V6, 250)) == []
    rules = rule_set(quota(2000), previous=rules)
    assert brief(run(rules, world, (T0 + 3 * S + 1, V6, 250))) == [("quota", CAMERA, CLEARED, 4)]


def test_reload_with_fewer_rules_of_several_periods_goes_on_counting() -> None:
    other = (quota(name=f"v{number}", scope=f"10.0.{number}.0/24", zone="Asia/Tokyo", per="day") for number in range(3))
    rules, world = rule_set(*other, quota(10**9, per="day")), world_of(V4, V6)
    run(rules, world, (T0 + 1, V4, 500), (T0 + 2, V6, 300))
    tokyo = quota(name="v0", scope="10.0.0.0/24", zone="Asia/Tokyo", per="day")
    rules = rule_set(tokyo, quota(900, per="day"), previous=rules)
    (alert,) = run(rules, world, (T0 + S + 1, V6, 100))
    assert (alert.host, alert.value, alert.limit) == (CAMERA, 900, 900)


def test_reload_from_hosts_to_devices_and_back() -> None:
    rules, world = rule_set(quota(by="host"), restored=Memory()), world_of(V4, V6)
    run(rules, world, (T0 + 1, V4, 500), (T0 + 2, V6, 300))
    changes = [rules.take_changes()]
    rules = rule_set(quota(), previous=rules)
    (alert,) = run(rules, world, (T0 + S + 1, V6, 200))
    assert (alert.host, alert.value) == (CAMERA, 1000)
    changes.append(rules.take_changes())
    assert kept(*changes) == {CAMERA: 1000}
    rules = rule_set(quota(by="host"), previous=rules)
    assert brief(run(rules, world, (T0 + 2 * S + 1, V6, 999))) == [("quota", CAMERA, CLEARED, 3)]
    assert [alert.host for alert in run(rules, world, (T0 + 3 * S + 1, V6, 1000))] == [V6]


def test_restart_goes_on_though_the_mac_is_not_known_at_once() -> None:
    spec = quota(warn_at=(50, 100))
    first = rule_set(spec, restored=Memory())
    (alert,) = run(first, world_of(V4, V6), (T0 + 1, V4, 300), (T0 + 2, V6, 300))
    changes = [first.take_changes()]
    second, world = rule_set(spec, restored=remember(*changes)), World()
    assert run(second, world, (T0 + HOUR, V4, 100)) == []
    changes.append(second.take_changes())
    assert kept(*changes) == {CAMERA: 600, V4: 100}
    third, world = rule_set(spec, restored=remember(*changes)), World()
    assert run(third, world, (T0 + 2 * HOUR, V4, 100)) == []
    world.host(V4).mac = MAC
    alerts = run(third, world, (T0 + 2 * HOUR + S, V4, 200))
    assert [(each.host, each.value, each.id == alert.id) for each in alerts] == [(CAMERA, 1000, True)]
    changes.append(third.take_changes())
    assert kept(*changes) == {CAMERA: 1000}
    fourth = rule_set(spec, restored=remember(*changes))
    assert run(fourth, world_of(V6), (T0 + 3 * HOUR, V6, 1), until_ns=T0 + 31 * DAY)[-1].id == alert.id


def test_restart_after_the_period_clears_the_devices_alert() -> None:
    first = rule_set(quota(per="day"), restored=Memory())
    (alert,) = run(first, world_of(V4), (T0 + 1, V4, 1000))
    second = rule_set(quota(per="day"), restored=remember(first.take_changes()))
    alerts = run(second, world_of(V4), (T0 + DAY + 1, V4, 999))
    assert [(each.host, each.state, each.id) for each in alerts] == [(CAMERA, CLEARED, alert.id)]


def test_alert_of_a_device_clears_when_a_restart_counts_by_address() -> None:
    first = rule_set(quota(per="day"), restored=Memory())
    (alert,) = run(first, world_of(V4), (T0 + 1, V4, 1000))
    second = rule_set(quota(per="day", by="host"), restored=remember(first.take_changes()))
    alerts = run(second, world_of(V4), (T0 + HOUR, V4, 999), until_ns=T0 + DAY + 5 * S)
    assert [(each.host, each.mac, each.state, each.id) for each in alerts] == [(CAMERA, CAMERA, CLEARED, alert.id)]


# Against a simple model.

ADDRESSES = ("10.0.0.1", "10.0.0.2", "2001:db8::1")
MACS = {0: "", MAC: CAMERA, OTHER_MAC: LAPTOP}
DEFAULT = quota(warn_at=(50, 100))
NAMED = (quota(2000, "named", scope="name:cam"), quota(500, "own", scope="name:own", by="host"))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("move"), st.sampled_from(ADDRESSES), st.sampled_from([0, 1, 90, 260, 700])),
        st.tuples(st.just("mac"), st.sampled_from(ADDRESSES), st.sampled_from([*MACS])),
        st.tuples(st.just("name"), st.sampled_from(ADDRESSES), st.sampled_from(["cam", "own"])),
        st.tuples(st.sampled_from(["tick", "reload", "checkpoint", "restart"]), st.just(""), st.just(0)),
    ),
    min_size=1,
    max_size=30,
)


class Model:
    """What each subject has moved, worked out one host at a time. default: the rule of hosts without a name."""

    def __init__(self, default: str) -> None:
        self.default = default
        self.names: dict[str, str] = {}
        self.macs = dict.fromkeys(ADDRESSES, "")
        self.moved: dict[str, int] = {}
        self.new: dict[str, int] = {}
        self.owners: dict[str, str] = {}

    def rule_of(self, host: str) -> str:
        return {"cam": "named", "own": "own"}.get(self.names.get(host, ""), self.default)

    def owner_of(self, host: str, hosts: list[str]) -> str:
        """Return the device that a host counts for; "" for none."""
        rules = {self.rule_of(host)} | {self.rule_of(each) for each in hosts if self.macs[each] == self.macs[host]}
        return self.macs[host] if self.rule_of(host) != "own" and rules - {"", "own"} else ""

    def tick(self, hosts: list[str]) -> None:
        """Count what hosts have moved since the last tick for whom they counted then; look whom they count for now."""
        for host, size in self.new.items():
            owner = self.owners.get(host) or host
            self.moved[owner] = self.moved.get(owner, 0) + size
        self.new = {}
        for host in hosts:
            before, self.owners[host] = self.owners.get(host, ""), self.owner_of(host, hosts)
            if (owner := self.owners[host]) and not before:
                self.moved[owner] = self.moved.get(owner, 0) + self.moved.pop(host, 0)

    def restart(self) -> None:
        """Let a run end: nothing is kept of hosts that no rule governs."""
        self.owners = {}
        self.moved = self.kept()

    def kept(self) -> dict[str, int]:
        return {each: n for each, n in self.moved.items() if n and (each not in ADDRESSES or self.rule_of(each))}


@given(STEPS, st.booleans())
def test_devices_equal_a_simple_model(steps: list[tuple[str, str, Any]], has_default: bool) -> None:
    names, world, now_ns = NameBook(), World(), T0 + S
    model = Model(DEFAULT.name if has_default else "")
    specs = (DEFAULT, *NAMED) if has_default else NAMED
    rules = rule_set(*specs, names=names, restored=Memory())
    macs = dict.fromkeys(ADDRESSES, 0)
    changes: list[Changes] = []
    told: list[Alert] = []
    for number, (what, address, value) in enumerate([*steps, ("checkpoint", "", 0)]):
        if what == "move":
            world.host(address, now_ns - 1, mac=macs[address])
            world.move(address, now_ns - 1, n_out=value)
            model.new[address] = model.new.get(address, 0) + value
        elif what == "mac":
            macs[address], model.macs[address] = value, MACS[value]
            for host in world.hosts:
                host.mac = macs[host.address]
        elif what == "name":
            names.record([NameFact(key_from_text(address), value, "dhcp")], now_ns + number)
            model.names[address] = value
        else:
            told += rules.evaluate(world.view(now_ns), now_ns)
            model.tick([host.address for host in world.hosts])
            now_ns += S
        if what == "reload":
            rules = rule_set(*specs, names=names, previous=rules)
        elif what in {"checkpoint", "restart"}:
            changes.append(rules.take_changes())
            found: dict[str, int] = {}
            for row in remember(*changes).periods:
                found[row.subject] = max(found.get(row.subject, 0), row.bytes)  # of a rule before, and of the one now
            assert {subject: moved for subject, moved in found.items() if moved} == model.kept()
        if what == "restart":
            rules, world = rule_set(*specs, names=names, restored=remember(*changes)), World()
            model.restart()
    levels = [
        (alert.rule, alert.host, alert.evidence["warn_at"]) for alert in told if alert.state == FIRING and alert.mac == alert.host
    ]
    assert model.names or len(levels) == len(set(levels))
