"""Names of hosts, as the traffic tells them.

Names come from the wire: anybody may tell any name for any host, so a name is a hint, and is cleaned before it is kept. Names are
clean from here on; who shows one need not clean it again.

What it does not do: look names up, read traffic.
"""

from __future__ import annotations

import socket
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastmon.model.texts import clean_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

__all__ = ["MAX_NAME_BYTES", "NAME_SOURCES", "NameBook", "NameFact", "clean_name", "clean_title"]

MAX_NAME_BYTES = 253
"""RFC 1035: 255 octets on the wire, which is 253 of text."""

_ANNOUNCED = ("dhcp", "dhcpv6", "mdns", "netbios", "llmnr", "ssdp")
_REACHED_BY = ("sni", "http", "quic", "dns")

NAME_SOURCES: tuple[str, ...] = (*_ANNOUNCED, *_REACHED_BY)
"""Where names come from: what a host calls itself, then what others call it.

Local hosts: the best source first is this order. Remote hosts: what others call it comes first (`sni`, `http`, `quic`, `dns`,
`dhcp`...). A better source's name is kept; within one source, and between `http` and `quic`, the latest is.
"""

_NUMBERS = {source: number for number, source in enumerate(NAME_SOURCES)}
_RANKS = tuple(_NUMBERS["http" if source == "quic" else source] for source in NAME_SOURCES)
_ADDRESS_CHARS = frozenset("0123456789abcdefABCDEF:.")


class NameFact(NamedTuple):
    """Somebody told a name.

    key: 16-byte key of the host named.  name: as told, not cleaned.  source: one of `NAME_SOURCES`.
    """

    key: bytes
    name: str
    source: str


def clean_name(name: str, source: str) -> str:
    """Return `name` fit to be kept and shown; "" if it is no name: empty, an address, longer than `MAX_NAME_BYTES` in UTF-8.

    A name that is too long is refused, not cut: what is left of a cut one may look like another's. `clean_text` says what is
    escaped. Names that others reach a host by come in lower case, and with their letters beyond ASCII escaped: honest ones are in
    punycode, which stays as it is.
    """
    if len(name) > 2 * MAX_NAME_BYTES:
        return ""
    name = name.strip(". \0")
    if source in _REACHED_BY:
        name = name.lower()
        if not name.isascii():
            name = name.encode("ascii", "backslashreplace").decode()
    name = clean_title(name)
    return "" if _is_address(name) else name


def clean_title(name: str) -> str:
    """Return what a conversation is about fit to be kept and shown; "" if that is longer than `MAX_NAME_BYTES` in UTF-8."""
    if len(name) > 2 * MAX_NAME_BYTES:
        return ""
    name = clean_text(name)
    return name if len(name.encode()) <= MAX_NAME_BYTES else ""


def _is_address(name: str) -> bool:
    """Return whether a name is an address: shown as a host's name, it would be taken for the host's own."""
    name = name.strip("[]")
    if not _ADDRESS_CHARS.issuperset(name):
        return False
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, name)
        except OSError:
            continue
        return True
    return False


class NameBook:
    """Remembers the best name of each host, of `max_entries` at most; of more, the one that was told least recently goes first.

    What hosts call themselves and what others call them have half of the room each, so a flood of one does not wash out the
    other: a gateway sees thousands of remote names a minute, and a device tells its own once a day.

    Threads: any number may `tell`, under a lock held for one batch. Reading takes no lock: an entry is an immutable value that is
    replaced as a whole, and moves without leaving the table.
    """

    def __init__(self, max_entries: int = 1 << 17) -> None:
        if max_entries < 2:
            raise ValueError(f"max_entries is {max_entries}, and must be at least 2")
        self._room = max_entries // 2
        # an entry is one bytes object: the source's number, then the name in UTF-8
        self._announced: OrderedDict[bytes, bytes] = OrderedDict()
        self._reached_by: OrderedDict[bytes, bytes] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        """Return the number of names kept; a host may have two."""
        return len(self._announced) + len(self._reached_by)

    def tell(self, facts: Iterable[NameFact]) -> None:
        """Take what has been told, in its order. What is no name (`clean_name`) is ignored.

        Raises ValueError for a source that is none of `NAME_SOURCES`.
        """
        entries = []
        for key, name, source in facts:
            if source not in _NUMBERS:
                raise ValueError(f"{source!r} is no source of names; these are: {', '.join(NAME_SOURCES)}")
            cleaned = clean_name(name, source)
            if cleaned:
                entries.append((key, _NUMBERS[source], cleaned))
        with self._lock:
            for key, number, cleaned in entries:
                self._keep(key, number, cleaned)

    def _keep(self, key: bytes, number: int, name: str) -> None:
        table = self._announced if number < len(_ANNOUNCED) else self._reached_by
        known = table.get(key)
        if known is None or _RANKS[number] <= _RANKS[known[0]]:
            table[key] = bytes((number,)) + name.encode()
        table.move_to_end(key)
        if len(table) > self._room:
            table.popitem(last=False)

    def name_of(self, key: bytes, is_local: bool) -> tuple[str, str] | None:
        """Return the best name of a host, with its source."""
        first, second = (self._announced, self._reached_by) if is_local else (self._reached_by, self._announced)
        entry = first.get(key) or second.get(key)
        return None if entry is None else (entry[1:].decode(), NAME_SOURCES[entry[0]])

    def names_of(self, keys: NDArray[np.uint8], local: NDArray[np.bool_]) -> Sequence[tuple[str, str] | None]:
        """Return what `name_of` does for each of (n, 16) keys; `local`: (n,), which of them are local."""
        words = np.ascontiguousarray(keys).view("V16").ravel().tolist()
        if not self:
            return [None] * len(words)
        return list(map(self.name_of, words, local.tolist()))
