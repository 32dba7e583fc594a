"""Scopes: what each text means, which hosts it matches, and which of several governs a host."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from fnmatch import fnmatch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fastmon.errors import ConfigError
from fastmon.model.addresses import key_from_text, parse_network
from fastmon.policy.scopes import NO_SCOPE, NamePatterns, Prefixes, assign_scopes, parse_mac, parse_scope

APPLE = 0xAC_BC_32_00_00_01
MINE = 0x02_00_5E_10_00_14

GROUPS = {
    "cameras": ["192.168.1.40", "192.168.1.48/29", "02:00:5e:10:00:14"],
    "players": ["name:tv-*", "vendor:apple*"],
    "nested": ["group:cameras"],
    "empty": [],
}


@dataclass
class Hosts:
    """Hosts by (address, local, MAC, name)."""

    rows: list[tuple[str, bool, int, str]]

    @property
    def keys(self) -> NDArray[np.uint8]:
        return np.frombuffer(b"".join(key_from_text(row[0]) for row in self.rows), np.uint8).reshape(-1, 16)

    @property
    def local(self) -> NDArray[np.bool_]:
        return np.array([row[1] for row in self.rows], np.bool_)

    @property
    def macs(self) -> NDArray[np.uint64]:
        return np.array([row[2] for row in self.rows], np.uint64)

    def name(self, row: int) -> str:
        return self.rows[row][3]


HOSTS = Hosts(
    [
        ("192.168.1.40", True, 0, ""),
        ("192.168.1.50", True, APPLE, "tv-kitchen"),
        ("192.168.1.56", True, MINE, "TV-hall.lan"),
        ("192.0.2.1", False, 0, "example.org"),
        ("fe80::1", True, APPLE, ""),
        ("2001:db8::5", False, 0, "tv"),
    ]
)


def matched(text: str) -> list[int]:
    return np.flatnonzero(parse_scope(text, GROUPS).matches(HOSTS, np.arange(len(HOSTS.rows)))).tolist()


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("all", [0, 1, 2, 3, 4, 5]),
        ("network", [0, 1, 2, 3, 4, 5]),
        ("local", [0, 1, 2, 4]),
        ("192.168.1.40", [0]),
        ("fe80::1%eth0", [4]),
        ("192.168.1.48/29", [1]),
        ("192.168.1.0/24", [0, 1, 2]),
        ("0.0.0.0/0", [0, 1, 2, 3]),
        ("::/0", [4, 5]),
        ("2001:db8::/32", [5]),
        ("02:00:5E:10:00:14", [2]),
        ("02-00-5e-10-00-14", [2]),
        ("vendor:APPLE*", [1, 4]),
        ("vendor:apple", []),
        ("name:tv-*", [1, 2]),
        ("name:TV-KITCHEN", [1]),
        ("name:tv?kitchen", [1]),
        ("group:cameras", [0, 1, 2]),
        ("group:players", [1, 2, 4]),
        ("group:empty", []),
    ],
)
def test_a_scope_matches(text: str, rows: list[int]) -> None:
    assert matched(text) == rows


def test_rows_are_those_asked_for() -> None:
    scope = parse_scope("local", {})

    assert scope.matches(HOSTS, np.array([3, 4, 0])).tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "invalid scope ''"),
        ("everything", "invalid scope 'everything': use an address"),
        ("192.168.1", "invalid scope '192.168.1'"),
        ("192.168.1.0/33", "invalid scope '192.168.1.0/33'"),
        ("00:00:00:00:00:00", "no device has the MAC"),
        ("02:00:5e:10:00", "invalid scope"),
        ("02:00-5e:10:00:14", "invalid scope"),
        ("name:", "invalid scope 'name:'"),
        ("group:printers", "unknown group 'printers' in scope 'group:printers'; the groups are: cameras, empty, nested, players"),
        ("group:nested", "group 'nested': invalid scope 'group:cameras'"),
    ],
)
def test_a_wrong_scope_is_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("(", r"\(")):
        parse_scope(text, GROUPS)


def test_the_more_specific_scope_is_greater() -> None:
    ladder = [
        "192.168.1.40",
        "02:00:5e:10:00:14",
        "name:tv-kitchen",
        "192.168.1.48/29",
        "192.168.1.0/24",
        "2001:db8::/32",
        "group:cameras",
        "name:tv-*",
        "vendor:Apple*",
        "local",
        "all",
    ]

    numbers = [parse_scope(text, GROUPS).specificity for text in ladder]

    assert numbers == sorted(set(numbers), reverse=True)


def test_a_group_names_its_addresses_and_macs() -> None:
    scope = parse_scope("group:cameras", GROUPS)

    assert scope.addresses == (key_from_text("192.168.1.40"),)
    assert scope.macs == (MINE,)
    assert not scope.is_network


def test_of_equally_specific_scopes_the_first_wins() -> None:
    groups = {"one": ["192.168.1.0/24"], "two": ["192.168.1.40", "192.0.2.1"]}
    scopes = [parse_scope(text, groups) for text in ("group:two", "group:one", "group:two")]

    assert assign_scopes(scopes, HOSTS, np.arange(6)).tolist() == [0, 1, 1, 0, NO_SCOPE, NO_SCOPE]


def test_the_network_competes_for_no_host() -> None:
    scopes = [parse_scope(text, {}) for text in ("network", "all")]

    assert assign_scopes(scopes, HOSTS, np.arange(6)).tolist() == [1] * 6
    assert assign_scopes(scopes[:1], HOSTS, np.arange(6)).tolist() == [NO_SCOPE] * 6


def test_names_are_not_asked_for_where_none_is_needed() -> None:
    class Nameless(Hosts):
        def name(self, row: int) -> str:
            raise AssertionError(f"the name of row {row} was asked for")

    scopes = [parse_scope(text, {}) for text in ("0.0.0.0/0", "::/0", "name:tv-*")]

    assert assign_scopes(scopes, Nameless(HOSTS.rows), np.arange(6)).tolist() == [0, 0, 0, 0, 1, 1]


ADDRESSES = st.sampled_from(["10.0.0.1", "10.0.0.2", "10.0.1.1", "10.1.0.1", "192.0.2.1", "fd00::1", "fd00::2", "fd00:1::1"])
MACS = st.sampled_from([0, MINE, APPLE])
NAMES = st.sampled_from(["", "tv-1", "tv-2", "phone"])
SCOPES = st.sampled_from(
    [
        *("all", "local", "network", "10.0.0.0/8", "10.0.0.0/24", "10.0.0.0/31", "10.0.0.1", "192.0.2.1", "0.0.0.0/0", "::/0"),
        *("fd00::/16", "fd00::1", "02:00:5e:10:00:14", "ac:bc:32:00:00:01", "name:tv-*", "name:tv-1", "name:*", "vendor:apple*"),
    ]
)


def model_matches(text: str, row: tuple[str, bool, int, str]) -> bool:
    address, local, mac, name = row
    kind, _, pattern = text.partition(":")
    if text in ("all", "local"):
        return text == "all" or local
    if text == "network":
        return False
    if kind == "name":
        return bool(name) and fnmatch(name, pattern)
    if kind == "vendor":
        return mac == APPLE
    if parse_mac(text):
        return parse_mac(text) == mac
    return ipaddress.ip_address(address) in ipaddress.ip_network(text)


@given(st.lists(SCOPES, max_size=8), st.lists(st.tuples(ADDRESSES, st.booleans(), MACS, NAMES), min_size=1, max_size=20))
def test_hosts_are_assigned_as_a_simple_model_does(texts: list[str], rows: list[tuple[str, bool, int, str]]) -> None:
    scopes = [parse_scope(text, {}) for text in texts]

    assigned = assign_scopes(scopes, Hosts(rows), np.arange(len(rows)))

    for row, index in zip(rows, assigned.tolist(), strict=True):
        matching = [number for number, text in enumerate(texts) if model_matches(text, row)]
        assert index == min(matching, key=lambda number: (-scopes[number].specificity, number), default=NO_SCOPE)


def test_a_key_in_several_networks_gets_the_least_number() -> None:
    networks = [parse_network(text) for text in ("10.0.0.0/8", "10.0.0.0/24", "10.0.0.1")]
    keys = np.frombuffer(b"".join(map(key_from_text, ("10.0.0.1", "10.0.0.2", "10.9.0.0", "11.0.0.0"))), np.uint8).reshape(-1, 16)

    assert Prefixes(networks, [3, 1, 2]).find(keys, 9).tolist() == [1, 1, 3, 9]
    assert Prefixes(networks).contain(keys).tolist() == [True, True, True, False]
    assert Prefixes([]).contain(keys).tolist() == [False] * 4


NETWORKS = st.builds(
    lambda version, number, cut: ipaddress.ip_network(
        (number << 28 if version == 4 else number << 124 | number << 62, (32 if version == 4 else 128) - cut), strict=False
    ),
    st.sampled_from([4, 6]),
    st.integers(0, 15),
    st.integers(0, 4) | st.integers(26, 32),
)


@given(st.lists(NETWORKS, max_size=12), st.data())
def test_keys_are_found_in_networks_as_a_simple_model_does(
    networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network], data: st.DataObject
) -> None:
    edges = [network[at] for network in networks for at in (0, -1)]
    near = [edge + step for edge in edges for step in (-1, 0, 1) if 0 <= int(edge) + step < 1 << edge.max_prefixlen]
    asked = [*near, ipaddress.ip_address("0.0.0.0"), ipaddress.ip_address("::"), ipaddress.ip_address("ff::1")]
    numbers = data.draw(st.lists(st.integers(0, 20), min_size=len(networks), max_size=len(networks)))
    keys = np.frombuffer(b"".join(key_from_text(str(address)) for address in asked), np.uint8).reshape(-1, 16)

    found = Prefixes([parse_network(str(network)) for network in networks], numbers).find(keys)

    expected = [
        min((number for network, number in zip(networks, numbers, strict=True) if address in network), default=NO_SCOPE)
        for address in asked
    ]
    assert found.tolist() == expected


def test_no_pattern_matches_no_name() -> None:
    assert not NamePatterns([])
    assert not NamePatterns([]).match("x")
    assert not NamePatterns(["*"]).match("")
    assert not NamePatterns(["*"]).match(None)
    assert NamePatterns(["a.*", "*.B"]).match("x.b")
