"""What a full host table means for applications and conversations, on both engines."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import builders as b
from conversation_tools import (
    ALT,
    DNS,
    HTTP,
    LOCAL_1,
    LOCAL_2,
    REMOTE_1,
    REMOTE_2,
    REMOTE_3,
    Counts,
    account_all,
    apps,
    back,
    counts,
    ended,
    finish,
    label,
    network,
    out,
    reasons,
    rotate,
    tcp,
    udp,
)

from fastmon.accounting import Accountant

Make: TypeAlias = Callable[..., Accountant]


class TestFullHostTable:
    def test_hosts_that_do_not_fit_get_nothing(self, make: Make) -> None:
        target = make(max_hosts=2)
        account_all(target, out(), tcp(LOCAL_1, 40000, REMOTE_2, 80), tcp(REMOTE_3, 40000, REMOTE_2, 80))
        snapshot = rotate(target)
        assert len(snapshot) == 2
        assert apps(snapshot, LOCAL_1) == {HTTP: (0, 200, 0, 2)}
        assert network(snapshot) == {HTTP: (3, 300)}

    def test_side_that_was_once_not_credited_is_left_alone(self, make: Make) -> None:
        target = make(max_hosts=2)
        account_all(target, out(), tcp(LOCAL_1, 50000, REMOTE_2, 80, wire_len=10))
        rotate(target)
        target.account(tcp(LOCAL_1, 50000, REMOTE_2, 80, wire_len=20))
        rotate(target)  # makes room
        target.account(tcp(LOCAL_1, 50000, REMOTE_2, 80, wire_len=40))
        assert apps(rotate(target), REMOTE_2) == {HTTP: (40, 0, 1, 0)}
        assert [(found.b[0], found.ended) for found in ended(target)] == [(b.host(REMOTE_1), "full")]
        label(target, tcp(LOCAL_1, 50000, REMOTE_2, 80, b"1", wire_len=80), DNS)
        last, summary = finish(target)
        assert apps(last, REMOTE_2) == {DNS: (80, 0, 1, 0)}
        assert apps(summary, REMOTE_2) == {HTTP: (40, 0, 1, 0), DNS: (80, 0, 1, 0)}
        assert apps(summary, LOCAL_1) == {HTTP: (0, 100, 0, 1), DNS: (0, 150, 0, 4)}
        assert network(summary) == {HTTP: (1, 100), DNS: (4, 150)}

    def test_conversations_of_hosts_that_never_fitted_go_on(self, make: Make) -> None:
        target = make(max_hosts=1)
        account_all(target, out())
        assert counts(rotate(target)) == Counts(1, {}, 1)
        account_all(target, out())
        assert counts(rotate(target)) == Counts(0, {}, 1)
        assert counts(rotate(target)) == Counts(0, {}, 1)

    def test_pruned_host_takes_its_applications_and_conversations(self, make: Make) -> None:
        target = make(max_hosts=2)
        target.account(out())
        assert counts(rotate(target)) == Counts(1, {}, 1)
        assert counts(rotate(target)) == Counts(0, {}, 1)  # then the remote host goes
        assert reasons(target) == ["full"]
        assert counts(rotate(target)) == Counts(0, {"full": 1}, 0)
        target.account(back(wire_len=7))
        _, summary = finish(target)
        assert apps(summary, REMOTE_1) == {HTTP: (0, 7, 0, 1)}
        assert apps(summary, LOCAL_1) == {HTTP: (7, 100, 1, 1)}
        assert network(summary) == {HTTP: (2, 107)}

    def test_table_that_is_not_full_keeps_them(self, make: Make) -> None:
        target = make(max_hosts=3)
        target.account(out())
        for _ in range(3):
            assert counts(rotate(target)).running == 1

    def test_displaced_host_takes_its_applications(self, make: Make) -> None:
        target = make(max_hosts=2)
        target.account(out())
        rotate(target)
        account_all(target, udp(LOCAL_2, 1, LOCAL_2, 53))
        assert counts(rotate(target)) == Counts(1, {}, 2)
        assert reasons(target) == ["full"]
        _, summary = finish(target)
        assert len(summary) == 2
        assert apps(summary, LOCAL_1) == {HTTP: (0, 100, 0, 1)}
        assert apps(summary, LOCAL_2) == {DNS: (100, 100, 1, 1)}
        assert network(summary) == {HTTP: (1, 100), DNS: (1, 100)}

    def test_displaced_host_is_not_credited_and_its_conversation_goes_on(self, make: Make) -> None:
        target = make(max_hosts=2)
        account_all(target, out(wire_len=10), udp(LOCAL_2, 1, LOCAL_2, 53), out(wire_len=20))
        snapshot = rotate(target)
        assert apps(snapshot, LOCAL_1) == {HTTP: (0, 30, 0, 2)}
        assert counts(snapshot).running == 2
        label(target, out(data=b"1", wire_len=40), ALT)
        _, summary = finish(target)
        assert apps(summary, LOCAL_1) == {ALT: (0, 70, 0, 3)}
        assert network(summary) == {ALT: (3, 70), DNS: (1, 100)}

    def test_label_of_a_conversation_whose_host_was_displaced(self, make: Make) -> None:
        target = make(max_hosts=2)
        target.payload_allowance = 1
        target.account(out(data=b"1"))
        (payload,) = target.take_payloads()
        rotate(target)
        account_all(target, udp(LOCAL_2, 1, LOCAL_2, 53))
        assert target.label(payload.token, ALT, 0)
        rotate(target)
        _, summary = finish(target)
        assert apps(summary, LOCAL_1) == {ALT: (0, 100, 0, 1)}
        assert network(summary) == {ALT: (1, 100), DNS: (1, 100)}

    def test_closed_conversation_of_a_pruned_host_keeps_its_reason(self, make: Make) -> None:
        target = make(max_hosts=2)
        target.account(out(flags=b.RST))
        rotate(target, 60)
        rotate(target, 61)
        assert reasons(target) == ["rst"]
