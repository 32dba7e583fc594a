"""Aligned columns: drawn by rich on a terminal, plain text elsewhere.

What it does not do: know what the columns mean.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Grid", "Page", "open_page"]


@dataclass(slots=True)
class Grid:
    """A table: titles, and rows of as many cells.

    numbers: the columns, counted from 0, that are aligned to the right.  styles: rich's style of a row, by its number.
    """

    titles: Sequence[str]
    numbers: frozenset[int] = frozenset()
    rows: list[Sequence[str]] = field(default_factory=list)
    styles: dict[int, str] = field(default_factory=dict)


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

        table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
        for column, title in enumerate(grid.titles):
            table.add_column(title, justify="right" if column in grid.numbers else "left", no_wrap=True)
        for number, row in enumerate(grid.rows):
            table.add_row(*row, style=grid.styles.get(number))
        self._console.print(table)
