"""Records of pcap files (pcap-savefile(5)) and of snoop files (RFC 1761).

What it does not do: recognise the format (`native/files/records.pxd`), read files.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from fastmon.native.decode.link cimport BEGIN_UNSUPPORTED, LINK_ERF, beginning_of
from fastmon.native.files.magic cimport begins_file, is_magic, is_pcap_version
from fastmon.native.files.savefile cimport (
    FAULT_CAP_LEN, FAULT_LINK_TYPE, FAULT_MAGIC, FAULT_MEMORY, FAULT_RECORD_LENGTH, FAULT_RESERVED, FAULT_SNOOP_LINK,
    FAULT_VERSION, FORMAT_PCAP, KUZNETZOV_MAGIC, MAX_BLOCK_LENGTH, MAX_CAP_LEN, NANOSECOND_MAGIC, NEXT_FILE, RECORD, SNOOP_MAGIC,
    Interface, Record, Savefile, add_interface, available, damaged, drop_checksum, need, u16, u32,
)
from fastmon.native.wire cimport be32_at, load32, unlikely

cdef enum:
    N_TRIED = 3  # records that tell how long a record's header is
    YEAR_S = 366 * 86400  # between them, at most
    FCS_IS_KNOWN = 0x04000000  # in a pcap file's link-type field: its top 4 bits count the checksum's 16-bit words


cdef inline int read_pcap_header(Savefile* file) noexcept nogil:
    cdef const uint8_t* header = file.pos
    cdef uint32_t magic, link_field
    cdef uint16_t major, minor
    cdef Interface* interface
    if available(file) < 24:
        return need(file, 24)
    magic = u32(file, header)
    major = u16(file, header + 4)
    minor = u16(file, header + 6)
    if not is_pcap_version(major, minor):
        return damaged(file, FAULT_VERSION, major, minor)
    link_field = u32(file, header + 20)
    if link_field & 0x03FF0000:
        return damaged(file, FAULT_RESERVED, link_field, 0)
    if file.n_files and beginning_of(link_field & 0xFFFF) == BEGIN_UNSUPPORTED:
        return damaged(file, FAULT_LINK_TYPE, link_field & 0xFFFF, 0)
    file.is_modified = magic == KUZNETZOV_MAGIC
    file.header_length = 16 if magic == NANOSECOND_MAGIC or major != 2 or minor < 4 else 0
    file.lengths_swapped = major == 2 and minor < 3
    file.lengths_maybe_swapped = (major == 2 and minor == 3) or major == 543
    interface = add_interface(file, link_field & 0xFFFF)
    if interface == NULL:
        return damaged(file, FAULT_MEMORY, 0, 0)
    interface.snaplen = u32(file, header + 16)
    interface.exponent = 9 if magic == NANOSECOND_MAGIC else 6
    if link_field & FCS_IS_KNOWN:
        interface.fcs_bytes = (link_field >> 28) * 2
    file.pos += 24
    return RECORD


cdef inline int read_snoop_header(Savefile* file) noexcept nogil:
    cdef const uint8_t* header = file.pos
    cdef uint32_t link_type, version
    if available(file) < 16:
        return need(file, 16)
    if be32_at(header + 4) != 0x70000000:
        return damaged(file, FAULT_MAGIC, SNOOP_MAGIC, 0)
    version = be32_at(header + 8)
    link_type = be32_at(header + 12)
    if version != 2:
        return damaged(file, FAULT_VERSION, version, 0)
    if link_type == 0 or link_type == 4:
        link_type = 1
    elif link_type == 2:
        link_type = 6
    elif link_type == 8:
        link_type = 10
    else:
        return damaged(file, FAULT_SNOOP_LINK, link_type, 0)
    if add_interface(file, link_type) == NULL:
        return damaged(file, FAULT_MEMORY, 0, 0)
    file.swapped = load32(header) != be32_at(header)  # snoop is big-endian
    file.pos += 16
    return RECORD


cdef inline bint fits_records(const Savefile* file, uint32_t header_length) noexcept nogil:
    """Whether the next records, as far as they are buffered, make sense with headers of `header_length` bytes."""
    cdef const uint8_t* at = file.pos
    cdef uint32_t first_s = u32(file, at)
    cdef int64_t avail
    cdef int n
    for n in range(N_TRIED):
        avail = file.end - at
        if n and 0 < avail < 4:
            return False
        if n and avail >= 4 and is_magic(at):
            return True
        if avail >= 4 and not -YEAR_S < <int64_t>u32(file, at) - first_s < YEAR_S:
            return False
        if avail >= 8 and u32(file, at + 4) >= 1000000:
            return False
        if avail < 16:
            return True
        if u32(file, at + 8) > MAX_CAP_LEN or u32(file, at + 8) > u32(file, at + 12):
            return False
        at += header_length + u32(file, at + 8)
        if at > file.end:
            return n > 0
    return True


cdef inline uint32_t choose_header_length(const Savefile* file) noexcept nogil:
    """Return the length of a pcap record's header, by the first records: no magic number tells.

    Longer ones than the format has were written by Nokia (20), Red Hat 6.1 (24) and, with the modified magic number, SuSE 6.3
    (28). All begin alike, so only a second record, or what is left behind the first, can tell. If none fits it is the usual one.
    """
    cdef uint32_t usual = 24 if file.is_modified else 16
    if fits_records(file, usual):
        return usual
    if file.is_modified:
        return 28 if fits_records(file, 28) else usual
    return 24 if fits_records(file, 24) else 20 if fits_records(file, 20) else usual


cdef inline bint may_begin_file(uint32_t seconds, uint32_t cap_len) noexcept nogil:
    """Whether what seems to be a pcap record's header may be that of another file.

    seconds, cap_len: in this file's byte order. Of a pcap header in that order they are the magic number and a time zone, of one
    in the other order as well: no program has written a time zone but 0 there for decades. Of pcapng cap_len is the byte-order
    magic, far too great, and of snoop its version.
    """
    return cap_len - 1 >= MAX_CAP_LEN or seconds >> 16 == 0xA1B2


cdef inline int next_pcap(Savefile* file, Record* record) noexcept nogil:
    cdef const uint8_t* header = file.pos
    cdef uint32_t seconds, fraction, cap_len, wire_len, swapped_len
    if unlikely(file.header_length == 0):
        if begins_file(header, available(file)):
            return NEXT_FILE
        if available(file) < 16:
            return need(file, 16)
        cap_len = min(u32(file, header + 8), u32(file, header + 12))  # old versions may have the two lengths swapped
        if cap_len <= MAX_CAP_LEN and available(file) < 16 + cap_len:
            return need(file, 16 + cap_len)
        file.header_length = choose_header_length(file)
    if unlikely(available(file) < file.header_length):
        return need(file, file.header_length)
    seconds = u32(file, header)
    fraction = u32(file, header + 4)
    cap_len = u32(file, header + 8)
    wire_len = u32(file, header + 12)
    if unlikely((may_begin_file(seconds, cap_len) or seconds == SNOOP_MAGIC) and begins_file(header, available(file))):
        return NEXT_FILE
    if unlikely(file.lengths_swapped or (file.lengths_maybe_swapped and cap_len > wire_len)):
        swapped_len = cap_len
        cap_len = wire_len
        wire_len = swapped_len
    if unlikely(cap_len > MAX_CAP_LEN):
        return damaged(file, FAULT_CAP_LEN, cap_len, 0)
    record.length = file.header_length + cap_len
    if unlikely(available(file) < record.length):
        return need(file, record.length)
    record.ts_ns = <int64_t>seconds * 1000000000 + <int64_t>fraction * (1 if file.interfaces[0].exponent == 9 else 1000)
    record.cap_len = cap_len
    record.wire_len = wire_len
    record.data = header + file.header_length
    record.interface = 0
    drop_checksum(record, file.interfaces[0].fcs_bytes)
    return RECORD


cdef inline bint is_plain_pcap(const Savefile* file) noexcept nogil:
    """Whether the records have 16-byte headers in this machine's byte order, and the lengths in the usual order."""
    return (file.format == FORMAT_PCAP and not file.swapped and file.header_length == 16
            and not file.lengths_swapped and not file.lengths_maybe_swapped and file.interfaces[0].fcs_bytes == 0
            and file.interfaces[0].link_type != LINK_ERF)


cdef inline int next_snoop(Savefile* file, Record* record) noexcept nogil:
    cdef const uint8_t* header = file.pos
    if begins_file(header, available(file)):
        return NEXT_FILE
    if available(file) < 24:
        return need(file, 24)
    record.wire_len = u32(file, header)
    record.cap_len = u32(file, header + 4)
    record.length = u32(file, header + 8)
    if record.cap_len > MAX_CAP_LEN:
        return damaged(file, FAULT_CAP_LEN, record.cap_len, 0)
    if record.length < 24 + record.cap_len or record.length > MAX_BLOCK_LENGTH:
        return damaged(file, FAULT_RECORD_LENGTH, record.length, 24 + record.cap_len)
    if available(file) < record.length:
        return need(file, record.length)
    record.ts_ns = <int64_t>u32(file, header + 16) * 1000000000 + <int64_t>u32(file, header + 20) * 1000
    record.data = header + 24
    record.interface = 0
    record.n_lost = max(u32(file, header + 12), file.interfaces[0].n_lost) - file.interfaces[0].n_lost  # it says all so far
    return RECORD
