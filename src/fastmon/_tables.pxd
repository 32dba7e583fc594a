"""The host table: dense 64-byte rows behind an open-addressing index of 32-bit row numbers.

    index   slots of 32 bits: row number + 1 in the low bits, a tag of the hash above them; 0 is empty
    rows    one cache line a host, in the order of their first frame
    bases   a row's counters at the last rotation, so that an interval is a difference

Rows and bases are reserved as address space for `max_rows` hosts; memory is used as hosts appear. Nothing is deleted
between rotations but by `table_displace`, so that no tombstone is ever left.

What it does not do: lock, sort, allocate per row.
"""

from libc.stddef cimport size_t
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport realloc
from libc.string cimport memcpy, memset

from fastmon._wire cimport Key, likely, unlikely

cdef extern from *:
    """
    #include <sys/mman.h>

    static inline void *fm_reserve(size_t n_bytes, int huge) {
        void *p = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (p == MAP_FAILED) return NULL;
    #ifdef MADV_HUGEPAGE
        if (huge) madvise(p, n_bytes, MADV_HUGEPAGE);
    #endif
        return p;
    }
    static inline void fm_release(void *p, size_t n_bytes) { if (p) munmap(p, n_bytes); }

    /* SplitMix64's finalizer (Steele, Lea, Flood 2014): makes a strong key even of a small seed. */
    static inline uint64_t fm_mix(uint64_t v) {
        v = (v ^ (v >> 30)) * 0xBF58476D1CE4E5B9u;
        v = (v ^ (v >> 27)) * 0x94D049BB133111EBu;
        return v ^ (v >> 31);
    }
    /* A keyed folded multiplication: cheap, and without the keys its collisions cannot be chosen. */
    static inline uint64_t fm_hash(uint64_t high, uint64_t low, uint64_t seed_high, uint64_t seed_low) {
        unsigned __int128 product = (unsigned __int128)(low ^ seed_low) * (high ^ seed_high);
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    """
    uint64_t mix "fm_mix"(uint64_t v) noexcept nogil
    void* reserve "fm_reserve"(size_t n_bytes, bint huge) noexcept nogil
    void release "fm_release"(void* p, size_t n_bytes) noexcept nogil
    uint64_t hash_key "fm_hash"(uint64_t high, uint64_t low, uint64_t seed_high, uint64_t seed_low) noexcept nogil

cdef enum:
    NO_ROW = 0xFFFFFFFF
    MIN_SLOTS = 4096
    LEAST_ROOM_ADDED = 256  # to an array that grows

cdef struct HostRow:  # snapshot.HOST_DTYPE
    Key key
    uint64_t bytes_in_and_flag  # `bytes_in` and `is_flagged` take it apart
    uint64_t bytes_out
    uint64_t packets_in
    uint64_t packets_out
    int64_t first_seen_ns
    int64_t last_seen_ns

cdef struct Traffic:
    uint64_t bytes_in
    uint64_t bytes_out
    uint64_t packets_in
    uint64_t packets_out

cdef struct Tally:
    uint64_t frames
    uint64_t bytes

cdef struct HostTable:
    HostRow* rows
    Traffic* bases
    uint32_t* index
    uint32_t slot_mask
    uint32_t row_mask  # of a slot's row number; the bits above are the tag
    uint32_t n_rows
    uint32_t max_rows
    uint32_t n_reserved  # rows of address space
    uint64_t seed_high
    uint64_t seed_low


cdef inline void tally_add(Tally* tally, uint64_t n_frames, uint64_t n_bytes) noexcept nogil:
    tally.frames += n_frames
    tally.bytes += n_bytes


cdef inline void* grown(void* rows, uint32_t* room, size_t row_bytes) noexcept nogil:
    """An array with room for more than twice as many; NULL, and nothing done, without memory for it."""
    cdef uint32_t n_rows = room[0] * 2 + LEAST_ROOM_ADDED
    cdef void* moved = realloc(rows, n_rows * row_bytes)
    if moved != NULL:
        room[0] = n_rows
    return moved


cdef inline uint64_t bytes_in(const HostRow* row) noexcept nogil:
    return row.bytes_in_and_flag & INT64_MAX


cdef inline bint is_flagged(const HostRow* row) noexcept nogil:
    return row.bytes_in_and_flag >> 63


