"""The command line: arguments, exit codes. The only module that prints.

Results go to stdout or --output, everything else to stderr. Exit codes: 0 done, also after Ctrl-C and when the reader of stdout,
the only output, has gone; 1 a capture or an output failed, and what was accounted is reported; 2 wrong usage or configuration.

What it does not do: import at start what only one command needs; `fastmon --help` would wait for it.
"""

from __future__ import annotations

import inspect
import io
import os
import sys
from contextlib import ExitStack, suppress
from copy import copy
from dataclasses import fields, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from fastmon.commands import add_commands
from fastmon.config import Configuration, OutputOptions, RunOptions, check_together, load_config, make_options
from fastmon.errors import ConfigError, ConfigFileError, FastmonError, StoppedError
from fastmon.model.texts import printable
from fastmon.run.subscriber import Subscriber
from fastmon.signals import Signals, release
from fastmon.sinks.paths import check_paths

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TextIO

    from fastmon.policy.contents import Policy
    from fastmon.run.control import Control
    from fastmon.run.live import LiveMonitor
    from fastmon.run.plan import RuleSource
    from fastmon.run.replay import ReplayMonitor
    from fastmon.run.subscriber import Problem
    from fastmon.sinks.notices import NoticeSink, ProgressBar
    from fastmon.sinks.output import Writing

    MonitorMaker = Callable[[Subscriber, RuleSource], "LiveMonitor | ReplayMonitor"]

__all__ = ["main"]

_UsageError: Any = typer.BadParameter.__base__  # click's, or that of the copy in typer: no other name is in all versions

app = typer.Typer(rich_markup_mode=None, add_completion=False, context_settings={"help_option_names": ["-h", "--help"]})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code. If something that is written to is stuck at the end, the process ends here."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # numpy's linear algebra is not used; its threads take time to start
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
    if not arguments or {"-h", "--help", "--version"}.intersection(arguments):
        if sys.stdout is None:
            _say("standard output is closed")
            return 2
        release()
    try:
        status: int | None = _app_for(arguments)(arguments or ["--help"], prog_name="fastmon", standalone_mode=False)
    except _UsageError as error:
        command = error.ctx.command_path if error.ctx else "fastmon"
        _say(f"{error.format_message().rstrip('.')} (see '{command} --help')")
        return 2
    except StoppedError:
        return 0
    except ConfigError as error:
        for problem in error.problems if isinstance(error, ConfigFileError) else (str(error),):
            _say(problem)
        return 2
    except FastmonError as error:
        _say(str(error))
        return 1
    except MemoryError as error:
        _say(f"out of memory: {error}" if str(error) else "out of memory")
        return 1
    except BrokenPipeError:  # whoever read the help has gone
        return 0
    except OSError as error:
        _say(f"cannot write to standard output: {error.strerror}")
        return 1
    except (typer.Abort, KeyboardInterrupt):
        return 0
    return status or 0


def _app_for(arguments: Sequence[str]) -> typer.Typer:
    """Return the application with the command that is named first, if it is one: the options of all take long to prepare."""
    named = [each for each in app.registered_commands if arguments and arguments[0] == _command_name(each)]
    if not named:
        return app
    one = copy(app)
    one.registered_commands, one.registered_groups = named, []
    return one


def _command_name(command: typer.models.CommandInfo) -> str:
    return command.name or str(getattr(command.callback, "__name__", ""))


def _say(text: str) -> None:
    """Tell a person something, in one line."""
    release()
    if sys.stderr is not None:
        with suppress(OSError):
            print("fastmon:", printable(text), file=sys.stderr, flush=True)


def _with_options(command: Callable[..., int]) -> Callable[..., int]:
    """Give `command`, which takes them as keywords, every option of a run and of its results."""
    own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.kind is not p.VAR_KEYWORD]
    options = []
    for option in (*fields(RunOptions), *fields(OutputOptions)):
        kind = option.metadata["kind"]
        value_type = list[str] if kind.argument is list else kind.argument
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


