"""Prefetch the headers of the next records of a mapped pcap file, and skip the rest, which is most of a full frame.

Record headers form a linked list, so each step is a cache miss. Split the bytes ahead into parts, find a record in each, and
follow all the chains in turn: one step for each record that the reader takes.

What it does not do: decide anything. A wrong guess costs time, never a frame.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memchr

from fastmon.native.files.savefile cimport MAX_CAP_LEN
from fastmon.native.wire cimport load32, prefetch_early, prefetch_lines, unlikely

cdef enum:
    N_CHAINS = 16  # enough for a header to arrive before its chain's next turn
    PART_BYTES = 1 << 15
    SEARCHED_BYTES = 512  # of each part, prefetched before the search for a record
    MAX_TRIES = 64  # in each part: payloads may be full of bytes that look like a record's time
    HEADERS_BYTES = 63  # of a record: its own, Ethernet's, IPv4's and TCP's up to the flags
    NEAR_S = 1 << 15  # between two records this near to each other
    MAX_AHEAD_BYTES = 24 * PART_BYTES  # of the reader: far enough that no chain waits, near enough for the second cache

cdef struct HeaderPrefetcher:
    (const uint8_t*)[N_CHAINS] at
    (const uint8_t*)[N_CHAINS] stop
    int turn
    const uint8_t* next_part
    const uint8_t* end  # before which headers may begin


cdef inline bint looks_like_record(const uint8_t* at, uint32_t second) noexcept nogil:
    """Whether a record's header of a time near `second` seems to be at `at`."""
    return (load32(at) - second + NEAR_S < 2 * NEAR_S and load32(at + 4) < 1000000000
            and load32(at + 8) - 1 < MAX_CAP_LEN and load32(at + 8) <= load32(at + 12) and load32(at + 12) <= MAX_CAP_LEN)


cdef inline const uint8_t* find_record(const uint8_t* begin, const uint8_t* stop, const uint8_t* model) noexcept nogil:
    """Return where a record seems to begin; `stop` if none does."""
    cdef uint32_t second = load32(model)
    cdef const uint8_t* at = begin + 2
    cdef int n_left = MAX_TRIES
    while at < stop and n_left > 0:
        n_left -= 1
        at = <const uint8_t*>memchr(at, model[2], stop - at)  # bits 16 to 23 of the seconds, in most files
        if at == NULL:
            break
        if looks_like_record(at - 2, second):
            return at - 2
        at += 1
    return stop


cdef inline void prefetch_headers(const uint8_t* record) noexcept nogil:
    prefetch_early(record)
    prefetch_early(record + HEADERS_BYTES)


cdef inline void prefetch_search(const uint8_t* begin) noexcept nogil:
    """Prefetch what the search in a part needs, and the address translation of the part after it."""
    prefetch_lines(begin, SEARCHED_BYTES)
    prefetch_early(begin + PART_BYTES)


cdef inline void claim_part(HeaderPrefetcher* prefetcher, int chain, const uint8_t* record) noexcept nogil:
    """Let a chain follow the records of the next part, unless it is too far ahead of the reader, who is at `record`."""
    cdef const uint8_t* begin = prefetcher.next_part if prefetcher.next_part > record else record
    cdef const uint8_t* stop
    if begin >= prefetcher.end or begin - record >= MAX_AHEAD_BYTES:
        return
    stop = begin + PART_BYTES if prefetcher.end - begin > PART_BYTES else prefetcher.end
    prefetcher.at[chain] = record if begin == record else find_record(begin, stop, record)
    prefetcher.stop[chain] = prefetcher.next_part = stop
    if prefetcher.at[chain] < stop:
        prefetch_headers(prefetcher.at[chain])
    else:
        prefetch_lines(begin, PART_BYTES)
    prefetch_search(stop)


cdef inline void prefetcher_step(HeaderPrefetcher* prefetcher, const uint8_t* record) noexcept nogil:
    """Follow one chain by one record, unless it has ended or the reader, who is at `record`, has overtaken it."""
    cdef int i = prefetcher.turn
    cdef const uint8_t* at = prefetcher.at[i]
    prefetcher.turn = (i + 1) % N_CHAINS
    if unlikely(at >= prefetcher.stop[i] or at < record or load32(at + 8) > MAX_CAP_LEN):
        prefetcher.at[i] = prefetcher.stop[i]
        claim_part(prefetcher, i, record)
        return
    at += 16 + load32(at + 8)
    prefetch_headers(at)
    prefetcher.at[i] = at


cdef inline void prefetcher_begin(HeaderPrefetcher* prefetcher, const uint8_t* record, const uint8_t* end) noexcept nogil:
    """Begin at `record`, and get ahead of the reader. Headers may begin before `end`."""
    cdef int i
    prefetcher.turn = 0
    prefetcher.next_part = record
    prefetcher.end = end
    for i in range(N_CHAINS):
        prefetch_search(record + i * PART_BYTES)
    for i in range(N_CHAINS):
        prefetcher.at[i] = prefetcher.stop[i] = end
        claim_part(prefetcher, i, record)
    while prefetcher.at[0] < prefetcher.stop[0]:
        prefetcher_step(prefetcher, record)
