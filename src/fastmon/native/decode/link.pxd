"""Where each link type's frames begin: LINKTYPE_ numbers and formats of https://www.tcpdump.org/linktypes.html.

`enter` skips the link-layer header and returns the first rule of `native/decode/headers.pxd`, or a status.
What it does not do: follow the rules from there.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from fastmon.native.decode.headers cimport (
    ENCRYPTED, MALFORMED, NON_IP, TO_ETHERNET, TO_IP, TO_LLC, TO_MPLS, TO_PPP, TO_PPPOE, TRUNCATED,
    UNSUPPORTED_LINK_TYPE, Cursor, advance, by_ethertype, tagged,
)
from fastmon.native.wire cimport be16_at, be32_at, le16_at, le32_at, swap32

cdef enum:
    LINK_ETHERNET = 1
    LINK_PKTAP = 258
    ARPHRD_RADIOTAP = 803
    ARPHRD_NETLINK = 824


cdef inline int skip_to(Cursor* cursor, uint32_t length, int rule) noexcept nogil:
    if cursor.avail < length:
        return TRUNCATED
    advance(cursor, length)
    return rule


cdef inline int enter_null(Cursor* cursor) noexcept nogil:
    """An address family in the capturing host's byte order."""
    cdef uint32_t family
    if cursor.avail < 4:
        return TRUNCATED
    family = le32_at(cursor.at)
    if family > 0xFFFF:
        family = swap32(family)
    if family > 0xFFFF:  # neither order: an EtherType behind a two-byte address
        family = be16_at(cursor.at + 2)
        if family < 0x0600:
            return NON_IP
    advance(cursor, 4)
    if family in (2, 10, 23, 24, 28, 30):  # AF_INET, and AF_INET6 of Linux, Windows, NetBSD, FreeBSD, macOS
        return TO_IP
    return by_ethertype(<uint16_t>family) if family >= 0x0600 else NON_IP


cdef inline int enter_hdlc(Cursor* cursor, bint only_cisco) noexcept nogil:
    """Cisco HDLC, or PPP in HDLC framing (RFC 1662, RFC 1547 section 4.3)."""
    cdef uint8_t address
    if cursor.avail < 4:
        return TRUNCATED
    address = cursor.at[0]
    if address == 0x0F or address == 0x8F or (only_cisco and address != 0xFF):
        return tagged(cursor, 4)
    return TO_PPP


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


cdef inline int enter_ppi(Cursor* cursor) noexcept nogil:
    cdef uint32_t length, link_type
    if cursor.avail < 8:
        return TRUNCATED
    length = le16_at(cursor.at + 2)
    link_type = le32_at(cursor.at + 4)
    if length < 8:
        return MALFORMED
    advance(cursor, length)
    if link_type == 105:
        return enter_dot11(cursor, False)
    return TO_ETHERNET if link_type == LINK_ETHERNET else NON_IP


cdef inline int enter_cooked(Cursor* cursor, uint32_t length, uint32_t arphrd_at, uint32_t protocol_at) noexcept nogil:
    """Linux cooked capture, version 1 or 2."""
    cdef uint16_t arphrd, protocol
    if cursor.avail < length:
        return TRUNCATED
    arphrd = be16_at(cursor.at + arphrd_at)
    protocol = be16_at(cursor.at + protocol_at)
    advance(cursor, length)
    if arphrd == ARPHRD_NETLINK:
        return NON_IP
    if arphrd == ARPHRD_RADIOTAP:
        return enter_radiotap(cursor)
    if protocol >= 0x0600:
        return by_ethertype(protocol)
    return TO_LLC if protocol == 4 else NON_IP


cdef inline int enter_token_ring(Cursor* cursor) noexcept nogil:
    """IEEE 802.5, with source routing when the source address says so."""
    cdef uint32_t length = 14
    if cursor.avail < 14:
        return TRUNCATED
    if cursor.at[8] & 0x80:
        if cursor.avail < 16:
            return TRUNCATED
        length += cursor.at[14] & 0x1F
    advance(cursor, length)
    return TO_LLC


cdef inline int enter_arcnet(Cursor* cursor, uint32_t type_at) noexcept nogil:
    """ARCNET with RFC 1201 (3 more bytes: split flag, sequence) or RFC 1051 framing."""
    cdef uint8_t protocol
    if cursor.avail < type_at + 4:
        return TRUNCATED
    protocol = cursor.at[type_at]
    advance(cursor, type_at + (1 if protocol == 0xF0 else 4))
    return TO_IP if protocol in (0xD4, 0xC4, 0xF0) else NON_IP


