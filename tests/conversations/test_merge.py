"""Merged accountants: their applications and conversations add up."""

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
    Counts,
    S,
    account_all,
    apps,
    back,
    counts,
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


class TestMerge:
    def test_shards_add_up(self, make: Make) -> None:
        merged, shards = make(), [make(), make()]
        account_all(shards[0], out(wire_len=10), udp(LOCAL_1, 1, REMOTE_1, 53))
        account_all(shards[1], tcp(REMOTE_1, 80, LOCAL_1, 50000, wire_len=20), tcp(LOCAL_2, 1, REMOTE_1, 80, flags=b.RST))
        for shard in shards:
            merged.merge(shard)
        snapshot = rotate(merged)
        assert apps(snapshot, LOCAL_1) == {HTTP: (20, 10, 1, 1), DNS: (0, 100, 0, 1)}
        assert apps(snapshot, REMOTE_1) == {HTTP: (110, 20, 2, 1), DNS: (100, 0, 1, 0)}
        assert network(snapshot) == {HTTP: (3, 130), DNS: (1, 100)}
        assert counts(snapshot) == Counts(4, {}, 4)

    def test_only_what_is_new_is_merged(self, make: Make) -> None:
        merged, shard = make(), make()
        shard.account(out(wire_len=10))
        merged.merge(shard)
        merged.merge(shard)
        account_all(shard, back(wire_len=20), out(flags=b.RST, ts_ns=1), out(flags=b.SYN, ts_ns=2))
        merged.merge(shard)
        snapshot = rotate(merged)
        assert apps(snapshot, LOCAL_1) == {HTTP: (20, 210, 1, 3)}
        assert counts(snapshot) == Counts(2, {"rst": 1}, 1)
        assert reasons(merged) == []
        assert reasons(shard) == ["rst"]

    def test_merged_accountant_begins_an_interval(self, make: Make) -> None:
        merged, shard = make(), make()
        account_all(shard, out(data=b"passes"))
        merged.merge(shard)
        snapshot = rotate(shard)
        assert network(snapshot) == {}
        assert counts(snapshot) == Counts(0, {}, 1)
        assert counts(rotate(merged)).n_skipped == 1
        _, summary = finish(shard)
        assert apps(summary, LOCAL_1) == {HTTP: (0, 100, 0, 1)}

    def test_label_moves_what_was_merged_before_it(self, make: Make) -> None:
        merged, shard = make(), make()
        shard.account(out(wire_len=10))
        merged.merge(shard)
        assert network(rotate(merged)) == {HTTP: (1, 10)}
        label(shard, out(data=b"1", wire_len=20), ALT)
        merged.merge(shard)
        merged.merge(shard)
        last, summary = finish(merged)
        assert network(last) == {ALT: (1, 20)}
        for of_all in (summary, finish(shard)[1]):
            assert apps(of_all, LOCAL_1) == {ALT: (0, 30, 0, 2)}
            assert apps(of_all, REMOTE_1) == {ALT: (30, 0, 2, 0)}
            assert network(of_all) == {ALT: (2, 30)}

    def test_label_holds_for_all_of_the_only_interval(self, make: Make) -> None:
        merged, shard = make(), make()
        shard.account(out(wire_len=10))
        merged.merge(shard)
        label(shard, out(data=b"1", wire_len=20), ALT)
        merged.merge(shard)
        for of_all in finish(merged):
            assert apps(of_all, LOCAL_1) == {ALT: (0, 30, 0, 2)}
            assert network(of_all) == {ALT: (2, 30)}

    def test_label_leaves_hosts_as_they_were_where_hosts_overflow(self, make: Make) -> None:
        merged, shard = make(max_hosts=2), make()
        account_all(shard, out(wire_len=10), udp(LOCAL_1, 1, REMOTE_2, 53))
        merged.merge(shard)
        assert rotate(merged).counters.overflow.frames_in == 1
        label(shard, out(data=b"1", wire_len=20), ALT)
        merged.merge(shard)
        _, summary = finish(merged)
        assert apps(summary, LOCAL_1) == {HTTP: (0, 10, 0, 1), ALT: (0, 20, 0, 1), DNS: (0, 100, 0, 1)}
        assert network(summary) == {ALT: (2, 30), DNS: (1, 100)}

    def test_label_leaves_totals_as_they_were_where_an_interval_is_missing(self, make: Make) -> None:
        """A rotated interval was not merged, so its traffic cannot be moved from one application to another."""
        merged, shard = make(), make()
        shard.account(out(wire_len=10))
        rotate(shard)
        shard.account(out(wire_len=20))
        merged.merge(shard)
        label(shard, out(data=b"1", wire_len=40), ALT)
        merged.merge(shard)
        for of_all in finish(merged):
            assert apps(of_all, LOCAL_1) == {HTTP: (0, 20, 0, 1), ALT: (0, 40, 0, 1)}
            assert network(of_all) == {HTTP: (1, 20), ALT: (1, 40)}
        assert network(finish(shard)[1]) == {ALT: (3, 70)}

    def test_label_leaves_totals_as_they_were_where_an_interval_went_elsewhere(self, make: Make) -> None:
        first, second, shard = make(), make(), make()
        for target, wire_len in ((first, 10), (second, 20)):
            shard.account(out(wire_len=wire_len))
            target.merge(shard)
        label(shard, out(data=b"1", wire_len=40), ALT)
        first.merge(shard)
        assert network(finish(first)[1]) == {HTTP: (1, 10), ALT: (1, 40)}
        assert network(finish(second)[1]) == {HTTP: (1, 20)}

    def test_own_conversations_go_on(self, make: Make) -> None:
        merged, shard = make(), make()
        merged.account(out(wire_len=10))
        shard.account(out(wire_len=20))
        merged.merge(shard)
        merged.account(out(wire_len=40))
        last, summary = finish(merged)
        for snapshot in (last, summary):
            assert apps(snapshot, LOCAL_1) == {HTTP: (0, 70, 0, 3)}
            assert counts(snapshot) == Counts(2, {"end": 1}, 1)

    def test_idle_ones_are_not_ended(self, make: Make) -> None:
        merged, shard = make(), make()
        account_all(shard, out(), udp(LOCAL_1, 1, REMOTE_1, 2, ts_ns=1000 * S))
        merged.merge(shard)
        assert counts(rotate(merged)).running == 2
        assert counts(rotate(shard)) == Counts(0, {"idle": 1}, 1)

    def test_hosts_that_do_not_fit(self, make: Make) -> None:
        merged, shard = make(max_hosts=1), make()
        shard.account(out())
        merged.merge(shard)
        snapshot = rotate(merged)
        assert len(snapshot.apps) == 1
        assert network(snapshot) == {HTTP: (1, 100)}
        assert counts(snapshot).running == 1

    def test_prune_of_the_merged_accountant_ends_conversations(self, make: Make) -> None:
        merged, shard = make(), make(max_hosts=2)
        shard.account(out())
        merged.merge(shard)
        merged.merge(shard)
        assert reasons(shard) == ["full"]
        merged.merge(shard)
        assert counts(rotate(merged)) == Counts(1, {"full": 1}, 0)
