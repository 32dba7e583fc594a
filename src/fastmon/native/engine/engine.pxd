"""The engine's state, and the way of a frame into its batch: decode it, then batch it if it is IP, else count it.

Frames are decoded one by one and accounted a batch at a time: each pass over the batch prefetches the cache lines that the
next pass needs, because a cache miss costs more than everything else. Until then the batch points into the frames' bytes.

Every source of frames compiles this into its own loop. `account_batch` (`native/engine/batch.pxd`) is compiled once, into the
accountant, which sets the pointer.

What it does not do: read, lock, raise, touch a Python object.
"""

from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastmon.native.classify.notes cimport notes_are_filled
from fastmon.native.decode.frame cimport decode
from fastmon.native.decode.headers cimport DUPLICATE, IP, N_STATUSES, NON_IP, Packet, ip_len
from fastmon.native.decode.link cimport LINK_ETHERNET
from fastmon.native.engine.conversations cimport Conversations
from fastmon.native.decode.entry cimport BATCH_FRAMES, MAX_PAYLOAD, Entry, describe, find_payload
from fastmon.native.engine.duplicates cimport Duplicates, forget_frames, is_duplicate
from fastmon.native.engine.hosts cimport Hosts
from fastmon.native.engine.packet_log cimport LOG_RECORDS, PacketLog, log_decoded
from fastmon.native.engine.payloads cimport must_pause
from fastmon.native.engine.probes cimport note_arp
from fastmon.native.tables.conversations cimport endpoint_hash
from fastmon.native.tables.hosts cimport Tally, table_hash, tally_add
from fastmon.native.tables.index cimport index_prefetch
from fastmon.native.wire cimport Key, be16_at, likely, unlikely, v4_key, v6_key

cdef enum:
    COPY_BYTES = 12 + MAX_PAYLOAD  # copied of a frame whose bytes may be gone before it is accounted: MAC addresses, payload

cdef struct Engine:
    Hosts hosts
    Conversations* conversations  # NULL: hosts only
    uint8_t* copies  # COPY_BYTES for each frame of the batch; NULL: hosts only
    bint copies_frames
    Entry[BATCH_FRAMES] batch
    uint32_t n_batched
    Tally[N_STATUSES] tallies
    Tally[N_STATUSES] tallies_base  # at the last rotation
    int64_t beside_ip  # bytes of IP frames that are not counted as theirs; below 0 where taps cut frames
    int64_t beside_ip_base
    int64_t first_ts_ns  # INT64_MAX: no frame yet
    int64_t last_ts_ns  # of the phases before this one; INT64_MIN: no frame
    int64_t newest_ts_ns  # of this phase; INT64_MIN: no frame yet
    PacketLog* log  # NULL: no packet log is wanted
    Duplicates* duplicates  # NULL: copies of frames count
    bint inner
    bint counts_ip_bytes  # the packet's length instead of the frame's
    bint walks_all  # decode every frame the general way: for one of these, for a packet log, or to find copies
    void (*account_batch)(Engine* engine) noexcept nogil
    # `decode_fully`. By pointer: inlined into `push`, it would keep that from being inlined into the loops.
    int (*decode_any)(Engine* engine, uint32_t link_type, const uint8_t* data, uint32_t cap_len, uint32_t wire_len,
                      int64_t ts_ns, Packet* packet) noexcept nogil

cdef struct TimeLimits:  # of one drain, in frames' timestamps
    int64_t until_ns  # INT64_MAX: no bound; no frame has this time
    uint64_t max_backstep_ns  # UINT64_MAX: no bound


cdef inline int decode_fully(Engine* engine, uint32_t link_type, const uint8_t* data, uint32_t cap_len, uint32_t wire_len,
                             int64_t ts_ns, Packet* packet) noexcept nogil:
    """Decode any frame; say what is counted of it, and keep its record if a packet log is wanted."""
    cdef int status = decode(link_type, data, cap_len, engine.inner, packet)
    if engine.duplicates != NULL and is_duplicate(engine.duplicates, link_type, data, cap_len, wire_len, ts_ns, status, packet):
        status = DUPLICATE
    packet.n_bytes = wire_len
    if engine.counts_ip_bytes and status == IP:
        packet.n_bytes = ip_len(packet.ip, max(wire_len, cap_len) - <uint32_t>(packet.ip - data))
        engine.beside_ip += <int64_t>wire_len - packet.n_bytes
    if engine.log != NULL:
        log_decoded(engine.log, status, packet, wire_len, ts_ns)
    return status


