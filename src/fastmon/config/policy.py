"""From the tables of the configuration file to groups, rules and actions, checked against each other.

What it does not do: know the keys of a table (`rules` does).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastmon.config.problems import show
from fastmon.config.rules import RULES, ActionTable
from fastmon.config.tables import read_table
from fastmon.config.values import parse_rule_name
from fastmon.errors import ConfigError
from fastmon.policy.contents import Policy
from fastmon.policy.scopes import parse_scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fastmon.config.lines import KeyPath
    from fastmon.config.problems import Problems
    from fastmon.policy.specs import ActionSpec

__all__ = ["read_policy"]

KINDS_OF_HOSTS = ("spread", "failed", "new", "silent", "duplicate")
"""Kinds of rules that cannot be about the network as a whole."""

RESERVED = "limit"
"""The name of the rule that `--limit` makes."""

MEMBERS = "addresses, CIDRs, MACs, vendor:GLOB or name:GLOB"


def read_policy(tables: Mapping[str, Any], problems: Problems, check_action: Callable[[ActionSpec], object] | None) -> Policy:
    """Return what `tables` ("groups", "rule", "action") set. What is wrong goes to `problems`; then some of it is missing.

    check_action: see `load_config`.
    """
    groups = dict(_groups(tables.get("groups", {}), problems))
    names = _names("action", tables, problems)
    actions = [_action(*found, check_action, problems) for found in _tables("action", tables, problems)]
    _names("rule", tables, problems)
    known = dict.fromkeys(groups, ())  # their members have been checked; a rule only has to name one that there is
    rules = [_rule(*found, known, names, problems) for found in _tables("rule", tables, problems)]
    return Policy(groups, tuple(filter(None, rules)), tuple(filter(None, actions)))


def _groups(table: Any, problems: Problems) -> Iterator[tuple[str, tuple[str, ...]]]:
    if not isinstance(table, dict):
        problems.add(("groups",), f"groups must be a table of lists, [groups], not {show(table)}")
        return
    for name, members in table.items():
        place = ("groups", name)
        with problems.catch(place, "groups: "):
            parse_rule_name(name)
        if not isinstance(members, list) or not members or not all(isinstance(member, str) for member in members):
            problems.add(place, f"group {show(name)} must be a list of {MEMBERS}, not {show(members)}")
            yield name, ()
            continue
        for index, member in enumerate(members):
            with problems.catch((*place, index)):
                parse_scope(f"group:{name}", {name: (member,)})
        yield name, tuple(members)


def _tables(kind: str, tables: Mapping[str, Any], problems: Problems) -> Iterator[tuple[KeyPath, str, dict[str, Any]]]:
    """Yield the path, the title and the table of each `[[kind]]`."""
    found = tables.get(kind, [])
    if not isinstance(found, list) or not all(isinstance(table, dict) for table in found):
        problems.add((kind,), f"{kind} must be tables, each begun by [[{kind}]], not {show(found)}")
        return
    for index, table in enumerate(found):
        name = table.get("name")
        yield (kind, index), f"{kind} {show(name)}" if isinstance(name, str) else f"{kind} {index + 1}", table


def _names(kind: str, tables: Mapping[str, Any], problems: Problems) -> set[str]:
    """Return the names of all tables of a kind. Two of one name are a problem."""
    places: dict[str, KeyPath] = {}
    found = tables.get(kind, [])
    for index, table in enumerate(found if isinstance(found, list) else ()):
        name = table.get("name") if isinstance(table, dict) else None
        if isinstance(name, str) and name in places:
            first = problems.line(places[name])
            problems.add((kind, index, "name"), f"{kind} {show(name)}: name is given twice, first in line {first}")
        elif isinstance(name, str):
            places[name] = (kind, index, "name")
    return set(places)


def _action(
    place: KeyPath,
    title: str,
    table: dict[str, Any],
    check: Callable[[ActionSpec], object] | None,
    problems: Problems,
) -> ActionSpec | None:
    action: ActionSpec | None = read_table(ActionTable, table, place, title, problems)
    if action is not None and check is not None:
        with problems.catch((*place, action.way)):
            check(action)
    return action


def _rule(
    place: KeyPath,
    title: str,
    table: dict[str, Any],
    groups: Mapping[str, tuple[str, ...]],
    actions: set[str],
    problems: Problems,
) -> Any:
    kind = table.get("kind")
    if not isinstance(kind, str) or kind not in RULES:
        known = f"must be one of {', '.join(RULES)}"
        found = f"kind {known}, not {show(kind)}" if "kind" in table else f"kind is missing; it {known}"
        problems.add((*place, "kind"), f"{title}: {found}")
        return None
    rule = read_table(RULES[kind], table, place, title, problems)
    scope = table.get("scope")
    if isinstance(scope, str):
        with problems.catch((*place, "scope"), f"{title}: scope: "):
            if parse_scope(scope, groups).is_network and kind in KINDS_OF_HOSTS:
                raise ConfigError(f"a rule of kind {kind!r} is about hosts, not the network: use local, or any other scope")
    if table.get("name") == RESERVED:
        problems.add((*place, "name"), f"{title}: name must be another one: this is the rule of the option --limit")
    named = table.get("actions")
    for index, name in enumerate(named if isinstance(named, list) else ()):
        if isinstance(name, str) and name not in actions:
            known = ", ".join(sorted(actions)) or "none"
            problems.add((*place, "actions", index), f"{title}: actions: unknown action {show(name)}; the actions are: {known}")
    return rule
