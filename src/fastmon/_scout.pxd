"""Fetches the headers of the records that come next, and nothing else of them, which is most of what full frames are.

A record tells where the next one is, so a chain of them waits for memory at each: the bytes ahead are dealt into parts, in each
of which a record is looked for, and the chains of all parts are followed at once.

What it does not do: decide anything. A wrong guess costs time, never a frame.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memchr

from fastmon._savefile cimport MAX_CAP_LEN
from fastmon._wire cimport fetch_lines, load32, prefetch_early, unlikely

cdef enum:
    N_CHAINS = 16  # as many lines as a core can wait for
    PART_BYTES = 1 << 15
    SEARCHED_BYTES = 512  # of each part, fetched before a record is looked for
    MOST_TRIES = 64  # in each part: payloads may be full of what a record's time has
    HEADERS_BYTES = 63  # of a record: its own, Ethernet's, IPv4's and TCP's up to the flags
    NEAR_S = 1 << 15  # between two records of one block


cdef inline bint is_likely(const uint8_t* at, uint32_t second) noexcept nogil:
    """Whether a record's header seems to be there, of a time near `second`."""
    return (load32(at) - second + NEAR_S < 2 * NEAR_S and load32(at + 4) < 1000000000
            and load32(at + 8) - 1 < MAX_CAP_LEN and load32(at + 8) <= load32(at + 12) and load32(at + 12) <= MAX_CAP_LEN)


cdef inline const uint8_t* find_record(const uint8_t* begin, const uint8_t* stop, const uint8_t* end,
                                       const uint8_t* model) noexcept nogil:
    """Return where what seems to be a record begins, `stop` if none does; before `end` headers may begin."""
    cdef uint32_t second = load32(model)
    cdef const uint8_t* at = begin + 2
    cdef const uint8_t* following
    cdef int n_left = MOST_TRIES
    while at < stop and n_left > 0:
        n_left -= 1
        at = <const uint8_t*>memchr(at, model[2], stop - at)  # of the seconds, bits 16 to 23 in most files
        if at == NULL:
            break
        if is_likely(at - 2, second):
            following = at + 14 + load32(at + 6)
            if following >= end or is_likely(following, second):
                return at - 2
        at += 1
    return stop


cdef inline void fetch_headers(const uint8_t* record) noexcept nogil:
    prefetch_early(record)
    prefetch_early(record + HEADERS_BYTES)


cdef inline const uint8_t* scout(const uint8_t* record, const uint8_t* end) noexcept nogil:
    """Fetch headers from `record` on, at most to `end`, before which headers may begin; return up to where it was done."""
    cdef (const uint8_t*)[N_CHAINS] at
    cdef (const uint8_t*)[N_CHAINS] stop
    cdef const uint8_t* begin = record
    cdef int i, n_chains = 0
    for i in range(N_CHAINS):
        fetch_lines(record + i * PART_BYTES, SEARCHED_BYTES)
    while n_chains < N_CHAINS and begin < end:
        i = n_chains
        n_chains += 1
        stop[i] = begin + PART_BYTES if end - begin > PART_BYTES else end
        at[i] = record if begin == record else find_record(begin, stop[i], end, record)
        if at[i] < stop[i]:
            fetch_headers(at[i])
        else:
            fetch_lines(begin, PART_BYTES)
        begin = stop[i]
    while n_chains > 0:
        i = 0
        while i < n_chains:
            if unlikely(at[i] >= stop[i] or load32(at[i] + 8) > MAX_CAP_LEN):
                n_chains -= 1
                at[i] = at[n_chains]
                stop[i] = stop[n_chains]
                continue
            at[i] += 16 + load32(at[i] + 8)
            fetch_headers(at[i])
            i += 1
    return begin
