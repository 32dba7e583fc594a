"""What the keys of rules and actions take: a type, the words for people, and the parser, for each.

What it does not do: say which rule has which key (`rules` does).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from fastmon.bounds import GROUPINGS, SEVERITIES
from fastmon.config import values as v
from fastmon.config.options import size_bytes
from fastmon.errors import ConfigError
from fastmon.policy.specs import COUNTED, MAX_COUNTED, PERIODS

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Actions",
    "Allowance",
    "Apps",
    "Command",
    "Count",
    "CountOrNone",
    "Direction",
    "Duration",
    "Environment",
    "Grouping",
    "Limit",
    "Measure",
    "Name",
    "OptionalLimit",
    "Path",
    "Peers",
    "Percents",
    "Period",
    "Ports",
    "PositiveSize",
    "ResetDay",
    "Role",
    "Schedules",
    "Score",
    "Secret",
    "ServiceRole",
    "Severity",
    "Share",
    "Size",
    "Span",
    "Syslog",
    "Text",
    "Window",
    "Zone",
]

MOST = (1 << 32) - 1
MAX_LEVELS = 20


def _takes(
    words: str,
    parse: Callable[[Any], Any] | None = None,
    *,
    item: Callable[[Any], Any] | None = None,
    spec: str = "{}",
    is_secret: bool = False,
) -> Meta:
    """Return what a key takes, in words.

    parse: makes the specification's value of what is written; item: of each item of a list, a lone text being a list of one.
    spec: the name of the specification's field, with {} for the key's.  is_secret: messages leave the value out.
    """
    return Meta(description=words, extra={"parse": parse, "item": item, "spec": spec, "is_secret": is_secret})


def _one_of(choices: tuple[str, ...]) -> Meta:
    return _takes("one of " + ", ".join(f'"{choice}"' for choice in choices))


def _positive(value: str | int) -> int:
    size = size_bytes(value)
    if not size:
        raise ConfigError(f"it must be at least 1 byte, not {value!r}")
    return size


def _secret(text: str) -> str:
    from fastmon.alerts.secrets import read_secret

    if "://" not in read_secret(text):
        raise ConfigError("it must be a URL of Apprise's, like mailto://..., or env:NAME or file:PATH for a secret one")
    return text


def _environment(variables: dict[str, str]) -> dict[str, str]:
    from fastmon.alerts.secrets import read_secret

    for name, text in variables.items():
        if not name or "=" in name or "\0" in name + read_secret(text):
            raise ConfigError(f"invalid variable {name!r}: use a name without '=', and a text without NUL")
    return variables


_DURATION = 'a duration such as "30s" or "1h30m", or a number of seconds'

Name = Annotated[str, _takes("a name of letters, digits and `-_.`", v.parse_rule_name)]
Text = Annotated[str, _takes("a text")]
Severity = Annotated[Literal["info", "warning", "critical"], _one_of(SEVERITIES)]
Zone = Annotated[str, _takes('a time zone such as "Europe/Berlin"', v.parse_zone, spec="zone")]
Schedules = Annotated[
    str | tuple[str, ...], _takes('days and times such as "mon-fri 08:00-18:00", or a list of them', item=v.parse_schedule)
]
Actions = Annotated[tuple[str, ...], _takes("a list of names of actions")]

Size = Annotated[str | int, _takes('a size such as "5GB", or a number of bytes', size_bytes, spec="{}_bytes")]
PositiveSize = Annotated[str | int, _takes('a size such as "5GB", or a number of bytes', _positive, spec="{}_bytes")]
_RATE = _takes('a rate such as "80Mbit/s", "20kpps" or "500conversations/s", or a number of bits a second', v.parse_rate_value)
Limit = Annotated[str | int | float, _RATE]
OptionalLimit = Annotated[str | int | float | None, _RATE]
Duration = Annotated[str | int | float, _takes(_DURATION, v.within("0s", "3650d"), spec="{}_ns")]
Window = Annotated[str | int | float, _takes(f"{_DURATION}, from 1s to 1d", v.within("1s", "1d"), spec="{}_ns")]
Span = Annotated[str | int | float, _takes(f"{_DURATION}, at least 1s", v.within("1s", "3650d"), spec="{}_ns")]
Count = Annotated[int, Meta(ge=1, le=MOST), _takes(f"a whole number from 1 to {MOST}")]
CountOrNone = Annotated[int, Meta(ge=0, le=MOST), _takes(f"a whole number from 0 to {MOST}")]
Estimate = Annotated[int, Meta(ge=0, le=MAX_COUNTED), _takes(f"a whole number from 0 to {MAX_COUNTED}")]
Score = Annotated[float, Meta(ge=1, le=1000), _takes("a number from 1 to 1000")]
Share = Annotated[str | int | float, _takes('a share such as "0.1%", or a number from 0 to 1', v.parse_share)]
Percents = Annotated[
    tuple[Annotated[int, Meta(ge=1, le=1000)], ...],
    Meta(max_length=MAX_LEVELS),
    _takes(f"a list of at most {MAX_LEVELS} whole numbers from 1 to 1000, ascending"),
]

Grouping = Annotated[Literal["host", "mac"], _one_of(GROUPINGS)]
Direction = Annotated[Literal["both", "in", "out"], _one_of(("both", "in", "out"))]
Role = Annotated[Literal["both", "client", "server"], _one_of(("both", "client", "server"))]
ServiceRole = Annotated[Literal["client", "server"], _one_of(("client", "server"))]
Period = Annotated[Literal["run", "hour", "day", "week", "month"], _one_of(PERIODS)]
Counted = Annotated[Literal["opened", "probed"], _one_of(COUNTED)]
Measure = Annotated[Literal["bytes", "bytes-in", "bytes-out"], _one_of(("bytes", "bytes-in", "bytes-out"))]
ResetDay = Annotated[
    Annotated[int, Meta(ge=1, le=31)] | Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"] | None,
    _takes('a day of the month from 1 to 31, or of the week from "mon" to "sun"'),
]

Ports = Annotated[
    tuple[str, ...] | None,
    _takes('a list of services such as "tcp/443", "tcp/8000-8100" or "sctp"', item=v.parse_ports),
]
Apps = Annotated[tuple[str, ...] | None, _takes('a list of applications such as "dns"', item=v.parse_app)]
Peers = Annotated[
    tuple[str, ...] | None, _takes('a list of addresses, CIDRs, and names such as "*.example.org"', item=v.parse_peer)
]

Command = Annotated[tuple[str, ...] | None, _takes("a list: a program's path, and its arguments")]
Secret = Annotated[
    str | None,
    _takes('a URL of Apprise\'s, "env:NAME" or "file:PATH"', _secret, is_secret=True),
]
Syslog = Annotated[str | None, _takes('"udp://HOST:PORT", "tcp://HOST:PORT", "tls://HOST:PORT" or "unix:PATH"', v.parse_syslog)]
Path = Annotated[str | None, _takes("a path", v.parse_path)]
Allowance = Annotated[str, _takes('a number of alerts in a time, such as "20/1m"', v.parse_allowance)]
Environment = Annotated[
    dict[str, str] | None, _takes('a table of texts, "env:NAME" or "file:PATH"', _environment, is_secret=True)
]
