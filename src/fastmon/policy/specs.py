"""What rules of each kind are told, with all values parsed.

What it does not do: read the configuration (`config` does), evaluate.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "COUNTED",
    "MAX_COUNTED",
    "PERIODS",
    "ActionSpec",
    "AnySpec",
    "AppsSpec",
    "BaselineSpec",
    "DuplicateSpec",
    "FailedSpec",
    "LossSpec",
    "NewSpec",
    "PeersSpec",
    "PortRange",
    "PortsSpec",
    "RateSpec",
    "RuleSpec",
    "ScheduleSpec",
    "SilentSpec",
    "SpreadSpec",
    "TotalSpec",
]

PERIODS = ("run", "hour", "day", "week", "month")
COUNTED = ("opened", "probed")

MAX_COUNTED = 10_000
"""The greatest number of peers or ports that estimates are good for."""


class PortRange(NamedTuple):
    """Ports of a protocol, both ends included; `low` 0 and `high` 65535 for a protocol as a whole. protocol: IANA's number."""

    protocol: int
    low: int
    high: int


class ScheduleSpec(NamedTuple):
    """When a rule holds.

    days: 0 (Monday) to 6.  start_minute, end_minute: of the day, in `zone`; if the end is not after the start, it is the next
    day's.
    """

    days: frozenset[int]
    start_minute: int
    end_minute: int


class RuleSpec(Struct, frozen=True, kw_only=True):
    """What every rule has.

    scope: as written; `policy.scopes.parse_scope` reads it.  zone: IANA's name of the time zone of periods and schedules.
    actions: names of those that take its alerts.  cooldown_ns: after an alert has cleared, for how long the subject's next
    one is held back.
    """

    kind: str
    name: str
    scope: str = "local"
    severity: str = "warning"
    zone: str = "UTC"
    schedule: tuple[ScheduleSpec, ...] = ()
    actions: tuple[str, ...] = ()
    cooldown_ns: int = 0


class TotalSpec(RuleSpec, frozen=True, kw_only=True):
    """Bytes in a period. direction: "both", "in" or "out".  by: one of `bounds.GROUPINGS`: each host has the
    limit, or each MAC with all its local hosts.  per: one of `PERIODS`.  reset_day: of a month, 1 to 31 (the last
    day, in shorter ones); of a week, 0 (Monday) to 6.

    warn_at: percentages of the limit, ascending; each is told once a period.  apps: count only these applications (names).
    ports: only these.
    """

    limit_bytes: int
    by: str = "host"
    direction: str = "both"
    per: str = "run"
    reset_day: int = 1
    warn_at: tuple[int, ...] = (100,)
    apps: tuple[str, ...] = ()
    ports: tuple[PortRange, ...] = ()


class RateSpec(RuleSpec, frozen=True, kw_only=True):
    """A rate over a window. unit: "bit/s", "packets/s" or "conversations/s"; limit and clear are in it."""

    limit: float
    clear: float
    unit: str = "bit/s"
    direction: str = "both"
    window_ns: int = 10_000_000_000
    for_ns: int = 0
    clear_for_ns: int = 0


class PortsSpec(RuleSpec, frozen=True, kw_only=True):
    """Which services a host may use (role "client") or offer ("server"). Exactly one of allow and deny is not None. learn_ns:
    everything seen in this time from the start is allowed, too.
    """

    role: str = "client"
    allow: tuple[PortRange, ...] | None = None
    deny: tuple[PortRange, ...] | None = None
    learn_ns: int = 0


class AppsSpec(RuleSpec, frozen=True, kw_only=True):
    """Which applications a host may use or offer; else as `PortsSpec`. role: also "both"."""

    role: str = "both"
    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] | None = None
    learn_ns: int = 0


class PeersSpec(RuleSpec, frozen=True, kw_only=True):
    """Which peers a host may talk to: addresses, CIDRs, or patterns of names ("*.example.org"); else as `PortsSpec`."""

    role: str = "both"
    allow: tuple[str, ...] | None = None
    deny: tuple[str, ...] | None = None
    learn_ns: int = 0


class SpreadSpec(RuleSpec, frozen=True, kw_only=True):
    """More than so many distinct peers or ports in a window; 0: not looked at. It clears when both are below half of their
    limit. count: those of all conversations that were opened, or of what was probed.
    """

    count: str = "opened"
    peers: int = 0
    ports: int = 0
    window_ns: int = 60_000_000_000


class FailedSpec(RuleSpec, frozen=True, kw_only=True):
    """More than `limit` conversations without an answer in a window."""

    limit: int
    window_ns: int = 60_000_000_000


class NewSpec(RuleSpec, frozen=True, kw_only=True):
    """A local device that was never seen before. learn_ns: devices seen in this time from the first start on are known."""

    learn_ns: int = 0


class SilentSpec(RuleSpec, frozen=True, kw_only=True):
    """A host from which nothing was heard for `for_ns`. Only hosts that were heard of are watched, and addresses and MACs
    that the scope names.
    """

    for_ns: int


class DuplicateSpec(RuleSpec, frozen=True, kw_only=True):
    """One address of two MACs, each seen within `window_ns` of the other."""

    window_ns: int = 60_000_000_000


class BaselineSpec(RuleSpec, frozen=True, kw_only=True):
    """Far from the host's own habit, in buckets of the hour of the week.

    measure: "bytes-in", "bytes-out" or "bytes", for each window.  score: how many robust standard deviations above the mean.
    min_samples: windows of the bucket before it tells anything.  least_bytes: less than this is never told.
    """

    measure: str = "bytes"
    window_ns: int = 300_000_000_000
    score: float = 6.0
    min_samples: int = 12
    least_bytes: int = 1_000_000


class LossSpec(RuleSpec, frozen=True, kw_only=True):
    """fastmon's own loss: more than `share` of the frames of a window were lost; or no frame came for `silence_ns` (0: not
    looked at).
    """

    share: float = 0.001
    window_ns: int = 60_000_000_000
    silence_ns: int = 0


AnySpec: TypeAlias = (
    TotalSpec
    | RateSpec
    | PortsSpec
    | AppsSpec
    | PeersSpec
    | SpreadSpec
    | FailedSpec
    | NewSpec
    | SilentSpec
    | DuplicateSpec
    | BaselineSpec
    | LossSpec
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionSpec:
    """What is done with the alerts of rules that name it. Exactly one of exec, apprise, syslog and file is set.

    exec: an argument list.  apprise: a URL, "env:NAME" or "file:PATH".  syslog: "udp://HOST:PORT", "tcp://...", "tls://...",
    "unix:PATH".
    file: a path, JSON lines are appended.  rate: alerts at once, at most, in `rate_ns`; the rest is summed up.  timeout_ns:
    of one attempt.  environment: variables for `exec`, beside fastmon's own.

    `apprise` and `environment` may be secrets: they are left out of the text of an action.
    """

    name: str
    exec: tuple[str, ...] | None = None
    apprise: str | None = field(default=None, repr=False)
    syslog: str | None = None
    file: str | None = None
    rate: int = 20
    rate_ns: int = 60_000_000_000
    timeout_ns: int = 10_000_000_000
    environment: Mapping[str, str] | None = field(default=None, repr=False)

    @property
    def way(self) -> str:
        """Which of exec, apprise, syslog and file is set."""
        return next(way for way in ("exec", "apprise", "syslog", "file") if getattr(self, way) is not None)
