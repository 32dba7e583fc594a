"""Shards: an accountant with the sources that it drains, a gulp at a time.

What it does not do: rotate, or know intervals; `monitor` tells each shard how far to go, and may do so in a thread each.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

from fastmon.capture.live import RETIRE_MS
from fastmon.errors import CaptureError, ConfigError, StoppedError
from fastmon.model.conversations import EndedConversations
from fastmon.model.units import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    from fastmon.accounting import Accountant
    from fastmon.capture import Capture
    from fastmon.errors import FastmonError
    from fastmon.model.snapshot import Dropped
    from fastmon.run.inspection import Inspector

    PacketTaker: TypeAlias = Callable[[NDArray[np.void]], None]
    SourceOpener: TypeAlias = Callable[[], AbstractContextManager[Capture]]

__all__ = ["Clock", "LiveShard", "ReplayShard", "WallClock"]

GULP_FRAMES = 1 << 16
"""Frames between two looks at the clock, the alerts and the person who wants to stop."""

LONG_GULP_FRAMES = 1 << 18
"""The same of a replay whose frames are quick: what follows a gulp costs as much after few frames."""

QUICK_S = 1e-7
"""A frame that takes less is quick."""

LOOK_NS = 5 * NS_PER_S
"""Replay: the time of packets between two looks at payloads, half of the shortest that ends a silent conversation."""

LAST_NS = (1 << 63) - 1
"""The greatest timestamp."""

GATHER_NS = 50_000_000
"""Live: how long the kernel gathers frames between two gulps, to be woken up seldom."""

LAST_CALL_NS = 2 * RETIRE_MS * 1_000_000
"""Live: how long to wait at the end for frames that the kernel has gathered and not handed over yet; its timer may be late."""

LONGEST_WAIT_NS = 50_000_000
"""Live: the longest wait for a frame; no signal ends it."""


class Clock(Protocol):
    """What tells the time of a live run, and lets it pass."""

    def now_ns(self) -> int:
        """Return the time, nanoseconds since the epoch."""
        ...

    def sleep(self, duration_ns: int) -> None:
        """Let `duration_ns` pass."""
        ...


class WallClock:
    """The machine's clock."""

    def now_ns(self) -> int:
        """Return the time, nanoseconds since the epoch."""
        return time.time_ns()

    def sleep(self, duration_ns: int) -> None:
        """Let `duration_ns` pass."""
        time.sleep(duration_ns / NS_PER_S)


class _Shard:
    """What both kinds have.

    on_packets: takes the records of each gulp's frames; the accountant keeps them then.
    problems: what went wrong with the sources, in order; whoever shows them takes them out.
    warnings: what a person should know about the sources, likewise.
    ended: conversations, likewise.
    inspector: who looks at the payloads of conversations, if anybody does.
    """

    def __init__(self, accountant: Accountant, inspector: Inspector | None, on_packets: PacketTaker | None) -> None:
        self.accountant = accountant
        self.ended: deque[EndedConversations] = deque()
        self._inspector = inspector
        self._on_packets = on_packets
        self.problems: deque[FastmonError] = deque()
        self.warnings: deque[str] = deque()
        self._warned = 0

    def _account(self, capture: Capture, until_ns: int | None = None, max_frames: int = GULP_FRAMES) -> int:
        """Account a gulp, and hand the records of its frames on; return the number of frames."""
        try:
            return self.accountant.drain(capture, max_frames, until_ns)
        finally:
            if self._on_packets is not None:
                self._on_packets(self.accountant.take_packets())

    def _take_warnings(self, capture: Capture) -> None:
        self.warnings.extend(capture.warnings[self._warned :])
        self._warned = len(capture.warnings)

    def _look(self, n_frames: int) -> None:
        """Let the inspector look at what came with the last `n_frames` frames."""
        if self._inspector is not None:
            self._inspector.look(n_frames)
            self.take_ended()

    def take_ended(self) -> None:
        """Put the conversations that have ended into `ended`."""
        if self._inspector is not None:
            rows = self.accountant.take_conversations()
            if len(rows):
                self.ended.append(EndedConversations(rows, self._inspector.take_names(rows)))


