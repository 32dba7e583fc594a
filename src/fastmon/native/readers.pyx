"""Readers: the sources of frames that an accountant drains, and that `read` shows to Python frame by frame.

`Reader` is the interface. A source implements `drain_frames`, which decodes frames into the accountant's engine: capture files
here, live captures in `native/live_reader.pyx`.

What it does not do: open files or interfaces (`fastmon.capture` does), account, keep time.
"""

import os

from fastmon.errors import (
    CaptureError, ClosedCaptureError, ConfigError, StoppedError, TruncatedCaptureError, UnsupportedLinkTypeError,
)

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stddef cimport size_t
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memmove

from fastmon.native.arguments cimport time_or
from fastmon.native.engine.engine cimport Engine, TimeLimits, flush, is_out_of_time, is_paused, may_take_back, push
from fastmon.native.exclusive cimport Exclusive
from fastmon.native.files.faults cimport fault_text
from fastmon.native.files.filters cimport Filter, filter_find, filter_new, filter_passes, filters_free, suits_any_link_type
from fastmon.native.files.pcap cimport is_plain_pcap
from fastmon.native.files.read_method cimport (
    PREFETCHING, READING, ReadMethod, method_bytes_left, method_fix, method_init, method_note,
)
from fastmon.native.files.records cimport next_record, record_ahead
from fastmon.native.files.replay cimport drain_buffer, drain_file
from fastmon.native.files.savefile cimport (
    FAULT_CUT, FAULT_LINK_TYPE, FAULT_NONE, FAULT_SHRUNK, FORMAT_UNKNOWN, NEED_INPUT, RECORD, Interface, Record, Savefile,
    available, damaged, is_unknown,
)
from fastmon.native.files.system cimport (
    file_bytes, is_readable, is_regular, monotonic_ns, poll_input, position, read, set_position,
)
from fastmon.native.libpcap cimport PCAP_ERRBUF_SIZE

cdef enum:
    CHUNK_BYTES = 1 << 20  # per read(2): the kernel copies faster into memory that the second cache does not hold
    PEEK_BYTES = 1 << 15  # read size between mapped stretches, when only a few frames need the slow path
    POLL_MS = 100  # of a pipe, so that signals and intervals need not wait

cdef enum:  # of refilling the buffer
    REFILL_END
    REFILL_DONE
    REFILL_LATER
    REFILL_FAILED

METHODS = ("reading", "mapping", "prefetching")
"""How to get a file's bytes, in the order of `files/read_method.pxd`."""


cdef class Reader:
    """A source of frames. It takes one call at a time; a second one gets a RuntimeError.

    name: for messages.  closed: `close` was called; any other use raises ClosedCaptureError.
    """

    def __cinit__(self, *_, **__):
        self.use = Exclusive("the capture")

    cdef int check_open(self) except -1:
        if self.closed:
            raise ClosedCaptureError(f"{self.name}: the capture is closed")
        return 0

    cdef int64_t drain_into(self, Engine* engine, int64_t max_frames, const TimeLimits* limits) except -1:
        """Account up to `max_frames` frames, within the limits; return their number. Leaves the batch empty.

        Raises CaptureError if reading fails. The frames before stay accounted.
        """
        with self.use:
            self.check_open()
            try:
                return self.drain_frames(engine, max_frames, limits)
            finally:
                flush(engine)

    cdef int64_t drain_frames(self, Engine* engine, int64_t max_frames, const TimeLimits* limits) except -1:
        """Do that for one kind of source. Frames may stay in the batch if their bytes stay until the caller accounts them."""
        raise NotImplementedError("this kind of reader has no frames")

    def close(self):
        """Read no more; a second call does nothing. The owner of the descriptor, stream or handle closes it afterwards."""
        with self.use:
            self.closed = True


