"""Every capture of the corpus: both engines come to the same, whichever header they account."""

from __future__ import annotations

from collections import Counter

from engines import native_decode
from host_model import HostModel
from replays import assert_same, finish, traffic

from fastmon.accounting import make_accountant
from fastmon.capture import open_offline
from fastmon.decode import decode
from fastmon.errors import CaptureError
from fastmon.model.frames import UNDECODED, Frame, FrameStatus

from .captures import CORPUS, replayed

MOST_FRAMES = 20_000
"""Compared one by one, of each capture."""


def first_frames(name: str) -> list[Frame]:
    """Return a capture's first frames; those before its damage, if it is damaged."""
    try:
        with open_offline(str(CORPUS / name)) as source:
            return source.read(MOST_FRAMES)
    except CaptureError:
        return []


def test_summaries_are_the_same(name: str) -> None:
    assert_same(replayed("native", name), replayed("reference", name))


def test_innermost_headers_are_the_same(name: str) -> None:
    target, model = make_accountant(inner=True), HostModel()
    statuses: Counter[FrameStatus] = Counter()
    for frame in first_frames(name):
        target.account(frame)
        expected = decode(frame, inner=True)
        assert native_decode(frame.link_type, frame.data, True) == expected
        statuses[expected.status] += 1
        if expected.status is FrameStatus.IP:
            model.add(expected.src, expected.dst, frame.wire_len)
    summary = finish(target)
    assert traffic(summary) == model.hosts
    assert {reason: count.frames for reason, count in summary.counters.undecoded.items()} == {
        status.name.lower(): statuses[status] for status in UNDECODED
    }
    assert summary.counters.non_ip.frames == statuses[FrameStatus.NON_IP]
