"""The queues between a run and those that take its events, and the sinks behind them."""

from __future__ import annotations

import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes import T0, FakeFrame, S, limit_alert, snapshot_of
from waiting import DEADLINE_S, wait_until

from fastmon.errors import ConfigError
from fastmon.model.alerts import Alert
from fastmon.model.conversations import CONVERSATION_DTYPE, EndedConversations
from fastmon.model.snapshot import Interval, Snapshot
from fastmon.run.queues import MAX_SNAPSHOTS, BoundedQueue, EventQueue, deliver
from fastmon.run.subscriber import Problem, Subscriber, Subscribers
from fastmon.sinks.base import BackgroundSink, Sink
from fastmon.sinks.output import Output, Writing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ALL = ("snapshot", "alerts", "conversations", "problem", "tick", "progress")
ALERT = limit_alert("10.0.0.1", T0, 200, 150, local=True)


def interval(second: int, *, is_summary: bool = False) -> Snapshot:
    """Return the snapshot of one second, in which 10.0.0.1 sent 100 bytes to 10.0.0.2."""
    start_ns = T0 + second * S
    snapshot = snapshot_of([FakeFrame(start_ns)], Interval(start_ns, start_ns + S))
    return replace(snapshot, source="x", run="a", is_summary=is_summary)


def ended(n_rows: int) -> EndedConversations:
    return EndedConversations(np.zeros(n_rows, CONVERSATION_DTYPE), *[[None] * n_rows] * 3)


class Recorder(Sink):
    """Keeps what it is told, as the name of the method and the value."""

    wants_ticks = True

    def __init__(self) -> None:
        self.events: list[tuple[str, object]] = []
        self.is_closed = False

    def snapshot(self, snapshot: Snapshot) -> None:
        self.events.append(("snapshot", snapshot))

    def alerts(self, alerts: Sequence[Alert]) -> None:
        self.events.append(("alerts", alerts))

    def conversations(self, ended: EndedConversations) -> None:
        self.events.append(("conversations", ended))

    def problem(self, problem: Problem) -> None:
        self.events.append(("problem", problem))

    def tick(self, totals: Snapshot) -> None:
        self.events.append(("tick", totals))

    def progress(self, position_bytes: int) -> None:
        self.events.append(("progress", position_bytes))

    def close(self) -> None:
        self.is_closed = True


def drained(queue: EventQueue) -> list[tuple[str, object]]:
    """Close a queue and return what waits in it."""
    queue.close()
    recorder = Recorder()
    while (event := queue.get()) is not None:
        deliver(event, recorder)
    return recorder.events


# Bounded queues.


def test_items_come_out_in_their_order_and_none_after_the_end() -> None:
    queue = BoundedQueue[str](10, lambda: False)
    assert all(queue.put(item) for item in "abc")
    queue.close()
    assert not queue.put("d")
    assert [queue.get() for _ in range(4)] == ["a", "b", "c", None]
    assert queue.n_refused == 1


def test_item_without_room_is_refused_but_for_a_single_one() -> None:
    queue = BoundedQueue[str](10, lambda: False)
    assert queue.put("huge", 1000)
    assert not queue.put("small", 1)
    assert queue.get() == "huge"
    assert queue.put("small", 10)
    assert not queue.put("small", 1)
    assert queue.n_refused == 2


def test_patient_queue_waits_for_room_and_until_its_patience_ends() -> None:
    is_patient = True
    queue = BoundedQueue[int](1, lambda: is_patient)
    queue.put(1)
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.extend(queue.put(n) for n in (2, 3)))
    thread.start()
    assert queue.get() == 1
    wait_until(lambda: results == [True], "the second item")
    is_patient = False
    thread.join(DEADLINE_S)
    assert results == [True, False]


def test_abandoned_queue_is_empty_and_lets_whoever_waits_go() -> None:
    queue = BoundedQueue[int](1, lambda: True)
    queue.put(1)
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(queue.put(2)))
    thread.start()
    queue.abandon()
    thread.join(DEADLINE_S)
    assert (results, queue.get(), queue.n_refused) == ([False], None, 2)


# Events.


def test_events_come_out_as_they_went_in() -> None:
    queue = EventQueue(lambda: False, ALL)
    snapshot, conversations = interval(0), ended(3)
    queue.alerts([ALERT])
    queue.conversations(conversations)
    queue.problem(Problem("odd"))
    queue.snapshot(snapshot)
    assert drained(queue) == [
        ("alerts", [ALERT]),
        ("conversations", conversations),
        ("problem", Problem("odd")),
        ("snapshot", snapshot),
    ]


def test_events_that_nobody_wants_do_not_wait() -> None:
    queue = EventQueue(lambda: False, {"problem"})
    for _ in range(10):
        queue.snapshot(interval(0))
    queue.problem(Problem("odd"))
    assert drained(queue) == [("problem", Problem("odd"))]


