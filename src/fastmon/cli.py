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
from dataclasses import fields
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastmon.commands import add_commands
from fastmon.config import OutputOptions, RunOptions, check_together, load_config, make_options
from fastmon.errors import ConfigError, ConfigFileError, FastmonError, StoppedError
from fastmon.model.texts import printable
from fastmon.signals import Signals, release
from fastmon.sinks.paths import check_paths

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TextIO

    from fastmon.config import Configuration
    from fastmon.run.control import Control
    from fastmon.run.live import LiveMonitor
    from fastmon.run.replay import ReplayMonitor
    from fastmon.run.subscriber import Subscriber
    from fastmon.sinks.notices import NoticeSink, ProgressBar
    from fastmon.sinks.output import Writing

    MonitorMaker = Callable[[Subscriber, bool], "LiveMonitor | ReplayMonitor"]

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
        status: int | None = app(arguments or ["--help"], prog_name="fastmon", standalone_mode=False)
    except _UsageError as error:
        command = error.ctx.command_path if error.ctx else "fastmon"
        _say(f"{error.format_message().rstrip('.')} (see '{command} --help')")
        return 2
    except StoppedError:
        return 0
    except ConfigFileError as error:
        for problem in error.problems:
            _say(problem)
        return 2
    except ConfigError as error:
        _say(str(error))
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


def _options(config: str | None, given: dict[str, Any], control: Control) -> tuple[RunOptions, OutputOptions]:
    """Return the options of the configuration file and, over them, those of the command line."""
    values = {} if config is None else load_config(config, partial(_read_config, control)).options
    for name, value in given.items():
        if value not in (None, []):
            values[name] = tuple(value) if isinstance(value, list) else value
    run, output = make_options(values)
    check_together(run, output)
    return run, output


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
    interface: Annotated[str, typer.Argument(metavar="IFACE", help="The interface; 'fastmon interfaces' lists them.")],
    *,
    config: ConfigPath = None,
    **given: Any,
) -> int:
    """Account an interface's traffic until Ctrl-C; SIGUSR1 reports at once."""
    from fastmon.run.control import Control

    control = Control()
    with ExitStack() as stack:
        stack.enter_context(Signals(control))
        run, output = _options(config, given, control)
        check_paths([], run, output, config)

        from fastmon.library import live_monitor, open_captures

        captures = open_captures(interface, run, stack)

        def make(subscriber: Subscriber, keeps_conversations: bool) -> LiveMonitor:
            return live_monitor(captures, run, subscriber, control, keeps_conversations=keeps_conversations)

        return _run(make, output, control, is_live=True)


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
        run, output = _options(config, given, control)
        check_paths(files, run, output, config)

        from fastmon.library import replay_monitor, source_openers

        openers = source_openers(files, run, control)
        names = ["standard input" if path == "-" else path for path in files]

        def make(subscriber: Subscriber, keeps_conversations: bool) -> ReplayMonitor:
            return replay_monitor(openers, names, run, subscriber, control, keeps_conversations=keeps_conversations)

        return _run(make, output, control, is_live=False, files=files)


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


@app.command("check-config")
def check_config(
    file: Annotated[str | None, typer.Argument(metavar="FILE", help="The configuration file.")] = None,
    *,
    example: Annotated[bool, typer.Option("--example", help="Print an example, with comments, and exit.")] = False,
) -> int:
    """Check a configuration file, and show the rules and actions that it sets."""
    if sys.stdout is None:
        raise ConfigError("standard output is closed")
    if example == (file is not None):
        raise ConfigError("check-config takes a FILE or --example")
    if file is None:
        from fastmon.config.example import EXAMPLE

        print(EXAMPLE, end="")
        return 0
    from fastmon.run.control import Control

    control = Control()
    with Signals(control):
        configuration = load_config(file, partial(_read_config, control))
    check_together(*make_options(configuration.options))
    _show_configuration(file, configuration)
    return 0


def _show_configuration(file: str, configuration: Configuration) -> None:
    from fastmon.sinks.grid import Grid, open_page

    policy = configuration.policy
    counts = {"option": configuration.options, "group": policy.groups, "rule": policy.rules, "action": policy.actions}
    told = ", ".join(f"{len(found)} {name}{'' if len(found) == 1 else 's'}" for name, found in counts.items())
    page = open_page(sys.stdout)
    page.line(printable(f"{file} has no errors: {told}"))
    for name, value in configuration.options.items():
        page.line(printable(f"{name.replace('_', '-')} = {list(value) if isinstance(value, tuple) else value!r}"))
    rules = Grid(("rule", "kind", "scope", "severity", "actions"), folded=frozenset({2, 4}))
    rules.rows = [
        (rule.name, rule.kind, printable(rule.scope), rule.severity, ", ".join(rule.actions) or "-") for rule in policy.rules
    ]
    actions = Grid(("action", "by"), rows=[(action.name, action.way) for action in policy.actions])
    for grid in (rules, actions):
        if grid.rows:
            page.line("")
            page.grid(grid)


add_commands(app)


def _run(make: MonitorMaker, output: OutputOptions, control: Control, *, is_live: bool, files: Sequence[str] = ()) -> int:
    """Run a monitor into the sinks that are asked for; return the exit code."""
    from fastmon.sinks.notices import NoticeSink, ProgressBar, ProgressSink, total_bytes
    from fastmon.sinks.open import Sinks

    bar = ProgressBar(total_bytes(files))
    shows_alerts = output.format == "csv"
    sinks = Sinks(
        output,
        control,
        is_live=is_live,
        stdout=sys.stdout,
        notice_kind=ProgressSink if bar.is_wanted else NoticeSink,
        open_notices=partial(_open_notices, bar, shows_alerts),
        before_results=bar.hide,
    )
    try:
        monitor = make(sinks.subscriber, output.conversations is not None)
        sinks.packet_log = monitor.packet_log
        monitor.run()
    finally:
        is_complete = sinks.finish()
        if not is_complete:
            os._exit(max(sinks.status, 1))  # a thread is stuck in a write: the interpreter would wait for its lock
    return sinks.status


def _open_notices(bar: ProgressBar, shows_alerts: bool, writing: Writing) -> NoticeSink:
    from fastmon.sinks.notices import NoticeSink, ProgressSink
    from fastmon.sinks.output import wrap

    stream = None if sys.stderr is None else wrap(sys.stderr, writing)
    return (ProgressSink if bar.is_wanted else NoticeSink)(stream, bar, shows_alerts=shows_alerts)
