"""The batch into rows and counters: `account_batch`, which the accountant alone compiles (`native/engine/engine.pxd`).

What it does not do: read, decode, lock, raise, touch a Python object.
"""

from libc.stdint cimport uint32_t, uint64_t

from fastmon.native.decode.headers cimport IP
from fastmon.native.engine.engine cimport Engine, prefetch_host_slots
from fastmon.native.decode.entry cimport Entry
from fastmon.native.engine.hosts cimport add_in, add_out, admit, index_of, locate, prefetch_row
from fastmon.native.engine.lives cimport count_frame
from fastmon.native.tables.conversations cimport RUNNING, Conversation, conversation_find, direction, record_direction
from fastmon.native.tables.hosts cimport HostRow, likely_row, table_reserve, tally_add
from fastmon.native.tables.index cimport NO_ROW, index_likely
from fastmon.native.wire cimport likely, prefetch_write, unlikely


cdef inline void account_hosts(Engine* engine, Entry* entry) noexcept nogil:
    """Account a frame for its two hosts, and correct their rows in the entry."""
    cdef HostRow* host
    host = locate(&engine.hosts, &entry.src, entry.src_hash, entry.src_row)
    add_out(&engine.hosts, host, entry.n_bytes, 1, entry.ts_ns, entry.ts_ns, &entry.dst, entry.n_bytes)
    entry.src_row = index_of(&engine.hosts, host, NO_ROW)
    host = locate(&engine.hosts, &entry.dst, entry.dst_hash, entry.dst_row)
    add_in(&engine.hosts, host, entry.n_bytes, 1, entry.ts_ns, entry.ts_ns)
    entry.dst_row = index_of(&engine.hosts, host, NO_ROW)


cdef inline void find_hosts(Engine* engine, Entry* entry) noexcept nogil:
    entry.src_row = prefetch_row(&engine.hosts, entry.src_hash)
    entry.dst_row = prefetch_row(&engine.hosts, entry.dst_hash)


cdef inline void find_conversation(Engine* engine, Entry* entry) noexcept nogil:
    """Prefetch the row that is most likely the conversation's; if there is none, the hosts' slots in the index."""
    entry.conversation_row = NO_ROW
    if likely(entry.is_conversational):
        entry.conversation_row = index_likely(&engine.conversations.table.index, entry.conversation_hash)
    if likely(entry.conversation_row != NO_ROW):
        prefetch_write(&engine.conversations.table.rows[entry.conversation_row])
    else:
        prefetch_host_slots(engine, entry)


cdef inline bint has_overflowed(const Conversation* row) noexcept nogil:
    """Whether a host of a conversation had no row when its last frame came."""
    return (row.hosts[0] | row.hosts[1]) >> 31  # that of NO_ROW, and of no row's number


cdef inline void find_hosts_by_conversation(Engine* engine, Entry* entry) noexcept nogil:
    """Prefetch the rows that are most likely the hosts': a known conversation has their numbers."""
    cdef Conversation* row
    if unlikely(entry.conversation_row == NO_ROW):
        find_hosts(engine, entry)
        return
    row = &engine.conversations.table.rows[entry.conversation_row]
    if unlikely(has_overflowed(row)):
        find_hosts(engine, entry)
        return
    entry.src_row = row.hosts[0]  # or the other way round
    entry.dst_row = row.hosts[1]
    prefetch_write(&engine.hosts.table.rows[entry.src_row])
    prefetch_write(&engine.hosts.table.rows[entry.dst_row])


cdef inline void account_conversation(Engine* engine, Entry* entry) noexcept nogil:
    """Account a frame for its hosts and in its conversation, most likely the one at `conversation_row`."""
    cdef Conversation* row
    cdef HostRow* hosts = engine.hosts.table.rows
    cdef int d = -1
    if likely(entry.conversation_row != NO_ROW):
        row = &engine.conversations.table.rows[entry.conversation_row]
        if likely(row.state & RUNNING and not has_overflowed(row)):
            d = direction(row, &hosts[row.hosts[0]].key, &hosts[row.hosts[1]].key, entry)
    if likely(d >= 0):
        entry.src_row = row.hosts[d]
        entry.dst_row = row.hosts[1 - d]
        add_out(&engine.hosts, &hosts[entry.src_row], entry.n_bytes, 1, entry.ts_ns, entry.ts_ns, &entry.dst, entry.n_bytes)
        add_in(&engine.hosts, &hosts[entry.dst_row], entry.n_bytes, 1, entry.ts_ns, entry.ts_ns)
    else:
        d = account_hosts_anew(engine, entry)
        if not entry.is_conversational:
            return
    count_frame(&engine.hosts, engine.conversations, entry, d)


cdef inline int account_hosts_anew(Engine* engine, Entry* entry) noexcept nogil:
    """Account a frame for its hosts when no conversation gave their rows: it is a new one, or its hosts moved or were evicted.

    Leaves the conversation's row in the entry, NO_ROW for a new one, and returns the frame's direction.
    """
    cdef Conversation* row
    cdef int d
    entry.src_row = likely_row(&engine.hosts.table, entry.src_hash)
    entry.dst_row = likely_row(&engine.hosts.table, entry.dst_hash)
    account_hosts(engine, entry)
    entry.conversation_row = conversation_find(&engine.conversations.table, entry) if entry.is_conversational else NO_ROW
    if entry.conversation_row == NO_ROW:
        return 0
    row = &engine.conversations.table.rows[entry.conversation_row]
    d = record_direction(&engine.conversations.table, entry.conversation_row, entry)
    row.hosts[d] = entry.src_row
    row.hosts[1 - d] = entry.dst_row
    return d


cdef inline uint64_t account_host_batch(Engine* engine) noexcept nogil:
    """Account the batch for its hosts only; return its bytes."""
    cdef uint32_t i
    cdef uint64_t n_bytes = 0
    for i in range(engine.n_batched):
        find_hosts(engine, &engine.batch[i])
    for i in range(engine.n_batched):
        n_bytes += engine.batch[i].n_bytes
        account_hosts(engine, &engine.batch[i])
    return n_bytes


cdef inline uint64_t account_conversation_batch(Engine* engine) noexcept nogil:
    """Account the batch for its hosts and conversations; return its bytes."""
    cdef uint32_t i
    cdef uint64_t n_bytes = 0
    for i in range(engine.n_batched):
        find_conversation(engine, &engine.batch[i])
    for i in range(engine.n_batched):
        find_hosts_by_conversation(engine, &engine.batch[i])
    for i in range(engine.n_batched):
        n_bytes += engine.batch[i].n_bytes
        account_conversation(engine, &engine.batch[i])
    return n_bytes


cdef inline void account_batch(Engine* engine) noexcept nogil:
    """Account the batch, which is not empty, and empty it."""
    table_reserve(&engine.hosts.table, 2 * engine.n_batched)
    if engine.hosts.table.n_rows == 0:  # else the unused row 0 would be taken for the row of the key of zeros
        admit(&engine.hosts, &engine.batch[0].src, engine.batch[0].src_hash)
    tally_add(&engine.tallies[IP], engine.n_batched,
              account_host_batch(engine) if engine.conversations == NULL else account_conversation_batch(engine))
    engine.n_batched = 0
