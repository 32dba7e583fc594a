"""Names of hosts, learnt from the traffic.

Names come from the wire: anybody may send any name for any host, so a name is a hint. It is cleaned when it is recorded, and
need not be cleaned again when it is shown.

What it does not do: look names up, read traffic.
"""

from __future__ import annotations

import re
import socket
from collections import OrderedDict
from copy import copy
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastmon.model.texts import clean_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray
    from typing_extensions import Self

__all__ = ["MAX_NAME_BYTES", "NAME_SOURCES", "NameBook", "NameFact", "clean_name", "clean_title"]

MAX_NAME_BYTES = 253
"""RFC 1035: 255 octets on the wire, which is 253 of text."""

_ANNOUNCED = ("dhcp", "dhcpv6", "mdns", "netbios", "llmnr", "ssdp")
_REACHED_BY = ("sni", "http", "quic", "dns")

NAME_SOURCES: tuple[str, ...] = (*_ANNOUNCED, *_REACHED_BY)
"""Where names come from: first the names that hosts announce for themselves, then those that others use for them.

Best first, for local hosts. For remote hosts, the names that others use come first (`sni`, `http`, `quic`, `dns`, `dhcp`...).
`http` and `quic` are equally good. Of names from equally good sources the latest counts.
"""

_NUMBERS = {source: number for number, source in enumerate(NAME_SOURCES)}
_RANKS = tuple(_NUMBERS["http" if source == "quic" else source] for source in NAME_SOURCES)
_HOST_NAME = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]{,252}")
"""Names that `clean_title` leaves as they are: nearly all."""

_ADDRESS_CHARS = frozenset("0123456789abcdefABCDEF:.")
_LATEST_NS = (1 << 63) - 1


class NameFact(NamedTuple):
    """One observation of a host's name.

    key: 16-byte key of the host.  name: as sent, not cleaned.  source: one of `NAME_SOURCES`.
    """

    key: bytes
    name: str
    source: str


def clean_name(name: str, source: str) -> str:
    """Return `name` fit to be kept and shown; "" if it is empty, an address, or longer than `MAX_NAME_BYTES` in UTF-8.

    A name that is too long is refused, not cut: a cut one may look like another's. `clean_text` says what is escaped. Names that
    others use for a host come in lower case, and with characters beyond ASCII escaped: genuine ones are in punycode, which stays.
    """
    if len(name) > 2 * MAX_NAME_BYTES:
        return ""
    name = name.strip(". \0")
    if source in _REACHED_BY:
        name = name.lower()
        if not name.isascii():
            name = name.encode("ascii", "backslashreplace").decode()
    name = name if _HOST_NAME.fullmatch(name) else clean_title(name)
    return "" if _is_address(name) else name


def clean_title(name: str) -> str:
    """Return a conversation's name fit to be kept and shown; "" if that is longer than `MAX_NAME_BYTES` in UTF-8."""
    if len(name) > 2 * MAX_NAME_BYTES:
        return ""
    name = clean_text(name)
    return name if len(name.encode()) <= MAX_NAME_BYTES else ""


