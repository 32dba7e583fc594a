"""Collecting what is wrong in a configuration file, so that all of it is told at once.

What it does not do: look for it.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from functools import cached_property
from reprlib import Repr
from typing import TYPE_CHECKING

from fastmon.config.lines import find_lines, line_of
from fastmon.errors import ConfigError, ConfigFileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastmon.config.lines import KeyPath

__all__ = ["MOST_PROBLEMS", "Problems", "file_problem", "show"]

MOST_PROBLEMS = 50
"""More than these are counted only."""

LONGEST_PROBLEM = 1500
"""Characters. A value may be as long as the file."""

_TOML_PLACE = re.compile(r" \(at line (\d+), column (\d+)\)")

_short = Repr()
_short.maxstring = _short.maxother = _short.maxlong = 80


def show(value: object) -> str:
    """Return a value of a file for a message, cut if it is long."""
    return _short.repr(value)


class Problems:
    """What is wrong in the file at `path`, whose text is `text`."""

    def __init__(self, path: str, text: str) -> None:
        self._path = path
        self._text = text
        self._found: list[tuple[KeyPath, str]] = []
        self._n_more = 0

    def __len__(self) -> int:
        return len(self._found) + self._n_more

    def add(self, keys: KeyPath, message: str) -> None:
        """Add a problem of the value at `keys`; () for the file as a whole."""
        if len(self._found) < MOST_PROBLEMS:
            self._found.append((keys, _cut(message)))
        else:
            self._n_more += 1

    @contextmanager
    def catch(self, keys: KeyPath, title: str = "") -> Iterator[None]:
        """Take a ConfigError from the body for a problem of the value at `keys`. title: goes in front of its text."""
        try:
            yield
        except ConfigError as error:
            self.add(keys, title + str(error))

    def line(self, keys: KeyPath) -> int | None:
        """Return the line of a value, or of the nearest table or array around it."""
        return line_of(keys, self._lines)

    @cached_property
    def _lines(self) -> dict[KeyPath, int]:
        return find_lines(self._text)

    def check(self) -> None:
        """Raise ConfigFileError if there are any, in the order of their lines."""
        if not self._found:
            return
        placed = sorted(((self.line(keys) or 0, message) for keys, message in self._found), key=lambda found: found[0])
        told = [f"{self._path}:{line}: {message}" if line else f"{self._path}: {message}" for line, message in placed]
        if self._n_more:
            told.append(f"{self._path}: and {self._n_more:,} more")
        raise ConfigFileError(*told)


def file_problem(path: str, message: str) -> ConfigFileError:
    """Return the error of a file that is wrong as a whole; the parser's place becomes the line."""
    place = _TOML_PLACE.search(message)
    if place is None:
        return ConfigFileError(f"{path}: {_cut(message)}")
    return ConfigFileError(f"{path}:{place[1]}: {_cut(_TOML_PLACE.sub('', message))}, at column {place[2]}")


def _cut(message: str) -> str:
    return message if len(message) <= LONGEST_PROBLEM else f"{message[:LONGEST_PROBLEM]}..."