cdef inline void engine_init(Engine* engine, void (*account_batch)(Engine* engine) noexcept nogil) noexcept nogil:
    memset(engine, 0, sizeof(Engine))
    engine.first_ts_ns = INT64_MAX
    engine.last_ts_ns = INT64_MIN
    engine.newest_ts_ns = INT64_MIN
    engine.hosts.limit_bytes = INT64_MAX
    engine.account_batch = account_batch
    engine.decode_any = decode_fully


cdef inline void flush(Engine* engine) noexcept nogil:
    """Account the batch."""
    if engine.n_batched != 0:
        engine.account_batch(engine)


cdef inline bint is_paused(const Engine* engine) noexcept nogil:
    """Whether payloads or names must be taken before the next frame."""
    cdef const Conversations* conversations = engine.conversations
    if conversations == NULL or not conversations.payloads.pauses:
        return False
    return unlikely(must_pause(&conversations.payloads)
                    or (conversations.inspection != NULL and notes_are_filled(&conversations.inspection.notes)))


cdef inline int64_t n_allowed(const Engine* engine, int64_t max_frames) noexcept nogil:
    """Return how many frames a drain may account: no more than the packet log has room for."""
    if engine.log == NULL:
        return max_frames
    return min(max_frames, <int64_t>(LOG_RECORDS - engine.log.n_filled))


# The time of frames.


cdef inline bint is_out_of_time(const Engine* engine, int64_t ts_ns, const TimeLimits* limits) noexcept nogil:
    """Whether a drain must stop before a frame of this time: most frames are newer than the newest before them."""
    return ts_ns >= limits.until_ns or (
        unlikely(ts_ns < engine.newest_ts_ns)
        and <uint64_t>engine.newest_ts_ns - <uint64_t>ts_ns > limits.max_backstep_ns)


cdef inline void note_time(Engine* engine, int64_t ts_ns) noexcept nogil:
    """Note the time of a frame that is certain to count."""
    if ts_ns < engine.first_ts_ns:
        engine.first_ts_ns = ts_ns
    if ts_ns > engine.newest_ts_ns:
        engine.newest_ts_ns = ts_ns


cdef inline int64_t last_time(const Engine* engine) noexcept nogil:
    """Return the greatest timestamp since the start; INT64_MIN before the first frame."""
    return max(engine.last_ts_ns, engine.newest_ts_ns)


cdef inline void begin_phase(Engine* engine) noexcept nogil:
    """Forget the newest timestamp: the next frame may have any time."""
    engine.last_ts_ns = last_time(engine)
    engine.newest_ts_ns = INT64_MIN
    forget_frames(engine.duplicates)
    if engine.conversations != NULL:
        engine.conversations.clock_ns = INT64_MIN
        engine.conversations.probes.n_waiting = 0  # whose times are not to be compared: they fail when they end


# From a frame to the batch.


cdef inline void prefetch_host_slots(Engine* engine, const Entry* entry) noexcept nogil:
    index_prefetch(&engine.hosts.table.index, entry.src_hash)
    index_prefetch(&engine.hosts.table.index, entry.dst_hash)


cdef inline Entry* push_addresses(Engine* engine, Key src, Key dst, uint32_t n_bytes, int64_t ts_ns) noexcept nogil:
    """Add an IP frame to the batch; `finish_push` follows."""
    cdef Entry* entry = &engine.batch[engine.n_batched]
    entry.src = src
    entry.dst = dst
    entry.src_hash = table_hash(&engine.hosts.table, &src)
    entry.dst_hash = table_hash(&engine.hosts.table, &dst)
    if engine.conversations == NULL:
        prefetch_host_slots(engine, entry)
    entry.n_bytes = n_bytes
    entry.ts_ns = ts_ns
    engine.n_batched += 1
    return entry


