"""Memory: reserved address space, whose pages are used when they are touched, and arrays that grow.

What it does not do: raise. NULL means that there is no memory.
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
    MIN_ROWS_ADDED = 256  # to an array that grows


cdef inline void* grow_array(void* rows, uint32_t* n_allocated, size_t row_bytes) noexcept nogil:
    """Return the array `rows` with more than twice the rows allocated; NULL, and nothing changed, without memory for it."""
    cdef uint32_t n_rows = n_allocated[0] * 2 + MIN_ROWS_ADDED
    cdef void* moved = realloc(rows, n_rows * row_bytes)
    if moved != NULL:
        n_allocated[0] = n_rows
    return moved
