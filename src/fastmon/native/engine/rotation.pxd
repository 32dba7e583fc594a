"""Between intervals: settle conversations, merge shards, prune a full table, begin a new interval.

What it does not do: make snapshots. `_accounting.pyx` does, after settling and before the new interval.
"""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy

from fastmon.native.tables.applications cimport apps_begin_interval, apps_merge, apps_merge_tallies, apps_move
from fastmon.native.tables.local_hosts cimport local_hosts_begin_interval, local_hosts_move
from fastmon.native.tables.services cimport services_are_sound, services_begin_interval
from fastmon.native.tables.conversations cimport (
    ENDED_END, ENDED_FULL, N_REASONS, RUNNING, UNCREDITED_A, UNCREDITED_B, Conversation, ConversationRecord, closing_reason,
    conversations_are_sound,
)
from fastmon.native.decode.headers cimport N_STATUSES
from fastmon.native.engine.engine cimport Engine, last_time
from fastmon.native.engine.contacts cimport move_contacts
from fastmon.native.engine.conversations cimport ELSEWHERE, Conversations, new_identity
from fastmon.native.engine.credits cimport move_host_totals, move_network_totals, settle
from fastmon.native.engine.hosts cimport Hosts, add_in, add_local_network, add_out, evict, find_or_admit, index_of, is_local
from fastmon.native.engine.lives cimport end, end_idle
from fastmon.native.engine.services cimport merge_services
from fastmon.native.tables.index cimport NO_ROW
from fastmon.native.tables.hosts cimport (
    HostRow, HostTable, Traffic, bytes_in, table_find, table_hash, table_is_sound, table_move, table_reserve, table_truncate,
    tally_add,
)
from fastmon.native.tables.unknown_ports cimport unknown_ports_begin_interval, unknown_ports_merge
from fastmon.native.wire cimport Key


cdef inline str damaged_index(const Engine* engine):
    """Return whose index has not exactly the rows of its table; None if all are sound."""
    if not table_is_sound(&engine.hosts.table):
        return "hosts"
    if engine.conversations == NULL:
        return None
    if not conversations_are_sound(&engine.conversations.table):
        return "conversations"
    return None if services_are_sound(&engine.conversations.services) else "services"


cdef inline void settle_all(Engine* engine) noexcept nogil:
    """Credit the traffic of all conversations to their applications."""
    cdef uint32_t row
    if engine.conversations == NULL:
        return
    for row in range(engine.conversations.table.n_rows):
        if engine.conversations.table.rows[row].state & RUNNING:
            settle(&engine.hosts, engine.conversations, row)


cdef inline void end_all_idle(Engine* engine, int64_t now_ns) noexcept nogil:
    """End the conversations that are idle at `now_ns` or at the latest frame's time."""
    cdef uint32_t row
    if engine.conversations == NULL:
        return
    for row in range(engine.conversations.table.n_rows):
        end_idle(&engine.hosts, engine.conversations, row, max(now_ns, engine.conversations.clock_ns))


cdef inline void end_all(Engine* engine) noexcept nogil:
    """End all conversations: the run is over."""
    cdef uint32_t row_index
    cdef Conversation* row
    cdef Conversations* conversations = engine.conversations
    if conversations == NULL:
        return
    for row_index in range(conversations.table.n_rows):
        row = &conversations.table.rows[row_index]
        if row.state & RUNNING:
            end(&engine.hosts, conversations, row_index, closing_reason(row, ENDED_END))


cdef inline bint was_idle(const HostTable* table, uint32_t row) noexcept nogil:
    """Whether a host had no traffic since the last rotation."""
    return (table.rows[row].packets_in == table.bases[row].packets_in
            and table.rows[row].packets_out == table.bases[row].packets_out)


cdef inline bint find_moved_host(HostTable* table, const Key* key, uint32_t* host) noexcept nogil:
    host[0] = table_find(table, key, table_hash(table, key))
    return host[0] != NO_ROW


