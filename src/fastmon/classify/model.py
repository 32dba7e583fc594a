"""The values that go into the classifier and come out of it.

What it does not do: look at payloads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fastmon.model.names import NameFact

__all__ = ["Conversation", "Endpoint", "Finding", "NameFact"]


class Endpoint(NamedTuple):
    """One end of a conversation.  host: 16-byte key, IPv4 as v4-mapped.  port: 0 where the protocol has none."""

    host: bytes
    port: int


@dataclass(slots=True)
class Conversation:
    """What the classifier is told of a conversation.

    token: unique to one conversation's life.  protocol: IP protocol number.  a: who sent the first frame.
    """

    token: int
    protocol: int
    a: Endpoint
    b: Endpoint


@dataclass(frozen=True, slots=True)
class Finding:
    """What a payload told.

    app: id of the application.  name: what the conversation is about (SNI, HTTP host, name asked for), not sanitised.
    facts: hosts' names.  wants_more: later payloads of this conversation may tell more, or correct `app`.
    """

    app: int
    name: str | None = None
    facts: tuple[NameFact, ...] = ()
    wants_more: bool = False
