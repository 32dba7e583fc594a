"""QUIC 1 and 2 (RFC 9000, RFC 9369), its drafts, and Google's QUIC before it.

The server's name is in an encrypted Initial. Anybody can compute its keys (RFC 9001, section 5.2). The name is read with the
optional library `cryptography`, from up to MAX_INITIALS datagrams. Without it QUIC is recognised and has no name.

What it does not do: follow connections beyond their first flight.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from fastmon.classify.matchers import quic_initial
from fastmon.classify.matchers.tls import NO_HELLO, ClientHello, read_client_hello, server_name_facts
from fastmon.classify.matching import Context, Match, certain, text
from fastmon.classify.online import is_resolver

__all__ = ["gquic", "quic"]

V1, V2, NEGOTIATION = 1, 0x6B3343CF, 0
DNS_PORT = 853
"""RFC 9250, section 4.1.1."""
GOOGLE = re.compile(rb"[QT]0\d\d")
MAX_INITIALS = 4
MIN_NUMBERS = 4
"""Bytes of both connection IDs: a client's first packet has at least 8, and few servers choose none (RFC 9000, section 7.2)."""
MAX_CRYPTO = 16384
MAX_FRAMES = 256


@dataclass(slots=True)
class _Flight:
    """The client's first flight.  pieces: parts of the CRYPTO stream by offset.  opener: None without keys."""

    opener: quic_initial.Opener | None
    pieces: dict[int, bytes] = field(default_factory=dict)
    n_initials: int = 0

    def contiguous(self) -> bytes:
        """Return the stream up to the first gap."""
        joined = b""
        for offset in sorted(self.pieces):
            if offset > len(joined):
                break
            joined += self.pieces[offset][len(joined) - offset :] if offset + len(self.pieces[offset]) > len(joined) else b""
        return joined


def _is_known(version: int) -> bool:
    return (
        version in {V1, V2}
        or 0xFF000005 <= version <= 0xFF000022
        or 0xFACEB000 <= version <= 0xFACEB00F
        or version & 0x0F0F0F0F == 0x0A0A0A0A
    )


def _app(context: Context, hello: ClientHello = NO_HELLO) -> str:
    """Return what QUIC carries: by ALPN, else by the port. HTTP/3 with the name of a public resolver is DNS."""
    for protocol in hello.alpn:
        if protocol.startswith("doq"):  # drafts have their number behind it
            return "doq"
        if protocol.startswith("h3"):
            return "doh" if hello.server_name and is_resolver(hello.server_name) else "quic"
    return "doq" if DNS_PORT in context.ports else "quic"


def quic(data: bytes, context: Context) -> Match | None:
    """A long header of a known version, with possible connection IDs and a possible length."""
    version = int.from_bytes(data[1:5], "big")
    if version == NEGOTIATION:
        return _negotiation(data, context)
    is_google = bool(GOOGLE.match(data[1:5]))
    if not is_google and not (_is_known(version) and data[0] & 0x40):
        return None
    if is_google and data[1:4] == b"Q04":
        return _google_match(data, context) if data[5] in {0x50, 0x05, 0x55} else None
    header = quic_initial.read_header(data)
    if header is None:
        return None
    if header.payload_at < 7 + MIN_NUMBERS:
        return None
    if not header.is_initial:
        return certain(_app(context))
    flight = context.memory.get(("quic", context.from_a))
    if flight is None:
        flight = context.memory["quic", context.from_a] = _Flight(quic_initial.opener(header.version, header.dcid))
    return _initial(data, header, flight, context)


def _negotiation(data: bytes, context: Context) -> Match | None:
    """Version 0 and a list of versions with a known one (RFC 8999, section 6)."""
    if len(data) < 7 or data[5] > 20:
        return None
    at = 6 + data[5]
    at += 1 + (data[at] if at < len(data) else 255)
    if at < 7 + 8:
        return None  # it repeats the client's first connection ID, of 8 bytes or more
    versions = [int.from_bytes(data[i : i + 4], "big") for i in range(at, min(len(data), at + 128), 4)]
    return certain(_app(context)) if any(_is_known(v) or GOOGLE.match(v.to_bytes(4, "big")) for v in versions if v) else None


