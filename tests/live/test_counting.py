"""What is counted of live frames: IP bytes, and frames that several interfaces or a mirror deliver more than once."""

from __future__ import annotations

import signal
import subprocess
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import builders as b
import pytest
from needs import cannot_run
from replays import finish
from waiting import wait_until

from fastmon.accounting import make_accountant
from fastmon.capture import open_live
from fastmon.model.counters import Count

from .capturing import account, drain
from .network import CAPTURED, make_bridge, make_pair
from .traffic import Sender, Sending, totals_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastmon.accounting import Accountant

    from .command import Command
    from .network import Namespace

    MakeAccountant = Callable[..., Accountant]

WINDOW_NS = 1_000_000_000
"""A machine that is busy may take long between two copies."""


def distinct(n_frames: int, first: str = "10.1.0.1") -> Sending:
    """Return IP frames of both versions and several conversations, no two alike."""
    sending = Sending()
    for number in range(n_frames):
        src, dst = (first, "192.0.2.1") if number % 2 else ("2001:db8::1", "2001:db8::2")
        sending.ip_frame(src, dst, port=number % 50 + 1, data=b"%06d" % number * (number % 9 + 1))
    return sending


def tc(*arguments: str) -> None:
    """Run tc(8); skip the test where the kernel cannot mirror."""
    done = subprocess.run(["tc", *arguments], capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        cannot_run(f"tc {' '.join(arguments)}: {done.stderr.strip()}")


def mirror_both_directions() -> None:
    """Let "fm-tap" get what comes into "left", and what goes out of "right"."""
    make_pair("fm-mirror", "fm-tap")
    mirroring = ("protocol", "all", "u32", "match", "u32", "0", "0", "action", "mirred", "egress", "mirror", "dev", "fm-mirror")
    for name, direction in (("left", "ingress"), ("right", "egress")):
        tc("qdisc", "add", "dev", name, "clsact")
        tc("filter", "add", "dev", name, direction, *mirroring)


@pytest.fixture
def bridged(namespace: Namespace, new_namespace: Callable[[], Namespace]) -> Iterator[Sender]:
    """Return what sends from another namespace into the bridge "fm-bridge", of the ports "left" and "right"."""
    del namespace
    with ExitStack() as stack:
        for name in ("right", "left"):
            neighbour = new_namespace()
            make_pair(name, "fm-cable")
            neighbour.take("fm-cable")
        with neighbour.entered():
            sender = stack.enter_context(closing(Sender("fm-cable")))
        make_bridge("fm-bridge", "left", "right")
        yield sender


def test_any_sees_bridged_frames_often_and_counts_them_once(bridged: Sender, accountant: MakeAccountant) -> None:
    deduplicating, plain = accountant(dedup_ns=WINDOW_NS), accountant()
    with open_live("any") as one, open_live("any") as other:
        bridged.send(distinct(300))
        n_seen = drain(plain, other, 600)
        assert n_seen >= 600
        drain(deduplicating, one, n_seen)
    seen, counted = finish(plain).counters, finish(deduplicating).counters
    assert counted.frames == seen.frames == seen.ip
    assert (counted.ip.frames, counted.duplicates.frames) == (300, n_seen - 300)


def test_mirror_of_both_directions_counts_frames_once(bridged: Sender, accountant: MakeAccountant) -> None:
    mirror_both_directions()
    target = accountant(dedup_ns=WINDOW_NS)
    with open_live("fm-tap", direction="in") as capture:
        sent = bridged.send(distinct(300))
        frames, packets, _, hosts = account(target, capture, 600)
    assert (frames.frames, packets.frames) == (600, 300)
    assert (packets, hosts) == (sent.ip, sent.hosts)


def test_copies_of_two_interfaces_in_one_accountant(bridged: Sender, accountant: MakeAccountant) -> None:
    target = accountant(dedup_ns=WINDOW_NS)
    with open_live("left", direction="in") as left, open_live("right", direction="out") as right:
        sent = bridged.send(distinct(200))
        assert (drain(target, left, 200), drain(target, right, 200)) == (200, 200)
    summary = finish(target)
    assert summary.counters.duplicates == sent.ip
    assert totals_of(summary).hosts == sent.hosts


def test_workers_get_the_copies_of_their_own_frames(bridged: Sender) -> None:
    mirror_both_directions()
    shares = [make_accountant(dedup_ns=WINDOW_NS) for _ in range(2)]
    with ExitStack() as stack:
        captures = [stack.enter_context(open_live("fm-tap", direction="in", fanout_group=9)) for _ in shares]
        sent, n_frames = bridged.send(distinct(400)), 0

        def are_all() -> bool:
            nonlocal n_frames
            n_frames += sum(drain(share, capture, 0) for share, capture in zip(shares, captures, strict=True))
            return n_frames == 800

        wait_until(are_all, "800 frames")
    counters = [finish(share).counters for share in shares]
    assert all(each.ip.frames == each.duplicates.frames > 0 for each in counters)
    assert sum((each.ip for each in counters), Count()) == sent.ip


def test_ip_bytes_do_not_know_the_link(sender: Sender, accountant: MakeAccountant) -> None:
    sending = distinct(100)
    for link, header in ((CAPTURED, 14), ("any", 16)):
        target = accountant(bytes_of="ip")
        with open_live(link, snaplen=64, direction="in") as capture:
            sender.send(sending)
            summary_frames, packets, _, hosts = account(target, capture, 100)
        assert packets == Count(100, sending.ip.bytes - 100 * 14)
        assert summary_frames == Count(100, packets.bytes + 100 * header)
        assert hosts[b.host("192.0.2.1")].bytes_in == sum(
            len(frame) - 14 for frame in sending.frames if frame[12:14] == b"\x08\0"
        )


@pytest.mark.parametrize("workers", ["1", "2"])
def test_command_counts_each_frame_once_in_ip_bytes(sender: Sender, command: Callable[..., Command], workers: str) -> None:
    run = command("--bytes", "ip", "--dedup", "1s", "--workers", workers)
    sending = distinct(200)
    for _ in range(2):
        sender.send(sending)
    summary = run.end(signal.SIGINT).summary
    assert (summary["bytes_of"], summary["frames"]) == ("ip", 400)
    assert summary["duplicates"] == {"frames": 200, "bytes": sending.ip.bytes}
    assert summary["ip"] == {"frames": 200, "bytes": sending.ip.bytes - 200 * 14}
