"""The native engine: reads savefiles, drains libpcap handles, accounts frames per host, exports to numpy.

`accounting.py` is its typed face and says what the methods mean. Only the end of a call raises: within the loops, a
frame that cannot be decoded is a status and a counter, and a file that cannot be read on is a fault.

What it does not do: open files or interfaces, keep time, format.
"""

import os
import struct
import sys

from fastmon.bounds import MAX_CONVERSATIONS, MAX_HOSTS, check_range
from fastmon.errors import CaptureError, ClosedCaptureError, ConfigError, StoppedError, TruncatedCaptureError

from cpython.buffer cimport PyBuffer_FillInfo
from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize, PyByteArray_Resize
from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stddef cimport size_t
from libc.stdint cimport INT64_MAX, INT64_MIN, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdio cimport FILE, fclose
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy, memmove, memset

from fastmon.native.tables.applications cimport N_APPS, AppTable, apps_free, apps_init, traffic_is_zero
from fastmon.native.engine.entry cimport BATCH_FRAMES, Entry, describe, find_payload
from fastmon.native.tables.conversations cimport (
    BY_PAYLOAD, N_REASONS, Conversation, conversations_are_sound, conversations_free, conversations_init,
)
from fastmon.native.decode.headers cimport IP, N_STATUSES, NON_IP, Packet
from fastmon.native.engine.engine cimport (
    COPY_BYTES, Engine, decode as decode_frame, engine_init, flush, is_full, push,
)
from fastmon.native.engine.conversations cimport ConversationTallies, Conversations, is_running, relabel, want_payloads
from fastmon.native.engine.hosts cimport Crossing, Hosts, Overflow, Prefix, is_local
from fastmon.native.decode.link cimport (
    BEGIN_UNSUPPORTED, LINK_ATM_RFC1483, LINK_RAW, N_BEGINNINGS, beginning_of,
)
from fastmon.native.engine.payloads cimport Payload, payloads_free, payloads_init
from fastmon.native.files.read_method cimport READING, SCOUTING, Pace, pace_fix, pace_init, pace_note, pace_room
from fastmon.native.engine.packet_log cimport (
    LOG_RECORDS, PacketRecord, log_free, log_new,
)
from fastmon.native.packet_text cimport MAX_ROW, Clock, clock_init, write_address, write_row
from fastmon.native.files.pcapng cimport next_record
from fastmon.native.live.pypcap cimport (
    PCAP_ERRBUF_SIZE, PCAP_ERROR, PCAP_NETMASK_UNKNOWN, PCAP_TSTAMP_PRECISION_NANO, bpf_program, pcap, pcap_close,
    pcap_compile, pcap_datalink, pcap_datalink_val_to_name, pcap_dispatch, pcap_fopen_offline, pcap_freecode,
    pcap_get_tstamp_precision, pcap_geterr, pcap_offline_filter, pcap_pkthdr, pcap_t,
)
from fastmon.native.files.replay cimport drain_buffer, drain_file, file_bytes
from fastmon.native.engine.rotation cimport begin_interval, end_all, end_all_idle, merge, settle_all, was_idle
from fastmon.native.files.savefile cimport (
    FAULT_BLOCK_LENGTH, FAULT_BYTE_ORDER, FAULT_CAP_LEN, FAULT_CUT, FAULT_INTERFACE, FAULT_MAGIC, FAULT_MEMORY,
    FAULT_NONE, FAULT_OPTION, FAULT_RECORD_LENGTH, FAULT_RESERVED, FAULT_RESOLUTION, FAULT_ROOM, FAULT_SHRUNK,
    FAULT_SNOOP_LINK, FAULT_TRAILER, FAULT_VERSION, FORMAT_UNKNOWN, MAX_BLOCK_LENGTH, MAX_CAP_LEN, MICROSECOND_MAGIC,
    NEED_INPUT, RECORD, Interface, Record, Savefile, available, damaged, is_plain_pcap, read_header,
)
from fastmon.native.tables.hosts cimport (
    HostRow, HostTable, Tally, Traffic, bytes_in, is_flagged, table_free, table_init, table_is_sound,
)
from fastmon.native.decode.upper cimport PROTOCOL_NOT_CAPTURED, Upper, decode_upper
from fastmon.native.wire cimport fetch_lines, unlikely, v6_key

cdef extern from *:
    """
    #include <poll.h>
    #include <sys/stat.h>
    #include <time.h>
    #include <unistd.h>

    #ifdef FASTMON_DEBUG
    #define FM_DEBUG 1
    #else
    #define FM_DEBUG 0
    #endif

    static int fm_is_regular(int fd) { struct stat s; return fstat(fd, &s) == 0 && S_ISREG(s.st_mode); }
    static int64_t fm_position(int fd) { return (int64_t)lseek(fd, 0, SEEK_CUR); }
    static int64_t fm_set_position(int fd, int64_t offset) { return (int64_t)lseek(fd, (off_t)offset, SEEK_SET); }
    static int64_t fm_monotonic_ns(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    }
    static int fm_poll(int fd, int timeout_ms) { struct pollfd p = {fd, POLLIN, 0}; return poll(&p, 1, timeout_ms); }
    """
    bint FM_DEBUG
    bint is_regular "fm_is_regular"(int fd) noexcept nogil
    int64_t position "fm_position"(int fd) noexcept nogil
    int64_t set_position "fm_set_position"(int fd, int64_t offset) noexcept nogil
    int64_t monotonic_ns "fm_monotonic_ns"() noexcept nogil
    int poll_input "fm_poll"(int fd, int timeout_ms) noexcept nogil
    Py_ssize_t read(int fd, void* target, size_t n_bytes) noexcept nogil
    FILE* fmemopen(void* buffer, size_t n_bytes, const char* mode)

cdef enum:
    CHUNK_BYTES = 1 << 20  # per read(2): the kernel copies faster into memory that the second cache does not hold
    PEEK_BYTES = 1 << 15  # the same between two drains of a mapped file: it is for the few frames that are looked at singly
    POLL_MS = 100  # of a pipe, so that signals and intervals are not kept waiting
    LIVE_AHEAD_BYTES = 4096  # in the ring another core has just written them: reading them here waits long
    RING_HEADER_BYTES = 96  # at most, before each frame (Linux's TPACKET_V3)

cdef enum:  # of refilling the buffer
    REFILL_END
    REFILL_DONE
    REFILL_LATER
    REFILL_FAILED

DEBUG = bool(FM_DEBUG)

WAYS = ("reading", "mapping", "scouting")
"""To take a file's bytes: read(2); mapped, all of them; mapped, the records' headers.

In the order of `native/files/read_method.pxd`.
"""


LINK_TYPES = frozenset(number for number in range(N_BEGINNINGS) if beginning_of(number) != BEGIN_UNSUPPORTED)


