"""Which name a host has, and what hostile names do to it."""

from __future__ import annotations

import random
import threading
import tracemalloc

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
    book.tell(NameFact(key(number), name, source) for number, name, source in facts)
    return book


def test_no_name_is_known_of_a_stranger() -> None:
    assert book_of().name_of(key(1), is_local=True) is None
    assert book_of((2, "a", "dhcp")).name_of(key(1), is_local=False) is None


@pytest.mark.parametrize("is_local", [True, False])
@pytest.mark.parametrize("told", [1, -1])
def test_best_source_wins_in_whatever_order_it_is_told(is_local: bool, told: int) -> None:
    order = LOCAL_ORDER if is_local else REMOTE_ORDER
    for first, source in enumerate(order):
        book = book_of(*[(1, f"from-{worse}", worse) for worse in order[first:][::told]])
        assert book.name_of(key(1), is_local) == (f"from-{source}", source)


def test_latest_wins_within_a_source() -> None:
    book = book_of((1, "old", "mdns"), (1, "new", "mdns"), (1, "older.example", "http"), (1, "newer.example", "quic"))
    assert book.name_of(key(1), is_local=True) == ("new", "mdns")
    assert book.name_of(key(1), is_local=False) == ("newer.example", "quic")


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


def test_least_recently_told_goes_first() -> None:
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
    with pytest.raises(ValueError, match="max_entries is 1"):
        NameBook(1)


def test_memory_of_a_flood_of_the_longest_names_is_bounded() -> None:
    numbers = random.Random(1)
    tracemalloc.start()
    try:
        book = NameBook(1 << 12)
        for number in range(3 << 12):
            source = "dhcp" if number % 2 else "quic"
            book.tell([NameFact(numbers.randbytes(16), "😀" + f"{number:06}" + "x" * 200, source)])
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


def test_threads_tell_while_another_reads() -> None:
    book = book_of((1, "laptop", "dhcp"), max_entries=200)
    stop = threading.Event()

    def tell(seed: int) -> None:
        for number in range(400):
            facts = [(1, "laptop", "mdns"), (2 + (seed * 100 + number) % 250, f"n{number}", "mdns")]
            book.tell(NameFact(key(n), name, source) for n, name, source in facts)

    misses = []

    def read() -> None:
        while not stop.is_set():
            if book.name_of(key(1), is_local=True) != ("laptop", "dhcp"):
                misses.append(1)

    reader = threading.Thread(target=read)
    tellers = [threading.Thread(target=tell, args=(seed,)) for seed in range(4)]
    reader.start()
    for teller in tellers:
        teller.start()
    for teller in tellers:
        teller.join()
    stop.set()
    reader.join()
    assert misses == []
    assert len(book) == 100
