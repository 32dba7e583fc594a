"""Copies of the engine's tables, column by column, into arrays that the caller has made.

Copies are of all hosts, or of the hosts that were active since the last rotation; the hosts' places in the copy number them.

They give up the GIL: a copy of a million rows takes a while.

What it does not do: settle conversations, allocate, change what is counted.
"""

from libc.stdint cimport INT64_MIN, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from fastmon.native.decode.headers cimport N_STATUSES
from fastmon.native.engine.conversations cimport ConversationTallies, Conversations
from fastmon.native.engine.credits cimport credited_row
from fastmon.native.engine.engine cimport Engine
from fastmon.native.engine.hosts cimport Hosts, Overflow, is_local
from fastmon.native.engine.rotation cimport was_idle
from fastmon.native.tables.applications cimport (
    MAC_BITS, N_APPS, OWN_MAC, AppRow, AppTable, app_get, traffic_add, traffic_is_zero, traffic_subtract,
)
from fastmon.native.tables.conversations cimport N_REASONS, RUNNING, Conversation, ConversationRecord, ConversationTable, is_idle
from fastmon.native.tables.hosts cimport (
    HostRow, HostTable, Traffic, bytes_in, is_flagged, set_flag, table_find, table_hash,
)
from fastmon.native.tables.index cimport NO_ROW
from fastmon.native.tables.local_hosts cimport OPENED, PROBED, LocalHost, LocalHosts, local_host_find
from fastmon.native.tables.services cimport ServiceRow, ServiceTable, service_credit
from fastmon.native.tables.sketches cimport Sketch, Sketches, estimate, second_of
from fastmon.native.wire cimport Key, v6_key

cdef struct AppRecord:  # conversations.APP_DTYPE
    uint32_t host
    uint8_t app
    Traffic traffic

cdef struct AppCopy:  # of the applications of all hosts, to which more may be added
    AppRecord* records
    uint32_t n_records
    uint32_t* places  # of each application's row: that of its record + 1; NULL if nothing will be added

cdef struct SightRecord:  # rows.SIGHT_DTYPE
    Key key
    uint64_t mac
    uint8_t is_own
    uint8_t is_local
    uint8_t[6] unused

cdef struct PeerRecord:  # services.PEER_DTYPE
    Key peer
    uint64_t bytes_in
    uint64_t bytes_out
    uint32_t host  # its number among those asked for
    uint32_t unused

cdef struct FanoutRecord:  # services.FANOUT_DTYPE
    uint32_t host
    uint32_t peers
    uint32_t services

cdef struct OpeningRecord:  # services.OPENING_DTYPE
    uint32_t host
    uint32_t unused
    uint64_t opened
    uint64_t failed


cdef inline uint32_t n_active(const HostTable* table) noexcept:
    """Return the number of hosts that had traffic since the last rotation."""
    cdef uint32_t row, n_hosts = 0
    with nogil:
        for row in range(table.n_rows):
            n_hosts += not was_idle(table, row)
    return n_hosts


cdef inline void strip_flags(HostRow* rows, uint32_t n_rows) noexcept nogil:
    """Leave `bytes_in` alone in the field that it shares with the flag, for Python."""
    cdef uint32_t row
    for row in range(n_rows):
        rows[row].bytes_in_and_flag = bytes_in(&rows[row])


cdef inline void restore_flags(HostTable* table, const uint8_t[:, ::1] marks) noexcept:
    """Undo `strip_flags`, by what `copy_marks` copied of all hosts."""
    cdef uint32_t row
    with nogil:
        for row in range(table.n_rows):
            if marks[1, row]:
                set_flag(&table.rows[row])


cdef inline void copy_marks(const Hosts* hosts, bint since_rotation, uint8_t[:, ::1] marks, uint64_t[::1] macs) noexcept:
    """Copy whether each host is local and flagged and, where conversations are accounted, a local one's Ethernet address."""
    cdef uint32_t row, at = 0
    with nogil:
        for row in range(hosts.table.n_rows):
            if since_rotation and was_idle(&hosts.table, row):
                continue
            marks[0, at] = is_local(hosts, &hosts.table.rows[row].key)
            marks[1, at] = is_flagged(&hosts.table.rows[row])
            if hosts.has_apps:
                macs[at] = hosts.apps.macs[row] & MAC_BITS if marks[0, at] else 0
            at += 1


