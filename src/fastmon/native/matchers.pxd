from libc.stdint cimport uint32_t

from fastmon.native.classify.dispatch cimport Dispatch
from fastmon.native.classify.look cimport Matcher


cdef class Matchers:
    cdef Dispatch dispatch

    cdef void set_follower(self, int follow, Matcher matcher, uint32_t least) noexcept
    cdef int set_candidates(self, list rows) except -1
