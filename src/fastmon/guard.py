"""The rules of a run, with what they remember and whom they tell: made at its start, and made anew at a reload.

What it does not do: say when rules are evaluated (`run` does), evaluate them (`policy`), deliver (`alerts`), write (`state`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fastmon.alerts.dispatcher import Dispatcher
from fastmon.alerts.outbox import MemoryOutbox
from fastmon.policy.learning import Learner
from fastmon.policy.limits import LimitRule
from fastmon.policy.ruleset import RuleSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from typing_extensions import Self

    from fastmon.model.alerts import Alert
    from fastmon.model.memory import Memory
    from fastmon.model.names import NameBook
    from fastmon.policy.contents import Policy
    from fastmon.policy.rules import Rule, View
    from fastmon.run.subscriber import Problem
    from fastmon.state.keeper import Keeper

__all__ = ["Guard", "Lesson"]


class Guard:
    """Gives a run its rules, and takes their alerts to the state and to the actions that they name.

    policy: what the configuration sets.  read_policy: reads it again, for a reload, and raises ConfigError; None: there is none.
    limit_scope: whose totals have the limit of the command line, "local" or "all".
    state: the path of what is kept between runs; None: nothing is.
    apps: applications' names, by their numbers.  report: takes what befalls the state and the actions; called in any thread.

    Use it as a context manager: at the end it writes what is new, and gives the actions some seconds.

    Raises ConfigError if an action cannot be made, StateError if the state is another run's, a newer version's or a stranger's.
    """

    def __init__(
        self,
        policy: Policy,
        read_policy: Callable[[], Policy] | None,
        *,
        limit_scope: str,
        state: str | None,
        apps: Mapping[int, str],
        report: Callable[[Problem], None],
    ) -> None:
        self._policy = policy
        self._read_policy = read_policy
        self._limit_scope = limit_scope
        self._apps = apps
        self._rules: RuleSet | None = None
        self._memory: Memory | None = None
        self._keeper = None if state is None else self._open_state(state, report)
        outbox = MemoryOutbox() if self._keeper is None else self._keeper.outbox
        try:
            self._dispatcher = Dispatcher(policy.actions, outbox, report)
        except BaseException:
            self._close_state()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def wants_contacts(self) -> bool:
        """Whether rules look at contacts, or may do so after a reload."""
        return self._read_policy is not None or self._keeper is not None

    def close(self) -> None:
        """Write what is new, and let the actions deliver for some seconds."""
        self._dispatcher.close()
        self._keep((), is_last=True)
        self._close_state()

    def load(self, names: NameBook | None) -> Sequence[Rule]:
        """Return the run's rules. The next call reads the configuration again. names: the book of hosts' names.

        Raises ConfigError, and changes nothing, if the configuration is wrong.
        """
        if self._rules is None:
            self._rules = self._make(self._policy, names, restored=self._memory)
            self._memory = None
        else:
            policy = self._policy if self._read_policy is None else self._read_policy()
            self._dispatcher.set_actions(policy.actions)
            self._rules = self._make(policy, names, previous=self._rules)
        wants_ticks = self._keeper is not None or self._rules.has_rules
        return [_Guarded(self, [LimitRule(self._limit_scope, names), self._rules], wants_ticks=wants_ticks)]

    def _make(self, policy: Policy, names: NameBook | None, **past: Memory | RuleSet | None) -> RuleSet:
        return RuleSet(policy.rules, groups=policy.groups, apps=self._apps, names=names, **past)  # type: ignore[arg-type]

    def silenced(self, alerts: Iterable[Alert], now_ns: int) -> list[Alert]:
        """Return alerts, with those marked of which nobody is to be told."""
        silences = () if self._keeper is None else self._keeper.silences()
        return [
            replace(alert, is_silenced=True) if any(silence.covers(alert, now_ns) for silence in silences) else alert
            for alert in alerts
        ]

    def take(self, alerts: Sequence[Alert]) -> None:
        """Take alerts to the state and to the actions. It waits for nothing."""
        self._keep(alerts)
        for alert in alerts:
            self._dispatcher.send(alert)

    def _keep(self, alerts: Sequence[Alert], *, is_last: bool = False) -> None:
        if self._keeper is not None and self._rules is not None:
            self._keeper.put(self._rules.take_changes(is_last=is_last), alerts)

    def keep_if_due(self) -> None:
        """Put what is new into the state if a checkpoint is due."""
        if self._keeper is not None and self._keeper.is_due:
            self._keep(())

    def _open_state(self, path: str, report: Callable[[Problem], None]) -> Keeper:
        from fastmon.state.keeper import Keeper
        from fastmon.state.store import Store

        store = Store.open(path)
        try:
            self._memory = store.load()
            return Keeper(store, report)
        except BaseException:
            store.close()
            raise

    def _close_state(self) -> None:
        if self._keeper is not None:
            self._keeper.close()


class Lesson:
    """Gives a run the rule that learns what devices do. Use it in place of a guard."""

    wants_contacts = True

    def __init__(self, apps: Mapping[int, str]) -> None:
        self._apps = apps
        self._learner: Learner | None = None

    def load(self, names: NameBook | None) -> Sequence[Rule]:
        """Return the rule; a reload goes on with the same."""
        if self._learner is None:
            self._learner = Learner(self._apps, names)
        return [self._learner]

    def close(self) -> None:
        """Do nothing: `to_toml` is asked afterwards."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def to_toml(self) -> str:
        """Return rules for what was learnt."""
        return "" if self._learner is None else self._learner.to_toml()


class _Guarded:
    """Rules whose alerts go to the guard, too."""

    def __init__(self, guard: Guard, rules: Sequence[Rule], *, wants_ticks: bool) -> None:
        self._guard = guard
        self._rules = rules
        self.wants_ticks = wants_ticks

    def evaluate(self, view: View, now_ns: int) -> Iterable[Alert]:
        """Return the alerts of all rules."""
        alerts = self._guard.silenced((alert for rule in self._rules for alert in rule.evaluate(view, now_ns)), now_ns)
        if alerts:
            self._guard.take(alerts)
        else:
            self._guard.keep_if_due()
        return alerts
