"""Records of a plain pcap file into the engine, from the reader's buffer or from a window on the file.

What most files hold, as fast as it goes. `next_record` and `push` do the same for every file: whatever ends a loop here,
damage too, is left to them.

What it does not do: read, refill, say what is wrong with a file.
"""

from libc.stdint cimport int64_t, uint8_t, uint32_t

from fastmon.native.engine.entry cimport BATCH_FRAMES
from fastmon.native.engine.engine cimport (
    PUSH_DONE, PUSH_PAUSE, Engine, add_frame, finish_push, flush, forget_macs, forget_payloads, is_full, n_payloads,
    note_time, take_back,
)
from fastmon.native.files.window cimport (
    SPAN_BYTES, STRIDE_BYTES, WINDOW_BYTES, Window, was_cut, window_close, window_move, window_open, window_pass,
)
from fastmon.native.files.savefile cimport MAX_CAP_LEN, Interface, Savefile
from fastmon.native.files.header_prefetch cimport Scout, scout_begin, scout_step
from fastmon.native.wire cimport fetch_lines, load32, load64, unlikely

cdef extern from *:
    """
    #include <sys/stat.h>
    static int64_t fm_file_bytes(int fd) { struct stat s; return fstat(fd, &s) == 0 ? (int64_t)s.st_size : -1; }
    """
    int64_t file_bytes "fm_file_bytes"(int fd) noexcept nogil

cdef enum:
    AHEAD_BYTES = 8192  # where all lines are fetched: the next header's place is known too late
    LEAST_MAPPED_BYTES = 1 << 16  # for less, a mapping costs more than reading
    SCOUTED_FRAMES = 8  # accounted together, hosts only: memory brings headers meanwhile, and not after 64 frames at a stroke


cdef inline bint may_be_cut(const Window* window, const uint8_t* next_header) noexcept nogil:
    """Whether what was loaded before this call may be zeros in place of the file's bytes.

    Behind a new end of the file its page holds zeros, up to the page's own end, and the pages after it are gone: a header of
    zeros, which no program writes, or the window's mark tells of it.
    """
    cdef bint is_zero = (load64(next_header) | load64(next_header + 8)) == 0
    return was_cut(window) or is_zero


cdef inline void flush_window(Engine* engine, const Window* window) noexcept nogil:
    """Account the batch, which points into the window; payloads that went away before they were taken are none."""
    cdef uint32_t n_offered = n_payloads(engine)
    flush(engine)
    if was_cut(window):
        forget_payloads(engine, n_offered)


cdef inline int64_t drain_records_between(Engine* engine, const Interface* interface, const uint8_t** at, const uint8_t* stop,
                                          const uint8_t* end, const Window* window, Scout* scout, int64_t max_frames,
                                          int64_t until_ns) noexcept nogil:
    """Account the records that begin at `at` and before `stop` and are whole before `end`; return their number.

    Of a window (or NULL) also the next record's header must be there, and what comes next is fetched: by the scout, or all of
    it without one (NULL).
    """
    cdef const uint8_t* pos = at[0]
    cdef const uint8_t* last = stop - 1 if stop < end - 15 else end - 16  # where a record may begin
    cdef const uint8_t* whole = end - (0 if window == NULL else 16)  # where it must have ended
    cdef const uint8_t* following
    cdef int64_t ns_per_fraction = 1 if interface.exponent == 9 else 1000
    cdef uint32_t link_type = interface.link_type
    cdef uint32_t n_together = BATCH_FRAMES if scout == NULL or engine.conversations != NULL else SCOUTED_FRAMES
    cdef int64_t ts_ns, n_read = 0
    cdef uint32_t cap_len, wire_len
    cdef int status, pushed = PUSH_DONE
    while pos <= last and n_read < max_frames and pushed != PUSH_PAUSE:
        cap_len = load32(pos + 8)
        wire_len = load32(pos + 12)
        following = pos + 16 + cap_len
        if cap_len > MAX_CAP_LEN or following > whole:
            break
        ts_ns = <int64_t>load32(pos) * 1000000000 + <int64_t>load32(pos + 4) * ns_per_fraction
        if ts_ns >= until_ns:
            break
        if scout != NULL:
            scout_step(scout, pos)
        elif window != NULL:
            fetch_lines(pos + AHEAD_BYTES, 16 + cap_len)
        status = add_frame(engine, link_type, pos + 16, cap_len, wire_len, ts_ns)
        if window != NULL and unlikely(may_be_cut(window, following)):
            take_back(engine, status, wire_len)
            break
        note_time(engine, ts_ns)
        if window != NULL and engine.n_batched == n_together:
            flush_window(engine, window)
            pushed = PUSH_PAUSE if is_full(engine) else PUSH_DONE
        else:
            pushed = finish_push(engine)
        pos = following
        n_read += 1
    at[0] = pos
    return n_read


