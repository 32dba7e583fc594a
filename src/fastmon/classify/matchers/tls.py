"""TLS (RFC 8446, RFC 5246), SSL 2.0's hello, and DTLS (RFC 6347, RFC 9147).

A ClientHello is read here, not by dpkt.ssl, which needs the whole message. Captures cut it, and post-quantum key shares
spread it over segments, with the server's name in the second.

What it does not do: read what is in certificates (`classify/certificates.py`), or fingerprint hellos (`classify/ja4.py`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fastmon.classify.matching import MAX_PAYLOAD, Context, Match, certain, likely, text
from fastmon.classify.model import NameFact
from fastmon.classify.online import is_resolver

__all__ = ["APPS_BY_ALPN", "ClientHello", "dtls", "read_client_hello", "server_name_facts", "ssl2", "tls"]

APPS_BY_ALPN = {
    "h2": "https",
    "http/1.1": "https",
    "http/1.0": "https",
    "imap": "imap",
    "pop3": "pop3",
    "smtp": "smtp",
    "ftp": "ftp",
    "dot": "dot",
    "mqtt": "mqtt",
    "x-amzn-mqtt-ca": "mqtt",
    "sip/2": "sip",
    "stun.turn": "stun",
    "stun.nat-discovery": "stun",
    "xmpp-client": "xmpp",
    "xmpp-server": "xmpp",
    "coap": "coap",
    "irc": "irc",
    "nntp": "nntp",
    "postgresql": "postgresql",
    "tds/8.0": "mssql",
}
APPS_BY_PORT = {
    443: "https",
    465: "smtp",
    563: "nntp",
    636: "ldap",
    853: "dot",
    989: "ftp-data",
    990: "ftp",
    992: "telnet",
    993: "imap",
    995: "pop3",
    3269: "ldap",
    3389: "rdp",
    5061: "sip",
    5223: "xmpp",
    5349: "stun",
    5671: "amqp",
    5684: "coap",
    6697: "irc",
    8443: "https",
    8883: "mqtt",
}
HANDSHAKE, APPLICATION_DATA = 22, 23
MAX_RECORD = 16384 + 2048
MAX_HELLO = 8192
HOST_NAME = re.compile(r"[A-Za-z0-9._-]+")
HANDSHAKE_TYPES = {0, 1, 2, 3, 4, 5, 6, 8, 11, 12, 13, 14, 15, 16, 20, 21, 22, 23, 24, 25, 67}
SERVER_NAME, ALPN = 0, 16
SERVER_HELLO, CERTIFICATE = b"\2", 11
ANSWER = "answer"
"""The note of a server's first messages: whether `a` sent them, and their bytes."""


@dataclass(slots=True)
class ClientHello:
    """The contents of a ClientHello.  whole: nothing is missing.  message: all of it, with its header."""

    server_name: str | None = None
    alpn: tuple[str, ...] = ()
    whole: bool = False
    message: bytes = b""


NO_HELLO = ClientHello()


def read_client_hello(hello: bytes) -> ClientHello:
    """Read a ClientHello as far as it is there. Takes at most one step for each 4 bytes."""
    found = ClientHello()
    end = min(len(hello), 4 + int.from_bytes(hello[1:4], "big"))
    at = 38
    for size in (1, 2, 1):  # session id, cipher suites, compression methods
        if at + size > end:
            return found
        at += size + int.from_bytes(hello[at : at + size], "big")
    found.whole = end == 4 + int.from_bytes(hello[1:4], "big")
    found.message = hello[:end] if found.whole else b""
    at += 2
    while at + 4 <= end:
        kind = hello[at] << 8 | hello[at + 1]
        length = hello[at + 2] << 8 | hello[at + 3]
        at += 4
        body = hello[at : min(at + length, end)]
        if kind == SERVER_NAME and length == len(body) > 5 and body[2] == 0:
            found.server_name = text(body[5 : 5 + (body[3] << 8 | body[4])])
        elif kind == ALPN and length == len(body):
            found.alpn = _protocol_names(body)
        at += length
    return found


def _protocol_names(body: bytes) -> tuple[str, ...]:
    names = []
    at = 2
    while at < len(body):
        length = body[at]
        names.append(text(body[at + 1 : at + 1 + length]))
        at += 1 + length
    return tuple(names)


def server_name_facts(name: str | None, context: Context, source: str = "sni") -> tuple[NameFact, ...]:
    """Return the fact that the receiver of this payload is known as `name`; no fact without a name."""
    return (NameFact(context.dst.host, name, source),) if name else ()


