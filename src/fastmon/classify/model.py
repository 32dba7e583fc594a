"""The classifier's input and output values.

What it does not do: look at payloads.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fastmon.model.names import NameFact

__all__ = ["SCTP", "TCP", "UDP", "Conversation", "Endpoint", "Finding", "NameFact"]

TCP, UDP, SCTP = 6, 17, 132


class Endpoint(NamedTuple):
    """One end of a conversation.  host: 16-byte key, IPv4 as v4-mapped.  port: 0 if the protocol has no ports."""

    host: bytes
    port: int


@dataclass(slots=True)
class Conversation:
    """A conversation, as the classifier needs to know it.

    token: unique among all conversations.  protocol: IP protocol number.  a: the endpoint that sent the first frame.
    """

    token: int
    protocol: int
    a: Endpoint
    b: Endpoint


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one payload.

    app: the application's id.  name: the server name or the name asked for (SNI, HTTP Host, DNS question), not sanitised.
    facts: names of hosts.  wants_more: later payloads of this conversation may add names, or correct `app`.
    hello: a whole TLS ClientHello, with its header.  certificate: a server's, in DER, as much of it as was there.
    """

    app: int
    name: str | None = None
    facts: tuple[NameFact, ...] = ()
    wants_more: bool = False
    hello: bytes = b""
    certificate: bytes = b""
