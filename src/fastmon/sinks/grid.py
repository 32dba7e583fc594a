"""Aligned columns: drawn by rich on a terminal, plain text elsewhere.

What it does not do: know what the columns mean.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Grid", "Page", "open_page"]

GAP = 2
"""Characters between columns."""


PROSE_WIDTH = 30
"""A column of sentences has at least so many characters, as long as others can be left out."""


@dataclass(slots=True)
class Grid:
    """A table: titles, and rows of as many cells.

    numbers: the columns, counted from 0, that are aligned to the right.  styles: rich's style of a row, by its number.
    optional: sets of columns that a terminal too narrow for all does without, the first to go first.
    folded: columns that are wrapped if that is not enough.  prose: columns of sentences, which are wrapped before.
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

        self._console = Console(file=stream, highlight=False, markup=False, emoji=False)

    def line(self, text: str, style: str = "") -> None:
        self._console.print(text, style=style, soft_wrap=True)

    def grid(self, grid: Grid) -> None:
        from rich.table import Table

        shown = _fitting_columns(grid, self._console.width)
        table = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bold")
        for column in shown:
            is_folded = column in grid.folded | grid.prose
            table.add_column(
                grid.titles[column],
                justify="right" if column in grid.numbers else "left",
                no_wrap=not is_folded,
                overflow="fold" if is_folded else "ellipsis",
            )
        for number, row in enumerate(grid.rows):
            table.add_row(*(row[column] for column in shown), style=grid.styles.get(number))
        self._console.print(table)


def _fitting_columns(grid: Grid, width: int) -> list[int]:
    """Return the columns that are shown in `width` characters: all, or those left without as many optional ones as need be."""
    from rich.cells import cell_len

    widths = [max(map(cell_len, cells)) for cells in zip(grid.titles, *grid.rows, strict=True)]
    for column in grid.prose:
        widths[column] = min(widths[column], PROSE_WIDTH)
    shown = list(range(len(widths)))
    for columns in grid.optional:
        if sum(widths[left] + GAP for left in shown) - GAP <= width:
            break
        shown = [column for column in shown if column not in columns]
    return shown
