"""What conversations mean for local hosts: which side is the server, which services they use, what they opened, what failed.

It is decided when a conversation opens: docs/conversations.md.

What it does not do: credit traffic (`native/engine/credits.pxd`), count peers (`native/tables/sketches.pxd`).
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from fastmon.native.decode.entry cimport TCP_ACK, TCP_SYN, Entry
from fastmon.native.decode.upper cimport TCP, UDP
from fastmon.native.engine.conversations cimport Conversations
from fastmon.native.engine.credits cimport credited_row
from fastmon.native.engine.hosts cimport Hosts, is_local
from fastmon.native.tables.applications cimport traffic_is_zero, traffic_subtract
from fastmon.native.tables.conversations cimport (
    ENDED_END, LOCAL_A, LOCAL_B, MAY_FAIL, SERVER_IS_A, Conversation, ConversationRecord, is_answered, server_side,
)
from fastmon.native.tables.hosts cimport Traffic, table_find, table_hash
from fastmon.native.tables.index cimport NO_ROW
from fastmon.native.tables.local_hosts cimport LocalHost, LocalHosts, local_host_find, local_host_get
from fastmon.native.tables.services cimport CLIENT, SERVER, ServiceBase, ServiceRow, service_credit, service_get
from fastmon.native.tables.sketches cimport newest_sketch, sketch_merge, sketch_opening
from fastmon.native.wire cimport Key

cdef enum:
    PRIVILEGED_PORTS = 1024  # below: of servers
    REGISTERED_PORTS = 32768  # below: seldom chosen by a client's system


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
    """Whether a conversation's first frame can get an answer in this conversation: it has ports, and no group gets it."""
    return entry.ports != 0 and not is_group(&entry.dst) and not (entry.macs != NULL and entry.macs[0] & 1)


cdef inline void open_service(Hosts* hosts, Conversations* conversations, uint32_t row_index, const Entry* entry,
                              int side) noexcept nogil:
    """Note what a conversation that opens means for its local host on one side."""
    cdef const Conversation* row = &conversations.table.rows[row_index]
    cdef ConversationRecord* record = &conversations.table.records[row_index]
    cdef uint32_t host = credited_row(hosts, &record.b if side else &record.a, row.hosts[side])
    cdef LocalHosts* local_hosts = &conversations.local_hosts
    cdef ServiceRow wanted
    cdef ServiceRow* service
    if host == NO_ROW:
        conversations.services.overflow += 1
        return
    memset(&wanted, 0, sizeof(ServiceRow))
    wanted.owner = local_host_get(local_hosts, host)
    wanted.role = SERVER if side == server_side(record) else CLIENT
    wanted.protocol = row.protocol
    wanted.port = <uint16_t>(row.ports if server_side(record) else row.ports >> 16)
    wanted.first_ns = wanted.last_ns = entry.ts_ns
    if wanted.role == CLIENT:
        local_hosts.rows[wanted.owner].opened += 1
        sketch_opening(&conversations.sketches, local_hosts, wanted.owner, &record.a if side else &record.b,
                       <uint64_t>wanted.protocol << 16 | wanted.port, entry.ts_ns)
        if may_be_answered(entry):
            record.marks |= MAY_FAIL
    service = service_get(&conversations.services, &local_hosts.rows[wanted.owner], &wanted)
    if service == NULL:
        conversations.services.overflow += 1
        return
    service.conversations += 1
    record.services[side] = <uint32_t>(service - conversations.services.rows) + 1


cdef inline void open_services(Hosts* hosts, Conversations* conversations, uint32_t row_index, const Entry* entry) noexcept nogil:
    """Note what a conversation that opens means for its local hosts."""
    cdef ConversationRecord* record = &conversations.table.records[row_index]
    if is_local(hosts, &record.a):
        record.marks |= LOCAL_A
    if is_local(hosts, &record.b):
        record.marks |= LOCAL_B
    if not record.marks:
        return
    if is_from_server(conversations, entry):
        record.marks |= SERVER_IS_A
    if record.marks & LOCAL_A:
        open_service(hosts, conversations, row_index, entry, 0)
    if record.marks & LOCAL_B:
        open_service(hosts, conversations, row_index, entry, 1)


