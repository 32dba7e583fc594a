"""Which payloads a classifier sees, and which are skipped (docs/conversations.md, rule 4)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import builders as b
import pytest
from conversation_tools import (
    HTTP,
    LOCAL_1,
    REMOTE_1,
    S,
    account_all,
    back,
    counts,
    finish,
    icmp,
    out,
    rotate,
    tcp,
    udp,
)

from fastmon.accounting import Accountant
from fastmon.capture import open_offline
from fastmon.model.frames import Frame

Make: TypeAlias = Callable[..., Accountant]

RING_SLOTS = 1024


def of_conversation(number: int, data: bytes = b"data") -> Frame:
    """Return a payload of one conversation of many."""
    return udp(LOCAL_1, 1 + number, REMOTE_1, 53, data)


def seen(target: Accountant) -> list[tuple[bool, bytes]]:
    """Take the payloads: whether a sent each, and what it is."""
    return [(payload.from_a, payload.data) for payload in target.take_payloads()]


class TestPayloads:
    def test_nobody_looks_at_first(self, make: Make) -> None:
        target = make()
        assert (target.payload_allowance, target.pauses) == (0, False)
        account_all(target, out(data=b"1"), out(data=b"2"), out())
        assert target.take_payloads() == []
        assert counts(rotate(target)).n_skipped == 2

    @pytest.mark.parametrize(("number", "error"), [(2.5, TypeError), ("3", TypeError), (None, TypeError), (-1, ValueError)])
    def test_an_allowance_is_a_whole_number(self, make: Make, number: Any, error: type[Exception]) -> None:
        target = make()
        target.payload_allowance = 4
        with pytest.raises(error):
            target.payload_allowance = number
        assert target.payload_allowance == 4

    def test_all_that_is_told(self, make: Make) -> None:
        target = make()
        target.payload_allowance = 10
        account_all(target, out(), back(data=b"abc", ts_ns=7))
        (payload,) = target.take_payloads()
        finish(target)
        (conversation,) = target.take_conversations()
        assert payload == (
            conversation["token"],
            6,
            b.host(LOCAL_1),
            40000,
            b.host(REMOTE_1),
            80,
            False,
            7,
            b"abc",
        )
        assert [type(value) for value in payload] == [int, int, bytes, int, bytes, int, bool, int, bytes]

    def test_first_4_of_both_directions(self, make: Make) -> None:
        target = make()
        target.payload_allowance = 10
        account_all(target, out(data=b"1"), back(data=b"2"), back(), out(data=b"3"), out(data=b"4"), out(data=b"5"))
        assert seen(target) == [(True, b"1"), (False, b"2"), (True, b"3"), (True, b"4")]
        assert target.payload_allowance == 6
        assert counts(rotate(target)).n_skipped == 0

    def test_same_endpoint_is_a(self, make: Make) -> None:
        target = make()
        target.payload_allowance = 10
        account_all(target, *(udp(LOCAL_1, 7, LOCAL_1, 7, data) for data in (b"1", b"2")))
        assert seen(target) == [(True, b"1"), (True, b"2")]

    def test_at_most_1500_bytes_of_each(self, make: Make) -> None:
        target = make()
        target.payload_allowance = 10
        account_all(target, out(data=b"x" * 1600), back(data=b"y" * 1500))
        assert seen(target) == [(True, b"x" * 1500), (False, b"y" * 1500)]

    def test_only_of_tcp_and_udp(self, make: Make) -> None:
        target = make()
        target.payload_allowance = 10
        sctp = b.ipv4(LOCAL_1, REMOTE_1, b.sctp(1, 2, b"data"), protocol=b.SCTP)
        account_all(target, icmp(LOCAL_1, REMOTE_1), Frame(0, 100, 101, sctp))
        assert target.take_payloads() == []
        assert counts(rotate(target)).n_skipped == 0

    def test_padding_is_none(self, make: Make) -> None:
        target = make()
        target.payload_allowance = 10
        empty = tcp(LOCAL_1, 1, REMOTE_1, 2)
        account_all(target, Frame(0, 60, 1, empty.data + bytes(6)))
        assert target.take_payloads() == []
        assert counts(rotate(target)).n_skipped == 0

    def test_used_up_allowance_lets_pass_by_and_goes_on_wanting(self, make: Make) -> None:
        target = make()
        target.payload_allowance = 1
        account_all(target, out(data=b"1"), out(data=b"2"))
        target.payload_allowance = 5
        account_all(target, *(out(data=data) for data in (b"3", b"4", b"5", b"6")))
        assert [data for _, data in seen(target)] == [b"1", b"3", b"4", b"5"]
        assert target.payload_allowance == 2
        assert counts(rotate(target)).n_skipped == 1

    def test_full_ring_lets_pass_by(self, make: Make) -> None:
        target = make(max_conversations=4000)
        target.payload_allowance = 1 << 20
        account_all(target, *(of_conversation(number) for number in range(RING_SLOTS + 3)))
        assert counts(rotate(target)).n_skipped == 3
        assert target.payload_allowance == (1 << 20) - RING_SLOTS
        account_all(target, of_conversation(RING_SLOTS, b"late"))
        assert [data for _, data in seen(target)] == [b"data"] * RING_SLOTS
        account_all(target, of_conversation(RING_SLOTS, b"later"))
        assert [data for _, data in seen(target)] == [b"later"]
        _, summary = finish(target)
        assert counts(summary).n_skipped == 4

    def test_label_says_how_many_more_are_wanted(self, make: Make) -> None:
        target = make()
        target.payload_allowance = 1000
        target.account(out(data=b"1"))
        (payload,) = target.take_payloads()
        assert target.label(payload.token, HTTP, 0)
        account_all(target, out(data=b"2"))
        assert seen(target) == []
        assert target.label(payload.token, 0, 255)
        account_all(target, *(out(data=b"x") for _ in range(300)))
        assert len(target.take_payloads()) == 255
        assert counts(rotate(target)).n_skipped == 0

    def test_token_is_that_of_one_life(self, make: Make) -> None:
        target = make(max_conversations=1)
        target.payload_allowance = 1000
        account_all(target, out(data=b"1"), udp(LOCAL_1, 1, REMOTE_1, 2), out(data=b"2", ts_ns=1))
        first, second = (payload.token for payload in target.take_payloads())
        assert first != second
        assert not target.label(first, HTTP, 4)
        assert target.label(second, HTTP, 0)
        account_all(target, out(data=b"3", ts_ns=400 * S), out(data=b"4", ts_ns=400 * S))
        assert not target.label(second, HTTP, 0)
        third, fourth = (payload.token for payload in target.take_payloads())
        assert first != third != second
        assert third == fourth
        rotate(target, 10**6 * S)
        assert not target.label(third, HTTP, 0)

    def test_token_that_never_was(self, make: Make) -> None:
        target = make()
        assert not target.label(2**64 - 1, HTTP, 4)
        assert not target.label(0, HTTP, 4)

    def test_finish_ends_all(self, make: Make) -> None:
        target = make()
        target.payload_allowance = 1000
        target.account(out(data=b"1"))
        (payload,) = target.take_payloads()
        finish(target)
        assert not target.label(payload.token, HTTP, 0)


class TestPauses:
    def drain_all(self, target: Accountant, path: Path, take: bool) -> list[int]:
        """Drain a file, looking at payloads at every pause; return how many there were each time."""
        n_taken = []
        with open_offline(str(path)) as source:
            while not source.exhausted:
                target.drain(source, 1 << 16)
                if take:
                    n_taken.append(len(target.take_payloads()))
        return n_taken

    def capture(self, folder: Path, n_frames: int) -> Path:
        path = folder / "payloads.pcap"
        path.write_bytes(b.pcap_file(of_conversation(number) for number in range(n_frames)))
        return path

    def test_pause_comes_before_payloads_pass_by(self, make: Make, tmp_path: Path) -> None:
        target = make(max_conversations=5000)
        target.payload_allowance, target.pauses = 1 << 20, True
        n_taken = self.drain_all(target, self.capture(tmp_path, 5000), take=True)
        assert sum(n_taken) == 5000
        assert all(RING_SLOTS - 64 < n <= RING_SLOTS for n in n_taken[:-1])
        assert counts(rotate(target)).n_skipped == 0

    @pytest.mark.parametrize("n_before", [1, 54, 63])
    def test_pause_comes_wherever_batches_begin(self, make: Make, tmp_path: Path, n_before: int) -> None:
        path = tmp_path / "mixed.pcap"
        path.write_bytes(b.pcap_file([*[out()] * n_before, *(of_conversation(number) for number in range(3000))]))
        target = make(max_conversations=5000)
        target.payload_allowance, target.pauses = 1 << 20, True
        assert sum(self.drain_all(target, path, take=True)) == 3000
        assert counts(rotate(target)).n_skipped == 0

    def test_without_pauses_they_pass_by(self, make: Make, tmp_path: Path) -> None:
        target = make(max_conversations=5000)
        target.payload_allowance = 1 << 20
        self.drain_all(target, self.capture(tmp_path, 5000), take=False)
        assert len(target.take_payloads()) == RING_SLOTS
        assert counts(rotate(target)).n_skipped == 5000 - RING_SLOTS

    def test_no_pause_when_no_more_are_allowed(self, make: Make, tmp_path: Path) -> None:
        target = make(max_conversations=5000)
        target.payload_allowance, target.pauses = 1000, True
        n_taken = self.drain_all(target, self.capture(tmp_path, 5000), take=True)
        assert sum(n_taken) == 1000
        assert counts(rotate(target)).n_skipped == 4000

    def test_drain_waits_until_the_ring_is_taken(self, make: Make, tmp_path: Path) -> None:
        target = make(max_conversations=5000)
        target.payload_allowance, target.pauses = 1 << 20, True
        with open_offline(str(self.capture(tmp_path, 3000))) as source:
            n_drained = target.drain(source, 1 << 16)
            assert RING_SLOTS - 64 < n_drained <= RING_SLOTS
            assert target.drain(source, 1 << 16) == 0
            assert not source.exhausted
            assert len(target.take_payloads()) == n_drained
            assert target.drain(source, 10) == 10
