"""Traffic by application: a chain of rows for each host, one row for each application, and the sums of the network.

    heads   by host row: the row of its first application + 1, 0 if it has none
    macs    by host row: the 6 bytes as a number, 0 if unknown; with OWN_MAC if the host itself sent from it
    rows    one for each host and application, in no order; freed ones are used again

Application 0, unknown, has no rows: it is what a host's counters have more than its applications. So the sums hold even when
no row is left.

What it does not do: know what an application is, or which host a conversation belongs to.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from fastmon.native.memory cimport release, reserve
from fastmon.native.tables.hosts cimport Tally, Traffic, tally_add

cdef enum:
    N_APPS = 256
    APP_ROWS_PER_HOST = 4  # as address space; most hosts use one or two

cdef extern from *:
    """
    #define FM_OWN_MAC (1ULL << 48)
    """
    const uint64_t OWN_MAC "FM_OWN_MAC"
    const uint64_t MAC_BITS "(FM_OWN_MAC - 1)"

cdef struct AppRow:
    Traffic interval
    Traffic total
    uint32_t next  # row + 1 of the host's next application, or of the next free row
    uint32_t app

cdef struct AppTable:
    AppRow* rows
    uint32_t* heads
    uint64_t* macs
    uint32_t n_rows
    uint32_t max_rows
    uint32_t free_row  # + 1
    uint32_t max_hosts
    Tally[N_APPS] interval
    Tally[N_APPS] total


cdef inline void apps_free(AppTable* table) noexcept nogil:
    release(table.rows, <size_t>table.max_rows * sizeof(AppRow))
    release(table.heads, <size_t>table.max_hosts * sizeof(uint32_t))
    release(table.macs, <size_t>table.max_hosts * sizeof(uint64_t))
    table.rows = NULL
    table.heads = NULL
    table.macs = NULL


cdef inline int apps_init(AppTable* table, uint32_t max_hosts) except -1 nogil:
    """Reserve room for the applications of `max_hosts` hosts. Raises MemoryError."""
    memset(table, 0, sizeof(AppTable))
    table.max_hosts = max_hosts
    table.max_rows = <uint32_t>min(<uint64_t>max_hosts * APP_ROWS_PER_HOST + N_APPS, <uint64_t>0xFFFFFFFE)
    table.rows = <AppRow*>reserve(<size_t>table.max_rows * sizeof(AppRow), True)
    table.heads = <uint32_t*>reserve(<size_t>max_hosts * sizeof(uint32_t), False)
    table.macs = <uint64_t*>reserve(<size_t>max_hosts * sizeof(uint64_t), False)
    if table.rows == NULL or table.heads == NULL or table.macs == NULL:
        apps_free(table)
        with gil:
            raise MemoryError(f"no address space for the applications of {max_hosts} hosts; lower max_hosts")
    return 0


cdef inline AppRow* app_find(const AppTable* table, uint32_t host, uint8_t app) noexcept nogil:
    """Return the row of a host's application; NULL if it has none."""
    cdef uint32_t link = table.heads[host]
    while link and table.rows[link - 1].app != app:
        link = table.rows[link - 1].next
    return &table.rows[link - 1] if link else NULL


cdef inline AppRow* app_get(AppTable* table, uint32_t host, uint8_t app) noexcept nogil:
    """Return the row of a host's application, a new one if it has none; NULL if no row is left."""
    cdef AppRow* row = app_find(table, host, app)
    cdef uint32_t link
    if row != NULL:
        return row
    if table.free_row:
        link = table.free_row
        table.free_row = table.rows[link - 1].next
    elif table.n_rows < table.max_rows:
        table.n_rows += 1
        link = table.n_rows
    else:
        return NULL
    row = &table.rows[link - 1]
    memset(row, 0, sizeof(AppRow))
    row.app = app
    row.next = table.heads[host]
    table.heads[host] = link
    return row


cdef inline void apps_forget(AppTable* table, uint32_t host) noexcept nogil:
    """Free the rows of a host that is removed from the table."""
    cdef uint32_t link = table.heads[host]
    cdef uint32_t following
    while link:
        following = table.rows[link - 1].next
        memset(&table.rows[link - 1], 0, sizeof(AppRow))
        table.rows[link - 1].next = table.free_row
        table.free_row = link
        link = following
    table.heads[host] = 0
    table.macs[host] = 0


cdef inline void apps_move(AppTable* table, uint32_t source, uint32_t target) noexcept nogil:
    """Follow a host whose row was moved to a free place."""
    if source != target:
        table.heads[target] = table.heads[source]
        table.macs[target] = table.macs[source]
        table.heads[source] = 0
        table.macs[source] = 0


cdef inline void traffic_add(Traffic* sums, const Traffic* more) noexcept nogil:
    sums.bytes_in += more.bytes_in
    sums.bytes_out += more.bytes_out
    sums.packets_in += more.packets_in
    sums.packets_out += more.packets_out


cdef inline bint traffic_is_zero(const Traffic* sums) noexcept nogil:
    return not (sums.packets_in | sums.packets_out | sums.bytes_in | sums.bytes_out)


cdef inline void traffic_subtract(Traffic* sums, const Traffic* less) noexcept nogil:
    sums.bytes_in -= less.bytes_in
    sums.bytes_out -= less.bytes_out
    sums.packets_in -= less.packets_in
    sums.packets_out -= less.packets_out


cdef inline bint app_credit(AppTable* table, uint32_t host, uint8_t app, const Traffic* traffic) noexcept nogil:
    """Add traffic of this interval to a host's application; False if no row is left, so that it stays unknown."""
    cdef AppRow* row
    if app == 0:
        return True
    row = app_get(table, host, app)
    if row == NULL:
        return False
    traffic_add(&row.interval, traffic)
    traffic_add(&row.total, traffic)
    return True


cdef inline void app_recredit(AppTable* table, uint32_t host, uint8_t old, uint8_t app,
                              const Traffic* traffic) noexcept nogil:
    """Move traffic of earlier intervals from one application of a host to another."""
    cdef AppRow* row = app_find(table, host, old) if old else NULL
    if row != NULL:
        traffic_subtract(&row.total, traffic)
    row = app_get(table, host, app) if app else NULL
    if row != NULL:
        traffic_add(&row.total, traffic)


cdef inline void apps_merge(AppTable* table, uint32_t host, const AppTable* other, uint32_t other_host) noexcept nogil:
    """Add the interval of a host in another table."""
    cdef uint32_t link = other.heads[other_host]
    while link:
        if not traffic_is_zero(&other.rows[link - 1].interval):
            app_credit(table, host, <uint8_t>other.rows[link - 1].app, &other.rows[link - 1].interval)
        link = other.rows[link - 1].next
    if other.macs[other_host]:
        table.macs[host] = other.macs[other_host]


cdef inline void apps_merge_tallies(AppTable* table, const AppTable* other) noexcept nogil:
    """Add the network's interval of another table."""
    cdef uint32_t app
    for app in range(N_APPS):
        tally_add(&table.interval[app], other.interval[app].frames, other.interval[app].bytes)
        tally_add(&table.total[app], other.interval[app].frames, other.interval[app].bytes)


cdef inline void apps_begin_interval(AppTable* table) noexcept nogil:
    cdef uint32_t row
    for row in range(table.n_rows):
        memset(&table.rows[row].interval, 0, sizeof(Traffic))
    memset(table.interval, 0, sizeof(table.interval))
