"""Files and remote procedure calls: SMB, ONC RPC and NFS, DCE/RPC, TFTP, rsync, git: see `classify/matchers/files.py`."""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp

from fastmon.native.classify.apps cimport DCERPC, GIT, NFS, NOTHING_FOLLOWS, RPC, RSYNC, SMB, TFTP
from fastmon.native.classify.look cimport ASK, CERTAIN, LIKELY, NO, Look, are_zero, begins, certain, hinted_one, likely_one
from fastmon.native.wire cimport be16_at, be32_at, le16_at, le32_at

cdef enum:
    MAX_PROGRAM = 0x60000000
    N_ASSIGNED = 1000000  # well-known program numbers are below (RFC 5531, section 8.3)


cdef inline int smb(Look* look) noexcept nogil:
    """SMB 1, 2 and 3, also encrypted or compressed, after the 4 bytes of a NetBIOS session message (MS-SMB2, 2.1)."""
    if begins(look, 5, b"SMB", 3) and look.data[4] >= 0xFC:
        return certain(look, SMB, NOTHING_FOLLOWS)
    return NO


cdef inline bint is_nfs(uint32_t program) noexcept nogil:
    return (program == 100003 or program == 100005 or program == 100021 or program == 100024 or program == 100227
            or program == 400122)


cdef inline int rpc_at(Look* look, uint32_t start) noexcept nogil:
    """A call or reply of ONC RPC (RFC 5531). A reply does not name its program; the call does."""
    cdef const uint8_t* data = look.data + start
    cdef uint32_t program
    if look.n < start + 24 or memcmp(data + 4, b"\0\0\0", 3):
        return NO
    if data[7] == 0:
        program = be32_at(data + 12)
        if (memcmp(data + 8, b"\0\0\0\2", 4) or not 99999 < program < MAX_PROGRAM or be16_at(data + 16)
                or be16_at(data + 20)):
            return NO
        if is_nfs(program):
            return certain(look, NFS, NOTHING_FOLLOWS)
        return certain(look, RPC, NOTHING_FOLLOWS) if program < N_ASSIGNED else likely_one(look, RPC)
    if data[7] != 1 or not are_zero(data + 8, 3) or not are_zero(data + 12, 3):
        return NO
    if (data[11] == 0 and data[15] <= 6 and be16_at(data + 16) == 0) or (data[11] == 1 and data[15] <= 1):
        return likely_one(look, NFS if look.dst_port == 2049 or look.src_port == 2049 else RPC)
    return NO


cdef inline int rpc(Look* look) noexcept nogil:
    """A message in a datagram."""
    return rpc_at(look, 0)


cdef inline int rpc_stream(Look* look) noexcept nogil:
    """ONC RPC after a record mark (RFC 5531, section 11). A mark with the segment's length makes the match certain."""
    cdef int verdict = rpc_at(look, 4)
    if verdict == LIKELY and be32_at(look.data) & 0x7FFFFFFF == look.n - 4:
        look.n_likely -= 1
        return certain(look, look.likely[look.n_likely], NOTHING_FOLLOWS)
    return verdict


cdef inline int dce_rpc(Look* look) noexcept nogil:
    """Connection-oriented DCE/RPC (C706, chapter 12)."""
    cdef const uint8_t* data = look.data
    cdef bint is_little = data[4] == 0x10
    cdef uint32_t length, n_authentication
    if data[1] > 1 or data[2] > 20 or data[4] & 0xEF or data[5] > 3 or data[6] or data[7]:
        return NO
    length = le16_at(data + 8) if is_little else be16_at(data + 8)
    n_authentication = le16_at(data + 10) if is_little else be16_at(data + 10)
    if length < 16 + n_authentication:
        return NO
    if length != look.n and not (length > look.n and (data[2] == 0 or data[2] == 2 or data[2] == 11 or data[2] == 12)):
        return NO
    return certain(look, DCERPC, NOTHING_FOLLOWS) if is_little else hinted_one(look, DCERPC)


