"""The lives of conversations: a frame opens one or counts in it, flags or silence end it: docs/conversations.md.

What it does not do: account hosts (`native/engine/hosts.pxd`), choose an application by payload (the classifier does).
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from fastmon.native.engine.conversations cimport Conversations, EndedRow, token_of, want_payloads
from fastmon.native.classify.dispatch cimport Dispatch
from fastmon.native.classify.look cimport ASK, CERTAIN, Look
from fastmon.native.classify.notes cimport TITLE, note_detail
from fastmon.native.engine.credits cimport credited_row, relabel, settle
from fastmon.native.decode.entry cimport MAY_ANNOUNCE, IS_FRESH, TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, Entry, find_payload
from fastmon.native.decode.upper cimport TCP, UDP
from fastmon.native.engine.announcements cimport see_announcement
from fastmon.native.engine.contacts cimport tell_of_ended
from fastmon.native.engine.hosts cimport Hosts
from fastmon.native.engine.inspection cimport (
    ANNOUNCES, ANNOUNCES_SHIFT, FOLLOW, IS_ASKED, Inspection, is_for_python, note_announcement,
)
from fastmon.native.engine.payloads cimport Payload, payload_fill, payload_slot
from fastmon.native.engine.services cimport fail, note_end, note_first_from, open_services
from fastmon.native.memory cimport grow_array
from fastmon.native.tables.applications cimport MAC_BITS, OWN_MAC
from fastmon.native.tables.conversations cimport (
    BY_NOTHING, BY_PAYLOAD, BY_PORT, CLOSED, CLOSED_BY_FIN, CLOSED_BY_RST, CLOSED_TIMEOUT_NS, ENDED_FULL, ENDED_IDLE,
    FIN_FROM_A, FIN_FROM_B, RUNNING, WANTS_PAYLOAD, Conversation, ConversationRecord, closing_reason,
    conversation_index, conversation_release, conversation_take_row, conversations_reserve, is_answered, is_idle, may_still_fail,
    oldest_of_some, prefetch_slot, server_side,
)
from fastmon.native.tables.index cimport NO_ROW
from fastmon.native.wire cimport Key, be16_at, be32_at, likely, prefetch_read, prefetch_write, unlikely

cdef enum:
    SAME_SIGN = 1  # for `learn_mac`: a frame to a host does not tell whether its address is its own
    FIRST_PAYLOADS = 4  # that the classifier sees of a conversation, unless it wants more
    SWEEP_FRAMES = 4096  # between two sweeps
    SWEEP_ROWS = 256  # looked at in one
    MAX_EVICTED = 32  # at once, from a full table
    ROWS_PER_EVICTED = 1024


cdef inline void keep_ended(Conversations* conversations, uint32_t row_index, int reason) noexcept nogil:
    cdef const Conversation* row = &conversations.table.rows[row_index]
    cdef const ConversationRecord* record = &conversations.table.records[row_index]
    cdef EndedRow* ended = conversations.ended
    if conversations.n_ended == conversations.max_ended:
        ended = <EndedRow*>grow_array(ended, &conversations.max_ended, sizeof(EndedRow))
        if ended == NULL:
            conversations.ended_lost = True
            return
        conversations.ended = ended
    ended = &conversations.ended[conversations.n_ended]
    conversations.n_ended += 1
    ended.token = token_of(&conversations.table, row_index)
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


cdef inline void end(Hosts* hosts, Conversations* conversations, uint32_t row_index, int reason) noexcept nogil:
    """End a conversation; its row may be used again."""
    settle(hosts, conversations, row_index)
    note_end(hosts, conversations, row_index, reason)
    tell_of_ended(&conversations.contacts, &conversations.table, row_index)
    if conversations.keeps_ended:
        keep_ended(conversations, row_index, reason)
    conversations.counts.ended[reason] += 1
    conversation_release(&conversations.table, row_index)


cdef inline void set_first_label(Conversations* conversations, Conversation* row) noexcept nogil:
    """Set the application by the IP protocol, else by the lower port, else by the higher one."""
    cdef uint16_t low = <uint16_t>(row.ports >> 16)
    cdef uint16_t high = <uint16_t>row.ports
    cdef const uint8_t* apps = conversations.tcp_apps
    row.app = conversations.protocol_apps[row.protocol]
    row.labelled_by = BY_PAYLOAD if row.app else BY_NOTHING
    if row.app or (row.protocol != TCP and row.protocol != UDP):
        return
    if row.protocol == UDP:
        apps = conversations.udp_apps
    if low > high:
        low, high = high, low
    row.app = apps[low] if apps[low] else apps[high]
    row.labelled_by = BY_PORT if row.app else BY_NOTHING


cdef inline void learn_mac(Hosts* hosts, const Key* key, uint32_t host, const uint8_t* mac, uint64_t sign) noexcept nogil:
    """Remember the MAC address that a host's frames come from or go to, unless it is a group's or zero.

    A remote host's is a router's, or its own: then it may turn local.
    """
    cdef uint64_t address = <uint64_t>be16_at(mac) << 32 | be32_at(mac + 2)
    if address == 0 or mac[0] & 1:
        return
    host = credited_row(hosts, key, host)
    if host != NO_ROW and (sign != SAME_SIGN or (hosts.apps.macs[host] & MAC_BITS) != address):
        hosts.apps.macs[host] = address | (sign & OWN_MAC)


cdef inline void prefetch_for_ends(const Hosts* hosts, const Conversations* conversations, const uint32_t* row_indexes,
                                   uint32_t n_rows) noexcept nogil:
    """Prefetch what ending these conversations needs. Their records are on the way."""
    cdef uint32_t i, service
    cdef int side
    cdef const Conversation* row
    for i in range(n_rows):
        row = &conversations.table.rows[row_indexes[i]]
        prefetch_slot(&conversations.table, row_indexes[i])
        for side in range(2):
            prefetch_read(&hosts.table.rows[row.hosts[side]])
            prefetch_read(&hosts.apps.heads[row.hosts[side]])
    for i in range(n_rows):
        row = &conversations.table.rows[row_indexes[i]]
        for side in range(2):
            if row.hosts[side] < hosts.table.n_rows and hosts.apps.heads[row.hosts[side]]:
                prefetch_read(&hosts.apps.rows[hosts.apps.heads[row.hosts[side]] - 1])
            service = conversations.table.records[row_indexes[i]].services[side]
            if service:
                prefetch_write(&conversations.services.rows[service - 1])


cdef inline void evict_some(Hosts* hosts, Conversations* conversations, int64_t now_ns) noexcept nogil:
    """Evict a few conversations from a full table.

    Several at once, so that the cache lines of all of them are prefetched before the first one ends.
    """
    cdef uint32_t[MAX_EVICTED] row_indexes
    cdef uint32_t n_ended = max(<uint32_t>1, min(<uint32_t>MAX_EVICTED, conversations.table.max_rows // ROWS_PER_EVICTED))
    cdef uint32_t i
    cdef const Conversation* row
    for i in range(n_ended):
        row_indexes[i] = oldest_of_some(&conversations.table)
        prefetch_write(&conversations.table.records[row_indexes[i]])
        prefetch_write(&conversations.table.records[row_indexes[i]].services)
    prefetch_for_ends(hosts, conversations, row_indexes, n_ended)
    for i in range(n_ended):
        row = &conversations.table.rows[row_indexes[i]]
        end(hosts, conversations, row_indexes[i], closing_reason(row, ENDED_IDLE if is_idle(row, now_ns) else ENDED_FULL))


cdef inline uint32_t open(Hosts* hosts, Conversations* conversations, const Entry* entry) noexcept nogil:
    """Open a conversation with this frame; return its row. A full table evicts others. NO_ROW without memory for the index."""
    cdef uint32_t row_index
    cdef Conversation* row
    cdef ConversationRecord* record
    if entry.macs != NULL:
        prefetch_write(&hosts.apps.macs[entry.src_row])
        prefetch_write(&hosts.apps.macs[entry.dst_row])
    if unlikely(not conversations_reserve(&conversations.table)):
        return NO_ROW
    row_index = conversation_take_row(&conversations.table)
    if row_index == NO_ROW:
        evict_some(hosts, conversations, entry.ts_ns)
        row_index = conversation_take_row(&conversations.table)
    row = &conversations.table.rows[row_index]
    record = &conversations.table.records[row_index]
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
    conversation_index(&conversations.table, row_index)
    conversations.counts.opened += 1
    open_services(hosts, conversations, row_index, entry)
    if entry.macs != NULL:
        learn_mac(hosts, &entry.src, entry.src_row, entry.macs + 6, OWN_MAC if entry.signs & IS_FRESH else 0)
        learn_mac(hosts, &entry.dst, entry.dst_row, entry.macs, SAME_SIGN)
    return row_index


cdef inline bint may_have_ended(const Conversation* row, int64_t now_ns) noexcept nogil:
    """Cheap pre-check for `ends_before`: False is certain, True is not."""
    return row.state & CLOSED or <uint64_t>now_ns - <uint64_t>row.last_ns > <uint64_t>CLOSED_TIMEOUT_NS


cdef inline bint ends_before(const Conversation* row, const Entry* entry) noexcept nogil:
    """Whether the conversation with this frame's endpoints is over before it."""
    if (row.state & CLOSED and row.protocol == TCP
            and entry.tcp_flags & (TCP_SYN | TCP_ACK | TCP_FIN | TCP_RST) == TCP_SYN):
        return True
    return is_idle(row, entry.ts_ns)


