"""What is worth an alert.

What it does not do: keep time, read, print or send anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from fastmon.model.addresses import key_to_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastmon.model.snapshot import LimitCrossing

__all__ = ["Alert", "Alerts", "limit_alert"]


class Alert(NamedTuple):
    """A host did what it should not.

    kind: "limit": its total passed the limit.  ts_ns: when, nanoseconds since the epoch.
    total_bytes: its bytes since the start, in and out.  local: it is in a local network.
    """

    kind: str
    host: str
    ts_ns: int
    total_bytes: int
    limit_bytes: int
    local: bool


@dataclass(frozen=True, slots=True)
class Alerts:
    """Alerts that came up together, in order: they are shown at once, for there may be thousands."""

    alerts: Sequence[Alert]


def limit_alert(crossing: LimitCrossing) -> Alert:
    """Return the alert of an accountant's limit crossing."""
    host = key_to_text(crossing.key)
    return Alert("limit", host, crossing.ts_ns, crossing.total_bytes, crossing.limit_bytes, crossing.local)
