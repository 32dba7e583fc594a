"""`Accountant.totals`: all rows since the start, at any time, and nothing is changed by looking."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import builders as b
import numpy as np
import pytest
from conversation_tools import DNS, HTTP, LOCAL_1, LOCAL_2, REMOTE_1, REMOTE_2, TABLES, account_all, tcp, udp
from hypothesis import given, settings
from hypothesis import strategies as st
from replays import EVER
from snapshot_checks import assert_conserved, rows
from strategies import damaged_frames

from fastmon.accounting import make_accountant
from fastmon.model.conversations import CONVERSATION_DTYPE
from fastmon.model.frames import Frame
from fastmon.model.snapshot import HOST_DTYPE, Interval, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastmon.accounting import Accountant

S = 1_000_000_000
TICK = Interval(5 * S, 6 * S)
FRAMES = [
    udp(LOCAL_1, 1000, REMOTE_1, 53, b"question", ts_ns=1 * S),
    tcp(LOCAL_2, 2000, REMOTE_2, 80, b"GET /", ts_ns=2 * S, wire_len=700),
    tcp(REMOTE_2, 80, LOCAL_2, 2000, b"200", ts_ns=3 * S, wire_len=1500),
    Frame(4 * S, 60, 1, b.ethernet(b.ARP, bytes(28))),
    Frame(4 * S, 60, 1, b"cut"),
]


def test_idle_hosts_are_in_it(accountant: Callable[..., Accountant]) -> None:
    target = accountant(local_networks=["10.0.0.0/8"], limit_bytes=1000)
    account_all(target, *FRAMES[:1])
    target.rotate(EVER)
    account_all(target, *FRAMES[1:])
    totals = target.totals(TICK)
    assert_conserved(totals)
    assert (totals.interval, totals.is_summary) == (TICK, True)
    found = {row.key: row for row in rows(totals)}
    assert found.keys() == {b.host(host) for host in (LOCAL_1, LOCAL_2, REMOTE_1, REMOTE_2)}
    assert found[b.host(LOCAL_1)].bytes_out == 100
    assert (found[b.host(LOCAL_2)].bytes_out, found[b.host(LOCAL_2)].bytes_in) == (700, 1500)
    assert (found[b.host(LOCAL_2)].first_seen_ns, found[b.host(LOCAL_2)].last_seen_ns) == (2 * S, 3 * S)
    assert all(row.total_bytes_in == row.bytes_in and row.total_bytes_out == row.bytes_out for row in found.values())
    assert {key for key, row in found.items() if row.local} == {b.host(LOCAL_1), b.host(LOCAL_2)}
    assert {key for key, row in found.items() if row.flagged} == {b.host(LOCAL_2), b.host(REMOTE_2)}
    assert totals.counters.frames.frames == 5
    assert totals.counters.non_ip.frames == totals.counters.undecoded["truncated"].frames == 1


def test_macs_but_no_conversations(accountant: Callable[..., Accountant]) -> None:
    target = accountant(max_conversations=10, applications=TABLES, local_networks=["10.0.0.0/8"])
    account_all(target, *FRAMES)
    totals = target.totals(TICK)
    assert totals.conversations is None
    assert totals.app_totals.tolist() == [(HTTP, 2, 2200), (DNS, 1, 100)]
    assert len(totals.apps) == 4
    assert totals.macs is not None
    macs = dict(zip(map(bytes, totals.hosts["key"].tolist()), totals.macs.tolist(), strict=True))
    assert macs[b.host(LOCAL_1)] == int.from_bytes(b.MAC_A, "big")
    assert macs[b.host(REMOTE_1)] == 0
    assert accountant().totals(TICK).macs is None


def test_nothing_yet(accountant: Callable[..., Accountant]) -> None:
    totals = accountant().totals(TICK)
    assert (len(totals), totals.counters.frames.frames) == (0, 0)
    assert totals.hosts.dtype == HOST_DTYPE


def test_copy_is_independent_and_cannot_be_changed(accountant: Callable[..., Accountant]) -> None:
    target = accountant()
    account_all(target, *FRAMES[:2])
    totals = target.totals(TICK)
    before = rows(totals)
    account_all(target, *FRAMES)
    assert rows(totals) == before
    for array in (totals.hosts, totals.total_bytes_in, totals.local, totals.flagged):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    target.finish(EVER, EVER)
    assert rows(totals) == before


def test_merged_shards_are_in_it(accountant: Callable[..., Accountant]) -> None:
    collector, shard = accountant(), accountant()
    account_all(shard, *FRAMES)
    assert len(collector.totals(TICK)) == 0
    collector.merge(shard)
    assert rows(collector.totals(TICK)) == rows(shard.totals(TICK))


def test_finished_accountant_has_none(accountant: Callable[..., Accountant]) -> None:
    target = accountant()
    target.finish(EVER, EVER)
    with pytest.raises(RuntimeError, match="has finished"):
        target.totals(TICK)


# A run with looks in between is the run without.


class Step(NamedTuple):
    """Something that happens to one of two accountants."""

    name: str
    shard: int
    frames: list[Frame]
    number: int


HOSTS = [LOCAL_1, LOCAL_2, "10.0.0.3", REMOTE_1, REMOTE_2, "192.0.2.9"]


@st.composite
def packets(draw: st.DrawFn) -> Frame:
    src, dst = draw(st.sampled_from(HOSTS)), draw(st.sampled_from(HOSTS))
    make = draw(st.sampled_from([tcp, udp]))
    ts_ns = draw(st.sampled_from([0, 1, 10, 121, 301, 600])) * S
    return make(src, draw(st.sampled_from([53, 80, 4000])), dst, 80, b"x", ts_ns=ts_ns, wire_len=draw(st.integers(0, 2000)))


STEPS = st.lists(
    st.builds(
        Step,
        st.sampled_from(["account", "account", "account", "rotate", "merge", "label", "end"]),
        st.integers(0, 1),
        st.lists(st.one_of(packets(), packets(), damaged_frames()), min_size=1, max_size=6),
        st.integers(0, 600),
    ),
    max_size=12,
)


def described(snapshot: Snapshot) -> tuple[Any, ...]:
    macs = (
        None
        if snapshot.macs is None
        else snapshot.macs[np.argsort([bytes(key) for key in snapshot.hosts["key"].tolist()])].tolist()
    )
    apps = sorted((bytes(snapshot.hosts["key"][app["host"]]), *app.tolist()[1:]) for app in snapshot.apps)
    return (
        rows(snapshot),
        snapshot.counters,
        macs,
        apps,
        snapshot.app_totals.tolist(),
        snapshot.conversations,
        snapshot.is_summary,
    )


def run(engine: str, steps: list[Step], options: dict[str, Any], *, looks: bool) -> tuple[list[Any], list[Any]]:
    """Return what comes out of the steps, and what is seen between them."""
    targets = [make_accountant(engine, seed=1, keep_conversations=True, applications=TABLES, **options) for _ in range(2)]
    results: list[Any] = []
    seen: list[Any] = []
    for target in targets:
        target.payload_allowance = 100
    for step in steps:
        target, other = targets[step.shard], targets[1 - step.shard]
        if looks:
            seen += [described(each.totals(Interval(0, step.number * S))) for each in targets]
        if step.name == "account":
            account_all(target, *step.frames)
        elif step.name == "rotate":
            results.append(described(target.rotate(Interval(0, step.number * S))))
        elif step.name == "merge":
            target.merge(other)
        elif step.name == "label":
            results += [target.label(payload.token, 1 + step.number % 3, 0) for payload in target.take_payloads()]
        else:
            target.end_conversations()
        ended = target.take_conversations()
        assert ended.dtype == CONVERSATION_DTYPE
        results += [(row.tobytes()[8:], len(target.take_limit_crossings())) for row in ended]
    for target in targets:
        results += [described(snapshot) for snapshot in target.finish(EVER, EVER)]
    return results, seen


@settings(max_examples=200, deadline=None)
@given(
    steps=STEPS,
    options=st.fixed_dictionaries(
        {
            "max_hosts": st.sampled_from([1, 2, 4, 100]),
            "max_conversations": st.sampled_from([0, 2, 50]),
            "limit_bytes": st.sampled_from([0, 500, 5000]),
            "local_networks": st.sampled_from([[], ["10.0.0.0/8"]]),
        }
    ),
)
def test_looks_change_nothing(steps: list[Step], options: dict[str, Any]) -> None:
    native, native_seen = run("native", steps, options, looks=True)
    reference, reference_seen = run("reference", steps, options, looks=True)
    assert native_seen == reference_seen
    assert native == run("native", steps, options, looks=False)[0]
    assert reference == run("reference", steps, options, looks=False)[0]
