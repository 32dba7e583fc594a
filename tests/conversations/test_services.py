"""Services of local hosts, on both engines: which side is the server, what each service moved, what has no room."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import builders as b
import pytest
from conversation_tools import (
    LOCAL_1,
    LOCAL_2,
    REMOTE_1,
    REMOTE_2,
    S,
    ServiceTraffic,
    account_all,
    back,
    finish,
    icmp,
    out,
    rotate,
    services,
    tcp,
    udp,
)

from fastmon.accounting import Accountant
from fastmon.model.frames import Frame
from fastmon.model.snapshot import Interval, Snapshot

Make: TypeAlias = Callable[..., Accountant]


def totals(target: Accountant) -> Snapshot:
    snapshot = target.totals(Interval(0, 60))
    snapshot.check_conservation()
    return snapshot


class TestServer:
    @pytest.mark.parametrize(
        ("frame", "service"),
        [
            (tcp(LOCAL_1, 80, REMOTE_1, 50000, flags=b.SYN), ("client", b.TCP, 50000)),
            (tcp(LOCAL_1, 50000, REMOTE_1, 80, flags=b.SYN | b.ACK), ("server", b.TCP, 50000)),
            (tcp(LOCAL_1, 50000, REMOTE_1, 5201, flags=b.SYN), ("client", b.TCP, 5201)),
            (tcp(LOCAL_1, 8080, REMOTE_1, 50000), ("server", b.TCP, 8080)),
            (tcp(LOCAL_1, 22, REMOTE_1, 8080), ("client", b.TCP, 8080)),
            (tcp(LOCAL_1, 8080, REMOTE_1, 80), ("client", b.TCP, 80)),
            (udp(LOCAL_1, 53, REMOTE_1, 50000), ("server", b.UDP, 53)),
            (udp(LOCAL_1, 80, REMOTE_1, 53), ("client", b.UDP, 53)),
            (udp(LOCAL_1, 1023, REMOTE_1, 1024), ("server", b.UDP, 1023)),
            (udp(LOCAL_1, 1024, REMOTE_1, 1023), ("client", b.UDP, 1023)),
            (udp(LOCAL_1, 100, REMOTE_1, 200), ("client", b.UDP, 200)),
            (tcp(LOCAL_1, 5201, REMOTE_1, 50000), ("server", b.TCP, 5201)),
            (udp(LOCAL_1, 32767, REMOTE_1, 32768), ("server", b.UDP, 32767)),
            (udp(LOCAL_1, 2000, REMOTE_1, 3000), ("client", b.UDP, 3000)),
            (udp(LOCAL_1, 40000, REMOTE_1, 50000), ("client", b.UDP, 50000)),
            (udp(REMOTE_1, 40000, LOCAL_1, 50000), ("server", b.UDP, 50000)),
            (icmp(LOCAL_1, REMOTE_1), ("client", b.ICMP, 0)),
            (icmp(REMOTE_1, LOCAL_1), ("server", b.ICMP, 0)),
        ],
    )
    def test_side_is_chosen_by_the_first_frame(self, frame: Frame, service: tuple[str, int, int], make: Make) -> None:
        target = make()
        target.account(frame)
        assert list(services(rotate(target), LOCAL_1)) == [service]

    def test_choice_stays(self, make: Make) -> None:
        target = make()
        account_all(target, udp(LOCAL_1, 2000, REMOTE_1, 3000), tcp(LOCAL_1, 2000, REMOTE_1, 3000))
        account_all(target, udp(REMOTE_1, 3000, LOCAL_1, 2000), tcp(REMOTE_1, 3000, LOCAL_1, 2000, flags=b.SYN))
        assert list(services(rotate(target), LOCAL_1)) == [("client", b.TCP, 3000), ("client", b.UDP, 3000)]

    def test_without_application_tables(self, make: Make) -> None:
        target = make(applications=None)
        target.account(udp(LOCAL_1, 8080, REMOTE_1, 1))
        assert list(services(rotate(target), LOCAL_1)) == [("client", b.UDP, 1)]


class TestServices:
    def test_conversations_of_a_service_add_up(self, make: Make) -> None:
        target = make()
        account_all(target, out(ts_ns=5, wire_len=10), back(ts_ns=7, wire_len=20), tcp(LOCAL_1, 1, REMOTE_2, 80, ts_ns=3))
        snapshot = rotate(target)
        assert services(snapshot, LOCAL_1) == {("client", b.TCP, 80): ServiceTraffic(20, 110, 1, 2, 2)}
        assert snapshot.services[["first_ns", "last_ns"]].tolist() == [(3, 7)]

    def test_both_local_hosts_have_it(self, make: Make) -> None:
        target = make()
        account_all(target, udp(LOCAL_1, 5000, LOCAL_2, 53, wire_len=10), udp(LOCAL_2, 53, LOCAL_1, 5000, wire_len=20))
        snapshot = rotate(target)
        assert services(snapshot, LOCAL_1) == {("client", b.UDP, 53): ServiceTraffic(20, 10, 1, 1, 1)}
        assert services(snapshot, LOCAL_2) == {("server", b.UDP, 53): ServiceTraffic(10, 20, 1, 1, 1)}

    def test_host_that_talks_to_itself_is_both(self, make: Make) -> None:
        target = make()
        account_all(target, udp(LOCAL_1, 5000, LOCAL_1, 53, wire_len=10))
        assert services(rotate(target), LOCAL_1) == {
            ("client", b.UDP, 53): ServiceTraffic(0, 10, 0, 1, 1),
            ("server", b.UDP, 53): ServiceTraffic(10, 0, 1, 0, 1),
        }

    def test_remote_hosts_have_none(self, make: Make) -> None:
        target = make()
        account_all(target, out(), tcp(REMOTE_1, 1, REMOTE_2, 80))
        snapshot = rotate(target)
        assert len(snapshot.services) == 1
        assert services(snapshot, REMOTE_1) == services(snapshot, REMOTE_2) == {}

    def test_intervals_and_the_whole(self, make: Make) -> None:
        target = make()
        account_all(target, out(wire_len=10, ts_ns=1), udp(LOCAL_1, 5000, REMOTE_1, 53, ts_ns=2))
        rotate(target)
        account_all(target, out(wire_len=20, ts_ns=3))
        snapshot = rotate(target)
        assert services(snapshot, LOCAL_1) == {("client", b.TCP, 80): ServiceTraffic(0, 20, 0, 1, 0)}
        assert snapshot.services[["first_ns", "last_ns"]].tolist() == [(1, 3)]
        last, summary = finish(target)
        assert len(last.services) == 0
        assert services(summary, LOCAL_1) == {
            ("client", b.TCP, 80): ServiceTraffic(0, 30, 0, 2, 1),
            ("client", b.UDP, 53): ServiceTraffic(0, 100, 0, 1, 1),
        }

    def test_totals_have_what_is_not_settled_and_change_nothing(self, make: Make) -> None:
        target = make()
        account_all(target, out(wire_len=10, ts_ns=2), back(wire_len=20, ts_ns=9))
        for _ in range(2):
            snapshot = totals(target)
            assert services(snapshot, LOCAL_1) == {("client", b.TCP, 80): ServiceTraffic(20, 10, 1, 1, 1)}
            assert snapshot.services[["first_ns", "last_ns"]].tolist() == [(2, 9)]
            assert not snapshot.services.flags.writeable
        assert services(rotate(target), LOCAL_1) == {("client", b.TCP, 80): ServiceTraffic(20, 10, 1, 1, 1)}
        assert len(rotate(target).services) == 0

    def test_hosts_only_have_none(self, make: Make) -> None:
        target = make(max_conversations=0)
        target.account(out())
        assert len(totals(target).services) == len(target.take_contacts()) == 0
        assert len(target.fanout(S, S)) == len(target.openings()) == 0
        assert [len(snapshot.services) for snapshot in target.finish(Interval(0, 1), Interval(0, 1))] == [0, 0]


class TestBounds:
    def test_scanned_host_keeps_its_own_services(self, make: Make) -> None:
        target = make(max_services_per_role=2, max_conversations=100)
        account_all(target, *[tcp(REMOTE_1, 50000, LOCAL_1, port, flags=b.SYN) for port in range(1, 11)])
        account_all(target, out(wire_len=10), tcp(REMOTE_2, 50000, LOCAL_2, 22, flags=b.SYN))
        snapshot = rotate(target)
        assert list(services(snapshot, LOCAL_1)) == [("client", b.TCP, 80), ("server", b.TCP, 1), ("server", b.TCP, 2)]
        assert list(services(snapshot, LOCAL_2)) == [("server", b.TCP, 22)]
        assert snapshot.services_overflow == 8
        account_all(target, tcp(REMOTE_1, 50000, LOCAL_1, 11, flags=b.SYN))
        assert totals(target).services_overflow == 9
        assert rotate(target).services_overflow == 1

    def test_full_table(self, make: Make) -> None:
        target = make(max_services=1)
        account_all(target, out(), udp(LOCAL_1, 5000, LOCAL_2, 53), out(wire_len=1))
        snapshot = rotate(target)
        assert services(snapshot, LOCAL_1) == {("client", b.TCP, 80): ServiceTraffic(0, 101, 0, 2, 1)}
        assert services(snapshot, LOCAL_2) == {}
        assert snapshot.services_overflow == 2

    def test_host_that_does_not_fit_has_none(self, make: Make) -> None:
        target = make(max_hosts=1)
        account_all(target, udp(LOCAL_1, 5000, LOCAL_2, 53))
        snapshot = rotate(target)
        assert services(snapshot, LOCAL_1) == {("client", b.UDP, 53): ServiceTraffic(0, 100, 0, 1, 1)}
        assert snapshot.services_overflow == 1
        assert target.openings().tolist() == [(0, 0, 1, 0)]

    def test_services_follow_hosts_that_move(self, make: Make) -> None:
        target = make(max_hosts=4)
        account_all(target, tcp(REMOTE_1, 1, REMOTE_2, 80), udp(LOCAL_2, 5000, LOCAL_1, 53))
        rotate(target)
        account_all(target, udp(LOCAL_1, 53, LOCAL_2, 5000, wire_len=7))
        assert services(rotate(target), LOCAL_1) == {("server", b.UDP, 53): ServiceTraffic(0, 7, 0, 1, 0)}
        assert len(totals(target)) == 2  # the remote hosts are gone
        account_all(target, udp(LOCAL_2, 5000, LOCAL_1, 53, wire_len=9), out())
        assert target.openings().tolist() == [(0, 0, 1, 0), (1, 0, 1, 0)]
        _, summary = finish(target)
        assert services(summary, LOCAL_1) == {
            ("client", b.TCP, 80): ServiceTraffic(0, 100, 0, 1, 1),
            ("server", b.UDP, 53): ServiceTraffic(109, 7, 2, 1, 1),
        }
        assert services(summary, LOCAL_2) == {("client", b.UDP, 53): ServiceTraffic(7, 109, 1, 2, 1)}


class TestMerge:
    def test_shards_add_up(self, make: Make) -> None:
        merged, shards = make(), [make(), make()]
        account_all(shards[0], out(wire_len=10, ts_ns=5))
        account_all(shards[1], tcp(LOCAL_1, 7, REMOTE_2, 80, wire_len=20, ts_ns=3), udp(LOCAL_2, 7, REMOTE_1, 53))
        for _ in range(2):  # nothing is new the second time
            for shard in shards:
                merged.merge(shard)
        snapshot = rotate(merged)
        assert services(snapshot, LOCAL_1) == {("client", b.TCP, 80): ServiceTraffic(0, 30, 0, 2, 2)}
        assert services(snapshot, LOCAL_2) == {("client", b.UDP, 53): ServiceTraffic(0, 100, 0, 1, 1)}
        assert snapshot.services[["first_ns", "last_ns"]].tolist()[:1] == [(3, 5)]
        account_all(shards[0], back(wire_len=40))
        merged.merge(shards[0])
        assert services(totals(merged), LOCAL_1) == {("client", b.TCP, 80): ServiceTraffic(40, 30, 1, 2, 2)}
        assert services(rotate(merged), LOCAL_1) == {("client", b.TCP, 80): ServiceTraffic(40, 0, 1, 0, 0)}

    def test_what_does_not_fit_is_counted(self, make: Make) -> None:
        merged, shard = make(max_services=1), make(max_services_per_role=2)
        account_all(shard, *[tcp(LOCAL_1, 50000, REMOTE_1, port, flags=b.SYN) for port in (1, 2, 3)])
        merged.merge(shard)
        snapshot = rotate(merged)
        assert list(services(snapshot, LOCAL_1)) == [("client", b.TCP, 1)]
        assert snapshot.services_overflow == 2

    def test_openings_failures_and_peers_add_up(self, make: Make) -> None:
        merged, shards = make(), [make(), make()]
        account_all(shards[0], out(ts_ns=S), out(flags=b.RST, ts_ns=S))
        account_all(shards[1], out(ts_ns=2 * S), udp(LOCAL_1, 7, REMOTE_2, 53, ts_ns=3 * S))
        for _ in range(2):
            for shard in shards:
                merged.merge(shard)
        assert merged.openings().tolist() == [(0, 0, 3, 0)]
        assert merged.fanout(3 * S, 10 * S).tolist() == [(0, 2, 2)]
        account_all(shards[0], out(flags=b.SYN, ts_ns=4 * S))
        merged.merge(shards[0])
        assert merged.openings().tolist() == [(0, 0, 4, 1)]
