"""Rules about services, applications and peers: what is told, of whom, how often, and what is known after a restart."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmon.errors import ConfigError
from fastmon.model.memory import Told
from fastmon.policy.contact_memory import MAX_AT_ONCE, MAX_PER_DAY
from fastmon.policy.contacts import ContactFamily, make_apps, make_peers, make_ports
from fastmon.policy.specs import AppsSpec, PeersSpec, PortRange, PortsSpec, ScheduleSpec
from policy.world import T0, Host, S, World, contact, survive

CAMERA, PHONE, NAS = "192.168.1.40", "192.168.1.41", "192.168.1.42"
FAR, OTHER = "203.0.113.9", "198.51.100.7"
MAC = 0x02_00_5E_10_00_14

DNS, HTTPS, SSH = PortRange(17, 53, 53), PortRange(6, 443, 443), PortRange(6, 22, 22)


def network() -> World:
    return World([Host(CAMERA), Host(PHONE), Host(NAS), Host(FAR, local=False), Host(OTHER, local=False)])


def ports(world: World, *specs: PortsSpec, **values: Any) -> ContactFamily:
    chosen = specs or (PortsSpec(kind="ports", name="services", **values),)
    (family,) = make_ports(chosen, world.context)
    return family


def apps(world: World, **values: Any) -> ContactFamily:
    (family,) = make_apps([AppsSpec(kind="apps", name="uses", **values)], world.context)
    return family


def peers(world: World, **values: Any) -> ContactFamily:
    (family,) = make_peers([PeersSpec(kind="peers", name="talks", **values)], world.context)
    return family


def test_a_service_that_is_not_allowed_is_told_with_its_evidence() -> None:
    world = network()
    world.call(FAR, "updates.example.org")
    world.call(CAMERA, "camera", "dhcp")
    family = ports(world, allow=(DNS, HTTPS), scope=CAMERA, severity="critical", actions=("phone",))

    (alert,) = world.tick(family, 2, [contact(CAMERA, FAR, "tcp/8443", app="https", at=1), contact(CAMERA, OTHER, at=1)])

    assert (alert.rule, alert.kind, alert.severity, alert.scope) == ("services", "ports", "critical", CAMERA)
    assert (alert.host, alert.name, alert.local, alert.actions) == (CAMERA, "camera", True, ("phone",))
    assert (alert.ts_ns, alert.since_ns) == (T0 + 2 * S, T0 + S)
    assert alert.reason == (
        f"{CAMERA} (camera) used tcp/8443 of {FAR} (updates.example.org), which rule 'services' does not allow"
    )
    assert alert.evidence == {
        "peer": FAR,
        "peer_name": "updates.example.org",
        "role": "client",
        "service": "tcp/8443",
        "app": "https",
        "bytes_in": 200,
        "bytes_out": 100,
        "first_seen": "2026-01-01T00:00:01.000000Z",
    }


def test_a_denied_service_is_told_and_others_are_not() -> None:
    world = network()
    family = ports(world, deny=(PortRange(6, 20, 23),))

    alerts = world.tick(family, 1, [contact(CAMERA, FAR, service) for service in ("tcp/19", "tcp/23", "tcp/24", "udp/23")])

    assert [alert.evidence["service"] for alert in alerts] == ["tcp/23"]
    assert alerts[0].reason.endswith("which rule 'services' denies")


def test_each_device_service_and_peer_is_told_once() -> None:
    world = network()
    family = ports(world, allow=())
    known = contact(CAMERA, FAR, "tcp/80")

    assert len(world.tick(family, 1, [known, known])) == 1
    assert world.tick(family, 2, [known]) == []
    for other in (contact(CAMERA, OTHER, "tcp/80"), contact(CAMERA, FAR, "tcp/81"), contact(PHONE, FAR, "tcp/80")):
        assert len(world.tick(family, 3, [known, other])) == 1
        assert world.tick(family, 4, [known, other]) == []


def test_a_device_is_its_ethernet_address_when_it_gets_another_address() -> None:
    world = World([Host("fd00::1", mac=MAC), Host("fd00::2", mac=MAC), Host("fd00::3")])
    family = ports(world, allow=())

    alerts = world.tick(family, 1, [contact(host.address, "2001:db8::1", at=at) for at, host in enumerate(world.hosts)])

    assert [alert.host for alert in alerts] == ["fd00::1", "fd00::3"]
    assert alerts[0].mac == "02:00:5e:10:00:14"


def test_hosts_behind_a_router_are_devices_of_their_own() -> None:
    world = World([Host(f"10.0.0.{number}", mac=MAC) for number in range(1, 10)])
    family = ports(world, allow=())

    alerts = world.tick(family, 1, [contact(host.address, FAR) for host in world.hosts])

    assert len(alerts) == 9


@pytest.mark.parametrize(
    ("role", "case", "is_told"),
    [
        ("client", {"role": "client", "answered": False}, True),
        ("client", {"role": "server"}, False),
        ("server", {"role": "server", "answered": True}, True),
        ("server", {"role": "server", "answered": False}, False),
        ("server", {"role": "client"}, False),
    ],
)
def test_a_client_counts_when_it_asks_and_a_server_when_it_answers(role: str, case: dict[str, Any], is_told: bool) -> None:
    world = network()
    family = ports(world, allow=(), role=role)

    assert len(world.tick(family, 1, [contact(CAMERA, FAR, **case)])) == is_told


def test_a_server_is_told_as_one() -> None:
    world = network()
    family = ports(world, allow=(HTTPS,), role="server")

    (alert,) = world.tick(family, 1, [contact(CAMERA, PHONE, "tcp/23", role="server")])

    assert alert.reason == f"{CAMERA} offered tcp/23 to {PHONE}, which rule 'services' does not allow"


def test_the_most_specific_rule_allows_and_what_is_denied_for_all_stays_denied() -> None:
    world = network()
    family = ports(
        world,
        PortsSpec(kind="ports", name="all", allow=(DNS,)),
        PortsSpec(kind="ports", name="camera", scope=CAMERA, allow=(DNS, HTTPS, SSH)),
        PortsSpec(kind="ports", name="no-ssh", deny=(SSH,)),
    )

    alerts = world.tick(family, 1, [contact(host, FAR, port) for host in (CAMERA, PHONE) for port in ("tcp/443", "tcp/22")])

    told = {(alert.rule, alert.host, alert.evidence["service"]) for alert in alerts}
    assert told == {
        ("no-ssh", CAMERA, "tcp/22"),
        ("all", PHONE, "tcp/443"),
        ("all", PHONE, "tcp/22"),
        ("no-ssh", PHONE, "tcp/22"),
    }


def test_a_rule_on_the_network_tells_a_service_once_for_all_hosts() -> None:
    world = network()
    family = ports(world, deny=(SSH,), scope="network")

    (alert,) = world.tick(family, 3, [contact(PHONE, FAR, "tcp/22", at=2), contact(CAMERA, FAR, "tcp/22", at=1)])

    assert (alert.host, alert.local, alert.subject) == ("", None, "network")
    assert alert.evidence["host"] == CAMERA
    assert world.tick(family, 4, [contact(NAS, FAR, "tcp/22")]) == []


def test_out_of_its_hours_a_rule_tells_nothing() -> None:
    world = network()
    night = ScheduleSpec(frozenset(range(7)), 22 * 60, 6 * 60)
    family = ports(world, allow=(), schedule=(night,))

    assert world.tick(family, 12 * 3600, [contact(CAMERA, FAR)]) == []
    assert len(world.tick(family, 23 * 3600, [contact(CAMERA, FAR)])) == 1


class TestFloods:
    def test_a_tick_tells_the_first_and_how_many_more_there_were(self) -> None:
        world = network()
        family = ports(world, allow=())
        scan = [contact(CAMERA, FAR, f"tcp/{port}", at=port / 1000) for port in range(1, 101)]

        alerts = world.tick(family, 1, [*reversed(scan), contact(PHONE, FAR, at=0.5)])

        assert [alert.host for alert in alerts].count(PHONE) == 1
        told = [alert for alert in alerts if alert.host == CAMERA]
        assert [alert.evidence["service"] for alert in told] == [f"tcp/{port}" for port in range(1, MAX_AT_ONCE + 1)]
        assert [alert.evidence.get("more") for alert in told] == [None] * (MAX_AT_ONCE - 1) + [100 - MAX_AT_ONCE]

    def test_a_day_tells_no_more_of_a_device_than_so_many_and_the_last_says_so(self) -> None:
        world = network()
        family = ports(world, allow=())

        def scan(at: int) -> list[str]:
            flood = [contact(CAMERA, FAR, f"tcp/{at * 100 + n + 1}", at=at) for n in range(MAX_AT_ONCE)]
            return [alert.reason for alert in world.tick(family, at, flood)]

        reasons = [reason for at in range(2 * MAX_PER_DAY // MAX_AT_ONCE) for reason in scan(at)]

        assert len(reasons) == MAX_PER_DAY
        assert [index for index, reason in enumerate(reasons) if "no more of this device" in reason] == [MAX_PER_DAY - 1]
        assert len(world.tick(family, 600, [contact(PHONE, FAR)])) == 1
        assert len(scan(24 * 3600 // 400)) == 0
        assert len(world.tick(family, 24 * 3600, [contact(CAMERA, OTHER)])) == 1


class TestApps:
    def test_an_application_that_is_not_allowed_is_told(self) -> None:
        world = network()
        family = apps(world, allow=("dns", "https"))

        (alert,) = world.tick(family, 1, [contact(CAMERA, FAR, "tcp/443", app="ssh"), contact(CAMERA, FAR, app="https")])

        assert alert.reason == f"{CAMERA} used ssh (tcp/443) of {FAR}, which rule 'uses' does not allow"

    def test_a_guess_by_port_is_told_only_if_no_payload_says_otherwise(self) -> None:
        world = network()
        family = apps(world, allow=("mqtt",))
        guess = contact(CAMERA, FAR, "tcp/443", app="https", by="port")

        assert world.tick(family, 1, [guess, contact(PHONE, FAR, "tcp/443", app="https", by="port")]) == []
        assert world.tick(family, 2, [contact(CAMERA, FAR, "tcp/443", app="mqtt")]) == []
        (alert,) = world.tick(family, 20)
        assert (alert.host, alert.ts_ns) == (PHONE, T0 + 6 * S)

    def test_what_both_sides_say_and_nobody_knows_is_unknown(self) -> None:
        world = network()
        family = apps(world, allow=("dns",))
        silent = contact(PHONE, FAR, "tcp/5201", by="none", answered=False)

        assert world.tick(family, 1, [contact(CAMERA, FAR, "tcp/5201", by="none"), silent]) == []
        (alert,) = world.tick(family, 6)
        assert (alert.host, alert.evidence["app"]) == (CAMERA, "unknown")

    def test_a_guess_waits_no_longer_when_it_is_seen_again(self) -> None:
        world = network()
        family = apps(world, deny=("https",))
        guess = contact(CAMERA, FAR, app="https", by="port")

        told = [len(world.tick(family, at, [guess])) for at in range(1, 14)]

        assert told == [0] * 5 + [1] + [0] * 7

    def test_after_a_step_of_the_clock_nothing_waits(self) -> None:
        world = network()
        family = apps(world, deny=("https",))

        world.tick(family, 1000, [contact(CAMERA, FAR, app="https", by="port")])

        assert world.tick(family, 10) == []
        assert world.tick(family, 2000) == []

    def test_an_unknown_name_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="unknown application 'gopher'"):
            apps(network(), deny=("gopher",))


class TestPeers:
    def test_addresses_networks_and_names_are_allowed(self) -> None:
        world = network()
        for address, name in (("192.0.2.1", "a.example.org"), ("192.0.2.2", "example.net")):
            world.call(address, name)
        family = peers(world, allow=("10.0.0.0/8", FAR, "*.EXAMPLE.org"))
        asked = ("10.1.2.3", FAR, "192.0.2.1", "192.0.2.2")

        alerts = world.tick(family, 1, [contact(CAMERA, peer) for peer in asked])

        assert [alert.evidence["peer"] for alert in alerts] == ["192.0.2.2"]
        assert alerts[0].reason == f"{CAMERA} talked (tcp/443) to 192.0.2.2 (example.net), which rule 'talks' does not allow"

    def test_a_peer_without_a_name_may_get_one(self) -> None:
        world = network()
        family = peers(world, allow=("*.example.org",))

        assert world.tick(family, 1, [contact(CAMERA, FAR), contact(CAMERA, OTHER)]) == []
        world.call(FAR, "www.example.org")
        assert [alert.evidence["peer"] for alert in world.tick(family, 6)] == [OTHER]

    def test_without_patterns_nothing_waits(self) -> None:
        world = network()

        assert len(world.tick(peers(world, allow=("10.0.0.0/8",)), 1, [contact(CAMERA, FAR)])) == 1

    def test_a_denied_peer_is_told_in_both_roles(self) -> None:
        world = network()
        family = peers(world, deny=("203.0.113.0/24",))

        alerts = world.tick(family, 1, [contact(CAMERA, FAR), contact(NAS, FAR, "tcp/22", role="server")])

        assert {alert.host for alert in alerts} == {CAMERA, NAS}

    @pytest.mark.parametrize("text", ["10.0.0.0/99", "10.0.0.300", "fe80:::", "a/b"])
    def test_a_wrong_peer_is_refused(self, text: str) -> None:
        with pytest.raises(ConfigError, match="invalid peer"):
            peers(network(), allow=(text,))


class TestLearning:
    def test_services_seen_while_it_learns_are_allowed_to_that_device(self) -> None:
        world = network()
        family = ports(world, allow=(DNS,), learn_ns=60 * S)

        assert world.tick(family, 0, [contact(CAMERA, FAR, "tcp/8443")]) == []
        assert world.tick(family, 59, [contact(PHONE, FAR, "tcp/8444", at=59)]) == []
        late = [contact(host, OTHER, port, at=61) for host in (CAMERA, PHONE) for port in ("tcp/8443", "tcp/8444", "udp/53")]
        told = {(alert.host, alert.evidence["service"]) for alert in world.tick(family, 62, late)}
        assert told == {(CAMERA, "tcp/8444"), (PHONE, "tcp/8443")}

    def test_peers_are_learnt_by_address_and_by_name(self) -> None:
        world = network()
        world.call(FAR, "cdn.example.org")
        world.call("203.0.113.10", "cdn.example.org")
        world.call("203.0.113.11", "other.example.org")
        family = peers(world, allow=(), learn_ns=60 * S)

        assert world.tick(family, 0, [contact(CAMERA, FAR), contact(CAMERA, OTHER)]) == []
        late = [contact(CAMERA, peer, at=61) for peer in (FAR, OTHER, "203.0.113.10", "203.0.113.11", "203.0.113.12")]
        alerts = world.tick(family, 62, late)
        assert {alert.evidence["peer"] for alert in alerts} == {"203.0.113.11", "203.0.113.12"}

    def test_applications_are_learnt(self) -> None:
        world = network()
        family = apps(world, allow=(), learn_ns=60 * S)

        assert world.tick(family, 0, [contact(CAMERA, FAR, app="https")]) == []
        alerts = world.tick(family, 62, [contact(CAMERA, OTHER, app=app, at=61) for app in ("https", "ssh")])
        assert [alert.evidence["app"] for alert in alerts] == ["ssh"]

    def test_a_restart_goes_on_learning_and_knows_what_was_learnt(self) -> None:
        world = network()
        world.call(FAR, "cdn.example.org")
        world.call("203.0.113.10", "cdn.example.org")
        first = [ports(world, allow=(), learn_ns=60 * S), peers(world, allow=(), learn_ns=60 * S)]
        for family in first:
            world.tick(family, 0, [contact(CAMERA, FAR, "tcp/8443")])
        memory = survive(*first)

        second = [ports(world, allow=(), learn_ns=60 * S), peers(world, allow=(), learn_ns=60 * S)]
        for family in second:
            family.restore(memory)
            assert world.tick(family, 50, [contact(PHONE, FAR, "tcp/1", at=50)]) == []
            assert world.tick(family, 70, [contact(CAMERA, "203.0.113.10", "tcp/8443", at=70)]) == []
            assert len(world.tick(family, 71, [contact(CAMERA, "203.0.113.12", "tcp/8444", at=70)])) == 1


class TestMemory:
    def test_nothing_is_told_again_after_a_restart(self) -> None:
        world = World([Host(CAMERA, mac=MAC), Host(PHONE)])
        cases = [contact(host, FAR, "tcp/22", app="ssh") for host in (CAMERA, PHONE)]
        families = [make(world, allow=()) for make in (ports, apps, peers)]
        assert [len(world.tick(family, 1, cases)) for family in families] == [2, 2, 2]

        memory = survive(*families)
        again = [make(world, allow=()) for make in (ports, apps, peers)]
        for family in again:
            family.restore(memory)

        assert [world.tick(family, 2, cases) for family in again] == [[], [], []]
        assert [len(world.tick(family, 3, [contact(CAMERA, FAR, "tcp/23", app="http")])) for family in again] == [1, 1, 1]

    def test_rows_say_what_was_told(self) -> None:
        world = World([Host(CAMERA, mac=MAC), Host(PHONE)])
        families = [ports(world, allow=()), apps(world, allow=(), learn_ns=S)]

        world.tick(families[0], 1, [contact(PHONE, FAR, "tcp/22")])
        world.tick(families[1], 1, [contact(CAMERA, FAR, "tcp/22", app="ssh")])

        assert survive(*families).told == (
            Told("services", PHONE, f"client tcp/22 {FAR}", T0 + S),
            Told("uses", "network", "learning", T0 + S),
            Told("uses", "02:00:5e:10:00:14", "learnt client ssh", T0 + S),
        )
        assert survive(*families).told == ()

    def test_rows_of_other_rules_and_of_other_kinds_are_left(self) -> None:
        world = network()
        family = ports(world, allow=())

        family.restore(
            replace(
                survive(),
                told=(
                    Told("other", CAMERA, f"client tcp/22 {FAR}", T0),
                    Told("services", CAMERA, f"client ssh {FAR}", T0),
                    Told("services", "nonsense", f"client tcp/22 {FAR}", T0),
                    Told("services", CAMERA, "", T0),
                ),
            )
        )

        assert len(world.tick(family, 1, [contact(CAMERA, FAR, "tcp/22")])) == 1

    def test_what_is_seen_again_is_noted_once_an_hour(self) -> None:
        world = network()
        family = ports(world, allow=())
        world.tick(family, 0, [contact(CAMERA, FAR)])
        survive(family)

        world.tick(family, 3599, [contact(CAMERA, FAR)])
        assert survive(family).told == ()
        world.tick(family, 3600, [contact(CAMERA, FAR)])
        assert survive(family).told == (Told("services", CAMERA, f"client tcp/443 {FAR}", T0 + 3600 * S),)

    def test_rules_that_mean_the_same_go_on_after_a_reload(self) -> None:
        world = network()
        kept = PortsSpec(kind="ports", name="kept", scope=CAMERA, allow=())
        changed = PortsSpec(kind="ports", name="changed", scope=PHONE, allow=())
        old = ports(world, changed, kept)
        cases = [contact(host, FAR) for host in (CAMERA, PHONE)]
        assert len(world.tick(old, 1, cases)) == 2

        new = ports(world, msgspec.structs.replace(kept, severity="critical"), msgspec.structs.replace(changed, allow=(DNS,)))
        new.adopt(old)

        assert [alert.rule for alert in world.tick(new, 2, cases)] == ["changed"]
        assert list(old.close(T0, world.roster)) == []

    def test_what_waits_goes_on_waiting_after_a_reload(self) -> None:
        world = network()
        old, new = apps(world, allow=()), apps(world, allow=())
        world.tick(old, 1, [contact(CAMERA, FAR, app="https", by="port")])

        new.adopt(old)

        assert len(world.tick(new, 6)) == 1

    def test_memory_is_bounded(self) -> None:
        world = network()
        family = ports(world, allow=(), scope="network")

        for at in range(20):
            world.tick(family, at, [contact(CAMERA, FAR, f"tcp/{at * 100 + n + 1}") for n in range(100)])

        assert family.n_bytes() < 1 << 16


def test_without_rules_there_is_no_family() -> None:
    assert make_ports([], network().context) == []


SERVICES = st.sampled_from(["tcp/22", "tcp/80", "tcp/443", "tcp/444", "udp/53", "icmp"])
RANGES = st.sampled_from(
    [PortRange(6, 22, 22), PortRange(6, 80, 443), PortRange(6, 0, 65535), PortRange(17, 0, 1000), PortRange(1, 0, 65535)]
)
LISTS = st.lists(RANGES, max_size=3).map(tuple)
SCOPES = st.sampled_from(["local", "192.168.1.0/24", CAMERA, PHONE])
RULES = st.builds(
    lambda scope, role, ranges, allows: {"scope": scope, "role": role, "allow" if allows else "deny": ranges},
    SCOPES,
    st.sampled_from(["client", "server"]),
    LISTS,
    st.booleans(),
)
CONTACTS = st.tuples(
    st.sampled_from([CAMERA, PHONE, "10.0.0.9"]), st.sampled_from([FAR, OTHER]), SERVICES, st.sampled_from(["client", "server"])
)


@given(st.lists(RULES, min_size=1, max_size=5), st.lists(st.lists(CONTACTS, max_size=6), max_size=4))
def test_services_are_told_as_a_simple_model_does(
    rules: list[dict[str, Any]], ticks: list[list[tuple[str, str, str, str]]]
) -> None:
    world = World([Host(CAMERA), Host(PHONE), Host("10.0.0.9")])
    specs = [PortsSpec(kind="ports", name=str(number), **rule) for number, rule in enumerate(rules)]
    family = ports(world, *specs)
    seen: set[tuple[str, ...]] = set()

    for at, contacts in enumerate(ticks):
        alerts = world.tick(family, at, [contact(local, peer, port, role=role) for local, peer, port, role in contacts])

        told = [(alert.rule, alert.host, str(alert.evidence["peer"]), str(alert.evidence["service"])) for alert in alerts]
        expected = {
            (name, local, peer, port) for local, peer, port, role in contacts for name in model_violated(specs, local, port, role)
        }
        assert set(told) == expected - seen
        assert len(told) == len(set(told))
        seen |= expected


def model_violated(specs: list[PortsSpec], local: str, service: str, role: str) -> list[str]:
    """Return the names of the rules that do not let `local` use a service."""
    violated = []
    for allows in (True, False):
        governing = [
            spec
            for spec in specs
            if spec.role == role and (spec.allow is not None) == allows and scope_width(spec.scope, local) is not None
        ]
        if governing:
            spec = min(governing, key=lambda each: scope_width(each.scope, local) or 0)
            is_listed = any(has_service(each, service) for each in (spec.allow if allows else spec.deny) or ())
            if is_listed != allows:
                violated.append(spec.name)
    return violated


def scope_width(scope: str, local: str) -> int | None:
    if scope == "local":
        return 1 << 40
    hosts = ipaddress.ip_network(scope)
    return hosts.num_addresses if ipaddress.ip_address(local) in hosts else None


def has_service(ports: PortRange, service: str) -> bool:
    name, _, port = service.partition("/")
    return ports.protocol == {"tcp": 6, "udp": 17, "icmp": 1}[name] and ports.low <= int(port or 0) <= ports.high
