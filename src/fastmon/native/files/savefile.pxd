"""Records of capture files: pcap (pcap-savefile(5)), pcapng (draft-ietf-opsawg-pcapng), snoop (RFC 1761).

A parser of bytes in a buffer: `next_record` returns RECORD, NEED_INPUT when the bytes at `pos` are not all there, or
DAMAGED with `fault` saying why. Nothing is consumed unless a record is returned or a block skipped.

What it does not do: read files, decompress, decode frames. Whoever owns the buffer fills it.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport realloc

from fastmon.native.wire cimport be32_at, load16, load32, swap16, swap32, unlikely

cdef extern from *:
    """
    #define FM_LAST_NS (INT64_MAX - 1)  /* INT64_MAX is no time, but a bound that nothing reaches */

    static inline int64_t fm_to_ns(uint64_t units, int is_binary, int exponent, int64_t offset_s) {
        static const uint64_t power_of_10[] = {
            1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000, 1000000000, 10000000000};
        __int128 ns;
        if (is_binary) {
            uint64_t whole = units >> exponent;
            uint64_t part = units - (whole << exponent);
            ns = (__int128)whole * 1000000000 + (__int128)(((unsigned __int128)part * 1000000000) >> exponent);
        } else if (exponent <= 9) {
            ns = (__int128)units * power_of_10[9 - exponent];
        } else {
            ns = units / power_of_10[exponent - 9];
        }
        ns += (__int128)offset_s * 1000000000;
        return ns > FM_LAST_NS ? FM_LAST_NS : ns < -FM_LAST_NS ? -FM_LAST_NS : (int64_t)ns;
    }
    static inline uint64_t fm_swap64(uint64_t v) { return __builtin_bswap64(v); }
    """
    int64_t to_ns "fm_to_ns"(uint64_t units, bint is_binary, int exponent, int64_t offset_s) noexcept nogil
    uint64_t swap64 "fm_swap64"(uint64_t v) noexcept nogil

cdef enum:  # of reading a record
    RECORD
    NEED_INPUT
    DAMAGED

cdef enum:  # of a file
    FORMAT_UNKNOWN
    FORMAT_PCAP
    FORMAT_PCAPNG
    FORMAT_SNOOP

cdef enum:  # why a file cannot be read on
    FAULT_NONE
    FAULT_MAGIC  # a: the first 4 bytes
    FAULT_BYTE_ORDER  # a: the byte-order magic of a section
    FAULT_VERSION  # a.b
    FAULT_RESERVED  # a: the link-type field
    FAULT_SNOOP_LINK  # a: the snoop link type
    FAULT_CAP_LEN  # a: captured bytes claimed
    FAULT_ROOM  # a: captured bytes claimed, b: bytes in the block
    FAULT_RECORD_LENGTH  # a: record length, b: the least that it can be
    FAULT_BLOCK_LENGTH  # a: total length, b: block type
    FAULT_TRAILER  # a: total length in front, b: behind
    FAULT_INTERFACE  # a: interface number, b: interfaces described
    FAULT_RESOLUTION  # a: if_tsresol
    FAULT_OPTION  # a: option length, b: bytes left
    FAULT_MEMORY
    FAULT_CUT  # set by the owner of the buffer: the input ends inside a record
    FAULT_SHRUNK  # the same: it is shorter than it was

cdef enum:
    FCS_IS_KNOWN = 0x04000000  # in a pcap file's link-type field: its top 4 bits count the checksum's 16-bit words
    MAX_CAP_LEN = 262144  # libpcap's MAXIMUM_SNAPLEN
    MAX_BLOCK_LENGTH = 1 << 24
    MAX_INTERFACES = 1 << 16
    BLOCK_SECTION = 0x0A0D0D0A
    BLOCK_INTERFACE = 1
    BLOCK_PACKET = 2
    BLOCK_SIMPLE_PACKET = 3
    BLOCK_ENHANCED_PACKET = 6

cdef extern from *:
    """
    #define FM_MICROSECOND_MAGIC 0xA1B2C3D4u
    #define FM_NANOSECOND_MAGIC 0xA1B23C4Du
    #define FM_KUZNETZOV_MAGIC 0xA1B2CD34u
    """
    const uint32_t MICROSECOND_MAGIC "FM_MICROSECOND_MAGIC"
    const uint32_t NANOSECOND_MAGIC "FM_NANOSECOND_MAGIC"
    const uint32_t KUZNETZOV_MAGIC "FM_KUZNETZOV_MAGIC"

cdef struct Interface:
    uint32_t link_type
    uint32_t snaplen
    bint is_binary  # timestamp resolution: 2**-exponent seconds, else 10**-exponent
    int exponent
    int64_t offset_s
    uint32_t fcs_bytes  # of checksum behind each frame, which its lengths include
    void* filter  # the owner's compiled filter for this link type

cdef struct Record:
    int64_t ts_ns
    uint32_t wire_len
    uint32_t cap_len
    const uint8_t* data
    uint32_t interface
    size_t length  # of the whole record, from `pos`

cdef struct Savefile:
    const uint8_t* pos
    const uint8_t* end
    size_t need  # bytes that must be there at `pos`, with NEED_INPUT
    uint64_t skip  # bytes still to be passed over
    int format
    bint swapped
    uint32_t header_length  # of a pcap record
    bint lengths_swapped  # pcap before 2.3 wrote the two lengths the other way round
    bint lengths_maybe_swapped
    int64_t last_ts_ns  # for simple packet blocks, which have none
    Interface* interfaces
    uint32_t n_interfaces
    int fault
    uint64_t fault_a
    uint64_t fault_b


cdef inline int damaged(Savefile* file, int fault, uint64_t a, uint64_t b) noexcept nogil:
    file.fault = fault
    file.fault_a = a
    file.fault_b = b
    return DAMAGED


cdef inline int need(Savefile* file, size_t n_bytes) noexcept nogil:
    file.need = n_bytes
    return NEED_INPUT


cdef inline size_t available(const Savefile* file) noexcept nogil:
    return <size_t>(file.end - file.pos)


cdef inline uint16_t u16(const Savefile* file, const uint8_t* at) noexcept nogil:
    return swap16(load16(at)) if file.swapped else load16(at)


cdef inline uint32_t u32(const Savefile* file, const uint8_t* at) noexcept nogil:
    return swap32(load32(at)) if file.swapped else load32(at)


cdef inline Interface* add_interface(Savefile* file, uint32_t link_type) noexcept nogil:
    cdef Interface* grown
    cdef Interface* added
    if file.n_interfaces == MAX_INTERFACES:
        return NULL
    if file.n_interfaces & (file.n_interfaces - 1) == 0:  # 0 or a power of 2, which is as many as there is room for
        grown = <Interface*>realloc(file.interfaces, max(2 * file.n_interfaces, 1) * sizeof(Interface))
        if grown == NULL:
            return NULL
        file.interfaces = grown
    added = &file.interfaces[file.n_interfaces]
    added.link_type = link_type
    added.snaplen = 0
    added.is_binary = False
    added.exponent = 6
    added.offset_s = 0
    added.fcs_bytes = 0
    added.filter = NULL
    file.n_interfaces += 1
    return added


cdef inline void drop_checksum(Record* record, uint32_t n_bytes) noexcept nogil:
    """Take the checksum behind a frame out of its lengths."""
    if n_bytes:
        record.wire_len -= min(n_bytes, record.wire_len)
        record.cap_len = min(record.cap_len, record.wire_len)


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
    if major != 2 and not (major == 543 and minor == 0):  # 543.0 is what AIX's tcpdump wrote
        return damaged(file, FAULT_VERSION, major, minor)
    link_field = u32(file, header + 20)
    if link_field & 0x03FF0000:
        return damaged(file, FAULT_RESERVED, link_field, 0)
    file.header_length = 24 if magic == KUZNETZOV_MAGIC else 16
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
        return damaged(file, FAULT_MAGIC, be32_at(header), 0)
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


cdef inline bint is_pcap_magic(uint32_t magic) noexcept nogil:
    return magic == MICROSECOND_MAGIC or magic == NANOSECOND_MAGIC or magic == KUZNETZOV_MAGIC


cdef inline int read_header(Savefile* file) noexcept nogil:
    """Recognise the format and read its header; RECORD means that records may follow."""
    cdef uint32_t magic
    cdef int status, format = FORMAT_PCAP
    if available(file) < 4:
        return need(file, 4)
    magic = load32(file.pos)
    if magic == BLOCK_SECTION:  # the same in either byte order
        format = FORMAT_PCAPNG
        status = RECORD
    elif be32_at(file.pos) == 0x736E6F6F:  # "snoo"
        format = FORMAT_SNOOP
        status = read_snoop_header(file)
    elif is_pcap_magic(magic) or is_pcap_magic(swap32(magic)):
        file.swapped = not is_pcap_magic(magic)
        status = read_pcap_header(file)
    else:
        return damaged(file, FAULT_MAGIC, be32_at(file.pos), 0)
    if status == RECORD:
        file.format = format
    return status


cdef inline int next_pcap(Savefile* file, Record* record) noexcept nogil:
    cdef const uint8_t* header = file.pos
    cdef uint32_t seconds, fraction, cap_len, wire_len, swapped_len
    if unlikely(available(file) < file.header_length):
        return need(file, file.header_length)
    seconds = u32(file, header)
    fraction = u32(file, header + 4)
    cap_len = u32(file, header + 8)
    wire_len = u32(file, header + 12)
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
    """Whether the records have 16-byte headers in this machine's byte order, with the lengths as they are in most files."""
    return (file.format == FORMAT_PCAP and not file.swapped and file.header_length == 16
            and not file.lengths_swapped and not file.lengths_maybe_swapped and file.interfaces[0].fcs_bytes == 0)


cdef inline int next_snoop(Savefile* file, Record* record) noexcept nogil:
    cdef const uint8_t* header = file.pos
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
    return RECORD
