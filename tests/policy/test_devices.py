"""Devices, services as text, and the tables behind rules about contacts."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from fastmon.errors import ConfigError
from fastmon.model.addresses import key_from_text
from fastmon.model.protocols import service_text
from fastmon.policy import contact_memory, contacts
from fastmon.policy.devices import LocalHosts, device_ids, device_text, parse_device
from fastmon.policy.hosts import find_router_macs
from fastmon.policy.key_index import GONE
from fastmon.policy.services import merge_ranges, parse_service, range_text
from fastmon.policy.specs import AppsSpec, PortRange, PortsSpec
from fastmon.policy.told import ToldTable
from fastmon.policy.watched_rows import WatchedRows
from policy.world import Host, World, contact

MAC = 0x02_00_5E_10_00_14


def keys_of(*addresses: str) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(map(key_from_text, addresses)), np.uint8).reshape(-1, 16)


def test_a_device_is_its_ethernet_address_or_its_address() -> None:
    keys = keys_of("10.0.0.1", "fd00::1", "10.0.0.2")

    ids = device_ids(keys, np.array([MAC, MAC, 0], np.uint64), np.empty(0, np.uint64))

    texts = [device_text(each.tobytes()) for each in ids]
    assert texts == ["02:00:5e:10:00:14", "02:00:5e:10:00:14", "10.0.0.2"]
    assert [parse_device(text) for text in texts] == [each.tobytes() for each in ids]
    with pytest.raises(ConfigError, match="invalid address 'camera'"):
        parse_device("camera")


@pytest.mark.parametrize(("n_hosts", "is_router"), [(8, False), (9, True)])
def test_an_ethernet_address_of_many_ipv4_hosts_is_a_routers(n_hosts: int, is_router: bool) -> None:
    keys = keys_of(*(f"10.0.0.{number}" for number in range(n_hosts)), *(f"fd00::{number}" for number in range(20)))
    macs = np.full(len(keys), MAC, np.uint64)

    assert find_router_macs(keys, macs).tolist() == [MAC] * is_router
    assert len(find_router_macs(keys, macs * np.uint64(0))) == 0


def test_local_hosts_are_found_and_followed() -> None:
    world = World([Host("192.0.2.1", local=False), Host("10.0.0.9"), Host("10.0.0.1")])
    local_hosts = LocalHosts()
    asked = keys_of("10.0.0.1", "192.0.2.1", "10.0.0.9", "10.0.0.5")
    assert local_hosts.rows_of(asked).tolist() == [GONE] * 4

    for _ in range(2):
        world.roster.update(world.totals())
        local_hosts.update(world.roster)
        assert local_hosts.rows_of(asked).tolist() == [2, GONE, 1, GONE]
    world.hosts.append(Host("10.0.0.5"))
    del world.hosts[0]
    world.roster.update(world.totals())
    local_hosts.update(world.roster)
    assert local_hosts.rows_of(asked).tolist() == [1, GONE, 0, 2]


@pytest.mark.parametrize(
    ("protocol", "port", "text"), [(6, 443, "tcp/443"), (17, 53, "udp/53"), (1, 0, "icmp"), (200, 0, "200"), (132, 9, "sctp/9")]
)
def test_services_have_a_text(protocol: int, port: int, text: str) -> None:
    assert service_text(protocol, port) == text
    assert parse_service(text) == (protocol, port)


@pytest.mark.parametrize("text", ["", "gopher", "tcp/70000", "tcp/x", "300", "-1"])
def test_a_wrong_service_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_service(text)


def test_ranges_have_a_text() -> None:
    ranges = (PortRange(6, 0, 65535), PortRange(17, 53, 53), PortRange(6, 1, 9), PortRange(99, 0, 65535))

    assert list(map(range_text, ranges)) == ["tcp", "udp/53", "tcp/1-9", "99"]


PORTS = st.integers(0, 40)
RANGES = st.builds(lambda protocol, a, b: PortRange(protocol, min(a, b), max(a, b)), st.sampled_from([6, 17]), PORTS, PORTS)


@given(st.lists(RANGES, max_size=8))
def test_merged_ranges_have_the_same_ports_and_do_not_touch(ranges: list[PortRange]) -> None:
    def ports(some: list[PortRange]) -> set[tuple[int, int]]:
        return {(each.protocol, port) for each in some for port in range(each.low, each.high + 1)}

    merged = merge_ranges(ranges)

    assert ports(merged) == ports(ranges)
    assert all(a.protocol < b.protocol or a.high + 1 < b.low for a, b in pairwise(merged))


KEYS = st.lists(st.binary(min_size=3, max_size=3), max_size=10, unique=True)


@given(st.lists(KEYS, max_size=5))
def test_a_told_table_is_a_set(batches: list[list[bytes]]) -> None:
    table, model = ToldTable(3, 1000), set[bytes]()

    for at, batch in enumerate(batches):
        keys = np.array(batch, "S3")
        assert table.contain(keys).tolist() == [key in model for key in batch]
        new = keys[~table.contain(keys)]
        table.add(new, np.full(len(new), at))
        model |= set(batch)
        assert len(table) == len(model)


def test_a_full_told_table_forgets_what_was_seen_longest_ago() -> None:
    table = ToldTable(1, 8)

    table.add(np.array(list("hgfedcba"), "S1"), np.arange(8))
    table.add(np.array(["i"], "S1"), np.array([9]))

    assert table.keys.tolist() == [b"a", b"b", b"c", b"d", b"e", b"i"]
    assert table.seen_ns.tolist() == [7, 6, 5, 4, 3, 9]


def test_a_full_memory_tells_the_oldest_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contact_memory, "MAX_TOLD", 8)
    world = World([Host(f"10.0.0.{number}") for number in range(1, 11)])
    (family,) = contacts.make_ports([PortsSpec(kind="ports", name="all", allow=())], world.context)
    cases = [contact(host.address, "192.0.2.1") for host in world.hosts]

    for at, case in enumerate(cases):
        assert len(world.tick(family, at, [case])) == 1
    assert world.tick(family, 20, [cases[9]]) == []
    assert len(world.tick(family, 21, [cases[0]])) == 1


def test_what_cannot_wait_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contacts, "MAX_WAITING", 2)
    world = World([Host(f"10.0.0.{number}") for number in range(1, 4)])
    (family,) = contacts.make_apps([AppsSpec(kind="apps", name="all", allow=())], world.context)
    guesses = [contact(host.address, "192.0.2.1", app="https", by="port") for host in world.hosts]

    assert [alert.host for alert in world.tick(family, 1, guesses)] == ["10.0.0.3"]
    assert [alert.host for alert in world.tick(family, 6)] == ["10.0.0.1", "10.0.0.2"]


def test_watched_rows_follow_their_hosts() -> None:
    watched = WatchedRows(np.dtype([("value", "i8")]))
    watched.follow(np.array([1, 0]), 2)
    watched.add(np.array([5, 2]), np.array([(50,), (20,)], watched.values.dtype))
    watched.add(np.array([0]), np.array([(0,)], watched.values.dtype))

    watched.follow(None, 9)
    assert watched.find(np.array([5, 0, 1])).tolist() == [2, 0, GONE]
    watched.follow(np.array([5, GONE, 0, 1]), 4)

    assert watched.rows.tolist() == [0, 2]
    assert watched.values["value"].tolist() == [50, 0]