def test_snapshots_that_wait_too_long_are_merged_and_say_so() -> None:
    queue = EventQueue(lambda: False, ALL)
    for second in range(20):
        queue.snapshot(interval(second))
    queue.alerts([ALERT])
    queue.snapshot(interval(20))
    queue.snapshot(interval(0, is_summary=True))
    events = drained(queue)
    snapshots = [value for kind, value in events if isinstance(value, Snapshot) and kind == "snapshot"]
    assert [kind for kind, _ in events] == ["snapshot"] * (MAX_SNAPSHOTS - 1) + ["alerts", "snapshot", "snapshot"]
    assert [snapshot.n_intervals for snapshot in snapshots[:-1]] == [1] * (MAX_SNAPSHOTS - 1) + [22 - MAX_SNAPSHOTS]
    assert sum(snapshot.counters.frames.frames for snapshot in snapshots[:-1]) == 21
    merged = snapshots[-2]
    assert merged.interval == Interval(T0 + (MAX_SNAPSHOTS - 1) * S, T0 + 21 * S)
    assert merged.covered_ns == (22 - MAX_SNAPSHOTS) * S
    merged.check_conservation()
    assert snapshots[-1].is_summary


def test_patient_queue_merges_nothing() -> None:
    queue = EventQueue(lambda: True, ALL)

    def put_all() -> None:
        for second in range(20):
            queue.snapshot(interval(second))

    thread = threading.Thread(target=put_all)
    thread.start()
    snapshots = [queue.get() for _ in range(20)]
    thread.join(DEADLINE_S)
    assert [event[1].interval.start_ns for event in snapshots if event is not None] == [T0 + n * S for n in range(20)]


def test_only_the_newest_totals_and_progress_wait() -> None:
    queue = EventQueue(lambda: True, ALL)
    newest = interval(9)
    for second in range(9):
        queue.tick(interval(second))
        queue.progress(second)
    queue.tick(newest)
    assert drained(queue) == [("progress", 8), ("tick", newest)]


def test_totals_that_were_replaced_leave_their_room_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastmon.run.queues.MAX_ROWS", 10)
    queue = EventQueue(lambda: False, ALL)
    for second in range(20):
        queue.tick(interval(second))
    queue.alerts([ALERT] * 5)
    assert [kind for kind, _ in drained(queue)] == ["tick", "alerts"]


def test_problems_always_find_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastmon.run.queues.MAX_ROWS", 1)
    queue = EventQueue(lambda: False, ALL)
    queue.alerts([ALERT])
    queue.problem(Problem("late"))
    assert [queue.get() for _ in range(2)] == [("alerts", [ALERT]), ("problem", Problem("late"))]


def test_alerts_and_conversations_without_room_are_counted_and_told_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    class Telling(EventQueue):
        def _tell_of_loss(self, kind: str) -> None:
            told.append(kind)

    monkeypatch.setattr("fastmon.run.queues.MAX_ROWS", 100)
    queue = Telling(lambda: False, ALL)
    queue.conversations(ended(90))
    queue.alerts([ALERT] * 20)
    queue.conversations(ended(30))
    queue.alerts([ALERT] * 5)
    assert told == ["alerts"]
    assert queue.lost == {"alerts": 20, "conversations": 30}
    assert [kind for kind, _ in drained(queue)] == ["conversations", "alerts"]


def test_subscribers_pass_everything_on_and_ticks_to_those_that_want_them() -> None:
    class Calm(Recorder):
        wants_ticks = False

    first, second = Recorder(), Calm()
    both = Subscribers([first, second])
    assert both.wants_ticks
    assert not Subscribers([second]).wants_ticks
    snapshot, conversations = interval(0), ended(1)
    both.snapshot(snapshot)
    both.alerts([ALERT])
    both.conversations(conversations)
    both.problem(Problem("odd"))
    both.progress(7)
    both.tick(snapshot)
    assert second.events == first.events[:-1]
    assert [kind for kind, _ in first.events] == ["snapshot", "alerts", "conversations", "problem", "progress", "tick"]


# Background sinks.


class Harness:
    """A background sink, and what it reports."""

    def __init__(
        self, open_sink: Callable[[], Sink], kind: type[Sink] = Recorder, *, is_patient: bool = False, **options: Any
    ) -> None:
        self.reports: list[Problem] = []
        self.ends: list[None] = []
        self.writing = Writing()
        self.sink = BackgroundSink(
            "the log x",
            kind,
            open_sink,
            self.writing,
            is_patient=lambda: is_patient,
            report=self.reports.append,
            on_end=lambda: self.ends.append(None),
            **options,
        )

    def finish(self, *, is_stopped: bool = False, opens: bool = False) -> bool:
        return self.sink.finish(is_stopped=lambda: is_stopped, opens=opens)


