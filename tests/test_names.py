"""Which name a host has, and what hostile names do to it."""

from __future__ import annotations

import copy
import pickle
import random
import threading
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from fakes import key
from hypothesis import given
from hypothesis import strategies as st

from fastmon.model.names import MAX_NAME_BYTES, NAME_SOURCES, NameBook, NameFact, clean_name

LOCAL_ORDER = ["dhcp", "mdns", "netbios", "llmnr", "ssdp", "sni", "http", "dns"]
REMOTE_ORDER = ["sni", "http", "dns", "dhcp", "mdns", "netbios", "llmnr", "ssdp"]
ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=300)


def book_of(*facts: tuple[int, str, str], max_entries: int = 100) -> NameBook:
    book = NameBook(max_entries)
    for ts_ns, (number, name, source) in enumerate(facts):
        book.record([NameFact(key(number), name, source)], ts_ns)
    return book


def test_no_name_is_known_of_a_stranger() -> None:
    assert book_of().name_of(key(1), is_local=True) is None
    assert book_of((2, "a", "dhcp")).name_of(key(1), is_local=False) is None


@pytest.mark.parametrize("is_local", [True, False])
@pytest.mark.parametrize("step", [1, -1])
def test_best_source_wins_in_any_order(is_local: bool, step: int) -> None:
    order = LOCAL_ORDER if is_local else REMOTE_ORDER
    for first, source in enumerate(order):
        book = book_of(*[(1, f"from-{worse}", worse) for worse in order[first:][::step]])
        assert book.name_of(key(1), is_local) == (f"from-{source}", source)


def test_latest_wins_within_a_source() -> None:
    book = book_of((1, "old", "mdns"), (1, "new", "mdns"), (1, "older.example", "http"), (1, "newer.example", "quic"))
    assert book.name_of(key(1), is_local=True) == ("new", "mdns")
    assert book.name_of(key(1), is_local=False) == ("newer.example", "quic")


def test_latest_is_by_the_time_of_the_frame_and_not_of_its_recording() -> None:
    for order in ((1, 2, 3), (3, 2, 1), (2, 3, 1)):
        book = NameBook()
        for ts_ns in order:
            book.record([NameFact(key(1), f"at-{ts_ns}", "mdns")], ts_ns)
        assert book.name_of(key(1), is_local=True) == ("at-3", "mdns")


@pytest.mark.parametrize("order", [1, -1])
def test_names_of_one_time_are_ordered_by_their_text(order: int) -> None:
    book = NameBook()
    for name, source in [("ab.example", "quic"), ("a.example", "quic"), ("a.example", "http")][::order]:
        book.record([NameFact(key(1), name, source)], 5)
    assert book.name_of(key(1), is_local=False) == ("a.example", "http")


@pytest.mark.parametrize("ts_ns", [-(2**63), -1, 0, 2**63 - 1])
def test_any_time_is_taken(ts_ns: int) -> None:
    book = NameBook()
    book.record([NameFact(key(1), "a", "mdns")], ts_ns)
    assert book.name_of(key(1), is_local=True) == ("a", "mdns")


OBSERVATIONS = st.lists(
    st.tuples(
        st.integers(0, 3), st.sampled_from(["a", "b", "ab", "B\u00fcro"]), st.sampled_from(NAME_SOURCES), st.integers(-3, 3)
    )
)


def names_in(book: NameBook) -> list[object]:
    return [book.name_of(key(number), is_local) for number in range(4) for is_local in (False, True)]


@given(OBSERVATIONS, st.data())
def test_merged_books_are_one_that_saw_everything(observations: list[tuple[int, str, str, int]], data: st.DataObject) -> None:
    one, books = NameBook(), [NameBook(), NameBook(), NameBook()]
    for number, name, source, ts_ns in observations:
        facts = [NameFact(key(number), name, source)]
        one.record(facts, ts_ns)
        data.draw(st.sampled_from(books)).record(facts, ts_ns)
    first, second, third = data.draw(st.permutations(books))
    for merged in (NameBook.merge(first, second, third), NameBook.merge(first, NameBook.merge(second, third), first)):
        assert names_in(merged) == names_in(one)
        assert len(merged) == len(one)


