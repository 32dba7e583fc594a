"""Open libpcap handles of live interfaces (pcap(3PCAP)): configure them, ask them for losses, close them.

A `Handle` is fastmon's own, or pypcap's (`native/pypcap_handle.pyx`). Its methods hold the interpreter's lock to their end, so
several threads may call them. It stays open while a `LiveReader` drains it.

What it does not do: read frames (`native/live_reader.pyx`), choose options, know what an interface is for.
"""

from fastmon.errors import CaptureError, ClosedCaptureError, ConfigError

from libc.stdint cimport uint32_t

from fastmon.native.libpcap cimport (
    PCAP_ERRBUF_SIZE, PCAP_ERROR, PCAP_NETMASK_UNKNOWN, PCAP_TSTAMP_PRECISION_NANO, bpf_program, pcap_activate,
    pcap_close, pcap_compile, pcap_create, pcap_datalink, pcap_findalldevs, pcap_freealldevs, pcap_freecode,
    pcap_get_selectable_fd, pcap_geterr, pcap_if_t, pcap_lookupnet, pcap_set_buffer_size, pcap_set_promisc, pcap_set_snaplen,
    pcap_set_timeout, pcap_set_tstamp_precision, pcap_setdirection, pcap_setfilter, pcap_stat, pcap_stats, pcap_statustostr,
    pcap_t,
)


cdef str text_of(const char* words):
    return (<bytes>words).decode("utf-8", "replace").strip()


cdef class Handle:
    """A handle that `open_handle` opened. Each method raises ClosedCaptureError once it is closed."""

    cdef pcap_t* pointer(self) noexcept:
        """Return libpcap's handle; NULL if it is closed."""
        return self.handle

    cdef pcap_t* check(self) except NULL:
        cdef pcap_t* handle = self.pointer()
        if handle == NULL:
            raise ClosedCaptureError("the capture is closed")
        return handle

    @property
    def fd(self):
        """The descriptor to wait on for frames."""
        return pcap_get_selectable_fd(self.check())

    @property
    def link_type(self):
        return pcap_datalink(self.check())

    def set_filter(self, str text not None, uint32_t netmask=PCAP_NETMASK_UNKNOWN):
        """Let the kernel hand out only the frames that match an expression, pcap-filter(7); an empty one matches all.

        netmask: of the interface's IPv4 network, in network order; only "ip broadcast" needs it.

        Raises ConfigError with libpcap's words.
        """
        cdef pcap_t* handle = self.check()
        cdef bpf_program program
        if pcap_compile(handle, &program, text.encode(), True, netmask) == PCAP_ERROR:
            raise ConfigError(text_of(pcap_geterr(handle)))
        try:
            if pcap_setfilter(handle, &program) == PCAP_ERROR:
                raise ConfigError(text_of(pcap_geterr(handle)))
        finally:
            pcap_freecode(&program)

    def set_direction(self, int direction):
        """Account only one direction: 0 both, 1 received, 2 sent. Raises CaptureError."""
        cdef pcap_t* handle = self.check()
        if pcap_setdirection(handle, direction) < 0:
            raise CaptureError(text_of(pcap_geterr(handle)))

    def statistics(self):
        """Return (frames captured, lost in the kernel, lost at the interface) since the opening, each modulo 2**32."""
        cdef pcap_t* handle = self.check()
        cdef pcap_stat statistics
        if pcap_stats(handle, &statistics) == PCAP_ERROR:
            raise CaptureError(text_of(pcap_geterr(handle)))
        return statistics.ps_recv, statistics.ps_drop, statistics.ps_ifdrop

    def close(self):
        """Close the handle; a second call does nothing. Raises RuntimeError while it has a reader."""
        if self.has_reader:
            raise RuntimeError("the handle has a reader that is not closed")
        if self.handle != NULL:
            pcap_close(self.handle)
            self.handle = NULL

    def __dealloc__(self):
        if self.handle != NULL:
            pcap_close(self.handle)


def open_handle(str interface not None, *, int snaplen, int buffer_bytes, int timeout_ms, bint promiscuous):
    """Return a `Handle` of an interface.

    snaplen: bytes captured of each frame.  buffer_bytes: of the kernel's ring.  timeout_ms: after which the kernel hands over a
    part of its ring that is not full.

    Raises CaptureError with libpcap's words.
    """
    cdef char[PCAP_ERRBUF_SIZE] message
    cdef Handle opened = Handle()
    cdef int status
    opened.handle = pcap_create(interface.encode(), message)
    if opened.handle == NULL:
        raise CaptureError(text_of(message))
    # None of these fails before the handle is active; nanoseconds where there are none give microseconds.
    pcap_set_snaplen(opened.handle, snaplen)
    pcap_set_buffer_size(opened.handle, buffer_bytes)
    pcap_set_timeout(opened.handle, timeout_ms)
    pcap_set_promisc(opened.handle, promiscuous)
    pcap_set_tstamp_precision(opened.handle, PCAP_TSTAMP_PRECISION_NANO)
    status = pcap_activate(opened.handle)
    if status < 0:  # above 0 it is a warning
        detail = text_of(pcap_geterr(opened.handle))
        summary = text_of(pcap_statustostr(status))
        raise CaptureError(detail if status == PCAP_ERROR or summary in detail
                           else f"{summary} ({detail})" if detail else summary)
    return opened


def netmask_of(str interface not None):
    """Return an interface's IPv4 netmask for `Handle.set_filter`."""
    cdef char[PCAP_ERRBUF_SIZE] message
    cdef uint32_t network, netmask
    if pcap_lookupnet(interface.encode(), &network, &netmask, message) == PCAP_ERROR:
        return PCAP_NETMASK_UNKNOWN
    return netmask


def device_names():
    """Return the names of what can be captured from, in libpcap's order. Raises CaptureError with its words."""
    cdef char[PCAP_ERRBUF_SIZE] message
    cdef pcap_if_t* devices
    cdef pcap_if_t* device
    if pcap_findalldevs(&devices, message) == PCAP_ERROR:
        raise CaptureError(text_of(message))
    names = []
    try:
        device = devices
        while device != NULL:
            names.append(text_of(device.name))
            device = device.next
    finally:
        pcap_freealldevs(devices)
    return names
