"""The conversation table: rows of one cache line behind an index (`native/tables/index.pxd`).

    rows     what every frame needs: counters, and the rows of the two hosts, which have their keys
    records  what is seldom needed: the hosts' keys, what was credited, services, what was told of it

Rows of conversations that ended are used again, the last one first. In a full table `oldest_of_some` chooses one to evict.
Only a rotation looks at the whole table.

What it does not do: know hosts, applications or payloads; count frames.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from fastmon.native.decode.entry cimport Entry
from fastmon.native.decode.upper cimport TCP
from fastmon.native.tables.index cimport (
    NO_ROW, Bucket, Index, index_allocate, index_distance, index_prefetch, index_free, index_has_room, index_init, index_insert,
    index_displaced, index_remove, row_in, slots_of,
)
from fastmon.native.memory cimport release, reserve
from fastmon.native.tables.hosts cimport mix
from fastmon.native.wire cimport Key, likely, unlikely

cdef enum:  # of a conversation
    RUNNING = 1
    FIN_FROM_A = 2
    FIN_FROM_B = 4
    CLOSED_BY_FIN = 8
    CLOSED_BY_RST = 16
    CLOSED = CLOSED_BY_FIN | CLOSED_BY_RST
    UNCREDITED_A = 32  # some settled traffic was not credited to this side's host
    UNCREDITED_B = 64
    WANTS_PAYLOAD = 128

cdef enum:  # marks of a conversation
    SERVER_IS_A = 1
    LOCAL_A = 2
    LOCAL_B = 4
    MAY_FAIL = 8  # a local host opened it, and an answer could come
    TOLD = 16  # as a contact
    TOLD_ANSWERED = 32
    FAILED = 64  # as a conversation that got no answer

cdef enum:  # why a conversation ended: the numbers of conversations.ENDED_REASONS
    ENDED_FIN
    ENDED_RST
    ENDED_IDLE
    ENDED_FULL
    ENDED_END
    N_REASONS

cdef enum:  # what decided the application: the numbers of conversations.LABELLED_BY
    BY_NOTHING
    BY_PORT
    BY_PAYLOAD

cdef enum:
    N_CANDIDATES = 8  # for eviction

cdef extern from *:
    """
    #define FM_CLOSED_TIMEOUT_NS 10000000000LL
    #define FM_TCP_TIMEOUT_NS 300000000000LL
    #define FM_OTHER_TIMEOUT_NS 120000000000LL
    #define FM_ANSWER_TIMEOUT_NS 5000000000LL

    /* An endpoint's part of a conversation's hash, keyed twice: by the host's hash, and by an odd factor. */
    static inline uint64_t fm_endpoint_hash(uint32_t host_hash, uint32_t port, uint64_t factor) {
        uint64_t product = ((uint64_t)port << 32 | host_hash) * factor;
        return product ^ product >> 32;
    }
    """
    const int64_t CLOSED_TIMEOUT_NS "FM_CLOSED_TIMEOUT_NS"
    const int64_t TCP_TIMEOUT_NS "FM_TCP_TIMEOUT_NS"
    const int64_t OTHER_TIMEOUT_NS "FM_OTHER_TIMEOUT_NS"
    const int64_t ANSWER_TIMEOUT_NS "FM_ANSWER_TIMEOUT_NS"
    uint64_t endpoint_hash "fm_endpoint_hash"(uint32_t host_hash, uint32_t port, uint64_t factor) noexcept nogil

cdef struct Conversation:
    uint32_t[2] hosts  # most likely the rows of a and b in the host table; NO_ROW if one had none when the last frame came
    uint32_t ports  # a's << 16 | b's
    uint8_t protocol
    uint8_t state
    uint8_t app
    uint8_t labelled_by
    uint64_t[2] bytes  # from a to b, from b to a
    uint64_t[2] packets
    int64_t first_ns
    int64_t last_ns

cdef struct ConversationRecord:
    Key a  # the source of the frame that opened it
    Key b
    uint64_t[2] settled_bytes
    uint64_t[2] settled_packets
    uint32_t hash
    uint32_t serial  # of the conversation among all, so that a late label does not reach the row's next one
    uint32_t next_free  # row + 1
    uint32_t n_resets  # RST frames from the server
    uint32_t[2] services  # row + 1 of a's and of b's; 0: it has none
    uint8_t wanted  # payload frames that the classifier would like to see
    uint8_t marks
    uint8_t told_app
    uint8_t inspection  # FOLLOW, ANNOUNCES, IS_ASKED of `native/engine/inspection.pxd`

cdef struct ConversationTable:
    Conversation* rows
    ConversationRecord* records
    Index index
    uint32_t n_rows  # ever used
    uint32_t n_running
    uint32_t max_rows
    uint32_t free_row  # + 1
    uint32_t hand  # of `oldest_of_some`
    uint32_t sweep_hand
    uint32_t next_serial
    uint64_t hash_factor


cdef inline void conversations_free(ConversationTable* table) noexcept nogil:
    release(table.rows, <size_t>table.max_rows * sizeof(Conversation))
    release(table.records, <size_t>table.max_rows * sizeof(ConversationRecord))
    index_free(&table.index)
    table.rows = NULL
    table.records = NULL


cdef inline int conversations_init(ConversationTable* table, uint32_t max_rows, uint64_t seed) except -1 nogil:
    """Reserve room for `max_rows` conversations (at most 2**31 - 1). Raises MemoryError."""
    memset(table, 0, sizeof(ConversationTable))
    table.max_rows = max_rows
    table.hash_factor = mix(seed) | 1
    table.rows = <Conversation*>reserve(<size_t>max_rows * sizeof(Conversation), True)
    table.records = <ConversationRecord*>reserve(<size_t>max_rows * sizeof(ConversationRecord), True)
    if not index_init(&table.index) or table.rows == NULL or table.records == NULL:
        conversations_free(table)
        with gil:
            raise MemoryError(f"no address space for {max_rows} conversations; lower max_conversations")
    return 0


cdef inline int direction(const Conversation* row, const Key* a, const Key* b, const Entry* entry) noexcept nogil:
    """Return 0 if the frame goes from a to b of this conversation, 1 if from b to a, -1 if it is of another one.

    Without a branch on the direction, which is random. a, b: the keys of the conversation's hosts.
    """
    cdef uint64_t same = row.protocol ^ entry.protocol
    cdef uint64_t forward = ((a.high ^ entry.src.high) | (a.low ^ entry.src.low) | (b.high ^ entry.dst.high)
                             | (b.low ^ entry.dst.low) | (row.ports ^ entry.ports) | same)
    cdef uint64_t backward = ((a.high ^ entry.dst.high) | (a.low ^ entry.dst.low) | (b.high ^ entry.src.high)
                              | (b.low ^ entry.src.low)
                              | (row.ports ^ (entry.ports << 16 | entry.ports >> 16)) | same)
    cdef uint64_t is_backward = forward != 0
    if unlikely(backward & (0 - is_backward)):
        return -1
    return <int>is_backward


cdef inline int record_direction(const ConversationTable* table, uint32_t row, const Entry* entry) noexcept nogil:
    return direction(&table.rows[row], &table.records[row].a, &table.records[row].b, entry)


cdef inline uint32_t conversation_find(const ConversationTable* table, const Entry* entry) noexcept nogil:
    """Return the row of the running conversation of a frame; NO_ROW if there is none."""
    cdef uint32_t bucket_index = entry.conversation_hash & table.index.bucket_mask
    cdef const Bucket* bucket
    cdef uint32_t found, row
    while True:
        bucket = &table.index.buckets[bucket_index]
        found = slots_of(&table.index, bucket, entry.conversation_hash)
        while found:
            row = row_in(&table.index, bucket, found)
            if likely(record_direction(table, row, entry) >= 0):
                return row
            found &= found - 1
        if likely(bucket.n_displaced == 0):
            return NO_ROW
        bucket_index = (bucket_index + 1) & table.index.bucket_mask


cdef inline void conversation_index(ConversationTable* table, uint32_t row) noexcept nogil:
    index_insert(&table.index, table.records[row].hash, row)


cdef inline bint conversations_reserve(ConversationTable* table) noexcept nogil:
    """Make room in the index for one more row; False without memory for it."""
    cdef uint32_t row
    if likely(index_has_room(&table.index, table.n_running + 1) or table.n_running == table.max_rows):
        return True
    if not index_allocate(&table.index, (<uint64_t>table.index.bucket_mask + 1) * 2):
        return False
    for row in range(table.n_rows):
        if table.rows[row].state & RUNNING:
            conversation_index(table, row)
    return True


cdef inline int64_t timeout_ns(const Conversation* row) noexcept nogil:
    if row.state & CLOSED:
        return CLOSED_TIMEOUT_NS
    return TCP_TIMEOUT_NS if row.protocol == TCP else OTHER_TIMEOUT_NS


cdef inline bint is_silent_for(const Conversation* row, int64_t now_ns, int64_t least_ns) noexcept nogil:
    """Whether the last frame is more than `least_ns` ago. No difference of two times overflows."""
    return now_ns > row.last_ns and <uint64_t>now_ns - <uint64_t>row.last_ns > <uint64_t>least_ns


cdef inline bint is_idle(const Conversation* row, int64_t now_ns) noexcept nogil:
    return is_silent_for(row, now_ns, timeout_ns(row))


cdef inline int closing_reason(const Conversation* row, int otherwise) noexcept nogil:
    if row.state & CLOSED_BY_FIN:
        return ENDED_FIN
    return ENDED_RST if row.state & CLOSED_BY_RST else otherwise


cdef inline int server_side(const ConversationRecord* record) noexcept nogil:
    """Return 0 if a is the server, else 1."""
    return not record.marks & SERVER_IS_A


cdef inline bint is_answered(const Conversation* row, const ConversationRecord* record) noexcept nogil:
    """Whether the server has sent anything but RST."""
    return row.packets[server_side(record)] > record.n_resets


cdef inline bint may_still_fail(const ConversationRecord* record) noexcept nogil:
    return record.marks & (MAY_FAIL | FAILED) == MAY_FAIL


cdef inline bint has_waited_too_long(const Conversation* row, int64_t now_ns) noexcept nogil:
    """Whether the first frame is more than `ANSWER_TIMEOUT_NS` ago. No difference of two times overflows."""
    return now_ns > row.first_ns and <uint64_t>now_ns - <uint64_t>row.first_ns > <uint64_t>ANSWER_TIMEOUT_NS


cdef inline uint32_t conversation_take_row(ConversationTable* table) noexcept nogil:
    """Return a row for a new conversation; NO_ROW if one must be evicted first."""
    cdef uint32_t row
    if table.free_row:
        row = table.free_row - 1
        table.free_row = table.records[row].next_free
        return row
    if table.n_rows == table.max_rows:
        return NO_ROW
    row = table.n_rows
    table.n_rows += 1
    return row


cdef inline uint32_t oldest_of_some(ConversationTable* table) noexcept nogil:
    """Return the row with the oldest last frame of the next few rows from `hand` on; move the hand past them."""
    cdef uint32_t chosen = table.hand
    cdef uint32_t _i
    for _i in range(min(<uint32_t>N_CANDIDATES, table.n_rows)):
        if table.rows[table.hand].last_ns < table.rows[chosen].last_ns:
            chosen = table.hand
        table.hand = table.hand + 1 if table.hand + 1 < table.n_rows else 0
    return chosen


cdef inline void prefetch_slot(const ConversationTable* table, uint32_t row) noexcept nogil:
    index_prefetch(&table.index, table.records[row].hash)


cdef inline bint conversations_are_sound(const ConversationTable* table) noexcept nogil:
    """Whether the index has all running conversations, and no others."""
    cdef uint32_t row
    cdef uint64_t n_displaced = 0
    for row in range(table.n_rows):
        if table.rows[row].state & RUNNING:
            n_displaced += index_distance(&table.index, table.records[row].hash, row)
    return n_displaced == index_displaced(&table.index)


cdef inline void conversation_release(ConversationTable* table, uint32_t row) noexcept nogil:
    """Free the row of a conversation that ended."""
    index_remove(&table.index, table.records[row].hash, row)
    table.rows[row].state = 0
    table.records[row].next_free = table.free_row
    table.free_row = row + 1
    table.n_running -= 1
