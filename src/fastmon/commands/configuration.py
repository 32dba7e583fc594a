"""The commands about configuration files: check one, have a run read its own again.

What it does not do: know exit codes; `cli` makes them of errors.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastmon.commands.states import StatePath  # noqa: TC001 - typer reads it
from fastmon.config import check_together, load_config, make_options
from fastmon.errors import ConfigError, StateError
from fastmon.model.texts import printable
from fastmon.signals import Signals

if TYPE_CHECKING:
    from fastmon.config import Configuration

__all__ = ["check_config", "reload"]


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

        sys.stdout.write(EXAMPLE)
        return 0
    from fastmon.alerts.actions import check_action
    from fastmon.capture.inputs import read_file
    from fastmon.run.control import Control

    control = Control()
    remarks: list[str] = []
    with Signals(control):
        configuration = load_config(
            file,
            lambda path, n_bytes: read_file(path, n_bytes, lambda: control.stop),
            lambda action: remarks.append(check_action(action)),
        )
    check_together(*make_options(configuration.options), configuration.policy)
    for remark in filter(None, remarks):
        typer.echo(f"fastmon: {remark}", err=True)
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


def reload(state: StatePath = None) -> int:
    """Let the run that keeps a state read its configuration again; it loses no counter and no open alert."""
    from fastmon.state.files import Lock, default_path, shown

    path = default_path() if state is None else Path(state)
    try:
        process = Lock.holder(path)
    except FileNotFoundError:
        process = None
    except OSError as error:
        raise ConfigError(f"cannot read the lock of the state {shown(path)}: {error.strerror}") from None
    if process is None:
        raise StateError(f"no run keeps the state {shown(path)}: name its state with --state")
    try:
        os.kill(process, signal.SIGUSR2)
    except OSError as error:
        raise StateError(f"cannot reach the run, process {process}: {error.strerror}") from None
    return 0
