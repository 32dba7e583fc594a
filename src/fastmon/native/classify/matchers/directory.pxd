"""Directories, logins, management: LDAP, Kerberos, RADIUS, Diameter, SNMP, syslog, NTP: see `classify/matchers/directory.py`."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from fastmon.native.classify.apps cimport DIAMETER, KERBEROS, LDAP, NOTHING_FOLLOWS, NTP, RADIUS, SNMP
from fastmon.native.classify.look cimport ASK, NO, Look, are_zero, certain, hinted_one, is_digit, likely_one
from fastmon.native.wire cimport be16_at, be32_at

cdef struct Element:  # of BER
    uint32_t at  # where its contents begin
    uint32_t length  # as stated


cdef inline bint read_ber(const Look* look, uint32_t at, Element* element) noexcept nogil:
    """Read the head of the BER element at `at`; False if there is none."""
    cdef uint32_t size, i
    if at + 1 >= look.n:
        return False
    element.at = at + 2
    element.length = look.data[at + 1]
    if element.length < 0x80:
        return True
    size = element.length & 0x7F
    if size < 1 or size > 4 or at + 2 + size > look.n:
        return False
    element.length = 0
    for i in range(size):
        element.length = element.length << 8 | look.data[at + 2 + i]
    element.at = at + 2 + size
    return True


cdef inline int ldap(Look* look) noexcept nogil:
    """A message of LDAP (RFC 4511), or CLDAP over UDP: a number, then an operation."""
    cdef const uint8_t* data = look.data
    cdef Element whole, number, body
    cdef uint32_t operation
    cdef uint8_t kind, first
    cdef bint is_expected
    if not read_ber(look, 0, &whole) or whole.length < 5 or whole.length > 1 << 24 or whole.at >= look.n or data[whole.at] != 2:
        return NO
    if not read_ber(look, whole.at, &number) or number.length < 1 or number.length > 4:
        return NO
    operation = number.at + number.length
    if not read_ber(look, operation, &body):
        return NO
    kind = data[operation]
    if not (kind == 0x42 or kind == 0x4A or kind == 0x50 or 0x60 <= kind <= 0x69 or 0x6B <= kind <= 0x6F or kind == 0x73
            or 0x77 <= kind <= 0x79):
        return NO
    if <uint64_t>body.at + body.length > <uint64_t>whole.at + whole.length:
        return NO
    if kind not in (0x60, 0x61, 0x63, 0x64, 0x65, 0x77, 0x78) or body.at >= look.n:
        return likely_one(look, LDAP)
    first = data[body.at]
    if kind == 0x60:
        is_expected = first == 2
    elif kind == 0x63 or kind == 0x64:
        is_expected = first == 4
    elif kind == 0x77:
        is_expected = first == 0x80
    else:
        is_expected = first == 0x0A
    return certain(look, LDAP, NOTHING_FOLLOWS) if is_expected else NO


cdef inline int snmp(Look* look) noexcept nogil:
    """SNMP 1, 2c and 3 (RFC 3416, RFC 3412): a version, then a community and a PDU, or the header of version 3."""
    cdef const uint8_t* data = look.data
    cdef Element whole, community
    cdef uint32_t at, pdu
    if not read_ber(look, 0, &whole) or whole.length < 10:
        return NO
    at = whole.at
    if at + 4 > look.n or data[at] != 2 or data[at + 1] != 1:
        return NO
    if data[at + 2] == 3:
        if data[at + 3] == 0x30 and (at + 5 >= look.n or data[at + 5] == 2):
            return certain(look, SNMP, NOTHING_FOLLOWS)
        return NO
    if data[at + 2] > 1 or data[at + 3] != 4:
        return NO
    if not read_ber(look, at + 3, &community) or community.length > 255:
        return NO
    pdu = community.at + community.length
    if pdu >= look.n:
        return hinted_one(look, SNMP)
    return certain(look, SNMP, NOTHING_FOLLOWS) if 0xA0 <= data[pdu] <= 0xA8 else NO


cdef inline uint8_t kerberos_type(uint8_t tag) noexcept nogil:
    """Return the message type of a tag; 0 for another tag."""
    if 0x6A <= tag <= 0x6F or 0x74 <= tag <= 0x76 or tag == 0x7E:
        return tag & 0x1F
    return 0


cdef inline int kerberos_at(Look* look, uint32_t start) noexcept nogil:
    cdef const uint8_t* data = look.data
    cdef uint8_t kind = kerberos_type(data[start]), first
    cdef Element whole, sequence
    if kind == 0 or not read_ber(look, start, &whole) or not read_ber(look, whole.at, &sequence) or data[whole.at] != 0x30:
        return NO
    first = 0xA1 if kind == 10 or kind == 12 else 0xA0
    if sequence.at + 10 > look.n or data[sequence.at] != first or memcmp(data + sequence.at + 1, b"\3\2\1\5", 4):
        return NO
    if (data[sequence.at + 5] != first + 1 or memcmp(data + sequence.at + 6, b"\3\2\1", 3)
            or data[sequence.at + 9] != kind):
        return NO
    return certain(look, KERBEROS, NOTHING_FOLLOWS)


cdef inline int kerberos(Look* look) noexcept nogil:
    """A message of Kerberos 5 (RFC 4120): version 5, and the message type of its tag."""
    return kerberos_at(look, 0)


cdef inline int kerberos_stream(Look* look) noexcept nogil:
    """Kerberos over TCP, after a length (RFC 4120, section 7.2.2)."""
    return kerberos_at(look, 4) if look.n > 16 else NO


cdef inline bint is_radius_number(uint8_t kind) noexcept nogil:
    """Whether an attribute has four bytes (RFC 2865, RFC 2866)."""
    return (4 <= kind <= 10 or 12 <= kind <= 16 or kind == 23 or 27 <= kind <= 29 or 37 <= kind <= 38 or 40 <= kind <= 43
            or kind == 45 or 61 <= kind <= 62)


cdef inline int radius(Look* look) noexcept nogil:
    """RADIUS (RFC 2865) that was cut is little evidence; a whole message is for Python."""
    cdef const uint8_t* data = look.data
    cdef uint32_t length = be16_at(data + 2), at = 20
    cdef bint is_request
    if not (1 <= data[0] <= 5 or 11 <= data[0] <= 13 or 40 <= data[0] <= 45) or not 20 <= length <= 4096 or length < look.n:
        return NO
    if length == look.n:
        return ASK
    while at + 2 <= look.n:
        if not (1 <= data[at] <= 191 or 241 <= data[at] <= 246) or data[at + 1] < 3:
            return NO
        if is_radius_number(data[at]) and data[at + 1] != 6:
            return NO
        at += data[at + 1]
    if at > length:
        return NO
    is_request = look.n >= 22 and (data[0] == 1 or data[0] == 4)
    return likely_one(look, RADIUS) if is_request else hinted_one(look, RADIUS)


cdef inline int diameter(Look* look) noexcept nogil:
    """Whether Python must look for Diameter (RFC 6733): version 1, reserved flags of 0, a command's first byte of 0."""
    return ASK if look.data[0] == 1 and not look.data[4] & 0x0F else NO


