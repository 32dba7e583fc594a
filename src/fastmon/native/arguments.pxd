"""Arguments from Python that native code takes: numbers of any size, and bytes.

What it does not do: know what an argument is for.
"""

from cpython.number cimport PyNumber_Index
from libc.stdint cimport INT64_MAX, INT64_MIN, UINT32_MAX, UINT64_MAX, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

from fastmon.native.wire cimport Key, v6_key

cdef enum:
    MAX_ROWS = 0x7FFFFFFF  # of hosts, of conversations, or of services


cdef inline int64_t time_or(value, int64_t default) except? -1:
    """Return a time in nanoseconds, the nearest one if it is out of range; `default` for None."""
    if value is None:
        return default
    return <int64_t>min(max(value, INT64_MIN), INT64_MAX)


cdef inline uint64_t duration_or(value, uint64_t default) except? 1:
    """Return a duration in nanoseconds, the longest one if it is out of range; `default` for None. Raises ValueError below 0."""
    if value is None:
        return default
    if value < 0:
        raise ValueError(f"max_backstep_ns must be 0 or more, not {value}")
    return <uint64_t>min(value, UINT64_MAX)


cdef inline int64_t count_of(str name, value) except? -1:
    """Return a whole number of 0 or more. Raises TypeError for any other number, ValueError for one below 0."""
    cdef int64_t number = PyNumber_Index(value)
    if number < 0:
        raise ValueError(f"{name} must be 0 or more, not {value}")
    return number


cdef inline int check_sizes(str names, int64_t least, tuple sizes) except -1:
    """Raise ValueError for a number of rows that is out of range."""
    for size in sizes:
        if not least <= size <= MAX_ROWS:
            raise ValueError(f"{names} must be between {least} and {MAX_ROWS}, not {size}")
    return 0


cdef inline const uint8_t[::1] bytes_of(data) except *:
    """Return the bytes of an object; unlike Cython, refuse None. Raises TypeError, ValueError for 4 GiB and more."""
    cdef const uint8_t[::1] view = data
    if view is None:
        raise TypeError("bytes are needed, not None")
    if view.shape[0] > <Py_ssize_t>UINT32_MAX:
        raise ValueError(f"at most {UINT32_MAX} bytes are allowed, not {view.shape[0]}")
    return view


cdef inline int copy_table(uint8_t* target, table, Py_ssize_t length, str name) except -1:
    """Copy a table of so many bytes. Raises TypeError or ValueError for anything else."""
    cdef const uint8_t[::1] view = bytes_of(table)
    if view.shape[0] != length:
        raise ValueError(f"{name} has {view.shape[0]} entries; {length} are needed")
    memcpy(target, &view[0], length)
    return 0


cdef inline Key key_of(bytes host) except *:
    """Return a host's key. Raises TypeError for None, ValueError for another length."""
    if host is None or len(host) != 16:
        raise (TypeError if host is None else ValueError)(f"a host's key of 16 bytes is needed, not {host!r}")
    return v6_key(<const uint8_t*>host)


cdef inline void* room_in(uint8_t[::1] target) noexcept:
    """Return where to write into an array, which may be empty."""
    return &target[0] if target.shape[0] else NULL
