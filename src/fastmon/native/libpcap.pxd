"""The libpcap functions that fastmon calls itself (pcap(3PCAP)).

What it does not do: check arguments, turn codes into errors.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.stdio cimport FILE

cdef extern from "<pcap.h>" nogil:
    enum:
        PCAP_ERRBUF_SIZE
        PCAP_ERROR
        PCAP_ERROR_BREAK
        PCAP_TSTAMP_PRECISION_NANO
    const uint32_t PCAP_NETMASK_UNKNOWN
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
    struct pcap_stat:
        unsigned int ps_recv
        unsigned int ps_drop
        unsigned int ps_ifdrop
    ctypedef struct pcap_if_t:
        pcap_if_t* next
        char* name
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
    pcap_t* pcap_create(const char* device, char* message)
    int pcap_set_snaplen(pcap_t* handle, int snaplen)
    int pcap_set_promisc(pcap_t* handle, int promiscuous)
    int pcap_set_timeout(pcap_t* handle, int timeout_ms)
    int pcap_set_buffer_size(pcap_t* handle, int n_bytes)
    int pcap_set_tstamp_precision(pcap_t* handle, int precision)
    int pcap_activate(pcap_t* handle)
    const char* pcap_statustostr(int status)
    int pcap_get_selectable_fd(pcap_t* handle)
    int pcap_setfilter(pcap_t* handle, bpf_program* program)
    int pcap_setdirection(pcap_t* handle, int direction)
    int pcap_stats(pcap_t* handle, pcap_stat* statistics)
    int pcap_lookupnet(const char* device, uint32_t* network, uint32_t* netmask, char* message)
    int pcap_findalldevs(pcap_if_t** devices, char* message)
    void pcap_freealldevs(pcap_if_t* devices)
