"""Conversations as the engine keeps them: their table, what ended, counts, labels, payloads for the classifier,
services of local hosts, contacts, probes.

What it does not do: open, count or end a conversation (`native/engine/lives.pxd`), credit applications
(`native/engine/credits.pxd`).
"""

from libc.stdint cimport INT64_MIN, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free

from fastmon.native.arguments cimport copy_table
from fastmon.native.engine.contacts cimport Contacts, contacts_free, contacts_init
from fastmon.native.engine.inspection cimport Inspection, inspection_delete
from fastmon.native.engine.payloads cimport Payloads, payloads_free, payloads_init
from fastmon.native.engine.probes cimport Probes, probes_free, probes_init
from fastmon.native.tables.conversations cimport (
    N_REASONS, RUNNING, WANTS_PAYLOAD, ConversationTable, conversations_free, conversations_init,
)
from fastmon.native.tables.local_hosts cimport N_SKETCHES, LocalHosts, local_hosts_free, local_hosts_init
from fastmon.native.tables.services cimport ServiceTable, services_free, services_init
from fastmon.native.tables.sketches cimport Sketches, sketches_free, sketches_init
from fastmon.native.tables.unknown_ports cimport UnknownPorts, unknown_ports_free, unknown_ports_init
from fastmon.native.wire cimport Key

cdef extern from *:
    """
    #define FM_ELSEWHERE UINT64_MAX

    /* Accountants are merged without the GIL. */
    static inline uint64_t fm_new_identity(void) {
        static uint64_t last;
        return __atomic_add_fetch(&last, 1, __ATOMIC_RELAXED);
    }
    """
    const uint64_t ELSEWHERE "FM_ELSEWHERE"
    uint64_t new_identity "fm_new_identity"() noexcept nogil

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

cdef struct Relabelling:  # what a label moved from one application to another in the totals: what was settled before it
    Key[2] hosts
    uint64_t[2] bytes  # that they sent
    uint64_t[2] packets
    uint32_t port  # place among the unknown ports
    uint8_t old
    uint8_t app
    uint8_t uncredited  # UNCREDITED_A, UNCREDITED_B

cdef struct ConversationTallies:
    uint64_t opened
    uint64_t[N_REASONS] ended

cdef struct ServiceLimits:
    uint32_t max_hosts
    uint32_t max_services
    uint32_t max_services_of_role  # of one host
    uint32_t max_sketches
    uint64_t sketch_seed  # accountants that are merged must have the same
    bint keeps_contacts

cdef struct Conversations:
    ConversationTable table
    LocalHosts local_hosts
    ServiceTable services
    Sketches[N_SKETCHES] sketches
    Contacts contacts
    UnknownPorts unknown_ports
    Payloads payloads
    Inspection* inspection  # NULL: all payloads are for Python
    Probes probes
    uint8_t[256] protocol_apps
    uint8_t[65536] tcp_apps  # by port
    uint8_t[65536] udp_apps
    int64_t clock_ns  # the greatest timestamp of a conversational frame of the phase; INT64_MIN before the first
    uint64_t n_frames
    ConversationTallies counts
    ConversationTallies counts_base  # at the last rotation
    bint keeps_ended
    bint ended_lost  # there was no memory for a row of `ended`
    EndedRow* ended
    uint32_t n_ended
    uint32_t max_ended
    Relabelling* relabellings  # since the last rotation, for an accountant that merges this one; lost without memory
    uint32_t n_relabellings
    uint32_t max_relabellings
    uint64_t identity  # of this accountant, once another was merged into it
    uint64_t goes_to  # the identity of the accountant that the running interval is merged into; 0: of none
    uint64_t went_to  # that of the one that all earlier intervals were merged into; 0: there are none; ELSEWHERE


cdef inline Conversations* conversations_new(uint32_t max_conversations, bint keeps_ended, uint64_t seed,
                                             const ServiceLimits* limits) except NULL:
    """Return what accounting conversations needs. Raises MemoryError."""
    cdef Conversations* conversations = <Conversations*>calloc(1, sizeof(Conversations))
    cdef uint32_t kind
    if conversations == NULL:
        raise MemoryError("no memory for conversations")
    try:
        conversations_init(&conversations.table, max_conversations, seed)
        unknown_ports_init(&conversations.unknown_ports)
        payloads_init(&conversations.payloads)
        local_hosts_init(&conversations.local_hosts, limits.max_hosts)
        services_init(&conversations.services, limits.max_services, limits.max_services_of_role, seed + 1)
        for kind in range(N_SKETCHES):
            sketches_init(&conversations.sketches[kind], kind, limits.max_sketches, limits.sketch_seed)
        probes_init(&conversations.probes)
        contacts_init(&conversations.contacts, limits.keeps_contacts)
    except MemoryError:
        conversations_delete(conversations)
        raise
    conversations.clock_ns = INT64_MIN
    conversations.keeps_ended = keeps_ended
    return conversations


cdef inline void conversations_delete(Conversations* conversations) noexcept:
    cdef uint32_t kind
    if conversations != NULL:
        conversations_free(&conversations.table)
        unknown_ports_free(&conversations.unknown_ports)
        payloads_free(&conversations.payloads)
        inspection_delete(conversations.inspection)
        local_hosts_free(&conversations.local_hosts)
        services_free(&conversations.services)
        for kind in range(N_SKETCHES):
            sketches_free(&conversations.sketches[kind])
        probes_free(&conversations.probes)
        contacts_free(&conversations.contacts)
        free(conversations.ended)
        free(conversations.relabellings)
        free(conversations)


cdef inline int set_app_tables(Conversations* conversations, tables) except -1:
    """Take the tables of the applications of protocols, TCP ports and UDP ports. Raises TypeError, ValueError."""
    protocols, tcp_ports, udp_ports = tables
    copy_table(conversations.protocol_apps, protocols, 256, "the table of protocols")
    copy_table(conversations.tcp_apps, tcp_ports, 65536, "the table of TCP ports")
    copy_table(conversations.udp_apps, udp_ports, 65536, "the table of UDP ports")
    return 0


cdef inline Inspection* inspection_of(Conversations* conversations) noexcept nogil:
    """Return what looks at payloads before Python; NULL if nothing does."""
    return NULL if conversations == NULL else conversations.inspection


cdef inline uint64_t n_sketches_evicted(const Conversations* conversations) noexcept nogil:
    cdef uint32_t kind
    cdef uint64_t n_evicted = 0
    for kind in range(N_SKETCHES):
        n_evicted += conversations.sketches[kind].n_evicted
    return n_evicted


cdef inline uint64_t token_of(const ConversationTable* table, uint32_t row_index) noexcept nogil:
    return <uint64_t>table.records[row_index].serial << 32 | row_index


cdef inline bint is_running(const ConversationTable* table, uint64_t token) noexcept nogil:
    cdef uint32_t row_index = <uint32_t>token
    return (row_index < table.n_rows and table.rows[row_index].state & RUNNING
            and table.records[row_index].serial == <uint32_t>(token >> 32))


cdef inline void want_payloads(Conversations* conversations, uint32_t row_index, uint8_t wanted) noexcept nogil:
    conversations.table.records[row_index].wanted = wanted
    if wanted:
        conversations.table.rows[row_index].state |= WANTS_PAYLOAD
    else:
        conversations.table.rows[row_index].state &= ~WANTS_PAYLOAD
