"""The configuration file as a whole: all mistakes at once, with their lines; odd files; no other exception."""

from __future__ import annotations

import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from config_files import PATH, load, problems
from hypothesis import given
from hypothesis import strategies as st

from fastmon.config.example import EXAMPLE
from fastmon.config.lines import find_lines, line_of
from fastmon.config.problems import LONGEST_PROBLEM, MOST_PROBLEMS
from fastmon.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def test_all_mistakes_are_told_in_the_order_of_their_lines() -> None:
    text = """\
interval = "5x"
colour = "red"
max-hosts = 0

[groups]
cameras = [
    "192.168.1.40",
    "192.168.1.400",
]

[[action]]
name = "phone"

[[rule]]
name = "quota"
kind = "total"
limit = "5GBB"
warn-at = [90, 80]
scope = "group:camera"
actions = ["phone", "mail"]

[[rule]]
kind = "new"
"""
    starts = [
        "1: interval: invalid duration '5x'",
        "2: unknown option 'colour'; known: filter,",
        "3: max-hosts must be between 1 and 2147483647, not 0",
        "8: group 'cameras': invalid scope '192.168.1.400'",
        "11: action 'phone': it needs one of",
        "17: rule 'quota': limit: invalid size '5GBB'",
        "18: rule 'quota': warn-at must be",
        "19: rule 'quota': scope: unknown group 'camera' in scope 'group:camera'; the groups are: cameras",
        "20: rule 'quota': actions: unknown action 'mail'; the actions are: phone",
        "22: rule 2: name is missing",
    ]
    found = problems(text)
    assert len(found) == len(starts)
    assert [problem for problem, start in zip(found, starts, strict=True) if not problem.startswith(start)] == []


def test_more_mistakes_than_anyone_reads_are_counted() -> None:
    found = problems('[[rule]]\nkind = "new"\n' * 4000)
    assert len(found) == MOST_PROBLEMS + 1
    assert found[-1] == f" and {4000 - MOST_PROBLEMS:,} more"


def test_long_value_is_cut() -> None:
    for text in (f'format = "{"x" * 100_000}"', f'[[rule]]\nname = "{"x" * 100_000}"\nkind = "new"\nscope = "{"y" * 100_000}"'):
        assert max(map(len, problems(text))) < LONGEST_PROBLEM + 100


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("interval = 1\ntop = = 2", "2: Invalid value, at column 7"),
        ("a = 1\n\na = 2\n", "3: Cannot overwrite a value, at column 6"),
    ],
)
def test_line_of_what_is_no_toml(text: str, expected: str) -> None:
    assert problems(text) == [expected]


def test_end_of_what_is_no_toml() -> None:
    assert problems("interval = ") == [" Invalid value (at end of document)"]


def test_byte_order_mark_is_accepted() -> None:
    assert load(b"\xef\xbb\xbftop = 5\n").options == {"top": 5}


def test_options_exclude_each_other_within_the_file() -> None:
    assert problems('hosts-only = true\nby = "mac"') == [" --hosts-only cannot be combined with --by mac"]


def test_file_without_rules_has_an_empty_policy() -> None:
    policy = load("top = 5").policy
    assert (policy.groups, policy.rules, policy.actions) == ({}, (), ())


LINES = '''\
a = 1 # a comment with "quotes' and [brackets]
b.c."d e" = """
text = [ "no key" ]
"""
f = [
  "x", # comment, with a comma
  [1,
   2], { g = "}", h = [
     3]},
]

[table.'sub table']
i = \'\'\'
]]] """ \'\'\'
j = 1979-05-27 07:32:00
k = 1.5
[[rule]]
l = "a\\"b"
[[rule.x]]
m = 1
[[rule.x]]
[rule.x.y]
n = {}
[[ rule ]]
o = [[1],
  [2]]
p = 'c:\\'
q.r = 2'''


