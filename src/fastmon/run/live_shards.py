"""The shards of a live run: an accountant with its share of each interface, on the wall clock.

What it does not do: open interfaces, or open them again.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from fastmon.errors import CaptureError
from fastmon.model.units import NS_PER_S
from fastmon.run.clock import StepWatch
from fastmon.run.shards import CHUNK_FRAMES, MAX_BACKSTEP_NS, Shard, out_of_memory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fastmon.capture import LiveCapture
    from fastmon.model.addresses import Network
    from fastmon.run.clock import Clock
    from fastmon.run.plan import Worker
    from fastmon.run.shards import PacketLog

__all__ = ["LiveShard"]

GATHER_NS = 50_000_000
"""How long the kernel gathers frames between two chunks, to be woken up seldom."""

GRACE_NS = 100_000_000
"""How long to wait for frames that the kernel has gathered and not handed over yet: of before a boundary, or of an interface that
has gone, since libpcap tells the error before the last frames."""

LONGEST_WAIT_NS = 50_000_000
"""The longest wait for a frame; no signal ends it."""


class LiveShard(Shard):
    """Drains its share of each interface in turn, so that a conversation that takes several of them is one.

    has_ended: nothing more can be read.
    networks: that have turned local; any thread may put some.
    """

    position_bytes = 0

    def __init__(
        self, worker: Worker, captures: Sequence[LiveCapture], clock: Clock, packet_log: PacketLog | None = None
    ) -> None:
        super().__init__(worker, packet_log)
        self.has_ended = False
        self.networks: deque[Network] = deque()
        self._captures = captures
        self._going: dict[LiveCapture, int] = {}  # until when frames may still come of an interface that has gone
        self._clock = clock
        self._step_watch = StepWatch(clock, MAX_BACKSTEP_NS)

    def drain_chunk(self, until_ns: int | None) -> bool:
        """Account some of what has come of before `until_ns`, waiting a little; return False once all of that has come.

        Also when all captures have ended, and when a clock was set. A frame counts in the interval of its own timestamp: what the
        kernel has gathered by `until_ns` is waited for.
        """
        if self.has_ended or self.step is not None or self._step_watch.step() is not None:
            return False
        while self.networks:
            self._accountant.add_local_network(self.networks.popleft())
        now_ns = self._clock.now_ns()
        left_ns = LONGEST_WAIT_NS if until_ns is None else until_ns + GRACE_NS - now_ns
        counts = {
            capture: self._drain(capture, None if self._is_of_other_clock(capture, now_ns) else until_ns)
            for capture in self._ready(until_ns, now_ns, max(min(left_ns, LONGEST_WAIT_NS), 0))
        }
        n_frames = max(counts.values(), default=0)
        self._leave_those_gone(counts)
        for capture in self._captures:
            self._take_warnings(capture)
        if until_ns is not None and now_ns >= until_ns:
            are_past = all(self._holds(capture, until_ns, now_ns) for capture in self._captures if not capture.is_away)
            if are_past or (left_ns <= 0 and not n_frames):
                return False
        if 0 < n_frames < CHUNK_FRAMES and left_ns > 0:
            self._clock.sleep(min(left_ns, GATHER_NS))
        return True

    def last_call(self, until_ns: int) -> None:
        """Account what the kernel has gathered of before `until_ns`."""
        while self.drain_chunk(until_ns):
            pass

    @property
    def step(self) -> tuple[int, int] | None:
        """The newest timestamp and a held frame's, if the clock has stepped back between them."""
        steps = (self._step_to(capture.next_ts_ns) for capture in self._captures)
        return next((step for step in steps if step is not None), None)

    def _ready(self, until_ns: int | None, now_ns: int, timeout_ns: int) -> list[LiveCapture]:
        """Return the captures that can be drained, waiting for one of them if there is none yet."""
        here = [capture for capture in self._captures if not capture.is_away and not self._holds(capture, until_ns, now_ns)]
        ready = [capture for capture in here if capture in self._going or (len(here) > 1 and self._wait(capture, 0))]
        if ready:
            return ready
        if not here:
            self._clock.sleep(timeout_ns)
        return [capture for capture in here[:1] if self._wait(capture, timeout_ns)]

    def _holds(self, capture: LiveCapture, until_ns: int | None, now_ns: int) -> bool:
        """Return whether a capture has nothing of before `until_ns` any more: it holds a frame that came later."""
        next_ns = capture.next_ts_ns
        if until_ns is None or next_ns is None or next_ns < until_ns:
            return False
        return not self._is_of_other_clock(capture, now_ns)

    def _is_of_other_clock(self, capture: LiveCapture, now_ns: int) -> bool:
        """Return whether the next frame is stamped by another clock than this machine's: it counts when it comes."""
        next_ns = capture.next_ts_ns
        return next_ns is not None and next_ns - now_ns > MAX_BACKSTEP_NS

    def _wait(self, capture: LiveCapture, timeout_ns: int) -> bool:
        try:
            return capture.wait(timeout_ns / NS_PER_S)
        except CaptureError as error:
            self._note_going(capture, error)
            return True

    def _drain(self, capture: LiveCapture, until_ns: int | None) -> int:
        """Return the number of frames accounted of those that are there."""
        n_frames = 0
        try:
            n_frames = self._account(capture, until_ns)
        except CaptureError as error:
            self._note_going(capture, error)
        except MemoryError:
            self.problems.append(out_of_memory())
            self.has_ended = True
        self._look(n_frames)
        return n_frames

    def _note_going(self, capture: LiveCapture, error: CaptureError) -> None:
        """Tell that an interface has gone, once; its last frames are still to come."""
        if capture in self._going:
            return
        if capture.outlives_error():
            self._clock.sleep(GATHER_NS)  # it may say so again until a frame comes
            return
        self._going[capture] = self._clock.steady_ns() + GRACE_NS
        if capture.waits:
            self._take_warnings(capture)
            self.warnings.append(f"{error}; fastmon waits until it is back")
        else:
            self.problems.append(error)

    def _leave_those_gone(self, counts: Mapping[LiveCapture, int]) -> None:
        """Leave captures of which nothing comes any more; without any that may come back it is the end.

        counts: the frames that each has just given.
        """
        for capture, end_ns in tuple(self._going.items()):
            is_empty = counts.get(capture, 0) < CHUNK_FRAMES and capture.next_ts_ns is None
            if is_empty and self._clock.steady_ns() >= end_ns:
                capture.leave()
                del self._going[capture]
        if self._going and not any(counts.values()):
            self._clock.sleep(GATHER_NS)
        self.has_ended |= all(capture.is_away and not capture.waits for capture in self._captures)
