"""Scopes: which hosts a rule governs, and which of several rules governs a host.

What it does not do: keep hosts, or remember which rule governs which.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from fastmon.errors import ConfigError
from fastmon.model.addresses import Network, parse_network
from fastmon.model.rows import are_v4, key_words
from fastmon.model.vendors import format_mac, vendor_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Protocol

    from numpy.typing import NDArray

    class HostFacts(Protocol):
        """What is known of hosts, by row.

        keys: (n, 16) uint8.  local: (n,) bool.  macs: (n,) uint64, 0 where unknown.
        """

        @property
        def keys(self) -> NDArray[np.uint8]: ...
        @property
        def local(self) -> NDArray[np.bool_]: ...
        @property
        def macs(self) -> NDArray[np.uint64]: ...
        def name(self, row: int) -> str: ...


__all__ = [
    "ALL",
    "LOCAL",
    "NETWORK_SCOPE",
    "NO_SCOPE",
    "NamePatterns",
    "Prefixes",
    "Scope",
    "ScopeTable",
    "assign_scopes",
    "parse_mac",
    "parse_scope",
]

ALL, LOCAL, NETWORK_SCOPE = "all", "local", "network"

NO_SCOPE = -1
"""The index of the scope of a host that none matches."""

_LEVELS = {"all": 0, "local": 100, "vendor": 200, "glob": 300, "group": 400, "cidr": 500, "name": 700, "mac": 800, "address": 900}
"""The specificity of each kind of scope; that of a CIDR has its length (0 to 128) added."""

_MOST = (1 << 63) - 1
_WORD_BITS = 64
_KEY_BITS = 128
_V4_BITS = 96
_V4_PREFIX = bytes(10) + b"\xff\xff"
_MAC = re.compile(r"[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}", re.IGNORECASE)
_WAYS = "use an address, a CIDR, a MAC, group:NAME, vendor:GLOB, name:GLOB, local, all or network"
_MEMBER_WAYS = "use an address, a CIDR, a MAC, vendor:GLOB or name:GLOB"


class Prefixes:
    """Networks, and the numbers that keys get for lying in them.

    numbers: one for each network. A key in several networks gets the least of theirs.

    An IPv6 network holds no IPv4 host, however short its prefix.
    """

    def __init__(self, networks: Sequence[Network], numbers: Sequence[int] | None = None) -> None:
        numbered = list(zip(networks, range(len(networks)) if numbers is None else numbers, strict=True))
        self._v4 = _Ranges((network, number) for network, number in numbered if _is_v4(network))
        self._v6 = _Ranges((network, number) for network, number in numbered if not _is_v4(network))

    def find(self, keys: NDArray[np.uint8], missing: int = NO_SCOPE) -> NDArray[np.int64]:
        """Return the number of each of (n, 16) keys; `missing` for those that lie in no network."""
        found = np.full(len(keys), _MOST, np.int64)
        if self._v4 or self._v6:
            words = key_words(keys)
            is_v4 = are_v4(words)
            if is_v4.all():
                found = self._v4.find(words)
            else:
                for ranges, rows in ((self._v4, np.flatnonzero(is_v4)), (self._v6, np.flatnonzero(~is_v4))):
                    found[rows] = ranges.find(words[rows])
        found[found == _MOST] = missing
        return found

    def contain(self, keys: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return which of (n, 16) keys lie in one of the networks."""
        are_in: NDArray[np.bool_] = self.find(keys) != NO_SCOPE
        return are_in