cdef class SavefileReader(Reader):
    """Reads the records of one capture file (pcap, pcapng, snoop), in order, once.

    file: a descriptor, or an object with `fileno` that owns one. The reader keeps the object, and closes neither.
    stream: if given, read instead of `file`: `read(n_bytes)` returns at most `n_bytes` bytes, b"" at the end, None if there are
        none yet.
    head: bytes already read from the input.  filter: BPF expression.
    method: one of `METHODS`, for what can be mapped (regular plain pcap files without a filter); None: the fastest.

    exhausted: the file was read to its end, or to its damage.
    n_records: records read, filtered ones included.  n_input_bytes: bytes read from the input.
    n_mapped: records read from a mapping.  n_prefetched: those of them with header prefetch.

    Raises CaptureError for a descriptor that cannot be read, ConfigError for a filter with a NUL character.
    """

    cdef Savefile file
    cdef uint8_t* buffer
    cdef size_t capacity
    cdef int fd
    cdef object owner
    cdef bint is_polled, is_mappable
    cdef ReadMethod choice
    cdef size_t chunk
    cdef int64_t n_file_bytes  # the greatest size seen; 0 if it is not a regular file
    cdef bint at_end
    cdef int error
    cdef object stream, stream_error
    cdef bytes filter_text
    cdef bint has_stream, has_filter
    cdef Filter* filters
    cdef bint is_exhausted
    cdef readonly uint64_t n_records
    cdef readonly uint64_t n_input_bytes
    cdef readonly uint64_t n_mapped
    cdef readonly uint64_t n_prefetched

    def __cinit__(self, file, str name not None, *, stream=None, bytes head not None=b"", filter=None, method=None):
        self.owner = file
        self.stream = stream
        self.has_stream = stream is not None
        self.fd = -1 if self.has_stream else file if isinstance(file, int) else file.fileno()
        self.name = name
        if not self.has_stream and not is_readable(self.fd):
            raise CaptureError(f"{name}: descriptor {self.fd} is not open for reading")
        self.filter_text = os.fsencode(filter) if filter else b""
        if b"\0" in self.filter_text:
            raise ConfigError(f"filter {filter!r}: it has a NUL character")
        self.has_filter = len(self.filter_text) > 0
        self.is_polled = not self.has_stream and not is_regular(self.fd)
        self.n_file_bytes = 0 if self.has_stream or self.is_polled else file_bytes(self.fd)
        self.is_mappable = self.n_file_bytes > 0
        method_init(&self.choice)
        if method is not None:
            method_fix(&self.choice, METHODS.index(method))
        self.chunk = CHUNK_BYTES
        self.grow(CHUNK_BYTES + len(head))
        memcpy(self.buffer, PyBytes_AS_STRING(head), len(head))
        self.file.end += len(head)
        self.n_input_bytes = len(head)

    def __dealloc__(self):
        filters_free(self.filters)
        free(self.buffer)
        free(self.file.interfaces)

    @property
    def exhausted(self):
        return self.closed or self.is_exhausted

    # From the input to the buffer.

    cdef int grow(self, size_t capacity) except -1:
        cdef size_t n_held = available(&self.file)
        cdef uint8_t* moved
        if n_held:
            memmove(self.buffer, self.file.pos, n_held)
            self.file.pos = self.buffer
            self.file.end = self.buffer + n_held
        moved = <uint8_t*>realloc(self.buffer, capacity)
        if moved == NULL:
            raise MemoryError(f"no memory for a record of {capacity} bytes")
        self.buffer = moved
        self.capacity = capacity
        self.file.pos = moved
        self.file.end = moved + n_held
        return 0

    cdef int refill(self) except -1 nogil:
        """Move the rest to the buffer's front, and read more input behind it."""
        cdef size_t n_held = available(&self.file)
        cdef size_t front = (64 - n_held % 64) % 64
        cdef Py_ssize_t n_read
        cdef uint8_t* target
        if self.at_end:
            return REFILL_END
        if self.capacity < CHUNK_BYTES + 64 + max(n_held, self.file.need):
            with gil:
                self.grow(CHUNK_BYTES + 64 + max(n_held, self.file.need))
        memmove(self.buffer + front, self.file.pos, n_held)
        self.file.pos = self.buffer + front
        self.file.end = target = self.buffer + front + n_held
        if self.has_stream:
            with gil:
                n_read = self.read_stream(target)
            if n_read < 0:
                return REFILL_LATER
        else:
            if self.is_polled and poll_input(self.fd, POLL_MS) <= 0:
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
        """read(2) a chunk; drop what was cut off meanwhile, because the kernel may zero pages that it is copying."""
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

    cdef Py_ssize_t read_stream(self, uint8_t* target) except -2:
        """Return the number of bytes read, 0 at the end, -1 if there are none yet."""
        try:
            data = self.stream.read(<int>CHUNK_BYTES)
        except CaptureError as error:
            self.stream_error = error
            return 0
        if data is None:
            return -1
        if not isinstance(data, bytes) or PyBytes_GET_SIZE(data) > CHUNK_BYTES:
            raise TypeError(f"{self.name}: the stream's read must return None or at most {CHUNK_BYTES} bytes")
        memcpy(target, PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
        return PyBytes_GET_SIZE(data)

    # From the buffer to records.

    cdef int parse(self, Record* record) except -1 nogil:
        """Parse the next record in the buffer without consuming it; skip those that the filter does not want."""
        cdef int status
        while True:
            status = next_record(&self.file, record)
            if status != RECORD or not self.has_filter or self.passes(record):
                return status
            self.consume(record)

    cdef void consume(self, const Record* record) noexcept nogil:
        self.file.pos += record.length
        self.file.lost.frames += record.n_lost
        self.file.interfaces[record.interface].n_lost += record.n_lost
        self.n_records += 1

    cdef int next(self, Record* record) except -1 nogil:
        """`parse`, refilling the buffer as needed; 0 if there is no record now (`is_exhausted` tells whether for good)."""
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
                if self.n_file_bytes and file_bytes(self.fd) < self.n_file_bytes:
                    damaged(&self.file, FAULT_SHRUNK, 0, 0)
                elif available(&self.file) or self.file.skip:
                    damaged(&self.file, FAULT_CUT, 0, 0)
            self.is_exhausted = True
            return 0

    cdef int passes(self, Record* record) except -1 nogil:
        """Whether the filter lets a record through, by libpcap."""
        cdef Interface* interface = &self.file.interfaces[record.interface]
        if interface.filter == NULL:
            with gil:
                interface.filter = self.compile(interface.link_type)
        return filter_passes(<Filter*>interface.filter, record)

    cdef Filter* compile(self, uint32_t link_type) except NULL:
        cdef char[PCAP_ERRBUF_SIZE] message
        cdef Filter* filter = filter_find(self.filters, link_type, self.file.swapped)
        if filter != NULL:
            return filter
        filter = filter_new(self.filter_text, link_type, self.file.swapped, message)
        if filter != NULL:
            filter.next = self.filters
            self.filters = filter
            return filter
        if message[0] == 0:
            raise MemoryError("no memory for a filter")
        text = f"filter {os.fsdecode(self.filter_text)!r}: {message.decode('utf-8', 'replace')}"
        if suits_any_link_type(self.filter_text):
            raise CaptureError(f"{self.name}: link type {link_type}: {text}")
        raise ConfigError(text)

    # From records to the engine.

    cdef int64_t n_consumed(self) noexcept nogil:
        """Return the bytes of all records so far."""
        return self.n_input_bytes - available(&self.file)

    cdef void note_speed(self, int64_t* begin, int64_t* begin_ns) noexcept nogil:
        """Note how long the bytes since the last note took."""
        cdef int64_t end = self.n_consumed()
        cdef int64_t now_ns = monotonic_ns()
        method_note(&self.choice, end - begin[0], now_ns - begin_ns[0])
        begin[0], begin_ns[0] = end, now_ns

    cdef int64_t drain_mapped(self, Engine* engine, int64_t max_frames, const TimeLimits* limits) noexcept nogil:
        """Account records of a plain pcap file behind the buffer, whose bytes are dropped; return their number.

        0 if the buffer must be refilled: the file cannot be mapped, or only `next` can judge what comes next. The batch must be
        empty.
        """
        cdef int64_t begin = position(self.fd) - <int64_t>available(&self.file)
        cdef int64_t offset = begin
        cdef int64_t n_read = 0
        cdef bint prefetches_headers = self.choice.method == PREFETCHING
        self.n_file_bytes = max(self.n_file_bytes, file_bytes(self.fd))
        self.is_mappable = drain_file(engine, &self.file.interfaces[0], self.fd, &offset, &n_read, prefetches_headers, limits,
                                      max_frames, method_bytes_left(&self.choice))
        if n_read:
            self.n_mapped += n_read
            self.n_prefetched += n_read if prefetches_headers else 0
            self.n_input_bytes += offset - begin - available(&self.file)
            self.file.pos = self.file.end
            self.chunk = PEEK_BYTES
            set_position(self.fd, offset)
        return n_read

    cdef int64_t drain_records(self, Engine* engine, int64_t max_frames, const TimeLimits* limits) except -1 nogil:
        cdef Record record
        cdef int64_t n_drained, n_read = 0
        cdef int64_t begin = self.n_consumed()
        cdef int64_t begin_ns = monotonic_ns()
        cdef bint is_plain
        while not is_paused(engine):
            is_plain = is_plain_pcap(&self.file) and not self.has_filter
            if is_plain:
                n_drained = drain_buffer(engine, &self.file, limits, max_frames - n_read)
                n_read += n_drained
                self.n_records += n_drained
                if is_paused(engine):
                    break
            if n_read >= max_frames:
                break
            if self.parse(&record) != RECORD:
                flush(engine)  # refilling the buffer moves the frames that the batch points to
                if is_plain and may_take_back(engine):
                    self.note_speed(&begin, &begin_ns)
                    if self.is_mappable and self.choice.method != READING:
                        n_drained = self.drain_mapped(engine, max_frames - n_read, limits)
                        n_read += n_drained
                        self.n_records += n_drained
                        if n_drained:
                            continue
                if self.next(&record) == 0:
                    break
            if is_out_of_time(engine, record.ts_ns, limits):
                break
            push(engine, self.file.interfaces[record.interface].link_type, record.data, record.cap_len, record.wire_len,
                 record.ts_ns)
            self.consume(&record)
            n_read += 1
        self.note_speed(&begin, &begin_ns)
        return n_read

    cdef int64_t drain_frames(self, Engine* engine, int64_t max_frames, const TimeLimits* limits) except -1:
        cdef int64_t n_read
        with nogil:
            n_read = self.drain_records(engine, max_frames, limits)
        if self.is_exhausted:
            self.check_end()
        return n_read

    # For Python.

    cdef int check_end(self) except -1:
        """Raise what ended the reading early, if anything did."""
        if self.stream_error is not None:
            raise self.stream_error
        if self.error:
            raise CaptureError(f"{self.name}: {os.strerror(self.error)}")
        if self.file.fault != FAULT_NONE:
            kind = {FAULT_CUT: TruncatedCaptureError, FAULT_SHRUNK: TruncatedCaptureError,
                    FAULT_LINK_TYPE: UnsupportedLinkTypeError}.get(self.file.fault, CaptureError)
            raise kind(f"{self.name}: {fault_text(&self.file, self.n_records)}")
        return 0

    def open(self, is_stopped=None):
        """Read the file's header, waiting for it if needed, until `is_stopped()` is true.

        Raises CaptureError if it is empty, cut, or not a capture file, or if the filter does not suit its link type;
        ConfigError if the filter suits no link type; StoppedError.
        """
        cdef Record record
        with self.use:
            self.check_open()
            while self.file.format == FORMAT_UNKNOWN and not self.is_exhausted:
                with nogil:
                    self.next(&record)
                PyErr_CheckSignals()
                if self.file.format == FORMAT_UNKNOWN and not self.is_exhausted and is_stopped is not None and is_stopped():
                    raise StoppedError(f"{self.name}: stopped before it could be read")
            if self.n_input_bytes == 0 and self.stream_error is None and not self.error:
                raise CaptureError(f"{self.name}: the file is empty")
            if self.is_exhausted:
                self.check_end()
            if self.has_filter and self.file.n_interfaces:
                self.compile(self.file.interfaces[0].link_type)

    def link_types(self):
        """Return the link types of all interfaces described so far, each once."""
        with self.use:
            return [self.file.link_types[i] for i in range(self.file.n_link_types)]

    @property
    def lost(self):
        """The frames that the file says its capture has lost: at the interfaces, in the system, before its records."""
        return self.file.lost.interface, self.file.lost.system, self.file.lost.frames

    @property
    def unknown_beginning(self):
        """The first bytes of an input that is no capture file; b"" of one that is."""
        with self.use:
            return self.file.pos[:min(available(&self.file), 512)] if is_unknown(&self.file) else b""

    @property
    def next_ts_ns(self):
        """Timestamp of the next record; None at the end, when none is there yet, and when closed."""
        cdef Record record
        cdef int is_found
        with self.use:
            if self.closed:
                return None
            with nogil:
                is_found = self.next(&record)
            return record.ts_ns if is_found else None

    def times_ahead(self, int64_t n_records):
        """Return the timestamps of up to `n_records` next records, filtered ones included, and read none of them.

        Fewer at the end, where a pipe has no more yet, and where the file describes something else than packets.
        """
        cdef Record record
        cdef size_t offset = 0
        cdef int status
        times = []
        with self.use:
            while len(times) < n_records and not self.closed and self.file.format != FORMAT_UNKNOWN:
                status = record_ahead(&self.file, offset, &record)
                if status == NEED_INPUT:
                    self.file.need = record.length
                    if self.refill() == REFILL_DONE:
                        continue
                if status != RECORD:
                    break
                times.append(record.ts_ns)
                offset += record.length
        return times

    def read(self, int64_t max_frames, until_ns=None, from_ns=None):
        """Return up to `max_frames` frames, each as (ts_ns, wire_len, link_type, data).

        Stops before the first frame at or after `until_ns` or before `from_ns`.

        Raises CaptureError when reading failed and no frame from before is left to return.
        """
        cdef Record record
        cdef int64_t until = time_or(until_ns, INT64_MAX)
        cdef int64_t since = time_or(from_ns, INT64_MIN)
        cdef int is_found
        frames = []
        with self.use:
            self.check_open()
            while len(frames) < max_frames:
                with nogil:
                    is_found = self.next(&record)
                if not is_found or record.ts_ns >= until or record.ts_ns < since:
                    break
                frames.append((record.ts_ns, record.wire_len, self.file.interfaces[record.interface].link_type,
                               record.data[:record.cap_len]))
                self.consume(&record)
            if self.is_exhausted and frames:
                self.is_exhausted = False  # the next call will say what ended the reading
            elif self.is_exhausted:
                self.check_end()
        return frames
