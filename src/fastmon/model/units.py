"""Converting sizes, durations and times from text to numbers and back.

What it does not do: know which option a size or duration is for; the caller adds its name to the message.
"""

from __future__ import annotations

import math
import re
from datetime import datetime, timedelta, timezone
from functools import lru_cache
from typing import NamedTuple

from fastmon.errors import ConfigError

__all__ = [
    "NS_PER_S",
    "RATE_UNITS",
    "Rate",
    "format_duration",
    "format_rate",
    "format_size",
    "format_time",
    "format_value",
    "parse_duration",
    "parse_rate",
    "parse_size",
]

NS_PER_S = 1_000_000_000

LONGEST_TEXT = 100
"""Most characters of a size or duration. Nobody writes more, and Python refuses to convert thousands of digits."""

_MAX = (1 << 63) - 1
_PREFIXES = "kMGTPE"
_EPOCH = datetime(1970, 1, 1)  # in UTC, as all times here
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgtp]?)(i?)b?", re.IGNORECASE | re.ASCII)
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h|d)", re.ASCII)
_RATE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(bit/s|bps|packets/s|pps|conversations/s|cps)", re.IGNORECASE | re.ASCII)
RATE_UNITS = {
    "bit/s": "bit/s",
    "bps": "bit/s",
    "packets/s": "packets/s",
    "pps": "packets/s",
    "conversations/s": "conversations/s",
    "cps": "conversations/s",
}
"""The ways to write the unit of a rate, and its name."""

_UNIT_NS = {
    "d": 86_400 * NS_PER_S,
    "h": 3_600 * NS_PER_S,
    "m": 60 * NS_PER_S,
    "s": NS_PER_S,
    "ms": 1_000_000,
    "us": 1_000,
    "ns": 1,
}


class Rate(NamedTuple):
    """A number of `unit`: "bit/s", "packets/s" or "conversations/s"."""

    value: float
    unit: str


def parse_size(text: str) -> int:
    """Return a size in bytes: "1500", "1MB" (10**6), "1MiB" (2**20), "1.5g"; in any case.

    Raises ConfigError for any other text.
    """
    _check_length(text)
    match = _SIZE.fullmatch(text.strip())
    if match is None or (match[3] and not match[2]):
        raise ConfigError(f"invalid size {text!r}: use bytes, or a number with kB, MB, GB, KiB, MiB or GiB, like 1MB")
    power = " kmgtp".index(match[2].lower() or " ")
    size = _scale(match[1], (1024 if match[3] else 1000) ** power)
    if size > _MAX:
        raise ConfigError(f"size {text!r} is too big: use at most {format_size(_MAX)}")
    return size


def parse_duration(text: str) -> int:
    """Return a duration in nanoseconds: "500ms", "60s", "5m", "1h30m", "2d"; a bare number is in seconds.

    Raises ConfigError for any other text.
    """
    _check_length(text)
    stripped = text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", stripped, re.ASCII):
        stripped += "s"
    parts = _DURATION_PART.findall(stripped)
    if not parts or "".join(number + unit for number, unit in parts) != stripped:
        raise ConfigError(f"invalid duration {text!r}: use a number with ms, s, m, h or d, like 60s or 1h30m")
    duration_ns = sum(_scale(number, _UNIT_NS[unit]) for number, unit in parts)
    if duration_ns > _MAX:
        raise ConfigError(f"duration {text!r} is too long: use at most {_MAX // _UNIT_NS['d']}d")
    return duration_ns


def parse_rate(text: str) -> Rate:
    """Return a rate: "80Mbit/s", "20kpps", "500conversations/s"; prefixes are decimal, in any case. Bytes are refused: "10MB/s"
    and "10Mb/s" are too easily taken for each other.

    Raises ConfigError for any other text.
    """
    _check_length(text)
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise ConfigError(
            f"invalid rate {text!r}: use a number with bit/s, pps or conversations/s, and k, M or G before it, like 80Mbit/s"
        )
    power = " kmgt".index(match[2].lower() or " ")
    return Rate(float(match[1]) * 1000**power, RATE_UNITS[match[3].lower()])


def _check_length(text: str) -> None:
    if len(text) > LONGEST_TEXT:
        raise ConfigError(f"'{text[:20]}...' has {len(text)} characters: use at most {LONGEST_TEXT}")


def _scale(number: str, factor: int) -> int:
    """Return `number` times `factor`, rounded down. It is exact: a float would round 9007199254740993."""
    whole, _, fraction = number.partition(".")
    divisor: int = 10 ** len(fraction)
    return int(whole + fraction) * factor // divisor


def format_size(size: int) -> str:
    """Return `size` bytes for people, in decimal units: "999 B", "1.5 kB", "12.3 GB"."""
    return _format_prefixed(size, "B")


def format_rate(size: int, duration_ns: int) -> str:
    """Return `size` bytes in `duration_ns` for people, in bits a second: "164.6 kbit/s"."""
    return _format_prefixed(size * 8 * NS_PER_S // duration_ns, "bit/s")


def _format_prefixed(number: int, unit: str) -> str:
    if number < 1000:
        return f"{number} {unit}"
    power = 1
    while number >= 999.95 * 1000**power and power < len(_PREFIXES):  # above, one decimal would round it to 1000.0
        power += 1
    return f"{number / 1000**power:.1f} {_PREFIXES[power - 1]}{unit}"


def format_value(value: float, unit: str) -> str:
    """Return a number with its unit for people: "5.1 GB", "80.0 Mbit/s", "2.40%", "1,200 packets/s"."""
    if unit == "bytes" and math.isfinite(value):
        return format_size(round(value))
    if unit == "bit/s" and math.isfinite(value):
        return format_rate(round(value), 8 * NS_PER_S)  # so many bytes in 8 s
    if unit == "share":
        return f"{value:.2%}"
    return f"{value:,.2f}".rstrip("0").removesuffix(".") + f" {unit}" * bool(unit)


def format_duration(duration_ns: int) -> str:
    """Return a duration in the form that `parse_duration` reads: "1h30m", "1m" for 60 s, "1s500ms", "0s"."""
    parts = []
    for unit, unit_ns in _UNIT_NS.items():
        count, duration_ns = divmod(duration_ns, unit_ns)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def format_time(ts_ns: int) -> str:
    """Return a time as ISO-8601 in UTC with microseconds: "2026-01-01T00:00:00.000000Z"."""
    seconds, rest_ns = divmod(ts_ns, NS_PER_S)
    return f"{_second_text(seconds)}.{rest_ns // 1000:06}Z"


def format_local_time(ts_ns: int) -> str:
    """Return a time as ISO-8601 in the machine's time zone, with the offset that is in force then."""
    seconds, rest_ns = divmod(ts_ns, NS_PER_S)
    local = (_EPOCH.replace(tzinfo=timezone.utc) + timedelta(seconds=seconds)).astimezone().isoformat()
    return f"{local[:19]}.{rest_ns // 1000:06}{local[19:]}"


TIME_FORMATS = {"utc": format_time, "local": format_local_time}
"""How people may want to read times."""


@lru_cache(16)
def _second_text(seconds: int) -> str:
    """Return a second as text. Times that are shown together share few seconds."""
    return (_EPOCH + timedelta(seconds=seconds)).isoformat()