cdef inline int dce_rpc_datagram(Look* look) noexcept nogil:
    """Connectionless DCE/RPC, as PROFINET uses it (C706, chapter 12)."""
    cdef const uint8_t* data = look.data
    cdef bint is_little = data[4] & 0x10
    cdef uint32_t length, version
    if data[1] > 10 or data[4] & 0xEF or data[5] > 3 or data[6] or data[7] or data[2] & 0x81:
        return NO
    length = le16_at(data + 74) if is_little else be16_at(data + 74)
    version = le32_at(data + 60) if is_little else be32_at(data + 60)
    return certain(look, DCERPC, NOTHING_FOLLOWS) if 80 + length == look.n and version < 256 else NO


cdef inline bint is_mode(const uint8_t* text, uint32_t n, const char* mode, uint32_t n_mode) noexcept nogil:
    """Whether a mode, in any case of letters, and a zero are there."""
    cdef uint32_t i
    if n <= n_mode or text[n_mode]:
        return False
    for i in range(n_mode):
        if text[i] | 0x20 != <uint8_t>mode[i]:
            return False
    return True


cdef inline int tftp_request(Look* look) noexcept nogil:
    """A request, which is for Python, whole or cut: a name, and a mode."""
    cdef const uint8_t* data = look.data
    cdef uint32_t at = 2
    while at < look.n and data[at] and at < 258:
        at += 1
    if 2 < at < look.n and data[at] == 0:
        at += 1
        if (is_mode(data + at, look.n - at, b"netascii", 8) or is_mode(data + at, look.n - at, b"octet", 5)
                or is_mode(data + at, look.n - at, b"mail", 4)):
            return ASK
    if look.n >= 60:
        return NO
    at = 2
    while at < look.n and 0x20 <= data[at] <= 0x7E:
        at += 1
    if at >= 6 and (at == look.n or (at + 1 == look.n and (data[at] == 0 or data[at] == 0x0A))
                    or (at + 2 == look.n and data[at] == 0 and data[at + 1] == 0x0A)):
        return ASK
    return NO


cdef inline int tftp(Look* look) noexcept nogil:
    """TFTP (RFC 1350): requests are for Python, which expects the answer elsewhere; blocks and acknowledgements are little."""
    cdef const uint8_t* data = look.data
    cdef uint32_t i
    if data[0] or not 1 <= data[1] <= 6:
        return NO
    if data[1] <= 2:
        return tftp_request(look)
    if data[1] == 3 or (data[1] == 4 and look.n == 4):
        return likely_one(look, TFTP)
    if data[1] == 5:
        if data[2] or data[3] > 8 or data[look.n - 1]:
            return NO
        for i in range(4, look.n - 1):
            if data[i] & 0x80:
                return NO
        return hinted_one(look, TFTP)
    return ASK if data[1] == 6 and look.n > 2 and is_option(data[2] | 0x20) else NO


cdef inline bint is_option(uint8_t first) noexcept nogil:
    """Whether an option's name may begin so: blksize, tsize, timeout, windowsize."""
    return first == 0x62 or first == 0x74 or first == 0x77


cdef inline int rsync(Look* look) noexcept nogil:
    """The greeting of the daemon."""
    return certain(look, RSYNC, NOTHING_FOLLOWS) if begins(look, 0, b"@RSYNCD: ", 9) else NO


cdef inline bint is_hex(uint8_t byte) noexcept nogil:
    return 0x30 <= byte <= 0x39 or 0x61 <= byte <= 0x66


cdef inline int git(Look* look) noexcept nogil:
    """Whether Python must look for a packet line of git's own protocol: a length of four hexadecimal digits."""
    cdef const uint8_t* data = look.data
    if not (is_hex(data[0]) and is_hex(data[1]) and is_hex(data[2]) and is_hex(data[3])):
        return NO
    return ASK if is_hex(data[4]) or data[4] == 0x67 or data[4] == 0x23 or data[4] == 0x76 else NO
