"""A window on a regular file, which is mapped instead of read, and a guard that lets the file shrink meanwhile.

A window is mapped at once, but holds the memory of a few strides only: the reader gives back those that it has passed.

Reading a mapped page that the file no longer has, or that the disk cannot give, raises SIGBUS. While a window is open, a
handler replaces the missing pages by zeros and marks the window. The reader asks `was_cut` afterwards, and drops what it read.
Any other SIGBUS goes to the handler that was there before, or kills the process as usual.

What it does not do: parse, know the file's end (the page that holds it is zero behind it, without any signal).
"""

from libc.stdint cimport int64_t, uint8_t

cdef extern from *:
    """
    #include <errno.h>
    #include <pthread.h>
    #include <signal.h>
    #include <stdint.h>
    #include <string.h>
    #include <sys/mman.h>
    #include <unistd.h>

    /* As long as a huge page and aligned like one, in the file and in memory, so that one fault maps all of it. */
    #define FM_STRIDE_BYTES ((size_t)2 << 20)
    #define FM_WINDOW_BYTES (16 * FM_STRIDE_BYTES)
    /* With room behind the window, so that a record that begins in it is whole, and the next header too. */
    #define FM_SPAN_BYTES (FM_WINDOW_BYTES + FM_STRIDE_BYTES)
    #define FM_MAX_WINDOWS 64  /* open at once, in all threads */

    /* One word gives a span, so that the handler never sees half of another thread's change. */
    typedef struct {
        uintptr_t base;
        volatile sig_atomic_t was_cut;
        int in_use;
    } FmSlot;

    typedef struct {
        const uint8_t* base;
        int64_t offset;  /* in the file, of the base */
        const uint8_t* kept;  /* before it, memory was given back */
        void* hint;  /* where a mapping is aligned, if there is room */
        FmSlot* slot;
    } FmWindow;

    static FmSlot fm_slots[FM_MAX_WINDOWS];
    static pthread_mutex_t fm_guard_lock = PTHREAD_MUTEX_INITIALIZER;
    static int fm_n_guarded;
    static uintptr_t fm_page_bytes;
    static struct sigaction fm_previous;

    static void fm_pass_on(int number, siginfo_t* info, void* context) {
        struct sigaction by_default;
        int is_fault = info->si_code > 0;
        if (fm_previous.sa_flags & SA_SIGINFO) {
            fm_previous.sa_sigaction(number, info, context);
        } else if (fm_previous.sa_handler != SIG_DFL && fm_previous.sa_handler != SIG_IGN) {
            fm_previous.sa_handler(number);
        } else if (is_fault || fm_previous.sa_handler == SIG_DFL) {
            memset(&by_default, 0, sizeof(by_default));
            by_default.sa_handler = SIG_DFL;
            sigaction(number, &by_default, NULL);
            if (!is_fault) raise(number);  /* a fault comes again by itself */
        }
    }

    static void fm_on_sigbus(int number, siginfo_t* info, void* context) {
        uintptr_t at = (uintptr_t)info->si_addr, page = at & ~(fm_page_bytes - 1);
        int i, saved_errno = errno;
        for (i = 0; info->si_code == BUS_ADRERR && i < FM_MAX_WINDOWS; i++) {
            uintptr_t base = __atomic_load_n(&fm_slots[i].base, __ATOMIC_ACQUIRE);
            if (base == 0 || at - base >= FM_SPAN_BYTES) continue;
            if (mmap((void*)page, base + FM_SPAN_BYTES - page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0)
                    == MAP_FAILED) break;
            fm_slots[i].was_cut = 1;
            errno = saved_errno;
            return;
        }
        fm_pass_on(number, info, context);
        errno = saved_errno;
    }

    static int fm_is_guard(const struct sigaction* action) {
        return (action->sa_flags & SA_SIGINFO) && action->sa_sigaction == fm_on_sigbus;
    }

    static int fm_guard(void) {
        struct sigaction guard, present;
        if (fm_n_guarded == 0) {
            memset(&guard, 0, sizeof(guard));
            guard.sa_sigaction = fm_on_sigbus;
            guard.sa_flags = SA_SIGINFO | SA_ONSTACK;
            fm_page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
            if (sigaction(SIGBUS, NULL, &present) != 0) return 0;
            /* Already ours if another component replaced our handler and later restored it. */
            if (!fm_is_guard(&present)) {
                fm_previous = present;
                if (sigaction(SIGBUS, &guard, NULL) != 0) return 0;
            }
        }
        fm_n_guarded++;
        return 1;
    }

    static void fm_unguard(void) {
        struct sigaction present;
        if (--fm_n_guarded == 0 && sigaction(SIGBUS, NULL, &present) == 0 && fm_is_guard(&present))
            sigaction(SIGBUS, &fm_previous, NULL);
    }

    static int fm_window_open(FmWindow* window) {
        sigset_t blocked;
        uint8_t* room;
        int i;
        window->base = NULL;
        window->slot = NULL;
        if (pthread_sigmask(SIG_BLOCK, NULL, &blocked) != 0 || sigismember(&blocked, SIGBUS)) return 0;
        room = mmap(NULL, FM_SPAN_BYTES + FM_STRIDE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (room == MAP_FAILED) return 0;
        window->hint = (void*)(((uintptr_t)room + FM_STRIDE_BYTES - 1) & ~(uintptr_t)(FM_STRIDE_BYTES - 1));
        munmap(room, FM_SPAN_BYTES + FM_STRIDE_BYTES);
        pthread_mutex_lock(&fm_guard_lock);
        for (i = 0; i < FM_MAX_WINDOWS && fm_slots[i].in_use; i++) {}
        if (i < FM_MAX_WINDOWS && fm_guard()) {
            window->slot = &fm_slots[i];
            window->slot->in_use = 1;
            window->slot->was_cut = 0;
        }
        pthread_mutex_unlock(&fm_guard_lock);
        return window->slot != NULL;
    }

    static void fm_window_unmap(FmWindow* window) {
        if (window->base == NULL) return;
        __atomic_store_n(&window->slot->base, 0, __ATOMIC_RELEASE);
        munmap((void*)window->base, FM_SPAN_BYTES);
        window->base = NULL;
    }

    /* `offset` is a multiple of FM_STRIDE_BYTES. What is behind the file's end must not be touched. */
    static int fm_window_move(FmWindow* window, int fd, int64_t offset) {
        void* mapped;
        fm_window_unmap(window);
        mapped = mmap(window->hint, FM_SPAN_BYTES, PROT_READ, MAP_SHARED, fd, (off_t)offset);
        if (mapped == MAP_FAILED) return 0;
        window->base = window->kept = mapped;
        window->offset = offset;
        __atomic_store_n(&window->slot->base, (uintptr_t)mapped, __ATOMIC_RELEASE);
        return 1;
    }

    /* Give back the memory of whole strides before `at`. */
    static void fm_window_release(FmWindow* window, const uint8_t* at) {
        size_t n_bytes = (size_t)(at - window->kept) & ~(FM_STRIDE_BYTES - 1);
        if (n_bytes != 0) madvise((void*)window->kept, n_bytes, MADV_DONTNEED);
        window->kept += n_bytes;
    }

    static void fm_window_close(FmWindow* window) {
        fm_window_unmap(window);
        pthread_mutex_lock(&fm_guard_lock);
        window->slot->in_use = 0;
        fm_unguard();
        pthread_mutex_unlock(&fm_guard_lock);
    }

    static inline int fm_was_cut(const FmWindow* window) {
        __asm__ volatile("" ::: "memory");  /* after all loads before it: the handler runs within the one that faults */
        return window->slot->was_cut != 0;
    }
    """
    ctypedef struct Window "FmWindow":
        const uint8_t* base
        int64_t offset

    const int64_t STRIDE_BYTES "FM_STRIDE_BYTES"
    const int64_t WINDOW_BYTES "FM_WINDOW_BYTES"
    const int64_t SPAN_BYTES "FM_SPAN_BYTES"

    bint window_open "fm_window_open"(Window* window) noexcept nogil
    bint window_move "fm_window_move"(Window* window, int fd, int64_t offset) noexcept nogil
    void window_release "fm_window_release"(Window* window, const uint8_t* at) noexcept nogil
    void window_close "fm_window_close"(Window* window) noexcept nogil
    bint was_cut "fm_was_cut"(const Window* window) noexcept nogil
