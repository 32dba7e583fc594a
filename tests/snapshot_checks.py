"""What tests look at in snapshots."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastmon.model.counters import Count
from fastmon.model.names import NameBook

if TYPE_CHECKING:
    from fastmon.model.snapshot import Snapshot


class Row(NamedTuple):
    """All that a snapshot says of one host."""

    key: bytes
    bytes_in: int
    bytes_out: int
    packets_in: int
    packets_out: int
    first_seen_ns: int
    last_seen_ns: int
    total_bytes_in: int
    total_bytes_out: int
    local: bool
    flagged: bool


def rows(snapshot: Snapshot) -> list[Row]:
    """Return the hosts of a snapshot, sorted by key."""
    columns = [snapshot.hosts[name].tolist() for name in Row._fields[1:7]]
    columns += [getattr(snapshot, name).tolist() for name in Row._fields[7:]]
    keys = [bytes(key) for key in snapshot.hosts["key"].tolist()]
    return sorted(Row(key, *values) for key, *values in zip(keys, *columns, strict=True))


def row(snapshot: Snapshot, key: bytes) -> Row:
    """Return the one row of a host."""
    (found,) = (row for row in rows(snapshot) if row.key == key)
    return found


def contents(snapshot: Snapshot) -> dict[str, Any]:
    """Return all fields of a snapshot in a form that compares; of names, those of its hosts."""
    return {field.name: _comparable(getattr(snapshot, field.name), snapshot) for field in fields(snapshot)}


def _comparable(value: object, snapshot: Snapshot) -> object:
    if isinstance(value, np.ndarray):
        return value.dtype, [value[name].tolist() for name in value.dtype.names] if value.dtype.names else value.tolist()
    if isinstance(value, NameBook):
        n_hosts = len(snapshot)
        return [value.names_of(snapshot.hosts["key"], np.full(n_hosts, is_local)) for is_local in (False, True)]
    return value


def arrays(snapshot: Snapshot) -> dict[str, np.ndarray]:
    """Return the arrays of a snapshot by the names of their fields."""
    values = {field.name: getattr(snapshot, field.name) for field in fields(snapshot)}
    return {name: value for name, value in values.items() if isinstance(value, np.ndarray)}


def assert_conserved(snapshot: Snapshot) -> None:
    """Check that every frame of the snapshot is counted once in each sum that it belongs to."""
    counters, hosts, overflow = snapshot.counters, rows(snapshot), snapshot.counters.overflow
    parts = sum(counters.undecoded.values(), counters.ip + counters.non_ip + counters.duplicates)
    assert parts.frames == counters.frames.frames
    assert parts.bytes == counters.frames.bytes or snapshot.bytes_of == "ip"
    received = Count(sum(row.packets_in for row in hosts), sum(row.bytes_in for row in hosts))
    sent = Count(sum(row.packets_out for row in hosts), sum(row.bytes_out for row in hosts))
    assert received + Count(overflow.frames_in, overflow.bytes_in) == counters.ip
    assert sent + Count(overflow.frames_out, overflow.bytes_out) == counters.ip
    assert len({row.key for row in hosts}) == len(hosts)
