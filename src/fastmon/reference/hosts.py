"""The reference accountant's hosts, and what each application moved for them.

Private to `fastmon.reference`.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fastmon.model.addresses import parse_network
from fastmon.model.snapshot import LimitCrossing
from fastmon.reference.sums import Account, Traffic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastmon.model.addresses import Network

__all__ = ["HostTable", "Row"]

MAX_ADDED = 1024
MAX_ANNOUNCED = 64


def _traffic_account() -> Account[Traffic]:
    return Account(Traffic())


@dataclass(slots=True)
class Row:
    """One host.

    apps: by their numbers, without 0, the unknown.
    mac: the Ethernet address that its frames come from or go to, 0 if it is not known.  has_own_mac: it was its own.
    """

    key: bytes
    is_local: bool
    first_seen_ns: int
    last_seen_ns: int
    is_flagged: bool = False
    account: Account[Traffic] = field(default_factory=_traffic_account)
    apps: defaultdict[int, Account[Traffic]] = field(default_factory=lambda: defaultdict(_traffic_account))
    mac: int = 0
    has_own_mac: bool = False

    @property
    def is_active(self) -> bool:
        """Whether the host had traffic since the last rotation."""
        return self.account.interval != Traffic()


class HostTable:
    """The hosts, in the order in which they came, and the traffic of those that did not fit."""

    def __init__(self, max_hosts: int, limit_bytes: int, local_networks: Sequence[str]) -> None:
        self.networks = [parse_network(text) for text in local_networks]
        self.networks_refused = 0
        self._n_announced = 0
        self._n_given = len(self.networks)
        self.rows: list[Row] = []
        self.overflow = _traffic_account()
        self.crossings: list[LimitCrossing] = []
        self._max_hosts = max_hosts
        self._limit_bytes = limit_bytes
        self._row_of: dict[bytes, Row] = {}
        self._hand = 0

    def add(self, key: bytes, traffic: Traffic, first_ns: int, last_ns: int, n_following: int = 0) -> None:
        """Add a host's traffic to its row, or to the overflow if it is unseen and does not fit.

        n_following: the bytes of the same frame or sum that are still to be added to it.
        """
        row = self._row_of.get(key) or self._insert(key, first_ns)
        if row is None:
            self.overflow.add(traffic)
            return
        row.account.add(traffic)
        row.first_seen_ns = min(row.first_seen_ns, first_ns)
        row.last_seen_ns = max(row.last_seen_ns, last_ns)
        self._check_limit(row, last_ns, n_following)

    def find(self, key: bytes) -> Row | None:
        """Return a host's row, None if it has none."""
        return self._row_of.get(key)

    def is_local(self, key: bytes) -> bool:
        """Whether a host is in one of the local networks."""
        return any(_contains(network, key) for network in self.networks)

    def add_network(self, network: Network, *, is_announced: bool = False) -> None:
        """Take the hosts of a further network for local from now on; those over the limit cross it again."""
        if any(each.length <= network.length and _contains(each, network.prefix) for each in self.networks):
            return
        if len(self.networks) == self._n_given + MAX_ADDED or (is_announced and self._n_announced == MAX_ANNOUNCED):
            self.networks_refused += 1
            return
        self.networks.append(network)
        self._n_announced += is_announced
        for row in self.rows:
            if not row.is_local and _contains(network, row.key):
                row.is_local = True
                if row.is_flagged:
                    self._cross(row, row.last_seen_ns, 0, is_late=True)

    @property
    def is_full(self) -> bool:
        """Whether a further remote host would not fit."""
        return len(self.rows) == self._max_hosts

    def active_rows(self) -> list[Row]:
        """Return the hosts that had traffic in this interval."""
        return [row for row in self.rows if row.is_active]

    def begin_interval(self) -> None:
        """Make room in a full table, and let the intervals' sums begin at 0."""
        if self.is_full:
            self._forget_idle_remote_hosts()
        self.overflow.begin_interval()
        for row in self.rows:
            for account in (row.account, *row.apps.values()):
                account.begin_interval()

    def absorb_interval(self, other: HostTable) -> None:
        """Add what another accountant's hosts moved in its interval, once its local networks are local here, too."""
        for network in other.networks:
            self.add_network(network)
        for theirs in other.active_rows():
            sent, received = theirs.account.interval.sent, theirs.account.interval.received
            self.add(theirs.key, sent, theirs.first_seen_ns, theirs.last_seen_ns, received.bytes_in)
            self.add(theirs.key, received, theirs.first_seen_ns, theirs.last_seen_ns)
            row = self.find(theirs.key)
            if row is not None:
                if theirs.mac:
                    row.mac, row.has_own_mac = theirs.mac, theirs.has_own_mac
                for app, account in theirs.apps.items():
                    row.apps[app].add(account.interval)
        self.overflow.add(other.overflow.interval)

    def _insert(self, key: bytes, ts_ns: int) -> Row | None:
        """Give an unseen host a row; return None if it does not fit."""
        is_local = self.is_local(key)
        row = Row(key, is_local, ts_ns, ts_ns)
        if not self.is_full:
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

    def _displace(self, row: Row) -> None:
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

    def _move_to_overflow(self, row: Row) -> None:
        """Let the overflow have what a host had; what earlier intervals reported of it stays theirs."""
        self.overflow.absorb(row.account)
        del self._row_of[row.key]

    def _check_limit(self, row: Row, ts_ns: int, n_following: int) -> None:
        total_bytes = row.account.total.bytes_in + row.account.total.bytes_out
        if 0 < self._limit_bytes < total_bytes and not row.is_flagged:
            row.is_flagged = True
            self._cross(row, ts_ns, n_following, is_late=False)

    def _cross(self, row: Row, ts_ns: int, n_following: int, *, is_late: bool) -> None:
        total_bytes = row.account.total.bytes_in + row.account.total.bytes_out + n_following
        self.crossings.append(LimitCrossing(row.key, ts_ns, total_bytes, self._limit_bytes, row.is_local, is_late))


def _contains(network: Network, key: bytes) -> bool:
    n_host_bits = 128 - network.length
    return int.from_bytes(key, "big") >> n_host_bits == int.from_bytes(network.prefix, "big") >> n_host_bits
