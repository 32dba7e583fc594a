"""Calls and media: SIP (RFC 3261) and its SDP (RFC 8866), RTP and RTCP (RFC 3550), STUN and TURN (RFC 8489, RFC 8656), H.323."""

from __future__ import annotations

import ipaddress
import re

from dpkt.rtp import RTP

from fastmon.classify.matching import (
    UDP,
    V4_MAPPED,
    Context,
    Expectation,
    Match,
    certain,
    hinted,
    likely,
    looks_random,
    parsed,
    text,
)
from fastmon.classify.model import Endpoint

__all__ = ["h323", "rtcp", "rtp", "sip", "stun", "stun_stream"]

SIP_LINE = re.compile(
    rb"(?:(?:INVITE|ACK|BYE|CANCEL|REGISTER|OPTIONS|PRACK|SUBSCRIBE|NOTIFY|PUBLISH|INFO|REFER|MESSAGE|UPDATE) "
    rb"(?:sips?|tel):[^\r\n]{1,600}?(?:SIP/|$)|SIP/2\.0 [1-6]\d\d)",
    re.IGNORECASE,
)
SIP_VIA = re.compile(rb"\nVia: *SIP */ *2\.0 */ *(?:UDP|TCP|TLS|WS)")
SIP_HOST = re.compile(rb"\n(?:To|t) {0,9}:[^\r\n<]{0,109}<?sips?:(?:[^@\r\n>]{1,100}@)?([\w.-]{1,253})", re.IGNORECASE)
SDP_ADDRESS = re.compile(rb"\nc=IN IP[46] ([0-9a-fA-F:.]{2,45})")
SDP_MEDIA = re.compile(rb"\nm=(?:audio|video|text|application) (\d{1,5})(?:/\d+)? RTP/")
MAX_MEDIA = 8
MAX_GAP = 100  # packets lost between two
MIN_RTP = 20
"""Two shorter packets, or two that are cut shorter, are no evidence: other headers have a counter and a constant there, too."""
RTCP_SIZES = {200: (28, 24), 201: (8, 24), 202: (4, 8), 203: (4, 4), 204: (12, 0), 205: (12, 0), 206: (12, 0), 207: (8, 0)}
"""By type: the fewest bytes of a report, and of each source that it counts (RFC 3550, section 6; RFC 4585, RFC 3611)."""
COOKIE = b"\x21\x12\xa4\x42"
OLD_STUN_TYPES = {0x0001, 0x0101, 0x0111, 0x0002, 0x0102, 0x0112, 0x0003, 0x0103, 0x0113, 0x0004, 0x0104, 0x0115, 0x0114}
STATIC_PAYLOADS = frozenset(range(19)) | {25, 26, 28, 31, 32, 33, 34} | frozenset(range(96, 128))


def sip(data: bytes, context: Context) -> Match | None:
    """A request or status line. A session description in the message announces RTP and RTCP."""
    if not SIP_LINE.match(data):
        if SIP_VIA.search(data) and b"\nCall-ID:" in data:
            return certain("sip", follow=sip)  # a damaged line, or an unknown method
        return hinted("sip") if data in {b"\r\n\r\n", b"\r\n\r\n\0"} else None
    called = SIP_HOST.search(data)
    is_whole = called is not None and data.find(b"\n", called.end()) > 0  # without a line end it may be part of a user's name
    name = text(called[1]) if called and is_whole else None
    return Match(("sip",), name=name, expects=tuple(_announced(data)), follow=sip)


def _announced(data: bytes) -> list[Expectation]:
    address = SDP_ADDRESS.search(data)
    if address is None:
        return []
    try:
        host = ipaddress.ip_address(address[1].decode("ascii")).packed
    except ValueError:
        return []
    key = V4_MAPPED + host if len(host) == 4 else host
    ports = [int(port) for port in SDP_MEDIA.findall(data)[:MAX_MEDIA]]
    return [
        Expectation(app, UDP, Endpoint(key, port + step))
        for port in ports
        if 0 < port < 65535
        for app, step in (("rtp", 0), ("rtcp", 1))
    ]


