"""What accounting needs of a frame: its hosts and, where conversations are accounted, what `describe` finds behind them.

What it does not do: own the frame's bytes; `payload` points into them until it is accounted.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastmon._upper cimport PROTOCOL_NOT_CAPTURED, Upper, decode_upper
from fastmon._wire cimport Key, be16_at, be32_at, likely

cdef enum:
    MAX_PAYLOAD = 1500  # bytes of one frame that the classifier sees

cdef enum:
    TCP_FIN = 0x01
    TCP_SYN = 0x02
    TCP_RST = 0x04
    TCP_ACK = 0x10

cdef struct Entry:
    Key src
    Key dst
    uint32_t src_hash
    uint32_t dst_hash
    uint32_t src_row  # most likely the host's row
    uint32_t dst_row
    uint32_t wire_len
    bint is_conversational  # the protocol was captured; what follows is set
    int64_t ts_ns
    uint32_t flow_hash  # the same in both directions
    uint32_t flow_row  # most likely the conversation's row
    uint32_t ports  # source << 16 | destination, 0 where there are none
    uint8_t protocol
    uint8_t tcp_flags  # 0 if they were not captured
    bint has_tcp_flags
    uint16_t payload_len
    const uint8_t* payload
    const uint8_t* macs  # destination and source, as Ethernet has them; NULL if it is another link


cdef inline void set_payload(Entry* entry, const uint8_t* ip, uint32_t avail, uint32_t start) noexcept nogil:
    """Find the payload that begins `start` bytes behind the IP header's first: up to what the header claims, if captured."""
    cdef uint32_t claimed, end = avail
    if ip[0] >> 4 == 4:
        claimed = be16_at(ip + 2)
    else:
        claimed = be16_at(ip + 4)
        claimed += 40 if claimed else 0
    if 0 < claimed < end:
        end = claimed
    if end > start:
        entry.payload = ip + start
        entry.payload_len = <uint16_t>min(end - start, <uint32_t>MAX_PAYLOAD)


cdef inline void describe(Entry* entry, const uint8_t* ip, uint32_t avail) noexcept nogil:
    """Fill in protocol, ports, TCP flags and payload from an IP header that `decode_ip` has accepted."""
    cdef Upper upper
    cdef uint32_t at, length
    entry.payload = ip
    entry.payload_len = 0
    entry.tcp_flags = 0
    entry.has_tcp_flags = False
    entry.ports = 0
    # What most packets are: the general way comes to the same.
    if likely(ip[0] == 0x45 and avail >= 34 and not be16_at(ip + 6) & 0x3FFF and (ip[9] == 6 or ip[9] == 17)):
        entry.is_conversational = True
        entry.protocol = ip[9]
        entry.ports = be32_at(ip + 20)
        at = 20
    else:
        decode_upper(ip, avail, &upper)
        entry.is_conversational = upper.protocol != PROTOCOL_NOT_CAPTURED
        if not entry.is_conversational:
            return
        entry.protocol = <uint8_t>upper.protocol
        if not upper.has_ports:
            return
        entry.ports = <uint32_t>upper.src_port << 16 | upper.dst_port
        at = avail - upper.avail
    if entry.protocol == 17:
        set_payload(entry, ip, avail, at + 8)
    elif entry.protocol == 6 and avail - at >= 14:
        entry.tcp_flags = ip[at + 13]
        entry.has_tcp_flags = True
        length = (ip[at + 12] >> 4) * 4
        if length >= 20:
            set_payload(entry, ip, avail, at + length)
