"""Which conversations are evicted for new ones, and the sweep (docs/conversations.md, rules 2 and 5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import builders as b
import pytest
from conversation_tools import Counts, S, account_all, back, counts, ended, finish, out, reasons, rotate, udp_number

from fastmon.accounting import Accountant
from fastmon.model.frames import Frame

Make: TypeAlias = Callable[..., Accountant]


class TestForcedEnds:
    def test_least_recently_used_of_8_ends(self, make: Make) -> None:
        target = make(max_conversations=9)
        last = [9, 8, 7, 6, 5, 6, 7, 8, 1]
        account_all(target, *(udp_number(number, ts_ns=ts_ns) for number, ts_ns in enumerate(last)))
        target.account(udp_number(100, ts_ns=9))
        assert [(found.a[1], found.ended) for found in ended(target)] == [(1004, "full")]

    def test_hand_moves_on_by_8(self, make: Make) -> None:
        target = make(max_conversations=9)
        account_all(target, *(udp_number(number, ts_ns=number) for number in range(9)))
        account_all(target, udp_number(100, ts_ns=20), udp_number(101, ts_ns=21), udp_number(102, ts_ns=22))
        # Looked at: slots 0 to 7; 8 and 0 to 6, where slot 0 is number 100; 7, 8 and 0 to 5, where slot 1 is number 101.
        assert [found.a[1] - 1000 for found in ended(target)] == [0, 1, 2]

    def test_first_of_equals_from_the_hand_on_ends(self, make: Make) -> None:
        target = make(max_conversations=9)
        account_all(target, *(udp_number(number) for number in range(9)))
        account_all(target, udp_number(100), udp_number(101), udp_number(102))
        assert [found.a[1] - 1000 for found in ended(target)] == [0, 8, 7]

    def test_fewer_slots_than_8(self, make: Make) -> None:
        target = make(max_conversations=2)
        account_all(target, *(udp_number(number, ts_ns=number) for number in range(5)))
        snapshot = rotate(target)
        assert [found.a[1] - 1000 for found in ended(target)] == [0, 1, 2]
        assert counts(snapshot) == Counts(5, {"full": 3}, 2)

    @pytest.mark.parametrize(("max_conversations", "n_ends"), [(2047, 1), (2048, 2), (4096, 4), (32767, 31), (33 * 1024, 32)])
    def test_one_in_1024_end_at_once(self, make: Make, max_conversations: int, n_ends: int) -> None:
        target = make(max_conversations=max_conversations)
        account_all(target, *(udp_number(number, ts_ns=-number % 8) for number in range(max_conversations + 1)))
        assert [found.a[1] - 1000 for found in ended(target)] == [8 * n for n in range(n_ends)]
        assert counts(rotate(target)).running == max_conversations + 1 - n_ends

    def test_those_that_end_at_once_are_chosen_before(self, make: Make) -> None:
        target = make(max_conversations=2048)
        times = [n % 8 for n in range(2048)]
        account_all(target, *(udp_number(number, ts_ns=ts_ns) for number, ts_ns in enumerate(times)))
        account_all(target, *(udp_number(3000 + number, ts_ns=10) for number in range(4)))
        assert [found.a[1] - 1000 for found in ended(target)] == [0, 8, 16, 24]
        finish(target)
        last = {found.a[1] - 1000: number for number, found in enumerate(ended(target))}
        # The slot freed last is used first.
        assert [last[3000 + number] for number in range(4)] == [8, 0, 24, 16]

    def test_reason_is_the_one_that_it_would_have_had(self, make: Make) -> None:
        target = make(max_conversations=1)
        account_all(target, udp_number(0), udp_number(1, ts_ns=120 * S), udp_number(2, ts_ns=240 * S + 1))
        account_all(target, out(flags=b.RST, ts_ns=241 * S), udp_number(3, ts_ns=242 * S))
        assert reasons(target) == ["full", "idle", "full", "rst"]

    def test_one_slot(self, make: Make) -> None:
        target = make(max_conversations=1)
        account_all(target, out(), back(), udp_number(0), out(), back())
        finish(target)
        assert [(found.protocol, found.ab, found.ba) for found in ended(target)] == [
            (6, (1, 100), (1, 100)),
            (17, (1, 100), (0, 0)),
            (6, (1, 100), (1, 100)),
        ]

    def test_freed_slots_are_used_again_last_first(self, make: Make) -> None:
        target = make(max_conversations=4)
        account_all(target, udp_number(0), udp_number(1), out(ts_ns=S), udp_number(2))
        rotate(target, 130 * S)  # slots 0, 1 and 3 are freed in this order
        assert [found.a[1] for found in ended(target)] == [1000, 1001, 1002]
        account_all(target, *(udp_number(number, ts_ns=130 * S) for number in (10, 11, 12)))
        finish(target)
        assert [found.a[1] for found in ended(target)] == [1012, 1011, 40000, 1010]


class TestSweep:
    def test_every_4096_frames_256_slots_are_looked_at(self, make: Make) -> None:
        target = make(max_conversations=1000)
        account_all(target, *(udp_number(number) for number in range(300)))
        account_all(target, *(out(ts_ns=121 * S) for _ in range(4096 - 300 - 1)))
        assert reasons(target) == []
        target.account(out(ts_ns=121 * S))
        assert [found.a[1] for found in ended(target)] == list(range(1000, 1256))
        account_all(target, *(out(ts_ns=121 * S) for _ in range(4096)))
        assert [found.a[1] for found in ended(target)] == list(range(1256, 1300))

    def test_clock_is_that_of_the_frames(self, make: Make) -> None:
        target = make()
        account_all(target, udp_number(0), out(ts_ns=121 * S), *(out() for _ in range(4093)))
        assert reasons(target) == []
        target.account(out())
        assert reasons(target) == ["idle"]

    def test_frames_without_conversation_do_not_count(self, make: Make) -> None:
        target = make()
        account_all(target, udp_number(0), *(out(ts_ns=121 * S) for _ in range(4094)))
        target.account(Frame(0, 60, 1, b.ethernet(b.ARP, bytes(46))))
        assert reasons(target) == []
        target.account(out())
        assert reasons(target) == ["idle"]
