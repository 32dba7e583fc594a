"""802.11 and the headers that capture software puts before it: docs/decoding.md. None of them counts as a header.

What it does not do: decrypt; follow the rules from there.
"""

from libc.stdint cimport uint8_t, uint32_t

from fastmon.native.decode.headers cimport ENCRYPTED, MALFORMED, NON_IP, TO_LLC, TRUNCATED, Cursor, advance
from fastmon.native.wire cimport be32_at, le16_at, le32_at, swap32


cdef inline int enter_dot11(Cursor* cursor, bint data_pad) noexcept nogil:
    """An 802.11 data frame (IEEE 802.11 section 9.3.2.1); an A-MSDU counts as its first subframe."""
    cdef const uint8_t* header = cursor.at
    cdef uint32_t length = 24
    cdef uint32_t qos_at = 0
    if cursor.avail < 2:
        return TRUNCATED
    if (header[0] >> 2) & 3 != 2 or header[0] & 0x40:
        return NON_IP
    if header[1] & 0x40:
        return ENCRYPTED
    if header[1] & 3 == 3:
        length += 6
    if header[0] & 0x80:
        qos_at = length
        length += 2
        if header[1] & 0x80:
            length += 4
    if data_pad:
        length = (length + 3) & ~<uint32_t>3
    if cursor.avail < length:
        return TRUNCATED
    advance(cursor, length)
    if qos_at and header[qos_at] & 0x80:
        advance(cursor, 14)
    return TO_LLC


cdef inline int enter_radiotap(Cursor* cursor) noexcept nogil:
    """A radiotap header (https://www.radiotap.org), read for its length and its data-pad flag."""
    cdef const uint8_t* header = cursor.at
    cdef uint32_t length, present, at = 8
    cdef bint data_pad = False
    if cursor.avail < 8:
        return TRUNCATED
    length = le16_at(header + 2)
    if header[0] != 0 or length < 8:
        return MALFORMED
    if cursor.avail < length:
        return TRUNCATED
    present = le32_at(header + 4)
    while le32_at(header + at - 4) & 0x80000000U:
        if at + 4 > length:
            return MALFORMED
        at += 4
    if present & 2:
        if present & 1:
            at = ((at + 7) & ~<uint32_t>7) + 8
        if at >= length:
            return MALFORMED
        data_pad = header[at] & 0x20 != 0
    advance(cursor, length)
    return enter_dot11(cursor, data_pad)


cdef inline int enter_wlan_header(Cursor* cursor, uint32_t length) noexcept nogil:
    """802.11 behind a vendor header (Prism, AVS) of `length` bytes."""
    if length < 8:
        return MALFORMED
    advance(cursor, length)
    return enter_dot11(cursor, False)


cdef inline int enter_prism(Cursor* cursor, bint is_avs) noexcept nogil:
    cdef uint32_t length
    if cursor.avail < 8:
        return TRUNCATED
    if is_avs or be32_at(cursor.at) >> 12 == 0x80211:
        return enter_wlan_header(cursor, be32_at(cursor.at + 4))
    length = le32_at(cursor.at + 4)
    return enter_wlan_header(cursor, length if length <= 0xFFFF else swap32(length))
