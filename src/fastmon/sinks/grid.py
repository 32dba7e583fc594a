"""Aligned columns: drawn by rich on a terminal, plain text elsewhere.

What it does not do: know what the columns mean.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Grid", "Page", "color_system", "open_page"]

GAP = 2
"""Characters between columns."""


USUAL_WIDTH, USUAL_HEIGHT = 80, 25

FOLDED_WIDTH = 8
"""A folded column has at least so many characters, if its words are as long."""

PROSE_WIDTH = 30
"""A column of sentences has at least so many characters, as long as others can be left out."""


@dataclass(slots=True)
class Grid:
    """A table: titles, and rows of as many cells.

    numbers: the columns, counted from 0, that are aligned to the right.  styles: rich's style of a row, by its number.
    optional: sets of columns that a terminal too narrow for all does without, the first to go first.
    folded: columns that are wrapped if that is not enough.  prose: columns of sentences, which are wrapped before.

    Where a terminal is too narrow even then, each row is shown over several lines. What is in no such column stays whole.
    """

    titles: Sequence[str]
    numbers: frozenset[int] = frozenset()
    rows: list[Sequence[str]] = field(default_factory=list)
    styles: dict[int, str] = field(default_factory=dict)
    optional: Sequence[frozenset[int]] = ()
    folded: frozenset[int] = frozenset()
    prose: frozenset[int] = frozenset()


class Page(Protocol):
    """Where lines and grids are shown."""

    def line(self, text: str, style: str = "") -> None:
        """Show a line; `style` is rich's."""

    def grid(self, grid: Grid) -> None:
        """Show a grid."""


def open_page(stream: TextIO) -> Page:
    """Return the page that suits `stream`."""
    return _RichPage(stream) if stream.isatty() else _PlainPage(stream)


class _PlainPage:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def line(self, text: str, style: str = "") -> None:  # noqa: ARG002  (plain text has no style)
        self._stream.write(text + "\n")
        self._stream.flush()

    def grid(self, grid: Grid) -> None:
        widths = [max(map(len, cells)) for cells in zip(grid.titles, *grid.rows, strict=True)]
        for row in (grid.titles, *grid.rows):
            cells = (
                cell.rjust(width) if column in grid.numbers else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            self._stream.write("  ".join(cells).rstrip() + "\n")
        self._stream.flush()


class _RichPage:
    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console

        self._stream = stream
        self._console = Console(file=stream, highlight=False, markup=False, emoji=False, color_system=color_system())

    def line(self, text: str, style: str = "") -> None:
        self._console.print(text, style=style, soft_wrap=True)

    def grid(self, grid: Grid) -> None:
        from rich.console import ConsoleDimensions

        width = _terminal_width(self._stream)
        self._console.size = ConsoleDimensions(width, USUAL_HEIGHT)  # it may have changed; rich knows none of an unknown terminal
        shown = _fitting_columns(grid, width)
        if sum(_least_width(grid, column) + GAP for column in shown) - GAP > width:
            self._list(grid, shown)
        else:
            self._table(grid, shown)

    def _table(self, grid: Grid, shown: Sequence[int]) -> None:
        from rich.table import Table

        table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold")
        for column in shown:
            is_folded = column in grid.folded | grid.prose
            table.add_column(
                grid.titles[column],
                justify="right" if column in grid.numbers else "left",
                no_wrap=not is_folded,
                overflow="fold" if is_folded else "ellipsis",
                min_width=_least_width(grid, column),
            )
        for number, row in enumerate(grid.rows):
            table.add_row(*(row[column] for column in shown), style=grid.styles.get(number))
        self._console.print(table)

    def _list(self, grid: Grid, shown: Sequence[int]) -> None:
        """Show each row as its first cell, whole, and under it the others with their titles."""
        first, *others = shown
        for number, row in enumerate(grid.rows):
            told = (f"{grid.titles[column]} {row[column]}" for column in others if row[column])
            self.line("\n".join((row[first], *(f"{' ' * GAP}{text}" for text in told))), grid.styles.get(number) or "")


def color_system() -> Literal["auto"] | None:
    """Return the colours that rich may send to a terminal: none, nor anything but text, if nobody wants them or it is unknown."""
    is_plain = os.environ.get("NO_COLOR") or os.environ.get("TERM", "") in ("", "dumb", "unknown")
    return None if is_plain else "auto"


def _terminal_width(stream: TextIO) -> int:
    told = os.environ.get("COLUMNS", "")
    with suppress(OSError):
        return (int(told) if told.isdecimal() else 0) or os.get_terminal_size(stream.fileno()).columns or USUAL_WIDTH
    return USUAL_WIDTH


def _widths(grid: Grid) -> list[int]:
    from rich.cells import cell_len

    return [max(map(cell_len, cells)) for cells in zip(grid.titles, *grid.rows, strict=True)]


def _least_width(grid: Grid, column: int) -> int:
    """Return the characters that a column needs: one of sentences those of its longest word, a folded one a few."""
    from rich.cells import cell_len

    words: Iterable[str] = (grid.titles[column], *(row[column] for row in grid.rows))
    if column in grid.folded | grid.prose:
        words = [word for text in words for word in text.split()]
    least = max(map(cell_len, words), default=0)
    return min(least, FOLDED_WIDTH) if column in grid.folded else least


def _fitting_columns(grid: Grid, width: int) -> list[int]:
    """Return the columns that are shown in `width` characters: all, or those left without as many optional ones as need be."""
    widths = _widths(grid)
    for column in grid.prose:
        widths[column] = min(widths[column], PROSE_WIDTH)
    shown = list(range(len(widths)))
    for columns in grid.optional:
        if sum(widths[left] + GAP for left in shown) - GAP <= width:
            break
        shown = [column for column in shown if column not in columns]
    return shown
