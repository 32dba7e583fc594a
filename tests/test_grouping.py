"""Hosts grouped by device and by IPv6 prefix."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pytest
from fakes import T0, S
from hypothesis import given, settings
from hypothesis import strategies as st

from fastmon.errors import ConfigError
from fastmon.model.addresses import key_from_text, keys_to_text
from fastmon.model.conversations import APP_DTYPE, APP_TOTAL_DTYPE, ConversationCounts
from fastmon.model.grouping import UNGROUPED, Grouping, group_hosts
from fastmon.model.rows import HOST_DTYPE, MAX_ADDRESSES
from fastmon.model.snapshot import Count, Counters, Interval, Snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

MINUTE = Interval(T0, T0 + 60 * S)
BY_MAC, BY_64 = Grouping(by_mac=True), Grouping(v6_prefix=64)
COUNTERS = ("bytes_in", "bytes_out", "packets_in", "packets_out")

Host: TypeAlias = tuple[str, int, tuple[int, int, int, int], bool, bool]
"""Address, MAC, counters, local, flagged."""

ADDRESSES = [
    *("10.0.0.1", "10.0.0.2", "192.0.2.7", "169.254.0.9", "0.0.0.0", "255.255.255.255"),
    *("fe80::1", "fe80::2", "2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", "2001:db9::", "::", "::1", "::fffe:0:1", "ff02::fb"),
]
NUMBERS = st.integers(0, 1000)
HOSTS = st.lists(
    st.tuples(
        st.sampled_from(ADDRESSES),
        st.sampled_from([0, 0, 1, 2, 2**48 - 1]),
        st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS),
        st.booleans(),
        st.booleans(),
    ),
    unique_by=lambda host: host[0],
)
GROUPINGS = st.builds(Grouping, st.booleans(), st.sampled_from([1, 3, 32, 63, 64, 80, 96, 97, 127, 128]))


def snapshot_of(hosts: list[Host], apps: Sequence[tuple[int, int, int]] = ()) -> Snapshot:
    """Return a snapshot of `hosts`, times by their number; `apps`: (host, app, share): a share of its counters, in 100."""
    table = np.zeros(len(hosts), HOST_DTYPE)
    for number, (address, _, counters, _, _) in enumerate(hosts):
        table[number] = (list(key_from_text(address)), *counters, T0 + number, T0 + 10 * number)
    shares = [(host, app, *(n * share // 100 for n in hosts[host][2])) for host, app, share in sorted(apps)]
    totals = [sum(host[2][column] for host in hosts) for column in range(4)]
    return Snapshot(
        MINUTE,
        Counters(ip=Count(totals[2], totals[0]), frames=Count(totals[2], totals[0])),
        table,
        table["bytes_in"] * 2,
        table["bytes_out"] * 3,
        np.array([host[3] for host in hosts], np.bool_),
        np.array([host[4] for host in hosts], np.bool_),
        apps=np.array(shares, APP_DTYPE),
        app_totals=np.array([(7, 0, 0)], APP_TOTAL_DTYPE),
        macs=np.array([host[1] for host in hosts], np.uint64),
        conversations=ConversationCounts(opened=3),
    )


def plain(address: str, mac: int = 0, size: int = 10, *, local: bool = True, flagged: bool = False) -> Host:
    return address, mac, (size, size, 1, 1), local, flagged


def test_addresses_of_a_device_are_one_row() -> None:
    hosts = [
        plain("2001:db8::5", 7, 900),
        plain("fe80::5", 7, 5000),
        plain("192.168.1.5", 7, 1, flagged=True),
        plain("10.9.9.9", 0, 3),
    ]
    snapshot = snapshot_of(hosts, [(0, 3, 100), (1, 3, 50), (1, 9, 25), (3, 9, 100)])
    grouped = group_hosts(snapshot, BY_MAC)
    other, device = grouped
    assert other.host == "10.9.9.9"
    assert device[:7] == ("192.168.1.5", 5901, 5901, 3, 3, T0, T0 + 20)
    assert (device.total_bytes_in, device.total_bytes_out, device.local, device.flagged) == (11802, 17703, True, True)
    assert grouped.macs is not None
    assert grouped.macs.tolist() == [0, 7]
    assert grouped.device_addresses() == [[], ["192.168.1.5", "2001:db8::5", "fe80::5"]]
    assert grouped.apps.tolist() == [(0, 9, 3, 3, 1, 1), (1, 3, 3400, 3400, 1, 1), (1, 9, 1250, 1250, 0, 0)]
    assert grouped.conversations == snapshot.conversations
    assert grouped.app_totals.tolist() == snapshot.app_totals.tolist()


def test_most_telling_address_of_a_family_has_the_most_bytes() -> None:
    hosts = [
        plain("169.254.1.1", 7, 99),
        plain("10.0.0.1", 7, 5),
        plain("10.0.0.2", 7, 6),
        plain("10.0.0.3", 7, 6),
        plain("fd00::1", 7, 50),
    ]
    assert group_hosts(snapshot_of(hosts), BY_MAC).device_addresses() == [
        ["10.0.0.2", "10.0.0.3", "10.0.0.1", "fd00::1", "169.254.1.1"]
    ]


def test_addresses_of_a_prefix_are_one_row() -> None:
    hosts = [
        plain("2001:db8::1", 7),
        plain("10.0.0.1", 8),
        plain("2001:db8::2:0:0:1"),
        plain("2001:db8:0:1::1"),
        plain("10.0.0.2"),
    ]
    grouped = group_hosts(snapshot_of(hosts), BY_64)
    assert {row.host: row.bytes_in for row in grouped} == {
        "10.0.0.1": 10,
        "10.0.0.2": 10,
        "2001:db8::/64": 20,
        "2001:db8:0:1::/64": 10,
    }
    assert grouped.macs is not None
    assert dict(zip(grouped.host_texts(), grouped.macs.tolist(), strict=True))["10.0.0.1"] == 8
    assert grouped.device_addresses() == [[]] * 4


def test_devices_come_before_prefixes() -> None:
    hosts = [plain("2001:db8::1", 7), plain("2001:db8::2"), plain("10.0.0.1", 7), plain("2001:db8::3")]
    grouped = group_hosts(snapshot_of(hosts), Grouping(by_mac=True, v6_prefix=64))
    assert [(row.host, row.bytes_in) for row in grouped] == [("2001:db8::/64", 20), ("10.0.0.1", 20)]


def test_device_of_a_single_ipv6_address_is_no_prefix() -> None:
    grouped = group_hosts(snapshot_of([plain("2001:db8::1", 7)]), Grouping(by_mac=True, v6_prefix=64))
    assert grouped.host_texts() == ["2001:db8::1"]


@pytest.mark.parametrize(
    ("length", "text"), [(1, "8000::/1"), (12, "fff0::/12"), (96, "ffff:ffff:ffff:ffff:ffff:ffff::/96"), (128, None)]
)
def test_prefix_of_any_length(length: int, text: str | None) -> None:
    address = ":".join(["ffff"] * 8)
    grouped = group_hosts(snapshot_of([plain(address), plain("255.255.255.255")]), Grouping(v6_prefix=length))
    assert sorted(grouped.host_texts()) == sorted([text or address, "255.255.255.255"])


@pytest.mark.parametrize("length", [0, -1, 129])
def test_no_prefix_length(length: int) -> None:
    with pytest.raises(ConfigError, match=f"must be between 1 and 128, not {length}"):
        Grouping(v6_prefix=length)


def test_addresses_of_a_device_are_bounded() -> None:
    hosts = [plain(f"2001:db8::{number:x}", 7, number) for number in range(1, 200)]
    (addresses,) = group_hosts(snapshot_of(hosts), BY_MAC).device_addresses()
    assert addresses == [f"2001:db8::{number:x}" for number in range(199, 199 - MAX_ADDRESSES, -1)]


def test_top_and_chunks_keep_what_belongs_to_rows() -> None:
    hosts = [
        plain("10.0.0.1", 1, 5),
        plain("fd00::1", 1, 5),
        plain("10.0.0.2", 2, 30),
        plain("fd00::2", 2, 1),
        plain("10.0.0.3", 3, 20),
    ]
    top = group_hosts(snapshot_of(hosts), BY_MAC).top(2)
    assert top.host_texts() == ["10.0.0.2", "10.0.0.3"]
    assert top.device_addresses() == [["10.0.0.2", "fd00::2"], ["10.0.0.3"]]
    assert top.grouping == BY_MAC
    assert [chunk.device_addresses() for chunk in top.chunks()] == [top.device_addresses()]


def test_merged_devices_are_one() -> None:
    one = group_hosts(snapshot_of([plain("10.0.0.1", 7, 9), plain("fd00::1", 7), plain("10.0.0.3", 8)]), BY_MAC)
    two = group_hosts(snapshot_of([plain("10.0.0.2", 7, 50), plain("fd00::1", 7)]), BY_MAC)
    merged = one.merge(two)
    assert [(row.host, row.bytes_in) for row in merged] == [("10.0.0.2", 79), ("10.0.0.3", 10)]
    assert merged.device_addresses() == [["10.0.0.2", "10.0.0.1", "fd00::1"], ["10.0.0.3"]]
    assert two.merge(one).device_addresses() == merged.device_addresses()
    assert merged.grouping == BY_MAC


def test_bytes_of_an_address_are_those_since_the_start_in_one_run() -> None:
    """However many of the run's intervals are merged: the totals since the start of each are not added up."""
    quiet = group_hosts(snapshot_of([plain("10.0.0.1", 7, 9)]), BY_MAC)
    busy = group_hosts(snapshot_of([plain("10.0.0.2", 7, 10)]), BY_MAC)
    assert quiet.merge(quiet, busy, quiet).device_addresses() == [["10.0.0.2", "10.0.0.1"]]


