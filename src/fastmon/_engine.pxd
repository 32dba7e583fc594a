"""Frames into counters: decode a frame into the batch, and the batch into host rows.

Frames are decoded one by one, but rows are updated a batch at a time: by then the cache lines that the batch needs were
prefetched, and cache misses, not instructions, decide the speed.

What it does not do: read, lock, raise, touch a Python object.
"""

from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport realloc
from libc.string cimport memcpy, memset

from fastmon._decode cimport IP, N_STATUSES, UNSUPPORTED_LINK_TYPE, Cursor, Packet, walk
from fastmon._link cimport LINK_ETHERNET, enter
from fastmon._tables cimport (
    NO_ROW, HostBase, HostRow, HostTable, bytes_in, likely_row, passes, set_flag, table_displace, table_find, table_hash,
    table_insert, table_move, table_reserve, table_truncate,
)
from fastmon._upper cimport find_innermost
from fastmon._wire cimport Key, be16_at, likely, prefetch_read, prefetch_write, unlikely, v4_key, v6_key

cdef enum:
    BATCH_FRAMES = 32

cdef struct Entry:
    Key src
    Key dst
    uint32_t src_hash
    uint32_t dst_hash
    uint32_t src_row  # most likely the host's row
    uint32_t dst_row
    uint32_t wire_len
    int64_t ts_ns

cdef struct Tally:
    uint64_t frames
    uint64_t bytes

cdef struct Overflow:
    uint64_t frames_in
    uint64_t bytes_in
    uint64_t frames_out
    uint64_t bytes_out

cdef struct Prefix:
    Key network
    Key mask

cdef struct Crossing:
    Key key
    int64_t ts_ns
    uint64_t total_bytes

cdef struct Engine:
    HostTable table
    uint32_t n_batched
    Entry[BATCH_FRAMES] batch
    Tally[N_STATUSES] tallies
    Tally[N_STATUSES] tallies_base  # at the last rotation
    Overflow overflow
    Overflow overflow_base
    int64_t first_ts_ns
    int64_t last_ts_ns
    bint inner
    bint has_slow_decoder
    bint needs_slow_decoder
    int64_t limit_bytes
    Crossing* crossings
    uint32_t n_crossings
    uint32_t max_crossings
    bint crossing_lost  # no memory for it
    Prefix* locals
    uint32_t n_locals
    uint32_t hand  # while the table is full, no row before it is remote


cdef inline void engine_init(Engine* engine) noexcept nogil:
    memset(engine, 0, sizeof(Engine))
    engine.first_ts_ns = INT64_MAX
    engine.last_ts_ns = INT64_MIN
    engine.limit_bytes = INT64_MAX


cdef inline bint is_local(const Engine* engine, const Key* key) noexcept nogil:
    cdef uint32_t i
    cdef const Prefix* prefix
    for i in range(engine.n_locals):
        prefix = &engine.locals[i]
        if (key.high & prefix.mask.high) == prefix.network.high and (key.low & prefix.mask.low) == prefix.network.low:
            return True
    return False


cdef inline void record_crossing(Engine* engine, HostRow* host, int64_t ts_ns, uint64_t n_following) noexcept nogil:
    """Flag a host whose total has passed its limit, once; `n_following` bytes of what passed it are still to be added."""
    cdef Crossing* grown
    cdef uint32_t room
    if engine.n_crossings == engine.max_crossings:
        room = engine.max_crossings * 2 + 2 * BATCH_FRAMES
        grown = <Crossing*>realloc(engine.crossings, room * sizeof(Crossing))
        if grown == NULL:
            engine.crossing_lost = True
            return
        engine.crossings = grown
        engine.max_crossings = room
    set_flag(host)
    engine.crossings[engine.n_crossings].key = host.key
    engine.crossings[engine.n_crossings].ts_ns = ts_ns
    engine.crossings[engine.n_crossings].total_bytes = bytes_in(host) + host.bytes_out + n_following
    engine.n_crossings += 1