class ReplayShard(_Shard):
    """Sources read one after the other, on the packet clock; each is opened when the one before has ended.

    n_opened: sources opened so far.

    An error ends its source, and the next is opened; a ConfigError (a wrong filter, say) would be the same in all, and ends all.
    So does a StoppedError, which is no problem.
    """

    def __init__(
        self,
        accountant: Accountant,
        sources: Iterable[SourceOpener],
        inspector: Inspector | None = None,
        on_packets: PacketTaker | None = None,
    ) -> None:
        super().__init__(accountant, inspector, on_packets)
        self.n_opened = 0
        self._gulp_frames = GULP_FRAMES
        self._sources = deque(sources)
        self._open = ExitStack()
        self._capture: Capture | None = None
        self._finished_bytes = 0

    @property
    def position_bytes(self) -> int:
        """Bytes read so far, of all sources."""
        return self._finished_bytes + (0 if self._capture is None else self._capture.position_bytes)

    @property
    def next_ts_ns(self) -> int | None:
        """Timestamp of the next frame, once `gulp` has returned False; None if all sources are read."""
        return None if self._capture is None else self._capture.next_ts_ns

    @property
    def has_ended(self) -> bool:
        """All sources are read."""
        return self._capture is None and not self._sources

    def gulp(self, until_ns: int | None) -> bool:
        """Account some frames of before `until_ns`, opening sources as need be; return False if there are no more.

        A source that has nothing to read yet (a pipe) counts as having some.
        """
        if self._capture is None:
            if not self._sources:
                return False
            self._open_next()
            return True
        try:
            next_ns = self._capture.next_ts_ns
            if next_ns is None and not self._capture.exhausted:
                return True
            if next_ns is not None and until_ns is not None and next_ns >= until_ns:
                return False
            self._account_gulp(self._capture, self._next_look_ns(next_ns, until_ns))
        except (CaptureError, ConfigError) as error:
            self._look(0)
            self.problems.append(error)
            self.close()
        else:
            if self._capture.exhausted:
                self.close()
        return True

    def _account_gulp(self, capture: Capture, until_ns: int | None) -> None:
        """Account a gulp, and choose how long the next may be; what an inspector sees must not depend on its duration."""
        began_s = time.monotonic()
        n_frames = self._account(capture, until_ns, self._gulp_frames)
        is_quick = self._inspector is None and time.monotonic() - began_s < n_frames * QUICK_S
        self._gulp_frames = LONG_GULP_FRAMES if is_quick else GULP_FRAMES
        self._look(n_frames)

    def _next_look_ns(self, next_ns: int | None, until_ns: int | None) -> int | None:
        """Return up to when to account: no conversation should end before its payloads were looked at."""
        if self._inspector is None or next_ns is None or next_ns > LAST_NS - LOOK_NS:
            return until_ns
        return next_ns + LOOK_NS if until_ns is None else min(until_ns, next_ns + LOOK_NS)

    def close(self) -> None:
        """Close the source that is being read."""
        if self._capture is not None:
            self._take_warnings(self._capture)
            self._finished_bytes = self.position_bytes
            self._capture = None
        self._open.close()

    def _open_next(self) -> None:
        try:
            self._capture = self._open.enter_context(self._sources.popleft()())
        except StoppedError:
            self._sources.clear()
        except CaptureError as error:
            self.problems.append(error)
        except ConfigError as error:
            self.problems.append(error)
            self._sources.clear()
        else:
            self.n_opened += 1
            self._warned = 0
            self._take_warnings(self._capture)


class LiveShard(_Shard):
    """An interface, on the wall clock.

    has_ended: nothing more can be read (the interface went away).
    """

    def __init__(
        self,
        accountant: Accountant,
        capture: Capture,
        clock: Clock,
        inspector: Inspector | None = None,
        on_packets: PacketTaker | None = None,
    ) -> None:
        super().__init__(accountant, inspector, on_packets)
        self.has_ended = False
        self._capture = capture
        self._clock = clock
        self._now_ns = 0

    def gulp(self, until_ns: int | None) -> bool:
        """Account what has come, waiting a little for it; return False from `until_ns` on, and when the capture has ended.

        Also when the clock was set back: whoever gave `until_ns` should look at it.
        """
        before_ns, self._now_ns = self._now_ns, self._clock.now_ns()
        left_ns = LONGEST_WAIT_NS if until_ns is None else until_ns - self._now_ns
        if self.has_ended or left_ns <= 0 or self._now_ns < before_ns:
            return False
        is_there = self._capture.wait(min(left_ns, LONGEST_WAIT_NS) / NS_PER_S)
        if 0 < (self._drain() if is_there else 0) < GULP_FRAMES:
            self._clock.sleep(min(left_ns, GATHER_NS))
        return True

    def last_call(self, until_ns: int) -> None:
        """Account, until `until_ns`, what the kernel has gathered and not handed over yet; look for it once at least.

        Also that of an interface that has gone: libpcap tells the error first.
        """
        while True:
            left_ns = until_ns - self._clock.now_ns()
            may_be_more = (self.has_ended or self._capture.wait(0)) and self._drain() == GULP_FRAMES
            if left_ns <= 0 and not (may_be_more and self.has_ended):
                return
            if not may_be_more:
                self._clock.sleep(min(left_ns, GATHER_NS))

    def dropped(self) -> Dropped:
        """Return the frames lost since the start."""
        return self._capture.dropped()

    def _drain(self) -> int:
        """Return the number of frames accounted of those that are there."""
        n_frames = 0
        try:
            n_frames = self._account(self._capture)
        except CaptureError as error:
            if not self.has_ended:
                self.problems.append(error)
            self.has_ended = True
        self._look(n_frames)
        self._take_warnings(self._capture)
        return n_frames