def test_merged_prefixes_are_one() -> None:
    one, two = (group_hosts(snapshot_of([plain(address)]), BY_64) for address in ("2001:db8::1", "2001:db8::2"))
    assert [(row.host, row.bytes_in) for row in one.merge(two)] == [("2001:db8::/64", 20)]


def test_different_groupings_do_not_merge() -> None:
    snapshot = snapshot_of([plain("10.0.0.1", 7)])
    with pytest.raises(ValueError, match="grouped differently"):
        snapshot.merge(group_hosts(snapshot, BY_MAC))
    with pytest.raises(ValueError, match="grouped already"):
        group_hosts(group_hosts(snapshot, BY_MAC), BY_64)


def test_ungrouped_is_the_same_snapshot() -> None:
    snapshot = snapshot_of([plain("10.0.0.1", 7)])
    assert group_hosts(snapshot, UNGROUPED) is snapshot


def test_without_ethernet_addresses_nothing_is_grouped_by_them() -> None:
    snapshot = replace(snapshot_of([plain("10.0.0.1"), plain("fd00::1")]), macs=None)
    assert [row[:3] for row in group_hosts(snapshot, BY_MAC)] == [row[:3] for row in snapshot]
    assert group_hosts(snapshot, BY_64).host_texts() == ["10.0.0.1", "fd00::/64"]
    assert group_hosts(snapshot, BY_64).macs is None


