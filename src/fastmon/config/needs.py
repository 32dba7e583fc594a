"""Refuses rules that need what the options of a run switch off: they would be silent for ever, or tell what is not so.

What it does not do: know what a rule is for; it looks at what rules name, and at what they count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastmon.classify.applications import BY_NAME
from fastmon.errors import ConfigError
from fastmon.policy.lists import is_name
from fastmon.policy.scopes import parse_scope
from fastmon.policy.specs import AppsSpec, PeersSpec, RateSpec, SilentSpec, TotalSpec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastmon.config.options import RunOptions
    from fastmon.policy.contents import Policy
    from fastmon.policy.scopes import Scope
    from fastmon.policy.specs import AnySpec

__all__ = ["check_needs"]

CONVERSATIONS, MACS, NAMES, PAYLOADS = "conversations", "MAC addresses", "names of hosts", "payloads"

_OF_CONVERSATIONS = ("ports", "apps", "peers", "spread", "failed")

MOST_NAMED = 3
"""Rules that are named; more are counted."""


def check_needs(run: RunOptions, policy: Policy) -> None:
    """Raise ConfigError for rules that cannot work with these options."""
    if run.hosts_only:
        option, lacks = "--hosts-only", {CONVERSATIONS, MACS, NAMES, PAYLOADS}
    elif not run.classify_budget:
        option, lacks = "--classify-budget 0", {NAMES, PAYLOADS}
    else:
        return
    needs = ((rule, next((need for need in _needs(rule, policy) if need in lacks), "")) for rule in policy.rules)
    found = [f"rule {rule.name!r} ({rule.kind}: it needs {need})" for rule, need in needs if need]
    if found:
        n_more = len(found) - MOST_NAMED
        more = f" and {n_more} more" if n_more > 0 else ""
        raise ConfigError(f"{option} cannot be combined with {', '.join(found[:MOST_NAMED])}{more}")


def _needs(rule: AnySpec, policy: Policy) -> Iterable[str]:
    """Yield what a rule cannot do without."""
    if rule.kind in _OF_CONVERSATIONS or _counts_conversations(rule):
        yield CONVERSATIONS
    if rule.kind == "duplicate" or (isinstance(rule, TotalSpec) and rule.by == "mac"):
        yield MACS
    yield from _needs_of_scope(rule, parse_scope(rule.scope, policy.groups))
    if isinstance(rule, PeersSpec) and (any(map(is_name, rule.allow or ())) or (rule.deny and all(map(is_name, rule.deny)))):
        yield NAMES
    apps = rule.apps if isinstance(rule, TotalSpec) else rule.deny if isinstance(rule, AppsSpec) else ()
    if apps and all(BY_NAME[app].needs_payload for app in apps):
        yield PAYLOADS


def _counts_conversations(rule: AnySpec) -> bool:
    if isinstance(rule, TotalSpec):
        return bool(rule.apps or rule.ports)
    return isinstance(rule, RateSpec) and rule.unit == "conversations/s"


def _needs_of_scope(rule: AnySpec, scope: Scope) -> Iterable[str]:
    """Yield what it takes to find any host of a scope; every one that it names, where those are missed that do not come."""
    if scope.macs and isinstance(rule, SilentSpec):
        yield MACS
    if scope.is_network or scope.base or scope.networks:
        return
    if scope.macs or scope.vendors:
        yield MACS
    elif scope.names:
        yield NAMES
