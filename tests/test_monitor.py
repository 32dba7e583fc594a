"""The loop: intervals, alerts, problems and the summary, in replay and live."""

from __future__ import annotations

import threading
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, cast

import pytest
from fakes import T0, FakeAccountant, FakeCapture, FakeClock, FakeFrame, S

from fastmon.errors import CaptureError, ConfigError, TruncatedCaptureError
from fastmon.model.snapshot import Dropped, Snapshot
from fastmon.policy.limits import Alert, Alerts
from fastmon.run.monitor import MOST_SILENT_INTERVALS, Control, LiveMonitor, Plan, Problem, ReplayMonitor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fastmon.accounting import Accountant
    from fastmon.capture import Capture
    from fastmon.run.monitor import Event
    from fastmon.run.shards import SourceOpener


def at(*seconds: float, size: int = 100) -> list[FakeFrame]:
    """Return a frame at each time."""
    return [FakeFrame(T0 + int(second * S), size) for second in seconds]


def opener(capture: FakeCapture | Exception) -> SourceOpener:
    def opened() -> FakeCapture:
        if isinstance(capture, Exception):
            raise capture
        return capture

    return cast("SourceOpener", opened)


def replay(
    *captures: FakeCapture | Exception,
    interval_s: float = 10,
    duration_s: float = 0,
    limit_bytes: int = 0,
    workers: int = 1,
    control: Control | None = None,
    on_gulp: Callable[[int], None] | None = None,
) -> ReplayMonitor:
    plan = Plan("run", int(interval_s * S), int(duration_s * S))
    accountants = [FakeAccountant(limit_bytes), *(FakeAccountant() for _ in range(workers if workers > 1 else 0))]
    sources = [opener(capture) for capture in captures]
    return ReplayMonitor(plan, sources, cast("Sequence[Accountant]", accountants), control, on_gulp)


def snapshots(events: Iterable[Event]) -> list[Snapshot]:
    return [event for event in events if isinstance(event, Snapshot)]


def brief(events: Iterable[Event]) -> list[tuple[float, float, int]]:
    """Return start and end in seconds from T0, and frames, of each interval's snapshot."""
    return [
        ((s.interval.start_ns - T0) / S, (s.interval.end_ns - T0) / S, s.counters.frames.frames)
        for s in snapshots(events)
        if not s.is_summary
    ]


def summary(events: Iterable[Event]) -> Snapshot:
    (found,) = (s for s in snapshots(events) if s.is_summary)
    return found


def alerts_of(events: Iterable[Event]) -> list[Alert]:
    return [alert for event in events if isinstance(event, Alerts) for alert in event.alerts]


def problems(events: Iterable[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Problem)]


# Replay.


def test_intervals_start_with_the_first_frame() -> None:
    events = list(replay(FakeCapture(at(3, 4, 12.999, 13, 22.9, 23))).events())
    assert brief(events) == [(3, 13, 3), (13, 23, 2), (23, 33, 1)]
    assert isinstance(events[-1], Snapshot)
    assert events[-1].is_summary


def test_summary_is_from_the_least_to_the_greatest_timestamp() -> None:
    whole = summary(replay(FakeCapture(at(5, 2, 31, 7)), interval_s=0).events())
    assert (whole.interval.start_ns, whole.interval.end_ns) == (T0 + 2 * S, T0 + 31 * S)
    assert whole.counters.frames.frames == 4
    assert whole.source == "run"


def test_interval_0_has_only_the_summary() -> None:
    events = list(replay(FakeCapture(at(0, 100, 1000)), interval_s=0).events())
    assert [type(event) for event in events] == [Snapshot]


def test_older_frames_count_in_the_running_interval() -> None:
    assert brief(replay(FakeCapture(at(0, 11, 3, 12, 25))).events()) == [(0, 10, 1), (10, 20, 3), (20, 30, 1)]


def test_silent_intervals_are_reported() -> None:
    assert brief(replay(FakeCapture(at(0, 35))).events()) == [(0, 10, 1), (10, 20, 0), (20, 30, 0), (30, 40, 1)]


