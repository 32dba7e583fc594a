"""The limit of the command line, a total since the start: an alert with the frame that passes it.

What it does not do: compare totals with limits; accountants do, frame by frame, and say which hosts crossed theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastmon.model.addresses import key_to_text
from fastmon.policy.subjects import Subject
from fastmon.policy.words import fire_alert, format_subject

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from typing_extensions import Self

    from fastmon.model.alerts import Alert
    from fastmon.model.names import NameBook
    from fastmon.model.snapshot import LimitCrossing
    from fastmon.policy.rules import View

__all__ = ["LimitAlone", "LimitRule"]


class LimitAlone:
    """Gives a run the limit of the command line as its only rule: nothing is kept, and nobody told but the sinks."""

    wants_contacts = False

    def __init__(self, scope: str) -> None:
        self._scope = scope

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def load(self, names: NameBook | None) -> Sequence[LimitRule]:
        """Return the rule."""
        return [LimitRule(self._scope, names)]

    def close(self) -> None:
        """Do nothing."""


class LimitRule:
    """Raises one alert for each host of its scope that crossed its limit.

    scope: "local" or "all".  names: the book of hosts' names.
    """

    wants_ticks = False

    def __init__(self, scope: str = "local", names: NameBook | None = None) -> None:
        self._scope = scope
        self._names = names

    def evaluate(self, view: View, now_ns: int) -> Iterable[Alert]:  # noqa: ARG002 - a crossing has its frame's time
        """Return an alert for each crossing."""
        return [self._alert(crossing) for crossing in view.crossings if self._is_meant(crossing)]

    def _is_meant(self, crossing: LimitCrossing) -> bool:
        """Return whether this is the first crossing of a host as one of the scope."""
        return not crossing.is_late if self._scope == "all" else crossing.local

    def _alert(self, crossing: LimitCrossing) -> Alert:
        from fastmon.policy.specs import TotalSpec  # takes time to load

        found = None if self._names is None else self._names.name_of(crossing.key, crossing.local)
        subject = Subject(key_to_text(crossing.key), "" if found is None else found[0], "", crossing.local)
        limit_bytes = crossing.limit_bytes
        return fire_alert(
            TotalSpec(kind="total", name="limit", scope=self._scope, limit_bytes=limit_bytes),
            subject,
            ts_ns=crossing.ts_ns,
            reason=f"{format_subject(subject)} moved {crossing.total_bytes:,} bytes since the start (limit {limit_bytes:,})",
            value=crossing.total_bytes,
            limit=limit_bytes,
            unit="bytes",
        )
