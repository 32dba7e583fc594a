"""CSV: one header, then one row for each host of each snapshot; docs/output.md describes the columns.

What it does not do: carry what belongs to no host (frames that are not IP, loss): that is in the other formats and the log.
"""

from __future__ import annotations

import csv
from itertools import repeat
from typing import TYPE_CHECKING, TextIO

from fastmon.model.texts import clean_text
from fastmon.model.units import format_time
from fastmon.sinks.base import Sink
from fastmon.sinks.details import host_details
from fastmon.sinks.hosts import COLUMNS, host_columns
from fastmon.sinks.output import is_empty

if TYPE_CHECKING:
    from fastmon.model.snapshot import Snapshot
    from fastmon.sinks.details import HostDetails

__all__ = ["CsvSink"]


DETAILS = ("name", "mac", "vendor", "app", "apps", "addresses", "service", "category")
"""Columns that are empty where only hosts are accounted. app: the one with most bytes.

apps: "name:bytes_in:bytes_out:packets_in:packets_out" of each, with ";" between.
"""


class CsvSink(Sink):
    """Writes rows to `stream`, opened with newline=""."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._writer = csv.writer(stream, lineterminator="\n")
        if is_empty(stream):
            self._writer.writerow(("type", "source", "start", "end", *COLUMNS, *DETAILS, "bytes_of"))

    def snapshot(self, snapshot: Snapshot) -> None:
        """Write a row for each host."""
        head = (
            "summary" if snapshot.is_summary else "snapshot",
            clean_text(snapshot.source),
            format_time(snapshot.interval.start_ns),
            format_time(snapshot.interval.end_ns),
        )
        for chunk in snapshot.chunks():
            *texts, local, flagged, total_in, total_out = host_columns(chunk)
            columns = (*texts, map(_boolean, local), map(_boolean, flagged), total_in, total_out)
            details = zip(*map(_details, host_details(chunk)), strict=True)
            self._writer.writerows(zip(*map(repeat, head), *columns, *details, repeat(snapshot.bytes_of), strict=False))
        self._stream.flush()

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()


def _details(details: HostDetails) -> tuple[str, ...]:
    apps = ("{}:{}:{}:{}:{}".format(app, *traffic) for app, traffic in details.apps.items())
    app = next(iter(details.apps), "")
    device = details.name, details.mac, details.vendor
    return *device, app, ";".join(apps), ";".join(details.addresses), details.service, details.category


def _boolean(value: object) -> str:
    return "true" if value else "false"
