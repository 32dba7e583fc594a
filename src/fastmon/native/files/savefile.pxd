"""The state of a capture file's parser: its place in the reader's buffer, the format, the interfaces, what is wrong.

Each step of the parsers returns RECORD, NEED_INPUT when the bytes at `pos` are not all there, or DAMAGED with `fault` saying
why. A step consumes nothing unless it returns a header or skips a block. NEXT_FILE: another capture file begins at `pos`, as
in `cat a.pcap b.pcap`.

What it does not do: read files, know the formats. The owner of the buffer fills it.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport realloc

from fastmon.native.wire cimport load16, load32, swap16, swap32

cdef extern from *:
    """
    #define FM_LAST_NS (INT64_MAX - 1)  /* INT64_MAX is kept for a bound that no frame reaches */

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
    NEXT_FILE

cdef enum:  # of a file
    FORMAT_UNKNOWN
    FORMAT_PCAP
    FORMAT_PCAPNG
    FORMAT_SNOOP
    FORMAT_ERF

cdef enum:  # why a file cannot be read on
    FAULT_NONE
    FAULT_MAGIC  # a: the first 4 bytes
    FAULT_BYTE_ORDER  # a: the byte-order magic of a section
    FAULT_VERSION  # a.b
    FAULT_RESERVED  # a: the link-type field
    FAULT_SNOOP_LINK  # a: the snoop link type
    FAULT_LINK_TYPE  # a: the link type of a file behind another one
    FAULT_CAP_LEN  # a: captured bytes claimed
    FAULT_ROOM  # a: captured bytes claimed, b: bytes in the block
    FAULT_ERF_TYPE  # a: the type of an ERF record
    FAULT_RECORD_LENGTH  # a: record length, b: the least allowed
    FAULT_BLOCK_LENGTH  # a: total length, b: block type
    FAULT_TRAILER  # a: total length in front, b: behind
    FAULT_INTERFACE  # a: interface number, b: interfaces described
    FAULT_RESOLUTION  # a: if_tsresol
    FAULT_OPTION  # a: option length, b: bytes left
    FAULT_MEMORY
    FAULT_CUT  # set by the owner of the buffer: the input ends inside a record
    FAULT_SHRUNK  # set by the owner of the buffer: the file is shorter than it was

cdef enum:
    MAX_CAP_LEN = 262144  # libpcap's MAXIMUM_SNAPLEN
    MAX_BLOCK_LENGTH = 1 << 24
    MAX_INTERFACES = 1 << 16
    MAX_LINK_TYPES = 64  # that are told of
    BLOCK_SECTION = 0x0A0D0D0A
    BLOCK_INTERFACE = 1
    BLOCK_PACKET = 2
    BLOCK_SIMPLE_PACKET = 3
    BLOCK_STATISTICS = 5
    BLOCK_ENHANCED_PACKET = 6
    BYTE_ORDER_MAGIC = 0x1A2B3C4D  # of a pcapng section

cdef extern from *:
    """
    #define FM_MICROSECOND_MAGIC 0xA1B2C3D4u
    #define FM_NANOSECOND_MAGIC 0xA1B23C4Du
    #define FM_KUZNETZOV_MAGIC 0xA1B2CD34u
    #define FM_SNOOP_MAGIC 0x736E6F6Fu  /* "snoo", big-endian; "p" and zeros follow */
    """
    const uint32_t MICROSECOND_MAGIC "FM_MICROSECOND_MAGIC"
    const uint32_t NANOSECOND_MAGIC "FM_NANOSECOND_MAGIC"
    const uint32_t KUZNETZOV_MAGIC "FM_KUZNETZOV_MAGIC"
    const uint32_t SNOOP_MAGIC "FM_SNOOP_MAGIC"

cdef struct Interface:
    uint32_t link_type
    uint32_t snaplen
    bint is_binary  # timestamp resolution: 2**-exponent seconds, else 10**-exponent
    int exponent
    int64_t offset_s
    uint32_t fcs_bytes  # of checksum behind each frame, which its lengths include
    void* filter  # the owner's compiled filter for this link type
    uint64_t interface_dropped  # as the file's statistics said last: counted since the capture began
    uint64_t system_dropped
    uint64_t n_lost  # as its records say

cdef struct Record:
    int64_t ts_ns
    uint32_t wire_len
    uint32_t cap_len
    const uint8_t* data
    uint32_t interface
    uint32_t n_lost  # frames before it
    size_t length  # of the whole record, from `pos`

cdef struct Losses:  # that a file records of its own capture
    uint64_t interface
    uint64_t system
    uint64_t frames  # counted from frame to frame: perhaps the same ones

cdef struct Savefile:
    const uint8_t* pos
    const uint8_t* end
    size_t need  # bytes that must be there at `pos`, with NEED_INPUT
    uint64_t skip  # bytes still to be skipped
    int format
    bint swapped
    uint32_t header_length  # of a pcap record; 0 until it is known
    bint is_modified  # of pcap: which record headers it may have
    bint lengths_swapped  # pcap before 2.3 wrote the two lengths in the other order
    bint lengths_maybe_swapped
    int64_t last_ts_ns  # for simple packet blocks, which have none
    Interface* interfaces  # of the section
    uint32_t n_interfaces
    uint16_t[MAX_LINK_TYPES] link_types  # of all sections, each once
    uint32_t n_link_types
    uint32_t n_files  # that have ended: one may stand behind another
    Losses lost
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


cdef inline bint is_unknown(const Savefile* file) noexcept nogil:
    """Whether the input has not proved to be a capture file."""
    return file.format == FORMAT_UNKNOWN and not file.n_files


cdef inline size_t available(const Savefile* file) noexcept nogil:
    return <size_t>(file.end - file.pos)


cdef inline uint16_t u16(const Savefile* file, const uint8_t* at) noexcept nogil:
    return swap16(load16(at)) if file.swapped else load16(at)


cdef inline uint32_t u32(const Savefile* file, const uint8_t* at) noexcept nogil:
    return swap32(load32(at)) if file.swapped else load32(at)


cdef inline void note_link_type(Savefile* file, uint16_t link_type) noexcept nogil:
    cdef uint32_t i
    for i in range(file.n_link_types):
        if file.link_types[i] == link_type:
            return
    if file.n_link_types < MAX_LINK_TYPES:
        file.link_types[file.n_link_types] = link_type
        file.n_link_types += 1


cdef inline Interface* add_interface(Savefile* file, uint32_t link_type) noexcept nogil:
    cdef Interface* moved
    cdef Interface* added
    if file.n_interfaces == MAX_INTERFACES:
        return NULL
    if file.n_interfaces & (file.n_interfaces - 1) == 0:  # 0 or a power of 2: the array is full
        moved = <Interface*>realloc(file.interfaces, max(2 * file.n_interfaces, 1) * sizeof(Interface))
        if moved == NULL:
            return NULL
        file.interfaces = moved
    added = &file.interfaces[file.n_interfaces]
    added.link_type = link_type
    added.snaplen = 0
    added.is_binary = False
    added.exponent = 6
    added.offset_s = 0
    added.fcs_bytes = 0
    added.filter = NULL
    added.interface_dropped = added.system_dropped = added.n_lost = 0
    file.n_interfaces += 1
    note_link_type(file, <uint16_t>link_type)
    return added


cdef inline void drop_checksum(Record* record, uint32_t n_bytes) noexcept nogil:
    """Subtract the checksum behind a frame from its lengths."""
    if n_bytes:
        record.wire_len -= min(n_bytes, record.wire_len)
        record.cap_len = min(record.cap_len, record.wire_len)
