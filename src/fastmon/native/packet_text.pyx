"""The packet log's records as text, for the files that they are written to.

What it does not do: write files.
"""

import numpy as np

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize, PyByteArray_Resize
from libc.stdint cimport INT32_MAX, int32_t, uint8_t
from libc.string cimport memcpy

from fastmon.native.decode.headers cimport IP, N_STATUSES
from fastmon.native.engine.packet_log cimport PacketRecord
from fastmon.native.packet_rows cimport MAX_ROW, Clock, clock_init, write_address, write_row

FIELDS = ("ts_ns", "src", "dst", "wire_len", "src_port", "dst_port", "status", "known", "protocol", "tcp_flags", "unused")


def format_packets(records):
    """Return the packet log's records, `PACKET_DTYPE`, as rows of CSV: README, "Packet log".

    Raises TypeError for records of another type, ValueError for a status that there is not.
    """
    cdef const uint8_t[::1] source = record_bytes(records)
    cdef Py_ssize_t i, n_records = source.shape[0] // <Py_ssize_t>sizeof(PacketRecord)
    cdef PacketRecord record
    cdef Clock clock
    cdef uint8_t* start
    cdef uint8_t* end
    if n_records == 0:
        return bytearray()
    text = PyByteArray_FromStringAndSize(NULL, n_records * MAX_ROW)
    start = end = <uint8_t*>PyByteArray_AS_STRING(text)
    with nogil:
        clock_init(&clock)
        for i in range(n_records):
            memcpy(&record, &source[i * <Py_ssize_t>sizeof(PacketRecord)], sizeof(PacketRecord))  # others may change the array
            if record.status >= N_STATUSES:
                with gil:
                    raise ValueError(f"record {i} has the status {record.status}; 0 to {N_STATUSES - 1} are allowed")
            end = write_row(end, &record, &clock)
    PyByteArray_Resize(text, end - start)
    return text


def format_addresses(records, bint of_destination):
    """Return the source or destination addresses of records as one text, and the (n + 1,) int32 offsets where each begins.

    The address of a frame that is not IP is empty. Raises TypeError for records of another type, ValueError for too many.
    """
    cdef const uint8_t[::1] source = record_bytes(records)
    cdef Py_ssize_t i, n_records = source.shape[0] // <Py_ssize_t>sizeof(PacketRecord)
    cdef PacketRecord record
    cdef int32_t[::1] starts
    cdef uint8_t* start
    cdef uint8_t* end
    if n_records > INT32_MAX // MAX_ROW:  # the offsets have 32 bits
        raise ValueError(f"at most {INT32_MAX // MAX_ROW} records are allowed, not {n_records}")
    offsets = np.zeros(n_records + 1, np.int32)
    if n_records == 0:
        return bytearray(), offsets
    starts = offsets
    text = PyByteArray_FromStringAndSize(NULL, n_records * MAX_ROW)
    start = end = <uint8_t*>PyByteArray_AS_STRING(text)
    with nogil:
        for i in range(n_records):
            memcpy(&record, &source[i * <Py_ssize_t>sizeof(PacketRecord)], sizeof(PacketRecord))
            if record.status == IP:
                end = write_address(end, &record.dst if of_destination else &record.src)
            starts[i + 1] = <int32_t>(end - start)
    PyByteArray_Resize(text, end - start)
    return text, offsets


cdef const uint8_t[::1] record_bytes(records) except *:
    array = np.ascontiguousarray(records)
    if array.dtype.names != FIELDS or array.dtype.itemsize != <Py_ssize_t>sizeof(PacketRecord):
        raise TypeError(f"packet records are arrays of PACKET_DTYPE, not of {array.dtype}")
    return array.reshape(-1).view(np.uint8)
