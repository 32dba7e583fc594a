"""The native accountant: the extension's arrays made into snapshots and other values.

What it does not do: check what `make_accountant` is told.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fastmon import _accounting
from fastmon.model.addresses import Network
from fastmon.model.columns import interval_snapshot, whole_snapshot
from fastmon.model.conversations import CONVERSATION_DTYPE, FoundName, FoundNames, Payload
from fastmon.model.packets import PACKET_DTYPE
from fastmon.model.rows import SIGHT_DTYPE
from fastmon.model.services import CONTACT_DTYPE, FANOUT_DTYPE, OPENING_DTYPE, PEER_DTYPE
from fastmon.model.snapshot import LimitCrossing, Snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fastmon.model.snapshot import Interval

__all__ = ["NativeAccountant"]


class NativeAccountant(_accounting.Accountant):
    """The native `Accountant`: makes snapshots and other values of the extension's arrays; made by `make_accountant`."""

    @property
    def local_networks(self) -> Sequence[Network]:
        """See `Accountant`."""
        return [Network(prefix, int.from_bytes(mask, "big").bit_count()) for prefix, mask in self.networks]

    def add_local_network(self, network: Network) -> None:
        """See `Accountant`."""
        self.add_network((network.prefix, network.mask))

    def sights(self) -> NDArray[np.void]:
        """See `Accountant`."""
        return self.sights_as(SIGHT_DTYPE)

    def rotate(self, interval: Interval) -> Snapshot:
        """See `Accountant`."""
        return self.rotate_as(interval.end_ns - 1, lambda columns: _checked(interval_snapshot(interval, columns)))

    def finish(self, interval: Interval, whole: Interval) -> tuple[Snapshot, Snapshot]:
        """See `Accountant`."""

        def make(last: dict[str, Any] | None, all_: dict[str, Any]) -> tuple[Snapshot, Snapshot]:
            summary = _checked(whole_snapshot(whole, all_))
            if last is None:
                return replace(summary, interval=interval, is_summary=False), summary
            return _checked(interval_snapshot(interval, last)), summary

        return self.finish_as(make)

    def totals(self, interval: Interval) -> Snapshot:
        """See `Accountant`."""
        return self.totals_as(lambda columns: _checked(whole_snapshot(interval, columns)))

    def take_limit_crossings(self) -> list[LimitCrossing]:
        """See `Accountant`."""
        return self.take_crossings_as(LimitCrossing)

    def take_payloads(self) -> list[Payload]:
        """See `Accountant`."""
        return self.take_payloads_as(Payload)

    def take_names(self, *, all_sights: bool = False) -> FoundNames:
        """See `Accountant`."""
        return FoundNames(*self.take_names_as(FoundName, all_sights))

    def take_packets(self) -> NDArray[np.void]:
        """See `Accountant`."""
        return self.take_packets_as(PACKET_DTYPE)

    def take_conversations(self) -> NDArray[np.void]:
        """See `Accountant`."""
        return self.take_conversations_as(CONVERSATION_DTYPE)

    def take_contacts(self) -> NDArray[np.void]:
        """See `Accountant`."""
        return self.take_contacts_as(CONTACT_DTYPE)

    def fanout(self, now_ns: int, window_ns: int, *, probes: bool = False) -> NDArray[np.void]:
        """See `Accountant`."""
        return self.fanout_as(now_ns, window_ns, probes, FANOUT_DTYPE)

    def openings(self) -> NDArray[np.void]:
        """See `Accountant`."""
        return self.openings_as(OPENING_DTYPE)

    def peers(self, keys: NDArray[np.uint8], now_ns: int) -> NDArray[np.void]:
        """See `Accountant`."""
        return self.peers_as(np.ascontiguousarray(keys, np.uint8), now_ns, PEER_DTYPE)


def _checked(snapshot: Snapshot) -> Snapshot:
    """In the debug build, check a snapshot's sums."""
    if _accounting.DEBUG:
        snapshot.check_conservation()
    return snapshot
