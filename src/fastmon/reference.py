"""The pure-Python twin of the native accountant: the same results, from the reference decoder and a dict.

It is written to be compared with, not to be fast. What it does not do: share code with the native accountant.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from fastmon.addresses import parse_network
from fastmon.decode import decode
from fastmon.errors import ConfigError
from fastmon.frames import UNDECODED, FrameStatus
from fastmon.packets import MAX_RECORDS, PACKET_DTYPE, packet_record
from fastmon.snapshot import HOST_DTYPE, Count, Counters, LimitCrossing, Overflow, Snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fastmon.accounting import Accountant
    from fastmon.addresses import Network
    from fastmon.capture import Capture
    from fastmon.frames import Frame, PacketSummary
    from fastmon.snapshot import Interval

__all__ = ["ReferenceAccountant"]

FRAMES_PER_READ = 256
_Scalar = TypeVar("_Scalar", bound=np.generic)


@dataclass(frozen=True, slots=True)
class _Traffic:
    """Sums of one host, or of the hosts that did not fit."""

    bytes_in: int = 0
    bytes_out: int = 0
    packets_in: int = 0
    packets_out: int = 0

    def __add__(self, other: _Traffic) -> _Traffic:
        return _Traffic(
            self.bytes_in + other.bytes_in,
            self.bytes_out + other.bytes_out,
            self.packets_in + other.packets_in,
            self.packets_out + other.packets_out,
        )

    def __sub__(self, other: _Traffic) -> _Traffic:
        return _Traffic(
            self.bytes_in - other.bytes_in,
            self.bytes_out - other.bytes_out,
            self.packets_in - other.packets_in,
            self.packets_out - other.packets_out,
        )

    @property
    def sent(self) -> _Traffic:
        """The half that hosts sent."""
        return _Traffic(bytes_out=self.bytes_out, packets_out=self.packets_out)

    @property
    def received(self) -> _Traffic:
        """The half that hosts received."""
        return _Traffic(bytes_in=self.bytes_in, packets_in=self.packets_in)


@dataclass(slots=True)
class _Account:
    """A total since the start, and what it was at the last rotation."""

    total: _Traffic = field(default_factory=_Traffic)
    base: _Traffic = field(default_factory=_Traffic)

    @property
    def interval(self) -> _Traffic:
        return self.total - self.base

    def absorb(self, other: _Account) -> None:
        self.total += other.total
        self.base += other.base


@dataclass(slots=True)
class _Row:
    """One host."""

    key: bytes
    is_local: bool
    first_seen_ns: int
    last_seen_ns: int
    is_flagged: bool = False
    account: _Account = field(default_factory=_Account)

    @property
    def is_active(self) -> bool:
        """Whether the host had traffic since the last rotation."""
        return self.account.interval != _Traffic()


class _HostTable:
    """The hosts, in the order in which they came, and the traffic of those that did not fit."""

    def __init__(self, max_hosts: int, limit_bytes: int, local_networks: Sequence[str]) -> None:
        self.rows: list[_Row] = []
        self.overflow = _Account()
        self.crossings: list[LimitCrossing] = []
        self._max_hosts = max_hosts
        self._limit_bytes = limit_bytes
        self._local_networks = [parse_network(text) for text in local_networks]
        self._row_of: dict[bytes, _Row] = {}
        self._hand = 0

    def add(self, key: bytes, traffic: _Traffic, first_ns: int, last_ns: int) -> None:
        """Add a host's traffic to its row, or to the overflow if it is unseen and does not fit."""
        row = self._row_of.get(key) or self._insert(key, first_ns)
        if row is None:
            self.overflow.total += traffic
            return
        row.account.total += traffic
        row.first_seen_ns = min(row.first_seen_ns, first_ns)
        row.last_seen_ns = max(row.last_seen_ns, last_ns)
        self._check_limit(row, last_ns)

    def active_rows(self) -> list[_Row]:
        """Return the hosts that had traffic in this interval."""
        return [row for row in self.rows if row.is_active]

    def begin_interval(self) -> None:
        """Make room in a full table, and let the intervals' sums begin at 0."""
        if len(self.rows) == self._max_hosts:
            self._forget_idle_remote_hosts()
        for account in (self.overflow, *(row.account for row in self.rows)):
            account.base = account.total

    def _insert(self, key: bytes, ts_ns: int) -> _Row | None:
        """Give an unseen host a row; return None if it does not fit."""
        is_local = any(_contains(network, key) for network in self._local_networks)
        row = _Row(key, is_local, ts_ns, ts_ns)
        if len(self.rows) < self._max_hosts:
            self.rows.append(row)
        elif is_local and self._move_hand_to_remote():
            self._displace(row)
        else:
            return None
        self._row_of[key] = row
        return row

    def _move_hand_to_remote(self) -> bool:
        """Move the hand to the next remote host's row; tell whether there is one.

        While the table is full, remote rows only turn into local ones: behind the hand all are local, so it need not wrap.
        """
        while self._hand < len(self.rows) and self.rows[self._hand].is_local:
            self._hand += 1
        return self._hand < len(self.rows)

    def _displace(self, row: _Row) -> None:
        """Put `row` in the place of the one at the hand."""
        self._move_to_overflow(self.rows[self._hand])
        self.rows[self._hand] = row
        self._hand += 1

    def _forget_idle_remote_hosts(self) -> None:
        kept = []
        for row in self.rows:
            if row.is_local or row.is_active:
                kept.append(row)
            else:
                self._move_to_overflow(row)
        self.rows = kept
        self._hand = 0

    def _move_to_overflow(self, row: _Row) -> None:
        """Let the overflow have what a host had; what earlier intervals reported of it stays theirs."""
        self.overflow.absorb(row.account)
        del self._row_of[row.key]

    def _check_limit(self, row: _Row, ts_ns: int) -> None:
        total_bytes = row.account.total.bytes_in + row.account.total.bytes_out
        if 0 < self._limit_bytes < total_bytes and not row.is_flagged:
            row.is_flagged = True
            self.crossings.append(LimitCrossing(row.key, ts_ns, total_bytes, self._limit_bytes, row.is_local))