def tls(data: bytes, context: Context) -> Match | None:
    """TLS and SSL 3.0 records, at any point of a connection where a record begins."""
    if len(data) < 5 or data[1] != 3 or data[2] > 4:
        return None
    length = data[3] << 8 | data[4]
    if not 0 < length <= MAX_RECORD or not _records_follow(data, 5 + length):
        return None
    kind = data[0]
    if kind == HANDSHAKE:
        if length < 4:
            return None
        if len(data) > 5 and data[5] == 1:
            return _client_hello(data, context)
        if len(data) > 5 and data[5] not in HANDSHAKE_TYPES and (length < 40 or length > 100):
            return None  # neither a known message nor an encrypted Finished
    elif kind == APPLICATION_DATA:
        if length < 16:
            return None
    elif (kind == 20 and length != 1) or (kind == 21 and length != 2 and not 16 <= length <= 80) or kind == 24:
        return None
    if kind == HANDSHAKE and data[5:6] == SERVER_HELLO:
        return _begin_answer(_app(NO_HELLO, context), data, context)
    return certain(_app(NO_HELLO, context))


def _records_follow(data: bytes, at: int) -> bool:
    """Return whether the bytes at `at`, if there are any, begin like a record."""
    return at >= len(data) or (20 <= data[at] <= 24 and data[at + 1 : at + 2] in {b"\x03", b""})


def _app(hello: ClientHello, context: Context) -> str:
    """Return what TLS carries; HTTPS with the name of a public resolver is DNS."""
    by_alpn = (APPS_BY_ALPN[protocol] for protocol in hello.alpn if protocol in APPS_BY_ALPN)
    app = next(by_alpn, None) or context.by_port(APPS_BY_PORT) or "tls"
    return "doh" if app == "https" and hello.server_name and is_resolver(hello.server_name) else app


def _client_hello(data: bytes, context: Context) -> Match | None:
    """Read the hello in its records. It may continue in later segments."""
    if len(data) >= 11 and not (data[9] == 3 and data[10] <= 4):
        return None
    context.memory["hello", context.from_a] = data
    return _hello_match(data, context)


def _more_of_hello(data: bytes, context: Context) -> Match | None:
    key = ("hello", context.from_a)
    earlier = context.memory.get(key)
    if not isinstance(earlier, bytes) or len(earlier) > MAX_HELLO:
        return None
    if _is_cut(earlier, data):
        return certain(_app(read_client_hello(_handshake_bytes(earlier)), context))
    joined = earlier + data
    context.memory[key] = joined
    return _hello_match(joined, context, is_joined=True)


def _is_cut(earlier: bytes, data: bytes) -> bool:
    """Return whether a new record begins in place of the rest of the earlier one: the capture has cut that."""
    return _lacks_bytes(earlier) and 20 <= data[0] <= 23 and data[1:2] == b"\3" and data[2:3] <= b"\4"


def _lacks_bytes(stream: bytes) -> bool:
    """Return whether the last record of a stream is incomplete."""
    at = 0
    while at + 5 <= len(stream):
        at += 5 + (stream[at + 3] << 8 | stream[at + 4])
    return at != len(stream)


def _hello_match(stream: bytes, context: Context, *, is_joined: bool = False) -> Match:
    hello = read_client_hello(_handshake_bytes(stream))
    name = hello.server_name
    if is_joined and name and not HOST_NAME.fullmatch(name):
        name = None  # bytes may be missing between the segments
    return Match(
        (_app(hello, context),),
        name=name,
        facts=server_name_facts(name, context),
        follow=_certificate if hello.whole else _more_of_hello,
        hello=hello.message,
    )


def _begin_answer(app: str, data: bytes, context: Context) -> Match:
    """Keep a payload that begins with a server's hello, for the sake of its certificate."""
    context.memory[ANSWER] = context.from_a, data
    return _answer_match(app, data, is_over=len(data) == MAX_PAYLOAD)


def _certificate(data: bytes, context: Context) -> Match | None:
    """What follows a client's hello: the server's answer, which ends with the certificate, or when the client speaks again."""
    from_a, answer = context.memory.get(ANSWER, (context.from_a, b""))
    if from_a != context.from_a or (answer and _is_cut(answer, data)):
        match = _answer_match("unknown", answer, is_over=True)
    elif answer:
        answer += data
        context.memory[ANSWER] = from_a, answer
        match = _answer_match("unknown", answer, is_over=len(data) == MAX_PAYLOAD or len(answer) > MAX_HELLO)
    elif data[0] == HANDSHAKE and data[5:6] == SERVER_HELLO:
        match = _begin_answer("unknown", data, context)
    elif data[0] == HANDSHAKE:
        return None
    else:
        match = certain("unknown")
    return match if match.follow is None else None


