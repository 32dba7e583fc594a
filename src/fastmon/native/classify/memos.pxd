"""Memos: what a matcher has seen in an earlier payload of a conversation, for the answer to it.

A fixed number of places; a new memo takes the place of an old one, so one may be missing, and a matcher must do without it.

What it does not do: keep what has to be kept.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from fastmon.native.memory cimport release, reserve
from fastmon.native.tables.hosts cimport mix

cdef enum:
    N_MEMOS = 1 << 10
    MEMO_BYTES = 512  # as long as a name that Python reads

cdef struct Memo:
    uint64_t token  # of the conversation
    uint64_t tag  # of the matcher and its subject
    uint32_t n  # bytes; 0: free
    uint8_t[MEMO_BYTES] data


cdef inline Memo* memos_new() except? NULL nogil:
    """Return room for memos. Raises MemoryError."""
    cdef Memo* memos = <Memo*>reserve(<size_t>N_MEMOS * sizeof(Memo), False)
    if memos == NULL:
        with gil:
            raise MemoryError("no memory for memos")
    return memos


cdef inline void memos_free(Memo* memos) noexcept nogil:
    release(memos, <size_t>N_MEMOS * sizeof(Memo))


cdef inline void keep_memo(Memo* memos, uint64_t token, uint64_t tag, const uint8_t* data, uint32_t n) noexcept nogil:
    """Keep a memo, unless it is too long."""
    cdef Memo* memo = &memos[mix(token ^ mix(tag)) & N_MEMOS - 1]
    if n > MEMO_BYTES:
        return
    memo.token = token
    memo.tag = tag
    memo.n = n
    memcpy(memo.data, data, n)


cdef inline const Memo* find_memo(const Memo* memos, uint64_t token, uint64_t tag) noexcept nogil:
    """Return a memo; NULL if it is not there."""
    cdef const Memo* memo = &memos[mix(token ^ mix(tag)) & N_MEMOS - 1]
    return memo if memo.n and memo.token == token and memo.tag == tag else NULL
