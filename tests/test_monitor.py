"""The loop: intervals, alerts, problems and the summary, in replay and live."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, cast

import pytest
from fakes import T0, FakeAccountant, FakeCapture, FakeClock, FakeFrame, S, limit_alert

from fastmon.errors import CaptureError, ConfigError, TruncatedCaptureError
from fastmon.model.alerts import Alert
from fastmon.model.snapshot import Dropped, Interval, Snapshot
from fastmon.policy.limits import LimitRule
from fastmon.run.control import Control
from fastmon.run.live import LiveMonitor
from fastmon.run.monitor import MAX_GAP_NS, MAX_SILENT_INTERVALS
from fastmon.run.plan import Plan, Team, Worker
from fastmon.run.replay import ReplayMonitor
from fastmon.run.reporter import MAX_TOLD_STEPS
from fastmon.run.schedule import Schedule
from fastmon.run.shards import MAX_TOLD_STRAYS
from fastmon.run.subscriber import Problem, Subscriber

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fastmon.accounting import Accountant
    from fastmon.capture import LiveCapture
    from fastmon.policy.rules import Rule, View
    from fastmon.run.shards import SourceOpener

    Event = Snapshot | list[Alert] | Problem


def at(*seconds: float, size: int = 100) -> list[FakeFrame]:
    """Return a frame at each time."""
    return [FakeFrame(T0 + int(second * S), size) for second in seconds]


def opener(capture: FakeCapture | Exception) -> SourceOpener:
    def opened() -> FakeCapture:
        if isinstance(capture, Exception):
            raise capture
        return capture

    return cast("SourceOpener", opened)


class Recorder(Subscriber):
    """Keeps the events of a run in their order."""

    def __init__(
        self, on_event: Callable[[Event], None] = lambda _: None, on_progress: Callable[[int], None] = lambda _: None
    ) -> None:
        self.events: list[Event] = []
        self.on_event = on_event
        self.on_progress = on_progress

    def take(self, event: Event) -> None:
        self.events.append(event)
        self.on_event(event)

    def snapshot(self, snapshot: Snapshot) -> None:
        self.take(snapshot)

    def alerts(self, alerts: Sequence[Alert]) -> None:
        self.take(list(alerts))

    def problem(self, problem: Problem) -> None:
        self.take(problem)

    def progress(self, position_bytes: int) -> None:
        self.on_progress(position_bytes)


def team(limit_bytes: int, workers: int) -> Team:
    """Return one worker, or several and a collector."""
    collector = cast("Accountant", FakeAccountant(limit_bytes))
    if workers == 1:
        return Team([Worker(collector)], collector)
    return Team([Worker(cast("Accountant", FakeAccountant())) for _ in range(workers)], collector)


def replay(
    *captures: FakeCapture | Exception,
    interval_s: float = 10,
    duration_s: float = 0,
    limit_bytes: int = 0,
    workers: int = 1,
    control: Control | None = None,
    on_event: Callable[[Event], None] = lambda _: None,
    on_progress: Callable[[int], None] = lambda _: None,
    rules: Sequence[Rule] = (LimitRule(),),
) -> list[Event]:
    """Run a replay; return its events."""
    plan = Plan("run", int(interval_s * S), int(duration_s * S), load_rules=lambda: rules)
    recorder = Recorder(on_event, on_progress)
    ReplayMonitor(plan, [opener(capture) for capture in captures], team(limit_bytes, workers), recorder, control).run()
    return recorder.events


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
    return [alert for event in events if isinstance(event, list) for alert in event]


def problems(events: Iterable[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Problem)]


@pytest.fixture(autouse=True)
def _progress_after_each_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastmon.run.reporter.PROGRESS_S", 0)


# Replay.


def test_intervals_end_on_the_grid_and_the_first_and_last_are_shorter() -> None:
    events = replay(FakeCapture(at(3, 9.999999999, 10, 12.9, 20, 23)))
    assert brief(events) == [(3, 10, 2), (10, 20, 2), (20, 23.000000001, 2)]
    assert isinstance(events[-1], Snapshot)
    assert events[-1].is_summary


def test_summary_is_from_the_least_to_the_greatest_timestamp() -> None:
    whole = summary(replay(FakeCapture(at(5, 2, 31, 7)), interval_s=0))
    assert (whole.interval.start_ns, whole.interval.end_ns) == (T0 + 2 * S, T0 + 31 * S)
    assert whole.counters.frames.frames == 4
    assert whole.source == "run"


def test_interval_0_has_only_the_summary() -> None:
    events = replay(FakeCapture(at(0, 100, 1000)), interval_s=0)
    assert [type(event) for event in events] == [Snapshot]


def test_older_frames_count_in_the_running_interval() -> None:
    assert brief(replay(FakeCapture(at(0, 11, 3, 12, 25)))) == [(0, 10, 1), (10, 20, 3), (20, 25.000000001, 1)]


def test_silent_intervals_are_reported() -> None:
    assert brief(replay(FakeCapture(at(0, 35)))) == [(0, 10, 1), (10, 20, 0), (20, 30, 0), (30, 35.000000001, 1)]


@pytest.mark.parametrize("n_silent", [MAX_SILENT_INTERVALS, MAX_SILENT_INTERVALS + 1])
def test_long_silence_is_skipped_in_phase(n_silent: int) -> None:
    end_s = 10 * (n_silent + 1)
    events = replay(FakeCapture(at(0, end_s + 4, end_s + 10)))
    bounds = brief(events)
    assert bounds[-2:] == [(end_s, end_s + 10, 1), (end_s + 10, end_s + 10 + 1e-9, 1)]
    if n_silent > MAX_SILENT_INTERVALS:
        assert len(bounds) == 3
        (text,) = problems(events)
        assert f" {n_silent} intervals " in text
    else:
        assert len(bounds) == n_silent + 3
        assert problems(events) == []


def test_files_in_a_row_are_one_run() -> None:
    captures = [FakeCapture(at(0, 1)), FakeCapture(), FakeCapture(at(5, 21))]
    events = replay(*captures)
    assert brief(events) == [(0, 10, 3), (10, 20, 0), (20, 21.000000001, 1)]
    assert summary(events).counters.frames.frames == 4
    assert not any(capture.is_open for capture in captures)


def test_sources_are_opened_one_at_a_time() -> None:
    captures = [FakeCapture(at(0)), FakeCapture(at(20))]
    open_at: list[list[bool]] = []
    replay(*captures, on_event=lambda _: open_at.append([capture.is_open for capture in captures]))
    assert open_at[0] == [False, True]
    assert [capture.is_open for capture in captures] == [False, False]


def test_empty_capture_has_an_empty_summary() -> None:
    (only,) = replay(FakeCapture())
    assert isinstance(only, Snapshot)
    assert only.is_summary
    assert (only.counters.frames.frames, only.interval.start_ns) == (0, 0)


def test_alert_comes_before_the_snapshot_of_its_interval() -> None:
    events = replay(FakeCapture(at(0, 1, 11)), limit_bytes=150)
    assert [type(event) for event in events] == [list, Snapshot, Snapshot, Snapshot]
    first, second = alerts_of(events)
    assert first == limit_alert("10.0.0.1", T0 + S, 200, 150, local=True)
    assert second.host == "10.0.0.2"


def test_many_alerts_come_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = alerts_of(replay(FakeCapture(at(0, 1)), limit_bytes=150))
    monkeypatch.setattr("fastmon.run.reporter.ALERTS_AT_ONCE", 1)
    events = replay(FakeCapture(at(0, 1)), limit_bytes=150)
    assert [type(event) for event in events] == [list, list, Snapshot, Snapshot]
    assert alerts_of(events) == whole


def test_error_ends_its_source_and_keeps_what_was_read() -> None:
    cut = TruncatedCaptureError("a.pcap: cut")
    events = replay(FakeCapture(at(0, 1), error=cut), FakeCapture(at(2)))
    assert Problem("a.pcap: cut", cut) in events
    assert brief(events) == [(0, 2.000000001, 3)]
    assert summary(events).counters.frames.frames == 3


def test_what_a_source_brought_is_told_before_the_next_one_is_opened() -> None:
    cut = TruncatedCaptureError("a.pcap: cut")
    second = FakeCapture([FakeFrame(T0 + 2 * S, 200, 3, 4)])
    events = replay(FakeCapture(at(0, 1), error=cut), second, interval_s=0, limit_bytes=150)
    assert [type(event) for event in events] == [list, Problem, list, Snapshot]


@pytest.mark.parametrize(("quick_s", "expected"), [(float("inf"), [2, 4, 4]), (0.0, [2] * 5)])
def test_chunks_of_quick_frames_are_longer(monkeypatch: pytest.MonkeyPatch, quick_s: float, expected: list[int]) -> None:
    taken: list[int] = []

    class Taker(FakeCapture):
        def take(self, max_frames: int, until_ns: int | None) -> list[FakeFrame]:
            taken.append(max_frames)
            return super().take(max_frames, until_ns)

    monkeypatch.setattr("fastmon.run.shards.CHUNK_FRAMES", 2)
    monkeypatch.setattr("fastmon.run.shards.LONG_CHUNK_FRAMES", 4)
    monkeypatch.setattr("fastmon.run.shards.QUICK_S", quick_s)
    whole = summary(replay(Taker(at(*range(10))), interval_s=0))
    assert whole.counters.frames.frames == 10
    assert taken == expected


def test_source_that_cannot_be_opened_is_passed_over() -> None:
    events = replay(CaptureError("a.pcap: absent"), FakeCapture(at(0)))
    assert problems(events) == ["a.pcap: absent"]
    assert brief(events) == [(0, 1e-9, 1)]


def test_nothing_is_reported_if_nothing_can_be_opened() -> None:
    events = replay(CaptureError("a: absent"), CaptureError("b: absent"))
    assert problems(events) == ["a: absent", "b: absent"]
    assert snapshots(events) == []


def test_wrong_configuration_ends_all_sources() -> None:
    events = replay(FakeCapture(at(0)), ConfigError("filter: syntax error"), FakeCapture(at(1)))
    assert problems(events) == ["filter: syntax error"]
    assert summary(events).counters.frames.frames == 1


def test_warnings_are_told_once_each() -> None:
    class Warner(FakeCapture):
        def take(self, max_frames: int, until_ns: int | None) -> list[FakeFrame]:
            self.warnings.append(f"seen {len(self.frames)}")
            return super().take(max_frames, until_ns)

    events = replay(Warner(at(0), warnings=["odd"]))
    assert problems(events) == ["odd", "seen 1"]
    assert all(event.error is None for event in events if isinstance(event, Problem))


def test_duration_is_of_the_packets_clock() -> None:
    events = replay(FakeCapture(at(0, 9, 14, 15, 40)), duration_s=15)
    assert brief(events) == [(0, 10, 2), (10, 15, 1)]
    assert summary(events).counters.frames.frames == 3


@pytest.mark.parametrize(
    ("duration_s", "expected"),
    [
        (35, [(0, 10, 1), (10, 20, 0), (20, 30, 0), (30, 35, 0)]),
        (30, [(0, 10, 1), (10, 20, 0), (20, 30, 0)]),
        (10, [(0, 10, 1)]),
        (7, [(0, 7, 1)]),
        (60, [(0, 10, 1), (10, 20, 0), (20, 30, 0), (30, 40, 0), (40, 41.000000001, 1)]),
    ],
)
def test_silent_intervals_before_the_end_of_the_duration_are_reported(
    duration_s: float, expected: list[tuple[float, float, int]]
) -> None:
    """As they would be live; the end of the capture is the end, though."""
    assert brief(replay(FakeCapture(at(0, 41)), duration_s=duration_s)) == expected


def test_stop_reports_what_was_accounted() -> None:
    control = Control()

    def stop(n_read: int) -> None:
        control.stop = n_read >= 2

    events = replay(FakeCapture(at(0, 1)), FakeCapture(at(2, 3)), control=control, on_progress=stop)
    assert brief(events) == [(0, 1.000000001, 2)]
    assert summary(events).counters.frames.frames == 2


def test_snapshot_now_splits_the_interval_and_keeps_the_phase() -> None:
    control = Control()
    asked: list[int] = []

    def ask(n_read: int) -> None:
        if n_read == 2 and not asked:
            asked.append(n_read)
            control.snapshot_now = True

    captures = [FakeCapture(at(0, 3)), FakeCapture(at(5, 12))]
    events = replay(*captures, control=control, on_progress=ask)
    assert brief(events) == [(0, 3.000000001, 2), (3.000000001, 10, 1), (10, 12.000000001, 1)]


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
    assert brief(replay(SlowPipe(at(0, 11), 5))) == [(0, 10, 1), (10, 11.000000001, 1)]


def test_silent_pipe_can_be_stopped() -> None:
    control = Control()
    pipe = SlowPipe(at(0), 1_000_000)

    def stop(_: int) -> None:
        control.stop = True

    events = replay(pipe, control=control, on_progress=stop)
    assert summary(events).counters.frames.frames == 0


def test_run_that_fails_closes_its_source() -> None:
    capture = FakeCapture(at(0, 11, 22))

    def fail(_: Event) -> None:
        assert capture.is_open
        raise RuntimeError("the subscriber")

    control = Control()
    with pytest.raises(RuntimeError, match="the subscriber"):
        replay(capture, on_event=fail, control=control)
    assert not capture.is_open
    assert control.stop  # or threads that drain would go on


@pytest.mark.parametrize("interval_s", [0, 10])
def test_workers_report_what_one_would(interval_s: float) -> None:
    times = [(0, 1, 12), (3, 15, 40), (14,), (13, 41)]
    together = FakeCapture(at(*sorted(second for part in times for second in part)))
    alone = replay(together, interval_s=interval_s)
    shared = list(replay(*(FakeCapture(at(*part)) for part in times), interval_s=interval_s, workers=3))
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
    replay(Spy(at(0)), Spy(at(0)), interval_s=0, workers=2)
    assert len(threads) == 2
    assert threading.current_thread() not in threads


def test_alert_of_a_host_that_several_workers_saw() -> None:
    events = replay(FakeCapture(at(0)), FakeCapture(at(1)), limit_bytes=150, workers=2)
    assert [alert.host for alert in alerts_of(events)] == ["10.0.0.1", "10.0.0.2"]


# Out of memory.


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("method", ["rotate", "drain"])
def test_run_without_memory_reports_what_was_accounted(method: str, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    do, n_calls = getattr(FakeAccountant, method), 0

    def fail_later(*arguments: object) -> object:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 4:
            raise MemoryError
        return do(*arguments)

    monkeypatch.setattr(FakeAccountant, method, fail_later)
    events = replay(*(FakeCapture(at(*range(n, 100, workers))) for n in range(workers)), workers=workers)
    (text,) = problems(events)
    assert text.startswith("out of memory: ")
    assert isinstance(events[-1], Snapshot)
    whole = summary(events)
    assert 0 < whole.counters.frames.frames < 100
    whole.check_conservation()


# Steps of the clock.


def test_step_back_ends_the_interval_and_begins_a_phase() -> None:
    events = replay(FakeCapture(at(100, 103, 93.5, 50, 51, 62)))
    assert brief(events) == [(100, 103.000000001, 3), (50, 60, 2), (60, 62.000000001, 1)]
    assert problems(events) == [
        "run: the clock steps back from 2026-01-01T00:01:43.000000Z to 2026-01-01T00:00:50.000000Z: a new phase begins"
    ]
    assert summary(events).covered_ns == pytest.approx(15 * S, abs=2)
    assert summary(events).interval == Interval(T0 + 50 * S, T0 + 103 * S)


def test_frame_that_is_10_s_older_is_no_step() -> None:
    assert brief(replay(FakeCapture(at(15, 5, 16)))) == [(15, 16.000000001, 3)]


def test_step_back_without_intervals_is_told_and_takes_part_in_the_duration() -> None:
    events = replay(FakeCapture(at(*range(100, 130), *range(30))), interval_s=0, duration_s=40)
    assert len(problems(events)) == 1
    assert summary(events).counters.frames.frames == 30 + 11
    assert summary(events).covered_ns == pytest.approx(40 * S, abs=2)


def test_files_out_of_order_are_phases_of_their_own() -> None:
    files = [FakeCapture(at(*range(start, start + 60))) for start in (0, 540, 60)]
    events = replay(*files, interval_s=60)
    assert brief(events) == [
        (0, 60, 60),
        *((60 * n, 60 * n + 60, 0) for n in range(1, 9)),
        (540, 599.000000001, 60),
        (60, 119.000000001, 60),
    ]
    assert len(problems(events)) == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_files_in_order_are_one_phase_whoever_reads_them(workers: int) -> None:
    files = [FakeCapture(at(*range(start, start + 40))) for start in range(0, 280, 40)]
    whole = replay(FakeCapture(at(*range(280))), interval_s=60)
    assert brief(replay(*files, interval_s=60, workers=workers)) == brief(whole)


def test_silence_of_more_than_a_day_is_a_step_ahead() -> None:
    gap_s = MAX_GAP_NS // S + 1
    events = replay(FakeCapture(at(0, 1, 1 + gap_s, 2 + gap_s)), interval_s=60, duration_s=2.5)
    assert brief(events) == [(0, 1.000000001, 2), (1 + gap_s, 2 + gap_s + 1e-9, 2)]
    assert "the clock steps ahead" in problems(events)[0]
    assert summary(events).covered_ns == pytest.approx(2 * S, abs=2)


@pytest.mark.parametrize("stray_s", [31_536_000, 700, 42, -1_000_000])
@pytest.mark.parametrize("interval_s", [60, 0])
def test_frame_with_a_stray_time_counts_in_the_running_interval(stray_s: float, interval_s: float) -> None:
    seconds = [*range(30), stray_s, *range(31, 600)]
    events = replay(FakeCapture(at(*seconds)), interval_s=interval_s)
    assert [frames for _, _, frames in brief(events)] == ([60] * 10 if interval_s else [])
    (text,) = problems(events)
    assert text.startswith("fake: a frame is stamped ")
    assert summary(events).covered_ns == pytest.approx(599 * S, abs=2)
    events = replay(FakeCapture(at(*seconds)), interval_s=interval_s, duration_s=300)
    assert summary(events).counters.frames.frames == 300


@pytest.mark.parametrize("n_strays", [2, 8])
@pytest.mark.parametrize("stray_s", [5000, -1_000_000])
def test_several_strays_in_a_row(n_strays: int, stray_s: float) -> None:
    seconds = [*range(100), *[stray_s] * n_strays, *range(100, 300)]
    events = replay(FakeCapture(at(*seconds)), interval_s=60)
    assert len(problems(events)) == n_strays
    assert summary(events).covered_ns == pytest.approx(299 * S, abs=2)
    events = replay(FakeCapture(at(*seconds)), interval_s=60, duration_s=240)
    assert summary(events).counters.frames.frames == 240 + n_strays


def test_stray_times_are_not_all_told() -> None:
    events = replay(FakeCapture(at(*(second if second % 10 else 5000 for second in range(1, 600)))), interval_s=60)
    assert len(problems(events)) == MAX_TOLD_STRAYS
    assert [frames for _, _, frames in brief(events)] == [*[60] * 9, 59]


def test_many_steps_are_not_all_told_and_end_in_one_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastmon.run.monitor.MAX_PHASES", 20)
    times = [second for n in range(50) for second in [1000 + n] * 10 + [n] * 10]
    events = replay(FakeCapture(at(*times)), interval_s=10_000)
    assert len(problems(events)) == MAX_TOLD_STEPS + 1
    assert problems(events)[-1].endswith("after 20 steps frames count in the running interval")
    assert len(brief(events)) == 21
    assert sum(frames for _, _, frames in brief(events)) == 1000


# Ticks, rules and requests.


BEAT = Alert(id="", rule="beat", kind="beat", severity="info", scope="local", ts_ns=0, since_ns=0)


class Beat:
    """A rule that raises an alert at each tick, about what it sees."""

    wants_ticks = True

    def evaluate(self, view: View, now_ns: int) -> list[Alert]:
        if view.totals is None:
            return []
        return [replace(BEAT, ts_ns=now_ns, value=view.totals.counters.frames.frames, limit=len(view.totals))]


def test_rule_sees_all_hosts_at_each_second_before_the_intervals_end() -> None:
    events = replay(FakeCapture(at(0.5, 1.5, 2.2, 2.3, 4.25)), interval_s=4, rules=[Beat()])
    assert [(a.ts_ns - T0, a.value, a.limit) for a in alerts_of(events)] == [
        (1 * S, 1, 2),
        (2 * S, 2, 2),
        (3 * S, 4, 2),
        (4 * S, 4, 2),
        (4.25 * S + 1, 5, 2),  # the last one, at the end
    ]
    assert [type(event) for event in events] == [list, list, list, list, Snapshot, list, Snapshot, Snapshot]
    assert brief(events) == [(0.5, 4, 4), (4, 4.250000001, 1)]


def test_silence_has_its_first_ticks_and_its_last_one() -> None:
    events = replay(FakeCapture(at(0, 3600.5)), interval_s=0, rules=[Beat()])
    assert [a.ts_ns - T0 for a in alerts_of(events)] == [*(n * S for n in range(1, 8)), 3600 * S, 3600.5 * S + 1]


@pytest.mark.parametrize(("rules", "expected"), [([], [0, 0, 0]), (None, [3, 4, 7])], ids=["nobody looks", "a rule looks"])
def test_contacts_that_rules_did_not_see_are_told_once_and_counted(
    rules: list[Rule] | None, expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def dropped(accountant: FakeAccountant) -> int:
        return min(len(accountant.seen), 7)

    monkeypatch.setattr(FakeAccountant, "contacts_dropped", property(dropped))
    events = replay(FakeCapture(at(0, 1, 2, 5, 6, 7, 8, 9)), interval_s=4, rules=[Beat()] if rules is None else rules)
    counted = [snapshot.contacts_dropped for snapshot in snapshots(events)]
    assert [counted[0], sum(counted[1:-1]), counted[-1]] == expected
    assert problems(events) == (
        ["run: rules do not see all conversations: more of them begin and end within a second than are kept for rules"]
        if rules is None
        else []
    )


def test_names_that_were_dropped_are_counted_in_their_interval_and_in_the_summary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeAccountant, "names_dropped", property(lambda accountant: min(len(accountant.seen), 7)))
    events = replay(FakeCapture(at(0, 1, 2, 5, 6, 7, 8, 9)), interval_s=4)
    assert [snapshot.names_dropped for snapshot in snapshots(events)] == [3, 3, 1, 7]


def test_no_totals_are_copied_where_nobody_wants_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(FakeAccountant, "totals", refuse)
    events = replay(FakeCapture(at(0, 1, 2, 30)), limit_bytes=150)
    assert [alert.rule for alert in alerts_of(events)] == ["limit", "limit"]


def test_live_ticks_come_every_second() -> None:
    ticks: list[Snapshot] = []

    class Taker(Recorder):
        wants_ticks = True

        def tick(self, totals: Snapshot) -> None:
            ticks.append(totals)

    link = Link(FakeClock(), at(0.5, 1.5))
    plan = Plan("link0", 0, 3 * S)
    LiveMonitor(plan, cast("Sequence[LiveCapture]", [link]), team(0, 1), Taker(), None, link.clock).run()
    assert [totals.counters.frames.frames for totals in ticks] == [1, 2, 2, 2]  # the last one at the end
    assert {(totals.source, totals.run, totals.is_summary) for totals in ticks} == {("link0", plan.run, True)}


def test_reload_takes_the_rules_anew_and_keeps_them_if_they_are_wrong() -> None:
    control = Control()
    loads: list[list[Rule] | Exception] = [[], [Beat()], ConfigError("rules.toml: no such rule")]

    def load() -> Sequence[Rule]:
        rules = loads.pop(0)
        if isinstance(rules, Exception):
            raise rules
        return rules

    def ask(event: Event) -> None:
        control.reload = isinstance(event, Snapshot) and event.interval.end_ns in {T0 + 10 * S, T0 + 20 * S}

    recorder = Recorder(ask)
    plan = Plan("run", 10 * S, load_rules=load)
    ReplayMonitor(plan, [opener(FakeCapture(at(*range(32))))], team(0, 1), recorder, control).run()
    assert [(alert.ts_ns - T0) // S for alert in alerts_of(recorder.events)] == [*range(11, 32), 31]
    assert problems(recorder.events) == ["rules.toml: no such rule; the rules stay as they were"]
    assert not control.reload


def test_ticks_that_a_reload_begins_are_none_of_the_past() -> None:
    schedule = Schedule(60 * S, 0, 0)
    schedule.begin_phase(T0)
    schedule.set_tick(S, T0 + 45 * S + 3)
    assert schedule.take_tick(T0 + 45 * S + 4) is None
    assert schedule.take_tick(T0 + 46 * S) == T0 + 46 * S


# Live.


class Link(FakeCapture):
    """An interface on which `frames` arrive at their time; waiting for them lets the clock's time pass."""

    def __init__(
        self, clock: FakeClock, frames: Iterable[FakeFrame] = (), gone_s: float | None = None, delay_ns: int = 0
    ) -> None:
        super().__init__(is_live=True, name="link0")
        self.delay_ns = delay_ns
        self.clock = clock
        self.coming = list(frames)
        self.gone_ns = None if gone_s is None else T0 + int(gone_s * S)
        self.at: list[tuple[float, Callable[[], None]]] = []

    def wait(self, timeout_s: float) -> bool:
        until_ns = self.clock.time_ns + int(timeout_s * S)
        arrival_ns = self.coming[0].ts_ns + self.delay_ns if self.coming else until_ns
        self.clock.time_ns = max(self.clock.time_ns, min(until_ns, arrival_ns))
        self.arrive()
        return bool(self.frames) or self.error is not None

    def take(self, max_frames: int, until_ns: int | None) -> list[FakeFrame]:
        self.arrive()
        return super().take(max_frames, until_ns)

    def arrive(self) -> None:
        """Let come what has come by now."""
        while self.coming and self.coming[0].ts_ns + self.delay_ns <= self.clock.time_ns:
            self.frames.append(self.coming.pop(0))
        while self.at and T0 + self.at[0][0] * S <= self.clock.time_ns:
            self.at.pop(0)[1]()
        if self.gone_ns is not None and self.clock.time_ns >= self.gone_ns:
            self.gone_ns = None
            self.error = CaptureError("link0: it is gone")