def _initial(data: bytes, header: quic_initial.Header, flight: _Flight, context: Context) -> Match:
    flight.n_initials += 1
    plain = quic_initial.decrypt(data, header, flight.opener) if flight.opener is not None else None
    if plain is None:
        return certain(_app(context))
    if header.version >> 8 in {0x513035, 0x543035} or plain.find(b"CHLO") >= 0:
        name = _google_name(plain)
        if name:
            return Match(("quic",), name=name, facts=server_name_facts(name, context))
    if _take_crypto(plain, flight.pieces) is False:
        return certain(_app(context))
    stream = flight.contiguous()
    if stream[:1] not in {b"\1", b""}:
        return certain(_app(context))
    hello = read_client_hello(stream) if stream[4:6] == b"\3\3" else None
    done = hello is not None and hello.whole
    name = hello.server_name if hello else None
    return Match(
        (_app(context, hello or NO_HELLO),),
        name=name,
        facts=server_name_facts(name, context),
        follow=None if done or flight.n_initials >= MAX_INITIALS else _more_initials,
        hello=hello.message if hello else b"",
    )


def _more_initials(data: bytes, context: Context) -> Match | None:
    if len(data) < 14 or data[0] < 0x80:
        return None
    header = quic_initial.read_header(data)
    flight = context.memory.get(("quic", context.from_a))
    if header is None or not header.is_initial or not isinstance(flight, _Flight):
        return None
    return _initial(data, header, flight, context)


def _take_crypto(plain: bytes, pieces: dict[int, bytes]) -> bool:
    """Add the data of CRYPTO frames (RFC 9000, section 19.6). Return False if there is a frame that an Initial cannot have."""
    at = 0
    for _ in range(MAX_FRAMES):
        at = len(plain) - len(plain[at:].lstrip(b"\0"))  # padding
        if at >= len(plain):
            return True
        kind = plain[at]
        at += 1
        if kind == 1:
            continue
        if kind == 6:
            offset, at = quic_initial.varint(plain, at)
            length, at = quic_initial.varint(plain, at)
            if at < 0 or offset + length > MAX_CRYPTO:
                return False
            piece = plain[at : at + length]
            if len(piece) > len(pieces.get(offset, b"")):
                pieces[offset] = piece
            at += length
        elif kind in {2, 3}:
            at = _after_ack(plain, at, kind)
            if at < 0:
                return False
        else:
            return kind in {0x1C, 0x1D}
    return True


def _after_ack(plain: bytes, at: int, kind: int) -> int:
    values = []
    for _ in range(4):
        value, at = quic_initial.varint(plain, at)
        values.append(value)
    for _ in range(2 * min(values[2], 64) + (3 if kind == 3 else 0)):
        _, at = quic_initial.varint(plain, at)
    return at


def gquic(data: bytes, context: Context) -> Match | None:
    """Google's public header (up to Q043): flags, connection, and in a client's packet a version. Its CHLO is not encrypted."""
    flags = data[0]
    if flags & 0x40:
        return None
    if not flags & 1:
        return certain("quic") if flags & 8 and b"REJ\0" in data[20:44] else None  # the server's answer
    at = 9 if flags & 8 else 1
    version = data[at : at + 4]
    if not GOOGLE.match(version) or version[:1] != b"Q":
        return None
    return _google_match(data, context)


def _google_match(data: bytes, context: Context) -> Match:
    name = _google_name(data)
    return Match(("quic",), name=name, facts=server_name_facts(name, context))


def _google_name(data: bytes) -> str | None:
    """Return the value of the SNI tag in a CHLO: pairs of tag and end offset, then values. None if it is not whole."""
    at = data.find(b"CHLO")
    if at < 0 or at + 8 > len(data):
        return None
    n_tags = int.from_bytes(data[at + 4 : at + 6], "little")
    values = at + 8 + 8 * n_tags
    start = 0
    for index in range(min(n_tags, 64)):
        entry = at + 8 + 8 * index
        end = int.from_bytes(data[entry + 4 : entry + 8], "little")
        if data[entry : entry + 4] == b"SNI\0":
            return text(data[values + start : values + end]) if start <= end and values + end <= len(data) else None
        start = end
    return None