cdef inline int enter_nflog(Cursor* cursor) noexcept nogil:
    """Netfilter log: TLVs, of which the payload is an IP packet."""
    cdef uint16_t length
    if cursor.avail < 4:
        return TRUNCATED
    advance(cursor, 4)
    while cursor.avail >= 4:
        length = le16_at(cursor.at)
        if length < 4:
            return MALFORMED
        if le16_at(cursor.at + 2) == 9:
            advance(cursor, 4)
            return TO_IP
        advance(cursor, (length + 3) & ~<uint32_t>3)
    return TRUNCATED


cdef inline int enter_other(uint32_t link_type, Cursor* cursor) noexcept nogil:
    """The link types whose header is skipped by its length."""
    cdef const uint8_t* header = cursor.at
    if link_type == 51:
        return TO_PPPOE
    if link_type == 219:
        return TO_MPLS
    if link_type == 122:
        return skip_to(cursor, 16, TO_LLC)
    if link_type == 138:
        return tagged(cursor, 18)
    if link_type not in (10, 100, 117, 123, 226, 242, 274):
        return UNSUPPORTED_LINK_TYPE
    if cursor.avail < 3:
        return TRUNCATED
    if link_type == 100:
        return NON_IP if header[0] == 0xFE else TO_LLC
    if cursor.avail < 4:
        return TRUNCATED
    if link_type == 123:
        return skip_to(cursor, 4, TO_LLC if header[0] & 0x0F == 2 else NON_IP)
    if link_type == 117:
        if header[0] == 0:
            return MALFORMED
        return skip_to(cursor, (header[0] + 3) & ~3, TO_IP)
    if link_type == 10:
        return skip_to(cursor, 13, TO_LLC if header[0] & 0xC0 == 0x40 else NON_IP)
    if link_type == 226:
        return skip_to(cursor, 24, TO_IP if header[1] in (2, 26) else NON_IP)
    if link_type == 274:
        return skip_to(cursor, 8, TO_ETHERNET if cursor.avail < 8 or header[7] == 0xD5 else NON_IP)
    if cursor.avail < 44:
        return TRUNCATED
    advance(cursor, 44)  # IP over InfiniBand: the type stands in the last 4 bytes
    return by_ethertype(be16_at(header + 40))


cdef inline int enter_link(uint32_t link_type, Cursor* cursor) noexcept nogil:
    if link_type == LINK_ETHERNET:
        return TO_ETHERNET
    if link_type in (12, 14, 101, 228, 229):
        return TO_IP
    if link_type == 113:
        return enter_cooked(cursor, 16, 2, 14)
    if link_type == 276:
        return enter_cooked(cursor, 20, 8, 0)
    if link_type == 0 or link_type == 108:
        return enter_null(cursor)
    if link_type == 9:
        return TO_PPP
    if link_type == 50 or link_type == 104:
        return enter_hdlc(cursor, link_type == 104)
    if link_type == 204 or link_type == 205:
        if cursor.avail < 1:
            return TRUNCATED
        advance(cursor, 1)
        return enter_hdlc(cursor, link_type == 205)
    if link_type == 105:
        return enter_dot11(cursor, False)
    if link_type == 127:
        return enter_radiotap(cursor)
    if link_type == 192:
        return enter_ppi(cursor)
    if link_type == 119 or link_type == 163:
        return enter_prism(cursor, link_type == 163)
    if link_type == 6:
        return enter_token_ring(cursor)
    if link_type == 7 or link_type == 129:
        return enter_arcnet(cursor, 2 if link_type == 7 else 4)
    if link_type == 239:
        return enter_nflog(cursor)
    return enter_other(link_type, cursor)


cdef inline int enter(uint32_t link_type, Cursor* cursor) noexcept nogil:
    """Skip the link-layer header of `link_type`; return the rule that follows, or a status."""
    cdef uint32_t length
    if link_type != LINK_PKTAP:
        return enter_link(link_type, cursor)
    if cursor.avail < 12:  # Apple's PKTAP: a header around a frame of another link type
        return TRUNCATED
    length = le32_at(cursor.at)
    if length < 12:
        return MALFORMED
    if le32_at(cursor.at + 4) != 1:
        return NON_IP
    link_type = le32_at(cursor.at + 8)
    if link_type == LINK_PKTAP:
        return MALFORMED
    advance(cursor, length)
    return enter_link(link_type, cursor)
