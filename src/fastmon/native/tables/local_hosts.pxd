"""What only local hosts have: their services, how many conversations they opened, how recently.

    rows  one for each local host that had a conversation, in the order of the first ones; never removed, as local hosts are not
    ids   by host row: the local host's row + 1, 0 if it has none

What it does not do: know services or conversations.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from fastmon.native.memory cimport release, reserve

cdef enum:
    N_ROLES = 2

cdef enum:  # what a sketch is of
    OPENED
    PROBED
    N_SKETCHES

cdef struct LocalHost:  # as long as a cache line
    uint32_t host  # the host's row
    uint32_t first_service  # row + 1, the first of a chain
    uint32_t[N_ROLES] n_services
    uint32_t[N_SKETCHES] sketches  # row + 1; 0: it has none
    uint32_t[N_SKETCHES] last_s  # when they were last touched, in seconds since the epoch; 0: never
    uint64_t opened
    uint64_t failed
    uint64_t opened_base  # at the last rotation
    uint64_t failed_base

cdef struct LocalHosts:
    LocalHost* rows
    uint32_t* ids
    uint32_t n_rows
    uint32_t max_rows


cdef inline void local_hosts_free(LocalHosts* table) noexcept nogil:
    release(table.rows, <size_t>table.max_rows * sizeof(LocalHost))
    release(table.ids, <size_t>table.max_rows * sizeof(uint32_t))
    table.rows = NULL
    table.ids = NULL


cdef inline int local_hosts_init(LocalHosts* table, uint32_t max_hosts) except -1 nogil:
    """Reserve room for `max_hosts` hosts, all of them local. Raises MemoryError."""
    memset(table, 0, sizeof(LocalHosts))
    table.max_rows = max_hosts
    table.rows = <LocalHost*>reserve(<size_t>max_hosts * sizeof(LocalHost), False)
    table.ids = <uint32_t*>reserve(<size_t>max_hosts * sizeof(uint32_t), False)
    if table.rows == NULL or table.ids == NULL:
        local_hosts_free(table)
        with gil:
            raise MemoryError(f"no address space for {max_hosts} local hosts; lower max_hosts")
    return 0


cdef inline LocalHost* local_host_find(const LocalHosts* table, uint32_t host) noexcept nogil:
    """Return the local host at a host row; NULL if it has none."""
    cdef uint32_t link = table.ids[host]
    return &table.rows[link - 1] if link else NULL


cdef inline uint32_t local_host_get(LocalHosts* table, uint32_t host) noexcept nogil:
    """Return the row of the local host at a host row, a new one if it has none."""
    if table.ids[host] == 0:
        table.rows[table.n_rows].host = host
        table.n_rows += 1
        table.ids[host] = table.n_rows
    return table.ids[host] - 1


cdef inline void local_hosts_move(LocalHosts* table, uint32_t source, uint32_t target) noexcept nogil:
    """Follow a host whose row was moved to a free place."""
    cdef uint32_t link = table.ids[source]
    table.ids[source] = 0
    table.ids[target] = link
    if link:
        table.rows[link - 1].host = target


cdef inline void local_hosts_begin_interval(LocalHosts* table) noexcept nogil:
    cdef uint32_t row
    for row in range(table.n_rows):
        table.rows[row].opened_base = table.rows[row].opened
        table.rows[row].failed_base = table.rows[row].failed