cdef inline void note_end(Hosts* hosts, Conversations* conversations, uint32_t row_index, int reason) noexcept nogil:
    """Count a conversation that failed, unless it ends only because the accountant does."""
    cdef const Conversation* row = &conversations.table.rows[row_index]
    cdef const ConversationRecord* record = &conversations.table.records[row_index]
    cdef uint32_t host
    cdef int client = 1 - server_side(record)
    if not record.marks & MAY_FAIL or reason == ENDED_END or is_answered(row, record):
        return
    host = credited_row(hosts, &record.b if client else &record.a, row.hosts[client])
    if host != NO_ROW:
        local_host_find(&conversations.local_hosts, host).failed += 1


# Merging two accountants.


cdef inline uint32_t merged_local_host(const Hosts* hosts, Conversations* conversations, const Key* key) noexcept nogil:
    """Return the row of another accountant's local host; NO_ROW if it does not fit, or is not local here."""
    cdef uint32_t host = table_find(&hosts.table, key, table_hash(&hosts.table, key))
    if host == NO_ROW or not is_local(hosts, key):
        return NO_ROW
    return local_host_get(&conversations.local_hosts, host)


cdef inline void merge_service(const Hosts* hosts, Conversations* conversations, const Key* key, const ServiceRow* row,
                               const ServiceBase* base) noexcept nogil:
    cdef ServiceRow wanted = row[0]
    cdef ServiceRow* service = NULL
    cdef Traffic traffic = row.traffic
    traffic_subtract(&traffic, &base.traffic)
    if traffic_is_zero(&traffic):
        return
    wanted.owner = merged_local_host(hosts, conversations, key)
    memset(&wanted.traffic, 0, sizeof(Traffic))
    wanted.conversations = 0
    if wanted.owner != NO_ROW:
        service = service_get(&conversations.services, &conversations.local_hosts.rows[wanted.owner], &wanted)
    if service == NULL:
        conversations.services.overflow += row.conversations - base.conversations
        return
    service_credit(service, &traffic, row.first_ns, row.last_ns)
    service.conversations += row.conversations - base.conversations


cdef inline void merge_openings(const Hosts* hosts, Conversations* conversations, const Key* key, const LocalHost* other,
                                const Conversations* others) noexcept nogil:
    cdef uint32_t row
    cdef LocalHost* host
    if other.opened == other.opened_base and other.failed == other.failed_base:
        return
    row = merged_local_host(hosts, conversations, key)
    if row == NO_ROW:
        return
    host = &conversations.local_hosts.rows[row]
    host.opened += other.opened - other.opened_base
    host.failed += other.failed - other.failed_base
    if other.opened != other.opened_base and other.sketch:
        sketch_merge(newest_sketch(&conversations.sketches, &conversations.local_hosts, row),
                     &others.sketches.rows[other.sketch - 1])
        host.last_opened_s = max(host.last_opened_s, other.last_opened_s)


cdef inline void merge_services(const Hosts* hosts, Conversations* conversations, const Hosts* other_hosts,
                                Conversations* others) noexcept nogil:
    """Add what another accountant's local hosts did since its last rotation. Its hosts have been merged."""
    cdef uint32_t i
    cdef const LocalHost* local_host
    for i in range(others.services.n_rows):
        local_host = &others.local_hosts.rows[others.services.rows[i].owner]
        merge_service(hosts, conversations, &other_hosts.table.rows[local_host.host].key, &others.services.rows[i],
                      &others.services.bases[i])
    for i in range(others.local_hosts.n_rows):
        local_host = &others.local_hosts.rows[i]
        merge_openings(hosts, conversations, &other_hosts.table.rows[local_host.host].key, local_host, others)
    conversations.services.overflow += others.services.overflow - others.services.overflow_base
    conversations.sketches.n_evicted += others.sketches.n_evicted
    others.sketches.n_evicted = 0
