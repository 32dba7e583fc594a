"""Open live captures, drained as far as frames come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from replays import GULP_FRAMES, finish
from waiting import wait_until

from .traffic import totals_of

if TYPE_CHECKING:
    from fastmon.accounting import Accountant
    from fastmon.capture import LiveCapture
    from fastmon.model.frames import Frame

    from .traffic import Totals

__all__ = ["account", "drain", "read"]

SILENCE_S = 0.2
"""The kernel holds frames back for 50 ms."""


def drain(accountant: Accountant, capture: LiveCapture, n_frames: int) -> int:
    """Account until `n_frames` frames have come or were lost, and no more come; return the number of those that came."""
    n_read = 0

    def is_all() -> bool:
        nonlocal n_read
        n_new = accountant.drain(capture, GULP_FRAMES) if capture.wait(SILENCE_S) else 0
        n_read += n_new
        return n_new == 0 and n_read + capture.dropped().kernel >= n_frames

    wait_until(is_all, f"{n_frames} frames")
    return n_read


def account(accountant: Accountant, capture: LiveCapture, n_frames: int) -> Totals:
    """Return the totals of `n_frames` frames and of those that come though they should not."""
    drain(accountant, capture, n_frames)
    return totals_of(finish(accountant))


def read(capture: LiveCapture, n_frames: int) -> list[Frame]:
    """Return the next `n_frames` frames, which may come in several reads."""
    frames: list[Frame] = []

    def are_there() -> bool:
        if capture.wait(SILENCE_S):
            frames.extend(capture.read(n_frames - len(frames)))
        return len(frames) == n_frames

    wait_until(are_there, f"{n_frames} frames")
    return frames
