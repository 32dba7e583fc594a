"""Every application is recognised, in payloads built by hand. The table is consistent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from fastmon.classify import APPLICATIONS, BY_NAME, Conversation, Endpoint, Finding, by_port, by_protocol
from fastmon.classify.applications import MAX_APPLICATIONS
from fastmon.classify.classifier import _DISPATCH, MAX_MATCHERS, MAX_PAYLOAD, Classifier
from fastmon.classify.document import document

from . import cases
from .cases import CASES, TCP, Case

A, B = bytes(10) + b"\xff\xff\xc0\0\2\1", bytes(10) + b"\xff\xff\xc0\0\2\2"
NAMES_OF_THE_CONTRACT = [
    "http",
    "https",
    "tls",
    "quic",
    "dns",
    "mdns",
    "llmnr",
    "netbios",
    "dhcp",
    "dhcpv6",
    "ntp",
    "ftp",
    "ftp-data",
    "tftp",
    "smtp",
    "imap",
    "pop3",
    "ssh",
    "telnet",
    "rdp",
    "vnc",
    "smb",
    "rpc",
    "nfs",
    "ldap",
    "kerberos",
    "snmp",
    "syslog",
    "radius",
    "sip",
    "rtp",
    "rtcp",
    "rtsp",
    "stun",
    "mqtt",
    "amqp",
    "coap",
    "ssdp",
    "mysql",
    "postgresql",
    "redis",
    "mongodb",
    "bittorrent",
    "wireguard",
    "openvpn",
    "ipsec",
    "modbus",
    "bacnet",
    "dnp3",
    "ethernet-ip",
    "s7",
    "opcua",
    "bgp",
    "icmp",
    "icmpv6",
    "igmp",
    "gre",
    "ospf",
    "vrrp",
    "sctp",
    "unknown",
]
NEITHER_BY_PAYLOAD = {"mdns", "llmnr", "ftp-data"}
"""Their payloads are those of another application. Address, port or announcement tell them apart: test_names, test_classifier."""


WITHOUT_THE_NAME = {"doh": {"https"}, "doq": {"quic"}}
"""What is left of an application without the server's name, or the port."""


Payloads = Sequence[tuple[bool, bytes]]


def findings(case: Case, payloads: Payloads, *, use_ports: bool) -> list[Finding]:
    """Return the findings for payloads of a case's conversation, as long as the classifier wants more."""
    classifier = Classifier(use_ports=use_ports)
    conversation = Conversation(1, case.protocol, Endpoint(A, case.ports[0]), Endpoint(B, case.ports[1]))
    found = []
    for from_a, payload in payloads:
        finding = classifier.inspect(conversation, payload, from_a, 0)
        if finding is not None:
            found.append(finding)
            if not finding.wants_more:
                break
    assert classifier.n_failed == 0
    return found


def names_in(found: list[Finding]) -> set[str | None]:
    return {finding.name for finding in found} | {fact.name for finding in found for fact in finding.facts}


