"""Captures of many frames between many hosts, made at once in numpy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from builders import pcap_file
from numpy.testing import assert_array_equal

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fastmon.model.snapshot import Snapshot

RAW = 101
RECORD = np.dtype(
    [
        ("seconds", "<u4"),
        ("microseconds", "<u4"),
        ("cap_len", "<u4"),
        ("wire_len", "<u4"),
        ("version_and_length", "u1"),
        ("up_to_the_addresses", "u1", 11),
        ("src", ">u4"),
        ("dst", ">u4"),
    ]
)
"""A pcap record with an IPv4 header."""


def pairs(n_hosts: int, n_frames: int, seed: int = 1) -> NDArray[np.void]:
    """Return the records of frames between `n_hosts` random addresses, each of which is in one at least; a second apart."""
    numbers = np.random.default_rng(seed)
    addresses = numbers.choice(1 << 32, n_hosts, replace=False).astype(np.uint32)
    ends = np.concatenate([numbers.permutation(n_hosts), numbers.integers(0, n_hosts, 2 * n_frames - n_hosts)])
    records = np.zeros(n_frames, RECORD)
    records["src"], records["dst"] = addresses[ends].reshape(2, n_frames)
    records["wire_len"] = numbers.integers(0, 65536, n_frames)
    records["seconds"] = np.arange(n_frames)
    records["cap_len"] = RECORD["src"].itemsize + RECORD["dst"].itemsize + 12
    records["version_and_length"] = 0x45
    return records


def write(path: Path, records: NDArray[np.void]) -> Path:
    """Write a pcap file."""
    path.write_bytes(pcap_file([], link_type=RAW) + records.tobytes())
    return path


def assert_true(snapshot: Snapshot, records: NDArray[np.void]) -> None:
    """Compare the hosts of a snapshot with what numpy makes of the records, which are all of its interval."""
    addresses, where = np.unique(np.concatenate([records["dst"], records["src"]]), return_inverse=True)
    keys = np.ascontiguousarray(snapshot.hosts["key"])
    assert (keys[:, :12] == np.frombuffer(bytes(10) + b"\xff\xff", np.uint8)).all()
    order = np.argsort(keys.view(">u4")[:, 3])
    hosts = snapshot.hosts[order]
    assert_array_equal(keys.view(">u4")[order, 3], addresses)
    for direction, ends in zip(("in", "out"), np.split(where, 2), strict=True):
        assert_array_equal(hosts[f"packets_{direction}"], np.bincount(ends, minlength=len(addresses)))
        assert_array_equal(hosts[f"bytes_{direction}"], np.bincount(ends, records["wire_len"], len(addresses)))


def assert_true_times(snapshot: Snapshot, records: NDArray[np.void]) -> None:
    """Compare when hosts were first and last seen with what numpy makes of the records, which are all since the start."""
    addresses, where = np.unique(np.concatenate([records["dst"], records["src"]]), return_inverse=True)
    times_ns = np.tile(records["seconds"].astype(np.int64) * 10**9, 2)
    first, last = np.full(len(addresses), 1 << 62), np.full(len(addresses), -1)
    np.minimum.at(first, where, times_ns)
    np.maximum.at(last, where, times_ns)
    hosts = snapshot.hosts[np.argsort(np.ascontiguousarray(snapshot.hosts["key"]).view(">u4")[:, 3])]
    assert_array_equal(hosts["first_seen_ns"], first)
    assert_array_equal(hosts["last_seen_ns"], last)
