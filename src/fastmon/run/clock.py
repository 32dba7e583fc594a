"""The clocks of a run.

What it does not do: know intervals; `run.schedule` does.
"""

from __future__ import annotations

import time
from typing import Protocol

from fastmon.model.units import NS_PER_S

__all__ = ["Clock", "PipeClock", "StepWatch", "SystemClock"]

NEAR_NS = 5 * NS_PER_S
"""Frames whose timestamps are that near to this machine's time come from a capture that is running."""

LATE_NS = NS_PER_S
"""How late the clock of a silent pipe runs on: for frames that are on their way."""


class Clock(Protocol):
    """Tells the time, and lets it pass."""

    def now_ns(self) -> int:
        """Return the wall clock's time, nanoseconds since the epoch."""
        ...

    def steady_ns(self) -> int:
        """Return the time of a clock that nobody sets, nanoseconds; it runs while the machine sleeps."""
        ...

    def sleep(self, duration_ns: int) -> None:
        """Let `duration_ns` pass."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_ns(self) -> int:
        """Return the wall clock's time, nanoseconds since the epoch."""
        return time.time_ns()

    def steady_ns(self) -> int:
        """Return the time since boot, nanoseconds, sleep included."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def sleep(self, duration_ns: int) -> None:
        """Let `duration_ns` pass."""
        time.sleep(duration_ns / NS_PER_S)


class StepWatch:
    """Notices that a wall clock was set by more than `max_step_ns`, by comparing it with the steady one."""

    def __init__(self, clock: Clock, max_step_ns: int) -> None:
        self._clock = clock
        self._max_step_ns = max_step_ns
        self._now_ns, self._steady_ns = clock.now_ns(), clock.steady_ns()

    def step(self) -> tuple[int, int] | None:
        """Return what time it would be and what time it is, if the clock was set since the last call."""
        now_ns, steady_ns = self._clock.now_ns(), self._clock.steady_ns()
        expected_ns = self._now_ns + steady_ns - self._steady_ns
        self._now_ns, self._steady_ns = now_ns, steady_ns
        return (expected_ns, now_ns) if abs(now_ns - expected_ns) > self._max_step_ns else None


class PipeClock:
    """The packets' clock of a pipe, which runs on when the pipe falls silent, if the capture behind it is running.

    always: whatever the frames' timestamps are.
    """

    def __init__(self, clock: Clock, *, always: bool) -> None:
        self._clock = clock
        self._always = always
        self._newest_ns: int | None = None
        self._came_ns = 0

    def note(self, newest_ns: int) -> None:
        """Note that frames have just come, the newest with this timestamp."""
        is_near = abs(self._clock.now_ns() - newest_ns) <= NEAR_NS
        self._newest_ns = newest_ns if self._always or is_near else None
        self._came_ns = self._clock.steady_ns()

    def now_ns(self) -> int | None:
        """Return the time that it is now; None if it does not run on."""
        return None if self._newest_ns is None else self._newest_ns + self._clock.steady_ns() - self._came_ns - LATE_NS
