"""A snapshot as an Arrow table. pyarrow is imported when the first one is made.

What it does not do: write files.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fastmon.errors import ConfigError
from fastmon.model.vendors import format_mac

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from fastmon.model.snapshot import Snapshot

__all__ = ["make_table"]

_COUNTERS = ("bytes_in", "bytes_out", "packets_in", "packets_out")


def make_table(snapshot: Snapshot, app_name: Callable[[int], str]) -> pa.Table:
    """Return a snapshot as an Arrow table; see `Snapshot.to_arrow`."""
    try:
        import pyarrow as pa
    except ImportError:
        raise ConfigError("an Arrow table needs pyarrow: pip install 'fastmon[parquet]'") from None
    schema = _schema(pa, json.dumps(_head(snapshot, app_name)))
    chunks = [pa.record_batch(_columns(chunk), schema) for chunk in snapshot.chunks()]
    return pa.Table.from_batches(chunks, schema).combine_chunks()


def _schema(pa: Any, head: str) -> pa.Schema:
    moment, size = pa.timestamp("ns", "UTC"), pa.uint64()
    texts = {"host": False, "name": True, "mac": True}
    fields = [
        *(pa.field(name, moment, nullable=False) for name in ("start", "end")),
        *(pa.field(name, pa.string(), nullable=is_optional) for name, is_optional in texts.items()),
        *(pa.field(name, pa.bool_(), nullable=False) for name in ("local", "flagged")),
        *(pa.field(name, size, nullable=False) for name in _COUNTERS),
        *(pa.field(name, moment, nullable=False) for name in ("first_seen", "last_seen")),
        *(pa.field(name, size, nullable=False) for name in ("total_bytes_in", "total_bytes_out")),
    ]
    return pa.schema(fields, {"fastmon": head})


def _columns(chunk: Snapshot) -> list[object]:
    """Return the columns of the schema."""
    n_hosts, hosts = len(chunk), chunk.hosts
    names = [None] * n_hosts if chunk.names is None else chunk.names.names_of(hosts["key"], chunk.local)
    macs = [0] * n_hosts if chunk.macs is None else chunk.macs.tolist()
    return [
        [chunk.interval.start_ns] * n_hosts,
        [chunk.interval.end_ns] * n_hosts,
        chunk.host_texts(),
        [name and name[0] for name in names],
        [format_mac(mac) if mac else None for mac in macs],
        chunk.local,
        chunk.flagged,
        *(hosts[name].copy() for name in _COUNTERS),  # Arrow takes no strided ones
        hosts["first_seen_ns"].copy(),
        hosts["last_seen_ns"].copy(),
        chunk.total_bytes_in.copy(),
        chunk.total_bytes_out.copy(),
    ]


def _head(snapshot: Snapshot, app_name: Callable[[int], str]) -> dict[str, object]:
    """Return all that a snapshot says of no single host."""
    counters = snapshot.counters
    head: dict[str, object] = {
        "type": "summary" if snapshot.is_summary else "snapshot",
        "source": snapshot.source,
        "start_ns": snapshot.interval.start_ns,
        "end_ns": snapshot.interval.end_ns,
        "duration_ns": snapshot.covered_ns,
        "n_intervals": snapshot.n_intervals,
        "bytes_of": snapshot.bytes_of,
        "runs": [asdict(part) for part in snapshot.runs],
        "grouping": asdict(snapshot.grouping),
        "frames": counters.frames.frames,
        "bytes": counters.frames.bytes,
        "ip": asdict(counters.ip),
        "non_ip": asdict(counters.non_ip),
        "undecoded": {reason: asdict(count) for reason, count in counters.undecoded.items()},
        "duplicates": asdict(counters.duplicates),
        "dropped": asdict(snapshot.dropped),
        "sources": [asdict(source) for source in snapshot.sources],
        "packet_log_dropped": snapshot.packet_log_dropped,
        "contacts_dropped": snapshot.contacts_dropped,
        "names_dropped": snapshot.names_dropped,
        "overflow": asdict(counters.overflow),
    }
    if snapshot.conversations is not None:
        counts = snapshot.conversations
        head["apps"] = {app_name(app): asdict(count) for app, count in snapshot.network_apps().items()}
        head["conversations"] = {
            "opened": counts.opened,
            "running": counts.running,
            "ended": counts.ended,
            "unclassified_for_budget": counts.n_skipped,
            "services_overflow": snapshot.services_overflow,
        }
    return head
