"""Which Ethernet address a local host has (docs/conversations.md, rule 2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import builders as b
import pytest
from conversation_tools import LOCAL_1, LOCAL_2, REMOTE_1, account_all, finish, mac, rotate, udp

from fastmon.accounting import Accountant
from fastmon.model.frames import Frame

Make: TypeAlias = Callable[..., Accountant]

NONE, MAC_1, MAC_2, GROUP = bytes(6), b"\x02\x00\x00\x00\x00\x01", b"\x02\xff\x00\xee\x00\x02", b"\x01\x00\x5e\x00\x00\x01"


def frame(src: str, dst: str, sport: int = 1, *, src_mac: bytes = MAC_1, dst_mac: bytes = MAC_2) -> Frame:
    packet = b.ipv4(src, dst, b.udp(sport, 2))
    return Frame(0, 100, 1, b.ethernet(b.IPV4, packet, src=src_mac, dst=dst_mac))


def test_source_and_destination_of_local_hosts(make: Make) -> None:
    target = make()
    account_all(target, frame(LOCAL_1, LOCAL_2))
    snapshot = rotate(target)
    assert (mac(snapshot, LOCAL_1), mac(snapshot, LOCAL_2)) == (MAC_1, MAC_2)


def test_remote_hosts_have_none(make: Make) -> None:
    target = make()
    account_all(target, frame(LOCAL_1, REMOTE_1))
    snapshot = rotate(target)
    assert (mac(snapshot, LOCAL_1), mac(snapshot, REMOTE_1)) == (MAC_1, NONE)


def test_without_local_networks_there_are_none(make: Make) -> None:
    target = make(local_networks=[])
    account_all(target, frame(LOCAL_1, LOCAL_2))
    assert mac(rotate(target), LOCAL_1) == NONE


@pytest.mark.parametrize("address", [GROUP, b"\xff" * 6, NONE])
def test_group_addresses_and_zeros_are_none(make: Make, address: bytes) -> None:
    target = make()
    account_all(target, frame(LOCAL_1, LOCAL_2, src_mac=address, dst_mac=address))
    snapshot = rotate(target)
    assert (mac(snapshot, LOCAL_1), mac(snapshot, LOCAL_2)) == (NONE, NONE)
    account_all(target, frame(LOCAL_1, LOCAL_2, 7), frame(LOCAL_1, LOCAL_2, 8, src_mac=address, dst_mac=address))
    assert mac(rotate(target), LOCAL_1) == MAC_1


def test_latest_opening_says_it(make: Make) -> None:
    target = make()
    account_all(target, frame(LOCAL_1, REMOTE_1, 1), frame(LOCAL_1, REMOTE_1, 1, src_mac=MAC_2))
    assert mac(rotate(target), LOCAL_1) == MAC_1
    account_all(target, frame(LOCAL_1, REMOTE_1, 9, src_mac=MAC_2))
    assert mac(rotate(target), LOCAL_1) == MAC_2


def test_destination_says_it_of_a_host_that_talks_to_itself(make: Make) -> None:
    target = make()
    account_all(target, frame(LOCAL_1, LOCAL_1))
    assert mac(rotate(target), LOCAL_1) == MAC_2


def test_other_link_types_say_nothing(make: Make) -> None:
    target = make()
    packet = b.ipv4(LOCAL_1, LOCAL_2, b.udp(1, 2))
    cooked = Frame(0, 100, 113, b.sll(b.IPV4, packet))
    raw = Frame(0, 100, 101, packet)
    preamble = Frame(0, 100, 274, b"\x55" * 7 + b"\xd5" + b.ethernet(b.IPV4, packet))
    account_all(target, cooked, raw, preamble)
    assert mac(rotate(target), LOCAL_1) == NONE


def test_outermost_ethernet_header_says_it(make: Make) -> None:
    target = make()
    tagged = b.ethernet(b.VLAN, b.vlan(b.IPV4, b.ipv4(LOCAL_1, LOCAL_2, b.udp(1, 2))), src=MAC_1, dst=MAC_2)
    account_all(target, Frame(0, 100, 1, tagged))
    assert mac(rotate(target), LOCAL_2) == MAC_2


def test_host_keeps_it(make: Make) -> None:
    target = make()
    account_all(target, frame(LOCAL_1, REMOTE_1))
    rotate(target)
    account_all(target, udp(LOCAL_1, 1, REMOTE_1, 2))
    assert mac(rotate(target), LOCAL_1) == MAC_1
    _, summary = finish(target)
    assert mac(summary, LOCAL_1) == MAC_1


def test_host_in_the_place_of_another_has_not_its_address(make: Make) -> None:
    target = make(max_hosts=1, local_networks=["10.0.0.1/32", "10.0.0.2/32"])
    packet = b.ipv4(LOCAL_2, LOCAL_2, b.udp(1, 2))
    account_all(target, frame(REMOTE_1, REMOTE_1), Frame(0, 100, 101, packet))
    assert mac(rotate(target), LOCAL_2) == NONE


def test_merge_takes_it_over(make: Make) -> None:
    merged, shard = make(), make()
    account_all(merged, frame(LOCAL_1, LOCAL_2))
    account_all(shard, frame(LOCAL_1, LOCAL_2, src_mac=MAC_2, dst_mac=NONE))
    merged.merge(shard)
    snapshot = rotate(merged)
    assert (mac(snapshot, LOCAL_1), mac(snapshot, LOCAL_2)) == (MAC_2, MAC_2)


def test_top_and_chunks_keep_the_order(make: Make) -> None:
    target = make()
    account_all(target, frame(LOCAL_1, REMOTE_1), frame(LOCAL_2, REMOTE_1, src_mac=MAC_2), frame(LOCAL_2, REMOTE_1))
    top = rotate(target).top(2)
    assert [row.host for row in top] == [REMOTE_1, LOCAL_2]
    assert mac(top, LOCAL_2) == MAC_2
