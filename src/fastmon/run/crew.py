"""The threads that drain: one a shard, which do nothing else.

What it does not do: decide how far to drain; the run's thread does.
"""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

from fastmon.run.threads import start_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import TypeAlias

    Work: TypeAlias = Callable[[], None]

__all__ = ["Crew"]


class Crew:
    """Some threads that do one piece of work each at a time; they end with the process if nobody closes the crew."""

    def __init__(self, n_threads: int) -> None:
        self._queues: list[SimpleQueue[Work | None]] = [SimpleQueue() for _ in range(n_threads)]
        self._n_busy = 0
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self._threads = [start_thread(f"fastmon-drain-{index}", self._serve, queue) for index, queue in enumerate(self._queues)]

    def start(self, works: Sequence[Work]) -> None:
        """Give each thread its work; all have done the work before."""
        self._n_busy = len(works)
        for queue, work in zip(self._queues, works, strict=True):
            queue.put(work)

    def wait(self, timeout_s: float) -> bool:
        """Wait until all have done their work, or for `timeout_s`; tell whether they have.

        Raises what any of them raised.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: not self._n_busy, timeout_s):
                return False
            error, self._error = self._error, None
        if error is not None:
            raise error
        return True

    def close(self) -> None:
        """End the threads, when they have done their work."""
        for queue in self._queues:
            queue.put(None)
        for thread in self._threads:
            thread.join()

    def _serve(self, queue: SimpleQueue[Work | None]) -> None:
        while (work := queue.get()) is not None:
            error: BaseException | None = None
            try:
                work()
            except BaseException as caught:  # noqa: BLE001 - the run's thread raises it
                error = caught
            with self._changed:
                self._n_busy -= 1
                self._error = self._error or error
                self._changed.notify_all()
