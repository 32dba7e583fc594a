"""BitTorrent: peers over TCP and uTP (BEP 29), the DHT (BEP 5), trackers over UDP (BEP 15)."""

from __future__ import annotations

import re

from fastmon.classify.matching import Context, Match, certain, hinted

__all__ = ["bittorrent", "dht", "tracker", "utp"]

DHT = re.compile(rb"d(?:\d+:[a-z]{1,10}){1,2}")
DHT_KIND = re.compile(rb"1:y1:[qre]")
MAX_HEARD = 8
UTP_HEADER = 20
DATA, SYN = 0, 4
CONNECTION, TIME, SEQUENCE, ACKNOWLEDGED = slice(2, 4), slice(4, 8), slice(16, 18), slice(18, 20)
MAX_EXTENSIONS = 4
MAX_STEP = 64
TRACKER = b"\0\0\x04\x17\x27\x10\x19\x80"


def bittorrent(data: bytes, context: Context) -> Match | None:
    """The handshake between peers."""
    return certain("bittorrent") if data.startswith(b"\x13BitTorrent protocol") else None


def dht(data: bytes, context: Context) -> Match | None:
    """A query, response or error, in bencoding."""
    if data.startswith((b"d1:ad2:id20:", b"d1:rd2:id20:", b"d2:ip6:", b"d1:el")):
        return certain("bittorrent")
    return certain("bittorrent") if DHT.match(data) and DHT_KIND.search(data) else None


def tracker(data: bytes, context: Context) -> Match | None:
    """A request to connect to a tracker."""
    return certain("bittorrent") if len(data) == 16 and data.startswith(TRACKER) and not any(data[8:12]) else None


def utp(data: bytes, context: Context) -> Match | None:
    """A uTP header (BEP 29) is little evidence. A second packet that continues or answers it decides."""
    if not _is_utp(data):
        return None
    heard: list[tuple[bool, bytes]] = context.memory.setdefault("utp", [])
    for from_a, earlier in heard:
        if (_goes_on if from_a == context.from_a else _answers)(earlier, data):
            return certain("bittorrent")
    heard.append((context.from_a, data[:UTP_HEADER]))
    del heard[:-MAX_HEARD]
    return hinted("bittorrent")


def _is_utp(data: bytes) -> bool:
    """Check type, version, the lengths of extensions, connection, time, window, and that data fits the type."""
    kind, extension, at = data[0] >> 4, data[1], UTP_HEADER
    if data[0] & 0x0F != 1 or kind > SYN or data[2:4] == b"\0\0" or data[4:8] == b"\0\0\0\0" or data[12]:
        return False
    for _ in range(MAX_EXTENSIONS):
        if not extension:
            break
        if extension > 4 or at + 2 > len(data) or data[at + 1] % 4 or not 4 <= data[at + 1] <= 64:
            return False
        extension, at = data[at], at + 2 + data[at + 1]
    if extension or (at >= len(data) if kind == DATA else at != len(data)):
        return False
    return kind != SYN or (not any(data[8:12]) and data[16:18] == b"\0\1")


def _step(earlier: bytes, data: bytes, of: slice, to: slice | None = None) -> int:
    """Return how much a field has grown, modulo its size."""
    before, after = earlier[of], data[to or of]
    return int.from_bytes(after, "big") - int.from_bytes(before, "big") & (1 << 8 * len(before)) - 1


def _goes_on(earlier: bytes, data: bytes) -> bool:
    """Return whether a packet may follow the same side's earlier one: connection (one less in a SYN), time, sequence."""
    is_syn = earlier[0] >> 4 == SYN
    same = _step(earlier, data, CONNECTION) == (1 if is_syn and data[0] >> 4 != SYN else 0)
    return same and 0 < _step(earlier, data, TIME) < 1 << 26 and _step(earlier, data, SEQUENCE) <= MAX_STEP


def _answers(earlier: bytes, data: bytes) -> bool:
    """Return whether a packet may answer the other side's: connections at most one apart, sequence numbers that fit."""
    near = _step(earlier, data, CONNECTION) in {0, 1, 0xFFFF} and earlier[TIME] != data[TIME]
    acknowledges = (_step(earlier, data, SEQUENCE, ACKNOWLEDGED) + MAX_STEP) & 0xFFFF <= 2 * MAX_STEP
    was_acknowledged = (_step(earlier, data, ACKNOWLEDGED, SEQUENCE) + MAX_STEP) & 0xFFFF <= 2 * MAX_STEP
    return near and acknowledges and (was_acknowledged or earlier[0] >> 4 == SYN)
