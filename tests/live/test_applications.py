"""Applications, names and conversations of an interface."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

import pytest
from classify import cases

from .traffic import Sending, conversations, totals_of_record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .command import Command
    from .traffic import Sender

    Start = Callable[..., Command]


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("interval", ["0", "100ms"])
def test_conversations_of_an_interface(sender: Sender, command: Start, tmp_path: Path, workers: str, interval: str) -> None:
    """The budget has no limit, for a machine that is busy."""
    out = tmp_path / "out.jsonl"
    run = command("--workers", workers, "-i", interval, "--conversations", str(out), "--classify-budget", "100", "--limit", "0")
    sending = conversations(1_000)
    for number in range(20):
        query = cases.dns_query(f"www{number}.example.org")
        sending.ip_frame(f"10.0.1.{number}", "192.0.2.250", port=5300, data=query)
    sent = sender.send(sending)
    summary = run.end(signal.SIGINT).summary
    assert totals_of_record(summary) == sent
    records = [json.loads(line) for line in out.read_text().splitlines()]
    counts = summary["conversations"]
    assert len(records) == counts["opened"] == sum(counts["ended"].values())
    assert counts["running"] == 0
    assert sum(record["bytes_ab"] + record["bytes_ba"] for record in records) == summary["ip"]["bytes"]
    assert sum(app["bytes"] for app in summary["apps"].values()) == summary["ip"]["bytes"]
    if not counts["unclassified_for_budget"]:
        named = {record["name"] for record in records if record["app"] == "dns" and record["by"] == "payload"}
        assert named == {f"www{number}.example.org" for number in range(20)}


def test_budget_of_nothing_lets_every_payload_pass_by(sender: Sender, command: Start) -> None:
    run = command("--classify-budget", "0", "--limit", "0")
    sent = sender.send(Sending().ip_frame("10.0.0.1", "192.0.2.1", port=53, data=cases.dns_query("example.org")), 10)
    summary = run.end(signal.SIGINT).summary
    assert totals_of_record(summary) == sent
    assert summary["apps"] == {"dns": {"frames": 10, "bytes": summary["bytes"]}}
    assert summary["conversations"]["unclassified_for_budget"] == 10