cdef inline bint is_to_itself(const Conversations* conversations, uint32_t row_index) noexcept nogil:
    cdef const ConversationRecord* record = &conversations.table.records[row_index]
    cdef uint32_t ports = conversations.table.rows[row_index].ports
    return record.a.low == record.b.low and record.a.high == record.b.high and ports >> 16 == ports & 0xFFFF


cdef inline void note_tcp_flags(const Hosts* hosts, Conversations* conversations, uint32_t row_index, const Entry* entry,
                                int d) noexcept nogil:
    cdef Conversation* row = &conversations.table.rows[row_index]
    cdef ConversationRecord* record = &conversations.table.records[row_index]
    cdef uint8_t flags = entry.tcp_flags
    if flags & TCP_RST and d == server_side(record):
        record.n_resets += 1
        if may_still_fail(record) and not is_answered(row, record):
            fail(hosts, conversations, row_index, entry.ts_ns)
    if row.state & CLOSED:
        return
    if flags & TCP_RST:
        row.state |= CLOSED_BY_RST
        return
    row.state |= FIN_FROM_B if d else FIN_FROM_A
    if row.state & FIN_FROM_A and (row.state & FIN_FROM_B or is_to_itself(conversations, row_index)):
        row.state |= CLOSED_BY_FIN


