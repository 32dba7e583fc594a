"""Alerts: what a rule tells of a host or of the network, and how one is told from another.

What it does not do: decide what is worth an alert (`policy`), show or send one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CLEARED", "FIRING", "NETWORK", "Alert", "alert_id"]

FIRING = "firing"
CLEARED = "cleared"

NETWORK = "network"
"""The subject of an alert that is about no single host."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """What a rule tells of one subject: that it fires, or that it has cleared.

    id: the same in the record that fires and in the one that clears.
    rule: the rule's name.  kind: the rule's.  state: `FIRING` or `CLEARED`.  severity: one of `bounds.SEVERITIES`.  scope: the
    rule's, as written.
    ts_ns: of this record.  since_ns: when it began to fire. Nanoseconds since the epoch, on the run's clock.
    host: the address; "" for the network.  name, mac: texts; "" where unknown.  local: None for the network.
    value, limit: in `unit`; None where the kind has none.  peak: the greatest value while it was firing, in a record that
    clears.
    window_ns: that the value is of; 0 for none.
    reason: one sentence for people.
    evidence: what explains it at that moment: texts and numbers, ready for JSON.
    actions: names of the rule's actions.  is_silenced: nobody is to be told.
    """

    id: str
    rule: str
    kind: str
    severity: str
    scope: str
    ts_ns: int
    since_ns: int
    state: str = FIRING
    host: str = ""
    name: str = ""
    mac: str = ""
    local: bool | None = None
    value: float | None = None
    limit: float | None = None
    unit: str = ""
    peak: float | None = None
    window_ns: int = 0
    reason: str = ""
    evidence: Mapping[str, object] = field(default_factory=dict)
    actions: tuple[str, ...] = ()
    is_silenced: bool = False

    @property
    def subject(self) -> str:
        """The host's address, or `NETWORK`."""
        return self.host or NETWORK


def alert_id(rule: str, subject: str, since_ns: int, item: str = "") -> str:
    """Return an alert's id: the same for the same rule, subject, item and time in every run over the same frames."""
    import hashlib  # loads OpenSSL

    text = "\0".join((rule, subject, item, str(since_ns)))
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
