"""Contacts: what rules hear of the conversations of local hosts, each when it is first settled, and when it has changed since.

A bounded store. A record that does not fit waits if its conversation goes on; else it is dropped, and counted.

What it does not do: keep what was told; end conversations.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

from fastmon.native.memory cimport release, reserve
from fastmon.native.tables.conversations cimport (
    LOCAL_A, LOCAL_B, RUNNING, TOLD, TOLD_ANSWERED, Conversation, ConversationRecord, ConversationTable, is_answered, server_side,
)
from fastmon.native.wire cimport Key

cdef enum:
    MAX_CONTACTS = 1 << 16

cdef struct Contact:  # services.CONTACT_DTYPE
    Key local
    Key peer
    int64_t first_ns
    int64_t last_ns
    uint64_t bytes_in
    uint64_t bytes_out
    uint64_t packets_in
    uint64_t packets_out
    uint8_t protocol
    uint8_t role
    uint16_t port
    uint8_t app
    uint8_t labelled_by
    uint8_t answered
    uint8_t unused

cdef struct Contacts:
    Contact* rows  # NULL: nobody wants them
    uint32_t n_filled
    uint64_t n_dropped


cdef inline int contacts_init(Contacts* contacts, bint is_wanted) except -1 nogil:
    memset(contacts, 0, sizeof(Contacts))
    if is_wanted:
        contacts.rows = <Contact*>reserve(<size_t>MAX_CONTACTS * sizeof(Contact), False)
        if contacts.rows == NULL:
            with gil:
                raise MemoryError("no memory for contacts")
    return 0


cdef inline void contacts_free(Contacts* contacts) noexcept nogil:
    release(contacts.rows, <size_t>MAX_CONTACTS * sizeof(Contact))
    contacts.rows = NULL


cdef inline uint32_t n_local_sides(const ConversationRecord* record) noexcept nogil:
    return (record.marks & LOCAL_A != 0) + (record.marks & LOCAL_B != 0)


cdef inline bint has_news(const Conversation* row, const ConversationRecord* record) noexcept nogil:
    """Whether a conversation has a local host, and something that was not told yet."""
    if not record.marks & (LOCAL_A | LOCAL_B):
        return False
    if not record.marks & TOLD or record.told_app != row.app:
        return True
    return not record.marks & TOLD_ANSWERED and is_answered(row, record)


cdef inline void fill_contact(Contact* contact, const Conversation* row, const ConversationRecord* record,
                              int side) noexcept nogil:
    cdef int server = server_side(record)
    contact.local = record.b if side else record.a
    contact.peer = record.a if side else record.b
    contact.first_ns = row.first_ns
    contact.last_ns = row.last_ns
    contact.bytes_in, contact.bytes_out = row.bytes[1 - side], row.bytes[side]
    contact.packets_in, contact.packets_out = row.packets[1 - side], row.packets[side]
    contact.protocol = row.protocol
    contact.role = side == server
    contact.port = <uint16_t>(row.ports if server else row.ports >> 16)
    contact.app = row.app
    contact.labelled_by = row.labelled_by
    contact.answered = is_answered(row, record)
    contact.unused = 0


cdef inline bint tell(Contacts* contacts, const Conversation* row, ConversationRecord* record) noexcept nogil:
    """Keep the records of a conversation, one for each local side; False if there is no room for all."""
    cdef int side
    if contacts.n_filled + n_local_sides(record) > MAX_CONTACTS:
        return False
    for side in range(2):
        if record.marks & (LOCAL_B if side else LOCAL_A):
            fill_contact(&contacts.rows[contacts.n_filled], row, record, side)
            contacts.n_filled += 1
    record.told_app = row.app
    record.marks |= TOLD | (TOLD_ANSWERED if is_answered(row, record) else 0)
    return True


cdef inline void tell_of_running(Contacts* contacts, ConversationTable* table) noexcept nogil:
    """Keep the records of all running conversations that have news."""
    cdef uint32_t row_index
    for row_index in range(table.n_rows):
        if table.rows[row_index].state & RUNNING and has_news(&table.rows[row_index], &table.records[row_index]):
            tell(contacts, &table.rows[row_index], &table.records[row_index])


cdef inline void tell_of_ended(Contacts* contacts, ConversationTable* table, uint32_t row_index) noexcept nogil:
    """Keep the records of a conversation that ends, if it has news."""
    if contacts.rows == NULL or not has_news(&table.rows[row_index], &table.records[row_index]):
        return
    if not tell(contacts, &table.rows[row_index], &table.records[row_index]):
        contacts.n_dropped += n_local_sides(&table.records[row_index])


cdef inline void move_contacts(Contacts* contacts, Contacts* other, ConversationTable* other_table) noexcept nogil:
    """Take another accountant's records, and those of its running conversations, if both keep any."""
    cdef uint32_t n_moved
    if contacts.rows == NULL or other.rows == NULL:
        return
    n_moved = min(other.n_filled, <uint32_t>MAX_CONTACTS - contacts.n_filled)
    memcpy(&contacts.rows[contacts.n_filled], other.rows, n_moved * sizeof(Contact))
    contacts.n_filled += n_moved
    contacts.n_dropped += other.n_dropped + other.n_filled - n_moved
    other.n_filled = 0
    other.n_dropped = 0
    tell_of_running(contacts, other_table)
