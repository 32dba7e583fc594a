"""Rows of every table, all of one number: what belongs together can be told from what does not."""

from __future__ import annotations

from typing import Any

from fastmon.model.alerts import Alert
from fastmon.model.memory import Baseline, Changes, DayTotal, KnownDevice, Memory, OpenIncident, PeriodTotal, Told

S = 1_000_000_000
DAY = 86_400 * S
T0 = 1_767_225_600 * S  # 2026-01-01
MAC = "02:00:5e:10:00:14"


def alert(id_: str = "a", **fields: Any) -> Alert:
    values = {
        "rule": "quota",
        "kind": "total",
        "severity": "warning",
        "scope": "local",
        "ts_ns": T0,
        "since_ns": T0,
        "host": "10.0.0.1",
    }
    return Alert(id=id_, **{**values, **fields})


def device(id_: str = MAC, last_seen_ns: int = T0, **fields: Any) -> KnownDevice:
    values = {"mac": MAC, "addresses": ("10.0.0.1", "fe80::1"), "name": "camera", "vendor": "Acme", "first_seen_ns": T0}
    return KnownDevice(id=id_, last_seen_ns=last_seen_ns, **{**values, **fields})


def incident(rule: str = "quota", subject: str = "10.0.0.1", **fields: Any) -> OpenIncident:
    return OpenIncident(rule, subject, **{"item": "", "alert_id": "", "data": {}, **fields})


def changes(number: int) -> Changes:
    """Rows of all tables that say `number`, each over the one of another number."""
    return Changes(
        periods=[PeriodTotal("quota", "10.0.0.1", T0, T0 + 31 * DAY, number, 5_000, 80)],
        incidents=[OpenIncident("uplink", "network", "", "id", {"peak": number, "text": "é"})],
        told=[Told("ports", "10.0.0.1", "tcp/5201", number)],
        devices=[device(last_seen_ns=number)],
        baselines=[Baseline("habit", "10.0.0.1", 167, float(number), 0.5, 0.25)],
        days=[DayTotal("10.0.0.1", T0, number, 2, 3, 4)],
    )


def memory(number: int) -> Memory:
    """What is read back of `changes(number)`."""
    rows = changes(number)
    return Memory(**{name: tuple(getattr(rows, name)) for name in Memory.__dataclass_fields__})


def numbers(found: Memory) -> set[int]:
    """The numbers that the rows of a memory say."""
    return {
        *(row.bytes for row in found.periods),
        *(int(str(row.data["peak"])) for row in found.incidents),
        *(row.ts_ns for row in found.told),
        *(row.last_seen_ns for row in found.devices),
        *(int(row.n_samples) for row in found.baselines),
        *(row.bytes_in for row in found.days),
    }
