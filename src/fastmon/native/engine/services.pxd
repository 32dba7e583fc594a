"""What conversations mean for local hosts: which side is the server, which services they use, what they opened, what failed,
what they probed.

It is decided when a conversation opens: docs/conversations.md.

What it does not do: credit traffic (`native/engine/credits.pxd`), count peers (`native/tables/sketches.pxd`).
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from fastmon.native.decode.entry cimport ECHO_REQUEST, TCP_ACK, TCP_RST, TCP_SYN, Entry
from fastmon.native.decode.upper cimport TCP, UDP
from fastmon.native.engine.conversations cimport Conversations, is_running, token_of
from fastmon.native.engine.credits cimport credited_row
from fastmon.native.engine.hosts cimport Hosts, is_local
from fastmon.native.engine.probes cimport ArpRequest, await_answer, drop_first_waiting, move_requests
from fastmon.native.tables.applications cimport traffic_is_zero, traffic_subtract
from fastmon.native.tables.conversations cimport (
    ANSWER_TIMEOUT_NS, ENDED_END, FAILED, LOCAL_A, LOCAL_B, MAY_FAIL, SERVER_IS_A, Conversation, ConversationRecord,
    has_waited_too_long, is_answered, may_still_fail, server_side,
)
from fastmon.native.tables.hosts cimport Traffic, table_find, table_hash
from fastmon.native.tables.index cimport NO_ROW, index_prefetch
from fastmon.native.tables.local_hosts cimport N_SKETCHES, OPENED, PROBED, LocalHost, LocalHosts, local_host_get
from fastmon.native.tables.services cimport (
    CLIENT, SERVER, ServiceBase, ServiceRow, prefetch_service, service_credit, service_get, service_hash,
)
from fastmon.native.tables.sketches cimport (
    place_of, prefetch_sketch, second_of, sketch_get, sketch_merge, sketch_touch,
)
from fastmon.native.wire cimport Key, prefetch_write, v4_key

cdef enum:
    PRIVILEGED_PORTS = 1024  # below: of servers
    REGISTERED_PORTS = 32768  # below: seldom chosen by a client's system


cdef struct LocalSide:  # of a conversation that opens
    uint32_t owner  # the local host's row; NO_ROW: the host has no row in its table
    uint32_t hashed
    uint32_t peer_place  # in a client's sketches
    uint32_t service_place
    ServiceRow service


cdef inline bint is_from_server(const Conversations* conversations, const Entry* entry) noexcept nogil:
    """Whether the source of a conversation's first frame is its server."""
    cdef uint16_t src = <uint16_t>(entry.ports >> 16)
    cdef uint16_t dst = <uint16_t>entry.ports
    cdef const uint8_t* apps = &conversations.tcp_apps[0] if entry.protocol == TCP else &conversations.udp_apps[0]
    if entry.tcp_flags & TCP_SYN:
        return entry.tcp_flags & TCP_ACK != 0
    if (entry.protocol == TCP or entry.protocol == UDP) and (apps[src] != 0) != (apps[dst] != 0):
        return apps[src] != 0
    if (src < PRIVILEGED_PORTS) != (dst < PRIVILEGED_PORTS):
        return src < PRIVILEGED_PORTS
    return src < REGISTERED_PORTS <= dst


cdef inline bint is_group(const Key* key) noexcept nogil:
    """Whether an address is of a multicast group, or the broadcast address of IPv4."""
    cdef const uint8_t* address = <const uint8_t*>key
    if key.high == 0 and address[8] == 0 and address[9] == 0 and address[10] == 0xFF and address[11] == 0xFF:
        return address[12] >> 4 == 14 or (address[12] & address[13] & address[14] & address[15]) == 0xFF
    return address[0] == 0xFF


cdef inline bint may_be_answered(const Entry* entry) noexcept nogil:
    """Whether a conversation's first frame asks for an answer in this conversation: of one host, and not to end another."""
    if is_group(&entry.dst) or (entry.macs != NULL and entry.macs[0] & 1):
        return False
    return (entry.ports != 0 and not entry.tcp_flags & TCP_RST) or entry.signs & ECHO_REQUEST != 0


