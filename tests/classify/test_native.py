"""The native matchers beside the classifier: what they decide is what it decides."""

from __future__ import annotations

import random
import re
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastmon.classify import APPLICATIONS, BY_NAME, Endpoint
from fastmon.classify.matchers.tls import APPS_BY_ALPN, APPS_BY_PORT
from fastmon.classify.tables import for_native
from fastmon.model.names import NAME_SOURCES
from fastmon.native.matchers import APPS, NAMES, SOURCES, Looker, Matchers

from . import cases, noise
from .cases import CASES, TCP, UDP, Case
from .test_hostile import damaged_payloads
from .twins import MATCHERS, MismatchError, compare, known_port

SOURCE = Path(__file__).parents[2] / "src/fastmon/native/classify"
V4 = bytes(10) + b"\xff\xff"
A, B = V4 + bytes([10, 0, 0, 1]), V4 + bytes([192, 0, 2, 1])
MDNS = [V4 + bytes([224, 0, 0, 251]), bytes.fromhex("ff0200000000000000000000000000fb")]
LLMNR = [V4 + bytes([224, 0, 0, 252]), bytes.fromhex("ff020000000000000000000000010003")]
PORTS = ("the case's", "the application's", "hidden")

LEFT_TO_PYTHON = {
    "lines of text, which regular expressions read": [
        *("ftp", "ftp by two lines", "smtp", "smtp command", "imap", "imap command", "pop3", "pop3 command", "irc", "nntp"),
        *("syslog", "syslog RFC 5424", "syslog over TCP, with a length", "syslog over TCP, with a length and no header"),
        *("sip", "rtsp", "xmpp", "git", "redis", "memcached", "tftp"),
    ],
    "an earlier payload, which Python remembers": [
        *("tftp a block and its acknowledgement", "tftp one side's blocks", "radius cut, both", "rtp", "mqtt in mid-connection"),
        *(
            "mqtt a subscription and its acknowledgement",
            "coap by request and answer",
            "bittorrent uTP",
            "bittorrent uTP, one side",
        ),
        *(
            "bittorrent uTP, extended",
            "modbus",
            "modbus one side's requests",
            "socks",
            "socks a request and its answer",
            "iec104",
        ),
        *("netbios an answer alone",),
    ],
    "fields that are seldom seen, and checked once": [
        *(
            "netbios",
            "netbios datagram",
            "netbios session",
            "radius",
            "wireguard",
            "openvpn",
            "openvpn keyed",
            "openvpn over TCP",
        ),
        *("mysql", "mssql", "mssql login", "oracle", "cassandra", "diameter"),
    ],
    "decryption": ["quic 1, not decrypted", "quic 2, not decrypted", "quic Google's", "doq not decrypted"],
    "the first bytes of uTP, which the native side does not check to the end": ["dhcp BOOTP", "dhcpv6", "ipsec"],
}
"""Cases in which Python is asked, by what it has that the native side lacks."""


def endpoints(case: Case, ports: str) -> tuple[Endpoint, Endpoint]:
    a_port, b_port = case.ports
    if ports == "the application's":
        b_port = known_port(case.app, case.protocol) or b_port
    return Endpoint(A, a_port), Endpoint(B, b_port)


def names_of_enum(path: str, enum: str) -> list[str]:
    """Return the names that an enum of a .pxd has, but for those that count them."""
    text = (SOURCE / path).read_text()
    (body,) = re.findall(rf"cdef enum {enum}:.*\n((?:    .*\n)+)", text)
    return [line.split()[0] for line in body.splitlines() if "=" not in line and not line.split()[0].startswith("N_")]


def test_names_are_those_of_the_enums() -> None:
    assert [name.upper().replace("-", "_") for name in APPS] == names_of_enum("apps.pxd", "App")
    assert [f"BY_{name.upper()}" for name in SOURCES] == names_of_enum("notes.pxd", "Source")


def test_applications_and_sources_are_known() -> None:
    assert set(APPS) <= set(BY_NAME)
    assert set(SOURCES) == set(NAME_SOURCES)


