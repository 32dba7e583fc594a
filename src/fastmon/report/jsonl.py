"""JSON lines: one object a line, the format that other programs read.

What it does not do: leave hosts out. A record is written a few thousand hosts at a time.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from fastmon.report.details import host_details, network_apps
from fastmon.report.hosts import host_columns
from fastmon.report.sink import Sink
from fastmon.units import format_time

if TYPE_CHECKING:
    from fastmon.policy import Alert
    from fastmon.snapshot import Snapshot

__all__ = ["JsonlSink"]


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


class _Apps(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """What is known of a host beside its counters, where conversations are accounted; the fields join those of the host."""

    apps: dict[str, dict[str, int]]
    name: str = ""
    name_from: str = ""
    mac: str = ""
    vendor: str = ""
    addresses: list[str] = []


class JsonlSink(Sink):
    """Writes snapshots, the summary and alerts to a binary stream, and flushes after each."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._encode = msgspec.json.Encoder().encode

    def snapshot(self, snapshot: Snapshot) -> None:
        """Write a `snapshot` or `summary` record."""
        record_type, columns = (_Host, 9) if snapshot.is_summary else (_IntervalHost, 11)
        head = self._encode(_head(snapshot))
        self._stream.write(head[:-1] + b',"hosts":[')
        separator = b""
        for chunk in snapshot.chunks():
            hosts = list(map(record_type, *host_columns(chunk)[:columns]))
            self._stream.write(
                separator + (self._encode(hosts)[1:-1] if snapshot.conversations is None else self._detailed(hosts, chunk))
            )
            separator = b","
        self._stream.write(b"]}\n")
        self._stream.flush()

    def _detailed(self, hosts: list[_Host], chunk: Snapshot) -> bytes:
        """Return the records of hosts with their details, separated by commas."""
        encode = self._encode
        return b",".join(
            encode(host)[:-1]
            + b","
            + encode(
                _Apps(
                    {app: traffic._asdict() for app, traffic in found.apps.items()},
                    found.name,
                    found.name_from,
                    found.mac,
                    found.vendor,
                    list(found.addresses),
                )
            )[1:]
            for host, found in zip(hosts, host_details(chunk), strict=True)
        )

    def alert(self, alert: Alert) -> None:
        """Write an `alert` record."""
        record = {
            "type": "alert",
            "kind": alert.kind,
            "host": alert.host,
            "time": format_time(alert.ts_ns),
            "total_bytes": alert.total_bytes,
            "limit_bytes": alert.limit_bytes,
            "local": alert.local,
        }
        self._stream.write(self._encode(record) + b"\n")
        self._stream.flush()


def _head(snapshot: Snapshot) -> dict[str, object]:
    """Return a snapshot's record without its hosts."""
    counters = snapshot.counters
    head: dict[str, object] = {
        "type": "summary" if snapshot.is_summary else "snapshot",
        "source": snapshot.source.encode("utf-8", "backslashreplace").decode(),
        "start": format_time(snapshot.interval.start_ns),
        "end": format_time(snapshot.interval.end_ns),
        "frames": counters.frames.frames,
        "bytes": counters.frames.bytes,
        "ip": asdict(counters.ip),
        "non_ip": asdict(counters.non_ip),
        "undecoded": {reason: asdict(count) for reason, count in counters.undecoded.items()},
        "dropped": asdict(snapshot.dropped),
        "overflow": asdict(counters.overflow),
    }
    if snapshot.conversations is not None:
        counts = snapshot.conversations
        head["apps"] = {app: asdict(count) for app, count in network_apps(snapshot).items()}
        head["conversations"] = {
            "opened": counts.opened,
            "running": counts.running,
            "ended": counts.ended,
            "unclassified_for_budget": counts.passed_by,
        }
    return head