cdef inline void evict(Engine* engine, uint32_t row) noexcept nogil:
    """Move a host's counters into the overflow; what earlier intervals reported stays theirs."""
    cdef HostRow* host = &engine.table.rows[row]
    cdef HostBase* base = &engine.table.bases[row]
    engine.overflow.frames_in += host.packets_in
    engine.overflow.bytes_in += bytes_in(host)
    engine.overflow.frames_out += host.packets_out
    engine.overflow.bytes_out += host.bytes_out
    engine.overflow_base.frames_in += base.packets_in
    engine.overflow_base.bytes_in += base.bytes_in
    engine.overflow_base.frames_out += base.packets_out
    engine.overflow_base.bytes_out += base.bytes_out


cdef inline HostRow* admit(Engine* engine, const Key* key, uint32_t hashed) noexcept nogil:
    """Give an unseen host a row; in a full table a local one takes a remote one's. NULL if there is none for it."""
    cdef HostTable* table = &engine.table
    cdef uint32_t row = table_insert(table, key, hashed)
    if row != NO_ROW:
        return &table.rows[row]
    if not is_local(engine, key):
        return NULL
    while engine.hand < table.n_rows:
        row = engine.hand
        engine.hand += 1
        if not is_local(engine, &table.rows[row].key):
            evict(engine, row)
            table_displace(table, row, key, hashed)
            return &table.rows[row]
    return NULL


cdef inline HostRow* find_or_admit(Engine* engine, const Key* key, uint32_t hashed) noexcept nogil:
    cdef uint32_t row = table_find(&engine.table, key, hashed)
    return &engine.table.rows[row] if row != NO_ROW else admit(engine, key, hashed)


cdef inline HostRow* locate(Engine* engine, const Key* key, uint32_t hashed, uint32_t row) noexcept nogil:
    """Return the row of `key`, which is most often number `row`; NULL if it overflows."""
    cdef HostRow* host = &engine.table.rows[row]
    if likely(host.key.low == key.low and host.key.high == key.high):
        return host
    return find_or_admit(engine, key, hashed)


cdef inline void touch(Engine* engine, HostRow* host, int64_t first_ns, int64_t last_ns, const Key* receiver,
                       uint64_t n_received) noexcept nogil:
    """Note when a host had traffic, and whether it passed its limit; `receiver` is about to get `n_received` bytes."""
    cdef bint is_receiver
    if first_ns < host.first_seen_ns:
        host.first_seen_ns = first_ns
    if last_ns > host.last_seen_ns:
        host.last_seen_ns = last_ns
    if unlikely(passes(host, engine.limit_bytes)):
        is_receiver = host.key.low == receiver.low and host.key.high == receiver.high
        record_crossing(engine, host, last_ns, n_received if is_receiver else 0)


cdef inline void add_out(Engine* engine, HostRow* host, uint64_t n_bytes, uint64_t n_packets, int64_t first_ns,
                         int64_t last_ns, const Key* receiver, uint64_t n_received) noexcept nogil:
    """Add what a host sent; `add_in` will add `n_received` bytes to `receiver`, which may be the same."""
    if unlikely(host == NULL):
        engine.overflow.frames_out += n_packets
        engine.overflow.bytes_out += n_bytes
        return
    host.bytes_out += n_bytes
    host.packets_out += n_packets
    touch(engine, host, first_ns, last_ns, receiver, n_received)


cdef inline void add_in(Engine* engine, HostRow* host, uint64_t n_bytes, uint64_t n_packets, int64_t first_ns,
                        int64_t last_ns) noexcept nogil:
    """Add what a host received."""
    if unlikely(host == NULL):
        engine.overflow.frames_in += n_packets
        engine.overflow.bytes_in += n_bytes
        return
    host.bytes_in_and_flag += n_bytes
    host.packets_in += n_packets
    touch(engine, host, first_ns, last_ns, &host.key, 0)


cdef inline uint32_t prefetch_row(Engine* engine, uint32_t hashed) noexcept nogil:
    """Fetch the row that is most likely the host's, and return its number."""
    cdef uint32_t row = likely_row(&engine.table, hashed)
    prefetch_write(&engine.table.rows[row])
    return row


