"""Hosts in a bounded table: which host gets a row, which is evicted into the overflow, which is over the limit.

Evicted hosts stay out until the next rotation: only a full table evicts, and a full table admits only local hosts, which are
never evicted.

What it does not do: decode, batch, keep intervals.
"""

from libc.stdint cimport int64_t, uint32_t, uint64_t

from fastmon.native.tables.applications cimport AppTable, apps_forget
from fastmon.native.tables.index cimport NO_ROW
from fastmon.native.memory cimport grow_array
from fastmon.native.tables.hosts cimport (
    HostRow, HostTable, Traffic, bytes_in, is_flagged, likely_row, passes, set_flag, table_displace, table_find, table_insert,
)
from fastmon.native.tables.networks cimport Network, Networks, has_host, is_in_last_alone, networks_add
from fastmon.native.wire cimport Key, likely, prefetch_write, unlikely

cdef struct Overflow:
    uint64_t frames_in
    uint64_t bytes_in
    uint64_t frames_out
    uint64_t bytes_out

cdef struct Crossing:
    Key key
    int64_t ts_ns
    uint64_t total_bytes
    bint is_local
    bint is_late  # the host had crossed as a remote one

cdef struct Hosts:
    HostTable table
    AppTable apps  # unused without conversations
    bint has_apps
    Overflow overflow
    Overflow overflow_base
    int64_t limit_bytes
    Crossing* crossings
    uint32_t n_crossings
    uint32_t max_crossings
    bint crossing_lost  # there was no memory for one
    Networks networks  # whose hosts are local
    bint follows  # takes the networks that frames announce
    uint32_t hand  # while the table is full, all rows before it are local


cdef inline bint is_local(const Hosts* hosts, const Key* key) noexcept nogil:
    return has_host(&hosts.networks, key)


cdef inline void record_crossing(Hosts* hosts, HostRow* host, int64_t ts_ns, uint64_t n_following) noexcept nogil:
    """Flag a host whose total has passed the limit, once. `n_following` bytes of the frame are still to be added to it."""
    cdef Crossing* crossings
    cdef bint is_late = is_flagged(host)
    if hosts.n_crossings == hosts.max_crossings:
        crossings = <Crossing*>grow_array(hosts.crossings, &hosts.max_crossings, sizeof(Crossing))
        if crossings == NULL:
            hosts.crossing_lost = True
            return
        hosts.crossings = crossings
    set_flag(host)
    hosts.crossings[hosts.n_crossings].key = host.key
    hosts.crossings[hosts.n_crossings].ts_ns = ts_ns
    hosts.crossings[hosts.n_crossings].total_bytes = bytes_in(host) + host.bytes_out + n_following
    hosts.crossings[hosts.n_crossings].is_local = is_local(hosts, &host.key)
    hosts.crossings[hosts.n_crossings].is_late = is_late
    hosts.n_crossings += 1


cdef inline void add_local_network(Hosts* hosts, const Network* network, bint is_announced) noexcept nogil:
    """Take the hosts of a further network for local from now on, with all that was counted of them.

    Those of them that are over the limit cross it again, as local ones.
    """
    cdef uint32_t row
    cdef HostRow* host
    if not networks_add(&hosts.networks, network, is_announced):
        return
    for row in range(hosts.table.n_rows):
        host = &hosts.table.rows[row]
        if is_flagged(host) and is_in_last_alone(&hosts.networks, &host.key):
            record_crossing(hosts, host, host.last_seen_ns, 0)


cdef inline void evict(Hosts* hosts, uint32_t row) noexcept nogil:
    """Move a host's counters into the overflow. Earlier intervals keep what they reported."""
    cdef HostRow* host = &hosts.table.rows[row]
    cdef Traffic* base = &hosts.table.bases[row]
    hosts.overflow.frames_in += host.packets_in
    hosts.overflow.bytes_in += bytes_in(host)
    hosts.overflow.frames_out += host.packets_out
    hosts.overflow.bytes_out += host.bytes_out
    hosts.overflow_base.frames_in += base.packets_in
    hosts.overflow_base.bytes_in += base.bytes_in
    hosts.overflow_base.frames_out += base.packets_out
    hosts.overflow_base.bytes_out += base.bytes_out
    if hosts.has_apps:
        apps_forget(&hosts.apps, row)


