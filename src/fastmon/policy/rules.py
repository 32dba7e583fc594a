"""What a rule is, what it sees, and the alerts that it raises.

What it does not do: keep time, read, print or send anything.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from fastmon.model.snapshot import LimitCrossing, Snapshot

__all__ = ["Alert", "Rule", "View"]


class Alert(NamedTuple):
    """A host did what it should not.

    kind: "limit": its total passed the limit.  ts_ns: when, nanoseconds since the epoch.
    total_bytes: its bytes since the start, in and out.  local: it is in a local network.
    """

    kind: str
    host: str
    ts_ns: int
    total_bytes: int
    limit_bytes: int
    local: bool


class View:
    """What a rule sees at one moment.

    crossings: the limit crossings since the last evaluation, in the order of their frames.
    """

    def __init__(self, crossings: Sequence[LimitCrossing] = (), copy_totals: Callable[[], Snapshot] | None = None) -> None:
        self.crossings = crossings
        self._copy_totals = copy_totals

    @cached_property
    def totals(self) -> Snapshot | None:
        """All hosts with their totals since the start, idle ones included, at a tick; None between ticks.

        Copied when the first rule asks.
        """
        return None if self._copy_totals is None else self._copy_totals()


class Rule(Protocol):
    """Decides what is worth an alert; keeps its own state between two evaluations.

    Any rule is evaluated when hosts have crossed their limit, and at every tick if it wants that.
    """

    @property
    def wants_ticks(self) -> bool:
        """Whether it is evaluated at every tick."""
        ...

    def evaluate(self, view: View, now_ns: int) -> Iterable[Alert]:
        """Return the alerts that `view` calls for at `now_ns`, on the run's clock: in replay the packets'."""
        ...