cdef inline uint32_t copy_sights(const Hosts* hosts, SightRecord* records) noexcept:
    """Copy the Ethernet addresses that the frames of hosts came from or went to, by host; return their number.

    What is unused of the records stays as it is.
    """
    cdef uint32_t row, n_copied = 0
    if hosts.has_apps:
        with nogil:
            for row in range(hosts.table.n_rows):
                if hosts.apps.macs[row]:
                    records[n_copied].key = hosts.table.rows[row].key
                    records[n_copied].mac = hosts.apps.macs[row] & MAC_BITS
                    records[n_copied].is_own = hosts.apps.macs[row] & OWN_MAC != 0
                    records[n_copied].is_local = is_local(hosts, &hosts.table.rows[row].key)
                    n_copied += 1
    return n_copied


cdef inline void copy_interval(const HostTable* table, HostRow* hosts, uint64_t[:, ::1] totals) noexcept:
    """Copy the active hosts' rows with the interval's counters, and their bytes in and out since the start."""
    cdef uint32_t row, at = 0
    cdef const Traffic* base
    with nogil:
        for row in range(table.n_rows):
            if was_idle(table, row):
                continue
            base = &table.bases[row]
            totals[0, at] = bytes_in(&table.rows[row])
            totals[1, at] = table.rows[row].bytes_out
            hosts[at] = table.rows[row]
            hosts[at].bytes_in_and_flag = bytes_in(&table.rows[row]) - base.bytes_in
            hosts[at].bytes_out -= base.bytes_out
            hosts[at].packets_in -= base.packets_in
            hosts[at].packets_out -= base.packets_out
            at += 1


cdef inline void copy_statuses(const Engine* engine, bint since_rotation, uint64_t[:, ::1] counts) noexcept nogil:
    cdef int status
    for status in range(N_STATUSES):
        counts[status, 0] = engine.tallies[status].frames
        counts[status, 1] = engine.tallies[status].bytes
        if since_rotation:
            counts[status, 0] -= engine.tallies_base[status].frames
            counts[status, 1] -= engine.tallies_base[status].bytes


cdef inline void copy_apps(const Hosts* hosts, bint since_rotation, AppCopy* copy) noexcept:
    """Copy the hosts' applications, ordered by host."""
    cdef const AppTable* apps = &hosts.apps
    cdef const Traffic* traffic
    cdef AppRecord* record
    cdef uint32_t row, link, at = 0
    with nogil:
        for row in range(hosts.table.n_rows):
            if since_rotation and was_idle(&hosts.table, row):
                continue
            link = apps.heads[row]
            while link:
                traffic = &apps.rows[link - 1].interval if since_rotation else &apps.rows[link - 1].total
                if not traffic_is_zero(traffic):
                    record = &copy.records[copy.n_records]
                    copy.n_records += 1
                    record.host = at
                    record.app = <uint8_t>apps.rows[link - 1].app
                    record.traffic = traffic[0]
                    if copy.places != NULL:
                        copy.places[link - 1] = copy.n_records
                link = apps.rows[link - 1].next
            at += 1


cdef inline void add_app(AppTable* apps, AppCopy* copy, uint32_t host, uint8_t app, const Traffic* traffic) noexcept nogil:
    """Add what an application of a host will be credited with to a copy of all since the start. A new record is the last one."""
    cdef const AppRow* row = app_get(apps, host, app)
    cdef uint32_t* place
    if row == NULL:
        return
    place = &copy.places[row - apps.rows]
    if place[0] == 0:
        copy.records[copy.n_records].host, copy.records[copy.n_records].app = host, app
        copy.n_records += 1
        place[0] = copy.n_records
    traffic_add(&copy.records[place[0] - 1].traffic, traffic)


cdef inline void copy_app_totals(const AppTable* apps, bint since_rotation, uint64_t[:, ::1] totals) noexcept nogil:
    cdef int app
    for app in range(1, N_APPS):
        totals[app, 0] = apps.interval[app].frames if since_rotation else apps.total[app].frames
        totals[app, 1] = apps.interval[app].bytes if since_rotation else apps.total[app].bytes


