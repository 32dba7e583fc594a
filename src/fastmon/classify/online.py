"""Online services: whom a name on the Internet belongs to, and what kind of service it is.

The table is `online.tsv`: a suffix of names, the service, its category. It is read at the first question. The longest suffix that
ends at a label's boundary wins: "www.video.example" belongs to "video.example", "myvideo.example" does not.

What it does not do: look names up, tell what a conversation carries, or know services by address. What rows call a service
(tcp/443) is in `model/services.py`.
"""

from __future__ import annotations

from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

__all__ = ["CATEGORIES", "NO_SERVICE", "RESOLVERS", "OnlineService", "is_resolver", "online_service_of", "resolver_suffixes"]

CATEGORIES = (
    "ads",
    "adult",
    "ai",
    "cdn",
    "cloud",
    "conferencing",
    "connectivity",
    "developer",
    "dns",
    "education",
    "finance",
    "games",
    "iot",
    "mail",
    "maps",
    "messaging",
    "music",
    "news",
    "office",
    "push",
    "search",
    "security",
    "shopping",
    "social",
    "storage",
    "telemetry",
    "time",
    "update",
    "vendor",
    "video",
    "vpn",
)

RESOLVERS = "dns"
"""The category of public resolvers. HTTPS with one of their names is taken for DNS."""

_TABLE = Path(__file__).with_name("online.tsv")


class OnlineService(NamedTuple):
    """A service.  service: its name, as its users write it.  category: one of `CATEGORIES`."""

    service: str
    category: str


NO_SERVICE = OnlineService("", "")
"""What outputs show of a name that belongs to none."""


@cache
def _services() -> dict[str, OnlineService]:
    """Return the table: each suffix with its service."""
    rows = (line.split("\t") for line in _TABLE.read_text("utf-8").splitlines() if line[:1] != "#")
    return {suffix: OnlineService(service, category) for suffix, service, category in rows}


@lru_cache(maxsize=4096)
def online_service_of(name: str) -> OnlineService | None:
    """Return the service that a name belongs to; None if it belongs to none. Case does not matter, nor do dots at the end."""
    services = _services()
    # As bytes, lower() knows ASCII only, as the native twin does.
    rest = name.rstrip(".").encode("utf-8", "surrogatepass").lower().decode("utf-8", "surrogatepass")
    while rest:
        found = services.get(rest)
        if found is not None:
            return found
        rest = rest.partition(".")[2]
    return None


def is_resolver(name: str) -> bool:
    """Return whether a name is a public resolver's."""
    found = online_service_of(name)
    return found is not None and found.category == RESOLVERS


def resolver_suffixes() -> list[bytes]:
    """Return the suffixes of public resolvers' names, for the native side."""
    return [suffix.encode("ascii") for suffix, service in _services().items() if service.category == RESOLVERS]
