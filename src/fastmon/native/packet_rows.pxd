"""The packet log's records as text: times, addresses, rows of CSV.

The caller has MAX_ROW bytes of room. What it does not do: allocate, know files.
"""

from libc.stdint cimport INT64_MIN, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, strlen

from fastmon.native.decode.headers cimport IP
from fastmon.native.engine.packet_log cimport KNOWN_PORTS, KNOWN_PROTOCOL, KNOWN_TCP_FLAGS, PacketRecord
from fastmon.native.wire cimport Key, be16_at, likely

cdef extern from *:
    """
    static const char fm_digit_pairs[] =
        "00010203040506070809101112131415161718192021222324252627282930313233343536373839404142434445464748495051525354555657585960"
        "616263646566676869707172737475767778798081828384858687888990919293949596979899";
    static const char *const fm_status_names[] = {  /* of frames.FrameStatus, in lower case */
        "ip", "non_ip", "truncated", "malformed", "too_deep", "encrypted", "unsupported_link_type", "duplicate"};
    """
    const char* DIGIT_PAIRS "fm_digit_pairs"
    const char** STATUS_NAMES "fm_status_names"

cdef enum:
    NS_PER_S = 1000000000
    SECOND_LENGTH = 20  # "2026-01-01T00:00:00."
    MAX_ROW = 192  # 30 for the time, 21 for the status, 2 * 39 for addresses, 3 * 5 + 3 + 10 for numbers, the commas

cdef struct Clock:
    int64_t second  # that `text` is of
    uint8_t[SECOND_LENGTH] text


cdef inline void clock_init(Clock* clock) noexcept nogil:
    clock.second = INT64_MIN


cdef inline void write_pair(uint8_t* at, uint32_t number) noexcept nogil:
    memcpy(at, DIGIT_PAIRS + 2 * number, 2)


cdef inline uint8_t* write_number(uint8_t* at, uint32_t number) noexcept nogil:
    cdef uint8_t[10] digits
    cdef uint32_t start = 10
    while number >= 10:
        start -= 2
        write_pair(digits + start, number % 100)
        number //= 100
    if number or start == 10:
        start -= 1
        digits[start] = <uint8_t>(48 + number)
    elif digits[start] == 48:
        start += 1  # the pair that came last began with 0
    memcpy(at, digits + start, 10 - start)
    return at + (10 - start)


cdef inline uint8_t* write_text(uint8_t* at, const char* text) noexcept nogil:
    cdef uint64_t length = strlen(text)
    memcpy(at, text, length)
    return at + length


