"""The tables of the configuration file: for each kind of rule, and for actions, the keys with what they take and their defaults.

A key's annotation has what it takes (`kinds`), and what it means, for docs/rules.md. Defaults are written as people write them.

What it does not do: read tables (`tables`), or check one against others (`policy`).
"""

# No `from __future__ import annotations`: msgspec and `tables` read the annotations.

from collections.abc import Callable
from itertools import pairwise
from typing import Annotated, Any, ClassVar

from msgspec import Struct, field

from fastmon.config import kinds as k
from fastmon.config.values import DAYS
from fastmon.model.units import Rate
from fastmon.policy import specs
from fastmon.policy.scopes import NETWORK_SCOPE

__all__ = ["RULES", "ActionTable", "RuleTable", "Table"]

Complain = Callable[[str, str], None]
"""Is told of a problem: the key, and the message."""

CLEAR_SHARE = 0.8
"""Where a rate clears, of its limit, if the rule does not say."""


class Table(Struct, rename="kebab", kw_only=True, forbid_unknown_fields=True):
    """A table of the file. spec: what it is made into."""

    spec: ClassVar[type[Any]]

    @staticmethod
    def finish(values: dict[str, Any], complain: Complain) -> None:
        """Check the parsed values together, and change what depends on others. Keys that are wrong are missing."""


class RuleTable(Table, tag_field="kind"):
    """What every rule has."""

    name: Annotated[k.Name, "its name, which no other rule has"]
    scope: Annotated[k.Text, "the hosts that it governs ([Scopes](#scopes))"] = "local"
    severity: Annotated[k.Severity, "of its alerts"] = "warning"
    schedule: Annotated[k.Schedules, "when it holds; always, if there is none ([Schedules](#schedules))"] = ()
    time_zone: Annotated[k.Zone, "of its schedule and its periods"] = "UTC"
    cooldown: Annotated[k.Duration, "after an alert has cleared, the next one of that host is held back for this long"] = "0s"
    actions: Annotated[k.Actions, "what is done with its alerts ([Actions](#actions))"] = ()


class TotalRule(RuleTable, kw_only=True, tag="total"):
    """Bytes in a period."""

    spec = specs.TotalSpec

    limit: Annotated[k.PositiveSize, "the bytes that a host, or a device, may move in a period"]
    by: Annotated[
        k.Grouping, "`host`: each address has the limit by itself; `mac`: all local addresses of a MAC have it together"
    ] = "host"
    per: Annotated[k.Period, "the period; `run` is the whole run"] = "run"
    reset_day: Annotated[
        k.ResetDay, "the day on which a `month` or a `week` begins; the first, or `mon`. A shorter month begins on its last day"
    ] = None
    direction: Annotated[k.Direction, "which bytes count, as the host sees them"] = "both"
    warn_at: Annotated[k.Percents, "percentages of the limit; each is told once in a period"] = (80, 90, 100)
    apps: Annotated[k.Apps, "count only these applications"] = ()
    ports: Annotated[k.Ports, "count only these services"] = ()

    @staticmethod
    def finish(values: dict[str, Any], complain: Complain) -> None:
        """Check the levels and the reset day."""
        levels = values.get("warn_at", (100,))
        if not levels or any(low >= high for low, high in pairwise(levels)):
            complain("warn-at", f"must be percentages in ascending order, like [80, 90, 100], not {list(levels)}")
        if values.get("apps") and values.get("ports"):
            complain("ports", "cannot be combined with apps: write two rules")
        if values.get("by") == "mac" and values.get("scope") == NETWORK_SCOPE:
            complain("by", f'cannot be "mac" with the scope {NETWORK_SCOPE!r}, which has one sum')
        _finish_reset_day(values, complain)


def _finish_reset_day(values: dict[str, Any], complain: Complain) -> None:
    day, period = values.get("reset_day"), values.get("per")
    if day is not None and period not in ("week", "month", None):
        complain("reset-day", f'goes with per = "week" or per = "month", not with per = "{period}"')
    elif isinstance(day, str):
        if period == "month":
            complain("reset-day", f'must be a day from 1 to 31 with per = "month", not {day!r}')
        values["reset_day"] = DAYS.index(day)
    elif day is not None and period == "week":
        complain("reset-day", f'must be one of {", ".join(DAYS)} with per = "week", not {day}')
    elif day is None:
        values["reset_day"] = 0 if period == "week" else 1


