"""Databases and caches: see `classify/matchers/databases.py`."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memchr

from fastmon.native.classify.apps cimport MONGODB, NOTHING_FOLLOWS, POSTGRESQL
from fastmon.native.classify.look cimport ASK, NO, Look, are_zero, begins, certain, contains, hinted_one, is_digit, likely_one
from fastmon.native.wire cimport be16_at, be32_at, le32_at


cdef inline int mysql(Look* look) noexcept nogil:
    """Whether Python must look for MySQL: a greeting, or a packet that fills the segment, with a small number."""
    cdef const uint8_t* data = look.data
    cdef uint32_t length = le32_at(data) & 0xFFFFFF
    if data[3] > 2:
        return NO
    if data[3] == 0 and data[4] == 10 and look.n > 5 and is_digit(data[5]):
        return ASK
    return ASK if length + 4 == look.n else NO


cdef inline bint is_postgres_type(uint8_t kind) noexcept nogil:
    return kind and memchr(b"QPBEDSCXHpRKZTN123nstAGHWVIcdf", kind, 30) != NULL


cdef inline bint is_empty_type(uint8_t kind) noexcept nogil:
    return kind and memchr(b"123nsIX", kind, 7) != NULL


cdef inline int postgresql(Look* look) noexcept nogil:
    """The startup packet, a request to encrypt or cancel, or messages that fill the segment."""
    cdef const uint8_t* data = look.data
    cdef uint32_t length, n_messages = 0
    cdef uint64_t at = 0
    if data[0] == 0:
        length = be32_at(data)
        if length == 8 or length == 16:
            if begins(look, 4, b"\x04\xd2\x16", 3) and look.n >= 8 and 0x2E <= data[7] <= 0x30:
                return certain(look, POSTGRESQL, NOTHING_FOLLOWS)
            return NO
        if (begins(look, 4, b"\0\3\0\0", 4) or begins(look, 4, b"\0\3\0\2", 4)) and length >= look.n \
                and contains(data + 8, min(look.n, <uint32_t>60) - 8, b"user\0", 5):
            return certain(look, POSTGRESQL, NOTHING_FOLLOWS)
        return NO
    while at + 5 <= look.n:
        length = be32_at(data + at + 1)
        if not is_postgres_type(data[at]) or not 4 <= length <= (4 if is_empty_type(data[at]) else 1 << 20):
            return NO
        at += 1 + <uint64_t>length
        n_messages += 1
    if at == look.n:
        if n_messages > 1 or look.n > 8:
            return certain(look, POSTGRESQL, NOTHING_FOLLOWS)
        return likely_one(look, POSTGRESQL)
    return likely_one(look, POSTGRESQL) if at > look.n and n_messages > 2 else NO


cdef inline int redis(Look* look) noexcept nogil:
    """Whether Python must look for Redis: the first character of RESP and a line's end, or an inline command."""
    cdef const uint8_t* data = look.data
    cdef uint8_t first = data[0] & 0xDF
    if data[0] == 0x2A or data[0] == 0x3A or data[0] == 0x24:
        return ASK if is_digit(data[1]) or data[1] == 0x2D else NO
    if data[0] == 0x2B or data[0] == 0x2D:
        return ASK if contains(data, look.n, b"\r\n", 2) else NO
    if memchr(b"PIQGDEASC", first, 9) == NULL:
        return NO
    return ASK if contains(data, look.n, b"\r\n", 2) else NO


cdef inline bint is_mongo_operation(uint32_t operation) noexcept nogil:
    return (operation == 1 or operation == 2001 or operation == 2002 or 2004 <= operation <= 2007 or 2010 <= operation <= 2013)


cdef inline int mongodb(Look* look) noexcept nogil:
    """A message header: length, numbers, operation. The old OP_REPLY must be whole, as its operation is just 1."""
    cdef const uint8_t* data = look.data
    cdef uint32_t length = le32_at(data)
    if not is_mongo_operation(le32_at(data + 12)) or not max(<uint32_t>16, look.n) <= length <= 48000000:
        return NO
    if le32_at(data + 12) != 1:
        return certain(look, MONGODB, NOTHING_FOLLOWS)
    if (length == look.n and look.n >= 36 and not are_zero(data + 8, 4) and data[16] < 16 and are_zero(data + 17, 3)):
        return certain(look, MONGODB, NOTHING_FOLLOWS)
    return hinted_one(look, MONGODB)


cdef inline int mssql(Look* look) noexcept nogil:
    """Whether Python must look for TDS (MS-TDS, section 2.2.3): type, status, length, window 0."""
    cdef const uint8_t* data = look.data
    cdef uint32_t length = be16_at(data + 2)
    if not (1 <= data[0] <= 4 or data[0] == 6 or data[0] == 7 or data[0] == 14 or 16 <= data[0] <= 18):
        return NO
    if data[1] & 0xE0 or data[7] or (length != look.n and not (length > look.n and data[1] == 0)):
        return NO
    return ASK


cdef inline int oracle(Look* look) noexcept nogil:
    """Whether Python must look for Oracle's TNS: the segment's length, checksums of 0, a type."""
    cdef const uint8_t* data = look.data
    return ASK if be16_at(data) == look.n and not data[2] and not data[3] and not data[5] and 1 <= data[4] <= 14 else NO


cdef inline int cassandra(Look* look) noexcept nogil:
    """Whether Python must look for Cassandra: a frame that fills the segment."""
    cdef const uint8_t* data = look.data
    cdef uint8_t version = data[0] & 0x7F
    cdef uint32_t at = 3 if version < 3 else 4
    if not 1 <= version <= 5 or data[1] > 0x1F or data[at] > 0x10:
        return NO
    return ASK if <uint64_t>be32_at(data + at + 1) + at + 5 == look.n else NO


cdef inline int memcached(Look* look) noexcept nogil:
    """Whether Python must look for Memcached: a binary header with the segment's length, or a command's or answer's letters."""
    cdef const uint8_t* data = look.data
    cdef uint32_t at = 0
    if data[0] == 0x80 or data[0] == 0x81:
        return ASK if look.n >= 24 and look.n == 24 + <uint64_t>be32_at(data + 8) else NO
    while at < look.n and at < 10 and (0x61 <= data[at] <= 0x7A or 0x41 <= data[at] <= 0x5A or data[at] == 0x5F):
        at += 1
    if begins(look, 0, b"flush_all", 9):
        return ASK
    if not 3 <= at <= 9:
        return NO
    return ASK if at == look.n or data[at] == 0x20 or data[at] == 0x0D else NO
