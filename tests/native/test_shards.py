"""Frames dealt among accountants: merged, they come to what one accountant makes of all."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import builders as b
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from replays import EVER, drain, finish, replay
from snapshot_checks import assert_conserved, rows
from strategies import damaged_frames

from fastmon.accounting import make_accountant
from fastmon.capture import open_offline
from fastmon.model.frames import Frame

from .pairs import RAW, assert_true, pairs, write

if TYPE_CHECKING:
    from pathlib import Path

    from fastmon.accounting import Accountant

HOSTS = [f"192.0.2.{n}" for n in range(9)]
N_SHARDS = 4


@st.composite
def packets(draw: st.DrawFn) -> Frame:
    src, dst = draw(st.sampled_from(HOSTS)), draw(st.sampled_from(HOSTS))
    return Frame(draw(st.integers(-(2**62), 2**62)), draw(st.integers(0, 2**32 - 1)), RAW, b.ipv4(src, dst))


def assert_same_summary(merged: Accountant, single: Accountant) -> None:
    assert (merged.first_ts_ns, merged.last_ts_ns) == (single.first_ts_ns, single.last_ts_ns)
    found, expected = finish(merged), finish(single)
    assert rows(found) == rows(expected)
    assert found.counters == expected.counters


class TestMerge:
    @settings(max_examples=150, deadline=None)
    @given(dealt=st.lists(st.tuples(st.integers(0, N_SHARDS - 1), st.one_of(packets(), damaged_frames())), max_size=80))
    def test_any_deal_comes_to_the_same(self, dealt: list[tuple[int, Frame]]) -> None:
        single, merged = make_accountant(), make_accountant()
        shards = [make_accountant() for _ in range(N_SHARDS)]
        for number, frame in dealt:
            single.account(frame)
            shards[number].account(frame)
        for shard in shards:
            merged.merge(shard)
        assert_same_summary(merged, single)

    @settings(max_examples=100, deadline=None)
    @given(rounds=st.lists(st.lists(st.tuples(st.integers(0, N_SHARDS - 1), packets()), max_size=20), max_size=5))
    def test_any_deal_comes_to_the_same_in_every_interval(self, rounds: list[list[tuple[int, Frame]]]) -> None:
        single, merged = make_accountant(limit_bytes=2**32), make_accountant(limit_bytes=2**32)
        shards = [make_accountant() for _ in range(N_SHARDS)]
        for dealt in rounds:
            for number, frame in dealt:
                single.account(frame)
                shards[number].account(frame)
            for shard in shards:
                merged.merge(shard)
            found, expected = merged.rotate(EVER), single.rotate(EVER)
            assert rows(found) == rows(expected)
            assert found.counters == expected.counters
        crossed = [{crossing.key for crossing in target.take_limit_crossings()} for target in (merged, single)]
        assert crossed[0] == crossed[1]
        assert_same_summary(merged, single)

    def test_many_hosts(self, tmp_path: Path) -> None:
        records = pairs(20_000, 60_000)
        merged = make_accountant()
        for number in range(N_SHARDS):
            shard = make_accountant()
            with open_offline(str(write(tmp_path / f"{number}.pcap", records[number::N_SHARDS]))) as source:
                drain(shard, source)
            merged.merge(shard)
        assert_true(finish(merged), records)

    def test_overflow_of_shards_adds_up(self, tmp_path: Path) -> None:
        records = pairs(3000, 10_000)
        merged = make_accountant(max_hosts=2500)
        for number in range(N_SHARDS):
            shard = make_accountant(max_hosts=1000)
            with open_offline(str(write(tmp_path / f"{number}.pcap", records[number::N_SHARDS]))) as source:
                drain(shard, source)
            merged.merge(shard)
        summary = finish(merged)
        assert summary.counters.ip.frames == len(records)
        assert summary.counters.overflow.frames_in > 0
        assert len(summary) == 2500
        assert_conserved(summary)

    def test_merging_nothing_is_refused(self) -> None:
        with pytest.raises(TypeError):
            make_accountant().merge(None)  # type: ignore[arg-type]


def test_accountants_in_threads_do_not_meet(tmp_path: Path) -> None:
    captures = [write(tmp_path / f"{seed}.pcap", pairs(20_000, 200_000, seed)) for seed in (1, 2, 3)]
    targets = [make_accountant() for _ in captures]

    def account(target: Accountant, capture: Path) -> None:
        with open_offline(str(capture)) as source:
            drain(target, source, 1000)

    threads = [threading.Thread(target=account, args=pair) for pair in zip(targets, captures, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for target, capture in zip(targets, captures, strict=True):
        assert rows(finish(target)) == rows(replay(capture, make_accountant()).summary)
