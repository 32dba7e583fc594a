"""Grouping a snapshot's hosts: the addresses of a device, or of an IPv6 prefix, as one row.

What it does not do: find out which device has which address; `Snapshot.macs` has that.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fastmon.model.merge import join_rows
from fastmon.model.rows import ADDRESS_DTYPE, UNGROUPED, Grouping, are_v4, key_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastmon.model.snapshot import Snapshot

__all__ = ["UNGROUPED", "Grouping", "group_hosts"]


def group_hosts(snapshot: Snapshot, grouping: Grouping) -> Snapshot:
    """Return `snapshot` with each group of hosts as one row. All sums stay as they are.

    A row has the sums of its hosts' counters, and the first and the last time that one of them was seen. It is local or flagged
    if one of them is.

    A device (`by_mac`) has the key of its most telling address: IPv4 before IPv6, link-local last, then the address with the most
    bytes since the start. `Snapshot.addresses` has its addresses. Hosts behind another router are one device: their frames carry
    the router's Ethernet address. A prefix (`v6_prefix`) has the key of its network, and no Ethernet address.

    An interval's snapshot has only the hosts that were active in it, so the totals since the start of a group are those of its
    active hosts. To group several snapshots, merge first: a total that is grouped cannot be taken apart again.

    Raises ValueError if `snapshot` is grouped already.
    """
    if snapshot.grouping != UNGROUPED:
        raise ValueError(f"the snapshot's hosts are grouped already: {snapshot.grouping}")
    if grouping == UNGROUPED:
        return snapshot
    macs = np.zeros(len(snapshot), np.uint64) if snapshot.macs is None else snapshot.macs
    are_devices = (macs != 0) & grouping.by_mac
    hosts, addresses = snapshot.hosts, np.empty(0, ADDRESS_DTYPE)
    if grouping.v6_prefix < 128:
        are_prefixes = ~are_v4(key_words(hosts["key"])) & ~are_devices
        hosts = hosts.copy()
        hosts["key"][are_prefixes] &= _mask(grouping.v6_prefix)
        macs = np.where(are_prefixes, 0, macs)
    if grouping.by_mac:
        rows = np.flatnonzero(are_devices)
        addresses = np.empty(len(rows), ADDRESS_DTYPE)
        addresses["host"], addresses["key"] = rows, hosts["key"][rows]
        addresses["total_bytes"] = (snapshot.total_bytes_in + snapshot.total_bytes_out)[rows]
    grouped_macs = None if snapshot.macs is None else macs
    relabelled = replace(snapshot, hosts=hosts, macs=grouped_macs, addresses=addresses, grouping=grouping)
    return join_rows([relabelled], snapshot.names)


def _mask(length: int) -> NDArray[np.uint8]:
    mask = (1 << 128) - (1 << 128 - length)
    return np.frombuffer(mask.to_bytes(16, "big"), np.uint8)
