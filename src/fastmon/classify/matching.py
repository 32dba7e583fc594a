"""What matchers are made of: what they are given, what they return, and how they are declared.

A matcher is a function (payload, context) -> Match | None. It reads no more than the payload, in one pass, never raises
on any bytes, and never trusts a length that the sender states. dpkt's exceptions are caught here, in `parsed`, only.

What it does not do: decide. The classifier weighs what matchers return.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import dpkt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastmon.classify.model import Endpoint, NameFact

__all__ = [
    "NEVER",
    "SCTP",
    "TCP",
    "UDP",
    "Context",
    "Expectation",
    "Match",
    "Matcher",
    "MatcherFunction",
    "certain",
    "hinted",
    "likely",
    "looks_random",
    "parsed",
    "reply_expected",
    "tcp",
    "text",
    "udp",
]

TCP, UDP, SCTP = 6, 17, 132
V4_MAPPED = bytes(10) + b"\xff\xff"
NEVER = "never"
"""The tag of what a second payload does not make certain."""
EVERY_BYTE = frozenset(range(256))
MAX_TEXT = 512
"""Bytes of a name or title that are read: no name is as long, and what is longer than a name is not kept."""
Parsed = TypeVar("Parsed")


@dataclass(frozen=True, slots=True)
class Expectation:
    """A conversation that another one has announced: whoever has `endpoint`, by `protocol`, speaks `app`.

    outright: what its payloads say does not count (a file transfer may carry anything). It is of one conversation only.
    """

    app: str
    protocol: int
    endpoint: Endpoint
    outright: bool = False


@dataclass(slots=True)
class Match:
    """What a matcher found. Not to be changed: plain ones are shared, and are not frozen because that costs time.

    apps: the application, or those that this payload cannot tell apart.
    certain: it decides alone. Otherwise its port or a second payload with the same `tag` must agree.
    follow: the matcher for this conversation's further payloads.
    """

    apps: tuple[str, ...]
    certain: bool = True
    tag: Hashable = None
    name: str | None = None
    facts: tuple[NameFact, ...] = ()
    expects: tuple[Expectation, ...] = ()
    follow: MatcherFunction | None = None


@dataclass(slots=True)
class Context:
    """What a matcher may know besides the payload.

    src, dst: who sent this payload to whom; the ports are 0 where ports are hidden.
    memory: what matchers keep of earlier payloads of this conversation.
    """

    protocol: int
    src: Endpoint
    dst: Endpoint
    from_a: bool
    memory: dict[Hashable, Any]

    @property
    def ports(self) -> tuple[int, int]:
        """The two ports."""
        return self.src.port, self.dst.port

    def by_port(self, apps: Mapping[int, str]) -> str | None:
        """Return what `apps` has for the destination's port, else for the source's."""
        return apps.get(self.dst.port) or apps.get(self.src.port)


MatcherFunction = Callable[[bytes, Context], "Match | None"]


@dataclass(frozen=True, slots=True)
class Matcher:
    """A matcher with what makes it worth a call.  first: the payload's possible first bytes.  least: fewest bytes."""

    protocol: int
    function: MatcherFunction
    first: frozenset[int] = EVERY_BYTE
    least: int = 1


def _first_bytes(first: bytes | Iterable[int] | None) -> frozenset[int]:
    return EVERY_BYTE if first is None else frozenset(first)


def tcp(function: MatcherFunction, first: bytes | Iterable[int] | None = None, least: int = 1) -> Matcher:
    """Declare a matcher for TCP segments."""
    return Matcher(TCP, function, _first_bytes(first), least)


def udp(function: MatcherFunction, first: bytes | Iterable[int] | None = None, least: int = 1) -> Matcher:
    """Declare a matcher for UDP datagrams."""
    return Matcher(UDP, function, _first_bytes(first), least)


@cache
def certain(app: str, follow: MatcherFunction | None = None) -> Match:
    """Return the match of a payload that can be nothing else."""
    return Match((app,), follow=follow)


@cache
def likely(*apps: str, follow: MatcherFunction | None = None) -> Match:
    """Return the match of a payload that may be any of `apps`, or something else."""
    return Match(apps, certain=False, follow=follow)


@cache
def hinted(app: str) -> Match:
    """Return the match of a payload that means something only on the application's port, or where it was announced."""
    return Match((app,), certain=False, tag=NEVER)


def text(raw: bytes) -> str:
    r"""Return bytes from the wire as text, whatever they are; what is no UTF-8 as \xNN. Of much, only the beginning."""
    return raw[:MAX_TEXT].decode("utf-8", "backslashreplace")


def looks_random(data: bytes) -> bool:
    """Return whether bytes may be a random number, a key or ciphertext: hardly any of them repeat, as counts and padding do."""
    return 4 * len(set(data)) >= 3 * len(data) > 0


def parsed(parser: Callable[[bytes], Parsed], data: bytes) -> Parsed | None:
    """Return what a parser of dpkt makes of `data`; None if it cannot."""
    try:
        return parser(data)
    except (dpkt.Error, struct.error, IndexError, KeyError, ValueError, TypeError, AttributeError):
        return None


def reply_expected(match: Match, context: Context, key: Hashable, value: object) -> Match | None:
    """Return `match` if the other side's earlier payload left the same value under `key`; leave ours for theirs."""
    if context.memory.get((key, not context.from_a)) == value:
        return match
    context.memory[key, context.from_a] = value
    return None
