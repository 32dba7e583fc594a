"""Alerts as messages for people: a subject and a body, for mail and chat.

What it does not do: send one.

A name from the network is shown as it is, but cannot mention anybody or be markup where the message is shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fastmon.alerts.records import AlertRecord, Record, record_line, subject_text
from fastmon.bounds import SEVERITIES
from fastmon.model.alerts import CLEARED
from fastmon.model.units import NS_PER_S, format_duration, format_value

__all__ = ["Message", "make_message"]

MAX_SUBJECT = 150
MAX_LINE = 600
MAX_ENTRIES = 10
"""Of each list in the evidence."""

_MARKUP = str.maketrans({char: f"\\x{ord(char):02x}" for char in "<>@`"})


class Message(NamedTuple):
    """What people read. severity: the greatest of the alerts that fire; "cleared" if all have cleared."""

    subject: str
    body: str
    severity: str


def make_message(records: Sequence[Record]) -> Message:
    """Return one message of one or more records."""
    alerts = [record for record in records if isinstance(record, AlertRecord)]
    firing = {record.severity for record in alerts if record.state != CLEARED}
    severity = max(firing, key=_rank) if firing else ("cleared" if alerts else SEVERITIES[0])
    if len(records) == 1 and alerts:
        subject, lines = f"{alerts[0].rule}: {subject_text(alerts[0])}", _details(alerts[0])
    else:
        subject, lines = _headline(records, alerts), [record_line(record) for record in records]
    return Message(
        _shortened(f"[{severity}] {subject}", MAX_SUBJECT),
        "\n".join(_shortened(line, MAX_LINE) for line in lines),
        severity,
    )


def _headline(records: Sequence[Record], alerts: Sequence[AlertRecord]) -> str:
    n_more = sum(record.alerts for record in records if not isinstance(record, AlertRecord))
    rules = ", ".join(dict.fromkeys(record.rule for record in alerts))
    count = f"{len(alerts)} alerts" if alerts else ""
    more = f"{n_more:,} more alerts" if n_more else ""
    return " and ".join(part for part in (count, more) if part) + (f": {rules}" if rules else "")


def _details(alert: AlertRecord) -> list[str]:
    """Return the lines of a message about one alert."""
    host = ", ".join(text for text in (subject_text(alert), alert.mac) if text)
    lines = [record_line(alert), "", f"host: {host}" if alert.host else "about: the network"]
    lines.append(f"rule: {alert.rule} ({alert.kind}, {alert.scope})")
    if alert.value is not None:
        lines.append(f"value: {format_value(alert.value, alert.unit)}")
    if alert.limit is not None:
        lines.append(f"limit: {format_value(alert.limit, alert.unit)}")
    if alert.window:
        lines.append(f"window: {format_duration(round(alert.window * NS_PER_S))}")
    lines.append(f"since: {alert.since}")
    lines += [f"{name.replace('_', ' ')}: {_entry(name, value)}" for name, value in alert.evidence.items()]
    return lines


def _entry(name: str, value: object) -> str:
    """Return a piece of evidence in one line."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "unknown"}[value]
    if isinstance(value, (int, float)):
        return format_value(value, "bytes" if name == "bytes" or name.startswith("bytes_") or name.endswith("_bytes") else "")
    if isinstance(value, Mapping):
        parts = ((key, part, _entry(key, part)) for key, part in value.items())
        return " ".join(text if isinstance(part, str) else f"{key.replace('_', ' ')} {text}" for key, part, text in parts)
    if isinstance(value, Sequence) and not isinstance(value, str):
        more = f" and {len(value) - MAX_ENTRIES} more" if len(value) > MAX_ENTRIES else ""
        return ", ".join(_entry(name, part) for part in value[:MAX_ENTRIES]) + more
    return str(value)


def _rank(severity: str) -> int:
    return SEVERITIES.index(severity) if severity in SEVERITIES else 0


def _shortened(text: str, most: int) -> str:
    text = text.translate(_MARKUP)
    return text if len(text) <= most else f"{text[: most - 1]}…"
