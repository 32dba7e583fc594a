"""The reference decoder's rules for 802.11 and the headers that capture software puts before it.

Private to `fastmon.decode`. None of them counts as a header.
"""

from __future__ import annotations

from dpkt.radiotap import Radiotap

from fastmon.decode.walk import Cursor, Rule, Step, Stop
from fastmon.model.frames import FrameStatus

__all__ = ["avs", "ieee802_11", "prism", "radiotap"]

DATA_FRAME = 2


def _round_up(n: int, unit: int) -> int:
    return -(-n // unit) * unit


def ieee802_11(at: Cursor, *, has_data_pad: bool = False) -> Step:
    """Read an 802.11 header; `has_data_pad`: it is padded to a multiple of four bytes."""
    at.need(2)
    control, flags = at.u8(0), at.u8(1)
    has_no_data = control & 0x40
    if (control >> 2) & 3 != DATA_FRAME or has_no_data:
        raise Stop(FrameStatus.NON_IP)
    is_protected = flags & 0x40
    if is_protected:
        raise Stop(FrameStatus.ENCRYPTED)
    has_four_addresses = flags & 3 == 3
    length = qos_control = 30 if has_four_addresses else 24
    is_qos = control & 0x80
    if is_qos:
        has_ht_control = flags & 0x80
        length += 6 if has_ht_control else 2
    if has_data_pad:
        length = _round_up(length, 4)
    at.need(length)
    is_aggregate = is_qos and at.u8(qos_control) & 0x80
    return Step(Rule.LLC, at.skip(length + 14 if is_aggregate else length))


def radiotap(at: Cursor) -> Step:
    """Read a radiotap header and the 802.11 header after it."""
    at.need(8)
    header = at.header(Radiotap)
    if header.version != 0 or header.length < 8:
        raise Stop(FrameStatus.MALFORMED)
    at.need(header.length)
    return ieee802_11(at.skip(header.length), has_data_pad=bool(_radiotap_flags(at, header.length) & 0x20))


def _radiotap_flags(at: Cursor, header_length: int) -> int:
    """Return the radiotap field Flags, 0 where there is none."""
    present = at.u32_le(4)
    fields = 8
    while at.u32_le(fields - 4) & 0x80000000:
        fields += 4
        if fields > header_length:
            raise Stop(FrameStatus.MALFORMED)
    if not present & 0x2:
        return 0
    has_timestamp = present & 0x1
    flags = _round_up(fields, 8) + 8 if has_timestamp else fields
    if flags >= header_length:
        raise Stop(FrameStatus.MALFORMED)
    return at.u8(flags)


def prism(at: Cursor) -> Step:
    """Read a Prism header, or the AVS header that may stand in its place."""
    at.need(8)
    is_avs = at.u32(0) >> 12 == 0x80211
    if is_avs:
        return avs(at)
    length = at.u32_le(4)
    if length > 0xFFFF:
        length = at.u32(4)
    return _ieee802_11_after(at, length)


def avs(at: Cursor) -> Step:
    """Read an AVS header."""
    at.need(8)
    return _ieee802_11_after(at, at.u32(4))


def _ieee802_11_after(at: Cursor, length: int) -> Step:
    if length < 8:
        raise Stop(FrameStatus.MALFORMED)
    return ieee802_11(at.skip(length))
