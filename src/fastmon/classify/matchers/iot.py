"""Messaging and things: MQTT 3 to 5, AMQP 0-9-1 and 1.0, CoAP (RFC 7252), XMPP (RFC 6120)."""

from __future__ import annotations

import re

from fastmon.classify.matching import Context, Match, certain, hinted, likely, text

__all__ = ["amqp", "coap", "mqtt", "xmpp"]

XMPP_STREAM = re.compile(
    rb"(?:<\?xml[^>]{0,60}\?>\s*)?<(?:stream:stream|open)\b[^>]{0,600}?(?:jabber|xmpp|etherx)", re.IGNORECASE
)
XMPP_STANZA = re.compile(
    rb"<(?:stream:|starttls |auth xmlns=.urn:ietf|iq [^>]{0,300}type=|presence|message [^>]{0,300}(?:to|from)=)"
)
XMPP_TO = re.compile(rb"[ \n]to=['\"]([\w.-]{1,253})['\"]")
COAP_OPTIONS = {1, 3, 4, 5, 6, 7, 8, 9, 11, 12, 14, 15, 16, 17, 19, 20, 21, 23, 27, 28, 31, 35, 39, 60, 252, 258, 292, 2048, 2049}
COAP_PATHS = {3, 8, 11, 15, 20, 35}
PATH_LETTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~=&/:%?+")
COAP_CODES = {0, 1, 2, 3, 4, 5, 6, 7, *range(65, 70), 95, *range(128, 144), 157, *range(160, 169)}
MAX_COAP_OPTIONS = 40


def _variable_length(data: bytes) -> tuple[int, int]:
    """Return MQTT's remaining length, after the first byte, and the offset behind it; (-1, 0) if it has no end."""
    length = 0
    for index in range(4):
        if 1 + index >= len(data):
            return -1, 0
        length |= (data[1 + index] & 0x7F) << 7 * index
        if data[1 + index] < 0x80:
            return length, 2 + index
    return -1, 0


def mqtt(data: bytes, context: Context) -> Match | None:
    """CONNECT with the protocol's name. Another packet that fills the segment is little evidence."""
    length, at = _variable_length(data)
    if length < 0:
        return None
    kind = data[0] >> 4
    if kind == 1:
        named = data[at : at + 6] == b"\0\4MQTT" or data[at : at + 8] == b"\0\6MQIsdp"
        return certain("mqtt") if named and not data[0] & 0x0F else None
    if at + length > len(data) or (at + length < len(data) and not data[at + length] >> 4):
        return None
    if kind == 3:
        return _mqtt_publish(data, at, length, context)
    if kind in {4, 5, 7, 11}:
        is_answer = context.memory.get(("mqtt", not context.from_a)) == data[at : at + 2]
        plain = certain("mqtt") if is_answer else hinted("mqtt")
        return plain if length == 2 and not data[0] & 0x0F else None
    if kind == 2:
        is_answer = data[0] == 0x20 and length >= 2 and data[at] <= 1 and (length > 2 or data[at + 1] <= 5)
        return likely("mqtt") if is_answer else None
    if kind in {12, 13, 14}:
        return hinted("mqtt") if length == 0 and not data[0] & 0x0F and len(data) == 2 else None
    if kind == 9:
        return (
            likely("mqtt")
            if length > 2 and not data[0] & 0x0F and {0, 1, 2, 0x80}.issuperset(data[at + 2 : at + length])
            else None
        )
    n_topic = data[at + 2] << 8 | data[at + 3] if kind in {8, 10} and length > 4 else 0
    return likely("mqtt") if 0 < n_topic <= length - 4 and data[0] & 0x0F == 2 else None


def _mqtt_publish(data: bytes, at: int, length: int, context: Context) -> Match | None:
    """PUBLISH with a topic that is text. Remember its number for the acknowledgement."""
    topic = int.from_bytes(data[at : at + 2], "big")
    name = data[at + 2 : at + 2 + topic]
    if not 0 < topic <= length - 2 or data[0] & 6 == 6 or not name.isascii() or not name.decode("ascii").isprintable():
        return None
    if data[0] & 6:
        context.memory["mqtt", context.from_a] = data[at + 2 + topic : at + 4 + topic]
    return likely("mqtt")


