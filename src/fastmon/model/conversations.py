"""Conversations and applications: the values that accountants, classifiers and snapshots share.

Here an application is a number, 1 to 255; 0 is unknown.

What it does not do: account, or name applications.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastmon.errors import ConfigError
from fastmon.model.rows import RowGroups, concatenate_entries

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "APP_DTYPE",
    "APP_TOTAL_DTYPE",
    "CONVERSATION_DTYPE",
    "ENDED_REASONS",
    "LABELLED_BY",
    "PORT_TOTAL_DTYPE",
    "UNKNOWN_APP",
    "AppTables",
    "AppTraffic",
    "ConversationCounts",
    "EndedConversations",
    "FoundName",
    "FoundNames",
    "Payload",
]

UNKNOWN_APP = 0

ENDED_REASONS: tuple[str, ...] = ("fin", "rst", "idle", "full", "end")
"""Why a conversation ended, by its number in `CONVERSATION_DTYPE`'s `ended`."""

LABELLED_BY: tuple[str, ...] = ("none", "port", "payload")
"""Where a conversation's application comes from, by its number in `CONVERSATION_DTYPE`'s `by`."""

CONVERSATION_DTYPE = np.dtype(
    [
        ("token", "u8"),
        ("a", "u1", (16,)),
        ("b", "u1", (16,)),
        ("a_port", "u2"),
        ("b_port", "u2"),
        ("protocol", "u1"),
        ("app", "u1"),
        ("by", "u1"),
        ("ended", "u1"),
        ("packets_ab", "u8"),
        ("bytes_ab", "u8"),
        ("packets_ba", "u8"),
        ("bytes_ba", "u8"),
        ("first_ns", "i8"),
        ("last_ns", "i8"),
    ]
)
"""One ended conversation: 96 bytes. `a` sent its first frame."""

APP_DTYPE = np.dtype(
    [("host", "u4"), ("app", "u1"), ("bytes_in", "u8"), ("bytes_out", "u8"), ("packets_in", "u8"), ("packets_out", "u8")],
    align=True,
)
"""One application of one host: 40 bytes, aligned. `host` is the host's row index."""

APP_TOTAL_DTYPE = np.dtype([("app", "u1"), ("frames", "u8"), ("bytes", "u8")], align=True)
"""One application over all hosts: 24 bytes, aligned."""

PORT_TOTAL_DTYPE = np.dtype([("frames", "u8"), ("bytes", "u8"), ("port", "u2"), ("protocol", "u1")], align=True)
"""The traffic of conversations of no known application whose lower port is the same: 24 bytes, aligned."""

_TRAFFIC_COLUMNS = ("bytes_in", "bytes_out", "packets_in", "packets_out")


@dataclass(frozen=True, slots=True)
class AppTables:
    """The application of each protocol and port, as its number; 0 for none.

    protocols: 256 bytes, by IP protocol.  tcp_ports, udp_ports: 65536 bytes, by port.

    Raises ConfigError for a table of another length.
    """

    protocols: bytes = field(default=bytes(256), repr=False)
    tcp_ports: bytes = field(default=bytes(65536), repr=False)
    udp_ports: bytes = field(default=bytes(65536), repr=False)

    def __post_init__(self) -> None:
        for name, length in (("protocols", 256), ("tcp_ports", 65536), ("udp_ports", 65536)):
            if len(getattr(self, name)) != length:
                raise ConfigError(f"{name} has {len(getattr(self, name))} entries; {length} are needed")


class Payload(NamedTuple):
    """A payload for the classifier.

    token: identifies the conversation, and is never used for another.  a_host, b_host: 16-byte host keys.
    from_a: whether `a` sent this, which sent the conversation's first frame.  data: at most 1500 bytes.
    """

    token: int
    protocol: int
    a_host: bytes
    a_port: int
    b_host: bytes
    b_port: int
    from_a: bool
    ts_ns: int
    data: bytes


class FoundName(NamedTuple):
    """A name of a host that a payload told.  key: the host's.  name: as it was sent.  source: one of `names.NAME_SOURCES`."""

    key: bytes
    name: bytes
    source: str
    ts_ns: int


class FoundNames(NamedTuple):
    """Names that payloads told.

    hosts: those of hosts, oldest first.  titles: (token, name as it was sent) of conversations that asked for a name.
    hellos: (token, whole TLS ClientHello with its header), of TCP and DTLS.
    certificates: (token, a server's first certificate in DER, as much of it as was there).
    """

    hosts: Sequence[FoundName] = ()
    titles: Sequence[tuple[int, bytes]] = ()
    hellos: Sequence[tuple[int, bytes]] = ()
    certificates: Sequence[tuple[int, bytes]] = ()


class AppTraffic(NamedTuple):
    """What one application moved for one host."""

    bytes_in: int
    bytes_out: int
    packets_in: int
    packets_out: int


