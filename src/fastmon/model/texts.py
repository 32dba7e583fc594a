"""Making foreign text fit to be shown: names from the wire, file names.

What it does not do: quote for a format. The writers of JSON, CSV and HTML quote the characters that their format reserves.
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
"""Fillers, blanks and variation selectors: `str.isprintable` accepts them, but they are invisible."""

_SPACES = re.compile("  +")

_FORMULA = re.compile(r"""(?:^|(?<=[,;|"])|(?<=[,;|"] ))[=+\-@＝＋－＠]""")  # noqa: RUF001  (spreadsheets take full-width ones too)
"""Signs that start a formula in a spreadsheet: at the start of a cell, or after any separator that may begin a cell."""

MAX_MARKS = 3
"""Most combining marks on one letter. No language needs more; a pile of them is drawn over the lines above and below."""


def printable(text: str) -> str:
    """Return `text` with control characters and all others that do not print escaped. A file may have any name.

    Characters that change the direction of writing, those without width, and surrogates do not print.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def clean_text(text: str) -> str:
    r"""Return `text` from a stranger with all that is unfit for any output escaped (`\x1b`, `\u202e`).

    `printable` is a part of this. Also escaped are invisible characters, piles of combining marks, and the signs that start a
    formula where a spreadsheet would read one. So a name is safe in a CSV file, and the same in every format. Outer spaces are
    removed, and inner ones become single. Clean text stays as it is.
    """
    text = printable(_SPACES.sub(" ", text).strip(" "))
    if not text.isascii():
        text = "".join(_escape_unseen(text))
    return _FORMULA.sub(_escape_sign, text)


def _escape_unseen(text: str) -> Iterator[str]:
    n_marks = MAX_MARKS  # a mark at the start would be drawn on the character before the text
    for char in text:
        n_marks = n_marks + 1 if category(char) in ("Mn", "Me") else 0
        yield _escape(char) if n_marks > MAX_MARKS or _UNSEEN.match(char) else char


def _escape(char: str) -> str:
    return char.encode("unicode_escape").decode()


def _escape_sign(match: re.Match[str]) -> str:
    sign = match[0]
    return f"\\x{ord(sign):02x}" if sign.isascii() else _escape(sign)
