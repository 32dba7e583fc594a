"""What is due when in a run: the ends of intervals, ticks, and the end of the duration.

Interval ends and ticks are whole multiples of their length since the epoch, so those of several runs are the same; the first and
the last interval may be shorter. A phase is a stretch of time without a step of the clock; a run's duration is the sum of its
phases.

What it does not do: tell the time, or drain.
"""

from __future__ import annotations

from fastmon.model.snapshot import Interval

__all__ = ["Schedule", "earliest"]

SETTLING_TICKS = 7
"""The first ticks of a silence: in these, conversations of before it may turn out to get no answer."""


class Schedule:
    """The running interval, phase and duration, on one clock. All times are nanoseconds since the epoch.

    interval_ns, duration_ns, tick_ns: 0 for none.

    start_ns: of the running interval.
    """

    def __init__(self, interval_ns: int, duration_ns: int, tick_ns: int) -> None:
        self.start_ns = 0
        self._interval_ns = interval_ns
        self._tick_ns = tick_ns
        self._left_ns = duration_ns
        self._has_deadline = duration_ns > 0
        self._phase_start_ns = 0
        self._covered_ns = 0
        self._next_tick_ns = 0
        self._n_ticks_at_once = 0

    def begin_phase(self, now_ns: int) -> None:
        """Begin a phase, and an interval, at `now_ns`."""
        self.start_ns = self._phase_start_ns = now_ns
        self._next_tick_ns = _next_multiple(now_ns, self._tick_ns)

    def end_phase(self, end_ns: int) -> None:
        """End the phase; what is left of the duration is for the next ones."""
        length_ns = max(end_ns - self._phase_start_ns, 0)
        self._covered_ns += length_ns
        self._left_ns = max(self._left_ns - length_ns, 0)

    def set_tick(self, tick_ns: int, now_ns: int) -> None:
        """Let ticks come at this beat from `now_ns` on."""
        if tick_ns != self._tick_ns:
            self._tick_ns = tick_ns
            self._next_tick_ns = _next_multiple(max(now_ns, self.start_ns), tick_ns)

    @property
    def covered_ns(self) -> int:
        """The sum of the phases that have ended."""
        return self._covered_ns

    @property
    def end_ns(self) -> int | None:
        """When the running interval ends; None if no intervals are reported."""
        return _next_multiple(self.start_ns, self._interval_ns) if self._interval_ns else None

    @property
    def deadline_ns(self) -> int | None:
        """When the duration is over; None if it has no end."""
        return self._phase_start_ns + self._left_ns if self._has_deadline else None

    @property
    def due_ns(self) -> int | None:
        """When something is due next; None if nothing ever is."""
        return earliest(self.end_ns, self.deadline_ns, self._next_tick_ns if self._tick_ns else None)

    def is_over(self, now_ns: int) -> bool:
        """Tell whether the duration has passed."""
        return self.deadline_ns is not None and now_ns >= self.deadline_ns

    def interval_until(self, end_ns: int) -> Interval:
        """Return the running interval as it is when it ends at `end_ns`, and begin the next one there."""
        interval = Interval(self.start_ns, max(end_ns, self.start_ns))
        self.start_ns = interval.end_ns
        return interval

    def n_silent(self, now_ns: int) -> int:
        """Return how many whole intervals, after the running one, have passed by `now_ns`; 0 if it is still running."""
        end_ns = self.end_ns
        return 0 if end_ns is None else max((now_ns - end_ns) // self._interval_ns, 0)

    def skip_intervals(self, n_intervals: int) -> int:
        """Leave intervals out, which were silent; return how long they are."""
        self.start_ns += n_intervals * self._interval_ns
        return n_intervals * self._interval_ns

    def take_tick(self, now_ns: int) -> int | None:
        """Return the time of the tick that is due at `now_ns`, if one is: of a silence, the first ones and then the last one."""
        if not self._tick_ns or now_ns < self._next_tick_ns:
            self._n_ticks_at_once = 0
            return None
        tick_ns = self._next_tick_ns
        last_ns = now_ns - now_ns % self._tick_ns
        self._n_ticks_at_once += 1
        skips = self._n_ticks_at_once >= SETTLING_TICKS and last_ns > tick_ns
        self._next_tick_ns = last_ns if skips else tick_ns + self._tick_ns
        return tick_ns


def _next_multiple(now_ns: int, length_ns: int) -> int:
    """Return the first multiple of a length, unless that is 0, after `now_ns`."""
    return now_ns - now_ns % length_ns + length_ns if length_ns else now_ns


def earliest(*times_ns: int | None) -> int | None:
    """Return the earliest of some times; None if there is none."""
    return min((time_ns for time_ns in times_ns if time_ns is not None), default=None)
