"""The beginnings of TLS hellos and of servers' answers that continue in a later segment, until it comes.

What it does not do: read them.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastmon.native.decode.entry cimport MAX_PAYLOAD
from fastmon.native.memory cimport release, reserve

cdef enum:
    MAX_HELLO = 8192  # kept of a stream that begins with a hello; no more is added to a longer one
    MAX_STREAM = MAX_HELLO + MAX_PAYLOAD
    N_HELLOS = 256  # at once; a new one takes the place of an old one

cdef struct Hello:
    uint64_t token  # of its conversation
    uint32_t n  # 0: free
    bint from_a
    uint8_t[MAX_STREAM] data


cdef inline Hello* hellos_new() except? NULL nogil:
    """Return room for hellos. Raises MemoryError."""
    cdef Hello* hellos = <Hello*>reserve(<size_t>N_HELLOS * sizeof(Hello), False)
    if hellos == NULL:
        with gil:
            raise MemoryError("no memory for TLS hellos")
    return hellos


cdef inline void hellos_free(Hello* hellos) noexcept nogil:
    release(hellos, <size_t>N_HELLOS * sizeof(Hello))


cdef inline void keep_hello(Hello* hellos, uint64_t token, bint from_a, const uint8_t* data, uint32_t n) noexcept nogil:
    """Keep a hello's first segment: `n` is at most MAX_PAYLOAD."""
    cdef Hello* hello = &hellos[token & N_HELLOS - 1]
    hello.token = token
    hello.from_a = from_a
    hello.n = n
    memcpy(hello.data, data, n)


cdef inline void add_to_hello(Hello* hello, const uint8_t* data, uint32_t n) noexcept nogil:
    """Add a segment to a hello that `find_hello` returned: `n` is at most MAX_PAYLOAD."""
    memcpy(hello.data + hello.n, data, n)
    hello.n += n


cdef inline Hello* find_hello(Hello* hellos, uint64_t token, bint from_a) noexcept nogil:
    """Return the hello that one side of a conversation has begun; NULL if there is none, or it is too long."""
    cdef Hello* hello = &hellos[token & N_HELLOS - 1]
    if hello.n == 0 or hello.token != token or hello.from_a != from_a or hello.n > MAX_HELLO:
        return NULL
    return hello
