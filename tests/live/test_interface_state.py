"""Interfaces that go down, come back and go away while they are captured from."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from waiting import wait_until

from fastmon.accounting import make_accountant
from fastmon.capture import open_live
from fastmon.errors import CaptureError

from .capturing import drain
from .command import run as run_command
from .network import CAPTURED, SENDING, ip, make_pair
from .traffic import Sending, conversations, totals_of_record

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from .command import Command
    from .traffic import Sender

    Start = Callable[..., Command]

WENT_DOWN = f"{CAPTURED}: the interface went down; capture goes on when it is up again"


def delete() -> None:
    ip("link", "delete", CAPTURED)


def take_down_and_delete() -> None:
    ip("link", "set", CAPTURED, "down")
    ip("link", "delete", CAPTURED)


def test_capture_goes_on_when_the_interface_is_up_again(sender: Sender, command: Start) -> None:
    run, whole = command(), Sending()
    whole.extend(conversations(600), conversations(300))
    sender.send(conversations(600))
    run.wait_for_frames(600)
    ip("link", "set", CAPTURED, "down")
    run.wait_until(lambda: WENT_DOWN in run.errors, "the warning")
    ip("link", "set", CAPTURED, "up")
    sender.send(conversations(300))
    run.wait_for_frames(900)
    result = run.end(signal.SIGINT)
    assert (result.status, result.errors) == (0, f"fastmon: {WENT_DOWN}\n")
    assert totals_of_record(result.records[-1]) == whole.totals()


@pytest.mark.usefixtures("sender")
def test_interface_that_goes_down_twice_is_warned_of_twice() -> None:
    with open_live(CAPTURED) as capture:

        def n_warnings() -> int:
            if capture.wait(0.1):
                assert capture.read(1) == []
            return len(capture.warnings)

        ip("link", "set", CAPTURED, "down")
        wait_until(lambda: n_warnings() == 1, "the warning")
        ip("link", "set", CAPTURED, "up")
        ip("link", "set", CAPTURED, "down")
        wait_until(lambda: n_warnings() == 2, "the second warning")
        assert capture.warnings == [WENT_DOWN] * 2


@pytest.mark.parametrize("go_away", [delete, take_down_and_delete])
@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["alone", "two workers"])
def test_interface_that_goes_away_ends_the_run(
    sender: Sender, command: Start, go_away: Callable[[], None], options: tuple[str, ...]
) -> None:
    """With one line, and with all in the summary that came before."""
    run = command(*options)
    sent = sender.send(conversations(600))
    go_away()
    result = run.end()
    assert result.status == 1
    assert totals_of_record(result.records[-1]) == sent
    assert result.records[-1]["type"] == "summary"
    *warnings, last = dict.fromkeys(result.errors.splitlines())  # each worker may say it
    assert last.startswith(f"fastmon: {CAPTURED}: ")
    assert "disappeared" in last
    assert set(warnings) <= {f"fastmon: {WENT_DOWN}"}


def test_interface_that_goes_away_long_after_it_went_down(sender: Sender, command: Start) -> None:
    run = command()
    sent = sender.send(conversations(600))
    run.wait_for_frames(600)
    ip("link", "set", CAPTURED, "down")
    run.wait_until(lambda: WENT_DOWN in run.errors, "the warning")
    delete()
    result = run.end()
    assert result.status == 1
    assert "disappeared" in result.errors.splitlines()[-1]
    assert totals_of_record(result.records[-1]) == sent


def test_library_says_what_went_away_and_keeps_what_was_read(sender: Sender) -> None:
    accountant = make_accountant()
    with open_live(CAPTURED) as capture:
        sender.send(conversations(100))
        assert drain(accountant, capture, 100) == 100
        delete()
        with pytest.raises(CaptureError, match=f"^{CAPTURED}: .*disappeared"):
            wait_until(lambda: capture.wait(0.1) and accountant.drain(capture, 100), "the end")
        assert capture.dropped().kernel == 0
    assert accountant.last_ts_ns is not None


def test_other_end_that_goes_down_is_silence(sender: Sender, command: Start) -> None:
    run = command()
    sent = sender.send(conversations(100))
    ip("link", "set", SENDING, "down")
    assert totals_of_record(run.end(signal.SIGINT).summary) == sent


@pytest.mark.usefixtures("sender")
def test_interface_that_is_down_cannot_be_opened(tmp_path: Path) -> None:
    ip("link", "set", CAPTURED, "down")
    result = run_command(tmp_path, "live", CAPTURED)
    assert (result.status, result.output) == (1, "")
    (line,) = result.errors.splitlines()
    assert line.startswith(f"fastmon: {CAPTURED}: ")
    assert f"ip link set dev {CAPTURED} up" in line


@pytest.mark.usefixtures("namespace")
def test_any_goes_on_when_an_interface_goes_away(sender: Sender, command: Start) -> None:
    make_pair("fm-one", "fm-two")
    run = command("--direction", "in", interface="any")
    sending = conversations(100)
    sending.extra = 2
    sender.send(sending)
    ip("link", "delete", "fm-one")
    sender.send(sending)
    run.wait_for_frames(200)
    assert run.end(signal.SIGINT).summary["frames"] == 200
