"""The conversation table: rows of one cache line behind an open-addressing index of hashes and row numbers.

    index    slots of 64 bits: the hash above, the row number + 1 below; 0 is empty
    rows     what every frame needs: counters, and the numbers of the hosts' rows, whose keys tell who it is
    records  what is seldom needed: the hosts' keys, what was credited to the application

Rows that ended are used again, the last one first; when all are used, `most_silent` chooses one. Nothing sweeps the whole
table but a rotation.

What it does not do: know hosts, applications or payloads; count frames.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from fastmon._batch cimport Entry
from fastmon._tables cimport NO_ROW, mix, release, reserve
from fastmon._wire cimport Key, likely, prefetch_read, unlikely

cdef enum:  # of a conversation
    RUNNING = 1
    FIN_FROM_A = 2
    FIN_FROM_B = 4
    CLOSED_BY_FIN = 8
    CLOSED_BY_RST = 16
    CLOSED = CLOSED_BY_FIN | CLOSED_BY_RST
    UNCREDITED_A = 32  # traffic that was settled was not credited to this side's host
    UNCREDITED_B = 64
    WANTS_PAYLOAD = 128

cdef enum:  # why one ended: the numbers of conversations.ENDED_REASONS
    ENDED_FIN
    ENDED_RST
    ENDED_IDLE
    ENDED_FULL
    ENDED_END
    N_REASONS

cdef enum:  # who says the application: the numbers of conversations.LABELLED_BY
    BY_NOBODY
    BY_PORT
    BY_PAYLOAD

cdef enum:
    MIN_SLOTS = 4096
    N_CANDIDATES = 8  # looked at for one that is ended by force
    TCP = 6
    UDP = 17

cdef extern from *:
    """
    #define FM_CLOSED_TIMEOUT_NS 10000000000LL
    #define FM_TCP_TIMEOUT_NS 300000000000LL
    #define FM_OTHER_TIMEOUT_NS 120000000000LL

    /* An endpoint's part of a flow's hash, keyed twice: by the host's hash, and by an odd factor. */
    static inline uint64_t fm_endpoint_hash(uint32_t host_hash, uint32_t port, uint64_t factor) {
        uint64_t product = ((uint64_t)port << 32 | host_hash) * factor;
        return product ^ product >> 32;
    }
    """
    const int64_t CLOSED_TIMEOUT_NS "FM_CLOSED_TIMEOUT_NS"
    const int64_t TCP_TIMEOUT_NS "FM_TCP_TIMEOUT_NS"
    const int64_t OTHER_TIMEOUT_NS "FM_OTHER_TIMEOUT_NS"
    uint64_t endpoint_hash "fm_endpoint_hash"(uint32_t host_hash, uint32_t port, uint64_t factor) noexcept nogil

cdef struct Conversation:
    uint32_t[2] hosts  # most likely the rows of a and b in the host table
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
    uint32_t serial  # of the conversation among all, so that a late label does not go to the row's next one
    uint32_t next_free  # row + 1
    uint32_t wanted  # payload frames that the classifier would like to see

cdef struct ConversationTable:
    Conversation* rows
    ConversationRecord* records
    uint64_t* index
    uint32_t slot_mask
    uint32_t n_rows  # ever used
    uint32_t n_running
    uint32_t max_rows
    uint32_t free_row  # + 1
    uint32_t hand  # of `most_silent`, where a row is taken
    uint32_t sweep_hand
    uint32_t next_serial
    uint64_t hash_factor


cdef inline size_t slots_bytes(const ConversationTable* table) noexcept nogil:
    return (<size_t>table.slot_mask + 1) * sizeof(uint64_t)


cdef inline void conversations_free(ConversationTable* table) noexcept nogil:
    release(table.rows, <size_t>table.max_rows * sizeof(Conversation))
    release(table.records, <size_t>table.max_rows * sizeof(ConversationRecord))
    release(table.index, slots_bytes(table))
    table.rows = NULL
    table.records = NULL
    table.index = NULL


cdef inline int conversations_init(ConversationTable* table, uint32_t max_rows, uint64_t seed) except -1 nogil:
    """Reserve room for `max_rows` conversations (at most 2**31 - 1). Raises MemoryError."""
    memset(table, 0, sizeof(ConversationTable))
    table.max_rows = max_rows
    table.hash_factor = mix(seed) | 1
    table.slot_mask = MIN_SLOTS - 1
    table.rows = <Conversation*>reserve(<size_t>max_rows * sizeof(Conversation), True)
    table.records = <ConversationRecord*>reserve(<size_t>max_rows * sizeof(ConversationRecord), True)
    table.index = <uint64_t*>reserve(slots_bytes(table), False)
    if table.rows == NULL or table.records == NULL or table.index == NULL:
        conversations_free(table)
        with gil:
            raise MemoryError(f"no address space for {max_rows} conversations; lower max_conversations")
    return 0


cdef inline int direction(const Conversation* row, const Key* a, const Key* b, const Entry* entry) noexcept nogil:
    """0 if the frame goes from a to b of this conversation, 1 if from b to a, -1 if it is not of it; without a branch on which.

    a, b: the keys of its hosts, wherever they were found.
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


