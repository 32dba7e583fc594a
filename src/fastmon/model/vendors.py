"""Ethernet addresses: their text, and who made the device.

What it does not do: hold a list of vendors. netaddr brings the registry, and is imported when first asked.
"""

from __future__ import annotations

from functools import lru_cache

from fastmon.model.texts import clean_text

__all__ = ["format_mac", "is_locally_administered", "vendor_of"]

_IAB_BLOCKS = frozenset((0x0050C2, 0x40D855))
"""Where the registry knows smaller blocks, of 36 bits (Individual Address Blocks)."""

_REGISTRY = "IEEE Registration Authority"
"""The owner of what it hands out in smaller blocks, whose owners netaddr does not list: no vendor."""


def format_mac(mac: int) -> str:
    """Return an Ethernet address, the big-endian value of its 6 bytes, as text: "aa:bb:cc:dd:ee:ff"."""
    return mac.to_bytes(6, "big").hex(":")


def is_locally_administered(mac: int) -> bool:
    """Return whether an address was made up where it is used: at random by phones and laptops, or by a virtual machine's host."""
    return bool(mac >> 40 & 2)


def vendor_of(mac: int) -> str | None:
    """Return the organisation that an Ethernet address is registered to, as the registry writes it, cleaned.

    None where no one is: for 0, which says that an address is not known, for group addresses, and for locally administered ones
    except a few old blocks that are registered all the same. `is_locally_administered` tells those apart: "randomised" would be
    no vendor, and is not true of virtual machines.
    """
    if not mac or mac >> 40 & 1:
        return None
    oui = mac >> 24
    return _registered(mac >> 12, is_small=True) if oui in _IAB_BLOCKS else _registered(oui, is_small=False)


@lru_cache(maxsize=4096)
def _registered(block: int, *, is_small: bool) -> str | None:
    from netaddr import IAB, OUI, NotRegisteredError

    try:
        organisation: str = (IAB(block << 12) if is_small else OUI(block)).registration().org
    except NotRegisteredError:
        return None
    return None if organisation == _REGISTRY else clean_text(organisation)
