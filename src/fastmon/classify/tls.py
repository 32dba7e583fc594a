"""TLS, DTLS and SSL 2 records: who is reached, and what the handshake says of the protocol inside.

What it does not do: decrypt, check certificates. The ClientHello itself is read by `client_hello`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastmon.classify.client_hello import parse_client_hello
from fastmon.classify.model import Match, NameFact

if TYPE_CHECKING:
    from fastmon.classify.client_hello import ClientHello
    from fastmon.classify.model import View

__all__ = ["RECOGNISERS", "match_dtls", "match_ssl2", "match_tls"]

RECORD_HEADER = 5
MAX_RECORD = (1 << 14) + 2048  # RFC 8446 section 5.2, RFC 5246 section 6.2.3
CONTENT_TYPES = frozenset({20, 21, 22, 23, 24})
HANDSHAKE, CLIENT_HELLO = 22, 1

HTTP_ALPN = ("h2", "http/", "h3", "spdy/")
"""What the application-layer protocols of HTTP begin with (IANA's registry of ALPN protocol ids)."""

BY_ALPN = {"dot": "dns", "imap": "imap", "pop3": "pop3", "ftp": "ftp", "mqtt": "mqtt", "sip/2": "sip", "stun.turn": "stun"}

BY_PORT = {
    443: "https",
    853: "dns",
    465: "smtp",
    587: "smtp",
    990: "ftp",
    993: "imap",
    995: "pop3",
    636: "ldap",
    3269: "ldap",
    5061: "sip",
    5671: "amqp",
    8883: "mqtt",
    8443: "https",
}
"""What TLS carries on ports of its own (IANA's registry of service names)."""


def match_tls(view: View) -> Match | None:
    """Match TLS records over TCP (RFC 8446 section 5.1), or the rest of a ClientHello that began in an earlier segment."""
    data = view.data
    began = b"".join(earlier for is_same_side, earlier in view.earlier if is_same_side)
    if began and _is_record(began, 0) and began[5:6] == b"\x01":
        return _match(view, began + data)
    if not _is_record(data, 0):
        return None
    following = RECORD_HEADER + int.from_bytes(data[3:5], "big")
    if len(data) >= following + RECORD_HEADER and not _is_record(data, following):
        return None
    return _match(view, data)


def _is_record(data: bytes, at: int) -> bool:
    if len(data) < at + RECORD_HEADER or data[at] not in CONTENT_TYPES or data[at + 1] != 3 or data[at + 2] > 4:
        return False
    return 0 < int.from_bytes(data[at + 3 : at + 5], "big") <= MAX_RECORD


def _match(view: View, data: bytes) -> Match:
    if data[0] != HANDSHAKE or len(data) < 6 or data[5] != CLIENT_HELLO:
        return Match(_by_port(view))
    hello = parse_client_hello(data[RECORD_HEADER:])
    is_cut = len(data) < RECORD_HEADER + int.from_bytes(data[3:5], "big")
    if hello is None:
        return Match(_by_port(view), wants_more=is_cut)
    return Match(
        _by_alpn(view, hello),
        name=hello.server_name,
        facts=() if hello.server_name is None else (NameFact(view.dst.host, hello.server_name, "sni"),),
        wants_more=is_cut and hello.server_name is None,
    )


def _by_port(view: View) -> str:
    return BY_PORT.get(view.dst.port) or BY_PORT.get(view.src.port) or "tls"


def _by_alpn(view: View, hello: ClientHello) -> str:
    for protocol in hello.alpn:
        if protocol.startswith(HTTP_ALPN):
            return "https"
        if protocol in BY_ALPN:
            return BY_ALPN[protocol]
    return _by_port(view)


def match_ssl2(view: View) -> Match | None:
    """Match a ClientHello in the form of SSL 2, with which old clients also begin TLS (RFC 5246 appendix E.2)."""
    data = view.data
    if len(data) < 11 or not data[0] & 0x80 or data[2] != 1 or data[3] not in {0, 3} or data[3:5] not in _SSL2_VERSIONS:
        return None
    specs, session, challenge = (int.from_bytes(data[at : at + 2], "big") for at in (5, 7, 9))
    length = (data[0] & 0x7F) << 8 | data[1]
    is_whole = specs % 3 == 0 and specs > 0 and session in {0, 16} and 16 <= challenge <= 32
    return Match(_by_port(view)) if is_whole and length == 9 + specs + session + challenge else None


_SSL2_VERSIONS = frozenset({b"\x00\x02", b"\x03\x00", b"\x03\x01", b"\x03\x02", b"\x03\x03"})


def match_dtls(view: View) -> Match | None:
    """Match DTLS records (RFC 6347 section 4.1)."""
    data = view.data
    if len(data) < 13 or data[0] not in CONTENT_TYPES or data[1:3] not in {b"\xfe\xff", b"\xfe\xfd", b"\x01\x00"}:
        return None
    length = int.from_bytes(data[11:13], "big")
    if not 0 < length <= MAX_RECORD or (data[1] == 1 and data[0] != HANDSHAKE):
        return None
    if data[0] != HANDSHAKE or len(data) < 25 or data[13] != CLIENT_HELLO or data[3:5] != b"\0\0":
        return Match("dtls")
    # The handshake header is TLS's, with 8 bytes more that tell the fragment.
    hello = parse_client_hello(data[13:17] + data[25:])
    return Match("dtls", name=hello.server_name if hello else None)


RECOGNISERS = (
    (match_tls, "tcp", None),
    (match_ssl2, "tcp", bytes(range(0x80, 0x100))),
    (match_dtls, "udp", bytes(CONTENT_TYPES)),
)
