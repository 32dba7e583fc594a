"""Blocks of pcapng files (draft-ietf-opsawg-pcapng): sections, interfaces, packets, losses. Other blocks are skipped.

What it does not do: read comments, name resolution, other statistics or secrets.
"""

from libc.stddef cimport size_t
from libc.stdint cimport UINT32_MAX, int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from fastmon.native.files.magic cimport begins_file
from fastmon.native.files.savefile cimport (
    BLOCK_ENHANCED_PACKET, BLOCK_INTERFACE, BLOCK_PACKET, BLOCK_SECTION, BLOCK_SIMPLE_PACKET, BLOCK_STATISTICS,
    BYTE_ORDER_MAGIC, FAULT_BLOCK_LENGTH, FAULT_BYTE_ORDER, FAULT_CAP_LEN, FAULT_INTERFACE, FAULT_MEMORY, FAULT_OPTION,
    FAULT_RESOLUTION, FAULT_ROOM, FAULT_TRAILER, FAULT_VERSION, MAX_BLOCK_LENGTH, MAX_CAP_LEN, NEXT_FILE, RECORD, Interface,
    Record, Savefile, add_interface, available, damaged, drop_checksum, need, swap64, to_ns, u16, u32,
)
from fastmon.native.wire cimport load32, load64, swap32

cdef enum:
    OPTION_END = 0
    OPTION_PACKET_FLAGS = 2
    OPTION_PACKET_DROPCOUNT = 4
    OPTION_INTERFACE_DROPPED = 5
    OPTION_SYSTEM_DROPPED = 7
    OPTION_TSRESOL = 9
    OPTION_FCSLEN = 13
    OPTION_TSOFFSET = 14
    MAX_STATISTICS_LENGTH = 1 << 16


cdef inline int begin_section(Savefile* file) noexcept nogil:
    """Take the byte order of the section header block at `pos`, and forget the interfaces before it."""
    cdef uint32_t magic
    if available(file) < 16:
        return need(file, 16)
    magic = load32(file.pos + 8)
    if magic == BYTE_ORDER_MAGIC:
        file.swapped = False
    elif swap32(magic) == BYTE_ORDER_MAGIC:
        file.swapped = True
    else:
        return damaged(file, FAULT_BYTE_ORDER, magic, 0)
    if u16(file, file.pos + 12) != 1:
        return damaged(file, FAULT_VERSION, u16(file, file.pos + 12), u16(file, file.pos + 14))
    file.n_interfaces = 0
    return RECORD


cdef inline int read_option(Savefile* file, Interface* interface, uint16_t code, uint16_t length,
                            const uint8_t* value) noexcept nogil:
    cdef uint64_t offset
    if code == OPTION_TSRESOL and length == 1:
        interface.is_binary = value[0] & 0x80 != 0
        interface.exponent = value[0] & 0x7F
        if interface.exponent > (63 if interface.is_binary else 19):
            return damaged(file, FAULT_RESOLUTION, value[0], 0)
    elif code == OPTION_TSOFFSET and length == 8:
        offset = load64(value)
        interface.offset_s = <int64_t>(swap64(offset) if file.swapped else offset)
    elif code == OPTION_FCSLEN and length == 1:  # in bits, but some writers count bytes
        interface.fcs_bytes = value[0] // 8 if value[0] >= 8 else value[0]
    return RECORD


cdef inline int read_interface(Savefile* file, const uint8_t* body, uint32_t length) noexcept nogil:
    """An interface description block's body."""
    cdef uint32_t at = 8
    cdef uint16_t code, option_length
    cdef Interface* interface
    cdef int status
    if length < 8:
        return damaged(file, FAULT_BLOCK_LENGTH, length + 12, BLOCK_INTERFACE)
    interface = add_interface(file, u16(file, body))
    if interface == NULL:
        return damaged(file, FAULT_MEMORY, 0, 0)
    interface.snaplen = u32(file, body + 4)
    while length - at >= 4:
        code = u16(file, body + at)
        option_length = u16(file, body + at + 2)
        at += 4
        if code == OPTION_END:
            break
        if option_length > length - at:
            return damaged(file, FAULT_OPTION, option_length, length - at)
        status = read_option(file, interface, code, option_length, body + at)
        if status != RECORD:
            return status
        at = min(at + ((option_length + 3) & ~<uint32_t>3), length)
    return RECORD


