"""What a sink is, and the thread and queue that stand between a run and any sink.

What it does not do: show anything, open files.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from fastmon.errors import ConfigError, FastmonError
from fastmon.model.texts import printable
from fastmon.run.queues import EventQueue, deliver
from fastmon.run.subscriber import Problem, Subscriber
from fastmon.run.threads import start_thread
from fastmon.sinks.output import identity_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from fastmon.sinks.output import Writing

__all__ = ["BackgroundSink", "Sink", "printable"]

_KINDS = ("snapshot", "alerts", "conversations", "problem", "tick", "progress")


_REOPEN = ("reopen", None)


class Sink(Subscriber):
    """Takes the events of a run in their order, each in the sink's own thread, and writes what it makes of them.

    A sink overrides the methods of the events that it wants. Any of them raises OSError if it cannot write; `close` follows then.
    """

    def close(self) -> None:
        """Finish; no event follows."""


class BackgroundSink(EventQueue):
    """A sink in a thread of its own, behind a bounded queue: whatever holds it up holds up nobody else.

    what: how messages call it: "the log run.log".
    kind: the sink's class, which says what events it wants.  unwanted: events that it is spared all the same.
    open_sink: opens it, in the thread, when the first event comes.
    writing: what it writes through, which knows whether it is stuck.
    is_patient: asked while the queue is full: whether the run waits for this sink.
    report: takes what befalls this sink; called in any thread.
    on_end: called when the sink has failed.  before_event: called in the thread before each event.
    may_reader_leave: asked when the reader of a pipe has gone: whether that is no problem.
    path: the file that it writes, if it is one that may be renamed: then `open_sink` is called again at `reopen`.

    error: what ended it early.
    """

    def __init__(
        self,
        what: str,
        kind: type[Sink],
        open_sink: Callable[[], Sink],
        writing: Writing,
        *,
        unwanted: Collection[str] = (),
        is_patient: Callable[[], bool],
        report: Callable[[Problem], None],
        on_end: Callable[[], None] = lambda: None,
        before_event: Callable[[], None] | None = None,
        may_reader_leave: Callable[[], bool] = lambda: False,
        path: str | None = None,
    ) -> None:
        wanted = {name for name in _KINDS if getattr(kind, name) is not getattr(Subscriber, name)}
        super().__init__(is_patient, wanted.difference(unwanted) | {"reopen"})
        self.wants_ticks = kind.wants_ticks
        self.what = what
        self.error: BaseException | None = None
        self._open_sink = open_sink
        self._writing = writing
        self._report = report
        self._on_end = on_end
        self._before_event = before_event
        self._may_reader_leave = may_reader_leave
        self._path = path
        self._identity: object = None
        self._opens = False
        self._thread = start_thread(f"fastmon-{kind.__name__}", self._serve)

    def finish(self, *, is_stopped: Callable[[], bool], opens: bool) -> bool:
        """Wait until all events are written; return False if that was given up: the run is stopped and the writing is stuck.

        opens: open the sink even if no event came.
        """
        self._opens = opens
        self.close()
        if self.lost and self.error is None:
            lost = ", ".join(f"{n_rows:,} {kind}" for kind, n_rows in self.lost.items())
            self._report(Problem(f"{lost} dropped: {self.what} could not be written fast enough"))
        while self._thread.is_alive():
            self._thread.join(0.05)
            if is_stopped() and self._writing.is_stuck() and self._thread.is_alive():
                text = f"cannot finish {self.what}: nobody reads it"
                self._report(Problem(text, FastmonError(text)))
                return False
        return True

    def _tell_of_loss(self, kind: str) -> None:
        self._report(Problem(f"{kind} are dropped: {self.what} cannot be written fast enough"))

    def _serve(self) -> None:
        try:
            self._write_all()
        except OSError as error:
            self._fail(error, FastmonError(f"cannot write {self.what}: {error.strerror or error}"))
        except MemoryError as error:
            self._fail(error, FastmonError(f"cannot write {self.what}: out of memory"))
        except ConfigError as error:
            self._fail(error, error)
        except BaseException as error:
            self._fail(error, FastmonError(f"cannot write {self.what}: {type(error).__name__}: {error}"))
            raise

    def _write_all(self) -> None:
        event = self.get()
        while event == _REOPEN:  # nothing is open
            event = self.get()
        if event is None and not self._opens:
            return
        sink = self._open()
        try:
            while event is not None:
                if self._before_event is not None:
                    with self._writing:  # it may be stuck, too
                        self._before_event()
                if event == _REOPEN:
                    sink = self._reopened(sink)
                else:
                    deliver(event, sink)
                event = self.get()
        except BaseException:
            with suppress(OSError):  # what is left in its buffer would fail again
                sink.close()
            raise
        sink.close()

    def _open(self) -> Sink:
        sink = self._open_sink()
        self._identity = None if self._path is None else identity_of(self._path)
        return sink

    def _reopened(self, sink: Sink) -> Sink:
        """Return the sink on a new file, if the file has been renamed; if that cannot be opened, the one there is."""
        if self._path is None or identity_of(self._path) == self._identity:
            return sink
        try:
            opened = self._open()
        except (OSError, ConfigError) as error:
            told = FastmonError(f"cannot open {self.what} again: {getattr(error, 'strerror', None) or error}")
            self._report(Problem(f"{told}; the renamed file is written on", told))
            return sink
        sink.close()
        return opened

    def _fail(self, error: BaseException, told: FastmonError) -> None:
        self.error = error
        self.abandon()
        if not (isinstance(error, BrokenPipeError) and self._may_reader_leave()):
            self._report(Problem(str(told), told))
        self._on_end()
