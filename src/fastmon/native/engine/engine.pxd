"""Frames into counters: decode a frame into the batch, and the batch into host rows and conversations.

Frames are decoded one by one, but accounted a batch at a time: each pass over the batch fetches the cache lines that the next
one needs, for a cache miss costs more than all else. Until then the batch points into the frames' bytes.

What it does not do: read, lock, raise, touch a Python object.
"""

from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastmon.native.engine.entry cimport BATCH_FRAMES, MAX_PAYLOAD, Entry, describe, find_payload
from fastmon.native.tables.conversations cimport (
    RUNNING, Conversation, conversation_find, direction, endpoint_hash, record_direction,
)
from fastmon.native.decode.headers cimport IP, N_STATUSES, Cursor, Packet, walk
from fastmon.native.engine.conversations cimport Conversations, count_frame
from fastmon.native.engine.hosts cimport Hosts, add_in, add_out, admit, locate, prefetch_row
from fastmon.native.tables.index cimport NO_ROW, index_fetch, index_likely
from fastmon.native.decode.link cimport LINK_ETHERNET, enter
from fastmon.native.engine.packet_log cimport PacketLog, log_decoded
from fastmon.native.engine.payloads cimport must_pause
from fastmon.native.tables.hosts cimport HostRow, Tally, likely_row, table_hash, table_reserve, tally_add
from fastmon.native.decode.upper cimport find_innermost
from fastmon.native.wire cimport Key, be16_at, likely, prefetch_write, unlikely, v4_key, v6_key

cdef enum:
    COPY_BYTES = 12 + MAX_PAYLOAD  # of a frame whose bytes may be gone when it is accounted: MAC addresses and payload

cdef enum:  # of pushing a frame
    PUSH_DONE
    PUSH_PAUSE  # done, and the classifier should look at payloads before the next

cdef struct Engine:
    Hosts hosts
    Conversations* conversations  # NULL: hosts only
    uint8_t* copies  # COPY_BYTES for each frame of the batch
    bint copies_frames
    Entry[BATCH_FRAMES] batch
    uint32_t n_batched
    Tally[N_STATUSES] tallies
    Tally[N_STATUSES] tallies_base  # at the last rotation
    int64_t first_ts_ns
    int64_t last_ts_ns
    PacketLog* log  # NULL: no packet log is wanted
    bint inner
    bint walks_all  # every frame goes the general way: `inner`, or a packet log is wanted
    # `decode_and_log`. By pointer: inlined into `push`, it would keep that from being inlined into the loops.
    int (*decode_any)(Engine* engine, uint32_t link_type, const uint8_t* data, uint32_t cap_len, uint32_t wire_len,
                      int64_t ts_ns, Packet* packet) noexcept nogil


cdef inline uint32_t row_number(const Engine* engine, const HostRow* host, uint32_t otherwise) noexcept nogil:
    return <uint32_t>(host - engine.hosts.table.rows) if likely(host != NULL) else otherwise


cdef inline void account_hosts(Engine* engine, Entry* entry) noexcept nogil:
    """Account a frame for its two hosts, and leave their true rows in the entry."""
    cdef HostRow* host
    host = locate(&engine.hosts, &entry.src, entry.src_hash, entry.src_row)
    add_out(&engine.hosts, host, entry.wire_len, 1, entry.ts_ns, entry.ts_ns, &entry.dst, entry.wire_len)
    entry.src_row = row_number(engine, host, 0)
    host = locate(&engine.hosts, &entry.dst, entry.dst_hash, entry.dst_row)
    add_in(&engine.hosts, host, entry.wire_len, 1, entry.ts_ns, entry.ts_ns)
    entry.dst_row = row_number(engine, host, 0)


cdef inline void fetch_host_slots(Engine* engine, const Entry* entry) noexcept nogil:
    index_fetch(&engine.hosts.table.index, entry.src_hash)
    index_fetch(&engine.hosts.table.index, entry.dst_hash)


cdef inline void find_hosts(Engine* engine, Entry* entry) noexcept nogil:
    entry.src_row = prefetch_row(&engine.hosts, entry.src_hash)
    entry.dst_row = prefetch_row(&engine.hosts, entry.dst_hash)


cdef inline void find_conversation(Engine* engine, Entry* entry) noexcept nogil:
    """Fetch the row that is most likely the conversation's, or what finds the hosts' if there is none."""
    entry.conversation_row = NO_ROW
    if likely(entry.is_conversational):
        entry.conversation_row = index_likely(&engine.conversations.table.index, entry.conversation_hash)
    if likely(entry.conversation_row != NO_ROW):
        prefetch_write(&engine.conversations.table.rows[entry.conversation_row])
    else:
        fetch_host_slots(engine, entry)


