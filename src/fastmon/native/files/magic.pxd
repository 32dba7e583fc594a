"""The magic numbers that capture files begin with.

What it does not do: read headers.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t

from fastmon.native.files.savefile cimport (
    BLOCK_SECTION, BYTE_ORDER_MAGIC, KUZNETZOV_MAGIC, MICROSECOND_MAGIC, NANOSECOND_MAGIC, SNOOP_MAGIC,
)
from fastmon.native.wire cimport be32_at, load16, load32, swap16, swap32


cdef inline bint is_pcap_magic(uint32_t magic) noexcept nogil:
    return magic == MICROSECOND_MAGIC or magic == NANOSECOND_MAGIC or magic == KUZNETZOV_MAGIC


cdef inline bint is_magic(const uint8_t* at) noexcept nogil:
    """Whether these 4 bytes are the first of a capture file, perhaps."""
    cdef uint32_t first = load32(at)
    return is_pcap_magic(first) or is_pcap_magic(swap32(first)) or first == BLOCK_SECTION or be32_at(at) == SNOOP_MAGIC


cdef inline bint is_pcap_version(uint16_t major, uint16_t minor) noexcept nogil:
    return major == 2 or (major == 543 and minor == 0)  # 543.0 is what AIX's tcpdump wrote


cdef inline bint begins_file(const uint8_t* at, size_t avail) noexcept nogil:
    """Whether a capture file begins at `at`, and nothing else, where a record should begin.

    A record with these bytes would be of 1975, 2055 or 2083, to the microsecond, or far too long.
    """
    cdef uint32_t first
    if avail < 12:
        return False
    first = load32(at)
    if is_pcap_magic(first):
        return is_pcap_version(load16(at + 4), load16(at + 6))
    if is_pcap_magic(swap32(first)):
        return is_pcap_version(swap16(load16(at + 4)), swap16(load16(at + 6)))
    if first == BLOCK_SECTION:  # the same in either byte order
        return load32(at + 8) == BYTE_ORDER_MAGIC or swap32(load32(at + 8)) == BYTE_ORDER_MAGIC
    return be32_at(at) == SNOOP_MAGIC and be32_at(at + 4) == 0x70000000
