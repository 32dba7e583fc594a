"""The native decoder for Python: the link types that it knows, and what it says of one frame.

What it does not do: account.
"""

from libc.stdint cimport uint8_t, uint32_t

from fastmon.native.arguments cimport bytes_of
from fastmon.native.decode.frame cimport decode as decode_frame
from fastmon.native.decode.headers cimport IP, Packet, ip_len
from fastmon.native.decode.link cimport BEGIN_UNSUPPORTED, N_BEGINNINGS, beginning_of
from fastmon.native.decode.upper cimport PROTOCOL_NOT_CAPTURED, Upper, decode_upper
from fastmon.native.decode.entry cimport ECHO_REQUEST, MAY_ANNOUNCE, IS_FRESH, Entry, describe, find_payload

LINK_TYPES = frozenset(number for number in range(N_BEGINNINGS) if beginning_of(number) != BEGIN_UNSUPPORTED)
"""The LINKTYPE_ numbers of the frames that are decoded."""


def decode(uint32_t link_type, data, bint inner=False):
    """Decode one frame's captured bytes; return the fields of a `frames.PacketSummary`, the status alone unless it is IP."""
    cdef const uint8_t[::1] view = bytes_of(data)
    cdef uint32_t cap_len = <uint32_t>view.shape[0]
    cdef uint8_t nothing = 0
    cdef Packet packet
    cdef Upper upper
    cdef Entry entry
    cdef int status = decode_frame(link_type, &view[0] if cap_len else &nothing, cap_len, inner, &packet)
    if status != IP:
        return (status,)
    decode_upper(packet.ip, packet.ip_avail, &upper)
    has_tcp_flags = describe(&entry, packet.ip, packet.ip_avail)
    find_payload(&entry)
    return (
        status,
        (<uint8_t*>&packet.src)[:16],
        (<uint8_t*>&packet.dst)[:16],
        None if upper.protocol == PROTOCOL_NOT_CAPTURED else upper.protocol,
        (upper.src_port, upper.dst_port) if upper.has_ports else None,
        bool(upper.is_fragment),
        entry.tcp_flags if has_tcp_flags else None,
        entry.captured[:entry.n_captured],
        bool(entry.signs & ECHO_REQUEST),
        packet.ip - &view[0],
        ip_len(packet.ip, 0),
        bool(upper.is_router_advertisement and entry.signs & MAY_ANNOUNCE),
        bool(entry.signs & IS_FRESH),
    )
