"""Keeps the files of a run apart: what it reads, what it writes, and the older files that rotation renames.

What it does not do: open files.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from fastmon.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastmon.config import OutputOptions, RunOptions
    from fastmon.policy.specs import ActionSpec

__all__ = ["check_paths"]

_STDIN, _STDOUT = 0, 1


def check_paths(
    captures: Sequence[str], run: RunOptions, output: OutputOptions, config: str | None, actions: Sequence[ActionSpec] = ()
) -> None:
    """Raise ConfigError if a file that may be written is one that is read, or that something else writes.

    captures: capture files to replay, "-" for standard input.  config: the configuration file.
    actions: what is done with alerts.
    """
    taken: dict[object, str] = {}
    for file in captures:
        _take(taken, _STDIN if file == "-" else file, "a capture file to replay")
    if config is not None:
        _take(taken, config, "the configuration file")
    for what, names in (*_written(run, output), *_written_by_rules(run, actions)):
        for name in names:
            identity = _identity(name)
            if identity is not None and identity in taken:
                raise ConfigError(f"{_text(name)} is {taken[identity]}: write to another file")
        for name in names:
            _take(taken, name, what)


def _written(run: RunOptions, output: OutputOptions) -> Iterator[tuple[str, Sequence[str | int]]]:
    """Yield what each output is, and the names of the files that it may write, those of rotation included."""
    yield "the file of the results", [_STDOUT if output.output is None else output.output]
    if output.log is not None:
        from fastmon.sinks.log import KEPT_FILES

        older = (f"{output.log}.{number}" for number in range(1, KEPT_FILES + 1))
        yield "the log, or an older file of it", [output.log, *older]
    if output.conversations is not None:
        yield "the file of the conversations", [output.conversations]
    if run.packet_log is not None:
        from fastmon.sinks.packet_files import older_path

        names = (str(older_path(run.packet_log, number)) for number in range(run.packet_log_files))
        yield "the packet log, or an older file of it", list(names)


def _written_by_rules(run: RunOptions, actions: Sequence[ActionSpec]) -> Iterator[tuple[str, Sequence[str]]]:
    if run.state is not None:
        yield "the state, or a file beside it", [run.state + suffix for suffix in ("", "-wal", "-shm", "-lock", "-new")]
    files = dict.fromkeys(action.file for action in actions if action.file is not None)  # actions may share one
    for file in files:
        yield "the file of an action", [file]


def _take(taken: dict[object, str], name: str | int, what: str) -> None:
    identity = _identity(name)
    if identity is not None:
        taken.setdefault(identity, what)


def _identity(name: str | int) -> object:
    """Return what tells a regular file, also one that is not there yet, from all others; None for anything else."""
    try:
        status = os.stat(name)  # noqa: PTH116 - it may be a descriptor
    except FileNotFoundError:
        return Path(str(name)).resolve()
    except (OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def _text(name: str | int) -> str:
    return "standard output" if name == _STDOUT else str(name)
