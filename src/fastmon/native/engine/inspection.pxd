"""The first payloads of conversations: native matchers look at them; what they cannot decide goes to Python.

    payload ──> matchers ──> certain: the conversation's label, and names
                   │  └────> no: nothing, and the next one is looked at
                   └───────> ask: Python's store (`payloads.pxd`), with all further payloads of the conversation

Python remembers: what it was asked once, it is asked always. It also knows which conversations others have announced: those go to
it. While payloads wait for it that may announce others, what is not certain goes to it, too; and whatever may be a connection
that FTP announces, which may carry anything: those of TCP of the same hosts.

What it does not do: match (`native/classify/`), choose a label by port (`lives.pxd`).
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset

from fastmon.native.classify.dispatch cimport NOTHING, OUTRIGHT, Dispatch
from fastmon.native.classify.hellos cimport Hello, hellos_free, hellos_new
from fastmon.native.classify.look cimport Look
from fastmon.native.classify.memos cimport Memo, memos_free, memos_new
from fastmon.native.classify.notes cimport Notes, notes_free, notes_init
from fastmon.native.decode.upper cimport TCP
from fastmon.native.tables.hosts cimport mix
from fastmon.native.wire cimport Key

cdef enum:  # of a conversation
    FOLLOW = 0x0F  # what looks at its further payloads: of `apps.Follow`
    ANNOUNCES = 0x30  # what it may announce: of `dispatch`, shifted
    ANNOUNCES_SHIFT = 4
    IS_ASKED = 0x40  # Python looks at it

cdef enum:
    ANNOUNCER_WORDS = 1 << 6
    ANNOUNCED_WORDS = 1 << 13
    ANNOUNCED_BITS = 64 * ANNOUNCED_WORDS

cdef extern from *:
    """
    #define FM_EXPECTED_FOR_NS 300000000000LL  /* as in classify/classifier.py */
    """
    const int64_t EXPECTED_FOR_NS "FM_EXPECTED_FOR_NS"

cdef struct Inspection:
    const Dispatch* dispatch
    Notes notes
    Hello* hellos
    Memo* memos
    bint announcers_wait  # in Python's store
    uint64_t[ANNOUNCER_WORDS] announcers  # bits of hosts whose payloads may announce outright
    bint hints_wait  # in Python's store
    bint has_announced
    int64_t announced_since_ns
    uint64_t[ANNOUNCED_WORDS] announced  # bits of endpoints that were announced since then
    uint64_t[ANNOUNCED_WORDS] announced_before  # and of those before


cdef inline int inspection_begin(Inspection** inspection, const Dispatch* dispatch, bint keeps_details) except -1:
    """Make what looking at payloads needs, where there is nothing yet. Raises RuntimeError, MemoryError."""
    if inspection[0] != NULL:
        raise RuntimeError("the accountant has matchers")
    cdef Inspection* begun = <Inspection*>calloc(1, sizeof(Inspection))
    if begun == NULL:
        raise MemoryError("no memory for looking at payloads")
    begun.dispatch = dispatch
    try:
        notes_init(&begun.notes)
        begun.hellos = hellos_new()
        begun.memos = memos_new()
    except MemoryError:
        inspection_delete(begun)
        raise
    begun.notes.keeps_details = keeps_details
    inspection[0] = begun
    return 0


cdef inline void inspection_delete(Inspection* inspection) noexcept:
    if inspection != NULL:
        notes_free(&inspection.notes)
        hellos_free(inspection.hellos)
        memos_free(inspection.memos)
        free(inspection)


cdef inline bint is_in(const uint64_t* bits, uint32_t bit) noexcept nogil:
    return bits[bit >> 6] >> (bit & 63) & 1


cdef inline void put_in(uint64_t* bits, uint32_t bit) noexcept nogil:
    bits[bit >> 6] |= <uint64_t>1 << (bit & 63)


cdef inline uint32_t host_bit(const Key* host) noexcept nogil:
    return <uint32_t>(mix(host.low ^ mix(host.high)) & 64 * ANNOUNCER_WORDS - 1)


cdef inline uint32_t endpoint_bit(const Key* host, uint16_t port, uint8_t protocol) noexcept nogil:
    return <uint32_t>(mix(host.low ^ mix(host.high ^ <uint64_t>port << 8 ^ protocol)) & ANNOUNCED_BITS - 1)


cdef inline void announce(Inspection* inspection, const Key* host, uint16_t port, uint8_t protocol, int64_t ts_ns) noexcept nogil:
    """Note that Python expects a conversation with this endpoint, for `EXPECTED_FOR_NS`. NULL: all are for Python."""
    if inspection == NULL:
        return
    if not inspection.has_announced:
        inspection.announced_since_ns = ts_ns
    if <uint64_t>ts_ns - <uint64_t>inspection.announced_since_ns > <uint64_t>EXPECTED_FOR_NS:  # also if the clock was set back
        memcpy(inspection.announced_before, inspection.announced, sizeof(inspection.announced))
        memset(inspection.announced, 0, sizeof(inspection.announced))
        inspection.announced_since_ns = ts_ns
    put_in(inspection.announced, endpoint_bit(host, port, protocol))
    inspection.has_announced = True


cdef inline bint is_announced(const Inspection* inspection, const Key* host, uint16_t port, uint8_t protocol) noexcept nogil:
    cdef uint32_t bit = endpoint_bit(host, port, protocol)
    return is_in(inspection.announced, bit) or is_in(inspection.announced_before, bit)


cdef inline bint is_for_python(const Inspection* inspection, const Look* look) noexcept nogil:
    """Whether a conversation is one that Python expects, or may expect when it has seen what waits for it."""
    if (inspection.announcers_wait and look.protocol == TCP
            and (is_in(inspection.announcers, host_bit(&look.src)) or is_in(inspection.announcers, host_bit(&look.dst)))):
        return True
    return inspection.has_announced and (is_announced(inspection, &look.src, look.src_port, look.protocol)
                                         or is_announced(inspection, &look.dst, look.dst_port, look.protocol))


cdef inline void note_announcement(Inspection* inspection, const Look* look, int kind) noexcept nogil:
    """Note what a payload in Python's store may announce."""
    if kind != NOTHING:
        inspection.hints_wait = True
    if kind == OUTRIGHT:
        inspection.announcers_wait = True
        put_in(inspection.announcers, host_bit(&look.src))
        put_in(inspection.announcers, host_bit(&look.dst))


cdef inline void forget_announcements(Inspection* inspection) noexcept nogil:
    """Python has seen all that waited. NULL: nothing else looks."""
    if inspection == NULL:
        return
    inspection.hints_wait = False
    if inspection.announcers_wait:
        inspection.announcers_wait = False
        memset(inspection.announcers, 0, sizeof(inspection.announcers))
