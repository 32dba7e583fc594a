"""A progress bar on stderr while much is replayed: how far, how fast, how long still.

What it does not do: show anything unless stderr is a terminal and the replay takes a while.
"""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

__all__ = ["ProgressBar"]

LEAST_BYTES = 32_000_000
PATIENCE_S = 0.5
PERIOD_S = 0.1


class ProgressBar:
    """Shows how much of `total_bytes` has been read, while nothing else is shown."""

    def __init__(self, total_bytes: int) -> None:
        self._total_bytes = total_bytes
        self._wanted = total_bytes >= LEAST_BYTES and sys.stderr is not None and sys.stderr.isatty()
        self._next_s = time.monotonic() + PATIENCE_S
        self._progress: Progress | None = None

    def update(self, read_bytes: int) -> None:
        """Show the bar, if it is time; cheap enough to be called a thousand times a second."""
        if not self._wanted or time.monotonic() < self._next_s:
            return
        self._next_s = time.monotonic() + PERIOD_S
        if self._progress is None:
            self._progress = self._made()
        self._progress.start()
        self._progress.update(self._progress.task_ids[0], completed=read_bytes)

    def hide(self) -> None:
        """Take the bar away, until the next update."""
        if self._progress is not None:
            self._progress.stop()

    def _made(self) -> Progress:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

        progress = Progress(
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(file=sys.stderr),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        progress.add_task("", total=self._total_bytes)
        return progress
