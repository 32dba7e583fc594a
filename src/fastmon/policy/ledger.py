"""The ledger: totals of running periods, as they are kept for the next start and as they come back from the last run.

What it does not do: count, or write to a disk.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fastmon.errors import ConfigError
from fastmon.model.alerts import NETWORK
from fastmon.model.memory import PeriodTotal
from fastmon.model.units import NS_PER_S
from fastmon.policy.devices import device_text, parse_device, parse_mac_id
from fastmon.policy.key_index import GONE, match_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from fastmon.model.memory import Changes, Memory
    from fastmon.policy.specs import TotalSpec

__all__ = ["MAX_KEPT", "Entries", "Kept", "Ledger"]

MAX_KEPT = 1 << 14
"""Hosts whose totals are kept at once; if more have moved something, the others' are kept the next time."""

_LATE_NS = 10 * NS_PER_S
"""A frame may be older than the newest by so much."""


class Kept(NamedTuple):
    """What an earlier run kept of a subject for a rule. told_percent: the greatest level told, 0 if the limit is another now."""

    rule: int
    start_ns: int
    n_bytes: int
    told_percent: int


class Entries(NamedTuple):
    """Totals that may be kept next: arrays, one value for each subject. rules: indices."""

    keys: NDArray[np.uint8]
    rules: NDArray[np.signedinteger]
    totals: NDArray[np.int64]
    told: NDArray[np.uint8]


class Ledger:
    """Totals of the rules of one family, on hosts, on devices or on the network."""

    def __init__(self, specs: Sequence[TotalSpec], *, is_network: bool = False, are_devices: bool = False) -> None:
        self._specs = specs
        self._is_network = is_network
        self._are_devices = are_devices
        self._restored: dict[bytes, list[Kept]] = {}
        self._words = np.empty((0, 2), np.uint64)
        self._entries: Entries | None = None
        self._first: list[PeriodTotal] = []  # kept before the entries
        self._active_since_ns = -(1 << 62)
        self._now_ns = 0
        self._next_row = 0
        self._follows = 0

    def restore(self, memory: Memory) -> None:
        """Read what an earlier run kept."""
        restored = []
        for row in memory.periods:
            if (row.subject == NETWORK) == self._is_network:
                with suppress(ConfigError):
                    key = bytes(16) if self._is_network else parse_device(row.subject)
                    kept = Kept(GONE, row.period_start_ns, row.bytes, row.told_percent)
                    if bool(parse_mac_id(key)) == self._are_devices:
                        restored.append((key, row.rule, row.limit_bytes, kept))
        self._read(restored)

    def adopt(self, old: Ledger) -> None:
        """Take over what `old` has read, as if it were read now."""
        specs = old._specs
        each_of = ((key, each) for key, kept in old._restored.items() for each in kept)
        self._read((key, specs[each.rule].name, specs[each.rule].limit_bytes, each) for key, each in each_of)

    def _read(self, rows: Iterable[tuple[bytes, str, int, Kept]]) -> None:
        """Note what was kept of rules that are still there. rows: a key, the name and limit of a rule, and what it was."""
        indices = {spec.name: index for index, spec in enumerate(self._specs)}
        restored: dict[bytes, list[Kept]] = {}
        for key, name, limit_bytes, kept in rows:
            rule = indices.get(name)
            if rule is not None:
                told = kept.told_percent if limit_bytes == self._specs[rule].limit_bytes else 0
                restored.setdefault(key, []).append(kept._replace(rule=rule, told_percent=told))
        self._set_restored(restored)

    def forget(self, is_running: Callable[[Kept], bool]) -> None:
        """Forget what was kept of periods that are over."""
        if self._restored:
            self._set_restored({key: [each for each in kept if is_running(each)] for key, kept in self._restored.items()})

    def _set_restored(self, restored: dict[bytes, list[Kept]]) -> None:
        self._restored = {key: kept for key, kept in restored.items() if kept}
        self._words = np.frombuffer(b"".join(self._restored), np.uint64).reshape(-1, 2)

    @property
    def has_restored(self) -> bool:
        """Whether `find` may find anything."""
        return bool(self._restored)

    def find(self, words: NDArray[np.uint64]) -> list[tuple[int, list[Kept]]]:
        """Return the index in `words` of each key of which something was kept, and what that is. words: as of `as_words`."""
        at = match_words(words, self._words)
        return [(index, self._restored[words[index].tobytes()]) for index in np.flatnonzero(at != GONE).tolist()]

    def close(self, keys: NDArray[np.uint8], names: Sequence[str]) -> None:
        """Keep nothing any more of some keys, for a rule, by its name ("" for none), and for those that an earlier run had."""
        closed = dict(zip(map(bytes, keys), names, strict=True))
        for key, name in closed.items():
            kept_for = (self._specs[kept.rule].name for kept in self._restored.pop(key, ()))
            names_of_key = filter(None, dict.fromkeys((name, *kept_for)))
            self._first += [PeriodTotal(each, device_text(key), 0, 0, 0, 0, is_closed=True) for each in names_of_key]
        self._set_restored(self._restored)

    def select(self, rules: NDArray[np.signedinteger], last_seen_ns: NDArray[np.int64], now_ns: int) -> NDArray[np.intp]:
        """Return the rows that should be noted: those with a rule that moved something since totals were taken last."""
        self._now_ns = now_ns
        rows = np.flatnonzero((last_seen_ns >= self._active_since_ns) & (rules >= 0))
        if len(rows) <= MAX_KEPT:
            self._follows = 0
            return rows
        rows = np.concatenate([rows[rows >= self._next_row], rows[rows < self._next_row]])[:MAX_KEPT]
        self._follows = int(rows[-1]) + 1
        return np.sort(rows)

    def note(self, entries: Entries) -> None:
        """Note the totals of what `select` returned, in place of those noted before."""
        self._entries = entries

    def note_urgent(self, entries: Entries, period_of: Callable[[int], tuple[int, int]]) -> None:
        """Note totals that must be kept the next time. period_of: when the running period of a rule begins and ends."""
        self._first += self._rows(entries, period_of)

    def take(self, changes: Changes, period_of: Callable[[int], tuple[int, int]]) -> None:
        """Add what was noted. period_of: when the running period of a rule begins and ends."""
        changes.periods += self._first
        self._first = []
        if self._entries is None:
            return
        changes.periods += self._rows(self._entries, period_of)
        self._entries = None
        self._next_row = self._follows
        if not self._follows:
            self._active_since_ns = self._now_ns - _LATE_NS

    def _rows(self, entries: Entries, period_of: Callable[[int], tuple[int, int]]) -> Iterator[PeriodTotal]:
        for key, rule, total, n_told in zip(*entries, strict=True):
            spec = self._specs[rule]
            subject = NETWORK if self._is_network else device_text(key.tobytes())
            told = spec.warn_at[n_told - 1] if n_told else 0
            yield PeriodTotal(spec.name, subject, *period_of(int(rule)), int(total), spec.limit_bytes, told)
