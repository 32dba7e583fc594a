"""What may turn out to be a probe, until somebody looks: conversations that wait for an answer, and ARP requests.

Bounded stores. Where no conversation fits, the oldest one leaves: whether it failed is known when it ends. ARP requests that do
not fit are left out.

What it does not do: know conversations or hosts.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastmon.native.memory cimport release, reserve
from fastmon.native.tables.sketches cimport second_of
from fastmon.native.wire cimport be16_at, be32_at

cdef enum:
    MAX_WAITING = 1 << 18
    MAX_ARP_REQUESTS = 1 << 16
    ETHERTYPE_ARP = 0x0806
    ETHERTYPE_VLAN = 0x8100

cdef struct ArpRequest:
    uint8_t[4] sender
    uint8_t[4] target
    uint32_t second

cdef struct Probes:
    uint64_t* waiting  # conversations' tokens, a ring
    ArpRequest* requests
    uint32_t first_waiting
    uint32_t n_waiting
    uint32_t n_requests


cdef inline int probes_init(Probes* probes) except -1 nogil:
    memset(probes, 0, sizeof(Probes))
    probes.waiting = <uint64_t*>reserve(<size_t>MAX_WAITING * sizeof(uint64_t), False)
    probes.requests = <ArpRequest*>reserve(<size_t>MAX_ARP_REQUESTS * sizeof(ArpRequest), False)
    if probes.waiting == NULL or probes.requests == NULL:
        with gil:
            raise MemoryError("no memory for probes")
    return 0


cdef inline void probes_free(Probes* probes) noexcept nogil:
    release(probes.waiting, <size_t>MAX_WAITING * sizeof(uint64_t))
    release(probes.requests, <size_t>MAX_ARP_REQUESTS * sizeof(ArpRequest))
    probes.waiting = NULL
    probes.requests = NULL


cdef inline void drop_first_waiting(Probes* probes) noexcept nogil:
    probes.first_waiting = (probes.first_waiting + 1) & (MAX_WAITING - 1)
    probes.n_waiting -= 1


cdef inline void await_answer(Probes* probes, uint64_t token) noexcept nogil:
    """Note that a conversation waits for an answer."""
    if probes.n_waiting == MAX_WAITING:
        drop_first_waiting(probes)
    probes.waiting[(probes.first_waiting + probes.n_waiting) & (MAX_WAITING - 1)] = token
    probes.n_waiting += 1


cdef inline void note_arp(Probes* probes, const uint8_t* data, uint32_t cap_len, int64_t ts_ns) noexcept nogil:
    """Note what an Ethernet frame, with a VLAN tag or without, asks for, if it is a host's ARP request for another (RFC 826)."""
    cdef const uint8_t* arp = data + 14
    cdef uint32_t avail
    cdef ArpRequest* request
    if cap_len >= 18 and be16_at(data + 12) == ETHERTYPE_VLAN:
        arp = data + 18
    avail = cap_len - <uint32_t>(arp - data) if cap_len > 18 else 0
    if avail < 28 or be16_at(arp - 2) != ETHERTYPE_ARP:
        return
    # Ethernet and IPv4, of their lengths, a request. Who asks for itself announces itself; who asks from 0.0.0.0 has no address.
    if (be32_at(arp) != 0x00010800 or be32_at(arp + 4) != 0x06040001
            or be32_at(arp + 14) == 0 or be32_at(arp + 14) == be32_at(arp + 24)):
        return
    if probes.n_requests == MAX_ARP_REQUESTS:
        return
    request = &probes.requests[probes.n_requests]
    probes.n_requests += 1
    memcpy(request.sender, arp + 14, 4)
    memcpy(request.target, arp + 24, 4)
    request.second = second_of(ts_ns)


cdef inline void move_requests(Probes* probes, Probes* other) noexcept nogil:
    """Take another accountant's ARP requests, as far as there is room."""
    cdef uint32_t n_moved = min(other.n_requests, <uint32_t>MAX_ARP_REQUESTS - probes.n_requests)
    memcpy(&probes.requests[probes.n_requests], other.requests, n_moved * sizeof(ArpRequest))
    probes.n_requests += n_moved
    other.n_requests = 0
