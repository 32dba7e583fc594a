"""Directories, logins and management: LDAP, Kerberos, RADIUS, Diameter, SNMP, syslog, NTP."""

from __future__ import annotations

import re

from dpkt.ntp import NTP
from dpkt.radius import parse_attrs

from fastmon.classify.matching import Context, Match, certain, hinted, likely, parsed

__all__ = ["diameter", "kerberos", "kerberos_stream", "ldap", "ntp", "radius", "snmp", "syslog"]

LDAP_OPERATIONS = {0x42, 0x4A, 0x50, *range(0x60, 0x6A), *range(0x6B, 0x6F), 0x6F, 0x73, 0x77, 0x78, 0x79}
LDAP_BODIES = {0x60: {2}, 0x61: {0x0A}, 0x63: {4}, 0x64: {4}, 0x65: {0x0A}, 0x77: {0x80}, 0x78: {0x0A}}
KERBEROS_TYPES = {0x6A: 10, 0x6B: 11, 0x6C: 12, 0x6D: 13, 0x6E: 14, 0x6F: 15, 0x74: 20, 0x75: 21, 0x76: 22, 0x7E: 30}
RADIUS_TYPES = frozenset(range(1, 192)) | frozenset(range(241, 247))
RADIUS_NUMBERS = frozenset({4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16, 23, 27, 28, 29, 37, 38, 40, 41, 42, 43, 45, 61, 62})
"""Attributes of four bytes (RFC 2865, RFC 2866)."""
RADIUS_CODES = {1, 2, 3, 4, 5, 11, 12, 13, 40, 41, 42, 43, 44, 45}
SYSLOG_TIMED = re.compile(
    rb"(?:[1-9]\d{0,4} )?<\d{1,3}>(?:"
    rb"(?:\d{1,8}: )?\*?(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ \d]?\d "
    rb"|1 (?:\d{4}-\d\d-\d\dT|- )"
    rb"|(?:date=)?\d{4}-\d\d-\d\d[T ])"
)
SYSLOG_ANY = re.compile(rb"(?:[1-9]\d{0,4} )?<(\d{1,3})>[A-Za-z0-9\[*%:_ -][\t -~\x80-\xff]{3}")


def _ber(data: bytes, at: int) -> tuple[int, int]:
    """Return the offset and the stated length of the contents of the BER element at `at`; (-1, 0) if there is none."""
    if at + 1 >= len(data):
        return -1, 0
    length = data[at + 1]
    if length < 0x80:
        return at + 2, length
    size = length & 0x7F
    if not 1 <= size <= 4 or at + 2 + size > len(data):
        return -1, 0
    return at + 2 + size, int.from_bytes(data[at + 2 : at + 2 + size], "big")


def ldap(data: bytes, context: Context) -> Match | None:
    """A message of LDAP (RFC 4511), or CLDAP over UDP: a number, then an operation."""
    at, length = _ber(data, 0)
    if at < 0 or length < 5 or length > 1 << 24 or data[at : at + 1] != b"\2":
        return None
    number, size = _ber(data, at + 1 - 1)
    if number < 0 or not 1 <= size <= 4:
        return None
    operation = number + size
    body, body_length = _ber(data, operation)
    if body < 0 or data[operation] not in LDAP_OPERATIONS or operation + 2 > len(data):
        return None
    if body + body_length > at + length:
        return None
    expected = LDAP_BODIES.get(data[operation])
    if expected and body < len(data) and data[body] not in expected:
        return None
    return certain("ldap") if expected and body < len(data) else likely("ldap")


def snmp(data: bytes, context: Context) -> Match | None:
    """SNMP 1, 2c and 3 (RFC 3416, RFC 3412): a version, then a community and a PDU, or the header of version 3."""
    at, length = _ber(data, 0)
    if at < 0 or length < 10 or data[at : at + 2] != b"\2\1" or at + 4 > len(data):
        return None
    version = data[at + 2]
    if version == 3:
        return certain("snmp") if data[at + 3] == 0x30 and data[at + 5 : at + 6] in {b"\2", b""} else None
    if version > 1 or data[at + 3] != 4:
        return None
    community, size = _ber(data, at + 3)
    pdu = community + size
    if community < 0 or size > 255:
        return None
    if pdu >= len(data):
        return hinted("snmp")
    return certain("snmp") if 0xA0 <= data[pdu] <= 0xA8 else None


def kerberos(data: bytes, context: Context) -> Match | None:
    """A message of Kerberos 5 (RFC 4120): version 5, and the message type of its tag."""
    kind = KERBEROS_TYPES.get(data[0])
    if kind is None:
        return None
    at, _ = _ber(data, 0)
    sequence, _ = _ber(data, at) if at > 0 else (-1, 0)
    if sequence < 0 or data[at] != 0x30:
        return None
    first = 0xA1 if kind in {10, 12} else 0xA0
    expected = bytes([first, 3, 2, 1, 5, first + 1, 3, 2, 1, kind])
    return certain("kerberos") if data[sequence : sequence + 10] == expected else None


