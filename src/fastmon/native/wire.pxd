"""Loads from captured bytes, unaligned and of a stated byte order; prefetches; host keys.

What it does not do: check bounds. The caller has checked that the bytes were captured.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from *:
    """
    #ifdef FASTMON_DEBUG
    #define FM_DEBUG 1
    #else
    #define FM_DEBUG 0
    #endif
    """
    bint FM_DEBUG

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>

    static inline uint16_t fm_load16(const uint8_t *p) { uint16_t v; memcpy(&v, p, 2); return v; }
    static inline uint32_t fm_load32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }
    static inline uint64_t fm_load64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return v; }

    #if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    #define fm_be16(v) __builtin_bswap16(v)
    #define fm_be32(v) __builtin_bswap32(v)
    #define fm_le16(v) (v)
    #define fm_le32(v) (v)
    #else
    #define fm_be16(v) (v)
    #define fm_be32(v) (v)
    #define fm_le16(v) __builtin_bswap16(v)
    #define fm_le32(v) __builtin_bswap32(v)
    #endif

    static inline uint16_t fm_be16_at(const uint8_t *p) { return fm_be16(fm_load16(p)); }
    static inline uint32_t fm_be32_at(const uint8_t *p) { return fm_be32(fm_load32(p)); }
    static inline uint16_t fm_le16_at(const uint8_t *p) { return fm_le16(fm_load16(p)); }
    static inline uint32_t fm_le32_at(const uint8_t *p) { return fm_le32(fm_load32(p)); }
    /* The low half of the v4-mapped key ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2). */
    #if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    #define fm_v4_low(p) (((uint64_t)fm_load32(p) << 32) | 0xFFFF0000u)
    #else
    #define fm_v4_low(p) ((uint64_t)fm_load32(p) | 0x0000FFFF00000000u)
    #endif
    #define fm_swap16(v) __builtin_bswap16(v)
    #define fm_swap32(v) __builtin_bswap32(v)
    #define fm_likely(x) __builtin_expect(!!(x), 1)
    #define fm_unlikely(x) __builtin_expect(!!(x), 0)
    #define fm_prefetch_read(p) __builtin_prefetch((p), 0, 3)
    #define fm_prefetch_early(p) __builtin_prefetch((p), 0, 1)
    #define fm_prefetch_write(p) __builtin_prefetch((p), 1, 3)
    """
    uint16_t load16 "fm_load16"(const uint8_t* p) noexcept nogil
    uint32_t load32 "fm_load32"(const uint8_t* p) noexcept nogil
    uint64_t load64 "fm_load64"(const uint8_t* p) noexcept nogil
    uint16_t be16_at "fm_be16_at"(const uint8_t* p) noexcept nogil
    uint32_t be32_at "fm_be32_at"(const uint8_t* p) noexcept nogil
    uint16_t le16_at "fm_le16_at"(const uint8_t* p) noexcept nogil
    uint32_t le32_at "fm_le32_at"(const uint8_t* p) noexcept nogil
    uint64_t v4_low "fm_v4_low"(const uint8_t* address) noexcept nogil
    uint16_t swap16 "fm_swap16"(uint16_t v) noexcept nogil
    uint32_t swap32 "fm_swap32"(uint32_t v) noexcept nogil
    bint likely "fm_likely"(bint x) noexcept nogil
    bint unlikely "fm_unlikely"(bint x) noexcept nogil
    void prefetch_read "fm_prefetch_read"(const void* p) noexcept nogil
    void prefetch_early "fm_prefetch_early"(const void* p) noexcept nogil  # not into the first cache
    void prefetch_write "fm_prefetch_write"(const void* p) noexcept nogil


cdef enum:
    LINE_BYTES = 64


cdef struct Key:  # of a host
    # 16 bytes in network order, as they are in memory; an IPv4 address is v4-mapped
    uint64_t high
    uint64_t low


cdef inline Key v4_key(const uint8_t* address) noexcept nogil:
    cdef Key key
    key.high = 0
    key.low = v4_low(address)
    return key


cdef inline Key v6_key(const uint8_t* address) noexcept nogil:
    cdef Key key
    key.high = load64(address)
    key.low = load64(address + 8)
    return key


cdef inline void prefetch_lines(const uint8_t* at, uint32_t n_bytes) noexcept nogil:
    """Prefetch `n_bytes` from `at`.

    A last partial line is left to the next call, so the trip count is predictable when records have similar sizes.
    """
    cdef const uint8_t* end = at + n_bytes
    while at < end:
        prefetch_early(at)
        at += LINE_BYTES