@pytest.mark.parametrize("n_silent", [MOST_SILENT_INTERVALS, MOST_SILENT_INTERVALS + 1])
def test_long_silence_is_skipped_in_phase(n_silent: int) -> None:
    end_s = 10 * (n_silent + 1)
    events = list(replay(FakeCapture(at(0, end_s + 4, end_s + 10))).events())
    bounds = brief(events)
    assert bounds[-2:] == [(end_s, end_s + 10, 1), (end_s + 10, end_s + 20, 1)]
    if n_silent > MOST_SILENT_INTERVALS:
        assert len(bounds) == 3
        (text,) = problems(events)
        assert f" {n_silent} intervals " in text
    else:
        assert len(bounds) == n_silent + 3
        assert problems(events) == []


def test_files_in_a_row_are_one_run() -> None:
    captures = [FakeCapture(at(0, 1)), FakeCapture(), FakeCapture(at(5, 21))]
    events = list(replay(*captures).events())
    assert brief(events) == [(0, 10, 3), (10, 20, 0), (20, 30, 1)]
    assert summary(events).counters.frames.frames == 4
    assert not any(capture.is_open for capture in captures)


def test_sources_are_opened_one_at_a_time() -> None:
    captures = [FakeCapture(at(0)), FakeCapture(at(20))]
    events = replay(*captures).events()
    with closing(events):
        next(events)
        assert [capture.is_open for capture in captures] == [False, True]
    assert [capture.is_open for capture in captures] == [False, False]


def test_empty_capture_has_an_empty_summary() -> None:
    (only,) = replay(FakeCapture()).events()
    assert isinstance(only, Snapshot)
    assert only.is_summary
    assert (only.counters.frames.frames, only.interval.start_ns) == (0, 0)


def test_alert_comes_before_the_snapshot_of_its_interval() -> None:
    events = list(replay(FakeCapture(at(0, 1, 11)), limit_bytes=150).events())
    assert [type(event) for event in events] == [Alerts, Snapshot, Snapshot, Snapshot]
    first, second = alerts_of(events)
    assert first == Alert("limit", "10.0.0.1", T0 + S, 200, 150, local=True)
    assert second.host == "10.0.0.2"


def test_many_alerts_come_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = alerts_of(replay(FakeCapture(at(0, 1)), limit_bytes=150).events())
    monkeypatch.setattr("fastmon.run.monitor.ALERTS_AT_ONCE", 1)
    events = list(replay(FakeCapture(at(0, 1)), limit_bytes=150).events())
    assert [type(event) for event in events] == [Alerts, Alerts, Snapshot, Snapshot]
    assert alerts_of(events) == whole


def test_error_ends_its_source_and_keeps_what_was_read() -> None:
    cut = TruncatedCaptureError("a.pcap: cut")
    events = list(replay(FakeCapture(at(0, 1), error=cut), FakeCapture(at(2))).events())
    assert Problem("a.pcap: cut", cut) in events
    assert brief(events) == [(0, 10, 3)]
    assert summary(events).counters.frames.frames == 3


def test_what_a_source_brought_is_told_before_the_next_one_is_opened() -> None:
    cut = TruncatedCaptureError("a.pcap: cut")
    second = FakeCapture([FakeFrame(T0 + 2 * S, 200, 3, 4)])
    events = list(replay(FakeCapture(at(0, 1), error=cut), second, interval_s=0, limit_bytes=150).events())
    assert [type(event) for event in events] == [Alerts, Problem, Alerts, Snapshot]


@pytest.mark.parametrize(("quick_s", "expected"), [(float("inf"), [2, 4, 4]), (0.0, [2] * 5)])
def test_gulps_of_quick_frames_are_longer(monkeypatch: pytest.MonkeyPatch, quick_s: float, expected: list[int]) -> None:
    taken: list[int] = []

    class Taker(FakeCapture):
        def take(self, max_frames: int, until_ns: int | None) -> list[FakeFrame]:
            taken.append(max_frames)
            return super().take(max_frames, until_ns)

    monkeypatch.setattr("fastmon.run.shards.GULP_FRAMES", 2)
    monkeypatch.setattr("fastmon.run.shards.LONG_GULP_FRAMES", 4)
    monkeypatch.setattr("fastmon.run.shards.QUICK_S", quick_s)
    whole = summary(replay(Taker(at(*range(10))), interval_s=0).events())
    assert whole.counters.frames.frames == 10
    assert taken == expected


def test_source_that_cannot_be_opened_is_passed_over() -> None:
    events = list(replay(CaptureError("a.pcap: absent"), FakeCapture(at(0))).events())
    assert problems(events) == ["a.pcap: absent"]
    assert brief(events) == [(0, 10, 1)]


