"""Signalling of calls and streams: SIP and RTSP, and the media streams that they announce.

What it does not do: recognise the media themselves (`media`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fastmon.addresses import key_from_text
from fastmon.classify.model import Match
from fastmon.classify.text import first_line, header, host_of
from fastmon.errors import ConfigError

if TYPE_CHECKING:
    from fastmon.classify.model import View

__all__ = ["RECOGNISERS", "match_rtsp", "match_sip"]

_SIP_REQUEST = re.compile(
    rb"(INVITE|ACK|BYE|CANCEL|REGISTER|OPTIONS|PRACK|SUBSCRIBE|NOTIFY|PUBLISH|INFO|REFER|MESSAGE|UPDATE) (sips?|tel|urn):", re.IGNORECASE
)
_RTSP_REQUEST = re.compile(
    rb"(DESCRIBE|ANNOUNCE|GET_PARAMETER|OPTIONS|PAUSE|PLAY|RECORD|REDIRECT|SETUP|SET_PARAMETER|TEARDOWN) (rtspu?:|\*|/)"
)
_CONNECTION = re.compile(rb"^c=IN IP[46] ([0-9a-fA-F.:]+)", re.MULTILINE)
_MEDIA = re.compile(rb"^m=\w+ (\d+)(?:/\d+)? (?:RTP|UDP/TLS/RTP)/", re.MULTILINE)
_PORTS = re.compile(r"(client|server)_port=(\d+)")
MOST_STREAMS = 8


def match_sip(view: View) -> Match | None:
    """Match SIP (RFC 3261 section 7), and the streams in its session description (RFC 8866)."""
    data = view.data
    if not data.startswith(b"SIP/2.0 ") and not _SIP_REQUEST.match(data):
        return None
    name = None
    if not data.startswith(b"SIP/2.0 "):
        name = host_of(first_line(data).split(b" ")[1].partition(b":")[2].decode("utf-8", "replace").partition(";")[0])
    return Match("sip", name=name, wants_more=True, expects=_streams(data))


def _streams(data: bytes) -> tuple[tuple[bytes, int, str], ...]:
    """Return the endpoints that a session description names: RTP's, and RTCP's at the next port."""
    connection = _CONNECTION.search(data)
    if connection is None:
        return ()
    try:
        host = key_from_text(connection[1].decode())
    except ConfigError:
        return ()
    ports = [int(port) for port in _MEDIA.findall(data)[:MOST_STREAMS]]
    return tuple(
        stream for port in ports if 0 < port < 65535 for stream in ((host, port, "rtp"), (host, port + 1, "rtcp"))
    )


def match_rtsp(view: View) -> Match | None:
    """Match RTSP (RFC 2326 section 6), and the streams that SETUP agrees on."""
    data = view.data
    if not data.startswith(b"RTSP/1.0 ") and not (_RTSP_REQUEST.match(data) and b"RTSP/" in first_line(data)):
        return None
    name = None
    if b"://" in first_line(data):
        name = host_of(first_line(data).partition(b"://")[2].partition(b"/")[0].decode("utf-8", "replace"))
    client, server = view.src.host, view.dst.host
    if data.startswith(b"RTSP/"):
        client, server = server, client
    hosts = {"client": client, "server": server}
    ports = [(hosts[side], int(port)) for side, port in _PORTS.findall(header(data, b"transport") or "")]
    expects = ((host, port + n, app) for host, port in ports if 0 < port < 65535 for n, app in enumerate(("rtp", "rtcp")))
    return Match("rtsp", name=name, wants_more=True, expects=tuple(expects))


RECOGNISERS = (
    (match_sip, "both", bytes({*b"SIABCROPNUMiabcropnum"})),
    (match_rtsp, "tcp", bytes({*b"RDAGOPST"})),
)
