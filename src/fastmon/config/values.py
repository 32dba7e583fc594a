"""The values of rules and actions, as people write them: what a key takes, in words, and what that becomes.

What it does not do: know which key of which rule takes what (`rules` does).
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from fastmon.config.options import duration_ns
from fastmon.errors import ConfigError
from fastmon.model.addresses import parse_network
from fastmon.model.protocols import PORT_PROTOCOLS, PROTOCOL_NUMBERS, protocol_text
from fastmon.model.units import NS_PER_S, Rate, format_duration, parse_rate
from fastmon.policy.specs import PortRange, ScheduleSpec

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "DAYS",
    "parse_allowance",
    "parse_app",
    "parse_path",
    "parse_peer",
    "parse_ports",
    "parse_rate_value",
    "parse_rule_name",
    "parse_schedule",
    "parse_share",
    "parse_syslog",
    "parse_zone",
    "within",
]

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

MAX_PORT = 65_535
MINUTES_OF_DAY = 1440

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
_PORTS = re.compile(r"([a-z0-9]+)(?:/(\d{1,5})(?:-(\d{1,5}))?)?", re.ASCII)
_TIMES = re.compile(r"(\d\d?):(\d\d)-(\d\d?):(\d\d)", re.ASCII)
_PATTERN = re.compile(r"[\w.*?\[\]!-]+")
_ADDRESS_LIKE = re.compile(r"[0-9./]+|.*:.*", re.DOTALL)


def within(least: str, most: str) -> Callable[[Any], int]:
    """Return a parser of durations from `least` to `most`, which are durations as written."""
    least_ns, most_ns = duration_ns(least), duration_ns(most)

    def parse(value: str | float) -> int:
        parsed = duration_ns(value)
        if not least_ns <= parsed <= most_ns:
            raise ConfigError(f"it must be between {least} and {most}, not {value!r}")
        return parsed

    return parse


def parse_rule_name(text: str) -> str:
    """Return the name of a rule, group or action. It is no address, so that a command can take either."""
    if _NAME.fullmatch(text) is None:
        raise ConfigError(f"invalid name {text!r}: use up to 64 letters, digits and '-_.', a letter first")
    return text


def parse_rate_value(value: str | float) -> Rate:
    """Return a rate; the unit of a bare number is ""."""
    rate = parse_rate(value) if isinstance(value, str) else Rate(float(value), "")
    if not 0 < rate.value < math.inf:
        raise ConfigError(f"it must be more than 0, not {value!r}")
    return rate


def parse_share(value: str | float) -> float:
    """Return a share of 1, of "0.5%" or a number."""
    try:
        share = float(value.removesuffix("%")) / 100 if isinstance(value, str) and value.endswith("%") else float(value)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise ConfigError(f"invalid share {value!r}: use a number of percent, like 0.1%, or a number from 0 to 1")
    return share


def parse_ports(text: str) -> PortRange:
    """Return the ports of "tcp/443", "tcp/8000-8100", or of a protocol as a whole: "sctp", "icmp"."""
    match = _PORTS.fullmatch(text.strip().lower())
    number = None if match is None else _protocol_number(match[1])
    if match is None or number is None:
        raise ConfigError(
            f"invalid service {text!r}: use PROTOCOL/PORT, PROTOCOL/PORT-PORT or PROTOCOL, like tcp/443; a protocol is one of "
            f"{', '.join(PROTOCOL_NUMBERS)}, or a number from 0 to 255"
        )
    if match[2] is None:
        return PortRange(number, 0, MAX_PORT)
    if number not in PORT_PROTOCOLS:
        have = ", ".join(map(protocol_text, sorted(PORT_PROTOCOLS)))
        raise ConfigError(f"invalid service {text!r}: {match[1]} has no ports; {have} have")
    low, high = int(match[2]), int(match[3] or match[2])
    if not low <= high <= MAX_PORT:
        raise ConfigError(f"invalid service {text!r}: use ports from 0 to {MAX_PORT}, the lower one first")
    return PortRange(number, low, high)


def _protocol_number(text: str) -> int | None:
    if text.isdigit():
        return int(text) if len(text) <= 3 and int(text) <= 255 else None
    return PROTOCOL_NUMBERS.get(text)


def parse_app(text: str) -> str:
    """Return an application's name."""
    from fastmon.classify.applications import APPLICATIONS, BY_NAME

    if text not in BY_NAME:
        raise ConfigError(f"unknown application {text!r}; known: {', '.join(known.name for known in APPLICATIONS)}")
    return text


