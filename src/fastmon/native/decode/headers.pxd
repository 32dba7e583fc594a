"""From a frame's first captured byte to its IP header: docs/decoding.md.

Each step checks once that its header was captured, loads from it, moves the cursor past it, and returns what comes
next: another rule (16 and up) or the status that ends the walk (below 16).

What it does not do: look behind the IP header (`native/decode/upper.pxd`), count, allocate.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from fastmon.native.wire cimport Key, be16_at, be32_at, v4_key, v6_key

cdef enum:  # a frame's status: the values of frames.FrameStatus
    IP = 0
    NON_IP = 1
    TRUNCATED = 2
    MALFORMED = 3
    TOO_DEEP = 4
    ENCRYPTED = 5
    UNSUPPORTED_LINK_TYPE = 6
    DUPLICATE = 7  # of frames that the engine takes for copies; no decoder does
    N_STATUSES = 8

cdef enum:  # the rules that headers follow
    TO_IP = 16
    TO_ETHERNET
    TO_VLAN
    TO_MPLS
    TO_PPPOE
    TO_PPP
    TO_LLC
    TO_PBB
    TO_FABRICPATH
    TO_MACSEC
    TO_NSH
    TO_VNTAG
    TO_ETAG  # and Cisco metadata: both put the next type behind 6 bytes
    TO_TRILL

cdef enum:
    MAX_HEADERS = 32

cdef struct Cursor:
    const uint8_t* at
    uint32_t avail  # captured bytes from `at` on
    uint32_t headers

cdef struct Packet:
    Key src
    Key dst
    const uint8_t* ip
    uint32_t ip_avail
    uint32_t n_bytes  # that are counted of the frame; the engine sets it


cdef inline void advance(Cursor* cursor, uint32_t length) noexcept nogil:
    """Move past `length` bytes, captured or not: what is not there fails the next rule's check."""
    if length > cursor.avail:
        length = cursor.avail
    cursor.at += length
    cursor.avail -= length


cdef inline int decode_ip(const uint8_t* ip, uint32_t avail, Packet* out) noexcept nogil:
    """Fill `out` from the IPv4 (RFC 791) or IPv6 (RFC 8200) header at `ip`."""
    cdef uint8_t version
    if avail < 1:
        return TRUNCATED
    version = ip[0] >> 4
    if version == 4:
        if avail < 20:
            return TRUNCATED
        if (ip[0] & 0x0F) < 5:
            return MALFORMED
        out.src = v4_key(ip + 12)
        out.dst = v4_key(ip + 16)
    elif version == 6:
        if avail < 40:
            return TRUNCATED
        out.src = v6_key(ip + 8)
        out.dst = v6_key(ip + 24)
    else:
        return MALFORMED
    out.ip = ip
    out.ip_avail = avail
    return IP


cdef inline uint32_t claimed_len(const uint8_t* ip) noexcept nogil:
    """Return the length that the IP header at `ip` claims for its packet; 0 if it leaves it open."""
    cdef uint32_t length
    if ip[0] >> 4 == 4:
        return be16_at(ip + 2)
    length = be16_at(ip + 4)
    return length + 40 if length else 0


cdef inline uint32_t ip_len(const uint8_t* ip, uint32_t n_held) noexcept nogil:
    """Return an IP packet's length: what its header claims, or if that cannot be, the `n_held` bytes of the frame from there."""
    cdef uint32_t claimed = claimed_len(ip)
    cdef bint is_possible = claimed >= (<uint32_t>(ip[0] & 0x0F) * 4 if ip[0] >> 4 == 4 else 40)
    return claimed if is_possible else n_held


