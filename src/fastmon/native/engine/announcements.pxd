"""The local networks that frames of a capture announce: router advertisements, DHCP, DHCPv6 (docs/counting.md has the rules).

What it does not do: believe frames of a live interface; the system knows that one's networks.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp

from fastmon.native.decode.entry cimport DHCP_SERVER, DHCPV6_SERVER, Entry, find_payload
from fastmon.native.decode.upper cimport ICMPV6, UDP
from fastmon.native.engine.hosts cimport Hosts, add_local_network
from fastmon.native.tables.networks cimport Network, network_around
from fastmon.native.wire cimport Key, be16_at, be32_at, v4_key, v6_key

cdef enum:  # bits of an announced prefix
    LEAST_OF_V6 = 48
    LEAST_OF_V4 = 8
    LEASED_V6 = 64  # around a leased address, whose prefix DHCPv6 does not tell

cdef enum:
    DHCP_CLIENT = 68
    DHCPV6_CLIENT = 546

cdef enum:  # of DHCP (RFC 2132)
    PAD = 0
    SUBNET_MASK = 1
    MESSAGE_TYPE = 53
    END = 255
    OFFER = 2
    ACK = 5

cdef enum:  # of DHCPv6 (RFC 8415)
    ADVERTISE = 2
    REPLY = 7
    IA_NA = 3
    IA_ADDRESS = 5
    IA_PD = 25
    IA_PREFIX = 26


cdef inline void announce_v6(Hosts* hosts, const uint8_t* address, uint32_t length) noexcept nogil:
    """Add a network of global unicast addresses."""
    cdef Key key = v6_key(address)
    cdef Network network
    if address[0] >> 5 == 1 and LEAST_OF_V6 <= length <= 128:
        network = network_around(&key, length)
        add_local_network(hosts, &network, True)


cdef inline void announce_v4(Hosts* hosts, const uint8_t* address, uint32_t mask) noexcept nogil:
    """Add the network of a leased address, unless the mask is none or the address is no host's."""
    cdef Key key = v4_key(address)
    cdef Network network
    cdef uint32_t inverted = ~mask, length = 0
    while length < 32 and mask >> (31 - length) & 1:
        length += 1
    if inverted & (inverted + 1) or length < LEAST_OF_V4:
        return
    if address[0] != 0 and address[0] != 127 and address[0] < 224:
        network = network_around(&key, 96 + length)
        add_local_network(hosts, &network, True)


cdef inline void see_router_advertisement(Hosts* hosts, const uint8_t* data, uint32_t n) noexcept nogil:
    """Add the prefixes that are on-link (RFC 4861, section 4.6.2). `data` begins behind the router's lifetime."""
    cdef uint32_t at = 8, length
    while at + 8 <= n:
        length = data[at + 1] * 8
        if length == 0 or at + length > n:
            return
        if data[at] == 3 and length == 32 and data[at + 3] & 0x80 and be32_at(data + at + 4):
            announce_v6(hosts, data + at + 16, data[at + 2])
        at += length


cdef inline void see_dhcp(Hosts* hosts, const uint8_t* receiver, const uint8_t* data, uint32_t n) noexcept nogil:
    """Add the network of an address that a server offers or acknowledges, to all or to the client itself.

    receiver: the IPv4 address that the packet is sent to.
    """
    cdef uint32_t at = 240, following, mask = 0
    cdef uint8_t message = 0
    cdef const uint8_t* address = data + 16
    if n < 240 or data[0] != 2 or memcmp(data + 236, b"\x63\x82\x53\x63", 4):
        return
    while at + 1 < n and data[at] != END:
        following = at + 1 if data[at] == PAD else at + 2 + data[at + 1]
        if following <= n and data[at] == SUBNET_MASK and data[at + 1] == 4:
            mask = be32_at(data + at + 2)
        if following <= n and data[at] == MESSAGE_TYPE and data[at + 1] == 1:
            message = data[at + 2]
        at = following
    if be32_at(address) == 0:
        address = data + 12  # the client has it already
    if be32_at(receiver) != 0xFFFFFFFFU and be32_at(receiver) != be32_at(address):
        return
    if message == OFFER or message == ACK:
        announce_v4(hosts, address, mask)


cdef inline void see_lease(Hosts* hosts, uint16_t kind, const uint8_t* data, uint32_t n) noexcept nogil:
    """Add what the options within an IA_NA or IA_PD option give to a client."""
    cdef uint32_t at = 12, length
    while at + 4 <= n:
        length = be16_at(data + at + 2)
        if at + 4 + length > n:
            return
        if kind == IA_NA and be16_at(data + at) == IA_ADDRESS and length >= 24 and be32_at(data + at + 24):
            announce_v6(hosts, data + at + 4, LEASED_V6)
        elif kind == IA_PD and be16_at(data + at) == IA_PREFIX and length >= 25 and be32_at(data + at + 8):
            announce_v6(hosts, data + at + 13, data[at + 12])
        at += 4 + length


cdef inline void see_dhcpv6(Hosts* hosts, const uint8_t* data, uint32_t n) noexcept nogil:
    """Add the networks that a server gives a client addresses of, or delegates to it."""
    cdef uint32_t at = 4, length
    if n < 4 or (data[0] != ADVERTISE and data[0] != REPLY):
        return
    while at + 4 <= n:
        length = be16_at(data + at + 2)
        if at + 4 + length > n:
            return
        if be16_at(data + at) == IA_NA or be16_at(data + at) == IA_PD:
            see_lease(hosts, be16_at(data + at), data + at + 4, length)
        at += 4 + length


cdef inline bint is_link_local(const Key* key) noexcept nogil:
    """Whether an IPv6 address is of fe80::/10."""
    cdef const uint8_t* address = <const uint8_t*>key
    return address[0] == 0xFE and address[1] & 0xC0 == 0x80


cdef inline void see_announcement(Hosts* hosts, Entry* entry) noexcept nogil:
    """Add the networks that a frame announces, if it is a frame of a capture file."""
    if not hosts.follows:
        return
    find_payload(entry)
    if entry.protocol == ICMPV6:
        if is_link_local(&entry.src):  # a router's
            see_router_advertisement(hosts, entry.captured, entry.n_captured)
    elif entry.protocol == UDP and entry.ports == (DHCP_SERVER << 16 | DHCP_CLIENT):
        see_dhcp(hosts, <const uint8_t*>&entry.dst + 12, entry.captured, entry.n_captured)
    elif entry.protocol == UDP and entry.ports == (DHCPV6_SERVER << 16 | DHCPV6_CLIENT):
        if is_link_local(&entry.src):  # it or its relay is on the link
            see_dhcpv6(hosts, entry.captured, entry.n_captured)
