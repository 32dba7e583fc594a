"""A target of libFuzzer: shows an input's payloads to the native matchers, as `native/engine/lives.pxd` shows a conversation's.

`scripts/fuzz` links it with the extension `fastmon.native.matchers`, both built with sanitizers; `inputs.py` has the format of
inputs. What an earlier input left behind changes nothing for a later one, so each can be run again alone.

What it does not do: compare with the matchers in Python.
"""

from libc.stddef cimport size_t
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort, calloc, free, malloc
from libc.string cimport memcpy, memset

from fastmon.native.classify.apps cimport N_FOLLOWERS, N_NATIVE_APPS
from fastmon.native.classify.dispatch cimport NOTHING, OUTRIGHT, Dispatch
from fastmon.native.classify.hellos cimport MAX_STREAM, N_HELLOS, Hello
from fastmon.native.classify.look cimport ASK, CERTAIN, MAX_LIKELY, MAX_NAME, NO, Look
from fastmon.native.classify.memos cimport N_MEMOS, Memo
from fastmon.native.classify.notes cimport (
    N_NOTES, N_RECENT, NOTES_BYTES, RECENT_BYTES, TITLE, Note, Notes, Recent, name_hash, note_bytes, note_detail,
)
from fastmon.native.decode.upper cimport TCP, UDP
from fastmon.native.matchers cimport Matchers
from fastmon.native.wire cimport Key, be16_at, v6_key

from fastmon.classify.tables import for_native
from fuzz import inputs

cdef extern from *:
    """
    PyMODINIT_FUNC PyInit_matchers(void);
    PyMODINIT_FUNC PyInit_matchers_target(void);

    /* Called by libFuzzer, once: starts Python, with this program's own build of the matchers. */
    int LLVMFuzzerInitialize(int *argc, char ***argv) {
        PyConfig config;
        PyStatus status;
        (void)argc, (void)argv;
        PyImport_AppendInittab("fastmon.native.matchers", PyInit_matchers);
        PyImport_AppendInittab("matchers_target", PyInit_matchers_target);
        PyConfig_InitPythonConfig(&config);
        config.install_signal_handlers = 0;
        status = PyConfig_SetBytesString(&config, &config.program_name, FM_PYTHON);
        if (!PyStatus_Exception(status)) status = Py_InitializeFromConfig(&config);
        if (PyStatus_Exception(status)) Py_ExitStatusException(status);
        return PyRun_SimpleString(
            "import sys\\n"
            "from importlib import machinery, util\\n"
            "for name in 'fastmon.native.matchers', 'matchers_target':\\n"
            "    spec = machinery.ModuleSpec(name, machinery.BuiltinImporter)\\n"
            "    sys.modules[name] = module = util.module_from_spec(spec)\\n"
            "    spec.loader.exec_module(module)\\n") ? (exit(1), 1) : 0;
    }
    """
    void* memmem(const void* data, size_t n_data, const void* wanted, size_t n_wanted) noexcept nogil

cdef enum:
    HEAD_BYTES = 5
    GARBAGE = 0xBE  # in memory that a caller of the matchers does not set

cdef struct Talk:  # a conversation
    uint64_t token
    uint8_t follow
    bint is_asked

cdef Matchers matchers = Matchers(*for_native(), 64)
cdef const Dispatch* dispatch = &matchers.dispatch
cdef Notes notes
cdef Hello* hellos
cdef Memo* memos
cdef Key[8][2] hosts
cdef uint8_t[3] separator
cdef uint32_t max_payload = inputs.MAX_PAYLOAD
cdef uint32_t max_payloads = inputs.MAX_PAYLOADS
cdef uint64_t n_inputs = 0


cdef int prepare() except -1:
    """Allocate on the heap, where the sanitizer sees the ends, what the engine keeps in pages of its own."""
    global hellos, memos
    memset(&notes, 0, sizeof(notes))
    notes.data = <uint8_t*>calloc(1, NOTES_BYTES)
    notes.recent = <Recent*>calloc(N_RECENT, sizeof(Recent))
    notes.keeps_details = True
    hellos = <Hello*>calloc(N_HELLOS, sizeof(Hello))
    memos = <Memo*>calloc(N_MEMOS, sizeof(Memo))
    if notes.data == NULL or notes.recent == NULL or hellos == NULL or memos == NULL:
        raise MemoryError("no memory for the target")
    for i, ends in enumerate(inputs.HOSTS):
        for side, host in enumerate(ends):
            hosts[i][side] = v6_key(<const uint8_t*><bytes>host)
    for i, byte in enumerate(inputs.SEPARATOR):
        separator[i] = byte
    return 0


