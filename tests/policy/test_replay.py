"""A scenario through whole replays: the same alerts with the packets' times from one file or seven, with one worker or two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import builders as b
import pytest

from fastmon.accounting import make_accountant
from fastmon.capture import open_offline
from fastmon.model.alerts import CLEARED, FIRING, Alert
from fastmon.model.frames import Frame
from fastmon.policy.ruleset import RuleSet
from fastmon.policy.specs import AnySpec, RateSpec, TotalSpec
from fastmon.run.plan import Plan, Team, Worker
from fastmon.run.replay import ReplayMonitor
from fastmon.run.subscriber import Subscriber
from policy.worlds import HOUR, MINUTE, T0, S, brief

LEAK, FLAP, BURST = "10.0.0.1", "10.0.0.2", "10.0.0.3"

SPECS: list[AnySpec] = [
    TotalSpec(kind="total", name="quota", scope=LEAK, per="hour", direction="out", limit_bytes=500_000, warn_at=(80, 100)),
    RateSpec(kind="rate", name="flap", scope=FLAP, limit=8_000, clear=4_000, window_ns=5 * S, for_ns=10 * S, clear_for_ns=30 * S),
    RateSpec(kind="rate", name="burst", scope=BURST, limit=80_000, clear=80_000, window_ns=5 * S),
]

EXPECTED = [
    ("flap", FLAP, FIRING, 2400 + 14),
    ("quota", LEAK, FIRING, 2400 + 800),
    ("quota", LEAK, FIRING, 2400 + 1000),
    ("flap", FLAP, CLEARED, 2400 + 1032),
    ("burst", BURST, FIRING, 2400 + 1098),
    ("burst", BURST, CLEARED, 2400 + 1103),
    ("quota", LEAK, CLEARED, 3600),
]


def frames() -> list[Frame]:
    """Return an hour's last third and a frame of the next hour: a slow leak, a rate that flaps, a burst."""
    start = T0 + HOUR - 20 * MINUTE
    sizes = {(LEAK, second): 500 for second in range(1005)}
    sizes |= {(FLAP, second): 1_300 if second < 30 or second % 10 < 5 else 700 for second in range(1000)}
    sizes |= {(BURST, 1097): 60_000, (LEAK, 20 * 60 + 1800): 100}
    return [
        Frame(start + second * S + 1000, size, 1, b.ethernet(b.IPV4, b.ipv4(host, "203.0.113.9")))
        for (host, second), size in sorted(sizes.items(), key=lambda item: item[0][1])
    ]


@pytest.fixture
def split(tmp_path: Path) -> Callable[[int], list[Path]]:
    """Return a function that writes the scenario into a number of files, one after the other."""
    return partial(b.write_pieces, tmp_path, frames())


class Alerts(Subscriber):
    def __init__(self) -> None:
        self.told: list[Alert] = []

    def alerts(self, alerts: Sequence[Alert]) -> None:
        self.told += alerts


def replay(paths: Sequence[Path], n_workers: int) -> list[Alert]:
    make = partial(make_accountant, local_networks=["10.0.0.0/8"], seed=0)
    workers = [Worker(make()) for _ in range(n_workers)]
    team = Team(workers, workers[0].accountant if n_workers == 1 else make())
    told = Alerts()
    plan = Plan("scenario", load_rules=lambda: [RuleSet(SPECS, groups={}, apps={})])
    ReplayMonitor(plan, [partial(open_offline, str(path)) for path in paths], team, told).run()
    return told.told


@pytest.mark.parametrize(("n_files", "n_workers"), [(1, 1), (7, 1), (2, 2), (7, 2)])
def test_scenario_gives_exactly_the_expected_alerts(split: Callable[[int], list[Path]], n_files: int, n_workers: int) -> None:
    alerts = replay(split(n_files), n_workers)
    assert brief(alerts) == EXPECTED
    assert alerts == replay(split(1), 1)
