"""Records of a capture, and the totals that accounting it must give.

What it does not do: decode. A record's totals come from the marks that its builder set.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .pdu import Mark, Pdu

__all__ = ["REASONS", "Record", "dump", "hosts_sha256", "totals"]

REASONS = ("truncated", "malformed", "too_deep", "encrypted", "unsupported_link_type")


@dataclass(frozen=True, slots=True)
class Record:
    """One captured frame.

    ts_ns: nanoseconds since the epoch, or None where the format stores no time.
    cap_len, wire_len: the frame's own length by default.
    """

    frame: Pdu
    ts_ns: int | None
    cap_len: int = -1
    wire_len: int = -1

    def __post_init__(self) -> None:
        if self.cap_len < 0:
            object.__setattr__(self, "cap_len", len(self.frame.data))
        if self.wire_len < 0:
            object.__setattr__(self, "wire_len", len(self.frame.data))

    @property
    def data(self) -> bytes:
        """The captured bytes."""
        return self.frame.data[: self.cap_len]


@dataclass(slots=True)
class Host:
    """What one address sent and received."""

    bytes_in: int = 0
    bytes_out: int = 0
    packets_in: int = 0
    packets_out: int = 0
    times: list[int | None] = field(default_factory=list)

    def as_dict(self) -> dict[str, int | None]:
        """Return the host as it is written; the times are null when the format did not store each of them."""
        known = [ts for ts in self.times if ts is not None]
        complete = len(known) == len(self.times)
        return {
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "packets_in": self.packets_in,
            "packets_out": self.packets_out,
            "first_seen_ns": min(known) if complete else None,
            "last_seen_ns": max(known) if complete else None,
        }


def totals(records: Iterable[Record], error: str | None = None) -> dict[str, Any]:
    """Return a capture's true totals.

    error: why reading ends after `records`: None at the end of the file, "truncated" in the middle of a record,
        "damaged" where the file contradicts itself.
    """
    records = list(records)
    counts = {name: {"frames": 0, "bytes": 0} for name in ("ip", "non_ip", *REASONS)}
    for record in records:
        count = counts[record.frame.outer(record.cap_len).status]
        count["frames"] += 1
        count["bytes"] += record.wire_len
    outer = by_host((record, record.frame.outer(record.cap_len)) for record in records)
    inner = by_host((record, record.frame.inner(record.cap_len)) for record in records)
    truth = {
        "error": error,
        "frames": len(records),
        "bytes": sum(record.wire_len for record in records),
        "ip": counts["ip"],
        "non_ip": counts["non_ip"],
        "undecoded": {reason: counts[reason] for reason in REASONS},
        "hosts": outer,
    }
    return truth if inner == outer else truth | {"inner_hosts": inner}


def by_host(marked: Iterable[tuple[Record, Mark]]) -> dict[str, dict[str, int | None]]:
    """Return the hosts of the records that were marked as IP, in the order of their addresses' texts."""
    hosts: dict[str, Host] = {}
    for record, mark in marked:
        if mark.status != "ip":
            continue
        sender = hosts.setdefault(str(ipaddress.ip_address(mark.src)), Host())
        sender.bytes_out += record.wire_len
        sender.packets_out += 1
        sender.times.append(record.ts_ns)
        receiver = hosts.setdefault(str(ipaddress.ip_address(mark.dst)), Host())
        receiver.bytes_in += record.wire_len
        receiver.packets_in += 1
        receiver.times.append(record.ts_ns)
    return {name: hosts[name].as_dict() for name in sorted(hosts)}


def hosts_sha256(hosts: Iterable[tuple[str, int, int, int, int]]) -> str:
    """Return a checksum of all hosts' totals: SHA-256 of the sorted lines "address bytes_in bytes_out packets_in packets_out"."""
    lines = sorted(f"{name} {bytes_in} {bytes_out} {n_in} {n_out}\n" for name, bytes_in, bytes_out, n_in, n_out in hosts)
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode())
    return digest.hexdigest()


def dump(truth: Mapping[str, Any], indent: str = "") -> str:
    """Return totals as JSON, one line for each of its values and each host."""
    lines = []
    for key, value in truth.items():
        if key.endswith("hosts") and isinstance(value, dict):
            rows = ",\n".join(f"{indent}  {json.dumps(name)}: {json.dumps(row)}" for name, row in value.items())
            text = f"{{\n{rows}\n{indent} }}" if value else "{}"
        else:
            text = json.dumps(value)
        lines.append(f"{indent} {json.dumps(key)}: {text}")
    return "{\n" + ",\n".join(lines) + f"\n{indent}}}"