cdef inline int syslog(Look* look) noexcept nogil:
    """Whether Python must look for syslog: a priority, over TCP maybe after a length."""
    cdef uint32_t at = 0, start
    while at < look.n and at < 5 and is_digit(look.data[at]):
        at += 1
    if at:
        if at >= look.n or look.data[at] != 0x20:
            return NO
        at += 1
    if at >= look.n or look.data[at] != 0x3C:
        return NO
    at += 1
    start = at
    while at < look.n and at - start < 3 and is_digit(look.data[at]):
        at += 1
    return ASK if at > start and at < look.n and look.data[at] == 0x3E else NO


cdef inline bint is_ntp_time(uint32_t seconds) noexcept nogil:
    """Whether it is of this century, or since a boot; 0 is unknown."""
    return seconds < 0x20000000 or seconds > <uint32_t>0x80000000


cdef inline bint has_ntp_times(const uint8_t* data, uint32_t n) noexcept nogil:
    """Whether the fields of a whole message are within their ranges, and its times of this century, or since a boot."""
    cdef uint32_t reference = be32_at(data + 16), sent = be32_at(data + 40)
    if data[1] > 16 or data[2] > 17 or 0 < data[3] < 224:
        return False
    if (data[4] != 0 and data[4] != 0xFF) or (data[8] != 0 and data[8] != 0xFF) or data[5] > 16 or data[9] > 16:
        return False
    if not is_ntp_time(reference) or not is_ntp_time(sent):
        return False
    return sent > (<uint32_t>0 if data[3] else <uint32_t>0xC0000000) and (n == 48 or n >= 52)


cdef inline int ntp(Look* look) noexcept nogil:
    """NTP (RFC 5905) with plausible fields. Control and private messages are little evidence."""
    cdef const uint8_t* data = look.data
    cdef uint8_t mode = data[0] & 7, version = data[0] >> 3 & 7
    if not 1 <= version <= 4 or not mode:
        return NO
    if mode >= 6:
        return hinted_one(look, NTP) if version > 1 and look.n < 1000 else NO
    if look.n < 48:
        return hinted_one(look, NTP) if look.n >= 40 and data[1] <= 16 and data[2] <= 17 else NO
    if mode == 3 and are_zero(data + 1, 39) and not are_zero(data + 40, 8):
        return certain(look, NTP, NOTHING_FOLLOWS)
    if has_ntp_times(data, look.n):
        return certain(look, NTP, NOTHING_FOLLOWS)
    return hinted_one(look, NTP) if data[1] <= 16 and data[2] <= 17 else NO
