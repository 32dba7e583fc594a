"""Files, pipes and terminals that results are written to, by a thread that may be stuck in doing so.

What it does not do: format anything.
"""

from __future__ import annotations

import array
import errno
import fcntl
import io
import os
import select
import stat
import termios
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastmon.errors import ConfigError

if TYPE_CHECKING:
    from types import TracebackType
    from typing import TextIO

__all__ = [
    "Output",
    "OutputFile",
    "Writing",
    "check_writable",
    "identity_of",
    "is_empty",
    "open_output",
    "wrap",
]

STUCK_S = 0.5
"""Whatever takes no data for so long is stuck: a pipe that nobody reads, a stopped terminal, a disk that hangs."""

MAX_PIECE_BYTES = 1 << 16
"""What a file is given at once."""


class Writing:
    """Knows since when a thread is within a call of the system that writes, or opens; a context manager around the call."""

    def __init__(self) -> None:
        self._since_s: float | None = None

    def __enter__(self) -> None:
        self._since_s = time.monotonic()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self._since_s = None

    def is_stuck(self) -> bool:
        """Tell whether the call has lasted long."""
        since_s = self._since_s
        return since_s is not None and time.monotonic() - since_s > STUCK_S


class Output(io.RawIOBase):
    """A descriptor that is written to, in pieces so small that a reader who is slow is not taken for one who does not read."""

    def __init__(self, fd: int, writing: Writing, *, closes: bool) -> None:
        super().__init__()
        self._fd = fd
        self._writing = writing
        self._closes = closes
        self._n_bytes = 0
        self._mode = os.fstat(fd).st_mode
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    def write(self, data: Any) -> int:
        """Write some bytes, once there is room for any; return how many."""
        with self._writing:
            n_written = self._write_piece(memoryview(data))
        self._n_bytes += n_written
        return n_written

    def _write_piece(self, data: memoryview) -> int:
        while True:
            self._poll.poll()
            with suppress(BlockingIOError):  # others may share the descriptor, and what it leads to
                return os.write(self._fd, data[: self._piece_bytes()])

    def _piece_bytes(self) -> int:
        """Return how many bytes can be written without waiting for room, as far as that is known."""
        if stat.S_ISFIFO(self._mode):
            waiting = array.array("i", [0])
            fcntl.ioctl(self._fd, termios.FIONREAD, waiting)
            return max(fcntl.fcntl(self._fd, fcntl.F_GETPIPE_SZ) - waiting[0], select.PIPE_BUF)
        return select.PIPE_BUF if stat.S_ISSOCK(self._mode) or self.isatty() else MAX_PIECE_BYTES

    def writable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return whether this is a file that has positions."""
        try:
            os.lseek(self._fd, 0, os.SEEK_CUR)
        except OSError:
            return False
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position, and return it."""
        return os.lseek(self._fd, offset, whence)

    def tell(self) -> int:
        """Return the position; of what has none, how many bytes were written."""
        return os.lseek(self._fd, 0, os.SEEK_CUR) if self.seekable() else self._n_bytes

    def isatty(self) -> bool:
        """Return whether this is a terminal."""
        return os.isatty(self._fd)

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._fd

    def close(self) -> None:
        """Close the descriptor, if it is this object's."""
        if not self.closed:
            super().close()
            if self._closes:
                os.close(self._fd)


def open_output(path: str | os.PathLike[str], writing: Writing, flags: int = os.O_TRUNC) -> Output:
    """Open a file for writing, waiting for the reader of a named pipe. Raises OSError."""
    with writing:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | flags, 0o666)
    return Output(fd, writing, closes=True)


class OutputFile:
    """A file that text in UTF-8 is appended to, so that others may truncate it meanwhile (copytruncate of logrotate).

    keeps: whether what it has at first stays.
    """

    def __init__(self, path: str, writing: Writing, *, keeps: bool) -> None:
        self.path = path
        self._writing = writing
        self._keeps = keeps

    def open(self) -> TextIO:
        """Open it; a second time, under what was written then. Raises ConfigError."""
        try:
            raw = open_output(self.path, self._writing, os.O_APPEND | (0 if self._keeps else os.O_TRUNC))
            if self._keeps and not _ends_with_line(self.path):
                raw.write(b"\n")
        except OSError as error:
            raise ConfigError(f"cannot write {self.path}: {error.strerror}") from error
        self._keeps = True
        return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8", newline="")


def _ends_with_line(path: str) -> bool:
    """Return False for a regular file whose last line is cut: a run was killed."""
    if not Path(path).is_file():
        return True
    with Path(path).open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def is_empty(stream: TextIO) -> bool:
    """Return False for a file that has something already, of an earlier run."""
    try:
        status = os.fstat(stream.fileno())
    except OSError:  # it is in memory
        return True
    return not stat.S_ISREG(status.st_mode) or status.st_size == 0


def identity_of(path: str | os.PathLike[str] | int) -> tuple[int, int] | None:
    """Return what tells the file of a path or descriptor from all others; None if there is none."""
    try:
        status = os.stat(path)  # noqa: PTH116 - it may be a descriptor
    except OSError:
        return None
    return status.st_dev, status.st_ino


def wrap(stream: TextIO, writing: Writing) -> TextIO:
    """Return a stream of our own on another one's descriptor, with its encoding; closing it leaves that open."""
    raw = Output(stream.fileno(), writing, closes=False)
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=stream.encoding, errors=stream.errors, newline="")


def check_writable(path: str, what: str = "") -> None:
    """Raise ConfigError if a file cannot be written, and leave it as it is."""
    try:
        if Path(path).is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if Path(path).is_file():
            os.close(os.open(path, os.O_WRONLY))
            return
        folder = Path(path).parent
        if not Path(path).exists() and not os.access(folder, os.W_OK | os.X_OK):
            code = errno.EACCES if folder.is_dir() else errno.ENOENT
            raise OSError(code, os.strerror(code))
    except OSError as error:
        raise ConfigError(f"cannot write {what}{path}: {error.strerror}") from error
