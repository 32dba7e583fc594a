"""The limit of the command line, and what a rule sees."""

from __future__ import annotations

import pytest
from fakes import T0, FakeFrame, snapshot_of

from fastmon.model.addresses import key_from_text
from fastmon.model.alerts import alert_id
from fastmon.model.counters import Interval
from fastmon.model.names import NameBook, NameFact
from fastmon.model.snapshot import LimitCrossing, Snapshot
from fastmon.policy.limits import LimitRule
from fastmon.policy.rules import View

TIME_NS = 1_700_000_000_000_000_001


def crossing(host: str, *, local: bool) -> LimitCrossing:
    return LimitCrossing(key_from_text(host), TIME_NS, 1001, 1000, local)


def test_crossing_becomes_an_alert_with_the_frames_time() -> None:
    names = NameBook()
    names.record([NameFact(key_from_text("10.0.0.7"), "camera", "dhcp")], TIME_NS)
    (alert,) = LimitRule(names=names).evaluate(View([crossing("10.0.0.7", local=True)]), 0)
    assert (alert.kind, alert.rule, alert.scope, alert.host, alert.name) == ("total", "limit", "local", "10.0.0.7", "camera")
    assert (alert.ts_ns, alert.since_ns, alert.local) == (TIME_NS, TIME_NS, True)
    assert (alert.value, alert.limit, alert.unit) == (1001, 1000, "bytes")
    assert alert.id == alert_id("limit", "10.0.0.7", TIME_NS)
    assert alert.reason == "10.0.0.7 (camera) moved 1,001 bytes since the start (limit 1,000)"


@pytest.mark.parametrize(("scope", "hosts"), [("local", ["10.0.0.7"]), ("all", ["2001:db8::1", "10.0.0.7"])])
def test_scope_says_whether_remote_hosts_are_told(scope: str, hosts: list[str]) -> None:
    crossings = [crossing("2001:db8::1", local=False), crossing("10.0.0.7", local=True)]
    assert [alert.host for alert in LimitRule(scope).evaluate(View(crossings), 0)] == hosts


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
