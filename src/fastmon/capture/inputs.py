"""Files, pipes and compressed files as one thing to read capture data from.

No read waits for a pipe longer than `WAIT_MS`: the reader has to look at the clock, and whether it should stop.

What it does not do: understand capture formats.
"""

from __future__ import annotations

import os
import select
import stat
import struct
import sys
import weakref
import zlib
from typing import TYPE_CHECKING, Protocol

from fastmon.errors import CaptureError, StoppedError, TruncatedCaptureError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Input", "open_input", "read_file"]

WAIT_MS = 100
"""The longest wait for a pipe."""

_MAGIC_LENGTH = 6
_CHUNK_BYTES = 1 << 16
"""Read and decompressed at once. What comes out together with damage is lost."""

_MAX_LZMA_BYTES = 1 << 28
"""Memory that an xz file may ask for: `xz -9` needs a quarter of it."""


class Input:
    """An open input. It owns its descriptor: what is dropped without `close` is closed, too.

    stream: to be read instead of the descriptor, which it decompresses; None if the input is not compressed.
    head: the bytes already read from an uncompressed input.
    size_bytes: the file's size; None for a pipe.
    """

    def __init__(self, fd: int, name: str, is_stopped: Callable[[], bool]) -> None:
        self._fd = fd
        self._close = weakref.finalize(self, os.close, fd)
        try:
            status = os.fstat(fd)
            if stat.S_ISDIR(status.st_mode):
                raise CaptureError(f"{name}: is a directory")
            self.size_bytes = status.st_size if stat.S_ISREG(status.st_mode) else None
            self._raw = _Raw(fd, may_wait=self.size_bytes is None)
            self.head = _read_up_to(self._raw, _MAGIC_LENGTH, name, is_stopped)
        except BaseException:
            self.close()
            raise
        make = _decompressor(self.head)
        self.stream = None if make is None else _Decompressed(self._raw, self.head, make, name)
        if self.stream is not None:
            self.head = b""

    @property
    def n_bytes(self) -> int:
        """Bytes of a compressed input read so far."""
        return self._raw.n_bytes

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd

    def close(self) -> None:
        """Close the descriptor; a second call does nothing."""
        self._close()


class _Raw:
    """A descriptor."""

    def __init__(self, fd: int, *, may_wait: bool) -> None:
        self._fd = fd
        self._poll = select.poll() if may_wait else None
        if self._poll is not None:
            self._poll.register(fd, select.POLLIN)
        self.n_bytes = 0

    def read(self, n_bytes: int) -> bytes | None:
        """Return up to `n_bytes` bytes, b"" at the end; None if there are none yet."""
        if self._poll is not None and not self._poll.poll(WAIT_MS):
            return None
        try:
            data = os.read(self._fd, n_bytes)
        except BlockingIOError:
            return None
        self.n_bytes += len(data)
        return data


