"""What can be asked of a snapshot."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from fakes import T0, FakeFrame, S, key, snapshot_of
from hypothesis import given, settings
from hypothesis import strategies as st
from snapshot_checks import assert_conserved, rows

from fastmon.errors import FastmonError
from fastmon.model.snapshot import CHUNK_ROWS, HOST_DTYPE, Count, Counters, Dropped, Interval, Overflow, Snapshot

MINUTE = Interval(T0, T0 + 60 * S)
FRAMES = st.lists(st.builds(FakeFrame, st.integers(T0, T0 + 60 * S), st.integers(0, 9), st.integers(1, 9), st.integers(1, 9)))


def numbered(totals: list[int]) -> Snapshot:
    """Return a snapshot whose host number n, an IPv6 address that ends in n, received `totals[n]` bytes."""
    hosts = np.zeros(len(totals), HOST_DTYPE)
    numbers = np.arange(len(totals), dtype=">u4").view(np.uint8).reshape(-1, 4)
    hosts["key"][:, 0], hosts["key"][:, 12:] = 0xFD, numbers
    hosts["bytes_in"] = totals
    marks = np.zeros(len(totals), np.bool_)
    return Snapshot(MINUTE, Counters(), hosts, hosts["bytes_in"].copy(), hosts["bytes_out"].copy(), marks, marks)


def test_row_is_64_bytes() -> None:
    assert HOST_DTYPE.itemsize == 64


def test_rows_are_plain_values() -> None:
    snapshot = snapshot_of([FakeFrame(T0, 100, 1, 2), FakeFrame(T0 + S, 50, 2, 1)], MINUTE, flagged=[key(2)])
    first, second = snapshot
    assert len(snapshot) == 2
    assert first == ("10.0.0.1", 50, 100, 1, 1, T0, T0 + S, 50, 100, True, False)
    assert (second.host, second.bytes_in, second.bytes_out, second.flagged) == ("10.0.0.2", 100, 50, True)
    assert {type(value) for value in first} == {str, int, bool}


def test_to_dict() -> None:
    by_host = snapshot_of([FakeFrame(T0, 100, 1, 2)], MINUTE).to_dict()
    assert list(by_host) == ["10.0.0.1", "10.0.0.2"]
    assert by_host["10.0.0.2"] == {
        "bytes_in": 100,
        "bytes_out": 0,
        "packets_in": 1,
        "packets_out": 0,
        "first_seen_ns": T0,
        "last_seen_ns": T0,
        "total_bytes_in": 100,
        "total_bytes_out": 0,
        "local": True,
        "flagged": False,
    }


def test_rows_of_more_than_a_chunk() -> None:
    n_hosts = CHUNK_ROWS + 1
    snapshot = numbered(list(range(n_hosts)))
    assert [row.bytes_in for row in snapshot] == list(range(n_hosts))
    assert [len(chunk) for chunk in snapshot.chunks()] == [CHUNK_ROWS, 1]
    assert all(np.shares_memory(chunk.hosts, snapshot.hosts) for chunk in snapshot.chunks())


def test_top_is_ordered_and_keeps_the_rest() -> None:
    snapshot = numbered([5, 30, 7, 20])
    top = snapshot.top(3)
    assert [row.bytes_in for row in top] == [30, 20, 7]
    assert top.total_bytes_in.tolist() == [30, 20, 7]
    assert top.counters is snapshot.counters
    assert not top.hosts.flags.writeable


def test_top_counts_both_directions() -> None:
    snapshot = snapshot_of([FakeFrame(T0, 60, 1, 2), FakeFrame(T0, 50, 2, 3), FakeFrame(T0, 50, 4, 2)], MINUTE)
    assert [row.host for row in snapshot.top(2)] == ["10.0.0.2", "10.0.0.1"]


@pytest.mark.parametrize(("n", "expected"), [(0, []), (-1, []), (2, [9, 8]), (3, [9, 8, 7]), (4, [9, 8, 7])])
def test_top_of_any_number(n: int, expected: list[int]) -> None:
    assert [row.bytes_in for row in numbered([8, 7, 9]).top(n)] == expected


def test_top_of_nothing() -> None:
    assert len(numbered([]).top(5)) == 0


def test_top_of_a_flood_of_equals_takes_the_least_keys() -> None:
    n_hosts = 3 * CHUNK_ROWS
    snapshot = numbered([60] * n_hosts)
    shuffled = replace(snapshot, hosts=snapshot.hosts[::-1])
    top = shuffled.top(3)
    assert [row.host for row in top] == ["fd00::", "fd00::1", "fd00::2"]


@given(st.lists(st.integers(0, 5), max_size=40), st.integers(0, 45))
def test_top_equals_sorting(totals: list[int], n: int) -> None:
    snapshot = numbered(totals)
    expected = sorted(snapshot, key=lambda row: -row.bytes_in)[:n]
    assert [row.host for row in snapshot.top(n)] == [row.host for row in expected]


@settings(deadline=None)
@given(st.lists(FRAMES, min_size=1, max_size=4))
def test_merged_snapshots_equal_one_of_all_frames(parts: list[list[FakeFrame]]) -> None:
    merged = Snapshot.merge(*(snapshot_of(part, MINUTE) for part in parts))
    together = snapshot_of([frame for part in parts for frame in part], MINUTE)
    assert rows(merged) == rows(together)
    assert merged.counters == together.counters
    assert [row.host for row in merged] == [row.host for row in together]
    assert_conserved(merged)


def test_merge_spans_intervals_and_adds_losses() -> None:
    first = replace(snapshot_of([], Interval(T0, T0 + S)), dropped=Dropped(1, 2, 3, 4, 5, 6), source="a")
    second = replace(snapshot_of([], Interval(T0 - S, T0)), dropped=Dropped(10, 20, 30, 40, 50, 60), source="b")
    merged = first.merge(second, second)
    assert merged.interval == Interval(T0 - S, T0 + S)
    assert merged.dropped == Dropped(21, 42, 63, 84, 105, 126)
    assert merged.source == "a, b"
    assert len(merged) == 0


def test_totals_of_one_runs_intervals_are_not_added() -> None:
    """Those of two runs are, of unknown runs, and those of summaries; the source does not matter."""
    frames = [FakeFrame(T0, 100, 1, 2), FakeFrame(T0 + 61 * S, 50, 1, 2), FakeFrame(T0 + 62 * S, 7, 3, 2)]
    first = replace(snapshot_of(frames[:1], Interval(T0, T0 + 60 * S)), source="eth0", run="one")
    second = replace(snapshot_of(frames[1:], Interval(T0 + 60 * S, T0 + 120 * S), seen=frames), source="eth0", run="one")

    def totals(snapshot: Snapshot) -> dict[str, tuple[int, int, int]]:
        return {row.host: (row.bytes_out, row.total_bytes_out, row.total_bytes_in) for row in snapshot}

    once = {"10.0.0.1": (150, 150, 0), "10.0.0.2": (0, 0, 157), "10.0.0.3": (7, 7, 0)}
    twice = {host: (2 * n_bytes, 2 * total_out, 2 * total_in) for host, (n_bytes, total_out, total_in) in once.items()}
    assert totals(first.merge(second)) == totals(second.merge(first)) == once
    others = [replace(snapshot, run="two") for snapshot in (first, second)]
    assert totals(first.merge(*others, second)) == twice
    assert totals(first.merge(others[1]).merge(others[0].merge(second))) == twice
    unknown = replace(first, run="")
    assert totals(unknown.merge(unknown))["10.0.0.1"] == (200, 200, 0)
    whole, later = replace(first, is_summary=True), replace(second, is_summary=True, run="two")
    assert totals(whole.merge(later))["10.0.0.1"][1] == 250


def test_merge_keeps_marks_of_any_part() -> None:
    flagged = snapshot_of([FakeFrame(T0)], MINUTE, flagged=[key(1)])
    remote = replace(snapshot_of([FakeFrame(T0)], MINUTE), local=np.zeros(2, np.bool_))
    merged = remote.merge(flagged)
    assert merged.flagged.tolist() == [True, False]
    assert merged.local.tolist() == [True, True]


def test_merge_refuses_a_summary_with_an_interval() -> None:
    snapshot = snapshot_of([], MINUTE)
    with pytest.raises(ValueError, match="summary"):
        snapshot.merge(replace(snapshot, is_summary=True))


def test_conservation_holds() -> None:
    snapshot = snapshot_of([FakeFrame(T0, 100, 1, 2), FakeFrame(T0, 70, 3, 3)], MINUTE)
    snapshot.check_conservation()
    numbered([]).check_conservation()


@pytest.mark.parametrize(
    ("counters", "broken"),
    [
        (Counters(frames=Count(2, 100), ip=Count(1, 100)), "frames: "),
        (Counters(frames=Count(1, 101), ip=Count(1, 100)), "bytes: "),
        (Counters(frames=Count(1, 100), ip=Count(1, 100), duplicates=Count(1, 0)), "frames: "),
        (Counters(frames=Count(1, 100), ip=Count(1, 100), duplicates=Count(0, 1)), "bytes: "),
        (Counters(frames=Count(1, 99), ip=Count(1, 99)), "bytes_in"),
        (Counters(frames=Count(1, 100), ip=Count(1, 100), overflow=Overflow(0, 0, 0, 1)), "bytes_out"),
        (Counters(frames=Count(1, 100), ip=Count(1, 100), overflow=Overflow(1, 0, 0, 0)), "packets_in"),
        (Counters(frames=Count(1, 100), ip=Count(1, 100), overflow=Overflow(0, 0, 1, 0)), "packets_out"),
    ],
)
def test_broken_conservation_is_told(counters: Counters, broken: str) -> None:
    snapshot = replace(snapshot_of([FakeFrame(T0, 100)], MINUTE), counters=counters)
    with pytest.raises(FastmonError, match=broken):
        snapshot.check_conservation()


def test_counters_add_up() -> None:
    one = Counters(Count(1, 10), Count(2, 20), Count(3, 30), overflow=Overflow(1, 2, 3, 4), duplicates=Count(5, 50))
    one.undecoded["truncated"] = Count(4, 40)
    total = one + one
    assert total.undecoded["truncated"] == Count(8, 80)
    assert total.undecoded["malformed"] == Count()
    assert (total.frames, total.ip, total.non_ip) == (Count(2, 20), Count(4, 40), Count(6, 60))
    assert total.overflow == Overflow(2, 4, 6, 8)
    assert total.duplicates == Count(10, 100)
