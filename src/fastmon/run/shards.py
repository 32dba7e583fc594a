"""Shards: an accountant with the sources that it drains, a chunk at a time; here those of a replay.

What it does not do: rotate, or know intervals; a monitor tells each shard how far to go, and may do so in a thread each.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

from fastmon.errors import CaptureError, ConfigError, FastmonError, StoppedError
from fastmon.model.counters import Dropped
from fastmon.model.units import NS_PER_S, format_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager
    from typing import TypeAlias

    import numpy as np
    from numpy.typing import NDArray

    from fastmon.capture import Capture
    from fastmon.model.conversations import EndedConversations
    from fastmon.model.snapshot import LimitCrossing
    from fastmon.run.clock import PipeClock
    from fastmon.run.plan import Worker

    SourceOpener: TypeAlias = Callable[[], AbstractContextManager[Capture]]

__all__ = ["MAX_BACKSTEP_NS", "PacketLog", "ReplayShard", "Shard", "SourceOpener", "out_of_memory"]

CHUNK_FRAMES = 1 << 16
"""Frames between two looks at the clock, the alerts and the requests."""

LONG_CHUNK_FRAMES = 1 << 18
"""The same of a replay whose frames are quick: what follows a chunk costs as much after few frames."""

QUICK_S = 1e-7
"""A frame that takes less is quick."""

LOOK_NS = 5 * NS_PER_S
"""Replay: the time of packets between two looks at payloads, half of the shortest that ends a silent conversation."""

STRAY_NS = 60 * NS_PER_S
"""Replay: the time of packets between two looks for frames whose time is wrong, where nobody looks at payloads."""

MAX_TOLD_STRAYS = 10
"""Of one worker."""

LAST_NS = (1 << 63) - 1
"""The greatest timestamp."""

MAX_BACKSTEP_NS = 10 * NS_PER_S
"""A frame that is older than the newest by more is a step of the clock."""

MAX_STRAYS = 8
"""So many frames in a row may have a wrong time without a step of the clock."""

TOO_MANY_NETWORKS = "too many networks have turned local (64 announced ones, or 1024); further ones stay remote: use --local"


class PacketLog(Protocol):
    """Takes the records of frames, in any thread."""

    @property
    def path(self) -> str:
        """The file that is written."""
        ...

    @property
    def dropped(self) -> int:
        """Records that were not written, nor will be."""
        ...

    @property
    def error(self) -> FastmonError | None:
        """What ended the writing."""
        ...

    def put(self, records: NDArray[np.void]) -> None:
        """Take records."""
        ...

    def reopen(self) -> None:
        """Write on in a new file, if the one that is written has been renamed."""
        ...

    def close(self) -> None:
        """Wait until all is written."""
        ...


class Shard:
    """What both kinds have.

    packet_log: takes the records of each chunk's frames, which the accountant keeps then.
    max_backstep_ns: how much older than the newest a frame may be; None: any age.
    problems: what went wrong with the sources, in order; whoever tells them takes them out.
    warnings: what a person should know about the sources, likewise.
    ended: conversations; crossings: limit crossings; likewise.
    """

    def __init__(self, worker: Worker, packet_log: PacketLog | None) -> None:
        self.max_backstep_ns: int | None = MAX_BACKSTEP_NS
        self.ended: deque[EndedConversations] = deque()
        self.crossings: deque[LimitCrossing] = deque()
        self.problems: deque[FastmonError] = deque()
        self.warnings: deque[str] = deque()
        self._accountant = worker.accountant
        self._inspector = worker.inspector
        self._packet_log = packet_log
        self._newest_before_stray_ns: int | None = None
        self._n_warned: Counter[Capture] = Counter()
        self._has_told_of_networks = False

    @property
    def newest_ts_ns(self) -> int | None:
        """The greatest timestamp since the phase began; None if no frame has come."""
        newest_ns = self._accountant.newest_ts_ns
        return self._newest_before_stray_ns if newest_ns is None else newest_ns

    def begin_phase(self) -> None:
        """Begin a phase: the next frame may have any timestamp."""
        self._accountant.begin_phase()
        self._newest_before_stray_ns = None

    def _step_to(self, ts_ns: int | None) -> tuple[int, int] | None:
        """Return the newest timestamp and `ts_ns`, a frame's, if that is older by too much."""
        newest_ns = None if ts_ns is None else self.newest_ts_ns
        if ts_ns is None or newest_ns is None or self.max_backstep_ns is None or newest_ns - ts_ns <= self.max_backstep_ns:
            return None
        return newest_ns, ts_ns

    def _account(self, capture: Capture, until_ns: int | None = None, max_frames: int = CHUNK_FRAMES) -> int:
        """Account a chunk, and hand the records of its frames on; return the number of frames."""
        try:
            return self._accountant.drain(capture, max_frames, until_ns, self.max_backstep_ns)
        finally:
            if self._packet_log is not None:
                self._packet_log.put(self._accountant.take_packets())
            self.crossings.extend(self._accountant.take_limit_crossings())

    def _take_warnings(self, capture: Capture) -> None:
        new = capture.warnings[self._n_warned[capture] :]
        self.warnings.extend(new)
        self._n_warned[capture] += len(new)
        if self._accountant.networks_refused and not self._has_told_of_networks:
            self._has_told_of_networks = True
            self.warnings.append(f"{capture.name}: {TOO_MANY_NETWORKS}")

    def _look(self, n_frames: int) -> None:
        """Let the inspector look at what came with the last `n_frames` frames."""
        if self._inspector is not None:
            self._inspector.look(n_frames)
            self.take_ended()

    def finish_inspection(self) -> None:
        """Let the inspector look at all that is left."""
        if self._inspector is not None:
            self._inspector.finish()

    def forget_inspection(self) -> None:
        """Look at no more payloads, for the sake of the memory that it needs."""
        self._inspector = None

    def take_ended(self) -> None:
        """Put the conversations that have ended into `ended`."""
        if self._inspector is not None:
            rows = self._accountant.take_conversations()
            if len(rows):
                self.ended.append(self._inspector.complete(rows))


