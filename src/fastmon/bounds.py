"""What several modules allow and refuse alike: the bounds of options, and the words that refuse a value.

What it does not do: know what an option is for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastmon.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "BUFFER_BYTES",
    "BYTES_OF",
    "DEDUP_FRAMES",
    "DIRECTIONS",
    "FANOUT_GROUPS",
    "GROUPINGS",
    "MAX_CONVERSATIONS",
    "MAX_DEDUP_NS",
    "MAX_HOSTS",
    "PROVIDERS",
    "SEVERITIES",
    "SNAPLENS",
    "check_choice",
    "check_number",
    "check_range",
]

SNAPLENS = (1, 262_144)
"""The most is libpcap's."""

BUFFER_BYTES = (1 << 16, (1 << 31) - 1)
FANOUT_GROUPS = (0, 0xFFFF)
MAX_HOSTS = (1, (1 << 31) - 1)

MAX_CONVERSATIONS = (0, (1 << 31) - 1)
"""0: none are accounted."""

BYTES_OF = ("frame", "ip")
"""What of an IP frame is counted: its length on the wire, or that of its IP packet."""

DEDUP_FRAMES = (1, 1 << 24)
"""How many frames copies are looked for among: a power of two."""

MAX_DEDUP_NS = 10_000_000_000
"""Frames that are further apart are no copies. A step of the clock is longer."""

PROVIDERS = ("pypcap", "libpcap")
"""Of live handles: who opens them."""

DIRECTIONS = ("inout", "in", "out")
"""In the order of libpcap's pcap_direction_t."""

GROUPINGS = ("host", "mac")
"""Each host by itself, or each MAC with all its hosts."""

SEVERITIES = ("info", "warning", "critical")
"""Of alerts, the worst last."""


def check_range(name: str, value: int | None, least: int, most: int | None = None) -> None:
    """Raise ConfigError if `value` is no whole number, below `least` or above `most`; None is allowed."""
    if value is not None:
        check_number(name, value, least, most)


def check_number(name: str, value: int, least: int, most: int | None = None) -> None:
    """Raise ConfigError if `value` is no whole number, below `least` or above `most`."""
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        raise ConfigError(f"{name} must be a whole number, not {value!r}")
    if value < least or (most is not None and value > most):
        allowed = f"at least {least}" if most is None else f"between {least} and {most}"
        raise ConfigError(f"{name} must be {allowed}, not {value}")


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raise ConfigError if `value` is none of `choices`."""
    if value not in choices:
        raise ConfigError(f"{name} must be one of {', '.join(choices)}, not {value!r}")
