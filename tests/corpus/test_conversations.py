"""Every capture of the corpus with conversations: both engines come to the same, and the sums hold."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from conversation_tools import TABLES, Pair, check

from fastmon.accounting import make_accountant
from fastmon.capture import open_offline
from fastmon.errors import CaptureError
from fastmon.model.snapshot import Interval

from .captures import CORPUS

if TYPE_CHECKING:
    from fastmon.accounting import Accountant
    from fastmon.capture import Capture

EVER = Interval(0, 1 << 62)
GULP_FRAMES = 700
MOST_GULPS = 20


def make(engine: str, max_conversations: int) -> Accountant:
    options: dict[str, Any] = {"applications": TABLES, "keep_conversations": True, "seed": 0}
    target = make_accountant(
        engine,
        max_hosts=1 << 16 if max_conversations > 100 else 40,
        max_conversations=max_conversations,
        local_networks=["10.0.0.0/8", "192.168.0.0/16", "fe80::/10"],
        **options,
    )
    target.payload_allowance = 1 << 20
    return target


def ends(target: Accountant, source: Capture) -> bool:
    """Drain a little; tell whether that was the end, or damage."""
    try:
        target.drain(source, GULP_FRAMES)
    except CaptureError:
        return True
    return source.exhausted


@pytest.mark.parametrize("max_conversations", [5, 1 << 16])
def test_engines_come_to_the_same(name: str, max_conversations: int) -> None:
    pair = Pair(make("native", max_conversations), make("reference", max_conversations))
    with suppress(CaptureError), open_offline(str(CORPUS / name)) as first, open_offline(str(CORPUS / name)) as second:
        for n_gulps in range(MOST_GULPS):
            have_ended = [ends(target, source) for target, source in zip(pair.both, (first, second), strict=True)]
            for number, token in enumerate(pair.take_payloads()):
                pair.label(token, number % 7, number % 3)
            pair.take_conversations()
            if n_gulps % 3 == 1:
                pair.rotate(Interval(0, max(pair.both[1].last_ts_ns or 0, 1)))
            if any(have_ended):
                assert all(have_ended)
                break
    pair.finish(EVER, EVER)
    pair.take_conversations()


@pytest.mark.parametrize("max_conversations", [3, 1 << 16])
def test_sums_hold(name: str, max_conversations: int, conversation_engine: str) -> None:
    target = make(conversation_engine, max_conversations)
    with suppress(CaptureError), open_offline(str(CORPUS / name)) as source:
        for _ in range(3):
            target.drain(source, GULP_FRAMES)
            for payload in target.take_payloads():
                target.label(payload.token, len(payload.data) % 9, 4)
            check(target.rotate(Interval(0, max(target.last_ts_ns or 0, 1))))
    for snapshot in target.finish(EVER, EVER):
        check(snapshot)
    counts = snapshot.conversations
    assert counts is not None
    assert (counts.opened, counts.running) == (sum(counts.ended.values()), 0)
    ended = target.take_conversations()
    assert len(ended) == counts.opened
    n_frames = int(ended["packets_ab"].sum() + ended["packets_ba"].sum())
    assert n_frames <= snapshot.counters.ip.frames
    assert (ended["packets_ab"] > 0).all()