def link_type_name(uint32_t link_type):
    """Return libpcap's name of a LINKTYPE_ number, without its prefix; None if it has none."""
    cdef const char* name = pcap_datalink_val_to_name(dlt(link_type))
    return None if name == NULL else name.decode()


cdef int dlt(uint32_t link_type) noexcept:
    """The DLT_ number, which libpcap works with, of a LINKTYPE_ number, which files have; most are the same."""
    if link_type == LINK_RAW:
        return 12
    return 11 if link_type == LINK_ATM_RFC1483 else <int>link_type


def decode(link_type, data, inner=False):
    """Decode one frame's captured bytes; return a `frames.PacketSummary`."""
    from fastmon.model.frames import FrameStatus, PacketSummary

    cdef const uint8_t[::1] view = data
    cdef uint32_t cap_len = view.shape[0]
    cdef uint8_t nothing = 0
    cdef Packet packet
    cdef Upper upper
    cdef Entry entry
    cdef int status = decode_frame(link_type, &view[0] if cap_len else &nothing, cap_len, inner, &packet)
    if status != IP:
        return PacketSummary(FrameStatus(status))
    decode_upper(packet.ip, packet.ip_avail, &upper)
    has_tcp_flags = describe(&entry, packet.ip, packet.ip_avail)
    find_payload(&entry)
    return PacketSummary(
        FrameStatus.IP,
        (<uint8_t*>&packet.src)[:16],
        (<uint8_t*>&packet.dst)[:16],
        None if upper.protocol == PROTOCOL_NOT_CAPTURED else upper.protocol,
        (upper.src_port, upper.dst_port) if upper.has_ports else None,
        bool(upper.is_fragment),
        entry.tcp_flags if has_tcp_flags else None,
        entry.captured[:entry.n_captured],
    )


def format_packets(records):
    """Return the packet log's records, a contiguous array of `PACKET_DTYPE`, as rows of CSV: README, "Packet log"."""
    cdef const uint8_t[::1] source = record_bytes(records)
    cdef Py_ssize_t i, n_records = source.shape[0] // <Py_ssize_t>sizeof(PacketRecord)
    cdef const PacketRecord* record
    cdef uint8_t* end
    cdef Clock clock
    if n_records == 0:
        return bytearray()
    text = PyByteArray_FromStringAndSize(NULL, n_records * MAX_ROW)
    cdef uint8_t* start = <uint8_t*>PyByteArray_AS_STRING(text)
    record = <const PacketRecord*>&source[0]
    with nogil:
        end = start
        clock_init(&clock)
        for i in range(n_records):
            end = write_row(end, &record[i], &clock)
    PyByteArray_Resize(text, end - start)
    return text


def format_addresses(records, bint of_destination):
    """Return the source or destination addresses of records as text: all of it, and the n + 1 places where each begins.

    That of a frame that is not IP is empty.
    """
    import numpy as np

    cdef const uint8_t[::1] source = record_bytes(records)
    cdef Py_ssize_t i, n_records = source.shape[0] // <Py_ssize_t>sizeof(PacketRecord)
    cdef const PacketRecord* record
    offsets = np.zeros(n_records + 1, np.int32)
    cdef int32_t[::1] starts = offsets
    if n_records == 0:
        return bytearray(), offsets
    text = PyByteArray_FromStringAndSize(NULL, n_records * MAX_ROW)
    cdef uint8_t* start = <uint8_t*>PyByteArray_AS_STRING(text)
    cdef uint8_t* end = start
    record = <const PacketRecord*>&source[0]
    with nogil:
        for i in range(n_records):
            if record[i].status == IP:
                end = write_address(end, &record[i].dst if of_destination else &record[i].src)
            starts[i + 1] = <int32_t>(end - start)
    PyByteArray_Resize(text, end - start)
    return text, offsets


cdef const uint8_t[::1] record_bytes(records):
    import numpy as np

    from fastmon.model.packets import PACKET_DTYPE

    if records.dtype != PACKET_DTYPE:
        raise TypeError(f"packet records have the type {PACKET_DTYPE}, these {records.dtype}")
    return np.ascontiguousarray(records).view(np.uint8)


