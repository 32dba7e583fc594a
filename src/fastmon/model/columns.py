"""The columns that the native accountant gives out, made into snapshots.

What it does not do: copy them; the arrays stay as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastmon.model.conversations import APP_DTYPE, APP_TOTAL_DTYPE, ENDED_REASONS, PORT_TOTAL_DTYPE, ConversationCounts
from fastmon.model.frames import UNDECODED, FrameStatus
from fastmon.model.services import SERVICE_DTYPE
from fastmon.model.snapshot import HOST_DTYPE, Count, Counters, Overflow, Snapshot

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastmon.model.snapshot import Interval

__all__ = ["interval_snapshot", "whole_snapshot"]


def interval_snapshot(interval: Interval, columns: dict[str, Any]) -> Snapshot:
    """Return the snapshot of an interval, of `Accountant.rotate_as`'s columns."""
    totals = columns["totals"]
    return _frozen(Snapshot(interval, **_common(columns), total_bytes_in=totals[0], total_bytes_out=totals[1]))


def whole_snapshot(interval: Interval, columns: dict[str, Any]) -> Snapshot:
    """Return the snapshot of all since the start, of `finish_as`'s or `totals_as`'s columns."""
    common = _common(columns)
    totals = {f"total_{name}": common["hosts"][name] for name in ("bytes_in", "bytes_out")}
    return _frozen(Snapshot(interval, **common, **totals, is_summary=True))


def _common(columns: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that the columns of an interval and of the whole are alike made of."""
    local, flagged = columns["marks"].view(np.bool_)
    fields = {
        "counters": _counters(columns["statuses"].tolist(), columns["beside_ip"] or 0, columns["overflow"]),
        "bytes_of": "frame" if columns["beside_ip"] is None else "ip",
        "hosts": columns["hosts"].view(HOST_DTYPE),
        "local": local,
        "flagged": flagged,
        "macs": columns["macs"],
        "services_overflow": columns["services_overflow"],
    }
    if columns["services"] is not None:
        fields["services"] = columns["services"].view(SERVICE_DTYPE)
        fields["apps"] = _app_rows(columns["apps"])
        fields["app_totals"] = _app_totals(columns["app_totals"])
    if columns.get("conversations") is not None:
        fields["unknown_ports"] = columns["unknown_ports"].view(PORT_TOTAL_DTYPE)
        opened, ended, running, n_skipped = columns["conversations"]
        ended_by_reason = dict(zip(ENDED_REASONS, ended, strict=True))
        fields["conversations"] = ConversationCounts(opened, ended_by_reason, running, n_skipped)
    return fields


def _counters(statuses: list[tuple[int, int]], beside_ip: int, overflow: tuple[int, int, int, int]) -> Counters:
    counts = [Count(*pair) for pair in statuses]
    return Counters(
        frames=sum(counts, Count(0, beside_ip)),
        ip=counts[FrameStatus.IP],
        non_ip=counts[FrameStatus.NON_IP],
        undecoded={status.name.lower(): counts[status] for status in UNDECODED},
        overflow=Overflow(*overflow),
        duplicates=counts[FrameStatus.DUPLICATE],
    )


def _app_rows(rows: NDArray[np.uint8]) -> NDArray[np.void]:
    apps = rows.view(APP_DTYPE)
    return apps[np.argsort(apps["host"].astype(np.uint64) << np.uint64(8) | apps["app"])]


def _app_totals(totals: NDArray[np.uint64]) -> NDArray[np.void]:
    numbers = np.flatnonzero(totals[:, 0])
    rows = np.zeros(len(numbers), APP_TOTAL_DTYPE)
    rows["app"], rows["frames"], rows["bytes"] = numbers, totals[numbers, 0], totals[numbers, 1]
    return rows


def _frozen(snapshot: Snapshot) -> Snapshot:
    """Return a snapshot whose arrays cannot be changed."""
    for array in (
        snapshot.hosts,
        snapshot.total_bytes_in,
        snapshot.total_bytes_out,
        snapshot.local,
        snapshot.flagged,
        snapshot.apps,
        snapshot.app_totals,
        snapshot.unknown_ports,
        snapshot.macs,
        snapshot.services,
    ):
        if array is not None:
            array.flags.writeable = False
    return snapshot
