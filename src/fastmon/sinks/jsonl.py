"""JSON lines: one object a line, the format that other programs read.

What it does not do: leave hosts out. A record is written a few thousand hosts at a time.
"""

from __future__ import annotations

from collections.abc import Sequence  # noqa: TC003 - msgspec reads it
from dataclasses import asdict
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

import msgspec

from fastmon.alerts.records import alert_record
from fastmon.model.conversations import UNKNOWN_APP
from fastmon.model.units import NS_PER_S, format_time
from fastmon.sinks.base import Sink
from fastmon.sinks.details import app_name, host_details, network_apps
from fastmon.sinks.hosts import host_columns
from fastmon.sinks.ports import host_ports, top_unknown

if TYPE_CHECKING:
    from fastmon.model.alerts import Alert
    from fastmon.model.counters import SourceCounts
    from fastmon.model.snapshot import Snapshot

__all__ = ["JsonlSink"]


N_UNKNOWN_PORTS = 20
"""Ports that are named behind traffic of no known application."""


class _Host(msgspec.Struct, frozen=True, gc=False):
    """A host of a summary; the fields are `hosts.COLUMNS`."""

    host: str
    bytes_in: int
    bytes_out: int
    packets_in: int
    packets_out: int
    first_seen: str
    last_seen: str
    local: bool
    flagged: bool


class _IntervalHost(_Host, frozen=True, gc=False):
    """A host of an interval's snapshot."""

    total_bytes_in: int
    total_bytes_out: int


class _Traffic(msgspec.Struct, frozen=True, gc=False):
    bytes_in: int
    bytes_out: int
    packets_in: int
    packets_out: int


class _Service(_Traffic, frozen=True, gc=False):
    conversations: int
    first_seen: str
    last_seen: str


_DETAILS = ("name", "name_from", "service", "category", "mac", "vendor", "addresses")

_Ports: TypeAlias = dict[str, dict[str, _Service]]


class _DetailedHost(_Host, frozen=True, gc=False, omit_defaults=True):
    """A host of a summary, where conversations are accounted."""

    apps: dict[str, _Traffic]
    name: str = ""
    name_from: str = ""
    service: str = ""
    category: str = ""
    mac: str = ""
    vendor: str = ""
    addresses: Sequence[str] = ()
    ports: _Ports = msgspec.field(default_factory=dict)


class _DetailedIntervalHost(_IntervalHost, frozen=True, gc=False, omit_defaults=True):
    """The same of an interval's snapshot."""

    apps: dict[str, _Traffic]
    name: str = ""
    name_from: str = ""
    service: str = ""
    category: str = ""
    mac: str = ""
    vendor: str = ""
    addresses: Sequence[str] = ()
    ports: _Ports = msgspec.field(default_factory=dict)


class JsonlSink(Sink):
    """Writes snapshots, the summary and alerts to a binary stream, and flushes after each event."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._encoder = msgspec.json.Encoder()

    def snapshot(self, snapshot: Snapshot) -> None:
        """Write a `snapshot` or `summary` record."""
        columns = 9 if snapshot.is_summary else 11
        head = self._encoder.encode(_head(snapshot))
        self._stream.write(head[:-1] + b',"hosts":[')
        separator = b""
        for chunk in snapshot.chunks():
            values = [*host_columns(chunk)[:columns], *_detail_columns(chunk)]
            records = self._encoder.encode(list(map(_RECORD_TYPES[len(values)], *values)))[1:-1]
            self._stream.write(separator + records)
            separator = b","
        self._stream.write(b"]}\n")
        self._stream.flush()

    def alerts(self, alerts: Sequence[Alert]) -> None:
        """Write an `alert` record for each."""
        self._stream.write(self._encoder.encode_lines([alert_record(alert) for alert in alerts]))
        self._stream.flush()

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()


_RECORD_TYPES: dict[int, type[_Host]] = {
    len(record.__struct_fields__): record for record in (_Host, _IntervalHost, _DetailedHost, _DetailedIntervalHost)
}


def _detail_columns(chunk: Snapshot) -> Sequence[Sequence[object]]:
    """Return the columns that a host has where conversations are accounted, else none."""
    if chunk.conversations is None:
        return ()
    details = host_details(chunk)
    return (
        [{app: _Traffic(*traffic) for app, traffic in found.apps.items()} for found in details],
        *([getattr(found, name) for found in details] for name in _DETAILS),
        host_ports(chunk, _Service),
    )


def _apps(snapshot: Snapshot) -> dict[str, dict[str, object]]:
    """Return what each application moved; of the unknown one also the ports behind it."""
    apps: dict[str, dict[str, object]] = {app: asdict(count) for app, count in network_apps(snapshot).items()}
    unknown = apps.get(app_name(UNKNOWN_APP))
    if unknown is not None:
        unknown["ports"] = {port: asdict(count) for port, count in top_unknown(snapshot, N_UNKNOWN_PORTS).items()}
    return apps


def _text(name: str) -> str:
    """Return a file's or an interface's name, which may have bytes that are no text."""
    return name.encode("utf-8", "backslashreplace").decode()


def _source(counts: SourceCounts) -> dict[str, object]:
    return {
        "source": _text(counts.name),
        "frames": counts.frames,
        "dropped": {"kernel": counts.dropped.kernel, "interface": counts.dropped.interface},
        "away_seconds": round(counts.away_ns / NS_PER_S, 6),
    }


def _head(snapshot: Snapshot) -> dict[str, object]:
    """Return a snapshot's record without its hosts."""
    counters = snapshot.counters
    head: dict[str, object] = {
        "type": "summary" if snapshot.is_summary else "snapshot",
        "source": _text(snapshot.source),
        "start": format_time(snapshot.interval.start_ns),
        "end": format_time(snapshot.interval.end_ns),
        "intervals": snapshot.n_intervals,
        "bytes_of": snapshot.bytes_of,
        "duration_seconds": round(snapshot.covered_ns / NS_PER_S, 6),
        "frames": counters.frames.frames,
        "bytes": counters.frames.bytes,
        "ip": asdict(counters.ip),
        "non_ip": asdict(counters.non_ip),
        "undecoded": {reason: asdict(count) for reason, count in counters.undecoded.items()},
        "duplicates": asdict(counters.duplicates),
        "dropped": asdict(snapshot.dropped),
        "packet_log_dropped": snapshot.packet_log_dropped,
        "contacts_dropped": snapshot.contacts_dropped,
        "names_dropped": snapshot.names_dropped,
        "overflow": asdict(counters.overflow),
    }
    if snapshot.sources:
        head["sources"] = [_source(counts) for counts in snapshot.sources]
    if snapshot.conversations is not None:
        counts = snapshot.conversations
        head["apps"] = _apps(snapshot)
        head["conversations"] = {
            "opened": counts.opened,
            "running": counts.running,
            "ended": counts.ended,
            "unclassified_for_budget": counts.n_skipped,
            "services_overflow": snapshot.services_overflow,
        }
    return head
