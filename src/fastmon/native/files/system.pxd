"""The system calls of the readers: on a file descriptor, and of the clock that times them.

What it does not do: raise. A negative value means that a call failed.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t

cdef extern from *:
    """
    #include <fcntl.h>
    #include <poll.h>
    #include <sys/stat.h>
    #include <time.h>
    #include <unistd.h>

    static int fm_is_regular(int fd) { struct stat s; return fstat(fd, &s) == 0 && S_ISREG(s.st_mode); }
    static int fm_is_readable(int fd) { int flags = fcntl(fd, F_GETFL); return flags != -1 && (flags & O_ACCMODE) != O_WRONLY; }
    static int64_t fm_file_bytes(int fd) { struct stat s; return fstat(fd, &s) == 0 ? (int64_t)s.st_size : -1; }
    static int64_t fm_position(int fd) { return (int64_t)lseek(fd, 0, SEEK_CUR); }
    static int64_t fm_set_position(int fd, int64_t offset) { return (int64_t)lseek(fd, (off_t)offset, SEEK_SET); }
    static int64_t fm_monotonic_ns(void) {
        struct timespec t;
        clock_gettime(CLOCK_MONOTONIC, &t);
        return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
    }
    static int fm_poll(int fd, int timeout_ms) { struct pollfd p = {fd, POLLIN, 0}; return poll(&p, 1, timeout_ms); }
    """
    bint is_regular "fm_is_regular"(int fd) noexcept nogil
    bint is_readable "fm_is_readable"(int fd) noexcept nogil  # open, and not for writing only
    int64_t file_bytes "fm_file_bytes"(int fd) noexcept nogil
    int64_t position "fm_position"(int fd) noexcept nogil
    int64_t set_position "fm_set_position"(int fd, int64_t offset) noexcept nogil
    int64_t monotonic_ns "fm_monotonic_ns"() noexcept nogil
    int poll_input "fm_poll"(int fd, int timeout_ms) noexcept nogil
    Py_ssize_t read(int fd, void* target, size_t n_bytes) noexcept nogil
