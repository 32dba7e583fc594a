"""The action `file`: alerts appended to a file as JSON lines.

What it does not do: rotate the file. It is opened for each delivery, so any program may rename it.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from fastmon.alerts.action import DeliveryError
from fastmon.alerts.records import encode_record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastmon.alerts.records import Record

__all__ = ["FileAction"]


class FileAction:
    """Appends to the file `path`, which is made with mode 640."""

    def __init__(self, path: str) -> None:
        self._path = path

    def open(self) -> None:
        """Do nothing: the file is opened for each delivery."""

    def deliver(self, records: Sequence[Record], timeout_s: float) -> None:  # noqa: ARG002 - a disk takes what it takes
        """Append a line for each record; either all of them or none."""
        data = b"".join(encode_record(record) + b"\n" for record in records)
        try:
            # not blocking: a named pipe that nobody reads fails instead
            fd = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o640)
        except OSError as error:
            raise DeliveryError(f"cannot write {self._path}: {error.strerror}") from None
        try:
            _append(fd, data)
        except OSError as error:
            raise DeliveryError(f"cannot write {self._path}: {error.strerror}") from None
        finally:
            os.close(fd)

    def abort(self) -> None:
        """Do nothing: a call of the system that writes cannot be ended."""

    def close(self) -> None:
        """Do nothing: the file is closed."""


def _append(fd: int, data: bytes) -> None:
    status = os.fstat(fd)
    n_written = 0
    try:
        while n_written < len(data):
            n_written += os.write(fd, data[n_written:])
    except OSError:
        if n_written and stat.S_ISREG(status.st_mode):  # a full disk takes a part
            with suppress(OSError):
                os.ftruncate(fd, status.st_size)
        raise
