"""Traffic of several interfaces and namespaces: a gateway's two sides, a bridge, "any", a tunnel, shares of one interface."""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING

import builders as b
import pytest
from replays import finish
from waiting import wait_until

from fastmon.accounting import make_accountant
from fastmon.capture import handles, open_live
from fastmon.config import RunOptions
from fastmon.sources import open_captures

from .capturing import account, drain
from .network import CAPTURED, make_bridge, make_pair
from .traffic import Sender, Sending, conversations, totals_of
from .tunnel import open_tunnel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastmon.accounting import Accountant

    from .network import Namespace

    MakeAccountant = Callable[[], Accountant]

RAW = 12
COOKED_EXTRA = 2
""""any" gives cooked frames: 16 bytes stand in for Ethernet's 14."""


@pytest.fixture
def neighbours(namespace: Namespace, new_namespace: Callable[[], Namespace]) -> Iterator[dict[str, Sender]]:
    """Return what sends from two other namespaces, each with a cable to the interface of its name here."""
    del namespace
    with ExitStack() as stack:
        senders = {}
        for name in ("left", "right"):
            neighbour = new_namespace()
            make_pair(name, "fm-cable")
            neighbour.take("fm-cable")
            with neighbour.entered():
                senders[name] = stack.enter_context(closing(Sender("fm-cable")))
        yield senders


def sides(extra: int = 0) -> dict[str, Sending]:
    """Return what each neighbour sends: traffic of 10.1.0.0/24 to the right, and of 10.2.0.0/24 to the left."""
    return {
        "left": conversations(700, Sending(extra, (b.MAC_A, b.MAC_B)), first="10.1.0.1"),
        "right": conversations(500, Sending(extra, (b.MAC_B, b.MAC_A)), first="10.2.0.1"),
    }


def test_two_sides_captured_apart(neighbours: dict[str, Sender], accountant: MakeAccountant) -> None:
    with open_live("left") as left, open_live("right") as right:
        sent = {name: neighbours[name].send(sending) for name, sending in sides().items()}
        assert account(accountant(), left, 700) == sent["left"]
        assert account(accountant(), right, 500) == sent["right"]


def test_two_sides_captured_by_one_accountant(neighbours: dict[str, Sender], accountant: MakeAccountant) -> None:
    target, whole = accountant(), Sending()
    with open_live("left") as left, open_live("right") as right:
        for name, sending in sides().items():
            neighbours[name].send(sending)
            whole.extend(sending)
        assert (drain(target, left, 700), drain(target, right, 500)) == (700, 500)
    assert totals_of(finish(target)) == whole.totals()


def test_any_captures_both_sides(neighbours: dict[str, Sender], accountant: MakeAccountant) -> None:
    whole = Sending()
    with open_live("any") as capture:
        for name, sending in sides(COOKED_EXTRA).items():
            neighbours[name].send(sending)
            whole.extend(sending)
        assert account(accountant(), capture, 1200) == whole.totals()


@pytest.mark.parametrize("tags", [(b.VLAN,), (b.QINQ, b.VLAN), (b.VLAN, b.VLAN, b.VLAN)])
def test_any_has_tags_too(neighbours: dict[str, Sender], accountant: MakeAccountant, tags: tuple[int, ...]) -> None:
    sending = Sending(COOKED_EXTRA).ip_frame("10.0.0.1", "192.0.2.1", 500, vlans=tags)
    with open_live("any", snaplen=64) as capture:
        sent = neighbours["left"].send(sending)
        assert account(accountant(), capture, 1) == sent


def test_bridge_captures_what_it_forwards(neighbours: dict[str, Sender], accountant: MakeAccountant) -> None:
    make_bridge("fm-bridge", *neighbours)
    whole = Sending()
    with open_live("fm-bridge") as bridge, open_live("left", direction="in") as left, open_live("left", direction="out") as away:
        for name, sending in sides().items():
            sent = neighbours[name].send(sending)
            whole.extend(sending)
        assert account(accountant(), bridge, 1200) == whole.totals()
        assert account(accountant(), left, 700) == sides()["left"].totals()
        assert account(accountant(), away, 500) == sent


@pytest.mark.usefixtures("namespace")
def test_tunnel_interface_without_link_headers(accountant: MakeAccountant) -> None:
    with open_tunnel("fm-tun") as tunnel, open_live("fm-tun", snaplen=64) as capture:
        assert capture.reader.link_type == RAW
        tunnel.write(b.ipv4("10.0.0.1", "192.0.2.1", bytes(1000)))
        tunnel.write(b.ipv6("2001:db8::1", "2001:db8::2", bytes(100)))
        frames, packets, _, hosts = account(accountant(), capture, 2)
    assert frames == packets
    assert (packets.frames, packets.bytes) == (2, 1020 + 140)
    assert hosts[b.host("192.0.2.1")].bytes_in == 1020
    assert hosts[b.host("2001:db8::1")].bytes_out == 140


def test_fanout_shares_every_frame_out_once(sender: Sender) -> None:
    shares = [make_accountant() for _ in range(3)]
    with ExitStack() as stack:
        captures = [stack.enter_context(open_live(CAPTURED, fanout_group=7)) for _ in shares]
        sent = sender.send(conversations(1_000), 2)
        n_frames = [0, 0, 0]
        while sum(n_frames) < 2_000:
            for number, (share, capture) in enumerate(zip(shares, captures, strict=True)):
                n_frames[number] += drain(share, capture, 0)
    assert all(n_frames)
    collector = make_accountant()
    for share in shares:
        collector.merge(share)
    assert totals_of(finish(collector)) == sent


@pytest.mark.parametrize("engine", ["native", "reference"])
@pytest.mark.usefixtures("namespace")
def test_workers_count_nothing_twice_that_came_while_they_joined(sender: Sender, engine: str) -> None:
    """Each capture gets all frames until it joins; what came before all had joined is left out, and not lost either."""
    joining, n_opened, join_fanout = conversations(100), 0, handles._join_fanout

    def join(fd: int, interface: str, group: int) -> None:
        nonlocal n_opened
        n_opened += 1
        sender.send(joining)  # to all, as if none had joined yet
        join_fanout(fd, interface, group)

    shares = [make_accountant(engine) for _ in range(2)]
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setattr(handles, "_join_fanout", join)
        captures = open_captures([CAPTURED], RunOptions(workers=2), stack)
        sent = sender.send(conversations(1_000))
        n_frames = 0

        def is_all() -> bool:
            nonlocal n_frames
            n_frames += sum(drain(share, capture, 0) for share, capture in zip(shares, captures, strict=True))
            return n_frames >= 1_000

        wait_until(is_all, "1000 frames")
        assert n_opened == 2
        assert [capture.dropped().kernel for capture in captures] == [0, 0]
    collector = make_accountant(engine)
    for share in shares:
        collector.merge(share)
    assert totals_of(finish(collector)) == sent


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_nothing_is_taken_when_nothing_is_asked_for(sender: Sender, engine: str) -> None:
    """To libpcap 0 means all."""
    accountant = make_accountant(engine)
    with open_live(CAPTURED) as capture:
        sent = sender.send(conversations(100))
        while not capture.wait(1):
            pass
        for n_frames in (0, -1):
            assert capture.read(n_frames) == []
            assert accountant.drain(capture, n_frames) == 0
        assert account(accountant, capture, 100) == sent
