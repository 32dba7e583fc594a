"""The command line: arguments, signals, exit codes. The only module that prints.

Results go to stdout or --output, everything else to stderr. Exit codes: 0 done, also after Ctrl-C and when the reader of stdout
has gone; 1 a capture or file failed, and what was accounted is reported; 2 wrong usage or configuration.

What it does not do: import at start what only one command needs; `fastmon --help` would wait for it.
"""

from __future__ import annotations

import inspect
import os
import signal
import sys
import threading
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from fastmon.config import Options, load_config
from fastmon.errors import CaptureError, ConfigError, FastmonError
from fastmon.report.sink import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from types import FrameType
    from typing import TextIO

    from typing_extensions import Self

    from fastmon.capture import Capture
    from fastmon.monitor import Control, Event, LiveMonitor, ReplayMonitor
    from fastmon.report.sink import Sink
    from fastmon.shards import SourceOpener

__all__ = ["main"]

_UsageError: Any = typer.BadParameter.__base__  # click's, or that of the copy in typer: no other name is in all versions

app = typer.Typer(rich_markup_mode=None, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's linear algebra is not used; its threads take time to start
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        status: int | None = app(arguments or ["--help"], prog_name="fastmon", standalone_mode=False)
    except _UsageError as error:
        command = error.ctx.command_path if error.ctx else "fastmon"
        _say(f"{error.format_message().rstrip('.')} (see '{command} --help')")
        return 2
    except ConfigError as error:
        _say(str(error))
        return 2
    except FastmonError as error:
        _say(str(error))
        return 1
    except MemoryError as error:
        _say(f"out of memory: {error}")
        return 1
    except (typer.Abort, KeyboardInterrupt):
        return 128 + signal.SIGINT
    return status or 0


def _say(text: str) -> None:
    """Tell a person something, in one line."""
    if sys.stderr is not None:
        with suppress(OSError):
            print("fastmon:", printable(text), file=sys.stderr, flush=True)


def _with_options(command: Callable[..., int]) -> Callable[..., int]:
    """Give `command`, which takes them as keywords, every option of `Options`."""
    types = get_type_hints(Options)
    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.kind is not p.VAR_KEYWORD]
    options = []
    for option in fields(Options):
        value_type = list[str] if option.name == "local" else types[option.name]
        default = "" if option.default in (None, False, (), "0") else f" [{option.default}]"
        info = typer.Option(
            *option.metadata["flags"],
            metavar=option.metadata["metavar"],
            help=option.metadata["about"] + default,
            show_default=False,
        )
        options.append(own[-1].replace(name=option.name, annotation=Annotated[value_type | None, info]))
    command.__signature__ = inspect.Signature([*own, *options])  # type: ignore[attr-defined]
    return command


ConfigPath = Annotated[str | None, typer.Option(metavar="PATH", help="Take options from this TOML file; those given here win.")]


def _options(config: str | None, given: dict[str, Any]) -> Options:
    """Return the options of the configuration file and, over them, those of the command line."""
    values = {} if config is None else load_config(config)
    for name, value in given.items():
        if value not in (None, []):
            values[name] = tuple(value) if isinstance(value, list) else value
    return Options(**values)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print("fastmon", version("fastmon"))
        raise typer.Exit


