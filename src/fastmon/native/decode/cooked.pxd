"""Linux cooked frames, and the VLAN tags that their protocol field hides: docs/decoding.md.

What it does not do: follow the rules from there.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from fastmon.native.decode.headers cimport (
    MAX_HEADERS, NON_IP, TOO_DEEP, TO_IP, TO_LLC, TO_MPLS, TO_PPPOE, TO_VLAN, TRUNCATED, Cursor, advance, by_type_or_length,
)
from fastmon.native.decode.wan cimport enter_frame_relay
from fastmon.native.decode.wireless cimport enter_radiotap
from fastmon.native.wire cimport be16_at, likely, unlikely

cdef enum:
    ARPHRD_FRAD = 770
    ARPHRD_RADIOTAP = 803
    ARPHRD_NETLINK = 824


cdef inline bint is_surely_ip(const uint8_t* at, uint32_t avail) noexcept nogil:
    """Tell an IP header from a tag that looks like one: its packet ends with what was captured, or IPv4's checksum is right."""
    cdef uint32_t length, i, total = 0
    if avail < 20:
        return False
    if at[0] >> 4 == 6:
        return avail == 40 + <uint32_t>be16_at(at + 4)
    length = (at[0] & 0x0F) * 4
    if at[0] >> 4 != 4 or length < 20 or avail < length:
        return False
    for i in range(0, length, 2):
        total += be16_at(at + i)
    return total % 0xFFFF == 0 or avail == be16_at(at + 2)


cdef inline bint may_begin(int rule, const uint8_t* at, uint32_t avail) noexcept nogil:
    """Whether the first byte, if it was captured, may be that of `rule`."""
    if rule == TO_MPLS or avail == 0:
        return True
    return at[0] == 0x11 if rule == TO_PPPOE else (at[0] >> 4 == 4 or at[0] >> 4 == 6)


cdef inline bint tags_lead_to(uint16_t protocol, int rule, const uint8_t* at, uint32_t avail) noexcept nogil:
    """Whether the bytes, as far as they were captured, read as VLAN tags whose last type is `protocol`."""
    cdef uint16_t following
    cdef uint32_t _n_tags
    for _n_tags in range(<uint32_t>MAX_HEADERS):
        if avail < 4:
            return True
        following = be16_at(at + 2)
        at += 4
        avail -= 4
        if following == protocol:
            return may_begin(rule, at, avail)
        if by_type_or_length(following) != TO_VLAN:
            return False
    return True


cdef inline bint hides_tags(uint16_t protocol, int rule, const uint8_t* at, uint32_t avail) noexcept nogil:
    """Whether VLAN tags stand before what `protocol` names: they lead to it, and it does not prove to be there already."""
    if likely(rule == TO_IP and avail >= 4 and be16_at(at + 2) < 0x0600):  # the length of most packets is no EtherType
        return False
    if (rule != TO_IP and rule != TO_MPLS and rule != TO_PPPOE) or not tags_lead_to(protocol, rule, at, avail):
        return False
    if rule == TO_PPPOE:
        return avail < 2 or be16_at(at) != 0x1100
    return rule == TO_MPLS or not is_surely_ip(at, avail)


cdef inline int skip_tags(uint16_t protocol, Cursor* cursor) noexcept nogil:
    """Skip the tags that the protocol tells of, and those that it hides, each a header; return the rule that follows."""
    cdef int rule = by_type_or_length(protocol)
    while unlikely(rule == TO_VLAN or hides_tags(protocol, rule, cursor.at, cursor.avail)):
        if cursor.headers == MAX_HEADERS:
            return TOO_DEEP
        cursor.headers += 1
        if cursor.avail < 4:
            return TRUNCATED
        protocol = be16_at(cursor.at + 2)
        rule = by_type_or_length(protocol)
        advance(cursor, 4)
    return rule


cdef inline int enter_cooked(Cursor* cursor, bint is_version_2) noexcept nogil:
    """Linux cooked capture, version 1 or 2."""
    cdef uint32_t length = 20 if is_version_2 else 16
    cdef uint16_t arphrd, protocol
    if cursor.avail < length:
        return TRUNCATED
    arphrd = be16_at(cursor.at + (8 if is_version_2 else 2))
    protocol = be16_at(cursor.at + (0 if is_version_2 else 14))
    advance(cursor, length)
    if arphrd == ARPHRD_NETLINK:
        return NON_IP
    if arphrd == ARPHRD_RADIOTAP:
        return enter_radiotap(cursor)
    if arphrd == ARPHRD_FRAD:
        return enter_frame_relay(cursor)
    if protocol >= 0x0600:
        return skip_tags(protocol, cursor)
    return TO_LLC if protocol == 4 else NON_IP
