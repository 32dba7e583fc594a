"""BitTorrent: peers over TCP and uTP (BEP 29), the DHT (BEP 5), trackers over UDP (BEP 15): see `classify/matchers/peers.py`."""

from libc.stdint cimport uint8_t, uint32_t

from fastmon.native.classify.apps cimport BITTORRENT, NOTHING_FOLLOWS
from fastmon.native.classify.look cimport ASK, NO, Look, are_zero, begins, certain, is_digit


cdef inline int bittorrent(Look* look) noexcept nogil:
    """The handshake between peers."""
    return certain(look, BITTORRENT, NOTHING_FOLLOWS) if begins(look, 0, b"\x13BitTorrent protocol", 20) else NO


cdef inline int dht(Look* look) noexcept nogil:
    """A query, response or error, in bencoding. Unusual ones are for Python."""
    if (begins(look, 0, b"d1:ad2:id20:", 12) or begins(look, 0, b"d1:rd2:id20:", 12) or begins(look, 0, b"d2:ip6:", 7)
            or begins(look, 0, b"d1:el", 5)):
        return certain(look, BITTORRENT, NOTHING_FOLLOWS)
    return ASK if is_digit(look.data[1]) else NO


cdef inline int tracker(Look* look) noexcept nogil:
    """A request to connect to a tracker."""
    if look.n == 16 and begins(look, 0, b"\0\0\x04\x17\x27\x10\x19\x80", 8) and are_zero(look.data + 8, 4):
        return certain(look, BITTORRENT, NOTHING_FOLLOWS)
    return NO


cdef inline int utp(Look* look) noexcept nogil:
    """Whether Python must look for uTP: a known type, connection, time, and a window that is not absurd."""
    cdef const uint8_t* data = look.data
    cdef uint8_t kind = data[0] >> 4
    if are_zero(data + 2, 2) or are_zero(data + 4, 4) or data[12] or data[1] > 4:
        return NO
    if data[1] == 0 and (look.n == 20 if kind == 0 else look.n != 20):
        return NO
    return NO if kind == 4 and (not are_zero(data + 8, 4) or data[16] or data[17] != 1) else ASK