cdef inline uint32_t place_of_peer(const Conversations* conversations, const Key* peer) noexcept nogil:
    """Return where a peer belongs in sketches: they all have the same keys."""
    return place_of(&conversations.sketches[OPENED], peer.high, peer.low)


cdef inline uint32_t place_of_service(const Conversations* conversations, uint8_t protocol, uint16_t port) noexcept nogil:
    return place_of(&conversations.sketches[OPENED], <uint64_t>protocol << 16 | port, 0)


cdef inline void find_side(const Hosts* hosts, Conversations* conversations, uint32_t row_index, const Entry* entry, int side,
                           LocalSide* found) noexcept nogil:
    """Find the local host on one side of a conversation that opens, and prefetch what is needed of it."""
    cdef const Conversation* row = &conversations.table.rows[row_index]
    cdef const ConversationRecord* record = &conversations.table.records[row_index]
    cdef uint32_t host = credited_row(hosts, &record.b if side else &record.a, row.hosts[side])
    cdef const Key* peer = &record.a if side else &record.b
    if host == NO_ROW:
        found.owner = NO_ROW
        return
    found.owner = local_host_get(&conversations.local_hosts, host)
    prefetch_write(&conversations.local_hosts.rows[found.owner])
    memset(&found.service, 0, sizeof(ServiceRow))
    found.service.owner = found.owner
    found.service.role = SERVER if side == server_side(record) else CLIENT
    found.service.protocol = row.protocol
    found.service.port = <uint16_t>(row.ports if server_side(record) else row.ports >> 16)
    found.service.first_ns = found.service.last_ns = entry.ts_ns
    found.hashed = service_hash(&conversations.services, &found.service)
    index_prefetch(&conversations.services.index, found.hashed)
    if found.service.role == CLIENT:
        found.peer_place = place_of_peer(conversations, peer)
        found.service_place = place_of_service(conversations, row.protocol, found.service.port)


cdef inline void prefetch_side(const Conversations* conversations, const LocalSide* found) noexcept nogil:
    if found.owner != NO_ROW:
        prefetch_service(&conversations.services, found.hashed)
        if found.service.role == CLIENT:
            prefetch_sketch(&conversations.sketches[OPENED], &conversations.local_hosts.rows[found.owner], found.peer_place,
                            found.service_place)


cdef inline void open_side(Conversations* conversations, uint32_t row_index, const Entry* entry, int side,
                           const LocalSide* found) noexcept nogil:
    """Note what a conversation that opens means for its local host on one side."""
    cdef ConversationRecord* record = &conversations.table.records[row_index]
    cdef LocalHosts* local_hosts = &conversations.local_hosts
    cdef ServiceRow* service = NULL
    if found.owner != NO_ROW:
        if found.service.role == CLIENT:
            local_hosts.rows[found.owner].opened += 1
            sketch_touch(&conversations.sketches[OPENED], local_hosts, found.owner, found.peer_place, found.service_place,
                         second_of(entry.ts_ns))
            if may_be_answered(entry):
                record.marks |= MAY_FAIL
                await_answer(&conversations.probes, token_of(&conversations.table, row_index))
                if entry.signs & ECHO_REQUEST:
                    sketch_touch(&conversations.sketches[PROBED], local_hosts, found.owner, found.peer_place,
                                 found.service_place, second_of(entry.ts_ns))
        service = service_get(&conversations.services, &local_hosts.rows[found.owner], &found.service, found.hashed)
    if service == NULL:
        conversations.services.overflow += 1
        return
    service.conversations += 1
    record.services[side] = <uint32_t>(service - conversations.services.rows) + 1