cdef inline void find_hosts_by_conversation(Engine* engine, Entry* entry) noexcept nogil:
    """Fetch the rows that are most likely the hosts': a known conversation knows them."""
    cdef Conversation* row
    if unlikely(entry.conversation_row == NO_ROW):
        find_hosts(engine, entry)
        return
    row = &engine.conversations.table.rows[entry.conversation_row]
    entry.src_row = row.hosts[0]  # or the other way round
    entry.dst_row = row.hosts[1]
    prefetch_write(&engine.hosts.table.rows[entry.src_row])
    prefetch_write(&engine.hosts.table.rows[entry.dst_row])


cdef inline void account_conversation(Engine* engine, Entry* entry) noexcept nogil:
    """Account a frame for its hosts and in its conversation, which is most likely the one at `conversation_row`."""
    cdef Conversation* row
    cdef HostRow* hosts = engine.hosts.table.rows
    cdef int d = -1
    if likely(entry.conversation_row != NO_ROW):
        row = &engine.conversations.table.rows[entry.conversation_row]
        if likely(row.state & RUNNING):
            d = direction(row, &hosts[row.hosts[0]].key, &hosts[row.hosts[1]].key, entry)
    if likely(d >= 0):
        entry.src_row = row.hosts[d]
        entry.dst_row = row.hosts[1 - d]
        add_out(&engine.hosts, &hosts[entry.src_row], entry.wire_len, 1, entry.ts_ns, entry.ts_ns, &entry.dst, entry.wire_len)
        add_in(&engine.hosts, &hosts[entry.dst_row], entry.wire_len, 1, entry.ts_ns, entry.ts_ns)
    else:
        d = account_hosts_anew(engine, entry)
        if not entry.is_conversational:
            return
    count_frame(&engine.hosts, engine.conversations, entry, d)


