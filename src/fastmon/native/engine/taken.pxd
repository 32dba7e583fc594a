"""What is taken out between rotations, as lists of Python's values: payloads, limit crossings.

Each is made by a function of Python's side. If that raises, everything stays where it was.

What it does not do: lock, tell arrays (`columns.pxd`), take names (`native/classify/notes.pxd`).
"""

from libc.stdint cimport uint8_t, uint32_t

from fastmon.native.engine.hosts cimport Crossing, Hosts
from fastmon.native.engine.payloads cimport Payload, Payloads


cdef inline list take_payloads(Payloads* payloads, make):
    """Return `make(token, protocol, a_host, a_port, b_host, b_port, from_a, ts_ns, data)` of each payload, oldest first."""
    cdef uint32_t i
    cdef Payload* slot
    taken = []
    for i in range(payloads.n_filled):
        slot = &payloads.slots[i]
        taken.append(make(
            slot.token, slot.protocol, (<uint8_t*>&slot.a)[:16], slot.ports >> 16, (<uint8_t*>&slot.b)[:16],
            slot.ports & 0xFFFF, bool(slot.from_a), slot.ts_ns, slot.data[:slot.length],
        ))
    payloads.n_filled = 0
    return taken


cdef inline list take_crossings(Hosts* hosts, make):
    """Return `make(key, ts_ns, total_bytes, limit_bytes, is_local, is_late)` of each limit crossing, in their order."""
    cdef Crossing* crossing
    cdef uint32_t i
    taken = []
    for i in range(hosts.n_crossings):
        crossing = &hosts.crossings[i]
        taken.append(make((<uint8_t*>&crossing.key)[:16], crossing.ts_ns, crossing.total_bytes, hosts.limit_bytes,
                          bool(crossing.is_local), bool(crossing.is_late)))
    hosts.n_crossings = 0
    return taken