def test_merged_book_has_room_for_all() -> None:
    books = [book_of(*[(100 * n + i, f"n{i}", "dhcp") for i in range(10)], max_entries=20) for n in range(2)]
    merged = NameBook.merge(*books)
    assert len(merged) == 20
    merged.record([NameFact(key(100), "n0", "dhcp")], 1)
    assert len(merged) == 20
    assert merged.name_of(key(100), is_local=True) == ("n0", "dhcp")
    assert len(NameBook.merge()) == 0


@pytest.mark.parametrize("travel", [lambda book: pickle.loads(pickle.dumps(book)), copy.copy, copy.deepcopy, NameBook.merge])
def test_book_that_travels_has_all_names_and_learns_on_its_own(travel: Callable[[NameBook], NameBook]) -> None:
    book = book_of((1, "laptop", "dhcp"), (1, "vpn.example", "sni"), (2, "b.example", "dns"), max_entries=6)
    other = travel(book)
    assert names_in(other) == names_in(book)
    book.record([NameFact(key(3), "new", "mdns")], 9)
    other.record([NameFact(key(2), "mine", "mdns")], 9)
    other.record([NameFact(key(2), "c.example", "dns")], 9)
    assert (other.name_of(key(3), is_local=True), book.name_of(key(2), is_local=True)) == (None, ("b.example", "dns"))
    assert other.name_of(key(2), is_local=False) == ("c.example", "dns")
    for number in range(3, 6):
        other.record([NameFact(key(number), "x", "mdns")], 9)
    assert len(other) == 2 + 3  # its room is the same


def test_frozen_book_never_changes_and_is_made_anew_only_after_a_record() -> None:
    book = NameBook()
    book.record([NameFact(key(1), "before", "mdns")], 1)
    frozen = book.frozen()
    assert book.frozen() is frozen
    book.record([NameFact(key(1), "after", "mdns")], 2)
    assert frozen.name_of(key(1), is_local=True) == ("before", "mdns")
    assert book.frozen().name_of(key(1), is_local=True) == ("after", "mdns")


def test_every_source_is_known() -> None:
    assert sorted(NAME_SOURCES) == sorted([*LOCAL_ORDER, "dhcpv6", "quic"])
    with pytest.raises(ValueError, match="'finger'"):
        book_of((1, "a", "finger"))


@pytest.mark.parametrize(
    ("name", "source", "kept"),
    [
        ("Annas-iPhone", "dhcp", "Annas-iPhone"),
        ("wWw.ExAmPle.ORG.", "dns", "www.example.org"),
        ("xn--mnchen-3ya.de", "sni", "xn--mnchen-3ya.de"),
        ("аpple.com", "sni", r"\u0430pple.com"),  # noqa: RUF001
        ("Büro-Drucker", "mdns", "Büro-Drucker"),
        ("DESKTOP\0\0", "netbios", "DESKTOP"),
        ("a\x1b[2J", "dhcp", r"a\x1b[2J"),
        ("=HYPERLINK(1)", "http", r"\x3dhyperlink(1)"),
        ("\udcff\udcfe", "dhcp", r"\udcff\udcfe"),
        ("x" * 253, "sni", "x" * 253),
        ("x" * 254, "sni", ""),
        ("x" * 250 + "......evil", "sni", ""),
        ("x" * 100_000, "dhcp", ""),
        ("ü" * 127, "mdns", ""),
        ("\x01" * 64, "dhcp", ""),
        ("", "dhcp", ""),
        (" . ", "dns", ""),
        ("192.0.2.1", "http", ""),
        ("[2001:db8::1]", "http", ""),
        ("2001:db8::1", "sni", ""),
        ("10.0.0.300", "http", "10.0.0.300"),
        ("cafe", "dhcp", "cafe"),
        ("12345", "dhcp", "12345"),
    ],
)
def test_cleaned_names(name: str, source: str, kept: str) -> None:
    assert clean_name(name, source) == kept
    book = book_of((1, name, source))
    assert book.name_of(key(1), is_local=True) == ((kept, source) if kept else None)