class RateRule(RuleTable, kw_only=True, tag="rate"):
    """A rate over a window."""

    spec = specs.RateSpec

    limit: Annotated[k.Limit, "the rate above which it fires"]
    clear: Annotated[k.OptionalLimit, "the rate below which it clears; 80 % of the limit"] = None
    direction: Annotated[k.Direction, "what counts, as the host sees it"] = "both"
    window: Annotated[k.Window, "the time that the rate is averaged over"] = "10s"
    for_: Annotated[k.Duration, "it fires after the rate was above the limit for this long"] = field(default="0s", name="for")
    clear_for: Annotated[k.Duration, "it clears after the rate was below `clear` for this long"] = "0s"

    @staticmethod
    def finish(values: dict[str, Any], complain: Complain) -> None:
        """Give both rates one unit."""
        limit: Rate | None = values.get("limit")
        if limit is None:
            return
        unit = limit.unit or "bit/s"
        clear: Rate = values.get("clear") or Rate(limit.value * CLEAR_SHARE, unit)
        if clear.unit not in ("", unit):
            complain("clear", f"must be in {unit}, as the limit is, not in {clear.unit}")
        elif clear.value >= limit.value:
            complain("clear", f"must be below the limit, {limit.value:,.10g} {unit}, not {clear.value:,.10g} {unit}")
        values.update(limit=limit.value, clear=clear.value, unit=unit)


class _ListRule(RuleTable):
    """What rules with a list of what is allowed, or of what is not, have in common."""

    learn: Annotated[k.Duration, "for this long from the start, everything that is seen becomes allowed"] = "0s"

    @staticmethod
    def finish(values: dict[str, Any], complain: Complain) -> None:
        """Check that there is one list; one that learns may begin with none."""
        allow, deny = values.get("allow"), values.get("deny")
        if allow is not None and deny is not None:
            complain("deny", "cannot be combined with allow: what is not in allow is denied")
        elif deny is not None and not deny:
            complain("deny", "must not be empty: it denies nothing")
        elif deny is not None and values.get("learn"):
            complain("learn", "goes with allow, not with deny")
        elif allow is None and deny is None and values.get("learn"):
            values["allow"] = ()
        elif allow is None and deny is None and not {"allow", "deny", "learn"} - values.keys():
            complain("", "allow or deny is missing: it needs one of them")


class PortsRule(_ListRule, kw_only=True, tag="ports"):
    """Services that a host may use or offer."""

    spec = specs.PortsSpec

    role: Annotated[k.ServiceRole, "`client`: services that it uses; `server`: that it offers"] = "client"
    allow: Annotated[k.Ports, "any other service is told"] = None
    deny: Annotated[k.Ports, "these services are told"] = None


class AppsRule(_ListRule, kw_only=True, tag="apps"):
    """Applications that a host may use or offer."""

    spec = specs.AppsSpec

    role: Annotated[k.Role, "`client`: what it uses; `server`: what it offers"] = "both"
    allow: Annotated[k.Apps, "any other application is told"] = None
    deny: Annotated[k.Apps, "these applications are told"] = None


class PeersRule(_ListRule, kw_only=True, tag="peers"):
    """Peers that a host may talk to."""

    spec = specs.PeersSpec

    role: Annotated[k.Role, "`client`: peers that it turns to; `server`: that turn to it"] = "both"
    allow: Annotated[k.Peers, "any other peer is told"] = None
    deny: Annotated[k.Peers, "these peers are told"] = None


class SpreadRule(RuleTable, kw_only=True, tag="spread"):
    """Many peers or ports in a short time."""

    spec = specs.SpreadSpec

    count: Annotated[
        k.Counted,
        "`opened`: all conversations that it opens; `probed`: those that nobody answers or somebody refuses, pings, ARP requests",
    ] = "opened"
    peers: Annotated[k.Estimate, "more distinct peers than this are told; 0: not looked at"] = 0
    ports: Annotated[k.Estimate, "more distinct services (protocol and port) than this are told; 0: not looked at"] = 0
    window: Annotated[k.Window, "the time that they are counted in"] = "1m"

    @staticmethod
    def finish(values: dict[str, Any], complain: Complain) -> None:
        """Check that it looks at something."""
        if values.get("peers") == values.get("ports") == 0:
            complain("", "peers or ports is missing: it needs a limit of at least one of them")


