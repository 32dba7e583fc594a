"""Rules of kind `loss`: fastmon itself does not see all frames, or none at all.

The window slides in steps of a second or a tick. What was lost is counted in frames, as a share of those that came.

What it does not do: count losses; captures do.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastmon.model.texts import printable
from fastmon.model.units import NS_PER_S, format_duration
from fastmon.policy.cases import CaseBook
from fastmon.policy.families import match_specs
from fastmon.policy.incidents import Lives
from fastmon.policy.words import SCHEDULE_ENDED

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

    from typing_extensions import Self

    from fastmon.model.alerts import Alert
    from fastmon.model.memory import Changes, Memory
    from fastmon.policy.hosts import Roster
    from fastmon.policy.rules import Context, View
    from fastmon.policy.specs import LossSpec
    from fastmon.policy.subjects import Subject

__all__ = ["LossFamily", "make_losses"]

_MAX_TICKS = 1 << 12
"""Ticks that are remembered; a longer window is cut."""


def make_losses(specs: Sequence[LossSpec], context: Context) -> list[LossFamily]:
    """Return the families of rules of kind `loss`: one for each rule, as they do not compete."""
    return [LossFamily(spec, context) for spec in specs]


class _Tick(NamedTuple):
    """Numbers since the start: of frames that came, of those that were lost, and of those that were lost at each source."""

    now_ns: int
    n_frames: int
    n_lost: int
    by_source: dict[str, int]


class LossFamily:
    """One rule, on the network. It fires for a loss, or for silence; for the first of them that comes."""

    def __init__(self, spec: LossSpec, context: Context) -> None:
        self.key: Hashable = (spec.kind, spec.name)
        self._spec = spec
        self._book = CaseBook([spec], _LossWording(self), context, is_network=True)
        self._lives = Lives([spec])
        self._ticks: deque[_Tick] = deque(maxlen=_MAX_TICKS)
        self._frames_ns = 0
        self.silence_ns = 0
        self.lost_by_source: dict[str, int] = {}

    def evaluate(self, view: View, now_ns: int, hosts: Roster) -> Iterable[Alert]:
        """See `Family`."""
        if view.totals is None:
            return []
        n_frames = view.totals.counters.frames.frames
        dropped = view.dropped
        n_lost = dropped.kernel + dropped.interface + dropped.backlog
        if self._ticks and now_ns < self._ticks[-1].now_ns:
            self._ticks.clear()
            self._book.incidents.restart(now_ns)
        alerts = self._pass_silence(now_ns, hosts)
        if not self._ticks or n_frames != self._ticks[-1].n_frames:
            self._frames_ns = now_ns
        by_source = {printable(source.name): source.dropped.kernel + source.dropped.interface for source in view.sources}
        return alerts + self._step(_Tick(now_ns, n_frames, n_lost, by_source), hosts)

    def _pass_silence(self, now_ns: int, hosts: Roster) -> list[Alert]:
        """Let the ticks come that a silence has hidden: when the window was over, and when the silence had lasted enough."""
        alerts: list[Alert] = []
        if self._ticks:
            last = self._ticks[-1]
            lengths = {self._spec.silence_ns, self._spec.window_ns}
            starts = {self._frames_ns, last.now_ns}
            due = {-(-(start_ns + length_ns) // NS_PER_S) * NS_PER_S for start_ns in starts for length_ns in lengths}
            for due_ns in sorted(due):
                if last.now_ns < due_ns < now_ns:
                    alerts += self._step(last._replace(now_ns=due_ns), hosts)
        return alerts

    def _step(self, tick: _Tick, hosts: Roster) -> list[Alert]:
        spec, ticks, now_ns = self._spec, self._ticks, tick.now_ns
        ticks.append(tick)
        while len(ticks) > 1 and ticks[1].now_ns <= now_ns - spec.window_ns:
            ticks.popleft()
        before = ticks[0]
        lost, came = max(tick.n_lost - before.n_lost, 0), max(tick.n_frames - before.n_frames, 0)
        self.lost_by_source = {name: n_lost - before.by_source.get(name, 0) for name, n_lost in tick.by_source.items()}
        share = lost / (lost + came) if lost else 0.0
        self.silence_ns = now_ns - self._frames_ns if spec.silence_ns else 0
        is_holding = bool(self._book.schedules.holding(now_ns)[0])
        is_over = (share > spec.share or (spec.silence_ns > 0 and self.silence_ns >= spec.silence_ns)) and is_holding
        rows = np.zeros(1, np.intp)
        over = np.array([is_over])
        turns = self._book.incidents.step(now_ns, self._lives, self._book.find(rows, rows, hosts), np.array([share]), over, ~over)
        return self._book.tell(turns, now_ns, hosts)

    def restore(self, memory: Memory) -> None:
        """See `Family`."""
        self._book.restore(memory)

    def adopt(self, old: Self) -> None:
        """See `Family`."""
        self._ticks, self._frames_ns = old._ticks, old._frames_ns
        self._book.adopt(old._book, match_specs([old._spec], [self._spec]))

    def close(self, now_ns: int, hosts: Roster) -> Iterable[Alert]:
        """See `Family`."""
        return self._book.close(now_ns, hosts)

    def take_changes(self, changes: Changes) -> None:
        """See `Family`."""
        self._book.take_changes(changes)

    def n_bytes(self) -> int:
        """See `Family`."""
        return self._book.incidents.n_bytes()


class _LossWording:
    def __init__(self, family: LossFamily) -> None:
        self._family = family

    def facts(self, spec: LossSpec, row: int) -> dict[str, Any]:  # noqa: ARG002 - it is the rule's
        return {"limit": spec.share, "unit": "share", "window_ns": spec.window_ns}

    def fired(self, spec: LossSpec, subject: Subject, value: float, row: int) -> str:  # noqa: ARG002 - it is of no host
        if value > spec.share:
            return f"{value:.2%} of all frames were lost over {format_duration(spec.window_ns)}, more than {spec.share:.2%}"
        return f"no frame came for {format_duration(self._family.silence_ns)}"

    def cleared(self, spec: LossSpec, value: float, *, is_holding: bool) -> str:  # noqa: ARG002 - it is of no host
        return f"frames come, and {value:.2%} are lost" if is_holding else SCHEDULE_ENDED

    def details(self, spec: LossSpec, value: float, row: int) -> dict[str, object]:  # noqa: ARG002 - it is of no host
        details: dict[str, object] = {"lost_share": round(value, 6), "silence_ns": self._family.silence_ns}
        if len(self._family.lost_by_source) > 1:
            details["lost_by_source"] = self._family.lost_by_source
        return details
