"""The host table: dense 64-byte rows behind an index (`native/tables/index.pxd`).

    rows    one cache line for each host, in the order of their first frames
    bases   each row's counters at the last rotation, so that an interval is a difference

Address space for `max_rows` rows and bases is reserved at once; memory is used as hosts appear. Between rotations only
`table_displace` removes a host.

What it does not do: lock, sort, allocate for each row.
"""

from libc.stddef cimport size_t
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastmon.native.tables.index cimport (
    MAX_ROWS_PER_BUCKET, NO_ROW, Bucket, Index, index_allocate, index_clear, index_distance, index_free, index_has_room,
    index_init, index_insert, index_likely, index_displaced, index_remove, row_in, slots_of,
)
from fastmon.native.memory cimport release, reserve
from fastmon.native.wire cimport Key, likely

cdef extern from *:
    """
    /* SplitMix64's finalizer (Steele, Lea, Flood 2014): makes a strong key even of a small seed. */
    static inline uint64_t fm_mix(uint64_t v) {
        v = (v ^ (v >> 30)) * 0xBF58476D1CE4E5B9u;
        v = (v ^ (v >> 27)) * 0x94D049BB133111EBu;
        return v ^ (v >> 31);
    }
    /* A keyed folded multiplication: cheap, and who does not have the keys cannot choose collisions. */
    static inline uint64_t fm_hash(uint64_t high, uint64_t low, uint64_t seed_high, uint64_t seed_low) {
        unsigned __int128 product = (unsigned __int128)(low ^ seed_low) * (high ^ seed_high);
        return (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    """
    uint64_t mix "fm_mix"(uint64_t v) noexcept nogil
    uint64_t hash_key "fm_hash"(uint64_t high, uint64_t low, uint64_t seed_high, uint64_t seed_low) noexcept nogil

cdef struct HostRow:  # snapshot.HOST_DTYPE
    Key key
    uint64_t bytes_in_and_flag  # read with `bytes_in` and `is_flagged`
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
    Index index
    uint32_t n_rows
    uint32_t max_rows
    uint32_t n_reserved  # rows of address space
    uint64_t seed_high
    uint64_t seed_low


cdef inline void tally_add(Tally* tally, uint64_t n_frames, uint64_t n_bytes) noexcept nogil:
    tally.frames += n_frames
    tally.bytes += n_bytes


cdef inline uint64_t bytes_in(const HostRow* row) noexcept nogil:
    return row.bytes_in_and_flag & INT64_MAX


cdef inline bint is_flagged(const HostRow* row) noexcept nogil:
    return row.bytes_in_and_flag >> 63


cdef inline bint passes(const HostRow* row, int64_t limit_bytes) noexcept nogil:
    """Whether a host's total is over the limit and the host is not flagged yet: with the flag, the sum is negative."""
    return <int64_t>(row.bytes_in_and_flag + row.bytes_out) > limit_bytes


cdef inline void set_flag(HostRow* row) noexcept nogil:
    row.bytes_in_and_flag |= <uint64_t>1 << 63


cdef inline int table_init(HostTable* table, uint32_t max_rows, uint64_t seed) except -1 nogil:
    """Reserve room for `max_rows` hosts (at most 2**31 - 1). Raises MemoryError."""
    memset(table, 0, sizeof(HostTable))
    table.max_rows = table.n_reserved = max_rows
    table.seed_high = mix(seed + 1) | 1  # never 0: the high half of IPv4 keys is, and they must spread
    table.seed_low = mix(seed + 2)
    table.rows = <HostRow*>reserve(<size_t>max_rows * sizeof(HostRow), True)
    table.bases = <Traffic*>reserve(<size_t>max_rows * sizeof(Traffic), False)
    if not index_init(&table.index) or table.rows == NULL or table.bases == NULL:
        table_free(table)
        with gil:
            raise MemoryError(f"no address space for {max_rows} hosts; lower max_hosts")
    return 0


cdef inline void table_free(HostTable* table) noexcept nogil:
    release(table.rows, <size_t>table.n_reserved * sizeof(HostRow))
    release(table.bases, <size_t>table.n_reserved * sizeof(Traffic))
    index_free(&table.index)
    table.rows = NULL
    table.bases = NULL
    table.n_rows = 0


