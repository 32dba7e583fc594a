"""The ports behind traffic of no known application: which, how much, and when it is known after all."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import builders as b
import numpy as np
from conversation_tools import DNS, LOCAL_1, LOCAL_2, REMOTE_1, account_all, finish, icmp, label, out, rotate, tcp, udp

from fastmon.accounting import Accountant
from fastmon.model.snapshot import Snapshot

Make: TypeAlias = Callable[..., Accountant]


def unknown(snapshot: Snapshot) -> list[tuple[int, int, int, int]]:
    """Return (protocol, port, frames, bytes) of each."""
    return [(protocol, port, frames, n_bytes) for frames, n_bytes, port, protocol in snapshot.unknown_ports.tolist()]


def test_lower_port_counts_for_both_directions(make: Make) -> None:
    target = make()
    account_all(
        target,
        udp(REMOTE_1, 50000, LOCAL_1, 5201, wire_len=100),
        udp(LOCAL_1, 5201, REMOTE_1, 50000, wire_len=70),
        tcp(LOCAL_1, 5201, REMOTE_1, 6000, wire_len=60),
        udp(LOCAL_2, 5201, REMOTE_1, 50001, wire_len=1),
    )
    last, summary = finish(target)
    assert unknown(last) == unknown(summary) == [(b.TCP, 5201, 1, 60), (b.UDP, 5201, 3, 171)]


def test_what_is_known_and_what_has_no_ports_is_not_there(make: Make) -> None:
    target = make()
    account_all(target, out(), icmp(LOCAL_1, REMOTE_1))
    _, summary = finish(target)
    assert unknown(summary) == []


def test_interval_has_its_own_and_the_summary_all(make: Make) -> None:
    target = make()
    account_all(target, udp(LOCAL_1, 1000, REMOTE_1, 2000, wire_len=10))
    assert unknown(rotate(target)) == [(b.UDP, 1000, 1, 10)]
    assert unknown(rotate(target)) == []
    account_all(target, udp(LOCAL_1, 1000, REMOTE_1, 2000, wire_len=5), udp(LOCAL_1, 3000, REMOTE_1, 2000, wire_len=7))
    last, summary = finish(target)
    assert unknown(last) == [(b.UDP, 1000, 1, 5), (b.UDP, 2000, 1, 7)]
    assert unknown(summary) == [(b.UDP, 1000, 2, 15), (b.UDP, 2000, 1, 7)]


def test_late_label_takes_it_away(make: Make) -> None:
    target = make()
    frame = udp(LOCAL_1, 1000, REMOTE_1, 2000, b"x", wire_len=10)
    account_all(target, frame)
    assert unknown(rotate(target)) == [(b.UDP, 1000, 1, 10)]
    label(target, frame, DNS)
    last, summary = finish(target)
    assert unknown(last) == unknown(summary) == []
    assert summary.app_totals.tolist() == [(DNS, 2, 20)]


def test_late_label_after_a_merge_takes_it_away(make: Make) -> None:
    target, worker = make(), make()
    frame = udp(LOCAL_1, 1000, REMOTE_1, 2000, b"x", wire_len=10)
    account_all(worker, frame, udp(LOCAL_1, 3000, REMOTE_1, 3000, wire_len=3))
    target.merge(worker)
    assert unknown(rotate(target)) == [(b.UDP, 1000, 1, 10), (b.UDP, 3000, 1, 3)]
    label(worker, frame, DNS)
    target.merge(worker)
    last, summary = finish(target)
    assert unknown(last) == []
    assert unknown(summary) == [(b.UDP, 3000, 1, 3)]


def test_merged_snapshots_have_the_sums(make: Make) -> None:
    parts = []
    for wire_len in (10, 7):
        target = make()
        account_all(target, udp(LOCAL_1, wire_len, REMOTE_1, 2000), udp(LOCAL_1, 999, REMOTE_1, 2000, wire_len=wire_len))
        parts.append(finish(target)[1])
    merged = Snapshot.merge(*parts)
    assert unknown(merged)[-1] == (b.UDP, 999, 2, 17)
    assert np.array_equal(merged.unknown_ports["port"], [7, 10, 999])
    assert not merged.unknown_ports.flags.writeable
