"""What foreign text looks like when it is shown."""

from __future__ import annotations

import csv
import io
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fastmon.model.texts import MAX_MARKS, clean_text, printable

ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=80)
HOSTILE = st.text(st.sampled_from("=+-@＝ ,;|\"'\\x1\x1b\u202e\u200b\ud800a\u0301\u0e47\ufe0f\u3164\t\r\n"), max_size=40)  # noqa: RUF001
FORMULA_SIGNS = "=+-@＝＋－＠"  # noqa: RUF001


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("printer", "printer"),
        ("Anna's iPhone", "Anna's iPhone"),
        ("Küche – TV", "Küche – TV"),  # noqa: RUF001
        ("xn--80ak6aa92e.com", "xn--80ak6aa92e.com"),
        ("Living Room - TV", "Living Room - TV"),
        ("  a   b ", "a b"),
        ("", ""),
        ("\x1b]0;owned\x07", r"\x1b]0;owned\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("two\r\nlines\t", r"two\r\nlines\t"),
        ("gpj\u202eexe", r"gpj\u202eexe"),
        ("\u2066a\u2069", r"\u2066a\u2069"),
        ("pay\u200bpal\ufeff", r"pay\u200bpal\ufeff"),
        ("half\ud800", r"half\ud800"),
        ("\u3164\u2800", r"\u3164\u2800"),
        ("a\ufe0f\U000e0101", r"a\ufe0f\U000e0101"),
        ("\U000e0041", r"\U000e0041"),
        ("\ue000\u2028", r"\ue000\u2028"),
        ("=cmd|' /C calc'!A0", r"\x3dcmd|' /C calc'!A0"),
        ("+1", r"\x2b1"),
        ("-1", r"\x2d1"),
        ("@SUM(A1)", r"\x40SUM(A1)"),
        (" =1", r"\x3d1"),
        ("＝1", r"\uff1d1"),  # noqa: RUF001
        ("a;=1", r"a;\x3d1"),
        ('a,"@b', r'a,"\x40b'),
        ("a| -1", r"a| \x2d1"),
        ("\t=1", r"\t=1"),
        ("a-b@c", "a-b@c"),
        ("\u0301a", r"\u0301a"),
        ("a" + "\u0301" * 5, "a" + "\u0301" * 3 + r"\u0301\u0301"),
        ("e\u0302\u0301", "e\u0302\u0301"),
    ],
)
def test_cleaned(text: str, shown: str) -> None:
    assert clean_text(text) == shown


@given(ANY_TEXT | HOSTILE)
@example("\u0130\u0307")
def test_clean_text_is_seen_and_stays_on_its_line(text: str) -> None:
    cleaned = clean_text(text)
    assert cleaned.isprintable()
    assert not {unicodedata.category(char) for char in cleaned} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert cleaned.encode().decode() == cleaned
    n_marks = MAX_MARKS
    for char in cleaned:
        n_marks = n_marks + 1 if unicodedata.category(char) in ("Mn", "Me") else 0
        assert n_marks <= MAX_MARKS


@given(ANY_TEXT | HOSTILE)
def test_cleaning_twice_changes_nothing(text: str) -> None:
    assert clean_text(clean_text(text)) == clean_text(text)
    assert printable(clean_text(text)) == clean_text(text)


@given(HOSTILE, st.sampled_from(",;|"))
def test_no_cell_is_a_formula_whatever_the_separator(text: str, separator: str) -> None:
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerow(["before", clean_text(text), "after"])
    (row,) = csv.reader(io.StringIO(stream.getvalue()), delimiter=separator)
    assert [cell for cell in row if cell.strip(" ").startswith(tuple(FORMULA_SIGNS))] == []