class ReferenceAccountant:
    """`accounting.Accountant` in plain Python; arguments as those of `accounting.make_accountant`.

    first_ts_ns, last_ts_ns: least and greatest timestamp accounted, None before the first frame.

    Raises ConfigError for an argument out of its range.
    """

    def __init__(
        self,
        *,
        inner: bool = False,
        max_hosts: int = 1 << 20,
        limit_bytes: int = 0,
        local_networks: Sequence[str] = (),
        packet_log: bool = False,
    ) -> None:
        if max_hosts < 1:
            raise ConfigError(f"max_hosts is {max_hosts}; 1 or more are allowed")
        if limit_bytes < 0:
            raise ConfigError(f"limit_bytes is {limit_bytes}; 0 (none) or more are allowed")
        self.first_ts_ns: int | None = None
        self.last_ts_ns: int | None = None
        self.packets_dropped = 0
        self._inner = inner
        self._packets: list[tuple[object, ...]] | None = [] if packet_log else None
        self._hosts = _HostTable(max_hosts, limit_bytes, local_networks)
        self._counts: defaultdict[FrameStatus, Count] = defaultdict(Count)
        self._counts_before: defaultdict[FrameStatus, Count] = defaultdict(Count)

    def drain(self, source: Capture, max_frames: int, until_ns: int | None = None) -> int:
        """Account up to `max_frames` frames of `source`; return the number accounted. See `accounting.Accountant`."""
        n_accounted = 0
        if self._packets is not None:
            max_frames = min(max_frames, MAX_RECORDS - len(self._packets))
        while n_accounted < max_frames:
            frames = source.read(min(FRAMES_PER_READ, max_frames - n_accounted), until_ns)
            if not frames:
                break
            for frame in frames:
                self.account(frame)
            n_accounted += len(frames)
        return n_accounted

    def account(self, frame: Frame) -> None:
        """Decode and account one frame."""
        summary = decode(frame, inner=self._inner)
        self._counts[summary.status] += Count(1, frame.wire_len)
        self._see(frame.ts_ns)
        self._log(frame, summary)
        if summary.status is FrameStatus.IP:
            self._hosts.add(summary.src, _Traffic(bytes_out=frame.wire_len, packets_out=1), frame.ts_ns, frame.ts_ns)
            self._hosts.add(summary.dst, _Traffic(bytes_in=frame.wire_len, packets_in=1), frame.ts_ns, frame.ts_ns)

    def merge(self, other: Accountant) -> None:
        """Add what `other`, of this class, accounted since its last rotation; rotate `other`.

        If a sum passes the limit, the crossing has the time at which `other` last saw the host.
        """
        if not isinstance(other, ReferenceAccountant):
            raise TypeError(f"a ReferenceAccountant cannot merge a {type(other).__name__}")
        hosts, counts = other._hosts, other._counts  # noqa: SLF001 - of this class
        for row in hosts.active_rows():
            for half in (row.account.interval.sent, row.account.interval.received):
                self._hosts.add(row.key, half, row.first_seen_ns, row.last_seen_ns)
        self._hosts.overflow.total += hosts.overflow.interval
        for status, count in counts.items():
            self._counts[status] += count
        self._see(other.first_ts_ns, other.last_ts_ns)
        other._begin_interval()  # noqa: SLF001

    def rotate(self, interval: Interval) -> Snapshot:
        """Return the snapshot of `interval`: what was accounted since the last rotation. Begin anew."""
        snapshot = self._interval_snapshot(interval)
        self._begin_interval()
        return snapshot

    def finish(self, interval: Interval, whole: Interval) -> tuple[Snapshot, Snapshot]:
        """Return the last interval's snapshot and the summary of the whole run."""
        last = self._interval_snapshot(interval)
        self._remember_counts()
        rows = self._hosts.rows
        counters = _counters(self._counts_before, self._hosts.overflow.total)
        return last, _snapshot(whole, counters, rows, [row.account.total for row in rows], is_summary=True)

    def take_limit_crossings(self) -> list[LimitCrossing]:
        """Return the limit crossings since the last call, in the order of their frames."""
        crossings, self._hosts.crossings = self._hosts.crossings, []
        return crossings

    def take_packets(self) -> NDArray[np.void]:
        """Return the packet log's records since the last call, in the order of their frames."""
        records = np.array(self._packets or [], PACKET_DTYPE)
        if self._packets is not None:
            self._packets.clear()
        return records

    def _log(self, frame: Frame, summary: PacketSummary) -> None:
        if self._packets is None:
            return
        if len(self._packets) < MAX_RECORDS:
            self._packets.append(packet_record(frame, summary))
        else:
            self.packets_dropped += 1

    def _see(self, *timestamps_ns: int | None) -> None:
        seen = [ts_ns for ts_ns in (self.first_ts_ns, self.last_ts_ns, *timestamps_ns) if ts_ns is not None]
        self.first_ts_ns, self.last_ts_ns = min(seen, default=None), max(seen, default=None)

    def _interval_snapshot(self, interval: Interval) -> Snapshot:
        rows = self._hosts.active_rows()
        counters = _counters(self._counts, self._hosts.overflow.interval)
        return _snapshot(interval, counters, rows, [row.account.interval for row in rows])

    def _begin_interval(self) -> None:
        self._remember_counts()
        self._hosts.begin_interval()

    def _remember_counts(self) -> None:
        for status, count in self._counts.items():
            self._counts_before[status] += count
        self._counts.clear()