class ReplayShard(Shard):
    """Sources read one after the other, on the packet clock; each is opened when the one before has ended.

    n_opened: sources opened so far.

    An error ends its source, and the next is opened; a ConfigError (a wrong filter, say) would be the same in all, and ends all.
    So does a StoppedError, which is no problem.

    make_pipe_clock: returns a clock for a source that is a pipe.
    """

    def __init__(
        self,
        worker: Worker,
        sources: Iterable[SourceOpener],
        make_pipe_clock: Callable[[], PipeClock],
        packet_log: PacketLog | None = None,
    ) -> None:
        super().__init__(worker, packet_log)
        self._make_pipe_clock = make_pipe_clock
        self._pipe_clock = make_pipe_clock()
        self.n_opened = 0
        self._n_strays = 0
        self._chunk_frames = CHUNK_FRAMES
        self._sources = deque(sources)
        self._open = ExitStack()
        self._capture: Capture | None = None
        self._finished_bytes = 0
        self._finished_dropped = Dropped()

    @property
    def position_bytes(self) -> int:
        """Bytes read so far, of all sources."""
        return self._finished_bytes + (0 if self._capture is None else self._capture.position_bytes)

    @property
    def next_ts_ns(self) -> int | None:
        """Timestamp of the next frame, once `drain_chunk` has returned False; None at the end, and while a pipe is silent."""
        return None if self._capture is None else self._capture.next_ts_ns

    def dropped(self) -> Dropped:
        """Return the losses that the sources say their captures had, as far as they have been read."""
        return self._finished_dropped if self._capture is None else self._finished_dropped + self._capture.dropped()

    @property
    def silent_ns(self) -> int | None:
        """The time on the clock of the last pipe, now that nothing comes of it; None if it does not run on."""
        return self._pipe_clock.now_ns()

    @property
    def has_ended(self) -> bool:
        """All sources are read."""
        return self._capture is None and not self._sources

    def drain_chunk(self, until_ns: int | None) -> bool:
        """Account some frames of before `until_ns`, opening sources as need be; return False if there are no more.

        Also before a frame that is a step of the clock. A pipe that has nothing to read yet counts as having some, until its
        clock has passed `until_ns`.
        """
        if self._capture is None:
            if not self._sources:
                return False
            self._open_next()
            return True
        try:
            next_ns = self._capture.next_ts_ns
            if next_ns is None and not self._capture.exhausted:
                return until_ns is None or self.silent_ns is None or self.silent_ns < until_ns
            if next_ns is not None and self._is_stray(self._capture, next_ns):
                self._account_stray(self._capture, next_ns)
                return True
            if next_ns is not None and ((until_ns is not None and next_ns >= until_ns) or self._step_to(next_ns)):
                return False
            self._account_chunk(self._capture, self._next_look_ns(next_ns, until_ns))
        except (CaptureError, ConfigError) as error:
            self._look(0)
            self.problems.append(error)
            self.close()
        except MemoryError:
            self.problems.append(out_of_memory())
            self.close()
            self._sources.clear()
        else:
            if self._capture.exhausted:
                self.close()
        return True

    def _account_chunk(self, capture: Capture, until_ns: int | None) -> None:
        """Account a chunk, and choose how long the next may be; what an inspector sees must not depend on its duration."""
        began_s = time.monotonic()
        n_frames = self._account(capture, until_ns, self._chunk_frames)
        if n_frames and capture.size_bytes is None and self.newest_ts_ns is not None:
            self._pipe_clock.note(self.newest_ts_ns)
        is_quick = self._inspector is None and time.monotonic() - began_s < n_frames * QUICK_S
        self._chunk_frames = LONG_CHUNK_FRAMES if is_quick else CHUNK_FRAMES
        self._look(n_frames)

    def _next_look_ns(self, next_ns: int | None, until_ns: int | None) -> int | None:
        """Return up to when to account: no conversation should end before its payloads were looked at, and no stray pass by."""
        look_ns = STRAY_NS if self._inspector is None else LOOK_NS
        if next_ns is None or next_ns > LAST_NS - look_ns:
            return until_ns
        return next_ns + look_ns if until_ns is None else min(until_ns, next_ns + look_ns)

    def _is_stray(self, capture: Capture, next_ns: int) -> bool:
        """Return whether the next frame, or a few, have a time away from those around them: one soon after is back again."""
        newest_ns, max_backstep_ns = self.newest_ts_ns, self.max_backstep_ns
        if newest_ns is None or max_backstep_ns is None or abs(next_ns - newest_ns) <= max_backstep_ns:
            return False
        if capture.size_bytes is None and self.silent_ns is not None and next_ns > self.silent_ns + max_backstep_ns:
            return True  # of a pipe whose frames are of this machine's time
        end_ns = math.inf if next_ns < newest_ns else next_ns - max_backstep_ns
        return any(newest_ns - max_backstep_ns <= ts_ns < end_ns for ts_ns in capture.times_ahead(1 + MAX_STRAYS)[1:])

    def _account_stray(self, capture: Capture, next_ns: int) -> None:
        """Account the next frame in the running interval, whatever its time is."""
        newest_ns = self.newest_ts_ns
        self.begin_phase()
        self._look(self._account(capture, None, 1))
        self.begin_phase()
        self._newest_before_stray_ns = newest_ns
        self._n_strays += 1
        if self._n_strays <= MAX_TOLD_STRAYS:
            last = "; further ones are not told" if self._n_strays == MAX_TOLD_STRAYS else ""
            self.warnings.append(
                f"{capture.name}: a frame is stamped {format_time(next_ns)}, away from those around it: "
                f"it counts in the running interval{last}"
            )

    def close(self) -> None:
        """Close the source that is being read."""
        if self._capture is not None:
            self._take_warnings(self._capture)
            del self._n_warned[self._capture]
            self._finished_bytes, self._finished_dropped = self.position_bytes, self.dropped()
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
            self._pipe_clock = self._make_pipe_clock()
            self._take_warnings(self._capture)

    @property
    def step(self) -> tuple[int, int] | None:
        """The newest timestamp and the next frame's, if the clock steps back between them."""
        return self._step_to(self.next_ts_ns)


def out_of_memory() -> FastmonError:
    """Return the error that ends a run which has no memory left."""
    return FastmonError("out of memory: what was accounted until now is reported; try a lower --max-hosts or --max-conversations")
