"""The packet log: records of frames on their way to a thread that writes them, so that no disk holds up a capture.

What it does not do: make records (accountants do), know formats (`sinks.packet_files`), report.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from fastmon.errors import ConfigError, FastmonError
from fastmon.sinks.packet_files import open_packet_files

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["QUEUE_RECORDS", "PacketLog"]

QUEUE_RECORDS = 1 << 20
"""Records that may wait to be written: 59 MB, a second or so of a busy link."""


class PacketLog:
    """Takes records from any thread, and writes them in one of its own.

    waits: let `put` wait while too many records wait to be written, instead of dropping what it is given.
    dropped: records that were not written, nor will be.
    error: what ended the writing before `close`; everything after it is dropped.

    Raises ConfigError if the file cannot be written at all.
    """

    def __init__(self, path: str, limit_bytes: int, n_files: int, *, waits: bool, queue_records: int = QUEUE_RECORDS) -> None:
        try:
            self._files = open_packet_files(path, limit_bytes, n_files)
        except OSError as error:
            raise ConfigError(f"cannot write the packet log {path}: {error.strerror or error}") from error
        self.path = path
        self.dropped = 0
        self.error: FastmonError | None = None
        self._waits = waits
        self._queue_records = queue_records
        self._queue: deque[NDArray[np.void]] = deque()
        self._n_queued = 0
        self._is_closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._write_all, name="fastmon-packet-log", daemon=True)

    def put(self, records: NDArray[np.void]) -> None:
        """Take records, `packets.PACKET_DTYPE`, to be written or dropped. They must not be changed afterwards."""
        if not len(records):
            return
        with self._changed:
            if self._thread.ident is None:
                self._thread.start()
            while self._waits and self.error is None and self._is_full(len(records)):
                self._changed.wait()
            if self.error is not None or self._is_closing or self._is_full(len(records)):
                self.dropped += len(records)
                return
            self._queue.append(records)
            self._n_queued += len(records)
            self._changed.notify_all()

    def close(self) -> None:
        """Wait until all is written, and complete the file; a second call does nothing."""
        with self._changed:
            if self._is_closing:
                return
            self._is_closing = True
            self._changed.notify_all()
        if self._thread.ident is None:
            self._write_all()
        else:
            self._thread.join()

    def _is_full(self, n_more: int) -> bool:
        return self._n_queued > 0 and self._n_queued + n_more > self._queue_records

    def _write_all(self) -> None:
        reason = "its writer failed"
        try:
            while (records := self._next()) is not None:
                self._files.write(records)
            self._files.close()
            reason = ""
        except MemoryError:
            reason = "out of memory"
        except OSError as error:
            reason = error.strerror or str(error)
        finally:
            if reason:
                self._give_up(reason)

    def _next(self) -> NDArray[np.void] | None:
        """Return the next records, waiting for them; None at the end."""
        with self._changed:
            while not self._queue and not self._is_closing:
                self._changed.wait()
            if not self._queue:
                return None
            records = self._queue.popleft()
            self._n_queued -= len(records)
            self._changed.notify_all()
            return records

    def _give_up(self, reason: str) -> None:
        with self._changed:
            self.error = FastmonError(f"cannot write the packet log {self.path}: {reason}")
            # With the batch that was being written: how much of it was is not known.
            self.dropped += self._n_queued + self._files.n_pending
            self._n_queued = 0
            self._queue.clear()
            self._changed.notify_all()
        self._files.abandon()