cdef str fault_text(const Savefile* file):
    a, b = file.fault_a, file.fault_b
    return {
        FAULT_MAGIC: f"not a capture file: it begins with 0x{a:08x}, which is no pcap, pcapng or snoop magic number",
        FAULT_BYTE_ORDER: f"a section's byte-order magic number is 0x{a:08x}, and should be 0x1a2b3c4d",
        FAULT_VERSION: f"format version {a}.{b} is not supported",
        FAULT_RESERVED: f"reserved bits of the link-type field 0x{a:08x} are set",
        FAULT_SNOOP_LINK: f"snoop link type {a} is not supported",
        FAULT_CAP_LEN: f"a record claims {a} captured bytes; at most {MAX_CAP_LEN} are allowed",
        FAULT_ROOM: f"a record claims {a} captured bytes; its block holds {b}",
        FAULT_RECORD_LENGTH: f"a record claims a length of {a} bytes; at least {b} and at most {MAX_BLOCK_LENGTH} are allowed",
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


cdef int64_t reading_bound(until_ns) except? -1:
    """The time before which frames are read; INT64_MAX, which is no frame's, for none and for one out of range."""
    return INT64_MAX if until_ns is None or until_ns > INT64_MAX else until_ns


cdef class SavefileReader:
    """Reads the records of one capture file (pcap, pcapng, snoop), in order, once.

    fd: descriptor that read(2) reads, or -1 to read `stream`, an object with `readinto`, which returns None if nothing is
        there yet. The caller closes either.
    name: for messages.
    head: bytes already taken from the input.
    way: one of `WAYS`, for what can be mapped (regular files, if they are plain pcap and not filtered); None: the fastest.

    exhausted: the file was read to its end, or to its damage.
    n_records: records read, filtered ones included.  n_input_bytes: bytes taken from the input.
    n_mapped: records read from a mapping.  n_scouted: those of them whose headers alone were fetched.
    """

    cdef Savefile file
    cdef uint8_t* buffer
    cdef size_t capacity
    cdef int fd
    cdef bint polled
    cdef bint mappable
    cdef Pace pace
    cdef size_t chunk
    cdef int64_t n_file_bytes  # when it was last looked at
    cdef bint at_end
    cdef int error
    cdef object stream
    cdef object stream_error
    cdef object view
    cdef bytes filter_text
    cdef bint has_filter
    cdef bint has_stream
    cdef list filters
    cdef readonly str name
    cdef readonly bint exhausted
    cdef readonly bint closed
    cdef readonly uint64_t n_records
    cdef readonly uint64_t n_input_bytes
    cdef readonly uint64_t n_mapped
    cdef readonly uint64_t n_scouted

    def __cinit__(self, int fd, str name, stream=None, bytes head=b"", filter=None, way=None):
        self.fd = fd
        self.stream = stream
        self.name = name
        self.filter_text = os.fsencode(filter) if filter else b""
        self.has_filter = len(self.filter_text) > 0
        self.has_stream = stream is not None
        self.filters = []
        self.polled = stream is None and not is_regular(fd)
        self.n_file_bytes = file_bytes(fd) if stream is None and is_regular(fd) else 0
        self.mappable = self.n_file_bytes > 0
        pace_init(&self.pace)
        if way is not None:
            pace_fix(&self.pace, WAYS.index(way))
        self.chunk = CHUNK_BYTES
        self.grow(CHUNK_BYTES + len(head))
        memcpy(self.buffer, <const uint8_t*>head, len(head))
        self.file.end += len(head)
        self.n_input_bytes = len(head)

    def __dealloc__(self):
        free(self.buffer)
        free(self.file.interfaces)

    cdef int grow(self, size_t capacity) except -1:
        cdef size_t held = available(&self.file)
        cdef uint8_t* grown
        if held:
            memmove(self.buffer, self.file.pos, held)
        grown = <uint8_t*>realloc(self.buffer, capacity)
        if grown == NULL:
            raise MemoryError(f"no memory for a record of {capacity} bytes")
        self.buffer = grown
        self.capacity = capacity
        self.file.pos = grown
        self.file.end = grown + held
        return 0

    cdef int refill(self) except -1 nogil:
        """Move what is left to the buffer's front, and take more input behind it."""
        cdef size_t held = available(&self.file)
        cdef size_t front = (64 - held % 64) % 64
        cdef Py_ssize_t n_read
        cdef uint8_t* target
        if self.at_end:
            return REFILL_END
        if self.capacity < CHUNK_BYTES + 64 + max(held, self.file.need):
            with gil:
                self.grow(CHUNK_BYTES + 64 + max(held, self.file.need))
        memmove(self.buffer + front, self.file.pos, held)
        self.file.pos = self.buffer + front
        self.file.end = target = self.buffer + front + held
        if self.has_stream:
            with gil:
                n_read = self.read_stream(front + held)
            if n_read < 0:
                return REFILL_LATER
        else:
            if self.polled and poll_input(self.fd, POLL_MS) <= 0:
                return REFILL_LATER
            n_read = self.read_file(target)
            self.chunk = CHUNK_BYTES
        if n_read < 0:
            if errno == EINTR or errno == EAGAIN:
                return REFILL_LATER
            self.error = errno
            return REFILL_FAILED
        if n_read == 0:
            self.at_end = True
            return REFILL_END
        self.file.end += n_read
        self.n_input_bytes += n_read
        return REFILL_DONE

    cdef Py_ssize_t read_file(self, uint8_t* target) noexcept nogil:
        """read(2) a chunk, without what was cut off meanwhile: the kernel may zero pages that it is copying."""
        cdef Py_ssize_t n_read = read(self.fd, target, self.chunk)
        cdef int64_t end, n_cut
        if n_read > 0 and self.n_file_bytes:
            end = position(self.fd)
            n_cut = end - file_bytes(self.fd)
            if n_cut > 0:
                self.n_file_bytes = max(self.n_file_bytes, end)
                n_cut = min(n_cut, <int64_t>n_read)
                n_read -= n_cut
                set_position(self.fd, end - n_cut)
        return n_read

    cdef Py_ssize_t read_stream(self, size_t at) except -2:
        """Return the number of bytes read, 0 at the end, -1 if there are none yet."""
        try:
            n_read = self.stream.readinto(<uint8_t[:CHUNK_BYTES]>(self.buffer + at))
        except CaptureError as error:
            self.stream_error = error
            n_read = 0
        return -1 if n_read is None else n_read

    cdef int parse(self, Record* record) except -1 nogil:
        """Parse the next record that is in the buffer, without consuming it, passing over those that the filter does not want."""
        cdef int status
        while True:
            if self.file.format == FORMAT_UNKNOWN:
                status = read_header(&self.file)
                if status != RECORD:
                    return status
            status = next_record(&self.file, record)
            if status != RECORD or not self.has_filter or self.passes(record):
                return status
            self.file.pos += record.length
            self.n_records += 1

    cdef int next(self, Record* record) except -1 nogil:
        """`parse`, refilling the buffer as need be; 0 if there is no record now (`exhausted` says whether for good)."""
        cdef int status, refilled
        while True:
            status = self.parse(record)
            if status == RECORD:
                return 1
            if status == NEED_INPUT:
                refilled = self.refill()
                if refilled == REFILL_DONE:
                    continue
                if refilled == REFILL_LATER:
                    return 0
                if self.has_shrunk():
                    damaged(&self.file, FAULT_SHRUNK, 0, 0)
                elif available(&self.file) or self.file.skip:
                    damaged(&self.file, FAULT_CUT, 0, 0)
            self.exhausted = True
            return 0

    cdef bint has_shrunk(self) noexcept nogil:
        return file_bytes(self.fd) < self.n_file_bytes if self.n_file_bytes else False

    cdef int64_t n_taken(self) noexcept nogil:
        """The bytes of all records so far."""
        return self.n_input_bytes - available(&self.file)

    cdef void note_pace(self, int64_t* begin, int64_t* begin_ns) noexcept nogil:
        """Note how long it took to take the bytes since the last note."""
        cdef int64_t taken = self.n_taken()
        cdef int64_t now_ns = monotonic_ns()
        pace_note(&self.pace, taken - begin[0], now_ns - begin_ns[0])
        begin[0], begin_ns[0] = taken, now_ns

    cdef int64_t drain_mapped(self, Engine* engine, int64_t max_frames, int64_t until_ns) noexcept nogil:
        """Account records of a plain pcap file past the buffer, whose bytes are dropped; return their number.

        0 if it has to be refilled: the file cannot be mapped, or next is what only `next` can judge. The batch must be empty.
        """
        cdef int64_t begin = position(self.fd) - <int64_t>available(&self.file)
        cdef int64_t offset = begin
        cdef int64_t n_read = 0
        cdef bint scouting = self.pace.way == SCOUTING
        self.n_file_bytes = max(self.n_file_bytes, file_bytes(self.fd))
        self.mappable = drain_file(engine, &self.file.interfaces[0], self.fd, &offset, &n_read, scouting, max_frames,
                                   until_ns, pace_room(&self.pace))
        if n_read:
            self.n_mapped += n_read
            self.n_scouted += n_read if scouting else 0
            self.n_input_bytes += offset - begin - available(&self.file)
            self.file.pos = self.file.end
            self.chunk = PEEK_BYTES
            set_position(self.fd, offset)
        return n_read

    cdef int passes(self, Record* record) except -1 nogil:
        """Whether the filter lets a record through, by libpcap."""
        cdef Interface* interface = &self.file.interfaces[record.interface]
        cdef pcap_pkthdr header
        if interface.filter == NULL:
            with gil:
                interface.filter = self.compile(interface.link_type)
        header.ts.tv_sec = 0
        header.ts.tv_usec = 0
        header.caplen = record.cap_len
        header.len = record.wire_len
        return pcap_offline_filter(<bpf_program*>interface.filter, &header, record.data) != 0

    cdef void* compile(self, uint32_t link_type) except NULL:
        for filter in self.filters:
            if (<Filter>filter).link_type == link_type and (<Filter>filter).swapped == self.file.swapped:
                return &(<Filter>filter).program
        try:
            filter = Filter(self.filter_text, link_type, self.file.swapped)
        except ConfigError as error:
            if not suits_any_link_type(self.filter_text):
                raise
            raise CaptureError(f"{self.name}: link type {link_type}: {error}") from error
        self.filters.append(filter)
        return &(<Filter>filter).program

    def check(self):
        """Raise what ended the reading early, if anything did.

        Raises TruncatedCaptureError for a cut file, CaptureError for a damaged or unreadable one.
        """
        if self.stream_error is not None:
            raise self.stream_error
        if self.error:
            raise CaptureError(f"{self.name}: {os.strerror(self.error)}")
        if self.file.fault == FAULT_CUT or self.file.fault == FAULT_SHRUNK:
            if self.n_input_bytes == available(&self.file) and self.file.format == FORMAT_UNKNOWN:
                raise TruncatedCaptureError(f"{self.name}: the file ends in the middle of its header")
            raise TruncatedCaptureError(f"{self.name}: {fault_text(&self.file)}, after {self.n_records} records")
        if self.file.fault != FAULT_NONE:
            after = f" (after {self.n_records} records)" if self.file.format != FORMAT_UNKNOWN else ""
            raise CaptureError(f"{self.name}: {fault_text(&self.file)}{after}")

    def open(self, is_stopped=None):
        """Read the file's header, waiting for it if need be, until `is_stopped()` is true.

        Raises CaptureError if it is empty, cut, or no capture file, or if the filter does not suit its link type,
        ConfigError if the filter suits none, StoppedError.
        """
        cdef Record record
        while self.file.format == FORMAT_UNKNOWN and not self.exhausted:
            with nogil:
                self.next(&record)
            PyErr_CheckSignals()
            if self.file.format == FORMAT_UNKNOWN and not self.exhausted and is_stopped is not None and is_stopped():
                raise StoppedError(f"{self.name}: stopped before it could be read")
        if self.n_input_bytes == 0:
            if self.stream_error is None and not self.error:
                raise CaptureError(f"{self.name}: the file is empty")
        if self.exhausted:
            self.check()
        if self.has_filter:
            for link_type in self.link_types()[:1]:
                self.compile(link_type)

    def link_types(self):
        """Return the link types of the interfaces described so far, in this section."""
        return [self.file.interfaces[i].link_type for i in range(self.file.n_interfaces)]

    @property
    def next_ts_ns(self):
        """Timestamp of the next record; None at the end, or when none is there yet."""
        cdef Record record
        cdef int found
        if self.closed:
            return None
        with nogil:
            found = self.next(&record)
        return record.ts_ns if found else None

    def read(self, int64_t max_frames, until_ns=None):
        """Return up to `max_frames` `Frame`s, stopping before the first at or after `until_ns`.

        Raises CaptureError when reading failed and no frame from before is left to return.
        """
        from fastmon.model.frames import Frame

        cdef Record record
        cdef int64_t bound_ns = reading_bound(until_ns)
        cdef int found
        if self.closed:
            raise ClosedCaptureError(f"{self.name}: read on a closed capture")
        frames = []
        while len(frames) < max_frames:
            with nogil:
                found = self.next(&record)
            if not found or record.ts_ns >= bound_ns:
                break
            self.file.pos += record.length
            self.n_records += 1
            frames.append(Frame(
                record.ts_ns, record.wire_len, self.file.interfaces[record.interface].link_type,
                record.data[:record.cap_len],
            ))
        if self.exhausted and frames:
            self.exhausted = False  # let the next call say what ended the reading
        elif self.exhausted:
            self.check()
        return frames

    def close(self):
        """Read no more. The descriptor or stream is the caller's to close."""
        self.closed = True
        self.exhausted = True


cdef class Filter:
    """A BPF filter compiled for one link type, in files of one byte order."""

    cdef bpf_program program
    cdef bint compiled
    cdef uint32_t link_type
    cdef bint swapped

    def __cinit__(self, bytes text, uint32_t link_type, bint swapped):
        cdef pcap_t* handle
        self.link_type = link_type
        self.swapped = swapped
        handle = offline_handle(link_type, swapped)
        try:
            if pcap_compile(handle, &self.program, text, 1, PCAP_NETMASK_UNKNOWN) != 0:
                message = pcap_geterr(handle).decode("utf-8", "replace")
                raise ConfigError(f"filter {os.fsdecode(text)!r}: {message}")
            self.compiled = True
        finally:
            pcap_close(handle)

    def __dealloc__(self):
        if self.compiled:
            pcap_freecode(&self.program)


cdef bint suits_any_link_type(bytes text) except -1:
    """Whether libpcap can compile a filter for some link type: if not, it is wrong for all files."""
    for link_type in sorted(LINK_TYPES):
        try:
            Filter(text, link_type, False)
        except ConfigError:
            continue
        return True
    return False


cdef pcap_t* offline_handle(uint32_t link_type, bint swapped) except NULL:
    """libpcap's handle of an empty pcap file: for files it compiles otherwise than for live captures.

    The address families of BSD loopback headers are those of all systems then, in the byte order of the file.
    """
    cdef char[PCAP_ERRBUF_SIZE] message
    cdef pcap_t* handle = NULL
    cdef FILE* file
    byte_order = ">" if (sys.byteorder == "little") == swapped else "<"
    header = struct.pack(byte_order + "IHHiIII", MICROSECOND_MAGIC, 2, 4, 0, 0, MAX_CAP_LEN, link_type)
    file = fmemopen(<char*>header, len(header), "rb")
    if file != NULL:
        handle = pcap_fopen_offline(file, message)
        if handle == NULL:
            fclose(file)
    if handle == NULL:
        raise MemoryError("no memory for a filter")
    return handle


cdef struct LiveContext:
    Engine* engine
    uint32_t link_type
    int64_t ns_per_fraction
    int64_t start_ns
    int n_early


cdef void on_frame(uint8_t* user, const pcap_pkthdr* header, const uint8_t* data) noexcept nogil:
    cdef LiveContext* context = <LiveContext*>user
    cdef int64_t ts_ns = <int64_t>header.ts.tv_sec * 1000000000 + header.ts.tv_usec * context.ns_per_fraction
    if unlikely(ts_ns < context.start_ns):
        context.n_early += 1
        return
    context.start_ns = INT64_MIN
    fetch_lines(data + LIVE_AHEAD_BYTES, header.caplen + RING_HEADER_BYTES)
    push(context.engine, context.link_type, data, header.caplen, header.len, ts_ns)


cdef void collect_frame(uint8_t* user, const pcap_pkthdr* header, const uint8_t* data) noexcept with gil:
    frames, link_type, ns_per_fraction = <tuple><void*>user
    frames.append((header.ts.tv_sec * 1000000000 + header.ts.tv_usec * ns_per_fraction, header.len, link_type,
                   data[:header.caplen]))


cdef class LiveReader:
    """Drains an open pypcap handle, in non-blocking mode, past pypcap: its Python side never sees the wire length.

    source: a `pcap.pcap` object; whoever opened it closes this reader first.

    start_ns: frames before the first one that is not older are left out.
    """

    cdef pcap source
    cdef public int64_t start_ns
    cdef readonly str name
    cdef readonly bint closed

    def __cinit__(self, pcap source not None, str name):
        self.source = source
        self.name = name
        self.start_ns = INT64_MIN

    cdef pcap_t* handle(self) except NULL:
        if self.closed or self.source.handle == NULL:
            raise ClosedCaptureError(f"{self.name}: the capture is closed")
        return self.source.handle

    @property
    def link_type(self):
        return pcap_datalink(self.handle())

    cdef int64_t ns_per_fraction(self) except -1:
        return 1 if pcap_get_tstamp_precision(self.handle()) == PCAP_TSTAMP_PRECISION_NANO else 1000

    def check(self, int n_read):
        """Raise CaptureError with libpcap's text if a dispatch failed."""
        if n_read == PCAP_ERROR:
            raise CaptureError(f"{self.name}: {pcap_geterr(self.handle()).decode('utf-8', 'replace')}")

    def read(self, int max_frames, until_ns=None):
        """Return up to `max_frames` buffered `Frame`s; `until_ns` means nothing to a live capture."""
        from fastmon.model.frames import Frame

        cdef pcap_t* handle = self.handle()
        cdef int n_read
        frames = []
        if max_frames <= 0:  # libpcap would take it for no limit
            return frames
        context = (frames, self.link_type, self.ns_per_fraction())
        with nogil:
            n_read = pcap_dispatch(handle, max_frames, collect_frame, <uint8_t*><void*>context)
        self.check(n_read)
        while frames and frames[0][0] < self.start_ns:
            frames.pop(0)
        if frames:
            self.start_ns = INT64_MIN
        return [Frame(*fields) for fields in frames]

    def close(self):
        self.closed = True


cdef struct AppRecord:  # conversations.APP_DTYPE
    uint32_t host
    uint8_t app
    Traffic traffic


cdef class RowMemory:
    """The rows of an accountant that has finished, as a read-only buffer for numpy."""

    cdef HostTable table

    def __dealloc__(self):
        table_free(&self.table)

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.table.rows, <Py_ssize_t>self.table.n_rows * sizeof(HostRow), True, flags)


