"""What local hosts open, on both engines: what failed, how many peers and services, what is told of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

import builders as b
import pytest
from conversation_tools import (
    ALT,
    HTTP,
    LOCAL_1,
    LOCAL_2,
    REMOTE_1,
    REMOTE_2,
    S,
    account_all,
    arp,
    back,
    contacts,
    icmp,
    label,
    out,
    rotate,
    tcp,
    udp,
)

from fastmon.accounting import Accountant, make_accountant
from fastmon.model.frames import Frame

Make: TypeAlias = Callable[..., Accountant]

MAX_CONTACTS = 1 << 16


def ended(target: Accountant) -> None:
    """End all conversations for being idle."""
    rotate(target, 10_000 * S)


class TestFailures:
    @pytest.mark.parametrize(
        ("frames", "n_failed"),
        [
            ([out(flags=b.SYN)], 1),
            ([out(flags=b.SYN), out(flags=b.SYN)], 1),
            ([out(flags=b.SYN), back(flags=b.SYN | b.ACK)], 0),
            ([out(flags=b.SYN), back(flags=b.RST | b.ACK)], 1),
            ([out(flags=b.SYN), back(flags=b.RST), back(flags=b.RST), out(flags=b.RST)], 1),
            ([out(flags=b.SYN), back(flags=b.SYN | b.ACK), back(flags=b.RST)], 0),
            ([out(flags=b.SYN), back(flags=b.RST), back(flags=b.ACK)], 1),  # a refusal is final
            ([back(flags=b.SYN | b.ACK)], 0),
            ([tcp(REMOTE_1, 50000, LOCAL_1, 22, flags=b.SYN)], 0),
            ([udp(LOCAL_1, 50000, REMOTE_1, 53)], 1),
            ([udp(LOCAL_1, 50000, REMOTE_1, 53), udp(REMOTE_1, 53, LOCAL_1, 50000)], 0),
            ([out(flags=b.RST)], 0),
            ([out(flags=b.FIN | b.ACK)], 1),
            ([icmp(LOCAL_1, REMOTE_1)], 1),
            ([icmp(LOCAL_1, REMOTE_1), icmp(REMOTE_1, LOCAL_1, kind=0)], 0),
            ([icmp(LOCAL_1, REMOTE_1, kind=3)], 0),
            ([icmp(LOCAL_1, "224.0.0.1")], 0),
            ([udp(LOCAL_1, 5353, "224.0.0.251", 5353)], 0),
            ([udp(LOCAL_1, 68, "255.255.255.255", 67)], 0),
            ([udp(LOCAL_1, 68, "223.255.255.255", 67)], 1),
            ([udp(LOCAL_1, 68, "240.0.0.1", 67)], 1),
        ],
    )
    def test_conversation_fails_without_an_answer(self, frames: list[Frame], n_failed: int, make: Make) -> None:
        target = make()
        account_all(target, *frames)
        ended(target)
        assert target.openings()["failed"].sum() == n_failed

    def test_frame_for_all_needs_no_answer(self, make: Make) -> None:
        target = make()
        frame = udp(LOCAL_1, 137, LOCAL_2, 137)
        target.account(replace(frame, data=b"\xff" * 6 + frame.data[6:]))
        ended(target)
        assert target.openings().tolist() == [(0, 0, 1, 0)]

    @pytest.mark.parametrize(("address", "n_failed"), [("ff02::fb", 0), ("fe02::fb", 1)])
    def test_groups_of_ipv6(self, address: str, n_failed: int, make: Make) -> None:
        target = make(local_networks=["fd00::/8"])
        packet = b.ipv6("fd00::1", address, b.udp(5353, 5353), next_header=b.UDP)
        target.account(Frame(0, 100, 1, b.ethernet(b.IPV6, packet)))
        ended(target)
        assert target.openings().tolist() == [(0, 0, 1, n_failed)]

    def test_refusal_is_known_at_once(self, make: Make) -> None:
        target = make()
        account_all(target, out(flags=b.SYN), back(flags=b.RST | b.ACK))
        assert target.openings()["failed"].tolist() == [1]
        ended(target)
        assert target.openings()["failed"].tolist() == [1]

    def test_silence_is_known_after_five_seconds(self, make: Make) -> None:
        target = make()
        account_all(target, out(flags=b.SYN), udp(LOCAL_1, 7, REMOTE_1, 53, ts_ns=S), out(flags=b.SYN, ts_ns=3 * S))
        assert [target.note_unanswered(now_ns) for now_ns in (5 * S, 5 * S + 1, 5 * S + 1, 6 * S, 6 * S + 1)] == [0, 1, 0, 0, 1]
        assert target.openings()["failed"].tolist() == [2]
        ended(target)
        assert target.openings()["failed"].tolist() == [2]

    def test_conversations_that_end_or_are_answered_in_time_are_no_longer_waited_for(self, make: Make) -> None:
        target = make()
        account_all(target, out(flags=b.SYN), udp(LOCAL_1, 7, REMOTE_1, 53), back(flags=b.SYN | b.ACK, ts_ns=5 * S))
        target.end_conversations()
        account_all(target, udp(LOCAL_1, 7, REMOTE_1, 53, ts_ns=9 * S))
        assert [target.note_unanswered(now_ns) for now_ns in (6 * S, 14 * S, 14 * S + 1)] == [0, 0, 1]

    @pytest.mark.parametrize(("answer_ns", "n_failed"), [(5 * S, 0), (5 * S + 1, 1)])
    def test_answer_that_comes_too_late_fails_whether_somebody_looks_or_not(
        self, answer_ns: int, n_failed: int, make: Make
    ) -> None:
        target = make()
        account_all(target, out(flags=b.SYN), back(flags=b.SYN | b.ACK, ts_ns=answer_ns))
        assert target.openings()["failed"].tolist() == [n_failed]
        assert target.note_unanswered(100 * S) == 0

    def test_a_step_of_the_clock_leaves_it_to_their_ends(self, make: Make) -> None:
        target = make()
        account_all(target, out(flags=b.SYN, ts_ns=1000 * S))
        target.begin_phase()
        account_all(target, udp(LOCAL_1, 7, REMOTE_1, 53))
        assert [target.note_unanswered(now_ns) for now_ns in (6 * S, 2000 * S)] == [1, 0]
        ended(target)
        assert target.openings()["failed"].tolist() == [2]

    def test_running_and_cut_off_conversations_have_not_failed(self, make: Make) -> None:
        target = make()
        target.account(out(flags=b.SYN))
        assert target.openings().tolist() == [(0, 0, 1, 0)]
        target.end_conversations()
        assert target.openings().tolist() == [(0, 0, 1, 0)]

    def test_both_local_hosts_are_told_apart(self, make: Make) -> None:
        target = make()
        account_all(target, udp(LOCAL_1, 50000, LOCAL_2, 53), udp(LOCAL_1, 50001, LOCAL_2, 53))
        ended(target)
        assert target.openings().tolist() == [(0, 0, 2, 2)]


class TestFanout:
    def test_peers_and_services_of_a_window(self, make: Make) -> None:
        target = make(max_conversations=100)
        account_all(target, udp(LOCAL_1, 7, REMOTE_1, 53, ts_ns=10 * S), udp(LOCAL_1, 8, REMOTE_2, 53, ts_ns=20 * S))
        account_all(target, tcp(LOCAL_1, 8, REMOTE_2, 80, ts_ns=20 * S), udp(REMOTE_1, 99, LOCAL_2, 53, ts_ns=20 * S))
        assert target.fanout(20 * S, 20 * S).tolist() == [(0, 2, 2)]
        assert target.fanout(20 * S, 10 * S).tolist() == [(0, 2, 2)]
        assert target.fanout(20 * S, 9 * S).tolist() == [(0, 1, 2)]
        assert target.fanout(29 * S + 1, 9 * S).tolist() == [(0, 1, 2)]
        assert target.fanout(30 * S, 9 * S).tolist() == []

    def test_frames_of_a_running_conversation_open_none(self, make: Make) -> None:
        target = make()
        account_all(target, out(ts_ns=10 * S), out(ts_ns=50 * S))
        assert target.fanout(50 * S, 10 * S).tolist() == []

    def test_later_openings_are_not_in_the_window(self, make: Make) -> None:
        target = make()
        account_all(target, udp(LOCAL_1, 7, REMOTE_1, 53, ts_ns=1000 * S))
        assert target.fanout(999 * S, 100 * S).tolist() == []
        target.begin_phase()
        account_all(target, udp(LOCAL_1, 8, REMOTE_2, 53, ts_ns=500 * S))
        assert target.fanout(500 * S, 100 * S).tolist() == [(0, 1, 1)]

    def test_peer_of_before_a_step_of_the_clock_counts_anew(self, make: Make) -> None:
        target = make()
        account_all(target, udp(LOCAL_1, 7, REMOTE_1, 53, ts_ns=1000 * S))
        account_all(target, udp(LOCAL_1, 8, REMOTE_1, 53, ts_ns=990 * S))
        assert target.fanout(1000 * S, S).tolist() == [(0, 1, 1)]
        account_all(target, udp(LOCAL_1, 9, REMOTE_1, 53, ts_ns=989 * S))
        assert target.fanout(989 * S, S).tolist() == [(0, 1, 1)]
        assert target.fanout(1000 * S, S).tolist() == []

    @pytest.mark.parametrize("ts_ns", [-(2**62), -1, 0, 1, 2**62])
    def test_odd_times(self, ts_ns: int, make: Make) -> None:
        target = make()
        target.account(udp(LOCAL_1, 7, REMOTE_1, 53, ts_ns=ts_ns))
        assert target.fanout(ts_ns, 1).tolist() == [(0, 1, 1)]

    @pytest.mark.parametrize("window_ns", [0, -1])
    def test_window_must_be_one(self, window_ns: int, make: Make) -> None:
        with pytest.raises(ValueError, match=f"window_ns must be 1 or more, not {window_ns}"):
            make().fanout(0, window_ns)

    def test_host_that_was_idle_for_longest_is_forgotten(self, make: Make) -> None:
        target = make(max_sketches=2, max_conversations=100)
        hosts = ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
        for seconds, host in enumerate([0, 1, 0, 2]):
            target.account(udp(hosts[host], 1000 + seconds, REMOTE_1, 53, ts_ns=(10 + seconds) * S))
        assert [host for host, *_ in target.fanout(20 * S, 20 * S).tolist()] == [0, 3]
        assert target.sketches_evicted == 1
        target.account(udp(hosts[1], 2000, REMOTE_1, 53, ts_ns=20 * S))
        assert [host for host, *_ in target.fanout(20 * S, 20 * S).tolist()] == [2, 3]
        assert target.sketches_evicted == 2
        assert target.openings()["opened"].tolist() == [2, 2, 1]


class TestProbes:
    def probes(self, target: Accountant, now_s: int, window_s: int = 1000) -> list[tuple[int, ...]]:
        found: list[tuple[int, ...]] = target.fanout(now_s * S, window_s * S, probes=True).tolist()
        return found

    def test_conversations_without_an_answer(self, make: Make) -> None:
        target = make()
        account_all(target, out(flags=b.SYN, ts_ns=10 * S), back(flags=b.RST, ts_ns=12 * S))
        account_all(target, udp(LOCAL_1, 7, REMOTE_2, 53, ts_ns=10 * S), udp(LOCAL_1, 8, REMOTE_2, 54, ts_ns=13 * S))
        assert self.probes(target, 12) == [(0, 1, 1)]
        target.note_unanswered(30 * S)
        assert self.probes(target, 30) == [(0, 2, 3)]
        assert self.probes(target, 30, 15) == [(0, 1, 2)]  # at 15 and at 18
        assert self.probes(target, 30, 12) == [(0, 1, 1)]
        assert target.fanout(30 * S, 1000 * S).tolist() == [(0, 2, 3)]

    def test_answered_conversations_are_none(self, make: Make) -> None:
        target = make()
        account_all(target, out(flags=b.SYN), back(flags=b.SYN | b.ACK), back(flags=b.RST), tcp(REMOTE_1, 1, LOCAL_1, 2))
        target.note_unanswered(100 * S)
        assert self.probes(target, 100) == []

    def test_pings_are_probes_whether_answered_or_not(self, make: Make) -> None:
        target = make()
        account_all(target, icmp(LOCAL_1, REMOTE_1), icmp(REMOTE_1, LOCAL_1, kind=0), icmp(LOCAL_1, REMOTE_2))
        account_all(target, icmp(LOCAL_1, LOCAL_2, kind=3), icmp(REMOTE_1, LOCAL_2), icmp(LOCAL_1, "224.0.0.1"))
        assert self.probes(target, 1) == [(0, 2, 1)]

    def test_pings_of_ipv6(self, make: Make) -> None:
        target = make(local_networks=["fd00::/8"])
        for kind, peer in ((128, "fd00::2"), (128, "fd00::3"), (135, "fd00::4"), (128, "ff02::1")):
            packet = b.ipv6("fd00::1", peer, b.icmp(kind=kind), next_header=58)
            target.account(Frame(0, 100, 1, b.ethernet(b.IPV6, packet)))
        assert self.probes(target, 1) == [(0, 2, 1)]

    def test_arp_requests_of_local_hosts_that_have_a_row(self, make: Make) -> None:
        target = make()
        account_all(target, arp(LOCAL_1, "10.9.9.1"), arp(LOCAL_1, "10.9.9.2", ts_ns=50 * S), arp(LOCAL_2, "10.9.9.1"))
        account_all(target, udp(LOCAL_1, 7, REMOTE_1, 53), udp(REMOTE_1, 53, LOCAL_1, 7), arp("192.0.2.1", "10.9.9.1"))
        assert self.probes(target, 50) == [(0, 2, 1)]
        assert self.probes(target, 50, 10) == [(0, 1, 1)]
        assert self.probes(target, 50) == [(0, 2, 1)]

    def test_what_asks_nobody_else_is_no_arp_request(self, make: Make) -> None:
        target = make()
        account_all(target, udp(LOCAL_1, 7, REMOTE_1, 53), udp(REMOTE_1, 53, LOCAL_1, 7))
        request = arp(LOCAL_1, "10.9.9.1")
        account_all(target, arp(LOCAL_1, LOCAL_1), arp("0.0.0.0", LOCAL_1), arp(LOCAL_1, "10.9.9.1", operation=2))
        account_all(target, replace(request, data=request.data[:41]), replace(request, link_type=113))
        assert self.probes(target, 1) == []
        tag = bytes.fromhex("81000005")
        account_all(target, replace(request, data=request.data[:12] + tag + request.data[12:]))
        assert self.probes(target, 1) == [(0, 1, 1)]

    def test_merge_moves_what_was_probed_and_asked(self, make: Make) -> None:
        merged, first, second = make(), make(), make()
        account_all(first, out(flags=b.SYN), back(flags=b.RST))
        account_all(second, arp(LOCAL_1, "10.9.9.1"), arp(LOCAL_1, "10.9.9.2"))
        for shard in (first, second):
            merged.merge(shard)
        assert self.probes(merged, 1) == [(0, 3, 2)]


class TestContacts:
    def test_conversation_is_told_once(self, make: Make) -> None:
        target = make(keep_contacts=True)
        account_all(target, out(wire_len=10), tcp(REMOTE_1, 1, REMOTE_2, 80))
        (told,) = contacts(target)
        assert told == (b.host(LOCAL_1), b.host(REMOTE_1), "client", b.TCP, 80, HTTP, "port", False, (1, 10), (0, 0))
        account_all(target, out(wire_len=20))
        assert contacts(target) == []
        ended(target)
        assert contacts(target) == []

    def test_answer_and_application_are_told(self, make: Make) -> None:
        target = make(keep_contacts=True)
        target.account(out())
        assert [told.answered for told in contacts(target)] == [False]
        target.account(back(flags=b.RST))
        assert contacts(target) == []
        target.account(back())
        assert [told.answered for told in contacts(target)] == [True]
        label(target, out(data=b"1"), ALT)
        assert [(told.app, told.by, told.sent, told.answered) for told in contacts(target)] == [(ALT, "payload", (2, 200), True)]

    def test_end_tells_what_is_new(self, make: Make) -> None:
        target = make(keep_contacts=True)
        target.account(out())
        contacts(target)
        account_all(target, back(wire_len=30), udp(LOCAL_1, 7, REMOTE_2, 53))
        target.end_conversations()
        told = contacts(target)
        assert [(each.protocol, each.answered, each.received) for each in told] == [
            (b.TCP, True, (1, 30)),
            (b.UDP, False, (0, 0)),
        ]

    def test_both_local_hosts_are_told_of(self, make: Make) -> None:
        target = make(keep_contacts=True)
        target.account(udp(LOCAL_1, 7, LOCAL_2, 53, wire_len=10))
        told = [(each.local, each.peer, each.role, each.port, each.sent, each.received) for each in contacts(target)]
        assert told == [
            (b.host(LOCAL_1), b.host(LOCAL_2), "client", 53, (1, 10), (0, 0)),
            (b.host(LOCAL_2), b.host(LOCAL_1), "server", 53, (0, 0), (1, 10)),
        ]

    def test_merge_moves_them(self, make: Make) -> None:
        merged, shard = make(keep_contacts=True), make(keep_contacts=True)
        account_all(shard, out(), udp(LOCAL_2, 7, REMOTE_2, 53))
        shard.end_conversations()
        account_all(shard, udp(LOCAL_1, 7, REMOTE_2, 53))
        merged.merge(shard)
        assert [told.protocol for told in contacts(merged)] == [b.TCP, b.UDP, b.UDP]
        assert contacts(shard) == contacts(merged) == []

    def test_nobody_wants_them(self, make: Make) -> None:
        target = make()
        target.account(out())
        target.end_conversations()
        assert (contacts(target), target.contacts_dropped) == ([], 0)

    def test_last_ones_can_be_taken_after_the_end(self, make: Make) -> None:
        target = make(keep_contacts=True)
        target.account(out())
        rotate(target)
        target.finish(*[rotate(make()).interval] * 2)
        assert [told.answered for told in contacts(target)] == [False]


def test_contacts_that_do_not_fit_wait_or_are_dropped() -> None:
    target = make_accountant(max_conversations=1 << 17, local_networks=["10.0.0.0/8"], keep_contacts=True)
    n_more = 100
    for number in range(MAX_CONTACTS + n_more):
        target.account(udp(LOCAL_1, 1 + number % 65535, [REMOTE_1, REMOTE_2][number // 65535], 9))
    assert len(target.take_contacts()) == MAX_CONTACTS
    assert (len(target.take_contacts()), target.contacts_dropped) == (n_more, 0)
    for number in range(MAX_CONTACTS + n_more):
        target.account(udp(LOCAL_2, 1 + number % 65535, [REMOTE_1, REMOTE_2][number // 65535], 9))
    target.end_conversations()
    assert (len(target.take_contacts()), target.contacts_dropped) == (MAX_CONTACTS, n_more)