def live(
    *links: Link,
    control: Control | None = None,
    interval_s: float = 10,
    duration_s: float = 0,
    limit_bytes: int = 0,
    on_event: Callable[[Event], None] = lambda _: None,
) -> list[Event]:
    """Run a live capture; return its events."""
    plan = Plan("link0", int(interval_s * S), int(duration_s * S), load_rules=lambda: [LimitRule()])
    recorder = Recorder(on_event)
    captures = cast("Sequence[LiveCapture]", links)
    LiveMonitor(plan, captures, team(limit_bytes, len(links)), recorder, control, links[0].clock).run()
    return recorder.events


def test_live_rotates_on_time_with_and_without_traffic() -> None:
    link = Link(FakeClock(), at(1, 2, 25, 31))
    events = live(link, duration_s=35)
    assert brief(events)[:3] == [(0, 10, 2), (10, 20, 0), (20, 30, 1)]
    assert brief(events)[3][::2] == (30, 1)
    assert summary(events).counters.frames.frames == 4


def test_live_summary_is_from_start_to_stop() -> None:
    whole = summary(live(Link(FakeClock(), at(4)), interval_s=0, duration_s=9))
    assert whole.interval.start_ns == T0
    assert T0 + 9 * S <= whole.interval.end_ns < T0 + 9.2 * S


