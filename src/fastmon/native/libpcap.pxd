"""The libpcap functions that fastmon calls itself (pcap(3PCAP)).

What it does not do: open or configure live handles; `fastmon.capture.live` does, through pypcap.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.stdio cimport FILE

cdef extern from "<pcap.h>" nogil:
    enum:
        PCAP_ERRBUF_SIZE
        PCAP_ERROR
        PCAP_ERROR_BREAK
        PCAP_NETMASK_UNKNOWN
        PCAP_TSTAMP_PRECISION_NANO
    struct timeval:
        long tv_sec
        long tv_usec
    struct pcap_pkthdr:
        timeval ts
        uint32_t caplen
        uint32_t len
    struct bpf_program:
        pass
    ctypedef struct pcap_t:
        pass
    ctypedef void (*pcap_handler)(uint8_t* user, const pcap_pkthdr* header, const uint8_t* data) noexcept nogil
    int pcap_dispatch(pcap_t* handle, int count, pcap_handler callback, uint8_t* user)
    void pcap_breakloop(pcap_t* handle)
    FILE* pcap_file(pcap_t* handle)
    int pcap_setnonblock(pcap_t* handle, int nonblock, char* message)
    char* pcap_geterr(pcap_t* handle)
    int pcap_datalink(pcap_t* handle)
    int pcap_get_tstamp_precision(pcap_t* handle)
    pcap_t* pcap_fopen_offline(FILE* file, char* message)
    void pcap_close(pcap_t* handle)
    int pcap_compile(pcap_t* handle, bpf_program* program, const char* text, int optimize, uint32_t netmask)
    int pcap_offline_filter(const bpf_program* program, const pcap_pkthdr* header, const uint8_t* data)
    void pcap_freecode(bpf_program* program)
