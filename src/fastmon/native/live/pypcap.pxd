"""pypcap's object, of which the handle is needed. Its layout is mirrored in `pypcap_abi.h`."""

from fastmon.native.libpcap cimport pcap_t

cdef extern from "pypcap_abi.h":
    ctypedef class pcap.pcap [object PypcapObject, check_size error]:
        cdef pcap_t* handle
