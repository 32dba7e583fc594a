"""The incidents of rules of one family, and the alerts that they give: on hosts, on devices, or on the network as a whole.

What it does not do: measure anything, or decide when an incident fires.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np

from fastmon.errors import ConfigError
from fastmon.model.alerts import NETWORK, alert_id
from fastmon.model.memory import OpenIncident
from fastmon.policy.devices import device_text, parse_device, parse_mac_id
from fastmon.policy.families import SpecT
from fastmon.policy.incidents import COOLING, FIRING, INCIDENT_DTYPE, Incidents
from fastmon.policy.key_index import GONE
from fastmon.policy.periods import Schedules
from fastmon.policy.specs import RuleSpec
from fastmon.policy.subjects import Subject
from fastmon.policy.words import clear_alert, fire_alert

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from fastmon.model.alerts import Alert
    from fastmon.model.memory import Changes, Memory
    from fastmon.policy.incidents import Turns
    from fastmon.policy.rules import Context
    from fastmon.policy.subjects import Subjects

__all__ = ["CaseBook", "Wording"]

_SpokenT_contra = TypeVar("_SpokenT_contra", bound=RuleSpec, contravariant=True)

_STATES = {"firing": FIRING, "cooling": COOLING}


class Wording(Protocol[_SpokenT_contra]):
    """What alerts of a kind say. row: the incident's."""

    def facts(self, spec: _SpokenT_contra, row: int) -> dict[str, Any]:
        """Return the limit, unit and window of a rule, as `fire_alert` takes them."""
        ...

    def fired(self, spec: _SpokenT_contra, subject: Subject, value: float, row: int) -> str:
        """Return the sentence for an incident that fires."""
        ...

    def cleared(self, spec: _SpokenT_contra, value: float, *, is_holding: bool) -> str:
        """Return what has become of it, for one that has cleared. is_holding: the rule does, by its schedule."""
        ...

    def details(self, spec: _SpokenT_contra, value: float, row: int) -> dict[str, object]:
        """Return what the evidence has besides what the subject was doing."""
        ...


