"""The packet log's files: CSV and Parquet, each complete by itself, the full ones renamed and the oldest deleted.

What it does not do: queue, count what is lost; `sinks.packet_log` does.
"""

from __future__ import annotations

import abc
import gzip
import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastmon.errors import ConfigError
from fastmon.model.frames import FrameStatus
from fastmon.model.packets import KNOWN_PORTS, KNOWN_PROTOCOL, KNOWN_TCP_FLAGS
from fastmon.native.packet_text import format_addresses, format_packets
from fastmon.sinks.output import Writing, identity_of, open_output

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["COLUMNS", "ENDINGS", "PacketFiles", "ending_of", "older_path", "open_packet_files"]

ENDINGS = (".csv", ".csv.gz", ".csv.zst", ".parquet")

COLUMNS = ("time", "status", "src", "dst", "protocol", "src_port", "dst_port", "tcp_flags", "wire_len")

ROW_GROUP = 1 << 17
"""Rows of a Parquet file that are compressed, and can be read, together."""

FLUSH_RECORDS = 1 << 16
"""Records that a compressor may hold back."""

FIRST_ROW_BYTES = 40
"""What a Parquet row is taken to need before the first were written."""


def ending_of(path: str) -> str:
    """Return which of `ENDINGS` a path has. Raises ConfigError if it has none."""
    for ending in ENDINGS:
        if path.endswith(ending):
            return ending
    raise ConfigError(f"{path!r} ends in none of {', '.join(ENDINGS)}, which say how it is written")


def older_path(path: str | os.PathLike[str], number: int) -> Path:
    """Return the path of the file that is `number` files older than the one that is written; 0: that one."""
    newest = Path(path)
    ending = ending_of(newest.name)
    return newest.with_name(f"{newest.name.removesuffix(ending)}.{number}{ending}") if number else newest


def open_packet_files(path: str, limit_bytes: int, n_files: int, writing: Writing | None = None) -> PacketFiles:
    """Return what writes to the file `path`, in the format that its ending says.

    writing: knows whether a thread is stuck in writing it.

    Raises ConfigError if the format is unknown or what writes it is missing, OSError if it cannot be written.
    """
    if ending_of(path) == ".parquet":
        return ParquetFiles(path, limit_bytes, n_files, writing or Writing())
    return CsvFiles(path, limit_bytes, n_files, writing or Writing())


class PacketFiles(abc.ABC):
    """A file that is being written, and the ones before it: `x.csv`, and `x.1.csv` before it, and so on.

    limit_bytes: the size of a file, a row and the header at least; 0: no limit.  n_files: how many there are at most.

    n_pending: records taken, and not in a file yet.

    A file that is there is one before it, too. What is no regular file (a pipe, say) is neither renamed nor limited.

    Any call raises OSError if writing fails; only `abandon` may follow then.
    """

    def __init__(self, path: str, limit_bytes: int, n_files: int, writing: Writing) -> None:
        self._path = Path(path)
        self._is_complete = False
        self._writing = writing
        self._ending = ending_of(path)
        is_special = self._path.is_symlink() or (self._path.exists() and not self._path.is_file())
        self._limit_bytes = 0 if is_special else limit_bytes
        self._n_files = n_files
        self._raw: io.BufferedWriter | None = None
        self.n_pending = 0
        if not is_special:
            self._make_way()
            self._open()

    def write(self, records: NDArray[np.void]) -> None:
        """Write records, `packets.PACKET_DTYPE`, in their order, some of them later."""
        self.n_pending += len(records)
        if self._raw is None:  # a named pipe, say: opening it waits for its reader
            self._open()
        self._take(records)

    @abc.abstractmethod
    def _take(self, records: NDArray[np.void]) -> None:
        """Write records, counting those written out of `n_pending`."""

    def close(self) -> None:
        """Complete the file."""
        if self._raw is None and not self._is_complete:
            self._open()
        self._is_complete = True
        try:
            self._complete()
        finally:
            self._close_raw()

    def reopen(self) -> None:
        """Complete the file and begin another, if it has been renamed."""
        if self._raw is not None and identity_of(self._path) != identity_of(self._raw.fileno()):
            self.close()
            self._open()

    def abandon(self) -> None:
        """Leave the file as it is, or end it with the last whole record if that can be done."""
        self._close_raw()

    def _open(self) -> None:
        self._is_complete = False
        self._raw = io.BufferedWriter(open_output(self._path, self._writing))
        try:
            self._begin(self._raw)
        except BaseException:
            self._close_raw()
            raise

    @abc.abstractmethod
    def _begin(self, raw: io.BufferedWriter) -> None:
        """Begin a file."""

    @abc.abstractmethod
    def _complete(self) -> None:
        """Write what completes the file that is open; do nothing if there is none."""

    def _close_raw(self) -> None:
        raw, self._raw = self._raw, None
        if raw is not None:
            with suppress(OSError):  # what was written was flushed before
                raw.close()

    def _size_bytes(self) -> int:
        return 0 if self._raw is None else self._raw.tell()

    def _next_file(self) -> None:
        """Complete the file, and begin the next."""
        self.close()
        self._make_way()
        self._open()

    def _make_way(self) -> None:
        """Give each file the name of the one before it; the oldest goes if there are too many."""
        for number in range(self._n_files - 1, 0, -1):
            with suppress(FileNotFoundError):
                older_path(self._path, number - 1).rename(older_path(self._path, number))


