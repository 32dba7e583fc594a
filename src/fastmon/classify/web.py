"""HTTP and what looks like it: HTTP/1, the preface of HTTP/2, SSDP.

What it does not do: look for protocols inside of HTTP.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fastmon.classify.model import UDP, Match, NameFact
from fastmon.classify.text import first_line, header, host_of

if TYPE_CHECKING:
    from fastmon.classify.model import View

__all__ = ["RECOGNISERS", "match_http", "match_ssdp"]

_METHODS = (
    b"GET|POST|HEAD|PUT|DELETE|OPTIONS|PATCH|TRACE|CONNECT|PROPFIND|PROPPATCH|MKCOL|COPY|MOVE|LOCK|UNLOCK|SEARCH|REPORT|"
    b"SUBSCRIBE|UNSUBSCRIBE|NOTIFY|BIND|PURGE|SSTP_DUPLEX_POST|RPC_IN_DATA|RPC_OUT_DATA|VERSION-CONTROL|MERGE|MKACTIVITY|CHECKOUT"
)
# A request-target is a path, a URL, an authority or "*" (RFC 9112 section 3.2).
_REQUEST = re.compile(rb"(" + _METHODS + rb") (/|\*|[a-zA-Z][a-zA-Z0-9+.-]*:|[^ ]+:\d+ )")
_VERSION = re.compile(rb" HTTP/\d\.\d\s*$")
_STATUS = re.compile(rb"HTTP/\d(\.\d)? \d\d\d|ICY \d\d\d")


def match_http(view: View) -> Match | None:
    """Match requests and responses (RFC 9112) and HTTP/2's preface (RFC 9113 section 3.4)."""
    data = view.data
    if _STATUS.match(data) or data.startswith(b"PRI * HTTP/2.0\r\n"):
        return Match("http")
    request = _REQUEST.match(data)
    if request is None:
        return None
    line = first_line(data)
    if b"\n" in data and not _VERSION.search(line) and not _is_simple(line):
        return None
    name = host_of(header(data, b"host"))
    if request[1] == b"CONNECT":
        name = host_of(line.split(b" ")[1].decode("ascii", "replace")) or name
    facts = (NameFact(view.dst.host, name, "http"),) if name and request[1] != b"CONNECT" else ()
    return Match("http", name=name, facts=facts, wants_more=name is None and b"\r\n\r\n" not in data)


def _is_simple(line: bytes) -> bool:
    """Tell whether a line is a request of HTTP/0.9: no version."""
    return line.startswith(b"GET /") and line.count(b" ") == 1


_SSDP = re.compile(rb"(M-SEARCH|NOTIFY) \* HTTP/1\.\d|HTTP/1\.\d 200 ")


def match_ssdp(view: View) -> Match | None:
    """Match UPnP's discovery: HTTP in datagrams (UPnP Device Architecture 2.0, section 1)."""
    if view.protocol != UDP or not _SSDP.match(view.data):
        return None
    return Match("ssdp")


RECOGNISERS = (
    (match_http, "tcp", bytes({*b"GPHDOTCMLURSNBVI"})),
    (match_ssdp, "udp", b"MNH"),
)
