"""Snapshots: the immutable results of accounting.

What it does not do: read, decode, print or store anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import reduce
from itertools import pairwise
from operator import add
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from fastmon.errors import FastmonError
from fastmon.model.addresses import keys_to_text
from fastmon.model.conversations import (
    UNKNOWN_APP,
    ConversationCounts,
    apps_by_host,
    first_excess,
    merged_app_totals,
    merged_apps,
    no_app_totals,
    no_apps,
)
from fastmon.model.frames import UNDECODED
from fastmon.model.rows import (
    HOST_DTYPE,
    UNGROUPED,
    Grouping,
    Runs,
    entries_of_rows,
    merged_addresses,
    no_addresses,
    ranks,
    smallest_rows,
    telling_first,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from fastmon.model.conversations import AppTraffic
    from fastmon.model.names import NameBook

__all__ = ["HOST_DTYPE", "Count", "Counters", "Dropped", "HostRow", "Interval", "LimitCrossing", "Overflow", "Snapshot"]

_Scalar = TypeVar("_Scalar", bound=np.generic)

CHUNK_ROWS = 1 << 10
"""Rows that are made Python values of at once: the same memory serves for one chunk after the other."""

RANKED_ROWS = 1 << 14
"""Rows that are ranked at once: a whole column more would cost memory that a million hosts do not leave."""


@dataclass(frozen=True, slots=True)
class Interval:
    """The half-open period [start_ns, end_ns), nanoseconds since the epoch."""

    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Count:
    """A number of frames and their wire bytes."""

    frames: int = 0
    bytes: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(self.frames + other.frames, self.bytes + other.bytes)

    def __sub__(self, other: Count) -> Count:
        return Count(self.frames - other.frames, self.bytes - other.bytes)


@dataclass(frozen=True, slots=True)
class Overflow:
    """Traffic of hosts that did not fit in the table, by their direction."""

    frames_in: int = 0
    bytes_in: int = 0
    frames_out: int = 0
    bytes_out: int = 0

    def __add__(self, other: Overflow) -> Overflow:
        return Overflow(
            self.frames_in + other.frames_in,
            self.bytes_in + other.bytes_in,
            self.frames_out + other.frames_out,
            self.bytes_out + other.bytes_out,
        )


@dataclass(frozen=True, slots=True)
class Dropped:
    """Frames lost before fastmon saw them: ring buffer, interface, kernel backlog (host-wide)."""

    kernel: int = 0
    interface: int = 0
    backlog: int = 0

    def __add__(self, other: Dropped) -> Dropped:
        return Dropped(self.kernel + other.kernel, self.interface + other.interface, self.backlog + other.backlog)

    def __sub__(self, other: Dropped) -> Dropped:
        return Dropped(self.kernel - other.kernel, self.interface - other.interface, self.backlog - other.backlog)


@dataclass(frozen=True, slots=True)
class Counters:
    """Frames and wire bytes of one period, by what decoding came to.

    undecoded: one `Count` for each reason of `frames.UNDECODED`, keyed by its name in lower case.
    """

    frames: Count = Count()
    ip: Count = Count()
    non_ip: Count = Count()
    undecoded: dict[str, Count] = field(default_factory=lambda: {status.name.lower(): Count() for status in UNDECODED})
    overflow: Overflow = Overflow()

    def __add__(self, other: Counters) -> Counters:
        return Counters(
            self.frames + other.frames,
            self.ip + other.ip,
            self.non_ip + other.non_ip,
            {name: count + other.undecoded[name] for name, count in self.undecoded.items()},
            self.overflow + other.overflow,
        )


class LimitCrossing(NamedTuple):
    """The frame with which a host's total first passed its limit.

    key: 16-byte host key.  ts_ns: that frame's timestamp.  total_bytes: the host's total after it, in and out.
    local: the host is in a local network.
    """

    key: bytes
    ts_ns: int
    total_bytes: int
    limit_bytes: int
    local: bool


class HostRow(NamedTuple):
    """One host of a snapshot as plain Python values; the fields are `Snapshot`'s."""

    host: str
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


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """Counters of one closed interval, or of the whole run.

    hosts: (n,) `HOST_DTYPE`, one row a host that had traffic in the interval, unordered, unique; read-only,
        independent of the accountant. Bytes and packets are the interval's; first and last seen are since the start.
        key: (16,) uint8, network byte order, IPv4 as ::ffff:a.b.c.d
        bytes_in, bytes_out: uint64, wire bytes of the frames that the host received, sent
        packets_in, packets_out: uint64
        first_seen_ns, last_seen_ns: int64, least and greatest timestamp, nanoseconds since the epoch
    total_bytes_in, total_bytes_out: (n,) uint64, since the start, in the order of `hosts`.
    local, flagged: (n,) bool, in the order of `hosts`: in a local network; over its limit.

    Where conversations are accounted:
    apps: `conversations.APP_DTYPE`, ordered by host and application: what conversations of a known application moved for a host,
        in the interval; in the summary since the start. `host_apps` tells it with what is left as unknown.
    app_totals: `conversations.APP_TOTAL_DTYPE`, ordered by application: the same over all hosts, those that did not fit included.
    macs: (n,) uint64, in the order of `hosts`: the big-endian value of a local host's Ethernet address, 0 where it is not known.
        None where only hosts are accounted.
    conversations: their numbers; None where only hosts are accounted.
    names: what the run has learnt of hosts' names, and goes on to learn; None where nobody listens.

    Where hosts are grouped (`grouping.group_hosts`), a row of `hosts` is a group:
    grouping: what a row stands for; `host_texts` has its name. Keys may then repeat: a device's and a prefix's; in a merged
        snapshot, those of two devices that had an address one after the other.
    addresses: `rows.ADDRESS_DTYPE`, ordered by host: `rows.MAX_ADDRESSES` of each device at most, the most telling first.
    packet_log_dropped (everywhere): frames whose records the packet log lacks.
    """

    interval: Interval
    counters: Counters
    hosts: NDArray[np.void]
    total_bytes_in: NDArray[np.uint64]
    total_bytes_out: NDArray[np.uint64]
    local: NDArray[np.bool_]
    flagged: NDArray[np.bool_]
    dropped: Dropped = Dropped()
    source: str = ""
    is_summary: bool = False
    apps: NDArray[np.void] = field(default_factory=no_apps)
    app_totals: NDArray[np.void] = field(default_factory=no_app_totals)
    macs: NDArray[np.uint64] | None = None
    conversations: ConversationCounts | None = None
    names: NameBook | None = None
    addresses: NDArray[np.void] = field(default_factory=no_addresses)
    grouping: Grouping = UNGROUPED
    packet_log_dropped: int = 0
    run: str = ""
    n_intervals: int = 1
    duration_ns: int | None = None

    @property
    def covered_ns(self) -> int:
        """The time covered."""
        return self.interval.end_ns - self.interval.start_ns if self.duration_ns is None else self.duration_ns

    def __len__(self) -> int:
        """Return the number of hosts."""
        return len(self.hosts)

    def __iter__(self) -> Iterator[HostRow]:
        """Iterate over the hosts as `HostRow`, in the order of `hosts`, converting a few at a time."""
        for chunk in self.chunks():
            counters = (chunk.hosts[name].tolist() for name in HOST_DTYPE.names or () if name != "key")
            others = (chunk.total_bytes_in, chunk.total_bytes_out, chunk.local, chunk.flagged)
            yield from map(HostRow, chunk.host_texts(), *counters, *(column.tolist() for column in others))

    def chunks(self) -> Iterator[Snapshot]:
        """Iterate over the hosts as snapshots of consecutive rows, views into this one's arrays."""
        for start in range(0, len(self), CHUNK_ROWS):
            yield self._take(slice(start, start + CHUNK_ROWS))

    def host_texts(self) -> list[str]:
        """Return what each row is called, in the order of `hosts`: its address, or the prefix that it stands for."""
        return self.grouping.texts(self.hosts["key"], self.macs)

    def device_addresses(self) -> list[list[str]]:
        """Return the addresses of each row that is a device, in the order of `hosts`; none for other rows.

        It makes Python values of all hosts: use it on what `chunks` or `top` return.
        """
        by_host: list[list[str]] = [[] for _ in range(len(self))]
        for host, text in zip(self.addresses["host"].tolist(), keys_to_text(self.addresses["key"]), strict=True):
            by_host[host].append(text)
        return by_host

    def to_dict(self) -> dict[str, dict[str, int | bool]]:
        """Return the counters of each host by its address, in the order of `hosts`."""
        counters = ((row.host, row._asdict()) for row in self)
        return {host: {name: value for name, value in row.items() if name != "host"} for host, row in counters}

    def host_apps(self) -> list[dict[int, AppTraffic]]:
        """Return what each application, by its number, moved for each host, in the order of `hosts`.

        What no known application moved is that of `conversations.UNKNOWN_APP`, so the sums are the host's. Without conversations:
        nothing for every host. It makes Python values of all hosts: use it on what `chunks` or `top` return.
        """
        if self.conversations is None:
            return [{} for _ in range(len(self))]
        return apps_by_host(self.apps, self.hosts)

    def network_apps(self) -> dict[int, Count]:
        """Return what each application, by its number, moved over all hosts; the rest of IP is that of `UNKNOWN_APP`."""
        if self.conversations is None:
            return {}
        known = {app: Count(*numbers) for app, *numbers in self.app_totals.tolist()}
        rest = self.counters.ip - sum(known.values(), Count())
        return known | ({UNKNOWN_APP: rest} if rest.frames else {})

    def top(self, n: int) -> Snapshot:
        """Return the `n` hosts with the most bytes, in and out, greatest first, ties by key; the rest of the snapshot as it is.

        Takes time linear in the number of hosts, and memory for `n` of them.
        """
        if n <= 0:
            return self._take(slice(0))
        best = [
            start + smallest_rows(ranks(self.hosts[start : start + RANKED_ROWS]), n) for start in range(0, len(self), RANKED_ROWS)
        ]
        if not best:
            return self
        rows = np.concatenate(best)
        return self._take(rows[smallest_rows(ranks(self.hosts[rows]), n)])

    def merge(self, *others: Snapshot) -> Snapshot:
        """Return one snapshot that adds up this one and `others`, for instance several machines' of the same period.

        Its interval spans theirs. A host is local or flagged if it is so in one of them. Hosts are ordered by key; devices come
        after them, by MAC. Interval snapshots of one source that do not overlap are taken for one run's: of their totals since
        the start, the greatest stays; others are added.

        Raises ValueError for a summary together with a snapshot of an interval, and for snapshots that are grouped differently:
        merge first, then group.
        """
        parts = (self, *others)
        if len({part.is_summary for part in parts}) > 1:
            raise ValueError("a summary and a snapshot of an interval cannot be merged: their bytes are of different periods")
        if any(part.grouping != self.grouping for part in others):
            raise ValueError("snapshots whose hosts are grouped differently cannot be merged")
        sources = _by_run(parts)
        if len(sources) > 1 and len(sources) < len(parts):
            first, *rest = (run[0].merge(*run[1:]) for run in sources)
            return first.merge(*rest)
        totals = np.add if len(sources) == len(parts) else np.maximum
        hosts = np.concatenate([part.hosts for part in parts])
        runs = _runs(hosts["key"], parts)
        lengths = list(map(len, parts))

        def joined(columns: Sequence[NDArray[_Scalar]], operation: np.ufunc) -> NDArray[_Scalar]:
            return _frozen(runs.reduced(np.concatenate(columns), operation))

        return Snapshot(
            interval=Interval(min(part.interval.start_ns for part in parts), max(part.interval.end_ns for part in parts)),
            counters=reduce(add, (part.counters for part in parts)),
            hosts=_frozen(runs.hosts(hosts)),
            total_bytes_in=joined([part.total_bytes_in for part in parts], totals),
            total_bytes_out=joined([part.total_bytes_out for part in parts], totals),
            local=joined([part.local for part in parts], np.logical_or),
            flagged=joined([part.flagged for part in parts], np.logical_or),
            dropped=reduce(add, (part.dropped for part in parts)),
            packet_log_dropped=sum(part.packet_log_dropped for part in parts),
            source=", ".join(dict.fromkeys(part.source for part in parts)),
            is_summary=self.is_summary,
            apps=_frozen(merged_apps([part.apps for part in parts], np.split(runs.numbers(), np.cumsum(lengths)[:-1]))),
            app_totals=_frozen(merged_app_totals([part.app_totals for part in parts])),
            macs=None if all(part.macs is None for part in parts) else joined([_macs(part) for part in parts], np.maximum),
            conversations=_added_counts([part.conversations for part in parts]),
            addresses=_frozen(merged_addresses([part.addresses for part in parts], runs, lengths)),
            grouping=self.grouping,
            names=self.names,
            run=self.run,
            n_intervals=sum(part.n_intervals for part in parts),
        )

    def check_conservation(self) -> None:
        """Check that every frame and byte read is in exactly one place (docs/counting.md).

        Raises FastmonError naming the first sum that does not hold.
        """
        counters, overflow = self.counters, self.counters.overflow
        parts = reduce(add, counters.undecoded.values(), counters.ip + counters.non_ip)
        sums = (
            ("frames: IP + non-IP + undecoded", parts.frames, counters.frames.frames),
            ("bytes: IP + non-IP + undecoded", parts.bytes, counters.frames.bytes),
            ("IP bytes: hosts' bytes_in + overflow", self._sum("bytes_in") + overflow.bytes_in, counters.ip.bytes),
            ("IP bytes: hosts' bytes_out + overflow", self._sum("bytes_out") + overflow.bytes_out, counters.ip.bytes),
            ("IP frames: hosts' packets_in + overflow", self._sum("packets_in") + overflow.frames_in, counters.ip.frames),
            ("IP frames: hosts' packets_out + overflow", self._sum("packets_out") + overflow.frames_out, counters.ip.frames),
        )
        for name, found, expected in sums:
            if found != expected:
                raise FastmonError(f"conservation is broken: {name} is {found}, and should be {expected}")
        self._check_apps()

    def _check_apps(self) -> None:
        """Check that applications moved no more than their hosts, and all of them no more than was IP."""
        excess = first_excess(self.apps, self.hosts)
        if excess is not None:
            name, row, found, most = excess
            raise FastmonError(f"conservation is broken: applications of host {row}: {name} is {found}, and the host's {most}")
        for name in ("frames", "bytes"):
            found, most = int(self.app_totals[name].sum()), getattr(self.counters.ip, name)
            if found > most:
                raise FastmonError(f"conservation is broken: applications: {name} is {found}, and of all IP {most}")

    def _sum(self, column: str) -> int:
        return int(self.hosts[column].sum())

    def _take(self, rows: slice | NDArray[np.intp]) -> Snapshot:
        numbers = np.arange(len(self))[rows] if len(self.apps) or len(self.addresses) else np.empty(0, np.intp)
        return replace(
            self,
            hosts=_frozen(self.hosts[rows]),
            total_bytes_in=_frozen(self.total_bytes_in[rows]),
            total_bytes_out=_frozen(self.total_bytes_out[rows]),
            local=_frozen(self.local[rows]),
            flagged=_frozen(self.flagged[rows]),
            apps=_frozen(entries_of_rows(self.apps, numbers)),
            macs=None if self.macs is None else _frozen(self.macs[rows]),
            addresses=_frozen(entries_of_rows(self.addresses, numbers)),
        )