class CsvFiles(PacketFiles):
    """Rows of CSV under a header, plain or compressed. A compressed file may pass the limit by one batch of records."""

    def _begin(self, raw: io.BufferedWriter) -> None:
        self._stream = _compressing(raw, self._ending)
        header = ",".join(COLUMNS).encode() + b"\n"
        self._stream.write(header)  # not flushed: a full disk is told when rows are written
        self._whole_bytes = len(header)
        self._n_in_stream = 0

    def _take(self, records: NDArray[np.void]) -> None:
        text = memoryview(format_packets(records))
        is_exact = self._stream_is_plain
        while self._limit_bytes and (self._size_bytes() + (len(text) if is_exact else 0)) > self._limit_bytes:
            room = max(self._limit_bytes - self._size_bytes(), 0) if is_exact else 0
            fitting = bytes(text[:room]).rfind(b"\n") + 1
            self._put(text[:fitting])
            text = text[fitting:]
            self._next_file()
        self._put(text)
        self._n_in_stream += len(records)
        if self._stream_is_plain or self._n_in_stream >= FLUSH_RECORDS:
            self._stream.flush()
            self._settle()

    def abandon(self) -> None:
        """End the file with the last whole batch, if it is not compressed."""
        super().abandon()
        if self._stream_is_plain:
            with suppress(OSError):
                is_begun = self._path.stat().st_size >= self._whole_bytes  # else not even the header is whole
                os.truncate(self._path, self._whole_bytes if is_begun else 0)

    @property
    def _stream_is_plain(self) -> bool:
        return self._ending == ".csv"

    def _put(self, text: bytes | memoryview) -> None:
        self._stream.write(text)
        if self._stream_is_plain:
            self._stream.flush()
            self._whole_bytes += len(text)

    def _complete(self) -> None:
        if self._raw is not None:
            if not self._stream_is_plain:
                self._stream.close()
            self._settle()

    def _settle(self) -> None:
        """Put what the stream has given out into the file."""
        if self._raw is not None:
            self._raw.flush()
        self.n_pending -= self._n_in_stream
        self._n_in_stream = 0


def _compressing(raw: io.BufferedWriter, ending: str) -> Any:
    if ending == ".csv.gz":
        return gzip.GzipFile("", "wb", 1, raw)
    if ending == ".csv.zst":
        if sys.version_info >= (3, 14):
            from compression.zstd import ZstdFile
        else:
            from backports.zstd import ZstdFile

        return ZstdFile(raw, "wb", level=1)
    return raw


