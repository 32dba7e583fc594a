"""How many different peers and services a local host opened conversations with, in any window of time: an estimate.

A sketch has 256 cells for peers and 256 for services. A cell is chosen by a keyed hash, and has the last second in which it was
touched. The cells that were touched in a window are counted, and the number of different values is estimated from them by linear
counting (Whang, Vander-Zanden, Taylor 1990): docs/conversations.md states the error.

The number of sketches is bounded. A new one takes the place of the one whose host has opened no conversation for the longest.

What it does not do: know conversations.
"""

from libc.math cimport log
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from fastmon.native.memory cimport release, reserve
from fastmon.native.tables.hosts cimport hash_key, mix
from fastmon.native.tables.local_hosts cimport LocalHost, LocalHosts
from fastmon.native.wire cimport Key

cdef enum:
    N_CELLS = 256
    MAX_BACKSTEP_S = 10  # a time that is older by more is taken for a step of the clock

cdef extern from *:
    """
    #define FM_NS_PER_S 1000000000LL
    #define FM_LAST_SECOND 0xFFFFFFFFu
    """
    const int64_t NS_PER_S "FM_NS_PER_S"
    const uint32_t LAST_SECOND "FM_LAST_SECOND"

cdef struct Sketch:  # seconds since the epoch; 0: never
    uint32_t[N_CELLS] peers
    uint32_t[N_CELLS] services

cdef struct Sketches:
    Sketch* rows
    uint32_t n_rows
    uint32_t max_rows
    uint32_t newest  # row + 1 of the local host that opened a conversation last
    uint32_t oldest
    uint64_t n_evicted
    uint64_t seed_high
    uint64_t seed_low


cdef inline void sketches_free(Sketches* table) noexcept nogil:
    release(table.rows, <size_t>table.max_rows * sizeof(Sketch))
    table.rows = NULL


cdef inline int sketches_init(Sketches* table, uint32_t max_rows, uint64_t seed) except -1 nogil:
    """Reserve room for `max_rows` sketches, at least 1. Raises MemoryError."""
    memset(table, 0, sizeof(Sketches))
    table.max_rows = max_rows
    table.seed_high = mix(seed + 1) | 1
    table.seed_low = mix(seed + 2) | 1
    table.rows = <Sketch*>reserve(<size_t>max_rows * sizeof(Sketch), False)
    if table.rows == NULL:
        with gil:
            raise MemoryError(f"no address space for {max_rows} sketches")
    return 0


cdef inline uint32_t second_of(int64_t ts_ns) noexcept nogil:
    """Return the second of a time, the nearest that a cell can have."""
    if ts_ns < NS_PER_S:
        return 1
    return <uint32_t>min(ts_ns // NS_PER_S, <int64_t>LAST_SECOND)


cdef inline uint32_t later_second(uint32_t before, uint32_t now) noexcept nogil:
    """Return the later of two times; if the clock was set back between them, the new one."""
    return now if now > before or before - now > MAX_BACKSTEP_S else before


cdef inline uint32_t cell_of(const Sketches* table, uint64_t high, uint64_t low) noexcept nogil:
    """Return the cell of a value. Without `mix`, values in a row would fall into cells more evenly than by chance."""
    return <uint32_t>(mix(hash_key(high, low, table.seed_high, table.seed_low)) % N_CELLS)


cdef inline void unlink_sketch(Sketches* table, LocalHosts* hosts, LocalHost* host) noexcept nogil:
    if host.newer:
        hosts.rows[host.newer - 1].older = host.older
    else:
        table.newest = host.older
    if host.older:
        hosts.rows[host.older - 1].newer = host.newer
    else:
        table.oldest = host.newer
    host.newer = host.older = 0


cdef inline uint32_t free_sketch(Sketches* table, LocalHosts* hosts) noexcept nogil:
    """Return the row + 1 of an empty sketch, if need be the oldest one's."""
    cdef LocalHost* oldest
    cdef uint32_t link
    if table.n_rows < table.max_rows:
        table.n_rows += 1
        return table.n_rows
    oldest = &hosts.rows[table.oldest - 1]
    link = oldest.sketch
    unlink_sketch(table, hosts, oldest)
    oldest.sketch = 0
    memset(&table.rows[link - 1], 0, sizeof(Sketch))
    table.n_evicted += 1
    return link


cdef inline Sketch* newest_sketch(Sketches* table, LocalHosts* hosts, uint32_t row) noexcept nogil:
    """Return the sketch of a local host, which becomes the newest one."""
    cdef LocalHost* host = &hosts.rows[row]
    if table.newest == row + 1:
        return &table.rows[host.sketch - 1]
    if host.sketch:
        unlink_sketch(table, hosts, host)
    else:
        host.sketch = free_sketch(table, hosts)
    host.older = table.newest
    if table.newest:
        hosts.rows[table.newest - 1].newer = row + 1
    else:
        table.oldest = row + 1
    table.newest = row + 1
    return &table.rows[host.sketch - 1]


cdef inline void sketch_opening(Sketches* table, LocalHosts* hosts, uint32_t row, const Key* peer, uint64_t service,
                                int64_t ts_ns) noexcept nogil:
    """Note that a local host opened a conversation with a peer and a service, by its number."""
    cdef Sketch* sketch = newest_sketch(table, hosts, row)
    cdef uint32_t now = second_of(ts_ns)
    cdef uint32_t* cell = &sketch.peers[cell_of(table, peer.high, peer.low)]
    cell[0] = later_second(cell[0], now)
    cell = &sketch.services[cell_of(table, service, 0)]
    cell[0] = later_second(cell[0], now)
    hosts.rows[row].last_opened_s = later_second(hosts.rows[row].last_opened_s, now)


cdef inline void sketch_merge(Sketch* sketch, const Sketch* other) noexcept nogil:
    """Add a sketch of the same key."""
    cdef uint32_t i
    for i in range(N_CELLS):
        sketch.peers[i] = max(sketch.peers[i], other.peers[i])
        sketch.services[i] = max(sketch.services[i], other.services[i])


cdef inline uint32_t estimate(const uint32_t* cells, uint32_t first_s, uint32_t last_s) noexcept nogil:
    """Return about how many different values touched the cells in these seconds, both included; `first_s` is not 0."""
    cdef uint32_t i, n_touched = 0
    for i in range(N_CELLS):
        n_touched += cells[i] - first_s <= last_s - first_s
    if n_touched == N_CELLS:
        return <uint32_t>(N_CELLS * log(2.0 * N_CELLS) + 0.5)  # as if half a cell were left
    return <uint32_t>(N_CELLS * log(<double>N_CELLS / (N_CELLS - n_touched)) + 0.5)
