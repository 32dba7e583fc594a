"""A file read to its end, by both ways of reading, and the frames that most tests put into files."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

import builders as b
from replays import replay

from fastmon.accounting import make_accountant
from fastmon.capture import open_offline
from fastmon.errors import CaptureError
from fastmon.model.frames import Frame
from fastmon.model.snapshot import Count

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

T0 = 1_767_225_600 * 10**9
"""2026-01-01T00:00:00Z."""

PACKET = b.ethernet(b.IPV4, b.ipv4("10.0.0.1", "192.0.2.1", b.udp(1, 2)))
FRAMES = [
    Frame(T0, len(PACKET), 1, PACKET),
    Frame(T0 + 1_000_001_000, 1514, 1, PACKET[:35]),  # of an odd length, cut by the snaplen
    Frame(T0 + 500_000, 60, 1, b.ethernet(b.ARP, bytes(46))),  # time runs back
    Frame(T0 + 2_000_000_000, 1000, 1, b""),
    Frame(T0 + 3_000_000_000, 2**32 - 1, 1, PACKET),
]


class Reading(NamedTuple):
    """The frames of a file, and the error with which reading it ended."""

    frames: list[Frame]
    error: CaptureError | None = None


def read_frames(path: Path, *, filter: str | None = None, max_frames: int = 3) -> Reading:
    """Read a file frame by frame."""
    frames: list[Frame] = []
    try:
        with open_offline(str(path), filter=filter) as source:
            while not source.exhausted:
                frames += source.read(max_frames)
    except CaptureError as error:
        return Reading(frames, error)
    return Reading(frames)


def read_file(path: Path) -> Reading:
    """Read a file, and check that accounting it comes to as many frames and bytes, and to the same end."""
    frames, error = read_frames(path)
    summary, accounting_error = replay(path, make_accountant())
    assert (type(accounting_error), str(accounting_error)) == (type(error), str(error))
    assert summary.counters.frames == Count(len(frames), sum(frame.wire_len for frame in frames))
    return Reading(frames, error)


def snoop_file(frames: Iterable[Frame], *, link_type: int = 4, version: int = 2, padding: int = 0) -> bytes:
    """Return a snoop file (RFC 1761), whose link types are its own."""
    file = b"snoop\0\0\0" + struct.pack(">II", version, link_type)
    for frame in frames:
        seconds, nanos = divmod(frame.ts_ns, 1_000_000_000)
        length = 24 + len(frame.data) + padding
        file += struct.pack(">IIIIII", frame.wire_len, len(frame.data), length, 0, seconds, nanos // 1000)
        file += frame.data + bytes(padding)
    return file


def pcapng_file(frames: Iterable[Frame], byte_order: str = "<", **interface: int) -> bytes:
    """Return a pcapng file with one interface."""
    file = b.PcapngFile(byte_order)
    file.interface(**interface)
    for frame in frames:
        file.packet(frame)
    return bytes(file)
