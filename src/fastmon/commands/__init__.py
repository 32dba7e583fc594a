"""The commands besides those that account: each module has those of one kind.

What they do not do: know exit codes; `cli` makes them of errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastmon.commands.configuration import check_config, reload
from fastmon.commands.states import add_commands as add_state_commands

if TYPE_CHECKING:
    import typer

__all__ = ["add_commands"]


def add_commands(app: typer.Typer) -> None:
    """Add the commands to those of `app`."""
    app.command("check-config")(check_config)
    app.command()(reload)
    add_state_commands(app)