cdef inline bint passes(const HostRow* row, int64_t limit_bytes) noexcept nogil:
    """Whether a host's total is over the limit, and it is not flagged yet: with the flag, the sum is negative."""
    return <int64_t>(row.bytes_in_and_flag + row.bytes_out) > limit_bytes


cdef inline void set_flag(HostRow* row) noexcept nogil:
    row.bytes_in_and_flag |= <uint64_t>1 << 63


cdef inline size_t index_bytes(const HostTable* table) noexcept nogil:
    return (<size_t>table.slot_mask + 1) * sizeof(uint32_t)


cdef inline int table_init(HostTable* table, uint32_t max_rows, uint64_t seed) except -1 nogil:
    """Reserve room for `max_rows` hosts (at most 2**31 - 1). Raises MemoryError."""
    memset(table, 0, sizeof(HostTable))
    table.max_rows = table.n_reserved = max_rows
    table.row_mask = MIN_SLOTS - 1
    while table.row_mask <= max_rows:
        table.row_mask = table.row_mask * 2 + 1
    table.seed_high = mix(seed + 1) | 1  # never 0, so that IPv4 keys, whose high half is, spread
    table.seed_low = mix(seed + 2)
    table.slot_mask = MIN_SLOTS - 1
    table.rows = <HostRow*>reserve(<size_t>max_rows * sizeof(HostRow), True)
    table.bases = <Traffic*>reserve(<size_t>max_rows * sizeof(Traffic), False)
    table.index = <uint32_t*>reserve(index_bytes(table), False)
    if table.rows == NULL or table.bases == NULL or table.index == NULL:
        table_free(table)
        with gil:
            raise MemoryError(f"no address space for {max_rows} hosts; lower max_hosts")
    return 0


cdef inline void table_free(HostTable* table) noexcept nogil:
    release(table.rows, <size_t>table.n_reserved * sizeof(HostRow))
    release(table.bases, <size_t>table.n_reserved * sizeof(Traffic))
    release(table.index, index_bytes(table))
    table.rows = NULL
    table.bases = NULL
    table.index = NULL
    table.n_rows = 0


cdef inline uint32_t table_hash(const HostTable* table, const Key* key) noexcept nogil:
    return <uint32_t>(hash_key(key.high, key.low, table.seed_high, table.seed_low) >> 16)


cdef inline uint32_t tag_of(const HostTable* table, uint32_t hashed) noexcept nogil:
    """The bits of a slot above the row number: other bits of the hash than those that choose the slot, mostly."""
    return (hashed * <uint32_t>0x9E3779B1) & ~table.row_mask


cdef inline uint32_t likely_row(const HostTable* table, uint32_t hashed) noexcept nogil:
    """The row that the first slot of a probe points to; row 0 if it is empty."""
    cdef uint32_t entry = table.index[hashed & table.slot_mask]
    return (entry & table.row_mask) - (entry != 0)


cdef inline uint64_t n_packets(const HostTable* table, uint32_t entry) noexcept nogil:
    cdef const HostRow* row = &table.rows[(entry & table.row_mask) - 1]
    return row.packets_in + row.packets_out


cdef inline void promote(HostTable* table, uint32_t slot, uint32_t home) noexcept nogil:
    """Let the host at `slot` have its home slot if it is busier than who is there: the busy are found at once.

    Whoever moves back stays behind its own home, with no empty slot between, as probing requires.
    """
    cdef uint32_t entry = table.index[slot]
    cdef uint32_t other = table.index[home]
    if n_packets(table, entry) > n_packets(table, other):
        table.index[home] = entry
        table.index[slot] = other


cdef inline uint32_t table_find(HostTable* table, const Key* key, uint32_t hashed) noexcept nogil:
    """Return the row number of `key`, or NO_ROW."""
    cdef uint32_t home = hashed & table.slot_mask
    cdef uint32_t slot = home
    cdef uint32_t tag = tag_of(table, hashed)
    cdef uint32_t entry, row
    while True:
        entry = table.index[slot]
        if unlikely(entry == 0):
            return NO_ROW
        if likely((entry & ~table.row_mask) == tag):
            row = (entry & table.row_mask) - 1
            if likely(table.rows[row].key.low == key.low and table.rows[row].key.high == key.high):
                if slot != home:
                    promote(table, slot, home)
                return row
        slot = (slot + 1) & table.slot_mask