cdef inline void follow_hosts(Engine* engine) noexcept nogil:
    """After pruning, correct the conversations' host rows, and end the conversations of evicted hosts."""
    cdef uint32_t row_index
    cdef Conversation* row
    cdef ConversationRecord* record
    cdef bint has_lost
    for row_index in range(engine.conversations.table.n_rows):
        row = &engine.conversations.table.rows[row_index]
        if not row.state & RUNNING:
            continue
        record = &engine.conversations.table.records[row_index]
        has_lost = not find_moved_host(&engine.hosts.table, &record.a, &row.hosts[0]) and not row.state & UNCREDITED_A
        if not find_moved_host(&engine.hosts.table, &record.b, &row.hosts[1]) and not row.state & UNCREDITED_B:
            has_lost = True
        if has_lost:
            end(&engine.hosts, engine.conversations, row_index, closing_reason(row, ENDED_FULL))


cdef inline bint prune(Engine* engine) noexcept nogil:
    """Evict the remote hosts of a full table that were idle since the last rotation; False if the table is not full."""
    cdef Hosts* hosts = &engine.hosts
    cdef HostTable* table = &hosts.table
    cdef uint32_t row, kept = 0
    if table.n_rows < table.max_rows:
        return False
    for row in range(table.n_rows):
        if was_idle(table, row) and not is_local(hosts, &table.rows[row].key):
            evict(hosts, row)
        else:
            table_move(table, row, kept)
            if hosts.has_apps:
                apps_move(&hosts.apps, row, kept)
                local_hosts_move(&engine.conversations.local_hosts, row, kept)
            kept += 1
    table_truncate(table, kept)
    return True


cdef inline void note_receiver(Conversations* conversations) noexcept nogil:
    """Remember whether all intervals so far went to one accountant. Those of rotations go to none."""
    if conversations.went_to == 0:
        conversations.went_to = conversations.goes_to
    if conversations.goes_to == 0 or conversations.went_to != conversations.goes_to:
        conversations.went_to = ELSEWHERE
    conversations.goes_to = 0


cdef inline void begin_interval(Engine* engine) noexcept nogil:
    cdef uint32_t row
    cdef const HostRow* host
    cdef Traffic* base
    cdef bint has_pruned = prune(engine)
    for row in range(engine.hosts.table.n_rows):
        host = &engine.hosts.table.rows[row]
        base = &engine.hosts.table.bases[row]
        if not was_idle(&engine.hosts.table, row):
            base.bytes_in = bytes_in(host)
            base.bytes_out = host.bytes_out
            base.packets_in = host.packets_in
            base.packets_out = host.packets_out
    memcpy(engine.tallies_base, engine.tallies, sizeof(engine.tallies))
    engine.beside_ip_base = engine.beside_ip
    engine.hosts.overflow_base = engine.hosts.overflow
    if engine.hosts.has_apps:
        apps_begin_interval(&engine.hosts.apps)
    if engine.conversations != NULL:
        engine.conversations.counts_base = engine.conversations.counts
        engine.conversations.payloads.n_skipped_base = engine.conversations.payloads.n_skipped
        engine.conversations.n_relabellings = 0
        unknown_ports_begin_interval(&engine.conversations.unknown_ports)
        services_begin_interval(&engine.conversations.services)
        local_hosts_begin_interval(&engine.conversations.local_hosts)
        note_receiver(engine.conversations)
        if has_pruned:
            follow_hosts(engine)


cdef inline void merge_tallies(Engine* engine, const Engine* other) noexcept nogil:
    cdef int i
    for i in range(N_STATUSES):
        tally_add(&engine.tallies[i], other.tallies[i].frames - other.tallies_base[i].frames,
                  other.tallies[i].bytes - other.tallies_base[i].bytes)
    engine.beside_ip += other.beside_ip - other.beside_ip_base
    engine.hosts.overflow.frames_in += other.hosts.overflow.frames_in - other.hosts.overflow_base.frames_in
    engine.hosts.overflow.bytes_in += other.hosts.overflow.bytes_in - other.hosts.overflow_base.bytes_in
    engine.hosts.overflow.frames_out += other.hosts.overflow.frames_out - other.hosts.overflow_base.frames_out
    engine.hosts.overflow.bytes_out += other.hosts.overflow.bytes_out - other.hosts.overflow_base.bytes_out
    engine.first_ts_ns = min(engine.first_ts_ns, other.first_ts_ns)
    engine.last_ts_ns = max(engine.last_ts_ns, last_time(other))
    engine.newest_ts_ns = max(engine.newest_ts_ns, other.newest_ts_ns)


