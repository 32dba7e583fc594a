"""Live, a drain stops by the frames' own times, too: the frame that it stops before is held, and comes first next time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from replays import GULP_FRAMES, finish
from waiting import wait_until

from fastmon.accounting import make_accountant
from fastmon.capture import open_live
from fastmon.model.frames import Frame
from fastmon.native.live_reader import LiveReader
from fastmon.native.pypcap_handle import PypcapHandle

from .capturing import account, drain
from .network import CAPTURED
from .traffic import Sender, Sending, conversations, totals_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastmon.accounting import Accountant
    from fastmon.capture import LiveCapture

    MakeAccountant = Callable[..., Accountant]

S = 1_000_000_000
ENOUGH = 1 << 16


def wait_for_frames(capture: LiveCapture, n_frames: int) -> None:
    """Wait until the kernel has handed out that many frames, by libpcap's count, and its last block."""
    assert capture._handle is not None
    source = capture._handle._source
    wait_until(lambda: source.statistics()[0] >= n_frames, f"{n_frames} frames")
    time.sleep(0.2)  # the kernel gathers frames for 50 ms


@pytest.mark.parametrize("max_conversations", [0, 1000])
@pytest.mark.parametrize("step_ns", [1, 1_000, 50_000, 2_000_000])
def test_no_frame_is_lost_or_doubled_at_any_boundary(
    sender: Sender, accountant: MakeAccountant, step_ns: int, max_conversations: int
) -> None:
    sending = conversations(300 if step_ns == 1 else 3_000)
    target, n_boundaries = accountant(max_conversations=max_conversations), 0
    with open_live(CAPTURED) as capture:
        sent = sender.send(sending)
        wait_for_frames(capture, len(sending.frames))
        until_ns = 0
        assert target.drain(capture, ENOUGH, until_ns) == 0
        while capture.next_ts_ns is not None:
            next_ns = capture.next_ts_ns
            assert until_ns <= next_ns
            assert target.drain(capture, ENOUGH, next_ns) == 0  # it is not before its own time
            until_ns = next_ns + step_ns
            assert target.drain(capture, ENOUGH, until_ns) > 0
            assert target.newest_ts_ns is not None
            assert next_ns <= target.newest_ts_ns < until_ns
            n_boundaries += 1
        assert n_boundaries > (1 if step_ns > 50_000 else 10)
        drain(target, capture, 0)
        assert totals_of(finish(target)) == sent


def test_frames_of_an_interval_are_those_of_its_time(sender: Sender, accountant: MakeAccountant) -> None:
    """However late it is drained."""
    target = accountant()
    early, late = Sending().ip_frame("10.0.0.1", "192.0.2.1", 100), Sending().ip_frame("10.0.0.2", "192.0.2.1", 200)
    with open_live(CAPTURED) as capture:
        sent = sender.send(early, 500)
        time.sleep(0.01)
        until_ns = time.time_ns()
        time.sleep(0.01)
        sender.send(late, 500)
        wait_for_frames(capture, 1000)
        assert target.drain(capture, ENOUGH, until_ns) == 500
        assert capture.next_ts_ns is not None
        assert capture.next_ts_ns >= until_ns
        assert capture.wait(0)  # the frame that is held need not be waited for
        assert target.drain(capture, ENOUGH, until_ns) == 0
        assert totals_of(finish(target)) == sent


def test_backward_step(sender: Sender, accountant: MakeAccountant) -> None:
    """The kernel's clock was set back, as far as the accountant knows."""
    target = accountant()
    with open_live(CAPTURED) as capture:
        sender.send(conversations(100))
        wait_for_frames(capture, 100)
        now_ns = time.time_ns()
        target.account(Frame(now_ns + 60 * S, 1, 1, b""))
        assert target.drain(capture, ENOUGH, None, 10 * S) == 0
        first_ns = capture.next_ts_ns
        assert first_ns is not None
        assert first_ns < now_ns
        assert target.drain(capture, ENOUGH, None, 10 * S) == 0
        target.begin_phase()
        assert target.drain(capture, ENOUGH, None, 10 * S) + target.drain(capture, ENOUGH, None, 10 * S) == 100
        assert capture.next_ts_ns is None
        assert target.newest_ts_ns is not None
        assert first_ns <= target.newest_ts_ns < now_ns


