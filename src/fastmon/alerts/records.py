"""An alert as a record: one JSON object, and a line for people.

What it does not do: write, send or keep one. Messages for people are `messages`'.

Whatever a stranger may have written (names, above all) is cleaned here, so a record is safe in every format.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from fastmon.model.alerts import CLEARED
from fastmon.model.texts import clean_text
from fastmon.model.units import NS_PER_S, format_duration, format_time, format_value

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastmon.model.alerts import Alert

__all__ = [
    "AlertRecord",
    "MoreRecord",
    "Record",
    "alert_line",
    "alert_record",
    "decode_record",
    "encode_record",
    "record_line",
]

MAX_TEXT = 1000
"""Most characters of any one text in a record."""

MAX_ITEMS = 100
"""Most entries of a list or an object in the evidence."""

MAX_DEPTH = 5
"""Of lists and objects within each other in the evidence."""


_PLAIN = re.compile(r"[A-Za-z0-9][\w.:/()%-]*(?: [\w.:/()%][\w.:/()%-]*)*", re.ASCII)
"""Most texts: `clean_text` would return them as they are, and takes ten times as long to find out."""


class AlertRecord(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type", tag="alert"):
    """An alert, ready for JSON; docs/output.md describes the fields. What is not known, or does not apply, is left out."""

    id: str
    rule: str
    kind: str
    state: str
    severity: str
    scope: str
    time: str
    since: str
    host: str = ""
    name: str = ""
    mac: str = ""
    local: bool | None = None
    value: int | float | None = None
    limit: int | float | None = None
    unit: str = ""
    window: int | float = 0
    total_bytes: int | None = None
    limit_bytes: int | None = None
    peak: int | float | None = None
    duration_seconds: int | float | None = None
    reason: str = ""
    evidence: dict[str, Any] = msgspec.field(default_factory=dict)
    silenced: bool = False


class MoreRecord(msgspec.Struct, frozen=True, tag_field="type", tag="more"):
    """How many more alerts there were than an action was to be told.

    since, time: when the first and the last of them came.  seconds: the time that the action's rate is for.
    alerts: how many.  rules: how many of each rule.
    """

    since: str
    time: str
    seconds: int | float
    alerts: int
    rules: dict[str, int]


Record: TypeAlias = AlertRecord | MoreRecord


def alert_record(alert: Alert) -> AlertRecord:
    """Return an alert's record."""
    is_hosts_total = alert.kind == "total" and bool(alert.host) and alert.unit == "bytes"
    return AlertRecord(
        id=alert.id,
        rule=_clean(alert.rule),
        kind=alert.kind,
        state=alert.state,
        severity=alert.severity,
        scope=_clean(alert.scope),
        time=format_time(alert.ts_ns),
        since=format_time(alert.since_ns),
        host=alert.host,
        name=_clean(alert.name),
        mac=alert.mac,
        local=alert.local,
        value=_number(alert.value),
        limit=_number(alert.limit),
        unit=alert.unit,
        window=_seconds(alert.window_ns),
        total_bytes=int(alert.value) if is_hosts_total and alert.value is not None else None,
        limit_bytes=int(alert.limit) if is_hosts_total and alert.limit is not None else None,
        peak=_number(alert.peak),
        duration_seconds=_seconds(alert.ts_ns - alert.since_ns) if alert.state == CLEARED else None,
        reason=_clean(alert.reason),
        evidence={_clean(name): _cleaned(value) for name, value in list(alert.evidence.items())[:MAX_ITEMS]},
        silenced=alert.is_silenced,
    )


def encode_record(record: Record) -> bytes:
    """Return a record as JSON, without a line's end."""
    return _encoder.encode(record)


def decode_record(text: str | bytes) -> Record:
    """Return the record that `encode_record` made JSON of. Raises msgspec.MsgspecError for anything else."""
    return _decoder.decode(text)


def alert_line(alert: Alert, time_text: Callable[[int], str] = format_time) -> str:
    """Return an alert as a line for people."""
    return record_line(msgspec.structs.replace(alert_record(alert), time=time_text(alert.ts_ns)))


def record_line(record: Record) -> str:
    """Return a record as a line for people."""
    if isinstance(record, MoreRecord):
        rules = ", ".join(f"{rule} {n_alerts:,}" for rule, n_alerts in record.rules.items())
        span = "this minute" if record.seconds == 60 else format_duration(round(record.seconds * NS_PER_S))
        return f"{record.alerts:,} more in {span}: {rules}"
    parts = [part for part in (_outcome(record), _comparison(record)) if part]
    word = "CLEARED" if record.state == CLEARED else "ALERT"
    told = record.reason or f"{subject_text(record)}: {'; '.join(parts)}"
    return f"{word} {record.rule} ({record.severity}): {told}, at {record.time}"


def subject_text(record: AlertRecord) -> str:
    """Return what an alert is about: "192.168.1.40 (annas-camera, local)", or "the network"."""
    if not record.host:
        return "the network"
    sides = {True: "local", False: "remote", None: ""}
    known = ", ".join(text for text in (record.name, sides[record.local]) if text)
    return f"{record.host} ({known})" if known else record.host


def _outcome(record: AlertRecord) -> str:
    """Return how an alert that is over went: "after 2m10s, peak 95.2 Mbit/s"."""
    if record.duration_seconds is None:
        return ""
    peak = "" if record.peak is None else f", peak {format_value(record.peak, record.unit)}"
    return f"after {format_duration(round(record.duration_seconds * NS_PER_S))}{peak}"


def _comparison(record: AlertRecord) -> str:
    """Return the value and the limit, for an alert without a sentence of its own."""
    if record.value is None:
        return record.kind
    limit = "" if record.limit is None else f", the limit is {format_value(record.limit, record.unit)}"
    return f"{format_value(record.value, record.unit)}{limit}"


@lru_cache(1 << 10)  # rules, scopes and names come again and again
def _clean(text: str) -> str:
    if _PLAIN.fullmatch(text) and len(text) <= MAX_TEXT:
        return text
    cleaned = clean_text(text[:MAX_TEXT])
    return cleaned if len(cleaned) <= MAX_TEXT else cleaned[: MAX_TEXT - 1] + "…"


def _number(value: float | None) -> int | float | None:
    """Return a whole number as one: JSON has no need of its ".0"."""
    return int(value) if value is not None and float(value).is_integer() else value


def _seconds(duration_ns: int) -> int | float:
    seconds, rest_ns = divmod(duration_ns, NS_PER_S)
    return seconds if not rest_ns else duration_ns / NS_PER_S


def _cleaned(value: object, depth: int = 1) -> object:
    """Return a piece of evidence as JSON has it: its texts cleaned, its size bounded."""
    if isinstance(value, str):
        return _clean(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if depth < MAX_DEPTH and isinstance(value, (dict, Mapping)):  # dict first: it is quick
        return {_clean(str(name)): _cleaned(part, depth + 1) for name, part in list(value.items())[:MAX_ITEMS]}
    if depth < MAX_DEPTH and isinstance(value, (list, tuple, Sequence)) and not isinstance(value, (bytes, bytearray)):
        return [_cleaned(part, depth + 1) for part in value[:MAX_ITEMS]]
    plain = getattr(value, "item", None)  # a number of numpy's
    return plain() if callable(plain) else _clean(str(value))


_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(AlertRecord | MoreRecord)
