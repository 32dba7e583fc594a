"""Records of ERF files, which have no header of their own, and of ERF in other files (link type 197).

What it does not do: decode what they hold.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from fastmon.native.decode.erf cimport (
    ERF_HEADER_BYTES, ERF_LAST_TYPE, ERF_PAD, erf_headers, erf_lost, erf_type, erf_wire_len,
)
from fastmon.native.decode.link cimport LINK_ERF
from fastmon.native.files.magic cimport begins_file
from fastmon.native.files.savefile cimport (
    DAMAGED, FAULT_ERF_TYPE, FAULT_MEMORY, FAULT_RECORD_LENGTH, NEED_INPUT, NEXT_FILE, RECORD, Record, Savefile, add_interface,
    available, damaged, need,
)
from fastmon.native.wire cimport be16_at, le32_at

cdef enum:
    N_CHECKED = 3  # records that make a file one of ERF; less if they end with the input
    FIRST_S = 631152000  # 1990: before there was ERF
    MAX_BACKSTEP_S = 1
    MAX_GAP_S = 366 * 86400


cdef inline bint looks_like_erf(const uint8_t* record, uint32_t previous_s) noexcept nogil:
    """Whether an ERF record may begin with these 16 bytes, after one of the time `previous_s`, 0 if there was none."""
    cdef uint8_t kind = erf_type(record)
    cdef uint32_t seconds = le32_at(record + 4)
    if be16_at(record + 10) < ERF_HEADER_BYTES:
        return False
    if kind == ERF_PAD:
        return previous_s != 0
    if kind == 0 or kind > ERF_LAST_TYPE:
        return False
    if previous_s == 0:
        return seconds >= FIRST_S
    return previous_s <= seconds + MAX_BACKSTEP_S and seconds <= <uint64_t>previous_s + MAX_GAP_S


cdef inline int recognise_erf(Savefile* file) noexcept nogil:
    """Whether the input is an ERF file (RECORD) or not (DAMAGED), by its first records: it has no magic number."""
    cdef size_t offset = 0
    cdef int n = 0
    cdef uint32_t previous_s = 0
    while n < N_CHECKED and offset < available(file):
        if available(file) - offset < ERF_HEADER_BYTES:
            if n:
                return RECORD
            if available(file) > 8 and (erf_type(file.pos) == 0 or erf_type(file.pos) > ERF_LAST_TYPE):
                return DAMAGED
            return need(file, ERF_HEADER_BYTES)
        if not looks_like_erf(file.pos + offset, previous_s):
            return DAMAGED
        if erf_type(file.pos + offset) != ERF_PAD:
            previous_s = le32_at(file.pos + offset + 4)
        offset += be16_at(file.pos + offset + 10)
        n += 1
    if n == 1 and offset > available(file):
        return need(file, offset)
    return RECORD


cdef inline int begin_erf(Savefile* file) noexcept nogil:
    if add_interface(file, LINK_ERF) == NULL:
        return damaged(file, FAULT_MEMORY, 0, 0)
    file.swapped = False
    return RECORD


cdef inline void unwrap_erf(Record* record) noexcept nogil:
    """Let a record that is one of ERF count what was on the wire: neither headers, nor padding, nor a checksum."""
    cdef uint32_t headers = erf_headers(record.data, record.cap_len)
    if headers == 0:  # cut
        return
    record.wire_len = erf_wire_len(record.data)
    record.cap_len = min(record.cap_len, headers + record.wire_len)
    record.n_lost = max(record.n_lost, erf_lost(record.data))


cdef inline int next_erf(Savefile* file, Record* record) noexcept nogil:
    cdef const uint8_t* header
    cdef uint64_t fraction
    while True:
        header = file.pos
        if begins_file(header, available(file)):
            return NEXT_FILE
        if available(file) < ERF_HEADER_BYTES:
            return need(file, ERF_HEADER_BYTES)
        record.length = be16_at(header + 10)
        if record.length < ERF_HEADER_BYTES:
            return damaged(file, FAULT_RECORD_LENGTH, record.length, ERF_HEADER_BYTES)
        if erf_type(header) == 0 or (erf_type(header) > ERF_LAST_TYPE and erf_type(header) != ERF_PAD):
            return damaged(file, FAULT_ERF_TYPE, erf_type(header), 0)
        if available(file) < record.length:
            return need(file, record.length)
        if erf_type(header) != ERF_PAD:
            break
        file.pos += record.length
    fraction = <uint64_t>le32_at(header) * 1000000000 + 0x80000000U  # the time is in units of 2**-32 s
    record.ts_ns = <int64_t>le32_at(header + 4) * 1000000000 + <int64_t>(fraction >> 32)
    record.data = header
    record.cap_len = record.length
    record.wire_len = be16_at(header + 14)
    record.interface = 0
    return RECORD
