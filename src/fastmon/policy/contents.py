"""What a configuration sets beside options: groups, rules and actions.

What it does not do: say what each of them is told (`specs` does), which takes time to load.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastmon.policy.specs import ActionSpec, AnySpec

__all__ = ["Policy"]


class Policy(NamedTuple):
    """What a configuration sets of groups, rules and actions. groups: the members of each, as written, by its name."""

    groups: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    rules: tuple[AnySpec, ...] = ()
    actions: tuple[ActionSpec, ...] = ()
