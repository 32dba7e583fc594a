"""What is lost is counted: sent = accounted + dropped, at any load."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

import pytest

from fastmon.capture import open_live
from fastmon.model.snapshot import Dropped

from .capturing import account, drain
from .network import CAPTURED
from .traffic import Sending, conversations, totals_of_record

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastmon.accounting import Accountant

    from .command import Command
    from .traffic import Sender

SMALLEST_BUFFER = 1 << 16
MILLION = 1_000_000


def assert_all_accounted(record: dict[str, Any], n_sent: int) -> None:
    """Check that each of the frames sent is accounted or dropped.

    The backlog's losses are the whole machine's: others' may be among them.
    """
    dropped = Dropped(**record["dropped"])
    missing = n_sent - record["frames"] - dropped.kernel
    assert 0 <= missing <= dropped.interface + dropped.backlog


def test_burst_larger_than_the_buffer(sender: Sender, accountant: Callable[[], Accountant]) -> None:
    with open_live(CAPTURED, buffer_bytes=SMALLEST_BUFFER) as capture:
        sender.send(conversations(2_000), 5)
        n_accounted = drain(accountant(), capture, 10_000)
        dropped = capture.dropped()
    assert dropped.kernel > 0
    assert n_accounted + dropped.kernel == 10_000
    assert capture.dropped() == dropped


def test_loss_goes_on_counting(sender: Sender, accountant: Callable[[], Accountant]) -> None:
    target, n_accounted = accountant(), 0
    with open_live(CAPTURED, buffer_bytes=SMALLEST_BUFFER) as capture:
        for n_bursts in (1, 2, 3):
            sender.send(conversations(2_000))
            n_accounted += drain(target, capture, 2_000 * n_bursts - n_accounted)
            assert n_accounted + capture.dropped().kernel == 2_000 * n_bursts


def test_ring_holds_what_the_snaplen_leaves_of_frames(sender: Sender, accountant: Callable[[], Accountant]) -> None:
    """The kernel cuts them, with no filter too: whole, these frames would need more than twice the room."""
    sending = Sending()
    for _ in range(1_000):
        sending.ip_frame("10.0.0.1", "192.0.2.1", 1514)
    with open_live(CAPTURED, buffer_bytes=6 << 20, snaplen=64) as capture:
        sent = sender.send(sending, 10)
        assert account(accountant(), capture, 10_000) == sent
        assert capture.dropped().kernel == 0


def test_burst_while_the_command_is_stopped(sender: Sender, command: Callable[..., Command]) -> None:
    run = command("--buffer", "64KiB")
    with run.stopped():
        sender.send(conversations(2_000), 5)
    run.wait_for_frames(10_000)
    result = run.end(signal.SIGINT)
    assert result.summary["dropped"]["kernel"] > 0
    assert_all_accounted(result.summary, 10_000)
    lost = [Dropped(**record["dropped"]) for record in result.records if record["type"] == "snapshot"]
    assert sum(lost, Dropped()) == Dropped(**result.summary["dropped"])


def test_loss_is_shown_in_the_table(sender: Sender, command: Callable[..., Command]) -> None:
    run = command("--buffer", "64KiB", "--format", "table")
    with run.stopped():
        sender.send(conversations(2_000), 5)
    result = run.end(signal.SIGINT)
    assert (result.status, result.errors) == (0, "")
    (line,) = (line for line in result.output.splitlines() if line.startswith("LOST frames: "))
    assert int(line.split()[2].replace(",", "")) > 0


@pytest.mark.parametrize(
    "options",
    [(), ("--buffer", "1MiB"), ("--workers", "2"), ("--engine", "reference", "--buffer", "1MiB")],
    ids=["default", "small buffer", "two workers", "reference"],
)
def test_a_million_frames_at_full_speed(sender: Sender, command: Callable[..., Command], options: tuple[str, ...]) -> None:
    run = command("--snaplen", "96", *options)
    sending = Sending()
    for number in range(1_000):
        sending.ip_frame(f"10.0.{number >> 8}.{number & 255}", "192.0.2.1", 60 + number % 1000)
    sent = sender.send(sending, MILLION // 1_000)
    run.wait_for_frames(MILLION)
    summary = run.end(signal.SIGINT).summary
    assert_all_accounted(summary, MILLION)
    if summary["frames"] == MILLION:
        assert totals_of_record(summary) == sent
