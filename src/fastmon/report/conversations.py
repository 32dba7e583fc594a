"""Conversation records: one for each conversation that has ended, as JSON lines or CSV.

What it does not do: show snapshots or alerts.
"""

from __future__ import annotations

import csv
from itertools import starmap
from typing import TYPE_CHECKING, TextIO

import msgspec

from fastmon.addresses import keys_to_text
from fastmon.conversations import ENDED_REASONS, LABELLED_BY
from fastmon.report.details import app_name
from fastmon.report.hosts import time_texts
from fastmon.report.sink import Sink
from fastmon.texts import clean_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from fastmon.conversations import EndedConversations

__all__ = ["ConversationSink"]

CSV_COLUMNS = (
    "protocol",
    "a_host",
    "a_port",
    "b_host",
    "b_port",
    "start",
    "end",
    "packets_ab",
    "bytes_ab",
    "packets_ba",
    "bytes_ba",
    "app",
    "by",
    "name",
    "ended",
)

PROTOCOLS = {
    1: "icmp",
    2: "igmp",
    6: "tcp",
    17: "udp",
    47: "gre",
    50: "esp",
    51: "ah",
    58: "icmpv6",
    89: "ospf",
    112: "vrrp",
    132: "sctp",
}
"""IANA's keywords of the protocols that are met most; any other is its number."""


class _Endpoint(msgspec.Struct, frozen=True, gc=False):
    host: str
    port: int


class _Record(msgspec.Struct, frozen=True, gc=False, tag="conversation", tag_field="type"):
    """A conversation; `a` sent the first frame seen."""

    protocol: str
    a: _Endpoint
    b: _Endpoint
    start: str
    end: str
    packets_ab: int
    bytes_ab: int
    packets_ba: int
    bytes_ba: int
    app: str
    by: str | None
    name: str | None
    ended: str


class ConversationSink(Sink):
    """Writes to a stream, opened with newline="": CSV with a header, or JSON lines."""

    def __init__(self, stream: TextIO, *, is_csv: bool) -> None:
        self._stream = stream
        self._csv = csv.writer(stream, lineterminator="\n") if is_csv else None
        self._encode = msgspec.json.Encoder().encode
        if self._csv is not None:
            self._csv.writerow(CSV_COLUMNS)

    def conversations(self, ended: EndedConversations) -> None:
        """Write a record for each."""
        rows = _columns(ended)
        if self._csv is not None:
            self._csv.writerows(rows)
        else:
            self._stream.writelines(self._encode(record).decode() + "\n" for record in starmap(_record, rows))
        self._stream.flush()


def _record(protocol: str, a_host: str, a_port: int, b_host: str, b_port: int, start: str, end: str, *rest: object) -> _Record:
    *counters, app, by, name, ended = rest
    return _Record(
        protocol,
        _Endpoint(a_host, a_port),
        _Endpoint(b_host, b_port),
        start,
        end,
        *counters,
        app,
        by or None,
        name or None,
        ended,  # type: ignore[arg-type]
    )


def _columns(ended: EndedConversations) -> Iterator[Sequence[object]]:
    """Yield the values of `CSV_COLUMNS` for each conversation."""
    rows = ended.rows
    return zip(
        (PROTOCOLS.get(number, str(number)) for number in rows["protocol"].tolist()),
        keys_to_text(rows["a"]),
        rows["a_port"].tolist(),
        keys_to_text(rows["b"]),
        rows["b_port"].tolist(),
        time_texts(rows["first_ns"]),
        time_texts(rows["last_ns"]),
        *(rows[name].tolist() for name in ("packets_ab", "bytes_ab", "packets_ba", "bytes_ba")),
        map(app_name, rows["app"].tolist()),
        ("" if by == 0 else LABELLED_BY[by] for by in rows["by"].tolist()),
        (clean_text(name) if name else "" for name in ended.names),
        map(ENDED_REASONS.__getitem__, rows["ended"].tolist()),
        strict=True,
    )
