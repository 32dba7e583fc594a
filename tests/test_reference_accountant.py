"""What an accountant does with frames, on both engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import builders as b
import pytest
from snapshot_checks import assert_conserved, row, rows

from fastmon.accounting import Accountant
from fastmon.errors import ConfigError
from fastmon.model.frames import Frame
from fastmon.model.snapshot import HOST_DTYPE, Count, Interval, LimitCrossing, Overflow, Snapshot
from fastmon.reference import ReferenceAccountant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    MakeAccountant = Callable[..., Accountant]

RAW = 101
LOCAL_1, LOCAL_2, LOCAL_3 = "10.0.0.1", "10.0.0.2", "10.0.0.3"
REMOTE_1, REMOTE_2, REMOTE_3 = "192.0.2.1", "192.0.2.2", "192.0.2.3"
LOCAL = {"local_networks": ["10.0.0.0/8"]}


def frame(src: str, dst: str, wire_len: int = 100, ts_ns: int = 0) -> Frame:
    build = b.ipv6 if ":" in src else b.ipv4
    return Frame(ts_ns, wire_len, RAW, build(src, dst))


def account_all(target: Accountant, frames: Iterable[Frame]) -> None:
    for each in frames:
        target.account(each)


def rotate(target: Accountant, start_ns: int = 0) -> Snapshot:
    snapshot = target.rotate(Interval(start_ns, start_ns + 60))
    assert_conserved(snapshot)
    return snapshot


def finish(target: Accountant) -> tuple[Snapshot, Snapshot]:
    last, summary = target.finish(Interval(60, 120), Interval(0, 120))
    assert_conserved(last)
    assert_conserved(summary)
    return last, summary


def hosts(snapshot: Snapshot) -> set[bytes]:
    return {row.key for row in rows(snapshot)}


class TestCounting:
    def test_wire_length_counts_once_for_each_side(self, accountant: MakeAccountant) -> None:
        target = accountant()
        target.account(frame(LOCAL_1, REMOTE_1, wire_len=1500))
        snapshot = rotate(target)
        sender, receiver = row(snapshot, b.host(LOCAL_1)), row(snapshot, b.host(REMOTE_1))
        assert (sender.bytes_out, sender.packets_out, sender.bytes_in, sender.packets_in) == (1500, 1, 0, 0)
        assert (receiver.bytes_out, receiver.packets_out, receiver.bytes_in, receiver.packets_in) == (0, 0, 1500, 1)
        assert snapshot.counters.ip == Count(1, 1500)

    def test_host_that_talks_to_itself_gets_both_directions(self, accountant: MakeAccountant) -> None:
        target = accountant()
        target.account(frame("::1", "::1", wire_len=80))
        (only,) = rows(rotate(target))
        assert (only.bytes_in, only.bytes_out, only.packets_in, only.packets_out) == (80, 80, 1, 1)

    def test_frames_without_hosts_count_by_status(self, accountant: MakeAccountant) -> None:
        target = accountant()
        packet = b.ipv4(LOCAL_1, REMOTE_1)
        account_all(
            target,
            [
                Frame(0, 60, 1, b.ethernet(b.ARP, bytes(46))),
                Frame(0, 61, RAW, packet[:19]),
                Frame(0, 62, RAW, b"\x50" + packet[1:]),
                Frame(0, 63, 219, b.mpls(packet, labels=[16] * 33)),
                Frame(0, 64, 105, b.dot11(packet, protected=True)),
                Frame(0, 65, 147, packet),
                Frame(0, 66, 147, packet),
            ],
        )
        counters = rotate(target).counters
        assert counters.non_ip == Count(1, 60)
        assert counters.undecoded == {
            "truncated": Count(1, 61),
            "malformed": Count(1, 62),
            "too_deep": Count(1, 63),
            "encrypted": Count(1, 64),
            "unsupported_link_type": Count(2, 131),
        }
        assert counters.frames == Count(7, 441)

    def test_seen_times_are_the_least_and_the_greatest(self, accountant: MakeAccountant) -> None:
        target = accountant()
        account_all(target, [frame(LOCAL_1, REMOTE_1, ts_ns=ts_ns) for ts_ns in (20, -5, 7)])
        seen = row(rotate(target), b.host(LOCAL_1))
        assert (seen.first_seen_ns, seen.last_seen_ns) == (-5, 20)

    def test_first_and_last_timestamp_are_those_of_all_frames(self, accountant: MakeAccountant) -> None:
        target, other = accountant(), accountant()
        assert (target.first_ts_ns, target.last_ts_ns) == (None, None)
        account_all(target, [frame(LOCAL_1, REMOTE_1, ts_ns=7), Frame(9, 60, 1, b.ethernet(b.ARP, bytes(46)))])
        assert (target.first_ts_ns, target.last_ts_ns) == (7, 9)
        other.account(frame(LOCAL_1, REMOTE_1, ts_ns=-3))
        target.merge(other)
        assert (target.first_ts_ns, target.last_ts_ns) == (-3, 9)

    def test_frame_of_no_length_is_traffic(self, accountant: MakeAccountant) -> None:
        target = accountant()
        target.account(frame(LOCAL_1, REMOTE_1, wire_len=0))
        assert row(rotate(target), b.host(LOCAL_1)).packets_out == 1

    def test_inner_counts_the_hosts_inside_tunnels(self, accountant: MakeAccountant) -> None:
        tunnel = Frame(0, 100, RAW, b.ipv4(REMOTE_1, REMOTE_2, b.ipv4(LOCAL_1, LOCAL_2), protocol=4))
        outer, inner = accountant(), accountant(inner=True)
        outer.account(tunnel)
        inner.account(tunnel)
        assert hosts(rotate(outer)) == {b.host(REMOTE_1), b.host(REMOTE_2)}
        assert hosts(rotate(inner)) == {b.host(LOCAL_1), b.host(LOCAL_2)}

    def test_link_type_that_only_dpkt_knows_is_counted(self, accountant: MakeAccountant) -> None:
        target = accountant()
        target.account(Frame(0, 100, 8, bytes(16) + b.ipv4(LOCAL_1, REMOTE_1)))
        assert hosts(rotate(target)) == {b.host(LOCAL_1), b.host(REMOTE_1)}

    def test_local_networks_are_prefixes_of_addresses(self, accountant: MakeAccountant) -> None:
        target = accountant(local_networks=["10.1.2.3/9", "192.0.2.1/32", "fd00::/8"])
        account_all(
            target,
            [frame("10.127.0.1", "10.128.0.1"), frame("192.0.2.1", "192.0.2.2"), frame("fdff::1", "fe00::1")],
        )
        local = {row.key for row in rows(rotate(target)) if row.local}
        assert local == {b.host("10.127.0.1"), b.host("192.0.2.1"), b.host("fdff::1")}

    @pytest.mark.parametrize(
        "arguments",
        [{"max_hosts": 0}, {"limit_bytes": -1}, {"local_networks": ["10.0.0.0/33"]}],
        ids=["hosts", "limit", "networks"],
    )
    def test_wrong_argument_is_refused(self, accountant: MakeAccountant, arguments: dict[str, Any]) -> None:
        with pytest.raises(ConfigError):
            accountant(**arguments)


class TestIntervals:
    def test_rotation_begins_anew_and_totals_go_on(self, accountant: MakeAccountant) -> None:
        target = accountant()
        account_all(target, [frame(LOCAL_1, REMOTE_1, 100, ts_ns=1), frame(LOCAL_1, REMOTE_2, 200, ts_ns=2)])
        first = rotate(target)
        target.account(frame(REMOTE_1, LOCAL_1, 50, ts_ns=70))
        second = rotate(target, start_ns=60)
        assert second.interval == Interval(60, 120)
        assert second.counters.frames == Count(1, 50)
        assert hosts(second) == {b.host(LOCAL_1), b.host(REMOTE_1)}
        local = row(second, b.host(LOCAL_1))
        assert (local.bytes_in, local.bytes_out, local.total_bytes_in, local.total_bytes_out) == (50, 0, 50, 300)
        assert (local.first_seen_ns, local.last_seen_ns) == (1, 70)
        assert row(first, b.host(LOCAL_1)).bytes_out == 300

    def test_summary_has_every_host_and_the_whole_run(self, accountant: MakeAccountant) -> None:
        target = accountant()
        account_all(target, [frame(LOCAL_1, REMOTE_1, 100), Frame(0, 60, 1, b.ethernet(b.ARP, bytes(46)))])
        rotate(target)
        target.account(frame(LOCAL_1, REMOTE_2, 200))
        last, summary = finish(target)
        assert hosts(last) == {b.host(LOCAL_1), b.host(REMOTE_2)}
        assert (last.is_summary, summary.is_summary) == (False, True)
        assert summary.interval == Interval(0, 120)
        assert summary.counters.frames == Count(3, 360)
        assert hosts(summary) == {b.host(LOCAL_1), b.host(REMOTE_1), b.host(REMOTE_2)}
        local = row(summary, b.host(LOCAL_1))
        assert (local.bytes_out, local.packets_out, local.total_bytes_out) == (300, 2, 300)

    def test_interval_without_frames_is_empty(self, accountant: MakeAccountant) -> None:
        snapshot = rotate(accountant())
        assert snapshot.hosts.dtype == HOST_DTYPE
        assert snapshot.counters.frames == Count()
        assert rows(snapshot) == []

    def test_arrays_are_read_only(self, accountant: MakeAccountant) -> None:
        target = accountant()
        target.account(frame(LOCAL_1, REMOTE_1))
        rotated = rotate(target)
        for snapshot in (rotated, *finish(target)):
            for array in (
                snapshot.hosts,
                snapshot.total_bytes_in,
                snapshot.total_bytes_out,
                snapshot.local,
                snapshot.flagged,
            ):
                assert not array.flags.writeable


class TestLimit:
    def test_host_is_flagged_by_the_frame_that_passes_the_limit(self, accountant: MakeAccountant) -> None:
        target = accountant(limit_bytes=250)
        account_all(target, [frame(LOCAL_1, REMOTE_1, 100, ts_ns=1), frame(REMOTE_2, LOCAL_1, 150, ts_ns=2)])
        assert target.take_limit_crossings() == []
        target.account(frame(LOCAL_1, REMOTE_2, 1, ts_ns=3))
        assert target.take_limit_crossings() == [LimitCrossing(b.host(LOCAL_1), 3, 251, 250, local=False)]
        assert [row.key for row in rows(rotate(target)) if row.flagged] == [b.host(LOCAL_1)]

    def test_host_is_flagged_once(self, accountant: MakeAccountant) -> None:
        target = accountant(limit_bytes=250)
        account_all(target, [frame(LOCAL_1, REMOTE_1, 300), frame(LOCAL_1, REMOTE_1, 300)])
        assert len(target.take_limit_crossings()) == 2
        rotate(target)
        target.account(frame(LOCAL_1, REMOTE_1, 300))
        assert target.take_limit_crossings() == []
        assert all(row.flagged for row in rows(rotate(target)))

    def test_limit_is_of_the_total_over_intervals(self, accountant: MakeAccountant) -> None:
        target = accountant(limit_bytes=250)
        for expected in (0, 0, 2):
            target.account(frame(LOCAL_1, REMOTE_1, 100))
            rotate(target)
            assert len(target.take_limit_crossings()) == expected

    def test_source_passes_before_destination(self, accountant: MakeAccountant) -> None:
        target = accountant(limit_bytes=250)
        target.account(frame(REMOTE_1, LOCAL_1, 300, ts_ns=9))
        assert [crossing.key for crossing in target.take_limit_crossings()] == [b.host(REMOTE_1), b.host(LOCAL_1)]

    @pytest.mark.parametrize("wire_len", [200, 300])
    def test_total_of_a_host_that_talks_to_itself_is_after_the_whole_frame(
        self, accountant: MakeAccountant, wire_len: int
    ) -> None:
        """Whichever half passes the limit."""
        target = accountant(limit_bytes=250)
        target.account(frame(LOCAL_1, LOCAL_1, wire_len))
        assert target.take_limit_crossings() == [LimitCrossing(b.host(LOCAL_1), 0, 2 * wire_len, 250, local=False)]

    def test_no_limit_flags_nobody(self, accountant: MakeAccountant) -> None:
        target = accountant(limit_bytes=0)
        target.account(frame(LOCAL_1, REMOTE_1, 1 << 30))
        assert target.take_limit_crossings() == []


class TestOverflow:
    def test_unseen_remote_hosts_overflow_by_direction(self, accountant: MakeAccountant) -> None:
        target = accountant(max_hosts=2)
        account_all(
            target,
            [
                frame(LOCAL_1, REMOTE_1, 100),
                frame(LOCAL_1, REMOTE_2, 10),
                frame(REMOTE_2, LOCAL_1, 1),
                frame(REMOTE_2, REMOTE_3, 7),
            ],
        )
        snapshot = rotate(target)
        assert snapshot.counters.overflow == Overflow(frames_in=2, bytes_in=17, frames_out=2, bytes_out=8)
        assert row(snapshot, b.host(LOCAL_1)).bytes_in == 1
        assert hosts(snapshot) == {b.host(LOCAL_1), b.host(REMOTE_1)}

    def test_overflow_begins_anew_and_is_whole_in_the_summary(self, accountant: MakeAccountant) -> None:
        target = accountant(max_hosts=1)
        target.account(frame(LOCAL_1, REMOTE_1, 100))
        assert rotate(target).counters.overflow == Overflow(frames_in=1, bytes_in=100)
        target.account(frame(REMOTE_1, LOCAL_1, 10))
        last, summary = finish(target)
        assert last.counters.overflow == Overflow(frames_out=1, bytes_out=10)
        assert summary.counters.overflow == Overflow(frames_in=1, bytes_in=100, frames_out=1, bytes_out=10)

    def test_unseen_local_host_takes_the_place_of_a_remote_one(self, accountant: MakeAccountant) -> None:
        target = accountant(max_hosts=2, **LOCAL)
        account_all(target, [frame(REMOTE_1, REMOTE_2, 100), frame(LOCAL_1, REMOTE_2, 10)])
        snapshot = rotate(target)
        assert hosts(snapshot) == {b.host(LOCAL_1), b.host(REMOTE_2)}
        assert snapshot.counters.overflow == Overflow(frames_out=1, bytes_out=100)

    def test_remote_hosts_go_in_the_order_in_which_they_came(self, accountant: MakeAccountant) -> None:
        target = accountant(max_hosts=4, **LOCAL)
        account_all(
            target, [frame(REMOTE_1, LOCAL_1), frame(REMOTE_2, REMOTE_3), frame(REMOTE_1, LOCAL_2), frame(LOCAL_1, LOCAL_3)]
        )
        assert hosts(rotate(target)) == {b.host(address) for address in (LOCAL_1, LOCAL_2, LOCAL_3, REMOTE_3)}

    def test_local_host_overflows_when_all_rows_are_local(self, accountant: MakeAccountant) -> None:
        target = accountant(max_hosts=2, **LOCAL)
        account_all(target, [frame(LOCAL_1, LOCAL_2), frame(LOCAL_3, LOCAL_1, 5)])
        snapshot = rotate(target)
        assert hosts(snapshot) == {b.host(LOCAL_1), b.host(LOCAL_2)}
        assert snapshot.counters.overflow == Overflow(frames_out=1, bytes_out=5)

    def test_displaced_host_that_comes_back_overflows(self, accountant: MakeAccountant) -> None:
        target = accountant(max_hosts=1, **LOCAL)
        account_all(target, [frame(REMOTE_1, LOCAL_1, 100), frame(REMOTE_1, LOCAL_1, 10)])
        snapshot = rotate(target)
        assert hosts(snapshot) == {b.host(LOCAL_1)}
        assert snapshot.counters.overflow == Overflow(frames_out=2, bytes_out=110)

    def test_earlier_traffic_of_a_displaced_host_is_only_in_the_summary(self, accountant: MakeAccountant) -> None:
        target = accountant(max_hosts=2, **LOCAL)
        target.account(frame(REMOTE_1, LOCAL_1, 1000))
        rotate(target)
        account_all(target, [frame(REMOTE_1, LOCAL_1, 10), frame(LOCAL_1, LOCAL_2, 1)])
        last, summary = finish(target)
        assert last.counters.overflow == Overflow(frames_out=1, bytes_out=10)
        assert summary.counters.overflow == Overflow(frames_out=2, bytes_out=1010)

    def test_rotation_of_a_full_table_makes_room_by_forgetting_idle_remote_hosts(self, accountant: MakeAccountant) -> None:
        target = accountant(max_hosts=3, **LOCAL)
        account_all(target, [frame(LOCAL_1, REMOTE_1, 1000), frame(REMOTE_2, REMOTE_2, 1)])
        rotate(target)
        target.account(frame(REMOTE_2, REMOTE_2, 10))
        assert rotate(target).counters.overflow == Overflow()
        target.account(frame(REMOTE_3, LOCAL_1, 5))
        last, summary = finish(target)
        assert last.counters.overflow == Overflow()
        assert hosts(summary) == {b.host(LOCAL_1), b.host(REMOTE_2), b.host(REMOTE_3)}
        assert summary.counters.overflow == Overflow(frames_in=1, bytes_in=1000)

    def test_table_with_room_forgets_nobody(self, accountant: MakeAccountant) -> None:
        target = accountant(max_hosts=3)
        target.account(frame(REMOTE_1, REMOTE_2))
        rotate(target)
        rotate(target)
        _, summary = finish(target)
        assert hosts(summary) == {b.host(REMOTE_1), b.host(REMOTE_2)}

    def test_the_last_interval_of_a_full_table_forgets_nobody(self, accountant: MakeAccountant) -> None:
        target = accountant(max_hosts=2)
        target.account(frame(REMOTE_1, REMOTE_2))
        rotate(target)
        _, summary = finish(target)
        assert hosts(summary) == {b.host(REMOTE_1), b.host(REMOTE_2)}


class TestMerge:
    def test_sums_since_the_last_rotation_are_added(self, accountant: MakeAccountant) -> None:
        target, other = accountant(), accountant()
        other.account(frame(REMOTE_2, LOCAL_1, 5000))
        rotate(other)
        target.account(frame(LOCAL_1, REMOTE_1, 100, ts_ns=5))
        account_all(other, [frame(LOCAL_1, REMOTE_1, 10, ts_ns=2), Frame(0, 60, 1, b.ethernet(b.ARP, bytes(46)))])
        target.merge(other)
        snapshot = rotate(target)
        assert snapshot.counters.frames == Count(3, 170)
        assert hosts(snapshot) == {b.host(LOCAL_1), b.host(REMOTE_1)}
        local = row(snapshot, b.host(LOCAL_1))
        assert (local.bytes_out, local.bytes_in, local.packets_out) == (110, 0, 2)
        assert local.last_seen_ns == 5

    def test_merged_accountant_is_rotated(self, accountant: MakeAccountant) -> None:
        target, other = accountant(), accountant()
        other.account(frame(LOCAL_1, REMOTE_1, 10))
        target.merge(other)
        assert rotate(other).counters.frames == Count()
        target.merge(other)
        assert rotate(target).counters.frames == Count(1, 10)
        _, summary = finish(other)
        assert summary.counters.frames == Count(1, 10)

    def test_sum_can_pass_the_limit(self, accountant: MakeAccountant) -> None:
        target, other = accountant(limit_bytes=250), accountant()
        target.account(frame(LOCAL_1, REMOTE_1, 200, ts_ns=1))
        other.account(frame(LOCAL_1, REMOTE_2, 100, ts_ns=2))
        target.merge(other)
        assert target.take_limit_crossings() == [LimitCrossing(b.host(LOCAL_1), 2, 300, 250, local=False)]

    def test_total_that_passes_the_limit_is_the_whole_sum(self, accountant: MakeAccountant) -> None:
        """Not that of what the host sent alone."""
        target, other = accountant(limit_bytes=250), accountant()
        account_all(other, [frame(LOCAL_1, REMOTE_1, 300, ts_ns=1), frame(REMOTE_1, LOCAL_1, 40, ts_ns=2)])
        target.merge(other)
        crossings = {(crossing.key, crossing.total_bytes) for crossing in target.take_limit_crossings()}
        assert crossings == {(b.host(LOCAL_1), 340), (b.host(REMOTE_1), 340)}

    def test_hosts_that_do_not_fit_overflow(self, accountant: MakeAccountant) -> None:
        target, other = accountant(max_hosts=2, **LOCAL), accountant(max_hosts=3)
        target.account(frame(REMOTE_1, LOCAL_1, 100))
        account_all(other, [frame(LOCAL_2, REMOTE_2, 10), frame(REMOTE_3, "192.0.2.4", 1)])
        target.merge(other)
        snapshot = rotate(target)
        assert hosts(snapshot) == {b.host(LOCAL_1), b.host(LOCAL_2)}
        assert snapshot.counters.overflow == Overflow(frames_in=2, bytes_in=11, frames_out=2, bytes_out=101)

    def test_reference_refuses_another_engine(self) -> None:
        with pytest.raises(TypeError, match="cannot merge a object"):
            ReferenceAccountant().merge(cast("Accountant", object()))