cdef inline uint64_t u64(const Savefile* file, const uint8_t* at) noexcept nogil:
    return swap64(load64(at)) if file.swapped else load64(at)


cdef inline void read_statistics(Savefile* file, const uint8_t* body, uint32_t length) noexcept nogil:
    """Take what an interface has lost from an interface statistics block's body; ignore one that makes no sense.

    Its counters run since the capture began: the last ones count.
    """
    cdef uint32_t at = 12
    cdef uint16_t code, option_length
    cdef uint64_t n_lost
    cdef Interface* interface
    if length < 12 or u32(file, body) >= file.n_interfaces:
        return
    interface = &file.interfaces[u32(file, body)]
    while length - at >= 12:  # of one of these options
        code = u16(file, body + at)
        option_length = u16(file, body + at + 2)
        if code == OPTION_END:
            return
        if option_length == 8 and (code == OPTION_INTERFACE_DROPPED or code == OPTION_SYSTEM_DROPPED):
            n_lost = u64(file, body + at + 4)
            if code == OPTION_INTERFACE_DROPPED and n_lost > interface.interface_dropped:
                file.lost.interface += n_lost - interface.interface_dropped
                interface.interface_dropped = n_lost
            elif code == OPTION_SYSTEM_DROPPED and n_lost > interface.system_dropped:
                file.lost.system += n_lost - interface.system_dropped
                interface.system_dropped = n_lost
        at = min(at + 4 + ((option_length + 3) & ~<uint32_t>3), length)


cdef inline uint32_t read_packet_options(Savefile* file, Record* record, uint32_t fcs_bytes, const uint8_t* at,
                                         const uint8_t* end) noexcept nogil:
    """Read a packet's options, from `at` on; return its checksum's length if they say it, else `fcs_bytes`."""
    cdef uint32_t n_bytes
    cdef uint16_t code, length
    while end - at >= 4:
        code = u16(file, at)
        length = u16(file, at + 2)
        if code == OPTION_END or length > end - at - 4:
            break
        if code == OPTION_PACKET_FLAGS and length == 4:
            n_bytes = u32(file, at + 4) >> 5 & 0xF
            fcs_bytes = n_bytes if n_bytes else fcs_bytes
        elif code == OPTION_PACKET_DROPCOUNT and length == 8:
            record.n_lost = <uint32_t>min(u64(file, at + 4), <uint64_t>UINT32_MAX)
        at += min(4 + ((length + 3) & ~3), end - at)
    return fcs_bytes


cdef inline int fill_packet(Savefile* file, Record* record, const uint8_t* data, uint32_t room,
                            uint64_t units) noexcept nogil:
    """Complete `record`, whose interface, cap_len and wire_len are set; `room` bytes of data are in the block."""
    cdef Interface* interface
    if record.interface >= file.n_interfaces:
        return damaged(file, FAULT_INTERFACE, record.interface, file.n_interfaces)
    if record.cap_len > MAX_CAP_LEN:
        return damaged(file, FAULT_CAP_LEN, record.cap_len, 0)
    if record.cap_len > room:
        return damaged(file, FAULT_ROOM, record.cap_len, room)
    interface = &file.interfaces[record.interface]
    record.data = data
    record.ts_ns = to_ns(units, interface.is_binary, interface.exponent, interface.offset_s)
    drop_checksum(record, read_packet_options(file, record, interface.fcs_bytes,
                                              data + min((record.cap_len + 3) & ~<uint32_t>3, room), data + room))
    return RECORD