@app.callback()
def _fastmon(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """Account every host's traffic, live or from capture files."""


@app.command()
@_with_options
def live(
    interface: Annotated[str, typer.Argument(metavar="IFACE", help="The interface; 'fastmon interfaces' lists them.")],
    *,
    config: ConfigPath = None,
    **given: Any,
) -> int:
    """Account an interface's traffic until Ctrl-C; SIGUSR1 reports at once."""
    options = _options(config, given)

    from fastmon.library import live_monitor, open_captures
    from fastmon.monitor import Control

    control = Control()
    with ExitStack() as stack:
        stack.enter_context(_Signals(control))
        captures = open_captures(interface, options, stack)
        return _run(live_monitor(captures, options, control), options)


@app.command()
@_with_options
def replay(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Capture files, in their order; '-': standard input.")],
    *,
    config: ConfigPath = None,
    **given: Any,
) -> int:
    """Account capture files; the clock is the packets'."""
    options = _options(config, given)
    _refuse_overwriting(files, options)

    from fastmon.library import replay_monitor, source_openers
    from fastmon.monitor import Control
    from fastmon.report.progress import ProgressBar

    control, bar = Control(), ProgressBar(sum(map(_size_bytes, files)))
    with _Signals(control) as signals:
        openers = [signals.interruptible(opener) for opener in source_openers(files, options)]
        names = ["standard input" if path == "-" else path for path in files]
        return _run(replay_monitor(openers, names, options, control, bar.update), options, bar.hide)


@app.command()
def interfaces() -> int:
    """List what can be captured from."""
    from fastmon.capture import interfaces as available_interfaces
    from fastmon.report.grid import Grid, open_page

    grid = Grid(("interface", "state", "addresses", "description"))
    for interface in available_interfaces():
        state = "up" if interface.is_up else "down"
        grid.rows.append((printable(interface.name), state, ", ".join(interface.addresses), printable(interface.description)))
    with _output_errors():
        open_page(_stdout()).grid(grid)
    return 0


def _refuse_overwriting(files: Iterable[str], options: Options) -> None:
    """Raise ConfigError if a file to be replayed is one to be written."""
    for written in filter(None, (options.output, options.log, options.packet_log)):
        if Path(written).exists() and any(Path(file).exists() and Path(file).samefile(written) for file in files):
            raise ConfigError(f"{written} is a capture file to replay: write the results elsewhere")


def _size_bytes(path: str) -> int:
    """Return a file's size, 0 if it cannot be told."""
    try:
        return Path(path).stat().st_size
    except OSError:
        return 0


def _run(monitor: LiveMonitor | ReplayMonitor, options: Options, before_output: Callable[[], None] = lambda: None) -> int:
    """Show a monitor's events; return the exit code."""
    status = 0
    with _output_errors(), ExitStack() as stack:
        sinks = _open_sinks(options, stack)
        events = stack.enter_context(closing(monitor.events()))
        stack.callback(before_output)
        for event in events:
            before_output()
            status = max(status, _show(event, sinks))
    return status


@contextmanager
def _output_errors() -> Iterator[None]:
    """End quietly if the reader of the results has gone, and with one line if they cannot be written."""
    try:
        yield
    except BrokenPipeError:
        if sys.stdout is not None:  # what is left in its buffer goes nowhere, instead of failing again at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        raise FastmonError(f"cannot write the results: {error.strerror}") from error


def _show(event: Event, sinks: Sequence[Sink]) -> int:
    """Show an event in all sinks; return the exit code that it asks for."""
    from fastmon.policy import Alert
    from fastmon.snapshot import Snapshot

    if isinstance(event, Snapshot):
        for sink in sinks:
            sink.snapshot(event)
        return 0
    if isinstance(event, Alert):
        for sink in sinks:
            sink.alert(event)
        return 0
    _say(event.text)
    for sink in sinks:
        sink.problem(event.text)
    if event.error is None:
        return 0
    return 2 if isinstance(event.error, ConfigError) else 1


def _open_sinks(options: Options, stack: ExitStack) -> list[Sink]:
    stream = _stdout() if options.output is None else _opened(options.output, stack)
    sinks = [_result_sink(options, stream)]
    if options.log is not None:
        from fastmon.report.log import LogSink

        try:
            sinks.append(LogSink(options.log))
        except OSError as error:
            raise ConfigError(f"cannot write the log {options.log}: {error.strerror}") from error
    for sink in sinks:
        stack.callback(sink.close)
    return sinks


def _result_sink(options: Options, stream: TextIO) -> Sink:
    """Return the sink of the format that is asked for; each imports what only it needs."""
    if options.format == "jsonl":
        from fastmon.report.jsonl import JsonlSink

        stream.flush()
        return JsonlSink(stream.buffer)
    if options.format == "csv":
        from fastmon.report.csv import CsvSink

        return CsvSink(stream, sys.stderr)
    from fastmon.report.table import TableSink

    return TableSink(stream, options.top)


def _stdout() -> TextIO:
    if sys.stdout is None:
        raise ConfigError("standard output is closed: name a file with --output")
    return sys.stdout


def _opened(path: str, stack: ExitStack) -> TextIO:
    try:
        return stack.enter_context(Path(path).open("w", encoding="utf-8", newline=""))
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error


class _Signals:
    """While it is entered, SIGINT and SIGTERM end the run, and SIGUSR1 asks for a snapshot; a second SIGINT or SIGTERM kills."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._is_opening = False
        self._handlers = {signal.SIGINT: self._stop, signal.SIGTERM: self._stop, signal.SIGUSR1: self._report}
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        self._previous = {number: signal.signal(number, handler) for number, handler in self._handlers.items()}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def interruptible(self, opener: SourceOpener) -> SourceOpener:
        """Return `opener`, which SIGINT and SIGTERM end: opening a pipe waits for its first bytes, and sees no `Control`."""

        def opened() -> Capture:
            self._is_opening = threading.current_thread() is threading.main_thread()
            try:
                return opener()  # type: ignore[return-value]
            finally:
                self._is_opening = False

        return opened

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        self._control.stop = True
        if self._is_opening:
            raise CaptureError("stopped before the capture began")

    def _report(self, _number: int, _frame: FrameType | None) -> None:
        self._control.snapshot_now = True
