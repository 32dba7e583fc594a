"""What is wrong with a capture file, in words.

What it does not do: find it; the parsers do.
"""

from libc.stdint cimport uint64_t

from fastmon.native.files.savefile cimport (
    FAULT_BLOCK_LENGTH, FAULT_BYTE_ORDER, FAULT_CAP_LEN, FAULT_CUT, FAULT_ERF_TYPE, FAULT_INTERFACE, FAULT_LINK_TYPE,
    FAULT_MAGIC, FAULT_MEMORY, FAULT_OPTION, FAULT_RECORD_LENGTH, FAULT_RESERVED, FAULT_RESOLUTION, FAULT_ROOM, FAULT_SHRUNK,
    FAULT_SNOOP_LINK, FAULT_TRAILER, FAULT_VERSION, MAX_BLOCK_LENGTH, MAX_CAP_LEN, Savefile, is_unknown,
)


cdef inline str what_is_wrong(const Savefile* file):
    a, b = file.fault_a, file.fault_b
    return {
        FAULT_MAGIC: f"not a capture file: it begins with 0x{a:08x}, which is no pcap, pcapng or snoop magic number",
        FAULT_BYTE_ORDER: f"a section's byte-order magic number is 0x{a:08x}, and should be 0x1a2b3c4d",
        FAULT_VERSION: f"format version {a}.{b} is not supported",
        FAULT_RESERVED: f"reserved bits of the link-type field 0x{a:08x} are set",
        FAULT_LINK_TYPE: f"another capture file begins here, whose link type {a} is not supported",
        FAULT_SNOOP_LINK: f"snoop link type {a} is not supported",
        FAULT_CAP_LEN: f"a record claims {a} captured bytes; at most {MAX_CAP_LEN} are allowed",
        FAULT_ROOM: f"a record claims {a} captured bytes; its block holds {b}",
        FAULT_RECORD_LENGTH: f"a record claims a length of {a} bytes; at least {b} and at most {MAX_BLOCK_LENGTH} are allowed",
        FAULT_ERF_TYPE: f"a record is of the type {a}, which ERF does not have",
        FAULT_BLOCK_LENGTH: f"a block of type 0x{b:08x} claims a length of {a} bytes; at least its header and at most "
                            f"{MAX_BLOCK_LENGTH} are allowed",
        FAULT_TRAILER: f"a block's two lengths differ: {a} in front, {b} behind",
        FAULT_INTERFACE: f"a packet names interface {a}, but {b} are described",
        FAULT_RESOLUTION: f"timestamp resolution 0x{a:02x} is not supported",
        FAULT_OPTION: f"an option claims {a} bytes, but its block has {b} left",
        FAULT_MEMORY: "too many interfaces",
        FAULT_CUT: "the file ends in the middle of a record",
        FAULT_SHRUNK: "the file was cut while it was read",
    }[file.fault]


cdef inline str fault_text(const Savefile* file, uint64_t n_records):
    """Return what ended the reading after `n_records` records, in words."""
    if is_unknown(file):
        return "the file ends in the middle of its header" if file.fault == FAULT_CUT else what_is_wrong(file)
    if file.fault == FAULT_CUT or file.fault == FAULT_SHRUNK:
        return f"{what_is_wrong(file)}, after {n_records} records"
    return f"{what_is_wrong(file)} (after {n_records} records)"