cdef inline bint offer_payload(Conversations* conversations, uint32_t row_index, const Entry* entry, int d) noexcept nogil:
    """Keep a payload for Python; False if it must pass by."""
    cdef Payload* slot = payload_slot(&conversations.payloads)
    if slot == NULL:
        return False
    want_payloads(conversations, row_index, <uint8_t>(conversations.table.records[row_index].wanted - 1))
    slot.token = token_of(&conversations.table, row_index)
    slot.a = conversations.table.records[row_index].a
    slot.b = conversations.table.records[row_index].b
    slot.ports = conversations.table.rows[row_index].ports
    slot.protocol = entry.protocol
    slot.from_a = d == 0
    slot.ts_ns = entry.ts_ns
    payload_fill(slot, entry.captured, <uint16_t>entry.n_captured)
    return True


cdef inline void begin_look(Look* look, const Conversations* conversations, uint32_t row_index, const Entry* entry,
                            int d) noexcept nogil:
    look.data = entry.captured
    look.n = entry.n_captured
    look.protocol = entry.protocol
    look.from_a = d == 0
    look.src, look.dst = entry.src, entry.dst
    look.src_port, look.dst_port = <uint16_t>(entry.ports >> 16), <uint16_t>entry.ports
    look.ts_ns = entry.ts_ns
    look.token = token_of(&conversations.table, row_index)
    look.notes = &conversations.inspection.notes
    look.hellos = conversations.inspection.hellos
    look.memos = conversations.inspection.memos
    look.may_be_announced = conversations.inspection.hints_wait


cdef inline void take_finding(Hosts* hosts, Conversations* conversations, uint32_t row_index, Look* look,
                              bint is_first) noexcept nogil:
    """Label a conversation, and say what else is to be looked at."""
    cdef Conversation* row = &conversations.table.rows[row_index]
    cdef ConversationRecord* record = &conversations.table.records[row_index]
    cdef const Dispatch* dispatch = conversations.inspection.dispatch
    cdef uint8_t app = dispatch.numbers[look.app] if look.app else row.app
    cdef bint is_news = is_first or app != row.app or look.n_title or look.has_facts
    if app != row.app:
        relabel(hosts, conversations, row_index, app)
    row.labelled_by = BY_PAYLOAD
    record.inspection = look.follow
    note_detail(look.notes, look.token, TITLE, look.title, look.n_title)
    if not look.follow:
        want_payloads(conversations, row_index, 0)
    else:
        want_payloads(conversations, row_index, dispatch.wanted_after_label if is_news else <uint8_t>(record.wanted - 1))