prepare()


cdef inline void check(bint holds, const char* what) noexcept nogil:
    if not holds:
        fprintf(stderr, b"matchers_target: wrong %s\n", what)
        abort()


cdef void drain_notes() noexcept nogil:
    """Check the notes, and empty their store; the latest names are forgotten, too."""
    cdef uint32_t at = 0
    cdef Note* note
    cdef uint8_t* name
    while at < notes.n_filled:
        note = <Note*>(notes.data + at)
        name = <uint8_t*>note + sizeof(Note)
        check(1 <= note.n <= (MAX_NAME if note.source <= TITLE else MAX_STREAM) and note.source < N_NOTES, b"note")
        if note.source < TITLE and note.n <= RECENT_BYTES:
            notes.recent[name_hash(&note.host, note.source, name, note.n) & N_RECENT - 1].n = 0
        at += note_bytes(note.n)
    check(at == notes.n_filled and notes.n_lost == 0, b"notes")
    notes.n_filled = 0


cdef void show(Look* look, Talk* talk) noexcept nogil:
    """Show the matchers a payload, as `inspect_payload` does."""
    cdef int kind, verdict = ASK
    if talk.follow:
        verdict = dispatch.go_on(dispatch, look, talk.follow)
        check(verdict == CERTAIN or verdict == NO, b"verdict of a follower")
    elif not talk.is_asked:
        verdict = dispatch.decide(dispatch, look)
        check(verdict == CERTAIN or verdict == NO or verdict == ASK, b"verdict")
    if verdict == CERTAIN:
        check(look.app < N_NATIVE_APPS and look.follow < N_FOLLOWERS and look.n_title <= MAX_NAME, b"finding")
        talk.follow = look.follow
        note_detail(look.notes, look.token, TITLE, look.title, look.n_title)
    elif verdict == ASK:
        talk.is_asked = True
        kind = dispatch.may_announce(dispatch, look)
        check(NOTHING <= kind <= OUTRIGHT, b"announcement")
        check(look.n_likely <= MAX_LIKELY, b"number of what is likely")
    check(hellos[N_HELLOS - 1].n <= MAX_STREAM, b"length of a hello")


cdef void show_copy(const uint8_t* data, uint32_t n, const uint8_t* head, uint8_t side, uint32_t at, Talk* talk) noexcept nogil:
    """Show a payload in a block of its size: the sanitizer sees a byte too far.  at: its place in the conversation."""
    cdef Look look
    cdef uint8_t* copy = <uint8_t*>malloc(n)
    memcpy(copy, data, n)
    memset(&look, GARBAGE, sizeof(Look))
    look.data, look.n, look.protocol = copy, n, UDP if head[0] & 1 else TCP
    look.may_be_announced = head[0] >> 1 & 1
    look.from_a = not side
    look.src, look.dst = hosts[head[0] >> 2 & 7][side], hosts[head[0] >> 2 & 7][1 - side]
    look.src_port, look.dst_port = be16_at(head + 1 + 2 * side), be16_at(head + 3 - 2 * side)
    look.ts_ns, look.token, look.notes = at, talk.token, &notes
    look.hellos, look.memos = hellos, memos
    show(&look, talk)
    free(copy)


cdef public int LLVMFuzzerTestOneInput(const uint8_t* data, size_t n) noexcept nogil:
    global n_inputs
    cdef const uint8_t* at = data + HEAD_BYTES
    cdef const uint8_t* end = data + n
    cdef const uint8_t* stop
    cdef uint32_t _i, n_shown = 0, n_times, n_payload
    cdef Talk talk
    if n <= HEAD_BYTES:
        return 0
    # A token of its own, so that nothing kept of another input is found; and the last place for its hello, at the block's end.
    n_inputs += 1
    talk.token, talk.follow, talk.is_asked = n_inputs * N_HELLOS + N_HELLOS - 1, 0, False
    while at < end and n_shown < max_payloads:
        stop = <const uint8_t*>memmem(at, end - at, separator, sizeof(separator))
        if stop == NULL:
            stop = end
        n_times = 1 + (data[0] >> 5) if stop == end else 1
        n_payload = 0 if stop == at else min(<uint32_t>(stop - at) - 1, max_payload)
        for _i in range(n_times if n_payload else 0):
            show_copy(at + 1, n_payload, data, at[0] & 1, n_shown, &talk)
            n_shown += 1
        if stop == end:
            break
        at = stop + sizeof(separator)
    drain_notes()
    return 0
