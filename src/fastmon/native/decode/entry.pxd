"""A frame as accounting needs it: its hosts and, where conversations are accounted, what `describe` finds behind the IP header.

What it does not do: own the frame's bytes. `captured` points into them until the frame is accounted.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from fastmon.native.decode.headers cimport claimed_len
from fastmon.native.decode.upper cimport PROTOCOL_NOT_CAPTURED, TCP, UDP, Upper, decode_upper
from fastmon.native.wire cimport Key, be16_at, be32_at, likely

cdef enum:
    BATCH_FRAMES = 64  # accounted together
    MAX_PAYLOAD = 1500  # bytes of one frame that the classifier sees

cdef enum:
    TCP_OR_UDP = 1 << TCP | 1 << UDP  # a bit for each protocol

cdef enum:
    TCP_FIN = 0x01
    TCP_SYN = 0x02
    TCP_RST = 0x04
    TCP_ACK = 0x10

cdef enum:  # signs of a frame
    ECHO_REQUEST = 1  # of ICMP or ICMPv6
    MAY_ANNOUNCE = 2  # a network: a router advertisement, or something from a DHCP server's port
    IS_FRESH = 4  # of IPv6: its hop limit is one that senders set

cdef enum:
    DHCP_SERVER = 67
    DHCPV6_SERVER = 547

cdef struct Entry:
    Key src
    Key dst
    uint32_t src_hash
    uint32_t dst_hash
    uint32_t src_row  # most likely the host's row
    uint32_t dst_row
    uint32_t n_bytes  # that are counted of the frame
    bint is_conversational  # the protocol was captured; what follows is set
    int64_t ts_ns
    uint32_t conversation_hash  # the same in both directions
    uint32_t conversation_row  # most likely the conversation's row
    uint32_t ports  # source << 16 | destination, 0 where there are none
    uint8_t protocol
    uint8_t tcp_flags  # 0 if they were not captured
    uint8_t signs
    bint has_packet  # `captured` is the packet from the IP header on, else its payload, which may be empty
    uint32_t n_captured
    uint32_t upper_at  # where the upper layer begins in the packet
    const uint8_t* captured
    const uint8_t* macs  # destination, then source; NULL if the link is not Ethernet


cdef inline void set_payload(Entry* entry, const uint8_t* payload, uint32_t n_bytes) noexcept nogil:
    entry.has_packet = False
    entry.captured = payload
    entry.n_captured = min(n_bytes, <uint32_t>MAX_PAYLOAD)


cdef inline void find_payload(Entry* entry) noexcept nogil:
    """Leave only the payload in `captured`, up to the length that the IP header claims, if it claims one.

    That of a router advertisement is what follows its first 8 bytes.
    """
    cdef const uint8_t* ip = entry.captured
    cdef uint32_t claimed, start, end = entry.n_captured
    if not entry.has_packet:
        return
    start = entry.upper_at + 8
    if entry.protocol == TCP:
        start = end
        if end - entry.upper_at >= 14 and ip[entry.upper_at + 12] >> 4 >= 5:
            start = entry.upper_at + (ip[entry.upper_at + 12] >> 4) * 4
    claimed = claimed_len(ip)
    if 0 < claimed < end:
        end = claimed
    set_payload(entry, ip + start, end - start if end > start else 0)


cdef inline bint describe(Entry* entry, const uint8_t* ip, uint32_t avail) noexcept nogil:
    """Describe an IP packet that `decode_ip` has accepted; return whether its TCP flags were captured."""
    cdef Upper upper
    entry.has_packet = True
    entry.captured = ip
    entry.n_captured = avail
    # Most packets are like this; the general way gives the same. The protocol is unpredictable, so no branch depends on it.
    if likely(ip[0] == 0x45 and avail >= 34 and not be16_at(ip + 6) & 0x3FFF
              and ip[9] <= UDP and TCP_OR_UDP >> ip[9] & 1):
        entry.is_conversational = True
        entry.protocol = ip[9]
        entry.ports = be32_at(ip + 20)
        entry.tcp_flags = ip[33] & <uint8_t>(0 - <uint32_t>(ip[9] == TCP))
        entry.signs = <uint8_t>((entry.ports >> 16 == DHCP_SERVER) * MAY_ANNOUNCE)
        entry.upper_at = 20
        return ip[9] == TCP
    decode_upper(ip, avail, &upper)
    entry.is_conversational = upper.protocol != PROTOCOL_NOT_CAPTURED
    entry.protocol = <uint8_t>upper.protocol
    entry.ports = <uint32_t>upper.src_port << 16 | upper.dst_port
    entry.tcp_flags = 0
    entry.signs = upper.is_echo_request * ECHO_REQUEST
    if ip[0] >> 4 == 6 and (ip[7] == 64 or ip[7] == 128 or ip[7] == 255):
        entry.signs |= IS_FRESH
    entry.upper_at = avail - upper.avail
    if upper.is_router_advertisement and ip[7] == 255:
        entry.signs |= MAY_ANNOUNCE
    elif not upper.has_ports or (entry.protocol != TCP and entry.protocol != UDP):
        set_payload(entry, ip, 0)
    elif upper.src_port == DHCP_SERVER or upper.src_port == DHCPV6_SERVER:
        entry.signs |= MAY_ANNOUNCE
    elif entry.protocol == TCP and upper.avail >= 14:
        entry.tcp_flags = upper.at[13]
        return True
    return False
