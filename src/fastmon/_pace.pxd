"""Which of two ways to take a file's bytes is the faster one here: each is tried, and what it took per byte decides.

It depends on the machine, on how the page cache holds this part of the file, and on what is done with the frames; so the other
way is tried again and again, more seldom each time that it is slower.

What it does not do: take bytes, or the time.
"""

from libc.stdint cimport int64_t

cdef enum:
    READING
    MAPPING
    N_WAYS

cdef enum:
    TRIAL_BYTES = 4 << 20
    LEAST_RUN_BYTES = 64 << 20
    MOST_RUN_BYTES = 1 << 30

cdef struct Pace:
    int way
    bint on_trial  # else this way was the faster one
    int64_t n_bytes  # taken this way since it was chosen
    int64_t ns
    double[N_WAYS] ns_per_byte  # when a way was last chosen; 0: never yet
    int64_t run_bytes  # to take the faster way before the other one is tried


cdef inline void pace_init(Pace* pace) noexcept nogil:
    pace.way = READING
    pace.on_trial = True
    pace.n_bytes = pace.ns = 0
    pace.ns_per_byte[READING] = pace.ns_per_byte[MAPPING] = 0
    pace.run_bytes = LEAST_RUN_BYTES


cdef inline void choose(Pace* pace) noexcept nogil:
    cdef int other = 1 - pace.way
    cdef bint was_on_trial = pace.on_trial
    pace.on_trial = not was_on_trial or pace.ns_per_byte[other] == 0
    if pace.on_trial:
        pace.way = other
    elif pace.ns_per_byte[pace.way] < pace.ns_per_byte[other]:
        pace.run_bytes = LEAST_RUN_BYTES
    else:
        pace.way = other
        pace.run_bytes = min(2 * pace.run_bytes, <int64_t>MOST_RUN_BYTES)


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