cdef inline int read_packet(Savefile* file, Record* record, uint32_t block_type, const uint8_t* body,
                            uint32_t length) noexcept nogil:
    """The body of an enhanced, a simple or an obsolete packet block."""
    cdef int status
    cdef uint64_t units
    if block_type == BLOCK_SIMPLE_PACKET:
        if length < 4:
            return damaged(file, FAULT_BLOCK_LENGTH, length + 12, block_type)
        record.interface = 0
        record.wire_len = record.cap_len = u32(file, body)
        if file.n_interfaces and 0 < file.interfaces[0].snaplen < record.cap_len:
            record.cap_len = file.interfaces[0].snaplen
        # it has no options: ignore what is behind the data
        status = fill_packet(file, record, body + 4, min(length - 4, (record.cap_len + 3) & ~<uint32_t>3), 0)
        record.ts_ns = file.last_ts_ns
        return status
    if length < 20:
        return damaged(file, FAULT_BLOCK_LENGTH, length + 12, block_type)
    if block_type == BLOCK_ENHANCED_PACKET:
        record.interface = u32(file, body)
    else:
        record.interface = u16(file, body)
        if u16(file, body + 2) != 0xFFFF:
            record.n_lost = u16(file, body + 2)
    units = <uint64_t>u32(file, body + 4) << 32 | u32(file, body + 8)
    record.cap_len = u32(file, body + 12)
    record.wire_len = u32(file, body + 16)
    status = fill_packet(file, record, body + 20, length - 20, units)
    if status == RECORD:
        file.last_ts_ns = record.ts_ns
    return status


cdef inline int skip_pending(Savefile* file) noexcept nogil:
    cdef size_t here = available(file)
    if file.skip > here:
        file.skip -= here
        file.pos = file.end
        return need(file, 1)
    file.pos += file.skip
    file.skip = 0
    return RECORD


cdef inline int next_block(Savefile* file, uint32_t* block_type, uint32_t* total_length) noexcept nogil:
    """Find the next block that matters, buffered whole and with both its lengths agreeing."""
    cdef int status
    cdef uint32_t claimed, behind
    while True:
        status = skip_pending(file)
        if status != RECORD:
            return status
        if available(file) < 12:
            return need(file, 12)
        if load32(file.pos) == BLOCK_SECTION:  # the same in either byte order
            status = begin_section(file)
            if status != RECORD:
                return status
        block_type[0] = u32(file, file.pos)
        claimed = u32(file, file.pos + 4)
        if block_type[0] > BLOCK_ENHANCED_PACKET and block_type[0] != BLOCK_SECTION and begins_file(file.pos, available(file)):
            return NEXT_FILE
        if claimed < 12 or (block_type[0] == BLOCK_SECTION and claimed < 28):
            return damaged(file, FAULT_BLOCK_LENGTH, claimed, block_type[0])
        if block_type[0] not in (BLOCK_SECTION, BLOCK_INTERFACE, BLOCK_PACKET, BLOCK_SIMPLE_PACKET,
                                 BLOCK_ENHANCED_PACKET):
            if block_type[0] == BLOCK_STATISTICS and claimed <= MAX_STATISTICS_LENGTH:
                if available(file) < claimed:
                    return need(file, claimed)
                read_statistics(file, file.pos + 8, claimed - 12)
            file.skip = (<uint64_t>claimed + 3) & ~<uint64_t>3
            continue
        if claimed > MAX_BLOCK_LENGTH:
            return damaged(file, FAULT_BLOCK_LENGTH, claimed, block_type[0])
        total_length[0] = (claimed + 3) & ~<uint32_t>3
        if available(file) < total_length[0]:
            return need(file, total_length[0])
        behind = u32(file, file.pos + total_length[0] - 4)
        if behind != claimed:
            return damaged(file, FAULT_TRAILER, claimed, behind)
        return RECORD


cdef inline int next_pcapng(Savefile* file, Record* record) noexcept nogil:
    cdef uint32_t block_type, total_length
    cdef const uint8_t* body
    cdef int status
    while True:
        status = next_block(file, &block_type, &total_length)
        if status != RECORD:
            return status
        body = file.pos + 8
        record.length = total_length
        if block_type == BLOCK_INTERFACE:
            status = read_interface(file, body, total_length - 12)
            if status != RECORD:
                return status
        elif block_type != BLOCK_SECTION:
            return read_packet(file, record, block_type, body, total_length - 12)
        file.pos += total_length
