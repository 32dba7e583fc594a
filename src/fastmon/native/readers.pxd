from libc.stdint cimport int64_t

from fastmon.native.engine.engine cimport Engine, TimeLimits
from fastmon.native.exclusive cimport Exclusive


cdef class Reader:
    cdef Exclusive use
    cdef readonly str name
    cdef readonly bint closed

    cdef int64_t drain_into(self, Engine* engine, int64_t max_frames, const TimeLimits* limits) except -1
    cdef int64_t drain_frames(self, Engine* engine, int64_t max_frames, const TimeLimits* limits) except -1
    cdef int check_open(self) except -1