cdef inline int account_hosts_anew(Engine* engine, Entry* entry) noexcept nogil:
    """Account a frame of a new conversation for its hosts, or of one whose hosts are not in the rows that it knew, or in none.

    Leaves its row, NO_ROW of a new one, in the entry, and returns the frame's direction.
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
        n_bytes += engine.batch[i].wire_len
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
        n_bytes += engine.batch[i].wire_len
        account_conversation(engine, &engine.batch[i])
    return n_bytes


cdef inline void flush(Engine* engine) noexcept nogil:
    """Account the batch."""
    if engine.n_batched == 0:
        return
    table_reserve(&engine.hosts.table, 2 * engine.n_batched)
    if engine.hosts.table.n_rows == 0:  # the unused row 0 must not be taken for that of the key of zeros
        admit(&engine.hosts, &engine.batch[0].src, engine.batch[0].src_hash)
    tally_add(&engine.tallies[IP], engine.n_batched,
              account_host_batch(engine) if engine.conversations == NULL else account_conversation_batch(engine))
    engine.n_batched = 0


cdef inline int decode(uint32_t link_type, const uint8_t* data, uint32_t cap_len, bint inner,
                       Packet* packet) noexcept nogil:
    """Decode a frame to its outermost, or innermost, IP header: docs/decoding.md."""
    cdef Cursor cursor
    cdef int status
    cursor.at = data
    cursor.avail = cap_len
    cursor.headers = 0
    status = walk(enter(link_type, &cursor), &cursor, packet)
    if inner and status == IP:
        find_innermost(packet, cursor.headers)
    return status


cdef inline int decode_and_log(Engine* engine, uint32_t link_type, const uint8_t* data, uint32_t cap_len, uint32_t wire_len,
                               int64_t ts_ns, Packet* packet) noexcept nogil:
    """Decode any frame, and keep its record if a packet log is wanted."""
    cdef int status = decode(link_type, data, cap_len, engine.inner, packet)
    if engine.log != NULL:
        log_decoded(engine.log, status, packet, wire_len, ts_ns)
    return status


cdef inline void engine_init(Engine* engine) noexcept nogil:
    memset(engine, 0, sizeof(Engine))
    engine.first_ts_ns = INT64_MAX
    engine.last_ts_ns = INT64_MIN
    engine.hosts.limit_bytes = INT64_MAX
    engine.decode_any = decode_and_log


cdef inline void count(Engine* engine, int status, uint32_t wire_len) noexcept nogil:
    tally_add(&engine.tallies[status], 1, wire_len)


cdef inline Entry* push_addresses(Engine* engine, Key src, Key dst, uint32_t wire_len, int64_t ts_ns) noexcept nogil:
    """Add an IP frame to the batch; `finish_push` follows."""
    cdef Entry* entry = &engine.batch[engine.n_batched]
    entry.src = src
    entry.dst = dst
    entry.src_hash = table_hash(&engine.hosts.table, &src)
    entry.dst_hash = table_hash(&engine.hosts.table, &dst)
    if engine.conversations == NULL:
        fetch_host_slots(engine, entry)
    entry.wire_len = wire_len
    entry.ts_ns = ts_ns
    engine.n_batched += 1
    return entry


cdef inline void set_conversation_hash(Engine* engine, Entry* entry) noexcept nogil:
    """A hash that is the same in both directions, and fetch its slot."""
    cdef uint64_t factor = engine.conversations.table.hash_factor
    entry.conversation_hash = <uint32_t>(endpoint_hash(entry.src_hash, entry.ports >> 16, factor)
                                         + endpoint_hash(entry.dst_hash, entry.ports & 0xFFFF, factor) + entry.protocol)
    index_fetch(&engine.conversations.table.index, entry.conversation_hash)


cdef inline void push_conversation(Engine* engine, Entry* entry, const uint8_t* macs, const uint8_t* ip,
                                   uint32_t avail) noexcept nogil:
    """Complete an entry with what its conversation needs. `macs`: the frame, if it is an Ethernet frame, else NULL."""
    cdef uint8_t* copy
    describe(entry, ip, avail)
    entry.macs = macs
    set_conversation_hash(engine, entry)
    if engine.copies_frames:
        copy = engine.copies + (engine.n_batched - 1) * COPY_BYTES
        if macs != NULL:
            memcpy(copy, macs, 12)
            entry.macs = copy
        find_payload(entry)
        memcpy(copy + 12, entry.captured, entry.n_captured)
        entry.captured = copy + 12


cdef inline bint is_full(const Engine* engine) noexcept nogil:
    """Whether payloads must be taken before the next frame."""
    return engine.conversations != NULL and unlikely(must_pause(&engine.conversations.payloads))


cdef inline void note_time(Engine* engine, int64_t ts_ns) noexcept nogil:
    """Note the time of a frame that is sure to count."""
    if ts_ns < engine.first_ts_ns:
        engine.first_ts_ns = ts_ns
    if ts_ns > engine.last_ts_ns:
        engine.last_ts_ns = ts_ns


cdef inline int finish_push(Engine* engine) noexcept nogil:
    if engine.n_batched < BATCH_FRAMES:
        return PUSH_DONE
    flush(engine)
    return PUSH_PAUSE if is_full(engine) else PUSH_DONE


cdef inline int add_frame(Engine* engine, uint32_t link_type, const uint8_t* data, uint32_t cap_len, uint32_t wire_len,
                          int64_t ts_ns) noexcept nogil:
    """Decode a frame; batch it if it is IP, else count it. Returns its status.

    Unless it is taken back, `note_time` follows, and whatever flushes a full batch, `finish_push` mostly.
    """
    cdef Packet packet
    cdef Entry* entry
    cdef int status
    # What most frames are: the general walk comes to the same, more slowly.
    if likely(link_type == LINK_ETHERNET and cap_len >= 34 and not engine.walks_all
              and be16_at(data + 12) == 0x0800 and 0x45 <= data[14] <= 0x4F):
        entry = push_addresses(engine, v4_key(data + 26), v4_key(data + 30), wire_len, ts_ns)
        packet.ip = data + 14
        packet.ip_avail = cap_len - 14
    elif (link_type == LINK_ETHERNET and cap_len >= 54 and not engine.walks_all
            and be16_at(data + 12) == 0x86DD and data[14] >> 4 == 6):
        entry = push_addresses(engine, v6_key(data + 22), v6_key(data + 38), wire_len, ts_ns)
        packet.ip = data + 14
        packet.ip_avail = cap_len - 14
    else:
        status = engine.decode_any(engine, link_type, data, cap_len, wire_len, ts_ns, &packet)
        if status != IP:
            count(engine, status, wire_len)
            return status
        entry = push_addresses(engine, packet.src, packet.dst, wire_len, ts_ns)
    if engine.conversations != NULL:
        push_conversation(engine, entry, data if link_type == LINK_ETHERNET else NULL, packet.ip, packet.ip_avail)
    return IP


cdef inline int push(Engine* engine, uint32_t link_type, const uint8_t* data, uint32_t cap_len, uint32_t wire_len,
                     int64_t ts_ns) noexcept nogil:
    """Decode a frame; batch it if it is IP, else count it."""
    add_frame(engine, link_type, data, cap_len, wire_len, ts_ns)
    note_time(engine, ts_ns)
    return finish_push(engine)


cdef inline void take_back(Engine* engine, int status, uint32_t wire_len) noexcept nogil:
    """Undo `add_frame`, which returned `status`, when nothing has followed it.

    A packet log keeps the frame's record: with one, nothing may have to be taken back.
    """
    if status == IP:
        engine.n_batched -= 1
    else:
        tally_add(&engine.tallies[status], 0 - <uint64_t>1, 0 - <uint64_t>wire_len)


cdef inline uint32_t n_payloads(const Engine* engine) noexcept nogil:
    return 0 if engine.conversations == NULL else engine.conversations.payloads.n_filled


cdef inline void forget_payloads(Engine* engine, uint32_t n_kept) noexcept nogil:
    """Drop the payloads that came after the first `n_kept`: their bytes were gone when they were taken."""
    if engine.conversations != NULL:
        engine.conversations.payloads.n_filled = n_kept


cdef inline void forget_macs(Engine* engine) noexcept nogil:
    """Let the batch teach no Ethernet addresses: its frames' bytes are gone. What it counts stays."""
    cdef uint32_t i
    for i in range(engine.n_batched):
        engine.batch[i].macs = NULL