cdef inline void clock_set(Clock* clock, int64_t second) noexcept nogil:
    """Write a second's date and time: days become a Gregorian date in eras of 400 years that begin with a March."""
    cdef int64_t days = second // 86400
    cdef uint32_t of_day, of_era, year_of_era, of_year, month, year
    if second % 86400 < 0:  # C rounds towards 0
        days -= 1
    of_day = <uint32_t>(second - days * 86400)
    days += 719468  # from 0000-03-01; no 64-bit nanosecond is before 1677
    of_era = <uint32_t>(days % 146097)
    year_of_era = (of_era - of_era // 1460 + of_era // 36524 - of_era // 146096) // 365
    of_year = of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month = (5 * of_year + 2) // 153  # from March on
    year = <uint32_t>(days // 146097) * 400 + year_of_era + (month >= 10)
    memcpy(clock.text, b"0000-00-00T00:00:00.", SECOND_LENGTH)
    write_pair(clock.text, year // 100)
    write_pair(clock.text + 2, year % 100)
    write_pair(clock.text + 5, month - 9 if month >= 10 else month + 3)
    write_pair(clock.text + 8, of_year - (153 * month + 2) // 5 + 1)
    write_pair(clock.text + 11, of_day // 3600)
    write_pair(clock.text + 14, of_day // 60 % 60)
    write_pair(clock.text + 17, of_day % 60)
    clock.second = second


cdef inline uint8_t* write_time(uint8_t* at, int64_t ts_ns, Clock* clock) noexcept nogil:
    """Write a time as ISO-8601 in UTC with nanoseconds: "2026-01-01T00:00:00.000000000Z"."""
    cdef int64_t second = ts_ns // NS_PER_S
    cdef uint32_t ns
    if second * NS_PER_S > ts_ns:
        second -= 1
    ns = <uint32_t>(ts_ns - second * NS_PER_S)
    if second != clock.second:
        clock_set(clock, second)
    memcpy(at, clock.text, SECOND_LENGTH)
    at[20] = <uint8_t>(48 + ns // 100000000)
    write_pair(at + 21, ns // 1000000 % 100)
    write_pair(at + 23, ns // 10000 % 100)
    write_pair(at + 25, ns // 100 % 100)
    write_pair(at + 27, ns % 100)
    at[29] = 90  # Z
    return at + 30


cdef inline uint8_t* write_octet(uint8_t* at, uint32_t number) noexcept nogil:
    if number >= 100:
        at[0] = <uint8_t>(48 + number // 100)
        write_pair(at + 1, number % 100)
        return at + 3
    if number >= 10:
        write_pair(at, number)
        return at + 2
    at[0] = <uint8_t>(48 + number)
    return at + 1


cdef inline uint8_t* write_v4(uint8_t* at, const uint8_t* address) noexcept nogil:
    cdef int i
    for i in range(4):
        at = write_octet(at, address[i])
        at[0] = 46  # "."
        at += 1
    return at - 1


cdef inline uint8_t* write_group(uint8_t* at, uint32_t group) noexcept nogil:
    cdef int shift = 12
    cdef uint32_t digit
    while shift and group >> shift == 0:
        shift -= 4
    while shift >= 0:
        digit = group >> shift & 15
        at[0] = <uint8_t>(48 + digit if digit < 10 else 87 + digit)
        at += 1
        shift -= 4
    return at


cdef inline uint8_t* write_v6(uint8_t* at, const uint8_t* address) noexcept nogil:
    """RFC 5952 section 4: the first of the longest runs of two or more zero groups becomes "::"."""
    cdef int i, run = 0, longest = 1, start = 8, last
    for i in range(8):
        run = run + 1 if be16_at(address + 2 * i) == 0 else 0
        if run > longest:
            longest = run
            start = i + 1 - run
    last = start + longest - 1 if start < 8 else 8
    i = 0
    while i < 8:
        if i == start:
            at[0] = at[1] = 58  # "::"
            at += 2
            i = last + 1
            continue
        if i and i != last + 1:
            at[0] = 58
            at += 1
        if i == 6 and start == 0 and (longest == 6):
            return write_v4(at, address + 12)  # an IPv4-compatible address (RFC 4291 section 2.5.5.1), as inet_ntop has it
        at = write_group(at, be16_at(address + 2 * i))
        i += 1
    return at


cdef inline uint8_t* write_address(uint8_t* at, const Key* key) noexcept nogil:
    """Write a host's address, a v4-mapped one as IPv4."""
    cdef const uint8_t* address = <const uint8_t*>key
    if likely(key.high == 0 and be16_at(address + 8) == 0 and be16_at(address + 10) == 0xFFFF):
        return write_v4(at, address + 12)
    return write_v6(at, address)


cdef inline uint8_t* comma(uint8_t* at) noexcept nogil:
    at[0] = 44
    return at + 1


cdef inline uint8_t* write_row(uint8_t* at, const PacketRecord* record, Clock* clock) noexcept nogil:
    """Write a record in the order of `sinks.packet_files.COLUMNS`. Unknown fields are empty."""
    at = comma(write_time(at, record.ts_ns, clock))
    at = comma(write_text(at, STATUS_NAMES[record.status]))
    if record.status == IP:
        at = write_address(at, &record.src)
    at = comma(at)
    if record.status == IP:
        at = write_address(at, &record.dst)
    at = comma(at)
    if record.known & KNOWN_PROTOCOL:
        at = write_octet(at, record.protocol)
    at = comma(at)
    if record.known & KNOWN_PORTS:
        at = write_number(at, record.src_port)
    at = comma(at)
    if record.known & KNOWN_PORTS:
        at = write_number(at, record.dst_port)
    at = comma(at)
    if record.known & KNOWN_TCP_FLAGS:
        at = write_octet(at, record.tcp_flags)
    at = write_number(comma(at), record.wire_len)
    at[0] = 10  # the line's end
    return at + 1