def test_live_duration_that_is_a_boundary_makes_no_empty_interval() -> None:
    assert [bounds[0] for bounds in brief(live(Link(FakeClock()), interval_s=5, duration_s=10))] == [0, 5]


def test_live_stop_is_heeded_at_once_and_drains_what_has_come() -> None:
    clock, control = FakeClock(), Control()
    link = Link(clock, at(1, 2.99, 3.3, 20))
    link.at = [(3, partial(setattr, control, "stop", True))]
    events = live(link, control=control)
    ((start, end, frames),) = brief(events)
    assert (start, frames) == (0, 2)
    assert 3 <= end <= 3.2


def test_live_snapshot_now_keeps_the_phase() -> None:
    clock, control = FakeClock(), Control()
    link = Link(clock, at(1, 12, 14))
    link.at = [(13, partial(setattr, control, "snapshot_now", True))]
    (first, split, rest, *_) = brief(live(link, control=control, duration_s=25))
    assert [first] == [(0, 10, 1)]
    assert (split[0], rest[1:]) == (10, (20, 1))
    assert split[1] == rest[0]
    assert 13 <= split[1] <= 13.2


def test_live_interface_that_goes_away_ends_the_run() -> None:
    events = live(Link(FakeClock(), at(1, 2), gone_s=3))
    assert problems(events) == ["link0: it is gone"]
    assert summary(events).counters.frames.frames == 2


