"""Choose between read(2), a mapping, and a mapping with header prefetch, by timing each of them now and then.

Which one is fastest depends on the machine, on how the page cache holds this part of the file, on the frames and on what is done
with them. The fastest runs; the others get short trials, less and less often while none of them is faster. The figures:
docs/decisions/0002-read-methods.md.

What it does not do: read, map, measure time.
"""

from libc.stdint cimport INT64_MAX, int64_t

cdef enum:
    READING
    MAPPING  # prefetch all lines
    PREFETCHING  # a mapping, too, but prefetch only the records' headers
    N_METHODS

cdef enum:
    TRIAL_BYTES = 4 << 20
    MIN_RUN_BYTES = 64 << 20
    MAX_RUN_BYTES = 1 << 30

cdef struct ReadMethod:
    int method  # in use
    int fastest
    int candidate  # the last one on trial
    bint on_trial  # the candidate is in use, else the fastest
    int64_t n_bytes  # read since the method was chosen
    int64_t ns
    double[N_METHODS] ns_per_byte  # at each method's last turn; 0: not used yet
    int64_t run_bytes  # to read with the fastest before the next trial


cdef inline void method_init(ReadMethod* choice) noexcept nogil:
    cdef int method
    choice.method = choice.fastest = choice.candidate = READING
    choice.on_trial = True
    choice.n_bytes = choice.ns = 0
    for method in range(<int>N_METHODS):
        choice.ns_per_byte[method] = 0
    choice.run_bytes = MIN_RUN_BYTES


cdef inline void method_fix(ReadMethod* choice, int method) noexcept nogil:
    """Use one method only."""
    choice.method = choice.fastest = method
    choice.on_trial = False
    choice.run_bytes = INT64_MAX


cdef inline void choose(ReadMethod* choice) noexcept nogil:
    cdef bint all_were_tried = choice.ns_per_byte[N_METHODS - 1] != 0  # the first trials are in order
    if choice.ns_per_byte[choice.method] < choice.ns_per_byte[choice.fastest]:
        choice.fastest = choice.method
        choice.run_bytes = MIN_RUN_BYTES
    elif choice.on_trial and all_were_tried:
        choice.run_bytes = min(2 * choice.run_bytes, <int64_t>MAX_RUN_BYTES)
    choice.on_trial = not choice.on_trial or not all_were_tried
    if choice.on_trial:
        choice.candidate = (choice.candidate + 1) % N_METHODS
        if choice.candidate == choice.fastest:
            choice.candidate = (choice.candidate + 1) % N_METHODS
    choice.method = choice.candidate if choice.on_trial else choice.fastest


cdef inline int64_t method_bytes_left(const ReadMethod* choice) noexcept nogil:
    """Return how many bytes to read before the next choice."""
    return (TRIAL_BYTES if choice.on_trial else choice.run_bytes) - choice.n_bytes


cdef inline void method_note(ReadMethod* choice, int64_t n_bytes, int64_t ns) noexcept nogil:
    """Note how long `n_bytes` took, and choose the method for the next ones."""
    choice.n_bytes += n_bytes
    choice.ns += ns
    if method_bytes_left(choice) > 0:
        return
    choice.ns_per_byte[choice.method] = <double>choice.ns / choice.n_bytes
    choose(choice)
    choice.n_bytes = choice.ns = 0