cdef inline void flush(Engine* engine) noexcept nogil:
    """Account the batch."""
    cdef uint32_t i
    cdef uint64_t n_bytes = 0
    cdef Entry* entry
    cdef HostRow* host
    if engine.n_batched == 0:
        return
    table_reserve(&engine.table, 2 * engine.n_batched)
    if engine.table.n_rows == 0:  # `locate` must not take the unused row 0 for that of the key of zeros
        admit(engine, &engine.batch[0].src, engine.batch[0].src_hash)
    for i in range(engine.n_batched):
        entry = &engine.batch[i]
        entry.src_row = prefetch_row(engine, entry.src_hash)
        entry.dst_row = prefetch_row(engine, entry.dst_hash)
    for i in range(engine.n_batched):
        entry = &engine.batch[i]
        n_bytes += entry.wire_len
        host = locate(engine, &entry.src, entry.src_hash, entry.src_row)
        add_out(engine, host, entry.wire_len, 1, entry.ts_ns, entry.ts_ns, &entry.dst, entry.wire_len)
        host = locate(engine, &entry.dst, entry.dst_hash, entry.dst_row)
        add_in(engine, host, entry.wire_len, 1, entry.ts_ns, entry.ts_ns)
    engine.tallies[IP].frames += engine.n_batched
    engine.tallies[IP].bytes += n_bytes
    engine.n_batched = 0


cdef inline int decode(uint32_t link_type, const uint8_t* data, uint32_t cap_len, bint inner,
                       Packet* packet) noexcept nogil:
    """Decode a frame to its outermost, or innermost, IP header: ARCHITECTURE.md, "Decoding rules"."""
    cdef Cursor cursor
    cdef int status
    cursor.at = data
    cursor.avail = cap_len
    cursor.headers = 0
    status = walk(enter(link_type, &cursor), &cursor, packet)
    if inner and status == IP:
        find_innermost(packet, cursor.headers)
    return status


cdef inline void count(Engine* engine, int status, uint32_t wire_len) noexcept nogil:
    engine.tallies[status].frames += 1
    engine.tallies[status].bytes += wire_len


cdef inline void push_addresses(Engine* engine, Key src, Key dst, uint32_t wire_len, int64_t ts_ns) noexcept nogil:
    """Add an IP frame to the batch; the caller flushes a full one."""
    cdef Entry* entry = &engine.batch[engine.n_batched]
    entry.src = src
    entry.dst = dst
    entry.src_hash = table_hash(&engine.table, &entry.src)
    entry.dst_hash = table_hash(&engine.table, &entry.dst)
    prefetch_read(&engine.table.index[entry.src_hash & engine.table.slot_mask])
    prefetch_read(&engine.table.index[entry.dst_hash & engine.table.slot_mask])
    entry.wire_len = wire_len
    entry.ts_ns = ts_ns
    engine.n_batched += 1


cdef inline bint push(Engine* engine, uint32_t link_type, const uint8_t* data, uint32_t cap_len, uint32_t wire_len,
                      int64_t ts_ns) noexcept nogil:
    """Decode a frame; batch it if it is IP, else count it. False, nothing done, if the slow decoder must do it."""
    cdef Packet packet
    cdef int status
    if ts_ns < engine.first_ts_ns:
        engine.first_ts_ns = ts_ns
    if ts_ns > engine.last_ts_ns:
        engine.last_ts_ns = ts_ns
    # What most frames are: the general walk comes to the same, more slowly.
    if likely(link_type == LINK_ETHERNET and cap_len >= 34 and not engine.inner
              and be16_at(data + 12) == 0x0800 and 0x45 <= data[14] <= 0x4F):
        push_addresses(engine, v4_key(data + 26), v4_key(data + 30), wire_len, ts_ns)
    elif (link_type == LINK_ETHERNET and cap_len >= 54 and not engine.inner
            and be16_at(data + 12) == 0x86DD and data[14] >> 4 == 6):
        push_addresses(engine, v6_key(data + 22), v6_key(data + 38), wire_len, ts_ns)
    else:
        status = decode(link_type, data, cap_len, engine.inner, &packet)
        if status != IP:
            if status == UNSUPPORTED_LINK_TYPE and engine.has_slow_decoder:
                engine.needs_slow_decoder = True
                return False
            count(engine, status, wire_len)
            return True
        push_addresses(engine, packet.src, packet.dst, wire_len, ts_ns)
    if engine.n_batched == BATCH_FRAMES:
        flush(engine)
    return True


