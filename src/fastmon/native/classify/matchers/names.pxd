"""DNS (RFC 1035), multicast DNS (RFC 6762) and LLMNR (RFC 4795), over UDP, and DNS over TCP: see `classify/matchers/names.py`.

What it does not do: look anything up, or keep names.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

from fastmon.native.classify.apps cimport DNS, DNS_FOLLOWS, DNS_STREAM_FOLLOWS, LLMNR, MDNS, NOTHING_FOLLOWS
from fastmon.native.classify.look cimport (
    ASK, MAX_NAME, NO, Look, are_zero, certain, is_digit, hinted_one, is_letter, set_title,
)
from fastmon.native.classify.notes cimport BY_DNS, BY_LLMNR, BY_MDNS, note_name
from fastmon.native.decode.upper cimport TCP
from fastmon.native.wire cimport Key, be16_at, v4_key, v6_key

cdef enum:
    MAX_RECORDS = 150
    MAX_LABELS = 40  # read in one name
    BROKEN = 0  # no name ends here

cdef enum:  # types
    A = 1
    AAAA = 28
    OPT = 41

cdef struct Name:  # at most MAX_NAME bytes of it are kept
    uint32_t n
    uint8_t[MAX_NAME] text


cdef inline void add_to_name(Name* name, const uint8_t* data, uint32_t n) noexcept nogil:
    n = min(n, MAX_NAME - name.n)
    memcpy(name.text + name.n, data, n)
    name.n += n


cdef inline uint32_t read_name(const uint8_t* data, uint32_t n, uint32_t at, Name* name) noexcept nogil:
    """Read the name at `at`, unless `name` is NULL; return the offset behind it, BROKEN if it is broken or cut."""
    cdef uint32_t _i, end = 0, target, length
    cdef bint is_first = True
    if name != NULL:
        name.n = 0
    for _i in range(MAX_LABELS):
        if at >= n:
            return BROKEN
        length = data[at]
        if length == 0:
            return end if end else at + 1
        if length >= 0xC0:
            if at + 1 >= n:
                return BROKEN
            if end == 0:
                end = at + 2
            target = (length & 0x3F) << 8 | data[at + 1]
            if target >= at:
                return BROKEN  # compression points backwards (RFC 1035, section 4.1.4)
            at = target
        elif length > 63:
            return BROKEN
        else:
            if name != NULL:
                if not is_first:
                    add_to_name(name, b".", 1)
                add_to_name(name, data + at + 1, min(length, n - at - 1))
                is_first = False
            at += 1 + length
    return BROKEN


cdef inline uint32_t character_bytes(const uint8_t* text, uint32_t n) noexcept nogil:
    """Return the bytes of the first character in UTF-8 (RFC 3629, section 4); 0 if there is none."""
    cdef uint8_t first = text[0], least = 0x80, most = 0xBF
    cdef uint32_t size = 2 if first < 0xE0 else 3 if first < 0xF0 else 4, i
    if first < 0x80:
        return 1
    if first < 0xC2 or first > 0xF4 or size > n:
        return 0
    if first == 0xE0 or first == 0xF0:
        least = 0xA0 if first == 0xE0 else 0x90
    elif first == 0xED or first == 0xF4:
        most = 0x9F if first == 0xED else 0x8F
    if not least <= text[1] <= most:
        return 0
    for i in range(2, size):
        if text[i] & 0xC0 != 0x80:
            return 0
    return size


cdef inline bint is_long(const Name* name) noexcept nogil:
    """Whether its text has more than three characters. A byte that is not UTF-8 has four: a backslash, an x, two digits."""
    cdef uint32_t at = 0, n_characters = 0, size
    while at < name.n and n_characters <= 3:
        size = character_bytes(name.text + at, name.n - at)
        if size == 0:
            return True
        at += size
        n_characters += 1
    return n_characters > 3


cdef inline bint is_type(uint32_t kind) noexcept nogil:
    return (1 <= kind <= 65 or 99 <= kind <= 109 or 128 <= kind <= 135 or 249 <= kind <= 262 or kind == 32768 or kind == 32769
            or kind == 65281 or kind == 65305)


cdef inline bint is_class(uint32_t kind) noexcept nogil:
    return kind == 1 or kind == 3 or kind == 4 or kind == 254 or kind == 255


cdef inline bint is_v4_group(const Key* host, uint32_t last) noexcept nogil:
    cdef const uint8_t* address = <const uint8_t*>host
    return host.high == 0 and memcmp(address + 8, b"\0\0\xff\xff\xe0\0\0", 7) == 0 and address[15] == last


cdef inline int name_service_of(const Look* look) noexcept nogil:
    """Return which of the three it is: the group's address or the port tells."""
    cdef const uint8_t* address = <const uint8_t*>&look.dst
    cdef bint is_v6_group = memcmp(address, b"\xff\2\0\0\0\0\0\0\0\0\0", 11) == 0
    if (is_v4_group(&look.dst, 251) or (is_v6_group and memcmp(address + 11, b"\0\0\0\0\xfb", 5) == 0)
            or look.src_port == 5353 or look.dst_port == 5353):
        return MDNS
    if (is_v4_group(&look.dst, 252) or (is_v6_group and memcmp(address + 11, b"\0\0\1\0\3", 5) == 0)
            or look.src_port == 5355 or look.dst_port == 5355):
        return LLMNR
    return DNS


