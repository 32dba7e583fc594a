"""Merging snapshots: of one run's intervals, of several runs, of several machines.

The result depends only on which snapshots are merged: neither on their order, nor on whether some of them were merged before.
So values that are not sums of the parts are kept for each run: the time it covers, its last number of running conversations
(`RunPart`), and in snapshots of intervals its hosts' totals since the start (`Snapshot.run_totals`).

What it does not do: decide which snapshots may be merged; `Snapshot.merge` checks and documents that.
"""

from __future__ import annotations

from functools import reduce
from operator import add
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastmon.model.conversations import add_counts, merge_app_totals, merge_apps, merge_port_totals, merge_services
from fastmon.model.counters import add_sources
from fastmon.model.rows import RUN_TOTAL_DTYPE, RowGroups, concatenate_entries, merge_addresses
from fastmon.model.runs import covered_time, merge_parts, span

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from fastmon.model.names import NameBook
    from fastmon.model.runs import RunPart
    from fastmon.model.snapshot import Snapshot

__all__ = ["join_rows"]

_NEVER_NS = np.iinfo(np.int64).min


class _Totals(NamedTuple):
    """The hosts' bytes since the start.

    bytes_in, bytes_out: (n,), one for each host.  of_runs: `RUN_TOTAL_DTYPE`, one for each host and known run.
    """

    bytes_in: NDArray[np.uint64]
    bytes_out: NDArray[np.uint64]
    of_runs: NDArray[np.void]


def join_rows(snapshots: Sequence[Snapshot], names: NameBook | None) -> Snapshot:
    """Return one snapshot of `snapshots`, with `names`.

    Rows of the same host, device or prefix become one, also within a single snapshot. Rows are ordered by key; devices come after
    hosts, ordered by MAC.
    """
    first = snapshots[0]
    parts = merge_parts(part for snapshot in snapshots for part in snapshot.runs)
    one_run = parts[0] if len(parts) == 1 else None
    macs = np.concatenate([_macs(snapshot) for snapshot in snapshots])
    hosts = np.concatenate([snapshot.hosts for snapshot in snapshots])
    groups = RowGroups.of(first.grouping.identity(hosts["key"], macs))
    new_rows = np.split(groups.indices(), np.cumsum([len(snapshot) for snapshot in snapshots])[:-1])
    addresses = merge_addresses([snapshot.addresses for snapshot in snapshots], new_rows)
    totals = _merge_totals(snapshots, parts, groups, new_rows)
    latest_macs, macs_seen_ns = _merge_macs(snapshots, groups, macs)
    return type(first)(
        interval=span(part.interval for part in parts),
        counters=reduce(add, (snapshot.counters for snapshot in snapshots)),
        hosts=_merge_hosts(hosts, groups, addresses),
        total_bytes_in=totals.bytes_in,
        total_bytes_out=totals.bytes_out,
        local=groups.reduce(np.concatenate([snapshot.local for snapshot in snapshots]), np.logical_or),
        flagged=groups.reduce(np.concatenate([snapshot.flagged for snapshot in snapshots]), np.logical_or),
        dropped=reduce(add, (snapshot.dropped for snapshot in snapshots)),
        source=", ".join(sorted({part.source for part in parts})),
        is_summary=first.is_summary,
        apps=merge_apps([snapshot.apps for snapshot in snapshots], new_rows),
        app_totals=merge_app_totals([snapshot.app_totals for snapshot in snapshots]),
        unknown_ports=merge_port_totals([snapshot.unknown_ports for snapshot in snapshots]),
        macs=latest_macs,
        conversations=add_counts([snapshot.conversations for snapshot in snapshots], sum(part.running or 0 for part in parts)),
        names=names,
        addresses=addresses,
        grouping=first.grouping,
        packet_log_dropped=sum(snapshot.packet_log_dropped for snapshot in snapshots),
        contacts_dropped=sum(snapshot.contacts_dropped for snapshot in snapshots),
        names_dropped=sum(snapshot.names_dropped for snapshot in snapshots),
        run=one_run.run if one_run else "",
        sequence=one_run.sequence if one_run else 0,
        n_intervals=max(part.n_intervals for part in parts),
        duration_ns=covered_time(parts),
        parts=() if one_run else parts,
        run_totals=totals.of_runs,
        macs_seen_ns=macs_seen_ns,
        services=merge_services([snapshot.services for snapshot in snapshots], new_rows),
        services_overflow=sum(snapshot.services_overflow for snapshot in snapshots),
        sources=add_sources(source for snapshot in snapshots for source in snapshot.sources),
        bytes_of=first.bytes_of,
    )


