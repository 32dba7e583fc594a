"""Conversations of frames that one batch accounts: what `account` does one by one must come of a file, too.

Small tables make hosts overflow and rows be used again within a batch, while later frames of it still look at them.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import builders as b
import pytest
from conversation_tools import HTTP, TABLES, Pair, ended, udp

from fastmon.accounting import make_accountant
from fastmon.capture import open_offline
from fastmon.model.snapshot import Interval

if TYPE_CHECKING:
    from pathlib import Path

    from fastmon.model.frames import Frame

A, B, C = "192.0.2.1", "192.0.2.2", "192.0.2.3"
ENGINES = ("native", "reference")


def drained(pair: Pair, path: Path, frames: list[Frame]) -> None:
    path.write_bytes(b.pcap_file(frames, nanoseconds=True))
    for target in pair.both:
        with open_offline(path) as capture:
            assert target.drain(capture, len(frames) + 1) == len(frames)


@pytest.mark.parametrize("engine", ENGINES)
def test_row_used_again_by_a_host_that_overflowed(engine: str, tmp_path: Path) -> None:
    """C has no row; A, which has row 0, sends to the same peer and ports right after it."""
    target = make_accountant(engine, max_hosts=2, max_conversations=1, keep_conversations=True)
    target.account(udp(A, 5000, B, 53))
    path = tmp_path / "two.pcap"
    path.write_bytes(b.pcap_file([udp(C, 5000, B, 53, ts_ns=1000), udp(A, 5000, B, 53, ts_ns=2000)]))
    with open_offline(path) as capture:
        target.drain(capture, 10)
    target.end_conversations()
    found = [(conversation.a[0][-1], conversation.ab[0]) for conversation in ended(target)]
    assert found == [(1, 1), (3, 1), (1, 1)]


@pytest.mark.parametrize("seed", range(150))
def test_small_tables(seed: int, tmp_path: Path) -> None:
    numbers = random.Random(seed)
    options: dict[str, Any] = {
        "max_hosts": numbers.choice([1, 2, 3, 5]),
        "max_conversations": numbers.choice([1, 2, 4, 8]),
        "local_networks": numbers.choice([[], ["10.0.0.0/8"], ["192.0.2.1/32"]]),
        "applications": TABLES,
        "keep_conversations": True,
    }
    pair = Pair(*(make_accountant(engine, seed=seed, **options) for engine in ENGINES))
    hosts = [A, B, C, "10.0.0.1", "10.0.0.2", "192.0.2.4"]
    ts_ns = 0
    for _ in range(numbers.randint(1, 4)):
        frames = []
        for _ in range(numbers.randint(1, 150)):
            src, dst = numbers.sample(hosts, 2)
            ts_ns += numbers.choice([0, 1, 1000, 10**9])
            frames.append(udp(src, numbers.choice([53, 5000]), dst, 53, b"data", ts_ns=ts_ns))
        for target in pair.both:
            target.payload_allowance = 50
        drained(pair, tmp_path / "part.pcap", frames)
        for token in pair.take_payloads():
            if numbers.random() < 0.3:
                pair.label(token, HTTP, 0)
        if numbers.random() < 0.5:
            pair.rotate(Interval(0, ts_ns + 1))
        pair.take_conversations()
    pair.finish(Interval(0, ts_ns + 1), Interval(0, ts_ns + 1))
    pair.take_conversations()
