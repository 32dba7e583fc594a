"""Learning: what was seen becomes rules that tell nothing of it, and everything else."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fastmon.model.alerts import Alert
from fastmon.model.services import CONTACT_DTYPE
from fastmon.policy import learning, learnt_rules
from fastmon.policy.contacts import ContactFamily, make_apps, make_peers, make_ports
from fastmon.policy.learning import Learner
from fastmon.policy.learnt_rules import Habits, write_rules
from fastmon.policy.rules import View
from fastmon.policy.services import parse_service
from fastmon.policy.specs import AppsSpec, PeersSpec, PortRange, PortsSpec
from policy.world import APPS, T0, Host, S, World, contact

CAMERA, PHONE, FAR, OTHER = "192.168.1.40", "192.168.1.41", "203.0.113.9", "198.51.100.7"
MAC = 0xAC_BC_32_00_00_01


def network() -> World:
    world = World([Host(CAMERA, mac=MAC), Host("fe80::1", mac=MAC), Host(PHONE), Host(FAR, local=False)])
    world.call(CAMERA, "Camera.lan", "dhcp")
    return world


def learn(world: World, *ticks: tuple[float, list[NDArray[np.void]]]) -> Learner:
    learner = Learner(APPS, world.names)
    for at, contacts in ticks:
        joined = np.concatenate([*contacts, np.empty(0, CONTACT_DTYPE)])
        view = View(copy_totals=world.totals, take_contacts=lambda joined=joined: joined)  # type: ignore[misc]
        assert list(learner.evaluate(view, T0 + int(at * S))) == []
    return learner


def rules_of(text: str) -> dict[str, dict[str, Any]]:
    rules: list[dict[str, Any]] = msgspec.toml.decode(text).get("rule", [])
    assert len({rule["name"] for rule in rules}) == len(rules)
    return {rule["name"]: rule for rule in rules}


def guards(world: World, text: str) -> list[ContactFamily]:
    """Return the families of the rules of a text."""
    by_kind: dict[str, list[dict[str, Any]]] = {}
    for rule in rules_of(text).values():
        by_kind.setdefault(rule["kind"], []).append({**rule, "allow": tuple(rule["allow"])})
    ports = [PortsSpec(**{**rule, "allow": tuple(map(port_range, rule["allow"]))}) for rule in by_kind.get("ports", ())]
    apps = [AppsSpec(**rule) for rule in by_kind.get("apps", ())]
    peers = [PeersSpec(**rule) for rule in by_kind.get("peers", ())]
    return [*make_ports(ports, world.context), *make_apps(apps, world.context), *make_peers(peers, world.context)]


def port_range(text: str) -> PortRange:
    name, _, ports = text.partition("/")
    protocol, low = parse_service(f"{name}/{ports.partition('-')[0]}" if ports else name)
    return PortRange(protocol, low, int(ports.rpartition("-")[2])) if ports else PortRange(protocol, 0, 65535)


def guard(world: World, text: str, contacts: list[NDArray[np.void]]) -> list[Alert]:
    families = guards(world, text)
    return [alert for at in (100, 200) for family in families for alert in world.tick(family, at, contacts if at == 100 else ())]


SEEN = [
    contact(CAMERA, FAR, "tcp/443", app="https", at=1),
    contact(CAMERA, "192.168.1.1", "udp/53", app="dns", at=2),
    contact(CAMERA, "192.168.1.1", "udp/53", app="dns", at=3),
    contact("fe80::1", "ff02::fb", "udp/5353", answered=False, at=4),
    contact(CAMERA, PHONE, "tcp/80", role="server", app="http", at=5),
    contact(CAMERA, PHONE, "tcp/23", role="server", answered=False, at=6),
    contact(PHONE, CAMERA, "tcp/80", app="http", at=5),
]


def test_the_rules_of_a_device_are_read_easily() -> None:
    world = network()
    world.call(FAR, "api.example.org")

    text = learn(world, (7, SEEN)).to_toml()

    device, _, phone = text.partition(f"\n# {PHONE}:")
    assert device == (
        "# Rules that were learnt. Review them: whatever was seen is allowed, wanted or not.\n"
        "\n"
        "# ac:bc:32:00:00:01: Apple, Inc.; Camera.lan; 192.168.1.40, fe80::1; 5 conversations\n"
        "\n[[rule]]\n"
        'name = "camera-client"\nkind = "ports"\nscope = "ac:bc:32:00:00:01"\nrole = "client"\n'
        "allow = [\n"
        '    "tcp/443",                               # 1 conversation\n'
        '    "udp/53",                                # 2 conversations\n'
        '    "udp/5353",                              # 1 conversation\n'
        "]\n"
        "\n[[rule]]\n"
        'name = "camera-server"\nkind = "ports"\nscope = "ac:bc:32:00:00:01"\nrole = "server"\n'
        "allow = [\n"
        '    "tcp/80",                                # 1 conversation\n'
        "]\n"
        "\n[[rule]]\n"
        'name = "camera-apps"\nkind = "apps"\nscope = "ac:bc:32:00:00:01"\n'
        "allow = [\n"
        '    "dns",                                   # 2 conversations\n'
        '    "http",                                  # 1 conversation\n'
        '    "https",                                 # 1 conversation\n'
        "]\n"
        "\n[[rule]]\n"
        'name = "camera-peers"\nkind = "peers"\nscope = "ac:bc:32:00:00:01"\n'
        "allow = [\n"
        '    "api.example.org",                       # 1 conversation\n'
        '    "192.168.1.1",                           # 2 conversations\n'
        '    "192.168.1.41",                          # 1 conversation\n'
        '    "ff02::fb",                              # 1 conversation\n'
        "]\n"
    )
    assert 'name = "device-192-168-1-41-server"' in phone
    assert rules_of(text)["device-192-168-1-41-server"]["allow"] == []


def test_what_was_seen_is_not_told_and_anything_else_is() -> None:
    world = network()
    text = learn(world, (7, SEEN)).to_toml()

    assert guard(world, text, SEEN) == []
    foreign = {
        "a service of the camera": contact(CAMERA, FAR, "tcp/8443", app="https"),
        "a service at the camera": contact(CAMERA, PHONE, "tcp/23", role="server", app="dns"),
        "an application": contact(CAMERA, FAR, "tcp/443", app="ssh"),
        "a peer": contact(CAMERA, OTHER, "tcp/443", app="https"),
        "a service of the phone": contact(PHONE, CAMERA, "tcp/443", app="http"),
    }
    for what, case in foreign.items():
        assert len(guard(world, text, [case])) == 1, what


def test_a_conversation_counts_once_however_often_it_is_given() -> None:
    world = network()
    one, two = contact(CAMERA, FAR, app="https", at=1), contact(CAMERA, FAR, app="https", at=2)

    text = learn(world, (3, [one, one, two]), (4, [two]), (5, [contact(CAMERA, FAR, app="https", at=4.5)])).to_toml()

    assert '"tcp/443",                               # 3 conversations' in text


def test_a_guess_is_learnt_only_if_no_payload_says_otherwise() -> None:
    world = network()
    guess = contact(CAMERA, FAR, "tcp/443", app="https", by="port", at=1)
    told = contact(CAMERA, FAR, "tcp/443", app="mqtt", at=1)
    other = contact(CAMERA, OTHER, "tcp/80", app="http", by="port", at=1)

    assert rules_of(learn(world, (1, [guess, other]), (2, [told]), (9, [])).to_toml())["camera-apps"]["allow"] == ["http", "mqtt"]
    assert rules_of(learn(world, (1, [guess])).to_toml())["camera-apps"]["allow"] == ["https"]


def test_two_guesses_at_one_service_are_both_learnt() -> None:
    world = network()
    seen = [
        contact(CAMERA, FAR, "tcp/443", by="none", answered=False, at=1),
        contact(CAMERA, FAR, "tcp/443", by="none", at=1),
        contact(CAMERA, FAR, "tcp/443", app="https", by="port", at=1),
    ]

    text = learn(world, (1, seen), (9, [])).to_toml()

    assert rules_of(text)["camera-apps"]["allow"] == ["https", "unknown"]
    assert guard(world, text, seen) == []


def test_what_is_seen_at_the_last_tick_is_learnt_for_remote_hosts_of_no_local_one() -> None:
    world = network()
    learner = learn(world, (1, [contact(FAR, CAMERA, "tcp/1")]))

    assert rules_of(learner.to_toml()) == {}


def test_many_things_of_one_host_do_not_displace_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learning, "MAX_ITEMS_OF_HOST", 10)
    monkeypatch.setattr(learning, "MAX_ITEMS", 12)
    world = network()
    scan = [contact(CAMERA, FAR, f"tcp/{port}", at=1) for port in range(1, 100)]
    learner = learn(world, (1, scan), (2, [contact(PHONE, FAR, f"tcp/{port}", at=2) for port in (80, 81, 82)]))

    text = learner.to_toml()

    assert "# 90 further things were seen and not remembered" in text
    assert rules_of(text)["device-192-168-1-41-client"]["allow"] == ["tcp/80", "tcp/81"]


def habits(**values: Any) -> Habits:
    return Habits(CAMERA, [CAMERA], services=Counter({(0, 6, 1): 1}), **values)


def peers_of(*peers: tuple[str, str]) -> list[str]:
    device = habits(peers=Counter(peer for peer, _ in peers), peer_names={peer: name for peer, name in peers if name})
    allow: list[str] = rules_of(write_rules([device]))["device-192-168-1-40-peers"]["allow"]
    return allow


def test_many_ports_are_joined() -> None:
    few = Counter({(0, 17, port): 1 for port in (53, *range(2000, 2015))})
    many = Counter({(0, 17, port): 1 for port in (53, *range(2000, 2016))})
    scan = Counter({(0, 6, port): 1 for port in range(1, 40)})

    def ports(services: Counter[tuple[int, int, int]]) -> list[str]:
        text = write_rules([Habits(CAMERA, [CAMERA], services=services)])
        allow: list[str] = rules_of(text)["device-192-168-1-40-client"]["allow"]
        return allow

    assert len(ports(few)) == 16
    assert ports(many) == ["udp/53", "udp/1024-65535"]
    assert ports(scan) == ["tcp"]
    assert ports(Counter({(0, 1, 0): 3, (0, 200, 0): 1})) == ["icmp", "200"]


@pytest.mark.parametrize(
    ("names", "allowed"),
    [
        (["a.example.org", "b.example.org"], ["a.example.org", "b.example.org"]),
        (["a.example.org", "b.example.org", "C.example.org"], ["*.example.org"]),
        (["example.com", "example2.com", "example3.com"], ["example.com", "example2.com", "example3.com"]),
        (["a.co.uk", "b.co.uk", "c.co.uk"], ["a.co.uk", "b.co.uk", "c.co.uk"]),
        (["tv", 'x"\n[[rule]]', "Kitchen TV.local"], ["192.0.2.0", "192.0.2.1", "192.0.2.2"]),
    ],
)
def test_names_of_one_ending_are_joined(names: list[str], allowed: list[str]) -> None:
    assert peers_of(*((f"192.0.2.{number}", name) for number, name in enumerate(names))) == allowed


def test_addresses_of_one_network_are_joined() -> None:
    assert peers_of(*((f"192.0.2.{n}", "") for n in range(4)), ("10.0.0.1", "")) == ["10.0.0.1", "192.0.2.0/24"]
    assert peers_of(*((f"2001:db8::{n}", "") for n in range(4))) == ["2001:db8::/64"]
    assert len(peers_of(*((f"224.0.0.{n}", "") for n in range(5)), ("255.255.255.255", ""))) == 6


def test_a_device_with_too_many_peers_gets_no_rule_on_them() -> None:
    text = write_rules([habits(peers=Counter(f"10.{n}.0.1" for n in range(learnt_rules.MAX_PEERS + 1)))])

    assert f"# {CAMERA} talks to 65 peers: too many for a rule." in text
    assert "device-192-168-1-40-peers" not in rules_of(text)


def test_devices_with_the_same_name_have_rules_of_their_own() -> None:
    text = write_rules([Habits("10.0.0.1", name="tv"), Habits("10.0.0.2", name="tv"), Habits("10.0.0.3", name="9tv")])

    assert {name.removesuffix("-client") for name in rules_of(text) if name.endswith("-client")} == {
        "tv",
        "tv-10-0-0-2",
        "device-10-0-0-3",
    }


def test_devices_with_the_fewest_conversations_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learnt_rules, "MAX_DEVICES", 1)

    text = write_rules([Habits("10.0.0.1"), habits()])

    assert "# 1 further devices, with fewer conversations, are left out." in text
    assert {rule["scope"] for rule in rules_of(text).values()} == {CAMERA}


def test_hostile_names_stay_in_their_comment() -> None:
    world = network()
    world.call(PHONE, 'x\n[[rule]]\nname = "evil"', "mdns")

    rules = rules_of(learn(world, (7, SEEN)).to_toml())

    assert "evil" not in rules
    assert {rule["scope"] for rule in rules.values()} == {"ac:bc:32:00:00:01", PHONE}


CONTACTS = st.builds(
    contact,
    st.sampled_from([CAMERA, PHONE, "fe80::1"]),
    st.sampled_from([FAR, OTHER, CAMERA, "192.168.1.1", "10.1.2.3", "2001:db8::1"]),
    st.sampled_from(["tcp/22", "tcp/443", "udp/53", "udp/50000", "icmp", "gre"]),
    role=st.sampled_from(["client", "server"]),
    app=st.sampled_from(list(APPS.values())),
    by=st.sampled_from(["none", "port", "payload"]),
    answered=st.booleans(),
    at=st.integers(0, 5),
)


@given(st.lists(CONTACTS, max_size=12))
def test_no_rule_tells_what_it_was_learnt_from(contacts: list[NDArray[np.void]]) -> None:
    world = network()
    world.call(OTHER, "www.example.org")

    text = learn(world, (5, contacts), (20, [])).to_toml()

    assert guard(world, text, contacts) == []
