"""The packet log: records of frames on their way to a thread that writes them, so that no disk holds up a capture.

What it does not do: make records (accountants do), know formats (`sinks.packet_files`), report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastmon.errors import ConfigError, FastmonError
from fastmon.model.packets import PACKET_DTYPE
from fastmon.run.queues import BoundedQueue
from fastmon.run.threads import start_thread
from fastmon.sinks.output import Writing
from fastmon.sinks.packet_files import open_packet_files

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["QUEUE_RECORDS", "PacketLog"]

QUEUE_RECORDS = 1 << 20
"""Records that may wait to be written: 59 MB, a second or so of a busy link."""


class PacketLog:
    """Takes records from any thread, and writes them in one of its own.

    waits: let `put` wait while too many records wait to be written, instead of dropping what it is given.
    is_stopped: asked while something waits; once it is true, `put` waits no more, and `close` not for a file that is stuck.

    dropped: records that were not written, nor will be.
    error: what ended the writing before `close`; everything after it is dropped.

    Raises ConfigError if the file cannot be written at all.
    """

    def __init__(
        self,
        path: str,
        limit_bytes: int,
        n_files: int,
        *,
        waits: bool,
        is_stopped: Callable[[], bool] = lambda: False,
        queue_records: int = QUEUE_RECORDS,
    ) -> None:
        self._writing = Writing()
        try:
            self._files = open_packet_files(path, limit_bytes, n_files, self._writing)
        except OSError as error:
            raise ConfigError(f"cannot write the packet log {path}: {error.strerror or error}") from error
        self.path = path
        self.error: FastmonError | None = None
        self._n_lost = 0
        self._is_stopped = is_stopped
        self._is_to_reopen = False
        self._queue: BoundedQueue[NDArray[np.void]] = BoundedQueue(queue_records, lambda: waits and not is_stopped())
        self._thread = start_thread("fastmon-packet-log", self._write_all)

    @property
    def dropped(self) -> int:
        """Records that were not written, nor will be."""
        return self._queue.n_refused + self._n_lost

    def put(self, records: NDArray[np.void]) -> None:
        """Take records, `packets.PACKET_DTYPE`, to be written or dropped. They must not be changed afterwards."""
        if len(records):
            self._queue.put(records, len(records))

    def reopen(self) -> None:
        """Write what comes from now on into a new file, if the one that is written has been renamed."""
        self._is_to_reopen = True
        self._queue.put(np.empty(0, PACKET_DTYPE), 0)  # whoever waits for records wakes up

    def close(self) -> None:
        """Wait until all is written, and complete the file; a second call does nothing."""
        self._queue.close()
        while self._thread.is_alive():
            self._thread.join(0.05)
            if self._is_stopped() and self._writing.is_stuck() and self._thread.is_alive():
                self._note_end("nobody reads it")
                return

    def _write_all(self) -> None:
        reason = "its writer failed"
        try:
            while (records := self._queue.get()) is not None:
                if self._is_to_reopen:
                    self._is_to_reopen = False
                    self._files.reopen()
                self._files.write(records)
            self._files.close()
            reason = ""
        except MemoryError:
            reason = "out of memory"
        except OSError as error:
            reason = error.strerror or str(error)
        finally:
            if reason:
                self._note_end(reason)
                self._files.abandon()

    def _note_end(self, reason: str) -> None:
        if self.error is None:
            self.error = FastmonError(f"cannot write the packet log {self.path}: {reason}")
            # With the batch that was being written: how much of it was is not known.
            self._n_lost += self._files.n_pending
            self._queue.abandon()