def test_nothing_is_reported_if_nothing_can_be_opened() -> None:
    events = list(replay(CaptureError("a: absent"), CaptureError("b: absent")).events())
    assert problems(events) == ["a: absent", "b: absent"]
    assert snapshots(events) == []


def test_wrong_configuration_ends_all_sources() -> None:
    events = list(replay(FakeCapture(at(0)), ConfigError("filter: syntax error"), FakeCapture(at(1))).events())
    assert problems(events) == ["filter: syntax error"]
    assert summary(events).counters.frames.frames == 1


def test_warnings_are_told_once_each() -> None:
    class Warner(FakeCapture):
        def take(self, max_frames: int, until_ns: int | None) -> list[FakeFrame]:
            self.warnings.append(f"seen {len(self.frames)}")
            return super().take(max_frames, until_ns)

    events = list(replay(Warner(at(0), warnings=["odd"])).events())
    assert problems(events) == ["odd", "seen 1"]
    assert all(event.error is None for event in events if isinstance(event, Problem))


def test_duration_is_of_the_packets_clock() -> None:
    events = list(replay(FakeCapture(at(0, 9, 14, 15, 40)), duration_s=15).events())
    assert brief(events) == [(0, 10, 2), (10, 15, 1)]
    assert summary(events).counters.frames.frames == 3


@pytest.mark.parametrize(
    ("duration_s", "expected"),
    [
        (35, [(0, 10, 1), (10, 20, 0), (20, 30, 0), (30, 35, 0)]),
        (30, [(0, 10, 1), (10, 20, 0), (20, 30, 0)]),
        (10, [(0, 10, 1)]),
        (7, [(0, 7, 1)]),
        (60, [(0, 10, 1), (10, 20, 0), (20, 30, 0), (30, 40, 0), (40, 50, 1)]),
    ],
)
def test_silent_intervals_before_the_end_of_the_duration_are_reported(
    duration_s: float, expected: list[tuple[float, float, int]]
) -> None:
    """As they would be live; the end of the capture is the end, though."""
    assert brief(replay(FakeCapture(at(0, 41)), duration_s=duration_s).events()) == expected


def test_stop_reports_what_was_accounted() -> None:
    control = Control()

    def stop(n_read: int) -> None:
        control.stop = n_read >= 2

    events = list(replay(FakeCapture(at(0, 1)), FakeCapture(at(2, 3)), control=control, on_gulp=stop).events())
    assert brief(events) == [(0, 10, 2)]
    assert summary(events).counters.frames.frames == 2


def test_snapshot_now_splits_the_interval_and_keeps_the_phase() -> None:
    control = Control()
    asked: list[int] = []

    def ask(n_read: int) -> None:
        if n_read == 2 and not asked:
            asked.append(n_read)
            control.snapshot_now = True

    captures = [FakeCapture(at(0, 3)), FakeCapture(at(5, 12))]
    events = list(replay(*captures, control=control, on_gulp=ask).events())
    assert brief(events) == [(0, 3.000000001, 2), (3.000000001, 10, 1), (10, 20, 1)]


class SlowPipe(FakeCapture):
    """Has nothing to read at first, like a pipe whose writer has not begun."""

    def __init__(self, frames: Iterable[FakeFrame], n_silent: int) -> None:
        super().__init__(frames)
        self.n_silent = n_silent

    @property
    def next_ts_ns(self) -> int | None:
        self.n_silent -= 1
        return None if self.n_silent >= 0 else super().next_ts_ns


def test_pipe_is_waited_for() -> None:
    assert brief(replay(SlowPipe(at(0, 11), 5)).events()) == [(0, 10, 1), (10, 20, 1)]


def test_silent_pipe_can_be_stopped() -> None:
    control = Control()
    pipe = SlowPipe(at(0), 1_000_000)

    def stop(_: int) -> None:
        control.stop = True

    events = list(replay(pipe, control=control, on_gulp=stop).events())
    assert summary(events).counters.frames.frames == 0


def test_loop_that_is_left_closes_its_source() -> None:
    capture = FakeCapture(at(0, 11, 22))
    events = replay(capture).events()
    next(events)
    assert capture.is_open
    events.close()
    assert not capture.is_open


