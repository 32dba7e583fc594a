"""Writes the tables of keys into docs/rules.md: python -m fastmon.config.document docs/rules.md.

What it does not do: know keys; `rules` does. The page itself is written by hand.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from fastmon.config.rules import RULES, ActionTable, RuleTable
from fastmon.config.tables import keys_of

if TYPE_CHECKING:
    from fastmon.config.rules import Table
    from fastmon.config.tables import Key

__all__ = ["fill_in"]

_PLACE = re.compile(r"(?<=^<!-- keys: )([\w-]+) -->\n.*?(?=^<!-- end -->$)", re.MULTILINE | re.DOTALL)


def fill_in(page: str) -> str:
    """Return the page with the table of keys of each `<!-- keys: NAME -->` up to `<!-- end -->` made anew.

    NAME: a kind of rule, "rule" for what all kinds have, or "action".
    """
    return _PLACE.sub(lambda match: f"{match[1]} -->\n{_table(match[1])}", page)


def _table(name: str) -> str:
    tables: dict[str, type[Table]] = {**RULES, "rule": RuleTable, "action": ActionTable}
    common = {} if name in ("rule", "action") else keys_of(RuleTable)
    keys = [key for key in keys_of(tables[name]).values() if key.name not in common or key.default != common[key.name].default]
    rows = "".join(f"| `{key.name}` | {key.about} | {_words(key)} | {_default(key)} |\n" for key in keys)
    return f"| key | meaning | value | default |\n|---|---|---|---|\n{rows}"


def _words(key: Key) -> str:
    return re.sub(r'("[^"]*")', r"`\1`", key.words)


def _default(key: Key) -> str:
    if key.default is msgspec.NODEFAULT:
        return "must be given"
    if key.default is None:
        return ""
    default = list(key.default) if isinstance(key.default, tuple) else key.default
    return f"`{msgspec.json.encode(default).decode().replace(',', ', ')}`"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(fill_in(path.read_text()))
