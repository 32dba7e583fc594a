"""A look at one payload: the bytes, whose they are, and what a matcher says of them.

A matcher is a function of a `Look` that returns a verdict. It is the native twin of the function of the same name in
`classify/matchers`, and may not say anything else than that one: where it cannot know, it says ASK, and Python decides.

What it does not do: decide between matchers (`dispatch.pxd`), keep anything.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy

from fastmon.native.classify.hellos cimport Hello
from fastmon.native.classify.memos cimport Memo
from fastmon.native.classify.notes cimport Notes, note_name
from fastmon.native.classify.suffixes cimport Suffixes
from fastmon.native.wire cimport Key

cdef enum:  # verdicts
    NO  # the matcher's application would not send this
    CERTAIN  # `app` is right, whatever others say
    LIKELY  # one of `likely`, if the port or another payload supports it
    ASK  # only Python can tell

cdef enum:
    MAX_LIKELY = 8
    MAX_NAME = 512  # bytes of a name that Python reads

cdef struct Look:
    const uint8_t* data
    uint32_t n  # bytes, 1 to MAX_PAYLOAD
    uint8_t protocol
    bint from_a
    uint16_t src_port  # 0 where ports are hidden
    uint16_t dst_port
    Key src
    Key dst
    int64_t ts_ns
    uint64_t token  # of the conversation
    Notes* notes  # takes the names of hosts
    Hello* hellos
    Memo* memos
    bint may_be_announced  # by a payload that Python has not seen yet: it must weigh what is not certain
    const Suffixes* resolvers  # of the dispatch
    # What was found.
    uint8_t app  # of `App`; UNKNOWN of a follower: as it was
    uint8_t follow  # of `Follow`: what looks at the conversation's further payloads
    bint has_facts  # names of hosts were noted
    bint is_to_remember  # by Python: together with another payload it may be enough
    uint8_t n_likely
    uint8_t[MAX_LIKELY] likely  # in the order of the table
    uint32_t n_title
    uint8_t[MAX_NAME] title  # the name that the conversation asks for

ctypedef int (*Matcher)(Look* look) noexcept nogil


cdef inline int certain(Look* look, int app, int follow) noexcept nogil:
    look.app = app
    look.follow = follow
    return CERTAIN


cdef inline int hinted_one(Look* look, int app) noexcept nogil:
    """Say that it is `app` if the port says so, and nothing otherwise. Too many of them: Python decides."""
    if look.n_likely == MAX_LIKELY:
        return ASK
    look.likely[look.n_likely] = app
    look.n_likely += 1
    return LIKELY


cdef inline int likely_one(Look* look, int app) noexcept nogil:
    """Say that it is `app` if the port says so, or another payload that Python compares with this one."""
    look.is_to_remember = True
    return hinted_one(look, app)


cdef inline bint begins(const Look* look, uint32_t at, const char* text, uint32_t n) noexcept nogil:
    """Whether the bytes at `at` are there, and are those of `text`."""
    return at + n <= look.n and memcmp(look.data + at, text, n) == 0


cdef inline uint32_t find_byte(const Look* look, uint32_t at, uint8_t byte) noexcept nogil:
    """Return where a byte is, at `at` or later; `look.n` if it is not."""
    cdef const uint8_t* found
    if at >= look.n:
        return look.n
    found = <const uint8_t*>memchr(look.data + at, byte, look.n - at)
    return look.n if found == NULL else <uint32_t>(found - look.data)


cdef inline bint contains(const uint8_t* data, uint32_t n_bytes, const char* text, uint32_t n) noexcept nogil:
    """Whether `text`, of `n` bytes and at least one, is anywhere in the data."""
    cdef const uint8_t* at = data
    cdef const uint8_t* end = data + n_bytes
    while at + n <= end:
        at = <const uint8_t*>memchr(at, text[0], <size_t>(end - at) - n + 1)
        if at == NULL:
            return False
        if memcmp(at, text, n) == 0:
            return True
        at += 1
    return False


cdef inline bint is_digit(uint8_t byte) noexcept nogil:
    return 0x30 <= byte <= 0x39


cdef inline bint is_letter(uint8_t byte) noexcept nogil:
    return 0x41 <= (byte & 0xDF) <= 0x5A


cdef inline bint is_space(uint8_t byte) noexcept nogil:
    """Whether `bytes.strip` takes it off."""
    return byte == 0x20 or 9 <= byte <= 13


cdef inline bint are_zero(const uint8_t* data, uint32_t n) noexcept nogil:
    cdef uint32_t i
    for i in range(n):
        if data[i]:
            return False
    return True


cdef inline void set_title(Look* look, const uint8_t* name, uint32_t n) noexcept nogil:
    """Set the name that the conversation asks for: at most MAX_NAME bytes of it."""
    look.n_title = min(n, <uint32_t>MAX_NAME)
    memcpy(look.title, name, look.n_title)


cdef inline void name_host(Look* look, const Key* host, int source) noexcept nogil:
    """Say that a host is known as what the title is."""
    if look.n_title:
        look.has_facts = True
        note_name(look.notes, host, source, look.title, look.n_title, look.ts_ns)
