"""The command line: arguments, exit codes. The only module that prints.

Results go to stdout or --output, everything else to stderr. Exit codes: 0 done, also after Ctrl-C and when the reader of stdout
has gone; 1 a capture or file failed, and what was accounted is reported; 2 wrong usage or configuration.

What it does not do: import at start what only one command needs; `fastmon --help` would wait for it.
"""

from __future__ import annotations

import errno
import inspect
import io
import os
import stat
import sys
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import fields
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from fastmon.config import Options, load_config
from fastmon.errors import ConfigError, FastmonError
from fastmon.signals import Signals
from fastmon.sinks.base import Sink, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from typing import TextIO

    from fastmon.model.conversations import EndedConversations
    from fastmon.model.snapshot import Snapshot
    from fastmon.policy.limits import Alert
    from fastmon.run.monitor import Event, LiveMonitor, ReplayMonitor

__all__ = ["main"]

_UsageError: Any = typer.BadParameter.__base__  # click's, or that of the copy in typer: no other name is in all versions

app = typer.Typer(rich_markup_mode=None, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's linear algebra is not used; its threads take time to start
    if isinstance(sys.stdout, io.TextIOWrapper) and isinstance(sys.stdout.buffer, io.RawIOBase):
        # Unbuffered (PYTHONUNBUFFERED), it drops what a pipe does not take at once; all that is shown is flushed anyway.
        sys.stdout = open(sys.stdout.fileno(), "w", encoding=sys.stdout.encoding, closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file may have any name, also one that the terminal's encoding lacks
            stream.reconfigure(errors="backslashreplace")
    status = _status(list(sys.argv[1:] if arguments is None else arguments))
    error = _flushed(sys.stdout, 1)
    if error is not None and status == 0 and not isinstance(error, BrokenPipeError):
        _say(f"cannot write to standard output: {error.strerror}")
        status = 1
    _flushed(sys.stderr, 2)
    return status


def _flushed(stream: TextIO | None, number: int) -> OSError | None:
    """Write what is left in a stream's buffer; return why it cannot be written, then it goes nowhere."""
    try:
        if stream is not None:
            stream.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)  # or it would fail again at exit
        return error
    return None


def _status(arguments: Sequence[str]) -> int:
    """Run the command, say in one line why it failed, if it did, and return the exit code."""
    if sys.stdout is None and (not arguments or {"-h", "--help", "--version"}.intersection(arguments)):
        _say("standard output is closed")
        return 2
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
    except BrokenPipeError:  # whoever read the help has gone
        return 0
    except OSError as error:
        _say(f"cannot write to standard output: {error.strerror}")
        return 1
    except (typer.Abort, KeyboardInterrupt):
        return 0
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
    _refuse_overwriting([], options, config)

    from fastmon.library import live_monitor, open_captures
    from fastmon.run.monitor import Control

    control = Control()
    with ExitStack() as stack:
        stack.enter_context(Signals(control))
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
    _refuse_overwriting(files, options, config)

    from fastmon.library import replay_monitor, source_openers
    from fastmon.run.monitor import Control
    from fastmon.sinks.progress import ProgressBar

    control, bar = Control(), ProgressBar(sum(map(_size_bytes, files)))
    with Signals(control):
        openers = source_openers(files, options, control)
        names = ["standard input" if path == "-" else path for path in files]
        return _run(replay_monitor(openers, names, options, control, bar.update), options, bar.hide)


@app.command()
def interfaces() -> int:
    """List what can be captured from."""
    from fastmon.capture import interfaces as available_interfaces
    from fastmon.sinks.grid import Grid, open_page

    grid = Grid(("interface", "state", "addresses", "description"), folded=frozenset({0, 2, 3}))
    for interface in available_interfaces():
        state = "up" if interface.is_up else "down"
        grid.rows.append((printable(interface.name), state, ", ".join(interface.addresses), printable(interface.description)))
    with _output_errors():
        open_page(_stdout()).grid(grid)
    return 0


def _refuse_overwriting(files: Iterable[str], options: Options, config: str | None) -> None:
    """Raise ConfigError if a file to be written is one to be read, or is to be written twice."""
    taken: dict[object, str] = {_identity(0 if file == "-" else file): "a capture file to replay" for file in files}
    if config is not None:
        taken[_identity(config)] = "the configuration file"
    written = (
        (options.output or "standard output", options.output or 1, "the file of the results"),
        (options.log, options.log, "the log"),
        (options.conversations, options.conversations, "the file of the conversations"),
        (options.packet_log, options.packet_log, "the packet log"),
    )
    for name, path, what in written:
        identity = None if path is None else _identity(path)
        if identity is not None and identity in taken:
            raise ConfigError(f"{name} is {taken[identity]}: write to another file")
        taken[identity] = what


def _identity(path: str | int) -> object:
    """Return what tells a regular file, also one that is not there yet, from all others; None for anything else."""
    try:
        status = os.stat(path)  # noqa: PTH116 - it may be a descriptor
    except FileNotFoundError:
        return Path(str(path)).resolve()
    except OSError:
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None


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
        pass
    except OSError as error:
        raise FastmonError(f"cannot write the results: {error.strerror}") from error


def _show(event: Event, sinks: list[Sink]) -> int:
    """Show an event in all sinks; return the exit code that it asks for."""
    from fastmon.model.conversations import EndedConversations
    from fastmon.model.snapshot import Snapshot
    from fastmon.policy.limits import Alerts

    if isinstance(event, Snapshot):
        for sink in sinks:
            sink.snapshot(event)
        return 0
    if isinstance(event, Alerts):
        for sink in sinks:
            sink.alerts(event.alerts)
        return 0
    if isinstance(event, EndedConversations):
        return max(_show_conversations(event, sink, sinks) for sink in list(sinks))
    _say(event.text)
    for sink in sinks:
        sink.problem(event.text)
    if event.error is None:
        return 0
    return 2 if isinstance(event.error, ConfigError) else 1


def _show_conversations(event: EndedConversations, sink: Sink, sinks: list[Sink]) -> int:
    """Show conversations in a sink; one that they cannot be written to is given up, and the run goes on."""
    try:
        sink.conversations(event)
    except OSError as error:
        _say(f"cannot write the conversations: {error.strerror}")
        sinks.remove(sink)
        return 1
    return 0


class _LateSink(Sink):
    """A sink that is opened with the first event: a run that has none leaves a file as it was."""

    def __init__(self, open_sink: Callable[[], Sink], stack: ExitStack) -> None:
        self._open_sink = open_sink
        self._stack = stack

    @cached_property
    def _sink(self) -> Sink:
        sink = self._open_sink()
        self._stack.callback(sink.close)
        return sink

    def snapshot(self, snapshot: Snapshot) -> None:
        """Show a snapshot."""
        self._sink.snapshot(snapshot)

    def alerts(self, alerts: Sequence[Alert]) -> None:
        """Show alerts."""
        self._sink.alerts(alerts)

    def conversations(self, ended: EndedConversations) -> None:
        """Show conversations."""
        self._sink.conversations(ended)


def _open_sinks(options: Options, stack: ExitStack) -> list[Sink]:
    if options.output is None:
        _stdout()
    else:
        _check_writable(options.output)
    sinks: list[Sink] = [_LateSink(partial(_result_sink, options, stack), stack)]
    if options.log is not None:
        from fastmon.sinks.log import LogSink

        try:
            sinks.append(LogSink(options.log))
        except OSError as error:
            raise ConfigError(f"cannot write the log {options.log}: {error.strerror}") from error
        stack.callback(sinks[-1].close)
    if options.conversations is not None:
        _check_writable(options.conversations)
        sinks.append(_LateSink(partial(_conversation_sink, options.conversations, stack), stack))
    return sinks


def _check_writable(path: str) -> None:
    """Raise ConfigError if a file cannot be written, and leave it as it is."""
    try:
        if Path(path).is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if Path(path).is_file():
            os.close(os.open(path, os.O_WRONLY))
            return
        folder = Path(path).parent
        if not Path(path).exists() and not os.access(folder, os.W_OK | os.X_OK):
            code = errno.EACCES if folder.is_dir() else errno.ENOENT
            raise OSError(code, os.strerror(code))
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error


def _result_sink(options: Options, stack: ExitStack) -> Sink:
    """Return the sink of the format that is asked for; each imports what only it needs."""
    stream = _stdout() if options.output is None else _opened(options.output, stack)
    if options.format == "jsonl":
        from fastmon.sinks.jsonl import JsonlSink

        stream.flush()
        return JsonlSink(stream.buffer)
    if options.format == "csv":
        from fastmon.sinks.csv import CsvSink

        return CsvSink(stream, sys.stderr)
    from fastmon.sinks.table import TableSink

    return TableSink(stream, options.top)


def _conversation_sink(path: str, stack: ExitStack) -> Sink:
    from fastmon.sinks.conversations import ConversationSink

    return ConversationSink(_opened(path, stack), is_csv=path.endswith(".csv"))


def _stdout() -> TextIO:
    if sys.stdout is None:
        raise ConfigError("standard output is closed: name a file with --output")
    return sys.stdout


def _opened(path: str, stack: ExitStack) -> TextIO:
    try:
        return stack.enter_context(Path(path).open("w", encoding="utf-8", newline=""))
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
