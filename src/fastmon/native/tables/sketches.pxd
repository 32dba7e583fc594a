"""How many different peers and services a local host opened conversations with, or probed, in any window of time: an estimate.

A sketch has cells for peers and cells for services. A cell is chosen by a keyed hash, and has the last second in which it was
touched. The cells that were touched in a window are counted, and the number of different values is estimated from them by linear
counting (Whang, Vander-Zanden, Taylor 1990). Coarse cells, which only one in 16 values touches, tell numbers that leave no fine
cell untouched: docs/conversations.md states the error.

The number of sketches is bounded. In a full table, a new one takes the place of one that was not touched for long.

What it does not do: know conversations.
"""

from libc.math cimport log
from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.string cimport memset

from fastmon.native.memory cimport release, reserve
from fastmon.native.tables.hosts cimport hash_key, mix
from fastmon.native.tables.local_hosts cimport LocalHost, LocalHosts
from fastmon.native.wire cimport prefetch_write

cdef enum:
    N_CELLS = 256
    VALUES_PER_COARSE = 16  # one of them touches a coarse cell
    MAX_FINE = 1000  # beyond, the fine cells tell less than the coarse ones
    N_CANDIDATES = 8  # for eviction
    MAX_BACKSTEP_S = 10  # a time that is older by more is taken for a step of the clock

cdef extern from *:
    """
    #define FM_NS_PER_S 1000000000LL
    #define FM_LAST_SECOND 0xFFFFFFFFu
    """
    const int64_t NS_PER_S "FM_NS_PER_S"
    const uint32_t LAST_SECOND "FM_LAST_SECOND"

cdef struct Cells:  # seconds since the epoch; 0: never
    uint32_t[N_CELLS] fine
    uint32_t[N_CELLS] coarse

cdef struct Sketch:
    Cells peers
    Cells services

cdef struct Sketches:
    Sketch* rows
    uint32_t* owners  # the local hosts' rows
    uint32_t kind  # OPENED or PROBED
    uint32_t n_rows
    uint32_t max_rows
    uint32_t hand  # of `oldest_sketch_of_some`
    uint64_t n_evicted
    uint64_t seed_high
    uint64_t seed_low


cdef inline void sketches_free(Sketches* table) noexcept nogil:
    release(table.rows, <size_t>table.max_rows * sizeof(Sketch))
    release(table.owners, <size_t>table.max_rows * sizeof(uint32_t))
    table.rows = NULL
    table.owners = NULL


cdef inline int sketches_init(Sketches* table, uint32_t kind, uint32_t max_rows, uint64_t seed) except -1 nogil:
    """Reserve room for `max_rows` sketches, at least 1. Raises MemoryError."""
    memset(table, 0, sizeof(Sketches))
    table.kind = kind
    table.max_rows = max_rows
    table.seed_high = mix(seed + 1) | 1
    table.seed_low = mix(seed + 2) | 1
    table.rows = <Sketch*>reserve(<size_t>max_rows * sizeof(Sketch), True)
    table.owners = <uint32_t*>reserve(<size_t>max_rows * sizeof(uint32_t), False)
    if table.rows == NULL or table.owners == NULL:
        sketches_free(table)
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


cdef inline uint32_t place_of(const Sketches* table, uint64_t high, uint64_t low) noexcept nogil:
    """Return where a value belongs, in all cells. Without `mix`, values in a row would be more even than by chance."""
    return <uint32_t>mix(hash_key(high, low, table.seed_high, table.seed_low))


cdef inline uint32_t fine_cell(uint32_t place) noexcept nogil:
    return place % N_CELLS


cdef inline void touch(Cells* cells, uint32_t place, uint32_t now) noexcept nogil:
    cdef uint32_t cell = fine_cell(place)
    cells.fine[cell] = later_second(cells.fine[cell], now)
    place //= N_CELLS
    if place % VALUES_PER_COARSE == 0:
        cell = place // VALUES_PER_COARSE % N_CELLS
        cells.coarse[cell] = later_second(cells.coarse[cell], now)


