"""The limit of a host's total: an alert with the frame that passes it.

What it does not do: compare totals with limits; accountants do, frame by frame, and say which hosts crossed theirs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastmon.model.addresses import key_to_text
from fastmon.policy.rules import Alert

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastmon.model.snapshot import LimitCrossing
    from fastmon.policy.rules import View

__all__ = ["LimitRule"]


class LimitRule:
    """Raises one alert for each host that crossed its limit."""

    wants_ticks = False

    def evaluate(self, view: View, now_ns: int) -> Iterable[Alert]:  # noqa: ARG002 - a crossing has its frame's time
        """Return an alert for each crossing."""
        return map(_limit_alert, view.crossings)


def _limit_alert(crossing: LimitCrossing) -> Alert:
    host = key_to_text(crossing.key)
    return Alert("limit", host, crossing.ts_ns, crossing.total_bytes, crossing.limit_bytes, crossing.local)