cdef inline int by_ethertype(uint16_t ethertype) noexcept nogil:
    if ethertype == 0x0800 or ethertype == 0x86DD:
        return TO_IP
    if ethertype in (0x8100, 0x88A8, 0x9100, 0x9200, 0x9300):
        return TO_VLAN
    if ethertype == 0x8847 or ethertype == 0x8848:
        return TO_MPLS
    if ethertype == 0x8864:
        return TO_PPPOE
    if ethertype == 0x880B:
        return TO_PPP
    if ethertype == 0x8870:
        return TO_LLC
    if ethertype == 0x6558:
        return TO_ETHERNET
    if ethertype == 0x88E7:
        return TO_PBB
    if ethertype == 0x8903:
        return TO_FABRICPATH
    if ethertype == 0x88E5:
        return TO_MACSEC
    if ethertype == 0x894F:
        return TO_NSH
    if ethertype == 0x8926 or ethertype == 0xF1C1:
        return TO_VNTAG
    if ethertype == 0x893F or ethertype == 0x8909:
        return TO_ETAG
    if ethertype == 0x22F3:
        return TO_TRILL
    return NON_IP


cdef inline int by_type_or_length(uint16_t value) noexcept nogil:
    """What follows an Ethernet type/length field (IEEE 802.3 section 3.2.6)."""
    if value >= 0x0600:
        return by_ethertype(value)
    return TO_LLC if value <= 1500 else NON_IP


cdef inline int tagged(Cursor* cursor, uint32_t length) noexcept nogil:
    """A tag of `length` bytes whose last two say what follows."""
    cdef uint16_t value
    if cursor.avail < length:
        return TRUNCATED
    value = be16_at(cursor.at + length - 2)
    advance(cursor, length)
    return by_type_or_length(value)


cdef inline int ethernet(Cursor* cursor) noexcept nogil:
    cdef const uint8_t* frame = cursor.at
    if cursor.avail < 14:
        return TRUNCATED
    # Cisco ISL addresses frames to 01:00:0c:00:00 or 03:00:0c:00:00 and has a length where the type is.
    if be16_at(frame + 12) <= 1500 and (be32_at(frame) & 0xFDFFFFFFU) == 0x01000C00 and frame[4] == 0:
        if cursor.avail < 26:
            return TRUNCATED
        advance(cursor, 26)
        return TO_ETHERNET
    return tagged(cursor, 14)


cdef inline int mpls(Cursor* cursor) noexcept nogil:
    """One label (RFC 3032); behind the last, the first nibble tells IP from a pseudowire (RFC 4928, RFC 4385)."""
    cdef uint8_t nibble
    if cursor.avail < 4:
        return TRUNCATED
    if not cursor.at[2] & 0x01:
        advance(cursor, 4)
        return TO_MPLS
    if cursor.avail < 5:
        return TRUNCATED
    nibble = cursor.at[4] >> 4
    if nibble == 1:
        return NON_IP
    if nibble == 0 and cursor.avail < 8:
        return TRUNCATED
    advance(cursor, 8 if nibble == 0 else 4)
    return TO_IP if nibble == 4 or nibble == 6 else TO_ETHERNET


cdef inline int pppoe(Cursor* cursor) noexcept nogil:
    """A session header (RFC 2516 section 4)."""
    cdef const uint8_t* header = cursor.at
    if cursor.avail < 6:
        return TRUNCATED
    if header[0] != 0x11:
        return MALFORMED
    advance(cursor, 6)
    return TO_PPP if header[1] == 0 else NON_IP


cdef inline int ppp(Cursor* cursor) noexcept nogil:
    """A PPP header with or without address and control, protocol field compressed or not (RFC 1661, RFC 1662)."""
    cdef uint16_t protocol
    if cursor.avail < 2:
        return TRUNCATED
    if be16_at(cursor.at) == 0xFF03:
        advance(cursor, 2)
        if cursor.avail < 2:
            return TRUNCATED
    if cursor.at[0] & 1:
        protocol = cursor.at[0]
        advance(cursor, 1)
    else:
        protocol = be16_at(cursor.at)
        advance(cursor, 2)
    if protocol == 0x0021 or protocol == 0x0057:
        return TO_IP
    return TO_MPLS if protocol == 0x0281 or protocol == 0x0283 else NON_IP


