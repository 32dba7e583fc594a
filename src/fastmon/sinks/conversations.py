"""Conversation records: one for each conversation that has ended, as JSON lines or CSV.

What it does not do: show snapshots or alerts.
"""

from __future__ import annotations

import csv
from itertools import repeat
from typing import TYPE_CHECKING, TextIO

import msgspec

from fastmon.model.addresses import keys_to_text
from fastmon.model.conversations import ENDED_REASONS, LABELLED_BY, EndedConversations
from fastmon.model.protocols import protocol_text
from fastmon.model.texts import clean_text
from fastmon.sinks.base import Sink
from fastmon.sinks.details import app_name, service_columns
from fastmon.sinks.hosts import time_texts
from fastmon.sinks.output import is_empty

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

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
    "service",
    "category",
    "ja4",
    "certificate",
    "bytes_of",
)

CHUNK_ROWS = 1 << 12
"""Conversations that are written at once: a run's end may end a million."""


class ConversationSink(Sink):
    """Writes to a stream, opened with newline="": CSV with a header, or JSON lines.

    bytes_of: which bytes conversations move, as `Snapshot.bytes_of` says.
    """

    def __init__(self, stream: TextIO, *, is_csv: bool, bytes_of: str = "frame") -> None:
        self._stream = stream
        self._bytes_of = bytes_of
        self._csv = csv.writer(stream, lineterminator="\n") if is_csv else None
        self._encode = msgspec.json.Encoder().encode
        if self._csv is not None and is_empty(stream):
            self._csv.writerow(CSV_COLUMNS)

    def conversations(self, ended: EndedConversations) -> None:
        """Write a record for each."""
        for start in range(0, len(ended.rows), CHUNK_ROWS):
            part = slice(start, start + CHUNK_ROWS)
            told = (ended.names[part], ended.ja4[part], ended.certificates[part])
            self._write(_columns(EndedConversations(ended.rows[part], *told), self._bytes_of))
        self._stream.flush()

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()

    def _write(self, rows: Iterator[Sequence[object]]) -> None:
        if self._csv is not None:
            self._csv.writerows(rows)
        else:
            self._stream.writelines(self._encode(_record(row)).decode() + "\n" for row in rows)


def _record(row: Sequence[object]) -> dict[str, object]:
    """Return a conversation's record; `a` sent the first frame seen."""
    values = dict(zip(CSV_COLUMNS, row, strict=True))
    return {
        "type": "conversation",
        "protocol": values["protocol"],
        "a": {"host": values["a_host"], "port": values["a_port"]},
        "b": {"host": values["b_host"], "port": values["b_port"]},
        **{name: values[name] for name in CSV_COLUMNS[5:]},
        **{name: values[name] or None for name in ("by", "name", "service", "category", "ja4", "certificate")},
    }


def _columns(ended: EndedConversations, bytes_of: str) -> Iterator[Sequence[object]]:
    """Yield the values of `CSV_COLUMNS` for each conversation."""
    rows = ended.rows
    return zip(
        map(protocol_text, rows["protocol"].tolist()),
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
        *service_columns(ended.names),
        (ja4 or "" for ja4 in ended.ja4),
        (clean_text(name) if name else "" for name in ended.certificates),
        repeat(bytes_of, len(rows)),
        strict=True,
    )
