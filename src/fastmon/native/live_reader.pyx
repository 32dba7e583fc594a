"""The reader of live captures: drains an open libpcap handle.

What it does not do: open, configure or close handles (`native/live_handle.pyx`).
"""

from fastmon.errors import CaptureError, ClosedCaptureError

cimport cython
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint8_t, uint32_t

from fastmon.native.arguments cimport time_or
from fastmon.native.engine.engine cimport Engine, TimeLimits, flush, is_out_of_time, is_paused, push
from fastmon.native.libpcap cimport (
    PCAP_ERRBUF_SIZE, PCAP_ERROR, PCAP_ERROR_BREAK, PCAP_TSTAMP_PRECISION_NANO, pcap_breakloop, pcap_datalink, pcap_dispatch,
    pcap_file, pcap_get_tstamp_precision, pcap_geterr, pcap_pkthdr, pcap_setnonblock, pcap_t,
)
from fastmon.native.live.held cimport (
    Held, HeldFrame, held_add, held_data, held_drop, held_first, held_free, held_trim,
)
from fastmon.native.live_handle cimport Handle
from fastmon.native.readers cimport Reader
from fastmon.native.wire cimport prefetch_lines, unlikely

cdef enum:
    AHEAD_BYTES = 4096  # in the ring, where another core has just written them: reading them takes long
    RING_HEADER_BYTES = 96  # at most, before each frame (Linux's TPACKET_V3)
    MAX_DISPATCHED = 1 << 30  # libpcap counts in int


cdef struct LiveContext:
    Engine* engine  # NULL: hold every frame
    Held* held
    pcap_t* handle
    const TimeLimits* limits
    int64_t max_frames
    int64_t n_accounted
    int64_t start_ns
    int64_t ns_per_fraction
    uint32_t link_type
    bint has_stopped  # hold all further frames
    bint has_lost  # there was no memory to hold a frame


cdef inline void account_live(LiveContext* context, const uint8_t* data, uint32_t cap_len, uint32_t wire_len,
                              int64_t ts_ns) noexcept nogil:
    push(context.engine, context.link_type, data, cap_len, wire_len, ts_ns)
    context.n_accounted += 1
    if unlikely(context.n_accounted == context.max_frames or is_paused(context.engine)):
        context.has_stopped = True


cdef void on_frame(uint8_t* user, const pcap_pkthdr* header, const uint8_t* data) noexcept nogil:
    """Account a frame, or hold it if the drain must stop before it."""
    cdef LiveContext* context = <LiveContext*>user
    cdef int64_t ts_ns = <int64_t>header.ts.tv_sec * 1000000000 + header.ts.tv_usec * context.ns_per_fraction
    if unlikely(ts_ns < context.start_ns):
        return
    context.start_ns = INT64_MIN
    if unlikely(context.engine == NULL or context.has_stopped or is_out_of_time(context.engine, ts_ns, context.limits)):
        if held_add(context.held, ts_ns, header.len, header.caplen, data):
            if context.engine != NULL:
                context.has_stopped = True
                pcap_breakloop(context.handle)
            return
        if context.engine == NULL:
            context.has_lost = True
            pcap_breakloop(context.handle)
            return
        # Without memory to hold it, count it now: in the wrong interval rather than not at all.
    prefetch_lines(data + AHEAD_BYTES, header.caplen + RING_HEADER_BYTES)
    account_live(context, data, header.caplen, header.len, ts_ns)