@pytest.mark.parametrize("interval_s", [0, 10])
def test_workers_report_what_one_would(interval_s: float) -> None:
    times = [(0, 1, 12), (3, 15, 40), (14,), (13, 41)]
    together = FakeCapture(at(*sorted(second for part in times for second in part)))
    alone = list(replay(together, interval_s=interval_s).events())
    shared = list(replay(*(FakeCapture(at(*part)) for part in times), interval_s=interval_s, workers=3).events())
    assert brief(shared) == brief(alone)
    assert summary(shared).interval == summary(alone).interval
    assert summary(shared).counters == summary(alone).counters


def test_workers_work_in_threads_of_their_own() -> None:
    threads = set()

    class Spy(FakeCapture):
        def take(self, max_frames: int, until_ns: int | None) -> list[FakeFrame]:
            threads.add(threading.current_thread())
            together.wait(10)
            return super().take(max_frames, until_ns)

    together = threading.Barrier(2)
    list(replay(Spy(at(0)), Spy(at(0)), interval_s=0, workers=2).events())
    assert len(threads) == 2
    assert threading.current_thread() not in threads


def test_alert_of_a_host_that_several_workers_saw() -> None:
    events = list(replay(FakeCapture(at(0)), FakeCapture(at(1)), limit_bytes=150, workers=2).events())
    assert [alert.host for alert in alerts_of(events)] == ["10.0.0.1", "10.0.0.2"]


# Live.


class Link(FakeCapture):
    """An interface on which `frames` arrive at their time; waiting for them lets the clock's time pass."""

    def __init__(self, clock: FakeClock, frames: Iterable[FakeFrame] = (), gone_s: float | None = None) -> None:
        super().__init__(is_live=True, name="link0")
        self.clock = clock
        self.coming = list(frames)
        self.gone_ns = None if gone_s is None else T0 + int(gone_s * S)
        self.at: list[tuple[float, Callable[[], None]]] = []

    def wait(self, timeout_s: float) -> bool:
        until_ns = self.clock.time_ns + int(timeout_s * S)
        arrival_ns = self.coming[0].ts_ns if self.coming else until_ns
        self.clock.time_ns = max(self.clock.time_ns, min(until_ns, arrival_ns))
        self.arrive()
        return bool(self.frames) or self.error is not None

    def take(self, max_frames: int, until_ns: int | None) -> list[FakeFrame]:
        self.arrive()
        return super().take(max_frames, until_ns)

    def arrive(self) -> None:
        """Let come what has come by now."""
        while self.coming and self.coming[0].ts_ns <= self.clock.time_ns:
            self.frames.append(self.coming.pop(0))
        while self.at and T0 + self.at[0][0] * S <= self.clock.time_ns:
            self.at.pop(0)[1]()
        if self.gone_ns is not None and self.clock.time_ns >= self.gone_ns:
            self.gone_ns = None
            self.error = CaptureError("link0: it is gone")


def live(
    *links: Link, control: Control | None = None, interval_s: float = 10, duration_s: float = 0, limit_bytes: int = 0
) -> LiveMonitor:
    plan = Plan("link0", int(interval_s * S), int(duration_s * S))
    workers = [FakeAccountant() for _ in links] if len(links) > 1 else []
    accountants = cast("Sequence[Accountant]", [FakeAccountant(limit_bytes), *workers])
    return LiveMonitor(plan, cast("Sequence[Capture]", links), accountants, control, links[0].clock)


def test_live_rotates_on_time_with_and_without_traffic() -> None:
    link = Link(FakeClock(), at(1, 2, 25, 31))
    events = list(live(link, duration_s=35).events())
    assert brief(events)[:3] == [(0, 10, 2), (10, 20, 0), (20, 30, 1)]
    assert brief(events)[3][::2] == (30, 1)
    assert summary(events).counters.frames.frames == 4


def test_live_summary_is_from_start_to_stop() -> None:
    whole = summary(live(Link(FakeClock(), at(4)), interval_s=0, duration_s=9).events())
    assert whole.interval.start_ns == T0
    assert T0 + 9 * S <= whole.interval.end_ns < T0 + 9.2 * S


def test_live_duration_that_is_a_boundary_makes_no_empty_interval() -> None:
    assert [bounds[0] for bounds in brief(live(Link(FakeClock()), interval_s=5, duration_s=10).events())] == [0, 5]


