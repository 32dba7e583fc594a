"""The table of services: what local hosts use and offer, as rows of one cache line behind an index (`native/tables/index.pxd`).

    rows   traffic since the start, in the order of their first conversations; never removed
    bases  the same at the last rotation, so that an interval is a difference; and what is seldom needed

The services of a host are a chain, ordered by role, protocol and port. The table is bounded, and so is each host's part of it,
separately for each role: who scans a host takes none of the rows of what the host itself uses.

What it does not do: know which side of a conversation is the server.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from fastmon.native.memory cimport release, reserve
from fastmon.native.tables.applications cimport traffic_add
from fastmon.native.tables.hosts cimport Traffic, hash_key, mix
from fastmon.native.tables.index cimport (
    NO_ROW, Bucket, Index, index_allocate, index_displaced, index_distance, index_free, index_has_room, index_init, index_insert,
    index_likely, row_in, slots_of,
)
from fastmon.native.tables.local_hosts cimport LocalHost
from fastmon.native.wire cimport likely, prefetch_write

cdef enum:  # roles of a local host: the numbers of services.ROLES
    CLIENT
    SERVER

cdef struct ServiceRow:  # services.SERVICE_DTYPE, once `owner` is a host's row
    uint32_t owner  # the local host's row
    uint8_t role
    uint8_t protocol
    uint16_t port
    Traffic traffic
    uint64_t conversations
    int64_t first_ns
    int64_t last_ns

cdef struct ServiceBase:
    Traffic traffic
    uint64_t conversations
    uint32_t next  # row + 1 of the host's next service
    uint32_t copied_to  # the place in the last copy

cdef struct ServiceTable:
    ServiceRow* rows
    ServiceBase* bases
    Index index
    uint32_t n_rows
    uint32_t max_rows
    uint32_t max_of_role  # rows of one host in one role
    uint64_t seed_high
    uint64_t seed_low
    uint64_t overflow  # conversations that have no service
    uint64_t overflow_base


cdef inline void services_free(ServiceTable* table) noexcept nogil:
    release(table.rows, <size_t>table.max_rows * sizeof(ServiceRow))
    release(table.bases, <size_t>table.max_rows * sizeof(ServiceBase))
    index_free(&table.index)
    table.rows = NULL
    table.bases = NULL


cdef inline int services_init(ServiceTable* table, uint32_t max_rows, uint32_t max_of_role, uint64_t seed) except -1 nogil:
    """Reserve room for `max_rows` services (at most 2**31 - 1). Raises MemoryError."""
    memset(table, 0, sizeof(ServiceTable))
    table.max_rows = max_rows
    table.max_of_role = max_of_role
    table.seed_high = mix(seed + 1) | 1
    table.seed_low = mix(seed + 2) | 1
    table.rows = <ServiceRow*>reserve(<size_t>max_rows * sizeof(ServiceRow), True)
    table.bases = <ServiceBase*>reserve(<size_t>max_rows * sizeof(ServiceBase), False)
    if not index_init(&table.index) or table.rows == NULL or table.bases == NULL:
        services_free(table)
        with gil:
            raise MemoryError(f"no address space for {max_rows} services; lower max_hosts")
    return 0


cdef inline uint32_t order_of(const ServiceRow* row) noexcept nogil:
    """Return a number by which the services of one host are ordered."""
    return <uint32_t>row.role << 24 | <uint32_t>row.protocol << 16 | row.port


cdef inline uint32_t service_hash(const ServiceTable* table, const ServiceRow* row) noexcept nogil:
    return <uint32_t>(hash_key(<uint64_t>row.owner << 32 | order_of(row), 0, table.seed_high, table.seed_low) >> 16)


cdef inline uint32_t service_find(const ServiceTable* table, const ServiceRow* wanted, uint32_t hashed) noexcept nogil:
    """Return the row of a service; NO_ROW if there is none."""
    cdef uint32_t bucket_index = hashed & table.index.bucket_mask
    cdef const Bucket* bucket
    cdef uint32_t found, row
    while True:
        bucket = &table.index.buckets[bucket_index]
        found = slots_of(&table.index, bucket, hashed)
        while found:
            row = row_in(&table.index, bucket, found)
            if likely(table.rows[row].owner == wanted.owner and order_of(&table.rows[row]) == order_of(wanted)):
                return row
            found &= found - 1
        if likely(bucket.n_displaced == 0):
            return NO_ROW
        bucket_index = (bucket_index + 1) & table.index.bucket_mask


cdef inline void prefetch_service(const ServiceTable* table, uint32_t hashed) noexcept nogil:
    """Prefetch the row that is most likely a service's. Its bucket is there."""
    cdef uint32_t row = index_likely(&table.index, hashed)
    if row != NO_ROW:
        prefetch_write(&table.rows[row])


cdef inline bint services_reserve(ServiceTable* table) noexcept nogil:
    """Make room in the index for one more row; False without memory for it."""
    cdef uint32_t row
    if likely(index_has_room(&table.index, table.n_rows + 1)):
        return True
    if not index_allocate(&table.index, (<uint64_t>table.index.bucket_mask + 1) * 2):
        return False
    for row in range(table.n_rows):
        index_insert(&table.index, service_hash(table, &table.rows[row]), row)
    return True


cdef inline void chain_service(ServiceTable* table, LocalHost* host, uint32_t row) noexcept nogil:
    """Put a row in its place in the host's chain."""
    cdef uint32_t* link = &host.first_service
    while link[0] and order_of(&table.rows[link[0] - 1]) < order_of(&table.rows[row]):
        link = &table.bases[link[0] - 1].next
    table.bases[row].next = link[0]
    link[0] = row + 1


cdef inline ServiceRow* service_get(ServiceTable* table, LocalHost* host, const ServiceRow* wanted,
                                    uint32_t hashed) noexcept nogil:
    """Return the row of a service of `host`, a new one if there is none; NULL if no row is left for it.

    wanted: the service; its numbers and times are those of a new row.
    """
    cdef uint32_t row = service_find(table, wanted, hashed)
    if likely(row != NO_ROW):
        return &table.rows[row]
    if table.n_rows == table.max_rows or host.n_services[wanted.role] == table.max_of_role or not services_reserve(table):
        return NULL
    row = table.n_rows
    table.rows[row] = wanted[0]
    memset(&table.bases[row], 0, sizeof(ServiceBase))
    index_insert(&table.index, hashed, row)
    chain_service(table, host, row)
    table.n_rows += 1
    host.n_services[wanted.role] += 1
    return &table.rows[row]


cdef inline void service_credit(ServiceRow* row, const Traffic* traffic, int64_t first_ns, int64_t last_ns) noexcept nogil:
    traffic_add(&row.traffic, traffic)
    row.first_ns = min(row.first_ns, first_ns)
    row.last_ns = max(row.last_ns, last_ns)


cdef inline void services_begin_interval(ServiceTable* table) noexcept nogil:
    cdef uint32_t row
    for row in range(table.n_rows):
        table.bases[row].traffic = table.rows[row].traffic
        table.bases[row].conversations = table.rows[row].conversations
    table.overflow_base = table.overflow


cdef inline bint services_are_sound(const ServiceTable* table) noexcept nogil:
    """Whether the index has all rows, and no others."""
    cdef uint32_t row
    cdef uint64_t n_displaced = 0
    for row in range(table.n_rows):
        n_displaced += index_distance(&table.index, service_hash(table, &table.rows[row]), row)
    return n_displaced == index_displaced(&table.index)