cdef inline void add_tallies(Engine* engine, const Engine* other) noexcept nogil:
    cdef int status
    for status in range(N_STATUSES):
        engine.tallies[status].frames += other.tallies[status].frames - other.tallies_base[status].frames
        engine.tallies[status].bytes += other.tallies[status].bytes - other.tallies_base[status].bytes
    engine.overflow.frames_in += other.overflow.frames_in - other.overflow_base.frames_in
    engine.overflow.bytes_in += other.overflow.bytes_in - other.overflow_base.bytes_in
    engine.overflow.frames_out += other.overflow.frames_out - other.overflow_base.frames_out
    engine.overflow.bytes_out += other.overflow.bytes_out - other.overflow_base.bytes_out
    engine.first_ts_ns = min(engine.first_ts_ns, other.first_ts_ns)
    engine.last_ts_ns = max(engine.last_ts_ns, other.last_ts_ns)


cdef inline void merge(Engine* engine, const Engine* other) noexcept nogil:
    """Add what `other` accounted since its last rotation."""
    cdef uint32_t i, hashed
    cdef const HostRow* host
    cdef const HostBase* base
    for i in range(other.table.n_rows):
        host = &other.table.rows[i]
        base = &other.table.bases[i]
        table_reserve(&engine.table, 2)
        hashed = table_hash(&engine.table, &host.key)
        if host.packets_out != base.packets_out:
            add_out(engine, find_or_admit(engine, &host.key, hashed), host.bytes_out - base.bytes_out,
                    host.packets_out - base.packets_out, host.first_seen_ns, host.last_seen_ns, &host.key,
                    bytes_in(host) - base.bytes_in)
        if host.packets_in != base.packets_in:
            add_in(engine, find_or_admit(engine, &host.key, hashed), bytes_in(host) - base.bytes_in,
                   host.packets_in - base.packets_in, host.first_seen_ns, host.last_seen_ns)
    add_tallies(engine, other)


cdef inline bint was_idle(const HostTable* table, uint32_t row) noexcept nogil:
    """Whether a host had no traffic since the last rotation."""
    return (table.rows[row].packets_in == table.bases[row].packets_in
            and table.rows[row].packets_out == table.bases[row].packets_out)


cdef inline void prune(Engine* engine) noexcept nogil:
    """Make room in a full table: remote hosts that were idle since the last rotation go into the overflow."""
    cdef HostTable* table = &engine.table
    cdef uint32_t row, kept = 0
    if table.n_rows < table.max_rows:
        return
    for row in range(table.n_rows):
        if was_idle(table, row) and not is_local(engine, &table.rows[row].key):
            evict(engine, row)
        else:
            table_move(table, row, kept)
            kept += 1
    table_truncate(table, kept)


cdef inline void set_bases(Engine* engine) noexcept nogil:
    """Begin a new interval."""
    cdef uint32_t row
    cdef const HostRow* host
    cdef HostBase* base
    prune(engine)
    for row in range(engine.table.n_rows):
        host = &engine.table.rows[row]
        base = &engine.table.bases[row]
        if not was_idle(&engine.table, row):
            base.bytes_in = bytes_in(host)
            base.bytes_out = host.bytes_out
            base.packets_in = host.packets_in
            base.packets_out = host.packets_out
    memcpy(engine.tallies_base, engine.tallies, sizeof(engine.tallies))
    engine.overflow_base = engine.overflow
