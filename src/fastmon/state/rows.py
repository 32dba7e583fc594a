"""How the values of rules stand in tables, and come back from them.

What it does not do: open or lock anything.
"""

from __future__ import annotations

import math
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from fastmon.model.alerts import CLEARED, FIRING, Alert
from fastmon.model.memory import Baseline, DayTotal, KnownDevice, OpenIncident, PeriodTotal, Told
from fastmon.state.schema import IS_OPEN

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Iterator, Sequence

__all__ = [
    "ALERT",
    "ALERT_COLUMNS",
    "TABLES",
    "KeptAlert",
    "Row",
    "Table",
    "alert_row",
    "fit",
    "read_alert",
    "read_all",
]

Row = tuple[Any, ...]

_MOST = (1 << 63) - 1

_NO_SIDE = 2
"""`is_local` of the network's alerts."""


class Table(NamedTuple):
    """A table of `Changes`.

    name: also the field's in `Changes` and `Memory`.  key: of a value, which replaces an older one with the same.
    statement: writes one row.  row: of a value.  read: makes a value of a row.  columns: those that `read` takes.
    forget: removes the row of a key, for values that are closed; "" where none ever is.
    """

    name: str
    key: Callable[[Any], Any]
    statement: str
    row: Callable[[Any], Row]
    read: Callable[[Row], Any]
    columns: str
    forget: str = ""


def _upsert(table: str, columns: Sequence[str], key: Sequence[str]) -> str:
    """Return the statement that writes a row, over the one with its key if there is one."""
    marks = ", ".join("?" * len(columns))
    changed = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in key)
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks}) ON CONFLICT ({', '.join(key)}) DO UPDATE SET {changed}"