class _Ranges:
    """Ranges of keys, each with the least number of the networks that hold it; as many networks cost little more than one."""

    def __init__(self, networks: Iterable[tuple[Network, int]]) -> None:
        starts = _find_ranges(networks)
        words = [(start >> _WORD_BITS, start & (1 << _WORD_BITS) - 1) for start in starts]
        self._high, self._low = np.array(words, np.uint64).reshape(-1, 2).T.copy()
        self._numbers = np.array([_MOST, *starts.values()], np.int64)

    def __bool__(self) -> bool:
        return len(self._high) > 0

    def find(self, words: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Return the number of each key, given as `key_words`; `_MOST` for those in no network."""
        high, low = words[:, 0], words[:, 1]
        if not self._high.any() and not high.any():  # as of IPv4
            return self._numbers[np.searchsorted(self._low, low, "right")]
        first, last = (np.searchsorted(self._high, high, side) for side in ("left", "right"))
        while (is_open := first < last).any():  # a search among the starts with the same high word
            middle = (first + last) // 2
            is_below = is_open & (self._low[np.minimum(middle, len(self._low) - 1)] <= low)
            first, last = np.where(is_below, middle + 1, first), np.where(is_open & ~is_below, middle, last)
        return self._numbers[first]


def _find_ranges(networks: Iterable[tuple[Network, int]]) -> dict[int, int]:
    """Return where each range begins, in order, and its number; `_MOST` where it lies in no network."""
    starts: dict[int, int] = {}
    around: list[tuple[int, int]] = []  # the networks that hold the current key: the end of each, and the least number so far
    bounds = [(int.from_bytes(network.prefix, "big"), network.length, number) for network, number in networks]
    for start, length, number in [*sorted(bounds), (1 << _KEY_BITS, 0, 0)]:
        while around and around[-1][0] <= start:
            end, _ = around.pop()
            starts[end] = around[-1][1] if around else _MOST
        around.append((start + (1 << _KEY_BITS - length), min(number, around[-1][1] if around else _MOST)))
        starts[start] = around[-1][1]
    return {start: number for start, number in starts.items() if start < 1 << _KEY_BITS}


def _is_v4(network: Network) -> bool:
    return network.length >= _V4_BITS and network.prefix.startswith(_V4_PREFIX)


class NamePatterns:
    """Patterns of names as shells have them (`*`, `?`, `[...]`), in any case of letters."""

    def __init__(self, patterns: Iterable[str]) -> None:
        joined = "|".join(translate(pattern.lower()) for pattern in patterns)
        self._match = re.compile(joined).match if joined else None

    def __bool__(self) -> bool:
        return self._match is not None

    def match(self, name: str | None) -> bool:
        """Return whether a name fits one of the patterns. No name fits none."""
        return bool(name and self._match and self._match(name.lower()))


@dataclass(frozen=True, slots=True)
class Scope:
    """Which hosts a rule governs.

    text: as written.  specificity: of two scopes that match a host, the greater one is its own.
    is_network: the subject is all hosts together.  base: `ALL`, `LOCAL`, or "" for only those that the rest names.
    networks, macs: those that it names; an address is a network of 128 bits.
    names, vendors: patterns.
    """

    text: str
    specificity: int
    is_network: bool = False
    base: str = ""
    networks: tuple[Network, ...] = ()
    macs: tuple[int, ...] = ()
    names: tuple[str, ...] = ()
    vendors: tuple[str, ...] = ()

    @property
    def addresses(self) -> tuple[bytes, ...]:
        """The keys of the single addresses that it names."""
        return tuple(network.prefix for network in self.networks if network.length == _KEY_BITS)

    def matches(self, hosts: HostFacts, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return which of the hosts of `rows` it governs. All hosts are part of the network."""
        if self.is_network:
            return np.ones(len(rows), np.bool_)
        are: NDArray[np.bool_] = assign_scopes((self,), hosts, rows) == 0
        return are


def parse_scope(text: str, groups: Mapping[str, Sequence[str]]) -> Scope:
    """Return the scope of a text; `groups`: the members of each group, by its name.

    Raises ConfigError if the text is none, or names a group that there is not, or one with a wrong member.
    """
    text = text.strip()
    if text == NETWORK_SCOPE:
        return Scope(text, _LEVELS["all"], is_network=True)
    if text in (ALL, LOCAL):
        return Scope(text, _LEVELS[text], base=text)
    if text.startswith("group:"):
        return _parse_group(text, text.removeprefix("group:"), groups)
    return _parse_hosts(text, _WAYS)


def parse_mac(text: str) -> int | None:
    """Return an Ethernet address as the big-endian value of its 6 bytes; None if the text is none."""
    return int(re.sub("[:-]", "", text), 16) if _MAC.fullmatch(text) else None


def _parse_group(text: str, name: str, groups: Mapping[str, Sequence[str]]) -> Scope:
    if name not in groups:
        known = ", ".join(sorted(groups)) or "none"
        raise ConfigError(f"unknown group {name!r} in scope {text!r}; the groups are: {known}")
    try:
        members = [_parse_hosts(member.strip(), _MEMBER_WAYS) for member in groups[name]]
    except ConfigError as error:
        raise ConfigError(f"group {name!r}: {error}") from None
    return Scope(
        text,
        _LEVELS["group"],
        networks=tuple(network for member in members for network in member.networks),
        macs=tuple(mac for member in members for mac in member.macs),
        names=tuple(pattern for member in members for pattern in member.names),
        vendors=tuple(pattern for member in members for pattern in member.vendors),
    )


@lru_cache(maxsize=1 << 12)  # each rule's scope is asked for several times, and at each reload again
def _parse_hosts(text: str, ways: str) -> Scope:
    kind, _, pattern = text.partition(":")
    if kind == "name" and pattern:
        return Scope(text, _LEVELS["glob" if re.search(r"[*?\[]", pattern) else "name"], names=(pattern,))
    if kind == "vendor" and pattern:
        return Scope(text, _LEVELS["vendor"], vendors=(pattern,))
    mac = parse_mac(text)
    if mac is not None:
        if not mac:
            raise ConfigError(f"invalid scope {text!r}: no device has the MAC {format_mac(0)}")
        return Scope(text, _LEVELS["mac"], macs=(mac,))
    try:
        network = parse_network(text.partition("%")[0])
    except ConfigError:
        raise ConfigError(f"invalid scope {text!r}: {ways}") from None
    is_address = network.length == _KEY_BITS
    return Scope(text, _LEVELS["address"] if is_address else _LEVELS["cidr"] + network.length, networks=(network,))


class ScopeTable:
    """Scopes that compete for hosts, ready to be matched again and again.

    The network as a whole competes for no host. A thousand scopes of one kind cost about as much as one: they are one table.
    Names are asked for only where a scope has patterns of names, and only for hosts that no more specific scope matches.
    """

    def __init__(self, scopes: Sequence[Scope]) -> None:
        indices = [index for index, scope in enumerate(scopes) if not scope.is_network]
        indices.sort(key=lambda index: -scopes[index].specificity)
        ranked = [scopes[index] for index in indices]
        # All that follows goes by ranks: the least of those that match wins. The last one is of no scope.
        self._indices = np.array([*indices, NO_SCOPE], np.int64)
        networks = [(network, rank) for rank, scope in enumerate(ranked) for network in scope.networks]
        self._prefixes = Prefixes([network for network, _ in networks], [rank for _, rank in networks])
        self._bases = {scope.base: rank for rank, scope in _last_to_first(ranked)}
        self._macs = {mac: rank for rank, scope in _last_to_first(ranked) for mac in scope.macs}
        self._vendors = [(rank, NamePatterns(scope.vendors)) for rank, scope in enumerate(ranked) if scope.vendors]
        self._names = [(rank, NamePatterns(scope.names)) for rank, scope in enumerate(ranked) if scope.names]

    def most_specific(self, indices: NDArray[np.signedinteger], starts: NDArray[np.intp]) -> NDArray[np.int64]:
        """Return, of each run of indices of scopes, that of the scope that wins. starts: where the runs begin; none is empty."""
        ranks = np.empty(len(self._indices), np.int64)
        ranks[self._indices] = np.arange(len(ranks))  # that of no scope, -1, is the last one
        return self._indices[np.minimum.reduceat(ranks[indices], starts)] if len(starts) else self._indices[:0]

    def assign(self, hosts: HostFacts, rows: NDArray[np.intp]) -> NDArray[np.int64]:
        """Return the index of the most specific scope of each host of `rows`; of equally specific ones, of the first.

        `NO_SCOPE` for hosts that none matches.
        """
        none = len(self._indices) - 1
        ranks = self._prefixes.find(hosts.keys[rows], none)
        if ALL in self._bases:
            np.minimum(ranks, self._bases[ALL], out=ranks)
        if LOCAL in self._bases:
            np.minimum(ranks, self._bases[LOCAL], out=ranks, where=hosts.local[rows])
        if self._macs:
            np.minimum(ranks, _look_up(hosts.macs[rows], lambda mac: self._macs.get(mac, none)), out=ranks)
        if self._vendors:
            vendors = _look_up(hosts.macs[rows], lambda mac: _first_match(self._vendors, vendor_of(mac), none))
            np.minimum(ranks, vendors, out=ranks)
        if self._names:
            for at in np.flatnonzero(ranks > self._names[0][0]).tolist():
                names = (each for each in self._names if each[0] < ranks[at])
                ranks[at] = _first_match(names, hosts.name(int(rows[at])), int(ranks[at]))
        return self._indices[ranks]


def assign_scopes(scopes: Sequence[Scope], hosts: HostFacts, rows: NDArray[np.intp]) -> NDArray[np.int64]:
    """Return `ScopeTable.assign` of scopes that are matched once."""
    return ScopeTable(scopes).assign(hosts, rows)


def _last_to_first(ranked: Sequence[Scope]) -> Iterable[tuple[int, Scope]]:
    return reversed(list(enumerate(ranked)))


def _look_up(macs: NDArray[np.uint64], index_of: Callable[[int], int]) -> NDArray[np.int64]:
    """Return `index_of` for each Ethernet address, asking once for each."""
    unique, inverse = np.unique(macs, return_inverse=True)
    return np.fromiter(map(index_of, unique.tolist()), np.int64, len(unique))[inverse]


def _first_match(patterns: Iterable[tuple[int, NamePatterns]], name: str | None, missing: int) -> int:
    return next((index for index, each in patterns if each.match(name)), missing)
