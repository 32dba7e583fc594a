"""Devices: which hosts are one. A device is an Ethernet address, or an address where there is none.

A router between the local hosts and the capture puts its own Ethernet address on the frames of all of them. So an Ethernet
address of many IPv4 hosts is taken for a router's, and these hosts are devices of their own.

What it does not do: remember devices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastmon.model.addresses import key_from_text, key_to_text
from fastmon.model.vendors import format_mac
from fastmon.policy.key_index import GONE
from fastmon.policy.scopes import parse_mac

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastmon.model.names import NameBook
    from fastmon.policy.hosts import Roster

__all__ = ["LocalHosts", "device_ids", "device_text", "mac_ids", "parse_device", "parse_mac_id"]

_MAC_PREFIX = b"\x01mac" + bytes(6)
"""The first bytes of the id of a device that has an Ethernet address; no host's key begins so (0100::/8 is reserved)."""


def device_ids(keys: NDArray[np.uint8], macs: NDArray[np.uint64], routers: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Return the ids of the hosts' devices: (n, 16), the host's key where its Ethernet address is unknown or a router's."""
    ids = np.array(keys, np.uint8)
    rows = np.flatnonzero((macs != 0) & ~np.isin(macs, routers))
    ids[rows] = mac_ids(macs[rows])
    return ids


def mac_ids(macs: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Return the ids of devices that have an Ethernet address: (n, 16)."""
    ids = np.empty((len(macs), 16), np.uint8)
    ids[:, :10] = np.frombuffer(_MAC_PREFIX, np.uint8)
    ids[:, 10:] = macs.astype(">u8").view(np.uint8).reshape(-1, 8)[:, 2:]
    return ids


def parse_mac_id(device: bytes) -> int:
    """Return the Ethernet address of a device's id; 0 if it has none."""
    return int.from_bytes(device[10:], "big") if device.startswith(_MAC_PREFIX) else 0


def device_text(device: bytes) -> str:
    """Return a device's id as text: its Ethernet address, or its address."""
    mac = parse_mac_id(device)
    return format_mac(mac) if mac else key_to_text(device)


def parse_device(text: str) -> bytes:
    """Return the id of a device, from `device_text`. Raises ConfigError for any other text."""
    mac = parse_mac(text)
    return key_from_text(text) if mac is None else _MAC_PREFIX + mac.to_bytes(6, "big")


class LocalHosts:
    """The local hosts of the roster, by their addresses. To be updated at every tick.

    names: the book of hosts' names.
    """

    def __init__(self, names: NameBook | None = None) -> None:
        self._names = names
        self._hosts: Roster | None = None

    def update(self, hosts: Roster) -> None:
        """Look at the hosts of this tick."""
        self._hosts = hosts

    def rows_of(self, keys: NDArray[np.uint8]) -> NDArray[np.intp]:
        """Return the row of each of (n, 16) keys; `GONE` for hosts that are not local."""
        return np.full(len(keys), GONE) if self._hosts is None else self._hosts.local_rows_of(keys)

    def ids_of(self, hosts: Roster, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Return the ids of the devices of some hosts."""
        return device_ids(hosts.keys[rows], hosts.macs[rows], hosts.routers)

    def names_of(self, keys: NDArray[np.uint8]) -> list[str]:
        """Return the best name of each of (n, 16) keys, of hosts anywhere; "" where none is known."""
        if self._names is None:
            return [""] * len(keys)
        return ["" if found is None else found[0] for found in self._names.names_of(keys, self.rows_of(keys) != GONE)]
