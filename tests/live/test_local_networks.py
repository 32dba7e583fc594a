"""Addresses that an interface gets and loses while it is captured from: its networks turn local, and nothing is lost."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING

import builders as b
import pytest

from .network import CAPTURED, ip
from .traffic import Sending, totals_of_record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .command import Command
    from .traffic import Sender

    Start = Callable[..., Command]

BEFORE, AFTER, REMOTE = "192.0.2.10", "203.0.113.10", "198.51.100.1"


def traffic(*hosts: str, n_frames: int = 50) -> Sending:
    sending = Sending()
    for host in hosts:
        for _ in range(n_frames):
            sending.ip_frame(host, REMOTE, 200)
    return sending


def local_hosts(run: Command) -> set[str]:
    """Ask for a report; return the local hosts of all that were."""
    run.process.send_signal(signal.SIGUSR1)
    return {host["host"] for record in run.snapshots for host in record["hosts"] if host["local"]}


@pytest.mark.parametrize("options", [(), ("--workers", "2"), ("--engine", "reference"), ("--hosts-only",)], ids=" ".join)
def test_networks_that_come_turn_local_and_totals_stay(sender: Sender, command: Start, options: Sequence[str]) -> None:
    ip("address", "add", "192.0.2.1/24", "dev", CAPTURED)
    run, whole = command(*options), Sending()
    whole.extend(sent := traffic(BEFORE, AFTER))
    sender.send(sent)
    run.wait_for_frames(100)
    assert local_hosts(run) == {BEFORE}
    ip("address", "add", "203.0.113.1/24", "dev", CAPTURED)
    ip("address", "del", "192.0.2.1/24", "dev", CAPTURED)

    def has_turned_local() -> bool:
        whole.extend(more := traffic(AFTER, n_frames=1))
        sender.send(more)
        return AFTER in local_hosts(run)

    run.wait_until(has_turned_local, "the network")
    whole.extend(sent := traffic(BEFORE, AFTER))
    sender.send(sent)
    run.wait_for_frames(len(whole.frames))
    summary = run.end(signal.SIGINT).summary
    assert totals_of_record(summary) == whole.totals()
    assert {host["host"]: host["local"] for host in summary["hosts"]} == {BEFORE: True, AFTER: True, REMOTE: False}
    if "--hosts-only" not in options:
        assert all(("mac" in host) == host["local"] for host in summary["hosts"])


NO_IPV6 = Path(f"/proc/sys/net/ipv6/conf/{CAPTURED}/disable_ipv6")
OLD, NEW, ABROAD = "2001:db8:1::10", "2001:db8:2::10", "2a00:1450::1"


def test_prefix_that_is_new_each_night(sender: Sender, command: Start) -> None:
    """The interface loses one prefix and gets another; hosts of both are local, with all that was counted of them."""
    if not NO_IPV6.exists():
        pytest.skip("a kernel without IPv6")
    NO_IPV6.write_text("0")
    ip("address", "add", "2001:db8:1::1/64", "dev", CAPTURED, "nodad")
    run, whole = command("-f", "udp"), Sending()  # the system itself asks for neighbours now

    def send(*hosts: str) -> None:
        for host in hosts:
            sender.send(Sending().ip_frame(host, ABROAD))
            whole.ip_frame(host, ABROAD)

    def has_turned_local() -> bool:
        send(NEW)
        return NEW in local_hosts(run)

    send(OLD, NEW)
    run.wait_for_frames(2)
    ip("address", "del", "2001:db8:1::1/64", "dev", CAPTURED)
    ip("address", "add", "2001:db8:2::1/64", "dev", CAPTURED, "nodad")
    run.wait_until(has_turned_local, "the prefix")
    send(OLD, NEW)
    run.wait_for_frames(len(whole.frames))
    summary = run.end(signal.SIGINT).summary
    assert totals_of_record(summary) == whole.totals()
    assert {host["host"]: host["local"] for host in summary["hosts"]} == {OLD: True, NEW: True, ABROAD: False}


def test_local_option_stays_as_it_is(sender: Sender, command: Start) -> None:
    run = command("--local", "192.0.2.0/24", "--duration", "4s")
    ip("address", "add", "203.0.113.1/24", "dev", CAPTURED)
    sender.send(traffic(BEFORE, AFTER))
    summary = run.end().summary
    assert {host["host"]: host["local"] for host in summary["hosts"]} == {BEFORE: True, AFTER: False, REMOTE: False}


def test_router_advertisements_of_strangers_are_not_believed(sender: Sender, command: Start) -> None:
    run = command("--duration", "3s")
    prefix = bytes([3, 4, 64, 0xC0]) + b"\xff" * 8 + bytes(4) + bytes.fromhex("20010db8000100020000000000000000")
    packet = bytearray(b.ipv6("fe80::66", "ff02::1", bytes([134, 0, 0, 0, 64, 0, 7, 8]) + bytes(8) + prefix, next_header=58))
    packet[7] = 255
    sending = Sending()
    sending.frames.append(b.ethernet(b.IPV6, bytes(packet)))
    sending.ip_frame("2001:db8:1:2::7", "2a00:1450::1")
    sender.send(sending)
    hosts = {host["host"]: host["local"] for host in run.end().summary["hosts"]}
    assert hosts["2001:db8:1:2::7"] is False
