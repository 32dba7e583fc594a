"""Which application traffic counts for, and when (docs/conversations.md: settling, relabelling)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import builders as b
import pytest
from conversation_tools import (
    ALT,
    DNS,
    HTTP,
    ICMP_APP,
    LOCAL_1,
    REMOTE_1,
    account_all,
    apps,
    back,
    ended,
    finish,
    icmp,
    label,
    network,
    out,
    ports,
    rotate,
    tcp,
    udp,
)

from fastmon.accounting import Accountant
from fastmon.errors import ConfigError
from fastmon.model.conversations import AppTables
from fastmon.model.frames import Frame

Make: TypeAlias = Callable[..., Accountant]

LABELS = {
    "protocol": (icmp(LOCAL_1, REMOTE_1), ICMP_APP, "payload"),
    "TCP port": (tcp(LOCAL_1, 40000, REMOTE_1, 80), HTTP, "port"),
    "TCP port of the sender": (tcp(LOCAL_1, 80, REMOTE_1, 40000), HTTP, "port"),
    "UDP port": (udp(LOCAL_1, 40000, REMOTE_1, 53), DNS, "port"),
    "lower port, of two known ones": (tcp(LOCAL_1, 8080, REMOTE_1, 80), HTTP, "port"),
    "higher port, if the lower one says nothing": (tcp(LOCAL_1, 8080, REMOTE_1, 81), ALT, "port"),
    "UDP on a port of TCP": (udp(LOCAL_1, 40000, REMOTE_1, 80), 0, "none"),
    "TCP on a port of UDP": (tcp(LOCAL_1, 40000, REMOTE_1, 53), 0, "none"),
    "SCTP on a port of TCP": (
        Frame(0, 100, 101, b.ipv4(LOCAL_1, REMOTE_1, b.sctp(40000, 80), protocol=b.SCTP)),
        0,
        "none",
    ),
    "protocol that is nothing": (Frame(0, 100, 101, b.ipv4(LOCAL_1, REMOTE_1, protocol=99)), 0, "none"),
}


@pytest.mark.parametrize(("frame", "app", "by"), LABELS.values(), ids=LABELS.keys())
def test_first_label(make: Make, frame: Frame, app: int, by: str) -> None:
    target = make()
    target.account(frame)
    last, summary = finish(target)
    (found,) = ended(target)
    assert (found.app, found.by) == (app, by)
    for snapshot in (last, summary):
        assert network(snapshot) == ({app: (1, 100)} if app else {})
        assert apps(snapshot, LOCAL_1) == {app: (0, 100, 0, 1)}
        assert apps(snapshot, REMOTE_1) == {app: (100, 0, 1, 0)}


def test_protocol_goes_before_ports(make: Make) -> None:
    tables = AppTables(protocols=bytes(ALT if protocol == b.TCP else 0 for protocol in range(256)), tcp_ports=ports({80: HTTP}))
    target = make(applications=tables)
    target.account(out())
    finish(target)
    assert [(found.app, found.by) for found in ended(target)] == [(ALT, "payload")]


def test_greatest_numbers(make: Make) -> None:
    target = make(applications=AppTables(tcp_ports=ports({65535: 255})))
    target.account(tcp(LOCAL_1, 65535, REMOTE_1, 65535))
    _, summary = finish(target)
    assert network(summary) == {255: (1, 100)}


def test_without_tables_all_is_unknown(make: Make) -> None:
    target = make(applications=None)
    account_all(target, out(), icmp(LOCAL_1, REMOTE_1))
    _, summary = finish(target)
    assert (len(summary.apps), len(summary.app_totals)) == (0, 0)
    assert apps(summary, LOCAL_1) == {0: (0, 200, 0, 2)}


@pytest.mark.parametrize("tables", [{"protocols": bytes(255)}, {"tcp_ports": b""}, {"udp_ports": bytes(65537)}])
def test_tables_of_another_length_are_refused(tables: dict[str, bytes]) -> None:
    with pytest.raises(ConfigError, match=next(iter(tables))):
        AppTables(**tables)


class TestSettling:
    def test_every_interval_has_its_own(self, make: Make) -> None:
        target = make()
        account_all(target, out(wire_len=60), back(wire_len=1000), udp(LOCAL_1, 1, REMOTE_1, 2, wire_len=5))
        first = rotate(target)
        assert apps(first, LOCAL_1) == {HTTP: (1000, 60, 1, 1), 0: (0, 5, 0, 1)}
        assert apps(first, REMOTE_1) == {HTTP: (60, 1000, 1, 1), 0: (5, 0, 1, 0)}
        assert network(first) == {HTTP: (2, 1060)}
        target.account(back(wire_len=2000))
        second = rotate(target)
        assert apps(second, LOCAL_1) == {HTTP: (2000, 0, 1, 0)}
        assert network(second) == {HTTP: (1, 2000)}
        third = rotate(target)
        assert network(third) == {}
        assert (len(third), len(third.apps)) == (0, 0)
        _, summary = finish(target)
        assert apps(summary, LOCAL_1) == {HTTP: (3000, 60, 2, 1), 0: (0, 5, 0, 1)}
        assert network(summary) == {HTTP: (3, 3060)}

    def test_ended_ones_count_in_the_interval(self, make: Make) -> None:
        target = make(max_conversations=1)
        account_all(target, out(), udp(LOCAL_1, 1, REMOTE_1, 53), out(flags=b.RST), out(flags=b.SYN))
        assert apps(rotate(target), LOCAL_1) == {HTTP: (0, 300, 0, 3), DNS: (0, 100, 0, 1)}

    def test_host_that_talks_to_itself_has_both_directions(self, make: Make) -> None:
        target = make()
        account_all(target, tcp(LOCAL_1, 40000, LOCAL_1, 80), tcp(LOCAL_1, 80, LOCAL_1, 40000), tcp(LOCAL_1, 80, LOCAL_1, 80))
        assert apps(rotate(target), LOCAL_1) == {HTTP: (300, 300, 3, 3)}

    def test_applications_are_ordered(self, make: Make) -> None:
        target = make()
        account_all(target, icmp(LOCAL_1, REMOTE_1), udp(LOCAL_1, 1, REMOTE_1, 53), out())
        snapshot = rotate(target)
        assert snapshot.apps["app"].tolist() == [HTTP, DNS, ICMP_APP] * 2
        assert snapshot.app_totals["app"].tolist() == [HTTP, DNS, ICMP_APP]

    def test_frames_without_length_count(self, make: Make) -> None:
        target = make()
        target.account(out(wire_len=0))
        snapshot = rotate(target)
        assert apps(snapshot, LOCAL_1) == {HTTP: (0, 0, 0, 1)}
        assert network(snapshot) == {HTTP: (1, 0)}

    def test_frame_without_conversation_is_unknown(self, make: Make) -> None:
        target = make()
        target.account(Frame(0, 100, 101, b.ipv6("fd00::1", "fd00::2", b.extension6(17, b"")[:7], next_header=0)))
        snapshot = rotate(target)
        assert snapshot.host_apps() == [{0: (0, 100, 0, 1)}, {0: (100, 0, 1, 0)}]
        assert snapshot.network_apps()[0].frames == 1


class TestRelabelling:
    def test_within_an_interval_all_goes_to_the_label(self, make: Make) -> None:
        target = make()
        target.account(out())
        label(target, out(data=b"1"), DNS)
        target.account(back())
        last, summary = finish(target)
        for snapshot in (last, summary):
            assert apps(snapshot, LOCAL_1) == {DNS: (100, 200, 1, 2)}
            assert network(snapshot) == {DNS: (3, 300)}
        assert [(found.app, found.by) for found in ended(target)] == [(DNS, "payload")]

    def test_earlier_intervals_move_in_the_totals_only(self, make: Make) -> None:
        target = make()
        account_all(target, out(wire_len=10), back(wire_len=20))
        assert apps(rotate(target), LOCAL_1) == {HTTP: (20, 10, 1, 1)}
        label(target, out(data=b"1", wire_len=40), DNS)
        second = rotate(target)
        assert apps(second, LOCAL_1) == {DNS: (0, 40, 0, 1)}
        assert apps(second, REMOTE_1) == {DNS: (40, 0, 1, 0)}
        assert network(second) == {DNS: (1, 40)}
        last, summary = finish(target)
        assert network(last) == {}
        assert apps(summary, LOCAL_1) == {DNS: (20, 50, 1, 2)}
        assert apps(summary, REMOTE_1) == {DNS: (50, 20, 2, 1)}
        assert network(summary) == {DNS: (3, 70)}

    def test_from_unknown(self, make: Make) -> None:
        target = make()
        target.account(udp(LOCAL_1, 1, REMOTE_1, 2, wire_len=10))
        assert apps(rotate(target), LOCAL_1) == {0: (0, 10, 0, 1)}
        label(target, udp(REMOTE_1, 2, LOCAL_1, 1, b"1", wire_len=20), DNS)
        last, summary = finish(target)
        assert apps(last, LOCAL_1) == {DNS: (20, 0, 1, 0)}
        assert apps(summary, LOCAL_1) == {DNS: (20, 10, 1, 1)}
        assert network(summary) == {DNS: (2, 30)}

    def test_other_conversations_keep_their_label(self, make: Make) -> None:
        target = make()
        account_all(target, out(wire_len=10), tcp(LOCAL_1, 40001, REMOTE_1, 80, wire_len=7))
        rotate(target)
        label(target, out(data=b"1", wire_len=20), ALT)
        _, summary = finish(target)
        assert apps(summary, LOCAL_1) == {HTTP: (0, 7, 0, 1), ALT: (0, 30, 0, 2)}
        assert network(summary) == {HTTP: (1, 7), ALT: (2, 30)}

    def test_in_an_interval_without_frames(self, make: Make) -> None:
        target = make()
        target.payload_allowance = 1
        target.account(out(data=b"1"))
        (payload,) = target.take_payloads()
        rotate(target)
        assert target.label(payload.token, DNS, 0)
        assert network(rotate(target)) == {}
        last, summary = finish(target)
        assert len(last.apps) == 0
        assert apps(summary, LOCAL_1) == {DNS: (0, 100, 0, 1)}

    def test_again(self, make: Make) -> None:
        target = make()
        label(target, out(data=b"1"), DNS, wanted=4)
        rotate(target)
        label(target, out(data=b"2"), ALT, wanted=4)
        rotate(target)
        label(target, out(data=b"3"), DNS, wanted=4)
        _, summary = finish(target)
        assert apps(summary, LOCAL_1) == {DNS: (0, 300, 0, 3)}
        assert network(summary) == {DNS: (3, 300)}

    def test_0_keeps_the_label_and_what_it_is_by(self, make: Make) -> None:
        target = make()
        target.account(out())
        rotate(target)
        label(target, out(data=b"1"), 0)
        _, summary = finish(target)
        assert apps(summary, LOCAL_1) == {HTTP: (0, 200, 0, 2)}
        assert [(found.app, found.by) for found in ended(target)] == [(HTTP, "port")]

    def test_same_label_is_then_by_payload(self, make: Make) -> None:
        target = make()
        target.account(out())
        rotate(target)
        label(target, out(data=b"1"), HTTP)
        _, summary = finish(target)
        assert apps(summary, LOCAL_1) == {HTTP: (0, 200, 0, 2)}
        assert [(found.app, found.by) for found in ended(target)] == [(HTTP, "payload")]

    def test_host_that_talks_to_itself(self, make: Make) -> None:
        target = make()
        account_all(target, tcp(LOCAL_1, 40000, LOCAL_1, 80), tcp(LOCAL_1, 80, LOCAL_1, 40000))
        rotate(target)
        label(target, tcp(LOCAL_1, 80, LOCAL_1, 40000, b"1"), DNS)
        _, summary = finish(target)
        assert apps(summary, LOCAL_1) == {DNS: (300, 300, 3, 3)}
