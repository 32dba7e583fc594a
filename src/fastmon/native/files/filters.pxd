"""BPF filters of a capture file, compiled by libpcap: one for each link type and byte order.

What it does not do: raise; a message says what is wrong with a filter.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdio cimport FILE, fclose
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset, strncpy

from fastmon.native.decode.link cimport BEGIN_UNSUPPORTED, N_BEGINNINGS, beginning_of
from fastmon.native.files.savefile cimport MAX_CAP_LEN, MICROSECOND_MAGIC, Record
from fastmon.native.libpcap cimport (
    PCAP_ERRBUF_SIZE, PCAP_NETMASK_UNKNOWN, bpf_program, pcap_close, pcap_compile, pcap_fopen_offline, pcap_freecode,
    pcap_geterr, pcap_offline_filter, pcap_pkthdr, pcap_t,
)
from fastmon.native.wire cimport swap16, swap32

cdef extern from "<stdio.h>" nogil:
    FILE* fmemopen(void* buffer, size_t n_bytes, const char* mode)

cdef struct Filter:
    bpf_program program
    uint32_t link_type
    bint swapped  # the file's byte order is not this machine's
    Filter* next


cdef inline void put16(uint8_t* at, uint16_t value, bint swapped) noexcept nogil:
    value = swap16(value) if swapped else value
    memcpy(at, &value, 2)


cdef inline void put32(uint8_t* at, uint32_t value, bint swapped) noexcept nogil:
    value = swap32(value) if swapped else value
    memcpy(at, &value, 4)


cdef inline void write_pcap_header(uint8_t* header, uint32_t link_type, bint swapped) noexcept nogil:
    memset(header, 0, 24)
    put32(header, MICROSECOND_MAGIC, swapped)
    put16(header + 4, 2, swapped)
    put16(header + 6, 4, swapped)
    put32(header + 16, MAX_CAP_LEN, swapped)
    put32(header + 20, link_type, swapped)


cdef inline bint filter_compile(bpf_program* program, const char* text, uint32_t link_type, bint swapped,
                                char* message) noexcept nogil:
    """Compile a filter; if it is wrong, return False, and write libpcap's PCAP_ERRBUF_SIZE bytes of message.

    For an empty pcap file of the link type: libpcap compiles filters otherwise for files than for live captures. The address
    families of BSD loopback headers are those of all systems then, in the byte order of the file.
    """
    cdef uint8_t[24] header
    cdef pcap_t* handle = NULL
    cdef FILE* file
    cdef bint is_right
    write_pcap_header(header, link_type, swapped)
    message[0] = 0
    file = fmemopen(header, 24, "rb")
    if file == NULL:
        return False
    handle = pcap_fopen_offline(file, message)
    if handle == NULL:
        fclose(file)
        return False
    is_right = pcap_compile(handle, program, text, 1, PCAP_NETMASK_UNKNOWN) == 0
    if not is_right:
        strncpy(message, pcap_geterr(handle), PCAP_ERRBUF_SIZE - 1)
        message[PCAP_ERRBUF_SIZE - 1] = 0
    pcap_close(handle)
    return is_right


cdef inline Filter* filter_new(const char* text, uint32_t link_type, bint swapped, char* message) noexcept nogil:
    """Return a compiled filter; NULL if it is wrong, with a message, or without memory for it, with an empty one."""
    cdef Filter* made = <Filter*>calloc(1, sizeof(Filter))
    message[0] = 0
    if made == NULL or not filter_compile(&made.program, text, link_type, swapped, message):
        free(made)
        return NULL
    made.link_type = link_type
    made.swapped = swapped
    return made


cdef inline Filter* filter_find(Filter* filters, uint32_t link_type, bint swapped) noexcept nogil:
    while filters != NULL and (filters.link_type != link_type or filters.swapped != swapped):
        filters = filters.next
    return filters


cdef inline void filters_free(Filter* filters) noexcept nogil:
    cdef Filter* following
    while filters != NULL:
        following = filters.next
        pcap_freecode(&filters.program)
        free(filters)
        filters = following


cdef inline bint suits_any_link_type(const char* text) noexcept nogil:
    """Whether libpcap can compile a filter for some link type. If not, it is wrong for all files."""
    cdef char[PCAP_ERRBUF_SIZE] message
    cdef bpf_program program
    cdef uint32_t link_type
    for link_type in range(<uint32_t>N_BEGINNINGS):
        if beginning_of(link_type) != BEGIN_UNSUPPORTED and filter_compile(&program, text, link_type, False, message):
            pcap_freecode(&program)
            return True
    return False


cdef inline bint filter_passes(Filter* filter, const Record* record) noexcept nogil:
    """Whether the filter lets a record through."""
    cdef pcap_pkthdr header
    header.ts.tv_sec = 0
    header.ts.tv_usec = 0
    header.caplen = record.cap_len
    header.len = record.wire_len
    return pcap_offline_filter(&filter.program, &header, record.data) != 0
