"""An index of rows by hash: buckets of one cache line, searched without a branch.

    slots        row indexes, with a tag of the hash above them and the top bit set; 0 is empty
    n_displaced  rows that are in a later bucket because this one was full, so that nothing has to move when a row is removed

What it does not do: know rows, compare keys. A row that it finds has most likely, not certainly, the hash that was asked for.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memset

from fastmon.native.memory cimport release, reserve
from fastmon.native.wire cimport likely, prefetch_read, unlikely

cdef extern from *:
    """
    #ifdef __SSE2__
    #include <emmintrin.h>
    #endif

    enum { FM_SLOTS = 15 };

    typedef struct {
        uint32_t slots[FM_SLOTS];
        uint32_t n_displaced;
    } FmBucket;

    /* A bit for each slot that has `value` where `mask` has bits. */
    static inline uint32_t fm_slots_with(const FmBucket* bucket, uint32_t value, uint32_t mask) {
    #ifdef __SSE2__
        const __m128i* at = (const __m128i*)bucket;
        __m128i v = _mm_set1_epi32((int)value), m = _mm_set1_epi32((int)mask);
        __m128i low = _mm_packs_epi32(_mm_cmpeq_epi32(_mm_and_si128(at[0], m), v), _mm_cmpeq_epi32(_mm_and_si128(at[1], m), v));
        __m128i high = _mm_packs_epi32(_mm_cmpeq_epi32(_mm_and_si128(at[2], m), v), _mm_cmpeq_epi32(_mm_and_si128(at[3], m), v));
        return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(low, high)) & ((1u << FM_SLOTS) - 1);
    #else
        uint32_t i, found = 0;
        for (i = 0; i < FM_SLOTS; i++) found |= (uint32_t)((bucket->slots[i] & mask) == value) << i;
        return found;
    #endif
    }
    #define fm_first(bits) ((uint32_t)__builtin_ctz(bits))
    #define FM_USED 0x80000000u
    #define FM_ALL_BITS 0xFFFFFFFFu
    """
    const uint32_t USED "FM_USED"
    const uint32_t ALL_BITS "FM_ALL_BITS"

    ctypedef struct Bucket "FmBucket":
        uint32_t* slots
        uint32_t n_displaced

    uint32_t slots_with "fm_slots_with"(const Bucket* bucket, uint32_t value, uint32_t mask) noexcept nogil
    uint32_t first "fm_first"(uint32_t bits) noexcept nogil

cdef enum:
    NO_ROW = 0xFFFFFFFF
    MIN_BUCKETS = 256
    MAX_ROWS_PER_BUCKET = 10  # on average: then 1 bucket in 20 has displaced a row
    ROW_INDEXES_PER_BUCKET = 16  # a power of two that is not less, so that the bits above are free for tags

cdef struct Index:
    Bucket* buckets
    uint32_t bucket_mask
    uint32_t row_mask  # of a slot's row index; the tag is between it and the top bit


cdef inline size_t buckets_bytes(uint64_t n_buckets) noexcept nogil:
    return n_buckets * sizeof(Bucket)


cdef inline bint index_allocate(Index* index, uint64_t n_buckets) noexcept nogil:
    """Give the index `n_buckets` empty buckets; False, and nothing changed, without memory for them."""
    cdef Bucket* buckets = <Bucket*>reserve(buckets_bytes(n_buckets), n_buckets >= 1 << 14)
    if buckets == NULL:
        return False
    index_free(index)
    index.buckets = buckets
    index.bucket_mask = <uint32_t>(n_buckets - 1)
    index.row_mask = <uint32_t>min(n_buckets * ROW_INDEXES_PER_BUCKET - 1, <uint64_t>USED - 1)
    return True


cdef inline void index_free(Index* index) noexcept nogil:
    release(index.buckets, buckets_bytes(<uint64_t>index.bucket_mask + 1))
    index.buckets = NULL


cdef inline void index_clear(Index* index) noexcept nogil:
    memset(index.buckets, 0, buckets_bytes(<uint64_t>index.bucket_mask + 1))


cdef inline bint index_init(Index* index) noexcept nogil:
    """Make the index empty; False without memory for it."""
    index.buckets = NULL
    return index_allocate(index, MIN_BUCKETS)


cdef inline bint index_has_room(const Index* index, uint32_t n_rows) noexcept nogil:
    """Whether the index has room for the rows from 0 to `n_rows`."""
    return n_rows <= (<uint64_t>index.bucket_mask + 1) * MAX_ROWS_PER_BUCKET


cdef inline void index_prefetch(const Index* index, uint32_t hashed) noexcept nogil:
    prefetch_read(&index.buckets[hashed & index.bucket_mask])


cdef inline uint32_t slot_of(const Index* index, uint32_t hashed, uint32_t row) noexcept nogil:
    """Return a slot's content. Its tag has mostly other bits of the hash than those that choose the bucket."""
    return USED | ((hashed * <uint32_t>0x9E3779B1) & ~index.row_mask) | row