class EndedConversations(NamedTuple):
    """Ended conversations.

    rows: `CONVERSATION_DTYPE`, in the order of their ends.
    names: the server name that each conversation asked for (SNI, Host and the like), clean; None where it asked for none.
    ja4: the JA4 fingerprint of each conversation's TLS client; None where it is not known.
    certificates: the name in the certificate of each conversation's server, clean; None where it is not known.
    """

    rows: NDArray[np.void]
    names: Sequence[str | None]
    ja4: Sequence[str | None]
    certificates: Sequence[str | None]


@dataclass(frozen=True, slots=True)
class ConversationCounts:
    """How many conversations one period had.

    opened: in the period.  ended: in the period, by each of `ENDED_REASONS`.  running: at its end.
    n_skipped: payloads that were not classified: the ring was full, or the budget used up.
    """

    opened: int = 0
    ended: dict[str, int] = field(default_factory=lambda: dict.fromkeys(ENDED_REASONS, 0))
    running: int = 0
    n_skipped: int = 0


def add_counts(parts: Sequence[ConversationCounts | None], running: int) -> ConversationCounts | None:
    """Add up numbers of conversations, except `running`, which cannot be added up over periods. None if all parts are None."""
    counts = [part for part in parts if part is not None]
    if not counts:
        return None
    return ConversationCounts(
        sum(part.opened for part in counts),
        {reason: sum(part.ended[reason] for part in counts) for reason in ENDED_REASONS},
        running,
        sum(part.n_skipped for part in counts),
    )


def merge_apps(parts: Sequence[NDArray[np.void]], new_rows: Sequence[NDArray[np.intp]]) -> NDArray[np.void]:
    """Add up applications of hosts; `new_rows`: for each part, the new row index of each of its hosts."""
    apps = concatenate_entries(parts, new_rows)
    return _add_up(apps, apps["host"].astype(np.uint64) * 256 + apps["app"], _TRAFFIC_COLUMNS)


def merge_app_totals(parts: Sequence[NDArray[np.void]]) -> NDArray[np.void]:
    """Add up applications' totals."""
    totals = np.concatenate(parts)
    return _add_up(totals, totals["app"].astype(np.uint64), ("frames", "bytes"))


def merge_port_totals(parts: Sequence[NDArray[np.void]]) -> NDArray[np.void]:
    """Add up ports' totals."""
    totals = np.concatenate(parts)
    return _add_up(totals, totals["protocol"].astype(np.uint64) << np.uint64(16) | totals["port"], ("frames", "bytes"))


def merge_services(parts: Sequence[NDArray[np.void]], new_rows: Sequence[NDArray[np.intp]]) -> NDArray[np.void]:
    """Add up services of hosts; `new_rows`: for each part, the new row index of each of its hosts."""
    services = concatenate_entries(parts, new_rows)
    groups = RowGroups.of([services["host"], services["role"], services["protocol"], services["port"]])
    merged: NDArray[np.void] = services[groups.first_rows]
    for name in ("bytes_in", "bytes_out", "packets_in", "packets_out", "conversations"):
        merged[name] = groups.reduce(services[name], np.add)
    merged["first_ns"] = groups.reduce(services["first_ns"], np.minimum)
    merged["last_ns"] = groups.reduce(services["last_ns"], np.maximum)
    return merged


def _add_up(rows: NDArray[np.void], keys: NDArray[np.uint64], columns: Sequence[str]) -> NDArray[np.void]:
    """Return one row for each key, in the keys' order."""
    groups = RowGroups.of([keys])
    sums: NDArray[np.void] = rows[groups.first_rows]
    for name in columns:
        sums[name] = groups.reduce(rows[name], np.add)
    return sums


def find_excess(apps: NDArray[np.void], hosts: NDArray[np.void]) -> tuple[str, int, int, int] | None:
    """Find a host whose applications moved more than the host; return the column, row index, sum and host's counter."""
    rows, starts = np.unique(apps["host"], return_index=True)
    for name in _TRAFFIC_COLUMNS if len(rows) else ():
        sums = np.add.reduceat(apps[name], starts)
        excessive = np.flatnonzero(sums > hosts[name][rows])
        if len(excessive):
            at = excessive[0]
            return name, int(rows[at]), int(sums[at]), int(hosts[name][rows[at]])
    return None


def list_host_apps(apps: NDArray[np.void], hosts: NDArray[np.void]) -> list[dict[int, AppTraffic]]:
    """Return each host's applications, in the order of `hosts`; `UNKNOWN_APP` has the rest of the host's traffic."""
    by_host: list[dict[int, AppTraffic]] = [{} for _ in range(len(hosts))]
    for host, app, *numbers in apps.tolist():
        by_host[host][app] = AppTraffic(*numbers)
    known, starts = np.unique(apps["host"], return_index=True)
    rests = []
    for name in _TRAFFIC_COLUMNS:
        rest = hosts[name].copy()
        if len(known):
            rest[known] -= np.add.reduceat(apps[name], starts)
        rests.append(rest)
    unknown = np.flatnonzero(np.any(rests, axis=0))
    for host, *numbers in zip(unknown.tolist(), *(rest[unknown].tolist() for rest in rests), strict=True):
        by_host[host][UNKNOWN_APP] = AppTraffic(*numbers)
    return by_host