def test_live_stop_is_heeded_at_once_and_drains_what_has_come() -> None:
    clock, control = FakeClock(), Control()
    link = Link(clock, at(1, 3.01, 20))
    link.at = [(3, partial(setattr, control, "stop", True))]
    events = list(live(link, control=control).events())
    ((start, end, frames),) = brief(events)
    assert (start, frames) == (0, 2)
    assert 3 <= end <= 3.2


def test_live_snapshot_now_keeps_the_phase() -> None:
    clock, control = FakeClock(), Control()
    link = Link(clock, at(1, 12, 14))
    link.at = [(13, partial(setattr, control, "snapshot_now", True))]
    (first, split, rest, *_) = brief(live(link, control=control, duration_s=25).events())
    assert [first] == [(0, 10, 1)]
    assert (split[0], rest[1:]) == (10, (20, 1))
    assert split[1] == rest[0]
    assert 13 <= split[1] <= 13.2


def test_live_interface_that_goes_away_ends_the_run() -> None:
    events = list(live(Link(FakeClock(), at(1, 2), gone_s=3)).events())
    assert problems(events) == ["link0: it is gone"]
    assert summary(events).counters.frames.frames == 2


def test_live_loss_is_each_intervals_and_the_whole_in_the_summary() -> None:
    link = Link(FakeClock())
    link.at = [
        (5, partial(setattr, link, "lost", Dropped(3, 1, 0))),
        (15, partial(setattr, link, "lost", Dropped(5, 1, 7))),
    ]
    events = list(live(link, duration_s=25).events())
    assert [s.dropped for s in snapshots(events)] == [Dropped(3, 1, 0), Dropped(2, 0, 7), Dropped(), Dropped(5, 1, 7)]


def test_live_alert_does_not_wait_for_the_interval() -> None:
    events = live(Link(FakeClock(), at(1, 2)), limit_bytes=150).events()
    with closing(events):
        alert = alerts_of([next(events)])[0]
    assert alert == Alert("limit", "10.0.0.1", T0 + 2 * S, 200, 150, local=True)


def test_live_wakes_up_seldom() -> None:
    n_drains = 0

    class Counted(Link):
        def take(self, max_frames: int, until_ns: int | None) -> list[FakeFrame]:
            nonlocal n_drains
            n_drains += 1
            return super().take(max_frames, until_ns)

    frames = at(*(n / 1000 for n in range(1000)))
    events = list(live(Counted(FakeClock(), frames), interval_s=0, duration_s=1).events())
    assert summary(events).counters.frames.frames == 1000
    assert n_drains <= 30


def test_live_clock_set_forward_makes_one_long_interval() -> None:
    clock = FakeClock()
    link = Link(clock, at(1))
    link.at = [(5, lambda: clock.sleep(3600 * S))]
    bounds = brief(live(link, duration_s=3620).events())
    assert bounds[:2] == [(0, 3600, 1), (3600, 3610, 0)]


def test_live_clock_set_back_begins_a_new_phase() -> None:
    clock, control = FakeClock(), Control()
    link = Link(clock, at(1))
    link.at = [(5, lambda: clock.sleep(-3600 * S)), (-3580, partial(setattr, control, "stop", True))]
    bounds = brief(live(link, control=control).events())
    assert bounds[:1] == [(0, 0, 1)]
    assert bounds[1][1] - bounds[1][0] == 10
    assert bounds[1][0] < -3500


def test_live_workers_share_one_interface() -> None:
    clock = FakeClock()
    links = [Link(clock, at(1, 12)), Link(clock, at(2, 3))]
    links[0].lost, links[1].lost = Dropped(2, 4, 6), Dropped(3, 4, 6)
    events = list(live(*links, duration_s=15, limit_bytes=350).events())
    assert sum(frames for _, _, frames in brief(events)) == 4
    assert summary(events).counters.frames.frames == 4
    assert summary(events).dropped == Dropped(5, 4, 6)
    assert [alert.total_bytes for alert in alerts_of(events)] == [400, 400]


def test_live_workers_say_together_what_befalls_all() -> None:
    clock = FakeClock()
    links = [Link(clock, gone_s=3), Link(clock, gone_s=3)]
    for link in links:
        link.warnings += ["it is odd", "it is odd"]
    events = list(live(*links).events())
    assert problems(events) == ["it is odd", "it is odd", "link0: it is gone"]
