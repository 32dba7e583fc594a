"""Wide-area links: HDLC, Frame Relay, ATM, and Juniper's headers around them: docs/decoding.md. None of them counts as a header.

What it does not do: reassemble; follow the rules from there.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from fastmon.native.decode.headers cimport (
    MALFORMED, NON_IP, TO_ETHERNET, TO_IP, TO_LLC, TO_PPP, TRUNCATED, Cursor, advance, by_ethertype, tagged,
)
from fastmon.native.wire cimport be16_at, be32_at

cdef enum:
    LINK_FOLLOWS = -1  # neither a rule nor a status: the link-layer header that the table names

cdef inline int enter_hdlc(Cursor* cursor, bint only_cisco) noexcept nogil:
    """Cisco HDLC, or PPP in HDLC framing (RFC 1662, RFC 1547 section 4.3)."""
    cdef uint8_t address
    if cursor.avail < 4:
        return TRUNCATED
    address = cursor.at[0]
    if address == 0x0F or address == 0x8F or (only_cisco and address != 0xFF):
        return tagged(cursor, 4)
    return TO_PPP


cdef inline int by_nlpid(Cursor* cursor) noexcept nogil:
    """A network-layer protocol identifier, and SNAP of routed and bridged frames (RFC 2427 sections 4 and 6)."""
    cdef const uint8_t* header = cursor.at
    cdef uint32_t organisation
    cdef uint16_t protocol
    if cursor.avail < 1:
        return TRUNCATED
    if header[0] == 0xCC or header[0] == 0x8E or header[0] == 0xCF:
        advance(cursor, 1)
        return TO_PPP if header[0] == 0xCF else TO_IP
    if header[0] != 0x80:
        return NON_IP
    if cursor.avail < 6:
        return TRUNCATED
    organisation = be32_at(header) & 0xFFFFFF
    protocol = be16_at(header + 4)
    advance(cursor, 6)
    if organisation == 0x0080C2:
        return TO_ETHERNET if protocol == 1 or protocol == 7 else NON_IP
    return by_ethertype(protocol) if organisation == 0 and protocol >= 0x0600 else NON_IP


cdef inline int enter_frame_relay(Cursor* cursor) noexcept nogil:
    """A Q.922 address of 2 to 4 bytes; then RFC 2427's header, or an EtherType as Cisco has it."""
    cdef const uint8_t* header = cursor.at
    cdef uint32_t length = 2
    if cursor.avail < 4:
        return TRUNCATED
    if header[0] & 1:
        return MALFORMED
    while not header[length - 1] & 1:
        length += 1
        if length > 4:
            return MALFORMED
    if cursor.avail < length + 2:
        return TRUNCATED
    if header[length] != 0x03:
        return tagged(cursor, length + 2)
    advance(cursor, length + 1 if header[length + 1] else length + 2)
    return by_nlpid(cursor)


cdef inline int enter_multilink(Cursor* cursor) noexcept nogil:
    """Multi-link Frame Relay (FRF.16): a fragment has headers if it begins a frame, and is no control message."""
    if cursor.avail < 2:
        return TRUNCATED
    if cursor.at[0] & 0xA0 != 0x80:
        return NON_IP
    advance(cursor, 2)
    return enter_frame_relay(cursor)


cdef inline int enter_atm(Cursor* cursor) noexcept nogil:
    """Multiprotocol encapsulation over ATM (RFC 2684)."""
    if cursor.avail < 3:
        return TRUNCATED
    return NON_IP if cursor.at[0] == 0xFE else TO_LLC


cdef inline int enter_sunatm(Cursor* cursor) noexcept nogil:
    if cursor.avail < 4:
        return TRUNCATED
    if cursor.at[0] & 0x0F != 2:
        return NON_IP
    advance(cursor, 4)
    return TO_LLC


cdef inline int enter_atm_clip(Cursor* cursor) noexcept nogil:
    """Linux's classical IP over ATM: LLC and SNAP, or IP at once."""
    if cursor.avail < 3:
        return TRUNCATED
    return TO_LLC if be16_at(cursor.at) == 0xAAAA and cursor.at[2] == 3 else TO_IP


cdef inline int ip_by_version(Cursor* cursor) noexcept nogil:
    if cursor.avail < 1:
        return TRUNCATED
    return TO_IP if cursor.at[0] >> 4 == 4 or cursor.at[0] >> 4 == 6 else NON_IP


cdef inline int enter_juniper(Cursor* cursor) noexcept nogil:
    """Juniper's header and its extensions; it says whether the frame still has its link-layer header."""
    cdef const uint8_t* header = cursor.at
    cdef uint32_t length = 4
    if cursor.avail < 4:
        return TRUNCATED
    if be32_at(header) >> 8 != 0x4D4743:  # "MGC"
        return MALFORMED
    if header[3] & 0x80:
        if cursor.avail < 6:
            return TRUNCATED
        length = 6 + be16_at(header + 4)
    if header[3] & 0x02:
        advance(cursor, length + 4)
        return ip_by_version(cursor)
    advance(cursor, length)
    return LINK_FOLLOWS


cdef inline int enter_juniper_cookie(Cursor* cursor) noexcept nogil:
    """An IP packet behind the 8 bytes in which a service card tells of it."""
    if cursor.avail < 8:
        return TRUNCATED
    advance(cursor, 8)
    return ip_by_version(cursor)
