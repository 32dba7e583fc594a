"""Interfaces that are waited for: not there yet, gone and back, renamed, made anew."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from fastmon.capture import open_live
from fastmon.capture.live import attend
from fastmon.errors import AbsentInterfaceError

from .capturing import read
from .command import Command
from .network import CAPTURED, SENDING, ip, make_pair
from .traffic import Sender, Sending, conversations, totals_of_record

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Start = Callable[..., Command]

BACK = f"{CAPTURED}: the interface is back, after "
GONE = "fastmon waits until it is back"
OTHER = "fm-rx2"


@pytest.fixture
def waiting(namespace: object, tmp_path: Path) -> Iterator[Start]:
    """Return what starts `fastmon live --wait` on `CAPTURED` and on others, which need not be there."""
    del namespace
    runs: list[Command] = []

    def started(*options: str, **keywords: Any) -> Command:
        command = Command(
            tmp_path, "live", CAPTURED, "--wait", "--format", "jsonl", "-i", "0", "--limit", "0", *options, **keywords
        )
        runs.append(command)
        command.begin()
        return command

    yield started
    for run in runs:
        run.kill()


def send(n_frames: int, interface: str = SENDING) -> Sending:
    sending, sender = conversations(n_frames), Sender(interface)
    sender.send(sending)
    sender.close()
    return sending


def lines(run: Command, text: str) -> int:
    return sum(text in line for line in run.errors.splitlines())


def away(record: dict[str, Any]) -> dict[str, float]:
    return {source["source"]: source["away_seconds"] for source in record["sources"]}


@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.parametrize("workers", ["1", "2"])
def test_interface_that_goes_and_returns(waiting: Start, workers: str, engine: str) -> None:
    """Three times. What came before, between and after is counted; how long it was away is told."""
    make_pair(SENDING, CAPTURED)
    run, whole = waiting("--workers", workers, "--engine", engine), Sending()
    whole.extend(send(600))
    began_s = time.monotonic()
    for times in (1, 2, 3):
        ip("link", "delete", CAPTURED)
        run.wait_until(lambda: lines(run, GONE) == times, "the line")  # noqa: B023 - it is called at once
        make_pair(SENDING, CAPTURED)
        run.wait_until(lambda: lines(run, BACK) == times, "its return")  # noqa: B023
        whole.extend(send(300 * times))
    took_s = time.monotonic() - began_s
    run.wait_for_frames(2400)
    result = run.end(signal.SIGINT)
    summary = result.records[-1]
    assert (result.status, summary["type"]) == (0, "summary")
    assert totals_of_record(summary) == whole.totals()
    assert summary["dropped"]["kernel"] == 0
    assert [source["frames"] for source in summary["sources"]] == [2400]
    assert 0 < away(summary)[CAPTURED] < min(took_s, summary["duration_seconds"])
    assert sum(away(record)[CAPTURED] for record in run.snapshots) <= away(summary)[CAPTURED]


def test_others_go_on(waiting: Start) -> None:
    make_pair(SENDING, CAPTURED)
    make_pair("fm-tx2", OTHER)
    run, whole = waiting(OTHER), Sending()
    whole.extend(send(100))
    ip("link", "delete", CAPTURED)
    run.wait_until(lambda: lines(run, GONE), "the line")
    whole.extend(send(500, "fm-tx2"))
    run.wait_for_frames(600)
    make_pair(SENDING, CAPTURED)
    run.wait_until(lambda: lines(run, BACK), "its return")
    whole.extend(send(200))
    run.wait_for_frames(800)
    summary = run.end(signal.SIGINT).records[-1]
    assert totals_of_record(summary) == whole.totals()
    assert away(summary)[CAPTURED] > 0 == away(summary)[OTHER]
    assert {source["source"]: source["frames"] for source in summary["sources"]} == {CAPTURED: 300, OTHER: 500}


@pytest.mark.parametrize("options", [(), ("--workers", "2")], ids=["alone", "two workers"])
def test_interface_that_is_not_there_yet(waiting: Start, options: tuple[str, ...]) -> None:
    run = waiting(*options)
    run.wait_until(lambda: f"'{CAPTURED}': no such interface; there are " in run.errors, "the line")
    ip("link", "add", SENDING, "type", "veth", "peer", "name", CAPTURED)  # it is down
    ip("link", "set", SENDING, "up")
    ip("link", "set", CAPTURED, "up")
    run.wait_until(lambda: f"{CAPTURED}: the interface is there, after " in run.errors, "its coming")
    sent = send(300)
    run.wait_for_frames(300)
    result = run.end(signal.SIGINT)
    assert (result.status, totals_of_record(result.records[-1])) == (0, sent.totals())
    assert len(result.errors.splitlines()) == 2


def test_what_keeps_an_interface_away_is_told_once(waiting: Start, tmp_path: Path) -> None:
    """It is tried again all the same."""
    run = waiting("--handle", "pypcap")  # which would take the file for the interface
    in_the_way = tmp_path / CAPTURED
    in_the_way.touch()
    make_pair(SENDING, CAPTURED)
    run.wait_until(lambda: "is in the way here" in run.errors, "the line")
    time.sleep(1.5)
    in_the_way.unlink()
    run.wait_until(lambda: "the interface is there" in run.errors, "its coming")
    sent = send(50)
    run.wait_for_frames(50)
    result = run.end(signal.SIGINT)
    assert (result.status, totals_of_record(result.records[-1])) == (0, sent.totals())
    assert len(result.errors.splitlines()) == 3


def test_run_may_end_before_its_interface_comes(waiting: Start) -> None:
    run = waiting("-i", "200ms")
    run.wait_until(lambda: len(run.snapshots) > 2, "snapshots")
    result = run.end(signal.SIGINT)
    summary = result.records[-1]
    assert (result.status, summary["type"], summary["frames"]) == (0, "summary", 0)
    assert away(summary)[CAPTURED] > summary["duration_seconds"] - 0.1  # it is looked at last


@pytest.mark.usefixtures("namespace")
def test_service_always_waits(tmp_path: Path) -> None:
    run = Command(tmp_path, "live", CAPTURED, "--format", "jsonl", env={"STATE_DIRECTORY": str(tmp_path), "PATH": "/usr/sbin"})
    try:
        run.wait_until(lambda: "fastmon waits for it" in run.errors, "the line")
    finally:
        run.kill()


@pytest.mark.parametrize("options", [("--wait",), (), ("--wait", "--workers", "2")])
def test_interface_that_is_renamed_is_followed(sender: Sender, command: Start, options: tuple[str, ...]) -> None:
    """It has to be down for that; libpcap thinks that it has gone."""
    run, whole = command(*options), Sending()
    whole.extend(send(100))
    for name, new_name in ((CAPTURED, "fm-new"), ("fm-new", "fm-newer"), ("fm-newer", CAPTURED)):
        ip("link", "set", name, "down")
        ip("link", "set", name, "name", new_name)
        ip("link", "set", new_name, "up")
        text = f"{CAPTURED}: the interface is called {new_name} now; capture goes on"
        run.wait_until(lambda: text in run.errors, "the line")  # noqa: B023 - it is called at once
        whole.extend(send(200))
    run.wait_for_frames(700)
    result = run.end(signal.SIGINT)
    assert (result.status, totals_of_record(result.records[-1])) == (0, whole.totals())
    del sender


def test_interface_that_gets_the_name_of_a_renamed_one_takes_its_place(waiting: Start) -> None:
    make_pair(SENDING, CAPTURED)
    run, whole = waiting(), Sending()
    whole.extend(send(100))
    ip("link", "set", CAPTURED, "down")
    ip("link", "set", CAPTURED, "name", "fm-old")
    make_pair("fm-tx2", CAPTURED)
    run.wait_until(lambda: BACK in run.errors, "the new one")
    whole.extend(send(200, "fm-tx2"))
    run.wait_for_frames(300)
    result = run.end(signal.SIGINT)
    assert (result.status, totals_of_record(result.records[-1])) == (0, whole.totals())
    assert f"{CAPTURED}: this is another interface now" in result.errors


def test_interface_that_goes_down_and_is_deleted_then(waiting: Start) -> None:
    make_pair(SENDING, CAPTURED)
    run, whole = waiting(), Sending()
    whole.extend(send(100))
    ip("link", "set", CAPTURED, "down")
    run.wait_until(lambda: "went down" in run.errors, "the warning")
    ip("link", "delete", CAPTURED)
    run.wait_until(lambda: GONE in run.errors, "the line")
    make_pair(SENDING, CAPTURED)
    run.wait_until(lambda: BACK in run.errors, "its return")
    whole.extend(send(200))
    run.wait_for_frames(300)
    assert totals_of_record(run.end(signal.SIGINT).records[-1]) == whole.totals()


def test_addresses_may_change(waiting: Start) -> None:
    make_pair(SENDING, CAPTURED)
    ip("address", "add", "198.51.100.1/24", "dev", CAPTURED)
    run, whole = waiting(), Sending()
    whole.extend(send(100))
    ip("address", "flush", "dev", CAPTURED)
    ip("address", "add", "203.0.113.1/24", "dev", CAPTURED)
    whole.extend(send(100))
    run.wait_for_frames(200)
    assert totals_of_record(run.end(signal.SIGINT).summary) == whole.totals()


@pytest.mark.usefixtures("namespace")
def test_library_opens_again_what_waits() -> None:
    with pytest.raises(AbsentInterfaceError, match="no such interface"):
        open_live(CAPTURED)
    with open_live(CAPTURED, wait=True) as capture:
        assert capture.is_away
        assert not capture.wait(0)
        with pytest.raises(AbsentInterfaceError, match=f"^{CAPTURED}: the interface is not there"):
            capture.read(1)
        make_pair(SENDING, CAPTURED)
        attend([capture])
        assert not capture.is_away
        send(10)
        assert len(read(capture, 10)) == 10
        capture.leave()
        assert (capture.is_away, capture.n_frames) == (True, 10)
        attend([capture])
        send(5)
        assert len(read(capture, 5)) == 5
        assert capture.n_frames == 15
        assert capture.dropped().kernel == 0
