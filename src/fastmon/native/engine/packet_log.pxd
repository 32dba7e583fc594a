"""The packet log's records: a bounded store, filled while frames are decoded, and emptied between two drains.

It holds one record for each frame, in the order of the frames, whatever their status. `drain` reads no more frames than there is
room for. What it does not do: wait, format (`native/packet_rows.pxd`).
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from fastmon.native.decode.headers cimport IP, Packet
from fastmon.native.memory cimport release, reserve
from fastmon.native.decode.upper cimport PROTOCOL_NOT_CAPTURED, TCP, Upper, decode_upper
from fastmon.native.wire cimport Key

cdef enum:
    LOG_RECORDS = 1 << 16  # packets.MAX_RECORDS

cdef enum:  # of a record's `known`: packets.KNOWN_*
    KNOWN_PROTOCOL = 1
    KNOWN_PORTS = 2
    KNOWN_TCP_FLAGS = 4

cdef struct PacketRecord:  # packets.PACKET_DTYPE
    int64_t ts_ns
    Key src
    Key dst
    uint32_t wire_len
    uint16_t src_port
    uint16_t dst_port
    uint8_t status
    uint8_t known
    uint8_t protocol
    uint8_t tcp_flags
    uint32_t unused  # 0: the records' size is a multiple of 8

cdef struct PacketLog:
    PacketRecord* records
    uint32_t n_filled
    uint64_t dropped  # frames accounted one by one for which there was no room


cdef inline PacketLog* log_new() except NULL:
    cdef PacketLog* log = <PacketLog*>calloc(1, sizeof(PacketLog))
    if log != NULL:
        log.records = <PacketRecord*>reserve(<size_t>LOG_RECORDS * sizeof(PacketRecord), False)
    if log == NULL or log.records == NULL:
        free(log)
        raise MemoryError("no memory for the packet log")
    return log


cdef inline void log_free(PacketLog* log) noexcept nogil:
    if log != NULL:
        release(log.records, <size_t>LOG_RECORDS * sizeof(PacketRecord))
        free(log)


cdef inline PacketRecord* log_frame(PacketLog* log, int status, uint32_t wire_len, int64_t ts_ns) noexcept nogil:
    """Begin the record of one more frame; NULL if there is no room."""
    cdef PacketRecord* record
    if log.n_filled == LOG_RECORDS:
        log.dropped += 1
        return NULL
    record = &log.records[log.n_filled]
    memset(record, 0, sizeof(PacketRecord))
    record.ts_ns = ts_ns
    record.wire_len = wire_len
    record.status = <uint8_t>status
    log.n_filled += 1
    return record


cdef inline void log_decoded(PacketLog* log, int status, const Packet* packet, uint32_t wire_len, int64_t ts_ns) noexcept nogil:
    """Keep the record of a decoded frame; `packet` is set if `status` is IP."""
    cdef PacketRecord* record = log_frame(log, status, wire_len, ts_ns)
    cdef Upper upper
    if record == NULL or status != IP:
        return
    record.src = packet.src
    record.dst = packet.dst
    decode_upper(packet.ip, packet.ip_avail, &upper)
    if upper.protocol == PROTOCOL_NOT_CAPTURED:
        return
    record.known = KNOWN_PROTOCOL
    record.protocol = <uint8_t>upper.protocol
    if not upper.has_ports:
        return
    record.known |= KNOWN_PORTS
    record.src_port = upper.src_port
    record.dst_port = upper.dst_port
    if upper.protocol == TCP and upper.avail >= 14:
        record.known |= KNOWN_TCP_FLAGS
        record.tcp_flags = upper.at[13]
