cdef class Exclusive:
    cdef str what
    cdef bint is_held