def _plain(name: str, kind: type, key: Sequence[str], renamed: dict[str, str] | None = None) -> Table:
    """Return the table of a dataclass whose fields are all texts and numbers; one with `is_closed` may be closed."""
    fields: list[str] = list(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    forget = _forget(name, key) if "is_closed" in fields else ""
    fields = [field for field in fields if field != "is_closed"]
    columns = [(renamed or {}).get(field, field) for field in fields]
    return Table(
        name,
        attrgetter(*key),
        _upsert(name, columns, key),
        attrgetter(*fields),
        lambda row: kind(*row),
        ", ".join(columns),
        forget,
    )


def _forget(table: str, key: Sequence[str]) -> str:
    """Return the statement that removes the row of a key."""
    return f"DELETE FROM {table} WHERE {' AND '.join(f'{name} = ?' for name in key)}"


_DEVICE = ("id", "mac", "addresses", "name", "vendor", "first_seen_ns", "last_seen_ns")


def _device_row(device: KnownDevice) -> Row:
    addresses = "\n".join(device.addresses)
    return (
        device.id,
        device.mac,
        addresses,
        device.name,
        device.vendor,
        device.first_seen_ns,
        device.last_seen_ns,
        device.given_name,
        0,
    )


def _read_device(row: Row) -> KnownDevice:
    id_, mac, addresses, *rest = row
    return KnownDevice(id_, mac, tuple(addresses.split("\n")) if addresses else (), *rest)


_DEVICES = Table(
    "devices",
    attrgetter("id"),
    # A run that was going on when somebody forgot a device still knows it, from before: that is not kept again.
    f"INSERT INTO devices ({', '.join(_DEVICE)}, given_name, forgotten_ns) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) "
    f"ON CONFLICT (id) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in (*_DEVICE[1:], 'forgotten_ns'))} "
    "WHERE forgotten_ns = 0 OR excluded.first_seen_ns > forgotten_ns",
    _device_row,
    _read_device,
    ", ".join((*_DEVICE, "given_name")),
)


def _encode(value: object) -> str:
    return msgspec.json.encode(value, enc_hook=_as_plain).decode()


def _as_plain(value: Any) -> object:
    """Return a number of numpy's as Python's, anything else that JSON does not have as a text."""
    item = getattr(value, "item", None)
    return item() if callable(item) else str(value)


def _incident_row(incident: OpenIncident) -> Row:
    data = _encode(incident.data)
    return incident.rule, incident.subject, incident.item, incident.alert_id, data


def _read_incident(row: Row) -> OpenIncident:
    rule, subject, item, alert_id, data = row
    return OpenIncident(rule, subject, item, alert_id, msgspec.json.decode(data, type=dict[str, Any]))


_INCIDENT_KEY = ("rule", "subject", "item")
_INCIDENTS = Table(
    "incidents",
    attrgetter(*_INCIDENT_KEY),
    _upsert("incidents", (*_INCIDENT_KEY, "alert_id", "data"), _INCIDENT_KEY),
    _incident_row,
    _read_incident,
    "rule, subject, item, alert_id, data",
    _forget("incidents", _INCIDENT_KEY),
)

_BASELINE = ("rule", "subject", "bucket", "n_samples", "mean", "spread")
_SAVED = "CAST(strftime('%s', 'now') AS INTEGER) * 1000000000"
_BASELINES = Table(
    "baselines",
    attrgetter("rule", "subject", "bucket"),
    f"INSERT INTO baselines ({', '.join(_BASELINE)}, saved_ns) VALUES (?, ?, ?, ?, ?, ?, {_SAVED}) "
    "ON CONFLICT (rule, subject, bucket) DO UPDATE SET "
    + ", ".join(f"{name} = excluded.{name}" for name in (*_BASELINE[3:], "saved_ns")),
    attrgetter(*_BASELINE),
    lambda row: Baseline(*row),
    ", ".join(_BASELINE),
)

TABLES: tuple[Table, ...] = (
    _plain("periods", PeriodTotal, ("rule", "subject"), {"period_start_ns": "start_ns", "period_end_ns": "end_ns"}),
    _INCIDENTS,
    _plain("told", Told, ("rule", "subject", "item")),
    _DEVICES,
    _BASELINES,
    _plain("days", DayTotal, ("day_start_ns", "subject")),
)


def read_all(connection: sqlite3.Connection, table: Table, condition: str = "") -> Iterator[Any]:
    """Yield the values of a table's rows."""
    return map(table.read, connection.execute(f"SELECT {table.columns} FROM {table.name} {condition}"))


# Alerts.

_ALERT = (
    *("id", "rule", "kind", "severity", "scope", "host", "name", "mac", "unit", "reason", "cleared_reason"),
    *("evidence", "actions", "since_ns", "fired_ns", "ended_ns", "last_ns", "window_ns"),
    *("is_local", "is_silenced", "value", "bound", "peak"),
)
_AT_CLEARING = ("cleared_reason", "ended_ns", "last_ns", "peak")

ALERT = (
    f"INSERT INTO alerts ({', '.join(_ALERT)}) VALUES ({', '.join('?' * len(_ALERT))}) ON CONFLICT (id) DO UPDATE SET "
    # What explains an alert is what was so when it fired: the record that clears adds its end.
    + ", ".join(
        f"{name} = CASE WHEN excluded.ended_ns = 0 OR {name in _AT_CLEARING:d} THEN excluded.{name} ELSE {name} END"
        for name in _ALERT
        if name not in {"id", "fired_ns"}
    )
)


def alert_row(alert: Alert) -> Row:
    """Return the row of an alert's record; `ALERT` writes it over an earlier record of the same alert."""
    is_firing = alert.state == FIRING
    numbers = (None if number is None else float(number) for number in (alert.value, alert.limit, alert.peak))
    return (
        *(alert.id, alert.rule, alert.kind, alert.severity, alert.scope, alert.host, alert.name, alert.mac, alert.unit),
        *((alert.reason, "") if is_firing else ("", alert.reason)),
        _encode(dict(alert.evidence)),
        "\n".join(alert.actions),
        alert.since_ns,
        alert.ts_ns if is_firing else alert.since_ns,
        0 if is_firing else alert.ts_ns,
        alert.ts_ns,
        alert.window_ns,
        _NO_SIDE if alert.local is None else int(alert.local),
        int(alert.is_silenced),
        *numbers,
    )


class KeptAlert(NamedTuple):
    """An alert as it is kept.

    alert: as it fired, or with its end: then `ts_ns` is when it cleared, and `reason` still why it fired.
    is_open: it may still clear.  cleared_reason: of the record that cleared it.
    """

    alert: Alert
    is_open: bool
    cleared_reason: str


ALERT_COLUMNS = ", ".join((*_ALERT, IS_OPEN))


def read_alert(row: Row) -> KeptAlert:
    """Return the alert of a row of `ALERT_COLUMNS`."""
    found = dict(zip((*_ALERT, "is_open"), row, strict=True))
    texts = {name: found[name] for name in ("id", "rule", "kind", "severity", "scope", "host", "name", "mac", "unit")}
    try:
        evidence = msgspec.json.decode(found["evidence"], type=dict[str, Any])
    except msgspec.DecodeError:  # damaged; the rest of it may be of use
        evidence = {}
    has_cleared = found["ended_ns"] != 0
    alert = Alert(
        **texts,
        ts_ns=found["ended_ns"] if has_cleared else found["last_ns"],
        since_ns=found["since_ns"],
        state=CLEARED if has_cleared else FIRING,
        local=None if found["is_local"] == _NO_SIDE else bool(found["is_local"]),
        value=found["value"],
        limit=found["bound"],
        peak=found["peak"],
        window_ns=found["window_ns"],
        reason=found["reason"] or found["cleared_reason"],
        evidence=evidence,
        actions=tuple(found["actions"].split("\n")) if found["actions"] else (),
        is_silenced=bool(found["is_silenced"]),
    )
    return KeptAlert(alert, bool(found["is_open"]), found["cleared_reason"])


def fit(row: Iterable[object]) -> Row:
    """Return a row with what SQLite would refuse made fit: big numbers, lone surrogates, numpy's numbers, not-a-number."""
    return tuple(map(_fit, row))


def _fit(value: object) -> object:
    if value is None or isinstance(value, float):
        return value if value is None or math.isfinite(value) else 0.0
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if hasattr(value, "__index__"):
        return min(max(int(value), -_MOST), _MOST)
    return value
