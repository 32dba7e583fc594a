"""HTTP/1 (RFC 9112), the start of HTTP/2 (RFC 9113), SSDP, and RTSP (RFC 2326, RFC 7826): messages that begin with a line.

Regular expressions that cannot backtrack far match the request line and the Host field. dpkt.http is not used: it needs a
message with its whole header and body.
"""

from __future__ import annotations

import ipaddress
import re

from fastmon.classify.matchers.tls import server_name_facts
from fastmon.classify.matching import UDP as UDP_PROTOCOL
from fastmon.classify.matching import Context, Expectation, Match, certain, likely, text
from fastmon.classify.model import Endpoint

__all__ = ["METHODS", "http", "rtsp", "ssdp"]

METHODS = (
    b"GET POST HEAD PUT DELETE OPTIONS CONNECT TRACE PATCH PROPFIND PROPPATCH MKCOL COPY MOVE LOCK UNLOCK REPORT SEARCH "
    b"SUBSCRIBE UNSUBSCRIBE NOTIFY RPC_IN_DATA RPC_OUT_DATA BITS_POST CCM_POST SSTP_DUPLEX_POST MERGE"
).split()
REQUEST = re.compile(b"(" + b"|".join(METHODS) + rb") ([^\r\n]{1,1490}?)(?: HTTP/(\d)|\r?\n|$)")
RESPONSE = re.compile(rb"(?:HTTP/[0-2](?:\.\d)?|ICY) [1-9]\d\d[ \r\n]")
HOST = re.compile(rb"\n[Hh][Oo][Ss][Tt]:[ \t]*([^\r\n]+)[\r\n]")
TARGET = re.compile(rb"(?:/|\*|\?|[a-zA-Z]{2,8}://|[\w.-]+:\d)[!-~\x80-\xff]*(?: [HTP]{0,4}/?)?$")
RTSP_LINE = re.compile(
    rb"(?:OPTIONS|DESCRIBE|ANNOUNCE|SETUP|PLAY|PAUSE|TEARDOWN|RECORD|REDIRECT|[GS]ET_PARAMETER)"
    rb" (?:\*|rtsp[su]?://|[!-~]+ RTSP/)|RTSP/[12]\.\d \d\d\d"
)
RTSP_PORTS = re.compile(rb"(client|server)_port=(\d{1,5})(?:-(\d{1,5}))?")
SSDP_LINE = re.compile(rb"(?:M-SEARCH \*|NOTIFY \*|HTTP/1\.[01] 200)")
SSDP_FIELD = re.compile(rb"\n(?:st|nt|usn|man):", re.IGNORECASE)


def http(data: bytes, context: Context) -> Match | None:
    """A request or response of HTTP/1, or the preface of HTTP/2."""
    if data.startswith((b"HTTP/", b"ICY ")):
        return certain("http") if RESPONSE.match(data) else None
    if data.startswith(b"PRI * HTTP/2.0"):
        return certain("http")
    line = REQUEST.match(data)
    if line is None or not TARGET.match(line[2]):
        return None
    if line[3] is None and (line.end() < len(data) or len(data) < 5):
        return None  # a whole line without a version; in a cut line it may be missing
    if line[1] == b"GET" and _asks_tracker(line[2]):
        return certain("bittorrent")
    host = HOST.search(data)
    if host is None:
        return Match(("http",), name=_host_of_uri(line[2], is_whole=line[3] is not None))
    name = _without_port(text(host[1].strip()))
    is_proxied = line[1] == b"CONNECT" or line[2][:1] not in {b"/", b"*"}
    facts = () if is_proxied or _is_address(name) else server_name_facts(name, context, "http")
    return Match(("http",), name=name or None, facts=facts)


def _asks_tracker(target: bytes) -> bool:
    """Return whether the target of a request is a BitTorrent tracker's (BEP 3, BEP 48)."""
    asks = b"announce" in target or b"scrape" in target
    return asks and target.startswith(b"/") and (b"?info_hash=" in target or b"&info_hash=" in target)


def _host_of_uri(uri: bytes, *, is_whole: bool) -> str | None:
    _, _, rest = uri.partition(b"://")
    host, slash, _ = rest.partition(b"/")
    return _without_port(text(host)) or None if slash or is_whole else None


def _without_port(name: str) -> str:
    if name.startswith("["):
        return name[1:].partition("]")[0]
    return name.rpartition(":")[0] if name.count(":") == 1 else name


def _is_address(name: str) -> bool:
    if len(name) > 45 or not name[:1] or name[-1] not in "0123456789abcdefABCDEF":
        return False
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def ssdp(data: bytes, context: Context) -> Match | None:
    """UPnP discovery: lines of HTTP in datagrams."""
    if not SSDP_LINE.match(data):
        return certain("bittorrent") if data.startswith(b"BT-SEARCH * HTTP/1") else None
    if data[:1] != b"H":
        return certain("ssdp", follow=ssdp)
    return certain("ssdp") if SSDP_FIELD.search(data) else likely("ssdp")


def rtsp(data: bytes, context: Context) -> Match | None:
    """A line of RTSP. The transports of SETUP announce RTP and RTCP."""
    if data[:1] == b"$":
        return likely("rtsp") if len(data) > 15 and data[1] < 8 and data[4] >> 6 == 2 else None
    if not RTSP_LINE.match(data) or (b"RTSP/" not in data and b"rtsp" not in data):
        return None
    expects = []
    for who, first, second in RTSP_PORTS.findall(data)[:8]:
        host = (context.src if (who == b"server") == data.startswith(b"RTSP") else context.dst).host
        for app, port in (("rtp", first), ("rtcp", second)):
            if port and int(port) < 65536:
                expects.append(Expectation(app, UDP_PROTOCOL, Endpoint(host, int(port))))
    return Match(("rtsp",), expects=tuple(expects), follow=rtsp)