class _Settings(NamedTuple):
    """What a run is told. read_policy: reads the configuration again; None without one."""

    run: RunOptions
    output: OutputOptions
    policy: Policy
    read_policy: Callable[[], Policy] | None


def _settings(config: str | None, given: dict[str, Any], control: Control) -> _Settings:
    """Return the options of the configuration file and, over them, those of the command line, with the file's rules."""
    configuration = Configuration({}) if config is None else _load(config, control)
    values = dict(configuration.options)
    for name, value in given.items():
        if value not in (None, []):
            values[name] = tuple(value) if isinstance(value, list) else value
    run, output = make_options(values)
    check_together(run, output, configuration.policy)

    def read_policy() -> Policy:
        policy = _load(str(config), control).policy
        check_together(run, output, policy)
        return policy

    return _Settings(run, output, configuration.policy, None if config is None else read_policy)


def _load(config: str, control: Control) -> Configuration:
    from fastmon.alerts.actions import make_action

    return load_config(config, partial(_read_config, control), make_action)


def _read_config(control: Control, path: str, n_bytes: int) -> bytes:
    from fastmon.capture.inputs import read_file

    return read_file(path, n_bytes, lambda: control.stop)


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
    interfaces: Annotated[list[str], typer.Argument(metavar="IFACE...", help="'fastmon interfaces' lists them.")],
    *,
    config: ConfigPath = None,
    **given: Any,
) -> int:
    """Account the traffic of interfaces until Ctrl-C; SIGUSR1 reports at once."""
    from fastmon.run.control import Control

    control = Control()
    with ExitStack() as stack:
        stack.enter_context(Signals(control))
        settings = _settings(config, given, control)
        run = _as_service(settings.run)
        check_paths([], run, settings.output, config, settings.policy.actions)

        from fastmon.library import live_monitor
        from fastmon.sources import open_captures

        captures = open_captures(interfaces, run, stack)

        def make(subscriber: Subscriber, guard: RuleSource) -> LiveMonitor:
            keeps = settings.output.conversations is not None
            return live_monitor(captures, run, subscriber, control, guard, keeps_conversations=keeps, n_workers=run.workers)

        return _run(make, settings._replace(run=run), control, is_live=True)


@app.command()
@_with_options
def replay(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Capture files, in their order; '-': standard input.")],
    *,
    config: ConfigPath = None,
    **given: Any,
) -> int:
    """Account capture files; the clock is the packets'."""
    from fastmon.run.control import Control

    control = Control()
    with Signals(control):
        settings = _settings(config, given, control)
        run = settings.run
        check_paths(files, run, settings.output, config, settings.policy.actions)

        from fastmon.library import replay_monitor, source_openers

        openers = source_openers(files, run, control)
        names = ["standard input" if path == "-" else path for path in files]

        def make(subscriber: Subscriber, guard: RuleSource) -> ReplayMonitor:
            keeps = settings.output.conversations is not None
            return replay_monitor(openers, names, run, subscriber, control, guard, keeps_conversations=keeps)

        return _run(make, settings, control, is_live=False, files=files)


@app.command()
def interfaces() -> int:
    """List what can be captured from."""
    release()
    from fastmon.capture import interfaces as available_interfaces
    from fastmon.sinks.grid import Grid, open_page

    grid = Grid(("interface", "state", "addresses", "description"), folded=frozenset({0, 2, 3}))
    for interface in available_interfaces():
        state = "up" if interface.is_up else "down"
        grid.rows.append((printable(interface.name), state, ", ".join(interface.addresses), printable(interface.description)))
    if sys.stdout is None:
        raise ConfigError("standard output is closed")
    open_page(sys.stdout).grid(grid)
    return 0


