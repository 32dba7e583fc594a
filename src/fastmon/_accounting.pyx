"""The Accountant: the native engine for Python. It drains readers, adds frames up, and gives out arrays and numbers.

`accounting/native.py` makes snapshots of them and is the only importer. A method that ends in `_as` takes a function or a dtype
of Python's side: it copies, calls the function, and changes its own state only when that has returned, so nothing that was
counted is lost where memory is short.

What it does not do: read files or interfaces (`native/readers.pyx`), keep time, format.
"""

import numpy as np

from cpython.buffer cimport PyBuffer_FillInfo
from libc.stddef cimport size_t
from libc.stdint cimport INT64_MAX, INT64_MIN, UINT16_MAX, UINT64_MAX, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from fastmon.native.arguments cimport bytes_of, check_sizes, count_of, duration_or, key_of, room_in, time_or
from fastmon.native.classify.notes cimport take_names
from fastmon.native.decode.headers cimport N_STATUSES
from fastmon.native.engine.batch cimport account_batch
from fastmon.native.engine.columns cimport (
    AppCopy, AppRecord, FanoutRecord, OpeningRecord, PeerRecord, SightRecord, add_unsettled, copy_app_totals, copy_apps,
    copy_fanout, copy_interval, copy_marks, copy_openings, copy_peers, copy_services, copy_sights, copy_statuses,
    count_conversations, count_overflow, count_peers, n_active, number_hosts, restore_flags, strip_flags,
)
from fastmon.native.engine.contacts cimport Contact, tell_of_running
from fastmon.native.engine.conversations cimport (
    Conversations, EndedRow, ServiceLimits, conversations_delete, conversations_new, inspection_of, is_running,
    n_sketches_evicted, set_app_tables, want_payloads,
)
from fastmon.native.engine.credits cimport relabel
from fastmon.native.engine.duplicates cimport duplicates_free, duplicates_new
from fastmon.native.engine.engine cimport (
    COPY_BYTES, Engine, TimeLimits, begin_phase, engine_init, flush, last_time, n_allowed, push,
)
from fastmon.native.decode.entry cimport BATCH_FRAMES
from fastmon.native.engine.hosts cimport add_local_network
from fastmon.native.engine.inspection cimport Inspection, announce, forget_announcements, inspection_begin
from fastmon.native.engine.packet_log cimport PacketRecord, log_free, log_new
from fastmon.native.engine.rotation cimport begin_interval, damaged_index, end_all, end_all_idle, merge, settle_all
from fastmon.native.engine.services cimport fail_unanswered, probe_by_arp
from fastmon.native.engine.taken cimport take_crossings, take_payloads
from fastmon.native.exclusive cimport Exclusive
from fastmon.native.matchers cimport Matchers
from fastmon.native.memory cimport release
from fastmon.native.readers cimport Reader
from fastmon.native.tables.applications cimport N_APPS, apps_free, apps_init
from fastmon.native.tables.conversations cimport BY_PAYLOAD, Conversation
from fastmon.native.tables.hosts cimport HostRow, HostTable, table_free, table_init
from fastmon.native.tables.networks cimport Network, network_from, networks_as_list, networks_free, networks_init
from fastmon.native.tables.services cimport ServiceRow
from fastmon.native.tables.unknown_ports cimport PortTotal, copy_unknown_ports
from fastmon.native.wire cimport FM_DEBUG, Key

from fastmon.native.matchers import SOURCES

DEBUG = bool(FM_DEBUG)


cdef class RowMemory:
    """The memory of the host rows, for as long as the accountant or an array of `finish_as` needs it; read-only for arrays."""

    cdef HostRow* rows
    cdef uint32_t n_rows
    cdef uint32_t n_reserved

    def __dealloc__(self):
        release(self.rows, <size_t>self.n_reserved * sizeof(HostRow))

    def __getbuffer__(self, Py_buffer* buffer, int flags):
        PyBuffer_FillInfo(buffer, self, self.rows, <Py_ssize_t>self.n_rows * sizeof(HostRow), True, flags)


