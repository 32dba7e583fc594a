"""NetBIOS over TCP/IP: see `classify/matchers/netbios.py`. What its messages tell of names is for Python."""

from libc.stdint cimport uint8_t, uint32_t

from fastmon.native.classify.look cimport ASK, NO, Look
from fastmon.native.wire cimport be16_at


cdef inline bint is_encoded(const Look* look, uint32_t at) noexcept nogil:
    """Whether there is a name in first-level encoding at `at`, of which seven in eight letters are right."""
    cdef uint32_t i, n_right = 0, n_letters
    if at + 9 > look.n or look.data[at] != 32:
        return False
    n_letters = min(<uint32_t>32, look.n - at - 1)
    for i in range(n_letters):
        n_right += 0x41 <= look.data[at + 1 + i] <= 0x50
    return 8 * n_right >= 7 * n_letters


cdef inline int name_service(Look* look) noexcept nogil:
    """A query, a registration or an answer of the name service, port 137 (RFC 1002, section 4.2)."""
    cdef const uint8_t* data = look.data
    if <uint32_t>be16_at(data + 4) + be16_at(data + 6) != 1 or data[8] or data[9] or data[10] or data[11] > 1:
        return NO
    return ASK if is_encoded(look, 12) else NO


cdef inline int datagram(Look* look) noexcept nogil:
    """A message of the datagram service, port 138 (RFC 1002, section 4.4): an error, a name, or its port and length."""
    cdef const uint8_t* data = look.data
    cdef uint8_t kind = data[0]
    if not 0x10 <= kind <= 0x16 or data[1] > 0x0F:
        return NO
    if kind == 0x13:
        return ASK if look.n == 11 and 0x82 <= data[10] <= 0x84 else NO
    if is_encoded(look, 14 if kind < 0x13 else 10):
        return ASK
    if kind < 0x13 and data[8] == 0 and data[9] == 0x8A and look.n > 11 and <uint32_t>be16_at(data + 10) + 14 == look.n:
        return ASK
    return NO


cdef inline int session(Look* look) noexcept nogil:
    """A request of the session service, port 139 (RFC 1002, section 4.3), or its answer."""
    cdef const uint8_t* data = look.data
    if data[0] == 0x81:
        return ASK if not data[1] and not data[2] and data[3] == 0x44 else NO
    return ASK if look.n <= 5 else NO
