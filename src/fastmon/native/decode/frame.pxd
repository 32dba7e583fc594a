"""Decode a whole frame: its link-layer header, all headers up to IP, and for `inner` the tunnels behind.

What it does not do: count, allocate.
"""

from libc.stdint cimport uint8_t, uint32_t

from fastmon.native.decode.headers cimport IP, Cursor, Packet, walk
from fastmon.native.decode.link cimport enter
from fastmon.native.decode.upper cimport find_innermost


cdef inline int decode(uint32_t link_type, const uint8_t* data, uint32_t cap_len, bint inner,
                       Packet* packet) noexcept nogil:
    """Decode a frame to its outermost, or innermost, IP header: docs/decoding.md."""
    cdef Cursor cursor
    cdef int status
    cursor.at = data
    cursor.avail = cap_len
    cursor.headers = 0
    status = walk(enter(link_type, &cursor), &cursor, packet)
    if inner and status == IP:
        find_innermost(packet, cursor.headers)
    return status