cdef inline int64_t drain_buffer(Engine* engine, Savefile* file, int64_t max_frames, int64_t until_ns) noexcept nogil:
    """Account the whole records in the buffer of a plain pcap file (`is_plain_pcap`); return their number."""
    return drain_records_between(engine, &file.interfaces[0], &file.pos, file.end, file.end, NULL, NULL, max_frames, until_ns)


cdef inline const uint8_t* window_end(const Window* window, int64_t n_bytes) noexcept nogil:
    """Where a file of `n_bytes` ends in a window on it, or the window does."""
    return window.base + min(n_bytes - window.offset, SPAN_BYTES)


cdef inline int64_t drain_stride(Engine* engine, const Interface* interface, Window* window, Scout* scout, int64_t n_bytes,
                                 int64_t* offset, int64_t max_frames, int64_t until_ns) noexcept nogil:
    """Account records of a window on a file of `n_bytes`, from `offset` to the end of its stride, and move it behind the last."""
    cdef const uint8_t* at = window.base + (offset[0] - window.offset)
    cdef const uint8_t* stop = at + (STRIDE_BYTES - offset[0] % STRIDE_BYTES)
    cdef int64_t n_read
    if may_be_cut(window, at):
        return 0
    n_read = drain_records_between(engine, interface, &at, stop, window_end(window, n_bytes), window, scout, max_frames, until_ns)
    if was_cut(window):
        forget_macs(engine)
    flush_window(engine, window)
    window_pass(window, at)
    offset[0] = window.offset + (at - window.base)
    return n_read


cdef inline bint drain_file(Engine* engine, const Interface* interface, int fd, int64_t* offset, int64_t* n_read,
                            bint scouting, int64_t max_frames, int64_t until_ns, int64_t max_bytes) noexcept nogil:
    """Account the records from `offset` in a plain pcap file through windows on it, as far as that goes.

    scouting: fetch only the records' headers.  max_bytes: begin no stride when so many have been taken.
    Adds their number to `n_read`, and moves `offset` behind them. The batch must be empty. False: the file cannot be mapped,
    or no longer.
    """
    cdef Window window
    cdef Scout scout
    cdef const uint8_t* at
    cdef int64_t n_bytes, stop
    cdef int64_t begin = offset[0]
    cdef bint is_mappable = True
    if file_bytes(fd) - offset[0] < LEAST_MAPPED_BYTES:
        return True
    if not window_open(&window):
        return False
    while n_read[0] < max_frames and offset[0] - begin < max_bytes:
        n_bytes = file_bytes(fd)  # it may grow
        if n_bytes - offset[0] < LEAST_MAPPED_BYTES:
            break
        stop = offset[0] - offset[0] % STRIDE_BYTES + STRIDE_BYTES
        if window.base == NULL or offset[0] >= window.offset + WINDOW_BYTES:
            if not window_move(&window, fd, stop - STRIDE_BYTES):
                is_mappable = False
                break
            at = window.base + (offset[0] - window.offset)
            if scouting:
                scout_begin(&scout, at, window_end(&window, n_bytes) - 16)
            else:
                fetch_lines(at, AHEAD_BYTES)
        n_read[0] += drain_stride(engine, interface, &window, &scout if scouting else NULL, n_bytes, offset,
                                  max_frames - n_read[0], until_ns)
        if was_cut(&window):
            is_mappable = False
            break
        if offset[0] < stop or is_full(engine):
            break
    window_close(&window)
    return is_mappable