cdef inline uint32_t copy_services(const HostTable* hosts, Conversations* conversations, bint since_rotation,
                                   ServiceRow* records) noexcept:
    """Copy the services that had traffic, ordered by host, role, protocol and port; return their number."""
    cdef ServiceTable* services = &conversations.services
    cdef const LocalHost* local_host
    cdef uint32_t row, link, at = 0, n_copied = 0
    with nogil:
        for row in range(hosts.n_rows):
            if since_rotation and was_idle(hosts, row):
                continue
            local_host = local_host_find(&conversations.local_hosts, row)
            link = local_host.first_service if local_host != NULL else 0
            while link:
                records[n_copied] = services.rows[link - 1]
                records[n_copied].owner = at
                if since_rotation:
                    traffic_subtract(&records[n_copied].traffic, &services.bases[link - 1].traffic)
                    records[n_copied].conversations -= services.bases[link - 1].conversations
                services.bases[link - 1].copied_to = n_copied
                n_copied += not since_rotation or not traffic_is_zero(&records[n_copied].traffic)
                link = services.bases[link - 1].next
            at += 1
    return n_copied


cdef inline void add_unsettled(Hosts* hosts, const Conversations* conversations, ServiceRow* services, AppCopy* apps,
                               uint64_t[:, ::1] app_totals) noexcept:
    """Add what the running conversations will be settled with to copies of all services and applications since the start."""
    cdef const ConversationTable* table = &conversations.table
    cdef const Conversation* row
    cdef const ConversationRecord* record
    cdef Traffic traffic
    cdef uint32_t i, host
    cdef int side
    with nogil:
        for i in range(table.n_rows):
            row = &table.rows[i]
            record = &table.records[i]
            if not row.state & RUNNING:
                continue
            for side in range(2):
                traffic.bytes_in = row.bytes[1 - side] - record.settled_bytes[1 - side]
                traffic.bytes_out = row.bytes[side] - record.settled_bytes[side]
                traffic.packets_in = row.packets[1 - side] - record.settled_packets[1 - side]
                traffic.packets_out = row.packets[side] - record.settled_packets[side]
                if traffic_is_zero(&traffic):
                    break  # so it is for the other side
                if record.services[side]:
                    service_credit(&services[conversations.services.bases[record.services[side] - 1].copied_to], &traffic,
                                   row.first_ns, row.last_ns)
                if row.app == 0:
                    continue
                app_totals[row.app, 0] += traffic.packets_out
                app_totals[row.app, 1] += traffic.bytes_out
                host = credited_row(hosts, &record.b if side else &record.a, row.hosts[side])
                if host != NO_ROW:
                    add_app(&hosts.apps, apps, host, row.app, &traffic)


cdef inline void number_hosts(const HostTable* table, const uint8_t[:, ::1] keys, uint16_t[::1] numbers) noexcept nogil:
    """Set the number of each of the hosts' rows to its place in `keys` + 1."""
    cdef Key key
    cdef uint32_t i, row
    for i in range(<uint32_t>keys.shape[0]):
        key = v6_key(&keys[i, 0])
        row = table_find(table, &key, table_hash(table, &key))
        if row != NO_ROW:
            numbers[row] = <uint16_t>(i + 1)


cdef inline uint32_t number_of(const Hosts* hosts, const ConversationTable* table, uint32_t row_index, int side,
                               const uint16_t[::1] numbers, int64_t now_ns) noexcept nogil:
    """Return the number of the host of a conversation that is not over at `now_ns`; 0 if it has none."""
    cdef const Conversation* row = &table.rows[row_index]
    cdef const ConversationRecord* record = &table.records[row_index]
    cdef const Key* key = &record.b if side else &record.a
    cdef uint32_t host
    if not row.state & RUNNING or is_idle(row, now_ns):
        return 0
    host = credited_row(hosts, key, row.hosts[side])
    if host == NO_ROW:  # it had no row when the conversation's last frame came, and may have one now
        host = table_find(&hosts.table, key, table_hash(&hosts.table, key))
    return 0 if host == NO_ROW else numbers[host]


cdef inline size_t count_peers(const Hosts* hosts, const ConversationTable* table, const uint16_t[::1] numbers,
                               int64_t now_ns) noexcept:
    """Return how many records `copy_peers` copies."""
    cdef uint32_t i
    cdef size_t n_found = 0
    with nogil:
        for i in range(table.n_rows):
            n_found += number_of(hosts, table, i, 0, numbers, now_ns) != 0
            n_found += number_of(hosts, table, i, 1, numbers, now_ns) != 0
    return n_found


