"""TLS hellos of any contents, servers' answers, and certificates.

What it does not do: encrypt, or say what matchers make of them.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from .cases import ber, tls_record

__all__ = [
    "ALTERNATIVE_NAMES",
    "BMP",
    "CIPHERS",
    "EMPTY",
    "EXTENSIONS",
    "IA5",
    "PRINTABLE",
    "SIGNATURES",
    "TELETEX",
    "UNIVERSAL",
    "UTF8",
    "answer",
    "der",
    "dns",
    "hello",
    "numbers",
    "protocols",
    "sequence",
    "server_hello",
    "subject",
]

CIPHERS = "1301,1302,1303,c02b,c02f,c02c,c030,cca9,cca8,c013,c014,009c,009d,002f,0035"
EXTENSIONS = "001b,0000,0033,0010,4469,0017,002d,000d,0005,0023,0012,002b,ff01,000b,000a,0015"
SIGNATURES = "0403,0804,0401,0503,0805,0501,0806,0601"
"""Those of the example in FoxIO's description of JA4."""
COMMON_NAME, ALTERNATIVE_NAMES = ber(6, bytes.fromhex("550403")), ber(6, bytes.fromhex("551d11"))
UTF8, PRINTABLE, TELETEX, IA5, UNIVERSAL, BMP = 0x0C, 0x13, 0x14, 0x16, 0x1C, 0x1E
EMPTY = ber(0x30, b"")


def numbers(listed: str) -> list[int]:
    """Return hexadecimal numbers with commas between them as numbers."""
    return [int(number, 16) for number in listed.split(",")] if listed else []


def _pack(values: Sequence[int]) -> bytes:
    return struct.pack(f">{len(values)}H", *values)


def protocols(*names: bytes) -> bytes:
    """Return the body of an ALPN extension."""
    listed = b"".join(bytes([len(name)]) + name for name in names)
    return struct.pack(">H", len(listed)) + listed


def hello(
    *,
    ciphers: str = CIPHERS,
    extensions: str = EXTENSIONS,
    signatures: str = SIGNATURES,
    versions: str = "0304,0303",
    alpn: bytes = protocols(b"h2", b"http/1.1"),
    legacy: int = 0x0303,
    name: bytes = b"example.org",
    padding: int = 0,
) -> bytes:
    """Return a ClientHello as a handshake message.  extensions: their numbers; the other arguments are what some of them have."""
    bodies = {
        0: struct.pack(">HBH", len(name) + 3, 0, len(name)) + name,
        13: struct.pack(">H", 2 * len(numbers(signatures))) + _pack(numbers(signatures)),
        16: alpn,
        21: bytes(padding),
        43: bytes([2 * len(numbers(versions))]) + _pack(numbers(versions)),
    }
    listed = b"".join(
        struct.pack(">2H", kind, len(bodies.get(kind, b""))) + bodies.get(kind, b"") for kind in numbers(extensions)
    )
    suites = _pack(numbers(ciphers))
    body = struct.pack(">H", legacy) + bytes(range(32)) + b"\x20" + bytes(32) + struct.pack(">H", len(suites)) + suites + b"\1\0"
    body += struct.pack(">H", len(listed)) + listed
    return b"\1" + len(body).to_bytes(3, "big") + body


def server_hello() -> bytes:
    """Return a ServerHello of TLS 1.2 as a handshake message."""
    body = b"\3\3" + bytes(range(32)) + b"\0\xc0\x2f\0"
    return b"\2" + len(body).to_bytes(3, "big") + body


def answer(*certificates: bytes, record: int = 16384) -> bytes:
    """Return a server's first messages of TLS 1.2, up to its certificates, in records of at most `record` bytes."""
    listed = b"".join(len(one).to_bytes(3, "big") + one for one in certificates)
    body = len(listed).to_bytes(3, "big") + listed
    messages = server_hello() + b"\x0b" + len(body).to_bytes(3, "big") + body + b"\x0e\0\0\0"
    return b"".join(tls_record(messages[at : at + record]) for at in range(0, len(messages), record))


def sequence(*contents: bytes) -> bytes:
    return ber(0x30, b"".join(contents))


def subject(*parts: tuple[int, bytes], kind: bytes = COMMON_NAME) -> bytes:
    """Return a name with a part for each tag and text."""
    return sequence(*(ber(0x31, sequence(kind, ber(tag, text))) for tag, text in parts))


def dns(*names: bytes) -> bytes:
    """Return an extension with alternative names."""
    return sequence(ALTERNATIVE_NAMES, ber(4, sequence(*(ber(0x82, name) for name in names))))


def der(name: bytes = EMPTY, *extensions: bytes, issuer: bytes = subject((UTF8, b"Authority"))) -> bytes:
    """Return a certificate with a subject's name and extensions."""
    fields = [ber(0xA0, b"\2\1\2"), b"\2\1\1", EMPTY, issuer, EMPTY, name, EMPTY]
    if extensions:
        fields.append(ber(0xA3, sequence(*extensions)))
    return sequence(sequence(*fields), EMPTY, b"\3\1\0")