cdef inline HostRow* admit(Hosts* hosts, const Key* key, uint32_t hashed) noexcept nogil:
    """Give a new host a row. In a full table a local host takes the row of a remote one, which is evicted; else NULL."""
    cdef HostTable* table = &hosts.table
    cdef uint32_t row = table_insert(table, key, hashed)
    if row != NO_ROW:
        return &table.rows[row]
    if not is_local(hosts, key):
        return NULL
    while hosts.hand < table.n_rows:
        row = hosts.hand
        hosts.hand += 1
        if not is_local(hosts, &table.rows[row].key):
            evict(hosts, row)
            table_displace(table, row, key, hashed)
            return &table.rows[row]
    return NULL


cdef inline HostRow* find_or_admit(Hosts* hosts, const Key* key, uint32_t hashed) noexcept nogil:
    cdef uint32_t row = table_find(&hosts.table, key, hashed)
    return &hosts.table.rows[row] if row != NO_ROW else admit(hosts, key, hashed)


cdef inline uint32_t index_of(const Hosts* hosts, const HostRow* host, uint32_t otherwise) noexcept nogil:
    """Return the index of a host's row; `otherwise` if it has none (NULL)."""
    return <uint32_t>(host - hosts.table.rows) if likely(host != NULL) else otherwise


cdef inline HostRow* locate(Hosts* hosts, const Key* key, uint32_t hashed, uint32_t row) noexcept nogil:
    """Return the row of `key`, most often the one at `row`; NULL if it overflows."""
    cdef HostRow* host = &hosts.table.rows[row]
    if likely(host.key.low == key.low and host.key.high == key.high):
        return host
    return find_or_admit(hosts, key, hashed)


cdef inline void touch(Hosts* hosts, HostRow* host, int64_t first_ns, int64_t last_ns, const Key* receiver,
                       uint64_t n_received) noexcept nogil:
    """Note when a host had traffic, and whether it passed the limit. `receiver` is about to get `n_received` bytes."""
    cdef bint is_receiver
    if first_ns < host.first_seen_ns:
        host.first_seen_ns = first_ns
    if last_ns > host.last_seen_ns:
        host.last_seen_ns = last_ns
    if unlikely(passes(host, hosts.limit_bytes)):
        is_receiver = host.key.low == receiver.low and host.key.high == receiver.high
        record_crossing(hosts, host, last_ns, n_received if is_receiver else 0)


cdef inline void add_out(Hosts* hosts, HostRow* host, uint64_t n_bytes, uint64_t n_packets, int64_t first_ns,
                         int64_t last_ns, const Key* receiver, uint64_t n_received) noexcept nogil:
    """Add what a host sent. `add_in` will add `n_received` bytes to `receiver`, which may be the same host."""
    if unlikely(host == NULL):
        hosts.overflow.frames_out += n_packets
        hosts.overflow.bytes_out += n_bytes
        return
    host.bytes_out += n_bytes
    host.packets_out += n_packets
    touch(hosts, host, first_ns, last_ns, receiver, n_received)


cdef inline void add_in(Hosts* hosts, HostRow* host, uint64_t n_bytes, uint64_t n_packets, int64_t first_ns,
                        int64_t last_ns) noexcept nogil:
    """Add what a host received."""
    if unlikely(host == NULL):
        hosts.overflow.frames_in += n_packets
        hosts.overflow.bytes_in += n_bytes
        return
    host.bytes_in_and_flag += n_bytes
    host.packets_in += n_packets
    touch(hosts, host, first_ns, last_ns, &host.key, 0)


cdef inline uint32_t prefetch_row(Hosts* hosts, uint32_t hashed) noexcept nogil:
    """Prefetch the row that is most likely the host's, and return it."""
    cdef uint32_t row = likely_row(&hosts.table, hashed)
    prefetch_write(&hosts.table.rows[row])
    return row
