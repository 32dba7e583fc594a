"""Snapshots: the immutable results of accounting.

What it does not do: read, decode, print or store anything.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields, replace
from functools import reduce
from operator import add
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastmon.errors import FastmonError
from fastmon.model.addresses import keys_to_text
from fastmon.model.arrow import make_table
from fastmon.model.conversations import (
    APP_DTYPE,
    APP_TOTAL_DTYPE,
    PORT_TOTAL_DTYPE,
    UNKNOWN_APP,
    find_excess,
    list_host_apps,
)
from fastmon.model.counters import Count, Counters, Dropped, Interval, Overflow, SourceCounts
from fastmon.model.merge import join_rows
from fastmon.model.names import NameBook
from fastmon.model.rows import (
    ADDRESS_DTYPE,
    HOST_DTYPE,
    RUN_TOTAL_DTYPE,
    UNGROUPED,
    Grouping,
    find_smallest,
    rank_columns,
    select_entries,
)
from fastmon.model.runs import RunPart
from fastmon.model.services import SERVICE_DTYPE
from fastmon.model.vendors import format_mac

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa
    from numpy.typing import NDArray

    from fastmon.model.conversations import AppTraffic, ConversationCounts

__all__ = ["HOST_DTYPE", "Count", "Counters", "Dropped", "HostRow", "Interval", "LimitCrossing", "Overflow", "Snapshot"]

CHUNK_ROWS = 1 << 10
"""Rows converted to Python values at a time, so that the memory for these is used again and again."""

RANKED_ROWS = 1 << 14
"""Rows ranked at a time: a whole column more would cost memory that a million hosts do not leave."""


class LimitCrossing(NamedTuple):
    """The frame with which a host's total first passed its limit.

    key: 16-byte host key.  ts_ns: that frame's timestamp.  total_bytes: the host's total after it, in and out.
    local: the host is in a local network.
    is_late: it passed the limit as a remote host, and is local only since.
    """

    key: bytes
    ts_ns: int
    total_bytes: int
    limit_bytes: int
    local: bool
    is_late: bool = False


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
    """Counters of one closed interval, or of the whole run. All arrays are read-only.

    hosts: (n,) `HOST_DTYPE`, one row for each host that had traffic in the interval; unordered, unique, independent of the
        accountant. Bytes and packets are the interval's; first and last seen are since the start.
        key: (16,) uint8, network byte order, IPv4 as ::ffff:a.b.c.d
        bytes_in, bytes_out: uint64, bytes of the frames that the host received, sent; which ones says `bytes_of`
        packets_in, packets_out: uint64
        first_seen_ns, last_seen_ns: int64, least and greatest timestamp, nanoseconds since the epoch
    total_bytes_in, total_bytes_out: (n,) uint64, since the start, in the order of `hosts`.
    local, flagged: (n,) bool, in the order of `hosts`: in a local network; over its limit.
    bytes_of: "frame": the bytes of IP are the wire bytes of its frames; "ip": the lengths of its packets. Frames that are not IP,
        copies and the sum of all frames have wire bytes in either case.
    packet_log_dropped: frames whose records the packet log lacks.
    contacts_dropped: conversations of local hosts, one for each local side, that ended before rules could look at them.
    names_dropped: names of hosts and of conversations, and TLS handshakes, for which there was no room until they were looked at.

    Where conversations are accounted:
    apps: `conversations.APP_DTYPE`, ordered by host and application: traffic of conversations of a known application, in the
        interval; in the summary since the start. `host_apps` adds the rest as unknown.
    app_totals: `conversations.APP_TOTAL_DTYPE`, ordered by application: the same over all hosts, with those that did not fit.
    unknown_ports: `conversations.PORT_TOTAL_DTYPE`, ordered by protocol and port: what of the rest was TCP or UDP, by the lower
        port of its conversations. Not in totals.
    macs: (n,) uint64, in the order of `hosts`: the big-endian value of a local host's Ethernet address, 0 where it is not known.
        None where only hosts are accounted.
    conversations: their numbers; None where only hosts are accounted.
    services: `services.SERVICE_DTYPE`, ordered by host, role, protocol and port: what local hosts used and offered in the
        interval; in the summary and in totals since the start. First and last seen are since the start.
    services_overflow: conversations of local hosts, one for each local side, whose service had no row left.
    names: the book of hosts' names, which goes on learning during the run; None where names are not learnt. A snapshot that was
        pickled, copied deeply or merged has its own book, which does not change any more.

    Where hosts are grouped (`grouping.group_hosts`), a row of `hosts` is a group:
    grouping: the kind of groups; `host_texts` has a row's text. Keys may repeat: a device and a prefix may have the same; in a
        merged snapshot, so may two devices that had an address one after the other.
    addresses: `rows.ADDRESS_DTYPE`, ordered by host: at most `rows.MAX_ADDRESSES` of each device, the most telling first.

    What it covers:
    run: the id of its run, unique to the run on all machines; "" if it is unknown, or if the snapshot is of several runs.
    sequence: the number of its interval in the run, from 1; of merged intervals, the last one's; 0: not known. It decides which
        interval was the last if a clock was set back.
    n_intervals: how many intervals it stands for; of several runs, the greatest number of one run.
    duration_ns: the time covered, in nanoseconds; None: the length of `interval`. `covered_ns` has it in either case.
    parts: in a snapshot of several runs, its share of each; else empty. `runs` has it in either case.
    run_totals: in a snapshot of several runs' intervals, `rows.RUN_TOTAL_DTYPE`, ordered by host and run: the share of each known
        run in the totals since the start; `run` is the index in `parts`.
    macs_seen_ns: (n,) int64, when each of `macs` was last seen; None: when its host was.
    sources: of a live run, the share of each interface, in the order of `source`; of several runs, of all interfaces of a name.
    """

    interval: Interval
    counters: Counters
    hosts: NDArray[np.void]
    total_bytes_in: NDArray[np.uint64]
    total_bytes_out: NDArray[np.uint64]
    local: NDArray[np.bool_]
    flagged: NDArray[np.bool_]
    dropped: Dropped = field(default_factory=Dropped)
    source: str = ""
    is_summary: bool = False
    apps: NDArray[np.void] = field(default_factory=lambda: np.empty(0, APP_DTYPE))
    app_totals: NDArray[np.void] = field(default_factory=lambda: np.empty(0, APP_TOTAL_DTYPE))
    unknown_ports: NDArray[np.void] = field(default_factory=lambda: np.empty(0, PORT_TOTAL_DTYPE))
    macs: NDArray[np.uint64] | None = None
    conversations: ConversationCounts | None = None
    names: NameBook | None = None
    addresses: NDArray[np.void] = field(default_factory=lambda: np.empty(0, ADDRESS_DTYPE))
    grouping: Grouping = UNGROUPED
    packet_log_dropped: int = 0
    contacts_dropped: int = 0
    names_dropped: int = 0
    run: str = ""
    sequence: int = 0
    n_intervals: int = 1
    duration_ns: int | None = None
    parts: tuple[RunPart, ...] = ()
    run_totals: NDArray[np.void] = field(default_factory=lambda: np.empty(0, RUN_TOTAL_DTYPE))
    macs_seen_ns: NDArray[np.int64] | None = None
    services: NDArray[np.void] = field(default_factory=lambda: np.empty(0, SERVICE_DTYPE))
    services_overflow: int = 0
    sources: tuple[SourceCounts, ...] = ()
    bytes_of: str = "frame"

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(value, np.ndarray) and value.flags.writeable:
                view = value.view()
                view.flags.writeable = False
                object.__setattr__(self, each.name, view)

    def __reduce__(self) -> tuple[Callable[[dict[str, Any]], Snapshot], tuple[dict[str, Any]]]:
        # numpy forgets that an array is read-only, and the constructor makes it so again
        return _restore, ({each.name: getattr(self, each.name) for each in fields(self)},)

    def __len__(self) -> int:
        """Return the number of hosts."""
        return len(self.hosts)

    def __iter__(self) -> Iterator[HostRow]:
        """Iterate over the hosts as `HostRow`, in the order of `hosts`, converting a few at a time."""
        for chunk in self.chunks():
            counters = (chunk.hosts[name].tolist() for name in HOST_DTYPE.names or () if name != "key")
            others = (chunk.total_bytes_in, chunk.total_bytes_out, chunk.local, chunk.flagged)
            yield from map(HostRow, chunk.host_texts(), *counters, *(column.tolist() for column in others))

    @property
    def covered_ns(self) -> int:
        """The time covered, in nanoseconds. Rates are per this time; it may be 0."""
        return self.interval.length_ns if self.duration_ns is None else self.duration_ns

    @property
    def runs(self) -> tuple[RunPart, ...]:
        """The snapshot's share of each run, ordered by run id."""
        running = None if self.conversations is None else self.conversations.running
        alone = RunPart(self.run, self.source, self.interval, self.covered_ns, self.n_intervals, self.sequence, running)
        return self.parts or (alone,)

    def chunks(self) -> Iterator[Snapshot]:
        """Iterate over the hosts as snapshots of consecutive rows, views into this one's arrays."""
        for start in range(0, len(self), CHUNK_ROWS):
            yield self._select(slice(start, start + CHUNK_ROWS))

    def host_texts(self) -> list[str]:
        """Return the text of each row, in the order of `hosts`: its address, or the prefix that it stands for."""
        return self.grouping.texts(self.hosts["key"], self.macs)

    def device_addresses(self) -> list[list[str]]:
        """Return the addresses of each row that is a device, in the order of `hosts`; none for other rows.

        It makes Python values of all hosts: use it on the results of `chunks` or `top`.
        """
        by_host: list[list[str]] = [[] for _ in range(len(self))]
        for host, text in zip(self.addresses["host"].tolist(), keys_to_text(self.addresses["key"]), strict=True):
            by_host[host].append(text)
        return by_host

    def to_dict(self) -> dict[str, dict[str, int | bool]]:
        """Return the counters of each host by its text, in the order of `hosts`.

        Where several rows have the same text, as devices that had an address one after the other, that of a device is followed
        by its Ethernet address: "10.0.0.5 (02:00:00:00:00:07)". So no row is lost.
        """
        rows = zip(self._unique_texts(), self, strict=True)
        return {text: {name: value for name, value in row._asdict().items() if name != "host"} for text, row in rows}

    def to_arrow(self, app_name: Callable[[int], str] = str) -> pa.Table:
        """Return the hosts as a `pyarrow.Table`, one row for each, in the order of `hosts`.

        Columns: start, end (timestamps in ns, UTC: of the interval), host, name, mac (texts; null where unknown), local, flagged,
        bytes_in, bytes_out, packets_in, packets_out, first_seen, last_seen (timestamps), total_bytes_in, total_bytes_out.
        The schema's metadata has all that concerns no single host under "fastmon", as JSON, with the names of the JSON lines;
        times are `start_ns` and `end_ns`. `app_name` returns an application's name. The applications of single hosts and further
        addresses of devices are left out.

        Raises ConfigError if pyarrow is not installed.
        """
        return make_table(self, app_name)

    def host_apps(self) -> list[dict[int, AppTraffic]]:
        """Return each host's traffic by application number, in the order of `hosts`.

        `conversations.UNKNOWN_APP` has the rest, so the sums are the host's. Without conversations, every host has none. It makes
        Python values of all hosts: use it on the results of `chunks` or `top`.
        """
        if self.conversations is None:
            return [{} for _ in range(len(self))]
        return list_host_apps(self.apps, self.hosts)

    def network_apps(self) -> dict[int, Count]:
        """Return the traffic of all hosts by application number; `UNKNOWN_APP` has the rest of IP."""
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
            return self._select(slice(0))
        best = [
            start + find_smallest(rank_columns(self.hosts[start : start + RANKED_ROWS]), n)
            for start in range(0, len(self), RANKED_ROWS)
        ]
        if not best:
            return self
        rows = np.concatenate(best)
        return self._select(rows[find_smallest(rank_columns(self.hosts[rows]), n)])

    def merge(self, *others: Snapshot) -> Snapshot:
        """Return one snapshot of this one and `others`: intervals of one run, or several runs', on any machines.

        Neither the order nor the grouping of merges changes the result. Give each snapshot once.

        Intervals of one run become one longer interval: counters, `n_intervals` and the time covered add up; totals since the
        start are the greatest, which is the latest; `conversations.running` is the last one's. Only applications may differ from
        those of one longer interval: by traffic that was recognised after its interval had ended.

        Of different runs, all numbers add up, `running` and the totals since the start included; `n_intervals` is the greatest of
        one run. The time covered is the sum of the runs', but at most the span from the first start to the last end, and at
        least the longest run's. A snapshot of an unknown run (`run` is "") shares its run with no other.

        `interval` spans all of them. A host is local or flagged if it is so in one of them, and has the Ethernet address that
        was seen last. `names` has the best name of each host. Hosts are ordered by key; devices come after them, by MAC.

        Merge first, then group: an interval's snapshot lacks a group's idle hosts, so the totals since the start of a group are
        exact only if it was made from the merged hosts.

        Raises ValueError for a summary together with an interval's snapshot, for two summaries of one run, and for snapshots
        that are grouped differently, or whose bytes are of different kinds.
        """
        snapshots = (self, *others)
        if len({snapshot.is_summary for snapshot in snapshots}) > 1:
            raise ValueError("a summary and a snapshot of an interval cannot be merged: their bytes are of different periods")
        if any(snapshot.grouping != self.grouping for snapshot in others):
            raise ValueError("snapshots whose hosts are grouped differently cannot be merged")
        kinds = sorted({snapshot.bytes_of for snapshot in snapshots})
        if len(kinds) > 1:
            raise ValueError(f"snapshots of different bytes cannot be merged: {' and '.join(kinds)}")
        runs = [part.run for snapshot in snapshots for part in snapshot.runs if part.run]
        if self.is_summary and len(set(runs)) < len(runs):
            raise ValueError("two summaries of the same run cannot be merged: each has all of the run's bytes")
        books = [snapshot.names for snapshot in snapshots if snapshot.names is not None]
        return join_rows(snapshots, NameBook.merge(*books) if books else None)

    def check_conservation(self) -> None:
        """Check that every frame and byte read is in exactly one place (DESIGN: conservation).

        Raises FastmonError naming the first sum that does not hold.
        """
        counters, overflow = self.counters, self.counters.overflow
        parts = reduce(add, counters.undecoded.values(), counters.ip + counters.non_ip + counters.duplicates)
        n_bytes = parts.bytes if self.bytes_of == "frame" else counters.frames.bytes  # those of IP are no part of the frames'
        sums = (
            ("frames: IP + non-IP + undecoded + duplicates", parts.frames, counters.frames.frames),
            ("bytes: IP + non-IP + undecoded + duplicates", n_bytes, counters.frames.bytes),
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
        """Check that applications and services moved no more than their hosts, and all applications no more than was IP."""
        for what, entries in (("applications", self.apps), ("services", self.services)):
            excess = find_excess(entries, self.hosts)
            if excess is not None:
                name, row, found, most = excess
                raise FastmonError(f"conservation is broken: {what} of host {row}: {name} is {found}, and the host's {most}")
        for name in ("frames", "bytes"):
            found, most = int(self.app_totals[name].sum()), getattr(self.counters.ip, name)
            if found > most:
                raise FastmonError(f"conservation is broken: applications: {name} is {found}, and of all IP {most}")

    def _sum(self, column: str) -> int:
        return int(self.hosts[column].sum())

    def _unique_texts(self) -> list[str]:
        """Return `host_texts`, with the Ethernet addresses of devices whose text others have, too."""
        texts = self.host_texts()
        if not self.grouping.by_mac or self.macs is None:
            return texts
        counts = Counter(texts)
        rows = zip(texts, self.macs.tolist(), strict=True)
        return [f"{text} ({format_mac(mac)})" if mac and counts[text] > 1 else text for text, mac in rows]

    def _select(self, rows: slice | NDArray[np.intp]) -> Snapshot:
        """Return a snapshot of some hosts, in the order of `rows`."""
        indices = np.arange(*rows.indices(len(self))) if isinstance(rows, slice) else rows
        return replace(
            self,
            hosts=self.hosts[rows],
            total_bytes_in=self.total_bytes_in[rows],
            total_bytes_out=self.total_bytes_out[rows],
            local=self.local[rows],
            flagged=self.flagged[rows],
            apps=select_entries(self.apps, indices),
            macs=None if self.macs is None else self.macs[rows],
            addresses=select_entries(self.addresses, indices),
            run_totals=select_entries(self.run_totals, indices),
            services=select_entries(self.services, indices),
            macs_seen_ns=None if self.macs_seen_ns is None else self.macs_seen_ns[rows],
        )


def _restore(values: dict[str, Any]) -> Snapshot:
    return Snapshot(**values)
