"""How many alerts an action is told in a time; the rest is counted.

What it does not do: keep alerts, read a clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastmon.alerts.records import MoreRecord
from fastmon.model.texts import clean_text
from fastmon.model.units import NS_PER_S, format_time

if TYPE_CHECKING:
    from fastmon.model.alerts import Alert

__all__ = ["Limiter", "More"]

MAX_RULES = 50
"""Rules that are counted apart; the others are counted as "others"."""


class More:
    """Alerts that are only counted. seconds: of the time that their number is for."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.n_alerts = 0
        self._first_ns = 0
        self._last_ns = 0
        self._rules: dict[str, int] = {}

    def add(self, alert: Alert) -> None:
        """Count an alert."""
        if not self.n_alerts:
            self._first_ns = alert.ts_ns
        self.n_alerts += 1
        self._last_ns = alert.ts_ns
        rule = alert.rule if alert.rule in self._rules or len(self._rules) < MAX_RULES else "others"
        self._rules[rule] = self._rules.get(rule, 0) + 1

    def record(self) -> MoreRecord:
        """Return what is told of them."""
        rules = sorted(self._rules.items(), key=lambda item: -item[1])
        return MoreRecord(
            since=format_time(self._first_ns),
            time=format_time(self._last_ns),
            seconds=int(self.seconds) if float(self.seconds).is_integer() else self.seconds,
            alerts=self.n_alerts,
            rules={clean_text(rule): n_alerts for rule, n_alerts in rules},
        )


class Limiter:
    """Lets `rate` alerts through in a window of `rate_ns`, which begins with an alert; 0: all of them."""

    def __init__(self, rate: int, rate_ns: int) -> None:
        self._rate = rate
        self._window_s = rate_ns / NS_PER_S
        self._end_s = 0.0
        self._n_passed = 0
        self.more = More(self._window_s)

    @property
    def due_s(self) -> float | None:
        """When `take_more` has something to give; None: nothing waits."""
        return self._end_s if self.more.n_alerts else None

    def passes(self, alert: Alert, now_s: float) -> bool:
        """Tell whether an alert is to be told; if not, count it."""
        if now_s >= self._end_s and not self.more.n_alerts:
            self._end_s = now_s + self._window_s
            self._n_passed = 0
        if not self._rate or self._n_passed < self._rate:
            self._n_passed += 1
            return True
        self.more.add(alert)
        return False

    def take_more(self, now_s: float, *, at_once: bool) -> More | None:
        """Return what was counted in a window that is over, or at once."""
        if not self.more.n_alerts or (now_s < self._end_s and not at_once):
            return None
        more, self.more = self.more, More(self._window_s)
        self._n_passed = 0
        self._end_s = 0.0
        return more
