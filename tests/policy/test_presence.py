"""New devices, silent ones, and addresses that two devices have."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmon.errors import ConfigError
from fastmon.model.alerts import CLEARED, FIRING, Alert
from fastmon.model.memory import KnownDevice, Memory, Told
from fastmon.policy import new_devices
from fastmon.policy.duplicates import DuplicateFamily
from fastmon.policy.new_devices import MAX_AT_ONCE, NewFamily
from fastmon.policy.presence import SilentFamily, make_duplicate, make_new, make_silent
from fastmon.policy.rules import Context
from fastmon.policy.specs import DuplicateSpec, NewSpec, ScheduleSpec, SilentSpec
from policy.world import T0, Host, S, World, survive

CAMERA, PHONE, ROUTER, FAR = "192.168.1.40", "192.168.1.41", "192.168.1.1", "203.0.113.9"
MAC_1, MAC_2 = 0xAC_BC_32_00_00_01, 0x02_00_5E_10_00_14
TEXT_1, TEXT_2 = "ac:bc:32:00:00:01", "02:00:5e:10:00:14"


def outline(alerts: list[Alert]) -> list[tuple[str, str, float]]:
    return [(alert.state, alert.host, (alert.ts_ns - T0) / S) for alert in alerts]


class TestNew:
    def new(self, world: World, **values: Any) -> NewFamily:
        (family,) = make_new([NewSpec(kind="new", name="arrival", **values)], world.context)
        return family

    def test_a_device_that_was_never_seen_is_told_once_with_its_vendor(self) -> None:
        world = World([])
        family = self.new(world)
        assert world.tick(family, 0) == []

        world.hosts.append(Host(CAMERA, mac=MAC_1, first=4.5))
        world.call(CAMERA, "camera", "dhcp")
        (alert,) = world.tick(family, 5)

        assert (alert.host, alert.mac, alert.name, alert.kind) == (CAMERA, TEXT_1, "camera", "new")
        assert (alert.ts_ns, alert.since_ns) == (T0 + 5 * S, T0 + int(4.5 * S))
        assert alert.reason == f"{CAMERA} (camera) was never seen before: {TEXT_1}, Apple, Inc."
        assert alert.evidence == {"vendor": "Apple, Inc.", "first_seen": "2026-01-01T00:00:04.500000Z"}
        assert world.tick(family, 6) == []

    def test_a_further_address_of_a_device_is_not_new(self) -> None:
        world = World([Host(CAMERA, mac=MAC_1), Host("fe80::1", mac=MAC_1)])
        family = self.new(world)

        assert len(world.tick(family, 0)) == 1
        world.hosts += [Host("192.168.1.77", mac=MAC_1), Host(PHONE, mac=MAC_2)]
        (alert,) = world.tick(family, 1)

        assert alert.reason == f"{PHONE} was never seen before: {TEXT_2}, random or virtual Ethernet address"
        (device, _) = survive(family).devices
        assert (device.id, device.addresses) == (TEXT_1, (CAMERA, "fe80::1", "192.168.1.77"))

    def test_another_device_at_a_known_address_is_new(self) -> None:
        world = World([Host(CAMERA, mac=MAC_1)])
        family = self.new(world)
        world.tick(family, 0)

        world.hosts[0].mac = MAC_2
        assert [alert.mac for alert in world.tick(family, 1)] == [TEXT_2]

    def test_without_an_ethernet_address_the_address_is_the_device(self) -> None:
        world = World([Host(CAMERA), Host(PHONE)])
        family = self.new(world)

        assert [alert.host for alert in world.tick(family, 0)] == [CAMERA, PHONE]
        world.hosts[0].mac = MAC_1
        assert world.tick(family, 1) == []
        assert {device.id for device in survive(family).devices} == {CAMERA, PHONE, TEXT_1}

    def test_only_local_hosts_that_send_are_devices(self) -> None:
        world = World([Host(FAR, local=False), Host(CAMERA, sent=0)])
        family = self.new(world)

        assert world.tick(family, 0) == []
        world.hosts[1].send(1)
        assert [alert.host for alert in world.tick(family, 1)] == [CAMERA]

    def test_devices_seen_while_it_learns_are_known(self) -> None:
        world = World([Host(CAMERA)])
        family = self.new(world, learn_ns=60 * S)

        assert world.tick(family, 0) == []
        world.hosts.append(Host(PHONE))
        assert world.tick(family, 59) == []
        world.hosts.append(Host("192.168.1.42"))
        assert [alert.host for alert in world.tick(family, 60)] == ["192.168.1.42"]

    def test_a_restart_knows_the_devices_and_goes_on_learning(self) -> None:
        world = World([Host(CAMERA, mac=MAC_1)])
        first = self.new(world, learn_ns=60 * S)
        world.tick(first, 0)
        memory = survive(first)
        assert memory.told == (Told("arrival", "network", "learning", T0),)
        assert memory.devices == (KnownDevice(TEXT_1, TEXT_1, (CAMERA,), "", "Apple, Inc.", T0, T0),)

        second = self.new(World([Host(CAMERA, mac=MAC_1)]), learn_ns=60 * S)
        second.restore(memory)
        world = World([Host(CAMERA, mac=MAC_1), Host(PHONE)])
        assert [alert.host for alert in world.tick(second, 61)] == [PHONE]

    def test_last_seen_and_names_are_kept_up_to_date(self) -> None:
        world = World([Host(CAMERA, mac=MAC_1)])
        family = self.new(world)
        world.tick(family, 0)
        survive(family, is_last=False)

        world.hosts[0].last = 250
        world.tick(family, 250)
        assert survive(family, is_last=False).devices == ()
        world.hosts[0].last = 320
        world.call(CAMERA, "camera", "dhcp")
        world.tick(family, 330)
        (device,) = survive(family, is_last=False).devices
        assert (device.name, device.first_seen_ns, device.last_seen_ns) == ("camera", T0, T0 + 320 * S)

    def test_the_end_of_a_run_brings_last_seen_up_to_date(self) -> None:
        world = World([Host(CAMERA, mac=MAC_1), Host(PHONE), Host(FAR, local=False)])
        family = self.new(world)
        world.tick(family, 0)
        survive(family, is_last=False)
        world.hosts[0].last, world.hosts[2].last = 29, 30
        world.tick(family, 30)
        reloaded = self.new(world)
        reloaded.adopt(family)
        assert [(device.id, device.last_seen_ns) for device in survive(reloaded).devices] == [(TEXT_1, T0 + 29 * S)]
        assert survive(reloaded).devices == ()

    def test_the_rule_of_the_host_decides(self) -> None:
        world = World([Host(CAMERA), Host("10.0.0.1")])
        day = ScheduleSpec(frozenset({0}), 0, 1)
        specs = [
            NewSpec(kind="new", name="lan", scope="192.168.0.0/16", severity="critical"),
            NewSpec(kind="new", name="off", scope="10.0.0.0/8", schedule=(day,)),
        ]
        (family,) = make_new(specs, world.context)

        assert [(alert.rule, alert.severity) for alert in world.tick(family, 0)] == [("lan", "critical")]

    def test_many_at_once_are_counted(self) -> None:
        world = World([Host(f"10.0.0.{number}") for number in range(1, 101)])
        family = self.new(world)

        alerts = world.tick(family, 0)

        assert len(alerts) == MAX_AT_ONCE
        assert alerts[-1].evidence["more"] == 100 - MAX_AT_ONCE
        assert world.tick(family, 1) == []
        assert len(survive(family).devices) == 100

    def test_what_does_not_fit_is_told_and_not_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(new_devices, "MAX_DEVICES", 1)
        world = World([Host(CAMERA), Host(PHONE)])
        family = self.new(world)

        assert len(world.tick(family, 0)) == 2
        assert world.tick(family, 70) == []
        assert len(survive(family).devices) == 1

    def test_a_reload_knows_the_devices(self) -> None:
        world = World([Host(CAMERA)])
        old = self.new(world)
        world.tick(old, 0)

        new = self.new(world, severity="critical")
        new.adopt(old)
        assert list(old.close(T0, world.roster)) == []
        world.hosts.append(Host(PHONE))
        assert [(alert.host, alert.severity) for alert in world.tick(new, 1)] == [(PHONE, "critical")]

    def test_the_network_as_a_whole_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="kind new is about hosts"):
            self.new(World([]), scope="network")

    def test_without_rules_the_book_is_kept_where_anything_is(self) -> None:
        world = World([Host(CAMERA)])
        (family,) = make_new([], world.context)

        assert world.tick(family, 0) == []
        assert [device.id for device in survive(family).devices] == [CAMERA]
        assert make_new([], Context()) == []


class TestSilent:
    def silent(self, world: World, *specs: SilentSpec, **values: Any) -> SilentFamily:
        (family,) = make_silent(specs or (SilentSpec(kind="silent", name="gone", **{"for_ns": 60 * S, **values}),), world.context)
        return family

    def test_a_host_that_sends_nothing_fires_when_the_time_is_over_and_clears_when_heard(self) -> None:
        world = World([Host(CAMERA, mac=MAC_1, last=3.5), Host(PHONE)])
        world.call(CAMERA, "camera", "dhcp")
        family = self.silent(world, scope=CAMERA)

        alerts = {at: world.tick(family, at) for at in range(4, 70)}
        ((at, (fired,)),) = [(at, found) for at, found in alerts.items() if found]
        assert at == 64
        assert (fired.ts_ns, fired.host, fired.name, fired.mac) == (T0 + int(63.5 * S), CAMERA, "camera", TEXT_1)
        assert fired.reason == f"nothing was heard from {CAMERA} (camera) for 1m, since 2026-01-01T00:00:03.500000Z"
        world.hosts[0].send(70.25)
        (cleared,) = world.tick(family, 71)
        assert (cleared.id, cleared.state, cleared.ts_ns) == (fired.id, CLEARED, T0 + int(70.25 * S))
        assert world.tick(family, 72) == []

    def test_what_it_is_sent_does_not_count(self) -> None:
        world = World([Host(CAMERA)])
        family = self.silent(world)
        world.tick(family, 1)

        world.hosts[0].last = 59
        assert outline(world.tick(family, 61)) == [(FIRING, CAMERA, 60)]

    def test_a_silence_seen_at_its_ends_fires_at_the_same_time(self) -> None:
        found = []
        for ticks in (range(1, 300), [1, 299]):
            world = World([Host(CAMERA), Host(PHONE, last=1)])
            family = self.silent(world)
            found.append(outline([alert for at in ticks for alert in world.tick(family, at)]))

        assert found[0] == found[1] == [(FIRING, CAMERA, 60), (FIRING, PHONE, 61)]

    def test_one_address_of_a_device_is_enough(self) -> None:
        world = World([Host(CAMERA, mac=MAC_1), Host("fd00::1", mac=MAC_1), Host(PHONE, mac=MAC_2)])
        family = self.silent(world)
        world.tick(family, 0)

        world.hosts[1].send(50)
        world.hosts[2].send(50)
        assert world.tick(family, 65) == []
        assert outline(world.tick(family, 111)) == [(FIRING, "fd00::1", 110), (FIRING, PHONE, 110)]
        world.hosts.append(Host("192.168.1.99", mac=MAC_1, last=120))
        assert outline(world.tick(family, 121)) == [(CLEARED, "fd00::1", 120)]

    def test_hosts_that_never_sent_and_were_not_named_are_not_watched(self) -> None:
        world = World([Host(CAMERA, sent=0), Host(FAR, local=False)])
        family = self.silent(world)

        assert [world.tick(family, at) for at in (0, 100)] == [[], []]
        world.hosts[0].send(101)
        world.tick(family, 101)
        assert outline(world.tick(family, 170)) == [(FIRING, CAMERA, 161)]

    def test_named_hosts_that_were_never_heard_of_fire(self) -> None:
        world = World([Host(PHONE, sent=0)], groups={"watched": [CAMERA, PHONE, TEXT_1, "10.0.0.0/8"]})
        family = self.silent(world, scope="group:watched")
        world.tick(family, 5)

        alerts = world.tick(family, 65)
        assert outline(alerts) == [(FIRING, CAMERA, 65), (FIRING, PHONE, 65), (FIRING, TEXT_1, 65)]
        assert alerts[0].reason == f"{CAMERA} was never heard of, for 1m since 2026-01-01T00:00:05.000000Z"
        assert (alerts[2].mac, alerts[2].subject) == (TEXT_1, TEXT_1)
        world.hosts += [Host(CAMERA, mac=MAC_2, last=70), Host("10.0.0.9", mac=MAC_1, last=71)]
        world.hosts[0].send(72)
        assert outline(world.tick(family, 73)) == [(CLEARED, CAMERA, 70), (CLEARED, TEXT_1, 71), (CLEARED, PHONE, 72)]
        assert outline(world.tick(family, 133)) == [(FIRING, CAMERA, 130), (FIRING, "10.0.0.9", 131), (FIRING, PHONE, 132)]

    def test_a_named_host_is_watched_by_its_most_specific_rule(self) -> None:
        world = World([], groups={"all": [CAMERA]})
        specs = [
            SilentSpec(kind="silent", name="group", scope="group:all", for_ns=60 * S),
            SilentSpec(kind="silent", name="own", scope=CAMERA, for_ns=90 * S),
        ]
        family = self.silent(world, *specs)
        world.tick(family, 0)

        assert [alert.rule for alert in world.tick(family, 200)] == ["own"]

    def test_out_of_its_hours_it_waits(self) -> None:
        world = World([Host(CAMERA)])
        family = self.silent(world, schedule=(ScheduleSpec(frozenset(range(7)), 5, 60),))
        world.tick(family, 0)

        assert world.tick(family, 61) == []
        assert outline(world.tick(family, 300)) == [(FIRING, CAMERA, 300)]

    def test_a_cooldown_holds_the_next_one_back(self) -> None:
        world = World([Host(CAMERA)])
        family = self.silent(world, cooldown_ns=600 * S)
        world.tick(family, 0)
        world.tick(family, 61)
        world.hosts[0].send(70)
        assert outline(world.tick(family, 70)) == [(CLEARED, CAMERA, 70)]

        assert world.tick(family, 200) == []
        assert outline(world.tick(family, 671)) == [(FIRING, CAMERA, 671)]

    def test_after_a_step_of_the_clock_the_time_begins_anew(self) -> None:
        world = World([Host(CAMERA, last=1000)])
        family = self.silent(world)
        world.tick(family, 1000)

        assert world.tick(family, 10) == []
        assert world.tick(family, 69) == []
        assert outline(world.tick(family, 70)) == [(FIRING, CAMERA, 70)]

    def test_rows_that_move_keep_what_was_heard(self) -> None:
        world = World([Host(FAR, local=False), Host(CAMERA), Host(PHONE)])
        family = self.silent(world)
        world.tick(family, 0)

        del world.hosts[0]
        world.hosts[0].send(30)
        assert outline(world.tick(family, 70)) == [(FIRING, PHONE, 60)]

    def test_a_restart_tells_nothing_again_and_clears(self) -> None:
        world = World([Host(CAMERA, mac=MAC_1)], groups={"both": [CAMERA, PHONE]})
        first = self.silent(world, scope="group:both")
        world.tick(first, 0)
        fired = world.tick(first, 61)
        assert [alert.host for alert in fired] == [CAMERA, PHONE]

        world = World([], groups=world.groups)
        second = self.silent(world, scope="group:both")
        second.restore(survive(first))
        assert [world.tick(second, at) for at in (100, 300)] == [[], []]
        world.hosts += [Host(CAMERA, mac=MAC_1, last=310), Host(PHONE, last=311)]
        cleared = world.tick(second, 311)
        assert [alert.id for alert in cleared] == [alert.id for alert in fired]
        assert {alert.state for alert in cleared} == {CLEARED}

    def known(self, *devices: tuple[str, str, float], name: str = "") -> Memory:
        """Return what a state has of devices: id, address, and when each was seen last."""
        return Memory(
            devices=tuple(
                KnownDevice(id_, id_ if id_ != address else "", (address,), name, "", T0, T0 + int(seen * S))
                for id_, address, seen in devices
            )
        )

    def test_devices_that_never_came_back_after_a_restart_are_told(self) -> None:
        world = World([Host(FAR, local=False)])
        family = self.silent(world)
        family.restore(self.known((TEXT_1, CAMERA, -100), (PHONE, PHONE, -90), (TEXT_2, "192.168.1.9", -80), name="cam"))
        assert world.tick(family, 0) == []
        world.hosts += [Host(PHONE, last=20), Host("192.168.1.77", mac=MAC_2, last=30)]
        assert world.tick(family, 31) == []

        (alert,) = world.tick(family, 60)
        assert (alert.host, alert.mac, alert.name, alert.local) == (CAMERA, TEXT_1, "cam", True)
        assert alert.reason == (
            f"nothing was heard from {CAMERA} (cam) for 1m since the start, and last at 2025-12-31T23:58:20.000000Z"
        )
        world.hosts.append(Host("192.168.1.50", mac=MAC_1, last=65))
        world.hosts[1].send(65)
        world.hosts[2].send(65)
        (cleared,) = world.tick(family, 66)
        assert (cleared.id, cleared.state) == (alert.id, CLEARED)
        assert [each.host for each in world.tick(family, 125)] == [PHONE, "192.168.1.77", "192.168.1.50"]

    def test_devices_that_were_silent_before_the_restart_are_not_waited_for(self) -> None:
        world = World([])
        family = self.silent(world, scope="192.168.1.0/24")
        away = ("02:00:5e:10:00:77", "192.168.1.77", -1000)
        family.restore(self.known(away, (TEXT_1, CAMERA, -10), ("10.0.0.1", "10.0.0.1", -10), ("no device", CAMERA, -10)))
        world.tick(family, 0)
        assert [alert.host for alert in world.tick(family, 60)] == [CAMERA]

    def test_devices_that_were_told_or_are_named_are_told_once(self) -> None:
        world = World([Host(PHONE, mac=MAC_2)], groups={"all": [CAMERA, "192.168.1.0/24"]})
        first = self.silent(world, scope="group:all")
        world.tick(first, 0)
        assert [alert.host for alert in world.tick(first, 60)] == [PHONE, CAMERA]

        world = World([], groups=world.groups)
        second = self.silent(world, scope="group:all")
        devices = self.known((TEXT_2, PHONE, 0), (TEXT_1, CAMERA, 0)).devices
        second.restore(replace(survive(first), devices=devices))
        assert [world.tick(second, at) for at in (100, 200, 300)] == [[], [], []]

    def test_a_reload_goes_on_waiting_for_devices(self) -> None:
        world = World([])
        old = self.silent(world)
        old.restore(self.known((TEXT_1, CAMERA, -100)))
        world.tick(old, 0)
        new = self.silent(world)
        new.adopt(old)
        assert [alert.mac for alert in world.tick(new, 60)] == [TEXT_1]

    def test_a_reload_keeps_the_rules_that_stay_and_clears_the_others(self) -> None:
        world = World([Host(CAMERA), Host(PHONE)])
        stays = SilentSpec(kind="silent", name="stays", scope=CAMERA, for_ns=60 * S)
        goes = SilentSpec(kind="silent", name="goes", scope=PHONE, for_ns=60 * S)
        old = self.silent(world, goes, stays)
        world.tick(old, 0)
        fired = world.tick(old, 61)

        stricter = msgspec.structs.replace(stays, severity="critical")
        new = self.silent(world, stricter, msgspec.structs.replace(goes, name="comes", scope="local"))
        new.adopt(old)
        (removed,) = old.close(T0 + 62 * S, world.roster)
        assert (removed.rule, removed.state) == ("goes", CLEARED)
        assert [alert.rule for alert in world.tick(new, 63)] == ["comes"]
        world.hosts[0].send(64)
        (cleared,) = world.tick(new, 64)
        assert cleared.id in {alert.id for alert in fired}

    def test_the_network_as_a_whole_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="kind silent is about hosts"):
            self.silent(World([]), scope="network")

    @given(st.lists(st.tuples(st.integers(1, 40), st.lists(st.sampled_from([0, 1, 2, 3]), max_size=3)), max_size=20))
    def test_devices_fall_silent_as_in_a_simple_model(self, steps: list[tuple[int, list[int]]]) -> None:
        # hosts 0 and 1 are one device
        world = World([Host(f"10.0.0.{n}", mac=MAC_1 if n < 2 else 0, sent=0) for n in range(4)])
        family = self.silent(world)
        heard: dict[int, int] = {}
        are_silent: set[int] = set()
        now = 0
        world.tick(family, 0)
        for seconds, senders in steps:
            now += seconds
            expected = set()
            for sender in senders:
                world.hosts[sender].send(now)
                heard[max(sender, 1)] = now
            for device, last in heard.items():
                if now - last >= 60 and device not in are_silent:
                    expected.add((FIRING, last + 60))
                    are_silent.add(device)
                elif now - last < 60 and device in are_silent:
                    expected.add((CLEARED, last))
                    are_silent.remove(device)
            alerts = world.tick(family, now)
            assert {(alert.state, (alert.ts_ns - T0) // S) for alert in alerts} == expected


class TestDuplicate:
    def duplicate(self, world: World, **values: Any) -> DuplicateFamily:
        (family,) = make_duplicate([DuplicateSpec(kind="duplicate", name="twice", **values)], world.context)
        return family

    def test_two_ethernet_addresses_in_a_short_time_fire_and_clear_when_one_is_left(self) -> None:
        world = World([Host(CAMERA, mac=MAC_1, last=1), Host(PHONE, mac=MAC_2, last=1)])
        family = self.duplicate(world)
        assert world.tick(family, 1) == []

        world.hosts[0].mac = MAC_2
        (fired,) = world.tick(family, 61)
        assert (fired.host, fired.window_ns, fired.evidence["macs"]) == (CAMERA, 60 * S, [TEXT_1, TEXT_2])
        assert fired.reason == (
            f"{CAMERA} is the address of two devices within 1m: {TEXT_1} (Apple, Inc.) and {TEXT_2} (unknown vendor)"
        )
        for at, mac in ((62, MAC_1), (63, MAC_2)):
            world.hosts[0].mac, world.hosts[0].last = mac, at
            assert world.tick(family, at) == []
        assert world.tick(family, 122) == []
        assert outline(world.tick(family, 130)) == [(CLEARED, CAMERA, 123)]

    def test_a_change_after_a_long_time_is_none(self) -> None:
        world = World([Host(CAMERA, mac=MAC_1, last=1)])
        family = self.duplicate(world)
        world.tick(family, 1)

        world.hosts[0].mac = MAC_2
        assert world.tick(family, 62) == []

    def test_an_ethernet_address_that_was_unknown_is_no_change(self) -> None:
        world = World([Host(CAMERA)])
        family = self.duplicate(world)
        world.tick(family, 1)
        world.hosts[0].mac = MAC_1

        assert world.tick(family, 2) == []

    def test_routers_may_serve_an_address_in_turn(self) -> None:
        world = World([Host(f"10.0.{n // 9}.{n}", mac=MAC_1 if n < 9 else MAC_2) for n in range(18)])
        family = self.duplicate(world)
        world.tick(family, 1)

        world.hosts.append(Host("10.0.0.100", mac=MAC_1, last=1))
        world.tick(family, 2)
        world.hosts[-1].mac = MAC_2
        assert world.tick(family, 3) == []

    def test_rows_that_move_keep_their_ethernet_address(self) -> None:
        world = World([Host(FAR, local=False), Host(CAMERA, mac=MAC_1), Host(PHONE, mac=MAC_2)])
        family = self.duplicate(world)
        world.tick(family, 1)

        del world.hosts[0]
        assert world.tick(family, 2) == []
        world.hosts[0].mac = MAC_2
        assert [alert.host for alert in world.tick(family, 3)] == [CAMERA]

    @pytest.mark.parametrize(
        "mac",
        [0x00005E000117, 0x00005E0002FF, 0x00000C07AC01, 0x00000C9FF123, 0x000573A00FFF, 0x0007B4000102],
        ids=["vrrp", "vrrp6", "hsrp", "hsrp2", "hsrp6", "glbp"],
    )
    def test_virtual_routers_may_serve_an_address_in_turn(self, mac: int) -> None:
        world = World([Host(ROUTER, mac=MAC_1, last=1)])
        family = self.duplicate(world)
        world.tick(family, 1)
        for at, mac_now in ((2, mac), (3, MAC_1), (4, mac), (5, MAC_1)):
            world.hosts[0].mac, world.hosts[0].last = mac_now, at
            assert world.tick(family, at) == []
        world.hosts[0].mac, world.hosts[0].last = MAC_2, 6
        assert [alert.host for alert in world.tick(family, 6)] == [ROUTER]

    @pytest.mark.parametrize("address", ["0.0.0.0", "255.255.255.255", "224.0.0.251", "169.254.7.7", "::", "ff02::1", "fe80::1"])
    def test_addresses_that_are_no_single_hosts_are_left_out(self, address: str) -> None:
        world = World([Host(address, mac=MAC_1, last=1)])
        family = self.duplicate(world)
        world.tick(family, 1)
        world.hosts[0].mac = MAC_2
        assert world.tick(family, 2) == []

    def test_only_hosts_in_the_scope_are_told(self) -> None:
        world = World([Host(CAMERA, mac=MAC_1), Host(PHONE, mac=MAC_1)])
        family = self.duplicate(world, scope=PHONE)
        world.tick(family, 1)
        for host in world.hosts:
            host.mac = MAC_2

        assert [alert.host for alert in world.tick(family, 2)] == [PHONE]

    def test_a_restart_and_a_reload_go_on(self) -> None:
        world = World([Host(CAMERA, mac=MAC_1)])
        first = self.duplicate(world)
        world.tick(first, 1)
        world.hosts[0].mac = MAC_2
        (fired,) = world.tick(first, 2)

        second = self.duplicate(world)
        second.restore(survive(first))
        third = self.duplicate(world)
        third.adopt(first)
        assert list(first.close(T0, world.roster)) == []
        assert [[alert.id for alert in world.tick(family, 62)] for family in (second, third)] == [[fired.id], [fired.id]]


def test_without_rules_there_is_no_family() -> None:
    assert make_silent([], Context()) == []
    assert make_duplicate([], Context()) == []
