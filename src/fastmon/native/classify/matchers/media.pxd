"""Calls and media: SIP, RTP and RTCP, STUN and TURN, H.323: see `classify/matchers/media.py`."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp

from fastmon.native.classify.apps cimport H323, NOTHING_FOLLOWS, RTCP, RTP, STUN, STUN_FOLLOWS
from fastmon.native.classify.look cimport ASK, NO, Look, begins, certain, contains, find_byte, is_letter, likely_one
from fastmon.native.decode.upper cimport UDP
from fastmon.native.wire cimport be16_at

cdef inline bint begins_any_case(const Look* look, uint32_t at, const char* text, uint32_t n) noexcept nogil:
    """Whether the letters at `at` are those of `text`, which is in lower case, in any case. Other characters must be the same."""
    cdef uint32_t i
    if at + n > look.n:
        return False
    for i in range(n):
        if (look.data[at + i] | 0x20 if is_letter(look.data[at + i]) else look.data[at + i]) != <uint8_t>text[i]:
            return False
    return True


cdef inline int sip(Look* look) noexcept nogil:
    """Whether Python must look for SIP (RFC 3261): the URI of a request, a status line, a Via field, or a keepalive."""
    cdef const uint8_t* data = look.data
    cdef uint32_t at
    if data[0] == 0x0D and data[1] == 0x0A and look.n <= 5:
        return ASK
    at = find_byte(look, 0, 0x20) + 1
    if begins_any_case(look, at, b"sip", 3) or begins_any_case(look, at, b"tel:", 4) or begins_any_case(look, 0, b"sip/", 4):
        return ASK
    return ASK if contains(data, look.n, b"\nVia:", 5) and contains(data, look.n, b"\nCall-ID:", 9) else NO


cdef inline bint is_static_payload(uint8_t kind) noexcept nogil:
    return kind <= 18 or kind == 25 or kind == 26 or kind == 28 or 31 <= kind <= 34 or 96 <= kind <= 127


cdef inline int rtp(Look* look) noexcept nogil:
    """RTP's header (RFC 3550) is little evidence; whether a second packet follows, Python remembers."""
    cdef const uint8_t* data = look.data
    if data[0] >> 6 != 2 or not is_static_payload(data[1] & 0x7F):
        return NO
    if memcmp(data + 8, b"\0\0\0\0", 4) == 0:
        return NO
    if data[0] & 0x20 and not 0 < data[look.n - 1] <= <int>look.n - 12:
        return NO  # more padding than there are bytes
    return likely_one(look, RTP)


cdef inline uint32_t least_report(uint8_t kind, uint8_t n_sources) noexcept nogil:
    """Return the fewest bytes of a report (RFC 3550, section 6; RFC 4585, RFC 3611)."""
    if kind == 200:
        return 28 + 24 * n_sources
    if kind == 201:
        return 8 + 24 * n_sources
    if kind == 202:
        return 4 + 8 * n_sources
    if kind == 203:
        return 4 + 4 * n_sources
    return 8 if kind == 207 else 12


cdef inline int rtcp(Look* look) noexcept nogil:
    """Reports that fill the datagram. With other bytes after them (SRTCP's index and tag) they are little evidence."""
    cdef const uint8_t* data = look.data
    cdef uint32_t at = 0, n_reports = 0, length
    while at + 4 <= look.n and data[at] >> 6 == 2 and 200 <= data[at + 1] <= 207:
        length = 4 + 4 * <uint32_t>be16_at(data + at + 2)
        if length < least_report(data[at + 1], data[at] & 0x1F):
            return NO
        if at + length > look.n:
            break
        at += length
        n_reports += 1
    if n_reports == 0:
        return likely_one(look, RTCP) if 200 <= data[1] <= 201 and data[0] >> 6 == 2 and data[2] == 0 else NO
    if at == look.n and (n_reports > 1 or at >= 28 or ((data[1] == 203 or data[1] == 205 or data[1] == 206) and at >= 8)):
        return certain(look, RTCP, NOTHING_FOLLOWS)
    return likely_one(look, RTCP)


cdef inline int stun_at(Look* look, uint32_t start) noexcept nogil:
    """STUN and TURN (RFC 8489, RFC 8656) by the magic cookie. What is older and has none is for Python."""
    cdef const uint8_t* data = look.data + start
    cdef uint32_t n = look.n - start, length
    cdef uint16_t kind
    if data[0] & 0xC0:
        return NO
    length = be16_at(data + 2)
    if length % 4 or length + 20 > 2048:
        return NO
    if memcmp(data + 4, b"\x21\x12\xa4\x42", 4) == 0:
        if length + 20 > n and n >= 100 and look.protocol == UDP:
            return NO
        return certain(look, STUN, STUN_FOLLOWS if look.protocol == UDP else NOTHING_FOLLOWS)
    kind = be16_at(data)
    return ASK if length + 20 == n and (kind <= 0x0115 and kind & 0xFEE8 == 0) else NO


cdef inline int stun(Look* look) noexcept nogil:
    """A message in a datagram."""
    return stun_at(look, 0)


cdef inline int after_stun(Look* look) noexcept nogil:
    """Media that uses the ports of STUN (RFC 7983). The conversation is `rtp` then."""
    cdef const uint8_t* data = look.data
    if 0x80 <= data[0] < 0xC0 and look.n >= 12 and is_static_payload(data[1] & 0x7F):
        return certain(look, RTP, NOTHING_FOLLOWS)
    if 20 <= data[0] < 64 or look.n < 20:
        return NO
    return stun_at(look, 0)


cdef inline int stun_stream(Look* look) noexcept nogil:
    """STUN over TCP, as it is or after a length (RFC 4571)."""
    if begins(look, 4, b"\x21\x12\xa4\x42", 4):
        return stun_at(look, 0)
    if begins(look, 6, b"\x21\x12\xa4\x42", 4) and look.n >= 22:
        return stun_at(look, 2)
    return NO


cdef inline int h323(Look* look) noexcept nogil:
    """H.225.0 call signalling: a message of Q.931 after a TPKT header (RFC 1006)."""
    cdef const uint8_t* data = look.data
    cdef uint8_t kind
    if data[1] or look.n < 10 or be16_at(data + 2) < look.n or data[4] != 8 or data[5] > 2:
        return NO
    kind = data[6 + data[5]]
    if kind == 1 or kind == 2 or kind == 3 or kind == 5 or kind == 7 or kind == 0x5A or kind == 0x62:
        return certain(look, H323, NOTHING_FOLLOWS)
    return NO
