"""Frames by the million: headers as numpy arrays, stamped and packed into a pcap file block by block.

What it does not do: choose who talks to whom (`workloads`), keep a capture in memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from .maker import START_NS
from .savefile import MICROSECONDS, NANOSECONDS, pcap

if TYPE_CHECKING:
    from pathlib import Path
    from typing import TypeAlias

    from numpy.typing import NDArray

    Rows: TypeAlias = NDArray[np.void]

__all__ = [
    "ADDRESSES_END",
    "ROW",
    "Options",
    "Workload",
    "transport",
    "write",
    "write_ipv4",
    "write_ipv6",
]

ETHERNET = 1
BLOCK_FRAMES = 1 << 16
RECORD_LEN, HEAD_LEN = 16, 96
ADDRESSES_END = 54  # of IPv6 over Ethernet
TCP = 6

RECORD_FIELDS = {"seconds": ("<u4", 0), "fraction": ("<u4", 4), "cap_len": ("<u4", 8), "wire_len": ("<u4", 12)}
ETHERNET_FIELDS = {"macs": ("V12", 16), "ethertype": (">u2", 28)}
IPV4_FIELDS = {
    "version": ("u1", 30),
    "total_len": (">u2", 32),
    "flags": (">u2", 36),
    "ttl": ("u1", 38),
    "protocol": ("u1", 39),
    "checksum": (">u2", 40),
    "src": (">u4", 42),
    "dst": (">u4", 46),
    "transport": ("V20", 50),
}
IPV6_FIELDS = {
    "version": ("u1", 30),
    "payload_len": (">u2", 34),
    "next_header": ("u1", 36),
    "hops": ("u1", 37),
    "src": ("V16", 38),
    "dst": ("V16", 54),
    "transport": ("V20", 70),
}
TCP_OR_UDP_FIELDS = {
    "src_port": (">u2", 0),
    "dst_port": (">u2", 2),
    "udp_len": (">u2", 4),
    "tcp_seq": (">u4", 4),
    "tcp_ack": (">u4", 8),
    "tcp_words": ("u1", 12),
    "tcp_flags": ("u1", 13),
    "tcp_window": (">u2", 14),
}


def record_dtype(fields: dict[str, tuple[str, int]], size: int) -> np.dtype[np.void]:
    """Return the dtype of a record of `size` bytes with these fields at these offsets."""
    formats, offsets = zip(*fields.values(), strict=True)
    return np.dtype({"names": list(fields), "formats": list(formats), "offsets": list(offsets), "itemsize": size})


ROW = record_dtype(RECORD_FIELDS, RECORD_LEN + HEAD_LEN)
ROW4 = record_dtype(RECORD_FIELDS | ETHERNET_FIELDS | IPV4_FIELDS, RECORD_LEN + HEAD_LEN)
ROW6 = record_dtype(RECORD_FIELDS | ETHERNET_FIELDS | IPV6_FIELDS, RECORD_LEN + HEAD_LEN)
TRANSPORT = record_dtype(TCP_OR_UDP_FIELDS, 20)
"""A pcap record header and a frame's first 96 bytes; the last three views are of the same 112 bytes."""


@dataclass(frozen=True, slots=True)
class Options:
    """What all large captures have in common.

    rate: frames a second by their timestamps.  snaplen: 0 for whole frames.
    """

    frames: int
    snaplen: int = 0
    rate: int = 1_000_000
    nanoseconds: bool = False
    seed: int = 0


class Workload(Protocol):
    """Chooses frames."""

    def rows(self, first: int, count: int) -> Rows:
        """Return the records of `count` frames from number `first` on: (count,) `ROW`, not cut and without their times."""
        ...

    def truth(self) -> dict[str, Any]:
        """Return the totals of all rows returned so far."""
        ...


def write(path: Path, workload: Workload, options: Options) -> dict[str, Any]:
    """Write a capture; return its totals."""
    magic = NANOSECONDS if options.nanoseconds else MICROSECONDS
    packer = Packer(options.seed)
    with path.open("wb") as file:
        file.write(pcap([], ETHERNET, magic=magic, snaplen=options.snaplen or 262144))
        for first in range(0, options.frames, BLOCK_FRAMES):
            rows = workload.rows(first, min(BLOCK_FRAMES, options.frames - first))
            stamp(rows, first, options)
            if options.snaplen:
                np.minimum(rows["cap_len"], options.snaplen, out=rows["cap_len"])
            file.write(packer.pack(rows).data)
    return workload.truth()