cdef inline void copy_peers(const Hosts* hosts, const ConversationTable* table, const uint16_t[::1] numbers, int64_t now_ns,
                            PeerRecord* records) noexcept:
    """Copy what numbered hosts have moved in each conversation that is not over at `now_ns`."""
    cdef uint32_t i, number
    cdef size_t n_copied = 0
    cdef int side
    with nogil:
        for i in range(table.n_rows):
            for side in range(2):
                number = number_of(hosts, table, i, side, numbers, now_ns)
                if number:
                    records[n_copied].peer = table.records[i].a if side else table.records[i].b
                    records[n_copied].bytes_in = table.rows[i].bytes[1 - side]
                    records[n_copied].bytes_out = table.rows[i].bytes[side]
                    records[n_copied].host, records[n_copied].unused = number - 1, 0
                    n_copied += 1


cdef inline uint32_t copy_fanout(const Engine* engine, bint probes, int64_t now_ns, int64_t window_ns,
                                 FanoutRecord* records) noexcept:
    """Copy the estimates of local hosts that opened conversations in a window, or probed, by host; return their number."""
    cdef const HostTable* hosts = &engine.hosts.table
    cdef const LocalHosts* local_hosts
    cdef const Sketches* sketches
    cdef uint32_t kind = PROBED if probes else OPENED
    cdef uint32_t first_s = second_of(now_ns - window_ns if now_ns > INT64_MIN + window_ns else INT64_MIN)
    cdef uint32_t last_s = second_of(now_ns)
    cdef const LocalHost* local_host
    cdef const Sketch* sketch
    cdef uint32_t row, n_copied = 0
    if engine.conversations == NULL:
        return 0
    local_hosts = &engine.conversations.local_hosts
    sketches = &engine.conversations.sketches[kind]
    with nogil:
        for row in range(hosts.n_rows):
            local_host = local_host_find(local_hosts, row)
            if local_host == NULL or local_host.sketches[kind] == 0 or local_host.last_s[kind] < first_s:
                continue
            sketch = &sketches.rows[local_host.sketches[kind] - 1]
            records[n_copied].host = row
            records[n_copied].peers = estimate(&sketch.peers, first_s, last_s)
            records[n_copied].services = estimate(&sketch.services, first_s, last_s)
            n_copied += records[n_copied].peers != 0
    return n_copied


cdef inline uint32_t copy_openings(const HostTable* hosts, const LocalHosts* local_hosts, OpeningRecord* records) noexcept:
    """Copy what local hosts opened since the start, ordered by host; return their number."""
    cdef const LocalHost* local_host
    cdef uint32_t row, n_copied = 0
    with nogil:
        for row in range(hosts.n_rows):
            local_host = local_host_find(local_hosts, row)
            if local_host != NULL and local_host.opened:
                records[n_copied].host = row
                records[n_copied].unused = 0
                records[n_copied].opened = local_host.opened
                records[n_copied].failed = local_host.failed
                n_copied += 1
    return n_copied


cdef inline tuple count_overflow(const Hosts* hosts, bint since_rotation):
    """Return the overflow: frames and bytes in, frames and bytes out."""
    cdef const Overflow* total = &hosts.overflow
    cdef Overflow base = hosts.overflow_base
    if not since_rotation:
        memset(&base, 0, sizeof(base))
    return (total.frames_in - base.frames_in, total.bytes_in - base.bytes_in, total.frames_out - base.frames_out,
            total.bytes_out - base.bytes_out)


cdef inline tuple count_conversations(const Conversations* conversations, bint since_rotation):
    """Return how many were opened, ended by each reason, and are running, and how many payloads were skipped."""
    cdef const ConversationTallies* counts = &conversations.counts
    cdef ConversationTallies base = conversations.counts_base
    cdef uint64_t n_skipped = conversations.payloads.n_skipped
    if since_rotation:
        n_skipped -= conversations.payloads.n_skipped_base
    else:
        memset(&base, 0, sizeof(base))
    return (
        counts.opened - base.opened,
        [counts.ended[i] - base.ended[i] for i in range(N_REASONS)],
        counts.opened - sum([counts.ended[i] for i in range(N_REASONS)]),
        n_skipped,
    )
