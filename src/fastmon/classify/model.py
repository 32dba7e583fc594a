"""What the classifier is told, and what it says.

What it does not do: look at payloads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

__all__ = ["TCP", "UDP", "Conversation", "Endpoint", "Finding", "Match", "Matcher", "NameFact", "View"]

TCP, UDP = 6, 17


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One end of a conversation. host: 16-byte host key, IPv4 as ::ffff:a.b.c.d.  port: 0 where there is none."""

    host: bytes
    port: int


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation. token: unique to its life.  protocol: of IP.  a: who sent its first frame."""

    token: int
    protocol: int
    a: Endpoint
    b: Endpoint


@dataclass(frozen=True, slots=True)
class NameFact:
    """A host has a name, by what one frame says. key: 16-byte host key.  source: where it says so, "dns" for instance."""

    key: bytes
    name: str
    source: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of a conversation now. app: an application's number.  name: whom it reaches, untrusted text.

    wants_more: its later payloads may tell more.
    """

    app: int
    name: str | None = None
    facts: tuple[NameFact, ...] = ()
    wants_more: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """What a matcher sees: one payload, and where it comes from.

    data: at most 1500 bytes, which may have been cut off anywhere.  src, dst: its endpoints; ports are 0 where they are hidden.
    earlier: payloads of the conversation before it that nothing recognised, as (sent by the same side, bytes).
    """

    data: bytes
    protocol: int
    src: Endpoint
    dst: Endpoint
    earlier: tuple[tuple[bool, bytes], ...] = ()

    def has_port(self, *ports: int) -> bool:
        """Tell whether one of the two ports is one of these."""
        return self.src.port in ports or self.dst.port in ports


@dataclass(frozen=True, slots=True)
class Match:
    """A matcher recognised a payload.

    app: the application's name.  name, facts, wants_more: as in `Finding`.
    expects: conversations that this one announces: (host key, port, application's name) of an end of theirs.
    """

    app: str
    name: str | None = None
    facts: tuple[NameFact, ...] = ()
    wants_more: bool = False
    expects: tuple[tuple[bytes, int, str], ...] = ()


if TYPE_CHECKING:
    Matcher: TypeAlias = Callable[[View], Match | None]
