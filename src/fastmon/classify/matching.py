"""The parts of matchers: their arguments and their results.

A matcher is a function (payload, context) -> Match | None. It reads the payload in one pass. It must not raise for any payload
that its row of the table lets through, and must not trust a length that the sender states. `parsed` catches dpkt's exceptions.

What it does not do: decide. The classifier weighs the matches.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

import dpkt

from fastmon.classify.model import TCP, UDP

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastmon.classify.model import Endpoint, NameFact

__all__ = [
    "MAX_PAYLOAD",
    "NEVER",
    "TCP",
    "UDP",
    "Context",
    "Expectation",
    "Match",
    "MatcherFunction",
    "certain",
    "hinted",
    "likely",
    "looks_random",
    "parsed",
    "text",
]

MAX_PAYLOAD = 1500
"""Bytes of a payload that matchers see."""
V4_MAPPED = bytes(10) + b"\xff\xff"
NEVER = "never"
"""The tag of a match that no second payload makes certain."""
MAX_TEXT = 512
"""Bytes of a name that are read. No valid name is longer, and longer ones are not kept."""
Parsed = TypeVar("Parsed")


@dataclass(frozen=True, slots=True)
class Expectation:
    """An announcement by one conversation of another: the one at `endpoint`, of `protocol`, will be `app`.

    outright: ignore its payloads, since a file transfer may carry anything. Such an announcement holds for one conversation.
    """

    app: str
    protocol: int
    endpoint: Endpoint
    outright: bool = False


@dataclass(slots=True)
class Match:
    """The result of a matcher. Do not change it: plain matches are shared. They are not frozen because freezing costs time.

    apps: the application, or several that this payload cannot tell apart. "unknown" of a matcher that follows: as it was.
    certain: this match decides alone. Otherwise the port, or a second payload with the same `tag`, must agree.
    expects: conversations that this payload announces.
    follow: the matcher for the conversation's further payloads.
    hello, certificate: as in `Finding`.
    """

    apps: tuple[str, ...]
    certain: bool = True
    tag: Hashable = None
    name: str | None = None
    facts: tuple[NameFact, ...] = ()
    expects: tuple[Expectation, ...] = ()
    follow: MatcherFunction | None = None
    hello: bytes = b""
    certificate: bytes = b""


@dataclass(slots=True)
class Context:
    """What a matcher may use besides the payload.

    src, dst: sender and receiver of this payload; the ports are 0 if they are hidden.
    from_a: the conversation's endpoint `a` sent this payload.
    memory: notes of matchers on earlier payloads of this conversation.
    """

    protocol: int
    src: Endpoint
    dst: Endpoint
    from_a: bool
    memory: dict[Hashable, Any]

    @property
    def ports(self) -> tuple[int, int]:
        """Both ports, the sender's first."""
        return self.src.port, self.dst.port

    def by_port(self, apps: Mapping[int, str]) -> str | None:
        """Return the application of the destination port in `apps`, else that of the source port, else None."""
        return apps.get(self.dst.port) or apps.get(self.src.port)


MatcherFunction = Callable[[bytes, Context], "Match | None"]


@cache
def certain(app: str, follow: MatcherFunction | None = None) -> Match:
    """Return the match of a payload that cannot be anything else."""
    return Match((app,), follow=follow)


@cache
def likely(*apps: str, follow: MatcherFunction | None = None) -> Match:
    """Return the match of a payload that may be any of `apps`, or something else."""
    return Match(apps, certain=False, follow=follow)


@cache
def hinted(app: str) -> Match:
    """Return the match of a payload that is evidence only on the application's port, or if the conversation was announced."""
    return Match((app,), certain=False, tag=NEVER)


def text(raw: bytes) -> str:
    r"""Return the first MAX_TEXT bytes as text. Bytes that are not UTF-8 become \xNN."""
    return raw[:MAX_TEXT].decode("utf-8", "backslashreplace")


def looks_random(data: bytes) -> bool:
    """Return whether bytes may be a random number, a key or ciphertext: few of them repeat. In counters and padding many do."""
    return 4 * len(set(data)) >= 3 * len(data) > 0


def parsed(parser: Callable[[bytes], Parsed], data: bytes) -> Parsed | None:
    """Return the result of a dpkt parser, None if it fails."""
    try:
        return parser(data)
    except (dpkt.Error, struct.error, IndexError, KeyError, ValueError, TypeError, AttributeError):
        return None
