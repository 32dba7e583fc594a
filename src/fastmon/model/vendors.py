"""Ethernet addresses: their text, and the vendor of the device.

What it does not do: hold a list of vendors. netaddr has the registry, and is imported at the first question.
"""

from __future__ import annotations

from functools import lru_cache

from fastmon.model.texts import clean_text

__all__ = ["format_mac", "is_locally_administered", "vendor_of"]

_IAB_BLOCKS = frozenset((0x0050C2, 0x40D855))
"""Blocks that the registry divides into smaller ones of 36 bits (Individual Address Blocks)."""

_REGISTRY = "IEEE Registration Authority"
"""The owner of blocks that it hands out in smaller ones. netaddr does not list their owners, so it is not taken for a vendor."""


def format_mac(mac: int) -> str:
    """Return the text of an Ethernet address, given as the big-endian value of its 6 bytes: "aa:bb:cc:dd:ee:ff"."""
    return mac.to_bytes(6, "big").hex(":")


def is_locally_administered(mac: int) -> bool:
    """Return whether an address was not assigned by a vendor: a random one of a phone or laptop, or a virtual machine's."""
    return bool(mac >> 40 & 2)


def vendor_of(mac: int) -> str | None:
    """Return the organisation that an Ethernet address is registered to, with the registry's spelling, cleaned.

    None for 0 (the address is not known), for group addresses, for unregistered blocks, and for locally administered addresses
    except a few old blocks that are registered. For those ask `is_locally_administered`: a text such as "randomised" would not
    be a vendor, and would be wrong for virtual machines.
    """
    if not mac or mac >> 40 & 1:
        return None
    oui = mac >> 24
    return _look_up(mac >> 12, is_small=True) if oui in _IAB_BLOCKS else _look_up(oui, is_small=False)


@lru_cache(maxsize=4096)
def _look_up(block: int, *, is_small: bool) -> str | None:
    from netaddr import IAB, OUI, NotRegisteredError

    try:
        organisation: str = (IAB(block << 12) if is_small else OUI(block)).registration().org
    except NotRegisteredError:
        return None
    return None if organisation == _REGISTRY else clean_text(organisation)
