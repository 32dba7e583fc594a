"""What is worth an alert.

What it does not do: keep time, read, print or send anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastmon.addresses import is_local, key_to_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from fastmon.addresses import Network
    from fastmon.snapshot import LimitCrossing

__all__ = ["Alert", "limit_alerts"]


@dataclass(frozen=True, slots=True)
class Alert:
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


def limit_alerts(crossings: Sequence[LimitCrossing], local_networks: Iterable[Network]) -> list[Alert]:
    """Return the alerts of an accountant's limit crossings, in their order."""
    if not crossings:
        return []
    keys = np.frombuffer(b"".join(crossing.key for crossing in crossings), np.uint8).reshape(-1, 16)
    return [
        Alert("limit", key_to_text(crossing.key), crossing.ts_ns, crossing.total_bytes, crossing.limit_bytes, local)
        for crossing, local in zip(crossings, is_local(keys, local_networks).tolist(), strict=True)
    ]
