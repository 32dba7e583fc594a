"""Behind the IP header: extension headers, ports, and the tunnels that `--inner` looks into.

What it does not do: reassemble. A later fragment has no upper layer.
"""

from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t

from fastmon.native.decode.headers cimport (
    IP, MAX_HEADERS, NON_IP, TO_ETHERNET, TO_IP, TO_MPLS, TO_PPP, Cursor, Packet, advance, by_ethertype,
    by_nsh_protocol, by_type_or_length, walk,
)
from fastmon.native.wire cimport be16_at

cdef enum:
    PROTOCOL_NOT_CAPTURED = -1
    MAX_EXTENSION_HEADERS = 32

cdef enum:  # IP protocols that have ports
    TCP = 6
    UDP = 17
    DCCP = 33
    SCTP = 132
    UDP_LITE = 136

cdef enum:
    ICMP = 1
    ICMPV6 = 58
    ICMP_ECHO_REQUEST = 8
    ICMPV6_ECHO_REQUEST = 128
    ROUTER_ADVERTISEMENT = 134

cdef enum:
    NO_NEXT_HEADER = 59  # of IPv6
    TEREDO_PORT = 3544

cdef struct Upper:
    int32_t protocol  # behind extension headers; PROTOCOL_NOT_CAPTURED if it was cut off
    bint is_fragment
    bint is_later_fragment
    bint has_ports
    bint is_echo_request  # of ICMP or ICMPv6
    bint is_router_advertisement  # of ICMPv6 (RFC 4861), whatever its hop limit is
    uint16_t src_port
    uint16_t dst_port
    const uint8_t* at  # the upper layer's first byte
    uint32_t avail


cdef inline void skip_extensions(Upper* upper) noexcept nogil:
    """Walk IPv6 extension headers (RFC 8200 section 4, RFC 4302, RFC 7045) from `upper.protocol` on."""
    cdef uint32_t length, n_headers = 0
    cdef uint8_t following
    while upper.protocol in (0, 43, 44, 51, 60, 135, 139, 140) and n_headers < MAX_EXTENSION_HEADERS:
        if upper.avail < 8:
            upper.protocol = PROTOCOL_NOT_CAPTURED
            upper.avail = 0
            return
        following = upper.at[0]
        if upper.protocol == 44:
            length = 8
            if be16_at(upper.at + 2) & 0xFFF9:
                upper.is_fragment = True
            upper.is_later_fragment = be16_at(upper.at + 2) & 0xFFF8 != 0
        elif upper.protocol == 51:
            length = (upper.at[1] + 2) * 4
        else:
            length = (upper.at[1] + 1) * 8
        upper.protocol = following
        if length > upper.avail:
            length = upper.avail
        upper.at += length
        upper.avail -= length
        if upper.is_later_fragment:
            return
        n_headers += 1
    if n_headers == MAX_EXTENSION_HEADERS and upper.protocol in (0, 43, 44, 51, 60, 135, 139, 140):
        upper.protocol = PROTOCOL_NOT_CAPTURED
        upper.avail = 0


cdef inline void decode_upper(const uint8_t* ip, uint32_t avail, Upper* upper) noexcept nogil:
    """Find the upper layer of the IP header at `ip`, which `decode_ip` has accepted."""
    cdef uint32_t length
    cdef uint16_t fragment
    upper.is_fragment = upper.is_later_fragment = upper.has_ports = False
    upper.is_echo_request = upper.is_router_advertisement = False
    upper.src_port = upper.dst_port = 0
    if ip[0] >> 4 == 4:
        length = (ip[0] & 0x0F) * 4
        fragment = be16_at(ip + 6)
        upper.is_fragment = fragment & 0x3FFF != 0
        upper.is_later_fragment = fragment & 0x1FFF != 0
        upper.protocol = ip[9]
    else:
        length = 40
        upper.protocol = ip[6]
    if length > avail:
        length = avail
    upper.at = ip + length
    upper.avail = avail - length
    if ip[0] >> 4 == 6:
        skip_extensions(upper)
    if upper.is_later_fragment or upper.avail < 4:
        return
    if upper.protocol in (TCP, UDP, DCCP, SCTP, UDP_LITE):
        upper.has_ports = True
        upper.src_port = be16_at(upper.at)
        upper.dst_port = be16_at(upper.at + 2)
    elif upper.protocol == ICMP:
        upper.is_echo_request = upper.at[0] == ICMP_ECHO_REQUEST
    elif upper.protocol == ICMPV6:
        upper.is_echo_request = upper.at[0] == ICMPV6_ECHO_REQUEST
        upper.is_router_advertisement = (upper.at[0] == ROUTER_ADVERTISEMENT and upper.at[1] == 0 and ip[0] >> 4 == 6
                                         and not upper.is_fragment)


cdef inline int gre(Cursor* cursor) noexcept nogil:
    """GRE (RFC 2784, RFC 2890), ERSPAN in it, and PPTP's version 1 (RFC 2637)."""
    cdef const uint8_t* header = cursor.at
    cdef uint32_t length = 4
    cdef uint16_t protocol
    if cursor.avail < 4:
        return NON_IP
    protocol = be16_at(header + 2)
    if header[1] & 7 == 1:
        if protocol != 0x880B or not header[0] & 0x10:
            return NON_IP
        advance(cursor, 12 + (4 if header[1] & 0x80 else 0))
        return TO_PPP
    if header[1] & 7 != 0 or header[0] & 0x40:
        return NON_IP
    length += 4 if header[0] & 0x80 else 0
    length += 4 if header[0] & 0x20 else 0
    length += 4 if header[0] & 0x10 else 0
    advance(cursor, length)
    if protocol == 0x88BE:
        advance(cursor, 8 if header[0] & 0x10 else 0)
        return TO_ETHERNET
    if protocol == 0x22EB:
        if cursor.avail < 12:
            return NON_IP
        advance(cursor, 20 if cursor.at[11] & 0x01 else 12)
        return TO_ETHERNET
    return by_ethertype(protocol)


