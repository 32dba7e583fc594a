"""What commands ask of a state, and change in it, while a run may be writing it.

Each question is a transaction of its own, which has ended before anything is shown: a reader that is slow to show would keep
SQLite from taking its log over, and the log would grow.

What it does not do: parse arguments, lay anything out.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from fastmon.bounds import SEVERITIES
from fastmon.errors import StateError
from fastmon.model.alerts import NETWORK
from fastmon.model.memory import DayTotal, KnownDevice, PeriodTotal
from fastmon.model.silences import Silence, Target
from fastmon.model.texts import printable
from fastmon.state.connection import connect, is_damage, open_readable, reason_of
from fastmon.state.files import shown
from fastmon.state.rows import ALERT_COLUMNS, TABLES, KeptAlert, Row, read_alert, read_all
from fastmon.state.schema import IS_OPEN

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from typing_extensions import Self

__all__ = ["AlertFilter", "DayAndMonth", "Desk", "Hosts"]

_TABLES = {table.name: table for table in TABLES}
AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class AlertFilter:
    """Which alerts are asked for.

    host: the network's are meant by `NETWORK`.  severity: this or a worse one.  since_ns: open ones are older, too.
    """

    host: Target | None = None
    rule: str | None = None
    severity: str = SEVERITIES[0]
    since_ns: int | None = None


class DayAndMonth(NamedTuple):
    """What a host has moved on the last day that it moved anything, and in the month of that day, so far (UTC)."""

    day: DayTotal
    month_bytes_in: int
    month_bytes_out: int


class Hosts:
    """Which devices have which addresses."""

    def __init__(self, devices: Sequence[KnownDevice]) -> None:
        self._by_subject = {address: device for device in devices for address in (*device.addresses, device.id)}

    def name(self, subject: str) -> str:
        """Return what a subject is called: the name that a person gave it, else the network's; "" if unknown."""
        device = self._by_subject.get(subject)
        return "" if device is None else device.given_name or device.name

    def addresses(self, mac: str) -> tuple[str, ...]:
        """Return the addresses that a device has, or had, by its MAC address; none if that is not known."""
        device = self._by_subject.get(mac)
        return device.addresses if device is not None and device.mac == mac else ()

    def is_meant(self, target: Target, subject: str) -> bool:
        """Return whether `target` names a subject; a device is meant by any of its addresses, too."""
        device = self._by_subject.get(subject)
        if device is None:
            return target.is_host(subject, subject)
        addresses = (subject, *self.addresses(subject))
        return any(target.is_host(each, device.mac or subject, device.name, device.given_name) for each in addresses)


