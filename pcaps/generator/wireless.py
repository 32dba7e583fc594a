"""802.11 frames, and the headers that capturing drivers put before them."""

from __future__ import annotations

import struct

from .pdu import ENCRYPTED, MALFORMED, Mark, Pdu, decided

__all__ = ["avs", "broken_radiotap", "ppi", "prism", "radiotap", "wifi", "wifi_other", "wifi_protected"]

ADDRESSES = bytes.fromhex("02005e100001 02005e100002 02005e100003")
QOS_SUBTYPE, ORDER, PROTECTED, TO_DS, BOTH_DS = 0x80, 0x80, 0x40, 0x01, 0x03
PRESENT_TSFT, PRESENT_FLAGS, PRESENT_MORE, FLAG_DATA_PAD = 1, 2, 1 << 31, 0x20


def wifi(
    payload: Pdu,
    *,
    qos: bool = False,
    four_address: bool = False,
    ht_control: bool = False,
    data_pad: bool = False,
    amsdu: bool = False,
) -> Pdu:
    """Return a data frame (802.11-2020, 9.3.2) around an LLC payload.

    ht_control: with the HT control field, which only a QoS frame has.  data_pad: the header filled up to a multiple of 4.
    amsdu: the payload as the only subframe of an aggregate; needs `qos`.
    """
    flags = (BOTH_DS if four_address else TO_DS) | (ORDER if ht_control else 0)
    header = struct.pack("<BBH", 0x08 | (QOS_SUBTYPE if qos else 0), flags, 44) + ADDRESSES + bytes(2)
    if four_address:
        header += ADDRESSES[:6]
    if qos:
        header += bytes([0x80 if amsdu else 0, 0]) + (bytes(4) if ht_control else b"")
    if data_pad:
        header += bytes(-len(header) % 4)
    if amsdu:
        header += ADDRESSES[:12] + struct.pack(">H", len(payload.data))
    return payload.under(header)


def wifi_protected(ciphertext: bytes) -> Pdu:
    """Return a data frame whose payload is encrypted, which its first two bytes tell."""
    return decided(struct.pack("<BBH", 0x08, TO_DS | PROTECTED, 44) + ADDRESSES + bytes(2) + ciphertext, ENCRYPTED, 2)


def wifi_other(kind: int, subtype: int, body: bytes = b"") -> Pdu:
    """Return a management (0) or control (1) frame, or a data frame (2) of a subtype without data."""
    frame = struct.pack("<BBH", subtype << 4 | kind << 2, 0, 0) + ADDRESSES + bytes(2) + body
    return Pdu(frame, (Mark(2, "non_ip"),))


def radiotap(frame: Pdu, *, timestamp: bool = False, flags: int | None = None, more_words: int = 0) -> Pdu:
    """Return an 802.11 frame under a radiotap header.

    timestamp: with TSFT, which is aligned to 8 bytes.  flags: the Flags field.  more_words: further words of present bits.
    """
    words = [0] * (1 + more_words)
    words[0] = (PRESENT_TSFT if timestamp else 0) | (PRESENT_FLAGS if flags is not None else 0)
    for n in range(more_words):
        words[n] |= PRESENT_MORE
    fields = struct.pack(f"<{len(words)}I", *words)
    if timestamp:
        fields += bytes(-(4 + len(fields)) % 8) + struct.pack("<Q", 123456789)
    if flags is not None:
        fields += bytes([flags])
    fields += bytes(-len(fields) % 4)
    return frame.under(struct.pack("<BBH", 0, 0, 4 + len(fields)) + fields)


def broken_radiotap(kind: str) -> Pdu:
    """Return a frame whose radiotap header has a bad "version" or "length", or a chain of present words that leaves it."""
    if kind == "version":
        return decided(struct.pack("<BBHI", 1, 0, 8, 0), MALFORMED, 8)
    if kind == "length":
        return decided(struct.pack("<BBHI", 0, 0, 7, 0), MALFORMED, 8)
    return decided(struct.pack("<BBHI", 0, 0, 8, PRESENT_MORE), MALFORMED, 8)


def ppi(frame: Pdu, link_type: int = 105) -> Pdu:
    """Return a frame under a Per-Packet Information header with one field."""
    field = struct.pack("<HH", 2, 20) + bytes(20)
    return frame.under(struct.pack("<BBHI", 0, 0, 8 + len(field), link_type) + field)


def prism(frame: Pdu) -> Pdu:
    """Return an 802.11 frame under a Prism monitoring header of the usual 144 bytes."""
    return frame.under(struct.pack("<II16s", 0x44, 144, b"wlan0").ljust(144, b"\0"))


def avs(frame: Pdu) -> Pdu:
    """Return an 802.11 frame under an AVS header of 64 bytes."""
    return frame.under(struct.pack(">II", 0x80211001, 64).ljust(64, b"\0"))
