"""Fetches the headers of the records that come next, and nothing else of them, which is most of what full frames are.

A record tells where the next one is, so a chain of them waits for memory at each: the bytes ahead are dealt into parts, in each
of which a record is looked for, and the chains of several parts are followed in turn, by a record for each that the reader takes.

What it does not do: decide anything. A wrong guess costs time, never a frame.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memchr

from fastmon.native.files.savefile cimport MAX_CAP_LEN
from fastmon.native.wire cimport fetch_lines, load32, prefetch_early, unlikely

cdef enum:
    N_CHAINS = 16  # enough for a header to be there when its chain has its turn again
    PART_BYTES = 1 << 15
    SEARCHED_BYTES = 512  # of each part, fetched before a record is looked for
    MOST_TRIES = 64  # in each part: payloads may be full of what a record's time has
    HEADERS_BYTES = 63  # of a record: its own, Ethernet's, IPv4's and TCP's up to the flags
    NEAR_S = 1 << 15  # between two records so near each other
    LEAD_BYTES = 24 * PART_BYTES  # from the reader to where a part may begin: no chain waits, and all stays in the second cache


cdef inline bint is_likely(const uint8_t* at, uint32_t second) noexcept nogil:
    """Whether a record's header seems to be there, of a time near `second`."""
    return (load32(at) - second + NEAR_S < 2 * NEAR_S and load32(at + 4) < 1000000000
            and load32(at + 8) - 1 < MAX_CAP_LEN and load32(at + 8) <= load32(at + 12) and load32(at + 12) <= MAX_CAP_LEN)


cdef inline const uint8_t* find_record(const uint8_t* begin, const uint8_t* stop, const uint8_t* model) noexcept nogil:
    """Return where what seems to be a record begins, `stop` if none does."""
    cdef uint32_t second = load32(model)
    cdef const uint8_t* at = begin + 2
    cdef int n_left = MOST_TRIES
    while at < stop and n_left > 0:
        n_left -= 1
        at = <const uint8_t*>memchr(at, model[2], stop - at)  # of the seconds, bits 16 to 23 in most files
        if at == NULL:
            break
        if is_likely(at - 2, second):
            return at - 2
        at += 1
    return stop


cdef inline void fetch_headers(const uint8_t* record) noexcept nogil:
    prefetch_early(record)
    prefetch_early(record + HEADERS_BYTES)


cdef struct Scout:
    (const uint8_t*)[N_CHAINS] at
    (const uint8_t*)[N_CHAINS] stop
    int turn
    const uint8_t* unclaimed  # where the next part begins
    const uint8_t* end  # before which headers may begin


cdef inline void fetch_searched(const uint8_t* begin) noexcept nogil:
    """Fetch what the search in a part needs, and let the processor find the page of the part after it."""
    fetch_lines(begin, SEARCHED_BYTES)
    prefetch_early(begin + PART_BYTES)


cdef inline void claim_part(Scout* scout, int chain, const uint8_t* record) noexcept nogil:
    """Let a chain follow the records of the next part, unless that is too far ahead of `record`, where the reader is."""
    cdef const uint8_t* begin = scout.unclaimed if scout.unclaimed > record else record
    cdef const uint8_t* stop
    if begin >= scout.end or begin - record >= LEAD_BYTES:
        return
    stop = begin + PART_BYTES if scout.end - begin > PART_BYTES else scout.end
    scout.at[chain] = record if begin == record else find_record(begin, stop, record)
    scout.stop[chain] = scout.unclaimed = stop
    if scout.at[chain] < stop:
        fetch_headers(scout.at[chain])
    else:
        fetch_lines(begin, PART_BYTES)
    fetch_searched(stop)


cdef inline void scout_step(Scout* scout, const uint8_t* record) noexcept nogil:
    """Follow one chain by one record, unless it has come to its end or the reader, who is at `record`, was faster."""
    cdef int i = scout.turn
    cdef const uint8_t* at = scout.at[i]
    scout.turn = (i + 1) % N_CHAINS
    if unlikely(at >= scout.stop[i] or at < record or load32(at + 8) > MAX_CAP_LEN):
        scout.at[i] = scout.stop[i]
        claim_part(scout, i, record)
        return
    at += 16 + load32(at + 8)
    fetch_headers(at)
    scout.at[i] = at


cdef inline void scout_begin(Scout* scout, const uint8_t* record, const uint8_t* end) noexcept nogil:
    """Begin at `record`, with what is to be ahead of the reader; before `end` headers may begin."""
    cdef int i
    scout.turn = 0
    scout.unclaimed = record
    scout.end = end
    for i in range(N_CHAINS):
        fetch_searched(record + i * PART_BYTES)
    for i in range(N_CHAINS):
        scout.at[i] = scout.stop[i] = end
        claim_part(scout, i, record)
    while scout.at[0] < scout.stop[0]:
        scout_step(scout, record)