def test_lines_of_keys_tables_and_items() -> None:
    tomllib.loads(LINES)
    assert find_lines(LINES) == {
        ("a",): 1,
        ("b",): 2,
        ("b", "c"): 2,
        ("b", "c", "d e"): 2,
        ("f",): 5,
        ("f", 0): 6,
        ("f", 1): 7,
        ("f", 1, 0): 7,
        ("f", 1, 1): 8,
        ("f", 2): 8,
        ("f", 2, "g"): 8,
        ("f", 2, "h"): 8,
        ("f", 2, "h", 0): 9,
        ("table", "sub table"): 12,
        ("table", "sub table", "i"): 13,
        ("table", "sub table", "j"): 15,
        ("table", "sub table", "k"): 16,
        ("rule",): 17,
        ("rule", 0): 17,
        ("rule", 0, "l"): 18,
        ("rule", 0, "x"): 19,
        ("rule", 0, "x", 0): 19,
        ("rule", 0, "x", 0, "m"): 20,
        ("rule", 0, "x", 1): 21,
        ("rule", 0, "x", 1, "y"): 22,
        ("rule", 0, "x", 1, "y", "n"): 23,
        ("rule", 1): 24,
        ("rule", 1, "o"): 25,
        ("rule", 1, "o", 0): 25,
        ("rule", 1, "o", 0, 0): 25,
        ("rule", 1, "o", 1): 26,
        ("rule", 1, "o", 1, 0): 26,
        ("rule", 1, "p"): 27,
        ("rule", 1, "q"): 28,
        ("rule", 1, "q", "r"): 28,
    }


def test_line_of_what_is_missing_is_that_of_what_is_around_it() -> None:
    lines = find_lines(LINES)
    assert line_of(("rule", 1, "missing"), lines) == 24
    assert line_of(("missing",), lines) is None


def paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from paths(child, (*path, key))


KEYS = st.text("ab_-1", min_size=1, max_size=3)
VALUES = st.recursive(
    st.integers() | st.booleans() | st.text(max_size=4).filter(str.isprintable),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


def written(value: Any, newlines: Iterator[bool]) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {written(inner, iter(()))}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(("\n" if next(newlines, False) else "") + written(inner, newlines) for inner in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


@given(st.lists(st.dictionaries(KEYS, VALUES, max_size=4), max_size=4), st.lists(st.booleans(), max_size=30))
def test_every_value_has_a_line_and_lines_never_go_back(tables: list[dict[str, Any]], newlines: list[bool]) -> None:
    breaks = iter(newlines)
    text = "".join("[[t]]\n" + "".join(f"{k} = {written(v, breaks)}\n" for k, v in table.items()) for table in tables)
    parsed = tomllib.loads(text)
    lines = find_lines(text)
    assert set(lines) == set(paths(parsed))
    ordered = [lines[path] for path in paths(parsed)]
    assert all(first <= second for first, second in pairwise(ordered))
    headers = [number for number, line in enumerate(text.splitlines(), 1) if line == "[[t]]"]
    assert [lines["t", index] for index in range(len(tables))] == headers


SWITCHED_ON = "\n".join(line[1:] if line[:1] == "#" and line[1:2] not in {"", " "} else line for line in EXAMPLE.split("\n"))
"""The example with everything that it has."""


def refusal(text: str) -> str:
    """Return why a file is refused; its name if it is not."""
    try:
        load(text)
    except ConfigError as error:
        return str(error)
    return PATH


PIECES = ['"', "[", "]", "{}", "5", "-1", "nan", "true", "[[1]]", "= [", "\n", "1979-05-27", "", "\\"]


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """The example with some pieces of it replaced by others, or by values that do not fit."""
    text = SWITCHED_ON
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = start + draw(st.integers(0, 12))
        piece = draw(
            st.sampled_from(['"', "[", "]", "{}", "5", "-1", "nan", "true", "[[1]]", "= [", "\n", "1979-05-27", "", "\\"])
        )
        text = text[:start] + piece + text[end:]
    return text


@given(damaged())
def test_damaged_file_is_loaded_or_refused(text: str) -> None:
    assert refusal(text).startswith(PATH)


@given(st.dictionaries(st.sampled_from(["kind", "name", "scope", "limit", "for", "allow", "actions", "warn-at"]), VALUES))
def test_any_value_of_a_key_is_accepted_or_refused(table: dict[str, Any]) -> None:
    for kind in ("total", "rate", "ports", "peers", "silent", "loss"):
        values = {"kind": kind, **table}
        text = "[[rule]]\n" + "".join(f"{key} = {written(value, iter(()))}\n" for key, value in values.items())
        assert refusal(text).startswith(PATH)