cdef inline uint32_t slots_of(const Index* index, const Bucket* bucket, uint32_t hashed) noexcept nogil:
    """Return a bit for each slot whose row most likely has this hash."""
    return slots_with(bucket, slot_of(index, hashed, 0), ~index.row_mask)


cdef inline uint32_t row_in(const Index* index, const Bucket* bucket, uint32_t found) noexcept nogil:
    """Return the row of the first of the slots in `found`."""
    return bucket.slots[first(found)] & index.row_mask


cdef inline uint32_t index_likely(const Index* index, uint32_t hashed) noexcept nogil:
    """Return the row that most likely has this hash; NO_ROW if there is none."""
    cdef uint32_t bucket_index = hashed & index.bucket_mask
    cdef const Bucket* bucket
    cdef uint32_t found
    while True:
        bucket = &index.buckets[bucket_index]
        found = slots_of(index, bucket, hashed)
        if likely(found != 0):
            return row_in(index, bucket, found)
        if likely(bucket.n_displaced == 0):
            return NO_ROW
        bucket_index = (bucket_index + 1) & index.bucket_mask


cdef inline void index_insert(Index* index, uint32_t hashed, uint32_t row) noexcept nogil:
    """Add a row. There is room for it."""
    cdef uint32_t bucket_index = hashed & index.bucket_mask
    cdef Bucket* bucket = &index.buckets[bucket_index]
    cdef uint32_t empty = slots_with(bucket, 0, ALL_BITS)
    while unlikely(empty == 0):
        bucket.n_displaced += 1
        bucket_index = (bucket_index + 1) & index.bucket_mask
        bucket = &index.buckets[bucket_index]
        empty = slots_with(bucket, 0, ALL_BITS)
    bucket.slots[first(empty)] = slot_of(index, hashed, row)


cdef inline void index_remove(Index* index, uint32_t hashed, uint32_t row) noexcept nogil:
    """Remove a row. It is there."""
    cdef uint32_t bucket_index = hashed & index.bucket_mask
    cdef Bucket* bucket = &index.buckets[bucket_index]
    cdef uint32_t slot = slot_of(index, hashed, row)
    cdef uint32_t found = slots_with(bucket, slot, ALL_BITS)
    while unlikely(found == 0):
        bucket.n_displaced -= 1
        bucket_index = (bucket_index + 1) & index.bucket_mask
        bucket = &index.buckets[bucket_index]
        found = slots_with(bucket, slot, ALL_BITS)
    bucket.slots[first(found)] = 0


cdef inline uint64_t index_distance(const Index* index, uint32_t hashed, uint32_t row) noexcept nogil:
    """Return how many buckets displaced a row; more than there are if it is not there."""
    cdef uint32_t slot = slot_of(index, hashed, row)
    cdef uint64_t n_displaced = 0
    while n_displaced <= index.bucket_mask:
        if slots_with(&index.buckets[(hashed + n_displaced) & index.bucket_mask], slot, ALL_BITS):
            return n_displaced
        n_displaced += 1
    return <uint64_t>1 << 63


cdef inline uint64_t index_displaced(const Index* index) noexcept nogil:
    """Return the same of all rows, by the buckets' own counts."""
    cdef uint64_t bucket_index, n_displaced = 0
    for bucket_index in range(<uint64_t>index.bucket_mask + 1):
        n_displaced += index.buckets[bucket_index].n_displaced
    return n_displaced