def test_every_matcher_of_the_table_has_a_twin() -> None:
    rows = for_native()[0]
    assert sorted(NAMES) == sorted({name for _, name, _, _ in rows})


def test_twins_are_listed_by_their_own_names() -> None:
    text = (SOURCE.parent / "matchers.pyx").read_text()
    added = re.findall(r'TWINS\.add\("([a-z0-9_.]+)", ([a-z0-9_.]+)\)', text)
    assert len(added) == len(NAMES)
    assert [name for name, function in added if name != function] == []


@pytest.mark.parametrize("ports", PORTS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_case_is_what_it_is_to_the_classifier(case: Case, ports: str) -> None:
    found = compare(case.protocol, *endpoints(case, ports), case.payloads, use_ports=ports != "hidden")
    if ports == "the case's" and not found.asks:
        assert found.label == case.app


def test_what_is_left_to_python() -> None:
    """A case that is decided natively stays so; one that no longer needs Python leaves the list."""
    asked = {str(case) for case in CASES if compare(case.protocol, *endpoints(case, "the case's"), case.payloads).asks}
    assert asked == {name for names in LEFT_TO_PYTHON.values() for name in names}


@pytest.mark.parametrize("ports", PORTS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_cut_at_every_length(case: Case, ports: str) -> None:
    a, b = endpoints(case, ports)
    for index, (from_a, payload) in enumerate(case.payloads):
        for length in range(1, len(payload)):
            cut = [*case.payloads[:index], (from_a, payload[:length])]
            compare(case.protocol, a, b, cut, use_ports=ports != "hidden")
            compare(case.protocol, a, b, cut[-1:], use_ports=ports != "hidden")


@pytest.mark.parametrize("ports", PORTS)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_changed_bytes(case: Case, ports: str) -> None:
    a, b = endpoints(case, ports)
    source = random.Random(f"{case} {ports}")
    for _ in range(80):
        changed = [(from_a, noise.changed(source, payload[:400])) for from_a, payload in case.payloads]
        compare(case.protocol, a, b, changed, use_ports=ports != "hidden")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_byte_changed_a_little(case: Case) -> None:
    """By one, or in one bit: what is at a bound is then beyond it."""
    a, b = endpoints(case, "the case's")
    for index, (from_a, payload) in enumerate(case.payloads):
        for at in range(min(len(payload), 80)):
            byte = payload[at]
            for other in {byte ^ 1 << bit for bit in range(8)} | {byte + 1 & 255, byte - 1 & 255}:
                changed = payload[:at] + bytes([other]) + payload[at + 1 :]
                compare(case.protocol, a, b, [*case.payloads[:index], (from_a, changed)])


@pytest.mark.parametrize("port", sorted(APPS_BY_PORT))
def test_port_of_tls(port: int) -> None:
    """A hello, a record in mid-connection, and a hello of SSL 2.0; from both sides."""
    for case in CASES:
        if case.label in {"", "in mid-connection", "SSL 2.0's hello"} and case.app == "tls":
            for ends in ((50000, port), (port, 50000), (port, 443), (port, port + 1)):
                a, b = Endpoint(A, ends[0]), Endpoint(B, ends[1])
                found = compare(TCP, a, b, case.payloads)
                assert found.label in APPS_BY_PORT.values()
                compare(TCP, a, b, case.payloads, use_ports=False)


@pytest.mark.parametrize("protocol", [*sorted(APPS_BY_ALPN), "unheard-of", "h", "h2c", "MQTT", ""])
def test_application_by_alpn(protocol: str) -> None:
    for protocols in ((protocol,), ("unheard-of", protocol), (protocol, "irc"), ("irc", protocol)):
        hello = cases.tls_record(cases.client_hello("example.org", protocols))
        found = compare(TCP, Endpoint(A, 50000), Endpoint(B, 40000), [(True, hello)])
        assert found.label == next((APPS_BY_ALPN[one] for one in protocols if one in APPS_BY_ALPN), "tls")


@pytest.mark.parametrize("protocol", [TCP, UDP])
def test_random_fields_behind_every_first_byte(protocol: int) -> None:
    ports = sorted({port for one in APPLICATIONS for port in (one.tcp if protocol == TCP else one.udp)})
    source = random.Random(protocol)
    for first in range(256):
        for _ in range(60):
            payload = bytes([first]) + noise.payload(source, source.randint(0, 90))
            a, b = Endpoint(A, source.choice(ports)), Endpoint(B, source.choice(ports))
            compare(protocol, a, b, [(True, payload)], use_ports=source.random() < 0.7)


ROWS = {f"{name} {protocol}": (protocol, first, least) for protocol, name, first, least in for_native()[0]}


@pytest.mark.parametrize("row", ROWS)
def test_random_fields_of_what_a_row_lets_through(row: str) -> None:
    protocol, first, least = ROWS[row]
    source = random.Random(row)
    for _ in range(300):
        size = source.randint(max(1, least - 2), least + 60)
        payload = bytes([source.choice(first)]) + noise.payload(source, size)[1:]
        compare(protocol, Endpoint(A, 50000), Endpoint(B, 40000), [(True, payload)], use_ports=False)


@pytest.mark.parametrize("protocol", [TCP, UDP])
@given(data=st.data())
@settings(max_examples=300)
def test_payloads_of_several_protocols_in_one_conversation(protocol: int, data: st.DataObject) -> None:
    some = [case for case in CASES if case.protocol == protocol]
    a, b = endpoints(data.draw(st.sampled_from(some)), data.draw(st.sampled_from(PORTS)))
    b = b._replace(host=data.draw(st.sampled_from([B, B, *MDNS, *LLMNR])))
    compare(protocol, a, b, data.draw(damaged_payloads(some)), use_ports=data.draw(st.booleans()))


@given(st.sampled_from(CASES), st.data())
@settings(max_examples=600)
def test_payloads_of_one_protocol_in_one_conversation(case: Case, data: st.DataObject) -> None:
    """The first are whole, so that what they leave behind meets damaged ones."""
    a, b = endpoints(case, data.draw(st.sampled_from(PORTS)))
    payloads = [*case.payloads, *data.draw(damaged_payloads([case]))]
    compare(case.protocol, a, b, payloads[data.draw(st.integers(0, 1)) :], use_ports=data.draw(st.booleans()))


@pytest.mark.parametrize("case", [case for case in CASES if case.protocol == TCP], ids=str)
def test_first_payload_in_two_segments(case: Case) -> None:
    (from_a, payload), *others = case.payloads
    for length in range(1, min(len(payload), 400)):
        segments = [(from_a, payload[:length]), (from_a, payload[length:]), *others]
        compare(TCP, *endpoints(case, "the case's"), segments)


@pytest.mark.parametrize("group", [*MDNS, *LLMNR], ids=bytes.hex)
@pytest.mark.parametrize("case", [case for case in CASES if case.app == "dns" and case.protocol == UDP], ids=str)
def test_message_to_a_group(case: Case, group: bytes) -> None:
    for _, payload in case.payloads:
        for length in range(12, len(payload) + 1):
            compare(UDP, Endpoint(A, 50000), Endpoint(group, 40000), [(True, payload[:length])])


def dns_answer_cut_in_its_data(name: bytes) -> bytes:
    return struct.pack(">6H", 1, 0x8400, 0, 1, 0, 0) + bytes([len(name)]) + name + b"\0\0\1\0\1\0\0\0\x3c\0\x09\1\2\3\4"


def request(host: bytes) -> bytes:
    return b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"


def dhcpv6(name: bytes = b"") -> bytes:
    encoded = b"\0" + b"".join(bytes([len(label)]) + label for label in name.split(b".")) if name else b""
    lease = struct.pack(">2H", 3, 40) + bytes(12) + struct.pack(">2H", 5, 24) + bytes(range(24))
    option = struct.pack(">2H", 39, len(encoded)) + encoded if name else b""
    return b"\7\1\2\3" + cases.DUIDS + option + lease


LONG_NAMES = [b".".join([b"a" * 49] * 7)[:n_bytes] for n_bytes in (235, 236, 237, 250, 252, 253, 254, 255)]
EDGES: dict[str, tuple[int, list[tuple[bool, bytes]]]] = {
    **{
        f"a record's name of few characters: {name.hex()}": (UDP, [(True, dns_answer_cut_in_its_data(name))])
        for name in [
            *(b"a", b"abc", b"abcd", b"\xff", b"\xc3\xc3", b"\xc3\xa9\xc3\xa9", b"\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f", b"ab\xc3"),
            *(b"\xe2\x82\xac" * 3, b"\xe2\x82\xac" * 4, b"a\xf0\x9f\x98\x80b", b"\xf0\x9f\x98\x80" * 4, b"\xe2\x28\xa1"),
            *(b"\xed\xa0\x80", b"\xc0\x80", b"\xe0\x80\x80", b"\xf0\x80\x80\x80", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80"),
        ]
    },
    **{
        f"a host that may be an address: {host.decode()}": (TCP, [(True, request(host))])
        for host in (b"[fe80::1%eth0]", b"fe80::1%a", b"[fe80::1%eth0]:80", b"[fe80::1]", b"1.2.3.4", b"1.2.3.04", b"a%3a:80")
    },
    **{
        f"a name of {len(name)} bytes in a request of DHCP": (
            UDP,
            [(True, cases.dhcp(1, name=name)), (False, cases.dhcp(5, op=2, yours=b"\xc0\0\2\7"))],
        )
        for name in (*LONG_NAMES, b"a" * 250 + b"....", b"a" * 250 + b"    ")
    },
    **{
        f"a name of {len(name)} bytes in a request of DHCPv6": (UDP, [(True, dhcpv6(name)), (False, dhcpv6())])
        for name in (
            *LONG_NAMES,
            b"a" * 240 + b"." + b" " * 60,
            b".".join([b" " * 60] * 9),
            b".".join([b"a" * 60] * 3 + [b" " * 60] * 2 + [b"b"]),
        )
    },
    "a long name after a short one in DHCPv6": (
        UDP,
        [(True, dhcpv6(b"a")), (True, dhcpv6(b"a" * 60 + b".b" * 150)), (True, dhcpv6())],
    ),
    "SIP by a field, behind a line's end": (UDP, [(True, b"\r\x00\nVia: SIP/2.0/UDP 192.0.2.1\nCall-ID: 1\n")]),
}
"""What once was another thing to one side than to the other."""


def quic_handshake(n_ours: int, n_theirs: int) -> bytes:
    return b"\xe0\0\0\0\1" + bytes([n_ours]) + bytes(n_ours) + bytes([n_theirs]) + bytes(n_theirs) + bytes(40)


def dnp3(length: int) -> bytes:
    header = cases.dnp3_header()[:2] + bytes([length]) + cases.dnp3_header()[3:]
    return header + cases.crc_dnp(header)


def ldp(length: int, message: int) -> bytes:
    return struct.pack(">2HIH2HI", 1, length, 0xC0000201, 0, 0x0400, message, 7)


def questions(n_questions: int, n_records: int, *, n_labels: int = 1, flags: int = 0x0100) -> bytes:
    asked = b"\1a" * n_labels + b"\0\0\1\0\1"
    return struct.pack(">6H", 7, flags, n_questions, 0, 0, n_records) + asked * min(n_questions, 40) + b"\xc0\x0c\0\1\0\1" * 3


def report(kind: int, n_sources: int, n_words: int) -> bytes:
    return bytes([0x80 + n_sources, kind]) + struct.pack(">H", n_words) + b"\1" * (4 * n_words)


BOUNDS: dict[str, tuple[int, list[bytes]]] = {
    "bgp": (TCP, [b"\xff" * 16 + bytes([high, 19, kind]) for high in (0, 15, 16, 17) for kind in (0, 1, 5, 6)]),
    "ldp": (UDP, [ldp(length, message) for length in (13, 14, 15, 4096, 4097) for message in (3, 4, length - 10, length - 9)]),
    "rtcp": (UDP, [report(kind, n, n_words) for kind in range(199, 209) for n in range(4) for n_words in range(30)]),
    "dnp3": (TCP, [dnp3(length) for length in range(8)]),
    "opcua": (TCP, [b"HELF" + struct.pack("<I", length) + bytes(size) for length in (7, 8, 9) for size in range(210, 240)]),
    "quic": (UDP, [quic_handshake(ours, theirs) for ours in (0, 2, 3, 4, 8, 20, 21) for theirs in (0, 1, 2, 20, 21)]),
    "telnet": (
        TCP,
        [
            before + bytes([255, verb, option])
            for before in (b"", b"\xff\xfd\1")
            for verb in range(239, 256)
            for option in (0, 48, 49, 50, 254, 255)
        ],
    ),
    "postgresql": (
        TCP,
        [struct.pack(">I", 500) + b"\0\3\0\0" + b"x" * n_before + b"user\0" + b"x" * 9 for n_before in range(40, 60)],
    ),
    "coap": (UDP, [b"\x40\1\0\0\xb2ab" + b"\2ab" * n_options for n_options in range(36, 44)]),
    "tracker": (UDP, [b"\0\0\x04\x17\x27\x10\x19\x80" + bytes(n_bytes) for n_bytes in range(12)]),
    "rpc": (
        UDP,
        [
            struct.pack(">10I", 1, 0, version, program, 2, 3, 0, 0, 0, 0)
            for version in (1, 2, 3)
            for program in (99_999, 100_000, 100_003, 400_122, 999_999, 1_000_000, 0x5FFFFFFF, 0x60000000)
        ],
    ),
    "modbus": (
        TCP,
        [b"\0\1\0\0\0" + bytes([length, 1, 3]) + bytes(n_more) for length in (1, 2, 3, 254, 255) for n_more in (0, 1, 252, 253)],
    ),
    "dns, labels": (UDP, [questions(1, 0, n_labels=n_labels) for n_labels in range(37, 43)]),
    "dns, counts": (
        UDP,
        [
            questions(n_questions, n_records, flags=flags)
            for n_questions in (0, 1, 2, 32, 33)
            for n_records in (0, 1, 40, 41, 117, 118, 149, 150, 151)
            for flags in (0x0100, 0x8180, 0x0500)
        ],
    ),
    "http": (TCP, [b"GET /" + b"a" * n + end for n in range(1486, 1495) for end in (b" HTTP/1.1\r\n", b"\r\n", b"")]),
    "dhcp, cut": (UDP, [cases.dhcp(1)[:length] for length in range(26, 50)]),
    "ntp": (UDP, [b"\x24\1\6\xec" + bytes(36) + b"\xe5\xf1\xa2\xb3" + bytes(n_more) for n_more in range(16)]),
    "iec104": (TCP, [bytes([0x68, length, 1, 0, 0, 0]) + bytes(length - 4) for length in (4, 5, 252, 253, 254, 255)]),
    "socks": (TCP, [b"\5" + bytes([n_methods]) + bytes(n_methods) for n_methods in range(10)]),
    "rdp over UDP": (UDP, [b"\xff" * 4 + b"\0\0\0\1" + bytes(size - 8) for size in (1127, 1128, 1280, 1281)]),
}
"""Payloads on both sides of bounds that a change of one byte seldom crosses."""


@pytest.mark.parametrize("kind", BOUNDS)
def test_bound(kind: str) -> None:
    protocol, payloads = BOUNDS[kind]
    for payload in payloads:
        for ports in ((50000, 40000), (50000, 2049), (5353, 5353), (50000, 502)):
            compare(protocol, Endpoint(A, ports[0]), Endpoint(B, ports[1]), [(True, payload)])


@pytest.mark.parametrize("edge", EDGES)
def test_edge(edge: str) -> None:
    protocol, payloads = EDGES[edge]
    compare(protocol, Endpoint(A, 50000), Endpoint(B, 40000), payloads)


def test_name_of_a_request_is_its_answers() -> None:
    """By itself the answer has an address and no name."""
    answer = cases.dhcp(5, op=2, yours=b"\xc0\0\2\7")
    found = compare(UDP, Endpoint(A, 68), Endpoint(B, 67), [(True, cases.dhcp(1, name=b"phone")), (False, answer)])
    assert found.verdicts == ["certain", "certain"]
    assert found.named == {(V4 + bytes([192, 0, 2, 7]), "phone", "dhcp")}
    assert compare(UDP, Endpoint(A, 68), Endpoint(B, 67), [(False, answer)]).named == set()


def test_hello_in_two_segments_has_its_name() -> None:
    hello = cases.tls_record(cases.client_hello("example.org"))
    for length in range(11, len(hello)):
        found = compare(TCP, Endpoint(A, 50000), Endpoint(B, 443), [(True, hello[:length]), (True, hello[length:])])
        assert (found.label, {name for _, name, _ in found.named}) == ("https", {"example.org"})


def test_difference_is_found() -> None:
    """The comparison itself can fail: here the native side is told of another port."""
    tables = for_native()
    payloads = [(True, b"\x23" + bytes(47))]  # nothing but zeros: NTP by its port only
    compare(UDP, Endpoint(A, 50000), Endpoint(B, 123), payloads)
    moved = bytearray(tables[3])
    moved[123] = 0
    other = Matchers(tables[0], tables[1], tables[2], bytes(moved), tables[4], 64)
    with pytest.raises(MismatchError, match="Python has a finding"):
        compare(UDP, Endpoint(A, 50000), Endpoint(B, 123), payloads, matchers=other)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"protocol": 1}, ValueError),
        ({"src": b"short"}, ValueError),
        ({"dst": b"short"}, ValueError),
        ({"data": b""}, ValueError),
        ({"data": bytes(1501)}, ValueError),
        ({"data": "text"}, TypeError),
        ({"follow": -1}, ValueError),
        ({"follow": 8}, ValueError),
    ],
    ids=str,
)
def test_look_at_nonsense_is_refused(change: dict[str, object], error: type[Exception]) -> None:
    right: dict[str, object] = {"token": 1, "protocol": TCP, "src": A, "src_port": 1, "dst": B, "dst_port": 2}
    right |= {"from_a": True, "data": b"x", "ts_ns": 0, "follow": 0}
    look = Looker(MATCHERS).look
    assert look(**right)[0] == "no"  # type: ignore[arg-type]
    with pytest.raises(error):
        look(**(right | change))  # type: ignore[arg-type]


def test_tables_that_lack_something_are_refused() -> None:
    rows, numbers, tcp_ports, udp_ports, resolvers = for_native()
    with pytest.raises(ValueError, match="the table of applications lacks 'dns'"):
        Matchers(rows, {name: number for name, number in numbers.items() if name != "dns"}, tcp_ports, udp_ports, resolvers, 64)
    with pytest.raises(ValueError, match="the table of TCP ports"):
        Matchers(rows, numbers, tcp_ports[:-1], udp_ports, resolvers, 64)
    with pytest.raises(ValueError, match="the table of UDP ports"):
        Matchers(rows, numbers, tcp_ports, udp_ports + b"\0", resolvers, 64)


def test_matcher_without_a_twin_is_pythons() -> None:
    rows, numbers, tcp_ports, udp_ports, resolvers = for_native()
    renamed = [
        (protocol, "web.unheard_of" if name == "web.http" else name, first, least) for protocol, name, first, least in rows
    ]
    matchers = Matchers(renamed, numbers, tcp_ports, udp_ports, resolvers, 64)
    assert compare(TCP, Endpoint(A, 1), Endpoint(B, 2), [(True, cases.HTTP_REQUEST)], matchers=matchers).asks