def kerberos_stream(data: bytes, context: Context) -> Match | None:
    """Kerberos over TCP, after a length (RFC 4120, section 7.2.2)."""
    return kerberos(data[4:], context) if len(data) > 16 else None


def radius(data: bytes, context: Context) -> Match | None:
    """RADIUS (RFC 2865, RFC 2866): a code, the length, and attributes that fill it."""
    length = data[2] << 8 | data[3]
    if data[0] not in RADIUS_CODES or not 20 <= length <= 4096:
        return None
    if length > len(data):
        return _radius_cut(data, length, context)
    if length < len(data):
        return None
    attributes = parsed(parse_attrs, data[20:length])
    filled = attributes is not None and sum(2 + len(value) for _, value in attributes) == length - 20
    if not filled or not attributes or not RADIUS_TYPES.issuperset(kind for kind, _ in attributes):
        return likely("radius") if length == 20 else None
    return certain("radius") if len(attributes) > 1 else likely("radius")


def _radius_cut(data: bytes, length: int, context: Context) -> Match | None:
    """A message without its end: check the attributes that are there. An answer with the number of a request is certain."""
    at = 20
    while at + 2 <= len(data):
        kind, size = data[at], data[at + 1]
        if kind not in RADIUS_TYPES or size < 3 or (kind in RADIUS_NUMBERS and size != 6):
            return None
        at += size
    if at > length:
        return None
    if len(data) >= 22 and data[0] in {1, 4}:
        context.memory["radius", context.from_a] = data[1]
    elif len(data) >= 22 and data[0] in {2, 3, 5, 11} and context.memory.get(("radius", not context.from_a)) == data[1]:
        return certain("radius")
    return hinted("radius")


def diameter(data: bytes, context: Context) -> Match | None:
    """Diameter (RFC 6733): version 1, length, flags, a known command, and the header of an attribute."""
    length = int.from_bytes(data[1:4], "big")
    if length % 4 or not 20 <= length < 1 << 20 or data[4] & 0x0F or data[8] or len(data) > 65000:
        return None
    known = int.from_bytes(data[5:8], "big") in {257, 258, 265, 268, 271, 272, 274, 275, 280, 282, *range(300, 330)}
    return certain("diameter") if known and (length == len(data) or (data[24:25] and data[24] & 0x1F == 0)) else None


def syslog(data: bytes, context: Context) -> Match | None:
    """A priority, and a time as in RFC 3164, RFC 5424 or ISO 8601. Other text after a priority is little evidence.

    Over TCP the message's length may come first (RFC 6587, section 3.4.1).
    """
    if SYSLOG_TIMED.match(data):
        return certain("syslog")
    line = SYSLOG_ANY.match(data)
    return likely("syslog") if line and int(line[1]) < 192 else None


def ntp(data: bytes, context: Context) -> Match | None:
    """NTP (RFC 5905) with plausible fields. Control and private messages are little evidence."""
    mode, version = data[0] & 7, data[0] >> 3 & 7
    if not 1 <= version <= 4 or not mode:
        return None
    if mode >= 6:
        return hinted("ntp") if version > 1 and len(data) < 1000 else None
    if len(data) < 48:
        return hinted("ntp") if len(data) >= 40 and data[1] <= 16 and data[2] <= 17 else None
    if mode == 3 and not any(data[1:40]) and any(data[40:48]):
        return certain("ntp")  # a client that hides its state: zeros, and a random number as time
    return certain("ntp") if _has_ntp_times(data) else hinted("ntp") if data[1] <= 16 and data[2] <= 17 else None


def _has_ntp_times(data: bytes) -> bool:
    """Return whether the fields of a whole message are within their ranges, and its times of this century, or since a boot."""
    packet = parsed(NTP, data)
    if packet is None or packet.stratum > 16 or packet.interval > 17 or 0 < packet.precision < 224:
        return False
    # Root delay and dispersion are 16.16 seconds, below 16 s unless unsynchronised (RFC 5905, MAXDISP); a delay may be negative.
    if data[4] not in {0, 0xFF} or data[8] not in {0, 0xFF} or data[5] > 16 or data[9] > 16:
        return False
    seconds = [int.from_bytes(data[at : at + 4], "big") for at in (16, 40)]
    plausible = all(not value or value > 0x80000000 or value < 0x20000000 for value in seconds)
    has_clock = seconds[1] > (0 if data[3] else 0xC0000000)
    return plausible and has_clock and (len(data) == 48 or len(data) >= 52)