cdef inline void open_services(const Hosts* hosts, Conversations* conversations, uint32_t row_index,
                               const Entry* entry) noexcept nogil:
    """Note what a conversation that opens means for its local hosts. Each pass prefetches what the next one needs."""
    cdef ConversationRecord* record = &conversations.table.records[row_index]
    cdef LocalSide[2] found
    cdef int side
    if is_local(hosts, &record.a):
        record.marks |= LOCAL_A
    if is_local(hosts, &record.b):
        record.marks |= LOCAL_B
    if not record.marks:
        return
    if is_from_server(conversations, entry):
        record.marks |= SERVER_IS_A
    for side in range(2):
        if record.marks & (LOCAL_B if side else LOCAL_A):
            find_side(hosts, conversations, row_index, entry, side, &found[side])
    for side in range(2):
        if record.marks & (LOCAL_B if side else LOCAL_A):
            prefetch_side(conversations, &found[side])
    for side in range(2):
        if record.marks & (LOCAL_B if side else LOCAL_A):
            open_side(conversations, row_index, entry, side, &found[side])


cdef inline void fail(const Hosts* hosts, Conversations* conversations, uint32_t row_index, int64_t ts_ns) noexcept nogil:
    """Count a conversation that has got no answer by `ts_ns`, or by the time that it had for it."""
    cdef const Conversation* row = &conversations.table.rows[row_index]
    cdef ConversationRecord* record = &conversations.table.records[row_index]
    cdef int server = server_side(record)
    cdef uint32_t host = credited_row(hosts, &record.a if server else &record.b, row.hosts[1 - server])
    cdef uint32_t owner
    record.marks |= FAILED
    if host == NO_ROW:
        return
    if has_waited_too_long(row, ts_ns):
        ts_ns = row.first_ns + ANSWER_TIMEOUT_NS
    owner = local_host_get(&conversations.local_hosts, host)
    conversations.local_hosts.rows[owner].failed += 1
    sketch_touch(&conversations.sketches[PROBED], &conversations.local_hosts, owner,
                 place_of_peer(conversations, &record.b if server else &record.a),
                 place_of_service(conversations, row.protocol, <uint16_t>(row.ports if server else row.ports >> 16)),
                 second_of(ts_ns))


cdef inline uint32_t fail_unanswered(const Hosts* hosts, Conversations* conversations, int64_t now_ns) noexcept nogil:
    """Count the conversations that have waited too long for an answer at `now_ns`; return their number."""
    cdef uint32_t row_index, n_failed = 0
    cdef uint64_t token
    while conversations != NULL and conversations.probes.n_waiting:
        token = conversations.probes.waiting[conversations.probes.first_waiting]
        row_index = <uint32_t>token
        if is_running(&conversations.table, token) and may_still_fail(&conversations.table.records[row_index]):
            if not is_answered(&conversations.table.rows[row_index], &conversations.table.records[row_index]):
                if not has_waited_too_long(&conversations.table.rows[row_index], now_ns):
                    break
                fail(hosts, conversations, row_index, now_ns)
                n_failed += 1
        drop_first_waiting(&conversations.probes)
    return n_failed


cdef inline void note_first_from(const Hosts* hosts, Conversations* conversations, uint32_t row_index, const Entry* entry,
                                 int d) noexcept nogil:
    """Count a conversation whose first answer comes too late. `entry`: the first frame from its side `d`."""
    cdef const ConversationRecord* record = &conversations.table.records[row_index]
    if (d == server_side(record) and may_still_fail(record) and not entry.tcp_flags & TCP_RST
            and has_waited_too_long(&conversations.table.rows[row_index], entry.ts_ns)):
        fail(hosts, conversations, row_index, entry.ts_ns)


cdef inline void note_end(const Hosts* hosts, Conversations* conversations, uint32_t row_index, int reason) noexcept nogil:
    """Count a conversation that failed, unless it ends only because the accountant does."""
    cdef const Conversation* row = &conversations.table.rows[row_index]
    cdef const ConversationRecord* record = &conversations.table.records[row_index]
    if may_still_fail(record) and reason != ENDED_END and not is_answered(row, record):
        fail(hosts, conversations, row_index, row.last_ns)


