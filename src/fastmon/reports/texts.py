"""How times and names stand in the tables of commands, and how records are written.

What it does not do: know what a table is of.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TextIO

import msgspec

from fastmon.model.texts import clean_text
from fastmon.model.units import NS_PER_S, format_duration, format_time

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["cell", "moment", "span", "time_text", "write_records"]

MAX_CELL = 200

_EARLIEST_NS = -62_135_596_800 * NS_PER_S
_LATEST_NS = 253_402_300_799 * NS_PER_S


def cell(text: str) -> str:
    """Return a foreign text for a cell. It was cleaned when it was kept; but a state is a file that anybody may have made."""
    text = clean_text(text[: 2 * MAX_CELL])
    return text if len(text) <= MAX_CELL else text[: MAX_CELL - 1] + "…"


def time_text(ts_ns: int) -> str:
    """Return a time as records have it; "" for one that no calendar has."""
    return format_time(ts_ns) if _EARLIEST_NS <= ts_ns <= _LATEST_NS else ""


def moment(ts_ns: int) -> str:
    """Return a time to the second; "" for one that no calendar has."""
    text = time_text(ts_ns)[:19]
    return f"{text}Z" if text else ""


def span(duration_ns: int) -> str:
    """Return a duration by its two greatest units, at least a second: "3d4h", "12m5s"."""
    seconds = max(duration_ns, 0) // NS_PER_S
    for unit_s, smaller_s in ((86_400, 3600), (3600, 60)):
        if seconds >= unit_s:
            seconds -= seconds % smaller_s
            break
    return format_duration(seconds * NS_PER_S)


def write_records(stream: TextIO, records: Iterable[object]) -> None:
    """Write each record as a line of JSON, its texts cleaned: a program may show them as they are."""
    encoder = msgspec.json.Encoder()
    stream.writelines(encoder.encode(_cleaned(record)).decode() + "\n" for record in records)
    stream.flush()


def _cleaned(value: object) -> object:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {clean_text(name): _cleaned(part) for name, part in value.items()}
    return [_cleaned(part) for part in value] if isinstance(value, (list, tuple)) else value
