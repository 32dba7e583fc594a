"""What a run counts beside its accountants: where frames, records and names were lost.

What it does not do: count.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastmon.model.counters import Dropped, SourceCounts
    from fastmon.model.snapshot import Snapshot

__all__ = ["SideCounts"]


@dataclass(frozen=True, slots=True)
class SideCounts:
    """The counts since the start, or their difference; the fields are `Snapshot`'s."""

    dropped: Dropped
    sources: tuple[SourceCounts, ...]
    packet_log_dropped: int
    contacts_dropped: int
    names_dropped: int

    def __sub__(self, before: SideCounts | None) -> SideCounts:
        if before is None:
            return self
        return SideCounts(
            self.dropped - before.dropped,
            tuple(now - then for now, then in zip(self.sources, before.sources, strict=True)),
            self.packet_log_dropped - before.packet_log_dropped,
            self.contacts_dropped - before.contacts_dropped,
            self.names_dropped - before.names_dropped,
        )

    def added_to(self, snapshot: Snapshot) -> Snapshot:
        """Return a snapshot with these counts."""
        return replace(
            snapshot,
            dropped=self.dropped,
            sources=self.sources,
            packet_log_dropped=self.packet_log_dropped,
            contacts_dropped=self.contacts_dropped,
            names_dropped=self.names_dropped,
        )
