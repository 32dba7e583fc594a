"""Link-layer types by number and name, and which of them can be accounted.

What it does not do: decode. Numbers are LINKTYPE_ values (https://www.tcpdump.org/linktypes.html).
"""

from __future__ import annotations

from fastmon.native import decoder

__all__ = ["LINK_TYPES", "describe", "is_supported"]

LINK_TYPES: frozenset[int] = decoder.LINK_TYPES
"""The link types that both decoders know."""


def is_supported(link_type: int) -> bool:
    """Return whether frames of `link_type` can be accounted."""
    return link_type in LINK_TYPES


def describe(link_type: int) -> str:
    """Return a link type's name and number for a message, like "BLUETOOTH_HCI_H4 (187)"."""
    name = decoder.link_type_name(link_type)
    return f"{name} ({link_type})" if name else f"unknown ({link_type})"