cdef inline uint32_t conversation_candidate(const ConversationTable* table, uint32_t hashed) noexcept nogil:
    """The row that is most likely the one with this hash; NO_ROW if there is none."""
    cdef uint32_t slot = hashed & table.slot_mask
    cdef uint64_t entry
    while True:
        entry = table.index[slot]
        if entry == 0:
            return NO_ROW
        if likely(<uint32_t>(entry >> 32) == hashed):
            return <uint32_t>entry - 1
        slot = (slot + 1) & table.slot_mask


cdef inline uint32_t conversation_find(const ConversationTable* table, const Entry* entry) noexcept nogil:
    """The row of a frame's conversation, running; NO_ROW if there is none."""
    cdef uint32_t slot = entry.flow_hash & table.slot_mask
    cdef uint64_t found
    while True:
        found = table.index[slot]
        if found == 0:
            return NO_ROW
        if <uint32_t>(found >> 32) == entry.flow_hash and record_direction(table, <uint32_t>found - 1, entry) >= 0:
            return <uint32_t>found - 1
        slot = (slot + 1) & table.slot_mask


cdef inline void conversation_index(ConversationTable* table, uint32_t row) noexcept nogil:
    cdef uint32_t hashed = table.records[row].hash
    cdef uint32_t slot = hashed & table.slot_mask
    while table.index[slot] != 0:
        slot = (slot + 1) & table.slot_mask
    table.index[slot] = <uint64_t>hashed << 32 | (row + 1)


cdef inline void conversation_unindex(ConversationTable* table, uint32_t row) noexcept nogil:
    """Empty `row`'s slot, moving later slots of the same probe sequence back so that no tombstone is needed."""
    cdef uint32_t hole = table.records[row].hash & table.slot_mask
    cdef uint32_t slot, home
    while <uint32_t>table.index[hole] != row + 1:
        hole = (hole + 1) & table.slot_mask
    slot = hole
    while True:
        slot = (slot + 1) & table.slot_mask
        if table.index[slot] == 0:
            break
        home = <uint32_t>(table.index[slot] >> 32) & table.slot_mask
        if ((slot - home) & table.slot_mask) >= ((slot - hole) & table.slot_mask):
            table.index[hole] = table.index[slot]
            hole = slot
    table.index[hole] = 0


cdef inline bint conversations_reserve(ConversationTable* table) noexcept nogil:
    """Make room in the index for one more at a load of at most 1/2; False without memory for it."""
    cdef uint64_t n_slots = <uint64_t>table.slot_mask + 1
    cdef uint64_t* grown
    cdef uint32_t row
    if likely((<uint64_t>table.n_running + 1) * 2 <= n_slots or table.n_running == table.max_rows):
        return True
    grown = <uint64_t*>reserve(n_slots * 2 * sizeof(uint64_t), n_slots >= 1 << 17)
    if grown == NULL:
        return False
    release(table.index, slots_bytes(table))
    table.index = grown
    table.slot_mask = <uint32_t>(n_slots * 2 - 1)
    for row in range(table.n_rows):
        if table.rows[row].state & RUNNING:
            conversation_index(table, row)
    return True


cdef inline int64_t timeout_ns(const Conversation* row) noexcept nogil:
    if row.state & CLOSED:
        return CLOSED_TIMEOUT_NS
    return TCP_TIMEOUT_NS if row.protocol == TCP else OTHER_TIMEOUT_NS


cdef inline bint is_silent_for(const Conversation* row, int64_t now_ns, int64_t least_ns) noexcept nogil:
    """Whether the last frame is more than `least_ns` ago, whatever the two times are."""
    return now_ns > row.last_ns and <uint64_t>now_ns - <uint64_t>row.last_ns > <uint64_t>least_ns


cdef inline bint is_idle(const Conversation* row, int64_t now_ns) noexcept nogil:
    return is_silent_for(row, now_ns, timeout_ns(row))


cdef inline int closing_reason(const Conversation* row, int otherwise) noexcept nogil:
    if row.state & CLOSED_BY_FIN:
        return ENDED_FIN
    return ENDED_RST if row.state & CLOSED_BY_RST else otherwise


cdef inline uint32_t conversation_row(ConversationTable* table) noexcept nogil:
    """A row for a new conversation; NO_ROW if one must be ended first."""
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


cdef inline uint32_t most_silent(const ConversationTable* table, uint32_t* hand) noexcept nogil:
    """Of a few rows from `hand` on, the one that has been silent for longest; the hand moves past them."""
    cdef uint32_t chosen = hand[0]
    cdef uint32_t _i
    for _i in range(min(<uint32_t>N_CANDIDATES, table.n_rows)):
        if table.rows[hand[0]].last_ns < table.rows[chosen].last_ns:
            chosen = hand[0]
        hand[0] = hand[0] + 1 if hand[0] + 1 < table.n_rows else 0
    return chosen


cdef inline void fetch_slot(const ConversationTable* table, uint32_t row) noexcept nogil:
    prefetch_read(&table.index[table.records[row].hash & table.slot_mask])


cdef inline void conversation_release(ConversationTable* table, uint32_t row) noexcept nogil:
    """Let a row that was ended be used again."""
    conversation_unindex(table, row)
    table.rows[row].state = 0
    table.records[row].next_free = table.free_row
    table.free_row = row + 1
    table.n_running -= 1
