/* Preloaded: what another program does to a file between two system calls, and calls that are slow.
 *
 * SLOW_READ_US, SLOW_MMAP_US: how long each takes on TARGET, by a clock of its own that runs for nothing else: so the machine's
 * speed does not matter.
 * CUT_AFTER: the read of TARGET, counted from 1, in the middle of which it is cut to CUT_BYTES; before the next one DONOR is appended. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static int is_target(int fd)
{
    char link[64], path[4096];
    const char *target = getenv("TARGET");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = target ? readlink(link, path, sizeof path - 1) : -1;
    return n > 0 && (size_t)n == strlen(target) && memcmp(path, target, (size_t)n) == 0;
}

static long number(const char *name)
{
    const char *text = getenv(name);
    return text ? atol(text) : 0;
}

static long long now_ns;

static void pass(const char *name)
{
    __atomic_add_fetch(&now_ns, 1000LL * number(name), __ATOMIC_RELAXED);
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    static int (*real)(clockid_t, struct timespec *);
    if (!real)
        real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    if (clock != CLOCK_MONOTONIC || !(number("SLOW_READ_US") || number("SLOW_MMAP_US")))
        return real(clock, time);
    long long ns = __atomic_add_fetch(&now_ns, 1000, __ATOMIC_RELAXED);
    time->tv_sec = ns / 1000000000;
    time->tv_nsec = ns % 1000000000;
    return 0;
}

ssize_t read(int fd, void *buffer, size_t n_bytes)
{
    static ssize_t (*real)(int, void *, size_t);
    static long n_reads;
    static char donor[1 << 16];
    if (!real)
        real = (ssize_t(*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
    if (!is_target(fd))
        return real(fd, buffer, n_bytes);
    n_reads++;
    pass("SLOW_READ_US");
    if (number("CUT_AFTER") && n_reads == number("CUT_AFTER") + 1) {
        int from = open(getenv("DONOR"), O_RDONLY), to = open(getenv("TARGET"), O_WRONLY | O_APPEND);
        for (ssize_t n; (n = real(from, donor, sizeof donor)) > 0;)
            if (write(to, donor, (size_t)n) != n)
                abort();
        close(from);
        close(to);
    }
    ssize_t n = real(fd, buffer, n_bytes);
    if (n > 0 && n_reads == number("CUT_AFTER")) {
        off_t end = lseek(fd, 0, SEEK_CUR), cut = number("CUT_BYTES");
        if (truncate(getenv("TARGET"), cut) != 0)
            abort();
        if (end > cut) /* as the kernel does to pages that it is copying */
            memset((char *)buffer + (n - (end - cut < n ? end - cut : n)), 0, (size_t)(end - cut < n ? end - cut : n));
    }
    return n;
}

static void *map(const char *name, void *address, size_t n_bytes, int protection, int flags, int fd, off_t offset)
{
    void *(*real)(void *, size_t, int, int, int, off_t) = (void *(*)(void *, size_t, int, int, int, off_t))dlsym(RTLD_NEXT, name);
    if (fd >= 0 && is_target(fd))
        pass("SLOW_MMAP_US");
    return real(address, n_bytes, protection, flags, fd, offset);
}

void *mmap(void *address, size_t n_bytes, int protection, int flags, int fd, off_t offset)
{
    return map("mmap", address, n_bytes, protection, flags, fd, offset);
}

void *mmap64(void *address, size_t n_bytes, int protection, int flags, int fd, off_t offset)
{
    return map("mmap64", address, n_bytes, protection, flags, fd, offset);
}
