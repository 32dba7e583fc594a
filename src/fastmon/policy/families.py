"""Which rule governs which host, where rules of a kind compete.

The most specific scope wins; of equally specific ones, the rule that was written first. Rules on the network as a whole compete
with none.

What it does not do: evaluate rules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

import numpy as np
from msgspec.structs import replace

from fastmon.policy.scopes import NO_SCOPE, ScopeTable, parse_scope
from fastmon.policy.specs import RuleSpec
from fastmon.policy.subjects import CHUNK_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from numpy.typing import NDArray

    from fastmon.policy.hosts import Roster

__all__ = ["Governing", "SpecT", "group_specs", "make_table", "match_specs", "split_specs"]

SpecT = TypeVar("SpecT", bound=RuleSpec)

_ROWS_AT_ONCE = 4 * CHUNK_ROWS


class Governing(Generic[SpecT]):
    """The rule of each host, as its index in `specs`; `NO_SCOPE` where none governs it.

    table: of the rules' scopes.

    It is worked out for new hosts, and again for those of which something has changed.
    """

    def __init__(self, specs: Sequence[SpecT], table: ScopeTable, hosts: Roster) -> None:
        self.specs = specs
        self._table = table
        self._column = hosts.add_column("i2" if len(specs) < 1 << 15 else "i4", NO_SCOPE)
        self._has_begun = False

    @property
    def rules(self) -> NDArray[np.signedinteger]:
        """The index of each host's rule."""
        return self._column.values

    def update(self, hosts: Roster) -> tuple[NDArray[np.intp], NDArray[np.signedinteger]]:
        """Look at new and changed hosts; return the rows of hosts whose rule has changed, and which rules they had.

        At the first call all hosts are new.
        """
        new = hosts.new if self._has_begun else np.arange(len(hosts))
        for start in range(0, len(new), _ROWS_AT_ONCE):
            rows = new[start : start + _ROWS_AT_ONCE]
            self.rules[rows] = self._table.assign(hosts, rows)
        if not self._has_begun:
            self._has_begun = True
            return np.empty(0, np.intp), self.rules[:0]
        changed = hosts.changed
        if not len(changed):
            return changed, self.rules[changed]
        before = self.rules[changed]
        self.rules[changed] = self._table.assign(hosts, changed)
        is_other = self.rules[changed] != before
        return changed[is_other], before[is_other]

    def drop(self, hosts: Roster) -> None:
        """Give the column back."""
        hosts.drop(self._column)


def make_table(specs: Sequence[SpecT], groups: Mapping[str, Sequence[str]]) -> ScopeTable:
    """Return the table of rules' scopes, which takes a while to make: not to be done at a tick."""
    return ScopeTable([parse_scope(spec.scope, groups) for spec in specs])


def group_specs(specs: Sequence[SpecT], key: Callable[[SpecT], Hashable]) -> dict[Hashable, list[SpecT]]:
    """Return the specs of each family, in the order of the first of each."""
    families: dict[Hashable, list[SpecT]] = {}
    for spec in specs:
        families.setdefault(key(spec), []).append(spec)
    return families


def split_specs(specs: Sequence[SpecT], groups: Mapping[str, Sequence[str]]) -> tuple[list[SpecT], list[SpecT]]:
    """Return the specs on hosts, and those on the network as a whole."""
    parts: tuple[list[SpecT], list[SpecT]] = ([], [])
    for spec in specs:
        parts[parse_scope(spec.scope, groups).is_network].append(spec)
    return parts


def match_specs(old: Sequence[SpecT], new: Sequence[SpecT]) -> NDArray[np.int64]:
    """Return the index in `new` of each rule of `old` that means the same in both; `NO_SCOPE` for the others.

    Who is told, and how severe it is, does not change what a rule means.
    """
    indices = {_meaning(spec): index for index, spec in enumerate(new)}
    return np.array([indices.get(_meaning(spec), NO_SCOPE) for spec in old], np.int64)


def _meaning(spec: RuleSpec) -> RuleSpec:
    return replace(spec, severity="", actions=())
