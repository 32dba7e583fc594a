"""Memory: address space, which is reserved at once and used as it is touched, and arrays that grow.

What it does not do: raise; NULL says that there is none.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t
from libc.stdlib cimport realloc

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
    """
    void* reserve "fm_reserve"(size_t n_bytes, bint huge) noexcept nogil
    void release "fm_release"(void* p, size_t n_bytes) noexcept nogil

cdef enum:
    LEAST_ROOM_ADDED = 256  # to an array that grows


cdef inline void* grown(void* rows, uint32_t* room, size_t row_bytes) noexcept nogil:
    """An array with room for more than twice as many; NULL, and nothing done, without memory for it."""
    cdef uint32_t n_rows = room[0] * 2 + LEAST_ROOM_ADDED
    cdef void* moved = realloc(rows, n_rows * row_bytes)
    if moved != NULL:
        room[0] = n_rows
    return moved
