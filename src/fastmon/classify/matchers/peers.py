"""BitTorrent: peers over TCP and uTP (BEP 29), the DHT (BEP 5), trackers over UDP (BEP 15)."""

from __future__ import annotations

import re

from fastmon.classify.matching import Context, Match, certain

__all__ = ["bittorrent", "dht", "tracker", "utp"]

DHT = re.compile(rb"d(?:\d+:[a-z]{1,10}){1,2}")
DHT_KIND = re.compile(rb"1:y1:[qre]")
MAX_HEARD = 16
TRACKER = b"\0\0\x04\x17\x27\x10\x19\x80"


def bittorrent(data: bytes, context: Context) -> Match | None:
    """The handshake of peers."""
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
    """UTP's header is little evidence; two packets with the same connection numbers decide (BEP 29: one side's is one more)."""
    if data[0] & 0x0F != 1 or data[0] > 0x41 or data[1] > 2:
        return None
    at, extension, n_extensions = 20, data[1], 0
    while extension and n_extensions < 4:
        if at + 2 > len(data):
            return None
        extension, at = data[at], at + 2 + data[at + 1]
        if extension > 4:
            return None
        n_extensions += 1
    if at > len(data):
        return None
    number = data[2] << 8 | data[3]
    kind = data[0] >> 4
    if kind == 4:
        if any(data[8:12]) or data[16:18] != b"\0\1" or at != len(data):
            return None
    elif kind in {1, 2, 3} and at != len(data):
        return None
    heard: set[int] = context.memory.setdefault("utp", set())
    related = number in heard or number - 1 in heard or number + 1 in heard
    if len(heard) < MAX_HEARD:
        heard.add(number)
    plausible_window = int.from_bytes(data[12:16], "big") < 1 << 24
    if related and plausible_window:
        return certain("bittorrent")
    return Match(("bittorrent",), certain=False, tag="utp") if plausible_window else None