cdef inline uint32_t oldest_sketch_of_some(Sketches* table, const LocalHosts* hosts) noexcept nogil:
    """Return the next few sketches' one that was touched the longest ago; move the hand past them."""
    cdef uint32_t chosen = table.hand
    cdef uint32_t _i
    for _i in range(min(<uint32_t>N_CANDIDATES, table.n_rows)):
        if hosts.rows[table.owners[table.hand]].last_s[table.kind] < hosts.rows[table.owners[chosen]].last_s[table.kind]:
            chosen = table.hand
        table.hand = table.hand + 1 if table.hand + 1 < table.n_rows else 0
    return chosen


cdef inline Sketch* sketch_get(Sketches* table, LocalHosts* hosts, uint32_t owner) noexcept nogil:
    """Return the sketch of a local host, an empty one if it has none; in a full table, another host loses its own."""
    cdef uint32_t row
    cdef uint32_t* link = &hosts.rows[owner].sketches[table.kind]
    if link[0] == 0:
        if table.n_rows < table.max_rows:
            row = table.n_rows
            table.n_rows += 1
        else:
            row = oldest_sketch_of_some(table, hosts)
            hosts.rows[table.owners[row]].sketches[table.kind] = 0
            hosts.rows[table.owners[row]].last_s[table.kind] = 0
            memset(&table.rows[row], 0, sizeof(Sketch))
            table.n_evicted += 1
        table.owners[row] = owner
        link[0] = row + 1
    return &table.rows[link[0] - 1]


cdef inline void prefetch_sketch(const Sketches* table, const LocalHost* host, uint32_t peer_place,
                                 uint32_t service_place) noexcept nogil:
    cdef uint32_t link = host.sketches[table.kind]
    if link:
        prefetch_write(&table.rows[link - 1].peers.fine[fine_cell(peer_place)])
        prefetch_write(&table.rows[link - 1].services.fine[fine_cell(service_place)])


cdef inline void sketch_touch(Sketches* table, LocalHosts* hosts, uint32_t owner, uint32_t peer_place, uint32_t service_place,
                              uint32_t second) noexcept nogil:
    """Note what a local host had to do with the peer and the service of these places."""
    cdef Sketch* sketch = sketch_get(table, hosts, owner)
    touch(&sketch.peers, peer_place, second)
    touch(&sketch.services, service_place, second)
    hosts.rows[owner].last_s[table.kind] = later_second(hosts.rows[owner].last_s[table.kind], second)


cdef inline void cells_merge(Cells* cells, const Cells* other) noexcept nogil:
    cdef uint32_t i
    for i in range(N_CELLS):
        cells.fine[i] = max(cells.fine[i], other.fine[i])
        cells.coarse[i] = max(cells.coarse[i], other.coarse[i])


cdef inline void sketch_merge(Sketch* sketch, const Sketch* other) noexcept nogil:
    """Add a sketch of the same key."""
    cells_merge(&sketch.peers, &other.peers)
    cells_merge(&sketch.services, &other.services)


cdef inline uint32_t n_different(const uint32_t* cells, uint32_t first_s, uint32_t last_s) noexcept nogil:
    """Return about how many different values touched some cells in these seconds; as if half a cell were left, if none is."""
    cdef uint32_t i, n_touched = 0
    for i in range(N_CELLS):
        n_touched += cells[i] - first_s <= last_s - first_s
    if n_touched == N_CELLS:
        return <uint32_t>(N_CELLS * log(2.0 * N_CELLS) + 0.5)
    return <uint32_t>(N_CELLS * log(<double>N_CELLS / (N_CELLS - n_touched)) + 0.5)


cdef inline uint32_t estimate(const Cells* cells, uint32_t first_s, uint32_t last_s) noexcept nogil:
    """Return about how many different values were seen in these seconds, both included; `first_s` is not 0."""
    cdef uint32_t n_fine = n_different(cells.fine, first_s, last_s)
    if n_fine <= MAX_FINE:
        return n_fine
    return max(<uint32_t>MAX_FINE, VALUES_PER_COARSE * n_different(cells.coarse, first_s, last_s))