def _merge_hosts(hosts: NDArray[np.void], groups: RowGroups, addresses: NDArray[np.void]) -> NDArray[np.void]:
    """Return one row of `hosts` for each group; a device has the key of its first address."""
    merged = groups.reduce_hosts(hosts)
    devices, firsts = np.unique(addresses["host"], return_index=True)
    merged["key"][devices] = addresses["key"][firsts]
    return merged


def _macs(snapshot: Snapshot) -> NDArray[np.uint64]:
    return np.zeros(len(snapshot), np.uint64) if snapshot.macs is None else snapshot.macs


def _merge_macs(
    snapshots: Sequence[Snapshot], groups: RowGroups, macs: NDArray[np.uint64]
) -> tuple[NDArray[np.uint64], NDArray[np.int64]] | tuple[None, None]:
    """Return the Ethernet address that was seen last in each group, and when; of several at one time, the greatest.

    A snapshot that is not merged has no times of its own for them: they were seen when their hosts were.
    """
    if all(snapshot.macs is None for snapshot in snapshots):
        return None, None
    times = (snapshot.hosts["last_seen_ns"] if snapshot.macs_seen_ns is None else snapshot.macs_seen_ns for snapshot in snapshots)
    seen_ns = np.where(macs != 0, np.concatenate(list(times)), _NEVER_NS)
    latest_ns = groups.reduce(seen_ns, np.maximum)
    are_latest = seen_ns == latest_ns[groups.indices()]
    return groups.reduce(np.where(are_latest, macs, 0), np.maximum), latest_ns


def _merge_totals(
    snapshots: Sequence[Snapshot], parts: Sequence[RunPart], groups: RowGroups, new_rows: Sequence[NDArray[np.intp]]
) -> _Totals:
    """Return the totals since the start: the greatest of a run, which is its latest, added up over the runs.

    A summary's totals are those of its whole run, and a run has one summary: they add up. So do those of unknown runs, which
    share their run with no other snapshot.
    """
    is_summary = snapshots[0].is_summary
    # the rows of a single snapshot are different hosts of a group
    operation = np.add if is_summary or len(snapshots) == 1 else np.maximum
    if is_summary or len(parts) == 1:
        received = np.concatenate([snapshot.total_bytes_in for snapshot in snapshots])
        sent = np.concatenate([snapshot.total_bytes_out for snapshot in snapshots])
        return _Totals(groups.reduce(received, operation), groups.reduce(sent, operation), np.empty(0, RUN_TOTAL_DTYPE))
    indices = {part.run: index for index, part in enumerate(parts) if part.run}
    splits = [_split_totals(snapshot, indices) for snapshot in snapshots]
    of_runs = concatenate_entries([split.of_runs for split in splits], new_rows)
    same = RowGroups.of([of_runs["host"].astype(np.uint64) * len(parts) + of_runs["run"]])
    merged = of_runs[same.first_rows]
    totals = []
    for name in ("bytes_in", "bytes_out"):
        merged[name] = same.reduce(of_runs[name], operation)
        total = groups.reduce(np.concatenate([getattr(split, name) for split in splits]), np.add)
        np.add.at(total, merged["host"], merged[name])
        totals.append(total)
    bytes_in, bytes_out = totals
    return _Totals(bytes_in, bytes_out, merged)


def _split_totals(snapshot: Snapshot, indices: Mapping[str, int]) -> _Totals:
    """Return an interval's totals taken apart: those of unknown runs, and by run those of known ones, by the runs' `indices`."""
    if snapshot.parts:
        of_runs = snapshot.run_totals.copy()
        of_runs["run"] = np.array([indices.get(part.run, 0) for part in snapshot.parts])[of_runs["run"]]
    elif snapshot.run:
        of_runs = np.empty(len(snapshot), RUN_TOTAL_DTYPE)
        of_runs["host"], of_runs["run"] = np.arange(len(snapshot)), indices[snapshot.run]
        of_runs["bytes_in"], of_runs["bytes_out"] = snapshot.total_bytes_in, snapshot.total_bytes_out
    else:
        of_runs = np.empty(0, RUN_TOTAL_DTYPE)
    others_in, others_out = snapshot.total_bytes_in.copy(), snapshot.total_bytes_out.copy()
    np.subtract.at(others_in, of_runs["host"], of_runs["bytes_in"])
    np.subtract.at(others_out, of_runs["host"], of_runs["bytes_out"])
    return _Totals(others_in, others_out, of_runs)
