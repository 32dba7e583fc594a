"""Names: which host they belong to, their source, and hostile ones."""

from __future__ import annotations

import pytest

from fastmon.classify import APPLICATIONS, Conversation, Endpoint, Finding, NameFact
from fastmon.classify.classifier import Classifier

from . import cases

V4 = bytes(10) + b"\xff\xff"
CLIENT, SERVER = V4 + bytes([192, 0, 2, 1]), V4 + bytes([192, 0, 2, 2])
ADDRESS = bytes([198, 51, 100, 7])
MDNS_GROUP, LLMNR_GROUP = V4 + bytes([224, 0, 0, 251]), V4 + bytes([224, 0, 0, 252])


def inspect(payload: bytes, *, protocol: int = 17, to: bytes = SERVER, port: int = 40000, from_a: bool = True) -> Finding:
    classifier = Classifier()
    found = classifier.inspect(Conversation(1, protocol, Endpoint(CLIENT, 50000), Endpoint(to, port)), payload, from_a, 0)
    assert classifier.n_failed == 0
    assert found is not None
    return found


def test_dns_answer_gives_the_name_asked_through_cnames() -> None:
    found = inspect(cases.dns_answer("www.example.org", ADDRESS, canonical="edge.example.net"), from_a=False)
    assert found.facts == (NameFact(V4 + ADDRESS, "www.example.org", "dns"),)


def test_dns_answer_with_ipv6() -> None:
    found = inspect(cases.dns_answer("www.example.org", bytes(range(16))), from_a=False)
    assert found.facts == (NameFact(bytes(range(16)), "www.example.org", "dns"),)


def test_dns_answers_after_the_query_are_wanted() -> None:
    classifier = Classifier()
    conversation = Conversation(1, 17, Endpoint(CLIENT, 50000), Endpoint(SERVER, 53))
    asked = classifier.inspect(conversation, cases.dns_query("example.org"), True, 0)
    assert asked is not None
    assert asked.wants_more
    answered = classifier.inspect(conversation, cases.dns_answer("example.org", ADDRESS), False, 1)
    assert answered is not None
    assert answered.facts == (NameFact(V4 + ADDRESS, "example.org", "dns"),)


@pytest.mark.parametrize(("group", "app"), [(MDNS_GROUP, "mdns"), (LLMNR_GROUP, "llmnr")])
def test_group_addresses_tell_dns_apart(group: bytes, app: str) -> None:
    found = inspect(cases.dns_query("printer.local"), to=group)
    assert APPLICATIONS[found.app].name == app


@pytest.mark.parametrize("n_questions", [32, 33])
def test_multicast_query_asks_up_to_32_questions(n_questions: int) -> None:
    query = b"\0\0\0\0\0" + bytes([n_questions]) + bytes(6) + b"\1a\0\0\1\0\1" * n_questions
    found = Classifier().inspect(Conversation(1, 17, Endpoint(CLIENT, 40000), Endpoint(MDNS_GROUP, 40000)), query, True, 0)
    assert (found is not None) == (n_questions == 32)


@pytest.mark.parametrize("n_records", [40, 41])
def test_dns_update_has_up_to_40_records(n_records: int) -> None:
    update = b"\0\1\x28\0\0\1\0\0\0" + bytes([n_records]) + b"\0\0\1a\0\0\6\0\1" + b"\xc0\x0c\0\1\0\1\0\0\0\0\0\0" * n_records
    found = Classifier().inspect(Conversation(1, 17, Endpoint(CLIENT, 40000), Endpoint(SERVER, 40001)), update, True, 0)
    assert (found is not None) == (n_records == 40)


def test_mdns_answer_gives_the_records_own_name() -> None:
    record = cases.dns_name("printer.local") + b"\0\1\x80\1\0\0\0\x78\0\4" + ADDRESS
    found = inspect(b"\0\0\x84\0\0\0\0\1\0\0\0\0" + record, to=MDNS_GROUP, port=5353)
    assert found.facts == (NameFact(V4 + ADDRESS, "printer.local", "mdns"),)


def test_dhcp_request_names_the_address_that_it_asks_for() -> None:
    found = inspect(cases.dhcp(3, name=b"phone", requested=ADDRESS), port=67)
    assert found.facts == (NameFact(V4 + ADDRESS, "phone", "dhcp"),)


def test_dhcp_acknowledgement_names_by_the_requests_name() -> None:
    classifier = Classifier()
    conversation = Conversation(1, 17, Endpoint(CLIENT, 68), Endpoint(SERVER, 67))
    classifier.inspect(conversation, cases.dhcp(1, name=b"phone"), True, 0)
    found = classifier.inspect(conversation, cases.dhcp(5, yours=ADDRESS, op=2), False, 0)
    assert found is not None
    assert found.facts == (NameFact(V4 + ADDRESS, "phone", "dhcp"),)


