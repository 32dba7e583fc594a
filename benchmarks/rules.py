#!/usr/bin/env python3
"""Measures rules: rules.py [--hosts N ...] [--rules N] [--json].

A tick of rules on many hosts is compared, by processor time, with copying the rows of their totals, which is what a tick costs
without rules, and the memory of the rules' state is counted. The rules compete in two families, of kinds `total` and `rate`; the
hosts are those of a busy gateway: in each second a share of them moves something, and one of a thousand has much more than its
rule allows. The last tick comes after a tenth of the hosts were evicted, so that rows have moved.
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
from fastmon.model.rows import HOST_DTYPE
from fastmon.model.snapshot import Snapshot
from fastmon.policy.rules import View
from fastmon.policy.ruleset import RuleSet
from fastmon.policy.specs import RateSpec, TotalSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from fastmon.policy.specs import AnySpec

S = 1_000_000_000
T0 = 1_767_225_600 * S
NETWORK_BITS = 10 << 24


class Gateway:
    """Hosts of 10.0.0.0/8 and others, and their counters. busy: the share of hosts that move something in a second."""

    def __init__(self, n_hosts: int, busy: float) -> None:
        self._random = np.random.default_rng(1)
        self._n_busy = max(int(n_hosts * busy), 1)
        self.rows = np.zeros(n_hosts, HOST_DTYPE)
        low = (0xFFFF << 32 | NETWORK_BITS) + np.arange(n_hosts, dtype=np.uint64)
        self.rows["key"][:, 8:] = low.astype(">u8").view(np.uint8).reshape(-1, 8)
        self.rows["first_seen_ns"] = T0
        self.local = np.ones(n_hosts, np.bool_)
        self.macs = np.arange(n_hosts, dtype=np.uint64) + 0x02_00_00_00_00_00

    def move(self, now_ns: int) -> None:
        """Let a second pass."""
        busy = self._random.integers(0, len(self.rows), self._n_busy)
        self.rows["bytes_in"][busy] += self._random.integers(64, 1_000_000, self._n_busy).astype(np.uint64)
        self.rows["packets_in"][busy] += np.uint64(1)
        self.rows["last_seen_ns"][busy] = now_ns - 1
        self.rows["bytes_in"][::1000] += np.uint64(10_000_000)

    def evict(self) -> None:
        """Let every tenth host lose its row."""
        is_kept = np.arange(len(self.rows)) % 10 != 1
        self.rows, self.local, self.macs = self.rows[is_kept], self.local[is_kept], self.macs[is_kept]

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


def make_specs(n_rules: int) -> list[AnySpec]:
    """Return rules in two families: half on addresses, half on networks, one on all hosts."""
    specs: list[AnySpec] = [
        TotalSpec(kind="total", name="all", scope="all", per="month", limit_bytes=200_000_000, warn_at=(80, 90, 100)),
        RateSpec(kind="rate", name="all-rate", scope="all", limit=6_000_000, clear=4_000_000, for_ns=3 * S, clear_for_ns=5 * S),
    ]
    for number in range(n_rules - len(specs)):
        address = f"10.{number % 16}.{number // 16 % 256}"
        scope = f"{address}.7" if number % 4 < 2 else f"{address}.0/24"
        if number % 2:
            specs.append(TotalSpec(kind="total", name=f"t{number}", scope=scope, per="month", limit_bytes=100_000_000 + number))
        else:
            specs.append(RateSpec(kind="rate", name=f"r{number}", scope=scope, limit=5_000_000 + number, clear=4_000_000))
    return specs


def run_ticks(gateway: Gateway, rules: RuleSet, n_ticks: int, *, evicts: bool) -> Iterator[dict[str, float]]:
    """Yield, for each tick, the seconds that a copy of the rows took and those that the rules took, and the number of alerts."""
    for tick in range(1, n_ticks + 1):
        now_ns = T0 + tick * S
        if evicts and tick == n_ticks:
            gateway.evict()
        gateway.move(now_ns)
        copy_s = time_copy(gateway.rows)
        totals = gateway.totals(now_ns)
        view = View(copy_totals=lambda totals=totals: totals)  # type: ignore[misc]
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


def measure(n_hosts: int, n_rules: int, n_ticks: int, busy: float) -> dict[str, Any]:
    """Return the figures of one number of hosts."""
    gateway = Gateway(n_hosts, busy)
    tracemalloc.start()
    gateway.totals(T0)
    before, _ = tracemalloc.get_traced_memory()
    rules = RuleSet(make_specs(n_rules), groups={}, apps={})
    made, _ = tracemalloc.get_traced_memory()
    list(run_ticks(gateway, rules, n_ticks - 1, evicts=False))
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    timed = RuleSet(make_specs(n_rules), groups={}, apps={})  # tracing memory costs time
    first, *ticks, evicted = run_ticks(Gateway(n_hosts, busy), timed, n_ticks, evicts=True)
    copy_s = statistics.median(tick["copy_s"] for tick in ticks)
    tick_s = [tick["tick_s"] for tick in ticks]
    return {
        "hosts": n_hosts,
        "rules": n_rules,
        "copy_ms": copy_s * 1e3,
        "tick_ms": statistics.median(tick_s) * 1e3,
        "worst_tick_ms": max(tick_s) * 1e3,
        "ratio": statistics.median(tick_s) / copy_s,
        "worst_ratio": max(tick_s) / copy_s,
        "first_tick_ms": first["tick_s"] * 1e3,
        "tick_after_eviction_ms": evicted["tick_s"] * 1e3,
        "ratio_after_eviction": evicted["tick_s"] / evicted["copy_s"],
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
    parser.add_argument("--ticks", type=int, default=31)
    parser.add_argument("--busy", type=float, default=0.02, help="share of hosts that move something in a second")
    parser.add_argument("--json", action="store_true", help="one line for each number of hosts on stdout")
    options = parser.parse_args(arguments)
    for n_hosts in options.hosts:
        figures = measure(n_hosts, options.rules, options.ticks, options.busy)
        if options.json:
            print(json.dumps(figures), flush=True)
        for name, value in figures.items():
            print(f"  {name:22} {value:14,.2f}", file=sys.stderr)
        print(file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
