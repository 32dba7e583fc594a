"""What a person should know while a run goes on, on standard error: problems, alerts, how far a replay is.

What it does not do: show results; show a progress bar unless standard error is a terminal and the replay takes a while.
"""

from __future__ import annotations

import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fastmon.model.texts import printable
from fastmon.model.units import TIME_FORMATS
from fastmon.sinks.base import Sink
from fastmon.sinks.grid import color_system

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TextIO

    from rich.progress import Progress

    from fastmon.model.alerts import Alert
    from fastmon.run.subscriber import Problem

__all__ = ["NoticeSink", "ProgressBar", "ProgressSink", "total_bytes"]

LEAST_BYTES = 32_000_000
PATIENCE_S = 0.5
PERIOD_S = 0.1


class NoticeSink(Sink):
    """Writes a line for each problem and each alert, as far as the stream can be written."""

    def __init__(self, stream: TextIO | None, bar: ProgressBar, times: str = "utc") -> None:
        self._time_text = TIME_FORMATS[times]
        self._stream = stream
        self._bar = bar

    def problem(self, problem: Problem) -> None:
        """Write a line."""
        self._write([f"fastmon: {printable(problem.text)}"])

    def alerts(self, alerts: Sequence[Alert]) -> None:
        """Write a line for each."""
        from fastmon.alerts.records import alert_line

        self._write(alert_line(alert, self._time_text) for alert in alerts if not alert.is_silenced)

    def _write(self, lines: Iterable[str]) -> None:
        self._bar.hide()
        if self._stream is not None:
            with suppress(OSError):
                self._stream.writelines(line + "\n" for line in lines)
                self._stream.flush()


class ProgressSink(NoticeSink):
    """The same with a progress bar."""

    def progress(self, position_bytes: int) -> None:
        """Show how far the run is."""
        if self._stream is not None:
            with suppress(OSError):
                self._bar.update(position_bytes, self._stream)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.hide()


class ProgressBar:
    """Shows how much of `n_bytes` has been read, while nothing else is shown: how far, how fast, how long still.

    is_wanted: whether it is to be shown at all.
    """

    def __init__(self, n_bytes: int) -> None:
        self.is_wanted = n_bytes >= LEAST_BYTES and sys.stderr is not None and sys.stderr.isatty()
        self._n_bytes = n_bytes
        self._next_s = time.monotonic() + PATIENCE_S
        self._progress: Progress | None = None
        self._lock = threading.Lock()

    def update(self, read_bytes: int, stream: TextIO) -> None:
        """Show the bar, if it is time."""
        with self._lock:
            if time.monotonic() < self._next_s:
                return
            self._next_s = time.monotonic() + PERIOD_S
            if self._progress is None:
                self._progress = self._make(stream)
            self._progress.start()
            self._progress.update(self._progress.task_ids[0], completed=read_bytes)

    def hide(self) -> None:
        """Take the bar away, until the next update."""
        with self._lock:
            if self._progress is not None:
                self._progress.stop()

    def _make(self, stream: TextIO) -> Progress:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

        progress = Progress(
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=Console(file=stream, color_system=color_system()),
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        progress.add_task("", total=self._n_bytes)
        return progress


def total_bytes(paths: Iterable[str]) -> int:
    """Return the size of files together, as far as it can be told."""
    n_bytes = 0
    for path in paths:
        with suppress(OSError):
            n_bytes += Path(path).stat().st_size
    return n_bytes
