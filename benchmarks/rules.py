#!/usr/bin/env python3
"""Measures rules: rules.py [--hosts N ...] [--rules N] [--kinds KIND ...] [--json].

A tick of rules on many hosts is compared, by processor time, with copying the rows of their totals, which is what a tick costs
without rules, and the memory of the rules' state is counted. First the rules are of kinds `total` and `rate`, and compete in two
families; then of the mix of kinds that an operator might use; then of each other kind alone. Half of the rules are on addresses,
half on networks, one is on all hosts. The hosts are those of a busy gateway, all local: in each second a share of them moves
something and opens a conversation, one of a thousand has much more than its rule allows, one of a thousand conversations is of a
service that no rule allows, and ten hosts get another Ethernet address. The last tick comes after a tenth of the hosts were
evicted, so that rows have moved.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import sys
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import numpy as np

from fastmon.model.counters import Counters, Interval
from fastmon.model.memory import Memory
from fastmon.model.rows import HOST_DTYPE
from fastmon.model.services import CONTACT_DTYPE, FANOUT_DTYPE, OPENING_DTYPE
from fastmon.model.snapshot import Snapshot
from fastmon.policy.rules import View
from fastmon.policy.ruleset import RuleSet
from fastmon.policy.specs import (
    BaselineSpec,
    DuplicateSpec,
    FailedSpec,
    NewSpec,
    PortRange,
    PortsSpec,
    RateSpec,
    SilentSpec,
    SpreadSpec,
    TotalSpec,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from fastmon.policy.specs import AnySpec

S = 1_000_000_000
T0 = 1_767_225_600 * S
NETWORK_BITS = 10 << 24
WINDOW_TICKS = 60
N_CHANGED = 10
TCP, HTTPS, ODD_PORT = 6, 443, 4444

ALLOWED = (PortRange(TCP, HTTPS, HTTPS), PortRange(17, 53, 53))

KINDS: dict[str, Callable[[str, str, int], AnySpec]] = {
    "total": lambda name, scope, number: TotalSpec(
        kind="total", name=name, scope=scope, per="month", limit_bytes=100_000_000 + number, warn_at=(80, 90, 100)
    ),
    "device-total": lambda name, scope, number: TotalSpec(
        kind="total", name=name, scope=scope, by="mac", per="month", limit_bytes=100_000_000 + number, warn_at=(80, 90, 100)
    ),
    "rate": lambda name, scope, number: RateSpec(
        kind="rate", name=name, scope=scope, limit=5_000_000 + number, clear=4_000_000, for_ns=3 * S, clear_for_ns=5 * S
    ),
    "ports": lambda name, scope, _: PortsSpec(kind="ports", name=name, scope=scope, allow=ALLOWED),
    "spread": lambda name, scope, _: SpreadSpec(kind="spread", name=name, scope=scope, peers=1000),
    "failed": lambda name, scope, _: FailedSpec(kind="failed", name=name, scope=scope, limit=1000),
    "new": lambda name, scope, _: NewSpec(kind="new", name=name, scope=scope, learn_ns=5 * S),
    "silent": lambda name, scope, number: SilentSpec(
        kind="silent", name=name, scope=scope, for_ns=(20 if "/" not in scope and number else 3600) * S
    ),
    "baseline": lambda name, scope, _: BaselineSpec(kind="baseline", name=name, scope=scope, window_ns=10 * S),
    "duplicate": lambda name, scope, _: DuplicateSpec(kind="duplicate", name=name, scope=scope),
}
"""How a rule of each kind is made of its name, scope and number; one of kind `total` also by MAC."""

VOLUME = ("total", "rate")
MIX = ("rate", "total", "ports", "silent", "total", "rate", "ports", "spread", "failed", "baseline", "new", "duplicate")


class Gateway:
    """Hosts of 10.0.0.0/8, and their counters. busy: the share of hosts that move something in a second."""

    def __init__(self, n_hosts: int, busy: float) -> None:
        self._random = np.random.default_rng(1)
        self._n_busy = max(int(n_hosts * busy), 1)
        self.rows = np.zeros(n_hosts, HOST_DTYPE)
        low = (0xFFFF << 32 | NETWORK_BITS) + np.arange(n_hosts, dtype=np.uint64)
        self.rows["key"][:, 8:] = low.astype(">u8").view(np.uint8).reshape(-1, 8)
        self.rows["first_seen_ns"] = T0
        self.local = np.ones(n_hosts, np.bool_)
        self.macs = np.arange(n_hosts, dtype=np.uint64) + 0x02_00_00_00_00_00
        self._opened_at = np.full(n_hosts, -WINDOW_TICKS)
        self._opened, self._failed = np.zeros(n_hosts, np.uint64), np.zeros(n_hosts, np.uint64)
        self._busy = np.empty(0, np.intp)
        self._now_ns = T0

    def move(self, now_ns: int) -> None:
        """Let a second pass."""
        self._now_ns = now_ns
        self._busy = busy = self._random.integers(0, len(self.rows), self._n_busy)
        self.rows["bytes_in"][busy] += self._random.integers(64, 1_000_000, self._n_busy).astype(np.uint64)
        for name in ("packets_in", "packets_out"):
            self.rows[name][busy] += np.uint64(1)
        self.rows["last_seen_ns"][busy] = now_ns - 1
        self.rows["bytes_in"][::1000] += np.uint64(10_000_000)
        self._opened_at[busy] = now_ns // S
        self._opened[busy] += np.uint64(1)
        self._failed[busy[::10]] += np.uint64(1)
        changed = self._random.integers(0, len(self.rows), N_CHANGED)
        self.macs = self.macs.copy()
        self.macs[changed] = self._random.integers(1 << 40, 1 << 41, N_CHANGED).astype(np.uint64)

    def evict(self) -> None:
        """Let every tenth host lose its row."""
        is_kept = np.arange(len(self.rows)) % 10 != 1
        for name in ("rows", "local", "macs", "_opened_at", "_opened", "_failed"):
            setattr(self, name, getattr(self, name)[is_kept])

    def totals(self, now_ns: int) -> Snapshot:
        """Return the totals of a tick: a copy, as an accountant's are."""
        rows = self.rows.copy()
        return Snapshot(
            interval=Interval(T0, now_ns),
            counters=Counters(),
            hosts=rows,
            total_bytes_in=rows["bytes_in"],
            total_bytes_out=rows["bytes_out"],
            local=self.local,
            flagged=self.local,
            macs=self.macs,
            is_summary=True,
        )

    def view(self, now_ns: int) -> View:
        """Return what rules see at a tick: arrays that an accountant would have copied."""
        totals, contacts = self.totals(now_ns), self._contacts()
        fanout, openings = self._fanout(), self._openings()
        return View(
            copy_totals=lambda: totals,
            take_contacts=lambda: contacts,
            copy_fanout=lambda *_: fanout,
            copy_openings=lambda: openings,
        )

    def _contacts(self) -> NDArray[np.void]:
        contacts = np.zeros(len(self._busy), CONTACT_DTYPE)
        contacts["local"], contacts["peer"] = self.rows["key"][self._busy], self.rows["key"][self._busy[::-1]]
        contacts["first_ns"] = contacts["last_ns"] = self._now_ns - 1
        contacts["protocol"], contacts["port"], contacts["answered"] = TCP, HTTPS, 1
        contacts["port"][::1000] = ODD_PORT
        return contacts

    def _fanout(self) -> NDArray[np.void]:
        rows = np.flatnonzero(self._opened_at > self._now_ns // S - WINDOW_TICKS)
        fanout = np.zeros(len(rows), FANOUT_DTYPE)
        fanout["host"], fanout["peers"], fanout["ports"] = rows, 10, 2
        fanout["peers"][rows % 10_000 == 0] = 2000
        return fanout

    def _openings(self) -> NDArray[np.void]:
        rows = np.flatnonzero(self._opened)
        openings = np.zeros(len(rows), OPENING_DTYPE)
        openings["host"], openings["opened"], openings["failed"] = rows, self._opened[rows], self._failed[rows]
        return openings


def make_specs(n_rules: int, kinds: Sequence[str]) -> list[AnySpec]:
    """Return rules that take turns among kinds: the first of each on all hosts, the others on addresses and on networks."""
    specs: list[AnySpec] = [KINDS[kind](kind, "all", 0) for kind in dict.fromkeys(kinds)]
    for number in range(len(specs), n_rules):
        address = f"10.{number % 16}.{number // 16 % 256}"
        scope = f"{address}.7" if number // len(kinds) % 2 else f"{address}.0/24"
        kind = kinds[number % len(kinds)]
        specs.append(KINDS[kind](f"{kind}{number}", scope, number))
    return specs[:n_rules]


def run_ticks(gateway: Gateway, rules: RuleSet, n_ticks: int, *, evicts: bool) -> Iterator[dict[str, float]]:
    """Yield, for each tick, the seconds that a copy of the rows took and those that the rules took, and the number of alerts."""
    for tick in range(1, n_ticks + 1):
        now_ns = T0 + tick * S
        if evicts and tick == n_ticks:
            gateway.evict()
        gateway.move(now_ns)
        copy_s = time_copy(gateway.rows)
        view = gateway.view(now_ns)
        gc.collect()
        start = time.process_time()
        alerts = list(rules.evaluate(view, now_ns))
        yield {"copy_s": copy_s, "tick_s": time.process_time() - start, "alerts": len(alerts)}


def time_copy(rows: NDArray[np.void]) -> float:
    """Return how long a copy of the rows takes."""
    start = time.process_time()
    copied = rows.copy()
    seconds = time.process_time() - start
    del copied
    return seconds


def make_rules(n_rules: int, kinds: Sequence[str], *, keeps: bool) -> RuleSet:
    """Return a rule set."""
    return RuleSet(make_specs(n_rules, kinds), groups={}, apps={}, restored=Memory() if keeps else None)


def measure(n_hosts: int, kinds: Sequence[str], options: argparse.Namespace) -> dict[str, Any]:
    """Return the figures of one number of hosts."""
    n_rules, n_ticks, busy = options.rules, options.ticks, options.busy
    gateway = Gateway(n_hosts, busy)
    tracemalloc.start()
    gateway.totals(T0)
    before, _ = tracemalloc.get_traced_memory()
    rules = make_rules(n_rules, kinds, keeps=options.state)
    made, _ = tracemalloc.get_traced_memory()
    list(run_ticks(gateway, rules, n_ticks - 1, evicts=False))
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    timed = make_rules(n_rules, kinds, keeps=options.state)  # tracing memory costs time
    first, *ticks, evicted = run_ticks(Gateway(n_hosts, busy), timed, n_ticks, evicts=True)
    copy_s = statistics.median(tick["copy_s"] for tick in ticks)
    tick_s = [tick["tick_s"] for tick in ticks]
    return {
        "kinds": "+".join(dict.fromkeys(kinds)),
        "hosts": n_hosts,
        "rules": n_rules,
        "copy_ms": copy_s * 1e3,
        "tick_ms": statistics.median(tick_s) * 1e3,
        "worst_tick_ms": max(tick_s) * 1e3,
        "first_tick_ms": first["tick_s"] * 1e3,
        "tick_after_eviction_ms": evicted["tick_s"] * 1e3,
        "ratio": statistics.median(tick_s) / copy_s,
        "worst_ratio": max(tick_s) / copy_s,
        "first_ratio": first["tick_s"] / copy_s,
        "ratio_after_eviction": evicted["tick_s"] / copy_s,
        "state_bytes_a_host": rules.n_bytes() / n_hosts,
        "traced_bytes_a_host": (after - made) / n_hosts,
        "rules_bytes": made - before,
        "alerts": sum(int(tick["alerts"]) for tick in (first, *ticks, evicted)),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hosts", type=int, nargs="+", default=[10_000, 1_000_000])
    parser.add_argument("--rules", type=int, default=1000)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, help="only rules of these kinds, together")
    parser.add_argument("--ticks", type=int, default=31)
    parser.add_argument("--busy", type=float, default=0.02, help="share of hosts that move something in a second")
    parser.add_argument("--state", action="store_true", help="rules note what must survive a restart, as with --state of a run")
    parser.add_argument("--json", action="store_true", help="one line for each measurement on stdout")
    options = parser.parse_args(arguments)
    alone = [(kind,) for kind in KINDS if kind not in VOLUME]
    for kinds in [options.kinds] if options.kinds else [VOLUME, MIX, *alone]:
        for n_hosts in options.hosts:
            figures = measure(n_hosts, kinds, options)
            if options.json:
                print(json.dumps(figures), flush=True)
            for name, value in figures.items():
                print(f"  {name:22} {value if isinstance(value, str) else f'{value:14,.2f}'}", file=sys.stderr)
            print(file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
