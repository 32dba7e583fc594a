"""Which way to take a file's bytes is the fastest one here: each is tried, and what it took per byte decides.

It depends on the machine, on how the page cache holds this part of the file, and on the frames and what is done with them; so
the other ways are tried in turn, again and again, more seldom each time that none is faster.

What it does not do: take bytes, or the time.
"""

from libc.stdint cimport INT64_MAX, int64_t

cdef enum:
    READING
    MAPPING  # and fetching all lines
    SCOUTING  # mapping, and fetching only headers
    N_WAYS

cdef enum:
    TRIAL_BYTES = 4 << 20
    LEAST_RUN_BYTES = 64 << 20
    MOST_RUN_BYTES = 1 << 30

cdef struct Pace:
    int way
    int fastest
    int challenger  # that was last on trial
    bint on_trial  # else it is the turn of the fastest
    int64_t n_bytes  # taken this way since it was chosen
    int64_t ns
    double[N_WAYS] ns_per_byte  # when a way was last chosen; 0: never yet
    int64_t run_bytes  # to take the fastest way before another one is tried


cdef inline void pace_init(Pace* pace) noexcept nogil:
    cdef int way
    pace.way = pace.fastest = pace.challenger = READING
    pace.on_trial = True
    pace.n_bytes = pace.ns = 0
    for way in range(<int>N_WAYS):
        pace.ns_per_byte[way] = 0
    pace.run_bytes = LEAST_RUN_BYTES


cdef inline void pace_fix(Pace* pace, int way) noexcept nogil:
    """Let one way be the fastest, and try no other."""
    pace.way = pace.fastest = way
    pace.on_trial = False
    pace.run_bytes = INT64_MAX


cdef inline void choose(Pace* pace) noexcept nogil:
    cdef bint all_were_tried = pace.ns_per_byte[N_WAYS - 1] != 0  # at first, in their order
    if pace.ns_per_byte[pace.way] < pace.ns_per_byte[pace.fastest]:
        pace.fastest = pace.way
        pace.run_bytes = LEAST_RUN_BYTES
    elif pace.on_trial and all_were_tried:
        pace.run_bytes = min(2 * pace.run_bytes, <int64_t>MOST_RUN_BYTES)
    pace.on_trial = not pace.on_trial or not all_were_tried
    if pace.on_trial:
        pace.challenger = (pace.challenger + 1) % N_WAYS
        if pace.challenger == pace.fastest:
            pace.challenger = (pace.challenger + 1) % N_WAYS
    pace.way = pace.challenger if pace.on_trial else pace.fastest


cdef inline int64_t pace_room(const Pace* pace) noexcept nogil:
    """How many bytes to take before the next choice."""
    return (TRIAL_BYTES if pace.on_trial else pace.run_bytes) - pace.n_bytes


cdef inline void pace_note(Pace* pace, int64_t n_bytes, int64_t ns) noexcept nogil:
    """Note how long bytes took, and choose how to take the next ones."""
    pace.n_bytes += n_bytes
    pace.ns += ns
    if pace_room(pace) > 0:
        return
    pace.ns_per_byte[pace.way] = <double>pace.ns / pace.n_bytes
    choose(pace)
    pace.n_bytes = pace.ns = 0
