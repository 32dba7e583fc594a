"""Frames that libpcap has handed out and that a later drain accounts: a queue of copies.

libpcap cannot take a frame back. The first frame that a drain must stop before is held, and all that come before libpcap stops.

What it does not do: choose frames, account them.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove

cdef enum:
    MIN_HELD_BYTES = 1 << 16
    MAX_KEPT_BYTES = 1 << 20  # of memory, while the queue is empty

cdef struct HeldFrame:  # its bytes follow; the next frame begins at a multiple of 8
    int64_t ts_ns
    uint32_t wire_len
    uint32_t cap_len

cdef struct Held:
    uint8_t* bytes
    size_t n_allocated
    size_t begin  # of the first frame
    size_t end


cdef inline size_t held_size(uint32_t cap_len) noexcept nogil:
    return sizeof(HeldFrame) + ((<size_t>cap_len + 7) & ~<size_t>7)


cdef inline const HeldFrame* held_first(const Held* held) noexcept nogil:
    """Return the first frame; NULL if there is none. It stays where it is until a frame is added."""
    return <const HeldFrame*>(held.bytes + held.begin) if held.begin < held.end else NULL


cdef inline const uint8_t* held_data(const HeldFrame* frame) noexcept nogil:
    return <const uint8_t*>frame + sizeof(HeldFrame)


cdef inline void held_drop(Held* held) noexcept nogil:
    """Drop the first frame. Its bytes stay until a frame is added, or the memory is freed."""
    held.begin += held_size(held_first(held).cap_len)


cdef inline void held_free(Held* held) noexcept nogil:
    free(held.bytes)
    held.bytes = NULL
    held.n_allocated = held.begin = held.end = 0


cdef inline void held_trim(Held* held) noexcept nogil:
    """Give back the memory of an empty queue that was long."""
    if held.begin == held.end:
        held.begin = held.end = 0
        if held.n_allocated > MAX_KEPT_BYTES:
            held_free(held)


cdef inline bint held_reserve(Held* held, size_t n_bytes) noexcept nogil:
    """Make room for `n_bytes` at the end; False, and nothing changed, without memory for them."""
    cdef size_t n_used = held.end - held.begin
    cdef size_t n_allocated = held.n_allocated
    cdef uint8_t* moved
    if held.end + n_bytes <= n_allocated:
        return True
    if held.begin:
        memmove(held.bytes, held.bytes + held.begin, n_used)
        held.begin = 0
        held.end = n_used
    if n_used + n_bytes <= n_allocated:
        return True
    n_allocated = max(<size_t>MIN_HELD_BYTES, 2 * (n_used + n_bytes))
    moved = <uint8_t*>realloc(held.bytes, n_allocated)
    if moved == NULL:
        return False
    held.bytes = moved
    held.n_allocated = n_allocated
    return True


cdef inline bint held_add(Held* held, int64_t ts_ns, uint32_t wire_len, uint32_t cap_len, const uint8_t* data) noexcept nogil:
    """Copy a frame to the end; False, and nothing changed, without memory for it."""
    cdef HeldFrame* frame
    if not held_reserve(held, held_size(cap_len)):
        return False
    frame = <HeldFrame*>(held.bytes + held.end)
    frame.ts_ns = ts_ns
    frame.wire_len = wire_len
    frame.cap_len = cap_len
    memcpy(<uint8_t*>frame + sizeof(HeldFrame), data, cap_len)
    held.end += held_size(cap_len)
    return True
