"""Payloads made to hurt, random ones, and every payload of the corpus: nothing fails, nothing takes long."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastmon.classify import Classifier, Conversation, Endpoint
from fastmon.classify.classifier import MAX_PAYLOAD, MAX_STEPS

from .cases import CASES, Case, client_hello, tls_record
from .steps import inspect_counted

A, B = Endpoint(bytes(15) + b"\1", 50000), Endpoint(bytes(15) + b"\2", 40000)
TCP, UDP = 6, 17
MAX_S = 0.001
"""Of one payload; the dearest took a third of it."""


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
    "coap, many options": (UDP, filled(b"\x40\1\0\0", b"\1a")),
    "quic, many versions": (UDP, filled(b"\x80\0\0\0\0\0\0", b"\1\2\3\4")),
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
def test_expensive_payload_takes_bounded_time(kind: str) -> None:
    """What steps do not show: the time within regular expressions and codecs. The least of several is the machine's own."""
    protocol, payload = EXPENSIVE[kind]
    assert min(thread_time_s(protocol, payload) for _ in range(20)) < MAX_S


def thread_time_s(protocol: int, payload: bytes) -> float:
    classifier, began = Classifier(), time.thread_time()
    classifier.inspect(Conversation(1, protocol, A, B), payload, True, 0)
    return time.thread_time() - began


@given(st.sampled_from([TCP, UDP]), st.lists(st.tuples(st.booleans(), st.binary(max_size=400)), max_size=6))
def test_random_payloads_fail_nowhere(protocol: int, payloads: list[tuple[bool, bytes]]) -> None:
    classifier = Classifier()
    for from_a, payload in payloads:
        classifier.inspect(Conversation(1, protocol, A, B), payload, from_a, 0)
    assert classifier.n_failed == 0


@given(st.sampled_from(CASES), st.data())
def test_damaged_payloads_fail_nowhere(case: Case, data: st.DataObject) -> None:
    """What a protocol's payload becomes when some of its bytes are others', and its end is gone."""
    classifier = Classifier()
    which = Conversation(1, case.protocol, Endpoint(A.host, case.ports[0]), Endpoint(B.host, case.ports[1]))
    for from_a, payload in case.payloads:
        damaged = bytearray(payload)
        for at, byte in data.draw(st.lists(st.tuples(st.integers(0, len(payload) - 1), st.integers(0, 255)), max_size=8)):
            damaged[at] = byte
        classifier.inspect(which, bytes(damaged[: data.draw(st.integers(1, len(payload)))]), from_a, 0)
    assert classifier.n_failed == 0
