"""The ports behind traffic of no known application: of each conversation the lower one, which is most likely the server's.

What it does not do: choose applications, keep hosts.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from fastmon.native.decode.upper cimport TCP, UDP
from fastmon.native.memory cimport release, reserve
from fastmon.native.tables.hosts cimport Tally, tally_add

cdef enum:
    N_PORTS = 2 * 65536  # of TCP, then of UDP
    NO_PORT = N_PORTS  # of another protocol

cdef struct PortTotal:  # conversations.PORT_TOTAL_DTYPE
    uint64_t frames
    uint64_t bytes
    uint16_t port
    uint8_t protocol

cdef struct UnknownPorts:
    Tally* totals
    Tally* bases  # at the last rotation


cdef inline void unknown_ports_free(UnknownPorts* ports) noexcept nogil:
    release(ports.totals, <size_t>N_PORTS * sizeof(Tally))
    release(ports.bases, <size_t>N_PORTS * sizeof(Tally))


cdef inline int unknown_ports_init(UnknownPorts* ports) except -1 nogil:
    """Reserve room. Raises MemoryError."""
    ports.totals = <Tally*>reserve(<size_t>N_PORTS * sizeof(Tally), False)
    ports.bases = <Tally*>reserve(<size_t>N_PORTS * sizeof(Tally), False)
    if ports.totals == NULL or ports.bases == NULL:
        with gil:
            raise MemoryError("no memory for ports")
    return 0


cdef inline uint32_t port_place(uint8_t protocol, uint32_t both) noexcept nogil:
    """Return the place of a conversation's lower port. both: a's << 16 | b's."""
    cdef uint32_t port = min(both >> 16, both & 0xFFFF)
    if protocol == TCP:
        return port
    return 65536 + port if protocol == UDP else <uint32_t>NO_PORT


cdef inline void unknown_port_add(UnknownPorts* ports, uint32_t place, uint64_t frames, uint64_t n_bytes) noexcept nogil:
    if place != NO_PORT:
        tally_add(&ports.totals[place], frames, n_bytes)


cdef inline void unknown_port_withdraw(UnknownPorts* ports, uint32_t place, uint64_t frames, uint64_t n_bytes) noexcept nogil:
    """Take away what was added before the last rotation: the application is known now."""
    if place != NO_PORT:
        tally_add(&ports.totals[place], 0 - frames, 0 - n_bytes)
        tally_add(&ports.bases[place], 0 - frames, 0 - n_bytes)


cdef inline void unknown_ports_begin_interval(UnknownPorts* ports) noexcept nogil:
    cdef uint32_t place
    for place in range(N_PORTS):
        if ports.totals[place].frames != ports.bases[place].frames:
            ports.bases[place] = ports.totals[place]


cdef inline void unknown_ports_merge(UnknownPorts* ports, const UnknownPorts* other) noexcept nogil:
    """Add what `other` has since its last rotation."""
    cdef uint32_t place
    for place in range(N_PORTS):
        if other.totals[place].frames != other.bases[place].frames:
            tally_add(&ports.totals[place], other.totals[place].frames - other.bases[place].frames,
                      other.totals[place].bytes - other.bases[place].bytes)


cdef inline uint32_t copy_unknown_ports(const UnknownPorts* ports, bint since_rotation, PortTotal* target) noexcept nogil:
    """Copy what has traffic, ordered by protocol and port; return the number. A `target` of NULL takes nothing."""
    cdef uint32_t place, n_copied = 0
    cdef uint64_t frames
    for place in range(N_PORTS):
        frames = ports.totals[place].frames - (ports.bases[place].frames if since_rotation else 0)
        if frames == 0:
            continue
        if target != NULL:
            target[n_copied].frames = frames
            target[n_copied].bytes = ports.totals[place].bytes - (ports.bases[place].bytes if since_rotation else 0)
            target[n_copied].port = <uint16_t>(place & 0xFFFF)
            target[n_copied].protocol = TCP if place < 65536 else UDP
        n_copied += 1
    return n_copied
