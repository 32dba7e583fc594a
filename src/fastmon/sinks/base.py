"""What every sink can be told, and the lines that several of them show.

What it does not do: show anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastmon.model.texts import printable
from fastmon.model.units import format_time

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastmon.model.conversations import EndedConversations
    from fastmon.model.snapshot import Snapshot
    from fastmon.policy.limits import Alert

__all__ = ["Sink", "alert_line", "printable"]


class Sink:
    """Takes the events of a run in their order. A sink overrides what it shows, and ignores the rest."""

    def snapshot(self, snapshot: Snapshot) -> None:
        """Take an interval's snapshot, or the summary."""

    def alerts(self, alerts: Sequence[Alert]) -> None:
        """Take alerts that came up together."""

    def conversations(self, ended: EndedConversations) -> None:
        """Take conversations that have ended."""

    def problem(self, text: str) -> None:
        """Take one line about something that went wrong, or that a person should know."""

    def close(self) -> None:
        """Finish; no event follows."""


def alert_line(alert: Alert) -> str:
    """Return an alert as a line for people."""
    side = "local" if alert.local else "remote"
    return (
        f"ALERT {alert.kind}: {alert.host} ({side}) passed {alert.limit_bytes:,} bytes at {format_time(alert.ts_ns)}, "
        f"total {alert.total_bytes:,} bytes"
    )
