"""How conversations open, count and end (docs/conversations.md, rules 1 to 3, rotation)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import builders as b
import pytest
from conversation_tools import (
    HTTP,
    LOCAL_1,
    LOCAL_2,
    REMOTE_1,
    REMOTE_2,
    Counts,
    Ended,
    S,
    account_all,
    back,
    counts,
    ended,
    finish,
    icmp,
    out,
    reasons,
    rotate,
    tcp,
    udp,
    udp_number,
)

from fastmon.accounting import Accountant
from fastmon.errors import ConfigError
from fastmon.model.frames import Frame
from fastmon.model.snapshot import Interval

Make: TypeAlias = Callable[..., Accountant]

A, B = (b.host(LOCAL_1), 40000), (b.host(REMOTE_1), 80)
TIMEOUTS = {"TCP": (tcp, 300), "UDP": (udp, 120)}


def test_none_without_max_conversations(make: Make) -> None:
    target = make(max_conversations=0)
    target.payload_allowance = 10
    target.account(udp(LOCAL_1, 5000, REMOTE_1, 53, b"data"))
    assert not target.label(1, HTTP, 0)
    snapshot = target.rotate(Interval(0, 60))
    assert snapshot.conversations is None
    assert snapshot.macs is None
    assert (len(snapshot.apps), len(snapshot.app_totals)) == (0, 0)
    assert target.take_payloads() == []
    assert len(target.take_conversations()) == 0
    assert snapshot.host_apps() == [{}, {}]
    assert snapshot.network_apps() == {}


def test_negative_number_is_refused(make: Make) -> None:
    with pytest.raises(ConfigError, match="max_conversations"):
        make(max_conversations=-1)


class TestCounting:
    def test_both_directions_are_one_conversation(self, make: Make) -> None:
        target = make()
        account_all(
            target,
            out(ts_ns=5, wire_len=60),
            back(ts_ns=7, wire_len=1500),
            back(ts_ns=3, wire_len=1000),
            out(ts_ns=6, wire_len=61),
        )
        _, summary = finish(target)
        assert ended(target) == [Ended(A, B, 6, HTTP, "port", "end", (2, 121), (2, 2500), 3, 7)]
        assert counts(summary) == Counts(1, {"end": 1}, 0)

    def test_who_sent_the_first_frame_is_a(self, make: Make) -> None:
        target = make()
        account_all(target, back(), out())
        finish(target)
        assert [(found.a, found.b) for found in ended(target)] == [(B, A)]

    def test_protocol_and_ports_tell_conversations_apart(self, make: Make) -> None:
        target = make()
        account_all(
            target,
            tcp(LOCAL_1, 1, REMOTE_1, 2),
            udp(LOCAL_1, 1, REMOTE_1, 2),
            udp(LOCAL_1, 2, REMOTE_1, 1),
            udp(LOCAL_1, 1, REMOTE_1, 3),
            udp(LOCAL_2, 1, REMOTE_1, 2),
            udp(REMOTE_1, 2, LOCAL_1, 1),
        )
        assert counts(rotate(target)).opened == 5

    def test_exchanged_ports_of_one_host_are_the_same_conversation(self, make: Make) -> None:
        target = make()
        account_all(target, udp(LOCAL_1, 1, LOCAL_1, 2), udp(LOCAL_1, 2, LOCAL_1, 1), udp(LOCAL_1, 1, LOCAL_1, 2))
        finish(target)
        (found,) = ended(target)
        assert (found.a[1], found.b[1], found.ab, found.ba) == (1, 2, (2, 200), (1, 100))

    def test_same_endpoint_counts_one_direction(self, make: Make) -> None:
        target = make()
        account_all(target, udp(LOCAL_1, 53, LOCAL_1, 53), udp(LOCAL_1, 53, LOCAL_1, 53))
        finish(target)
        (found,) = ended(target)
        assert (found.ab, found.ba) == ((2, 200), (0, 0))

    def test_protocols_without_ports_and_cut_ports_have_port_0(self, make: Make) -> None:
        target = make()
        cut = Frame(0, 100, 101, b.ipv4(LOCAL_1, REMOTE_1, b.tcp(40000, 80)[:3], protocol=b.TCP))
        later = Frame(0, 100, 101, b.ipv4(REMOTE_1, LOCAL_1, bytes(40), protocol=b.TCP, offset=9))
        account_all(target, icmp(LOCAL_1, REMOTE_1), icmp(REMOTE_1, LOCAL_1), cut, later)
        finish(target)
        assert [(found.protocol, found.a[1], found.b[1], found.ab, found.ba) for found in ended(target)] == [
            (1, 0, 0, (1, 100), (1, 100)),
            (6, 0, 0, (1, 100), (1, 100)),
        ]

    def test_sctp_has_ports(self, make: Make) -> None:
        target = make()
        target.account(Frame(0, 100, 101, b.ipv4(LOCAL_1, REMOTE_1, b.sctp(7, 8), protocol=b.SCTP)))
        finish(target)
        (found,) = ended(target)
        assert (found.protocol, found.a[1], found.b[1]) == (132, 7, 8)

    def test_frame_whose_protocol_was_not_captured_has_none(self, make: Make) -> None:
        target = make()
        target.account(Frame(0, 100, 101, b.ipv6("fd00::1", "fd00::2", b.extension6(17, b"")[:7], next_header=0)))
        assert counts(rotate(target)) == Counts(0, {}, 0)

    def test_frames_that_are_not_ip_have_none(self, make: Make) -> None:
        target = make()
        account_all(target, Frame(0, 60, 1, b.ethernet(b.ARP, bytes(46))), Frame(0, 60, 101, b"\x50" + bytes(60)))
        assert counts(rotate(target)) == Counts(0, {}, 0)

    def test_inner_header_says_the_conversation(self, make: Make) -> None:
        target = make(inner=True)
        inner = b.ipv4(LOCAL_1, REMOTE_1, b.udp(1, 2))
        target.account(Frame(0, 100, 101, b.ipv4(LOCAL_2, REMOTE_2, inner, protocol=4)))
        finish(target)
        (found,) = ended(target)
        assert (found.a, found.b, found.protocol) == ((b.host(LOCAL_1), 1), (b.host(REMOTE_1), 2), 17)

    def test_link_type_that_only_dpkt_knows_has_conversations(self, make: Make) -> None:
        target = make()
        target.payload_allowance = 1
        target.account(Frame(0, 100, 8, bytes(16) + b.ipv4(LOCAL_1, REMOTE_1, b.udp(1, 2, b"data"))))
        (payload,) = target.take_payloads()
        assert (payload.a_host, payload.a_port, payload.data) == (b.host(LOCAL_1), 1, b"data")

    def test_ended_ones_are_kept_only_if_asked_for(self, make: Make) -> None:
        target = make(keep_conversations=False)
        target.account(out())
        _, summary = finish(target)
        assert ended(target) == []
        assert counts(summary) == Counts(1, {"end": 1}, 0)

    def test_ended_ones_are_taken_once(self, make: Make) -> None:
        target = make()
        target.account(out())
        finish(target)
        assert len(target.take_conversations()) == 1
        assert len(target.take_conversations()) == 0


FIN_ACK, RST_ACK, SYN_ACK = b.FIN | b.ACK, b.RST | b.ACK, b.SYN | b.ACK


class TestClosing:
    def test_fin_of_both_sides(self, make: Make) -> None:
        target = make()
        account_all(target, out(flags=FIN_ACK), back(flags=FIN_ACK), out(flags=b.SYN))
        assert reasons(target) == ["fin"]

    def test_fin_of_one_side_does_not_close(self, make: Make) -> None:
        target = make()
        account_all(target, out(flags=FIN_ACK), out(flags=FIN_ACK), out(flags=b.SYN))
        assert reasons(target) == []

    def test_one_fin_closes_what_has_one_endpoint(self, make: Make) -> None:
        target = make()
        account_all(target, *(tcp(LOCAL_1, 7, LOCAL_1, 7, flags=flags) for flags in (FIN_ACK, b.SYN)))
        assert reasons(target) == ["fin"]

    @pytest.mark.parametrize("flags", [b.RST, RST_ACK])
    def test_reset_by_either_side(self, make: Make, flags: int) -> None:
        target = make()
        account_all(target, out(), back(flags=flags), out(flags=b.SYN))
        assert reasons(target) == ["rst"]

    def test_reset_with_the_second_fin_is_a_reset(self, make: Make) -> None:
        target = make()
        account_all(target, out(flags=FIN_ACK), back(flags=FIN_ACK | b.RST), out(flags=b.SYN))
        assert reasons(target) == ["rst"]

    def test_first_reason_stays(self, make: Make) -> None:
        target = make()
        account_all(target, out(flags=FIN_ACK), back(flags=FIN_ACK), out(flags=b.RST), out(flags=b.SYN))
        account_all(target, out(flags=b.RST), back(flags=FIN_ACK), out(flags=FIN_ACK), out(flags=b.SYN))
        assert reasons(target) == ["fin", "rst"]

    def test_frames_after_closing_still_belong_to_it(self, make: Make) -> None:
        target = make()
        account_all(target, out(flags=b.RST), back(), out(flags=SYN_ACK), out(flags=b.SYN | b.FIN), out(flags=b.SYN | b.RST))
        finish(target)
        assert [(found.ab, found.ba) for found in ended(target)] == [((4, 400), (1, 100))]

    def test_syn_of_what_is_not_closed_belongs_to_it(self, make: Make) -> None:
        target = make()
        account_all(target, out(flags=b.SYN), out(flags=b.SYN), back(flags=b.SYN))
        assert counts(rotate(target)).opened == 1

    def test_syn_reopens_and_says_who_is_a(self, make: Make) -> None:
        target = make()
        account_all(target, out(flags=b.RST), back(flags=b.SYN | b.PSH | 0xC0, ts_ns=9))
        finish(target)
        first, second = ended(target)
        assert (first.ended, first.a, first.ab, first.ba) == ("rst", A, (1, 100), (0, 0))
        assert (second.ended, second.a, second.ab, second.first_ns) == ("end", B, (1, 100), 9)

    def test_opening_frame_may_close(self, make: Make) -> None:
        target = make()
        account_all(target, out(flags=b.RST), out(flags=b.SYN | b.RST), out(flags=b.SYN))
        assert [found.ab for found in ended(target)] == [(2, 200)]

    def test_flags_of_which_13_bytes_were_captured_are_not_known(self, make: Make) -> None:
        target = make()
        data = out(flags=b.RST).data[: 14 + 20 + 13]
        account_all(target, Frame(0, 100, 1, data), out(flags=b.SYN))
        assert reasons(target) == []

    def test_byte_of_a_later_fragment_is_no_flags(self, make: Make) -> None:
        target = make()
        packet = b.ipv4(LOCAL_1, REMOTE_1, b.tcp(0, 0, flags=b.RST), protocol=b.TCP, offset=8)
        account_all(target, Frame(0, 100, 101, packet), tcp(LOCAL_1, 0, REMOTE_1, 0, flags=b.SYN))
        assert reasons(target) == []

    def test_end_of_the_run_keeps_the_reason_of_the_closing(self, make: Make) -> None:
        target = make()
        account_all(target, out(flags=b.RST), udp(LOCAL_1, 1, REMOTE_1, 2))
        finish(target)
        assert reasons(target) == ["rst", "end"]


class TestTimeouts:
    @pytest.mark.parametrize(("build", "seconds"), TIMEOUTS.values(), ids=TIMEOUTS.keys())
    def test_next_frame_after_a_silence_opens_a_new_one(self, make: Make, build: Callable[..., Frame], seconds: int) -> None:
        target = make()
        target.account(build(LOCAL_1, 1, REMOTE_1, 2, ts_ns=7))
        target.account(build(REMOTE_1, 2, LOCAL_1, 1, ts_ns=7 + seconds * S))
        assert reasons(target) == []
        target.account(build(REMOTE_1, 2, LOCAL_1, 1, ts_ns=7 + 2 * seconds * S + 1))
        (found,) = ended(target)
        assert (found.ended, found.ab, found.ba, found.last_ns) == ("idle", (1, 100), (1, 100), 7 + seconds * S)
        finish(target)
        assert [found.a[0] for found in ended(target)] == [b.host(REMOTE_1)]

    def test_other_protocols_have_that_of_udp(self, make: Make) -> None:
        target = make()
        account_all(target, *(icmp(LOCAL_1, REMOTE_1, ts_ns=ts_ns) for ts_ns in (0, 120 * S)))
        assert reasons(target) == []
        target.account(icmp(LOCAL_1, REMOTE_1, ts_ns=240 * S + 1))
        assert reasons(target) == ["idle"]

    def test_closed_ones_have_10_seconds(self, make: Make) -> None:
        target = make()
        account_all(target, out(flags=b.RST), out(ts_ns=10 * S))
        assert reasons(target) == []
        target.account(out(ts_ns=20 * S + 1))
        assert reasons(target) == ["rst"]

    def test_time_that_runs_back_does_not_end_one(self, make: Make) -> None:
        target = make()
        account_all(target, out(ts_ns=10_000 * S), out(ts_ns=-10_000 * S), out(ts_ns=10_300 * S))
        assert reasons(target) == []

    def test_greatest_gap_there_is(self, make: Make) -> None:
        target = make()
        account_all(target, out(ts_ns=-(2**63) + 1), out(ts_ns=2**63 - 2))
        assert reasons(target) == ["idle"]


class TestRotation:
    def test_idle_ones_end(self, make: Make) -> None:
        target = make()
        account_all(target, udp_number(0), out(ts_ns=1), out(flags=b.RST, ts_ns=1), icmp(LOCAL_1, REMOTE_1, ts_ns=2))
        assert counts(rotate(target, 120 * S + 1)) == Counts(3, {"rst": 1}, 2)
        assert counts(rotate(target, 120 * S + 2)) == Counts(0, {"idle": 1}, 1)
        assert counts(rotate(target, 120 * S + 3)) == Counts(0, {}, 1)
        assert counts(rotate(target, 120 * S + 4)) == Counts(0, {"idle": 1}, 0)

    def test_clock_of_the_frames_counts_if_it_is_later(self, make: Make) -> None:
        target = make()
        account_all(target, udp_number(0), udp_number(1, ts_ns=120 * S + 1), udp_number(2))
        assert counts(rotate(target, 60)) == Counts(3, {"idle": 2}, 1)

    def test_new_phase_forgets_the_clock(self, make: Make) -> None:
        target = make()
        account_all(target, udp_number(0, ts_ns=9000 * S), udp_number(1, ts_ns=9 * S))
        target.begin_phase()
        assert counts(rotate(target, 60)) == Counts(2, {}, 2)
        account_all(target, udp_number(1, ts_ns=10 * S))
        assert counts(rotate(target, 60)) == Counts(0, {}, 2)

    def test_frames_without_conversation_do_not_move_the_clock(self, make: Make) -> None:
        target = make()
        account_all(target, udp_number(0), Frame(500 * S, 60, 1, b.ethernet(b.ARP, bytes(46))))
        assert counts(rotate(target, 60)) == Counts(1, {}, 1)

    def test_counts_are_those_of_the_interval(self, make: Make) -> None:
        target = make()
        account_all(target, udp_number(0), out(flags=b.RST), out(flags=b.SYN))
        assert counts(rotate(target)) == Counts(3, {"rst": 1}, 2)
        account_all(target, udp_number(1))
        assert counts(rotate(target)) == Counts(1, {}, 3)
        assert counts(rotate(target)) == Counts(0, {}, 3)
        last, summary = finish(target)
        assert counts(last) == Counts(0, {"end": 3}, 0)
        assert counts(summary) == Counts(4, {"rst": 1, "end": 3}, 0)

    def test_idle_ones_end_in_the_order_of_their_slots(self, make: Make) -> None:
        target = make()
        account_all(target, *(udp_number(number, ts_ns=-number) for number in range(3)))
        rotate(target, 500 * S)
        assert [found.a[1] for found in ended(target)] == [1000, 1001, 1002]