@given(ANY_TEXT, st.sampled_from(NAME_SOURCES))
def test_a_clean_name_is_short_and_printable_and_stays_as_it_is(name: str, source: str) -> None:
    cleaned = clean_name(name, source)
    assert cleaned.isprintable()
    assert len(cleaned.encode()) <= MAX_NAME_BYTES
    assert clean_name(cleaned, source).lower() == cleaned.lower()


def test_least_recently_recorded_is_evicted() -> None:
    book = book_of((1, "a", "dhcp"), (2, "b", "dhcp"), (1, "a", "mdns"), (3, "c", "dhcp"), max_entries=4)
    assert [book.name_of(key(number), is_local=True) for number in (1, 2, 3)] == [("a", "dhcp"), None, ("c", "dhcp")]


def test_a_flood_of_remote_names_keeps_the_devices() -> None:
    book = book_of((1, "laptop", "dhcp"), *[(n, f"n{n}.example", "sni") for n in range(2, 250)], max_entries=20)
    assert book.name_of(key(1), is_local=True) == ("laptop", "dhcp")
    assert len(book) == 11


@given(st.lists(st.tuples(st.integers(0, 50), ANY_TEXT, st.sampled_from(NAME_SOURCES))), st.integers(2, 12))
def test_bound_holds(facts: list[tuple[int, str, str]], max_entries: int) -> None:
    assert len(book_of(*facts, max_entries=max_entries)) <= max_entries


def test_too_small_a_book_is_refused() -> None:
    with pytest.raises(ValueError, match="max_entries must be at least 2, not 1"):
        NameBook(1)


def test_memory_of_a_flood_of_the_longest_names_is_bounded() -> None:
    numbers = random.Random(1)
    tracemalloc.start()
    try:
        book = NameBook(1 << 12)
        for number in range(3 << 12):
            source = "dhcp" if number % 2 else "quic"
            book.record([NameFact(numbers.randbytes(16), "😀" + f"{number:06}" + "x" * 200, source)], number)
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(book) == 1 << 12
    assert used < 600 * (1 << 12)


def test_many_hosts_at_once() -> None:
    book = book_of((1, "laptop", "dhcp"), (1, "vpn.example", "sni"), (2, "b.example", "dns"))
    keys = np.frombuffer(b"".join(map(key, (1, 1, 2, 0))), np.uint8).reshape(-1, 16)
    local = np.array([True, False, False, True])
    expected = [("laptop", "dhcp"), ("vpn.example", "sni"), ("b.example", "dns"), None]
    assert book.names_of(keys, local) == expected
    assert book.names_of(keys[::2], local[::2]) == expected[::2]
    assert book.names_of(keys[:0], local[:0]) == []
    assert NameBook().names_of(keys, local) == [None] * 4


def test_threads_record_while_another_reads() -> None:
    book = book_of((1, "laptop", "dhcp"), max_entries=200)
    stop = threading.Event()

    def record(seed: int) -> None:
        for number in range(400):
            facts = [(1, "laptop", "mdns"), (2 + (seed * 100 + number) % 250, f"n{number}", "mdns")]
            book.record((NameFact(key(n), name, source) for n, name, source in facts), number)

    misses = []

    def read() -> None:
        while not stop.is_set():
            if book.name_of(key(1), is_local=True) != ("laptop", "dhcp"):
                misses.append(1)

    reader = threading.Thread(target=read)
    recorders = [threading.Thread(target=record, args=(seed,)) for seed in range(4)]
    reader.start()
    for recorder in recorders:
        recorder.start()
    for recorder in recorders:
        recorder.join()
    stop.set()
    reader.join()
    assert misses == []
    assert len(book) == 100
