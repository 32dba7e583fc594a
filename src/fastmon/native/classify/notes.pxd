"""Notes: the names that payloads tell, and TLS handshakes, on their way to Python.

A store of bytes, filled while frames are accounted and emptied between two drains. A host is told its name again and again: a
small table of the latest names passes each on once, and keeps the time of its last sight until the name is evicted or asked for.

What it does not do: read payloads, clean names, choose the best one of a host.
"""

from libc.stddef cimport size_t
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from fastmon.native.memory cimport release, reserve
from fastmon.native.tables.hosts cimport mix
from fastmon.native.wire cimport Key, load64

cdef enum:
    NOTES_BYTES = 1 << 22
    NOTES_WANTED = 1 << 20  # drains stop when so much is filled: a batch may bring as much again, and half
    NOTES_OF_DETAILS = 3 << 20  # no more handshakes are added when so much is filled: names still are
    N_RECENT = 1 << 12
    RECENT_BYTES = 228  # of a name; longer ones are passed on each time

cdef enum Source:  # of a host's name: the order of `SOURCES` in `matchers.pyx`
    BY_DHCP
    BY_DHCPV6
    BY_MDNS
    BY_NETBIOS
    BY_LLMNR
    BY_SSDP
    BY_SNI
    BY_HTTP
    BY_QUIC
    BY_DNS
    N_SOURCES

cdef enum:  # sources of what a conversation tells of itself
    TITLE = N_SOURCES  # its name
    CLIENT_HELLO  # a whole one, with its header
    CERTIFICATE  # a server's, in DER, as much of it as there is
    N_NOTES

cdef struct Note:  # the bytes follow, and fill up to a multiple of 8
    Key host  # of what a conversation tells of itself: `low` is its token
    int64_t ts_ns
    uint16_t n
    uint8_t source

cdef struct Recent:  # four cache lines
    Key host
    int64_t ts_ns
    uint16_t n  # 0: free
    uint8_t source
    uint8_t is_new  # it was seen since it was passed on
    uint8_t[RECENT_BYTES] name

cdef struct Notes:
    uint8_t* data
    uint32_t n_filled
    bint keeps_details  # what conversations tell of themselves
    Recent* recent
    uint64_t n_lost


cdef inline int notes_init(Notes* notes) except -1 nogil:
    memset(notes, 0, sizeof(Notes))
    notes.data = <uint8_t*>reserve(NOTES_BYTES, False)
    notes.recent = <Recent*>reserve(<size_t>N_RECENT * sizeof(Recent), False)
    if notes.data == NULL or notes.recent == NULL:
        notes_free(notes)
        with gil:
            raise MemoryError("no memory for names")
    return 0


cdef inline void notes_free(Notes* notes) noexcept nogil:
    release(notes.data, NOTES_BYTES)
    release(notes.recent, <size_t>N_RECENT * sizeof(Recent))
    notes.data = NULL
    notes.recent = NULL


cdef inline uint32_t note_bytes(uint32_t n) noexcept nogil:
    return <uint32_t>sizeof(Note) + (n + 7 & ~<uint32_t>7)


cdef inline bint pass_on(Notes* notes, const Key* host, int source, const uint8_t* name, uint32_t n,
                         int64_t ts_ns) noexcept nogil:
    """Add a note; False if there is no room."""
    cdef Note* note
    if notes.n_filled + note_bytes(n) > NOTES_BYTES:
        return False
    note = <Note*>(notes.data + notes.n_filled)
    note.host = host[0]
    note.ts_ns = ts_ns
    note.source = source
    note.n = n
    memcpy(<uint8_t*>note + sizeof(Note), name, n)
    notes.n_filled += note_bytes(n)
    return True


cdef inline uint64_t name_hash(const Key* host, int source, const uint8_t* name, uint32_t n) noexcept nogil:
    cdef uint64_t hashed = mix(host.low ^ mix(host.high + <uint64_t>source))
    cdef uint64_t rest = 0
    cdef uint32_t i = 0
    while i + 8 <= n:
        hashed = mix(hashed ^ load64(name + i))
        i += 8
    memcpy(&rest, name + i, n - i)
    return mix(hashed ^ rest ^ <uint64_t>n << 56)


cdef inline void note_name(Notes* notes, const Key* host, int source, const uint8_t* name, uint32_t n,
                           int64_t ts_ns) noexcept nogil:
    """Note that a host is known as `name`, by `source`."""
    cdef Recent* recent
    if n > RECENT_BYTES:
        notes.n_lost += not pass_on(notes, host, source, name, n, ts_ns)
        return
    recent = &notes.recent[name_hash(host, source, name, n) & N_RECENT - 1]
    if (recent.n == n and recent.source == source and recent.host.low == host.low and recent.host.high == host.high
            and memcmp(recent.name, name, n) == 0):
        if ts_ns > recent.ts_ns:
            recent.ts_ns = ts_ns
            recent.is_new = True
        return
    if not pass_on(notes, host, source, name, n, ts_ns):
        notes.n_lost += 1
        return
    if recent.n and recent.is_new:
        notes.n_lost += not pass_on(notes, &recent.host, recent.source, recent.name, recent.n, recent.ts_ns)
    recent.host = host[0]
    recent.ts_ns = ts_ns
    recent.n = n
    recent.source = source
    recent.is_new = False
    memcpy(recent.name, name, n)


cdef inline void note_detail(Notes* notes, uint64_t token, int source, const uint8_t* data, uint32_t n) noexcept nogil:
    """Note what a conversation tells of itself, if anybody wants to know."""
    cdef Key key
    if notes.keeps_details and n:
        key.high, key.low = 0, token
        if (source != TITLE and notes.n_filled > NOTES_OF_DETAILS) or not pass_on(notes, &key, source, data, n, 0):
            notes.n_lost += 1


cdef inline void pass_on_sights(Notes* notes) noexcept nogil:
    """Pass on when each of the latest names was seen last, as far as there is room."""
    cdef uint32_t i
    cdef Recent* recent
    for i in range(N_RECENT):
        recent = &notes.recent[i]
        if recent.is_new and pass_on(notes, &recent.host, recent.source, recent.name, recent.n, recent.ts_ns):
            recent.is_new = False


cdef inline bint notes_are_filled(const Notes* notes) noexcept nogil:
    return notes.n_filled > NOTES_WANTED


cdef inline int take_names(Notes* notes, bint all_sights, make, tuple sources, list hosts, tuple details) except -1:
    """Add `make(key, name, source, ts_ns)` of each host's name to `hosts`, (token, bytes) to `details`: a list for each kind.

    all_sights: also of known names when they were seen last. If `make` raises, all names stay where they were.
    """
    cdef uint32_t at = 0
    cdef Note* note
    if all_sights:
        pass_on_sights(notes)
    while at < notes.n_filled:
        note = <Note*>(notes.data + at)
        name = (<uint8_t*>note + sizeof(Note))[:note.n]
        if note.source >= TITLE:
            details[note.source - TITLE].append((note.host.low, name))
        else:
            hosts.append(make((<uint8_t*>&note.host)[:16], name, sources[note.source], note.ts_ns))
        at += note_bytes(note.n)
    notes.n_filled = 0
    return 0
