"""An index of row numbers by hash: buckets of one cache line, which are looked through without a branch.

    slots     row numbers, with a tag of the hash above them and the top bit set; 0 is empty
    n_passed  rows that are in a later bucket because this one was full: nothing has to move when a row leaves

What it does not do: know rows or compare keys. A row that it finds has most likely, not surely, the hash that was asked for.
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
        uint32_t n_passed;
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
        uint32_t n_passed

    uint32_t slots_with "fm_slots_with"(const Bucket* bucket, uint32_t value, uint32_t mask) noexcept nogil
    uint32_t first "fm_first"(uint32_t bits) noexcept nogil

cdef enum:
    NO_ROW = 0xFFFFFFFF
    MIN_BUCKETS = 256
    MOST_ROWS_PER_BUCKET = 10  # on average: then 1 bucket in 20 was passed
    ROW_NUMBERS_PER_BUCKET = 16  # a power of two that is not less, so that the bits above are left for tags

cdef struct Index:
    Bucket* buckets
    uint32_t bucket_mask
    uint32_t row_mask  # of a slot's row number; between it and the top bit is the tag


cdef inline size_t buckets_bytes(uint64_t n_buckets) noexcept nogil:
    return n_buckets * sizeof(Bucket)


cdef inline bint index_allocate(Index* index, uint64_t n_buckets) noexcept nogil:
    """Give the index that many buckets, empty; False, and nothing done, without memory for them."""
    cdef Bucket* buckets = <Bucket*>reserve(buckets_bytes(n_buckets), n_buckets >= 1 << 14)
    if buckets == NULL:
        return False
    index_free(index)
    index.buckets = buckets
    index.bucket_mask = <uint32_t>(n_buckets - 1)
    index.row_mask = <uint32_t>min(n_buckets * ROW_NUMBERS_PER_BUCKET - 1, <uint64_t>USED - 1)
    return True


cdef inline void index_free(Index* index) noexcept nogil:
    release(index.buckets, buckets_bytes(<uint64_t>index.bucket_mask + 1))
    index.buckets = NULL


cdef inline void index_clear(Index* index) noexcept nogil:
    memset(index.buckets, 0, buckets_bytes(<uint64_t>index.bucket_mask + 1))


cdef inline bint index_init(Index* index) noexcept nogil:
    """An empty index; False without memory for it."""
    index.buckets = NULL
    return index_allocate(index, MIN_BUCKETS)


cdef inline bint index_has_room(const Index* index, uint32_t n_rows) noexcept nogil:
    """Whether so many rows, which are numbered from 0, may be in it."""
    return n_rows <= (<uint64_t>index.bucket_mask + 1) * MOST_ROWS_PER_BUCKET


cdef inline void index_prefetch(const Index* index, uint32_t hashed) noexcept nogil:
    prefetch_read(&index.buckets[hashed & index.bucket_mask])


cdef inline uint32_t slot_of(const Index* index, uint32_t hashed, uint32_t row) noexcept nogil:
    """A slot's content: of the hash, other bits than those that choose the bucket, mostly."""
    return USED | ((hashed * <uint32_t>0x9E3779B1) & ~index.row_mask) | row


cdef inline uint32_t slots_of(const Index* index, const Bucket* bucket, uint32_t hashed) noexcept nogil:
    """A bit for each slot whose row most likely has this hash."""
    return slots_with(bucket, slot_of(index, hashed, 0), ~index.row_mask)


cdef inline uint32_t row_in(const Index* index, const Bucket* bucket, uint32_t found) noexcept nogil:
    """The row of the first of the slots found."""
    return bucket.slots[first(found)] & index.row_mask


cdef inline uint32_t index_likely(const Index* index, uint32_t hashed) noexcept nogil:
    """The row that is most likely the one with this hash; NO_ROW if there is none."""
    cdef uint32_t number = hashed & index.bucket_mask
    cdef const Bucket* bucket
    cdef uint32_t found
    while True:
        bucket = &index.buckets[number]
        found = slots_of(index, bucket, hashed)
        if likely(found != 0):
            return row_in(index, bucket, found)
        if likely(bucket.n_passed == 0):
            return NO_ROW
        number = (number + 1) & index.bucket_mask


cdef inline void index_insert(Index* index, uint32_t hashed, uint32_t row) noexcept nogil:
    """Add a row, for which there is room."""
    cdef uint32_t number = hashed & index.bucket_mask
    cdef Bucket* bucket = &index.buckets[number]
    cdef uint32_t empty = slots_with(bucket, 0, ALL_BITS)
    while unlikely(empty == 0):
        bucket.n_passed += 1
        number = (number + 1) & index.bucket_mask
        bucket = &index.buckets[number]
        empty = slots_with(bucket, 0, ALL_BITS)
    bucket.slots[first(empty)] = slot_of(index, hashed, row)


cdef inline void index_remove(Index* index, uint32_t hashed, uint32_t row) noexcept nogil:
    """Remove a row, which is there."""
    cdef uint32_t number = hashed & index.bucket_mask
    cdef Bucket* bucket = &index.buckets[number]
    cdef uint32_t slot = slot_of(index, hashed, row)
    cdef uint32_t found = slots_with(bucket, slot, ALL_BITS)
    while unlikely(found == 0):
        bucket.n_passed -= 1
        number = (number + 1) & index.bucket_mask
        bucket = &index.buckets[number]
        found = slots_with(bucket, slot, ALL_BITS)
    bucket.slots[first(found)] = 0


cdef inline uint64_t index_distance(const Index* index, uint32_t hashed, uint32_t row) noexcept nogil:
    """How many buckets a row passed on its way to its own; more than there are if it is not there."""
    cdef uint32_t slot = slot_of(index, hashed, row)
    cdef uint64_t n_passed = 0
    while n_passed <= index.bucket_mask:
        if slots_with(&index.buckets[(hashed + n_passed) & index.bucket_mask], slot, ALL_BITS):
            return n_passed
        n_passed += 1
    return <uint64_t>1 << 63


cdef inline uint64_t index_passed(const Index* index) noexcept nogil:
    """The same of all rows, by what the buckets say."""
    cdef uint64_t number, n_passed = 0
    for number in range(<uint64_t>index.bucket_mask + 1):
        n_passed += index.buckets[number].n_passed
    return n_passed
