"""The reference accountant: frames into hosts and conversations, and those into snapshots.

Private to `fastmon.reference`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from operator import index
from typing import TYPE_CHECKING

import numpy as np

from fastmon.bounds import MAX_CONVERSATIONS, MAX_HOSTS, check_number
from fastmon.decode import decode
from fastmon.model.conversations import CONVERSATION_DTYPE, AppTables, FoundNames
from fastmon.model.frames import FrameStatus, PacketSummary
from fastmon.model.packets import PACKET_DTYPE
from fastmon.model.rows import SIGHT_DTYPE
from fastmon.model.services import CONTACT_DTYPE, FANOUT_DTYPE, OPENING_DTYPE, PEER_DTYPE
from fastmon.model.snapshot import Count
from fastmon.reference.conversations import Conversations
from fastmon.reference.duplicates import Duplicates
from fastmon.reference.hosts import HostTable
from fastmon.reference.packets import PacketRecords, check_numbers
from fastmon.reference.services import Services
from fastmon.reference.snapshots import Period, counters_of
from fastmon.reference.sums import Account, Traffic, greatest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fastmon.accounting import Accountant
    from fastmon.capture import Capture
    from fastmon.model.addresses import Network
    from fastmon.model.conversations import Payload
    from fastmon.model.frames import Frame
    from fastmon.model.snapshot import Counters, Interval, LimitCrossing, Snapshot
    from fastmon.native.matchers import Matchers

__all__ = ["FRAMES_PER_READ", "ReferenceAccountant"]

FRAMES_PER_READ = 256
MAX_KEYS = (1 << 16) - 1
MIN_FREE_RING_SLOTS = 64
"""With `pauses`, `drain` returns early when fewer are free."""


class ReferenceAccountant:
    """`accounting.Accountant` in plain Python; arguments as those of `accounting.make_accountant`.

    first_ts_ns, last_ts_ns, newest_ts_ns: see `accounting.Accountant`.

    Raises ConfigError for an argument out of its range.
    """

    def __init__(
        self,
        *,
        inner: bool = False,
        ip_bytes: bool = False,
        dedup: tuple[int, int] = (0, 1),
        max_hosts: int = 1 << 20,
        limit_bytes: int = 0,
        local_networks: Sequence[str] = (),
        follow_announcements: bool = False,
        max_conversations: int = 0,
        applications: AppTables | None = None,
        keep_conversations: bool = False,
        packet_log: bool = False,
        keep_contacts: bool = False,
        max_services: tuple[int, int] = (1 << 20, 256),
        max_sketches: int = 1 << 16,
    ) -> None:
        check_number("max_hosts", max_hosts, *MAX_HOSTS)
        check_number("limit_bytes", limit_bytes, 0)
        check_number("max_conversations", max_conversations, *MAX_CONVERSATIONS)
        self.first_ts_ns: int | None = None
        self.last_ts_ns: int | None = None
        self.newest_ts_ns: int | None = None
        self.pauses = False
        self._packets = PacketRecords() if packet_log else None
        self._inner = inner
        self._bytes_of = "ip" if ip_bytes else "frame"
        self._duplicates = Duplicates(*dedup) if dedup[0] else None
        self._hosts = HostTable(max_hosts, limit_bytes, local_networks)
        self._has_conversations = max_conversations > 0
        tables = applications or AppTables()
        self._services = Services(self._hosts, tables, max_services, max_sketches, keep_contacts=keep_contacts)
        self._conversations = Conversations(
            max_conversations,
            tables,
            self._hosts,
            self._services,
            keep=keep_conversations,
            follow_announcements=follow_announcements,
        )
        self._counts: defaultdict[FrameStatus, Count] = defaultdict(Count)
        self._counts_before: defaultdict[FrameStatus, Count] = defaultdict(Count)
        self._beside_ip: Account[Count] = Account(Count())
        self._has_rotated = False
        self._has_finished = False

    def _check_usable(self) -> None:
        if self._has_finished:
            raise RuntimeError("the accountant has finished")

    @property
    def payload_allowance(self) -> int:
        """See `accounting.Accountant`."""
        return self._conversations.payload_allowance

    @payload_allowance.setter
    def payload_allowance(self, number: int) -> None:
        n_payloads = index(number)
        if n_payloads < 0:
            raise ValueError(f"payload_allowance must be 0 or more, not {n_payloads}")
        self._conversations.payload_allowance = n_payloads

    def begin_phase(self) -> None:
        """Begin a new phase of the frames' clock."""
        self._check_usable()
        self.newest_ts_ns = None
        if self._duplicates is not None:
            self._duplicates.forget()
        self._conversations.begin_phase()

    @property
    def local_networks(self) -> Sequence[Network]:
        """See `accounting.Accountant`."""
        return tuple(self._hosts.networks)

    @property
    def networks_refused(self) -> int:
        """See `accounting.Accountant`."""
        return self._hosts.networks_refused

    def add_local_network(self, network: Network) -> None:
        """See `accounting.Accountant`."""
        self._check_usable()
        self._hosts.add_network(network)

    def sights(self) -> NDArray[np.void]:
        """See `accounting.Accountant`."""
        self._check_usable()
        seen = [(list(row.key), row.mac, row.has_own_mac, row.is_local, b"") for row in self._hosts.rows if row.mac]
        return np.array(seen, SIGHT_DTYPE)

    def drain(self, source: Capture, max_frames: int, until_ns: int | None = None, max_backstep_ns: int | None = None) -> int:
        """Account up to `max_frames` frames of `source`; return the number accounted. See `accounting.Accountant`."""
        self._check_usable()
        if max_backstep_ns is not None and max_backstep_ns < 0:
            raise ValueError(f"max_backstep_ns must be 0 or more, not {max_backstep_ns}")
        n_accounted = 0
        if self._packets is not None:
            max_frames = min(max_frames, self._packets.n_free)
        if max_frames <= 0:
            source.read(0, until_ns)  # raises ClosedCaptureError
        while n_accounted < max_frames:
            frames = self._read(source, min(self._n_before_pause(), max_frames - n_accounted), until_ns, max_backstep_ns)
            if not frames:
                break
            for frame in frames:
                self.account(frame)
            n_accounted += len(frames)
        return n_accounted

    def _read(self, source: Capture, max_frames: int, until_ns: int | None, max_backstep_ns: int | None) -> list[Frame]:
        """Read frames that are not too old: one, where each may move the bound for the next."""
        if max_backstep_ns is None:
            return source.read(max_frames, until_ns)
        from_ns = None if self.newest_ts_ns is None else self.newest_ts_ns - max_backstep_ns
        return source.read(min(max_frames, 1), until_ns, from_ns)

    def account(self, frame: Frame) -> None:
        """Decode and account one frame."""
        self._check_usable()
        check_numbers(frame)
        summary = decode(frame, inner=self._inner)
        if self._duplicates is not None and self._duplicates.has(frame, summary):
            summary = PacketSummary(FrameStatus.DUPLICATE)
        if self._packets is not None:
            self._packets.put(frame, summary)
        moved = self._count(frame, summary)
        self._see(frame.ts_ns)
        self.newest_ts_ns = greatest(self.newest_ts_ns, frame.ts_ns)
        if summary.status is FrameStatus.IP:
            n_following = moved.bytes if summary.src == summary.dst else 0
            self._hosts.add(summary.src, Traffic.of(sent=moved), frame.ts_ns, frame.ts_ns, n_following)
            self._hosts.add(summary.dst, Traffic.of(received=moved), frame.ts_ns, frame.ts_ns)
            if self._has_conversations:
                self._conversations.account(frame, summary, moved)
        elif summary.status is FrameStatus.NON_IP and self._has_conversations:
            self._services.see_arp(frame)

    def _count(self, frame: Frame, summary: PacketSummary) -> Count:
        """Count a frame by its status; return what is counted of it."""
        moved = Count(1, frame.wire_len)
        if summary.status is FrameStatus.IP and self._bytes_of == "ip":
            moved = Count(1, summary.ip_len(frame))
            self._beside_ip.add(Count(0, frame.wire_len - moved.bytes))
        self._counts[summary.status] += moved
        return moved

    def merge(self, other: Accountant) -> None:
        """Add what `other`, of this class, accounted since its last rotation; rotate `other`.

        If a sum passes the limit, the crossing has the time at which `other` last saw the host.
        """
        if not isinstance(other, ReferenceAccountant):
            raise TypeError(f"a ReferenceAccountant cannot merge a {type(other).__name__}")
        if other is self:
            raise ValueError("an accountant cannot be merged into itself")
        self._check_usable()
        other._check_usable()  # noqa: SLF001 - of this class
        if self._has_conversations != other._has_conversations:  # noqa: SLF001
            raise ValueError("accountants with and without conversations cannot be merged")
        if self._bytes_of != other._bytes_of:  # noqa: SLF001
            raise ValueError("accountants that count frames' bytes and IP bytes cannot be merged")
        other._conversations.settle()  # noqa: SLF001
        self._hosts.absorb_interval(other._hosts)  # noqa: SLF001
        self._conversations.absorb_interval(other._conversations)  # noqa: SLF001
        for status, count in other._counts.items():  # noqa: SLF001
            self._counts[status] += count
        self._beside_ip.add(other._beside_ip.interval)  # noqa: SLF001
        self._see(other.first_ts_ns, other.last_ts_ns)
        self.newest_ts_ns = greatest(self.newest_ts_ns, other.newest_ts_ns)
        other._begin_interval(self._conversations)  # noqa: SLF001

    def rotate(self, interval: Interval) -> Snapshot:
        """Return the snapshot of `interval`: what was accounted since the last rotation. Begin anew."""
        self._check_usable()
        self._conversations.expire(interval.end_ns)
        self._conversations.settle()
        snapshot = self._interval_snapshot(interval)
        self._begin_interval(None)
        return snapshot

    def finish(self, interval: Interval, whole: Interval) -> tuple[Snapshot, Snapshot]:
        """Return the last interval's snapshot and the summary of the whole run."""
        self._check_usable()
        self._has_finished = True
        self._conversations.end_all()
        last = self._interval_snapshot(interval)
        self._remember_counts()
        counters = counters_of(self._counts_before, self._beside_ip.total.bytes, self._hosts.overflow.total)
        summary = self._snapshot(whole, counters, is_summary=True)
        # An interval that is the whole run has the labels that came late, too.
        return last if self._has_rotated else replace(summary, interval=interval, is_summary=False), summary

    def totals(self, interval: Interval) -> Snapshot:
        """Return the rows of all hosts since the start. See `accounting.Accountant`."""
        self._check_usable()
        period = Period(interval, is_summary=True, bytes_of=self._bytes_of)
        counts = defaultdict(Count, self._counts_before)
        for status, count in self._counts.items():
            counts[status] += count
        counters = counters_of(counts, self._beside_ip.total.bytes, self._hosts.overflow.total)
        snapshot = period.snapshot(counters, self._hosts.rows)
        if not self._has_conversations:
            return snapshot
        unsettled = list(self._conversations.unsettled())
        return replace(
            snapshot,
            apps=period.apps(self._hosts.rows, unsettled),
            app_totals=period.app_totals(self._conversations.app_totals, unsettled),
            macs=period.macs(self._hosts.rows),
            **period.service_fields(self._hosts.rows, self._services, unsettled),
        )

    def end_conversations(self) -> None:
        """End all conversations."""
        self._check_usable()
        self._conversations.end_all()

    def take_limit_crossings(self) -> list[LimitCrossing]:
        """Return the limit crossings since the last call, in the order of their frames."""
        crossings, self._hosts.crossings = self._hosts.crossings, []
        return crossings

    def take_packets(self) -> NDArray[np.void]:
        """Return the packet log's records since the last call, in the order of their frames."""
        return np.empty(0, PACKET_DTYPE) if self._packets is None else self._packets.take()

    @property
    def packets_dropped(self) -> int:
        """Frames whose records did not fit."""
        return 0 if self._packets is None else self._packets.n_dropped

    def use_matchers(self, matchers: Matchers, keep_details: bool) -> None:
        """Ignore it: all payloads are for the classifier."""

    def expect(self, protocol: int, host: bytes, port: int, ts_ns: int) -> None:
        """Ignore it: all payloads are for the classifier."""

    def take_names(self, *, all_sights: bool = False) -> FoundNames:  # noqa: ARG002 - there are none
        """Return no names: the classifier finds them."""
        return FoundNames()

    @property
    def names_dropped(self) -> int:
        """Return 0."""
        return 0

    def take_payloads(self) -> list[Payload]:
        """Return the payloads of the ring, oldest first, and empty it."""
        payloads, self._conversations.ring = self._conversations.ring, []
        return payloads

    def label(self, token: int, app: int, wanted: int) -> bool:
        """Say what a payload told of a conversation. See `accounting.Accountant`."""
        return self._conversations.label(token, app, wanted)

    def take_conversations(self) -> NDArray[np.void]:
        """Return the conversations that have ended since the last call, in that order."""
        ended, self._conversations.ended = self._conversations.ended, []
        return np.array(ended, CONVERSATION_DTYPE)

    def take_contacts(self) -> NDArray[np.void]:
        """Return what is new of the conversations of local hosts. See `accounting.Accountant`."""
        self._conversations.tell_of_running()
        return np.array(self._services.take_contacts(), CONTACT_DTYPE)

    @property
    def contacts_dropped(self) -> int:
        """Records of contacts that did not fit."""
        return self._services.contacts_dropped

    def note_unanswered(self, now_ns: int) -> int:
        """Count the conversations that have waited too long for an answer as failed. See `accounting.Accountant`."""
        self._check_usable()
        return self._services.note_unanswered(now_ns)

    def fanout(self, now_ns: int, window_ns: int, *, probes: bool = False) -> NDArray[np.void]:
        """Return how many peers and services local hosts opened conversations with, exactly. See `accounting.Accountant`."""
        self._check_usable()
        if window_ns < 1:
            raise ValueError(f"window_ns must be 1 or more, not {window_ns}")
        return np.array(self._services.fanout(now_ns, window_ns, probes=probes), FANOUT_DTYPE)

    def openings(self) -> NDArray[np.void]:
        """Return how many conversations each local host opened, and how many failed. See `accounting.Accountant`."""
        self._check_usable()
        return np.array(self._services.openings(), OPENING_DTYPE)

    def peers(self, keys: NDArray[np.uint8], now_ns: int) -> NDArray[np.void]:
        """Return what some hosts have moved with their peers. See `accounting.Accountant`."""
        self._check_usable()
        if np.ndim(keys) != 2 or np.shape(keys)[1] != 16 or len(keys) > MAX_KEYS:
            raise ValueError(f"keys must be at most {MAX_KEYS} of 16 bytes, not of shape {np.shape(keys)}")
        return np.array(self._conversations.peers([bytes(key) for key in keys.tolist()], now_ns), PEER_DTYPE)

    @property
    def sketches_evicted(self) -> int:
        """Local hosts whose peers and services were forgotten."""
        return self._services.sketches_evicted

    def _n_before_pause(self) -> int:
        """Return how many frames can be read at once, so that `drain` pauses in time."""
        if not self.pauses or self.payload_allowance == 0:
            return FRAMES_PER_READ
        return max(min(FRAMES_PER_READ, self._conversations.n_free_ring_slots - MIN_FREE_RING_SLOTS + 1), 0)

    def _see(self, *timestamps_ns: int | None) -> None:
        seen = [ts_ns for ts_ns in (self.first_ts_ns, self.last_ts_ns, *timestamps_ns) if ts_ns is not None]
        self.first_ts_ns, self.last_ts_ns = min(seen, default=None), max(seen, default=None)

    def _interval_snapshot(self, interval: Interval) -> Snapshot:
        counters = counters_of(self._counts, self._beside_ip.interval.bytes, self._hosts.overflow.interval)
        return self._snapshot(interval, counters, is_summary=False)

    def _snapshot(self, interval: Interval, counters: Counters, *, is_summary: bool) -> Snapshot:
        period = Period(interval, is_summary=is_summary, bytes_of=self._bytes_of)
        rows = self._hosts.rows if is_summary else self._hosts.active_rows()
        snapshot = period.snapshot(counters, rows)
        if not self._has_conversations:
            return snapshot
        counts = self._conversations.counts(is_summary=is_summary)
        services = period.service_fields(rows, self._services)
        return replace(snapshot, **period.conversation_fields(rows, self._conversations, counts), **services)

    def _begin_interval(self, receiver: Conversations | None) -> None:
        self._has_rotated = True
        self._remember_counts()
        makes_room = self._hosts.is_full
        self._hosts.begin_interval()
        self._conversations.begin_interval(receiver)
        if makes_room:
            self._conversations.end_without_host()

    def _remember_counts(self) -> None:
        for status, count in self._counts.items():
            self._counts_before[status] += count
        self._counts.clear()
        self._beside_ip.begin_interval()