def test_netbios_registration_names_its_address() -> None:
    found = inspect(cases.netbios_registration("WORKPC", ADDRESS), port=137)
    assert found.facts == (NameFact(V4 + ADDRESS, "WORKPC", "netbios"),)


def test_server_name_and_http_host_name_the_server() -> None:
    hello = inspect(cases.tls_record(cases.client_hello("example.org")), protocol=6)
    assert hello.facts == (NameFact(SERVER, "example.org", "sni"),)
    request = inspect(cases.HTTP_REQUEST, protocol=6)
    assert request.facts == (NameFact(SERVER, "www.example.org", "http"),)


def test_http_host_that_is_an_address_names_nobody() -> None:
    assert inspect(b"GET / HTTP/1.1\r\nHost: 192.0.2.2\r\n\r\n", protocol=6).facts == ()


def test_proxy_is_not_named_by_what_is_fetched_through_it() -> None:
    found = inspect(b"GET http://example.org/ HTTP/1.1\r\nHost: example.org\r\n\r\n", protocol=6)
    assert (found.name, found.facts) == ("example.org", ())


def test_server_name_in_the_hellos_second_segment() -> None:
    record = cases.tls_record(cases.client_hello("example.org", ("x" * 200,)))
    for at in (1, 7, 60, len(record) - 1):
        classifier = Classifier()
        conversation = Conversation(1, 6, Endpoint(CLIENT, 50000), Endpoint(SERVER, 443))
        findings = [classifier.inspect(conversation, part, True, 0) for part in (record[:at], record[at:])]
        if at >= 7:
            last = findings[1]
            assert last is not None
            assert (APPLICATIONS[last.app].name, last.name, last.hello) == ("https", "example.org", record[5:])


def test_hello_that_was_cut_keeps_what_it_said() -> None:
    """The records behind it, where the rest of it should be, end the wait for more, and do not change the label."""
    record = cases.tls_record(cases.client_hello("name.example.org", ("h2", "x" * 60)))
    for cut in range(6, len(record)):
        classifier = Classifier(use_ports=False)
        conversation = Conversation(1, 6, Endpoint(CLIENT, 50000), Endpoint(SERVER, 40000))
        first = classifier.inspect(conversation, record[:cut], True, 0)
        last = classifier.inspect(conversation, cases.tls_record(bytes(40)), True, 0)
        assert first is not None
        assert last is not None
        assert (first.app, first.wants_more) == (last.app, True)
        assert not last.wants_more
        assert last.name is None


@pytest.mark.parametrize("following", ["records", "the hello again", "another segment"])
def test_hello_that_was_cut_is_not_joined_with_what_follows_it(following: str) -> None:
    record = cases.tls_record(cases.client_hello("name.example.org", ("x" * 60, "h2")))
    more = {
        "records": b"\x14\3\3\0\1\1" + cases.tls_record(bytes(40)),
        "the hello again": record,
        "another segment": bytes(range(128, 256)) * 3,
    }[following]
    for cut in range(6, len(record)):
        classifier = Classifier()
        conversation = Conversation(1, 6, Endpoint(CLIENT, 50000), Endpoint(SERVER, 443))
        findings = [classifier.inspect(conversation, part, True, 0) for part in (record[:cut], more)]
        assert {finding.name for finding in findings if finding} <= {None, "name.example.org"}, cut
        assert {APPLICATIONS[finding.app].name for finding in findings if finding} == {"https"}
        assert classifier.n_failed == 0


def test_name_is_read_up_to_512_bytes() -> None:
    for n_bytes, n_read in ((512, 512), (513, 512), (1400, 512)):
        found = inspect(b"GET / HTTP/1.1\r\nHost: " + b"a" * n_bytes + b"\r\n\r\n", protocol=6)
        assert found.name == "a" * n_read


HOSTILE = b"\x1b[2J\x07<script>\xff\xfe"


@pytest.mark.parametrize(
    ("payload", "protocol", "port"),
    [
        (cases.tls_record(cases.client_hello("\x1b[2J\x07<script>")), 6, 443),
        (b"GET / HTTP/1.1\r\nHost: " + HOSTILE + b"\r\n\r\n", 6, 80),
        (cases.dns_query("\x1b[2J\x07.<script>"), 17, 53),
        (cases.dhcp(3, name=HOSTILE, requested=ADDRESS), 17, 67),
    ],
    ids=["sni", "host", "dns", "dhcp"],
)
def test_hostile_names_come_through_as_text(payload: bytes, protocol: int, port: int) -> None:
    found = inspect(payload, protocol=protocol, port=port)
    assert found.name is not None
    assert found.name.startswith("\x1b[2J\x07")
    found.name.encode("utf-8")
