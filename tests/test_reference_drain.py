"""How the reference accountant drains a source; the native one's ways are tested with real sources."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import builders as b
import pytest

from fastmon.errors import TruncatedCaptureError
from fastmon.model.frames import Frame
from fastmon.model.snapshot import Interval
from fastmon.reference import FRAMES_PER_READ, ReferenceAccountant

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastmon.capture import Capture


def frame(wire_len: int = 100, ts_ns: int = 0) -> Frame:
    return Frame(ts_ns, wire_len, 101, b.ipv4("10.0.0.1", "192.0.2.1"))


class ListSource:
    """A source of frames from memory, which breaks after them if it is told to."""

    def __init__(self, frames: Iterable[Frame], error: Exception | None = None) -> None:
        self._frames = list(frames)
        self._error = error
        self.exhausted = False

    def read(self, max_frames: int, until_ns: int | None) -> list[Frame]:
        taken: list[Frame] = []
        while self._frames and len(taken) < max_frames and (until_ns is None or self._frames[0].ts_ns < until_ns):
            taken.append(self._frames.pop(0))
        if not taken and not self._frames:
            if self._error:
                raise self._error
            self.exhausted = True
        return taken


def drain(target: ReferenceAccountant, source: ListSource, max_frames: int = 1 << 16, until_ns: int | None = None) -> int:
    return target.drain(cast("Capture", source), max_frames, until_ns)


class TestReferenceDrain:
    def test_takes_no_more_than_asked_for(self) -> None:
        target = ReferenceAccountant()
        source = ListSource(frame() for _ in range(FRAMES_PER_READ + 10))
        assert drain(target, source, max_frames=FRAMES_PER_READ + 1) == FRAMES_PER_READ + 1
        assert drain(target, source, max_frames=100) == 9
        assert source.exhausted
        assert target.rotate(Interval(0, 60)).counters.ip.frames == FRAMES_PER_READ + 10

    def test_stops_before_the_frame_at_the_time(self) -> None:
        target = ReferenceAccountant()
        source = ListSource(frame(ts_ns=ts_ns) for ts_ns in (58, 59, 60, 1))
        assert drain(target, source, until_ns=60) == 2
        assert drain(target, source, until_ns=60) == 0
        assert drain(target, source, until_ns=61) == 2

    def test_frames_before_damage_stay_accounted(self) -> None:
        target = ReferenceAccountant()
        source = ListSource([frame()] * 3, error=TruncatedCaptureError("cut"))
        with pytest.raises(TruncatedCaptureError):
            drain(target, source)
        assert target.rotate(Interval(0, 60)).counters.ip.frames == 3