class FailedRule(RuleTable, kw_only=True, tag="failed"):
    """Conversations without an answer."""

    spec = specs.FailedSpec

    limit: Annotated[k.Count, "more conversations without an answer than this are told"]
    window: Annotated[k.Window, "the time that they are counted in"] = "1m"


class NewRule(RuleTable, kw_only=True, tag="new"):
    """A device that was never seen before."""

    spec = specs.NewSpec

    learn: Annotated[k.Duration, "devices that are seen for this long from the first start on are known"] = "0s"


class SilentRule(RuleTable, kw_only=True, tag="silent"):
    """A host that nothing is heard from."""

    spec = specs.SilentSpec

    for_: Annotated[k.Span, "how long nothing was heard"] = field(name="for")


class DuplicateRule(RuleTable, kw_only=True, tag="duplicate"):
    """One address of two devices."""

    spec = specs.DuplicateSpec

    window: Annotated[k.Window, "both MACs were seen within this time"] = "1m"


class BaselineRule(RuleTable, kw_only=True, tag="baseline"):
    """Far from a host's own habit."""

    spec = specs.BaselineSpec

    measure: Annotated[k.Measure, "what is measured in each window"] = "bytes"
    window: Annotated[k.Window, "the time of one measurement"] = "5m"
    score: Annotated[k.Score, "how many robust standard deviations above the habit are told"] = 6.0
    min_samples: Annotated[k.Count, "measurements of an hour of the week before any alert"] = 12
    least: Annotated[k.Size, "less than this in a window is never told"] = "1MB"


class LossRule(RuleTable, kw_only=True, tag="loss"):
    """fastmon's own loss, or no traffic at all."""

    spec = specs.LossSpec

    scope: Annotated[k.Text, "always the network"] = "network"
    share: Annotated[k.Share, "a greater share of frames lost in a window is told"] = "0.1%"
    window: Annotated[k.Window, "the time that losses are counted in"] = "1m"
    silence: Annotated[k.Duration, "no frame for this long is told; 0: not looked at"] = "0s"

    @staticmethod
    def finish(values: dict[str, Any], complain: Complain) -> None:
        """Check the scope."""
        if values.get("scope", "network") != "network":
            complain("scope", f'must be "network", not {values["scope"]!r}: the loss is the whole capture\'s')


RULES: dict[str, type[RuleTable]] = {
    str(table.__struct_config__.tag): table
    for table in (
        TotalRule,
        RateRule,
        PortsRule,
        AppsRule,
        PeersRule,
        SpreadRule,
        FailedRule,
        NewRule,
        SilentRule,
        DuplicateRule,
        BaselineRule,
        LossRule,
    )
}
"""By kind."""


class ActionTable(Table, kw_only=True):
    """What is done with alerts."""

    spec = specs.ActionSpec

    name: Annotated[k.Name, "its name, for `actions` of rules"]
    exec: Annotated[k.Command, "run this program, without a shell, with the alert as JSON on its standard input"] = None
    environment: Annotated[k.Environment, "variables for the program, beside fastmon's own"] = None
    apprise: Annotated[k.Secret, "notify this service (extra `notify`)"] = None
    syslog: Annotated[k.Syslog, "send to this syslog server (RFC 5424)"] = None
    file: Annotated[k.Path, "append to this file, as JSON lines"] = None
    rate: Annotated[k.Allowance, "at most so many at once; further alerts are summed up"] = "20/1m"
    timeout: Annotated[k.Span, "the time for one attempt"] = "10s"

    @staticmethod
    def finish(values: dict[str, Any], complain: Complain) -> None:
        """Check that it is one action."""
        ways = ("exec", "apprise", "syslog", "file")
        given = [way for way in ways if values.get(way) is not None]
        if len(given) > 1:
            complain(given[1], f"cannot be combined with {given[0]}: write two actions")
        elif not given and not {*ways} - values.keys():
            complain("", f"it needs one of {', '.join(ways)}")
        command = values.get("exec")
        if command is not None and (not command or not command[0] or any("\0" in word for word in command)):
            complain("exec", 'must be a program\'s path and its arguments, like ["/usr/local/bin/on-alert", "--flag"]')
        if values.get("environment") is not None and command is None and "exec" in values:
            complain("environment", "goes with exec only")
        values["rate"], values["rate_ns"] = values.get("rate", (0, 0))
