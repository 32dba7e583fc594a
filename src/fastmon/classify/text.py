"""Messages that are lines of text with headers (RFC 9112 section 2): a first line, "Name: value" lines, an empty line.

What it does not do: know the protocols; `web` and `calls` do.
"""

from __future__ import annotations

import re

__all__ = ["first_line", "header", "host_of"]

MAX_LINE = 1024


def first_line(data: bytes) -> bytes:
    """Return the first line, or as much as there is of it."""
    return data[:MAX_LINE].partition(b"\n")[0].rstrip(b"\r")


def header(data: bytes, *names: bytes) -> str | None:
    """Return the value of the first of these headers that is there with its whole line; names in lower case."""
    head = data.partition(b"\r\n\r\n")[0] if b"\r\n\r\n" in data else data[: data.rfind(b"\n") + 1]
    for line in head.split(b"\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon and name.strip().lower() in names:
            return value.strip().decode("utf-8", "replace")
    return None


_NUMERIC = re.compile(r"[\d.]+|\[.*\]|[0-9a-fA-F:]*:[0-9a-fA-F:]*:[0-9a-fA-F:]*")


def host_of(authority: str | None) -> str | None:
    """Return the host name of "host:port", in lower case; None if there is none, or an address."""
    if not authority:
        return None
    host = authority.rpartition("@")[2]
    if _NUMERIC.fullmatch(host):
        return None
    host = host.partition(":")[0].strip().rstrip(".").lower()
    return host if host and not _NUMERIC.fullmatch(host) else None