cdef inline uint32_t local_host_of(const Hosts* hosts, Conversations* conversations, const Key* key) noexcept nogil:
    """Return the row of the local host with this key; NO_ROW if it has no row in the host table, or is not local."""
    cdef uint32_t host = table_find(&hosts.table, key, table_hash(&hosts.table, key))
    if host == NO_ROW or not is_local(hosts, key):
        return NO_ROW
    return local_host_get(&conversations.local_hosts, host)


cdef inline void probe_by_arp(const Hosts* hosts, Conversations* conversations) noexcept nogil:
    """Note the ARP requests of local hosts that have a row by now as probes."""
    cdef uint32_t i, owner
    cdef const ArpRequest* request
    cdef Key target
    if conversations == NULL:
        return
    for i in range(conversations.probes.n_requests):
        request = &conversations.probes.requests[i]
        target = v4_key(request.sender)
        owner = local_host_of(hosts, conversations, &target)
        if owner != NO_ROW:
            target = v4_key(request.target)
            sketch_touch(&conversations.sketches[PROBED], &conversations.local_hosts, owner,
                         place_of_peer(conversations, &target), place_of_service(conversations, 0, 0), request.second)
    conversations.probes.n_requests = 0


# Merging two accountants.


cdef inline void merge_service(const Hosts* hosts, Conversations* conversations, const Key* key, const ServiceRow* row,
                               const ServiceBase* base) noexcept nogil:
    cdef ServiceRow wanted = row[0]
    cdef ServiceRow* service = NULL
    cdef Traffic traffic = row.traffic
    traffic_subtract(&traffic, &base.traffic)
    if traffic_is_zero(&traffic):
        return
    wanted.owner = local_host_of(hosts, conversations, key)
    memset(&wanted.traffic, 0, sizeof(Traffic))
    wanted.conversations = 0
    if wanted.owner != NO_ROW:
        service = service_get(&conversations.services, &conversations.local_hosts.rows[wanted.owner], &wanted,
                              service_hash(&conversations.services, &wanted))
    if service == NULL:
        conversations.services.overflow += row.conversations - base.conversations
        return
    service_credit(service, &traffic, row.first_ns, row.last_ns)
    service.conversations += row.conversations - base.conversations


cdef inline void merge_openings(const Hosts* hosts, Conversations* conversations, const Key* key, const LocalHost* other,
                                const Conversations* others) noexcept nogil:
    cdef uint32_t row, kind
    cdef LocalHost* host
    if other.opened == other.opened_base and other.failed == other.failed_base:
        return
    row = local_host_of(hosts, conversations, key)
    if row == NO_ROW:
        return
    host = &conversations.local_hosts.rows[row]
    host.opened += other.opened - other.opened_base
    host.failed += other.failed - other.failed_base
    for kind in range(N_SKETCHES):
        if other.sketches[kind]:
            sketch_merge(sketch_get(&conversations.sketches[kind], &conversations.local_hosts, row),
                         &others.sketches[kind].rows[other.sketches[kind] - 1])
            host.last_s[kind] = max(host.last_s[kind], other.last_s[kind])


cdef inline void merge_services(const Hosts* hosts, Conversations* conversations, const Hosts* other_hosts,
                                Conversations* others) noexcept nogil:
    """Add what another accountant's local hosts did since its last rotation. Its hosts have been merged."""
    cdef uint32_t i, kind
    cdef const LocalHost* local_host
    for i in range(others.services.n_rows):
        local_host = &others.local_hosts.rows[others.services.rows[i].owner]
        merge_service(hosts, conversations, &other_hosts.table.rows[local_host.host].key, &others.services.rows[i],
                      &others.services.bases[i])
    for i in range(others.local_hosts.n_rows):
        local_host = &others.local_hosts.rows[i]
        merge_openings(hosts, conversations, &other_hosts.table.rows[local_host.host].key, local_host, others)
    conversations.services.overflow += others.services.overflow - others.services.overflow_base
    for kind in range(N_SKETCHES):
        conversations.sketches[kind].n_evicted += others.sketches[kind].n_evicted
        others.sketches[kind].n_evicted = 0
    move_requests(&conversations.probes, &others.probes)