cdef object copy_rows(const void* rows, size_t n_rows, size_t row_bytes, dtype):
    """Return a read-only copy of rows as an array of `dtype`, whose items must be as long."""
    cdef uint8_t[::1] target
    copy = np.empty(n_rows, dtype)
    if copy.dtype.itemsize != row_bytes:
        raise TypeError(f"rows have {row_bytes} bytes; a dtype of {copy.dtype.itemsize} does not fit")
    if n_rows:
        target = copy.view(np.uint8)
        memcpy(&target[0], rows, n_rows * row_bytes)
    copy.flags.writeable = False
    return copy


cdef class Accountant:
    """The native half of `accounting.NativeAccountant`. It takes one call at a time; a second one gets a RuntimeError.

    seed: of the hashes.  ip_bytes: count the lengths of packets, not of frames.  limit_bytes: 0: none.
    dedup: leave out copies of frames within so many nanoseconds (0: none) of one of the last frames, so many: a power of two.
    networks: the local ones, each as (prefix, mask), 16 bytes both.  follow_announcements: also those that frames announce.
    max_conversations: 0: hosts only.  app_tables: bytes by protocol (256), by TCP port and by UDP port (65536), or None.
    max_services: in all, and of one host in one role.  sketch_seed: the same in accountants that are merged.

    Raises ValueError for an argument out of its range, MemoryError.
    """

    cdef Engine engine
    cdef Exclusive use
    cdef RowMemory memory
    cdef Matchers matchers
    cdef bint has_finished
    cdef bint has_rotated

    def __cinit__(self, *, uint64_t seed, bint inner=False, bint ip_bytes=False, dedup=(0, 1), int64_t max_hosts=1 << 20,
                  int64_t limit_bytes=0, networks=(), bint follow_announcements=False, int64_t max_conversations=0,
                  app_tables=None, bint keep_conversations=False, bint packet_log=False, bint keep_contacts=False,
                  max_services=(1 << 20, 256), int64_t max_sketches=1 << 16, uint64_t sketch_seed=0):
        cdef HostTable* table = &self.engine.hosts.table
        cdef ServiceLimits limits
        engine_init(&self.engine, account_batch)
        self.use = Exclusive("the accountant")
        self.memory = RowMemory()
        check_sizes("max_hosts, max_services or max_sketches", 1, (max_hosts, *max_services, max_sketches))
        check_sizes("max_conversations", 0, (max_conversations,))
        self.engine.inner = inner
        self.engine.counts_ip_bytes = ip_bytes
        self.engine.walks_all = inner or ip_bytes or packet_log or dedup[0] != 0
        if packet_log:
            self.engine.log = log_new()
        self.engine.duplicates = duplicates_new(dedup, seed + 4)
        self.engine.hosts.limit_bytes = count_of("limit_bytes", limit_bytes) or INT64_MAX
        networks_init(&self.engine.hosts.networks, list(networks))
        self.engine.hosts.follows = follow_announcements
        table_init(table, <uint32_t>max_hosts, seed)
        self.memory.rows, self.memory.n_reserved = table.rows, table.n_reserved
        if max_conversations != 0:
            limits.max_hosts = <uint32_t>max_hosts
            limits.max_services, limits.max_services_of_role = max_services
            limits.max_sketches, limits.sketch_seed = <uint32_t>max_sketches, sketch_seed
            limits.keeps_contacts = keep_contacts
            self.engine.conversations = conversations_new(<uint32_t>max_conversations, keep_conversations, seed + 3, &limits)
            apps_init(&self.engine.hosts.apps, <uint32_t>max_hosts)
            self.engine.hosts.has_apps = True
            self.engine.copies = <uint8_t*>calloc(BATCH_FRAMES, COPY_BYTES)
            if self.engine.copies == NULL:
                raise MemoryError("no memory for frames")
            if app_tables is not None:
                set_app_tables(self.engine.conversations, app_tables)

    def __dealloc__(self):
        self.engine.hosts.table.rows = NULL  # of the RowMemory
        table_free(&self.engine.hosts.table)
        apps_free(&self.engine.hosts.apps)
        conversations_delete(self.engine.conversations)
        log_free(self.engine.log)
        duplicates_free(self.engine.duplicates)
        free(self.engine.copies)
        free(self.engine.hosts.crossings)
        networks_free(&self.engine.hosts.networks)

    cdef int check_usable(self) except -1:
        if self.has_finished:
            raise RuntimeError("the accountant has finished")
        return 0

    # Time.

    @property
    def first_ts_ns(self):
        """The least timestamp of all frames since the start; None before the first."""
        return None if self.engine.first_ts_ns == INT64_MAX else self.engine.first_ts_ns

    @property
    def last_ts_ns(self):
        """The greatest timestamp of all frames since the start; None before the first."""
        cdef int64_t last_ns = last_time(&self.engine)
        return None if last_ns == INT64_MIN else last_ns

    @property
    def newest_ts_ns(self):
        """The greatest timestamp since `begin_phase`; None before the first frame."""
        return None if self.engine.newest_ts_ns == INT64_MIN else self.engine.newest_ts_ns

    def begin_phase(self):
        """Begin a new phase of the frames' clock: the next frame may have any time."""
        with self.use:
            self.check_usable()
            begin_phase(&self.engine)

    def drain(self, source, int64_t max_frames, until_ns=None, max_backstep_ns=None):
        """Account up to `max_frames` frames of `source`, a capture or its reader; return their number."""
        cdef TimeLimits limits
        cdef int64_t n_read = 0
        cdef Reader reader
        limits.until_ns = time_or(until_ns, INT64_MAX)
        limits.max_backstep_ns = duration_or(max_backstep_ns, UINT64_MAX)
        with self.use:
            self.check_usable()
            reader = <Reader?>getattr(source, "reader", source)
            n_read = reader.drain_into(&self.engine, n_allowed(&self.engine, max_frames), &limits)
            if self.engine.hosts.crossing_lost:
                raise MemoryError("no memory for the hosts over their limit")
            if self.engine.conversations != NULL and self.engine.conversations.ended_lost:
                raise MemoryError("no memory for the conversations that ended")
        return n_read

    def account(self, frame):
        """Decode and account one frame. Raises OverflowError for a number out of range."""
        cdef const uint8_t[::1] data = bytes_of(frame.data)
        cdef uint8_t nothing = 0
        cdef uint32_t cap_len = <uint32_t>data.shape[0]
        cdef uint32_t link_type = frame.link_type
        cdef uint32_t wire_len = frame.wire_len
        cdef int64_t ts_ns = frame.ts_ns
        if ts_ns == INT64_MIN or ts_ns == INT64_MAX:
            raise OverflowError(f"the time {ts_ns} is out of range")  # these two mean no time and no bound
        with self.use:
            self.check_usable()
            push(&self.engine, link_type, &data[0] if cap_len else &nothing, cap_len, wire_len, ts_ns)
            flush(&self.engine)

    def merge(self, Accountant other not None):
        """Add what `other` accounted since its last rotation, and begin a new interval in it.

        Raises ValueError if it is this accountant, or if only one of them accounts conversations, or IP bytes.
        """
        if other is self:
            raise ValueError("an accountant cannot be merged into itself")
        with self.use, other.use:
            self.check_usable()
            other.check_usable()
            if (self.engine.conversations == NULL) != (other.engine.conversations == NULL):
                raise ValueError("accountants with and without conversations cannot be merged")
            if self.engine.counts_ip_bytes != other.engine.counts_ip_bytes:
                raise ValueError("accountants that count frames' bytes and IP bytes cannot be merged")
            with nogil:
                merge(&self.engine, &other.engine)
                begin_interval(&other.engine)
            other.has_rotated = True

    # Local networks.

    @property
    def networks(self):
        """The local networks, those from the start first, each as (prefix, mask)."""
        return networks_as_list(&self.engine.hosts.networks)

    @property
    def networks_refused(self):
        """Networks that were to be added beyond the bounds of `tables/networks.pxd`."""
        return self.engine.hosts.networks.n_refused

    def add_network(self, network):
        """Take the hosts of a network, (prefix, mask), for local from now on."""
        cdef Network added = network_from(network)
        with self.use:
            self.check_usable()
            add_local_network(&self.engine.hosts, &added, False)

    def sights_as(self, dtype):
        """Return the Ethernet addresses of hosts, also of remote ones, as an array of `dtype`: see `engine/columns.pxd`."""
        with self.use:
            self.check_usable()
            found = np.zeros(self.engine.hosts.table.n_rows * sizeof(SightRecord), np.uint8)
            n_copied = copy_sights(&self.engine.hosts, <SightRecord*>room_in(found))
        return found[:n_copied * sizeof(SightRecord)].view(dtype)

    # Conversations.

    def end_conversations(self):
        """End all conversations that are running."""
        with self.use:
            self.check_usable()
            end_all(&self.engine)

    def label(self, uint64_t token, uint8_t app, uint8_t wanted):
        """Set a conversation's application, unless it is 0, and how many more payloads are wanted; False if it has ended."""
        cdef uint32_t row_index = <uint32_t>token
        cdef Conversation* row
        with self.use:
            if self.engine.conversations == NULL or not is_running(&self.engine.conversations.table, token):
                return False
            row = &self.engine.conversations.table.rows[row_index]
            want_payloads(self.engine.conversations, row_index, wanted)
            if app:
                row.labelled_by = BY_PAYLOAD
                if row.app != app:
                    relabel(&self.engine.hosts, self.engine.conversations, row_index, app)
        return True

    @property
    def payload_allowance(self):
        """How many more payloads may be kept for `take_payloads_as`. 0 at first: nobody looks at them."""
        return 0 if self.engine.conversations == NULL else self.engine.conversations.payloads.allowance

    @payload_allowance.setter
    def payload_allowance(self, number):
        cdef int64_t n_payloads = count_of("payload_allowance", number)
        with self.use:
            if self.engine.conversations != NULL:
                self.engine.conversations.payloads.allowance = n_payloads

    @property
    def pauses(self):
        """Whether `drain` returns early so that payloads can be taken, instead of skipping payloads."""
        return self.engine.conversations != NULL and bool(self.engine.conversations.payloads.pauses)

    @pauses.setter
    def pauses(self, bint value):
        with self.use:
            if self.engine.conversations != NULL:
                self.engine.conversations.payloads.pauses = value

    def use_matchers(self, Matchers matchers not None, bint keep_details):
        """Let native matchers look at payloads before `take_payloads_as` gives out those that they cannot decide.

        keep_details: whether `take_names_as` gives what conversations tell of themselves. Raises RuntimeError at a second call.
        """
        with self.use:
            self.check_usable()
            if self.engine.conversations != NULL:
                inspection_begin(&self.engine.conversations.inspection, &matchers.dispatch, keep_details)
                self.matchers = matchers

    def expect(self, uint8_t protocol, bytes host not None, uint16_t port, int64_t ts_ns):
        """Leave conversations with an endpoint, whose host's key is given, to Python: they were announced at `ts_ns`."""
        cdef Key key = key_of(host)
        with self.use:
            announce(inspection_of(self.engine.conversations), &key, port, protocol, ts_ns)

    # What is taken out between rotations.

    def take_payloads_as(self, make):
        """Return what `make` makes of each payload, oldest first: see `engine/taken.pxd`."""
        payloads = []
        with self.use:
            if self.engine.conversations != NULL:
                payloads = take_payloads(&self.engine.conversations.payloads, make)
                forget_announcements(self.engine.conversations.inspection)
        return payloads

    def take_names_as(self, make, bint all_sights):
        """Return the names that the matchers found, oldest first: `make(key, name, source, ts_ns)`, and `FoundNames`' details.

        all_sights: also tell again when names were seen last. Names are as they were sent.
        """
        cdef Inspection* inspection = inspection_of(self.engine.conversations)
        hosts, details = [], ([], [], [])
        with self.use:
            if inspection != NULL:
                take_names(&inspection.notes, all_sights, make, SOURCES, hosts, details)
        return hosts, *details

    @property
    def names_dropped(self):
        """Names, and TLS handshakes, that did not fit."""
        cdef Inspection* inspection = inspection_of(self.engine.conversations)
        return 0 if inspection == NULL else inspection.notes.n_lost

    def take_crossings_as(self, make):
        """Return what `make` makes of each limit crossing, in the order of their frames: see `engine/taken.pxd`."""
        with self.use:
            return take_crossings(&self.engine.hosts, make)

    def take_conversations_as(self, dtype):
        """Return the conversations that ended, in that order, as a read-only array of `dtype`."""
        cdef Conversations* conversations = self.engine.conversations
        with self.use:
            if conversations == NULL:
                return copy_rows(NULL, 0, sizeof(EndedRow), dtype)
            ended = copy_rows(conversations.ended, conversations.n_ended, sizeof(EndedRow), dtype)
            conversations.n_ended = 0
        return ended

    def take_contacts_as(self, dtype):
        """Return what is new of the conversations of local hosts as a read-only array of `dtype`: see `engine/contacts.pxd`."""
        cdef Conversations* conversations = self.engine.conversations
        with self.use:
            if conversations == NULL or conversations.contacts.rows == NULL:
                return copy_rows(NULL, 0, sizeof(Contact), dtype)
            with nogil:
                tell_of_running(&conversations.contacts, &conversations.table)
            contacts = copy_rows(conversations.contacts.rows, conversations.contacts.n_filled, sizeof(Contact), dtype)
            conversations.contacts.n_filled = 0
        return contacts

    @property
    def contacts_dropped(self):
        """Records of contacts that did not fit."""
        return 0 if self.engine.conversations == NULL else self.engine.conversations.contacts.n_dropped

    def take_packets_as(self, dtype):
        """Return the packet log's records, in the order of their frames, as a read-only array of `dtype`."""
        with self.use:
            if self.engine.log == NULL:
                return copy_rows(NULL, 0, sizeof(PacketRecord), dtype)
            records = copy_rows(self.engine.log.records, self.engine.log.n_filled, sizeof(PacketRecord), dtype)
            self.engine.log.n_filled = 0
        return records

    @property
    def packets_dropped(self):
        """Frames given to `account` whose records did not fit."""
        return 0 if self.engine.log == NULL else self.engine.log.dropped

    # What hosts are doing.

    def peers_as(self, const uint8_t[:, ::1] keys not None, int64_t now_ns, dtype):
        """Return what hosts moved in each conversation that is not over at `now_ns`, as an array of `dtype`.

        keys: (k, 16) uint8; `host` of a record is the place in it. ValueError for more than 65,535 hosts.
        """
        cdef Conversations* conversations = self.engine.conversations
        cdef uint16_t[::1] numbers
        if keys.shape[0] > UINT16_MAX or keys.shape[1] != 16:
            raise ValueError(f"keys must be at most {UINT16_MAX} of 16 bytes, not {keys.shape[0]} of {keys.shape[1]}")
        with self.use:
            self.check_usable()
            if conversations == NULL:
                return copy_rows(NULL, 0, sizeof(PeerRecord), dtype)
            numbers = np.zeros(self.engine.hosts.table.n_rows, np.uint16)
            number_hosts(&self.engine.hosts.table, keys, numbers)
            n_found = count_peers(&self.engine.hosts, &conversations.table, numbers, now_ns)
            found = np.empty(n_found * sizeof(PeerRecord), np.uint8)
            copy_peers(&self.engine.hosts, &conversations.table, numbers, now_ns, <PeerRecord*>room_in(found))
        return found.view(dtype)

    def note_unanswered(self, int64_t now_ns):
        """Count the conversations that have waited too long for an answer at `now_ns` as failed; return their number."""
        with self.use:
            self.check_usable()
            return fail_unanswered(&self.engine.hosts, self.engine.conversations, now_ns)

    def fanout_as(self, int64_t now_ns, int64_t window_ns, bint probes, dtype):
        """Return estimates of the local hosts that opened conversations, or that probed, in a window, as an array of `dtype`."""
        if window_ns < 1:
            raise ValueError(f"window_ns must be 1 or more, not {window_ns}")
        with self.use:
            self.check_usable()
            probe_by_arp(&self.engine.hosts, self.engine.conversations)
            found = self.room_for_local_hosts(sizeof(FanoutRecord))
            n_copied = copy_fanout(&self.engine, probes, now_ns, window_ns, <FanoutRecord*>room_in(found))
        return found[:n_copied * sizeof(FanoutRecord)].view(dtype)

    def openings_as(self, dtype):
        """Return how many conversations each local host opened, and how many of them failed, as an array of `dtype`."""
        cdef uint32_t n_copied = 0
        with self.use:
            found = self.room_for_local_hosts(sizeof(OpeningRecord))
            if self.engine.conversations != NULL:
                n_copied = copy_openings(&self.engine.hosts.table, &self.engine.conversations.local_hosts,
                                         <OpeningRecord*>room_in(found))
        return found[:n_copied * sizeof(OpeningRecord)].view(dtype)

    cdef object room_for_local_hosts(self, size_t row_bytes):
        self.check_usable()
        n_rows = 0 if self.engine.conversations == NULL else self.engine.conversations.local_hosts.n_rows
        return np.empty(n_rows * row_bytes, np.uint8)

    @property
    def sketches_evicted(self):
        """Local hosts whose peers and services were forgotten, to make room for those of another."""
        return 0 if self.engine.conversations == NULL else n_sketches_evicted(self.engine.conversations)

    def rotate_as(self, now_ns, make):
        """Return `make(interval)`, and begin a new interval. Conversations that are idle at `now_ns` end before.

        interval: the columns of what was accounted since the last rotation: see `interval_columns`.
        """
        cdef int64_t now = time_or(now_ns, INT64_MIN)
        with self.use:
            self.check_usable()
            with nogil:
                end_all_idle(&self.engine, now)
                settle_all(&self.engine)
            self.check_tables()
            made = make(self.interval_columns())
            with nogil:
                begin_interval(&self.engine)
            self.has_rotated = True
        return made

    def finish_as(self, make):
        """Return `make(interval, whole)`, and account no more. All conversations end before.

        interval: as in `rotate_as`; None if nothing was rotated, so that it is the whole.
        whole: the columns of what was accounted since the start. Its `hosts` is the rows' memory itself, which is handed over.
        """
        with self.use:
            self.check_usable()
            with nogil:
                end_all(&self.engine)
            self.check_tables()
            interval = self.interval_columns() if self.has_rotated else None
            whole = self.columns(False)
            whole.update(self.conversation_columns(False))
            self.memory.n_rows = self.engine.hosts.table.n_rows
            whole["hosts"] = np.frombuffer(self.memory, np.uint8) if self.memory.n_rows else np.empty(0, np.uint8)
            strip_flags(self.engine.hosts.table.rows, self.engine.hosts.table.n_rows)
            marks = whole["marks"]
            try:
                made = make(interval, whole)
            except BaseException:
                restore_flags(&self.engine.hosts.table, marks)
                raise
            self.has_finished = True
            self.engine.hosts.table.rows = NULL  # of the RowMemory
            table_free(&self.engine.hosts.table)
        return made

    def totals_as(self, make):
        """Return `make(whole)`: a copy of all rows since the start, with what running conversations have moved until now."""
        cdef HostTable* table = &self.engine.hosts.table
        cdef void* copy
        with self.use:
            self.check_usable()
            whole = self.columns(False)
            whole["hosts"] = np.empty(table.n_rows * sizeof(HostRow), np.uint8)
            copy = room_in(whole["hosts"])
            if table.n_rows:
                with nogil:
                    memcpy(copy, table.rows, table.n_rows * sizeof(HostRow))
                    strip_flags(<HostRow*>copy, table.n_rows)
            whole.update(self.traffic_columns(False, True))
            return make(whole)

    cdef int check_tables(self) except -1:
        """In the debug build, check that the indexes have exactly the rows: no sum would show it."""
        if FM_DEBUG:
            damaged = damaged_index(&self.engine)
            if damaged:
                raise AssertionError(f"the index of {damaged} is damaged")
        return 0

    cdef dict columns(self, bint since_rotation):
        """Return the columns that every snapshot has, of all hosts, or of those that were active since the rotation.

        marks: (2, n) uint8, whether each host is local, and flagged.  macs: (n,) uint64, 0 if unknown; None for hosts only.
        statuses: (N_STATUSES, 2) uint64, frames and bytes of each status.
        beside_ip: bytes of IP frames that are not in their status's; None if all are, for frames' bytes are counted.
        overflow: (frames_in, bytes_in, frames_out, bytes_out).
        """
        cdef HostTable* table = &self.engine.hosts.table
        cdef uint32_t n_hosts = n_active(table) if since_rotation else table.n_rows
        marks = np.empty((2, n_hosts), np.uint8)
        macs = np.empty(n_hosts, np.uint64) if self.engine.hosts.has_apps else None
        statuses = np.empty((<int>N_STATUSES, 2), np.uint64)
        copy_marks(&self.engine.hosts, since_rotation, marks, macs)
        copy_statuses(&self.engine, since_rotation, statuses)
        overflow = count_overflow(&self.engine.hosts, since_rotation)
        beside_ip = self.engine.beside_ip - self.engine.beside_ip_base * since_rotation if self.engine.counts_ip_bytes else None
        return {"marks": marks, "macs": macs, "statuses": statuses, "beside_ip": beside_ip, "overflow": overflow}

    cdef dict interval_columns(self):
        """Return `columns` and `conversation_columns` since the rotation, and those of each active host's traffic.

        hosts: (n * 64,) uint8, rows with the interval's counters.  totals: (2, n) uint64, bytes in and out since the start.
        """
        cdef HostTable* table = &self.engine.hosts.table
        cdef uint32_t n_hosts = n_active(table)
        hosts = np.empty(n_hosts * sizeof(HostRow), np.uint8)
        totals = np.empty((2, n_hosts), np.uint64)
        copy_interval(table, <HostRow*>room_in(hosts), totals)
        return {"hosts": hosts, "totals": totals, **self.columns(True), **self.conversation_columns(True)}

    cdef dict conversation_columns(self, bint since_rotation):
        """Return `traffic_columns`, (opened, ended by reason, running, skipped), and unknown_ports: (k * 24,) uint8, in order."""
        counts = None if self.engine.conversations == NULL else count_conversations(self.engine.conversations, since_rotation)
        ports = None
        if self.engine.conversations != NULL:
            n_ports = copy_unknown_ports(&self.engine.conversations.unknown_ports, since_rotation, NULL)
            ports = np.zeros(n_ports * sizeof(PortTotal), np.uint8)
            copy_unknown_ports(&self.engine.conversations.unknown_ports, since_rotation, <PortTotal*>room_in(ports))
        return {"conversations": counts, "unknown_ports": ports, **self.traffic_columns(since_rotation, False)}

    cdef dict traffic_columns(self, bint since_rotation, bint with_unsettled):
        """Return the columns of what conversations were credited with; for hosts only all are None.

        apps: (k * 40,) uint8, `APP_DTYPE`, in any order.  app_totals: (256, 2) uint64, frames and bytes of each application.
        services: (k * 64,) uint8, `SERVICE_DTYPE`, in its order.  services_overflow: conversations.

        with_unsettled: with what running conversations will be settled with. Only for all since the start.
        """
        cdef Conversations* conversations = self.engine.conversations
        cdef AppCopy copy
        cdef ServiceRow* records
        cdef size_t n_rows = self.engine.hosts.apps.n_rows
        cdef uint32_t n_copied
        if conversations == NULL:
            return {"apps": None, "app_totals": None, "services": None, "services_overflow": 0}
        if with_unsettled:
            n_rows = min(n_rows + 2 * <size_t>conversations.table.n_running, <size_t>self.engine.hosts.apps.max_rows)
        apps, places = np.zeros(n_rows * sizeof(AppRecord), np.uint8), np.zeros(n_rows * sizeof(uint32_t), np.uint8)
        copy.records, copy.n_records = <AppRecord*>room_in(apps), 0
        copy.places = <uint32_t*>room_in(places) if with_unsettled else NULL
        copy_apps(&self.engine.hosts, since_rotation, &copy)
        app_totals = np.zeros((<int>N_APPS, 2), np.uint64)
        copy_app_totals(&self.engine.hosts.apps, since_rotation, app_totals)
        services = np.empty(conversations.services.n_rows * sizeof(ServiceRow), np.uint8)
        records = <ServiceRow*>room_in(services)
        n_copied = copy_services(&self.engine.hosts.table, conversations, since_rotation, records)
        if with_unsettled:
            add_unsettled(&self.engine.hosts, conversations, records, &copy, app_totals)
        return {"apps": apps[:copy.n_records * sizeof(AppRecord)], "app_totals": app_totals,
                "services": services[:n_copied * sizeof(ServiceRow)],
                "services_overflow": conversations.services.overflow - conversations.services.overflow_base * since_rotation}
