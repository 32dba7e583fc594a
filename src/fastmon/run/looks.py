"""What rules see at a tick: copies of what the workers of a run have accounted.

What it does not do: evaluate rules, or say when a tick is.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from fastmon.model.counters import Interval
from fastmon.policy.rules import View

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from numpy.typing import NDArray
    from typing_extensions import ParamSpec

    from fastmon.model.counters import Dropped, SourceCounts
    from fastmon.model.snapshot import Snapshot
    from fastmon.run.plan import Plan, Team

    _P = ParamSpec("_P")

__all__ = ["Looks"]

_T = TypeVar("_T")


class Looks:
    """Makes views of what a team's accountants have.

    halt: called before an accountant is asked: one that drains must not be. What a view has prepared needs no halt.
    """

    def __init__(self, plan: Plan, team: Team, halt: Callable[[], None]) -> None:
        self._plan = plan
        self._team = team
        self._halt = halt
        self._asked: set[Hashable] = {"totals"}

    def at(self, now_ns: int, dropped: Dropped, sources: Sequence[SourceCounts]) -> View:
        """Return what rules see at a tick. dropped: frames lost since the start.  sources: the share of each live source."""
        collector = self._team.collector
        return View(
            copy_totals=self._halting(partial(self._copy_totals, now_ns)),
            take_contacts=self._halting(self._take_contacts),
            copy_fanout=self._halting(lambda window_ns, probes: collector.fanout(now_ns, window_ns, probes=probes)),
            copy_openings=self._halting(lambda: collector.openings()),  # noqa: PLW0108 - not every accountant has them
            copy_peers=self._halting(partial(self._copy_peers, now_ns)),
            dropped=dropped,
            sources=sources,
            asked=self._asked,
        )

    def _halting(self, copy: Callable[_P, _T]) -> Callable[_P, _T]:
        def halt_and_copy(*arguments: _P.args, **keywords: _P.kwargs) -> _T:
            self._halt()
            return copy(*arguments, **keywords)

        return halt_and_copy

    def _take_contacts(self) -> NDArray[np.void]:
        """Return the contacts that came up since the last tick, by the time of their first frames."""
        contacts = np.concatenate([worker.accountant.take_contacts() for worker in self._team.workers])
        return contacts[np.argsort(contacts["first_ns"], kind="stable")]

    def _copy_peers(self, now_ns: int, keys: NDArray[np.uint8]) -> NDArray[np.void]:
        """Return what hosts have moved in the conversations of all workers."""
        return np.concatenate([worker.accountant.peers(keys, now_ns) for worker in self._team.workers])

    def _copy_totals(self, now_ns: int) -> Snapshot:
        collector = self._team.collector
        start_ns = collector.first_ts_ns
        totals = collector.totals(Interval(now_ns if start_ns is None else min(start_ns, now_ns), now_ns))
        return replace(totals, source=self._plan.source, run=self._plan.run, names=self._plan.names)
