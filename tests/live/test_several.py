"""Several interfaces at once: each frame counts on each of them, and each interface's share is told."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

import builders as b
import pytest

from fastmon.capture import open_live
from fastmon.library import watch
from fastmon.run.control import Control

from .command import run as run_command
from .network import CAPTURED, SENDING, ip, make_bridge, make_pair
from .traffic import Sender, Sending, conversations, totals_of, totals_of_record
from .tunnel import open_tunnel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fastmon.model.frames import Frame

    from .command import Command

    Start = Callable[..., Command]

OTHER_SENDING, OTHER = "fm-tx2", "fm-rx2"
ENGINES = ["native", "reference"]


@pytest.fixture
def other(sender: Sender) -> Iterator[Sender]:
    """Make a second pair of interfaces; return what sends into it."""
    del sender
    make_pair(OTHER_SENDING, OTHER)
    other = Sender(OTHER_SENDING)
    yield other
    other.close()


def shares(record: dict[str, Any]) -> dict[str, int]:
    return {source["source"]: source["frames"] for source in record["sources"]}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("workers", ["1", "2"])
def test_totals_are_the_sums(sender: Sender, other: Sender, command: Start, workers: str, engine: str) -> None:
    run, whole = command(OTHER, "--workers", workers, "--engine", engine), Sending()
    whole.extend(conversations(3000), conversations(1000))
    sender.send(conversations(3000))
    other.send(conversations(1000))
    run.wait_for_frames(4000)
    summary = run.end(signal.SIGINT).summary
    assert totals_of_record(summary) == whole.totals()
    assert summary["source"] == f"{CAPTURED}, {OTHER}"
    assert shares(summary) == {CAPTURED: 3000, OTHER: 1000}
    assert [source["dropped"] for source in summary["sources"]] == [{"kernel": 0, "interface": 0}] * 2


def test_shares_of_the_intervals_add_up(sender: Sender, other: Sender, command: Start) -> None:
    run = command(OTHER, "-i", "500ms")
    for _ in range(3):
        sender.send(conversations(300))
        other.send(conversations(100))
        run.wait_for_frames(0)
    run.wait_for_frames(1200)
    *snapshots, summary = run.end(signal.SIGINT).records
    for name, n_frames in ((CAPTURED, 900), (OTHER, 300)):
        assert sum(shares(snapshot)[name] for snapshot in snapshots) == shares(summary)[name] == n_frames
    assert summary["frames"] == 1200


def test_frame_that_takes_both_counts_on_each(sender: Sender, command: Start) -> None:
    """On a port of a bridge and on the bridge; its conversation is one, whatever the number of workers."""
    make_bridge("fm-br", CAPTURED)
    run = command("fm-br", "--workers", "2")
    sent = sender.send(conversations(600))
    run.wait_for_frames(1200)
    summary = run.end(signal.SIGINT).summary
    assert totals_of_record(summary) == conversations(600).totals(2)
    assert sent.frames.frames == 600
    assert shares(summary) == {CAPTURED: 600, "fm-br": 600}


def test_both_directions_of_a_conversation_may_take_different_interfaces(sender: Sender, other: Sender, command: Start) -> None:
    run = command(OTHER, "--workers", "2")
    sender.send(Sending().ip_frame("10.0.0.1", "192.0.2.1"))
    other.send(Sending().ip_frame("192.0.2.1", "10.0.0.1"))
    run.wait_for_frames(2)
    assert run.end(signal.SIGINT).summary["frames"] == 2


def test_link_types_may_differ(sender: Sender, command: Start) -> None:
    """An Ethernet interface, and a tunnel without link headers."""
    with open_tunnel("fm-tun") as tunnel:
        run = command("fm-tun")
        sender.send(conversations(100))
        tunnel.write(b.ipv4("10.99.0.1", "192.0.2.1", bytes(1000)))
        run.wait_for_frames(101)
        summary = run.end(signal.SIGINT).summary
    assert summary["bytes"] == conversations(100).totals().frames.bytes + 1020
    assert shares(summary) == {CAPTURED: 100, "fm-tun": 1}


def test_each_interface_brings_its_own_networks(sender: Sender, other: Sender, command: Start) -> None:
    ip("address", "add", "198.51.100.1/25", "dev", CAPTURED)
    ip("address", "add", "203.0.113.1/24", "dev", OTHER)
    run = command(OTHER)
    sender.send(Sending().ip_frame("198.51.100.9", "198.51.100.200"))
    other.send(Sending().ip_frame("203.0.113.9", "192.168.7.7"))
    run.wait_for_frames(2)
    rows = run.end(signal.SIGINT).summary["hosts"]
    found = {row["host"]: row["local"] for row in rows}
    assert found == {"198.51.100.9": True, "198.51.100.200": False, "203.0.113.9": True, "192.168.7.7": False}


@pytest.mark.usefixtures("other")
def test_loss_is_told_by_interface(sender: Sender, command: Start) -> None:
    run = command(OTHER, "--buffer", "100kB", "--snaplen", "65535")
    with run.stopped():
        sender.send(conversations(5000))
    run.wait_for_frames(5000)
    summary = run.end(signal.SIGINT).summary
    lost = {source["source"]: source["dropped"]["kernel"] for source in summary["sources"]}
    assert lost[CAPTURED] == summary["dropped"]["kernel"] == 5000 - summary["frames"] > 0
    assert lost[OTHER] == 0


def test_one_that_goes_away_ends_alone(sender: Sender, other: Sender, command: Start) -> None:
    """And the run ends with the last."""
    run = command(OTHER)
    sender.send(conversations(600))
    ip("link", "delete", CAPTURED)
    run.wait_until(lambda: "disappeared" in run.errors, "the line")
    other.send(conversations(300))
    run.wait_for_frames(900)
    ip("link", "delete", OTHER)
    result = run.end()
    whole = Sending()
    whole.extend(conversations(600), conversations(300))
    assert totals_of_record(result.records[-1]) == whole.totals()
    assert (result.status, result.records[-1]["type"]) == (1, "summary")
    told = [line for line in result.errors.splitlines() if "disappeared" in line]
    assert [line.split(":")[1].strip() for line in told] == [CAPTURED, OTHER]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        ((CAPTURED, CAPTURED), 2, f"interface '{CAPTURED}' is named more than once"),
        ((CAPTURED, "fm-none"), 1, "'fm-none': no such interface"),
        (("any", "--exclude", "any"), 2, "an interface is needed to leave out, not 'any'"),
        (("any", "--exclude", ""), 2, "an interface is needed to leave out, not ''"),
        ((CAPTURED, "--exclude", "lo"), 2, "--exclude leaves interfaces out of 'any', which is not captured from"),
    ],
)
@pytest.mark.usefixtures("sender")
def test_wrong_interfaces_are_one_line(tmp_path: Path, arguments: tuple[str, ...], status: int, message: str) -> None:
    result = run_command(tmp_path, "live", *arguments)
    assert (result.status, result.output) == (status, "")
    (line,) = result.errors.splitlines()
    assert message in line


def test_library_watches_several(sender: Sender, other: Sender) -> None:
    control = Control()
    with open_live(CAPTURED) as one, open_live(OTHER) as two:

        def send() -> None:
            sender.send(conversations(200))
            other.send(conversations(100))

        threading.Timer(0.3, send).start()
        for snapshot in watch(one, two, interval=0.2, control=control):
            control.stop |= one.n_frames + two.n_frames >= 300
            if snapshot.is_summary:
                whole = Sending()
                whole.extend(conversations(200), conversations(100))
                assert totals_of(snapshot) == whole.totals()
                assert [(source.name, source.frames) for source in snapshot.sources] == [(CAPTURED, 200), (OTHER, 100)]


# All interfaces but some.


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("filter", [None, "not arp"])
def test_any_without_some(sender: Sender, other: Sender, command: Start, filter: str | None, workers: str) -> None:
    make_pair("fm-tx3", "fm-rx3")
    options = ["--exclude", CAPTURED, "--exclude", "fm-rx3", "--direction", "in", "--workers", workers]
    run = command(*options, *(["-f", filter] if filter else []), interface="any")
    sender.send(conversations(300))
    third = Sender("fm-tx3")
    third.send(conversations(200))
    third.close()
    sending = conversations(100, Sending(extra=2))
    other.send(sending)
    expected = sending.totals()
    n_frames = expected.ip.frames if filter else expected.frames.frames
    run.wait_for_frames(n_frames)
    summary = run.end(signal.SIGINT).summary
    assert summary["frames"] == n_frames
    assert totals_of_record(summary).hosts == expected.hosts


def test_excluded_interface_may_come_later_and_be_made_anew(sender: Sender, command: Start) -> None:
    run = command("--exclude", "fm-new", "--direction", "in", interface="any")
    line = "fm-new: no such interface; its frames are left out once it is there"
    run.wait_until(lambda: line in run.errors, "the line")
    n_sent = 0
    for _ in range(2):
        make_pair("fm-far", "fm-new")
        threading.Event().wait(1.2)  # it is looked for twice a second
        late = Sender("fm-far")
        late.send(conversations(50))
        late.close()
        ip("link", "delete", "fm-far")
        sender.send(conversations(100))
        n_sent += 100
        run.wait_for_frames(n_sent)
    result = run.end(signal.SIGINT)
    assert (result.status, result.records[-1]["frames"]) == (0, n_sent)


def test_excluded_interfaces_are_left_out_of_the_library(sender: Sender, other: Sender) -> None:
    with open_live("any", exclude=[CAPTURED, SENDING, OTHER_SENDING]) as capture:
        sender.send(conversations(100))
        other.send(conversations(30))
        frames: list[Frame] = []
        while len(frames) < 30:
            if capture.wait(5):
                frames += capture.read(1000)
        assert not capture.wait(0.3)
        assert len(frames) == 30