def rtp(data: bytes, context: Context) -> Match | None:
    """RTP's header is little evidence. A second packet of the same source must follow, with one of the next numbers."""
    if data[0] >> 6 != 2 or (data[1] & 0x7F) not in STATIC_PAYLOADS:
        return None
    packet = parsed(RTP, data)
    if packet is None or not packet.ssrc or (packet.p and not 0 < data[-1] <= len(data) - 12):
        return None
    if len(data) < MIN_RTP:
        return hinted("rtp")
    key = ("rtp", context.from_a, packet.ssrc)
    earlier = context.memory.get(key)
    context.memory[key] = packet.seq
    if earlier is not None and 0 < (packet.seq - earlier) & 0xFFFF < MAX_GAP:
        return certain("rtp")
    return hinted("rtp")


def rtcp(data: bytes, context: Context) -> Match | None:
    """Reports that fill the datagram. With other bytes after them (SRTCP's index and tag) they are little evidence."""
    at = n_reports = 0
    while at + 4 <= len(data) and data[at] >> 6 == 2 and 200 <= data[at + 1] <= 207:
        if not at and data[1] > 207:
            return None
        length = 4 + 4 * (data[at + 2] << 8 | data[at + 3])
        least, each = RTCP_SIZES[data[at + 1]]
        if length < least + (data[at] & 0x1F) * each:
            return None
        if at + length > len(data):
            break
        at += length
        n_reports += 1
    if not n_reports:
        return likely("rtcp") if 200 <= data[1] <= 201 and data[0] >> 6 == 2 and data[2] == 0 else None
    if at == len(data) and (n_reports > 1 or at >= 28 or (data[1] in {203, 205, 206} and at >= 8)):
        return certain("rtcp")
    return likely("rtcp")


def stun(data: bytes, context: Context) -> Match | None:
    """STUN and TURN by the magic cookie. Without it (RFC 3489), attributes that fill the message are little evidence."""
    if data[0] & 0xC0:
        return None
    length = data[2] << 8 | data[3]
    if length % 4 or length + 20 > 2048:
        return None
    if data[4:8] == COOKIE:
        is_there = length + 20 <= len(data) or len(data) < 100 or context.protocol != UDP
        return certain("stun", follow=_after_stun if context.protocol == UDP else None) if is_there else None
    if (data[0] << 8 | data[1]) not in OLD_STUN_TYPES or length + 20 != len(data) or not looks_random(data[4:20]):
        return None
    at = 20
    while at + 4 <= len(data):
        kind = data[at] << 8 | data[at + 1]
        if not (1 <= kind <= 0x30 or 0x8000 <= kind < 0x8100):
            return None
        at += 4 + ((data[at + 2] << 8 | data[at + 3]) + 3 & ~3)
    return likely("stun") if at == len(data) else None


def _after_stun(data: bytes, context: Context) -> Match | None:
    """Media that uses the ports of STUN (RFC 7983). The conversation is `rtp` then."""
    if 0x80 <= data[0] < 0xC0 and len(data) >= 12 and (data[1] & 0x7F) in STATIC_PAYLOADS:
        return certain("rtp")
    if 20 <= data[0] < 64:
        return None
    return stun(data, context) if len(data) >= 20 else None


def stun_stream(data: bytes, context: Context) -> Match | None:
    """STUN over TCP, as it is or after a length (RFC 4571)."""
    if data[4:8] == COOKIE:
        return stun(data, context)
    return stun(data[2:], context) if data[6:10] == COOKIE and len(data) >= 22 else None


def h323(data: bytes, context: Context) -> Match | None:
    """H.225.0 call signalling: a message of Q.931 after a TPKT header (RFC 1006)."""
    if data[1] or len(data) < 10 or (data[2] << 8 | data[3]) < len(data) or data[4] != 8 or data[5] > 2:
        return None
    return (
        certain("h323") if data[5 + 1 + data[5] : 7 + data[5]] in {b"\5", b"\1", b"\2", b"\3", b"\7", b"\x5a", b"\x62"} else None
    )
