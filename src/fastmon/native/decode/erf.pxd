"""The header of a record in Endace's extensible record format (ERF): in files of its own, and as link type 197.

What it does not do: say what the frame behind it holds (`native/decode/link.pxd`), read files.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from fastmon.native.wire cimport be16_at

cdef enum:
    ERF_HEADER_BYTES = 16
    ERF_HDLC_POS = 1
    ERF_ETHERNET = 2
    ERF_MC_HDLC = 5
    ERF_COLOR_HDLC_POS = 10
    ERF_COLOR_ETHERNET = 11
    ERF_DSM_COLOR_HDLC_POS = 15
    ERF_DSM_COLOR_ETHERNET = 16
    ERF_COLOR_MC_HDLC = 17
    ERF_AAL2 = 18
    ERF_COLOR_HASH_POS = 19
    ERF_COLOR_HASH_ETHERNET = 20
    ERF_IPV4 = 22
    ERF_IPV6 = 23
    ERF_META = 27
    ERF_LAST_TYPE = 29  # but for padding
    ERF_PAD = 48


cdef inline uint8_t erf_type(const uint8_t* record) noexcept nogil:
    return record[8] & 0x7F


cdef inline bint is_erf_ethernet(uint8_t kind) noexcept nogil:
    return kind in (ERF_ETHERNET, ERF_COLOR_ETHERNET, ERF_DSM_COLOR_ETHERNET, ERF_COLOR_HASH_ETHERNET)


cdef inline bint is_erf_hdlc(uint8_t kind) noexcept nogil:
    return kind in (ERF_HDLC_POS, ERF_MC_HDLC, ERF_COLOR_HDLC_POS, ERF_DSM_COLOR_HDLC_POS, ERF_COLOR_MC_HDLC, ERF_COLOR_HASH_POS)


cdef inline uint32_t erf_headers(const uint8_t* record, uint32_t avail) noexcept nogil:
    """Return the length of a record's headers, with extensions and its type's own; 0 if `avail` bytes do not hold them."""
    cdef uint32_t length = ERF_HEADER_BYTES
    cdef uint8_t more, kind
    if avail < ERF_HEADER_BYTES:
        return 0
    kind = erf_type(record)
    more = record[8] & 0x80
    while more:
        if avail - length < 8:
            return 0
        more = record[length] & 0x80
        length += 8
    if is_erf_ethernet(kind):
        length += 2
    elif ERF_MC_HDLC <= kind <= 9 or kind == 12 or kind == ERF_COLOR_MC_HDLC or kind == ERF_AAL2:
        length += 4
    return length if length <= avail else 0


cdef inline uint32_t erf_wire_len(const uint8_t* record) noexcept nogil:
    """Return the frame's length on the wire, without the checksum that Ethernet's has."""
    cdef uint32_t length = be16_at(record + 14)
    return length - min(<uint32_t>4, length) if is_erf_ethernet(erf_type(record)) else length


cdef inline uint16_t erf_lost(const uint8_t* record) noexcept nogil:
    """Return the records lost before this one; types with a colour have that in its place."""
    cdef uint8_t kind = erf_type(record)
    if kind in (ERF_COLOR_HDLC_POS, ERF_COLOR_ETHERNET, ERF_DSM_COLOR_HDLC_POS, ERF_DSM_COLOR_ETHERNET, ERF_COLOR_MC_HDLC,
                ERF_COLOR_HASH_POS, ERF_COLOR_HASH_ETHERNET) or kind >= ERF_META:
        return 0
    return be16_at(record + 12)
