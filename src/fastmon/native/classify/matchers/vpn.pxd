"""Tunnels and private networks: see `classify/matchers/vpn.py`. What needs a conversation's earlier payloads is for Python."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memset

from fastmon.native.classify.apps cimport GTP, IPSEC, L2TP, NOTHING_FOLLOWS, OPENVPN, PPTP, VXLAN
from fastmon.native.classify.look cimport ASK, NO, Look, are_zero, begins, certain, hinted_one, likely_one
from fastmon.native.wire cimport be16_at, be32_at


cdef inline int wireguard(Look* look) noexcept nogil:
    """Whether Python must look for WireGuard: a type, three zeros, and a handshake's size or data's."""
    cdef const uint8_t* data = look.data
    if data[1] or data[2] or data[3]:
        return NO
    if data[0] == 4:
        return ASK if look.n % 16 == 0 or look.n <= 60 else NO
    return ASK if look.n == (148 if data[0] == 1 else 92 if data[0] == 2 else 64) else NO


cdef inline bint looks_random(const uint8_t* data, uint32_t n) noexcept nogil:
    """Whether bytes may be a random number, a key or ciphertext: few of them repeat."""
    cdef uint64_t[4] seen
    cdef uint32_t i, n_different = 0
    memset(seen, 0, sizeof(seen))
    for i in range(n):
        n_different += not seen[data[i] >> 6] >> (data[i] & 63) & 1
        seen[data[i] >> 6] |= <uint64_t>1 << (data[i] & 63)
    return n > 0 and 4 * n_different >= 3 * n


cdef inline int openvpn_at(Look* look, uint32_t start, uint32_t n) noexcept nogil:
    """A client's reset, which is for Python; a server's answer; or another operation, which is little evidence."""
    cdef const uint8_t* data = look.data + start
    cdef uint8_t operation = data[0] >> 3
    if data[0] & 7 or n < 14:
        return NO
    if operation == 1 or operation == 7 or operation == 10:
        return ASK if looks_random(data + 1, 8) else hinted_one(look, OPENVPN)
    if operation == 8 and n == 26 and memcmp(data + 9, b"\1\0\0\0\0", 5) == 0 and are_zero(data + 22, 4):
        return certain(look, OPENVPN, NOTHING_FOLLOWS)
    return hinted_one(look, OPENVPN) if operation == 2 or operation == 4 or operation == 5 or operation == 8 else NO


cdef inline int openvpn(Look* look) noexcept nogil:
    """A packet in a datagram."""
    return openvpn_at(look, 0, look.n)


cdef inline int openvpn_stream(Look* look) noexcept nogil:
    """OpenVPN over TCP: a packet after its length."""
    cdef uint32_t length = be16_at(look.data)
    if length < 14 or length + 2 > look.n + 1500 or (length + 2 < look.n and length > 120):
        return NO
    return openvpn_at(look, 2, min(length, look.n - 2))


cdef inline int ike_at(Look* look, uint32_t start) noexcept nogil:
    """The header of IKE 1 or 2, with the datagram's length."""
    cdef const uint8_t* data = look.data + start
    cdef uint32_t length, n = look.n - start
    if data[17] != 0x10 and data[17] != 0x20:
        return NO
    if not (data[18] == 2 or 4 <= data[18] <= 6 or 32 <= data[18] <= 38 or data[18] == 43):
        return NO
    if data[16] > 54 and not 128 <= data[16] <= 140:
        return NO
    if data[19] & (0xF8 if data[17] == 0x10 else 0xC7) or are_zero(data, 8):
        return NO
    length = be32_at(data + 24)
    if length == n:
        return certain(look, IPSEC, NOTHING_FOLLOWS)
    return hinted_one(look, IPSEC) if 28 <= length < 65536 and length > n else NO


cdef inline int ike(Look* look) noexcept nogil:
    """IKE in a datagram."""
    return ike_at(look, 0)


cdef inline int ike_natt(Look* look) noexcept nogil:
    """IKE on port 4500, after four zeros (RFC 3948, section 2.2)."""
    return ike_at(look, 4)


cdef inline int esp_in_udp(Look* look) noexcept nogil:
    """ESP on port 4500, or a keepalive of one byte. It can be any bytes, so the port must be known."""
    if look.src_port != 4500 and look.dst_port != 4500:
        return NO
    if (look.n >= 16 and not are_zero(look.data, 4)) or (look.n == 1 and look.data[0] == 0xFF):
        return hinted_one(look, IPSEC)
    return NO


cdef inline int l2tp(Look* look) noexcept nogil:
    """A control message of L2TP 2 (RFC 2661): its length, and first a message type."""
    cdef const uint8_t* data = look.data
    if data[0] & 0xCB != 0xC8 or data[1] & 0x0F != 2 or be16_at(data + 2) != look.n:
        return NO
    return certain(look, L2TP, NOTHING_FOLLOWS) if look.n == 12 or begins(look, 14, b"\0\0\0\0", 4) else NO


cdef inline int pptp(Look* look) noexcept nogil:
    """A control message of PPTP, by its cookie (RFC 2637)."""
    return certain(look, PPTP, NOTHING_FOLLOWS) if begins(look, 2, b"\0\1\x1a\x2b\x3c\x4d", 6) else NO


cdef inline int vxlan(Look* look) noexcept nogil:
    """VXLAN (RFC 7348) around an Ethernet frame with IP, ARP or a VLAN."""
    cdef const uint8_t* data = look.data
    cdef uint16_t ethertype = be16_at(data + 20)
    if data[1] or data[2] or data[3] or data[7]:
        return NO
    if (ethertype == 0x0800 or ethertype == 0x86DD) and look.n > 22:
        return certain(look, VXLAN, NOTHING_FOLLOWS) if data[22] >> 4 == (4 if ethertype == 0x0800 else 6) else NO
    if ethertype == 0x8100 and look.n >= 26 and be16_at(data + 24) in (0x0800, 0x0806, 0x86DD):
        return certain(look, VXLAN, NOTHING_FOLLOWS)
    if ethertype == 0x0806 and begins(look, 22, b"\0\1", 2):
        return certain(look, VXLAN, NOTHING_FOLLOWS)
    return hinted_one(look, VXLAN)


cdef inline int gtp(Look* look) noexcept nogil:
    """GTP 1 (3GPP TS 29.281, 29.060): its length, and an IP packet if it carries data."""
    cdef const uint8_t* data = look.data
    cdef uint32_t at
    if <uint32_t>be16_at(data + 2) + 8 != look.n:
        return NO
    if data[1] == 0xFF:
        at = 12 if data[0] & 7 else 8
        if look.n > at + 20 and (data[at] >> 4 == 4 or data[at] >> 4 == 6):
            return certain(look, GTP, NOTHING_FOLLOWS)
        return likely_one(look, GTP)
    return likely_one(look, GTP) if data[1] in (1, 2, 16, 17, 18, 19, 20, 21, 26, 27, 31) else NO


cdef inline int socks(Look* look) noexcept nogil:
    """Whether Python must look for SOCKS 4 and 5 (RFC 1928): the sizes of their messages."""
    cdef const uint8_t* data = look.data
    if data[0] == 4:
        return ASK if look.n >= 9 and 1 <= data[1] <= 2 and data[look.n - 1] == 0 else NO
    if data[0] == 0:
        return ASK if look.n == 8 and 90 <= data[1] <= 93 else NO
    if look.n == 2 or (look.n == 2 + <uint32_t>data[1] and data[1] <= 8):
        return ASK
    return ASK if look.n >= 10 and data[1] <= 8 and data[2] == 0 else NO
