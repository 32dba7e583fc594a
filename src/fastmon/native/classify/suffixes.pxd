"""A set of names' suffixes: whether a name is one of them, or below one.

What it does not do: know whose they are (`classify/online.py`).
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp, memcpy

cdef enum:
    MAX_SUFFIX = 63  # bytes
    N_SUFFIX_SLOTS = 1024  # a power of 2
    MAX_SUFFIXES = N_SUFFIX_SLOTS // 4

cdef struct Suffix:
    uint8_t n  # 0: the slot is free
    uint8_t[MAX_SUFFIX] reversed  # in lower case, from its end: names are compared from their ends

cdef struct Suffixes:
    uint32_t n
    Suffix[N_SUFFIX_SLOTS] slots


cdef inline uint8_t lower(uint8_t byte) noexcept nogil:
    return byte | 0x20 if 0x41 <= byte <= 0x5A else byte


cdef inline uint32_t hash_byte(uint32_t so_far, uint8_t byte) noexcept nogil:
    """Go on with a hash (FNV-1a)."""
    return (so_far ^ byte) * 16777619


cdef inline uint32_t find_slot(const Suffixes* suffixes, const uint8_t* reversed, uint32_t n, uint32_t hash) noexcept nogil:
    """Return the slot of a suffix, or the free one where it would be."""
    cdef uint32_t slot = (hash ^ hash >> 16) & N_SUFFIX_SLOTS - 1
    while suffixes.slots[slot].n and (suffixes.slots[slot].n != n or memcmp(suffixes.slots[slot].reversed, reversed, n)):
        slot = slot + 1 & N_SUFFIX_SLOTS - 1
    return slot


cdef inline bint add_suffix(Suffixes* suffixes, const uint8_t* name, uint32_t n) noexcept nogil:
    """Add a suffix; return whether there was room for it."""
    cdef uint8_t[MAX_SUFFIX] reversed
    cdef uint32_t i, slot, hash = 0
    if n == 0 or n > MAX_SUFFIX or suffixes.n >= MAX_SUFFIXES:
        return False
    for i in range(n):
        reversed[i] = lower(name[n - 1 - i])
        hash = hash_byte(hash, reversed[i])
    slot = find_slot(suffixes, reversed, n, hash)
    if suffixes.slots[slot].n == 0:
        suffixes.n += 1
        suffixes.slots[slot].n = <uint8_t>n
        memcpy(suffixes.slots[slot].reversed, reversed, n)
    return True


cdef inline bint is_among(const Suffixes* suffixes, const uint8_t* name, uint32_t n) noexcept nogil:
    """Whether a name ends in one of them at a label's boundary. Case does not matter, nor do dots at the end."""
    cdef uint8_t[MAX_SUFFIX] reversed
    cdef uint32_t i, hash = 0
    while n and name[n - 1] == 0x2E:
        n -= 1
    for i in range(min(n, <uint32_t>MAX_SUFFIX)):
        reversed[i] = lower(name[n - 1 - i])
        hash = hash_byte(hash, reversed[i])
        if i + 1 == n or name[n - 2 - i] == 0x2E:
            if suffixes.slots[find_slot(suffixes, reversed, i + 1, hash)].n:
                return True
    return False
