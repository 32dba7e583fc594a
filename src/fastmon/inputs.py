"""Files, pipes and compressed files as one thing to read capture data from.

What it does not do: understand capture formats.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import sys
from typing import TYPE_CHECKING

from fastmon.errors import CaptureError, TruncatedCaptureError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Readable(Protocol):
        def readinto1(self, target: memoryview, /) -> int | None: ...


__all__ = ["Input", "open_input"]

_MAGIC_LENGTH = 4


class Input:
    """An open input.

    fd: its descriptor, or -1 if `stream` must be read instead.
    stream: decompresses what the descriptor gives; None if it is not compressed.
    head: the bytes already taken from an uncompressed input.
    size_bytes: the file's size; None for a pipe.
    """

    def __init__(self, fd: int, name: str) -> None:
        self._fd = fd
        status = os.fstat(fd)
        if stat.S_ISDIR(status.st_mode):
            raise CaptureError(f"{name}: is a directory")
        self.size_bytes = status.st_size if stat.S_ISREG(status.st_mode) else None
        self.head = _read_up_to(fd, _MAGIC_LENGTH)
        decompressor = _decompressor(self.head)
        self._raw = _Raw(fd, self.head)
        self.stream = None if decompressor is None else _Decompressed(decompressor(io.BufferedReader(self._raw)), name)
        if self.stream is not None:
            self.head = b""
        self.fd = fd if self.stream is None else -1

    @property
    def n_bytes(self) -> int:
        """Bytes of a compressed input read so far."""
        return self._raw.n_bytes

    def close(self) -> None:
        """Close the descriptor; a second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class _Raw(io.RawIOBase):
    """A descriptor, with the bytes that were taken from it put back in front."""

    def __init__(self, fd: int, head: bytes) -> None:
        super().__init__()
        self._fd = fd
        self._head = head
        self.n_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, target: memoryview) -> int:  # type: ignore[override]
        if self._head:
            n_bytes = min(len(target), len(self._head))
            target[:n_bytes], self._head = self._head[:n_bytes], self._head[n_bytes:]
        else:
            n_bytes = os.readv(self._fd, [target])
        self.n_bytes += n_bytes
        return n_bytes


class _Decompressed:
    """A decompressing stream whose errors are fastmon's."""

    def __init__(self, stream: Readable, name: str) -> None:
        self._stream = stream
        self._name = name

    def readinto(self, target: memoryview) -> int:
        try:
            # In steps: filling all of `target` would lose what comes out before damage.
            return self._stream.readinto1(target) or 0
        except EOFError as error:
            raise TruncatedCaptureError(f"{self._name}: the compressed data end too early") from error
        except Exception as error:  # each library has its own class for damaged data
            raise CaptureError(f"{self._name}: the compressed data are damaged: {error}") from error


def _open_zstd(raw: io.BufferedReader) -> Readable:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd

    return zstd.ZstdFile(raw)


def _open_gzip(raw: io.BufferedReader) -> Readable:
    return gzip.GzipFile(fileobj=raw)


_DECOMPRESSORS: dict[bytes, Callable[[io.BufferedReader], Readable]] = {
    b"\x1f\x8b": _open_gzip,
    b"\x28\xb5\x2f\xfd": _open_zstd,
}


def _decompressor(head: bytes) -> Callable[[io.BufferedReader], Readable] | None:
    return next((opener for magic, opener in _DECOMPRESSORS.items() if head.startswith(magic)), None)


def _read_up_to(fd: int, n_bytes: int) -> bytes:
    head = b""
    while len(head) < n_bytes and (more := os.read(fd, n_bytes - len(head))):
        head += more
    return head


def open_input(path: str, name: str) -> Input:
    """Open a file, or standard input if `path` is "-". Raises CaptureError, saying `name`."""
    fd = -1
    try:
        fd = os.dup(0) if path == "-" else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        return Input(fd, name)
    except (OSError, CaptureError, ValueError) as error:
        if fd >= 0:
            os.close(fd)
        if isinstance(error, CaptureError):
            raise
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise CaptureError(f"{name}: {str(reason).lower()}") from error
