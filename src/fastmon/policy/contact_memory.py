"""What rules about contacts know: what they have told, what they have learnt, and since when they learn.

What it does not do: judge contacts, or write alerts.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastmon.errors import ConfigError
from fastmon.model.alerts import NETWORK
from fastmon.model.memory import Told
from fastmon.policy.contact_keys import KEY_BYTES, LEARNT, ContactKeys, change_rules, split_keys, subject_text
from fastmon.policy.told import ToldTable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from fastmon.model.memory import Memory
    from fastmon.policy.contact_cases import Cases
    from fastmon.policy.rules import Context
    from fastmon.policy.specs import AppsSpec, PeersSpec, PortsSpec

__all__ = ["MAX_AT_ONCE", "MAX_PER_DAY", "ContactMemory", "News"]

MAX_AT_ONCE = 16
"""Things told of one device by one rule at a tick. The last one says how many more there were."""

MAX_PER_DAY = 256
"""Things told of one device by one rule in a day (UTC). A device that scans must not displace what is known of others."""

MAX_TOLD = 1 << 16
MAX_LEARNT = 1 << 17

_LEARNING = "learning"
"""The item of the time since when a rule learns, with the network as its subject."""

_SUBJECT_BYTES = 18
"""The first bytes of a key: rule and device."""

_HOUR_NS = 3_600_000_000_000
_DAY_NS = 24 * _HOUR_NS
_UNSET_NS = -(1 << 63)


class News(NamedTuple):
    """What is to be told.

    items: each case's, as text.  n_more: how many more of the device are not told.  is_last: nothing more of the device is
    told today.
    """

    cases: Cases
    items: list[str]
    n_more: list[int]
    is_last: list[bool]


class ContactMemory:
    """What the rules of one kind know.

    names_of: the names of (n, 16) keys of hosts; "" where there is none.
    """

    def __init__(
        self,
        kind: str,
        specs: Sequence[PortsSpec | AppsSpec | PeersSpec],
        context: Context,
        names_of: Callable[[NDArray[np.uint8]], Sequence[str]],
    ) -> None:
        self._learns_names = kind == "peers"
        self._rules = [spec.name for spec in specs]
        self._keys = ContactKeys(kind, context.apps)
        self._names_of = names_of
        self._keeps = context.keeps
        self._learn_ns = np.array([spec.learn_ns for spec in specs], np.int64)
        self._learning_since = np.full(len(specs), _UNSET_NS, np.int64)
        self._told = ToldTable(KEY_BYTES, MAX_TOLD)
        self._learnt = ToldTable(KEY_BYTES, MAX_LEARNT)
        self._n_today: dict[bytes, int] = {}
        self._day = 0
        self._changes: list[Told] = []

    def begin(self, now_ns: int) -> None:
        """Let rules learn from now on that have not begun to."""
        for rule in np.flatnonzero((self._learn_ns > 0) & (self._learning_since == _UNSET_NS)).tolist():
            self._learning_since[rule] = now_ns
            self._note(rule, NETWORK, _LEARNING, now_ns)
        if now_ns // _DAY_NS != self._day:
            self._day = now_ns // _DAY_NS
            self._n_today.clear()

    def find_foreign(self, cases: Cases, devices: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Return which cases are of things that were not learnt; learn those that come while their rule learns."""
        is_foreign = np.ones(len(cases), np.bool_)
        may_learn = np.flatnonzero(self._learn_ns[cases.rules] > 0)
        if not len(may_learn):
            return is_foreign
        since = self._learning_since[cases.rules[may_learn]]
        is_learning = cases.contacts["first_ns"][may_learn] - since < self._learn_ns[cases.rules[may_learn]]
        learning, rest = may_learn[is_learning], may_learn[~is_learning]
        self._learn(cases.select(learning), devices[learning])
        is_foreign[learning] = False
        keys = self._keys.learnt(cases.contacts[rest], cases.rules[rest], devices[rest])
        is_foreign[rest] = ~self._learnt.contain(keys)
        if self._learns_names:
            rest = rest[is_foreign[rest]]
            names = self._names_of(cases.contacts["peer"][rest])
            is_foreign[rest] = ~self._learnt.contain(self._name_keys(names, cases.select(rest), devices[rest]))
        return is_foreign

    def take_news(self, cases: Cases, devices: NDArray[np.uint8]) -> News:
        """Return the cases of things that were not told yet, by the time of their first frame, and note them as told."""
        keys = self._keys.told(cases.contacts, cases.rules, devices)
        at = self._told.find(keys)
        if len(cases):
            self._refresh(np.unique(at[at >= 0]), int(cases.ts_ns.max()))
        order = np.flatnonzero(at < 0)
        order = order[np.argsort(keys[order], kind="stable")]
        order = order[np.argsort(cases.contacts["first_ns"][order], kind="stable")]
        order = order[np.sort(np.unique(keys[order], return_index=True)[1])]
        subjects = _subjects(keys[order])
        before = np.fromiter(map(self._count_today, subjects.tolist()), np.int64, len(subjects))
        _, inverse, counts = np.unique(subjects, return_inverse=True, return_counts=True)
        ranks = _ranks(inverse)
        is_told = (ranks < MAX_AT_ONCE) & (before + ranks < MAX_PER_DAY)
        n_more = np.where(ranks == MAX_AT_ONCE - 1, counts[inverse] - MAX_AT_ONCE, 0)[is_told]
        is_last = (before + ranks == MAX_PER_DAY - 1)[is_told]
        order = order[is_told]
        for subject in subjects[is_told].tolist():
            self._n_today[subject] = self._n_today.get(subject, 0) + 1
        news = cases.select(order)
        self._told.add(keys[order], news.ts_ns)
        items = [self._keys.told_text(contact) for contact in news.contacts]
        for rule, device, item, ts_ns in zip(news.rules.tolist(), devices[order], items, news.ts_ns.tolist(), strict=True):
            self._note(rule, subject_text(device.tobytes()), item, ts_ns)
        return News(news, items, n_more.tolist(), is_last.tolist())

    def restore(self, memory: Memory) -> None:
        """Know again what an earlier run knew."""
        rules = {name: rule for rule, name in enumerate(self._rules)}
        found: tuple[dict[bytes, int], dict[bytes, int]] = ({}, {})
        for told in memory.told:
            rule = rules.get(told.rule)
            if rule is None:
                continue
            if told.item == _LEARNING:
                self._learning_since[rule] = told.ts_ns
                continue
            with suppress(ValueError, ConfigError):  # a text of another kind: the rule had this name when it was one
                item = self._keys.parse(rule, told.subject, told.item)
                found[item.is_learnt][item.key] = told.ts_ns
        for table, keys in zip((self._told, self._learnt), found, strict=True):
            table.add(np.array(list(keys), f"S{KEY_BYTES}"), np.array(list(keys.values()), np.int64))

    def adopt(self, old: ContactMemory, new_rules: NDArray[np.int64]) -> None:
        """Take over what `old` knows of rules that go on. new_rules: their indices, by the old ones; negative: none."""
        for mine, its in ((self._told, old._told), (self._learnt, old._learnt)):
            keys, have_rule = change_rules(its.keys, new_rules)
            mine.add(keys[have_rule], its.seen_ns[have_rule])
        go_on = np.flatnonzero(new_rules >= 0)
        self._learning_since[new_rules[go_on]] = old._learning_since[go_on]
        self._changes += old.take_changes()
        self._day = old._day

    def take_changes(self) -> list[Told]:
        """Return what must survive and has changed since the last call."""
        changes, self._changes = self._changes, []
        return changes

    def n_bytes(self) -> int:
        """Return how much memory its tables take."""
        return self._told.n_bytes() + self._learnt.n_bytes()

    def _learn(self, cases: Cases, devices: NDArray[np.uint8]) -> None:
        """Note things as learnt; of peers, also their names."""
        keys = self._keys.learnt(cases.contacts, cases.rules, devices)
        new = _first_of_each(keys, ~self._learnt.contain(keys))
        self._learnt.add(keys[new], cases.ts_ns[new])
        for index in new.tolist():
            self._note_learnt(cases, index, devices, self._keys.learnt_text(cases.contacts[index]))
        if self._learns_names and len(cases):
            names = self._names_of(cases.contacts["peer"])
            keys = self._name_keys(names, cases, devices)
            is_new = ~self._learnt.contain(keys) & np.array([bool(name) for name in names])
            new = _first_of_each(keys, is_new)
            self._learnt.add(keys[new], cases.ts_ns[new])
            for index in new.tolist():
                self._note_learnt(cases, index, devices, f"{LEARNT}name {names[index]}")

    def _name_keys(self, names: Sequence[str], cases: Cases, devices: NDArray[np.uint8]) -> NDArray[np.bytes_]:
        """Return the keys of peers that are learnt by name; equal ones where there is no name, which nothing has learnt."""
        cases_of = zip(names, cases.rules.tolist(), devices, strict=True)
        return np.array(
            [self._keys.learnt_name(name, rule, device.tobytes()) for name, rule, device in cases_of], f"S{KEY_BYTES}"
        )

    def _note_learnt(self, cases: Cases, index: int, devices: NDArray[np.uint8], item: str) -> None:
        self._note(int(cases.rules[index]), subject_text(devices[index].tobytes()), item, int(cases.ts_ns[index]))

    def _refresh(self, indices: NDArray[np.intp], now_ns: int) -> None:
        """Note that things that were told are seen again, at most once an hour: what is seen last is kept longest."""
        for index in indices[now_ns - self._told.seen_ns[indices] >= _HOUR_NS].tolist():
            self._told.seen_ns[index] = now_ns
            key = split_keys(self._told.keys[index : index + 1])[0]
            self._note(int(key["rule"]), subject_text(key["device"].tobytes()), self._keys.told_text(key), now_ns)

    def _count_today(self, subject: bytes) -> int:
        return self._n_today.get(subject, 0)

    def _note(self, rule: int, subject: str, item: str, ts_ns: int) -> None:
        if self._keeps:
            self._changes.append(Told(self._rules[rule], subject, item, ts_ns))


def _subjects(keys: NDArray[np.bytes_]) -> NDArray[np.bytes_]:
    """Return the rule and device of each key."""
    parts = np.ascontiguousarray(keys.view(np.uint8).reshape(-1, KEY_BYTES)[:, :_SUBJECT_BYTES])
    return parts.view(f"S{_SUBJECT_BYTES}").ravel()


def _ranks(groups: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return how many of the same group stand before each place."""
    order = np.argsort(groups, kind="stable")
    ranks = np.empty(len(groups), np.intp)
    ranks[order] = np.arange(len(groups)) - np.searchsorted(groups[order], groups[order])
    return ranks


def _first_of_each(keys: NDArray[np.bytes_], are_candidates: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return where each key of the candidates stands first."""
    places = np.flatnonzero(are_candidates)
    return places[np.sort(np.unique(keys[places], return_index=True)[1])]