cdef inline void index_put(HostTable* table, uint32_t row, uint32_t hashed) noexcept nogil:
    cdef uint32_t slot = hashed & table.slot_mask
    while table.index[slot] != 0:
        slot = (slot + 1) & table.slot_mask
    table.index[slot] = tag_of(table, hashed) | (row + 1)


cdef inline void table_reindex(HostTable* table) noexcept nogil:
    """Fill the index anew from the rows."""
    cdef uint32_t row
    memset(table.index, 0, index_bytes(table))
    for row in range(table.n_rows):
        index_put(table, row, table_hash(table, &table.rows[row].key))


cdef inline void table_reserve(HostTable* table, uint32_t n_more) noexcept nogil:
    """Make room in the index for `n_more` rows at a load of at most 1/2; without memory for it, the table is full."""
    cdef uint64_t n_slots = <uint64_t>table.slot_mask + 1
    cdef uint64_t n_rows = min(<uint64_t>table.n_rows + n_more, <uint64_t>table.max_rows)
    cdef uint32_t* grown
    if likely(n_rows * 2 <= n_slots):
        return
    while n_rows * 2 > n_slots:
        n_slots *= 2
    grown = <uint32_t*>reserve(n_slots * sizeof(uint32_t), n_slots >= 1 << 19)
    if grown == NULL:
        table.max_rows = table.n_rows
        return
    release(table.index, index_bytes(table))
    table.index = grown
    table.slot_mask = <uint32_t>(n_slots - 1)
    table_reindex(table)


cdef inline void row_init(HostRow* row, const Key* key) noexcept nogil:
    memset(row, 0, sizeof(HostRow))
    row.key = key[0]
    row.first_seen_ns = INT64_MAX
    row.last_seen_ns = INT64_MIN


cdef inline uint32_t table_insert(HostTable* table, const Key* key, uint32_t hashed) noexcept nogil:
    """Append a row for `key`, which is not in the table; return its number, or NO_ROW if `max_rows` are there.

    `table_reserve` has made room in the index.
    """
    cdef uint32_t row = table.n_rows
    if row == table.max_rows:
        return NO_ROW
    row_init(&table.rows[row], key)
    index_put(table, row, hashed)
    table.n_rows += 1
    return row


cdef inline uint32_t slot_of_row(const HostTable* table, uint32_t row) noexcept nogil:
    cdef uint32_t slot = table_hash(table, &table.rows[row].key) & table.slot_mask
    while (table.index[slot] & table.row_mask) != row + 1:
        slot = (slot + 1) & table.slot_mask
    return slot


cdef inline void index_remove(HostTable* table, uint32_t row) noexcept nogil:
    """Empty `row`'s slot, moving later slots of the same probe sequence back so that no tombstone is needed."""
    cdef uint32_t hole = slot_of_row(table, row)
    cdef uint32_t slot = hole
    cdef uint32_t home
    while True:
        slot = (slot + 1) & table.slot_mask
        if table.index[slot] == 0:
            break
        home = table_hash(table, &table.rows[(table.index[slot] & table.row_mask) - 1].key) & table.slot_mask
        if ((slot - home) & table.slot_mask) >= ((slot - hole) & table.slot_mask):
            table.index[hole] = table.index[slot]
            hole = slot
    table.index[hole] = 0


cdef inline void table_displace(HostTable* table, uint32_t row, const Key* key, uint32_t hashed) noexcept nogil:
    """Give `row` to `key`; the caller has taken the old host's counters."""
    index_remove(table, row)
    row_init(&table.rows[row], key)
    memset(&table.bases[row], 0, sizeof(Traffic))
    index_put(table, row, hashed)


cdef inline void table_move(HostTable* table, uint32_t source, uint32_t target) noexcept nogil:
    """Move a row to a lower place while rows are being pruned; `table_reindex` follows."""
    if source != target:
        memcpy(&table.rows[target], &table.rows[source], sizeof(HostRow))
        memcpy(&table.bases[target], &table.bases[source], sizeof(Traffic))


cdef inline void table_truncate(HostTable* table, uint32_t n_rows) noexcept nogil:
    """Forget the rows from `n_rows` on."""
    cdef uint32_t row
    for row in range(n_rows, table.n_rows):
        memset(&table.bases[row], 0, sizeof(Traffic))
    table.n_rows = n_rows
    table_reindex(table)
