"""Where the keys of a TOML text stand.

What it does not do: check the text. The parser of the standard library has read it before; it tells no lines.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["KeyPath", "find_lines", "line_of"]

KeyPath: TypeAlias = "tuple[str | int, ...]"
"""The way to a value: keys of tables, and indices of arrays."""

_TOKEN = re.compile(
    r'''
      (?P<skipped> [ \t\r]+ | \#[^\n]* )
    | (?P<text> """ (?: \\. | [^\\] )*? """ "{0,2} | \'\'\' .*? \'\'\' '{0,2} | " (?: \\. | [^"\\] )* " | ' [^']* ' )
    | (?P<sign> [\n\[\]{}=,.] )
    | (?P<bare> [^\s\[\]{}=,."'\#]+ )
    ''',
    re.VERBOSE | re.DOTALL,
)


def line_of(keys: KeyPath, lines: Mapping[KeyPath, int]) -> int | None:
    """Return the line of a value, or of the nearest table or array around it that has one."""
    while keys and keys not in lines:
        keys = keys[:-1]
    return lines.get(keys)


def find_lines(text: str) -> dict[KeyPath, int]:
    """Return the line of each table, key and item of an array. `text` must be valid TOML."""
    return _Scanner().scan(text)


class _Scanner:
    """Follows the brackets of a text.

    open: the brackets around the current token, each with the path of its value; at an item of an array, with its index.
    keys: the parts of the key that is being read; None while a value is.
    """

    def __init__(self) -> None:
        self._lines: dict[KeyPath, int] = {}
        self._n_tables: dict[KeyPath, int] = {}
        self._table: KeyPath = ()
        self._open: list[tuple[str, KeyPath]] = []
        self._keys: list[str] | None = []
        self._value: KeyPath = ()
        self._header = 0

    def scan(self, text: str) -> dict[KeyPath, int]:
        line = 1
        for match in _TOKEN.finditer(text):
            token = match[0]
            if match.lastgroup == "sign":
                self._take_sign(token, line)
            elif match.lastgroup != "skipped":
                self._take_word(token, line)
            line += token.count("\n")
        return self._lines

    def _take_word(self, token: str, line: int) -> None:
        if self._keys is None:
            self._lines.setdefault(self._value, line)
        elif token[0] in "\"'":
            self._keys.append(token[1:-1])
        else:
            self._keys.append(token)

    def _take_sign(self, sign: str, line: int) -> None:
        if self._keys is None:
            self._take_sign_of_value(sign, line)
        elif sign == "[":
            self._header += 1
        elif sign == "]":
            if self._keys:
                self._begin_table(self._keys, line)
            self._keys = []
        elif sign == "\n":
            self._header = 0
        elif sign == "=":
            self._begin_value(self._keys, line)
            self._keys = None
        elif sign == "}":
            self._close()

    def _begin_value(self, parts: list[str], line: int) -> None:
        self._value = self._around()
        for part in parts:
            self._value = (*self._value, part)
            self._lines.setdefault(self._value, line)

    def _take_sign_of_value(self, sign: str, line: int) -> None:
        if sign == "[":
            self._lines.setdefault(self._value, line)
            self._open.append(("[", (*self._value, 0)))
            self._value = self._open[-1][1]
        elif sign == "{":
            self._lines.setdefault(self._value, line)
            self._open.append(("{", self._value))
            self._keys = []
        elif sign in "]}":
            self._close()
        elif sign == ",":
            self._take_comma()
        elif sign == "\n" and not self._open:
            self._keys = []

    def _take_comma(self) -> None:
        bracket, path = self._open[-1]
        if bracket == "{":
            self._keys = []
        else:
            index = path[-1]
            self._value = (*path[:-1], index + 1 if isinstance(index, int) else 0)
            self._open[-1] = ("[", self._value)

    def _close(self) -> None:
        """Leave a value in brackets: what follows belongs to the value around it."""
        self._open.pop()
        self._keys = None

    def _around(self) -> KeyPath:
        """Return the path of the table that a key belongs to."""
        return self._open[-1][1] if self._open else self._table

    def _begin_table(self, parts: list[str], line: int) -> None:
        path: KeyPath = ()
        for part in parts[:-1]:
            path = self._inside((*path, part))
        path = (*path, parts[-1])
        if self._header == 2:
            self._n_tables[path] = self._n_tables.get(path, 0) + 1
        self._lines.setdefault(path, line)
        self._table = self._inside(path)
        self._lines.setdefault(self._table, line)

    def _inside(self, path: KeyPath) -> KeyPath:
        """Return the path of a table, with the index of the last one if it is an array of tables."""
        n_tables = self._n_tables.get(path, 0)
        return (*path, n_tables - 1) if n_tables else path
