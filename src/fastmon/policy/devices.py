"""Devices: which hosts are one. A device is an Ethernet address, or an address where there is none.

A router between the local hosts and the capture puts its own Ethernet address on the frames of all of them. So an Ethernet
address of many IPv4 hosts is taken for a router's, and these hosts are devices of their own.

What it does not do: remember devices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fastmon.model.addresses import key_from_text, key_to_text
from fastmon.model.rows import are_v4, key_words
from fastmon.model.vendors import format_mac
from fastmon.policy.scopes import parse_mac

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MAX_DEVICE_ADDRESSES", "device_ids", "device_text", "find_router_macs", "parse_device"]

MAX_DEVICE_ADDRESSES = 8
"""IPv4 addresses of one device. An Ethernet address that more hosts have is a router's."""

_MAC_PREFIX = b"\x01mac" + bytes(6)
"""The first bytes of the id of a device that has an Ethernet address; no host's key begins so (0100::/8 is reserved)."""


def find_router_macs(keys: NDArray[np.uint8], macs: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the Ethernet addresses that more than `MAX_DEVICE_ADDRESSES` IPv4 hosts have, in order."""
    unique, counts = np.unique(macs[are_v4(key_words(keys)) & (macs != 0)], return_counts=True)
    routers: NDArray[np.uint64] = unique[counts > MAX_DEVICE_ADDRESSES]
    return routers


def device_ids(keys: NDArray[np.uint8], macs: NDArray[np.uint64], routers: NDArray[np.uint64]) -> NDArray[np.uint8]:
    """Return the ids of the hosts' devices: (n, 16), the host's key where its Ethernet address is unknown or a router's."""
    ids = np.array(keys, np.uint8)
    rows = np.flatnonzero((macs != 0) & ~np.isin(macs, routers))
    ids[rows, :10] = np.frombuffer(_MAC_PREFIX, np.uint8)
    ids[rows, 10:] = macs[rows].astype(">u8").view(np.uint8).reshape(-1, 8)[:, 2:]
    return ids


def device_text(device: bytes) -> str:
    """Return a device's id as text: its Ethernet address, or its address."""
    if device.startswith(_MAC_PREFIX):
        return format_mac(int.from_bytes(device[10:], "big"))
    return key_to_text(device)


def parse_device(text: str) -> bytes:
    """Return the id of a device, from `device_text`. Raises ConfigError for any other text."""
    mac = parse_mac(text)
    return key_from_text(text) if mac is None else _MAC_PREFIX + mac.to_bytes(6, "big")
