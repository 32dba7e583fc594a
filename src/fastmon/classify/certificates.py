"""The name in a server's certificate (X.509, RFC 5280), read from its DER (ITU-T X.690), of which the end may be missing.

Every length is checked against what contains it. There is no recursion: a name is at a known depth.

What it does not do: check a certificate.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["certificate_name"]

MAX_TEXT = 512
"""Bytes of a name that are read."""
MAX_ELEMENTS = 32
"""That are looked at of one sequence: a certificate has about 10 extensions, a name as many parts."""
SEQUENCE, SET, OBJECT_ID, OCTETS = 0x30, 0x31, 0x06, 0x04
EXTENSIONS = 0xA3  # [3] of a TBSCertificate
DNS_NAME = 0x82  # [2] of a GeneralName
SUBJECT = 3  # among the sequences of a TBSCertificate: algorithm, issuer, validity, subject
COMMON_NAME = bytes.fromhex("550403")
SUBJECT_ALT_NAME = bytes.fromhex("551d11")
CODECS = {0x0C: "utf-8", 0x13: "ascii", 0x14: "latin-1", 0x16: "ascii", 0x1E: "utf-16-be"}
"""Of the types of text that a common name may have: UTF8String, PrintableString, TeletexString, IA5String, BMPString."""

Element = tuple[int, int, int]


@lru_cache(maxsize=256)  # of 8 KiB each, at most; the same servers answer again and again
def certificate_name(der: bytes) -> str | None:
    """Return the first DNS name among the subject's alternative names, else the subject's common name, as it was sent.

    None if neither is there. The end of the certificate may be missing.
    """
    common_name = None
    n_sequences = 0
    for tag, at, stop in _within(der, _first(der, _first(der, (SEQUENCE, 0, 1 << 24)))):
        if tag == EXTENSIONS:
            return _alternative_name(der, _first(der, (tag, at, stop))) or common_name
        if tag == SEQUENCE:
            if n_sequences == SUBJECT:
                common_name = _common_name(der, (tag, at, stop))
            n_sequences += 1
    return common_name


def _within(der: bytes, outer: Element | None) -> Iterator[Element]:
    """Yield tag, start and end of the elements of another one, up to one that is cut in its header, or that does not fit."""
    _, at, end = outer or (0, 0, 0)
    for _ in range(MAX_ELEMENTS):
        if at + 2 > min(end, len(der)):
            return
        tag, length = der[at], der[at + 1]
        at += 2
        if length >= 0x80:
            size = length & 0x7F
            if not 1 <= size <= 3 or at + size > len(der):
                return
            length = int.from_bytes(der[at : at + size], "big")
            at += size
        if at + length > end:
            return
        yield tag, at, at + length
        at += length


def _first(der: bytes, outer: Element | None) -> Element | None:
    """Return the first element of another one, if it is a sequence."""
    found = next(_within(der, outer), None)
    return found if found is not None and found[0] == SEQUENCE else None


def _alternative_name(der: bytes, extensions: Element | None) -> str | None:
    for extension in _within(der, extensions):
        parts = list(_within(der, extension))
        if len(parts) < 2 or _bytes(der, parts[0]) != SUBJECT_ALT_NAME or parts[-1][0] != OCTETS:
            continue
        for name in _within(der, _first(der, parts[-1])):
            if name[0] == DNS_NAME and (dns_name := _bytes(der, name)):
                return _text(dns_name, "ascii")
    return None


def _common_name(der: bytes, subject: Element) -> str | None:
    """Return the last one: it is the most specific (RFC 6125, section 1.8)."""
    found = None
    for part in _within(der, subject):
        for attribute in _within(der, part):
            parts = list(_within(der, attribute))
            if len(parts) != 2 or _bytes(der, parts[0]) != COMMON_NAME or parts[1][0] not in CODECS:
                continue
            if text := _bytes(der, parts[1]):
                found = _text(text, CODECS[parts[1][0]])
    return found


def _bytes(der: bytes, element: Element) -> bytes:
    """Return the contents of an element; nothing if its end is missing."""
    _, at, stop = element
    return der[at:stop] if stop <= len(der) else b""


def _text(raw: bytes, codec: str) -> str:
    return raw[:MAX_TEXT].decode(codec, "backslashreplace")
