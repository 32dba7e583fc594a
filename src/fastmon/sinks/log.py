"""The log: one line for each snapshot, alert and problem, in a file that is rotated.

What it does not do: list hosts.
"""

from __future__ import annotations

import io
import logging
import os
from logging.handlers import RotatingFileHandler
from typing import TYPE_CHECKING, Any

from fastmon.model.units import TIME_FORMATS, format_duration
from fastmon.sinks.base import Sink, printable
from fastmon.sinks.output import open_output

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastmon.model.alerts import Alert
    from fastmon.model.snapshot import Snapshot
    from fastmon.run.subscriber import Problem
    from fastmon.sinks.output import Writing

__all__ = ["LogSink"]

MAX_BYTES = 10_000_000
KEPT_FILES = 5


_LEVELS = {"info": "INFO", "warning": "WARNING", "critical": "CRITICAL"}


class LogSink(Sink):
    """Appends to the file `path`; past `max_bytes` it becomes `path`.1, and so on, of which `kept_files` stay.

    times: the zone of times, one of `units.TIME_FORMATS`.

    Raises OSError if it cannot be opened or written.
    """

    def __init__(
        self, path: str, writing: Writing, max_bytes: int = MAX_BYTES, kept_files: int = KEPT_FILES, times: str = "utc"
    ) -> None:
        self._time_text = TIME_FORMATS[times]
        self._handler = _Handler(path, writing, max_bytes, kept_files)
        self._handler.setFormatter(_Formatter(self._time_text))

    def snapshot(self, snapshot: Snapshot) -> None:
        """Log the totals of an interval or of the run."""
        counters, dropped = snapshot.counters, snapshot.dropped
        undecoded = sum(count.frames for count in counters.undecoded.values())
        fields = {
            "source": printable(snapshot.source),
            "start": self._time_text(snapshot.interval.start_ns),
            "end": self._time_text(snapshot.interval.end_ns),
            "frames": counters.frames.frames,
            "bytes": counters.frames.bytes,
            "hosts": len(snapshot),
            "flagged": int(snapshot.flagged.sum()),
            "non_ip": counters.non_ip.frames,
            "undecoded": undecoded,
            "duplicates": counters.duplicates.frames,
            "dropped_kernel": dropped.kernel,
            "dropped_interface": dropped.interface,
            "dropped_backlog": dropped.backlog,
            "dropped_file_interface": dropped.file_interface,
            "dropped_file_system": dropped.file_system,
            "dropped_file_frames": dropped.file_frames,
            "packet_log_dropped": snapshot.packet_log_dropped,
            "contacts_dropped": snapshot.contacts_dropped,
            "names_dropped": snapshot.names_dropped,
            "bytes_of": snapshot.bytes_of,
        }
        for source in snapshot.sources if len(snapshot.sources) > 1 or any(each.away_ns for each in snapshot.sources) else ():
            lost = source.dropped.kernel + source.dropped.interface
            name = printable(source.name)
            fields |= {
                f"frames[{name}]": source.frames,
                f"dropped[{name}]": lost,
                f"away[{name}]": format_duration(source.away_ns),
            }
        kind = "summary" if snapshot.is_summary else "snapshot"
        self._write("INFO", f"{kind} {' '.join(f'{name}={value}' for name, value in fields.items())}")

    def alerts(self, alerts: Sequence[Alert]) -> None:
        """Log alerts."""
        from fastmon.alerts.records import alert_line

        for alert in alerts:
            self._write(_LEVELS.get(alert.severity, "WARNING"), alert_line(alert, self._time_text))

    def problem(self, problem: Problem) -> None:
        """Log a problem."""
        self._write("ERROR", printable(problem.text))

    def close(self) -> None:
        """Close the file."""
        self._handler.close()

    def _write(self, level: str, text: str) -> None:
        # to the handler alone: what else logs in this process has no part in it
        self._handler.handle(logging.makeLogRecord({"levelname": level, "msg": text}))


class _Handler(RotatingFileHandler):
    """Opens files as other sinks do, and raises errors in place of a traceback on stderr and silence."""

    def __init__(self, path: str, writing: Writing, max_bytes: int, kept_files: int) -> None:
        self._writing = writing
        super().__init__(path, maxBytes=max_bytes, backupCount=kept_files, encoding="utf-8")

    def _open(self) -> Any:
        raw = open_output(self.baseFilename, self._writing, os.O_APPEND)
        return io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802  (the name is logging's)
        raise  # noqa: PLE0704  (called in emit's except clause)


class _Formatter(logging.Formatter):
    def __init__(self, time_text: Callable[[int], str]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        self._time_text = time_text

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802  (likewise)
        return self._time_text(int(record.created * 1e6) * 1000)
