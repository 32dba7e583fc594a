"""Rules on the totals of a real accountant, whose full table evicts remote hosts and moves rows."""

from __future__ import annotations

from random import Random

import builders as b
import pytest

from fastmon.accounting import Accountant, make_accountant
from fastmon.model.alerts import FIRING, Alert
from fastmon.model.counters import Interval
from fastmon.model.frames import Frame
from fastmon.policy.rules import View
from fastmon.policy.specs import RateSpec, TotalSpec
from policy.worlds import T0, S, rule_set

LIMIT = 20_000
LOCAL = [f"10.0.0.{number}" for number in range(1, 5)]
REMOTE = [f"203.0.113.{number}" for number in range(1, 60)]


def view_of(accountant: Accountant, now_ns: int) -> View:
    return View(copy_totals=lambda: accountant.totals(Interval(T0, now_ns)))


@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.parametrize("seed", range(3))
def test_local_hosts_are_told_exactly_while_remote_rows_come_and_go(engine: str, seed: int) -> None:
    random = Random(seed)
    accountant = make_accountant(engine, max_hosts=16, local_networks=["10.0.0.0/8"], seed=seed)
    rules = rule_set(
        TotalSpec(kind="total", name="local", per="day", limit_bytes=LIMIT, warn_at=(50, 100)),
        TotalSpec(kind="total", name="all", scope="all", limit_bytes=10**9),
        RateSpec(kind="rate", name="rate", scope="all", limit=10**9, clear=10**9),
    )
    moved = dict.fromkeys(LOCAL, 0)
    told: dict[str, list[tuple[int, float]]] = {host: [] for host in LOCAL}
    alerts: list[Alert] = []
    for second in range(60):
        for _ in range(random.randrange(12)):
            ours, theirs, size = random.choice(LOCAL), random.choice(REMOTE), random.randrange(100, 1500)
            source, destination = random.sample([ours, theirs], 2)
            data = b.ethernet(b.IPV4, b.ipv4(source, destination))
            accountant.account(Frame(T0 + second * S + 1, size, 1, data))
            moved[ours] += size
        now_ns = T0 + (second + 1) * S
        for host in LOCAL:
            passed = sum(moved[host] * 100 >= LIMIT * percent for percent in (50, 100))
            if passed > len(told[host]):
                told[host] += [(now_ns, moved[host])] * (passed - len(told[host]))
        alerts += rules.evaluate(view_of(accountant, now_ns), now_ns)
        if random.random() < 0.2:
            accountant.rotate(Interval(T0, now_ns))
    assert any(told.values())
    expected = {(host, ts_ns, value) for host in LOCAL for ts_ns, value in told[host]}
    assert {(alert.host, alert.ts_ns, alert.value) for alert in alerts} == expected
    assert {(alert.rule, alert.state) for alert in alerts} == {("local", FIRING)}
