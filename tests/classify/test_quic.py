"""Decryption of QUIC Initials: keys against the examples of the RFCs, and packets that the library encrypts here."""

from __future__ import annotations

import sys

import pytest
from needs import cannot_run

from fastmon.classify import APPLICATIONS, Conversation, Endpoint
from fastmon.classify.classifier import MAX_STEPS, Classifier
from fastmon.classify.matchers import quic_initial

from . import cases
from .steps import inspect_counted

DCID = bytes.fromhex("8394c8f03e515708")
CLIENT, SERVER = Endpoint(bytes(15) + b"\1", 50000), Endpoint(bytes(15) + b"\2", 443)
# RFC 9001, appendix A.1, and RFC 9369, appendix A.1: key, iv, header protection.
RFC_KEYS = {
    1: ("1f369613dd76d5467730efcbe3b1a22d", "fa044b2f42a3fd3b46fb255c", "9f50449e04a0e810283a1e9933adedd2"),
    0x6B3343CF: ("8b1a0bc121284290a29e0971b5cd045d", "91f73e2351d8fa91660e909f", "45b95e15235d6f45a6b19cbcb0294ba9"),
}


@pytest.mark.parametrize("version", RFC_KEYS)
def test_keys_are_those_of_the_rfc(version: int) -> None:
    keys = quic_initial.initial_keys(version, DCID)
    assert keys is not None
    assert tuple(key.hex() for key in keys) == RFC_KEYS[version]


def sealed(version: int, frames: bytes, number: int = 2) -> bytes:
    """Return an Initial with these frames, encrypted with the RFC's keys."""
    try:
        from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    except ImportError:
        cannot_run("the library cryptography is not there")
    key, iv, protection = (bytes.fromhex(text) for text in RFC_KEYS[version])
    plain = frames.ljust(1162, b"\0")
    first = 0xD3 if version != 1 else 0xC3
    head = bytes([first]) + version.to_bytes(4, "big") + b"\x08" + DCID + b"\0\0"
    head += (0x4000 | (len(plain) + 20)).to_bytes(2, "big") + number.to_bytes(4, "big")
    nonce = bytes(a ^ b for a, b in zip(iv, number.to_bytes(12, "big"), strict=True))
    body = AESGCM(key).encrypt(nonce, plain, head)
    mask = Cipher(algorithms.AES(protection), modes.ECB()).encryptor().update(body[:16])
    masked = bytes([head[0] ^ mask[0] & 0x0F]) + head[1:-4] + bytes(a ^ b for a, b in zip(head[-4:], mask[1:5], strict=True))
    return masked + body


def crypto(offset: int, data: bytes) -> bytes:
    return b"\6" + (0x4000 | offset).to_bytes(2, "big") + (0x4000 | len(data)).to_bytes(2, "big") + data


def inspect(*datagrams: bytes, server: Endpoint = SERVER) -> tuple[str, str | None, bool]:
    classifier = Classifier()
    app, name, wants_more = "", None, False
    for datagram in datagrams:
        found = classifier.inspect(Conversation(1, 17, CLIENT, server), datagram, True, 0)
        if found is not None:
            app, name, wants_more = APPLICATIONS[found.app].name, found.name, found.wants_more
    assert classifier.n_failed == 0
    return app, name, wants_more


@pytest.mark.parametrize("version", RFC_KEYS)
def test_server_name_in_one_initial(version: int) -> None:
    hello = cases.client_hello("example.org", ("h3",))
    assert inspect(sealed(version, crypto(0, hello))) == ("quic", "example.org", False)


@pytest.mark.parametrize(
    ("name", "alpn", "port", "app"),
    [
        ("resolver.example", ("doq",), 443, "doq"),
        ("resolver.example", ("doq-i03",), 784, "doq"),
        ("resolver.example", (), 853, "doq"),
        ("resolver.example", ("h3",), 853, "quic"),
        ("resolver.example", ("h3",), 443, "quic"),
        ("dns.google", ("h3",), 443, "doh"),
        ("dns.google", ("h3-29",), 443, "doh"),
        ("dns.google", (), 443, "quic"),
        ("dns.google", ("hq-interop",), 443, "quic"),
        ("dns.google", ("doq", "h3"), 853, "doq"),
    ],
)
def test_dns_within_quic(name: str, alpn: tuple[str, ...], port: int, app: str) -> None:
    packet = sealed(1, crypto(0, cases.client_hello(name, alpn)))
    assert inspect(packet, server=Endpoint(SERVER.host, port)) == (app, name, False)