class _Decompressor(Protocol):
    """What decompresses one member, stream or frame of a compressed file.

    eof: it is complete.  needs_input: nothing comes out without more data.  unused_data: what follows it.
    """

    @property
    def eof(self) -> bool: ...

    @property
    def needs_input(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Decompressed:
    """A decompressing stream: members, streams or frames, one after the other, perhaps with zeros behind."""

    def __init__(self, raw: _Raw, head: bytes, make: Callable[[], _Decompressor], name: str) -> None:
        self._raw = raw
        self._make = make
        self._name = name
        self._pending = head
        self._decompressor: _Decompressor | None = make()

    def read(self, n_bytes: int) -> bytes | None:
        """Return up to `n_bytes` bytes, b"" at the end; None if there are none yet."""
        while True:
            data: bytes | None = self._pending
            if not data and (self._decompressor is None or self._decompressor.needs_input):
                data = self._raw.read(_CHUNK_BYTES)
                if data is None:
                    return None
                if not data:
                    return self._end()
            self._pending = b""
            if self._decompressor is None:
                data = (data or b"").lstrip(b"\0")  # the padding of tapes
                if not data:
                    continue
                self._decompressor = self._make()
            decompressed = self._decompress(self._decompressor, data or b"", min(n_bytes, _CHUNK_BYTES))
            if decompressed:
                return decompressed

    def _decompress(self, decompressor: _Decompressor, data: bytes, max_length: int) -> bytes:
        try:
            decompressed = decompressor.decompress(data, max_length)
        except Exception as error:  # each library has its own class for damaged data
            what = "need more memory than is allowed" if "limit" in str(error) else "are damaged"
            raise CaptureError(f"{self._name}: the compressed data {what}: {error}") from error
        if decompressor.eof:
            self._pending, self._decompressor = decompressor.unused_data, None
        return decompressed

    def _end(self) -> bytes:
        if self._decompressor is not None:
            raise TruncatedCaptureError(f"{self._name}: the compressed data end too early")
        return b""


class _Gunzip:
    """One member of a gzip file (RFC 1952).

    Not by zlib alone: it keeps back what it decompressed together with a checksum that is wrong.
    """

    def __init__(self) -> None:
        self.eof = False
        self.needs_input = True
        self.unused_data = b""
        self._pending = b""
        self._in_header = True
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self._checksum = zlib.crc32(b"")
        self._n_bytes = 0

    def decompress(self, data: bytes, max_length: int) -> bytes:
        self._pending += data
        self.needs_input = True
        if self._in_header:
            length = _gzip_header_length(self._pending)
            if length is None:
                return b""
            self._pending, self._in_header = self._pending[length:], False
        if self._inflate.eof:
            self._end()
            return b""
        decompressed = self._inflate.decompress(self._pending, max_length)
        self._checksum = zlib.crc32(decompressed, self._checksum)
        self._n_bytes += len(decompressed)
        self._pending = self._inflate.unconsumed_tail or self._inflate.unused_data
        # At the limit something may be left inside, which comes out without more data.
        self.needs_input = not self._pending and len(decompressed) < max_length
        return decompressed

    def _end(self) -> None:
        if len(self._pending) < 8:
            return
        if self._pending[:8] != struct.pack("<II", self._checksum, self._n_bytes & 0xFFFFFFFF):
            raise ValueError("CRC check failed")
        self.eof, self.needs_input = True, False
        self.unused_data = self._pending[8:]


def _gzip_header_length(data: bytes) -> int | None:
    """Return the length of a member's header; None if `data` does not hold all of it."""
    if not b"\x1f\x8b\x08".startswith(data[:3]) or len(data) > 4 * _CHUNK_BYTES:  # a name without an end
        raise ValueError("not a gzip header")
    flags = data[3] if len(data) > 3 else 0
    length = 10
    if flags & 0x04:  # extra field
        length += 2 + int.from_bytes(data[length : length + 2], "little")
    for text in (0x08, 0x10):  # name, comment
        if flags & text:
            length = (data.find(b"\0", length) + 1) or len(data) + 1
    if flags & 0x02:  # checksum of the header
        length += 2
    return length if length <= len(data) else None


def _make_zstd() -> _Decompressor:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd

    return zstd.ZstdDecompressor()


def _make_xz() -> _Decompressor:
    import lzma

    return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MAX_LZMA_BYTES)


def _make_bzip2() -> _Decompressor:
    import bz2

    return bz2.BZ2Decompressor()


def _make_lz4() -> _Decompressor:
    from lz4.frame import LZ4FrameDecompressor

    decompressor: _Decompressor = LZ4FrameDecompressor()
    return decompressor


_DECOMPRESSORS: dict[bytes, Callable[[], _Decompressor]] = {
    b"\x1f\x8b": _Gunzip,
    b"\xfd7zXZ\0": _make_xz,
    b"BZh": _make_bzip2,
    b"\x04\x22\x4d\x18": _make_lz4,
    b"\x28\xb5\x2f\xfd": _make_zstd,
    # A skippable frame, as pzstd writes first. LZ4 has them, too, but nobody writes them first.
    **{bytes((first, 0x2A, 0x4D, 0x18)): _make_zstd for first in range(0x50, 0x60)},
}


def _decompressor(head: bytes) -> Callable[[], _Decompressor] | None:
    return next((make for magic, make in _DECOMPRESSORS.items() if head.startswith(magic)), None)


def _read_up_to(raw: _Raw, n_bytes: int, name: str, is_stopped: Callable[[], bool]) -> bytes:
    head = b""
    while len(head) < n_bytes:
        data = raw.read(n_bytes - len(head))
        if data == b"":
            break
        if data is None and is_stopped():
            raise StoppedError(f"{name}: stopped before it could be read")
        head += data or b""
    return head


def open_input(path: str, name: str, is_stopped: Callable[[], bool] = lambda: False) -> Input:
    """Open a file, or standard input if `path` is "-", waiting for a pipe's first bytes until `is_stopped()` is true.

    Raises CaptureError, saying `name`, or StoppedError.
    """
    try:
        # Without waiting for the writer of a named pipe: nothing could stop that.
        fd = os.dup(0) if path == "-" else os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        return Input(fd, name, is_stopped)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise CaptureError(f"{name}: {str(reason).lower()}") from error


def read_file(path: str, n_bytes: int, is_stopped: Callable[[], bool] = lambda: False) -> bytes:
    """Return a file's first `n_bytes` bytes as they are, or all; a pipe is waited for until `is_stopped()` is true.

    Raises OSError or StoppedError.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return _read_up_to(_Raw(fd, may_wait=not stat.S_ISREG(os.fstat(fd).st_mode)), n_bytes, path, is_stopped)
    finally:
        os.close(fd)