cdef inline uint32_t table_hash(const HostTable* table, const Key* key) noexcept nogil:
    return <uint32_t>(hash_key(key.high, key.low, table.seed_high, table.seed_low) >> 16)


cdef inline uint32_t likely_row(const HostTable* table, uint32_t hashed) noexcept nogil:
    """Return the row that most likely has this hash; row 0 if there is none."""
    cdef uint32_t row = index_likely(&table.index, hashed)
    return row if row != NO_ROW else 0


cdef inline uint32_t table_find(const HostTable* table, const Key* key, uint32_t hashed) noexcept nogil:
    """Return the row of `key`, or NO_ROW."""
    cdef uint32_t bucket_index = hashed & table.index.bucket_mask
    cdef const Bucket* bucket
    cdef uint32_t found, row
    while True:
        bucket = &table.index.buckets[bucket_index]
        found = slots_of(&table.index, bucket, hashed)
        while found:
            row = row_in(&table.index, bucket, found)
            if likely(table.rows[row].key.low == key.low and table.rows[row].key.high == key.high):
                return row
            found &= found - 1
        if likely(bucket.n_displaced == 0):
            return NO_ROW
        bucket_index = (bucket_index + 1) & table.index.bucket_mask


cdef inline void table_reindex(HostTable* table) noexcept nogil:
    """Fill the empty index from the rows."""
    cdef uint32_t row
    for row in range(table.n_rows):
        index_insert(&table.index, table_hash(table, &table.rows[row].key), row)


cdef inline void table_reserve(HostTable* table, uint32_t n_more) noexcept nogil:
    """Make room in the index for `n_more` rows; without memory for it, the table is full."""
    cdef uint64_t n_buckets = <uint64_t>table.index.bucket_mask + 1
    cdef uint32_t n_rows = <uint32_t>min(<uint64_t>table.n_rows + n_more, <uint64_t>table.max_rows)
    if likely(index_has_room(&table.index, n_rows)):
        return
    while n_rows > n_buckets * MAX_ROWS_PER_BUCKET:
        n_buckets *= 2
    if index_allocate(&table.index, n_buckets):
        table_reindex(table)
    else:
        table.max_rows = table.n_rows


cdef inline void row_init(HostRow* row, const Key* key) noexcept nogil:
    memset(row, 0, sizeof(HostRow))
    row.key = key[0]
    row.first_seen_ns = INT64_MAX
    row.last_seen_ns = INT64_MIN


cdef inline uint32_t table_insert(HostTable* table, const Key* key, uint32_t hashed) noexcept nogil:
    """Append a row for `key`, which is not in the table; return the row, or NO_ROW if the table is full.

    `table_reserve` has made room in the index.
    """
    cdef uint32_t row = table.n_rows
    if row == table.max_rows:
        return NO_ROW
    row_init(&table.rows[row], key)
    index_insert(&table.index, hashed, row)
    table.n_rows += 1
    return row


cdef inline void table_displace(HostTable* table, uint32_t row, const Key* key, uint32_t hashed) noexcept nogil:
    """Give `row` to `key`. The caller has saved the old host's counters."""
    index_remove(&table.index, table_hash(table, &table.rows[row].key), row)
    row_init(&table.rows[row], key)
    memset(&table.bases[row], 0, sizeof(Traffic))
    index_insert(&table.index, hashed, row)


cdef inline void table_move(HostTable* table, uint32_t source, uint32_t target) noexcept nogil:
    """Move a row to a lower place during pruning; `table_truncate` follows."""
    if source != target:
        memcpy(&table.rows[target], &table.rows[source], sizeof(HostRow))
        memcpy(&table.bases[target], &table.bases[source], sizeof(Traffic))


cdef inline bint table_is_sound(const HostTable* table) noexcept nogil:
    """Whether the index has all rows, and no others."""
    cdef uint32_t row
    cdef uint64_t n_displaced = 0
    for row in range(table.n_rows):
        n_displaced += index_distance(&table.index, table_hash(table, &table.rows[row].key), row)
    return n_displaced == index_displaced(&table.index)


cdef inline void table_truncate(HostTable* table, uint32_t n_rows) noexcept nogil:
    """Drop the rows from `n_rows` on."""
    cdef uint32_t row
    for row in range(n_rows, table.n_rows):
        memset(&table.bases[row], 0, sizeof(Traffic))
    table.n_rows = n_rows
    index_clear(&table.index)
    table_reindex(table)
