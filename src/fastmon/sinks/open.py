"""Which sinks a run of the command line has, by its options, and what they have in common.

What it does not do: write; each kind of sink does.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TextIO

from fastmon.errors import ConfigError
from fastmon.run.subscriber import Subscriber, Subscribers
from fastmon.sinks.base import BackgroundSink
from fastmon.sinks.output import OutputFile, Writing, check_writable, wrap

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastmon.config import OutputOptions
    from fastmon.model.snapshot import Snapshot
    from fastmon.run.control import Control
    from fastmon.run.shards import PacketLog
    from fastmon.run.subscriber import Problem
    from fastmon.sinks.base import Sink

__all__ = ["Sinks"]


class Sinks:
    """The sinks of one run, each in a thread of its own.

    The run goes on for as long as any of them, or the packet log, can write. `notices` takes problems, and alerts that the
    results have no room for; it is no result itself.

    packet_log: that of the run, if it has one: it is written beside these sinks. To be set before the run begins.

    bytes_of: which bytes conversations move, as `Snapshot.bytes_of` says.
    open_notices: opens the sink of the notices, which writes to standard error through what it is given.
    stdout: where the results go without --output; None if it is closed.
    before_results: called before results are shown on a terminal.

    Raises ConfigError if a file cannot be written.
    """

    def __init__(
        self,
        options: OutputOptions,
        control: Control,
        *,
        is_live: bool,
        bytes_of: str,
        stdout: TextIO | None,
        notice_kind: type[Sink],
        open_notices: Callable[[Writing], Sink],
        before_results: Callable[[], None] = lambda: None,
    ) -> None:
        self.status = 0
        self.has_results = False
        self.packet_log: PacketLog | None = None
        self._control = control
        self._is_patient = (lambda: False) if is_live else (lambda: not control.stop)
        writing = Writing()
        unwanted = () if options.format == "csv" else ("alerts",)  # the other formats have room for them
        self._notices = self._background(
            "standard error", notice_kind, partial(open_notices, writing), writing, unwanted=unwanted
        )
        self._results = [self._result_sink(options, stdout, before_results)]
        if options.log is not None:
            self._results.append(self._log_sink(options.log, options.time))
        if options.conversations is not None:
            self._results.append(self._conversation_sink(options.conversations, bytes_of, keeps=options.append))
        self.subscriber: Subscriber = Subscribers([_Status(self), *self._results, self._notices])

    def finish(self) -> bool:
        """Wait until everything is written; return False if something had to be given up."""
        are_complete = [sink.finish(is_stopped=lambda: self._control.stop, opens=self.has_results) for sink in self._results]
        return all([*are_complete, self._notices.finish(is_stopped=lambda: self._control.stop, opens=False)])

    def _background(
        self,
        what: str,
        kind: type[Sink],
        open_sink: Callable[[], Sink],
        writing: Writing,
        before_event: Callable[[], None] | None = None,
        may_reader_leave: Callable[[], bool] = lambda: False,
        unwanted: Sequence[str] = (),
        path: str | None = None,
    ) -> BackgroundSink:
        return BackgroundSink(
            what,
            kind,
            open_sink,
            writing,
            unwanted=unwanted,
            is_patient=self._is_patient,
            report=self._report,
            on_end=self.end_if_useless,
            before_event=before_event,
            may_reader_leave=may_reader_leave,
            path=path,
        )

    def _report(self, problem: Problem) -> None:
        self.subscriber.problem(problem)

    def end_if_useless(self) -> None:
        """Stop the run if nobody takes anything of it any more."""
        is_logging = self.packet_log is not None and self.packet_log.error is None
        if not is_logging and all(sink.error is not None for sink in self._results):
            self._control.stop = True

    def _result_sink(self, options: OutputOptions, stdout: TextIO | None, before_results: Callable[[], None]) -> BackgroundSink:
        """Return the sink of the format that is asked for; each imports what only it needs."""
        writing = Writing()
        if options.output is not None:
            check_writable(options.output)
            is_terminal = False
            open_stream = OutputFile(options.output, writing, keeps=options.append).open
        elif stdout is None:
            raise ConfigError("standard output is closed: name a file with --output")
        else:
            is_terminal = stdout.isatty()
            open_stream = partial(wrap, stdout, writing)
        kind, make = _result_format(options)
        before = before_results if is_terminal else None

        def may_reader_leave() -> bool:
            """Return True where nobody wants anything more: of `fastmon ... | head`, say."""
            return options.output is None and len(self._results) == 1 and self.packet_log is None

        return self._background(
            "the results", kind, lambda: make(open_stream()), writing, before, may_reader_leave, path=options.output
        )

    def _log_sink(self, path: str, times: str) -> BackgroundSink:
        from fastmon.sinks.log import LogSink

        check_writable(path, "the log ")
        writing = Writing()
        return self._background(f"the log {path}", LogSink, lambda: LogSink(path, writing, times=times), writing, path=path)

    def _conversation_sink(self, path: str, bytes_of: str, *, keeps: bool) -> BackgroundSink:
        from fastmon.sinks.conversations import ConversationSink

        check_writable(path)
        writing = Writing()
        file = OutputFile(path, writing, keeps=keeps)
        is_csv = path.endswith(".csv")
        return self._background(
            "the conversations",
            ConversationSink,
            lambda: ConversationSink(file.open(), is_csv=is_csv, bytes_of=bytes_of),
            writing,
            path=path,
        )


class _Status(Subscriber):
    """Remembers the exit code that problems ask for, and whether there were results; ends the run with its last output."""

    def __init__(self, sinks: Sinks) -> None:
        self._sinks = sinks

    def snapshot(self, _: Snapshot) -> None:
        self._sinks.has_results = True

    def problem(self, problem: Problem) -> None:
        if problem.error is not None:
            self._sinks.status = max(self._sinks.status, 2 if isinstance(problem.error, ConfigError) else 1)
            self._sinks.end_if_useless()  # it may be the packet log that has failed


def _result_format(options: OutputOptions) -> tuple[type[Sink], Callable[[TextIO], Sink]]:
    if options.format == "jsonl":
        from fastmon.sinks.jsonl import JsonlSink

        return JsonlSink, lambda stream: JsonlSink(stream.detach())
    if options.format == "csv":
        from fastmon.sinks.csv import CsvSink

        return CsvSink, CsvSink
    from fastmon.sinks.table import TableSink

    return TableSink, lambda stream: TableSink(stream, options.top, ports=options.ports, times=options.time)
