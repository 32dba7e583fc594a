"""The networks whose hosts are local: those that were given, and those that were added since, of which there is a bound.

What it does not do: know hosts, or why a network is local.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset

from fastmon.native.wire cimport Key, v6_key

cdef enum:
    MAX_ADDED = 1024  # after the start
    MAX_ANNOUNCED = 64  # of those, by frames: whoever wrote a capture may announce anything

cdef struct Network:
    Key prefix
    Key mask

cdef struct Networks:
    Network* rows
    uint32_t n_rows
    uint32_t max_rows
    uint32_t n_announced
    uint32_t n_refused  # there was no room for them


cdef inline int networks_init(Networks* networks, list given) except -1:
    """Take the networks that are local from the start, each as (prefix, mask). Raises ValueError, MemoryError."""
    networks.max_rows = <uint32_t>len(given) + MAX_ADDED
    networks.rows = <Network*>calloc(networks.max_rows, sizeof(Network))
    if networks.rows == NULL:
        raise MemoryError("no memory for the local networks")
    for each in given:
        networks.rows[networks.n_rows] = network_from(each)
        networks.n_rows += 1
    return 0


cdef inline void networks_free(Networks* networks) noexcept nogil:
    free(networks.rows)
    networks.rows = NULL


cdef inline Network network_from(each) except *:
    """Return the network of (prefix, mask), 16 bytes both. Raises ValueError."""
    cdef Network network
    prefix, mask = each
    if not (isinstance(prefix, bytes) and isinstance(mask, bytes) and len(prefix) == len(mask) == 16):
        raise ValueError(f"a network is a prefix and a mask of 16 bytes each, not {prefix!r} and {mask!r}")
    network.prefix = v6_key(<const uint8_t*>(<bytes>prefix))
    network.mask = v6_key(<const uint8_t*>(<bytes>mask))
    return network


cdef inline list networks_as_list(const Networks* networks):
    """Return all networks as (prefix, mask)."""
    return [((<uint8_t*>&networks.rows[i].prefix)[:16], (<uint8_t*>&networks.rows[i].mask)[:16]) for i in range(networks.n_rows)]


cdef inline Network network_around(const Key* address, uint32_t length) noexcept nogil:
    """Return the network of `length` bits that an address is in."""
    cdef Network network
    cdef uint8_t[16] mask
    memset(mask, 0, 16)
    memset(mask, 0xFF, length // 8)
    if length % 8:
        mask[length // 8] = <uint8_t>(0xFF00 >> length % 8)
    network.mask = v6_key(mask)
    network.prefix.high = address.high & network.mask.high
    network.prefix.low = address.low & network.mask.low
    return network


cdef inline bint is_within(const Key* key, const Network* network) noexcept nogil:
    return ((key.high & network.mask.high) == network.prefix.high
            and (key.low & network.mask.low) == network.prefix.low)


cdef inline bint is_in_first(const Networks* networks, const Key* key, uint32_t n_networks) noexcept nogil:
    cdef uint32_t i
    for i in range(n_networks):
        if is_within(key, &networks.rows[i]):
            return True
    return False


cdef inline bint has_host(const Networks* networks, const Key* key) noexcept nogil:
    return is_in_first(networks, key, networks.n_rows)


cdef inline bint is_in_last_alone(const Networks* networks, const Key* key) noexcept nogil:
    """Whether the last network that was added has made a host local."""
    return is_within(key, &networks.rows[networks.n_rows - 1]) and not is_in_first(networks, key, networks.n_rows - 1)


cdef inline bint is_covered(const Networks* networks, const Network* network) noexcept nogil:
    """Whether all of a network is in one that is there."""
    cdef uint32_t i
    cdef const Network* row
    for i in range(networks.n_rows):
        row = &networks.rows[i]
        if (is_within(&network.prefix, row) and (row.mask.high & network.mask.high) == row.mask.high
                and (row.mask.low & network.mask.low) == row.mask.low):
            return True
    return False


cdef inline bint networks_add(Networks* networks, const Network* network, bint is_announced) noexcept nogil:
    """Add a network; False if it is in another one, or if there is no room."""
    if is_covered(networks, network):
        return False
    if networks.n_rows == networks.max_rows or (is_announced and networks.n_announced == MAX_ANNOUNCED):
        networks.n_refused += 1
        return False
    networks.rows[networks.n_rows] = network[0]
    networks.n_rows += 1
    networks.n_announced += is_announced
    return True