cdef inline bint is_host_letter(uint8_t byte) noexcept nogil:
    return is_letter(byte) or is_digit(byte) or byte == 0x2D or byte == 0x5F or byte == 0x25


cdef inline int damaged(Look* look, const uint8_t* data, uint32_t n, int app, uint32_t n_questions) noexcept nogil:
    """A message with wrong fields is still DNS if it has a host name in place of the first question."""
    cdef uint32_t n_labels = 0, n_letters = 0, at = 12, i, length
    cdef bint is_whole, is_host = True
    while at < n and 0 < data[at] <= 63:
        length = data[at]
        if at + 1 + length > n:
            break
        for i in range(length):
            is_host = is_host and is_host_letter(data[at + 1 + i])
        if not is_host:
            break
        n_labels += 1
        n_letters += length
        at += 1 + length
    is_whole = at < n and data[at] == 0
    if n_letters == 32 and n_labels == 1:
        return NO  # a NetBIOS name
    if (n_labels >= 2 and n_letters >= 6 and n_questions == 1) or (n_labels >= 3 and n_letters >= 8 and is_whole):
        return certain(look, app, NOTHING_FOLLOWS)
    return NO


cdef inline int evidence_of_cut(const uint8_t* data, uint32_t n, uint32_t at) noexcept nogil:
    """Return the evidence that a question is cut: 0 none, 1 little, 2 enough. Its labels must be printable up to the end."""
    cdef uint32_t n_labels = 0, length, n_there, i
    while at < n and data[at]:
        length = data[at]
        n_there = min(length, n - at - 1)
        if length > 63:
            return 0
        for i in range(n_there):
            if not 0x20 < data[at + 1 + i] < 0x7F:
                return 0
        n_labels += n_there == length
        at += 1 + length
    if at + 5 <= n:
        return 0
    return 2 if n_labels > 1 else 1


cdef inline bint may_be_netbios(const uint8_t* data, uint32_t n) noexcept nogil:
    """Whether the first name may be NetBIOS's, which has DNS's header: a label of 32 letters from A to P."""
    cdef uint32_t i
    if n < 13:
        return True
    if data[12] != 32:
        return False
    for i in range(13, min(n, <uint32_t>45)):
        if not 0x41 <= data[i] <= 0x50:
            return False
    return True


cdef inline uint32_t read_questions(const uint8_t* data, uint32_t n, uint32_t n_questions, Name* asked, bint* is_asked,
                                    int* evidence) noexcept nogil:
    """Read the first name asked for; return the end of the questions, BROKEN if they are cut."""
    cdef uint32_t i, at = 12, end
    is_asked[0] = False
    evidence[0] = 2
    for i in range(n_questions):
        end = read_name(data, n, at, NULL if i else asked)
        if end == BROKEN or end + 4 > n:
            evidence[0] = 2 if i else evidence_of_cut(data, n, at)
            return BROKEN
        if not is_type(be16_at(data + end)) or not is_class(be16_at(data + end + 2) & 0x7FFF):
            evidence[0] = 0
            return BROKEN
        is_asked[0] = True
        at = end + 4
    return at