def stamp(rows: Rows, first: int, options: Options) -> None:
    """Set the times of records: the frame number divided by the rate."""
    since_ns = np.arange(first, first + len(rows), dtype=np.int64) * 10**9 // options.rate
    seconds, fraction = np.divmod(since_ns, 10**9)
    rows["seconds"] = START_NS // 10**9 + seconds
    rows["fraction"] = fraction if options.nanoseconds else fraction // 1000


class Packer:
    """Packs records of various lengths into one run of bytes."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.payload = np.empty(0, np.uint8)
        self.buffer = np.empty(0, np.uint8)

    def pack(self, rows: Rows) -> NDArray[np.uint8]:
        """Return the records' bytes, the part of a frame that is not in its row being random; valid until the next call."""
        lengths = RECORD_LEN + rows["cap_len"].astype(np.int64)
        ends = np.cumsum(lengths)
        size = int(ends[-1])
        self.reserve(size + rows.itemsize)
        if lengths.max() > rows.itemsize:
            self.buffer[:size] = self.payload[:size]
        # Every record is written with a whole row's length: what is too much for a short one, the next one overwrites.
        opaque_row = np.dtype(f"V{rows.itemsize}")
        anywhere: Rows = np.ndarray((size,), opaque_row, self.buffer.data, strides=(1,))
        anywhere[ends - lengths] = rows.view(opaque_row)
        return self.buffer[:size]

    def reserve(self, size: int) -> None:
        """Make room for `size` bytes."""
        if len(self.buffer) < size:
            self.payload = np.frombuffer(self.random.bytes(size), np.uint8)
            self.buffer = np.zeros(size, np.uint8)


def transport(protocol: NDArray[Any], src_port: NDArray[Any], dst_port: NDArray[Any], udp_len: NDArray[Any]) -> Rows:
    """Return TCP headers (an ACK) and UDP headers, (n,) `TRANSPORT`; the bytes after a UDP header are payload."""
    headers: Rows = np.zeros(len(protocol), TRANSPORT)
    headers["src_port"], headers["dst_port"] = src_port, dst_port
    is_tcp = protocol == TCP
    headers["tcp_ack"] = is_tcp
    headers["tcp_words"] = np.where(is_tcp, 0x50, 0)
    headers["tcp_flags"] = np.where(is_tcp, 0x10, 0)
    headers["tcp_window"] = np.where(is_tcp, 0xFFFF, 0)
    headers["udp_len"] = np.where(is_tcp, 0, udp_len)
    return headers


def write_ipv4(rows: Rows, src: NDArray[Any], dst: NDArray[Any], protocol: NDArray[Any], wire_len: NDArray[Any]) -> Rows:
    """Fill records with Ethernet and IPv4 headers; return them as `ROW4`."""
    out = rows.view(ROW4)
    out["macs"] = np.void(bytes.fromhex("02005e10000202005e100001"))
    out["ethertype"] = 0x0800
    out["version"] = 0x45
    out["cap_len"] = out["wire_len"] = wire_len
    out["total_len"] = wire_len - 14
    out["flags"] = 0x4000
    out["ttl"] = 64
    out["protocol"], out["src"], out["dst"] = protocol, src, dst
    words = 0x4500 + 0x4000 + 0x4000 + (wire_len - 14) + protocol + (src >> 16) + (src & 0xFFFF) + (dst >> 16) + (dst & 0xFFFF)
    folded = (words & 0xFFFF) + (words >> 16)
    out["checksum"] = ~((folded & 0xFFFF) + (folded >> 16)) & 0xFFFF
    return out


def write_ipv6(rows: Rows, src: Rows, dst: Rows, protocol: NDArray[Any], wire_len: NDArray[Any]) -> Rows:
    """Fill records with Ethernet and IPv6 headers; return them as `ROW6`."""
    out = rows.view(ROW6)
    out["macs"] = np.void(bytes.fromhex("02005e10000202005e100001"))
    out["ethertype"] = 0x86DD
    out["version"] = 0x60
    out["cap_len"] = out["wire_len"] = wire_len
    out["payload_len"] = wire_len - 54
    out["hops"] = 64
    out["next_header"], out["src"], out["dst"] = protocol, src, dst
    return out
