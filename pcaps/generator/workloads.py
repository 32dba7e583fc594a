"""Who talks to whom in the large captures: a mix of conversations, floods of sources and of conversations.

Totals are counted from the choices made here. What it does not do: write files (`blocks`).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .blocks import ROW, transport, write_ipv4, write_ipv6
from .truth import REASONS, hosts_sha256

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .blocks import Rows

__all__ = ["ConversationFlood", "Mix", "SourceFlood"]

TCP, UDP = 6, 17
LOCAL4, REMOTE4 = int(ipaddress.ip_address("10.0.0.1")), int(ipaddress.ip_address("172.16.0.1"))
LOCAL6, REMOTE6 = int(ipaddress.ip_address("2001:db8:1::1")), int(ipaddress.ip_address("2001:db8:2::1"))
TARGET4 = int(ipaddress.ip_address("192.0.2.1"))
SERVICES = np.array([443, 80, 53, 8080, 22, 3478, 5222, 993])
IMIX_WIRE_LENS = np.array([60, 590, 1514])  # without FCS
IMIX_PARTS = np.repeat(np.arange(3), (7, 4, 1))  # of twelve frames
PAYLOAD_AT = 16 + 42  # of UDP over IPv4, in a record
SMALLEST_IPV6 = 76  # a TCP segment over IPv6 is longer than 60
MAX_LISTED_HOSTS = 100_000  # more are in the truth by their checksum only


def totals(frames: int, wire_bytes: int, hosts: list[tuple[str, int, int, int, int]]) -> dict[str, Any]:
    """Return a capture's totals, all of its frames being IP; `hosts` are rows as for `truth.hosts_sha256`."""
    none = {"frames": 0, "bytes": 0}
    truth: dict[str, Any] = {
        "error": None,
        "frames": frames,
        "bytes": wire_bytes,
        "ip": {"frames": frames, "bytes": wire_bytes},
        "non_ip": none,
        "undecoded": dict.fromkeys(REASONS, none),
        "n_hosts": len(hosts),
        "hosts_sha256": hosts_sha256(hosts),
    }
    if len(hosts) <= MAX_LISTED_HOSTS:
        columns = ("bytes_in", "bytes_out", "packets_in", "packets_out")
        truth["hosts"] = {name: dict(zip(columns, row, strict=True)) for name, *row in sorted(hosts)}
    return truth


@dataclass(frozen=True, slots=True)
class Family:
    """Hosts and conversations of one IP version; all arrays have one entry for each conversation of it.

    number: of the conversation among all.  local, remote: numbers of hosts.
    """

    number: NDArray[np.int64]
    local: NDArray[np.int64]
    remote: NDArray[np.int64]