cdef Prefix parse_prefix(text) except *:
    """A CIDR text as a masked 16-byte key and its mask."""
    from fastmon.model.addresses import parse_network

    cdef Prefix prefix
    network = parse_network(text)
    mask = ((1 << 128) - (1 << (128 - network.length))).to_bytes(16, "big")
    prefix.network = v6_key(<const uint8_t*>(<bytes>network.prefix))
    prefix.mask = v6_key(<const uint8_t*>(<bytes>mask))
    return prefix


cdef object taken(const void* rows, uint32_t n_rows, dtype):
    """A copy of rows as a read-only array."""
    import numpy as np

    copy = np.empty(n_rows, dtype)
    cdef uint8_t[::1] target = copy.view(np.uint8) if n_rows else None
    if n_rows:
        memcpy(&target[0], rows, target.shape[0])
    copy.flags.writeable = False
    return copy


cdef Conversations* new_conversations(int64_t max_conversations, applications, bint keeps_ended, uint64_t seed) except NULL:
    """What accounting conversations needs; `conversations_state_free` frees it."""
    from fastmon.model.conversations import AppTables

    tables = applications or AppTables()
    cdef const uint8_t[::1] protocols = tables.protocols
    cdef const uint8_t[::1] tcp_ports = tables.tcp_ports
    cdef const uint8_t[::1] udp_ports = tables.udp_ports
    cdef Conversations* conversations
    conversations = <Conversations*>calloc(1, sizeof(Conversations))
    if conversations == NULL:
        raise MemoryError("no memory for conversations")
    try:
        conversations_init(&conversations.table, <uint32_t>max_conversations, seed + 3)
        payloads_init(&conversations.payloads)
    except MemoryError:
        conversations_state_free(conversations)
        raise
    conversations.clock_ns = INT64_MIN
    conversations.keeps_ended = keeps_ended
    memcpy(conversations.protocol_apps, &protocols[0], sizeof(conversations.protocol_apps))
    memcpy(conversations.tcp_apps, &tcp_ports[0], sizeof(conversations.tcp_apps))
    memcpy(conversations.udp_apps, &udp_ports[0], sizeof(conversations.udp_apps))
    return conversations


