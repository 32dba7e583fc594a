"""Routers: BGP, LDP: see `classify/matchers/routing.py`."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from fastmon.native.classify.apps cimport BGP, LDP, NOTHING_FOLLOWS
from fastmon.native.classify.look cimport NO, Look, begins, certain
from fastmon.native.wire cimport be16_at


cdef inline int bgp(Look* look) noexcept nogil:
    """The marker, then a length and a type."""
    if not begins(look, 0, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 16):
        return NO
    return certain(look, BGP, NOTHING_FOLLOWS) if look.data[16] <= 16 and 1 <= look.data[18] <= 5 else NO


cdef inline int ldp(Look* look) noexcept nogil:
    """Version 1, and a first message of a known type that fits into its PDU."""
    cdef const uint8_t* data = look.data
    cdef uint32_t length, message
    cdef uint16_t kind
    if data[0] or data[1] != 1 or look.n < 18:
        return NO
    kind = be16_at(data + 10) & 0x7FFF
    if not (kind == 1 or kind == 0x0100 or 0x0200 <= kind <= 0x0201 or 0x0300 <= kind <= 0x0301 or 0x0400 <= kind <= 0x0404):
        return NO
    length, message = be16_at(data + 2), be16_at(data + 12)
    if 14 <= length <= 4096 and 4 <= message <= length - 10 and length + 4 >= min(look.n, <uint32_t>64):
        return certain(look, LDP, NOTHING_FOLLOWS)
    return NO
