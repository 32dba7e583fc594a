"""The open incidents of rules of which few fire at a time: each is an object, and what it is about may have no row.

    (fire) ──> firing ──(clear)──> cooling ──(cooldown)──> no more

What it does not do: decide when one fires or clears. Where most hosts may have an incident, `incidents` has arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic

from fastmon.model.alerts import NETWORK, alert_id
from fastmon.model.memory import OpenIncident
from fastmon.policy.families import SpecT
from fastmon.policy.subjects import Subject
from fastmon.policy.words import clear_alert

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fastmon.model.alerts import Alert
    from fastmon.model.memory import Changes, Memory

__all__ = ["OpenCase", "OpenCases"]

_CASE_BYTES = 512
"""About what one takes, with its texts."""


@dataclass(slots=True)
class OpenCase:
    """One open incident.

    rule: its index.  id: what tells it from the rule's others: a host's address, or a device's id.  subject: as it was when it
    fired.  since_ns: when it fired.  last_ns: when its cause was there last.  until_ns: cooling until then; 0: firing.
    """

    rule: int
    id: str
    subject: Subject
    since_ns: int
    last_ns: int
    peak: float = 0.0
    until_ns: int = 0

    @property
    def is_firing(self) -> bool:
        """Whether it has not cleared yet."""
        return not self.until_ns


class OpenCases(Generic[SpecT]):
    """The open incidents of a family, at most `max_cases`, by rule and id. keeps: whether changes are asked for."""

    def __init__(self, specs: Sequence[SpecT], *, keeps: bool, max_cases: int = 1 << 16) -> None:
        self._specs = specs
        self._keeps = keeps
        self._max_cases = max_cases
        self._cases: dict[tuple[int, str], OpenCase] = {}
        self._changed: dict[tuple[int, str], OpenIncident] = {}

    def __len__(self) -> int:
        """Return how many there are, cooling ones included."""
        return len(self._cases)

    @property
    def is_full(self) -> bool:
        """Whether there is no room for another one."""
        return len(self._cases) >= self._max_cases

    def firing(self) -> list[OpenCase]:
        """Return those that fire."""
        return [case for case in self._cases.values() if case.is_firing]

    def find(self, rule: int, case_id: str) -> OpenCase | None:
        """Return the one of a rule and an id, which may be cooling."""
        return self._cases.get((rule, case_id))

    def fire(self, case: OpenCase) -> bool:
        """Let an incident fire; return whether it may: not while one of its id is open, nor where there is no room."""
        at = (case.rule, case.id)
        if at in self._cases or self.is_full:
            return False
        self._cases[at] = case
        self.note(case)
        return True

    def cool(self, now_ns: int) -> None:
        """Let go of those that have cooled down; after a step of the clock back, of those that would cool too long."""
        for at, case in list(self._cases.items()):
            cooldown_ns = self._specs[case.rule].cooldown_ns
            if not case.is_firing and not now_ns < case.until_ns <= now_ns + cooldown_ns:
                del self._cases[at]
                self._note(case, is_closed=True)

    def clear(self, case: OpenCase, ts_ns: int, reason: str, **facts: Any) -> Alert:
        """Return the alert of an incident that clears. facts: as `clear_alert` takes them."""
        spec = self._specs[case.rule]
        if spec.cooldown_ns:
            case.until_ns = ts_ns + spec.cooldown_ns
            self.note(case)
        else:
            del self._cases[case.rule, case.id]
            self._note(case, is_closed=True)
        return clear_alert(spec, case.subject, ts_ns=ts_ns, since_ns=case.since_ns, reason=reason, **facts)

    def close(self, ts_ns: int) -> list[Alert]:
        """Clear all of them, because their rules were removed."""
        alerts = [self.clear(case, ts_ns, "rule removed") for case in self.firing()]
        for case in self._cases.values():
            self._note(case, is_closed=True)
        self._cases.clear()
        return alerts

    def adopt(self, old: OpenCases[SpecT], new_rules: NDArray[Any]) -> None:
        """Take the incidents of rules that go on from `old`. new_rules: their indices, by the old ones; negative: none."""
        for (rule, case_id), case in list(old._cases.items()):
            if new_rules[rule] >= 0:
                del old._cases[rule, case_id]
                case.rule = int(new_rules[rule])
                self._cases[case.rule, case_id] = case
        for (rule, case_id), row in list(old._changed.items()):
            if new_rules[rule] >= 0:
                self._changed[int(new_rules[rule]), case_id] = row
                del old._changed[rule, case_id]

    def restore(self, memory: Memory) -> None:
        """Go on with an earlier run's incidents."""
        rules = {(spec.name, spec.kind): rule for rule, spec in enumerate(self._specs)}
        for incident in memory.incidents:
            rule = rules.get((incident.rule, str(incident.data.get("kind"))))
            case = None if rule is None or incident.is_closed else _read(incident, rule)
            if case is not None and len(self._cases) < self._max_cases:
                self._cases[case.rule, case.id] = case

    def note(self, case: OpenCase) -> None:
        """Note that an incident has changed."""
        self._note(case, is_closed=False)

    def take_changes(self, changes: Changes) -> None:
        """Add those that have changed since the last call."""
        changes.incidents += self._changed.values()
        self._changed = {}

    def n_bytes(self) -> int:
        """Return about how much memory they take."""
        return len(self._cases) * _CASE_BYTES

    def _note(self, case: OpenCase, *, is_closed: bool) -> None:
        if not self._keeps:
            return
        spec, subject = self._specs[case.rule], case.subject
        data: dict[str, object] = {
            "kind": spec.kind,
            "since_ns": case.since_ns,
            "last_ns": case.last_ns,
            "until_ns": case.until_ns,
            "peak": case.peak,
            "host": subject.host,
            "name": subject.name,
            "mac": subject.mac,
            "local": bool(subject.local),
        }
        identity = alert_id(spec.name, subject.host or NETWORK, case.since_ns)
        self._changed[case.rule, case.id] = OpenIncident(spec.name, case.id, "", identity, data, is_closed)


def _read(incident: OpenIncident, rule: int) -> OpenCase | None:
    """Return a kept incident; None if it makes no sense."""
    data: Any = incident.data
    try:
        subject = Subject(str(data["host"]), str(data["name"]), str(data["mac"]), bool(data["local"]))
        times = (int(data["since_ns"]), int(data["last_ns"]))
        return OpenCase(rule, incident.subject, subject, *times, float(data["peak"]), int(data["until_ns"]))
    except (KeyError, TypeError, ValueError):
        return None
