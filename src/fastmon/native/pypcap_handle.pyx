"""The libpcap handle of a pypcap object, as a `Handle`. Needs pypcap when it is imported.

What it does not do: open one.
"""

from fastmon.errors import ClosedCaptureError

from fastmon.native.libpcap cimport pcap_t
from fastmon.native.live.pypcap cimport pcap
from fastmon.native.live_handle cimport Handle

cimport cython

# The identities of pypcap's objects that have an open handle here: two readers could drain one at once.
cdef set sources_in_use = set()


@cython.no_gc_clear  # `__dealloc__` needs `source`
cdef class PypcapHandle(Handle):
    """The handle of a `pcap.pcap` object, of an interface or a file, which should not be used otherwise any more.

    Raises ClosedCaptureError if the object has an open `PypcapHandle`.
    """

    cdef pcap source

    def __cinit__(self, pcap source not None):
        if id(source) in sources_in_use:
            raise ClosedCaptureError("the handle is in use")
        self.source = source
        sources_in_use.add(id(source))

    def __dealloc__(self):
        self.release()

    cdef void release(self) noexcept:
        if self.source is not None:
            sources_in_use.discard(id(self.source))
            self.source = None

    cdef pcap_t* pointer(self) noexcept:
        return NULL if self.source is None else self.source.handle

    def close(self):
        """Close pypcap's object; a second call does nothing. Raises RuntimeError while it has a reader."""
        Handle.close(self)
        is_open = self.pointer() != NULL
        source = self.source
        self.release()
        if is_open:  # else pypcap would crash
            source.close()
