"""The frames that were counted last, by which the reference accountant tells copies.

Private to `fastmon.reference`.
"""

from __future__ import annotations

from collections import deque
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from fastmon.model.frames import FrameStatus

if TYPE_CHECKING:
    from fastmon.model.frames import Frame, PacketSummary

__all__ = ["Duplicates"]


class _Remembered(NamedTuple):
    """What tells a frame's copies, and its time."""

    identity: bytes
    ts_ns: int


class Duplicates:
    """The last `n_frames` frames that were counted. A copy is one of the same identity, at most `window_ns` before or after."""

    def __init__(self, window_ns: int, n_frames: int) -> None:
        self._window_ns = window_ns
        self._n_frames = n_frames
        self._frames: deque[_Remembered] = deque()
        self._newest: dict[bytes, _Remembered] = {}

    def has(self, frame: Frame, summary: PacketSummary) -> bool:
        """Tell whether a frame is a copy of one that was counted. If not, remember it."""
        newcomer = _Remembered(_identity(frame, summary), frame.ts_ns)
        known = self._newest.get(newcomer.identity)
        if known is not None and abs(known.ts_ns - newcomer.ts_ns) <= self._window_ns:
            return True
        if len(self._frames) == self._n_frames:
            oldest = self._frames.popleft()
            if self._newest[oldest.identity] is oldest:
                del self._newest[oldest.identity]
        self._frames.append(newcomer)
        self._newest[newcomer.identity] = newcomer
        return False

    def forget(self) -> None:
        """Forget all frames."""
        self._frames.clear()
        self._newest.clear()


def _identity(frame: Frame, summary: PacketSummary) -> bytes:
    """Return a digest of the IP packet and its length, or of the whole frame, its length and link type if it has none."""
    numbers, data = (frame.link_type, frame.wire_len), frame.data
    if summary.status is FrameStatus.IP:
        length = summary.ip_len(frame)
        numbers, data = (-1, length), frame.data[summary.ip_at : summary.ip_at + length]
    return blake2b(repr(numbers).encode() + data, digest_size=16).digest()
