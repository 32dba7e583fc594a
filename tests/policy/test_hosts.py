"""The roster: rows that come, move and go, and what follows them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmon.model.addresses import key_from_text
from fastmon.model.names import NameBook, NameFact
from fastmon.policy.hosts import Roster
from fastmon.policy.incidents import FIRING, INCIDENT_DTYPE, Incidents
from fastmon.policy.key_index import GONE, KeyIndex, match_words
from fastmon.policy.subjects import Column
from policy.worlds import T0, World


def world_of(numbers: list[int]) -> World:
    world = World()
    for number in numbers:
        world.host(f"10.0.0.{number}" if number % 2 else f"2001:db8::{number}:7")
    return world


@given(st.lists(st.lists(st.integers(0, 40), unique=True), min_size=1, max_size=8), st.integers(0, 2))
def test_columns_and_incidents_follow_their_hosts(ticks: list[list[int]], width: int) -> None:
    roster = Roster()
    column = roster.add_column("i8", -7, width=width)
    incidents = Incidents()
    roster.add_follower(incidents)
    before: set[int] = set()
    for numbers in ticks:
        roster.update(world_of(numbers).totals(T0))
        assert len(roster) == len(numbers)
        if len(numbers) % 2:  # with an index from now on, until rows move
            assert roster.rows_of(roster.keys).tolist() == list(range(len(numbers)))
        assert {numbers[row] for row in roster.new.tolist()} == set(numbers) - before
        gone = incidents.take_gone()
        assert {entry["rule"] for entry in gone} == before - set(numbers)
        for row, number in enumerate(numbers):
            expected = number if number in before else -7
            assert np.all(column.values[row] == expected)
        column.values[:] = np.array(numbers).reshape((-1, *([1] if width else [])))
        assert incidents.entries["rule"].tolist() == [numbers[row] for row in incidents.rows.tolist()]
        assert incidents.rows.tolist() == sorted(incidents.rows.tolist())
        entries = np.zeros(len(roster.new), INCIDENT_DTYPE)
        entries["row"], entries["rule"], entries["state"] = roster.new, np.array(numbers)[roster.new], FIRING
        incidents.put(entries)
        before = set(numbers)


def test_rows_that_only_come_leave_the_others_where_they_are() -> None:
    roster, world = Roster(), world_of([1, 3])
    roster.update(world.totals(T0))
    assert (roster.is_first, roster.moved, roster.new.tolist()) == (True, None, [0, 1])
    world.host("10.0.0.9")
    roster.update(world.totals(T0))
    assert (roster.is_first, roster.moved, roster.new.tolist()) == (False, None, [2])
    assert roster.rows_of(np.frombuffer(key_from_text("10.0.0.9"), np.uint8)[np.newaxis]).tolist() == [2]


def test_row_that_another_host_takes_is_new() -> None:
    roster = Roster()
    roster.update(world_of([1, 3, 5]).totals(T0))
    roster.update(world_of([1, 7, 5]).totals(T0))
    assert roster.moved is not None
    assert (roster.moved.tolist(), roster.new.tolist()) == ([0, GONE, 2], [1])


def test_changes_of_facts_are_noticed_once() -> None:
    book = NameBook()
    roster, world = Roster(book, watches_names=True), world_of([1, 3, 5, 7])
    roster.update(world.totals(T0))
    assert roster.changed.tolist() == []
    world.hosts[1].mac = 0x02005E100014
    world.hosts[2].local = False
    book.record([NameFact(key_from_text("10.0.0.7"), "tv", "dhcp"), NameFact(key_from_text("10.9.9.9"), "x", "dhcp")], T0)
    roster.update(world.totals(T0))
    assert roster.changed.tolist() == [1, 2, 3]
    assert roster.subject(3)[:2] == ("10.0.0.7", "tv")
    assert roster.subject(1).mac == "02:00:5e:10:00:14"
    book.record([NameFact(key_from_text("10.0.0.7"), "tv", "dhcp")], T0 + 1)
    roster.update(world.totals(T0))
    assert roster.changed.tolist() == []


def test_released_roster_holds_no_totals() -> None:
    roster = Roster()
    totals = world_of([1, 3]).totals(T0)
    roster.update(totals)
    roster.release()
    assert (len(roster.hosts), len(roster.macs), len(roster.local), len(roster)) == (0, 0, 0, 2)


def test_column_that_is_dropped_follows_no_more() -> None:
    roster = Roster()
    column = roster.add_column("u1")
    roster.drop(column)
    roster.update(world_of([1]).totals(T0))
    assert len(column.values) == 0


def test_column_grows_by_little() -> None:
    column = Column("u8")
    for n_rows in range(0, 100_001, 100):
        column.follow(None, n_rows)
    assert column.n_bytes() <= 8 * 100_000 * 1.035


def test_totals_without_macs() -> None:
    roster = Roster()
    roster.update(replace(world_of([1]).totals(T0), macs=None))
    assert roster.macs.tolist() == [0]


@pytest.mark.parametrize("n_words", [0, 5])
def test_match_words(n_words: int) -> None:
    words = np.arange(2 * n_words, dtype=np.uint64).reshape(-1, 2)
    wanted = np.array([[2, 3], [2, 4], [8, 9]], np.uint64)
    assert match_words(wanted, words).tolist() == ([1, GONE, 4] if n_words else [GONE] * 3)
    assert match_words(words[:0], words).tolist() == []


def test_renamed_hosts_are_noted_from_the_first_question_on() -> None:
    book = NameBook(max_entries=4)
    keys = [key_from_text(f"10.0.0.{number}") for number in range(9)]
    book.record([NameFact(keys[0], "a", "dhcp")], 1)
    assert book.take_renamed() == ()
    book.record([NameFact(keys[0], "a", "dhcp"), NameFact(keys[1], "b", "dhcp")], 2)
    assert book.take_renamed() == (keys[1],)
    book.record([NameFact(keys[1], "c", "dhcp")], 3)
    assert book.take_renamed() == (keys[1],)
    book.record([NameFact(key, "d", "dhcp") for key in keys], 4)
    assert len(book.take_renamed()) == 4


WORDS = st.tuples(st.integers(0, 3), st.integers(0, (1 << 64) - 1) | st.integers(0, 3))


@given(st.lists(WORDS, unique=True, max_size=60), st.lists(WORDS, max_size=20), st.integers(0, 60))
def test_an_index_finds_keys_as_a_dict_does(keys: list[tuple[int, int]], others: list[tuple[int, int]], n_first: int) -> None:
    words, wanted = (np.array(each, np.uint64).reshape(-1, 2) for each in (keys, others + keys))
    index = KeyIndex()
    index.add(words[:n_first])
    index.add(words)

    rows = {key: row for row, key in enumerate(keys)}
    assert index.find(wanted, words).tolist() == [rows.get(key, GONE) for key in others + keys]


def test_an_index_of_many_keys_stays_small() -> None:
    words = np.stack([np.zeros(200_000, np.uint64), np.arange(200_000, dtype=np.uint64) << np.uint64(40)], axis=1)
    index = KeyIndex()
    for n_keys in range(0, 200_001, 10_000):
        index.add(words[:n_keys])

    assert index.find(words, words).tolist() == list(range(200_000))
    assert index.n_bytes() <= 12 * 200_000


def test_what_a_changed_host_was_is_told() -> None:
    roster, world = Roster(), world_of([1, 3, 5, 7])
    totals = world.totals(T0)
    before = np.array([10, 11, 12, 13], np.uint64)
    roster.update(replace(totals, macs=before, local=np.array([True, True, False, True])))
    assert (len(roster.changed), len(roster.macs_before)) == (0, 0)

    now = np.array([10, 21, 22, 13], np.uint64)
    roster.update(replace(totals, macs=now, local=np.array([False, True, True, True])))
    assert (roster.changed.tolist(), roster.macs_before.tolist()) == ([0, 1, 2], [10, 11, 0])
    roster.update(replace(totals, macs=now, local=np.array([False, True, True, True])))
    assert (len(roster.changed), len(roster.macs_before)) == (0, 0)


def test_only_local_hosts_are_found_as_such_also_after_a_tick() -> None:
    roster, world = Roster(), world_of([1, 3, 5])
    roster.update(replace(world.totals(T0), local=np.array([True, False, True])))
    keys = np.frombuffer(b"".join(key_from_text(f"10.0.0.{number}") for number in (5, 3, 9, 1)), np.uint8).reshape(-1, 16)
    roster.release()

    assert roster.rows_of(keys).tolist() == [2, 1, GONE, 0]
    assert roster.local_rows_of(keys).tolist() == [2, GONE, GONE, 0]