def cut_payloads(case: Case, length: int) -> Iterator[Payloads]:
    """Yield a case's payloads with all cut to a length, as by a snaplen, and with each one cut alone; from both sides."""
    sizes = [[length] * len(case.payloads)]
    sizes += [
        [length if place == cut else MAX_PAYLOAD for place in range(len(case.payloads))] for cut in range(len(case.payloads))
    ]
    for is_turned in (False, True):
        for kept in sizes:
            yield [(from_a != is_turned, data[:size]) for (from_a, data), size in zip(case.payloads, kept, strict=True)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_is_recognised(case: Case) -> None:
    found = findings(case, case.payloads, use_ports=case.by_port)
    assert [APPLICATIONS[finding.app].name for finding in found][-1:] == [case.app]
    assert case.name in {finding.name for finding in found} or case.name is None


@pytest.mark.parametrize("use_ports", [False, True], ids=["ports hidden", "ports known"])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_cut_at_every_length_is_it_or_nothing_certain_else(case: Case, use_ports: bool) -> None:
    """The content of TLS is known at the end of its hello. A part of a name is not a name."""
    apps = {case.app} | WITHOUT_THE_NAME.get(case.app, set())
    if case.payloads[0][1].startswith((b"\x16\3", b"\x17\3")):
        apps.add("tls")
    names = {None} | names_in(findings(case, case.payloads, use_ports=use_ports))
    for length in range(1, max(len(payload) for _, payload in case.payloads)):
        for payloads in cut_payloads(case, length):
            found = findings(case, payloads, use_ports=use_ports)
            assert {APPLICATIONS[finding.app].name for finding in found} <= apps, length
            assert names_in(found) <= names, length


@pytest.mark.parametrize("case", [case for case in CASES if len(case.payloads[0][1]) > 42 and len(case.payloads) == 1], ids=str)
def test_42_bytes_are_enough_or_the_port_is(case: Case) -> None:
    """A snaplen of 96 leaves 42 bytes of a TCP payload with options, and 54 of a UDP one."""
    apps = set()
    for port in (BY_NAME[case.app].tcp if case.protocol == TCP else BY_NAME[case.app].udp) or case.ports[1:]:
        found = findings(replace(case, ports=(50000, port)), [(True, case.payloads[0][1][:42])], use_ports=True)
        apps.add(APPLICATIONS[found[-1].app if found else by_port(case.protocol)[port]].name)
    if case.app == "doh":
        assert apps == {"https" if case.by_port else "tls"}  # the name comes later
    else:
        assert case.app in apps or str(case) == "dcerpc PROFINET's"  # 42 bytes are half of its header


def test_every_application_with_matchers_has_a_case() -> None:
    told_by_payload = {a.name for a in APPLICATIONS if a.id and not a.protocols and a.how} | {"ipsec", "l2tp"}
    assert told_by_payload - {case.app for case in CASES} == NEITHER_BY_PAYLOAD


def test_ids_are_places_and_names_are_unique() -> None:
    assert [application.id for application in APPLICATIONS] == list(range(len(APPLICATIONS)))
    assert len(BY_NAME) == len(APPLICATIONS) <= MAX_APPLICATIONS
    assert APPLICATIONS[0].name == "unknown"


def test_every_name_of_the_contract_is_there() -> None:
    assert set(NAMES_OF_THE_CONTRACT) <= BY_NAME.keys()


@pytest.mark.parametrize("field", ["tcp", "udp", "sctp", "protocols"])
def test_no_two_applications_share_a_port(field: str) -> None:
    numbers = [number for application in APPLICATIONS for number in getattr(application, field)]
    assert sorted(numbers) == sorted(set(numbers))


def test_tables_for_the_native_side() -> None:
    protocols, tcp, udp = by_protocol(), by_port(6), by_port(17)
    assert (len(protocols), len(tcp), len(udp), len(by_port(132))) == (256, 65536, 65536, 65536)
    named = [APPLICATIONS[protocols[number]].name for number in (1, 2, 6, 17, 47, 50, 51, 58, 89, 112, 132)]
    expected = ["icmp", "igmp", "unknown", "unknown", "gre", "ipsec", "ipsec", "icmpv6", "ospf", "vrrp", "sctp"]
    assert named == expected
    assert [APPLICATIONS[tcp[port]].name for port in (80, 443, 22, 445, 0)] == ["http", "https", "ssh", "smb", "unknown"]
    assert [APPLICATIONS[udp[port]].name for port in (53, 443, 5353, 67)] == ["dns", "quic", "mdns", "dhcp"]
    assert (APPLICATIONS[tcp[853]].name, APPLICATIONS[udp[853]].name) == ("dot", "doq")


def test_few_matchers_are_tried() -> None:
    assert max(len(matchers) for table in _DISPATCH.values() for matchers in table) <= MAX_MATCHERS


def test_document_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs" / "applications.md"
    assert page.read_text() == document(), "python -m fastmon.classify.document > docs/applications.md"


def test_the_checksum_of_dnp3_is_the_standards() -> None:
    assert cases.crc_dnp(bytes.fromhex("056405c001000004")) == bytes.fromhex("e921")
