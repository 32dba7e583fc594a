"""Hostile, random and damaged payloads: nothing fails, nothing takes long."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Hashable, Sequence
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastmon.classify import APPLICATIONS, Conversation, Endpoint
from fastmon.classify.applications import Matcher
from fastmon.classify.classifier import MAX_PAYLOAD, MAX_STEPS, Classifier, function_of
from fastmon.classify.matching import Context

from . import noise
from .cases import CASES, Case, client_hello, tls_record
from .steps import inspect_counted

A, B = Endpoint(bytes(15) + b"\1", 50000), Endpoint(bytes(15) + b"\2", 40000)
TCP, UDP = 6, 17
MAX_LOOPS = 20
"""The cost of an inspection, as loops of Python over its payload."""


def filled(start: bytes, more: bytes) -> bytes:
    return (start + more * MAX_PAYLOAD)[:MAX_PAYLOAD]


DNS_HEADER = b"\0\1\x81\x80\0\1\0\x94\0\0\0\0"
EXPENSIVE = {
    "dns, many records with long names": (UDP, filled(DNS_HEADER + b"\1a" * 39 + b"\0\0\1\0\1", b"\xc0\x0c\0\1\0\1\0\0\0\1\0\0")),
    "dns, pointers to pointers": (UDP, filled(DNS_HEADER + b"\1a\0\0\1\0\1\xc0\x0c", b"\xc0\x13\0\1\0\1\0\0\0\1\0\2\xc0\x13")),
    "dns, one endless name": (UDP, filled(DNS_HEADER, b"\1a")),
    "mdns, many questions": (UDP, filled(b"\0\0\0\0\0\x20\0\0\0\0\0\0", b"\1a\1b\1c\0\0\1\0\1")),
    "dhcpv6, many options": (UDP, filled(b"\1\0\0\0\0\1\0\0", b"\0\6\0\0")),
    "dhcp, many options": (UDP, filled(b"\1\1\6\0" + bytes(232) + b"\x63\x82\x53\x63", b"\x0c\0")),
    "radius, many attributes": (UDP, filled(b"\1\1\x05\xdc" + bytes(16), b"\1\3a")),
    "stun, many attributes": (UDP, filled(b"\0\1\x05\xc8" + bytes(16), b"\0\1\0\0")),
    "rtcp, many reports": (UDP, filled(b"", b"\x80\xc9\0\0")),
    "coap, many options": (UDP, filled(b"\x40\1\0\0\xb1a", b"\1a")),
    "quic, many versions": (UDP, filled(b"\x80\0\0\0\0\0\0", b"\1\2\3\4")),
    "quic, Google's with many tags": (UDP, filled(b"\x0d" + bytes(8) + b"Q043\1" + bytes(13) + b"CHLO\xff\xff\0\0", b"PAD\0")),
    "dns, many questions": (UDP, filled(b"\0\0\0\0\xff\xff" + bytes(6), b"\1a\0\0\1\0\1")),
    "iec104, many short frames": (TCP, filled(b"", b"\x68\4\1\0\0\0")),
    "tls, many extensions": (TCP, filled(tls_record(client_hello("a"))[:44] + b"\0\0\2\0\0\1\0\5\x78", b"\0\1\0\0")),
    "tls, many names": (TCP, tls_record(client_hello("", tuple("a" * 700)))),
    "telnet, many negotiations": (TCP, filled(b"", b"\xff\xfd\1")),
    "postgresql, many messages": (TCP, filled(b"", b"S\0\0\0\4")),
    "iec104, many frames": (TCP, filled(b"", b"\x68\4\7\0\0\0")),
    "pop3, many brackets": (TCP, filled(b"+OK ", b"<@")),
    "ftp, many numbers": (TCP, filled(b"227 ", b"1,")),
    "http, no end": (TCP, filled(b"GET /", b"a")),
    "sip, many spaces": (UDP, filled(b"OPTIONS sip:a SIP/2.0\nt:", b" ")),
    "sip, many spaces before the colon": (UDP, filled(b"OPTIONS sip:a SIP/2.0\nt", b" ")),
    "sip, many users": (UDP, filled(b"OPTIONS sip:a SIP/2.0\nt:", b"sip:")),
    "http, many trackers": (TCP, filled(b"GET /", b"scrape")),
    "http, a host that is no text": (TCP, filled(b"GET / HTTP/1.1\r\nHost: ", b"\xff")),
    "sip, many fields": (UDP, filled(b"INVITE sip:a@b SIP/2.0", b"\nt:sip:")),
    "xmpp, no end": (TCP, filled(b"<stream:stream", b" x")),
    "memcached, many keys": (TCP, filled(b"get", b" a")),
    "bittorrent, many keys": (UDP, filled(b"d", b"1:a")),
}


@pytest.mark.parametrize("kind", EXPENSIVE)
def test_expensive_payload_takes_bounded_work(kind: str) -> None:
    protocol, payload = EXPENSIVE[kind]
    for use_ports in (True, False):
        classifier = Classifier(use_ports=use_ports)
        for turn in range(3):
            assert inspect_counted(classifier, Conversation(1, protocol, A, B), payload, from_a=turn != 1) <= MAX_STEPS
        assert classifier.n_failed == 0


@pytest.mark.parametrize("kind", EXPENSIVE)
def test_expensive_payload_costs_as_much_as_a_few_loops_over_it(kind: str) -> None:
    """Counted lines do not show the work inside regular expressions and codecs.

    It is compared with a loop on the same machine at the same time. The minimum of several runs is the true cost.
    """
    protocol, payload = EXPENSIVE[kind]
    costs = [(thread_time_s(loop_over, payload), thread_time_s(inspect_once, protocol, payload)) for _ in range(20)]
    assert min(inspection for _, inspection in costs) < MAX_LOOPS * min(loop for loop, _ in costs)


def thread_time_s(work: Callable[..., object], *arguments: object) -> float:
    began = time.thread_time()
    work(*arguments)
    return time.thread_time() - began


def loop_over(payload: bytes) -> int:
    total = 0
    for byte in payload:
        total = total * 31 + byte & 0xFFFF
    return total


def inspect_once(protocol: int, payload: bytes) -> None:
    Classifier().inspect(Conversation(1, protocol, A, B), payload, True, 0)


@given(st.sampled_from([TCP, UDP]), st.lists(st.tuples(st.booleans(), st.binary(max_size=400)), max_size=6))
def test_random_payloads_fail_nowhere(protocol: int, payloads: list[tuple[bool, bytes]]) -> None:
    classifier = Classifier()
    for from_a, payload in payloads:
        classifier.inspect(Conversation(1, protocol, A, B), payload, from_a, 0)
    assert classifier.n_failed == 0


MATCHERS = [(application.name, matcher) for application in APPLICATIONS for matcher in application.matchers]
FILLINGS = (bytes(64), b"\xff" * 64, b"\1\0" * 32, b"\0\1" * 32, bytes(range(64)), b"a" * 64)


@pytest.mark.parametrize(("app", "matcher"), MATCHERS, ids=[f"{app}-{one.name}" for app, one in MATCHERS])
def test_every_matcher_reads_whatever_its_row_of_the_table_lets_through(app: str, matcher: Matcher) -> None:
    """Call it directly: another matcher may be certain of a payload first."""
    function = function_of(matcher)
    source = random.Random(app)
    lengths = range(matcher.least, matcher.least + 24)
    payloads = [
        bytes([first]) + filling[: length - 1] for first in matcher.first for filling in FILLINGS[:3] for length in lengths
    ]
    payloads += [bytes(few) for few in product((0, 1, 4, 5, 0xFF), repeat=5) if matcher.least <= 5 and few[0] in matcher.first]
    for _ in range(3000):
        first = bytes([source.choice(tuple(matcher.first))])
        payloads.append(first + noise.payload(source, source.randint(matcher.least, matcher.least + 60))[1:])
    memory: dict[Hashable, Any] = {}
    for place, payload in enumerate(payloads):
        if place % 8 == 0:
            memory.clear()
        from_a = bool(place & 1)
        function(payload, Context(matcher.protocol, A if from_a else B, B if from_a else A, from_a, memory))


def conversation_of(case: Case) -> Conversation:
    return Conversation(1, case.protocol, Endpoint(A.host, case.ports[0]), Endpoint(B.host, case.ports[1]))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_follows_may_be_anything(case: Case) -> None:
    """Further payloads come from both sides, and may be short."""
    which = conversation_of(case)
    for n_before in range(1, len(case.payloads) + 1):
        for from_a in (True, False):
            for follower in [filling[:length] for length in range(1, 64) for filling in FILLINGS]:
                classifier = Classifier()
                for before_from_a, payload in case.payloads[:n_before]:
                    classifier.inspect(which, payload, before_from_a, 0)
                if not classifier.n_pending:
                    break
                classifier.inspect(which, follower, from_a, 0)
                assert classifier.n_failed == 0, follower


@st.composite
def damaged_payloads(draw: st.DrawFn, cases: Sequence[Case]) -> list[tuple[bool, bytes]]:
    """Return payloads of some cases in any order, cut, joined, with some bytes changed."""
    pieces = [(from_a, payload) for case in cases for from_a, payload in case.payloads]
    payloads = []
    for _ in range(draw(st.integers(1, 6))):
        from_a, payload = draw(st.sampled_from(pieces))
        damaged = bytearray(payload)
        for at, byte in draw(st.lists(st.tuples(st.integers(0, len(payload) - 1), st.integers(0, 255)), max_size=8)):
            damaged[at] = byte
        kept = bytes(damaged[: draw(st.integers(1, len(payload)))])
        joined = draw(st.sampled_from(pieces))[1] if draw(st.integers(0, 3)) == 0 else b""
        payloads.append((from_a != draw(st.booleans()), kept + joined))
    return payloads


@pytest.mark.parametrize("protocol", [TCP, UDP])
@given(data=st.data())
@settings(max_examples=300)
def test_damaged_payloads_fail_nowhere(protocol: int, data: st.DataObject) -> None:
    """Payloads of several protocols in one conversation."""
    cases = [case for case in CASES if case.protocol == protocol]
    classifier = Classifier()
    which = conversation_of(data.draw(st.sampled_from(cases)))
    for from_a, payload in data.draw(damaged_payloads(cases)):
        classifier.inspect(which, payload, from_a, 0)
    assert classifier.n_failed == 0


@given(st.sampled_from(CASES), st.data())
@settings(max_examples=300)
def test_damaged_conversations_fail_nowhere(case: Case, data: st.DataObject) -> None:
    """Payloads of one protocol, so that its notes on earlier payloads meet damaged ones."""
    classifier = Classifier()
    for from_a, payload in case.payloads:
        classifier.inspect(conversation_of(case), payload, from_a, 0)
    for from_a, payload in data.draw(damaged_payloads([case])):
        classifier.inspect(conversation_of(case), payload, from_a, 0)
    assert classifier.n_failed == 0