cdef void conversations_state_free(Conversations* conversations) noexcept:
    if conversations != NULL:
        conversations_free(&conversations.table)
        payloads_free(&conversations.payloads)
        free(conversations.ended)
        free(conversations.relabellings)
        free(conversations)


cdef class Accountant:
    """See `accounting.Accountant`; `accounting.make_accountant` has the arguments.

    first_ts_ns, last_ts_ns: least and greatest timestamp accounted, None before the first frame.
    """

    cdef Engine engine
    cdef bint finished
    cdef bint rotated

    def __cinit__(self, *, bint inner=False, int64_t max_hosts=1 << 20, int64_t limit_bytes=0, local_networks=(),
                  int64_t max_conversations=0, applications=None, bint keep_conversations=False,
                  bint packet_log=False, seed=None):
        cdef Hosts* hosts = &self.engine.hosts
        cdef uint64_t number = int.from_bytes(os.urandom(8), "little") if seed is None else seed
        engine_init(&self.engine)
        check_range("max_hosts", max_hosts, *MAX_HOSTS)
        check_range("limit_bytes", limit_bytes, 0)
        check_range("max_conversations", max_conversations, *MAX_CONVERSATIONS)
        self.engine.inner = inner
        self.engine.walks_all = inner or packet_log
        if packet_log:
            self.engine.log = log_new()
        hosts.limit_bytes = limit_bytes if limit_bytes else INT64_MAX
        hosts.locals = <Prefix*>calloc(max(len(local_networks), 1), sizeof(Prefix))
        if hosts.locals == NULL:
            raise MemoryError("no memory for the local networks")
        for text in local_networks:
            hosts.locals[hosts.n_locals] = parse_prefix(text)
            hosts.n_locals += 1
        table_init(&hosts.table, <uint32_t>max_hosts, number)
        if max_conversations != 0:
            self.engine.conversations = new_conversations(max_conversations, applications, keep_conversations, number)
            apps_init(&hosts.apps, <uint32_t>max_hosts)
            hosts.has_apps = True

    def __dealloc__(self):
        table_free(&self.engine.hosts.table)
        apps_free(&self.engine.hosts.apps)
        conversations_state_free(self.engine.conversations)
        log_free(self.engine.log)
        free(self.engine.copies)
        free(self.engine.hosts.crossings)
        free(self.engine.hosts.locals)

    @property
    def first_ts_ns(self):
        return None if self.engine.first_ts_ns == INT64_MAX else self.engine.first_ts_ns

    @property
    def last_ts_ns(self):
        return None if self.engine.last_ts_ns == INT64_MIN else self.engine.last_ts_ns

    cdef int check_usable(self) except -1:
        if self.finished:
            raise RuntimeError("the accountant has finished")
        return 0

    @property
    def newest_ts_ns(self):
        return self.last_ts_ns

    def begin_phase(self):
        pass

    def drain(self, source, int64_t max_frames, until_ns=None, max_backstep_ns=None):
        """Account up to `max_frames` frames of `source`, a capture or its reader; return their number."""
        cdef int64_t n_read
        self.check_usable()
        if self.engine.log != NULL:
            max_frames = min(max_frames, <int64_t>(LOG_RECORDS - self.engine.log.n_filled))
            if max_frames == 0:
                return 0
        reader = getattr(source, "reader", source)
        if isinstance(reader, LiveReader):
            n_read = self.drain_live(reader, max_frames)
        else:
            n_read = self.drain_savefile(reader, max_frames, reading_bound(until_ns))
        if self.engine.hosts.crossing_lost:
            raise MemoryError("no memory for the hosts over their limit")
        if self.engine.conversations != NULL and self.engine.conversations.ended_lost:
            raise MemoryError("no memory for the conversations that ended")
        return n_read

    cdef int64_t drain_live(self, LiveReader reader, int64_t max_frames) except -1:
        cdef pcap_t* handle = reader.handle()
        cdef LiveContext context
        cdef int n_read
        cdef int at_most = <int>min(max_frames, <int64_t>1 << 30)
        if max_frames <= 0:  # libpcap would take it for no limit
            return 0
        self.copy_frames()
        context.engine = &self.engine
        context.link_type = reader.link_type
        context.ns_per_fraction = reader.ns_per_fraction()
        context.start_ns = reader.start_ns
        context.n_early = 0
        with nogil:
            n_read = pcap_dispatch(handle, at_most, on_frame, <uint8_t*>&context)
            flush(&self.engine)
        self.engine.copies_frames = False
        reader.start_ns = context.start_ns
        reader.check(n_read)
        return max(n_read - context.n_early, 0)

    cdef int copy_frames(self) except -1:
        """Let the batch hold copies of what it points to: libpcap may give a frame's memory back while it waits there."""
        if self.engine.conversations == NULL:
            return 0
        if self.engine.copies == NULL:
            self.engine.copies = <uint8_t*>calloc(BATCH_FRAMES, COPY_BYTES)
            if self.engine.copies == NULL:
                raise MemoryError("no memory for frames")
        self.engine.copies_frames = True
        return 0

    cdef int64_t drain_savefile(self, SavefileReader reader, int64_t max_frames, int64_t until_ns) except -1:
        cdef int64_t n_read
        if reader.closed:
            raise ClosedCaptureError(f"{reader.name}: drain on a closed capture")
        try:
            with nogil:
                n_read = self.drain_records(reader, max_frames, until_ns)
        finally:
            flush(&self.engine)  # also what was read before an error
        if reader.exhausted:
            reader.check()
        return n_read

    cdef int64_t drain_records(self, SavefileReader reader, int64_t max_frames, int64_t until_ns) except -1 nogil:
        cdef Record record
        cdef Savefile* file = &reader.file
        cdef int64_t n_mapped, n_read = 0
        cdef int64_t begin = reader.n_taken()
        cdef int64_t begin_ns = monotonic_ns()
        cdef bint is_plain
        while not is_full(&self.engine):
            is_plain = is_plain_pcap(file) and not reader.has_filter
            if is_plain:
                n_read += drain_buffer(&self.engine, file, max_frames - n_read, until_ns)
                if is_full(&self.engine):
                    break
            if n_read >= max_frames:
                break
            if reader.parse(&record) != RECORD:
                flush(&self.engine)  # refilling the buffer moves the frames that the batch points to
                if is_plain and self.engine.log == NULL:
                    reader.note_pace(&begin, &begin_ns)
                    if reader.mappable and reader.pace.way != READING:
                        n_mapped = reader.drain_mapped(&self.engine, max_frames - n_read, until_ns)
                        n_read += n_mapped
                        if n_mapped:
                            continue
                if reader.next(&record) == 0:
                    break
            if record.ts_ns >= until_ns:
                break
            push(&self.engine, file.interfaces[record.interface].link_type, record.data, record.cap_len, record.wire_len,
                 record.ts_ns)
            file.pos += record.length
            n_read += 1
        reader.note_pace(&begin, &begin_ns)
        reader.n_records += n_read
        return n_read

    def account(self, frame):
        """Decode and account one frame."""
        cdef const uint8_t[::1] data = frame.data
        cdef uint8_t nothing = 0
        cdef uint32_t cap_len = data.shape[0]
        self.check_usable()
        push(&self.engine, frame.link_type, &data[0] if cap_len else &nothing, cap_len, frame.wire_len, frame.ts_ns)
        flush(&self.engine)

    def merge(self, Accountant other not None):
        """Add what `other` accounted since its last rotation, and begin a new interval in it."""
        self.check_usable()
        other.check_usable()
        with nogil:
            merge(&self.engine, &other.engine)
            begin_interval(&other.engine)
        other.rotated = True

    cdef int check_tables(self) except -1:
        """In the debug build, check what no total shows: that the indexes forget who leaves."""
        if FM_DEBUG:
            if not table_is_sound(&self.engine.hosts.table):
                raise AssertionError("the index of hosts is damaged")
            if self.engine.conversations != NULL and not conversations_are_sound(&self.engine.conversations.table):
                raise AssertionError("the index of conversations is damaged")
        return 0

    def rotate(self, interval):
        """Return the snapshot of `interval`: what was accounted since the last rotation; begin a new one."""
        cdef int64_t now_ns = min(max(interval.end_ns - 1, INT64_MIN), INT64_MAX)
        self.check_usable()
        with nogil:
            end_all_idle(&self.engine, now_ns)
            settle_all(&self.engine)
        self.check_tables()
        snapshot = self.interval_snapshot(interval)
        with nogil:
            begin_interval(&self.engine)
        self.rotated = True
        return snapshot

    def finish(self, interval, whole):
        """Return the last interval's snapshot and the summary of the whole run, handing the rows over to them."""
        cdef RowMemory memory = RowMemory()
        self.check_usable()
        with nogil:
            end_all(&self.engine)
        self.check_tables()
        last = self.interval_snapshot(interval) if self.rotated else None
        summary = self.whole_snapshot(memory, whole)
        if last is None:
            from dataclasses import replace

            last = replace(summary, interval=interval, is_summary=False)
        return last, summary

    def end_conversations(self):
        """End all conversations that are running."""
        self.check_usable()
        with nogil:
            end_all(&self.engine)

    @property
    def payload_allowance(self):
        """Further payloads that may be kept for `take_payloads`; nobody looks at them unless this is set."""
        return 0 if self.engine.conversations == NULL else self.engine.conversations.payloads.allowance

    @payload_allowance.setter
    def payload_allowance(self, int64_t n_payloads):
        if self.engine.conversations != NULL:
            self.engine.conversations.payloads.allowance = n_payloads

    @property
    def pauses(self):
        """Whether `drain` returns early for payloads to be taken, instead of letting frames pass by."""
        return self.engine.conversations != NULL and bool(self.engine.conversations.payloads.pauses)

    @pauses.setter
    def pauses(self, bint value):
        if self.engine.conversations != NULL:
            self.engine.conversations.payloads.pauses = value

    def take_payloads(self):
        """Return the payloads kept since the last call, in the order of their frames."""
        from fastmon.model.conversations import Payload as PayloadTuple

        cdef uint32_t i
        cdef Payload* slot
        payloads = []
        if self.engine.conversations == NULL:
            return payloads
        for i in range(self.engine.conversations.payloads.n_filled):
            slot = &self.engine.conversations.payloads.slots[i]
            payloads.append(PayloadTuple(
                slot.token, slot.protocol, (<uint8_t*>&slot.a)[:16], slot.ports >> 16, (<uint8_t*>&slot.b)[:16],
                slot.ports & 0xFFFF, bool(slot.from_a), slot.ts_ns, slot.data[:slot.length],
            ))
        self.engine.conversations.payloads.n_filled = 0
        return payloads

    def label(self, uint64_t token, uint8_t app, uint8_t wanted):
        """Give a conversation its application, 0 leaving it as it is, and say how many more payloads are wanted.

        False if it is over.
        """
        cdef uint32_t number = <uint32_t>token
        cdef Conversation* row
        if self.engine.conversations == NULL or not is_running(&self.engine.conversations.table, token):
            return False
        row = &self.engine.conversations.table.rows[number]
        want_payloads(self.engine.conversations, number, wanted)
        if app:
            row.labelled_by = BY_PAYLOAD
            if row.app != app:
                relabel(&self.engine.hosts, self.engine.conversations, number, app)
        return True

    def take_conversations(self):
        """Return the conversations that ended since the last call, as `CONVERSATION_DTYPE`, in the order of their ends."""
        import numpy as np

        from fastmon.model.conversations import CONVERSATION_DTYPE

        if self.engine.conversations == NULL:
            return np.empty(0, CONVERSATION_DTYPE)
        ended = taken(self.engine.conversations.ended, self.engine.conversations.n_ended, CONVERSATION_DTYPE)
        self.engine.conversations.n_ended = 0
        return ended

    def take_packets(self):
        """Return the packet log's records since the last call, as `PACKET_DTYPE`, in the order of their frames."""
        import numpy as np

        from fastmon.model.packets import PACKET_DTYPE

        if self.engine.log == NULL:
            return np.empty(0, PACKET_DTYPE)
        records = taken(self.engine.log.records, self.engine.log.n_filled, PACKET_DTYPE)
        self.engine.log.n_filled = 0
        return records

    @property
    def packets_dropped(self):
        """Frames given to `account` whose records nobody made room for."""
        return 0 if self.engine.log == NULL else self.engine.log.dropped

    def take_limit_crossings(self):
        """Return the limit crossings since the last call, in the order of their frames."""
        cdef uint32_t i
        cdef Crossing* crossing
        crossings = []
        if self.engine.hosts.n_crossings == 0:  # as nearly always
            return crossings
        from fastmon.model.snapshot import LimitCrossing

        for i in range(self.engine.hosts.n_crossings):
            crossing = &self.engine.hosts.crossings[i]
            crossings.append(LimitCrossing(
                (<uint8_t*>&crossing.key)[:16], crossing.ts_ns, crossing.total_bytes, self.engine.hosts.limit_bytes,
                is_local(&self.engine.hosts, &crossing.key),
            ))
        self.engine.hosts.n_crossings = 0
        return crossings

    cdef object counters(self, bint since_rotation):
        from fastmon.model.frames import FrameStatus
        from fastmon.model.snapshot import Count, Counters, Overflow as OverflowCounts

        cdef Tally base
        cdef Overflow overflow_base
        counts = []
        for status in range(N_STATUSES):
            base = self.engine.tallies_base[status]
            if not since_rotation:
                base.frames = base.bytes = 0
            counts.append(Count(
                self.engine.tallies[status].frames - base.frames, self.engine.tallies[status].bytes - base.bytes
            ))
        overflow_base = self.engine.hosts.overflow_base
        if not since_rotation:
            overflow_base.frames_in = overflow_base.bytes_in = overflow_base.frames_out = overflow_base.bytes_out = 0
        return Counters(
            frames=sum(counts, Count()),
            ip=counts[IP],
            non_ip=counts[NON_IP],
            undecoded={FrameStatus(status).name.lower(): counts[status] for status in range(NON_IP + 1, N_STATUSES)},
            overflow=OverflowCounts(
                self.engine.hosts.overflow.frames_in - overflow_base.frames_in,
                self.engine.hosts.overflow.bytes_in - overflow_base.bytes_in,
                self.engine.hosts.overflow.frames_out - overflow_base.frames_out,
                self.engine.hosts.overflow.bytes_out - overflow_base.bytes_out,
            ),
        )

    cdef object interval_snapshot(self, interval):
        """Copy the hosts that had traffic since the last rotation, with that traffic."""
        import numpy as np

        from fastmon.model.snapshot import HOST_DTYPE, Snapshot

        cdef HostTable* table = &self.engine.hosts.table
        cdef uint32_t row, n_active = 0, at = 0
        with nogil:
            for row in range(table.n_rows):
                n_active += not was_idle(table, row)
        hosts = np.empty(n_active, HOST_DTYPE)
        totals = np.empty((2, n_active), np.uint64)
        marks = np.empty((2, n_active), np.uint8)
        cdef uint8_t[::1] host_bytes = hosts.view(np.uint8) if n_active else None
        cdef uint64_t[:, ::1] total = totals
        cdef uint8_t[:, ::1] mark = marks
        cdef HostRow* host = <HostRow*>&host_bytes[0] if n_active else NULL
        with nogil:
            for row in range(table.n_rows):
                if was_idle(table, row):
                    continue
                total[0, at] = bytes_in(&table.rows[row])
                total[1, at] = table.rows[row].bytes_out
                mark[0, at] = is_local(&self.engine.hosts, &table.rows[row].key)
                mark[1, at] = is_flagged(&table.rows[row])
                since_rotation(&table.rows[row], &table.bases[row], host)
                host += 1
                at += 1
        return self.freeze(Snapshot(
            interval, self.counters(True), hosts, totals[0], totals[1], marks[0].view(np.bool_), marks[1].view(np.bool_),
            **self.conversation_results(True, n_active),
        ))

    cdef object whole_snapshot(self, RowMemory memory, interval):
        """Hand the rows over to `memory`; the accountant keeps none."""
        import numpy as np

        from fastmon.model.snapshot import HOST_DTYPE, Snapshot

        cdef uint32_t row, n_rows = self.engine.hosts.table.n_rows
        marks = np.empty((2, n_rows), np.uint8)
        cdef uint8_t[:, ::1] mark = marks
        for row in range(n_rows):
            mark[0, row] = is_local(&self.engine.hosts, &self.engine.hosts.table.rows[row].key)
            mark[1, row] = is_flagged(&self.engine.hosts.table.rows[row])
            self.engine.hosts.table.rows[row].bytes_in_and_flag = bytes_in(&self.engine.hosts.table.rows[row])
        conversation_results = self.conversation_results(False, n_rows)
        memory.table = self.engine.hosts.table
        self.engine.hosts.table.rows = NULL
        self.engine.hosts.table.bases = NULL
        self.engine.hosts.table.index.buckets = NULL
        self.finished = True
        hosts = np.frombuffer(memory, HOST_DTYPE) if n_rows else np.empty(0, HOST_DTYPE)
        return self.freeze(Snapshot(
            interval, self.counters(False), hosts, hosts["bytes_in"], hosts["bytes_out"],
            marks[0].view(np.bool_), marks[1].view(np.bool_), is_summary=True, **conversation_results,
        ))

    cdef dict conversation_results(self, bint since_rotation, uint32_t n_hosts):
        """Return a snapshot's fields that are of conversations, of an interval's active hosts or of all; none for hosts only."""
        import numpy as np

        cdef HostTable* table = &self.engine.hosts.table
        cdef uint32_t row, at = 0
        if self.engine.conversations == NULL:
            return {}
        macs = np.empty(n_hosts, np.uint64)
        cdef uint64_t[::1] mac = macs
        for row in range(table.n_rows):
            if not since_rotation or not was_idle(table, row):
                mac[at] = self.engine.hosts.apps.macs[row]
                at += 1
        return {
            "apps": self.app_rows(since_rotation), "app_totals": self.app_totals(since_rotation), "macs": macs,
            "conversations": self.conversation_counts(since_rotation),
        }

    cdef object app_rows(self, bint since_rotation):
        """Return the hosts' applications as `APP_DTYPE`, ordered by host and application."""
        import numpy as np

        from fastmon.model.conversations import APP_DTYPE

        cdef HostTable* table = &self.engine.hosts.table
        cdef AppTable* apps = &self.engine.hosts.apps
        cdef const Traffic* traffic
        cdef uint32_t row, link, at = 0, n_found = 0
        found = np.empty(apps.n_rows, APP_DTYPE)
        cdef uint8_t[::1] target = found.view(np.uint8) if apps.n_rows else None
        cdef AppRecord* record = <AppRecord*>&target[0] if apps.n_rows else NULL
        with nogil:
            for row in range(table.n_rows):
                if since_rotation and was_idle(table, row):
                    continue
                link = apps.heads[row]
                while link:
                    traffic = &apps.rows[link - 1].interval if since_rotation else &apps.rows[link - 1].total
                    if not traffic_is_zero(traffic):
                        record.host = at
                        record.app = <uint8_t>apps.rows[link - 1].app
                        record.traffic = traffic[0]
                        record += 1
                        n_found += 1
                    link = apps.rows[link - 1].next
                at += 1
        found = found[:n_found]
        return found[np.argsort(found["host"].astype(np.uint64) << np.uint64(8) | found["app"])]

    cdef object app_totals(self, bint since_rotation):
        """Return the network's applications as `APP_TOTAL_DTYPE`, ordered by application."""
        import numpy as np

        from fastmon.model.conversations import APP_TOTAL_DTYPE

        cdef AppTable* apps = &self.engine.hosts.apps
        cdef Tally* tally
        rows = []
        for app in range(1, N_APPS):
            tally = &apps.interval[app] if since_rotation else &apps.total[app]
            if tally.frames:
                rows.append((app, tally.frames, tally.bytes))
        return np.array(rows, APP_TOTAL_DTYPE)

    cdef object conversation_counts(self, bint since_rotation):
        from fastmon.model.conversations import ENDED_REASONS, ConversationCounts

        cdef Conversations* conversations = self.engine.conversations
        cdef ConversationTallies base = conversations.counts_base
        cdef uint64_t passed_by = conversations.payloads.passed_by
        if since_rotation:
            passed_by -= conversations.payloads.passed_by_base
        else:
            memset(&base, 0, sizeof(base))
        return ConversationCounts(
            opened=conversations.counts.opened - base.opened,
            ended={name: conversations.counts.ended[i] - base.ended[i] for i, name in enumerate(ENDED_REASONS)},
            running=conversations.counts.opened - sum([conversations.counts.ended[i] for i in range(N_REASONS)]),
            n_skipped=passed_by,
        )

    cdef object freeze(self, snapshot):
        for array in (snapshot.hosts, snapshot.total_bytes_in, snapshot.total_bytes_out, snapshot.local, snapshot.flagged,
                      snapshot.apps, snapshot.app_totals, snapshot.macs):
            if array is not None:
                array.flags.writeable = False
        if FM_DEBUG:
            snapshot.check_conservation()
        return snapshot


cdef void since_rotation(const HostRow* row, const Traffic* base, HostRow* out) noexcept nogil:
    out[0] = row[0]
    out.bytes_in_and_flag = bytes_in(row) - base.bytes_in
    out.bytes_out -= base.bytes_out
    out.packets_in -= base.packets_in
    out.packets_out -= base.packets_out