def parse_peer(text: str) -> str:
    """Return a peer: an address, a CIDR, or a pattern of names."""
    text = text.strip()
    if _ADDRESS_LIKE.fullmatch(text):
        parse_network(text)
    elif not _PATTERN.fullmatch(text):
        raise ConfigError(f"invalid peer {text!r}: use an address, a CIDR, or a pattern of names, like *.example.org")
    return text


def parse_zone(text: str) -> str:
    """Return the name of a time zone that this system knows. UTC is always known."""
    from zoneinfo import ZoneInfo, available_timezones

    if text == "UTC":
        return text
    try:
        ZoneInfo(text)
    except (ValueError, OSError, KeyError):  # no name; a folder of the list; not in it
        if not available_timezones():
            raise ConfigError(
                f"time zone {text!r} cannot be used: this system has no list of time zones; install the package tzdata, "
                "the system's or Python's, or use UTC"
            ) from None
        raise ConfigError(f"unknown time zone {text!r}: use UTC, or a name of the system's list, like Europe/Berlin") from None
    return text


def parse_schedule(text: str) -> ScheduleSpec:
    """Return when a rule holds: "mon-fri 08:00-18:00", "sat,sun", "22:00-06:00"."""
    words = text.lower().split()
    if len(words) == 1:
        words = [words[0], "00:00-24:00"] if words[0][:3] in DAYS else ["mon-sun", words[0]]
    days = _parse_days(words[0]) if len(words) == 2 else frozenset[int]()
    times = _TIMES.fullmatch(words[1]) if days else None
    if times is not None:
        start, end = (int(times[n]) * 60 + int(times[n + 1]) for n in (1, 3))
        if start < MINUTES_OF_DAY and end <= MINUTES_OF_DAY and int(times[2]) < 60 and int(times[4]) < 60:
            return ScheduleSpec(days, start, end)
    raise ConfigError(
        f"invalid schedule {text!r}: use days, times from 00:00 to 24:00, or both, like mon-fri 08:00-18:00 or sat,sun; days are "
        + ", ".join(DAYS)
    )


def _parse_days(text: str) -> frozenset[int]:
    """Return the days of "mon-fri" or "sat,sun", 0 for Monday; none if it is wrong."""
    found: set[int] = set()
    for part in text.split(","):
        first, is_range, last = part.partition("-")
        if first not in DAYS or (is_range and last not in DAYS):
            return frozenset()
        start = DAYS.index(first)
        n_days = (DAYS.index(last) - start) % 7 + 1 if is_range else 1
        found.update((start + n) % 7 for n in range(n_days))
    return frozenset(found)


def parse_allowance(text: str) -> tuple[int, int]:
    """Return a number of alerts, and of nanoseconds, of "20/1m"."""
    number, _, span = text.partition("/")
    if not number.strip().isdecimal() or not 1 <= int(number[:9]) <= 1_000_000 or not span:
        raise ConfigError(f"invalid number of alerts {text!r}: use a number from 1 to 1000000 and a time, like 20/1m")
    span_ns = duration_ns(span)
    if span_ns < NS_PER_S:
        raise ConfigError(f"the time of {text!r} must be at least 1s, not {format_duration(span_ns)}")
    return int(number), span_ns


def parse_path(text: str) -> str:
    """Return a path, or a part of a command."""
    if not text or "\0" in text:
        raise ConfigError(f"it must be a path, not {text!r}")
    return text


def parse_syslog(text: str) -> str:
    """Return the address of a syslog server or the path of the local socket."""
    from fastmon.alerts.syslog import parse_target

    parse_target(text)
    return text