def test_numbers_of_frames_are_kept(sender: Sender, accountant: MakeAccountant) -> None:
    target = accountant()
    with open_live(CAPTURED) as capture:
        sent = sender.send(conversations(100))
        wait_for_frames(capture, 100)
        assert target.drain(capture, ENOUGH, 0) == 0
        assert [target.drain(capture, 7) for _ in range(3)] == [7, 7, 7]
        assert target.drain(capture, 0) == 0
        n_left = drain(target, capture, 79)
        assert n_left == 79
        assert totals_of(finish(target)) == sent


def test_read_and_drain_take_turns(sender: Sender, accountant: MakeAccountant) -> None:
    target = accountant()
    with open_live(CAPTURED) as capture:
        sender.send(conversations(100))
        wait_for_frames(capture, 100)
        first = capture.read(1, 1)
        assert first == []
        held_ns = capture.next_ts_ns
        assert held_ns is not None
        frames = capture.read(10)
        assert len(frames) == 10
        assert frames[0].ts_ns == held_ns
        assert capture.read(10, None, held_ns + 60 * S) == []
        assert target.drain(capture, 5) == 5
        assert len(capture.read(ENOUGH)) + len(capture.read(ENOUGH)) == 85
        assert capture.next_ts_ns is None
    times = [frame.ts_ns for frame in frames]
    assert times == sorted(times)


def test_what_is_held_has_its_payloads(sender: Sender) -> None:
    """Its bytes are copied: libpcap gives their memory back."""
    sending = Sending()
    for number in range(200):
        sending.ip_frame("10.0.0.1", f"192.0.2.{number}", data=b"payload %d" % number)
    target = make_accountant(max_conversations=1000)
    target.payload_allowance = 1000
    with open_live(CAPTURED, snaplen=1600) as capture:
        sender.send(sending)
        wait_for_frames(capture, 200)
        while capture.next_ts_ns is not None or target.drain(capture, ENOUGH, 0) == 0 < len(sending.frames):
            if capture.next_ts_ns is None:
                break
            target.drain(capture, 3, capture.next_ts_ns + 20_000)
    assert [payload.data for payload in target.take_payloads()] == [b"payload %d" % number for number in range(200)]


def test_pause_for_payloads(sender: Sender, accountant: MakeAccountant) -> None:
    """A live drain pauses where it is told to, like that of a file."""
    sending = Sending()
    for number in range(3000):
        sending.ip_frame(f"10.0.{number >> 8}.{number & 255}", "192.0.2.1", data=b"x")
    target = accountant(max_conversations=5000)
    target.payload_allowance, target.pauses = 10_000, True
    n_payloads = n_frames = 0
    with open_live(CAPTURED) as capture:
        sent = sender.send(sending)
        wait_for_frames(capture, 3000)
        while n_new := target.drain(capture, ENOUGH):
            n_frames += n_new
            payloads = target.take_payloads()
            assert len(payloads) <= 1024
            n_payloads += len(payloads)
        assert (n_frames, n_payloads) == (3000, 3000)
        assert totals_of(finish(target)) == sent


def test_capture_that_is_closed_with_frames_held(sender: Sender) -> None:
    target = make_accountant()
    with open_live(CAPTURED) as capture:
        sender.send(conversations(50))
        wait_for_frames(capture, 50)
        target.drain(capture, ENOUGH, 0)
        assert capture.next_ts_ns is not None
    assert capture.next_ts_ns is None


def test_reader_makes_its_handle_non_blocking(sender: Sender) -> None:
    """A handle in pypcap's default mode waits for the first frame, however long, and no signal ends that."""
    import pcap

    reader = LiveReader(PypcapHandle(pcap.pcap(CAPTURED, timeout_ms=50)), CAPTURED)
    assert reader.read(10) == []
    assert make_accountant().drain(reader, 10) == 0  # type: ignore[arg-type]
    sender.send(conversations(10))


def test_until_in_the_middle_of_a_flood(sender: Sender, accountant: MakeAccountant) -> None:
    """While frames come, in many blocks of the kernel's ring."""
    target, n_frames = accountant(), 0
    sending = conversations(2_000)
    with open_live(CAPTURED) as capture:
        for _ in range(20):
            sender.send(sending)
            until_ns = time.time_ns() - 500_000
            n_frames += target.drain(capture, GULP_FRAMES, until_ns)
            assert target.newest_ts_ns is None or target.newest_ts_ns < until_ns
        assert capture.dropped().kernel == 0
        assert account(target, capture, 40_000 - n_frames) == sending.totals(20)