cdef inline int read_records(Look* look, const uint8_t* data, uint32_t n, uint32_t at, int app, const Name* asked,
                             bint is_asked) noexcept nogil:
    """Read the records that begin at `at`; return whether the first one is plausible. Tell the names of a response."""
    cdef uint32_t i, end, kind, kind_class, n_rdata, n_read = 0
    cdef uint32_t n_records = be16_at(data + 6) + be16_at(data + 8) + be16_at(data + 10)
    cdef uint32_t n_answers = 0 if app == MDNS else be16_at(data + 6)
    cdef uint32_t start = at
    cdef int source = BY_MDNS if app == MDNS else BY_LLMNR if app == LLMNR else BY_DNS
    cdef bint tells = data[2] & 0x80
    cdef Name name
    cdef const Name* known_as
    cdef Key host
    for i in range(n_records):
        at = read_name(data, n, at, &name)
        if at == BROKEN or at + 10 > n:
            break
        kind, kind_class = be16_at(data + at), be16_at(data + at + 2)
        end = at + 10 + be16_at(data + at + 8)
        if i == 0:
            if not is_type(kind):
                return False
            if kind == OPT:
                if name.n:
                    return False
            elif not (is_class(kind_class & 0x7FFF) and (be16_at(data + 4) > 0 or end <= n or is_long(&name))):
                return False
        n_read += 1
        n_rdata = min(end, n) - min(at + 10, n)
        if tells and ((kind == A and n_rdata == 4) or (kind == AAAA and n_rdata == 16)):
            host = v4_key(data + at + 10) if kind == A else v6_key(data + at + 10)
            known_as = asked if is_asked and asked.n and i < n_answers else &name
            look.has_facts = True
            if known_as.n:
                note_name(look.notes, &host, source, known_as.text, known_as.n, look.ts_ns)
        at = end
    return n_read > 0 or (be16_at(data + 4) > 0 and n - start < 300)


cdef inline int message(Look* look, const uint8_t* data, uint32_t n) noexcept nogil:
    """A DNS, mDNS or LLMNR message of at least 12 bytes. The group address or the port tells which."""
    cdef uint32_t n_questions = be16_at(data + 4)
    cdef uint32_t n_records = be16_at(data + 6) + be16_at(data + 8) + be16_at(data + 10)
    cdef uint8_t flags = data[2], codes = data[3], operation = flags & 0x78
    cdef bint is_response = flags & 0x80, is_asked = False
    cdef int app, evidence
    cdef uint32_t at
    cdef Name asked
    if ((operation != 0 and operation != 0x10 and operation != 0x20 and operation != 0x28 and operation != 0x30)
            or codes & 0x40 or codes & 0x0F > 11):
        return NO
    app = name_service_of(look)
    if n_questions + n_records > MAX_RECORDS or n_questions + n_records == 0 or n_questions > 32:
        return damaged(look, data, n, app, n_questions)
    if not is_response and (n_questions == 0 or n_records > 40):
        return damaged(look, data, n, app, n_questions)
    if app == DNS and (n_questions > 1 or (not is_response and flags & 4)):
        return damaged(look, data, n, app, n_questions)
    at = read_questions(data, n, n_questions, &asked, &is_asked, &evidence)
    if evidence == 0:
        return damaged(look, data, n, app, n_questions)
    if app == DNS and evidence == 1 and may_be_netbios(data, n):
        return hinted_one(look, app)
    if evidence == 1:
        return ASK
    if at != BROKEN and n_records:
        if not read_records(look, data, n, at, app, &asked, is_asked):
            return damaged(look, data, n, app, n_questions)
    elif at != BROKEN and at != n and look.protocol != TCP and not are_zero(data + at, n - at):
        return NO
    if is_asked:
        set_title(look, asked.text, asked.n)
    return certain(look, app, DNS_STREAM_FOLLOWS if look.protocol == TCP else DNS_FOLLOWS)


cdef inline int dns(Look* look) noexcept nogil:
    """A message in a datagram."""
    return message(look, look.data, look.n)


cdef inline int dns_stream(Look* look) noexcept nogil:
    """A message after its length (RFC 1035, section 4.2.2)."""
    cdef uint32_t length
    if look.n < 14:
        return NO
    length = be16_at(look.data)
    if length < 17 or length > 16384 or length + 2 < look.n < length // 4:
        return NO
    return message(look, look.data + 2, min(length, look.n - 2))
