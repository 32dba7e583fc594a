"""JA4, FoxIO's fingerprint of TLS clients: which program, or library, says hello.

Written after FoxIO's description of the method, technical_details/JA4.md in github.com/FoxIO-LLC/ja4, which says that JA4, unlike
its siblings, is free under the BSD 3-Clause license. t13d1516h2_8daaf6152771_e5627efa2ab1 is one:

- t: TLS over TCP, q: QUIC, d: DTLS; the greatest version offered; d: the hello names a server, i: it does not; the numbers of
  cipher suites and of extensions, 99 at most; the first and last character of the first protocol in ALPN, 00 without;
- 12 hexadecimal digits of the SHA-256 of the cipher suites, in order of their numbers;
- 12 of the SHA-256 of the extensions but those for server name and ALPN, in order of their numbers, and of the signature
  algorithms, as they come.

GREASE (RFC 8701) never counts.

What it does not do: find hellos in packets, or name programs.
"""

from __future__ import annotations

import struct
from functools import lru_cache

__all__ = ["fingerprint"]

MAX_CIPHERS, MAX_EXTENSIONS = 512, 128
"""A hello with more has no fingerprint."""
SERVER_NAME, SIGNATURE_ALGORITHMS, ALPN, SUPPORTED_VERSIONS = 0, 13, 16, 43
VERSIONS = {
    0x0304: "13",
    0x0303: "12",
    0x0302: "11",
    0x0301: "10",
    0x0300: "s3",
    0x0002: "s2",
    0xFEFF: "d1",
    0xFEFD: "d2",
    0xFEFC: "d3",
}
NOTHING = "0" * 12
_PAIR = struct.Struct(">HH")


def fingerprint(hello: bytes, *, is_quic: bool = False) -> str | None:
    """Return the JA4 of a whole ClientHello that begins with its handshake header (RFC 8446, section 4.1.2).

    is_quic: it came in QUIC. That it is of DTLS its own version says.
    None for a hello whose lengths contradict each other, or with very many cipher suites or extensions.
    """
    end = len(hello)
    if end < 39 or int.from_bytes(hello[1:4], "big") != end - 4:
        return None
    at = 39 + hello[38]  # behind the session id
    n_ciphers = int.from_bytes(hello[at : at + 2], "big")
    ciphers = hello[at + 2 : at + 2 + n_ciphers]
    at += 2 + n_ciphers
    if at >= end or n_ciphers % 2 or n_ciphers > 2 * MAX_CIPHERS:
        return None
    at += 1 + hello[at]  # compression methods
    if at != end:  # SSL 3.0 has no extensions
        if at + 2 + int.from_bytes(hello[at : at + 2], "big") != end:
            return None
        at += 2
    kinds: list[int] = []
    bodies = {}
    while at + 4 <= end and len(kinds) <= MAX_EXTENSIONS:
        kind, length = _PAIR.unpack_from(hello, at)
        at += 4
        if kind in _READ:
            bodies[kind] = hello[at : at + length]
        if not _is_grease(kind):
            kinds.append(kind)
        at += length
    if len(kinds) > MAX_EXTENSIONS or at != end:
        return None
    kinds.sort()
    version = max(_numbers(bodies.get(SUPPORTED_VERSIONS, b"")[1:]), default=hello[4] << 8 | hello[5])
    transport = "d" if hello[4] == 0xFE else "q" if is_quic else "t"
    of_ciphers = _hash_ciphers(ciphers)
    of_extensions = _hash_extensions(tuple(kinds), bodies.get(SIGNATURE_ALGORITHMS, b"")[2:])
    return (
        f"{transport}{VERSIONS.get(version, '00')}{'d' if SERVER_NAME in bodies else 'i'}{of_ciphers[0]}"
        f"{min(len(kinds), 99):02}{_ends_of_protocol(bodies.get(ALPN, b''))}_{of_ciphers[1]}_{of_extensions}"
    )


_READ = frozenset({SERVER_NAME, SIGNATURE_ALGORITHMS, ALPN, SUPPORTED_VERSIONS})


def _is_grease(number: int) -> bool:
    """Return whether a number of two bytes is one of 0x0A0A, 0x1A1A, ... 0xFAFA."""
    return number & 0x0F0F == 0x0A0A and number >> 8 == number & 0xFF


def _numbers(body: bytes) -> list[int]:
    """Return the numbers of two bytes without those of GREASE."""
    return [number for (number,) in struct.iter_unpack(">H", body[: len(body) & ~1]) if not _is_grease(number)]


def _ends_of_protocol(body: bytes) -> str:
    """Return the first and the last character of the first protocol in an ALPN extension (RFC 7301, section 3.1)."""
    name = body[3 : 3 + body[2]] if len(body) > 2 else b""
    if not name:
        return "00"
    text = name.hex() if not name[:1].isalnum() or not name[-1:].isalnum() else name.decode("latin-1")
    return text[0] + text[-1]


def _digest(text: str) -> str:
    import hashlib  # loads OpenSSL

    return hashlib.sha256(text.encode()).hexdigest()[:12]


@lru_cache(maxsize=512)  # the same programs say hello again and again
def _hash_ciphers(ciphers: bytes) -> tuple[str, str]:
    """Return their number, and the hash."""
    numbers = sorted(_numbers(ciphers))
    return f"{min(len(numbers), 99):02}", _digest(",".join(f"{number:04x}" for number in numbers)) if numbers else NOTHING


@lru_cache(maxsize=512)
def _hash_extensions(kinds: tuple[int, ...], algorithms: bytes) -> str:
    hashed = ",".join(f"{kind:04x}" for kind in kinds if kind not in {SERVER_NAME, ALPN})
    if not hashed:
        return NOTHING
    listed = ",".join(f"{number:04x}" for number in _numbers(algorithms))
    return _digest(f"{hashed}_{listed}" if listed else hashed)
