"""Live captures count what was sent: every frame, every byte, each host's, in both engines."""

from __future__ import annotations

import socket
import time
from contextlib import closing
from typing import TYPE_CHECKING

import builders as b
import pytest
from waiting import DEADLINE_S

import fastmon
from fastmon.capture import open_live
from fastmon.model.snapshot import Snapshot
from fastmon.run.control import Control

from .capturing import account, read
from .network import CAPTURED
from .traffic import Sender, Sending, conversations, totals_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastmon.accounting import Accountant

    MakeAccountant = Callable[[], Accountant]

FULL_SIZE = 1514
ETH_P_ALL = 3


def test_frames_of_all_kinds(sender: Sender, accountant: MakeAccountant) -> None:
    with open_live(CAPTURED) as capture:
        sent = sender.send(conversations(2_000))
        assert account(accountant(), capture, 2_000) == sent


def test_wire_length_counts_not_what_was_captured(sender: Sender, accountant: MakeAccountant) -> None:
    sending = Sending()
    for size in (FULL_SIZE, 1_000, 65, 64, 63):
        sending.ip_frame("10.0.0.1", "192.0.2.1", size).ip_frame("2001:db8::1", "2001:db8::2", size)
    with open_live(CAPTURED, snaplen=64) as capture:
        sent = sender.send(sending)
        assert account(accountant(), capture, 10) == sent


def test_snaplen_that_cuts_the_addresses(sender: Sender, accountant: MakeAccountant) -> None:
    with open_live(CAPTURED, snaplen=33) as capture:
        sender.send(Sending().ip_frame("10.0.0.1", "192.0.2.1", 500))
        frames, ip_frames, _, hosts = account(accountant(), capture, 1)
    assert (frames.frames, frames.bytes, ip_frames.frames, hosts) == (1, 500, 0, {})


@pytest.mark.parametrize("snaplen", [64, 128])
@pytest.mark.parametrize("tags", [(b.VLAN,), (b.QINQ,), (b.QINQ, b.VLAN), (b.VLAN, b.VLAN, b.VLAN)])
def test_tag_that_the_kernel_took_off_counts(
    sender: Sender, accountant: MakeAccountant, tags: tuple[int, ...], snaplen: int
) -> None:
    sending = Sending()
    for size in (80, FULL_SIZE):
        sending.ip_frame("10.0.0.1", "192.0.2.1", size, vlans=tags).ip_frame("10.0.0.1", "192.0.2.1", size)
    with open_live(CAPTURED, snaplen=snaplen) as capture:
        sent = sender.send(sending)
        assert account(accountant(), capture, 4) == sent


def test_read_puts_the_tag_back_that_the_kernel_took_off(sender: Sender) -> None:
    (frame,) = Sending().ip_frame("10.0.0.1", "192.0.2.1", 100, vlans=[b.VLAN]).frames
    with closing(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)) as plain, open_live(CAPTURED) as capture:
        plain.bind((CAPTURED, ETH_P_ALL))
        plain.settimeout(DEADLINE_S)
        sender.send(Sending().ip_frame("10.0.0.1", "192.0.2.1", 100, vlans=[b.VLAN]))
        assert plain.recv(2000) == frame[:12] + frame[16:]
        assert [found.data for found in read(capture, 1)] == [frame]
        assert capture.read(1) == []


def test_frames_come_whole_in_read(sender: Sender) -> None:
    sending = Sending().ip_frame("10.0.0.1", "192.0.2.1", 100, vlans=[b.VLAN]).ip_frame("10.0.0.1", "192.0.2.1", 1000)
    with open_live(CAPTURED, snaplen=200) as capture:
        before_ns = time.time_ns()
        sender.send(sending)
        after_ns = time.time_ns()
        frames = read(capture, 2)
    assert [frame.data for frame in frames] == [frame[:200] for frame in sending.frames]
    assert [frame.wire_len for frame in frames] == [100, 1000]
    assert all(before_ns <= frame.ts_ns <= after_ns for frame in frames)


def test_times_are_nanoseconds(sender: Sender) -> None:
    with open_live(CAPTURED) as capture:
        sender.send(conversations(100))
        frames = read(capture, 100)
    assert any(frame.ts_ns % 1000 for frame in frames)


@pytest.mark.parametrize("direction", ["in", "out", "inout"])
def test_direction(sender: Sender, accountant: MakeAccountant, direction: str) -> None:
    inward, outward = Sending().ip_frame("10.0.0.1", "192.0.2.1", 200), Sending().ip_frame("192.0.2.1", "10.0.0.1", 300)
    expected = Sending()
    with open_live(CAPTURED, direction=direction) as capture, closing(Sender(CAPTURED)) as answerer:
        for _ in range(50):
            sender.send(inward)
            answerer.send(outward)
            expected.extend(*(way for way, name in ((inward, "in"), (outward, "out")) if name in direction))
        assert account(accountant(), capture, len(expected.frames)) == expected.totals()


def test_filter(sender: Sender, accountant: MakeAccountant) -> None:
    noise, wanted = conversations(300), Sending()
    for size in range(100, 200):
        wanted.ip_frame("10.9.9.9", "192.0.2.1", size, port=53).ip_frame("2001:db8::9", "2001:db8::53", size, port=53)
    with open_live(CAPTURED, filter="udp dst port 53") as capture:
        sender.send(noise)
        sent = sender.send(wanted)
        sender.send(noise)
        assert account(accountant(), capture, 200) == sent


def test_filter_of_tagged_frames(sender: Sender, accountant: MakeAccountant) -> None:
    with open_live(CAPTURED, filter="vlan 7 and host 10.0.0.1") as capture:
        sender.send(Sending().ip_frame("10.0.0.1", "192.0.2.1").ip_frame("10.0.0.2", "192.0.2.1", vlans=[b.VLAN]))
        sent = sender.send(Sending().ip_frame("10.0.0.1", "192.0.2.1", vlans=[b.VLAN]))
        assert account(accountant(), capture, 1) == sent


def test_filter_is_the_kernels(sender: Sender, accountant: MakeAccountant) -> None:
    """What does not match takes no room in the ring."""
    with open_live(CAPTURED, filter="host 10.9.9.9", buffer_bytes=1 << 16) as capture:
        sender.send(conversations(500), 10)
        sent = sender.send(Sending().ip_frame("10.9.9.9", "192.0.2.1"))
        assert account(accountant(), capture, 1) == sent
        assert capture.dropped().kernel == 0


def test_watch(sender: Sender) -> None:
    """The library's loop: its first snapshot starts the traffic, and its last one is of all."""
    control, snapshots = Control(), list[Snapshot]()
    with fastmon.open_live(CAPTURED) as capture:
        for snapshot in fastmon.watch(capture, interval="100ms", control=control):
            if not snapshots:
                sent = sender.send(conversations(500))
            snapshots.append(snapshot)
            control.stop = sum(snapshot.counters.frames.frames for snapshot in snapshots) >= 500
    *intervals, summary = snapshots
    assert summary.is_summary
    assert totals_of(summary) == sent
    assert totals_of(Snapshot.merge(*intervals)) == sent