def test_live_loss_is_each_intervals_and_the_whole_in_the_summary() -> None:
    link = Link(FakeClock())
    link.at = [
        (5, partial(setattr, link, "lost", Dropped(3, 1, 0))),
        (15, partial(setattr, link, "lost", Dropped(5, 1, 7))),
    ]
    events = live(link, duration_s=25)
    assert [s.dropped for s in snapshots(events)] == [Dropped(3, 1, 0), Dropped(2, 0, 7), Dropped(), Dropped(5, 1, 7)]


def test_live_alert_does_not_wait_for_the_interval() -> None:
    control = Control()

    def stop(event: Event) -> None:
        control.stop = isinstance(event, list)

    events = live(Link(FakeClock(), at(1, 2)), limit_bytes=150, control=control, on_event=stop)
    assert alerts_of(events)[0] == limit_alert("10.0.0.1", T0 + 2 * S, 200, 150, local=True)
    assert isinstance(events[0], list)


def test_live_wakes_up_seldom() -> None:
    n_drains = 0

    class Counted(Link):
        def take(self, max_frames: int, until_ns: int | None) -> list[FakeFrame]:
            nonlocal n_drains
            n_drains += 1
            return super().take(max_frames, until_ns)

    frames = at(*(n / 1000 for n in range(1000)))
    events = live(Counted(FakeClock(), frames), interval_s=0, duration_s=1)
    assert summary(events).counters.frames.frames == 1000
    assert n_drains <= 30


