"""Merging snapshots of any runs, in any order: what it comes to is computed here from the frames."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import builders as b
import numpy as np
import pytest
from conversation_tools import TABLES, facts
from fakes import T0, FakeFrame, S, snapshot_of
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshot_checks import contents

from fastmon.accounting import make_accountant
from fastmon.model.conversations import ENDED_REASONS, ConversationCounts
from fastmon.model.counters import Dropped, Interval, SourceCounts
from fastmon.model.frames import Frame
from fastmon.model.grouping import group_hosts
from fastmon.model.names import NameBook, NameFact
from fastmon.model.rows import UNGROUPED, Grouping
from fastmon.model.runs import RunPart
from fastmon.model.snapshot import Snapshot

if TYPE_CHECKING:
    from fastmon.accounting import Accountant

BY_MAC, BY_64 = Grouping(by_mac=True), Grouping(v6_prefix=64)
LENGTH = 30 * S  # of an interval
HOSTS = ["10.0.0.1", "10.0.0.2", "192.0.2.1", "2001:db8::1", "2001:db8::2"]
MACS = [bytes([2, 0, 0, 0, 0, number]) for number in (9, 1, 5)]


class Packet(NamedTuple):
    """What a frame is made of: indices of `HOSTS` and `MACS`, a port, and the time in its interval."""

    src: int
    dst: int
    mac: int
    port: int
    size: int
    offset_ns: int


PACKETS = st.builds(
    Packet,
    st.integers(0, 4),
    st.integers(0, 4),
    st.integers(0, 2),
    st.sampled_from([53, 9]),
    st.integers(60, 1500),
    st.integers(0, LENGTH - 1),
)
INTERVALS = st.lists(st.lists(PACKETS, max_size=6), min_size=1, max_size=4)
RUNS = st.lists(INTERVALS, min_size=1, max_size=3)


def frames_of(packets: list[Packet], start_ns: int) -> list[Frame]:
    """Return the frames of an interval, in the order of time."""
    frames = []
    for packet in packets:
        src, dst = HOSTS[packet.src], HOSTS[packet.dst]
        payload = b.udp(1000 + packet.mac, packet.port)
        if ":" in src + dst:
            src, dst = (address if ":" in address else "fd00::" + address for address in (src, dst))
            data = b.ethernet(b.IPV6, b.ipv6(src, dst, payload), src=MACS[packet.mac])
        else:
            data = b.ethernet(b.IPV4, b.ipv4(src, dst, payload), src=MACS[packet.mac])
        frames.append(Frame(start_ns + packet.offset_ns, packet.size, 1, data))
    return sorted(frames, key=lambda frame: frame.ts_ns)


def accountant() -> Accountant:
    local = ["10.0.0.0/8", "2001:db8::/32", "fd00::/8"]
    return make_accountant("native", max_conversations=64, applications=TABLES, local_networks=local, limit_bytes=3000)


def interval_at(index: int, n_intervals: int = 1) -> Interval:
    return Interval(T0 + index * LENGTH, T0 + (index + n_intervals) * LENGTH)


def snapshots_of(intervals: list[list[Packet]], number: int, run: str | None = None) -> list[Snapshot]:
    """Return the snapshots of a run, one for each interval; the runs after the first begin one interval later each."""
    target, book, snapshots = accountant(), NameBook(), []
    for sequence, packets in enumerate(intervals, start=1):
        interval = interval_at(number + sequence - 1)
        for frame in frames_of(packets, interval.start_ns):
            target.account(frame)
            name = NameFact(b.host(HOSTS[frame.ts_ns % 5]), f"name-{frame.wire_len % 3}.example", ("sni", "dhcp")[number % 2])
            book.record([name], frame.ts_ns)
        snapshots.append(
            replace(
                target.rotate(interval),
                run=f"run-{number}" if run is None else run,
                source=f"eth{number}",
                sequence=sequence,
                dropped=Dropped(sequence, 0, 1),
                packet_log_dropped=sequence,
                contacts_dropped=sequence,
                names_dropped=2 * sequence,
                names=book,
            )
        )
    return snapshots


def merge_in_pairs(snapshots: list[Snapshot], data: st.DataObject) -> Snapshot:
    """Merge two at a time, in any order and grouping."""
    pool = list(snapshots)
    while len(pool) > 1:
        one, other = (pool.pop(data.draw(st.integers(0, len(pool) - 1))) for _ in range(2))
        pool.append(one.merge(other))
    return pool[0]


@settings(deadline=None)
@given(RUNS, st.lists(st.booleans(), min_size=3, max_size=3), st.sampled_from([UNGROUPED, BY_MAC, BY_64]), st.data())
def test_neither_order_nor_grouping_of_merges_matters(
    runs: list[list[list[Packet]]], are_known: list[bool], grouping: Grouping, data: st.DataObject
) -> None:
    snapshots = [
        group_hosts(snapshot, grouping)
        for number, intervals in enumerate(runs)
        for snapshot in snapshots_of(intervals, number, None if are_known[number] else "")
    ]
    together = Snapshot.merge(*snapshots)
    assert contents(merge_in_pairs(snapshots, data).merge()) == contents(together)
    together._check_apps()
    if grouping == UNGROUPED:
        together.check_conservation()


@settings(deadline=None)
@given(INTERVALS, st.data())
def test_merged_intervals_of_a_run_are_one_longer_interval(intervals: list[list[Packet]], data: st.DataObject) -> None:
    target, whole = accountant(), interval_at(0, len(intervals))
    for index, packets in enumerate(intervals):
        for frame in frames_of(packets, interval_at(index).start_ns):
            target.account(frame)
    longer = target.rotate(whole)
    merged = merge_in_pairs(snapshots_of(intervals, 0), data)
    assert facts(merged) == facts(longer)
    assert (merged.covered_ns, merged.n_intervals, merged.sequence) == (whole.length_ns, len(intervals), len(intervals))
    assert (merged.run, merged.source, merged.parts, len(merged.run_totals)) == ("run-0", "eth0", (), 0)


@settings(deadline=None)
@given(RUNS, st.data())
def test_merged_runs_add_up(runs: list[list[list[Packet]]], data: st.DataObject) -> None:
    """Some intervals of each run, for instance all but those that a machine has not sent yet."""
    totals: dict[tuple[bytes, str], int] = {}
    running = 0
    chosen: list[Snapshot] = []
    for number, intervals in enumerate(runs):
        snapshots = snapshots_of(intervals, number)
        some = data.draw(st.lists(st.sampled_from(snapshots), min_size=1, unique_by=id))
        some.sort(key=lambda snapshot: snapshot.interval.start_ns)
        latest: dict[tuple[bytes, str], int] = {}
        for snapshot in some:
            for name in ("total_bytes_in", "total_bytes_out"):
                values = zip(snapshot.hosts["key"], getattr(snapshot, name).tolist(), strict=True)
                latest |= {(bytes(key), name): total for key, total in values}
        for key, total in latest.items():
            totals[key] = totals.get(key, 0) + total
        assert some[-1].conversations is not None
        running += some[-1].conversations.running
        chosen += some
    merged = merge_in_pairs(chosen, data)
    for name in ("total_bytes_in", "total_bytes_out"):
        values = zip(merged.hosts["key"], getattr(merged, name).tolist(), strict=True)
        assert {(bytes(key), name): total for key, total in values} == {
            key: total for key, total in totals.items() if key[1] == name
        }
    assert merged.conversations is not None
    assert merged.conversations.running == running
    parts = {number: [each for each in chosen if each.source == f"eth{number}"] for number in range(len(runs))}
    assert merged.n_intervals == max(map(len, parts.values()))
    durations = [len(some) * LENGTH for some in parts.values()]
    span_ns = max(each.interval.end_ns for each in chosen) - min(each.interval.start_ns for each in chosen)
    assert merged.covered_ns == max(*durations, min(sum(durations), span_ns))
    assert [(part.run, part.n_intervals, part.duration_ns) for part in merged.runs] == [
        (f"run-{number}", len(some), len(some) * LENGTH) for number, some in parts.items()
    ]


def empty(start_s: int, end_s: int, **values: Any) -> Snapshot:
    return replace(snapshot_of([], Interval(T0 + start_s * S, T0 + end_s * S)), **values)


def with_running(snapshot: Snapshot, running: int) -> Snapshot:
    return replace(snapshot, conversations=ConversationCounts(opened=1, running=running, n_skipped=2))


@pytest.mark.parametrize(
    ("parts", "covered_s"),
    [
        ([(0, 60)], 60),
        ([(0, 60), (0, 60)], 60),
        ([(0, 60), (3600, 3660)], 120),
        ([(0, 60), (30, 90)], 90),
        ([(0, 60), (10, 20)], 60),
        ([(0, 60), (60, 120), (0, 120)], 120),
    ],
)
def test_time_that_runs_cover_together(parts: list[tuple[int, int]], covered_s: int) -> None:
    merged = Snapshot.merge(*(empty(*part) for part in parts))
    assert merged.covered_ns == covered_s * S
    assert merged.n_intervals == 1


def test_time_covered_is_longer_than_the_interval_where_a_clock_was_set_back() -> None:
    first, second = empty(0, 60, run="a", sequence=1), empty(20, 80, run="a", sequence=2, duration_ns=70 * S)
    merged = first.merge(second)
    assert (merged.interval, merged.covered_ns) == (Interval(T0, T0 + 80 * S), 130 * S)
    assert merged.merge(empty(0, 60, run="b")).covered_ns == 130 * S


def test_running_is_the_last_interval_s() -> None:
    parts = [with_running(empty(60 * n, 60 * n + 60, run="a"), running) for n, running in enumerate((61, 75, 46))]
    for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
        merged = Snapshot.merge(*(parts[index] for index in order))
        assert merged.conversations == ConversationCounts(3, dict.fromkeys(ENDED_REASONS, 0), 46, 6)


def test_running_of_intervals_that_nothing_orders_is_the_same_in_both_orders() -> None:
    parts = [with_running(empty(0, 60, run="a"), running) for running in (5, 9)]
    merged = [Snapshot.merge(*order) for order in (parts, parts[::-1])]
    assert [snapshot.conversations.running for snapshot in merged if snapshot.conversations] == [9, 9]


def test_last_interval_is_the_one_with_the_greatest_sequence() -> None:
    before = with_running(empty(3600, 3660, run="a", sequence=7), 5)
    after = with_running(empty(0, 60, run="a", sequence=8), 9)  # the clock was set back
    for merged in (before.merge(after), after.merge(before)):
        assert merged.conversations is not None
        assert (merged.conversations.running, merged.sequence) == (9, 8)


def test_intervals_of_two_runs_in_pairs() -> None:
    """[run 1, first + run 2, first] + [run 1, second + run 2, second]."""
    hosts = [FakeFrame(T0, 100, 1, 2), FakeFrame(T0 + 60 * S, 30, 1, 2)]
    intervals = [Interval(T0, T0 + 60 * S), Interval(T0 + 60 * S, T0 + 120 * S)]
    a, c = (
        [
            with_running(replace(snapshot_of([hosts[n]], intervals[n], seen=hosts[: n + 1]), run=run), running + n)
            for n in range(2)
        ]
        for run, running in (("a", 10), ("c", 20))
    )
    merged = a[0].merge(c[0]).merge(a[1].merge(c[1]))
    assert contents(merged) == contents(Snapshot.merge(*c, *a))
    assert merged.total_bytes_out.tolist() == [260, 0]
    assert merged.total_bytes_in.tolist() == [0, 260]
    assert merged.conversations is not None
    assert merged.conversations.running == 32
    assert (merged.run, merged.n_intervals, merged.covered_ns) == ("", 2, 120 * S)
    assert merged.runs == (
        RunPart("a", "", Interval(T0, T0 + 120 * S), 120 * S, 2, 0, 11),
        RunPart("c", "", Interval(T0, T0 + 120 * S), 120 * S, 2, 0, 21),
    )


def test_top_and_chunks_of_a_merged_snapshot_can_be_merged_again() -> None:
    snapshots = [
        replace(snapshot_of([FakeFrame(T0, 100 + n, n, 9) for n in range(4)], Interval(T0, T0 + S)), run=run) for run in "ab"
    ]
    later = [replace(snapshot, total_bytes_out=snapshot.total_bytes_out * 3) for snapshot in snapshots]
    top = Snapshot.merge(*snapshots).top(2)
    assert top.host_texts() == ["10.0.0.9", "10.0.0.3"]
    assert top.run_totals.tolist() == [(0, 0, 406, 0), (0, 1, 406, 0), (1, 0, 0, 103), (1, 1, 0, 103)]
    assert top.macs_seen_ns is None
    merged = {row.host: row.total_bytes_out for row in top.merge(later[0])}
    assert merged == {"10.0.0.0": 300, "10.0.0.1": 303, "10.0.0.2": 306, "10.0.0.3": 3 * 103 + 103, "10.0.0.9": 0}


def test_merged_runs_can_be_grouped() -> None:
    first, second = (snapshots_of([[Packet(3, 4, 0, 9, 100, 0)], [Packet(4, 3, 0, 9, 70, 0)]], number) for number in range(2))
    merged = group_hosts(Snapshot.merge(*first, *second), BY_64)
    assert [(row.host, row.total_bytes_in, row.bytes_out) for row in merged] == [("2001:db8::/64", 340, 340)]
    assert merged.run_totals["bytes_in"].tolist() == [170, 170]
    assert merged.runs == Snapshot.merge(*first, *second).runs


def test_latest_ethernet_address_counts() -> None:
    """Whatever is greater, and whether the host was seen later without one."""
    snapshots = [
        replace(snapshot_of([FakeFrame(T0 + n * S, 100, 1, 1)], Interval(T0, T0 + 60 * S)), macs=np.array([mac], np.uint64))
        for n, mac in enumerate((9, 5, 0))
    ]
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2)):
        one, two, three = (snapshots[index] for index in order)
        for merged in (one.merge(two, three), one.merge(two).merge(three), one.merge(two.merge(three))):
            assert merged.macs is not None
            assert merged.macs.tolist() == [5]


def test_top_keeps_when_ethernet_addresses_were_seen() -> None:
    frames = [FakeFrame(T0 + 5 * S, 100, 1, 1), FakeFrame(T0 + 9 * S, 200, 2, 2)]
    one, other = (
        replace(snapshot_of(frames, interval_at(0)), run=run, macs=np.array(macs, np.uint64))
        for run, macs in (("a", [7, 0]), ("b", [0, 8]))
    )
    top = one.merge(other).top(1)
    assert top.macs is not None
    assert top.macs_seen_ns is not None
    assert (top.host_texts(), top.macs.tolist(), top.macs_seen_ns.tolist()) == (["10.0.0.2"], [8], [T0 + 9 * S])


def test_merge_refuses_two_summaries_of_a_run() -> None:
    summary = empty(0, 60, run="a", is_summary=True)
    with pytest.raises(ValueError, match="two summaries of the same run"):
        summary.merge(empty(0, 60, run="b", is_summary=True), summary)
    with pytest.raises(ValueError, match="two summaries of the same run"):
        summary.merge(empty(0, 60, run="b", is_summary=True)).merge(summary)
    assert len(summary.merge(empty(0, 60, run="b", is_summary=True)).runs) == 2


def test_summaries_need_no_totals_of_single_runs() -> None:
    one = replace(snapshot_of([FakeFrame(T0)], interval_at(0)), is_summary=True, run="a")
    merged = one.merge(replace(one, run="b"))
    assert (merged.total_bytes_out.tolist(), len(merged.run_totals)) == ([200, 0], 0)


def test_sources_are_listed_once_and_sorted() -> None:
    parts = [empty(0, 60, source=source) for source in "hbgcadfeab"]
    assert Snapshot.merge(*parts).source == "a, b, c, d, e, f, g, h"


def test_shares_of_interfaces_of_one_name_add_up() -> None:
    parts = [
        replace(empty(0, 60), sources=(SourceCounts("wg0", 5, Dropped(1, 2), 9), SourceCounts("eth0", 1))),
        replace(empty(60, 120), sources=(SourceCounts("eth0", 2, Dropped(3), 4),)),
        empty(120, 180),
    ]
    expected = (SourceCounts("eth0", 3, Dropped(3), 4), SourceCounts("wg0", 5, Dropped(1, 2), 9))
    assert Snapshot.merge(*parts).sources == Snapshot.merge(*reversed(parts)).sources == expected


def test_source_of_a_run_that_was_renamed_does_not_depend_on_the_order() -> None:
    one, other = empty(0, 60, run="a", source="eth0"), empty(60, 120, run="a", source="roof")
    assert one.merge(other).source == other.merge(one).source == "eth0"


def test_names_of_all_are_merged() -> None:
    books = [NameBook(), NameBook()]
    books[0].record([NameFact(b.host("10.0.0.1"), "laptop", "dhcp")], 5)
    books[1].record([NameFact(b.host("10.0.0.2"), "printer", "mdns")], 5)
    one, other = (replace(snapshot_of([FakeFrame(T0, 100, 1, 2)], interval_at(0)), names=book) for book in books)
    for merged in (one.merge(other), other.merge(one), replace(one, names=None).merge(one, other)):
        assert merged.names is not None
        assert merged.names.names_of(merged.hosts["key"], merged.local) == [("laptop", "dhcp"), ("printer", "mdns")]
    assert replace(one, names=None).merge(replace(other, names=None)).names is None


def test_names_of_a_merged_snapshot_do_not_change_any_more() -> None:
    book = NameBook()
    snapshot = replace(snapshot_of([FakeFrame(T0)], interval_at(0)), names=book)
    merged = snapshot.merge()
    book.record([NameFact(b.host("10.0.0.1"), "laptop", "dhcp")], 5)
    assert merged.names is not None
    assert len(merged.names) == 0


def test_every_field_is_merged() -> None:
    """None keeps its default where the parts have something."""
    (one,), (other,) = (snapshots_of([[Packet(0, 1, 0, 53, 100, 0), Packet(3, 4, 1, 9, 90, 1)]], number) for number in range(2))
    one = replace(one, services_overflow=3, bytes_of="ip", sources=(SourceCounts("eth0", 2),))
    other = replace(other, bytes_of="ip")
    merged, plain = contents(group_hosts(one, BY_MAC).merge(group_hosts(other, BY_MAC))), contents(empty(0, 0))
    kept = {"run", "sequence", "n_intervals", "is_summary"}
    assert [field.name for field in fields(Snapshot) if merged[field.name] == plain[field.name] and field.name not in kept] == []
