"""What a run is to do, and who does it.

What it does not do: run.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from fastmon.model.rows import UNGROUPED
from fastmon.model.runs import make_run_id

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from typing_extensions import Self

    from fastmon.accounting import Accountant
    from fastmon.model.names import NameBook
    from fastmon.model.rows import Grouping
    from fastmon.policy.rules import Rule
    from fastmon.run.inspection import Inspector

__all__ = ["Plan", "RuleSource", "Team", "Worker"]


class RuleSource(Protocol):
    """What gives a run its rules, and goes on with them after it. A context manager.

    wants_contacts: whether rules look at the contacts of local hosts, or may do so after a reload.
    """

    @property
    def wants_contacts(self) -> bool: ...  # noqa: D102

    def load(self, names: NameBook | None) -> Sequence[Rule]:
        """Return the rules; a later call returns those that come in their place. Raises ConfigError, and changes nothing."""
        ...

    def close(self) -> None:
        """End what goes on behind the rules."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is to do.

    source: its name in every snapshot.  interval_ns: 0: only the summary.  duration_ns: 0: to the end.
    grouping: what a row of a snapshot stands for.  names: where what is learnt of hosts' names is.
    load_rules: returns the rules; called again when a reload is asked for; raises ConfigError.
    limit_scope: which hosts may be flagged: "local" ones, or "all".
    find_networks: asks the system which networks are local, now and then, as CIDR texts; None: those from the start stay.
    infers_networks: whether the frames of devices may tell which network is local.
    run: identifies the run in its snapshots.
    """

    source: str
    interval_ns: int = 0
    duration_ns: int = 0
    grouping: Grouping = UNGROUPED
    names: NameBook | None = None
    load_rules: Callable[[], Sequence[Rule]] = tuple
    limit_scope: str = "all"
    find_networks: Callable[[], Sequence[str]] | None = None
    infers_networks: bool = False
    run: str = field(default_factory=make_run_id)


@dataclass(frozen=True, slots=True)
class Worker:
    """An accountant that drains, and who looks at the payloads that it keeps, if anybody does."""

    accountant: Accountant
    inspector: Inspector | None = None


@dataclass(frozen=True, slots=True)
class Team:
    """The workers of a run, and the accountant that has their sums: the only worker's own, or one that merges all."""

    workers: Sequence[Worker]
    collector: Accountant

    @property
    def merges(self) -> bool:
        """Whether the collector must merge what the workers accounted."""
        return self.workers[0].accountant is not self.collector

    def merge(self) -> None:
        """Add what the workers accounted to the sums."""
        if self.merges:
            for worker in self.workers:
                self.collector.merge(worker.accountant)

    @property
    def names_dropped(self) -> int:
        """Names, and TLS handshakes, that the workers had no room for since the start."""
        return sum(worker.accountant.names_dropped for worker in self.workers)