def test_snapshot_that_is_grouped_is_left_as_it_was() -> None:
    snapshot = snapshot_of([plain("fd00::1", 7), plain("fd00::2", 7)])
    before = list(snapshot)
    for grouping in (BY_MAC, BY_64):
        assert not group_hosts(snapshot, grouping).hosts.flags.writeable
    assert list(snapshot) == before


def groups_of(hosts: list[Host], grouping: Grouping) -> dict[object, list[int]]:
    """The numbers of the hosts of each group, told without the code under test."""
    groups: dict[object, list[int]] = {}
    for number, (address, mac, *_) in enumerate(hosts):
        name: object = address
        if grouping.by_mac and mac:
            name = mac
        elif ":" in address:
            bits = int.from_bytes(key_from_text(address), "big") >> 128 - grouping.v6_prefix
            name = "prefix", bits
        groups.setdefault(name, []).append(number)
    return groups


@settings(deadline=None)
@given(HOSTS, GROUPINGS, st.data())
def test_grouping_conserves_sums(hosts: list[Host], grouping: Grouping, data: st.DataObject) -> None:
    app = st.tuples(st.integers(0, len(hosts) - 1), st.integers(1, 3), st.integers(0, 33))
    apps = data.draw(st.lists(app, unique_by=lambda entry: entry[:2])) if hosts else []
    snapshot = snapshot_of(hosts, apps)
    grouped = group_hosts(snapshot, grouping)
    groups = groups_of(hosts, grouping)
    expected = sorted(tuple(sum(hosts[n][2][column] for n in members) for column in range(4)) for members in groups.values())
    assert sorted(zip(*(grouped.hosts[name].tolist() for name in COUNTERS), strict=True)) == expected
    assert sorted(grouped.hosts["first_seen_ns"].tolist()) == sorted(T0 + members[0] for members in groups.values())
    assert sorted(grouped.hosts["last_seen_ns"].tolist()) == sorted(T0 + 10 * members[-1] for members in groups.values())
    for name, place in (("local", 3), ("flagged", 4)):
        assert getattr(grouped, name).sum() == sum(any(hosts[n][place] for n in members) for members in groups.values())
    for name in ("total_bytes_in", "total_bytes_out"):
        assert getattr(grouped, name).sum() == getattr(snapshot, name).sum()
    assert app_sums(grouped) == app_sums(snapshot)
    assert len({(text, addresses[0] if addresses else "") for text, addresses in named(grouped)}) == len(groups)
    grouped._check_apps()


@settings(deadline=None)
@given(HOSTS, GROUPINGS)
def test_grouped_totals_hold(hosts: list[Host], grouping: Grouping) -> None:
    even = [(address, mac, (size, size, n, n), local, flagged) for address, mac, (size, _, n, _), local, flagged in hosts]
    grouped = group_hosts(snapshot_of(even), grouping)
    grouped.check_conservation()
    assert len(set(grouped.host_texts())) == len(grouped)


def app_sums(snapshot: Snapshot) -> Counter[tuple[int, str]]:
    """What each application moved, over all hosts."""
    sums: Counter[tuple[int, str]] = Counter()
    for entry in snapshot.apps:
        sums.update({(int(entry["app"]), name): int(entry[name]) for name in COUNTERS})
    return sums


def named(snapshot: Snapshot) -> list[tuple[str, list[str]]]:
    """The rows' texts and addresses; the text of a row that has addresses is the first of them."""
    rows = list(zip(snapshot.host_texts(), snapshot.device_addresses(), strict=True))
    assert [text for text, addresses in rows if addresses and addresses[0] != text] == []
    assert keys_to_text(snapshot.hosts["key"]) == [text.partition("/")[0] for text, _ in rows]
    return rows