def _contains(network: Network, key: bytes) -> bool:
    n_host_bits = 128 - network.length
    return int.from_bytes(key, "big") >> n_host_bits == int.from_bytes(network.prefix, "big") >> n_host_bits


def _counters(counts: defaultdict[FrameStatus, Count], overflow: _Traffic) -> Counters:
    return Counters(
        frames=sum(counts.values(), Count()),
        ip=counts[FrameStatus.IP],
        non_ip=counts[FrameStatus.NON_IP],
        undecoded={status.name.lower(): counts[status] for status in UNDECODED},
        overflow=Overflow(overflow.packets_in, overflow.bytes_in, overflow.packets_out, overflow.bytes_out),
    )


def _snapshot(
    interval: Interval, counters: Counters, rows: list[_Row], traffic: list[_Traffic], *, is_summary: bool = False
) -> Snapshot:
    hosts = np.empty(len(rows), HOST_DTYPE)
    hosts["key"] = np.frombuffer(b"".join(row.key for row in rows), np.uint8).reshape(-1, 16)
    for name in ("bytes_in", "bytes_out", "packets_in", "packets_out"):
        hosts[name] = [getattr(sums, name) for sums in traffic]
    for name in ("first_seen_ns", "last_seen_ns"):
        hosts[name] = [getattr(row, name) for row in rows]
    hosts.setflags(write=False)
    return Snapshot(
        interval,
        counters,
        hosts,
        total_bytes_in=_read_only([row.account.total.bytes_in for row in rows], np.uint64),
        total_bytes_out=_read_only([row.account.total.bytes_out for row in rows], np.uint64),
        local=_read_only([row.is_local for row in rows], np.bool_),
        flagged=_read_only([row.is_flagged for row in rows], np.bool_),
        is_summary=is_summary,
    )


def _read_only(values: Sequence[int], dtype: type[_Scalar]) -> NDArray[_Scalar]:
    array = np.array(values, dtype)
    array.setflags(write=False)
    return array
