"""Alerts of rules: the record, and the words that explain it.

What it does not do: decide what is worth an alert.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastmon.model.alerts import CLEARED, FIRING, NETWORK, Alert, alert_id
from fastmon.model.units import format_duration, format_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastmon.policy.specs import RuleSpec
    from fastmon.policy.subjects import Subject

__all__ = ["SCHEDULE_ENDED", "VERBS", "clear_alert", "fire_alert", "format_subject"]

VERBS = {"both": "moved", "in": "received", "out": "sent"}
"""What a subject did with bytes, by the rule's direction."""

SCHEDULE_ENDED = "the rule's schedule has ended"
"""Why an incident has cleared whose value may still be above the limit."""


def format_subject(subject: Subject) -> str:
    """Return whom an alert is about, for people: "192.168.1.40 (camera)", "the network"."""
    if not subject.host:
        return "the network"
    return f"{subject.host} ({subject.name})" if subject.name else subject.host


def fire_alert(
    spec: RuleSpec,
    subject: Subject,
    *,
    ts_ns: int,
    reason: str,
    since_ns: int | None = None,
    item: str = "",
    value: float | None = None,
    limit: float | None = None,
    unit: str = "",
    window_ns: int = 0,
    evidence: Mapping[str, object] | None = None,
) -> Alert:
    """Return the record of an incident that fires. since_ns: if it began before; `item`: what of several things it is about."""
    return _alert(
        spec,
        subject,
        ts_ns if since_ns is None else since_ns,
        item,
        ts_ns=ts_ns,
        state=FIRING,
        value=value,
        limit=limit,
        unit=unit,
        window_ns=window_ns,
        reason=reason,
        evidence=evidence or {},
    )


def clear_alert(
    spec: RuleSpec,
    subject: Subject,
    *,
    ts_ns: int,
    since_ns: int,
    reason: str,
    item: str = "",
    value: float | None = None,
    limit: float | None = None,
    unit: str = "",
    peak: float | None = None,
    window_ns: int = 0,
) -> Alert:
    """Return the record of an incident that has cleared: it fired at `since_ns`."""
    lasted = format_duration(max(ts_ns - since_ns, 0))
    peak_text = "" if peak is None else f", peak {format_value(peak, unit)}"
    return _alert(
        spec,
        subject,
        since_ns,
        item,
        ts_ns=ts_ns,
        state=CLEARED,
        value=value,
        limit=limit,
        unit=unit,
        peak=peak,
        window_ns=window_ns,
        reason=f"{format_subject(subject)}: {reason} (after {lasted}{peak_text})",
    )


def _alert(spec: RuleSpec, subject: Subject, since_ns: int, item: str, **others: Any) -> Alert:
    """Return a record with what is alike in all records of an incident."""
    return Alert(
        id=alert_id(spec.name, subject.host or NETWORK, since_ns, item),
        rule=spec.name,
        kind=spec.kind,
        severity=spec.severity,
        scope=spec.scope,
        since_ns=since_ns,
        host=subject.host,
        name=subject.name,
        mac=subject.mac,
        local=subject.local,
        actions=spec.actions,
        **others,
    )