class CaseBook(Generic[SpecT]):
    """Incidents and their alerts. is_network: an incident's row is the index of its rule, else its host's, or its device's."""

    def __init__(
        self,
        specs: Sequence[SpecT],
        wording: Wording[SpecT],
        context: Context,
        *,
        is_network: bool = False,
        are_devices: bool = False,
    ) -> None:
        self.specs = specs
        self.schedules = Schedules(specs)
        self.incidents = Incidents(keeps=context.keeps)
        self.is_network = is_network
        self._are_devices = are_devices
        self._wording = wording

    def settle(self, now_ns: int, subjects: Subjects, rules: NDArray[np.signedinteger]) -> list[Alert]:
        """Clear the incidents of hosts that are gone, and of those that another rule governs now.

        rules: of each host. Nothing of the kind happens to the network.
        """
        if self.is_network:
            return []
        self.incidents.rejoin(subjects, rules)
        gone = self.clear(self.incidents.take_gone(), now_ns, subjects, "nothing is known of it any more")
        return gone + self.clear(self.incidents.leave(rules), now_ns, subjects, "the rule does not govern it any more")

    def find(self, rows: NDArray[np.intp], rules: NDArray[np.signedinteger], subjects: Subjects) -> NDArray[np.void]:
        """Return empty incidents for some rows; `rules`: of these."""
        found = np.zeros(len(rows), INCIDENT_DTYPE)
        found["row"], found["rule"] = rows, rules
        if not self.is_network:
            found["key"] = subjects.keys_of(rows)
        return found

    def tell(self, turns: Turns, ts_ns: int, subjects: Subjects) -> list[Alert]:
        """Return the alerts of incidents that fire, and of those that have cleared."""
        alerts = [
            self._fire(entry, value, ts_ns, subjects)
            for entry, value in zip(turns.fired, turns.fired_values.tolist(), strict=True)
        ]
        for entry, value in zip(turns.cleared, turns.cleared_values.tolist(), strict=True):
            is_holding = bool(self.schedules.holding(ts_ns)[entry["rule"]])
            reason = self._wording.cleared(self.specs[entry["rule"]], value, is_holding=is_holding)
            alerts.append(self._clear(entry, ts_ns, subjects, reason, value))
        return alerts

    def clear(self, entries: NDArray[np.void], ts_ns: int, subjects: Subjects, reason: str) -> list[Alert]:
        """Return the alerts of incidents that have ended for another reason than their value."""
        return [self._clear(entry, ts_ns, subjects, reason, None) for entry in entries if FIRING <= entry["state"] < COOLING]

    def subject(self, entry: np.void, subjects: Subjects) -> Subject:
        """Return whom an incident is about."""
        if self.is_network:
            return Subject()
        row = int(entry["row"])
        return subjects.describe(entry["key"].tobytes()) if row == GONE else subjects.subject(row)

    def _fire(self, entry: np.void, value: float, ts_ns: int, subjects: Subjects) -> Alert:
        spec, subject, row = self.specs[entry["rule"]], self.subject(entry, subjects), int(entry["row"])
        return fire_alert(
            spec,
            subject,
            ts_ns=ts_ns,
            since_ns=int(entry["since_ns"]),
            reason=self._wording.fired(spec, subject, value, row),
            value=value,
            evidence=self._wording.details(spec, value, row),
            **self._wording.facts(spec, row),
        )

    def _clear(self, entry: np.void, ts_ns: int, subjects: Subjects, reason: str, value: float | None) -> Alert:
        spec = self.specs[entry["rule"]]
        return clear_alert(
            spec,
            self.subject(entry, subjects),
            ts_ns=ts_ns,
            since_ns=int(entry["since_ns"]),
            reason=reason,
            value=value,
            peak=float(entry["peak"]),
            **self._wording.facts(spec, int(entry["row"])),
        )

    # What survives.

    def close(self, now_ns: int, subjects: Subjects) -> list[Alert]:
        """Clear all that is left, because its rule was removed."""
        self.incidents.stop_waiting()
        left = np.concatenate([self.incidents.take_gone(), self.incidents.take(np.ones(len(self.incidents.rows), np.bool_))])
        return self.clear(left, now_ns, subjects, "rule removed")

    def restore(self, memory: Memory) -> None:
        """Go on with an earlier run's incidents, as soon as their hosts are seen."""
        indices = {(spec.name, spec.kind): index for index, spec in enumerate(self.specs)}
        entries = []
        for incident in memory.incidents:
            index = indices.get((incident.rule, str(incident.data.get("kind"))))
            if index is not None and not incident.is_closed and (incident.subject == NETWORK) == self.is_network:
                entry = _read(incident, index)
                if entry is not None and bool(parse_mac_id(bytes(entry[0]))) == self._are_devices:
                    entries.append(entry)
        restored = np.array(entries, INCIDENT_DTYPE)
        if self.is_network:
            restored["row"] = restored["rule"]
            self.incidents.put(restored)
        else:
            self.incidents.waiting = restored

    def adopt(self, old: CaseBook[SpecT], indices: NDArray[np.int64]) -> None:
        """Take over the incidents of rules that stay. indices: of each old rule, its index here, or -1."""
        self.incidents.move_rules(old.incidents, indices, rows_are_rules=self.is_network)

    def take_changes(self, changes: Changes) -> None:
        """Add the incidents that have ended or changed."""
        for entry in self.incidents.take_closed():
            changes.incidents.append(self._row(entry, is_closed=True))
        entries = self.incidents.entries
        for entry in entries[entries["is_dirty"] & (entries["state"] >= FIRING)]:
            changes.incidents.append(self._row(entry, is_closed=False))
        entries["is_dirty"] = False

    def _row(self, entry: np.void, *, is_closed: bool) -> OpenIncident:
        spec = self.specs[entry["rule"]]
        subject = NETWORK if self.is_network else device_text(entry["key"].tobytes())
        since_ns = int(entry["since_ns"])
        state = "cooling" if entry["state"] == COOLING else "firing"
        data: dict[str, object] = {
            "kind": spec.kind,
            "state": state,
            "since_ns": since_ns,
            "changed_ns": int(entry["changed_ns"]),
            "peak": float(entry["peak"]),
        }
        return OpenIncident(spec.name, subject, "", alert_id(spec.name, subject, since_ns), data, is_closed)


def _read(incident: OpenIncident, rule: int) -> tuple[Any, ...] | None:
    """Return a row of `INCIDENT_DTYPE`; None if what was kept makes no sense."""
    data: Any = incident.data
    try:
        key = bytes(16) if incident.subject == NETWORK else parse_device(incident.subject)
        state = _STATES[data["state"]]
        return list(key), GONE, rule, int(data["since_ns"]), int(data["changed_ns"]), float(data["peak"]), state, False
    except (ConfigError, KeyError, TypeError, ValueError):
        return None