cdef inline void inspect_payload(Hosts* hosts, Conversations* conversations, uint32_t row_index, Entry* entry,
                                 int d) noexcept nogil:
    """Let the matchers look at a wanted payload, or keep it for Python."""
    cdef ConversationRecord* record = &conversations.table.records[row_index]
    cdef Inspection* inspection = conversations.inspection
    cdef uint8_t follow
    cdef int kind, verdict = ASK
    cdef Look look
    find_payload(entry)
    if entry.n_captured == 0:
        return
    if inspection == NULL:
        offer_payload(conversations, row_index, entry, d)
        return
    begin_look(&look, conversations, row_index, entry, d)
    follow = record.inspection & FOLLOW
    if follow:
        verdict = inspection.dispatch.go_on(inspection.dispatch, &look, follow)
    elif not record.inspection & IS_ASKED and not is_for_python(inspection, &look):
        verdict = inspection.dispatch.decide(inspection.dispatch, &look)
    if verdict == CERTAIN:
        take_finding(hosts, conversations, row_index, &look, follow == 0)
    elif verdict != ASK:
        want_payloads(conversations, row_index, <uint8_t>(record.wanted - 1))
    elif offer_payload(conversations, row_index, entry, d):
        kind = max(<int>(record.inspection & ANNOUNCES) >> ANNOUNCES_SHIFT,
                   inspection.dispatch.may_announce(inspection.dispatch, &look))
        record.inspection = <uint8_t>(IS_ASKED | kind << ANNOUNCES_SHIFT)
        note_announcement(inspection, &look, kind)


cdef inline void end_idle(Hosts* hosts, Conversations* conversations, uint32_t row_index, int64_t now_ns) noexcept nogil:
    cdef Conversation* row = &conversations.table.rows[row_index]
    if row.state & RUNNING and is_idle(row, now_ns):
        end(hosts, conversations, row_index, closing_reason(row, ENDED_IDLE))


cdef inline void sweep(Hosts* hosts, Conversations* conversations) noexcept nogil:
    """Look at a few rows, and end those that are idle."""
    cdef uint32_t _i
    for _i in range(min(<uint32_t>SWEEP_ROWS, conversations.table.n_rows)):
        end_idle(hosts, conversations, conversations.table.sweep_hand, conversations.clock_ns)
        conversations.table.sweep_hand += 1
        if conversations.table.sweep_hand == conversations.table.n_rows:
            conversations.table.sweep_hand = 0


cdef inline void count_frame(Hosts* hosts, Conversations* conversations, Entry* entry, int d) noexcept nogil:
    """Count a frame in its conversation, in direction `d`. Its hosts are accounted; a `conversation_row` of NO_ROW opens one."""
    cdef Conversation* row
    cdef uint32_t row_index = entry.conversation_row
    if entry.ts_ns > conversations.clock_ns:
        conversations.clock_ns = entry.ts_ns
    if unlikely(entry.signs & MAY_ANNOUNCE):
        see_announcement(hosts, entry)
    if likely(row_index != NO_ROW):
        row = &conversations.table.rows[row_index]
        if unlikely(may_have_ended(row, entry.ts_ns)) and ends_before(row, entry):
            end(hosts, conversations, row_index, closing_reason(row, ENDED_IDLE))
            row_index = NO_ROW
    if unlikely(row_index == NO_ROW):
        d = 0
        row_index = open(hosts, conversations, entry)
        if row_index == NO_ROW:
            return
    row = &conversations.table.rows[row_index]
    row.bytes[d] += entry.n_bytes
    row.packets[d] += 1
    if likely(entry.ts_ns > row.last_ns):
        row.last_ns = entry.ts_ns
    elif unlikely(entry.ts_ns < row.first_ns):
        row.first_ns = entry.ts_ns
    if unlikely(entry.tcp_flags & (TCP_FIN | TCP_RST)):
        note_tcp_flags(hosts, conversations, row_index, entry, d)
    if unlikely(row.packets[d] == 1):
        note_first_from(hosts, conversations, row_index, entry, d)
    if unlikely(row.state & WANTS_PAYLOAD):
        inspect_payload(hosts, conversations, row_index, entry, d)
    conversations.n_frames += 1
    if conversations.n_frames & (SWEEP_FRAMES - 1) == 0:
        sweep(hosts, conversations)