@pytest.mark.parametrize("step_s", [3600, -3600])
def test_live_clock_that_is_set_begins_a_new_phase_and_the_duration_is_the_sum(step_s: float) -> None:
    clock = FakeClock()
    link = Link(clock, at(1))
    link.at = [(5, partial(clock.set_by, int(step_s * S)))]
    events = live(link, duration_s=20)
    (before, _, _), (after, end, _), *_ = brief(events)
    assert before == 0
    assert brief(events)[0][1] == pytest.approx(5, abs=0.06)
    assert after == pytest.approx(5 + step_s, abs=0.06)
    assert end == 10 + step_s
    assert brief(events)[-1][1] == pytest.approx(20 + step_s, abs=0.2)
    (text,) = problems(events)
    assert ("the clock steps ahead from 2026-01-01T00:00:05" if step_s > 0 else "steps back") in text
    assert summary(events).duration_ns == pytest.approx(20 * S, abs=0.2 * S)


def test_live_frame_counts_in_the_interval_of_its_timestamp() -> None:
    """The kernel hands frames over some time after they came."""
    link = Link(FakeClock(), at(1, 9.99, 10, 19.999, 20.001, 21), delay_ns=S // 20)
    events = live(link, duration_s=25)
    assert brief(events) == [(0, 10, 2), (10, 20, 2), (20, 25, 2)]


def test_live_frame_after_the_end_of_the_duration_does_not_count() -> None:
    link = Link(FakeClock(), at(1, 4.99, 5, 5.01))
    assert summary(live(link, duration_s=5)).counters.frames.frames == 2


def test_live_frames_of_another_clock_count_when_they_come() -> None:
    """That of a network card, which nobody has set: an hour ahead, later an hour behind."""

    class Skewed(Link):
        skew_ns = 3600 * S

        def arrive(self) -> None:
            while self.coming and self.coming[0].ts_ns <= self.clock.time_ns:
                frame = self.coming.pop(0)
                self.skew_ns = -self.skew_ns if frame.ts_ns == T0 + 11 * S else self.skew_ns
                self.frames.append(FakeFrame(frame.ts_ns + self.skew_ns))

    events = live(Skewed(FakeClock(), at(1, 2, 11, 12, 15)), duration_s=20)
    assert [frames for _, _, frames in brief(events)] == [2, 3]
    assert [start for start, _, _ in brief(events)] == [0, 10]
    (text,) = problems(events)
    assert "the clock steps back from 2026-01-01T01:00:02" in text


def test_live_workers_share_one_interface() -> None:
    clock = FakeClock()
    links = [Link(clock, at(1, 12)), Link(clock, at(2, 3))]
    links[0].lost, links[1].lost = Dropped(2, 4, 6), Dropped(3, 4, 6)
    events = live(*links, duration_s=15, limit_bytes=350)
    assert sum(frames for _, _, frames in brief(events)) == 4
    assert summary(events).counters.frames.frames == 4
    assert summary(events).dropped == Dropped(5, 4, 6)
    assert [alert.value for alert in alerts_of(events)] == [400, 400]


def test_live_workers_say_together_what_befalls_all() -> None:
    clock = FakeClock()
    links = [Link(clock, gone_s=3), Link(clock, gone_s=3)]
    for link in links:
        link.warnings += ["it is odd", "it is odd"]
    events = live(*links)
    assert problems(events) == ["it is odd", "it is odd", "link0: it is gone"]
