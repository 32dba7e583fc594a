"""What is worth an alert."""

from __future__ import annotations

from fakes import T0, key

from fastmon.addresses import key_from_text, parse_network
from fastmon.policy import Alert, limit_alerts
from fastmon.snapshot import LimitCrossing


def test_limit_crossings_become_alerts_in_their_order() -> None:
    crossings = [
        LimitCrossing(key_from_text("2001:db8::1"), T0 + 1, 1001, 1000),
        LimitCrossing(key(7), T0, 5000, 1000),
    ]
    assert limit_alerts(crossings, [parse_network("10.0.0.0/8")]) == [
        Alert("limit", "2001:db8::1", T0 + 1, 1001, 1000, local=False),
        Alert("limit", "10.0.0.7", T0, 5000, 1000, local=True),
    ]


def test_nothing_crossed_is_no_alert() -> None:
    assert limit_alerts([], [parse_network("10.0.0.0/8")]) == []