class Desk:
    """A state as commands have it. path: the file.  writes: it is to be changed. Raises StateError, here and in all methods."""

    def __init__(self, path: Path, *, writes: bool = False) -> None:
        self.path = path
        if not writes:
            self._connection = open_readable(path)
            return
        open_readable(path).close()
        with self._translated("change"):
            self._connection = connect(path, writes=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(sqlite3.Error):
            self._connection.close()

    @contextmanager
    def _translated(self, what: str = "read") -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            text = f"is damaged ({error})" if is_damage(error) else reason_of(error)
            raise StateError(f"cannot {what} the state {shown(self.path)}: {text}") from error

    def _rows(self, statement: str, arguments: Sequence[object] = ()) -> list[Row]:
        with self._translated():
            return self._connection.execute(statement, arguments).fetchall()

    def _change(self, statement: str, arguments: Sequence[object]) -> int:
        with self._translated("change"):
            return self._connection.execute(statement, arguments).rowcount

    # Alerts.

    def alert_ids(self, wanted: AlertFilter) -> list[str]:
        """Return the ids of the alerts that are asked for: the open ones, then the past ones, the newest of each first."""
        conditions, arguments = (
            ["severity IN (" + ", ".join("?" * len(_at_least(wanted.severity))) + ")"],
            [*_at_least(wanted.severity)],
        )
        if wanted.rule is not None:
            conditions.append("rule = ?")
            arguments.append(wanted.rule)
        if wanted.since_ns is not None:
            conditions.append(f"({IS_OPEN} OR last_ns >= {int(wanted.since_ns)})")
        rows = self._rows(
            "SELECT id, host, mac, name FROM alerts "
            f"WHERE {' AND '.join(conditions)} ORDER BY {IS_OPEN} DESC, last_ns DESC, fired_ns DESC, id",
            arguments,
        )
        if wanted.host is None:
            return [id_ for id_, *_ in rows]
        hosts = self.hosts()
        return [
            id_
            for id_, host, mac, name in rows
            if wanted.host.is_host(host or NETWORK, mac, name) or hosts.is_meant(wanted.host, host)
        ]

    def alerts(self, ids: Sequence[str]) -> Iterator[KeptAlert]:
        """Yield alerts, in the order of their ids. One that has just been removed is left out."""
        for start in range(0, len(ids), AT_ONCE):
            some = ids[start : start + AT_ONCE]
            marks = ", ".join("?" * len(some))
            rows = self._rows(f"SELECT {ALERT_COLUMNS} FROM alerts WHERE id IN ({marks})", some)
            found = {row[0]: row for row in rows}
            yield from (read_alert(found[id_]) for id_ in some if id_ in found)

    # Usage.

    def periods(self) -> list[PeriodTotal]:
        """Return the totals of the rules' last periods, by rule, the fullest first."""
        return self._values("periods", "ORDER BY rule, CAST(bytes AS REAL) / max(limit_bytes, 1) DESC, subject")

    def days(self) -> list[DayAndMonth]:
        """Return what each host has moved last, the greatest month first."""
        rows = self._rows(
            # beside max(), SQLite takes the other columns from the row that has the greatest
            "SELECT subject, max(day_start_ns), bytes_in, bytes_out, packets_in, packets_out, sum(bytes_in), sum(bytes_out) "
            "FROM days GROUP BY subject, strftime('%Y-%m', day_start_ns / 1000000000, 'unixepoch') ORDER BY 2"
        )
        last = {row[0]: DayAndMonth(DayTotal(*row[:6]), row[6], row[7]) for row in rows}
        return sorted(last.values(), key=lambda found: (-found.month_bytes_in - found.month_bytes_out, found.day.subject))

    # Devices.

    def devices(self) -> list[KnownDevice]:
        """Return the known devices, those seen last first."""
        return self._values("devices", "WHERE forgotten_ns = 0 ORDER BY last_seen_ns DESC, id")

    def hosts(self) -> Hosts:
        """Return which devices have which addresses."""
        return Hosts(self.devices())

    def find_device(self, text: str) -> KnownDevice:
        """Return the one device of an id, an address, a MAC address or a name. Raises StateError if it is none, or several."""
        target = Target(text)
        devices = self.devices()
        found = [device for device in devices if device.id == target.text] or [
            device
            for device in devices
            if any(
                target.is_host(address, device.mac, device.name, device.given_name) for address in (device.id, *device.addresses)
            )
        ]
        if not found:
            raise StateError(f"no device {printable(text)!r} is known: 'fastmon devices' lists them")
        if len(found) > 1:
            ids = ", ".join(printable(device.id) for device in found[:5])
            raise StateError(f"{printable(text)!r} are {len(found)} devices ({ids}...): name one by its id")
        return found[0]

    def rename(self, device: KnownDevice, name: str) -> KnownDevice:
        """Give a device a name, or with "" take it back."""
        self._change("UPDATE devices SET given_name = ? WHERE id = ?", (name, device.id))
        return replace(device, given_name=name)

    def forget(self, device: KnownDevice, now_ns: int) -> None:
        """Forget a device: it is told as new when it is seen again, by a run that begins later."""
        self._change("UPDATE devices SET forgotten_ns = ?, given_name = '' WHERE id = ?", (now_ns, device.id))
        self._change("DELETE FROM told WHERE subject = ?", (device.id,))

    # Silences.

    def silences(self, now_ns: int) -> list[Silence]:
        """Return the silences that are not over, the longest last."""
        rows = self._rows(
            "SELECT target, since_ns, until_ns FROM silences WHERE until_ns > ? ORDER BY until_ns, target", (now_ns,)
        )
        return [Silence(*row) for row in rows]

    def silence(self, silence: Silence) -> None:
        """Keep a silence, in place of an older one of the same target."""
        self._change("INSERT OR REPLACE INTO silences VALUES (?, ?, ?)", (silence.target, silence.since_ns, silence.until_ns))

    def end_silence(self, target: Target) -> bool:
        """End a silence; return whether there was one."""
        return self._change("DELETE FROM silences WHERE target = ?", (target.text,)) > 0

    def resolve(self, target: Target) -> Target | None:
        """Return what is meant by a target: a device's name becomes its id; None if nothing in the state has the name."""
        if not target.is_name or target.text == NETWORK:
            return target
        tables = ("periods", "incidents", "told", "baselines", "alerts")
        statement = " OR ".join(f"EXISTS (SELECT 1 FROM {table} WHERE rule = ?)" for table in tables)
        ((is_rule,),) = self._rows(f"SELECT {statement}", [target.text] * len(tables))
        if is_rule:
            return target
        ids = [device.id for device in self.devices() if target.is_host("", "", device.name, device.given_name)]
        if len(ids) > 1:
            return target
        return Target(ids[0]) if ids else None

    def _values(self, table: str, order: str) -> list[Any]:
        with self._translated():
            return list(read_all(self._connection, _TABLES[table], order))


def _at_least(severity: str) -> tuple[str, ...]:
    return SEVERITIES[SEVERITIES.index(severity) :]