class Mix:
    """Conversations between local and remote hosts, a tenth of each over IPv6, frames in the proportions of IMIX.

    Conversation n (from 0) is chosen with a probability proportional to 1 / (n + 1). A frame is a row of a table that has one
    for each conversation, direction and size.
    """

    def __init__(self, n_hosts: int, n_conversations: int, seed: int) -> None:
        if n_hosts < 20 or n_conversations < n_hosts:
            raise ValueError(f"{n_hosts} hosts, {n_conversations} conversations: at least 20 hosts, each in a conversation")
        self.random = np.random.default_rng(seed)
        self.popularity = shares(1 / np.arange(1, n_conversations + 1))
        self.addresses: list[int] = []
        self.heads: Rows = np.zeros((n_conversations, 2, 3), f"V{ROW.itemsize}")
        self.wire_lens = np.zeros((n_conversations, 2, 3), np.int64)
        self.src = np.zeros((n_conversations, 2, 3), np.int64)
        self.dst = np.zeros((n_conversations, 2, 3), np.int64)
        is_v6 = np.arange(n_conversations) % 10 == 3
        n_v6 = n_hosts // 10
        self.add(np.flatnonzero(~is_v6), n_hosts - n_v6, LOCAL4, REMOTE4)
        self.add(np.flatnonzero(is_v6), n_v6, LOCAL6, REMOTE6)
        self.counts = np.zeros(self.heads.size, np.int64)

    def add(self, numbers: NDArray[np.int64], n_hosts: int, first_local: int, first_remote: int) -> None:
        """Add the conversations with these numbers between `n_hosts` new hosts, a tenth of them local."""
        n_local = n_hosts // 10 or 1
        base = len(self.addresses)
        self.addresses += [first_local + n for n in range(n_local)]
        self.addresses += [first_remote + n for n in range(n_hosts - n_local)]
        family = Family(
            numbers,
            base + self.endpoints(len(numbers), n_local),
            base + n_local + self.endpoints(len(numbers), n_hosts - n_local),
        )
        for direction in (0, 1):
            for size, wire_len in enumerate(IMIX_WIRE_LENS):
                self.fill(family, direction, size, int(wire_len))

    def endpoints(self, count: int, n_hosts: int) -> NDArray[np.int64]:
        """Return `count` hosts' numbers: each host once, as far as `count` reaches, then the popular ones more often."""
        popular = shares(1 / np.arange(1, n_hosts + 1))
        chosen = popular[self.random.integers(0, len(popular), count)]
        chosen[:n_hosts] = np.arange(min(count, n_hosts))
        return chosen.astype(np.int64)

    def fill(self, family: Family, direction: int, size: int, wire_len: int) -> None:
        """Write the table's rows of one direction (0: from the local host) and size."""
        numbers, src, dst = family.number, family.local, family.remote
        src_port, dst_port = 1024 + numbers % 60000, SERVICES[numbers // 60000 % len(SERVICES)]
        if direction:
            src, dst, src_port, dst_port = dst, src, dst_port, src_port
        protocol = np.where(numbers % 5 == 2, UDP, TCP)
        rows: Rows = np.zeros(len(numbers), ROW)
        src_address, dst_address = ([self.addresses[host] for host in hosts] for hosts in (src, dst))
        if self.addresses[src[0]] < 1 << 32:
            wire_lens = np.full(len(numbers), wire_len)
            headers = write_ipv4(rows, np.array(src_address), np.array(dst_address), protocol, wire_lens)
            headers["transport"] = transport(protocol, src_port, dst_port, wire_lens - 34).view("V20")
        else:
            wire_lens = np.full(len(numbers), max(wire_len, SMALLEST_IPV6))
            headers = write_ipv6(rows, packed(src_address), packed(dst_address), protocol, wire_lens)
            headers["transport"] = transport(protocol, src_port, dst_port, wire_lens - 54).view("V20")
        self.heads[numbers, direction, size] = rows.view(self.heads.dtype)
        self.wire_lens[numbers, direction, size] = wire_lens
        self.src[numbers, direction, size] = src
        self.dst[numbers, direction, size] = dst

    def rows(self, first: int, count: int) -> Rows:
        """Return the next `count` frames' records."""
        del first
        bits = self.random.integers(0, 2**64, count, np.uint64)
        conversation = self.popularity[bits & np.uint64(len(self.popularity) - 1)]
        direction = (bits >> np.uint64(32) & np.uint64(1)).astype(np.int64)
        size = IMIX_PARTS[((bits >> np.uint64(40)) * np.uint64(12) >> np.uint64(24)).astype(np.int64)]
        chosen = (conversation * 2 + direction) * 3 + size
        self.counts += np.bincount(chosen, minlength=len(self.counts))
        heads: Rows = self.heads.reshape(-1)[chosen]
        return heads.view(ROW)

    def truth(self) -> dict[str, Any]:
        """Return the totals of all rows returned so far."""
        wire_bytes = self.counts * self.wire_lens.reshape(-1)
        columns = []
        for side in (self.dst.reshape(-1), self.src.reshape(-1)):
            for values in (wire_bytes, self.counts):
                column = np.zeros(len(self.addresses), np.int64)
                np.add.at(column, side, values)
                columns.append(column.tolist())
        bytes_in, packets_in, bytes_out, packets_out = columns
        names = (str(ipaddress.ip_address(number)) for number in self.addresses)
        hosts = [row for row in zip(names, bytes_in, bytes_out, packets_in, packets_out, strict=True) if row[3] or row[4]]
        return totals(int(self.counts.sum()), int(wire_bytes.sum()), hosts)


class SourceFlood:
    """Segments to one host, each from a source that no other frame has."""

    WIRE_LEN = 60
    MAX_FRAMES = 1 << 24

    def __init__(self, n_frames: int, seed: int) -> None:
        if n_frames > self.MAX_FRAMES:
            raise ValueError(f"{n_frames} frames: 10.0.0.0/8 has {self.MAX_FRAMES} sources")
        self.offset = int(np.random.default_rng(seed).integers(0, self.MAX_FRAMES))
        self.n_frames = 0

    def sources(self, first: int, count: int) -> NDArray[np.int64]:
        """Return the sources of these frames, scattered over 10.0.0.0/8: an odd factor maps it onto itself."""
        numbers = np.arange(first, first + count, dtype=np.int64)
        return LOCAL4 - 1 + ((numbers * 0x9E3779B1 + self.offset) % self.MAX_FRAMES)

    def rows(self, first: int, count: int) -> Rows:
        """Return these frames' records."""
        self.n_frames = max(self.n_frames, first + count)
        rows: Rows = np.zeros(count, ROW)
        src = self.sources(first, count)
        protocol, ports = np.full(count, TCP), 1024 + src % 64000
        headers = write_ipv4(rows, src, np.full(count, TARGET4), protocol, np.full(count, self.WIRE_LEN))
        headers["transport"] = transport(protocol, ports, np.full(count, 443), ports).view("V20")
        return rows

    def truth(self) -> dict[str, Any]:
        """Return the totals of all rows returned so far."""
        frames, wire_bytes = self.n_frames, self.n_frames * self.WIRE_LEN
        names = (str(ipaddress.IPv4Address(src)) for src in self.sources(0, frames).tolist())
        hosts = [(name, 0, self.WIRE_LEN, 0, 1) for name in names]
        if frames:
            hosts.append((str(ipaddress.IPv4Address(TARGET4)), wire_bytes, 0, frames, 0))
        return totals(frames, wire_bytes, hosts)


class ConversationFlood:
    """Datagrams between known hosts, each of which opens a conversation; their payloads are zeros, or random with a seed."""

    WIRE_LEN = 60
    PORTS = 60000

    def __init__(self, n_hosts: int, payload_seed: int | None = None) -> None:
        self.n_hosts = n_hosts
        self.random = None if payload_seed is None else np.random.default_rng(payload_seed)
        self.n_frames = 0

    def endpoints(self, first: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return the sources, the destinations and the source ports of these frames."""
        numbers = np.arange(first, first + count, dtype=np.int64)
        turn = numbers // self.n_hosts
        return LOCAL4 + numbers % self.n_hosts, REMOTE4 + turn // self.PORTS, 1024 + turn % self.PORTS

    def rows(self, first: int, count: int) -> Rows:
        """Return these frames' records."""
        self.n_frames = max(self.n_frames, first + count)
        rows: Rows = np.zeros(count, ROW)
        src, dst, src_port = self.endpoints(first, count)
        protocol = np.full(count, UDP)
        headers = write_ipv4(rows, src, dst, protocol, np.full(count, self.WIRE_LEN))
        headers["transport"] = transport(protocol, src_port, np.full(count, 53), np.full(count, self.WIRE_LEN - 34)).view("V20")
        if self.random is not None:
            data = rows.view(np.uint8).reshape(count, -1)
            data[:, PAYLOAD_AT : PAYLOAD_AT + self.WIRE_LEN - 42] = self.random.integers(
                0, 256, (count, self.WIRE_LEN - 42), np.uint8
            )
        return rows

    def truth(self) -> dict[str, Any]:
        """Return the totals of all rows returned so far."""
        src, dst, _ = self.endpoints(0, self.n_frames)
        hosts = []
        for column, (numbers, counts) in enumerate(np.unique(side, return_counts=True) for side in (src, dst)):
            for number, n in zip(numbers.tolist(), counts.tolist(), strict=True):
                sent, received = (n, 0) if column == 0 else (0, n)
                name = str(ipaddress.IPv4Address(number))
                hosts.append((name, received * self.WIRE_LEN, sent * self.WIRE_LEN, received, sent))
        return totals(self.n_frames, self.n_frames * self.WIRE_LEN, hosts)


def shares(weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return a table in which n stands as often as its weight says, and at least once; its length is a power of two."""
    size = 1 << max(22 if len(weights) > 1 << 16 else 18, int(4 * len(weights)).bit_length())
    edges = np.cumsum(weights) / weights.sum()
    return np.searchsorted(edges, (np.arange(size) + 0.5) / size).astype(np.int64)


def packed(addresses: list[int]) -> Rows:
    """Return IPv6 addresses as 16 bytes each."""
    return np.frombuffer(b"".join(number.to_bytes(16, "big") for number in addresses), "V16")