def test_sink_writes_in_its_own_thread_and_is_closed() -> None:
    threads: list[threading.Thread] = []
    recorder = Recorder()

    def open_sink() -> Recorder:
        threads.append(threading.current_thread())
        return recorder

    harness = Harness(open_sink)
    assert harness.sink.wants_ticks
    harness.sink.alerts([ALERT])
    harness.sink.snapshot(interval(0))
    assert harness.finish()
    assert [kind for kind, _ in recorder.events] == ["alerts", "snapshot"]
    assert recorder.is_closed
    assert threads != [threading.current_thread()]
    assert harness.reports == []


@pytest.mark.parametrize("opens", [False, True])
def test_sink_without_events_is_opened_if_there_were_results(opens: bool) -> None:
    recorder = Recorder()
    harness = Harness(lambda: recorder)
    assert harness.finish(opens=opens)
    assert recorder.is_closed == opens


class Failing(Sink):
    """Fails with its first snapshot."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.is_closed = False

    def snapshot(self, _: Snapshot) -> None:
        raise self.error

    def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(28, "No space left on device"), "cannot write the log x: No space left on device"),
        (MemoryError(), "cannot write the log x: out of memory"),
        (ConfigError("cannot write x: Is a directory"), "cannot write x: Is a directory"),
    ],
)
def test_sink_that_fails_says_so_once_and_takes_no_more(error: BaseException, text: str) -> None:
    sink = Failing(error)
    harness = Harness(lambda: sink, Failing)
    harness.sink.snapshot(interval(0))
    wait_until(lambda: harness.ends, "its end")
    for second in range(1, 10):
        harness.sink.snapshot(interval(second))
    assert harness.finish()
    assert [problem.text for problem in harness.reports] == [text]
    assert all(problem.error is not None for problem in harness.reports)
    assert sink.is_closed
    assert harness.sink.error is error
    assert harness.sink.get() is None


@pytest.mark.parametrize("may_reader_leave", [True, False])
def test_reader_that_has_gone_is_a_problem_unless_it_may_leave(may_reader_leave: bool) -> None:
    harness = Harness(lambda: Failing(BrokenPipeError(32, "Broken pipe")), Failing, may_reader_leave=lambda: may_reader_leave)
    harness.sink.snapshot(interval(0))
    assert harness.finish()
    texts = [] if may_reader_leave else ["cannot write the log x: Broken pipe"]
    assert ([problem.text for problem in harness.reports], len(harness.ends)) == (texts, 1)


def test_stuck_sink_is_given_up_once_the_run_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastmon.sinks.output.STUCK_S", 0.05)
    reading, written = os.pipe()

    class Stuck(Sink):
        def snapshot(self, _: Snapshot) -> None:
            output = Output(written, harness.writing, closes=False)
            while True:
                output.write(bytes(1 << 16))

    harness = Harness(Stuck, Stuck)
    harness.sink.snapshot(interval(0))
    assert not harness.finish(is_stopped=True)
    assert [problem.text for problem in harness.reports] == ["cannot finish the log x: nobody reads it"]
    os.close(reading)  # which ends the thread
    assert harness.finish(is_stopped=True)
    os.close(written)


def test_slow_sink_is_waited_for_also_once_the_run_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not stuck in a call of the system."""
    monkeypatch.setattr("fastmon.sinks.output.STUCK_S", 0)
    go = threading.Event()
    recorder = Recorder()

    def open_sink() -> Recorder:
        go.wait(DEADLINE_S)
        return recorder

    harness = Harness(open_sink)
    harness.sink.snapshot(interval(0))
    threading.Timer(0.2, go.set).start()
    assert harness.finish(is_stopped=True)
    assert recorder.is_closed


def test_what_a_slow_sink_lacks_is_told_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastmon.run.queues.MAX_ROWS", 100)
    begun, go = threading.Event(), threading.Event()

    def open_sink() -> Recorder:
        begun.set()
        go.wait(DEADLINE_S)
        return Recorder()

    harness = Harness(open_sink)
    harness.sink.conversations(ended(100))
    assert begun.wait(DEADLINE_S)
    for _ in range(3):
        harness.sink.conversations(ended(50))
    go.set()
    assert harness.finish()
    assert [problem.text for problem in harness.reports] == [
        "conversations are dropped: the log x cannot be written fast enough",
        "50 conversations dropped: the log x could not be written fast enough",
    ]
    assert [problem.error for problem in harness.reports] == [None, None]


def test_subscriber_ignores_what_it_does_not_override() -> None:
    subscriber = Subscriber()
    for event in (("snapshot", interval(0)), ("alerts", [ALERT]), ("tick", interval(0)), ("progress", 1)):
        deliver(event, subscriber)
    assert not subscriber.wants_ticks
