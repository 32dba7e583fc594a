"""Reads and writes pcap files frame by frame, for `multiply.py`. It shares no code with fastmon, which reads what is written.

Files of other formats (pcapng, compressed ones) are converted first, by `gzip` and `tcpdump`.
"""

from __future__ import annotations

import gzip
import os
import shutil
import struct
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from .case import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["FileHeader", "Frame", "plain", "reading"]

MICRO, NANO = 0xA1B2C3D4, 0xA1B23C4D
GZIP, SECTION_BLOCK = b"\x1f\x8b", b"\x0a\x0d\x0d\x0a"
MAX_FRAME = 1 << 24
"""A record that claims to be longer is damaged."""
MINUTES = 60


class FileHeader(NamedTuple):
    """What a file says of itself.  order: "<" or ">", as `struct` has it."""

    order: str
    magic: int
    snaplen: int
    link_type: int

    def pack(self) -> bytes:
        """Return the header of a little-endian file of the same kind."""
        return struct.pack("<IHHiIII", self.magic, 2, 4, 0, 0, self.snaplen, self.link_type)


class Frame(NamedTuple):
    """One record; `fraction` is in the file's unit."""

    seconds: int
    fraction: int
    wire_len: int
    data: bytes

    def record_header(self) -> bytes:
        """Return the header of a little-endian record."""
        return struct.pack("<IIII", self.seconds, self.fraction, len(self.data), self.wire_len)


def header_of(start: bytes) -> FileHeader | None:
    """Return the header that a pcap file begins with, None if it is no pcap file."""
    if len(start) < 24:
        return None
    for order in "<>":
        magic, _, _, _, _, snaplen, link_type = struct.unpack(order + "IHHiIII", start[:24])
        if magic in {MICRO, NANO}:
            return FileHeader(order, magic, snaplen, link_type & 0xFFFF)
    return None


@contextmanager
def reading(path: Path) -> Iterator[tuple[FileHeader, Iterator[Frame]]]:
    """Open a pcap file; its frames end where it ends or is damaged."""
    with path.open("rb", buffering=1 << 20) as file:
        header = header_of(file.read(24))
        if header is None:
            raise UnavailableError(f"{path.name}: not a pcap file")
        record = struct.Struct(header.order + "IIII")

        def frames() -> Iterator[Frame]:
            while len(start := file.read(16)) == 16:
                seconds, fraction, cap_len, wire_len = record.unpack(start)
                if cap_len > MAX_FRAME:
                    return
                data = file.read(cap_len)
                if len(data) < cap_len:
                    return
                yield Frame(seconds, fraction, wire_len, data)

        yield header, frames()


def plain(path: Path, folder: Path) -> Path:
    """Return a pcap file with the capture's frames: itself, or a conversion in `folder`."""
    with path.open("rb") as file:
        start = file.read(24)
    if start.startswith(GZIP):
        unpacked = folder / "unpacked"
        with gzip.open(path) as packed, unpacked.open("wb") as file:
            shutil.copyfileobj(packed, file, 1 << 20)
        return plain(unpacked, folder)
    if not start.startswith(SECTION_BLOCK):
        return path
    converted = folder / "converted.pcap"
    as_root = ["-Z", "root"] if os.geteuid() == 0 else []  # else it gives up the right to write there
    done = subprocess.run(
        ["tcpdump", *as_root, "-r", path, "-w", converted], capture_output=True, text=True, check=False, timeout=20 * MINUTES
    )
    if done.returncode:
        raise UnavailableError(f"{path.name}: tcpdump does not convert it: {done.stderr.strip()[-200:]}")
    return converted
