"""QUIC 1 and 2 (RFC 9000, RFC 9369), its drafts, and Google's QUIC before it: see `classify/matchers/quic.py`.

What it does not do: decrypt. Packets that may begin a connection are for Python.
"""

from libc.stdint cimport uint8_t, uint32_t

from fastmon.native.classify.apps cimport DOQ, NOTHING_FOLLOWS, QUIC
from fastmon.native.classify.look cimport ASK, NO, Look, begins, certain, contains, is_digit
from fastmon.native.wire cimport be32_at

cdef enum:
    LEAST_NUMBERS = 4  # bytes of both connection IDs
    DNS_PORT = 853  # RFC 9250


cdef inline bint is_known_version(uint32_t version) noexcept nogil:
    return (version == 1 or version == 0x6B3343CF or <uint32_t>0xFF000005 <= version <= <uint32_t>0xFF000022
            or <uint32_t>0xFACEB000 <= version <= <uint32_t>0xFACEB00F or version & 0x0F0F0F0F == 0x0A0A0A0A)


cdef inline bint is_google_version(uint32_t version) noexcept nogil:
    """Whether it is Q0 or T0, and two digits."""
    return ((version >> 16 == 0x5130 or version >> 16 == 0x5430) and is_digit(version >> 8 & 0xFF) and is_digit(version & 0xFF))


cdef inline int app_by_quic_port(const Look* look) noexcept nogil:
    return DOQ if look.dst_port == DNS_PORT or look.src_port == DNS_PORT else QUIC


cdef inline int negotiation(Look* look) noexcept nogil:
    """Version 0 and a list of versions with a known one (RFC 8999, section 6)."""
    cdef const uint8_t* data = look.data
    cdef uint32_t at, end, version, i
    if look.n < 7 or data[5] > 20:
        return NO
    at = 6 + data[5]
    at += 1 + (data[at] if at < look.n else 255)
    if at < 7 + 8:
        return NO  # it repeats the client's first connection ID, of 8 bytes or more
    end = min(look.n, at + 128)
    while at < end:
        version = 0
        for i in range(at, min(at + 4, look.n)):
            version = version << 8 | data[i]
        if version and (is_known_version(version) or is_google_version(version)):
            return certain(look, app_by_quic_port(look), NOTHING_FOLLOWS)
        at += 4
    return NO


cdef inline int quic(Look* look) noexcept nogil:
    """A long header of a known version, with possible connection IDs."""
    cdef const uint8_t* data = look.data
    cdef uint32_t version = be32_at(data + 1), at
    cdef uint8_t initial
    cdef bint is_google = is_google_version(version)
    if version == 0:
        return negotiation(look)
    if not is_google and not (is_known_version(version) and data[0] & 0x40):
        return NO
    if is_google and data[1] == 0x51 and data[3] == 0x34:
        return ASK if data[5] == 0x50 or data[5] == 0x05 or data[5] == 0x55 else NO
    if data[5] > 20:
        return NO
    at = 6 + data[5]
    if at >= look.n or data[at] > 20:
        return NO
    at += 1 + data[at]
    initial = 1 if version == 0x6B3343CF else 0
    if data[0] >> 4 & 3 == initial:
        return ASK
    return certain(look, app_by_quic_port(look), NOTHING_FOLLOWS) if at <= look.n and at >= 7 + LEAST_NUMBERS else NO


cdef inline int gquic(Look* look) noexcept nogil:
    """Google's public header (up to Q043): a server's answer; a client's packet with a version is for Python."""
    cdef const uint8_t* data = look.data
    cdef uint32_t at = 9 if data[0] & 8 else 1
    if data[0] & 0x40:
        return NO
    if not data[0] & 1:
        if data[0] & 8 and look.n > 20 and contains(data + 20, min(look.n, <uint32_t>44) - 20, b"REJ\0", 4):
            return certain(look, QUIC, NOTHING_FOLLOWS)
        return NO
    if not begins(look, at, b"Q0", 2) or at + 4 > look.n:
        return NO
    return ASK if is_digit(data[at + 2]) and is_digit(data[at + 3]) else NO
