"""A snapshot's hosts grouped: a device's addresses, or an IPv6 prefix's, as one row.

What it does not do: find out which device has which address: `Snapshot.macs` says it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fastmon.model.rows import ADDRESS_DTYPE, UNGROUPED, Grouping, are_v4, key_words, no_addresses

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastmon.model.snapshot import Snapshot

__all__ = ["UNGROUPED", "Grouping", "group_hosts"]


def group_hosts(snapshot: Snapshot, grouping: Grouping) -> Snapshot:
    """Return `snapshot` with the hosts that `grouping` puts together as one row; all sums stay as they are.

    A row's counters are its hosts' added up, its first and last seen the least and greatest; it is local or flagged if one of
    them is.

    A device (`by_mac`) has the key of its most telling address: IPv4 before IPv6, link-local ones last, then the one with the
    most bytes since the start. `Snapshot.addresses` has its addresses. Hosts behind another router, whose Ethernet address their
    frames carry, are one device with it. A prefix (`v6_prefix`) has the key of its network, and no Ethernet address.

    Raises ValueError if `snapshot` is grouped already.
    """
    if snapshot.grouping != UNGROUPED:
        raise ValueError(f"the snapshot's hosts are grouped already: {snapshot.grouping}")
    if grouping == UNGROUPED:
        return snapshot
    macs = np.zeros(len(snapshot), np.uint64) if snapshot.macs is None else snapshot.macs
    are_devices = (macs != 0) & grouping.by_mac
    hosts, addresses = snapshot.hosts, no_addresses()
    if grouping.v6_prefix < 128:
        are_prefixes = ~are_v4(key_words(hosts["key"])) & ~are_devices
        hosts = hosts.copy()
        hosts["key"][are_prefixes] &= _mask(grouping.v6_prefix)
        macs = np.where(are_prefixes, 0, macs)
    if grouping.by_mac:
        rows = np.flatnonzero(are_devices)
        addresses = np.empty(len(rows), ADDRESS_DTYPE)
        addresses["host"], addresses["key"] = rows, hosts["key"][rows]
    grouped_macs = None if snapshot.macs is None else macs
    return replace(snapshot, hosts=hosts, macs=grouped_macs, addresses=addresses, grouping=grouping).merge()


def _mask(length: int) -> NDArray[np.uint8]:
    mask = (1 << 128) - (1 << 128 - length)
    return np.frombuffer(mask.to_bytes(16, "big"), np.uint8)