def amqp(data: bytes, context: Context) -> Match | None:
    """The protocol header, or a frame of 0-9-1 with its end mark."""
    if data[0] == 0x41:
        is_header = data[:4] == b"AMQP" and data[4:8] in {
            b"\0\0\x09\1",
            b"\0\1\0\0",
            b"\3\1\0\0",
            b"\2\1\0\0",
            b"\1\1\0\x0a",
            b"\1\1\x08\0",
        }
        return certain("amqp") if is_header else None
    if data[0] in {1, 2, 3, 8} and len(data) >= 8:
        end = 7 + int.from_bytes(data[3:7], "big")
        return certain("amqp") if end < len(data) and data[end] == 0xCE and data[1] < 4 else None
    if (
        data[0] == 0
        and len(data) >= 12
        and data[4] == 2
        and data[5] <= 1
        and data[8:10] == b"\0\x53"
        and 0x10 <= data[10] <= 0x44
    ):
        return certain("amqp")
    return None


def coap(data: bytes, context: Context) -> Match | None:
    """A request whose options are known, with a path or host among them; or an answer with the token of a request."""
    token, code = data[0] & 0x0F, data[1]
    if code not in COAP_CODES:
        return None
    if not code:
        return hinted("coap") if len(data) == 4 and data[0] >= 0x60 else None
    match = _coap_now(data, token, code)
    if code < 5 and (match is None or not match.certain):
        match = _coap_draft(data, token) or match
    if match is None or match.certain:
        return match
    return certain("coap") if _is_answered(data, token, context) else match


def _is_answered(data: bytes, n_token: int, context: Context) -> bool:
    """Return whether this and the other side's message are a request and its answer, by their token, or their number."""
    is_request = data[1] < 32
    if len(data) < 4 + n_token or data[0] >= (0x60 if is_request else 0x70):
        return False
    key = data[4 : 4 + n_token] or data[2:4]
    context.memory["coap", context.from_a, is_request] = key
    return context.memory.get(("coap", not context.from_a, not is_request)) == key


def _coap_draft(data: bytes, n_options: int) -> Match | None:
    """A request of the drafts before the twelfth: a count of options in place of the token's length."""
    option, is_path, at = 0, False, 4
    for _ in range(n_options):
        if at >= len(data) or data[at] >= 0xF0 or data[at] & 0x0F == 15:
            return None
        option += data[at] >> 4
        value = data[at + 1 : at + 1 + (data[at] & 0x0F)]
        is_path = is_path or (option in {5, 9} and len(value) > 3 and value.isascii() and value.decode("ascii").isprintable())
        at += 1 + (data[at] & 0x0F)
    return certain("coap") if is_path and at == len(data) and option < 16 else None


def _coap_now(data: bytes, token: int, code: int) -> Match | None:
    if token > 8:
        return None
    option, n_options, is_path, at = 0, 0, False, 4 + token
    while at < len(data) and data[at] != 0xFF:
        delta, length, at = _coap_option(data, at)
        option += delta
        value = data[at : at + length]
        if at < 0 or option not in COAP_OPTIONS or n_options > MAX_COAP_OPTIONS:
            return None
        at += length
        least = 2 if at <= len(data) else 4  # letters; fewer of a cut value are no evidence
        is_path = is_path or (option in COAP_PATHS and len(value) >= least and PATH_LETTERS.issuperset(value))
        n_options += 1
    if at > len(data) and len(data) > 60:
        return None
    if at < len(data) and at + 1 == len(data):
        return None  # a payload marker must have a payload
    return certain("coap") if is_path and code < 8 and data[0] < 0x60 else hinted("coap")


def _coap_option(data: bytes, at: int) -> tuple[int, int, int]:
    """Return an option's delta, length, and the offset of its value (RFC 7252, section 3.1); the offset is -1 for no option."""
    values = []
    head = data[at]
    at += 1
    for nibble in (head >> 4, head & 0x0F):
        if nibble == 15:
            return 0, 0, -1
        size = 1 if nibble == 13 else 2 if nibble == 14 else 0
        extra = int.from_bytes(data[at : at + size], "big")
        values.append(13 + extra if nibble == 13 else 269 + extra if nibble == 14 else nibble)
        at += size
    return values[0], values[1], at


def xmpp(data: bytes, context: Context) -> Match | None:
    """The opening of a stream, or a stanza."""
    if not XMPP_STREAM.match(data):
        return likely("xmpp") if XMPP_STANZA.match(data) else None
    to = XMPP_TO.search(data)
    return Match(("xmpp",), name=text(to[1]) if to else None)