cdef inline void merge_counts(Conversations* conversations, const Conversations* other) noexcept nogil:
    cdef int reason
    conversations.counts.opened += other.counts.opened - other.counts_base.opened
    for reason in range(N_REASONS):
        conversations.counts.ended[reason] += other.counts.ended[reason] - other.counts_base.ended[reason]
    conversations.payloads.n_skipped += other.payloads.n_skipped - other.payloads.n_skipped_base


cdef inline void merge_relabellings(Engine* engine, const Conversations* other) noexcept nogil:
    """Apply to the totals the labels that came after an earlier merge.

    Not if an earlier interval of `other` was not merged here: then the traffic to move may be missing. If hosts overflowed,
    the hosts' totals stay: a host that was evicted and came back no longer has what was credited to it.
    """
    cdef uint32_t i
    cdef bint has_overflow = engine.hosts.overflow.frames_in != 0 or engine.hosts.overflow.frames_out != 0
    if other.went_to != engine.conversations.identity:
        return
    for i in range(other.n_relabellings):
        move_network_totals(&engine.hosts, engine.conversations, &other.relabellings[i])
        if not has_overflow:
            move_host_totals(&engine.hosts, &other.relabellings[i])


cdef inline void merge(Engine* engine, Engine* other) noexcept nogil:
    """Add what `other` accounted since its last rotation. The caller begins a new interval in it."""
    cdef uint32_t i, hashed
    cdef const HostRow* host
    cdef const Traffic* base
    cdef HostRow* row
    for i in range(other.hosts.networks.n_rows):
        add_local_network(&engine.hosts, &other.hosts.networks.rows[i], False)
    settle_all(other)
    for i in range(other.hosts.table.n_rows):
        host = &other.hosts.table.rows[i]
        base = &other.hosts.table.bases[i]
        if was_idle(&other.hosts.table, i):
            continue
        table_reserve(&engine.hosts.table, 2)
        hashed = table_hash(&engine.hosts.table, &host.key)
        row = NULL
        if host.packets_out != base.packets_out:
            row = find_or_admit(&engine.hosts, &host.key, hashed)
            add_out(&engine.hosts, row, host.bytes_out - base.bytes_out,
                    host.packets_out - base.packets_out, host.first_seen_ns, host.last_seen_ns, &host.key,
                    bytes_in(host) - base.bytes_in)
        if host.packets_in != base.packets_in:
            row = find_or_admit(&engine.hosts, &host.key, hashed)
            add_in(&engine.hosts, row, bytes_in(host) - base.bytes_in,
                   host.packets_in - base.packets_in, host.first_seen_ns, host.last_seen_ns)
        if engine.hosts.has_apps and row != NULL:
            apps_merge(&engine.hosts.apps, index_of(&engine.hosts, row, NO_ROW), &other.hosts.apps, i)
    merge_tallies(engine, other)
    if engine.conversations != NULL:
        if engine.conversations.identity == 0:
            engine.conversations.identity = new_identity()
        other.conversations.goes_to = engine.conversations.identity
        apps_merge_tallies(&engine.hosts.apps, &other.hosts.apps)
        merge_counts(engine.conversations, other.conversations)
        unknown_ports_merge(&engine.conversations.unknown_ports, &other.conversations.unknown_ports)
        merge_relabellings(engine, other.conversations)
        merge_services(&engine.hosts, engine.conversations, &other.hosts, other.conversations)
        move_contacts(&engine.conversations.contacts, &other.conversations.contacts, &other.conversations.table)
