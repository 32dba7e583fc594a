"""One conversation of the reference accountant.

Private to `fastmon.reference`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from fastmon.model.snapshot import Count
from fastmon.model.units import NS_PER_S
from fastmon.reference.sums import Traffic

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fastmon.reference.services import Service

__all__ = ["Conversation", "Endpoint", "nothing"]

TCP = 6
FIN, RST = 1, 4
CLOSED_TIMEOUT_NS = 10 * NS_PER_S
TCP_TIMEOUT_NS = 300 * NS_PER_S
OTHER_TIMEOUT_NS = 120 * NS_PER_S
ANSWER_TIMEOUT_NS = 5 * NS_PER_S


class Endpoint(NamedTuple):
    """One end: a host's key and a port."""

    host: bytes
    port: int


def nothing() -> list[Count]:
    """Return the counters of both directions before the first frame."""
    return [Count(), Count()]


@dataclass(slots=True, eq=False)
class Conversation:
    """One conversation; what is in pairs is that of a, then that of b.

    moved: what a and b sent.  settled: how much of it its application has been credited with.
    credited: whether the application of its host got all of that.  closed_by: "fin", "rst", or "".
    server: its side.  resets: RST frames that it sent.  local: the sides of local hosts.  services: theirs.
    may_fail: a local host opened it, and an answer could come.  told: the application that was told, and whether an answer was.
    """

    token: int
    slot: int
    protocol: int
    ends: tuple[Endpoint, Endpoint]
    app: int
    by: str
    wanted: int
    first_ns: int
    last_ns: int
    moved: list[Count] = field(default_factory=nothing)
    settled: list[Count] = field(default_factory=nothing)
    credited: list[bool] = field(default_factory=lambda: [True, True])
    sent_fin: set[int] = field(default_factory=set)
    closed_by: str = ""
    server: int = 1
    resets: int = 0
    local: list[int] = field(default_factory=list)
    services: list[Service | None] = field(default_factory=lambda: [None, None])
    may_fail: bool = False
    has_failed: bool = False
    has_ended: bool = False
    told: tuple[int | None, bool] = (None, False)

    @property
    def lower_port(self) -> tuple[int, int]:
        """Its protocol, and the lower one of its ports."""
        return self.protocol, min(end.port for end in self.ends)

    @property
    def is_answered(self) -> bool:
        """Whether the server has sent anything but RST."""
        return self.moved[self.server].frames > self.resets

    @property
    def may_still_fail(self) -> bool:
        """Whether an answer could come, and has not come."""
        return self.may_fail and not self.has_failed and not self.is_answered

    @property
    def answer_due_ns(self) -> int:
        """Until when an answer must come."""
        return self.first_ns + ANSWER_TIMEOUT_NS

    @property
    def timeout_ns(self) -> int:
        """How long it may be silent."""
        if self.closed_by:
            return CLOSED_TIMEOUT_NS
        return TCP_TIMEOUT_NS if self.protocol == TCP else OTHER_TIMEOUT_NS

    def is_over_at(self, ts_ns: int) -> bool:
        """Tell whether it has been silent for too long."""
        return ts_ns - self.last_ns > self.timeout_ns

    def see_flags(self, flags: int, sender: int) -> None:
        """Learn from TCP flags whether it is closed; once it is, the reason stays."""
        if flags & RST and sender == self.server:
            self.resets += 1
        if flags & FIN:
            self.sent_fin.add(sender)
        if self.closed_by:
            return
        if flags & RST:
            self.closed_by = "rst"
        elif len(self.sent_fin) == len(set(self.ends)):
            self.closed_by = "fin"

    def shares(self, sent: list[Count]) -> Iterable[tuple[int, bytes, Traffic]]:
        """Return what both hosts moved, as (side, host key, traffic), when a and b sent so much."""
        yield 0, self.ends[0].host, Traffic.of(sent=sent[0], received=sent[1])
        yield 1, self.ends[1].host, Traffic.of(sent=sent[1], received=sent[0])
