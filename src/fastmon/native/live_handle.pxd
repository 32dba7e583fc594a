from fastmon.native.libpcap cimport pcap_t


cdef class Handle:
    cdef pcap_t* handle
    cdef bint has_reader

    cdef pcap_t* pointer(self) noexcept
    cdef pcap_t* check(self) except NULL
