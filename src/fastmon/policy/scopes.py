"""Scopes: which hosts a rule governs, and which of several rules governs a host.

What it does not do: keep hosts, or remember which rule governs which.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import translate
from typing import TYPE_CHECKING

import numpy as np

from fastmon.errors import ConfigError
from fastmon.model.addresses import Network, parse_network
from fastmon.model.rows import key_words
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

_MARK_FACTOR = np.uint64(0x9E3779B97F4A7C15)
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
        by_length: dict[int, dict[bytes, int]] = {}
        for network, number in zip(networks, range(len(networks)) if numbers is None else numbers, strict=True):
            table = by_length.setdefault(network.length, {})
            table[network.prefix] = min(number, table.get(network.prefix, number))
        self._tables = [_make_table(length, table) for length, table in by_length.items()]

    def find(self, keys: NDArray[np.uint8], missing: int = NO_SCOPE) -> NDArray[np.int64]:
        """Return the number of each of (n, 16) keys; `missing` for those that lie in no network."""
        most = np.iinfo(np.int64).max
        found = np.full(len(keys), most, np.int64)
        if self._tables:
            words, are_v4 = key_words(keys), _are_v4_keys(keys)
        for length, prefixes, numbers in self._tables:
            masked = words & key_words(_mask(length)[np.newaxis])
            at = np.minimum(np.searchsorted(_marks(prefixes), _marks(masked)), len(prefixes) - 1)
            is_in = (prefixes[at] == masked).all(axis=1)
            if length < _V4_BITS:
                is_in &= ~are_v4
            np.minimum(found, numbers[at], out=found, where=is_in)
        found[found == most] = missing
        return found

    def contain(self, keys: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return which of (n, 16) keys lie in one of the networks."""
        are_in: NDArray[np.bool_] = self.find(keys) != NO_SCOPE
        return are_in


def _make_table(length: int, table: Mapping[bytes, int]) -> tuple[int, NDArray[np.uint64], NDArray[np.int64]]:
    """Return prefixes as `key_words`, ordered by their marks, and their numbers."""
    words = key_words(np.frombuffer(b"".join(table), np.uint8).reshape(-1, 16))
    order = np.argsort(_marks(words))
    return length, words[order], np.array(list(table.values()), np.int64)[order]


def _marks(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return one number for each key: the search for a number is many times as fast as that for a key.

    Prefixes of the same mark would hide each other. Of those that people write, none have the same.
    """
    marks: NDArray[np.uint64] = words[:, 0] * _MARK_FACTOR + words[:, 1]
    return marks


def _mask(length: int) -> NDArray[np.uint8]:
    bits = (1 << _KEY_BITS) - (1 << _KEY_BITS - length)
    return np.frombuffer(bits.to_bytes(16, "big"), np.uint8)


def _are_v4_keys(keys: NDArray[np.uint8]) -> NDArray[np.bool_]:
    are: NDArray[np.bool_] = (keys[:, :12] == np.frombuffer(_V4_PREFIX, np.uint8)).all(axis=1)
    return are


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
        levels: dict[int, list[tuple[int, Scope]]] = {}
        for index, scope in enumerate(scopes):
            if not scope.is_network:
                levels.setdefault(scope.specificity, []).append((index, scope))
        self._levels = [_Level(levels[specificity]) for specificity in sorted(levels, reverse=True)]

    def assign(self, hosts: HostFacts, rows: NDArray[np.intp]) -> NDArray[np.int64]:
        """Return the index of the most specific scope of each host of `rows`; of equally specific ones, of the first.

        `NO_SCOPE` for hosts that none matches.
        """
        assigned = np.full(len(rows), NO_SCOPE, np.int64)
        rest = np.arange(len(rows))
        for level in self._levels:
            found = level.find(hosts, rows[rest])
            assigned[rest] = found
            rest = rest[found == NO_SCOPE]
        return assigned


def assign_scopes(scopes: Sequence[Scope], hosts: HostFacts, rows: NDArray[np.intp]) -> NDArray[np.int64]:
    """Return `ScopeTable.assign` of scopes that are matched once."""
    return ScopeTable(scopes).assign(hosts, rows)


class _Level:
    """Scopes of the same specificity, with their indices, in order."""

    def __init__(self, level: Sequence[tuple[int, Scope]]) -> None:
        networks = [(network, index) for index, scope in level for network in scope.networks]
        self._bases = {scope.base: index for index, scope in reversed(level)}
        self._prefixes = Prefixes([network for network, _ in networks], [index for _, index in networks])
        self._macs = {mac: index for index, scope in reversed(level) for mac in scope.macs}
        self._vendors = [(index, NamePatterns(scope.vendors)) for index, scope in level if scope.vendors]
        self._names = [(index, NamePatterns(scope.names)) for index, scope in level if scope.names]

    def find(self, hosts: HostFacts, rows: NDArray[np.intp]) -> NDArray[np.int64]:
        """Return the least index of the scopes that match, for each of `rows`."""
        most = np.iinfo(np.int64).max
        found = self._prefixes.find(hosts.keys[rows], most)
        if ALL in self._bases:
            np.minimum(found, self._bases[ALL], out=found)
        if LOCAL in self._bases:
            np.minimum(found, self._bases[LOCAL], out=found, where=hosts.local[rows])
        if self._macs:
            np.minimum(found, _look_up(hosts.macs[rows], lambda mac: self._macs.get(mac, most)), out=found)
        if self._vendors:
            vendors = _look_up(hosts.macs[rows], lambda mac: _first_match(self._vendors, vendor_of(mac), most))
            np.minimum(found, vendors, out=found)
        if self._names:
            indices = (_first_match(self._names, hosts.name(row), most) for row in rows.tolist())
            np.minimum(found, np.fromiter(indices, np.int64, len(rows)), out=found)
        found[found == most] = NO_SCOPE
        return found


def _look_up(macs: NDArray[np.uint64], index_of: Callable[[int], int]) -> NDArray[np.int64]:
    """Return `index_of` for each Ethernet address, asking once for each."""
    unique, inverse = np.unique(macs, return_inverse=True)
    return np.fromiter(map(index_of, unique.tolist()), np.int64, len(unique))[inverse]


def _first_match(patterns: Iterable[tuple[int, NamePatterns]], name: str | None, missing: int) -> int:
    return next((index for index, each in patterns if each.match(name)), missing)
