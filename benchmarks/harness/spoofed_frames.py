#!/usr/bin/env python3
"""Writes a capture of spoofed sources to stdout: spoofed_frames.py FRAMES SEED.

Each frame has a source of its own, IPv4 and IPv6 in turn, random ports and a random payload, and goes to one of 200 local hosts
in turn. After a silence, 100,000 frames follow from 1,000 remote hosts of IPv4 in turn. So the truth of the local hosts, and of
what comes after, is known without counting (`truth`).
"""

from __future__ import annotations

import ipaddress
import struct
import sys
from typing import Any

import numpy as np

__all__ = ["LOCAL", "truth"]

LOCAL = ("10.0.0.0/24", "fd00:1::/64")
N_TARGETS, N_AFTER, N_PEERS = 200, 100_000, 1_000
START_S, RATE, SILENCE_S, AT_ONCE = 1_767_225_600, 1_000_000, 600, 200_000
MASK, FIRST = np.array([0x1F, 0xFF, 0xFF, 0xFF], np.uint8), np.array([0x20, 0, 0, 0], np.uint8)
"""Of spoofed sources of IPv4: they are of 32.0.0.0/3."""
FRAME_BYTES = 14 + 40 + 8 + 8
ROW = np.dtype([("seconds", "<u4"), ("micros", "<u4"), ("lengths", "<u4", 2), ("frame", "u1", FRAME_BYTES)])


def targets() -> list[str]:
    """Return the local hosts, IPv4 and IPv6 in turn, as the frames go to them."""
    return [
        f"10.0.0.{n // 2 + 1}" if n % 2 == 0 else str(ipaddress.ip_address(f"fd00:1::{n // 2 + 1:x}")) for n in range(N_TARGETS)
    ]


def peers() -> list[str]:
    """Return the remote hosts that come afterwards."""
    return [str(ipaddress.ip_address((198 << 24 | 18 << 16) + n)) for n in range(N_PEERS)]


def truth(n_frames: int) -> dict[str, Any]:
    """Return the frames and bytes of all, and of the local hosts and the later peers: packets in and out."""
    n_each, n_rest = divmod(n_frames, N_TARGETS)
    n_later, n_per_peer = N_AFTER * 2 // N_TARGETS, N_AFTER // N_PEERS
    hosts = {host: {"packets_in": n_each + (n < n_rest) + n_later * (n % 2 == 0)} for n, host in enumerate(targets())}
    hosts |= {host: {"packets_out": n_per_peer} for host in peers()}
    frames = n_frames + N_AFTER
    return {"frames": frames, "bytes": frames * FRAME_BYTES, "hosts": hosts}


def frames_of(first: int, count: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return Ethernet frames to the local hosts, from nobody yet, with zero as payload."""
    numbers = np.arange(first, first + count) % N_TARGETS
    frames = np.zeros((count, FRAME_BYTES), np.uint8)
    v4, v6 = numbers % 2 == 0, numbers % 2 == 1
    frames[:, :12] = np.frombuffer(bytes.fromhex("020000000001020000000002"), np.uint8)
    head = struct.pack("!HBBHHHBBH", 0x0800, 0x45, 0, FRAME_BYTES - 14, 0, 0, 64, 17, 0)
    frames[v4, 12:26] = np.frombuffer(head, np.uint8)
    frames[v4, 30:33] = 10, 0, 0
    frames[v4, 33] = numbers[v4] // 2 + 1
    frames[v4, 38:40] = 0, FRAME_BYTES - 34
    frames[v6, 12:22] = np.frombuffer(struct.pack("!HIHBB", 0x86DD, 6 << 28, FRAME_BYTES - 54, 17, 64), np.uint8)
    frames[v6, 38:42] = 0xFD, 0, 0, 1
    frames[v6, 53] = numbers[v6] // 2 + 1
    frames[v6, 58:60] = 0, FRAME_BYTES - 54
    return frames


def write(rows_of: np.ndarray[Any, np.dtype[np.uint8]], times_us: np.ndarray[Any, np.dtype[np.int64]]) -> None:
    """Write records."""
    rows = np.zeros(len(rows_of), ROW)
    rows["seconds"], rows["micros"] = START_S + times_us // 1_000_000, times_us % 1_000_000
    rows["lengths"], rows["frame"] = FRAME_BYTES, rows_of
    sys.stdout.buffer.write(rows.tobytes())


def main() -> None:
    """Write the capture."""
    n_frames, random = int(sys.argv[1]), np.random.default_rng(int(sys.argv[2]))
    sys.stdout.buffer.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1))
    for first in range(0, n_frames, AT_ONCE):
        count = min(AT_ONCE, n_frames - first)
        frames, noise = frames_of(first, count), random.integers(0, 256, (count, 28), np.uint8)
        v4 = np.arange(first, first + count) % 2 == 0
        frames[v4, 26:30] = noise[v4, :4] & MASK | FIRST  # none is local, none a later peer
        frames[~v4, 22:38] = noise[~v4, :16]
        frames[~v4, 22] = 0x20
        frames[v4, 34:38], frames[~v4, 54:58] = noise[v4, 16:20], noise[~v4, 16:20]
        frames[v4, 42:50], frames[~v4, 62:70] = noise[v4, 20:28], noise[~v4, 20:28]
        write(frames, (first + np.arange(count)) * 1_000_000 // RATE)
    numbers = np.arange(N_AFTER)
    frames = frames_of(0, 2 * N_AFTER)[::2]
    frames[:, 26:30] = (np.uint32(198 << 24 | 18 << 16) + numbers % N_PEERS).astype(">u4").view(np.uint8).reshape(-1, 4)
    frames[:, 34:38] = 0x30, 0x39, 0, 53
    write(frames, n_frames * 1_000_000 // RATE + SILENCE_S * 1_000_000 + numbers * 1_000)


if __name__ == "__main__":
    main()
