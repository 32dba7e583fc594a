"""Gives each copy of a network addresses of its own: no two copies share one, and no copy has one of the original's.

An address keeps its kind: private ones stay private, those of a link stay on it, and an Ethernet address keeps its vendor.
Groups, broadcast, zero, loopback and reserved addresses are the same in all copies. Hosts of one network (/24, /64) stay
together, unless there are too many networks: then smaller blocks are moved.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_network
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .case import UnavailableError
from .places import IPV4, IPV6, MAC

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

__all__ = ["Images", "Renumbering", "has_copies"]

BLOCK_BITS = {IPV4: (8, 4, 0), IPV6: (0,), MAC: (0,)}
"""Of an address's number (see `number_of`): the sizes of blocks that are moved, from the one that is preferred."""
FULLEST = 0.75
"""A pool is filled up to this: finding a free block must stay quick."""
GOLDEN = 0.6180339887
CACHED = 4_000_000
"""Addresses of copies that are kept ready."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Numbers that are of one kind: ranges without their ends, in units of the greatest block or multiples of it."""

    ranges: tuple[tuple[int, int], ...]

    def __contains__(self, number: int) -> bool:
        """Whether the number is of this kind."""
        return any(low <= number < high for low, high in self.ranges)

    def size(self, bits: int) -> int:
        """Return the number of blocks."""
        return sum((high - low) >> bits for low, high in self.ranges)

    def place(self, block: int, bits: int) -> int:
        """Return a block's place among the pool's blocks."""
        before = 0
        for low, high in self.ranges:
            if low <= block << bits < high:
                return before + block - (low >> bits)
            before += (high - low) >> bits
        raise ValueError(block)

    def block(self, index: int, bits: int) -> int:
        """Return the block at a place."""
        for low, high in self.ranges:
            if index < (high - low) >> bits:
                return (low >> bits) + index
            index -= (high - low) >> bits
        raise ValueError(index)


def pool_of_v4(*networks: str) -> Pool:
    """Return the pool of some IPv4 networks."""
    found = [ip_network(network) for network in networks]
    return Pool(tuple((int(n.network_address), int(n.broadcast_address) + 1) for n in found))


def complement(low: int, high: int, pools: Iterable[Pool]) -> Pool:
    """Return the pool of what is in no other one between two numbers."""
    ranges = []
    for start, end in sorted(taken for pool in pools for taken in pool.ranges):
        ranges.append((low, start))
        low = end
    return Pool((*ranges, (low, high)))


SPECIAL_V4 = (
    pool_of_v4("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
    pool_of_v4("169.254.0.0/16"),
    pool_of_v4("100.64.0.0/10"),
)
STAYS_V4 = pool_of_v4("127.0.0.0/8")
POOLS_V4 = (*SPECIAL_V4, complement(1 << 24, 224 << 24, (*SPECIAL_V4, STAYS_V4)))
POOLS_V6 = tuple(
    Pool(((low << 48, high << 48),))
    for low, high in ((0x2000, 0x4000), (0xFC00, 0xFE00), (0xFE80, 0xFEC0), (0xFEC0, 0xFF00), (0x0100, 0x2000), (0x4000, 0xFC00))
)


def number_of(address: bytes) -> int:
    """Return the number that copies change: an IPv6 address's network, all of another."""
    return int.from_bytes(address[:8] if len(address) == IPV6 else address, "big")


def pool_of(kind: int, number: int) -> Pool | None:
    """Return the numbers that a copy may have in place of this one, None if it has the same."""
    if kind == MAC:
        vendor = number >> 24
        return None if vendor >> 16 & 1 or number == 0 else Pool(((vendor << 24, vendor + 1 << 24),))
    return next((pool for pool in (POOLS_V4 if kind == IPV4 else POOLS_V6) if number in pool), None)


def has_copies(address: bytes) -> bool:
    """Whether an address is another one in each copy."""
    return pool_of(len(address), number_of(address)) is not None


class Images(NamedTuple):
    """An address in all copies.

    rows: (n_copies, length) uint8.
    change: (n_copies,) int64, the sum of the address's 16-bit words less the original's sum.
    """

    rows: NDArray[np.uint8]
    change: NDArray[np.int64]


class Renumbering:
    """The addresses of all copies.

    addresses: those of the original, by kind. Copy 0 has them, too.
    """

    def __init__(self, addresses: Mapping[int, Iterable[bytes]], n_copies: int) -> None:
        self._n_copies = n_copies
        self._bits: dict[tuple[int, Pool], int] = {}
        self._blocks: dict[tuple[int, Pool], dict[int, list[int]]] = {}
        """By kind and pool: each block's numbers in all copies."""
        for kind, found in addresses.items():
            self._assign(kind, found)
        self.images = lru_cache(maxsize=max(256, CACHED // n_copies))(self._images)

    def _assign(self, kind: int, addresses: Iterable[bytes]) -> None:
        """Give every block of each pool a block for each copy."""
        by_pool: dict[Pool, set[int]] = {}
        for number in {number_of(address) for address in addresses}:
            pool = pool_of(kind, number)
            if pool is not None:
                by_pool.setdefault(pool, set()).add(number)
        for pool, numbers in by_pool.items():
            for bits in BLOCK_BITS[kind]:
                blocks = {number >> bits for number in numbers}
                if len(blocks) * self._n_copies <= FULLEST * pool.size(bits):
                    break
            else:
                raise UnavailableError(f"{self._n_copies} copies have no room for {len(numbers)} addresses of a kind")
            self._bits[kind, pool] = bits
            self._move(kind, pool, bits, blocks)

    def _move(self, kind: int, pool: Pool, bits: int, blocks: set[int]) -> None:
        """Give every block of a pool a free one for each copy."""
        size = pool.size(bits)
        stride = int(size * GOLDEN) | 1
        indexes = sorted(pool.place(block, bits) for block in blocks)
        used = set(indexes)
        moved = {index: [index] for index in indexes}
        for copy in range(1, self._n_copies):
            for index in indexes:
                free = (index + copy * stride) % size
                while free in used:
                    free = (free + 1) % size
                used.add(free)
                moved[index].append(free)
        self._blocks[kind, pool] = {
            pool.block(index, bits): [pool.block(free, bits) for free in found] for index, found in moved.items()
        }

    def _images(self, address: bytes) -> Images:
        """Return an address in all copies."""
        kind, number = len(address), number_of(address)
        pool = pool_of(kind, number)
        if pool is None:
            rows = np.tile(np.frombuffer(address, np.uint8), (self._n_copies, 1))
        else:
            bits = self._bits[kind, pool]
            within, length = number & ((1 << bits) - 1), min(kind, 8)
            copies = self._blocks[kind, pool][number >> bits]
            numbers = ((block << bits | within).to_bytes(length, "big") + address[length:] for block in copies)
            rows = np.frombuffer(b"".join(numbers), np.uint8).reshape(self._n_copies, kind)
        sums = rows.view(">u2").astype(np.int64).sum(axis=1)
        return Images(rows, sums - sums[0])