class ParquetFiles(PacketFiles):
    """Parquet, compressed with Zstandard. Records are gathered for a row group, which may make a file pass its limit a little."""

    def __init__(self, path: str, limit_bytes: int, n_files: int, writing: Writing) -> None:
        try:
            import pyarrow as pa
            from pyarrow import parquet
        except ImportError:
            raise ConfigError("writing Parquet needs pyarrow: pip install 'fastmon[parquet]'") from None
        self._arrow, self._parquet = pa, parquet
        self._gathered: list[NDArray[np.void]] = []
        self._n_gathered = 0
        self._row_bytes = FIRST_ROW_BYTES
        self._group_rows = min(ROW_GROUP, max(limit_bytes // (4 * FIRST_ROW_BYTES), 16)) if limit_bytes else ROW_GROUP
        self._schema = _schema(pa)
        super().__init__(path, limit_bytes, n_files, writing)

    def _begin(self, raw: io.BufferedWriter) -> None:
        self._n_in_file = 0
        self._writer = self._parquet.ParquetWriter(
            raw, self._schema, compression="zstd", compression_level=1, write_statistics=["time"]
        )

    def abandon(self) -> None:
        """Leave the file without its end: nothing in it can be read."""
        self._writer.is_open = False  # else it would write when it is deleted
        super().abandon()

    def _take(self, records: NDArray[np.void]) -> None:
        while len(records):
            missing = self._group_rows - self._n_gathered
            self._gathered.append(records[:missing])
            self._n_gathered += len(records[:missing])
            records = records[missing:]
            if self._n_gathered == self._group_rows:
                self._write_group()

    def _write_group(self) -> None:
        records = np.concatenate(self._gathered)
        self._gathered.clear()
        self._n_gathered = 0
        before = self._size_bytes()
        if self._limit_bytes and self._n_in_file and before + len(records) * self._row_bytes > self._limit_bytes:
            self._next_file()
            before = self._size_bytes()
        self._writer.write_table(_table(self._arrow, self._schema, records))
        self._n_in_file += len(records)
        self._row_bytes = (self._size_bytes() - before) // len(records) + 1

    def _complete(self) -> None:
        if self._raw is not None:
            if self._gathered:
                self._write_group()
            self._writer.close()
            self._raw.flush()
            self.n_pending -= self._n_in_file  # none of them could be read before


def _schema(arrow: Any) -> Any:
    text = arrow.string()
    types = (
        arrow.timestamp("ns", "UTC"),
        arrow.dictionary(arrow.int8(), text),
        text,
        text,
        arrow.uint8(),
        arrow.uint16(),
        arrow.uint16(),
        arrow.uint8(),
        arrow.uint32(),
    )
    return arrow.schema(list(zip(COLUMNS, types, strict=True)))


def _table(arrow: Any, schema: Any, records: NDArray[np.void]) -> Any:
    """Return records as an Arrow table; what is not known is null."""
    names = arrow.array([status.name.lower() for status in FrameStatus])
    is_not_ip = records["status"] != FrameStatus.IP

    def numbers(name: str, known: int) -> Any:
        return arrow.array(np.ascontiguousarray(records[name]), mask=records["known"] & known == 0)

    columns = (
        _plain(arrow, schema.field("time").type, records["ts_ns"]),
        arrow.DictionaryArray.from_arrays(arrow.array(records["status"].astype(np.int8)), names),
        _addresses(arrow, records, is_not_ip, of_destination=False),
        _addresses(arrow, records, is_not_ip, of_destination=True),
        numbers("protocol", KNOWN_PROTOCOL),
        numbers("src_port", KNOWN_PORTS),
        numbers("dst_port", KNOWN_PORTS),
        numbers("tcp_flags", KNOWN_TCP_FLAGS),
        _plain(arrow, schema.field("wire_len").type, records["wire_len"]),
    )
    return arrow.Table.from_arrays(list(columns), schema=schema)


def _plain(arrow: Any, type_: Any, values: NDArray[Any]) -> Any:
    """Return values as they stand in memory: numpy's least time would be taken for none."""
    return arrow.Array.from_buffers(type_, len(values), [None, arrow.py_buffer(np.ascontiguousarray(values))])


def _addresses(arrow: Any, records: NDArray[np.void], is_missing: NDArray[np.bool_], *, of_destination: bool) -> Any:
    text, offsets = format_addresses(records, of_destination)
    valid = np.packbits(~is_missing, bitorder="little")
    return arrow.StringArray.from_buffers(len(records), *map(arrow.py_buffer, (offsets, text, valid)))