def _answer_match(app: str, stream: bytes, *, is_over: bool) -> Match:
    """Return the match of a server's answer, with its certificate if that is whole, or nothing follows."""
    found, goes_on = _read_answer(_handshake_bytes(stream))
    if goes_on and not is_over and _has_only_handshake(stream):
        return Match((app,), follow=_certificate)
    return Match((app,), certificate=found)


def _read_answer(messages: bytes) -> tuple[bytes, bool]:
    """Return the first certificate, as much of it as is there, and whether more may follow (RFC 5246, section 7.4.2)."""
    at = 0
    while messages[at : at + 1] == SERVER_HELLO and at + 4 <= len(messages):
        at += 4 + int.from_bytes(messages[at + 1 : at + 4], "big")
    if at >= len(messages) or messages[at : at + 1] == SERVER_HELLO:
        return b"", True
    if messages[at] != CERTIFICATE:
        return b"", False
    length = int.from_bytes(messages[at + 7 : at + 10], "big")
    found = messages[at + 10 : at + 10 + length]
    return found, at + 10 > len(messages) or len(found) < length


def _has_only_handshake(stream: bytes) -> bool:
    """Return whether a stream has no other records than those of a handshake."""
    at = 0
    while at + 5 <= len(stream) and stream[at] == HANDSHAKE:
        at += 5 + (stream[at + 3] << 8 | stream[at + 4])
    return at >= len(stream) or stream[at] == HANDSHAKE


def _handshake_bytes(stream: bytes) -> bytes:
    """Return the joined contents of the handshake records."""
    if len(stream) <= 5 + (stream[3] << 8 | stream[4]):
        return stream[5:]
    parts = []
    at = 0
    while at + 5 <= len(stream) and stream[at] == HANDSHAKE:
        length = stream[at + 3] << 8 | stream[at + 4]
        parts.append(stream[at + 5 : at + 5 + length])
        at += 5 + length
    return b"".join(parts)


def ssl2(data: bytes, context: Context) -> Match | None:
    """The CLIENT-HELLO of SSL 2.0, which may also begin SSL 3.0 and TLS 1.0 (RFC 2246, appendix E)."""
    if data[2] != 1 or not (data[3:5] == b"\0\2" or (data[3] == 3 and data[4] <= 3)):
        return None
    ciphers, session, challenge = (int.from_bytes(data[at : at + 2], "big") for at in (5, 7, 9))
    total = 9 + ciphers + session + challenge
    if (data[0] & 0x7F) << 8 | data[1] != total or ciphers % 3 or not ciphers or session not in {0, 16}:
        return None
    return certain(_app(NO_HELLO, context)) if 16 <= challenge <= 32 else None


def dtls(data: bytes, context: Context) -> Match | None:
    """DTLS 1.0 and 1.2 records. Those of DTLS 1.3 begin alike while the handshake is not encrypted."""
    if data[1:3] not in {b"\xfe\xff", b"\xfe\xfd", b"\x01\0"} or data[0] not in {20, 21, 22, 23, 25}:
        return None
    length = data[11] << 8 | data[12]
    if not length or length > MAX_RECORD:
        return None
    end = 13 + length
    if end < len(data) and data[end + 1 : end + 2] not in {b"\xfe", b"\x01", b""}:
        return None
    if data[0] == HANDSHAKE and data[3:5] == b"\0\0" and len(data) > 13:
        if data[13] not in HANDSHAKE_TYPES:
            return None
        return _dtls_hello(data, context) if data[13] == 1 else certain("dtls")
    return certain("dtls") if end <= len(data) else likely("dtls")


def _dtls_hello(data: bytes, context: Context) -> Match:
    """Read a ClientHello without fragments. In DTLS it has 8 more header bytes, and a cookie after the session id."""
    body = data[25:]
    is_whole = data[14:17] == data[22:25] and int.from_bytes(data[14:17], "big") <= len(body) > 0
    if is_whole:
        body = body[: int.from_bytes(data[14:17], "big")]  # other messages may follow
    at = 35 + (body[34] if len(body) > 34 else 0)
    if data[19:22] != b"\0\0\0" or len(body) <= at:
        return certain("dtls")
    body = body[:at] + body[at + 1 + body[at] :]
    hello = read_client_hello(b"\1" + len(body).to_bytes(3, "big") + body)
    facts = server_name_facts(hello.server_name, context)
    return Match(("dtls",), name=hello.server_name, facts=facts, hello=hello.message if is_whole else b"")
