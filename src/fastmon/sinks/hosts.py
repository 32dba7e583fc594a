"""A snapshot's hosts as columns of plain values, for the formats that write every host.

What it does not do: choose or order hosts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fastmon.model.snapshot import Snapshot

__all__ = ["COLUMNS", "host_columns", "time_texts"]

COLUMNS = (
    "host",
    "bytes_in",
    "bytes_out",
    "packets_in",
    "packets_out",
    "first_seen",
    "last_seen",
    "local",
    "flagged",
    "total_bytes_in",
    "total_bytes_out",
)


def host_columns(chunk: Snapshot) -> Sequence[list[object]]:
    """Return the columns named in `COLUMNS` of a snapshot's hosts; times as ISO-8601 in UTC with microseconds."""
    hosts = chunk.hosts
    return (
        chunk.host_texts(),
        *(hosts[name].tolist() for name in ("bytes_in", "bytes_out", "packets_in", "packets_out")),
        *(time_texts(hosts[name]) for name in ("first_seen_ns", "last_seen_ns")),
        *(column.tolist() for column in (chunk.local, chunk.flagged, chunk.total_bytes_in, chunk.total_bytes_out)),
    )


def time_texts(ts_ns: NDArray[np.int64]) -> list[str]:
    """Return times as ISO-8601 in UTC with microseconds."""
    texts: list[str] = np.datetime_as_string((ts_ns // 1000).astype("M8[us]"), timezone="UTC").tolist()
    return texts
