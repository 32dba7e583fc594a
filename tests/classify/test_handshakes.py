"""What conversations show of their TLS handshake: the client's hello, the server's certificate; the same on both sides."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import builders as b
import pytest
from conversation_tools import tcp, udp
from inspected import MATCHERS, TABLES, Inspected

from fastmon.accounting import make_accountant
from fastmon.classify.classifier import Classifier
from fastmon.classify.matching import MAX_PAYLOAD
from fastmon.classify.model import TCP, UDP, Conversation, Endpoint
from fastmon.model.names import NameBook
from fastmon.run.inspection import Inspector, ReplayBudget

from .cases import tls_record
from .handshakes import SIGNATURES, UTF8, answer, der, dns, hello, server_hello, subject
from .test_ja4 import EXAMPLE
from .twins import compare

A, B = Endpoint(b.host("10.0.0.1"), 40000), Endpoint(b.host("192.0.2.1"), 443)
HELLO = tls_record(hello())
LONG = tls_record(hello(extensions="0015,0000,000d,0010,002b", padding=2500))
CERTIFICATE = der(subject((UTF8, b"server.example")), dns(b"www.example.org"))
BIG = der(subject((UTF8, b"server.example")), *[dns(b"")] * 20, dns(b"www.example.org", b"x" * 4000))
ANSWER = answer(CERTIFICATE, CERTIFICATE)
Course = Sequence[tuple[bool, bytes]]


def told(*course: tuple[bool, bytes], protocol: int = TCP, port: int = 443) -> tuple[list[bytes], list[bytes]]:
    """Return the hellos and the certificates that both sides find, while more is wanted."""
    server = Endpoint(B.host, port)
    compare(protocol, A, server, course)
    classifier = Classifier()
    hellos, certificates, wants_more = [], [], True
    for from_a, payload in course:
        found = classifier.inspect(Conversation(1, protocol, A, server), payload, from_a, 0) if wants_more else None
        if found is not None:
            hellos += [found.hello] if found.hello else []
            certificates += [found.certificate] if found.certificate else []
            wants_more = found.wants_more
    return hellos, certificates


def segments(data: bytes, size: int, *, from_a: bool) -> list[tuple[bool, bytes]]:
    return [(from_a, data[at : at + size]) for at in range(0, len(data), size)]


def test_hello_and_certificate() -> None:
    assert told((True, HELLO), (False, ANSWER)) == ([HELLO[5:]], [CERTIFICATE])


def test_hello_of_several_segments_is_told_once_when_it_is_whole() -> None:
    for size in (7, 100, 700, 1400, MAX_PAYLOAD):
        assert told(*segments(LONG, size, from_a=True), (False, ANSWER)) == ([LONG[5:]], [CERTIFICATE])


def test_hello_cut_anywhere_is_not_told() -> None:
    for length in range(6, len(HELLO)):
        assert told((True, HELLO[:length]), (True, tls_record(bytes(40), 23))) == ([], [])


def test_hello_over_several_records() -> None:
    content = hello()
    assert told((True, tls_record(content[:50]) + tls_record(content[50:]))) == ([content], [])


@pytest.mark.parametrize("record", [16384, 600, 100])
@pytest.mark.parametrize("certificate", [CERTIFICATE, BIG], ids=["small", "big"])
def test_answer_of_several_segments(certificate: bytes, record: int) -> None:
    for size in (1, 5, 9, 64, 150, 700, 1400):
        if 60 * size > len(answer(certificate)):  # no more payloads are looked at
            course = segments(answer(certificate, record=record), size, from_a=False)
            if len(course[0][1]) > 5:
                assert told((True, HELLO), *course) == ([HELLO[5:]], [certificate])


def test_answer_cut_anywhere_tells_what_is_there_when_the_client_speaks() -> None:
    start = ANSWER.index(CERTIFICATE)
    for length in range(6, start + len(CERTIFICATE) + 40):
        there = ANSWER[start : min(length, start + len(CERTIFICATE))]
        for end in ((True, b"\x16\3\3\0\x46\x10"), (False, b"\x17\3\3\0\x40")):
            _, certificates = told((True, HELLO), (False, ANSWER[:length]), end)
            assert certificates == ([there] if there else [])


def test_payload_that_was_captured_in_part_ends_the_answer() -> None:
    whole = answer(BIG)
    course = [(True, HELLO), (False, whole[:MAX_PAYLOAD]), (False, whole[MAX_PAYLOAD + 1000 :])]
    assert told(*course)[1] == [whole[whole.index(BIG) : MAX_PAYLOAD]]


def test_answer_is_kept_up_to_a_bound() -> None:
    huge = b"\x30\x82\xff\0" + bytes(20_000)
    (found,) = told((True, HELLO), *segments(answer(huge), 1400, from_a=False))[1]
    assert huge.startswith(found)
    assert 8192 < len(found) < 8192 + 1400


@pytest.mark.parametrize(
    "data",
    [
        tls_record(server_hello()) + tls_record(b"\1", 20),  # TLS 1.3, and resumed sessions
        tls_record(server_hello() + b"\x0c\0\0\4abcd"),  # no certificate
        tls_record(server_hello() + b"\x0b\0\0\3\0\0\0" + b"\x0e\0\0\0"),  # none in the list
        tls_record(b"\2\x28", 21),
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
    ],
)
def test_answer_without_a_certificate(data: bytes) -> None:
    assert told((True, HELLO), (False, data), (False, ANSWER)) == ([HELLO[5:]], [])


def test_hello_that_is_sent_again_before_the_answer() -> None:
    assert told((True, HELLO), (True, HELLO), (False, ANSWER)) == ([HELLO[5:]], [CERTIFICATE])


def test_conversation_that_begins_with_the_answer() -> None:
    assert told((False, ANSWER)) == ([], [CERTIFICATE])
    assert told((True, ANSWER[:100]), (True, ANSWER[100:])) == ([], [CERTIFICATE])


def dtls(content: bytes, *, fragment: int | None = None, cookie: bytes = b"") -> bytes:
    """Return a ClientHello in a record of DTLS 1.2 (RFC 6347, section 4.2.2)."""
    at = 4 + 34 + 1 + content[38]
    body = content[4:at] + bytes([len(cookie)]) + cookie + content[at:]
    there = body[:fragment]
    head = b"\1" + len(body).to_bytes(3, "big") + bytes(5) + len(there).to_bytes(3, "big")
    return b"\x16\xfe\xfd" + bytes(8) + len(head + there).to_bytes(2, "big") + head + there


def test_hello_of_dtls() -> None:
    content = hello(legacy=0xFEFD, versions="")
    for cookie in (b"", b"\1" * 20):
        assert told((True, dtls(content, cookie=cookie)), protocol=UDP, port=5684) == ([content], [])
        assert told((True, dtls(content, cookie=cookie) + dtls(content)), protocol=UDP, port=5684) == ([content], [])
    assert told((True, dtls(content, fragment=100)), protocol=UDP, port=5684) == ([], [])
    whole = dtls(content)
    for length in range(26, len(whole)):
        assert told((True, whole[:length]), protocol=UDP, port=5684) == ([], [])


FRAMES = [
    tcp("10.0.0.1", 40000, "192.0.2.1", 443, LONG[:1400]),
    tcp("10.0.0.1", 40000, "192.0.2.1", 443, LONG[1400:], ts_ns=1),
    tcp("192.0.2.1", 443, "10.0.0.1", 40000, ANSWER[:90], ts_ns=2),
    tcp("192.0.2.1", 443, "10.0.0.1", 40000, ANSWER[90:], ts_ns=3),
    tcp("10.0.0.1", 40001, "192.0.2.1", 443, HELLO, ts_ns=4),
    udp("10.0.0.1", 40002, "192.0.2.1", 5684, dtls(hello(legacy=0xFEFD, versions="")), ts_ns=5),
]
EXPECTED = [
    (f"t13d1505h2_8daaf6152771_{sha256(f'000d,0015,002b_{SIGNATURES}'.encode()).hexdigest()[:12]}", "www.example.org"),
    (EXAMPLE, None),
    (f"dd2{EXAMPLE[3:]}", None),
]


@pytest.mark.parametrize("way", ["native", "native engine, classifier", "reference"])
def test_records_of_both_engines(way: str) -> None:
    if way == "reference":
        accountant = make_accountant("reference", max_conversations=16, applications=TABLES, keep_conversations=True)
        inspector = Inspector(accountant, Classifier, ReplayBudget(100), NameBook(), keeps_details=True)
    else:
        run = Inspected(matchers=MATCHERS if way == "native" else None)
        accountant, inspector = run.accountant, run.inspector
    for frame in FRAMES:
        accountant.account(frame)
    inspector.finish()
    accountant.end_conversations()
    ended = inspector.complete(accountant.take_conversations())
    told_of = sorted(zip(ended.rows["first_ns"].tolist(), ended.ja4, ended.certificates, strict=True))
    assert [(ja4, certificate) for _, ja4, certificate in told_of] == EXPECTED
