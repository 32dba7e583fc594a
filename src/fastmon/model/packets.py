"""The records of the packet log, one for each frame.

What it does not do: write them; `sinks.packet_files` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from fastmon.model.frames import Frame, PacketSummary

__all__ = ["KNOWN_PORTS", "KNOWN_PROTOCOL", "KNOWN_TCP_FLAGS", "MAX_RECORDS", "PACKET_DTYPE", "packet_record"]

PACKET_DTYPE = np.dtype(
    [
        ("ts_ns", "i8"),
        ("src", "u1", (16,)),
        ("dst", "u1", (16,)),
        ("wire_len", "u4"),
        ("src_port", "u2"),
        ("dst_port", "u2"),
        ("status", "u1"),
        ("known", "u1"),
        ("protocol", "u1"),
        ("tcp_flags", "u1"),
        ("unused", "u4"),
    ]
)
"""One frame: 56 bytes. `status` is a `frames.FrameStatus`. The addresses are set if it is IP, other fields as `known` says."""

KNOWN_PROTOCOL, KNOWN_PORTS, KNOWN_TCP_FLAGS = 1, 2, 4
"""Bits of `known`: the fields that were captured, and are set."""

MAX_RECORDS = 1 << 16
"""Most records that an accountant keeps until they are taken."""


def packet_record(frame: Frame, summary: PacketSummary) -> tuple[object, ...]:
    """Return the record of a frame and its decoded `summary`, as the fields of `PACKET_DTYPE`."""
    src_port, dst_port = summary.ports or (0, 0)
    known = (
        (KNOWN_PROTOCOL if summary.protocol is not None else 0)
        | (KNOWN_PORTS if summary.ports is not None else 0)
        | (KNOWN_TCP_FLAGS if summary.tcp_flags is not None else 0)
    )
    keys = (tuple(summary.src or bytes(16)), tuple(summary.dst or bytes(16)))
    numbers = (src_port, dst_port, int(summary.status), known, summary.protocol or 0, summary.tcp_flags or 0, 0)
    return (frame.ts_ns, *keys, frame.wire_len, *numbers)
