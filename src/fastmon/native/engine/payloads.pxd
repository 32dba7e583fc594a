"""Payloads on their way to the classifier: a bounded store, filled while frames are accounted, and emptied between two drains.

What it does not do: choose frames, wait, look into payloads.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastmon.native.decode.entry cimport BATCH_FRAMES, MAX_PAYLOAD
from fastmon.native.memory cimport release, reserve
from fastmon.native.wire cimport Key

cdef enum:
    N_PAYLOADS = 1024
    MIN_ROOM = BATCH_FRAMES  # a batch may bring this many

cdef struct Payload:
    uint64_t token
    Key a
    Key b
    uint32_t ports
    uint8_t protocol
    bint from_a
    uint16_t length
    int64_t ts_ns
    uint8_t[MAX_PAYLOAD] data

cdef struct Payloads:
    Payload* slots
    uint32_t n_filled
    bint pauses  # drains stop while the store is nearly full
    int64_t allowance  # more payloads that the classifier has time for
    uint64_t n_skipped  # payloads that were wanted but did not fit
    uint64_t n_skipped_base  # at the last rotation


cdef inline int payloads_init(Payloads* payloads) except -1 nogil:
    memset(payloads, 0, sizeof(Payloads))
    payloads.slots = <Payload*>reserve(<size_t>N_PAYLOADS * sizeof(Payload), False)
    if payloads.slots == NULL:
        with gil:
            raise MemoryError("no memory for payloads")
    return 0


cdef inline void payloads_free(Payloads* payloads) noexcept nogil:
    release(payloads.slots, <size_t>N_PAYLOADS * sizeof(Payload))
    payloads.slots = NULL


cdef inline bint must_pause(const Payloads* payloads) noexcept nogil:
    return payloads.n_filled > N_PAYLOADS - MIN_ROOM and payloads.allowance > 0


cdef inline Payload* payload_slot(Payloads* payloads) noexcept nogil:
    """Return a free slot, or NULL (counted in `n_skipped`)."""
    if payloads.allowance <= 0 or payloads.n_filled == N_PAYLOADS:
        payloads.n_skipped += 1
        return NULL
    payloads.allowance -= 1
    payloads.n_filled += 1
    return &payloads.slots[payloads.n_filled - 1]


cdef inline void payload_fill(Payload* slot, const uint8_t* data, uint16_t length) noexcept nogil:
    slot.length = length
    memcpy(slot.data, data, length)
