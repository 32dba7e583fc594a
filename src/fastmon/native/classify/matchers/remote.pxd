"""Remote terminals and desktops: SSH, Telnet, RDP, VNC: see `classify/matchers/remote.py`."""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp

from fastmon.native.classify.apps cimport NOTHING_FOLLOWS, RDP, SSH, TELNET, VNC
from fastmon.native.classify.look cimport NO, Look, begins, certain, contains, find_byte, is_digit, likely_one
from fastmon.native.wire cimport be16_at


cdef inline int ssh(Look* look) noexcept nogil:
    """The identification line, or the first message of a key exchange."""
    cdef const uint8_t* data = look.data
    cdef uint32_t at = 6, end
    if data[0] == 0x53:
        if not begins(look, 0, b"SSH-", 4) or (data[4] != 0x31 and data[4] != 0x32) or data[5] != 0x2E:
            return NO
        while at < look.n and at < 8 and is_digit(data[at]):
            at += 1
        if at == 6 or at + 1 >= look.n or data[at] != 0x2D or not 0x20 <= data[at + 1] <= 0x7E:
            return NO
        return certain(look, SSH, NOTHING_FOLLOWS)
    if data[0] == 0 and look.n > 40 and data[5] == 20 and data[4] < 64:
        end = min(look.n, <uint32_t>400)
        if (contains(data + 22, end - 22, b"diffie-hellman-", 15) or contains(data + 22, end - 22, b"curve25519-", 11)
                or contains(data + 22, end - 22, b"ecdh-sha2-", 10)):
            return certain(look, SSH, NOTHING_FOLLOWS)
    return NO


cdef inline uint32_t end_of_subnegotiation(const Look* look, uint32_t at) noexcept nogil:
    """Return the offset behind the next IAC SE; 0 if there is none."""
    at = find_byte(look, at, 0xFF)
    while at + 1 < look.n:
        if look.data[at + 1] == 0xF0:
            return at + 2
        at = find_byte(look, at + 1, 0xFF)
    return 0


cdef inline int telnet(Look* look) noexcept nogil:
    """Negotiations: IAC, a verb, an option. A single one is little evidence."""
    cdef const uint8_t* data = look.data
    cdef uint32_t n_found = 0, at = 0
    while at + 2 < look.n and data[at] == 255 and n_found < 8:
        if 251 <= data[at + 1] <= 254 and (data[at + 2] <= 49 or data[at + 2] == 255):
            at += 3
        else:
            at = end_of_subnegotiation(look, at) if data[at + 1] == 250 else 0
            if at == 0:
                return NO
        n_found += 1
    if n_found > 1:
        return certain(look, TELNET, NOTHING_FOLLOWS)
    return likely_one(look, TELNET) if n_found == 1 and (at == look.n or data[at] < 0x80) else NO


cdef inline int rfb(Look* look) noexcept nogil:
    """The version line, which both sides of VNC send first."""
    cdef const uint8_t* data = look.data
    cdef uint32_t i
    if not begins(look, 0, b"RFB ", 4) or data[7] != 0x2E or data[11] != 0x0A:
        return NO
    for i in range(4, 11):
        if i != 7 and not is_digit(data[i]):
            return NO
    return certain(look, VNC, NOTHING_FOLLOWS)


cdef inline int rdp(Look* look) noexcept nogil:
    """An X.224 connection request or confirm with RDP's cookie or negotiation, or a first message of T.125."""
    cdef const uint8_t* data = look.data
    cdef uint32_t length, n_body
    cdef uint8_t channel
    if look.n < 7 or data[1] or not 7 <= be16_at(data + 2) <= 8192:
        return NO
    length = be16_at(data + 2)
    if data[5] == 0xE0 or data[5] == 0xD0:
        if data[4] != length - 5 or look.n < 8 or data[6] or data[7]:
            return NO
        n_body = look.n - 11 if look.n > 11 else 0
        if begins(look, 11, b"Cookie: mstshash=", 17) or begins(look, 11, b"Cookie: msts=", 13):
            return certain(look, RDP, NOTHING_FOLLOWS)
        if n_body == 8 and 1 <= data[11] <= 3 and data[13] == 8:
            return certain(look, RDP, NOTHING_FOLLOWS)
        return NO if n_body else likely_one(look, RDP)
    if not begins(look, 4, b"\2\xf0\x80", 3) or look.n <= 8:
        return NO
    if data[7] == 0x7F and (data[8] == 0x65 or data[8] == 0x66):
        return certain(look, RDP, NOTHING_FOLLOWS)
    channel = data[7] >> 2
    if channel == 0x01 or channel == 0x0A or channel == 0x0B or channel == 0x0E or channel == 0x0F or channel == 0x19 \
            or channel == 0x1A:
        return likely_one(look, RDP)
    return NO


cdef inline int rdp_udp(Look* look) noexcept nogil:
    """MS-RDPEUDP: a SYN datagram, padded to 1232 bytes; snSourceAck is -1."""
    cdef const uint8_t* data = look.data
    if memcmp(data, b"\xff\xff\xff\xff", 4) == 0 and data[6] & 0x0F <= 0x0D and data[7] & 1 and 1128 <= look.n <= 1280:
        return certain(look, RDP, NOTHING_FOLLOWS)
    return NO
