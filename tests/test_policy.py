"""What is worth an alert."""

from __future__ import annotations

import pytest

from fastmon.model.addresses import key_from_text
from fastmon.model.snapshot import LimitCrossing
from fastmon.policy.limits import Alert, limit_alert


@pytest.mark.parametrize(("host", "local"), [("2001:db8::1", False), ("10.0.0.7", True)])
def test_limit_crossing_becomes_an_alert(host: str, local: bool) -> None:
    crossing = LimitCrossing(key_from_text(host), 1_700_000_000_000_000_001, 1001, 1000, local)
    assert limit_alert(crossing) == Alert("limit", host, 1_700_000_000_000_000_001, 1001, 1000, local)
