"""What rules know that a restart must not lose, as plain rows.

What it does not do: keep it; `state` does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Baseline", "Changes", "DayTotal", "Kept", "KnownDevice", "Memory", "OpenIncident", "PeriodTotal", "Told"]


@dataclass(frozen=True, slots=True)
class PeriodTotal:
    """What one subject has moved in the running period of a rule of kind `total`. Key: rule, subject.

    subject: an address, a MAC, or the network.  told_percent: the greatest warn level that has been told; 0: none.
    is_closed: this is the last of it: what was moved counts for another subject.
    """

    rule: str
    subject: str
    period_start_ns: int
    period_end_ns: int
    bytes: int
    limit_bytes: int
    told_percent: int = 0
    is_closed: bool = False


@dataclass(frozen=True, slots=True)
class OpenIncident:
    """A rule's open case for one subject. Key: rule, subject, item. `data` is the rule's own: texts and numbers.

    is_closed: this is the last of it.
    """

    rule: str
    subject: str
    item: str
    alert_id: str
    data: dict[str, object]
    is_closed: bool = False


@dataclass(frozen=True, slots=True)
class Told:
    """Something that is told once. Key: rule, subject, item. `ts_ns`: when it was seen last."""

    rule: str
    subject: str
    item: str
    ts_ns: int


@dataclass(frozen=True, slots=True)
class KnownDevice:
    """A device of the local network. Key: id, its MAC address, or its address where there is none.

    name: the one that it is known by on the network.  given_name: the one that a person has given it (`fastmon devices
    rename`), "" for none. Rules only read that; `state` keeps it.
    """

    id: str
    mac: str
    addresses: tuple[str, ...]
    name: str
    vendor: str
    first_seen_ns: int
    last_seen_ns: int
    given_name: str = ""


@dataclass(frozen=True, slots=True)
class Baseline:
    """A habit: what one subject's measure is like in one bucket of the week. Key: rule, subject, bucket."""

    rule: str
    subject: str
    bucket: int
    n_samples: float
    mean: float
    spread: float


@dataclass(frozen=True, slots=True)
class DayTotal:
    """What a local host has moved on one day (UTC). Key: subject, day_start_ns."""

    subject: str
    day_start_ns: int
    bytes_in: int
    bytes_out: int
    packets_in: int
    packets_out: int


class Kept(NamedTuple):
    """A record that waits for an action. id: the outbox's.  record: JSON."""

    id: int
    action: str
    record: str


@dataclass(frozen=True, slots=True)
class Memory:
    """All that is kept, as it is read back at a start."""

    periods: tuple[PeriodTotal, ...] = ()
    incidents: tuple[OpenIncident, ...] = ()
    told: tuple[Told, ...] = ()
    devices: tuple[KnownDevice, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    days: tuple[DayTotal, ...] = ()


@dataclass(slots=True)
class Changes:
    """What has changed since it was last taken: each row replaces the one with its key.

    is_last: nothing is taken afterwards. What is kept only now and then is brought up to date.
    """

    periods: list[PeriodTotal] = field(default_factory=list)
    incidents: list[OpenIncident] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)
    devices: list[KnownDevice] = field(default_factory=list)
    baselines: list[Baseline] = field(default_factory=list)
    days: list[DayTotal] = field(default_factory=list)
    is_last: bool = False