def _is_address(name: str) -> bool:
    """Return whether a name is an address. Shown as a host's name, it would look like the host's own address."""
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
    """The best name of each host.

    A name from a better source wins; among equally good ones the latest by `ts_ns`, the time of the frame that carried it; at the
    same time the name that sorts first. So the order in which names are recorded does not matter, and books of several machines
    merge to the book that one machine with all of the traffic would have.

    At most `max_entries` names are kept: when a table is full, the name that was recorded least recently is evicted. Names that
    hosts announce for themselves and names that others use for them have half of the room each, so a flood of one kind does not
    displace the other: a gateway sees thousands of remote names a minute, and a device announces its own once a day.

    Threads: any number may `record`, under a lock held for one batch. Reading takes no lock: an entry is an immutable value that
    is replaced as a whole, and moves without leaving the table.

    A pickled or copied book has all names of its moment, and does not follow the original.
    """

    def __init__(self, max_entries: int = 1 << 17) -> None:
        if max_entries < 2:
            raise ValueError(f"max_entries must be at least 2, not {max_entries}")
        self._room = max_entries // 2
        self._announced: OrderedDict[bytes, bytes] = OrderedDict()
        self._reached_by: OrderedDict[bytes, bytes] = OrderedDict()
        self._renamed: set[bytes] | None = None
        self._lock = Lock()
        self._n_batches = 0
        self._frozen: tuple[int, NameBook | None] = (0, None)

    @classmethod
    def merge(cls, *books: NameBook) -> Self:
        """Return a book with the best name of each host in `books`, and room for all of them."""
        announced: OrderedDict[bytes, bytes] = OrderedDict()
        reached_by: OrderedDict[bytes, bytes] = OrderedDict()
        room = 1
        for book in {id(book): book for book in books}.values():
            book_room, *tables = book.__getstate__()
            room = max(room, book_room)
            for table, entries in zip((announced, reached_by), tables, strict=True):
                for key, entry in entries.items():
                    table[key] = min(entry, table.get(key, entry))
        merged = cls(2 * max(room, len(announced), len(reached_by)))
        merged._announced, merged._reached_by = announced, reached_by
        return merged

    def __len__(self) -> int:
        """Return the number of names kept; a host may have two."""
        return len(self._announced) + len(self._reached_by)

    def __getstate__(self) -> tuple[int, dict[bytes, bytes], dict[bytes, bytes]]:
        with self._lock:
            return self._room, dict(self._announced), dict(self._reached_by)

    def __setstate__(self, state: tuple[int, Mapping[bytes, bytes], Mapping[bytes, bytes]]) -> None:
        self._room, announced, reached_by = state
        self._announced, self._reached_by = OrderedDict(announced), OrderedDict(reached_by)
        self._renamed = None
        self._lock = Lock()
        self._n_batches, self._frozen = 0, (0, None)

    def frozen(self) -> NameBook:
        """Return a book with all names of this moment, which never changes; the same one if nothing was recorded since."""
        n_batches, book = self._frozen
        if book is None or n_batches != self._n_batches:
            n_batches = self._n_batches
            book = copy(self)
            self._frozen = n_batches, book
        return book

    def record(self, facts: Iterable[NameFact], ts_ns: int) -> None:
        """Record the names in a frame of the time `ts_ns`. Names that `clean_name` refuses are left out.

        Raises ValueError for a source that is not in `NAME_SOURCES`.
        """
        entries = []
        for key, name, source in facts:
            if source not in _NUMBERS:
                raise ValueError(f"unknown source of names {source!r}; these are known: {', '.join(NAME_SOURCES)}")
            cleaned = clean_name(name, source)
            if cleaned:
                table = self._announced if source in _ANNOUNCED else self._reached_by
                entries.append((table, key, _pack_entry(cleaned, source, ts_ns)))
        if not entries:
            return
        with self._lock:
            self._n_batches += 1
            for table, key, entry in entries:
                before = table.get(key, b"")
                table[key] = best = min(entry, before or entry)
                table.move_to_end(key)
                if self._renamed is not None and best[9:] != before[9:] and len(self._renamed) < 2 * self._room:
                    self._renamed.add(key)
                if len(table) > self._room:
                    table.popitem(last=False)

    def take_renamed(self) -> Sequence[bytes]:
        """Return the keys of the hosts that have got a name, or another one, since the last call. The first call returns none.

        At most as many are kept as there is room for names.
        """
        with self._lock:
            renamed, self._renamed = self._renamed or (), set()
        return tuple(renamed)

    def name_of(self, key: bytes, is_local: bool) -> tuple[str, str] | None:
        """Return the best name of a host, with its source."""
        first, second = (self._announced, self._reached_by) if is_local else (self._reached_by, self._announced)
        entry = first.get(key) or second.get(key)
        return None if entry is None else _unpack_entry(entry)

    def names_of(self, keys: NDArray[np.uint8], local: NDArray[np.bool_]) -> Sequence[tuple[str, str] | None]:
        """Return `name_of` for each of (n, 16) keys; `local`: (n,), which of them are local."""
        words = np.ascontiguousarray(keys).view("V16").ravel().tolist()
        if not self:
            return [None] * len(words)
        return list(map(self.name_of, words, local.tolist()))


def _pack_entry(name: str, source: str, ts_ns: int) -> bytes:
    """Return a name as one bytes object, the better name being the smaller one.

    First the source's rank, then the time (later is smaller), then the name in UTF-8, last the source's number, which is smaller
    than any character of a name.
    """
    number = _NUMBERS[source]
    return b"%c%b%b%c" % (_RANKS[number], (_LATEST_NS - ts_ns).to_bytes(8, "big"), name.encode(), number)


def _unpack_entry(entry: bytes) -> tuple[str, str]:
    return entry[9:-1].decode(), NAME_SOURCES[entry[-1]]