cdef inline int gtpu(Cursor* cursor) noexcept nogil:
    """A G-PDU (3GPP TS 29.281 section 5), behind its extension headers."""
    cdef const uint8_t* header = cursor.at
    cdef uint8_t following
    cdef uint32_t length
    if cursor.avail < 8 or header[0] >> 5 != 1 or not header[0] & 0x10 or header[1] != 0xFF:
        return NON_IP
    advance(cursor, 8)
    if not header[0] & 7:
        return TO_IP
    if cursor.avail < 4:
        return NON_IP
    following = header[11] if header[0] & 0x04 else 0
    advance(cursor, 4)
    while following:
        length = cursor.at[0] * 4 if cursor.avail else 0
        if length == 0 or length > cursor.avail:
            return NON_IP
        following = cursor.at[length - 1]
        advance(cursor, length)
    return TO_IP


cdef inline int vxlan(Cursor* cursor, bint is_gpe) noexcept nogil:
    """VXLAN (RFC 7348) and its generic protocol extension."""
    cdef const uint8_t* header = cursor.at
    if cursor.avail < 8 or not header[0] & 0x08:
        return NON_IP
    advance(cursor, 8)
    return by_nsh_protocol(header[3]) if is_gpe else TO_ETHERNET


cdef inline int geneve(Cursor* cursor) noexcept nogil:
    """Geneve (RFC 8926 section 3.4)."""
    cdef const uint8_t* header = cursor.at
    if cursor.avail < 8 or header[0] >> 6 != 0:
        return NON_IP
    advance(cursor, 8 + (header[0] & 0x3F) * 4)
    return by_type_or_length(be16_at(header + 2))


cdef inline int teredo(Cursor* cursor, int32_t claimed) noexcept nogil:
    """Teredo (RFC 4380 section 5.1.1) in `claimed` bytes: an IPv6 packet, and behind it only a bubble's trailers (RFC 6081)."""
    cdef const uint8_t* payload = cursor.at
    cdef int32_t end
    cdef uint32_t length = 0
    if cursor.avail < 4:
        return NON_IP
    if be16_at(payload) == 1:  # authentication
        length = 13 + payload[2] + payload[3]
        if cursor.avail < length + 4:
            return NON_IP
    if be16_at(payload + length) == 0:  # origin indication
        length += 8
    if cursor.avail < length + 40 or payload[length] >> 4 != 6:
        return NON_IP
    end = length + 40 + be16_at(payload + length + 4)
    if end > claimed or (end < claimed and payload[length + 6] != NO_NEXT_HEADER):
        return NON_IP
    advance(cursor, length)
    return TO_IP


cdef inline int udp_tunnel(Cursor* cursor) noexcept nogil:
    cdef const uint8_t* header = cursor.at
    cdef uint16_t dst_port
    if cursor.avail < 8:
        return NON_IP
    dst_port = be16_at(header + 2)
    advance(cursor, 8)
    if dst_port == 6635:
        return TO_MPLS
    if dst_port not in (2152, 4789, 4790, 6081, 8472):
        if dst_port != TEREDO_PORT and be16_at(header) != TEREDO_PORT:
            return NON_IP
        dst_port = TEREDO_PORT
    if cursor.headers == MAX_HEADERS:
        return NON_IP
    cursor.headers += 1
    if dst_port == TEREDO_PORT:
        return teredo(cursor, <int32_t>be16_at(header + 4) - 8)
    if dst_port == 2152:
        return gtpu(cursor)
    if dst_port == 6081:
        return geneve(cursor)
    return vxlan(cursor, dst_port == 4790)


cdef inline int tunnel(int32_t protocol, Cursor* cursor) noexcept nogil:
    """Return the rule of what a tunnel's IP protocol carries; NON_IP if it is not a tunnel."""
    if protocol == 4 or protocol == 41:
        return TO_IP
    if protocol == 137:
        return TO_MPLS
    if protocol == UDP:
        return udp_tunnel(cursor)
    if (protocol != 47 and protocol != 97) or cursor.headers == MAX_HEADERS:
        return NON_IP
    cursor.headers += 1
    if protocol == 47:
        return gre(cursor)
    if cursor.avail < 2 or cursor.at[0] >> 4 != 3:
        return NON_IP
    advance(cursor, 2)
    return TO_ETHERNET


cdef inline void find_innermost(Packet* packet, uint32_t headers) noexcept nogil:
    """Replace `packet` by the innermost IP header that can be reached through tunnels."""
    cdef Cursor cursor
    cdef Upper upper
    cursor.headers = headers
    while True:
        decode_upper(packet.ip, packet.ip_avail, &upper)
        if upper.is_later_fragment or upper.protocol == PROTOCOL_NOT_CAPTURED:
            return
        cursor.at = upper.at
        cursor.avail = upper.avail
        if walk(tunnel(upper.protocol, &cursor), &cursor, packet) != IP:
            return