cdef inline void push_conversation(Engine* engine, Entry* entry, const uint8_t* macs, const uint8_t* ip,
                                   uint32_t avail) noexcept nogil:
    """Complete an entry with what its conversation needs. `macs`: the frame, if it is an Ethernet frame, else NULL."""
    cdef uint64_t factor = engine.conversations.table.hash_factor
    cdef uint8_t* copy
    describe(entry, ip, avail)
    entry.macs = macs
    entry.conversation_hash = <uint32_t>(endpoint_hash(entry.src_hash, entry.ports >> 16, factor)
                                         + endpoint_hash(entry.dst_hash, entry.ports & 0xFFFF, factor) + entry.protocol)
    index_prefetch(&engine.conversations.table.index, entry.conversation_hash)
    if engine.copies_frames:
        copy = engine.copies + (engine.n_batched - 1) * COPY_BYTES
        if macs != NULL:
            memcpy(copy, macs, 12)
            entry.macs = copy
        find_payload(entry)
        memcpy(copy + 12, entry.captured, entry.n_captured)
        entry.captured = copy + 12


cdef inline int add_frame(Engine* engine, uint32_t link_type, const uint8_t* data, uint32_t cap_len, uint32_t wire_len,
                          int64_t ts_ns) noexcept nogil:
    """Decode a frame; batch it if it is IP, else count it. Returns its status.

    `note_time` and `finish_push` follow, or `take_back`.
    """
    cdef Packet packet
    cdef Entry* entry
    cdef int status
    # Most frames are one of these two; the general walk gives the same, more slowly.
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
            tally_add(&engine.tallies[status], 1, wire_len)
            if status == NON_IP and link_type == LINK_ETHERNET and engine.conversations != NULL:
                note_arp(&engine.conversations.probes, data, cap_len, ts_ns)
            return status
        entry = push_addresses(engine, packet.src, packet.dst, packet.n_bytes, ts_ns)
    if engine.conversations != NULL:
        push_conversation(engine, entry, data if link_type == LINK_ETHERNET else NULL, packet.ip, packet.ip_avail)
    return IP


cdef inline void finish_push(Engine* engine) noexcept nogil:
    if engine.n_batched == BATCH_FRAMES:
        flush(engine)


cdef inline void push(Engine* engine, uint32_t link_type, const uint8_t* data, uint32_t cap_len, uint32_t wire_len,
                      int64_t ts_ns) noexcept nogil:
    """Decode a frame; batch it if it is IP, else count it."""
    add_frame(engine, link_type, data, cap_len, wire_len, ts_ns)
    note_time(engine, ts_ns)
    finish_push(engine)


# Frames whose bytes vanish: a mapped file may shrink.


cdef inline void take_back(Engine* engine, int status, uint32_t wire_len) noexcept nogil:
    """Undo `add_frame`, which returned `status`, when nothing has followed it.

    A packet log keeps the frame's record, and copies are told by it: with either, nothing may have to be taken back.
    """
    if status == IP:
        engine.n_batched -= 1
        engine.beside_ip -= <int64_t>wire_len - engine.batch[engine.n_batched].n_bytes
    else:
        tally_add(&engine.tallies[status], 0 - <uint64_t>1, 0 - <uint64_t>wire_len)


cdef inline bint may_take_back(const Engine* engine) noexcept nogil:
    return engine.log == NULL and engine.duplicates == NULL


cdef inline uint32_t n_payloads(const Engine* engine) noexcept nogil:
    return 0 if engine.conversations == NULL else engine.conversations.payloads.n_filled


cdef inline void forget_payloads(Engine* engine, uint32_t n_kept) noexcept nogil:
    """Drop all payloads but the first `n_kept`: the file shrank before their bytes were copied."""
    if engine.conversations != NULL:
        engine.conversations.payloads.n_filled = n_kept


cdef inline void forget_macs(Engine* engine) noexcept nogil:
    """Learn no Ethernet addresses from the batch: its frames' bytes are gone. What it counts stays."""
    cdef uint32_t i
    for i in range(engine.n_batched):
        engine.batch[i].macs = NULL
