"""Every capture of the corpus as a run accounts it: what applications moved is all that hosts moved."""

from __future__ import annotations

from contextlib import suppress

import pytest
from conversation_tools import check

import fastmon

from .captures import CORPUS


@pytest.mark.parametrize("budget", [0, 20])
def test_applications_add_up_to_the_hosts(name: str, budget: int) -> None:
    snapshots: list[fastmon.Snapshot] = []
    with suppress(fastmon.CaptureError):
        snapshots.extend(fastmon.watch(CORPUS / name, interval="0", classify_budget=budget))
    for snapshot in snapshots:
        check(snapshot)
        received = sum(traffic.bytes_in for apps in snapshot.host_apps() for traffic in apps.values())
        assert received + snapshot.counters.overflow.bytes_in == snapshot.counters.ip.bytes
        assert sum(count.bytes for count in snapshot.network_apps().values()) == snapshot.counters.ip.bytes
        assert snapshot.conversations is not None
        assert snapshot.conversations.running == 0
