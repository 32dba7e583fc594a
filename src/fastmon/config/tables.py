"""Reading one table of the configuration file: its keys, their types, their values.

What it does not do: know any table (`rules` does).
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from fastmon.config.problems import show

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fastmon.config.lines import KeyPath
    from fastmon.config.problems import Problems
    from fastmon.config.rules import Table

__all__ = ["Key", "keys_of", "read_table"]


class Key(NamedTuple):
    """One key of a table.

    field: its name in the table's class.  type: what msgspec checks.  default: as written; `msgspec.NODEFAULT` if it must be
    given.
    words: what it takes.  about: what it means.  parse, item, spec, is_secret: as `kinds` has them.
    """

    name: str
    field: str
    type: Any
    default: Any
    words: str
    about: str
    parse: Callable[[Any], Any] | None
    item: Callable[[Any], Any] | None
    spec: str
    is_secret: bool


@cache
def keys_of(table: type[Table]) -> dict[str, Key]:
    """Return the keys of a table, by their names as written."""
    return {field.encode_name: _key(field) for field in msgspec.structs.fields(table)}


def _key(field: msgspec.structs.FieldInfo) -> Key:
    *metas, about = field.type.__metadata__
    meta = metas[-1]
    return Key(field.encode_name, field.name, field.type, field.default, meta.description, about, **meta.extra)


def read_table(kind: type[Table], table: Mapping[str, Any], place: KeyPath, title: str, problems: Problems) -> Any:
    """Return the specification of a table, of which `place` is the path; None if something is wrong.

    title: of the table, for messages.
    """
    n_problems = len(problems)
    reader = _Reader(place, title, problems)
    keys = keys_of(kind)
    tag_field = kind.__struct_config__.tag_field
    for name in table:
        if name not in keys and name != tag_field:
            reader.complain(name, f"is no key of it; it has {', '.join(keys)}")
    values = {}
    for name, key in keys.items():
        if name in table or key.default is not msgspec.NODEFAULT:
            n_before = len(problems)
            value = reader.read(key, table)
            if len(problems) == n_before:
                values[key.field] = value
        else:
            reader.complain("", f"{name} is missing; it must be {key.words}")
    kind.finish(values, reader.complain)
    if len(problems) > n_problems:
        return None
    named = {key.spec.format(key.field.rstrip("_")): values.pop(key.field) for key in keys.values()}
    if tag_field is not None:
        named[tag_field] = kind.__struct_config__.tag
    return kind.spec(**named, **values)


class _Reader:
    """Reads the keys of one table."""

    def __init__(self, place: KeyPath, title: str, problems: Problems) -> None:
        self._place = place
        self._title = title
        self._problems = problems

    def complain(self, name: str, message: str) -> None:
        """Add a problem of a key; of the table, if the name is ""."""
        place = (*self._place, name) if name else self._place
        self._problems.add(place, f"{self._title}: {name} {message}" if name else f"{self._title}: {message}")

    def read(self, key: Key, table: Mapping[str, Any]) -> Any:
        """Return the parsed value of a key, or of its default. What is wrong goes to the problems."""
        value = key.default
        if key.name in table:
            try:
                value = msgspec.convert(table[key.name], key.type)
            except msgspec.ValidationError:
                found = "" if key.is_secret else f", not {show(table[key.name])}"
                self.complain(key.name, f"must be {key.words}{found}")
                return None
        if value is None:
            return None
        if key.item is not None:
            items = (value,) if isinstance(value, str) else value
            return tuple(self._parse(key, key.item, item, index) for index, item in enumerate(items))
        return value if key.parse is None else self._parse(key, key.parse, value)

    def _parse(self, key: Key, parse: Callable[[Any], Any], value: Any, *index: int) -> Any:
        with self._problems.catch((*self._place, key.name, *index), f"{self._title}: {key.name}: "):
            return parse(value)
        return None
