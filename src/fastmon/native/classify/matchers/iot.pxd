"""Messaging and things: MQTT, AMQP, CoAP, XMPP: see `classify/matchers/iot.py`."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memchr

from fastmon.native.classify.apps cimport AMQP, COAP, MQTT, NOTHING_FOLLOWS
from fastmon.native.classify.look cimport (
    ASK, CERTAIN, LIKELY, NO, Look, begins, certain, hinted_one, is_digit, is_letter, likely_one,
)
from fastmon.native.wire cimport be16_at, be32_at


cdef inline bint are_printable(const uint8_t* data, uint32_t n) noexcept nogil:
    cdef uint32_t i
    for i in range(n):
        if not 0x20 <= data[i] < 0x7F:
            return False
    return True


cdef inline bint are_codes(const uint8_t* data, uint32_t n) noexcept nogil:
    cdef uint32_t i
    for i in range(n):
        if data[i] > 2 and data[i] != 0x80:
            return False
    return True


cdef inline int read_packet(Look* look, uint8_t kind, uint32_t at, uint32_t length) noexcept nogil:
    """Any packet but CONNECT, whose contents begin at `at`, and fill the segment or are followed by another's."""
    cdef const uint8_t* data = look.data
    cdef bint is_plain = not data[0] & 0x0F
    cdef uint32_t n_topic
    if kind == 3:
        if length < 2:
            return NO
        n_topic = be16_at(data + at)
        if n_topic == 0 or n_topic > length - 2 or data[0] & 6 == 6 or not are_printable(data + at + 2, n_topic):
            return NO
        return likely_one(look, MQTT)
    if kind == 4 or kind == 5 or kind == 7 or kind == 11:
        return hinted_one(look, MQTT) if length == 2 and is_plain else NO
    if kind == 2:
        if data[0] == 0x20 and length >= 2 and data[at] <= 1 and (length > 2 or data[at + 1] <= 5):
            return likely_one(look, MQTT)
        return NO
    if kind >= 12:
        return hinted_one(look, MQTT) if kind <= 14 and length == 0 and is_plain and look.n == 2 else NO
    if kind == 9:
        return likely_one(look, MQTT) if length > 2 and is_plain and are_codes(data + at + 2, length - 2) else NO
    if (kind == 8 or kind == 10) and length > 4 and data[0] & 0x0F == 2:
        n_topic = be16_at(data + at + 2)
        return likely_one(look, MQTT) if 0 < n_topic <= length - 4 else NO
    return NO


cdef inline int mqtt(Look* look) noexcept nogil:
    """CONNECT with the protocol's name. Another packet that fills the segment is little evidence."""
    cdef const uint8_t* data = look.data
    cdef uint32_t length = 0, at = 0, i
    cdef uint8_t kind = data[0] >> 4
    for i in range(4):
        if 1 + i >= look.n:
            return NO
        length |= <uint32_t>(data[1 + i] & 0x7F) << 7 * i
        if data[1 + i] < 0x80:
            at = 2 + i
            break
    if at == 0:
        return NO
    if kind == 1:
        if data[0] & 0x0F:
            return NO
        if begins(look, at, b"\0\4MQTT", 6) or begins(look, at, b"\0\6MQIsdp", 8):
            return certain(look, MQTT, NOTHING_FOLLOWS)
        return NO
    if at + length > look.n or (at + length < look.n and not data[at + length] >> 4):
        return NO
    return read_packet(look, kind, at, length)


cdef inline int amqp(Look* look) noexcept nogil:
    """The protocol header, or a frame of 0-9-1 with its end mark."""
    cdef const uint8_t* data = look.data
    cdef uint64_t end
    if data[0] == 0x41:
        if not begins(look, 0, b"AMQP", 4):
            return NO
        if (begins(look, 4, b"\0\0\x09\1", 4) or begins(look, 4, b"\0\1\0\0", 4) or begins(look, 4, b"\3\1\0\0", 4)
                or begins(look, 4, b"\2\1\0\0", 4) or begins(look, 4, b"\1\1\0\x0a", 4) or begins(look, 4, b"\1\1\x08\0", 4)):
            return certain(look, AMQP, NOTHING_FOLLOWS)
        return NO
    if (1 <= data[0] <= 3 or data[0] == 8) and look.n >= 8:
        end = 7 + <uint64_t>be32_at(data + 3)
        return certain(look, AMQP, NOTHING_FOLLOWS) if end < look.n and data[end] == 0xCE and data[1] < 4 else NO
    if (data[0] == 0 and look.n >= 12 and data[4] == 2 and data[5] <= 1 and data[8] == 0 and data[9] == 0x53
            and 0x10 <= data[10] <= 0x44):
        return certain(look, AMQP, NOTHING_FOLLOWS)
    return NO


