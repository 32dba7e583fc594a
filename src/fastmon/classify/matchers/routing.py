"""Routing: BGP (RFC 4271), LDP (RFC 5036)."""

from __future__ import annotations

from fastmon.classify.matching import Context, Match, certain

__all__ = ["bgp", "ldp"]

BGP_MARKER = b"\xff" * 16
LDP_MESSAGES = {0x0001, 0x0100, 0x0200, 0x0201, 0x0300, 0x0301, 0x0400, 0x0401, 0x0402, 0x0403, 0x0404}


def bgp(data: bytes, context: Context) -> Match | None:
    """The marker, then a length and a type."""
    return certain("bgp") if data.startswith(BGP_MARKER) and data[16] <= 16 and 1 <= data[18] <= 5 else None


def ldp(data: bytes, context: Context) -> Match | None:
    """Version 1, and a first message of a known type that fits into its PDU."""
    if data[:2] != b"\0\1" or len(data) < 18 or ((data[10] & 0x7F) << 8 | data[11]) not in LDP_MESSAGES:
        return None
    length, message = data[2] << 8 | data[3], data[12] << 8 | data[13]
    return certain("ldp") if 14 <= length <= 4096 and 4 <= message <= length - 10 and length + 4 >= min(len(data), 64) else None
