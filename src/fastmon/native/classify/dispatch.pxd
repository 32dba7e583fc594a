"""Which matchers a payload is shown to, and what follows from what they say.

The protocol and the first byte choose the candidates, which are asked in the table's order, those for few first bytes first. The
first certain one decides. If none is certain, the first application that the conversation's ports support decides, as in
`classify/classifier.py`; else Python is asked, which remembers.

What it does not do: keep anything, or label conversations (`native/engine/inspection.pxd`).
"""

from libc.stdint cimport uint8_t, uint32_t

from fastmon.native.classify.apps cimport N_FOLLOWERS, N_NATIVE_APPS
from fastmon.native.classify.look cimport ASK, CERTAIN, NO, Look, Matcher
from fastmon.native.classify.suffixes cimport Suffixes
from fastmon.native.decode.upper cimport TCP

cdef enum:  # what a payload may announce
    NOTHING
    HINTS  # the application of a conversation, if its payloads support it
    OUTRIGHT  # the application of one of TCP, whatever its payloads are

cdef struct Candidate:
    Matcher matcher  # NULL: Python must be asked
    uint32_t least  # bytes
    uint8_t announces

cdef struct Dispatch:
    # By pointer, so that the matchers are compiled once.
    int (*decide)(const Dispatch* dispatch, Look* look) noexcept nogil
    int (*go_on)(const Dispatch* dispatch, Look* look, int follow) noexcept nogil
    int (*may_announce)(const Dispatch* dispatch, Look* look) noexcept nogil
    Candidate* candidates
    uint32_t[2][257] starts  # of TCP's and UDP's candidates for each first byte
    uint8_t[2][65536] apps  # by port: their numbers
    uint8_t[N_NATIVE_APPS] numbers
    Suffixes resolvers
    Matcher[N_FOLLOWERS] followers
    uint32_t[N_FOLLOWERS] least
    uint8_t wanted_after_label  # payloads of a conversation that may tell more


cdef inline int payload_may_announce(const Dispatch* dispatch, Look* look) noexcept nogil:
    """Return what Python may find that a payload announces."""
    cdef int most = NOTHING
    cdef uint32_t i
    cdef int kind = 0 if look.protocol == TCP else 1
    cdef const Candidate* candidate
    look.n_likely = 0  # it may not have been decided on
    for i in range(dispatch.starts[kind][look.data[0]], dispatch.starts[kind][look.data[0] + 1]):
        candidate = &dispatch.candidates[i]
        if candidate.announces > most and look.n >= candidate.least:
            if candidate.matcher == NULL or candidate.matcher(look) != NO:
                most = candidate.announces
    return most


cdef inline int weigh(const Dispatch* dispatch, Look* look) noexcept nogil:
    """Decide for the first of what may be that a port supports; else Python must, if the payload is worth remembering."""
    cdef int kind = 0 if look.protocol == TCP else 1
    cdef uint8_t by_src = dispatch.apps[kind][look.src_port]
    cdef uint8_t by_dst = dispatch.apps[kind][look.dst_port]
    cdef uint32_t i
    cdef uint8_t number
    for i in range(look.n_likely if not look.may_be_announced else 0):
        number = dispatch.numbers[look.likely[i]]
        if number == by_src or number == by_dst:
            look.app = look.likely[i]
            return CERTAIN
    return ASK if look.is_to_remember or look.may_be_announced else NO


cdef inline void ready_look(const Dispatch* dispatch, Look* look) noexcept nogil:
    """Set what the matchers write, and what they read of the table."""
    look.resolvers = &dispatch.resolvers
    look.n_likely = look.n_title = 0
    look.app = look.follow = 0
    look.has_facts = look.is_to_remember = False


cdef inline int decide_by_payload(const Dispatch* dispatch, Look* look) noexcept nogil:
    """Show a payload to its candidates; return CERTAIN, NO or ASK."""
    cdef uint32_t i
    cdef int verdict
    cdef int kind = 0 if look.protocol == TCP else 1
    cdef const Candidate* candidate
    ready_look(dispatch, look)
    for i in range(dispatch.starts[kind][look.data[0]], dispatch.starts[kind][look.data[0] + 1]):
        candidate = &dispatch.candidates[i]
        if look.n < candidate.least:
            continue
        verdict = ASK if candidate.matcher == NULL else candidate.matcher(look)
        if verdict == CERTAIN or verdict == ASK:
            return verdict
    return weigh(dispatch, look) if look.n_likely else NO


cdef inline int go_on_with_follower(const Dispatch* dispatch, Look* look, int follow) noexcept nogil:
    """Show a further payload to what has labelled the conversation; return CERTAIN or NO."""
    ready_look(dispatch, look)
    if look.n < dispatch.least[follow]:
        return NO
    return CERTAIN if dispatch.followers[follow](look) == CERTAIN else NO