cdef inline bint is_coap_code(uint8_t code) noexcept nogil:
    return (code <= 7 or 65 <= code <= 69 or code == 95 or 128 <= code <= 143 or code == 157 or 160 <= code <= 168)


cdef inline bint is_coap_option(uint32_t number) noexcept nogil:
    return (number == 1 or 3 <= number <= 9 or number == 11 or number == 12 or 14 <= number <= 17 or 19 <= number <= 21
            or number == 23 or number == 27 or number == 28 or number == 31 or number == 35 or number == 39 or number == 60
            or number == 252 or number == 258 or number == 292 or number == 2048 or number == 2049)


cdef inline bint is_coap_path(uint32_t number) noexcept nogil:
    return number == 3 or number == 8 or number == 11 or number == 15 or number == 20 or number == 35


cdef inline bint are_path_letters(const uint8_t* data, uint32_t n) noexcept nogil:
    cdef uint32_t i
    for i in range(n):
        if not is_letter(data[i]) and not is_digit(data[i]) and memchr(b"-._~=&/:%?+", data[i], 11) == NULL:
            return False
    return True


cdef inline bint read_coap_part(const Look* look, uint8_t nibble, uint32_t* at, uint32_t* value) noexcept nogil:
    """Read what extends a nibble of an option's head (RFC 7252, section 3.1); bytes that are missing count as none."""
    cdef uint32_t n_extra = 1 if nibble == 13 else 2 if nibble == 14 else 0, i
    value[0] = 0
    if nibble == 15:
        return False
    for i in range(at[0], min(at[0] + n_extra, look.n)):
        value[0] = value[0] << 8 | look.data[i]
    at[0] += n_extra
    value[0] += 13 if nibble == 13 else 269 if nibble == 14 else nibble
    return True


cdef inline int read_coap(const Look* look) noexcept nogil:
    """Return CERTAIN for a request whose options are known, with a path or host; LIKELY for less; NO for no options of CoAP."""
    cdef const uint8_t* data = look.data
    cdef uint32_t n_token = data[0] & 0x0F, at, option = 0, n_options = 0, delta, length, n_value
    cdef uint8_t head
    cdef bint is_path = False
    if n_token > 8:
        return NO
    at = 4 + n_token
    while at < look.n and data[at] != 0xFF:
        head = data[at]
        at += 1
        if not read_coap_part(look, head >> 4, &at, &delta) or not read_coap_part(look, head & 0x0F, &at, &length):
            return NO
        option += delta
        if not is_coap_option(option) or n_options > 40:
            return NO
        n_value = min(length, look.n - at) if at < look.n else 0
        at += length
        if is_coap_path(option) and n_value >= (<uint32_t>2 if at <= look.n else <uint32_t>4):
            is_path = is_path or are_path_letters(data + at - length, n_value)
        n_options += 1
    if at > look.n and look.n > 60:
        return NO
    if at < look.n and at + 1 == look.n:
        return NO  # a payload marker must have a payload
    return CERTAIN if is_path and data[1] < 8 and data[0] < 0x60 else LIKELY


cdef inline bint is_coap_draft(const Look* look) noexcept nogil:
    """Whether it is a request of the drafts before the twelfth: a count of options in place of the token's length."""
    cdef const uint8_t* data = look.data
    cdef uint32_t option = 0, at = 4, length, _i
    cdef bint is_path = False
    for _i in range(data[0] & 0x0F):
        if at >= look.n or data[at] >= 0xF0 or data[at] & 0x0F == 15:
            return False
        option += data[at] >> 4
        length = data[at] & 0x0F
        if (option == 5 or option == 9) and min(length, look.n - at - 1) > 3:
            is_path = is_path or are_printable(data + at + 1, min(length, look.n - at - 1))
        at += 1 + length
    return is_path and at == look.n and option < 16


cdef inline int coap(Look* look) noexcept nogil:
    """A request with a path or host (RFC 7252). Whether other messages answer each other, Python remembers."""
    cdef const uint8_t* data = look.data
    cdef uint8_t code = data[1]
    cdef int verdict
    if not is_coap_code(code):
        return NO
    if code == 0:
        return hinted_one(look, COAP) if look.n == 4 and data[0] >= 0x60 else NO
    verdict = read_coap(look)
    if verdict == CERTAIN or (code < 5 and is_coap_draft(look)):
        return certain(look, COAP, NOTHING_FOLLOWS)
    return likely_one(look, COAP) if verdict == LIKELY else NO


cdef inline int xmpp(Look* look) noexcept nogil:
    """Whether Python must look for XMPP (RFC 6120): an XML element that may be a stream's or a stanza's."""
    cdef uint8_t first = look.data[1] | 0x20
    return ASK if look.data[1] == 0x3F or first == 0x73 or first == 0x6F or first == 0x61 or first == 0x69 or first == 0x70 \
        or first == 0x6D else NO
