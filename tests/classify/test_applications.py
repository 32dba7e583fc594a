"""Every application is recognised, by payloads built by hand, and the table keeps its promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from fastmon.classify import APPLICATIONS, BY_NAME, Classifier, Conversation, Endpoint, Finding, by_port, by_protocol
from fastmon.classify.applications import MAX_APPLICATIONS
from fastmon.classify.classifier import _DISPATCH, MAX_MATCHERS
from fastmon.classify.document import document

from . import cases
from .cases import CASES, Case

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
"""Those whose payloads are another's, told apart by address, port or announcement: tested in test_names and test_announced."""


def inspect_all(case: Case, *, use_ports: bool, cut: int | None = None) -> tuple[Finding | None, str | None]:
    """Return the last finding of a case's payloads, and the name that any of them had."""
    classifier = Classifier(use_ports=use_ports)
    conversation = Conversation(1, case.protocol, Endpoint(A, case.ports[0]), Endpoint(B, case.ports[1]))
    found, name = None, None
    for from_a, payload in case.payloads:
        news = classifier.inspect(conversation, payload[:cut], from_a, 0)
        if news is not None:
            found, name = news, news.name or name
            if not news.wants_more:
                break
    assert classifier.n_failed == 0
    return found, name


@pytest.mark.parametrize("case", CASES, ids=str)
def test_is_recognised(case: Case) -> None:
    found, name = inspect_all(case, use_ports=case.by_port)
    assert found is not None
    assert APPLICATIONS[found.app].name == case.app
    assert name == case.name or case.name is None


@pytest.mark.parametrize("case", CASES, ids=str)
def test_cut_at_every_length_is_it_or_nothing_certain_else(case: Case) -> None:
    for length in range(1, max(len(payload) for _, payload in case.payloads)):
        inspect_all(case, use_ports=False, cut=length)


@pytest.mark.parametrize("case", [case for case in CASES if len(case.payloads[0][1]) > 42 and len(case.payloads) == 1], ids=str)
def test_42_bytes_are_enough_or_the_port_is(case: Case) -> None:
    """A snaplen of 96 leaves 42 bytes of a TCP payload with options, and 54 of a UDP one."""
    found, _ = inspect_all(case, use_ports=case.by_port, cut=42)
    if found is not None:
        assert APPLICATIONS[found.app].name in {case.app, "tls"}


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


def test_few_matchers_are_tried() -> None:
    assert max(len(matchers) for table in _DISPATCH.values() for matchers in table) <= MAX_MATCHERS


def test_document_is_up_to_date() -> None:
    page = Path(__file__).parents[2] / "docs" / "applications.md"
    assert page.read_text() == document(), "python -m fastmon.classify.document > docs/applications.md"


def test_the_checksum_of_dnp3_is_the_standards() -> None:
    assert cases.crc_dnp(bytes.fromhex("056405c001000004")) == bytes.fromhex("e921")