def _frozen(array: NDArray[_Scalar]) -> NDArray[_Scalar]:
    array.flags.writeable = False
    return array


def _macs(snapshot: Snapshot) -> NDArray[np.uint64]:
    return np.zeros(len(snapshot), np.uint64) if snapshot.macs is None else snapshot.macs


def _runs(keys: NDArray[np.uint8], parts: Sequence[Snapshot]) -> Runs:
    """Return which of the rows of all `parts` are the same host, device or prefix."""
    by_mac = parts[0].grouping.by_mac
    macs = np.concatenate([_macs(part) for part in parts]) if by_mac else np.empty(0, np.uint64)
    totals = [part.total_bytes_in + part.total_bytes_out for part in parts] if by_mac else ()
    return Runs.of(parts[0].grouping.identity(keys, macs), telling_first(keys, np.concatenate(totals)) if by_mac else ())


def _added_counts(parts: Sequence[ConversationCounts | None]) -> ConversationCounts | None:
    counts = [part for part in parts if part is not None]
    return reduce(add, counts) if counts else None


def _by_run(parts: Sequence[Snapshot]) -> list[list[Snapshot]]:
    """Return the snapshots of each run together: successive intervals of one source. Any other is alone."""
    by_source: dict[str, list[Snapshot]] = {}
    for part in parts:
        by_source.setdefault(part.source, []).append(part)
    runs: list[list[Snapshot]] = []
    for group in by_source.values():
        in_order = sorted((part.interval.start_ns, part.interval.end_ns) for part in group)
        overlap = any(after_start < before_end for (_, before_end), (after_start, _) in pairwise(in_order))
        runs += [[part] for part in group] if overlap or group[0].is_summary else [group]
    return runs
