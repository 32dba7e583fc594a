"""Frames into conversations, and conversations into applications: docs/conversations.md.

What it does not do: account hosts (`native/engine/hosts.pxd`), choose what an application is (the classifier's `label`,
or tables by protocol and port).
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from fastmon.native.tables.applications cimport app_credit, app_recredit
from fastmon.native.engine.entry cimport TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, Entry, find_payload
from fastmon.native.tables.conversations cimport (
    BY_NOBODY, BY_PAYLOAD, BY_PORT, CLOSED, CLOSED_BY_FIN, CLOSED_BY_RST, CLOSED_TIMEOUT_NS, ENDED_FULL, ENDED_IDLE,
    FIN_FROM_A, FIN_FROM_B, N_REASONS, RUNNING, TCP, UDP, UNCREDITED_A, UNCREDITED_B, WANTS_PAYLOAD, Conversation,
    ConversationRecord, ConversationTable, closing_reason, conversation_index, conversation_release, conversation_take_row,
    conversations_reserve, fetch_slot, is_idle, most_silent,
)
from fastmon.native.engine.hosts cimport Hosts, is_local
from fastmon.native.tables.index cimport NO_ROW
from fastmon.native.memory cimport grown
from fastmon.native.engine.payloads cimport Payload, Payloads, payload_fill, payload_slot
from fastmon.native.tables.hosts cimport Traffic, table_find, table_hash, tally_add
from fastmon.native.wire cimport Key, be16_at, be32_at, likely, prefetch_read, prefetch_write, unlikely

cdef enum:
    FIRST_PAYLOADS = 4  # that the classifier sees of a conversation, unless it wants more
    SWEEP_FRAMES = 4096  # after so many, so many rows are looked at
    SWEEP_ROWS = 256
    MOST_ENDED_FOR_ROOM = 32
    ROWS_PER_ENDED = 1024  # of a full table that makes room

cdef struct EndedRow:  # conversations.CONVERSATION_DTYPE
    uint64_t token
    Key a
    Key b
    uint16_t a_port
    uint16_t b_port
    uint8_t protocol
    uint8_t app
    uint8_t labelled_by
    uint8_t reason
    uint64_t packets_ab
    uint64_t bytes_ab
    uint64_t packets_ba
    uint64_t bytes_ba
    int64_t first_ns
    int64_t last_ns

cdef struct Relabelling:  # what a label moves from one application to another: what was settled before, in the totals
    Key[2] hosts
    uint64_t[2] bytes  # that they sent
    uint64_t[2] packets
    uint8_t old
    uint8_t app
    uint8_t uncredited  # UNCREDITED_A, UNCREDITED_B

cdef struct ConversationTallies:
    uint64_t opened
    uint64_t[N_REASONS] ended

cdef struct Conversations:
    ConversationTable table
    Payloads payloads
    uint8_t[256] protocol_apps
    uint8_t[65536] tcp_apps  # by port
    uint8_t[65536] udp_apps
    int64_t clock_ns  # the greatest timestamp of a conversational frame
    uint64_t n_frames
    ConversationTallies counts
    ConversationTallies counts_base  # at the last rotation
    bint keeps_ended
    bint ended_lost  # no memory for them
    EndedRow* ended
    uint32_t n_ended
    uint32_t max_ended
    Relabelling* relabellings  # since the last rotation, for an accountant that merges this one; without memory they are not kept
    uint32_t n_relabellings
    uint32_t max_relabellings


cdef inline uint64_t token_of(const ConversationTable* table, uint32_t number) noexcept nogil:
    return <uint64_t>table.records[number].serial << 32 | number


cdef inline bint is_running(const ConversationTable* table, uint64_t token) noexcept nogil:
    cdef uint32_t number = <uint32_t>token
    return (number < table.n_rows and table.rows[number].state & RUNNING
            and table.records[number].serial == <uint32_t>(token >> 32))


cdef inline uint32_t credited_row(const Hosts* hosts, const Key* key, uint32_t likely_row) noexcept nogil:
    """The row of a conversation's host; NO_ROW if it left the table, with all that was counted since the last rotation.

    `likely_row` is right unless the host left: what opens a conversation sets it, and only rotations move rows.
    """
    if likely_row < hosts.table.n_rows:
        if hosts.table.rows[likely_row].key.low == key.low and hosts.table.rows[likely_row].key.high == key.high:
            return likely_row
    return NO_ROW


cdef inline void settle_side(Hosts* hosts, Conversation* row, const Key* key, int side, const Traffic* traffic) noexcept nogil:
    cdef uint32_t host = credited_row(hosts, key, row.hosts[side])
    if host == NO_ROW or not app_credit(&hosts.apps, host, row.app, traffic):
        row.state |= UNCREDITED_B if side else UNCREDITED_A


cdef inline void settle(Hosts* hosts, Conversations* conversations, uint32_t number) noexcept nogil:
    """Credit what a conversation moved since the last time to its application."""
    cdef Conversation* row = &conversations.table.rows[number]
    cdef ConversationRecord* record = &conversations.table.records[number]
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
    for d in range(2):
        traffic.bytes_out, traffic.packets_out = n_bytes[d], n_packets[d]
        traffic.bytes_in, traffic.packets_in = n_bytes[1 - d], n_packets[1 - d]
        settle_side(hosts, row, &record.b if d else &record.a, d, &traffic)


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


cdef inline void move_network_totals(Hosts* hosts, const Relabelling* moved) noexcept nogil:
    cdef uint64_t n_packets = moved.packets[0] + moved.packets[1]
    cdef uint64_t n_bytes = moved.bytes[0] + moved.bytes[1]
    tally_add(&hosts.apps.total[moved.old], 0 - n_packets, 0 - n_bytes)
    tally_add(&hosts.apps.total[moved.app], n_packets, n_bytes)


cdef inline void keep_relabelling(Conversations* conversations, const Relabelling* moved) noexcept nogil:
    cdef Relabelling* relabellings
    if conversations.n_relabellings == conversations.max_relabellings:
        relabellings = <Relabelling*>grown(conversations.relabellings, &conversations.max_relabellings, sizeof(Relabelling))
        if relabellings == NULL:
            return
        conversations.relabellings = relabellings
    conversations.relabellings[conversations.n_relabellings] = moved[0]
    conversations.n_relabellings += 1


cdef inline void relabel(Hosts* hosts, Conversations* conversations, uint32_t number, uint8_t app) noexcept nogil:
    """Give a conversation another application, and that what was settled before, in the totals."""
    cdef Conversation* row = &conversations.table.rows[number]
    cdef const ConversationRecord* record = &conversations.table.records[number]
    cdef Relabelling moved
    cdef int d
    moved.old, moved.app = row.app, app
    row.app = app
    if moved.old == app or record.settled_packets[0] + record.settled_packets[1] == 0:
        return
    moved.hosts[0], moved.hosts[1] = record.a, record.b
    moved.uncredited = row.state & (UNCREDITED_A | UNCREDITED_B)
    for d in range(2):
        moved.bytes[d] = record.settled_bytes[d]
        moved.packets[d] = record.settled_packets[d]
    move_host_totals(hosts, &moved)
    move_network_totals(hosts, &moved)
    keep_relabelling(conversations, &moved)


cdef inline void keep_ended(Conversations* conversations, uint32_t number, int reason) noexcept nogil:
    cdef const Conversation* row = &conversations.table.rows[number]
    cdef const ConversationRecord* record = &conversations.table.records[number]
    cdef EndedRow* ended = conversations.ended
    if conversations.n_ended == conversations.max_ended:
        ended = <EndedRow*>grown(ended, &conversations.max_ended, sizeof(EndedRow))
        if ended == NULL:
            conversations.ended_lost = True
            return
        conversations.ended = ended
    ended = &conversations.ended[conversations.n_ended]
    conversations.n_ended += 1
    ended.token = token_of(&conversations.table, number)
    ended.a = record.a
    ended.b = record.b
    ended.a_port = <uint16_t>(row.ports >> 16)
    ended.b_port = <uint16_t>row.ports
    ended.protocol = row.protocol
    ended.app = row.app
    ended.labelled_by = row.labelled_by
    ended.reason = reason
    ended.packets_ab = row.packets[0]
    ended.bytes_ab = row.bytes[0]
    ended.packets_ba = row.packets[1]
    ended.bytes_ba = row.bytes[1]
    ended.first_ns = row.first_ns
    ended.last_ns = row.last_ns


cdef inline void end(Hosts* hosts, Conversations* conversations, uint32_t number, int reason) noexcept nogil:
    """End a conversation; its row may be used again."""
    settle(hosts, conversations, number)
    if conversations.keeps_ended:
        keep_ended(conversations, number, reason)
    conversations.counts.ended[reason] += 1
    conversation_release(&conversations.table, number)


cdef inline void set_first_label(Conversations* conversations, Conversation* row) noexcept nogil:
    """The application by the IP protocol, else by the lower port, else by the higher one."""
    cdef uint16_t low = <uint16_t>(row.ports >> 16)
    cdef uint16_t high = <uint16_t>row.ports
    cdef const uint8_t* apps = conversations.tcp_apps
    row.app = conversations.protocol_apps[row.protocol]
    row.labelled_by = BY_PAYLOAD if row.app else BY_NOBODY
    if row.app or (row.protocol != TCP and row.protocol != UDP):
        return
    if row.protocol == UDP:
        apps = conversations.udp_apps
    if low > high:
        low, high = high, low
    row.app = apps[low] if apps[low] else apps[high]
    row.labelled_by = BY_PORT if row.app else BY_NOBODY


cdef inline void learn_mac(Hosts* hosts, const Key* key, uint32_t host, const uint8_t* mac) noexcept nogil:
    """Remember a local host's MAC address, unless it is a group's or none."""
    cdef uint64_t number = <uint64_t>be16_at(mac) << 32 | be32_at(mac + 2)
    if number == 0 or mac[0] & 1 or not is_local(hosts, key):
        return
    host = credited_row(hosts, key, host)
    if host != NO_ROW:
        hosts.apps.macs[host] = number


cdef inline void fetch_for_ends(const Hosts* hosts, const Conversations* conversations, const uint32_t* numbers,
                                uint32_t n_numbers) noexcept nogil:
    """Fetch what ending these conversations needs, whose records are being fetched."""
    cdef uint32_t i
    cdef int side
    cdef const Conversation* row
    for i in range(n_numbers):
        row = &conversations.table.rows[numbers[i]]
        fetch_slot(&conversations.table, numbers[i])
        for side in range(2):
            prefetch_read(&hosts.table.rows[row.hosts[side]])
            prefetch_read(&hosts.apps.heads[row.hosts[side]])
    for i in range(n_numbers):
        row = &conversations.table.rows[numbers[i]]
        for side in range(2):
            if row.hosts[side] < hosts.table.n_rows and hosts.apps.heads[row.hosts[side]]:
                prefetch_read(&hosts.apps.rows[hosts.apps.heads[row.hosts[side]] - 1])


cdef inline void make_room(Hosts* hosts, Conversations* conversations, int64_t now_ns) noexcept nogil:
    """End some conversations of a full table, for their rows.

    Several, so that the cache lines that each end needs are fetched for all of them before the first.
    """
    cdef uint32_t[MOST_ENDED_FOR_ROOM] numbers
    cdef uint32_t n_ended = max(<uint32_t>1, min(<uint32_t>MOST_ENDED_FOR_ROOM, conversations.table.max_rows // ROWS_PER_ENDED))
    cdef uint32_t i
    cdef const Conversation* row
    for i in range(n_ended):
        numbers[i] = most_silent(&conversations.table)
        prefetch_write(&conversations.table.records[numbers[i]])
        prefetch_write(&conversations.table.records[numbers[i]].hash)
    fetch_for_ends(hosts, conversations, numbers, n_ended)
    for i in range(n_ended):
        row = &conversations.table.rows[numbers[i]]
        end(hosts, conversations, numbers[i], closing_reason(row, ENDED_IDLE if is_idle(row, now_ns) else ENDED_FULL))


cdef inline uint32_t open(Hosts* hosts, Conversations* conversations, const Entry* entry) noexcept nogil:
    """Begin a conversation with this frame; in a full table others end for it. NO_ROW without memory for the index."""
    cdef uint32_t number
    cdef Conversation* row
    cdef ConversationRecord* record
    if unlikely(not conversations_reserve(&conversations.table)):
        return NO_ROW
    number = conversation_take_row(&conversations.table)
    if number == NO_ROW:
        make_room(hosts, conversations, entry.ts_ns)
        number = conversation_take_row(&conversations.table)
    row = &conversations.table.rows[number]
    record = &conversations.table.records[number]
    memset(row, 0, sizeof(Conversation))
    memset(record, 0, sizeof(ConversationRecord))
    record.a = entry.src
    record.b = entry.dst
    record.hash = entry.conversation_hash
    record.serial = conversations.table.next_serial
    row.ports = entry.ports
    row.protocol = entry.protocol
    row.state = RUNNING
    if entry.protocol == TCP or entry.protocol == UDP:
        record.wanted = FIRST_PAYLOADS
        row.state |= WANTS_PAYLOAD
    row.hosts[0] = entry.src_row
    row.hosts[1] = entry.dst_row
    row.first_ns = row.last_ns = entry.ts_ns
    conversations.table.next_serial += 1
    conversations.table.n_running += 1
    set_first_label(conversations, row)
    conversation_index(&conversations.table, number)
    conversations.counts.opened += 1
    if entry.macs != NULL:
        learn_mac(hosts, &entry.src, entry.src_row, entry.macs + 6)
        learn_mac(hosts, &entry.dst, entry.dst_row, entry.macs)
    return number


cdef inline bint may_have_ended(const Conversation* row, int64_t now_ns) noexcept nogil:
    """Whether `ends_before` must be asked: with less effort, it may be so in vain."""
    return row.state & CLOSED or <uint64_t>now_ns - <uint64_t>row.last_ns > <uint64_t>CLOSED_TIMEOUT_NS


cdef inline bint ends_before(const Conversation* row, const Entry* entry) noexcept nogil:
    """Whether this frame is no more of the conversation that has its endpoints."""
    if (row.state & CLOSED and row.protocol == TCP
            and entry.tcp_flags & (TCP_SYN | TCP_ACK | TCP_FIN | TCP_RST) == TCP_SYN):
        return True
    return is_idle(row, entry.ts_ns)


cdef inline bint is_to_itself(const Conversations* conversations, uint32_t number) noexcept nogil:
    cdef const ConversationRecord* record = &conversations.table.records[number]
    cdef uint32_t ports = conversations.table.rows[number].ports
    return record.a.low == record.b.low and record.a.high == record.b.high and ports >> 16 == ports & 0xFFFF


cdef inline void note_tcp_flags(Conversations* conversations, uint32_t number, uint8_t flags, int d) noexcept nogil:
    cdef Conversation* row = &conversations.table.rows[number]
    if row.state & CLOSED:
        return
    if flags & TCP_RST:
        row.state |= CLOSED_BY_RST
        return
    row.state |= FIN_FROM_B if d else FIN_FROM_A
    if row.state & FIN_FROM_A and (row.state & FIN_FROM_B or is_to_itself(conversations, number)):
        row.state |= CLOSED_BY_FIN


cdef inline void want_payloads(Conversations* conversations, uint32_t number, uint32_t wanted) noexcept nogil:
    conversations.table.records[number].wanted = wanted
    if wanted:
        conversations.table.rows[number].state |= WANTS_PAYLOAD
    else:
        conversations.table.rows[number].state &= ~WANTS_PAYLOAD


cdef inline void offer_payload(Conversations* conversations, uint32_t number, Entry* entry, int d) noexcept nogil:
    cdef Payload* slot
    find_payload(entry)
    if entry.n_captured == 0:
        return
    slot = payload_slot(&conversations.payloads)
    if slot == NULL:
        return
    want_payloads(conversations, number, conversations.table.records[number].wanted - 1)
    slot.token = token_of(&conversations.table, number)
    slot.a = conversations.table.records[number].a
    slot.b = conversations.table.records[number].b
    slot.ports = conversations.table.rows[number].ports
    slot.protocol = entry.protocol
    slot.from_a = d == 0
    slot.ts_ns = entry.ts_ns
    payload_fill(slot, entry.captured, <uint16_t>entry.n_captured)


cdef inline void end_idle(Hosts* hosts, Conversations* conversations, uint32_t number, int64_t now_ns) noexcept nogil:
    cdef Conversation* row = &conversations.table.rows[number]
    if row.state & RUNNING and is_idle(row, now_ns):
        end(hosts, conversations, number, closing_reason(row, ENDED_IDLE))


cdef inline void sweep(Hosts* hosts, Conversations* conversations) noexcept nogil:
    """End the idle ones of a few rows."""
    cdef uint32_t _i
    for _i in range(min(<uint32_t>SWEEP_ROWS, conversations.table.n_rows)):
        end_idle(hosts, conversations, conversations.table.sweep_hand, conversations.clock_ns)
        conversations.table.sweep_hand += 1
        if conversations.table.sweep_hand == conversations.table.n_rows:
            conversations.table.sweep_hand = 0


cdef inline void count_frame(Hosts* hosts, Conversations* conversations, Entry* entry, int d) noexcept nogil:
    """Account a frame, whose hosts have been, in its conversation: in `conversation_row`, in direction `d`; NO_ROW: a new one."""
    cdef Conversation* row
    cdef uint32_t number = entry.conversation_row
    if entry.ts_ns > conversations.clock_ns:
        conversations.clock_ns = entry.ts_ns
    if likely(number != NO_ROW):
        row = &conversations.table.rows[number]
        if unlikely(may_have_ended(row, entry.ts_ns)) and ends_before(row, entry):
            end(hosts, conversations, number, closing_reason(row, ENDED_IDLE))
            number = NO_ROW
    if unlikely(number == NO_ROW):
        d = 0
        number = open(hosts, conversations, entry)
        if number == NO_ROW:
            return
    row = &conversations.table.rows[number]
    row.bytes[d] += entry.wire_len
    row.packets[d] += 1
    if likely(entry.ts_ns > row.last_ns):
        row.last_ns = entry.ts_ns
    elif unlikely(entry.ts_ns < row.first_ns):
        row.first_ns = entry.ts_ns
    if unlikely(entry.tcp_flags & (TCP_FIN | TCP_RST)):
        note_tcp_flags(conversations, number, entry.tcp_flags, d)
    if unlikely(row.state & WANTS_PAYLOAD):
        offer_payload(conversations, number, entry, d)
    conversations.n_frames += 1
    if conversations.n_frames & (SWEEP_FRAMES - 1) == 0:
        sweep(hosts, conversations)
