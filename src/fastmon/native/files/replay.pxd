"""Records of a plain pcap file into the engine, from the reader's buffer or from a window on the file.

This is the fast path of what most files hold. `next_record` and `push` do the same for every file: whatever ends a loop here,
damage too, is left to them.

What it does not do: read, refill, say what is wrong with a file.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from fastmon.native.engine.engine cimport (
    Engine, TimeLimits, add_frame, flush, forget_macs, forget_payloads, is_out_of_time, is_paused, n_payloads, note_time,
    take_back,
)
from fastmon.native.decode.entry cimport BATCH_FRAMES
from fastmon.native.files.header_prefetch cimport HeaderPrefetcher, prefetcher_begin, prefetcher_step
from fastmon.native.files.savefile cimport MAX_CAP_LEN, Interface, Savefile
from fastmon.native.files.system cimport file_bytes
from fastmon.native.files.window cimport (
    SPAN_BYTES, STRIDE_BYTES, WINDOW_BYTES, Window, was_cut, window_close, window_move, window_open, window_release,
)
from fastmon.native.wire cimport load32, load64, prefetch_lines, unlikely

cdef enum:
    AHEAD_BYTES = 8192  # where all lines are prefetched: the next header's place is known too late
    MIN_MAPPED_BYTES = 1 << 16  # for less, a mapping costs more than reading
    MAGIC_YEARS = 0xA1B2  # from 2055 on, the upper half of the seconds is that of pcap's magic numbers
    PREFETCHED_FRAMES = 8  # in a batch, hosts only, while headers are prefetched: after 64 frames at once memory would be idle


cdef inline bint may_be_cut(const Window* window, const uint8_t* next_header) noexcept nogil:
    """Whether the bytes loaded before this call may be zeros in place of the file's bytes.

    Behind a new end of the file its page holds zeros, up to the page's own end, and the pages after it are gone. Either a header
    of zeros, which no program writes, or the window's mark shows that.
    """
    cdef bint is_zero = (load64(next_header) | load64(next_header + 8)) == 0
    return was_cut(window) or is_zero


cdef inline void flush_window(Engine* engine, const Window* window) noexcept nogil:
    """Account the batch, which points into the window (NULL: the buffer); drop payloads that vanished before they were copied."""
    cdef uint32_t n_before = n_payloads(engine)
    flush(engine)
    if window != NULL and was_cut(window):
        forget_payloads(engine, n_before)


cdef inline int64_t drain_records_between(Engine* engine, const Interface* interface, const uint8_t** at, const uint8_t* stop,
                                          const uint8_t* end, const Window* window, HeaderPrefetcher* prefetcher,
                                          const TimeLimits* limits, int64_t max_frames) noexcept nogil:
    """Account the records that begin at `at` and before `stop` and are whole before `end`; return their number.

    In a window (else NULL) the next record's header must be there too, and what comes next is prefetched: by the prefetcher, or
    all of it without one (NULL).
    """
    cdef const uint8_t* pos = at[0]
    cdef const uint8_t* last = stop - 1 if stop < end - 15 else end - 16  # where a record may begin
    cdef const uint8_t* whole = end - (0 if window == NULL else 16)  # where it must have ended
    cdef const uint8_t* following
    cdef int64_t ns_per_fraction = 1 if interface.exponent == 9 else 1000
    cdef uint32_t link_type = interface.link_type
    cdef uint32_t n_together = (<uint32_t>BATCH_FRAMES if prefetcher == NULL or engine.conversations != NULL
                                else <uint32_t>PREFETCHED_FRAMES)
    cdef int64_t ts_ns, n_read = 0
    cdef uint32_t cap_len, wire_len
    cdef int status
    cdef TimeLimits own = limits[0]  # without the times that may be a magic number
    own.until_ns = min(own.until_ns, (<int64_t>MAGIC_YEARS << 16) * 1000000000)
    while pos <= last and n_read < max_frames:
        cap_len = load32(pos + 8)
        wire_len = load32(pos + 12)
        following = pos + 16 + cap_len
        if cap_len - 1 >= MAX_CAP_LEN or following > whole:  # none captured: another file's header, which has a 0 there
            break
        ts_ns = <int64_t>load32(pos) * 1000000000 + <int64_t>load32(pos + 4) * ns_per_fraction
        if unlikely(is_out_of_time(engine, ts_ns, &own)):
            break
        if prefetcher != NULL:
            prefetcher_step(prefetcher, pos)
        elif window != NULL:
            prefetch_lines(pos + AHEAD_BYTES, 16 + cap_len)
        status = add_frame(engine, link_type, pos + 16, cap_len, wire_len, ts_ns)
        if window != NULL and unlikely(may_be_cut(window, following)):
            take_back(engine, status, wire_len)
            break
        note_time(engine, ts_ns)
        pos = following
        n_read += 1
        if engine.n_batched == n_together:
            flush_window(engine, window)
            if is_paused(engine):
                break
    at[0] = pos
    return n_read


cdef inline int64_t drain_buffer(Engine* engine, Savefile* file, const TimeLimits* limits, int64_t max_frames) noexcept nogil:
    """Account the whole records in the buffer of a plain pcap file (`is_plain_pcap`); return their number."""
    return drain_records_between(engine, &file.interfaces[0], &file.pos, file.end, file.end, NULL, NULL, limits, max_frames)


cdef inline const uint8_t* window_end(const Window* window, int64_t n_bytes) noexcept nogil:
    """Return where a file of `n_bytes` ends in the window, or where the window ends."""
    return window.base + min(n_bytes - window.offset, SPAN_BYTES)


cdef inline int64_t drain_stride(Engine* engine, const Interface* interface, Window* window, HeaderPrefetcher* prefetcher,
                                 int64_t n_bytes, int64_t* offset, const TimeLimits* limits, int64_t max_frames) noexcept nogil:
    """Account records of a file of `n_bytes` from `offset` to the end of its stride; move `offset` behind the last one."""
    cdef const uint8_t* at = window.base + (offset[0] - window.offset)
    cdef const uint8_t* stop = at + (STRIDE_BYTES - offset[0] % STRIDE_BYTES)
    cdef int64_t n_read
    if may_be_cut(window, at):
        return 0
    n_read = drain_records_between(engine, interface, &at, stop, window_end(window, n_bytes), window, prefetcher, limits,
                                   max_frames)
    if was_cut(window):
        forget_macs(engine)
    flush_window(engine, window)
    window_release(window, at)
    offset[0] = window.offset + (at - window.base)
    return n_read


cdef inline bint drain_file(Engine* engine, const Interface* interface, int fd, int64_t* offset, int64_t* n_read,
                            bint prefetches_headers, const TimeLimits* limits, int64_t max_frames,
                            int64_t max_bytes) noexcept nogil:
    """Account the records from `offset` in a plain pcap file through windows on it, as far as that goes.

    prefetches_headers: else all lines are prefetched.  max_bytes: begin no stride once this many bytes were read.
    Adds the number of records to `n_read`, and moves `offset` behind them. The batch must be empty. False: the file cannot be
    mapped, or no longer.
    """
    cdef Window window
    cdef HeaderPrefetcher prefetcher
    cdef const uint8_t* at
    cdef int64_t n_bytes, stop
    cdef int64_t begin = offset[0]
    cdef bint is_mappable = True
    if file_bytes(fd) - offset[0] < MIN_MAPPED_BYTES:
        return True
    if not window_open(&window):
        return False
    while n_read[0] < max_frames and offset[0] - begin < max_bytes:
        n_bytes = file_bytes(fd)  # it may grow
        if n_bytes - offset[0] < MIN_MAPPED_BYTES:
            break
        stop = offset[0] - offset[0] % STRIDE_BYTES + STRIDE_BYTES
        if window.base == NULL or offset[0] >= window.offset + WINDOW_BYTES:
            if not window_move(&window, fd, stop - STRIDE_BYTES):
                is_mappable = False
                break
            at = window.base + (offset[0] - window.offset)
            if prefetches_headers:
                prefetcher_begin(&prefetcher, at, window_end(&window, n_bytes) - 16)
            else:
                prefetch_lines(at, AHEAD_BYTES)
        n_read[0] += drain_stride(engine, interface, &window, &prefetcher if prefetches_headers else NULL, n_bytes, offset,
                                  limits, max_frames - n_read[0])
        if was_cut(&window):
            is_mappable = False
            break
        if offset[0] < stop or is_paused(engine):
            break
    window_close(&window)
    return is_mappable