cdef inline int llc(Cursor* cursor) noexcept nogil:
    """LLC (IEEE 802.2), and SNAP with the encapsulated-Ethernet organisation codes (RFC 1042, IEEE 802.1H)."""
    cdef const uint8_t* header = cursor.at
    cdef uint32_t organisation
    cdef uint16_t ethertype
    if cursor.avail < 3:
        return TRUNCATED
    if header[2] != 0x03 or header[0] != header[1]:
        return NON_IP
    if header[0] == 0x06:
        advance(cursor, 3)
        return TO_IP
    if header[0] != 0xAA:
        return NON_IP
    if cursor.avail < 8:
        return TRUNCATED
    organisation = be32_at(header + 2) & 0xFFFFFF
    ethertype = be16_at(header + 6)
    advance(cursor, 8)
    if organisation != 0 and organisation != 0x0000F8:
        return NON_IP
    return by_ethertype(ethertype) if ethertype >= 0x0600 else NON_IP


cdef inline int macsec(Cursor* cursor) noexcept nogil:
    """A SecTAG (IEEE 802.1AE section 9.3): what follows is readable unless its E or C bit is set."""
    if cursor.avail < 6:
        return TRUNCATED
    if cursor.at[0] & 0x0C:
        return ENCRYPTED
    return tagged(cursor, 16 if cursor.at[0] & 0x20 else 8)


cdef inline int by_nsh_protocol(uint8_t protocol) noexcept nogil:
    if protocol == 1 or protocol == 2:
        return TO_IP
    if protocol == 3:
        return TO_ETHERNET
    if protocol == 4:
        return TO_NSH
    return TO_MPLS if protocol == 5 else NON_IP


cdef inline int nsh(Cursor* cursor) noexcept nogil:
    """A Network Service Header (RFC 8300 section 2.2)."""
    cdef const uint8_t* header = cursor.at
    cdef uint32_t length
    if cursor.avail < 8:
        return TRUNCATED
    length = (header[1] & 0x3F) * 4
    if length < 8:
        return MALFORMED
    advance(cursor, length)
    return by_nsh_protocol(header[3])


cdef inline int before_ethernet(Cursor* cursor, uint32_t length) noexcept nogil:
    """A header of `length` bytes before an inner Ethernet header."""
    if cursor.avail < length:
        return TRUNCATED
    advance(cursor, length)
    return TO_ETHERNET


cdef inline int trill(Cursor* cursor) noexcept nogil:
    """A TRILL header (RFC 6325 section 3.2) with its options, before the inner Ethernet header."""
    if cursor.avail < 6:
        return TRUNCATED
    advance(cursor, 6 + 4 * ((be16_at(cursor.at) >> 6) & 0x1F))
    return TO_ETHERNET


cdef inline int step(int rule, Cursor* cursor) noexcept nogil:
    if rule == TO_ETHERNET:
        return ethernet(cursor)
    if rule == TO_VLAN:
        return tagged(cursor, 4)
    if rule == TO_MPLS:
        return mpls(cursor)
    if rule == TO_PPPOE:
        return pppoe(cursor)
    if rule == TO_PPP:
        return ppp(cursor)
    if rule == TO_LLC:
        return llc(cursor)
    if rule == TO_PBB:  # backbone service instance tag (IEEE 802.1Q section 9.7)
        return before_ethernet(cursor, 4)
    if rule == TO_FABRICPATH:
        return before_ethernet(cursor, 2)
    if rule == TO_MACSEC:
        return macsec(cursor)
    if rule == TO_NSH:
        return nsh(cursor)
    if rule == TO_VNTAG:
        return tagged(cursor, 6)
    if rule == TO_ETAG:
        return tagged(cursor, 8)
    return trill(cursor)


cdef inline int walk(int following, Cursor* cursor, Packet* out) noexcept nogil:
    """Follow headers from rule or status `following` to an IP header; on a status other than IP, `out` is untouched."""
    while following >= TO_IP:
        if cursor.headers == MAX_HEADERS:
            return TOO_DEEP
        cursor.headers += 1
        if following == TO_IP:
            return decode_ip(cursor.at, cursor.avail, out)
        following = step(following, cursor)
    return following
