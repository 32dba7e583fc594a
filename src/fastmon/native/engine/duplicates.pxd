"""Copies of frames, as mirror ports and Linux's `any` deliver them: the frames that were counted last, by their fingerprints.

A fingerprint is SipHash-1-3 of 128 bits (Aumasson and Bernstein, 2012), keyed: nobody who does not know the key can make two
frames have the same. Frames stand in a ring; `newest` has the last one by a part of the fingerprint, and each has the one before
it in the same chain. Nothing is ever removed: a link to what the ring no longer has is known by its number.

What it does not do: decode, count.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from fastmon.native.decode.headers cimport IP, Packet, ip_len
from fastmon.native.memory cimport release, reserve
from fastmon.native.wire cimport load64

cdef enum:
    MAX_REMEMBERED = 1 << 24  # frames

cdef struct Fingerprint:
    uint64_t high
    uint64_t low

cdef struct Remembered:
    Fingerprint fingerprint
    int64_t ts_ns
    uint64_t before  # the number of the frame before it in its chain

cdef struct Duplicates:
    Remembered* ring
    uint64_t* newest  # in each chain, by the fingerprint: twice as many as frames
    uint64_t n_frames  # of the ring; a power of two
    uint64_t next_number  # of a frame; they begin with 1
    uint64_t n_remembered
    int64_t window_ns
    Fingerprint key

cdef struct Sip:  # SipHash's state
    uint64_t a
    uint64_t b
    uint64_t c
    uint64_t d


cdef inline void duplicates_free(Duplicates* duplicates) noexcept:
    if duplicates != NULL:
        release(duplicates.ring, <size_t>duplicates.n_frames * sizeof(Remembered))
        release(duplicates.newest, <size_t>duplicates.n_frames * 2 * sizeof(uint64_t))
        free(duplicates)


cdef inline Duplicates* duplicates_new(dedup, uint64_t seed) except? NULL:
    """Remember frames for a time, as `dedup` says: (nanoseconds, number of frames). For 0 nanoseconds, return NULL.

    Raises ValueError if a number is out of range, MemoryError.
    """
    cdef int64_t window_ns, n_frames
    cdef Duplicates* duplicates
    window_ns, n_frames = dedup
    if window_ns < 0 or not 1 <= n_frames <= MAX_REMEMBERED or n_frames & (n_frames - 1):
        raise ValueError(f"dedup {dedup} is out of range: 0 or more, and a power of two up to {MAX_REMEMBERED}")
    if window_ns == 0:
        return NULL
    duplicates = <Duplicates*>calloc(1, sizeof(Duplicates))
    if duplicates != NULL:
        duplicates.ring = <Remembered*>reserve(<size_t>n_frames * sizeof(Remembered), True)
        duplicates.newest = <uint64_t*>reserve(<size_t>n_frames * 2 * sizeof(uint64_t), True)
        duplicates.n_frames, duplicates.next_number, duplicates.window_ns = <uint64_t>n_frames, 1, window_ns
        duplicates.key.high, duplicates.key.low = seed, seed * 0x9E3779B97F4A7C15U
    if duplicates == NULL or duplicates.ring == NULL or duplicates.newest == NULL:
        duplicates_free(duplicates)
        raise MemoryError("no memory for the frames that copies are told by")
    return duplicates


cdef inline void forget_frames(Duplicates* duplicates) noexcept nogil:
    """Forget all frames: the times of those to come are not to be compared with theirs."""
    if duplicates != NULL:
        duplicates.n_remembered = 0


cdef inline uint64_t turned(uint64_t word, int n_bits) noexcept nogil:
    return word << n_bits | word >> (64 - n_bits)


cdef inline void sip_round(Sip* sip) noexcept nogil:
    sip.a += sip.b
    sip.c += sip.d
    sip.b = turned(sip.b, 13) ^ sip.a
    sip.d = turned(sip.d, 16) ^ sip.c
    sip.a = turned(sip.a, 32) + sip.d
    sip.c += sip.b
    sip.d = turned(sip.d, 21) ^ sip.a
    sip.b = turned(sip.b, 17) ^ sip.c
    sip.c = turned(sip.c, 32)


cdef inline void sip_add(Sip* sip, uint64_t word) noexcept nogil:
    sip.d ^= word
    sip_round(sip)
    sip.a ^= word


cdef inline uint64_t sip_end(Sip* sip) noexcept nogil:
    cdef int _i
    for _i in range(3):
        sip_round(sip)
    return sip.a ^ sip.b ^ sip.c ^ sip.d


cdef inline Fingerprint fingerprint(const Fingerprint* key, uint64_t kind, const uint8_t* data, uint32_t n_bytes) noexcept nogil:
    """Return the fingerprint of captured bytes and of a number that tells apart what they alone do not."""
    cdef Sip sip
    cdef Fingerprint found
    cdef uint64_t rest = 0
    cdef uint32_t at = 0
    sip.a = key.low ^ 0x736F6D6570736575U
    sip.b = key.high ^ 0x646F72616E646F6DU ^ 0xEE
    sip.c = key.low ^ 0x6C7967656E657261U
    sip.d = key.high ^ 0x7465646279746573U
    sip_add(&sip, kind)
    while n_bytes - at >= 8:
        sip_add(&sip, load64(data + at))
        at += 8
    memcpy(&rest, data + at, n_bytes - at)
    sip_add(&sip, rest)
    sip_add(&sip, n_bytes)
    sip.c ^= 0xEE
    found.high = sip_end(&sip)
    sip.b ^= 0xDD
    found.low = sip_end(&sip)
    return found


cdef inline bint is_within(int64_t one_ns, int64_t other_ns, int64_t window_ns) noexcept nogil:
    """Whether two times are no further apart than that; no difference of times overflows."""
    return <uint64_t>max(one_ns, other_ns) - <uint64_t>min(one_ns, other_ns) <= <uint64_t>window_ns


cdef inline bint is_copy(Duplicates* duplicates, const Fingerprint* found, int64_t ts_ns) noexcept nogil:
    """Whether a frame is a copy of a remembered one. If not, remember it, in place of the oldest if the ring is full."""
    cdef uint64_t* newest = &duplicates.newest[found.low & (2 * duplicates.n_frames - 1)]
    cdef uint64_t number = newest[0]
    cdef Remembered* frame
    while number + duplicates.n_remembered >= duplicates.next_number:
        frame = &duplicates.ring[number & (duplicates.n_frames - 1)]
        if frame.fingerprint.low == found.low and frame.fingerprint.high == found.high:
            if is_within(ts_ns, frame.ts_ns, duplicates.window_ns):
                return True
            break
        number = frame.before
    frame = &duplicates.ring[duplicates.next_number & (duplicates.n_frames - 1)]
    frame.fingerprint = found[0]
    frame.ts_ns = ts_ns
    frame.before = newest[0]
    newest[0] = duplicates.next_number
    duplicates.next_number += 1
    duplicates.n_remembered = min(duplicates.n_remembered + 1, duplicates.n_frames)
    return False


cdef inline bint is_duplicate(Duplicates* duplicates, uint32_t link_type, const uint8_t* data, uint32_t cap_len,
                              uint32_t wire_len, int64_t ts_ns, int status, const Packet* packet) noexcept nogil:
    """Whether a decoded frame is a copy of one that was counted: of its IP packet, or of the whole frame if it has none."""
    cdef Fingerprint found
    cdef uint32_t length
    if status == IP:
        length = ip_len(packet.ip, max(wire_len, cap_len) - <uint32_t>(packet.ip - data))
        found = fingerprint(&duplicates.key, length, packet.ip, min(length, packet.ip_avail))
    else:
        found = fingerprint(&duplicates.key, (<uint64_t>link_type + 1) << 32 | wire_len, data, cap_len)
    return is_copy(duplicates, &found, ts_ns)
