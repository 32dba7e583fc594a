"""Any capture file: recognise its format, and parse its next record.

What it does not do: read files, decompress, decode frames.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint32_t

from fastmon.native.decode.link cimport LINK_ERF
from fastmon.native.files.erf cimport begin_erf, next_erf, recognise_erf, unwrap_erf
from fastmon.native.files.magic cimport begins_file, is_pcap_magic
from fastmon.native.files.pcap cimport next_pcap, next_snoop, read_pcap_header, read_snoop_header
from fastmon.native.files.pcapng cimport next_pcapng
from fastmon.native.files.savefile cimport (
    BLOCK_ENHANCED_PACKET, BLOCK_PACKET, BLOCK_SECTION, BLOCK_SIMPLE_PACKET, DAMAGED, FAULT_MAGIC, FORMAT_ERF, FORMAT_PCAP,
    FORMAT_PCAPNG, FORMAT_SNOOP, FORMAT_UNKNOWN, NEED_INPUT, NEXT_FILE, RECORD, SNOOP_MAGIC, Record, Savefile, available, damaged,
    need, u32,
)
from fastmon.native.wire cimport be32_at, load32, swap32


cdef inline int read_header(Savefile* file) noexcept nogil:
    """Recognise the format and read its header; RECORD means that records may follow."""
    cdef uint32_t magic
    cdef int status, format = FORMAT_PCAP
    if available(file) < 4:
        return need(file, 4)
    magic = load32(file.pos)
    if magic == BLOCK_SECTION:  # the same in either byte order
        format = FORMAT_PCAPNG
        status = RECORD
    elif be32_at(file.pos) == SNOOP_MAGIC:
        format = FORMAT_SNOOP
        status = read_snoop_header(file)
    elif is_pcap_magic(magic) or is_pcap_magic(swap32(magic)):
        file.swapped = not is_pcap_magic(magic)
        status = read_pcap_header(file)
    else:
        format = FORMAT_ERF
        status = recognise_erf(file)
        if status == DAMAGED:
            return damaged(file, FAULT_MAGIC, be32_at(file.pos), 0)
        if status == RECORD:
            status = begin_erf(file)
    if status == RECORD:
        file.format = format
    return status


cdef inline int next_record(Savefile* file, Record* record) noexcept nogil:
    """Parse the record at `pos` without consuming it; the caller adds `record.length` to `pos`."""
    cdef int status
    record.n_lost = 0
    while True:
        if file.format == FORMAT_PCAP:
            status = next_pcap(file, record)
        elif file.format == FORMAT_PCAPNG:
            status = next_pcapng(file, record)
        elif file.format == FORMAT_SNOOP:
            status = next_snoop(file, record)
        elif file.format == FORMAT_ERF:
            status = next_erf(file, record)
        else:
            status = read_header(file)
            if status == RECORD:
                continue
        if status == RECORD and file.interfaces[record.interface].link_type == LINK_ERF:
            unwrap_erf(record)
        if status != NEXT_FILE:
            return status
        file.format = FORMAT_UNKNOWN
        file.n_interfaces = 0
        file.n_files += 1


cdef inline bint is_packet_next(const Savefile* file) noexcept nogil:
    """Whether a packet's record begins at `pos`: parsing it changes nothing but `record`."""
    cdef uint32_t block_type
    if begins_file(file.pos, available(file)):
        return False
    if file.format != FORMAT_PCAPNG:
        return True
    if file.skip or available(file) < 12:
        return False
    block_type = u32(file, file.pos)
    return block_type == BLOCK_PACKET or block_type == BLOCK_SIMPLE_PACKET or block_type == BLOCK_ENHANCED_PACKET


cdef inline int record_ahead(const Savefile* file, size_t offset, Record* record) noexcept nogil:
    """Parse the record at `pos + offset`, as `next_record` would, without a trace in `file`.

    NEED_INPUT: `record.length` is how many bytes must be there at `pos`. DAMAGED also where something else than a packet begins.
    """
    cdef Savefile ahead = file[0]
    cdef int status
    ahead.pos += offset
    if available(&ahead) < 12:
        record.length = offset + 12
        return NEED_INPUT
    if not is_packet_next(&ahead):
        return DAMAGED
    status = next_record(&ahead, record)
    if status == NEED_INPUT:
        record.length = offset + ahead.need
    return status
