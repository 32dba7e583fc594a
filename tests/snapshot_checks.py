"""What tests look at in snapshots."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from fastmon.model.snapshot import Count

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


def assert_conserved(snapshot: Snapshot) -> None:
    """Check that every frame of the snapshot is counted once in each sum that it belongs to."""
    counters, hosts, overflow = snapshot.counters, rows(snapshot), snapshot.counters.overflow
    assert counters.frames == sum(counters.undecoded.values(), counters.ip + counters.non_ip)
    received = Count(sum(row.packets_in for row in hosts), sum(row.bytes_in for row in hosts))
    sent = Count(sum(row.packets_out for row in hosts), sum(row.bytes_out for row in hosts))
    assert received + Count(overflow.frames_in, overflow.bytes_in) == counters.ip
    assert sent + Count(overflow.frames_out, overflow.bytes_out) == counters.ip
    assert len({row.key for row in hosts}) == len(hosts)