def test_dns_within_quic_is_told_when_the_hello_is_whole() -> None:
    hello = cases.client_hello("dns.google", ("h3",))
    parts = [sealed(1, crypto(0, hello[:40]), 2), sealed(1, crypto(40, hello[40:]), 3)]
    assert [inspect(*parts[:n_parts])[0] for n_parts in (1, 2)] == ["quic", "doh"]


def test_pieces_out_of_order_with_pings_between() -> None:
    hello = cases.client_hello("example.org", ("h3",))
    frames = crypto(50, hello[50:]) + b"\1\0\0" + crypto(0, hello[:20]) + b"\2\0\0\0\0" + crypto(20, hello[20:50])
    assert inspect(sealed(1, frames)) == ("quic", "example.org", False)


def test_hello_over_two_initials_in_either_order() -> None:
    hello = cases.client_hello("example.org", ("h3",))
    parts = [sealed(1, crypto(0, hello[:40]), 2), sealed(1, crypto(40, hello[40:]), 3)]
    assert inspect(*parts) == ("quic", "example.org", False)
    assert inspect(*reversed(parts)) == ("quic", "example.org", False)


def test_first_four_initials_are_read() -> None:
    hello = cases.client_hello("example.org", ("h3",))
    parts = [sealed(1, crypto(0, hello[: 10 * number]), number) for number in range(1, 6)]
    for n_parts in range(1, 5):
        assert inspect(*parts[:n_parts])[2] == (n_parts < 4)


def test_first_256_frames_of_an_initial_are_read() -> None:
    hello = cases.client_hello("example.org")
    for n_pings, name in ((255, "example.org"), (256, None)):
        assert inspect(sealed(1, b"\1" * n_pings + crypto(0, hello)))[1] == name


def test_stream_that_is_longer_than_any_hello_is_not_kept() -> None:
    beyond = b"\6" + (0x80000000 | 16384).to_bytes(4, "big") + b"\1x"
    assert inspect(sealed(1, beyond + crypto(0, cases.client_hello("example.org"))))[1] is None


def test_acknowledgement_of_endless_ranges_takes_bounded_work() -> None:
    frames = b"\2\0\0" + (0x80000000 | 1_000_000).to_bytes(4, "big") + bytes(1000)
    packet = sealed(1, frames)
    assert inspect_counted(Classifier(), Conversation(1, 17, CLIENT, SERVER), packet) <= MAX_STEPS


@pytest.mark.parametrize("version", RFC_KEYS)
def test_server_name_in_an_initial_whose_end_is_cut(version: int) -> None:
    packet = sealed(version, crypto(0, cases.client_hello("example.org", ("h3",))))
    assert inspect(packet[:200])[:2] == ("quic", "example.org")


def test_name_that_is_cut_is_no_name() -> None:
    hello = cases.client_hello("example.org")
    end = 22 + 5 + hello.index(b"example.org") + len("example")
    assert inspect(sealed(1, crypto(0, hello))[:end])[:2] == ("quic", None)


def test_initial_sent_again_whole_after_it_was_cut() -> None:
    packet = sealed(1, crypto(0, cases.client_hello("example.org")))
    assert inspect(packet[:80], packet) == ("quic", "example.org", False)


def test_keys_are_derived_once_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    hello = cases.client_hello("example.org", ("h3",))
    parts = [sealed(1, crypto(0, hello[:40]), 2), sealed(1, crypto(40, hello[40:]), 3)]
    asked = []
    derive = quic_initial.initial_keys

    def counted(version: int, dcid: bytes) -> tuple[bytes, bytes, bytes] | None:
        asked.append(dcid)
        return derive(version, dcid)

    monkeypatch.setattr(quic_initial, "initial_keys", counted)
    assert inspect(*parts)[1] == "example.org"
    assert asked == [DCID]


def test_forged_initial_is_quic_without_a_name() -> None:
    packet = bytearray(sealed(1, crypto(0, cases.client_hello("example.org"))))
    packet[-1] ^= 1
    assert inspect(bytes(packet))[:2] == ("quic", None)


def test_without_the_library_quic_has_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    packet = sealed(1, crypto(0, cases.client_hello("example.org")))
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    quic_initial._library.cache_clear()
    try:
        assert inspect(packet)[:2] == ("quic", None)
    finally:
        quic_initial._library.cache_clear()
