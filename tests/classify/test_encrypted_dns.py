"""DNS within TLS, HTTPS and QUIC; the native twin says the same of every name."""

from __future__ import annotations

import random

import pytest

from fastmon.classify import APPLICATIONS, Conversation, Endpoint, for_native
from fastmon.classify.classifier import Classifier
from fastmon.classify.online import is_resolver, resolver_suffixes
from fastmon.native.matchers import Looker, Matchers

from .cases import TCP, client_hello, tls_record

CLIENT, SERVER = Endpoint(bytes(15) + b"\1", 50000), Endpoint(bytes(15) + b"\2", 443)
SUFFIXES = [suffix.decode() for suffix in resolver_suffixes()]


@pytest.fixture(scope="module")
def looker() -> Looker:
    return Looker(Matchers(*for_native(), 64))


def native(looker: Looker, data: bytes, *, server: Endpoint = SERVER) -> str:
    verdict, app, *_ = looker.look(1, TCP, CLIENT.host, CLIENT.port, server.host, server.port, True, data, 0)
    assert verdict == "certain"
    return APPLICATIONS[app].name


def python(*payloads: bytes, server: Endpoint = SERVER) -> str:
    classifier, app = Classifier(), ""
    for payload in payloads:
        found = classifier.inspect(Conversation(1, TCP, CLIENT, server), payload, True, 0)
        if found is not None:
            app = APPLICATIONS[found.app].name
    assert classifier.n_failed == 0
    return app


def odd_names() -> list[str]:
    """Return resolvers' names with something before, behind or within them, and names of others."""
    rng = random.Random(853)
    names = ["google", "x", ".", "..", "a" * 63 + ".example", "." * 80, "dns.google.example", "mask.icloud.com"]
    for suffix in SUFFIXES:
        place = rng.randrange(len(suffix))
        names += [suffix, suffix.upper(), f"{suffix}.", f"{suffix}..", f".{suffix}", f"x.{suffix}", f"x{suffix}", suffix[1:]]
        names += [f"{'long.' * 40}{suffix}", f"{suffix[:place]}x{suffix[place + 1 :]}", f"{suffix}x", f"\u00e9{suffix}"]
        names += [suffix.replace("k", "\u212a"), f"\u00e9.{suffix}", f"{'y' * 300}.{'y' * (210 - len(suffix))}.{suffix}"]
        names += [f"{'y' * 300}.{'y' * (211 - len(suffix))}.{suffix}", suffix.partition(".")[2] or "com"]
    return names


def test_native_names_are_pythons(looker: Looker) -> None:
    n_doh = 0
    for name in odd_names():
        hello = client_hello_of_bytes(name.encode())
        app = python(hello)
        assert app == native(looker, hello), name
        assert app in {"doh", "https"}
        n_doh += app == "doh"
    assert 8 * len(SUFFIXES) < n_doh < 14 * len(SUFFIXES)


def client_hello_of_bytes(name: bytes) -> bytes:
    """Return a record with a hello for a name that need not be UTF-8."""
    placeholder = "n" * len(name)
    return tls_record(client_hello(placeholder, ("h2",)).replace(placeholder.encode(), name, 1))


@pytest.mark.parametrize(
    ("name", "app"),
    [(b"\xff.dns.google", "doh"), (b"\xffdns.google", "https"), (b"\0.dns.google", "doh"), (b"dns.google\0", "https")],
)
def test_bytes_that_are_no_text(looker: Looker, name: bytes, app: str) -> None:
    hello = client_hello_of_bytes(name)
    assert (python(hello), native(looker, hello)) == (app, app)


@pytest.mark.parametrize(
    ("port", "alpn", "app"),
    [
        (443, (), "doh"),
        (443, ("http/1.1",), "doh"),
        (8443, (), "doh"),
        (9999, ("h2",), "doh"),
        (9999, (), "tls"),
        (853, (), "dot"),
        (853, ("h2",), "doh"),
        (443, ("dot",), "dot"),
        (993, (), "imap"),
    ],
)
def test_what_tls_to_a_resolver_is(looker: Looker, port: int, alpn: tuple[str, ...], app: str) -> None:
    server = Endpoint(SERVER.host, port)
    hello = tls_record(client_hello("dns.google", alpn))
    assert is_resolver("dns.google")
    assert (python(hello, server=server), native(looker, hello, server=server)) == (app, app)


def test_name_in_the_second_segment() -> None:
    hello = tls_record(client_hello("dns.google", ("h2",)))
    cut = hello.index(b"dns.google")
    assert python(hello[:cut]) == "https"
    assert python(hello[:cut], hello[cut:]) == "doh"


def test_hello_that_the_capture_cut_behind_the_name() -> None:
    """The next record says nothing new: it stays DNS, in both twins."""
    hello, other = tls_record(client_hello("dns.google", ("h2",))), tls_record(bytes(range(100)), kind=23, version=b"\3\3")
    cut = hello[: hello.index(b"dns.google") + 10]
    assert python(cut) == python(cut, other) == "doh"
    looker = Looker(Matchers(*for_native(), 64))
    look = (1, TCP, CLIENT.host, CLIENT.port, SERVER.host, SERVER.port, True)
    _, first, _, follow, *_ = looker.look(*look, cut, 0)
    verdict, second, *_ = looker.look(*look, other, 0, follow)
    assert (verdict, APPLICATIONS[first].name, APPLICATIONS[second].name) == ("certain", "doh", "doh")


@pytest.mark.parametrize(("suffixes", "has_room"), [([b"a" * 63], True), ([b"a" * 64], False), ([b""], False)])
def test_length_of_native_suffixes(suffixes: list[bytes], has_room: bool) -> None:
    rows, numbers, tcp, udp, _ = for_native()
    if has_room:
        Matchers(rows, numbers, tcp, udp, suffixes, 64)
    else:
        with pytest.raises(ValueError, match="no room for the resolver"):
            Matchers(rows, numbers, tcp, udp, suffixes, 64)


@pytest.mark.parametrize(("n_suffixes", "has_room"), [(256, True), (257, False)])
def test_number_of_native_suffixes(n_suffixes: int, has_room: bool) -> None:
    rows, numbers, tcp, udp, _ = for_native()
    suffixes = [f"{number}.example".encode() for number in range(n_suffixes)]
    if not has_room:
        with pytest.raises(ValueError, match="at most 256"):
            Matchers(rows, numbers, tcp, udp, suffixes, 64)
        return
    looker = Looker(Matchers(rows, numbers, tcp, udp, suffixes, 64))
    apps = {native(looker, tls_record(client_hello(suffix.decode()))) for suffix in suffixes}
    assert apps == {"doh"}
    assert native(looker, tls_record(client_hello("256.example"))) == "https"