@cython.no_gc_clear  # `__dealloc__` needs `source`
cdef class LiveReader(Reader):
    """Drains an open handle, which it makes non-blocking. A handle has one reader, and cannot be closed before it.

    start_ns: frames before the first one that is not older are left out.
    n_frames: accounted or read so far.
    """

    cdef Handle source
    cdef Held held
    cdef public int64_t start_ns
    cdef readonly int64_t n_frames

    def __cinit__(self, Handle source not None, str name not None):
        cdef char[PCAP_ERRBUF_SIZE] message
        cdef pcap_t* handle = source.pointer()
        self.name = name
        self.start_ns = INT64_MIN
        if source.has_reader:
            raise ClosedCaptureError(f"{name}: the handle has a reader that is not closed")
        self.source = source
        source.has_reader = True
        if handle != NULL and pcap_file(handle) == NULL and pcap_setnonblock(handle, 1, message) == PCAP_ERROR:
            raise CaptureError(f"{name}: {message.decode('utf-8', 'replace')}")

    def __dealloc__(self):
        self.release_source()
        held_free(&self.held)

    cdef void release_source(self) noexcept:
        if self.source is not None and not self.closed:
            self.source.has_reader = False

    cdef pcap_t* handle(self) except NULL:
        cdef pcap_t* handle = self.source.pointer()
        self.check_open()
        if handle == NULL:
            raise ClosedCaptureError(f"{self.name}: the capture is closed")
        return handle

    @property
    def link_type(self):
        with self.use:
            return pcap_datalink(self.handle())

    @property
    def next_ts_ns(self):
        """Timestamp of the frame that a drain had to stop before, and that is held; None if there is none."""
        cdef const HeldFrame* first
        with self.use:
            first = held_first(&self.held)
            return None if first == NULL else first.ts_ns

    cdef int dispatch(self, LiveContext* context, int64_t max_frames) except -1:
        """Let libpcap hand out frames that are buffered. Raises CaptureError with its words if it fails."""
        cdef pcap_t* handle = self.handle()
        cdef int n_frames = <int>min(max_frames, <int64_t>MAX_DISPATCHED)
        cdef int status
        context.handle = handle
        context.held = &self.held
        context.start_ns = self.start_ns
        context.link_type = <uint32_t>pcap_datalink(handle)
        context.ns_per_fraction = 1 if pcap_get_tstamp_precision(handle) == PCAP_TSTAMP_PRECISION_NANO else 1000
        with nogil:
            status = pcap_dispatch(handle, n_frames, on_frame, <uint8_t*>context)
            if status == PCAP_ERROR_BREAK and not context.has_stopped:  # a break that came too late for the last dispatch
                status = pcap_dispatch(handle, n_frames, on_frame, <uint8_t*>context)
        self.start_ns = context.start_ns
        if status < 0 and status != PCAP_ERROR_BREAK:
            raise CaptureError(f"{self.name}: {pcap_geterr(handle).decode('utf-8', 'replace')}")
        if context.has_lost:
            raise MemoryError("no memory for a frame")
        return 0

    cdef void account_held(self, LiveContext* context) noexcept nogil:
        cdef const HeldFrame* frame = held_first(&self.held)
        while frame != NULL and not context.has_stopped and not is_out_of_time(context.engine, frame.ts_ns, context.limits):
            account_live(context, held_data(frame), frame.cap_len, frame.wire_len, frame.ts_ns)
            held_drop(&self.held)
            frame = held_first(&self.held)

    cdef int64_t drain_frames(self, Engine* engine, int64_t max_frames, const TimeLimits* limits) except -1:
        cdef LiveContext context
        if max_frames <= 0 or is_paused(engine):  # libpcap would take 0 for no limit
            self.handle()
            return 0
        context.engine = engine
        context.limits = limits
        context.max_frames = max_frames
        context.n_accounted = 0
        context.has_stopped = context.has_lost = False
        context.link_type = <uint32_t>pcap_datalink(self.handle())
        engine.copies_frames = engine.copies != NULL  # libpcap may reuse a frame's memory while it is in the batch
        try:
            self.account_held(&context)
            if not context.has_stopped and held_first(&self.held) == NULL:
                self.dispatch(&context, max_frames - context.n_accounted)
        finally:
            flush(engine)
            engine.copies_frames = False
            held_trim(&self.held)
            self.n_frames += context.n_accounted
        return context.n_accounted

    def read(self, int64_t max_frames, until_ns=None, from_ns=None):
        """Return up to `max_frames` frames that are buffered, each as (ts_ns, wire_len, link_type, data).

        Stops before the first frame at or after `until_ns` or before `from_ns`, and holds it.
        """
        cdef int64_t until = time_or(until_ns, INT64_MAX)
        cdef int64_t since = time_or(from_ns, INT64_MIN)
        cdef const HeldFrame* frame
        cdef LiveContext context
        cdef bint has_dispatched = False
        frames = []
        with self.use:
            link_type = pcap_datalink(self.handle())
            context.engine = NULL
            context.has_stopped = context.has_lost = False
            while len(frames) < max_frames:
                frame = held_first(&self.held)
                if frame == NULL and not has_dispatched:
                    self.dispatch(&context, max_frames - len(frames))
                    has_dispatched = True
                    frame = held_first(&self.held)
                if frame == NULL or not since <= frame.ts_ns < until:
                    break
                frames.append((frame.ts_ns, frame.wire_len, link_type, held_data(frame)[:frame.cap_len]))
                held_drop(&self.held)
            held_trim(&self.held)
            self.n_frames += len(frames)
        return frames

    def close(self):
        """Read no more; a second call does nothing. Frames that are held are dropped."""
        with self.use:
            self.release_source()
            self.closed = True
            held_free(&self.held)
