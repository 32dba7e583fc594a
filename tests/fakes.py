"""Stand-ins for what a monitor is given: captures, a clock, and an accountant that adds up frames without decoding them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from fastmon.model.alerts import Alert, alert_id
from fastmon.model.snapshot import HOST_DTYPE, Count, Counters, Dropped, LimitCrossing, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from typing_extensions import Self

    from fastmon.errors import CaptureError
    from fastmon.model.addresses import Network
    from fastmon.model.frames import Frame
    from fastmon.model.snapshot import Interval

S = 1_000_000_000
T0 = 1_767_225_600 * S
"""2026-01-01T00:00:00Z."""


def limit_alert(host: str, ts_ns: int, total_bytes: int, limit_bytes: int, *, local: bool) -> Alert:
    """Return the alert of a host whose total has passed the limit."""
    return Alert(
        id=alert_id("limit", host, ts_ns),
        rule="limit",
        kind="total",
        severity="warning",
        scope="local",
        ts_ns=ts_ns,
        since_ns=ts_ns,
        host=host,
        local=local,
        value=total_bytes,
        limit=limit_bytes,
        unit="bytes",
        reason=f"{host} moved {total_bytes:,} bytes since the start (limit {limit_bytes:,})",
    )


def key(number: int) -> bytes:
    """Return the key of 10.0.0.`number`."""
    return bytes(10) + b"\xff\xff" + bytes([10, 0, 0, number])


@dataclass(frozen=True)
class FakeFrame:
    """`size` bytes from 10.0.0.`src` to 10.0.0.`dst`."""

    ts_ns: int
    size: int = 100
    src: int = 1
    dst: int = 2


class FakeCapture:
    """Frames, then perhaps an error. Live: the frame that comes next is held once a drain has stopped before it."""

    def __init__(
        self,
        frames: Iterable[FakeFrame] = (),
        *,
        name: str = "fake",
        error: CaptureError | None = None,
        warnings: Sequence[str] = (),
        is_live: bool = False,
    ) -> None:
        self.name = name
        self.is_live = is_live
        self.frames = list(frames)
        self.error = error
        self.warnings = list(warnings)
        self.is_away = self.waits = False
        self.away_ns = 0
        self.lost = Dropped()
        self.reader = self
        self.n_read = 0
        self.is_open = False
        self.holds = False
        self.on_wait: Callable[[float], None] = lambda _: None

    @property
    def exhausted(self) -> bool:
        return not self.is_live and not self.frames

    @property
    def next_ts_ns(self) -> int | None:
        return self.frames[0].ts_ns if self.frames and (self.holds or not self.is_live) else None

    def times_ahead(self, n_frames: int) -> list[int]:
        return [frame.ts_ns for frame in self.frames[:n_frames]]

    @property
    def position_bytes(self) -> int:
        return self.n_read

    @property
    def size_bytes(self) -> int | None:
        return None

    def take(self, max_frames: int, until_ns: int | None) -> list[FakeFrame]:
        taken: list[FakeFrame] = []
        while self.frames and len(taken) < max_frames and (until_ns is None or self.frames[0].ts_ns < until_ns):
            taken.append(self.frames.pop(0))
        self.n_read += len(taken)
        self.holds = bool(self.frames) and len(taken) < max_frames
        return taken

    def put_back(self, frames: list[FakeFrame]) -> None:
        """Let frames come again: a drain has stopped before the first of them."""
        self.frames[:0] = frames
        self.n_read -= len(frames)
        self.holds = bool(self.frames)

    def read(self, max_frames: int, until_ns: int | None = None) -> list[Frame]:
        raise NotImplementedError

    def dropped(self) -> Dropped:
        return self.lost

    def wait(self, timeout_s: float) -> bool:
        self.on_wait(timeout_s)
        return bool(self.frames) or self.error is not None

    @property
    def n_frames(self) -> int:
        return self.n_read

    def outlives_error(self) -> bool:
        return False

    def leave(self) -> None:
        self.is_away = True

    def close(self) -> None:
        self.is_open = False

    def __enter__(self) -> Self:
        self.is_open = True
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class FakeAccountant:
    """Adds up `FakeFrame`s per host, in dicts."""

    contacts_dropped = 0
    names_dropped = 0
    networks_refused = 0
    local_networks: Sequence[Network] = ()

    def __init__(self, limit_bytes: int = 0) -> None:
        self.limit_bytes = limit_bytes
        self.first_ts_ns: int | None = None
        self.last_ts_ns: int | None = None
        self.newest_ts_ns: int | None = None
        self.seen: list[FakeFrame] = []
        self.interval: list[FakeFrame] = []
        self.crossings: list[LimitCrossing] = []
        self.flagged: set[bytes] = set()
        self.is_finished = False

    def drain(self, source: FakeCapture, max_frames: int, until_ns: int | None = None, max_backstep_ns: int | None = None) -> int:
        frames = source.take(max_frames, until_ns)
        for index, frame in enumerate(frames):
            if (
                self.newest_ts_ns is not None
                and max_backstep_ns is not None
                and self.newest_ts_ns - frame.ts_ns > max_backstep_ns
            ):
                source.put_back(frames[index:])
                return index
            self._add(frame)
            self.newest_ts_ns = max(frame.ts_ns, self.newest_ts_ns or frame.ts_ns)
        if not source.frames and source.error is not None:
            error, source.error = source.error, None
            raise error
        return len(frames)

    def begin_phase(self) -> None:
        self.newest_ts_ns = None

    def totals(self, interval: Interval) -> Snapshot:
        return replace(snapshot_of(self.seen, interval, self.flagged, self.seen), is_summary=True)

    def account(self, frame: Frame) -> None:
        raise NotImplementedError

    def note_unanswered(self, now_ns: int) -> int:  # noqa: ARG002 - there are no conversations
        return 0

    def merge(self, other: FakeAccountant) -> None:
        for frame in other.interval:
            self._add(frame)
        other.interval.clear()

    def rotate(self, interval: Interval) -> Snapshot:
        assert not self.is_finished
        snapshot = snapshot_of(self.interval, interval, self.flagged, self.seen)
        self.interval.clear()
        return snapshot

    def finish(self, interval: Interval, whole: Interval) -> tuple[Snapshot, Snapshot]:
        last = self.rotate(interval)
        self.is_finished = True
        return last, replace(snapshot_of(self.seen, whole, self.flagged, self.seen), is_summary=True)

    def end_conversations(self) -> None:
        """End none: there are none."""

    def take_limit_crossings(self) -> list[LimitCrossing]:
        crossings, self.crossings = self.crossings, []
        return crossings

    def _add(self, frame: FakeFrame) -> None:
        self.first_ts_ns = min(frame.ts_ns, frame.ts_ns if self.first_ts_ns is None else self.first_ts_ns)
        self.last_ts_ns = max(frame.ts_ns, frame.ts_ns if self.last_ts_ns is None else self.last_ts_ns)
        self.seen.append(frame)
        self.interval.append(frame)
        for host in (frame.src, frame.dst):
            total = sum(f.size * ((f.src == host) + (f.dst == host)) for f in self.seen)
            if 0 < self.limit_bytes < total and key(host) not in self.flagged:
                self.flagged.add(key(host))
                self.crossings.append(LimitCrossing(key(host), frame.ts_ns, total, self.limit_bytes, local=True))


def snapshot_of(
    frames: Sequence[FakeFrame], interval: Interval, flagged: Iterable[bytes] = (), seen: Sequence[FakeFrame] | None = None
) -> Snapshot:
    """Return the snapshot of `frames`; `seen`: those since the start."""
    seen = frames if seen is None else seen
    numbers = sorted({number for frame in frames for number in (frame.src, frame.dst)})
    hosts = np.zeros(len(numbers), HOST_DTYPE)
    for row, number in zip(hosts, numbers, strict=True):
        row["key"] = np.frombuffer(key(number), np.uint8)
        row["bytes_in"] = sum(f.size for f in frames if f.dst == number)
        row["bytes_out"] = sum(f.size for f in frames if f.src == number)
        row["packets_in"] = sum(f.dst == number for f in frames)
        row["packets_out"] = sum(f.src == number for f in frames)
        times = [f.ts_ns for f in seen if number in (f.src, f.dst)]
        row["first_seen_ns"], row["last_seen_ns"] = min(times), max(times)
    count = Count(len(frames), sum(frame.size for frame in frames))
    return Snapshot(
        interval=interval,
        counters=Counters(frames=count, ip=count),
        hosts=hosts,
        total_bytes_in=np.array([sum(f.size for f in seen if f.dst == number) for number in numbers], np.uint64),
        total_bytes_out=np.array([sum(f.size for f in seen if f.src == number) for number in numbers], np.uint64),
        local=np.ones(len(numbers), np.bool_),
        flagged=np.array([key(number) in set(flagged) for number in numbers], np.bool_),
    )


class FakeClock:
    """Time passes when somebody sleeps, and when a capture that it drives is waited for."""

    def __init__(self, now_ns: int = T0) -> None:
        self.time_ns = now_ns
        self.set_by_ns = 0

    def now_ns(self) -> int:
        return self.time_ns

    def steady_ns(self) -> int:
        return self.time_ns - self.set_by_ns

    def sleep(self, duration_ns: int) -> None:
        self.time_ns += duration_ns

    def set_by(self, step_ns: int) -> None:
        """Let somebody set the clock."""
        self.time_ns += step_ns
        self.set_by_ns += step_ns
