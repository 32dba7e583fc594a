"""JSON lines: one object a line, the format that other programs read.

What it does not do: leave hosts out. A record is written a few thousand hosts at a time.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, BinaryIO

import msgspec

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
            records = self._encode(list(map(record_type, *host_columns(chunk)[:columns])))
            self._stream.write(separator + records[1:-1])
            separator = b","
        self._stream.write(b"]}\n")
        self._stream.flush()

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
    return {
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
        "packet_log_dropped": snapshot.packet_log_dropped,
        "overflow": asdict(counters.overflow),
    }
