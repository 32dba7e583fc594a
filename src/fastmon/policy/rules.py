"""What a rule is, what it sees, and how rules of one kind are evaluated together.

What it does not do: keep time, read, print or send anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np

from fastmon.model.counters import Dropped
from fastmon.model.services import CONTACT_DTYPE, FANOUT_DTYPE, OPENING_DTYPE, PEER_DTYPE

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray
    from typing_extensions import Self

    from fastmon.model.alerts import Alert
    from fastmon.model.counters import SourceCounts
    from fastmon.model.memory import Changes, Memory
    from fastmon.model.names import NameBook
    from fastmon.model.snapshot import LimitCrossing, Snapshot
    from fastmon.policy.hosts import Roster

__all__ = ["Context", "Family", "Rule", "View"]


NOTHING_DROPPED = Dropped()


class View:
    """What a rule sees at one moment.

    crossings: the limit crossings since the last evaluation, in the order of their frames.
    dropped: frames lost since the start.  sources: the share of each live source since the start.

    All else is there at a tick only, and is copied when the first rule asks for it, or before by `prepare`.

    asked: where to note what rules ask for; whoever makes the next view hands it on.
    """

    def __init__(
        self,
        crossings: Sequence[LimitCrossing] = (),
        copy_totals: Callable[[], Snapshot] | None = None,
        *,
        take_contacts: Callable[[], NDArray[np.void]] | None = None,
        copy_fanout: Callable[[int, bool], NDArray[np.void]] | None = None,
        copy_openings: Callable[[], NDArray[np.void]] | None = None,
        copy_peers: Callable[[NDArray[np.uint8]], NDArray[np.void]] | None = None,
        dropped: Dropped = NOTHING_DROPPED,
        sources: Sequence[SourceCounts] = (),
        asked: set[Hashable] | None = None,
    ) -> None:
        self.crossings = crossings
        self.dropped = dropped
        self.sources = sources
        self._copy_totals = copy_totals
        self._take_contacts = take_contacts
        self._copy_fanout = copy_fanout
        self._copy_openings = copy_openings
        self._copy_peers = copy_peers
        self._fanouts: dict[tuple[int, bool], NDArray[np.void]] = {}
        self._asked: set[Hashable] = set() if asked is None else asked

    def prepare(self) -> None:
        """Copy what rules have asked earlier views for: afterwards frames may be accounted while rules are evaluated."""
        for name in tuple(self._asked):
            if isinstance(name, tuple):
                self.fanout(*name)
            else:
                getattr(self, str(name))

    @cached_property
    def totals(self) -> Snapshot | None:
        """All hosts with their totals since the start, idle ones included, at a tick; None between ticks."""
        self._asked.add("totals")
        return None if self._copy_totals is None else self._copy_totals()

    @cached_property
    def contacts(self) -> NDArray[np.void]:
        """The contacts of local hosts since the last tick, as `CONTACT_DTYPE`, in the order in which they were settled."""
        self._asked.add("contacts")
        return np.empty(0, CONTACT_DTYPE) if self._take_contacts is None else self._take_contacts()

    def fanout(self, window_ns: int, probes: bool = False) -> NDArray[np.void]:
        """Return, as `FANOUT_DTYPE`, with how many peers and services local hosts have opened conversations in this window.

        probes: how many they have probed instead.
        """
        if (window_ns, probes) not in self._fanouts:
            self._asked.add((window_ns, probes))
            empty = np.empty(0, FANOUT_DTYPE)
            self._fanouts[window_ns, probes] = empty if self._copy_fanout is None else self._copy_fanout(window_ns, probes)
        return self._fanouts[window_ns, probes]

    @cached_property
    def openings(self) -> NDArray[np.void]:
        """How many conversations each local host has opened since the start, and how many failed, as `OPENING_DTYPE`."""
        self._asked.add("openings")
        return np.empty(0, OPENING_DTYPE) if self._copy_openings is None else self._copy_openings()

    def peers(self, keys: NDArray[np.uint8]) -> NDArray[np.void]:
        """Return what hosts, (k, 16) keys, have moved in each conversation that is running, as `PEER_DTYPE`: for few of them."""
        return np.empty(0, PEER_DTYPE) if self._copy_peers is None else self._copy_peers(keys)


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


@dataclass(frozen=True)
class Context:
    """What rules are made with, besides what they are told.

    groups: the members of each group, by its name.  apps: applications' names, by their numbers.
    names: the book of hosts' names; None where names are not learnt.
    keeps: whether `take_changes` will be called. Families need not note changes otherwise.
    """

    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    apps: Mapping[int, str] = field(default_factory=dict)
    names: NameBook | None = None
    keeps: bool = False


class Family(Protocol):
    """Rules of one kind that are evaluated together, over arrays.

    A rule set makes its families from the rules' specs (`ruleset.MAKERS`), and makes new ones at each reload. A family sees ticks
    only, in the order of time but for steps of the clock back, with which it begins anew without false alerts. Of a silence it
    may see the first few ticks and the last one only. Its alerts are the same as if it had seen all of them.

    What it keeps for each host it keeps in columns of the roster (`Roster.add_column`), which follow the hosts' rows; for each
    device, in columns of `Roster.devices`.
    """

    @property
    def key(self) -> Hashable:
        """What is the same in the family that takes its place when rules are loaded anew."""
        ...

    def evaluate(self, view: View, now_ns: int, hosts: Roster) -> Iterable[Alert]:
        """Return the alerts of a tick. `hosts` has the rows of `view.totals`, which is not None here."""
        ...

    def restore(self, memory: Memory) -> None:
        """Go on with what an earlier run kept. Called at most once, before the first tick."""
        ...

    def adopt(self, old: Self) -> None:
        """Take over the state of `old`, whose key is the same, for all rules whose spec is equal. Called before the first tick.

        What it leaves to `old` is cleared by `old.close`.
        """
        ...

    def close(self, now_ns: int, hosts: Roster) -> Iterable[Alert]:
        """Clear what is open, with the reason "rule removed", and give the columns back."""
        ...

    def take_changes(self, changes: Changes) -> None:
        """Add to `changes` what must survive and has changed since the last call."""
        ...

    def n_bytes(self) -> int:
        """Return how much memory its state takes, columns left out."""
        ...
