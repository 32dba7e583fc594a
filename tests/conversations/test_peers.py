"""What hosts are doing now, on both engines: with whom they talk, and what applications move before it is credited."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import builders as b
import numpy as np
import pytest
from conversation_tools import (
    LOCAL_1,
    LOCAL_2,
    REMOTE_1,
    REMOTE_2,
    S,
    account_all,
    back,
    finish,
    icmp,
    label,
    network,
    out,
    rotate,
    tcp,
    udp,
)

from fastmon.accounting import Accountant
from fastmon.model.addresses import key_to_text
from fastmon.model.frames import Frame
from fastmon.model.snapshot import Interval, Snapshot

Make: TypeAlias = Callable[..., Accountant]

HTTP, SSH = 1, 2


def peers(target: Accountant, *hosts: str, now: int = 60) -> list[tuple[str, str, int, int]]:
    """Return host, peer, bytes in and out of each record, ordered."""
    keys = np.frombuffer(b"".join(map(b.host, hosts)), np.uint8).reshape(-1, 16)
    found = target.peers(keys, now * S)
    return sorted(
        (hosts[row["host"]], key_to_text(row["peer"].tobytes()), int(row["bytes_in"]), int(row["bytes_out"])) for row in found
    )


def credited(snapshot: Snapshot, address: str) -> dict[int, tuple[int, ...]]:
    """Return (bytes in, bytes out, packets in, packets out) of each known application of a host."""
    keys = [bytes(key) for key in snapshot.hosts["key"]]
    return {app: tuple(traffic) for host, app, *traffic in snapshot.apps.tolist() if keys[host] == b.host(address)}


class TestPeers:
    def test_each_conversation_of_the_hosts_asked_for(self, make: Make) -> None:
        target = make()
        account_all(
            target,
            tcp(LOCAL_1, 5000, REMOTE_1, 80, wire_len=100),
            tcp(REMOTE_1, 80, LOCAL_1, 5000, wire_len=1000),
            udp(LOCAL_1, 5000, REMOTE_1, 53, wire_len=70),
            icmp(LOCAL_2, REMOTE_2, wire_len=60),
            tcp(REMOTE_2, 5001, LOCAL_1, 22, wire_len=80),
        )
        of_first = [(LOCAL_1, REMOTE_1, 0, 70), (LOCAL_1, REMOTE_1, 1000, 100), (LOCAL_1, REMOTE_2, 80, 0)]
        assert peers(target, LOCAL_1) == of_first
        assert peers(target, REMOTE_2, LOCAL_1) == sorted([*of_first, (REMOTE_2, LOCAL_1, 0, 80), (REMOTE_2, LOCAL_2, 60, 0)])
        assert peers(target, "10.9.9.9") == peers(target) == []

    def test_host_that_talks_to_itself_is_its_own_peer(self, make: Make) -> None:
        target = make()
        target.account(udp(LOCAL_1, 53, LOCAL_1, 5000, wire_len=70))
        assert peers(target, LOCAL_1) == [(LOCAL_1, LOCAL_1, 0, 70), (LOCAL_1, LOCAL_1, 70, 0)]

    def test_rotation_takes_nothing_away(self, make: Make) -> None:
        target = make()
        account_all(target, out(wire_len=100), back(wire_len=200))
        rotate(target)
        target.account(out(wire_len=50))
        assert peers(target, LOCAL_1, now=1) == [(LOCAL_1, REMOTE_1, 200, 150)]

    @pytest.mark.parametrize(
        ("frames", "timeout"),
        [([out()], 300), ([udp(LOCAL_1, 5000, REMOTE_1, 53)], 120), ([out(), out(flags=b.RST)], 10)],
    )
    def test_conversation_that_is_over_is_left_out_whether_or_not_it_was_ended(
        self, frames: list[Frame], timeout: int, make: Make
    ) -> None:
        target = make()
        account_all(target, *frames)
        assert len(peers(target, LOCAL_1, now=timeout)) == 1
        assert peers(target, LOCAL_1, now=timeout + 1) == []

    def test_evicted_conversation_is_gone(self, make: Make) -> None:
        target = make(max_conversations=1)
        account_all(target, out(), udp(LOCAL_1, 5000, REMOTE_2, 53, ts_ns=1))
        assert [peer for _, peer, *_ in peers(target, LOCAL_1)] == [REMOTE_2]

    def test_keys_are_checked(self, make: Make) -> None:
        for keys in (np.zeros((1, 15), np.uint8), np.zeros(16, np.uint8), np.zeros((1 << 16, 16), np.uint8)):
            with pytest.raises(ValueError, match=r"key|dimensions"):
                make().peers(keys, 0)

    def test_hosts_only_have_none(self, make: Make) -> None:
        target = make(max_conversations=0)
        target.account(out())
        assert peers(target, LOCAL_1) == []

    def test_finished_accountant_has_none(self, make: Make) -> None:
        target = make()
        finish(target)
        with pytest.raises(RuntimeError, match="has finished"):
            peers(target, LOCAL_1)


class TestApplications:
    def test_totals_have_what_was_not_credited_yet_and_change_nothing(self, make: Make) -> None:
        target = make()
        account_all(target, out(wire_len=10), back(wire_len=20))
        for _ in range(2):
            totals = target.totals(Interval(0, 60))
            assert credited(totals, LOCAL_1) == {HTTP: (20, 10, 1, 1)}
            assert credited(totals, REMOTE_1) == {HTTP: (10, 20, 1, 1)}
            assert network(totals) == {HTTP: (2, 30)}
            assert not totals.apps.flags.writeable
        snapshot = rotate(target)
        assert (credited(snapshot, LOCAL_1), network(snapshot)) == ({HTTP: (20, 10, 1, 1)}, {HTTP: (2, 30)})
        target.account(out(wire_len=5))
        totals = target.totals(Interval(0, 60))
        assert (credited(totals, LOCAL_1), network(totals)) == ({HTTP: (20, 15, 1, 2)}, {HTTP: (3, 35)})

    def test_a_label_takes_all_along(self, make: Make) -> None:
        target = make()
        target.account(out(wire_len=10))
        label(target, out(wire_len=20, data=b"x"), SSH, wanted=1)
        totals = target.totals(Interval(0, 60))
        assert (credited(totals, LOCAL_1), network(totals)) == ({SSH: (0, 30, 0, 2)}, {SSH: (2, 30)})
        rotate(target)
        label(target, out(wire_len=5, data=b"x"), HTTP)
        totals = target.totals(Interval(0, 60))
        assert (credited(totals, LOCAL_1), network(totals)) == ({HTTP: (0, 35, 0, 3)}, {HTTP: (3, 35)})

    def test_are_the_same_whether_one_accounted_or_two(self, make: Make) -> None:
        frames = [out(wire_len=10), udp(LOCAL_2, 22, LOCAL_1, 5000, wire_len=20), back(wire_len=40), out(wire_len=80)]
        alone, collector, workers = make(), make(), [make(), make()]
        for number, frame in enumerate(frames):
            alone.account(frame)
            workers[number == 1].account(frame)
            for worker in workers:
                collector.merge(worker)
            one, two = (target.totals(Interval(0, 60)) for target in (alone, collector))
            assert network(one) == network(two)
            assert credited(one, LOCAL_1) == credited(two, LOCAL_1)
            together = [record for worker in workers for record in peers(worker, LOCAL_1)]
            assert sorted(together) == peers(alone, LOCAL_1)
