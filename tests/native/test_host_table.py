"""The host table against dicts: growth, density, eviction, limits, and that its seed shows nowhere."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import builders as b
import numpy as np
import pytest
from host_model import HostModel
from hypothesis import given, settings
from hypothesis import strategies as st
from replays import EVER, finish, replay, traffic
from snapshot_checks import assert_conserved, rows

from fastmon.accounting import make_accountant
from fastmon.capture import open_offline
from fastmon.errors import ConfigError
from fastmon.model.frames import Frame
from fastmon.model.snapshot import LimitCrossing, Overflow

from .pairs import RAW, assert_true, assert_true_times, pairs, write

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MOST_HOSTS = 2**31 - 1
SEEDS = st.integers(0, 2**64 - 1)
ADDRESSES = (
    [f"10.0.{n % 3}.{n}" for n in range(20)] + [f"2001:db8::{n % 3}:{n}" for n in range(20)] + ["::", "0.0.0.0", "::ffff:0:0"]
)


def packet(src: str, dst: str) -> bytes:
    """Return a packet; an IPv4 address beside an IPv6 one is mapped."""
    if ":" not in src + dst:
        return b.ipv4(src, dst)
    src, dst = (address if ":" in address else f"::ffff:{address}" for address in (src, dst))
    return b.ipv6(src, dst)


@settings(max_examples=150, deadline=None)
@given(
    frames=st.lists(st.tuples(st.sampled_from(ADDRESSES), st.sampled_from(ADDRESSES), st.integers(0, 2**32 - 1)), max_size=200),
    seed=SEEDS,
    max_hosts=st.sampled_from([len(ADDRESSES), 1 << 20, MOST_HOSTS]),
)
def test_hosts_are_those_of_a_dict(frames: list[tuple[str, str, int]], seed: int, max_hosts: int) -> None:
    target, model = make_accountant(seed=seed, max_hosts=max_hosts), HostModel()
    for src, dst, wire_len in frames:
        target.account(Frame(0, wire_len, RAW, packet(src, dst)))
        model.add(b.host(src), b.host(dst), wire_len)
    assert traffic(finish(target)) == model.hosts


@pytest.mark.parametrize("n_hosts", [1, 2559, 2560, 2561, 5121, 200_000])
def test_index_grows_with_its_hosts(n_hosts: int, tmp_path: Path) -> None:
    records = pairs(n_hosts, n_hosts + 1000)
    summary, error = replay(write(tmp_path / "x.pcap", records), make_accountant())
    assert error is None
    assert_true(summary, records)
    assert_true_times(summary, records)


def test_all_hosts_fit_that_may(tmp_path: Path) -> None:
    records = pairs(5000, 20_000)
    capture = write(tmp_path / "x.pcap", records)
    exactly, _ = replay(capture, make_accountant(max_hosts=5000))
    assert_true(exactly, records)
    assert exactly.counters.overflow == Overflow()
    one_less, _ = replay(capture, make_accountant(max_hosts=4999))
    assert len(one_less) == 4999
    assert one_less.counters.overflow != Overflow()


def test_seed_shows_nowhere(tmp_path: Path) -> None:
    capture = write(tmp_path / "x.pcap", pairs(3000, 10_000))
    hosts = [replay(capture, make_accountant(seed=seed, max_hosts=2048)).summary.hosts for seed in (None, None, 0, 2**64 - 2)]
    assert len({array.tobytes() for array in hosts}) == 1


class TestFullTable:
    """A full table's index is half full: probes are long, and rows come and go in them."""

    def both(self, records: NDArray[np.void], n_intervals: int, tmp_path: Path) -> Overflow:
        """Compare native snapshots with the reference's, which keeps a dict; return what overflowed in all."""
        capture = write(tmp_path / "x.pcap", records)
        native, reference = (
            make_accountant(engine, max_hosts=2048, local_networks=["0.0.0.0/2"]) for engine in ("native", "reference")
        )
        bounds = np.linspace(0, len(records), n_intervals + 1).astype(int).tolist()
        with open_offline(str(capture)) as one, open_offline(str(capture)) as other:
            for start, end in pairwise(bounds):
                for target, source in ((native, one), (reference, other)):
                    assert target.drain(source, end - start) == end - start
                snapshots = [target.rotate(EVER) for target in (native, reference)]
                assert rows(snapshots[0]) == rows(snapshots[1])
                assert snapshots[0].counters == snapshots[1].counters
                assert_conserved(snapshots[0])
        summaries = [finish(target) for target in (native, reference)]
        assert rows(summaries[0]) == rows(summaries[1])
        return summaries[0].counters.overflow

    def test_local_hosts_displace_remote_ones(self, tmp_path: Path) -> None:
        records = pairs(6000, 9000)
        assert self.both(records, 1, tmp_path).frames_in > 0

    def test_idle_remote_hosts_make_room(self, tmp_path: Path) -> None:
        old, new = pairs(3000, 4000, seed=1), pairs(2500, 4000, seed=2)
        records = np.concatenate([old, old[:500], new])
        assert self.both(records, 6, tmp_path).frames_in > 0


def test_each_host_crosses_the_limit_once_at_the_frame_that_passes_it(tmp_path: Path) -> None:
    limit, records = 200_000, pairs(300, 5000)
    crossings, totals = [], dict.fromkeys(records["src"].tolist() + records["dst"].tolist(), 0)
    for second, src, dst, wire_len in records[["seconds", "src", "dst", "wire_len"]].tolist():
        for address in (src, dst):
            before, totals[address] = totals[address], totals[address] + wire_len
            if before <= limit < totals[address]:
                key = bytes(10) + b"\xff\xff" + address.to_bytes(4, "big")
                crossings.append(LimitCrossing(key, second * 10**9, totals[address], limit, local=address < 1 << 31))
    target, found = make_accountant(limit_bytes=limit, local_networks=["0.0.0.0/1"]), []
    with open_offline(str(write(tmp_path / "x.pcap", records))) as source:
        while not source.exhausted:
            target.drain(source, 700)
            found += target.take_limit_crossings()
            target.rotate(EVER)
    assert found == crossings
    assert finish(target).flagged.sum() == len(crossings) > 100


class TestBounds:
    @pytest.mark.parametrize("max_hosts", [0, -1, MOST_HOSTS + 1])
    def test_max_hosts_out_of_range_is_refused(self, max_hosts: int) -> None:
        with pytest.raises(ConfigError, match=f"max_hosts must be between 1 and {MOST_HOSTS}, not {max_hosts}"):
            make_accountant(max_hosts=max_hosts)

    @pytest.mark.parametrize("seed", [-1, 2**64])
    def test_seed_out_of_range_is_refused(self, seed: int) -> None:
        with pytest.raises(ConfigError, match=f"seed must be between 0 and {2**64 - 1}, not {seed}"):
            make_accountant(seed=seed)

    def test_as_many_local_networks_as_one_likes(self) -> None:
        networks = [f"10.{n}.0.0/16" for n in range(256)] + ["fd00::/8"]
        target = make_accountant(local_networks=networks)
        target.account(Frame(0, 1, RAW, packet("10.255.0.1", "11.0.0.1")))
        assert {row.key: row.local for row in rows(finish(target))} == {b.host("10.255.0.1"): True, b.host("11.0.0.1"): False}
