"""What is worth an alert."""

from __future__ import annotations

import pytest
from fakes import T0, FakeFrame, snapshot_of

from fastmon.model.addresses import key_from_text
from fastmon.model.snapshot import Interval, LimitCrossing, Snapshot
from fastmon.policy.limits import LimitRule
from fastmon.policy.rules import Alert, View


@pytest.mark.parametrize(("host", "local"), [("2001:db8::1", False), ("10.0.0.7", True)])
def test_limit_crossing_becomes_an_alert(host: str, local: bool) -> None:
    crossing = LimitCrossing(key_from_text(host), 1_700_000_000_000_000_001, 1001, 1000, local)
    (alert,) = LimitRule().evaluate(View([crossing]), 0)
    assert alert == Alert("limit", host, 1_700_000_000_000_000_001, 1001, 1000, local)


def test_view_has_totals_at_ticks_only_and_copies_them_once() -> None:
    copies: list[Snapshot] = []

    def copy() -> Snapshot:
        copies.append(snapshot_of([FakeFrame(T0)], Interval(T0, T0 + 1)))
        return copies[-1]

    assert View().totals is None
    view = View(copy_totals=copy)
    assert copies == []
    assert view.totals is view.totals is copies[0]
    assert len(copies) == 1