@app.command()
def learn(
    files: Annotated[list[str] | None, typer.Argument(metavar="[FILE...]", help="Capture files, in their order.")] = None,
    *,
    interface: Annotated[str | None, typer.Option(metavar="IFACE", help="Learn from this interface instead.")] = None,
    duration: Annotated[str | None, typer.Option(metavar="DUR", help="Stop after this time; else at Ctrl-C.")] = None,
    local: Annotated[list[str] | None, typer.Option(metavar="CIDR", help="A local network; repeatable.")] = None,
    filter: Annotated[
        str | None, typer.Option("-f", "--filter", metavar="BPF", help="Learn only from frames that match.")
    ] = None,
) -> int:
    """Write what local devices do as rules, to review and to put into a configuration."""
    if bool(files) == (interface is not None):
        raise ConfigError("learn takes capture files or --interface")
    if sys.stdout is None:
        raise ConfigError("standard output is closed")
    from fastmon.guard import Lesson
    from fastmon.library import app_names, live_monitor, replay_monitor, source_openers
    from fastmon.run.control import Control
    from fastmon.sources import open_captures

    control = Control()
    remarks = _Remarks()
    lesson = Lesson(app_names())
    with ExitStack() as stack:
        stack.enter_context(Signals(control))
        run = RunOptions(interval="0", limit="0", duration=duration or "0", local=tuple(local or ()), filter=filter)
        monitor: LiveMonitor | ReplayMonitor
        if interface is not None:
            captures = open_captures([interface], run, stack)
            monitor = live_monitor(captures, run, remarks, control, lesson, keeps_conversations=False)
        else:
            openers = source_openers(files or [], run, control)
            monitor = replay_monitor(openers, files or [], run, remarks, control, lesson, keeps_conversations=False)
        monitor.run()
    sys.stdout.write(lesson.to_toml())
    return remarks.status


class _Remarks(Subscriber):
    """Says what a person should know, and remembers whether anything failed."""

    def __init__(self) -> None:
        self.status = 0

    def problem(self, problem: Problem) -> None:
        _say(problem.text)
        if problem.error is not None:
            self.status = 1


add_commands(app)


def _as_service(run: RunOptions) -> RunOptions:
    """Return the options as a service has them: it waits for interfaces, and has a state, where nobody names another."""
    if not os.environ.get("STATE_DIRECTORY"):
        return run
    from fastmon.state.files import default_path

    return replace(run, wait=True, state=run.state or str(default_path()))


def _run(make: MonitorMaker, settings: _Settings, control: Control, *, is_live: bool, files: Sequence[str] = ()) -> int:
    """Run a monitor into the sinks that are asked for, with its rules; return the exit code."""
    from fastmon.library import make_guard
    from fastmon.sinks.notices import NoticeSink, ProgressBar, ProgressSink, total_bytes
    from fastmon.sinks.open import Sinks

    output = settings.output
    bar = ProgressBar(total_bytes(files))
    sinks = Sinks(
        output,
        control,
        is_live=is_live,
        bytes_of=settings.run.bytes,
        stdout=sys.stdout,
        notice_kind=ProgressSink if bar.is_wanted else NoticeSink,
        open_notices=partial(_open_notices, bar, output.time),
        before_results=bar.hide,
    )
    try:
        with make_guard(settings.run, sinks.subscriber.problem, settings.policy, settings.read_policy) as guard:
            monitor = make(sinks.subscriber, guard)
            sinks.packet_log = monitor.packet_log
            monitor.run()
    finally:
        is_complete = sinks.finish()
        if not is_complete:
            os._exit(max(sinks.status, 1))  # a thread is stuck in a write: the interpreter would wait for its lock
    return sinks.status


def _open_notices(bar: ProgressBar, times: str, writing: Writing) -> NoticeSink:
    from fastmon.sinks.notices import NoticeSink, ProgressSink
    from fastmon.sinks.output import wrap

    stream = None if sys.stderr is None else wrap(sys.stderr, writing)
    return (ProgressSink if bar.is_wanted else NoticeSink)(stream, bar, times)
