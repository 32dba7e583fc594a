/* The layout of pypcap 1.3's `pcap.pcap` object, which keeps its pcap_t to itself.
 *
 * Cython declares attributes in source order (pcap.pyx, `cdef class pcap`). Its size is checked when
 * `native.readers` is imported, and pinned by a test. */
#ifndef FASTMON_PYPCAP_ABI_H
#define FASTMON_PYPCAP_ABI_H

#include <Python.h>
#include <pcap.h>

typedef struct {
    PyObject_HEAD
    pcap_t *handle;
    char *name;
    char *filter;
    char error[256];
    int data_offset;
    double precision_scale;
    long long precision_scale_ns;
    int timestamp_in_ns;
} PypcapObject;

#endif
