"""Foreign text made fit to be shown: names from the wire, file names.

What it does not do: quote for a format. JSON, CSV and HTML writers do that for the characters that their format reserves.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from unicodedata import category

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["clean_text", "printable"]

_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180d\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]",
)
"""Fillers, blanks and variation selectors: `str.isprintable` takes them, and nobody sees them."""

_SPACES = re.compile("  +")

_FORMULA = re.compile(r"""(?:^|(?<=[,;|"])|(?<=[,;|"] ))[=+\-@＝＋－＠]""")  # noqa: RUF001  (spreadsheets take full-width ones too)
"""What makes a spreadsheet calculate: at the start of a cell, or of what another separator than ours makes one."""

MAX_MARKS = 3
"""Combining marks on one letter. No language needs more; a pile of them is drawn over the lines around."""


def printable(text: str) -> str:
    """Return `text` with control characters, and what else does not print, escaped: a file may have any name.

    What does not print includes the characters that turn the direction of writing, those of no width, and surrogates.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def clean_text(text: str) -> str:
    r"""Return `text` of strangers so that every output may show it: what is unfit stands as its escape (`\x1b`, `\u202e`).

    Beyond `printable`: characters that are drawn as nothing, piles of combining marks, and the signs that make a spreadsheet take
    a cell for a formula, in the places where they do: a name is then safe in a CSV file, and the same in every format. Spaces
    around it go, and those within become single. Cleaning what is clean changes nothing.
    """
    text = printable(_SPACES.sub(" ", text).strip(" "))
    if not text.isascii():
        text = "".join(_seen(text))
    return _FORMULA.sub(_escaped_sign, text)


def _seen(text: str) -> Iterator[str]:
    n_marks = MAX_MARKS  # a mark at the start would be drawn on what stands before the text
    for char in text:
        n_marks = n_marks + 1 if category(char) in ("Mn", "Me") else 0
        yield _escaped(char) if n_marks > MAX_MARKS or _UNSEEN.match(char) else char


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode()


def _escaped_sign(match: re.Match[str]) -> str:
    sign = match[0]
    return f"\\x{ord(sign):02x}" if sign.isascii() else _escaped(sign)
