"""Credit the traffic of conversations to applications: each host's, and the network's; and to the services of local hosts.

Traffic is settled now and then, not for each frame: docs/conversations.md.

What it does not do: choose a conversation's application or its services.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from fastmon.native.engine.conversations cimport Conversations, Relabelling
from fastmon.native.engine.hosts cimport Hosts
from fastmon.native.memory cimport grow_array
from fastmon.native.tables.applications cimport app_credit, app_recredit
from fastmon.native.tables.conversations cimport UNCREDITED_A, UNCREDITED_B, Conversation, ConversationRecord
from fastmon.native.tables.hosts cimport Traffic, table_find, table_hash, tally_add
from fastmon.native.tables.index cimport NO_ROW
from fastmon.native.tables.services cimport service_credit
from fastmon.native.tables.unknown_ports cimport port_place, unknown_port_add, unknown_port_withdraw
from fastmon.native.wire cimport Key

cdef enum:
    UNKNOWN_APP = 0


cdef inline uint32_t credited_row(const Hosts* hosts, const Key* key, uint32_t likely_row) noexcept nogil:
    """Return the row of a conversation's host; NO_ROW if the host was evicted, with all that was counted since the last rotation.

    `likely_row` is right unless the host was evicted: opening a conversation sets it, and only rotations move rows.
    """
    if likely_row < hosts.table.n_rows:
        if hosts.table.rows[likely_row].key.low == key.low and hosts.table.rows[likely_row].key.high == key.high:
            return likely_row
    return NO_ROW


cdef inline void settle_side(Hosts* hosts, Conversation* row, const Key* key, int side, const Traffic* traffic) noexcept nogil:
    cdef uint32_t host = credited_row(hosts, key, row.hosts[side])
    if host == NO_ROW or not app_credit(&hosts.apps, host, row.app, traffic):
        row.state |= UNCREDITED_B if side else UNCREDITED_A


cdef inline void settle(Hosts* hosts, Conversations* conversations, uint32_t row_index) noexcept nogil:
    """Credit what a conversation moved since it was last settled to its application and its services."""
    cdef Conversation* row = &conversations.table.rows[row_index]
    cdef ConversationRecord* record = &conversations.table.records[row_index]
    cdef Traffic traffic
    cdef int d
    cdef uint64_t[2] n_bytes
    cdef uint64_t[2] n_packets
    for d in range(2):
        n_bytes[d] = row.bytes[d] - record.settled_bytes[d]
        n_packets[d] = row.packets[d] - record.settled_packets[d]
        record.settled_bytes[d] = row.bytes[d]
        record.settled_packets[d] = row.packets[d]
    if n_packets[0] + n_packets[1] == 0:
        return
    tally_add(&hosts.apps.interval[row.app], n_packets[0] + n_packets[1], n_bytes[0] + n_bytes[1])
    tally_add(&hosts.apps.total[row.app], n_packets[0] + n_packets[1], n_bytes[0] + n_bytes[1])
    if row.app == UNKNOWN_APP:
        unknown_port_add(&conversations.unknown_ports, port_place(row.protocol, row.ports), n_packets[0] + n_packets[1],
                         n_bytes[0] + n_bytes[1])
    for d in range(2):
        traffic.bytes_out, traffic.packets_out = n_bytes[d], n_packets[d]
        traffic.bytes_in, traffic.packets_in = n_bytes[1 - d], n_packets[1 - d]
        settle_side(hosts, row, &record.b if d else &record.a, d, &traffic)
        if record.services[d]:
            service_credit(&conversations.services.rows[record.services[d] - 1], &traffic, row.first_ns, row.last_ns)


cdef inline void move_host_totals(Hosts* hosts, const Relabelling* moved) noexcept nogil:
    cdef Traffic traffic
    cdef uint32_t host
    cdef int d
    for d in range(2):
        if moved.uncredited & (UNCREDITED_B if d else UNCREDITED_A):
            continue
        host = table_find(&hosts.table, &moved.hosts[d], table_hash(&hosts.table, &moved.hosts[d]))
        if host == NO_ROW:
            continue
        traffic.bytes_out, traffic.packets_out = moved.bytes[d], moved.packets[d]
        traffic.bytes_in, traffic.packets_in = moved.bytes[1 - d], moved.packets[1 - d]
        app_recredit(&hosts.apps, host, moved.old, moved.app, &traffic)


cdef inline void move_network_totals(Hosts* hosts, Conversations* conversations, const Relabelling* moved) noexcept nogil:
    cdef uint64_t n_packets = moved.packets[0] + moved.packets[1]
    cdef uint64_t n_bytes = moved.bytes[0] + moved.bytes[1]
    tally_add(&hosts.apps.total[moved.old], 0 - n_packets, 0 - n_bytes)
    tally_add(&hosts.apps.total[moved.app], n_packets, n_bytes)
    if moved.old == UNKNOWN_APP:
        unknown_port_withdraw(&conversations.unknown_ports, moved.port, n_packets, n_bytes)


cdef inline void keep_relabelling(Conversations* conversations, const Relabelling* moved) noexcept nogil:
    cdef Relabelling* relabellings
    if conversations.n_relabellings == conversations.max_relabellings:
        relabellings = <Relabelling*>grow_array(conversations.relabellings, &conversations.max_relabellings, sizeof(Relabelling))
        if relabellings == NULL:
            return
        conversations.relabellings = relabellings
    conversations.relabellings[conversations.n_relabellings] = moved[0]
    conversations.n_relabellings += 1


cdef inline void relabel(Hosts* hosts, Conversations* conversations, uint32_t row_index, uint8_t app) noexcept nogil:
    """Change a conversation's application, and move what was settled before in the totals."""
    cdef Conversation* row = &conversations.table.rows[row_index]
    cdef const ConversationRecord* record = &conversations.table.records[row_index]
    cdef Relabelling moved
    cdef int d
    moved.old, moved.app = row.app, app
    row.app = app
    if moved.old == app or record.settled_packets[0] + record.settled_packets[1] == 0:
        return
    moved.hosts[0], moved.hosts[1] = record.a, record.b
    moved.port = port_place(row.protocol, row.ports)
    moved.uncredited = row.state & (UNCREDITED_A | UNCREDITED_B)
    for d in range(2):
        moved.bytes[d] = record.settled_bytes[d]
        moved.packets[d] = record.settled_packets[d]
    move_host_totals(hosts, &moved)
    move_network_totals(hosts, conversations, &moved)
    keep_relabelling(conversations, &moved)
