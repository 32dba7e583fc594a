"""The state of the classifier: evidence, announcements, bounds."""

from __future__ import annotations

import random
import struct
import subprocess
import sys

import pytest

from fastmon.classify import APPLICATIONS, Conversation, Endpoint
from fastmon.classify.classifier import EXPECTED_FOR_NS, MAX_EXPECTED, MAX_PENDING, Classifier

from . import cases, noise

V4 = bytes(10) + b"\xff\xff"
CLIENT, SERVER = V4 + bytes([192, 0, 2, 1]), V4 + bytes([192, 0, 2, 2])
TCP, UDP = 6, 17


def conversation(token: int, protocol: int, client_port: int = 50000, server_port: int = 40000) -> Conversation:
    return Conversation(token, protocol, Endpoint(CLIENT, client_port), Endpoint(SERVER, server_port))


def label(classifier: Classifier, which: Conversation, payload: bytes, *, from_a: bool = True, ts_ns: int = 0) -> str | None:
    found = classifier.inspect(which, payload, from_a, ts_ns)
    return APPLICATIONS[found.app].name if found else None


@pytest.mark.parametrize(
    "line",
    [b"227 Entering Passive Mode (192,0,2,2,200,10).\r\n", b"229 Entering Extended Passive Mode (|||51210|)\r\n"],
    ids=["PASV", "EPSV"],
)
def test_passive_ftp_data_is_announced(line: bytes) -> None:
    classifier = Classifier()
    control = conversation(1, TCP, server_port=21)
    assert label(classifier, control, b"220 FTP\r\n", from_a=False) == "ftp"
    classifier.inspect(control, line, False, 0)
    assert label(classifier, conversation(2, TCP, server_port=51210), cases.HTTP_REQUEST) == "ftp-data"


@pytest.mark.parametrize("line", [b"PORT 192,0,2,1,200,10\r\n", b"EPRT |1|192.0.2.1|51210|\r\n"], ids=["PORT", "EPRT"])
def test_active_ftp_data_is_announced(line: bytes) -> None:
    classifier = Classifier()
    assert label(classifier, conversation(1, TCP, server_port=2121), line) == "ftp"
    data = Conversation(2, TCP, Endpoint(SERVER, 33333), Endpoint(CLIENT, 51210))
    assert label(classifier, data, b"anything") == "ftp-data"


def test_announcement_ends() -> None:
    classifier = Classifier()
    label(classifier, conversation(1, TCP, server_port=21), b"PORT 192,0,2,1,200,10\r\n")
    data = Conversation(2, TCP, Endpoint(SERVER, 33333), Endpoint(CLIENT, 51210))
    assert label(classifier, data, b"anything", ts_ns=EXPECTED_FOR_NS + 1) is None


def test_rtp_is_announced_by_sip() -> None:
    classifier = Classifier()
    label(classifier, conversation(1, UDP, server_port=5060), cases.SIP_INVITE)
    media = Conversation(2, UDP, Endpoint(SERVER, 20000), Endpoint(CLIENT, 16384))
    assert label(classifier, media, cases.rtp(1)) == "rtp"


def test_tftp_goes_on_from_a_port_of_the_servers() -> None:
    classifier = Classifier()
    label(classifier, conversation(1, UDP, server_port=69), b"\0\1boot.img\0octet\0")
    assert label(classifier, conversation(2, UDP, server_port=61000), b"\0\3\0\1" + bytes(512), from_a=False) == "tftp"


@pytest.mark.parametrize(
    ("payload", "app"),
    [
        (b"\0\3\0\x08" + cases.STUN_REQUEST[4:] + b"\0\x19\0\4\x11\0\0\0", "stun"),
        (cases.NTP_CLIENT, "ntp"),
        (b"\0\3\0\1" + bytes(1400), "tftp"),
        (b"\0\4\0\0", "tftp"),
        (b"\0\5\0\1not found\0", "tftp"),
        (b"\0\x06blksize\x001400\0", "tftp"),
        (b"\0\x06blksize\x0014", "tftp"),
        (b"\0\x07\0\1 no such message", None),
        (b"any text", None),
    ],
    ids=["STUN", "NTP", "data", "acknowledgement", "error", "options", "options, cut", "not TFTP", "text"],
)
def test_port_of_a_tftp_client_carries_what_its_payloads_say(payload: bytes, app: str | None) -> None:
    classifier = Classifier()
    label(classifier, conversation(1, UDP, server_port=69), b"\0\1boot.img\0octet\0")
    assert label(classifier, conversation(2, UDP, server_port=40001), payload) == app


def test_ftp_data_is_announced_once() -> None:
    classifier = Classifier()
    label(classifier, conversation(1, TCP, server_port=21), b"PORT 192,0,2,1,200,10\r\n")
    for token, app in ((2, "ftp-data"), (3, "http")):
        data = Conversation(token, TCP, Endpoint(SERVER, 33333), Endpoint(CLIENT, 51210))
        assert label(classifier, data, cases.HTTP_REQUEST) == app


def test_ftp_of_others_does_not_say_what_a_conversation_is() -> None:
    classifier = Classifier()
    theirs = Conversation(1, TCP, Endpoint(bytes(15) + b"\x07", 4000), Endpoint(bytes(15) + b"\x08", 21))
    assert label(classifier, theirs, b"PORT 192,0,2,2,1,187\r\n") == "ftp"
    assert classifier.n_expected == 2
    assert label(classifier, conversation(2, TCP, server_port=443), cases.HTTP_REQUEST) == "http"


def test_ftp_data_to_an_address_before_translation() -> None:
    classifier = Classifier()
    label(classifier, conversation(1, TCP, server_port=21), b"227 Entering Passive Mode (10,9,8,7,200,10).\r\n", from_a=False)
    data = Conversation(2, TCP, Endpoint(CLIENT, 33333), Endpoint(bytes(10) + b"\xff\xff\x0a\x09\x08\x07", 51210))
    assert label(classifier, data, cases.HTTP_REQUEST) == "ftp-data"


def test_stun_that_leads_to_media_is_rtp() -> None:
    classifier = Classifier()
    call = conversation(1, UDP)
    assert label(classifier, call, cases.STUN_REQUEST) == "stun"
    assert label(classifier, call, cases.rtp(7, kind=111)) == "rtp"


UNRELATED = {
    "DNS with TFTP's block, cut": [b"\0\3" + flags + b"\0\1\0\0" for flags in (b"\1\0", b"\x81\x80")],
    "DNS with DHCPv6's options, cut": [cases.dns_query("example.org")[:8], b"\x12" + cases.dns_query("example.org")[1:9]],
    "DNS with CoAP's token, cut": [b"G\4" + flags + b"\0\1\0\0" for flags in (b"\1\0", b"\x81\x80")],
    "DNS's header, which is NetBIOS's too": [bytes([7, number, 1, 0x10]) + b"\0\1\0\0\0\0\0\0" for number in range(3)],
    "NetBIOS's name, cut": [bytes([7, number, 1, 0x10]) + b"\0\1\0\0\0\0\0\0 FHEPFC" for number in range(3)],
    "CoAP's path, cut after three letters": [b"\x41\1\x12" + bytes([number]) + b"\x7a\xb5hel" for number in range(3)],
    "CoAP's path that is no text": [b"\x41\1\x12" + bytes([number]) + b'\x7a\xb5 <"|>' for number in range(3)],
    "BACnet with RTP's numbers, cut": [b"\x81\x0a\0" + bytes([number]) + b"\1\x08\0\x0d\1\x3d\x10\1" for number in (32, 33)],
    "TFTP's errors": [b"\0\5\0\1not found\0", b"\0\5\0\2no access\0"],
    "TFTP's blocks far apart": [b"\0\3\0" + bytes([number]) + bytes(512) for number in (1, 5)],
    "reports that count more than they hold": [b"\x9f\xc9\0\1" + bytes([0, 0, 0, number]) for number in range(3)],
    "VXLAN's header and no frame that is known": [b"\x08\0\0\0\0\0" + bytes([number]) + bytes(23) for number in range(3)],
    "RADIUS without authenticators": [b"\1%c\0\x4d" % number + bytes(16) + b"\1\x0banonymous\4\6" for number in range(3)],
    "DHCP with its end cut": [b"\1\1\6\0" + bytes([number, 1, 2, 3]) + bytes(20) for number in range(3)],
    "uTP of different connections": [cases.utp(2, number * 100 + 1, number * 1000 + 1, number, 9) for number in range(3)],
    "uTP with numbers far apart": [cases.utp(2, 7, number * 1000 + 1, number * 5000, 9) for number in range(3)],
    "uTP that goes back in time": [cases.utp(2, 7, 9000 - number * 1000, 5, 9) for number in range(3)],
    "uTP with too many extensions": [cases.utp_extended(5, 7, 1000 + number, number, 9) for number in range(3)],
    "DNS that claims more records than fit": [
        b"\0\1\x81\x80\0\1\0\xc8\0\0\0\0\1a\0\0\1\0" + bytes([number]) for number in (1, 255)
    ],
    "CoAP with too many options": [b"\x40\1\0" + bytes([number]) + b"\xb1a" + b"\1a" * 60 for number in range(3)],
    "QUIC's versions, a known one far behind": [b"\x80\0\0\0\0\0\x08" + bytes(8) + b"\1\2\3\4" * 40 + b"\0\0\0\1"],
    "zeros": [b"\1" + bytes(19), b"\1" + bytes(20), b"\1" + bytes(40)],
    "CoAP's tokens, cut": [b"\x48\1\x12\x34\7", b"\x68\x45\x12\x34\7"],
    "CoAP's answer that is a reset": [b"\x42\1\x12\x34\xaa\xbb", b"\x72\x45\x12\x34\xaa\xbb"],
    "DHCPv6 with nothing but an identifier": [b"\1\1\2\3\0\1\0\x0a" + bytes(10)],
    "DHCPv6 that relays nothing": [b"\x0c" + bytes(33) + b"\0\x09\0\0"],
    "OpenVPN's key that is zeros": [cases.openvpn_keyed(bytes(20))],
    "OpenVPN's session that is zeros": [b"\x38" + bytes(13)],
    "WireGuard's key that is zeros": [b"\1\0\0\0" + bytes(144), b"\4\0\0\0" + bytes(60), b"\4\0\0\0" + bytes(59) + b"\1"],
    "VXLAN with another version of IP": [b"\x08" + bytes(19) + b"\x08\0\x60" + bytes(30)],
    "STUN's number that is zeros": [b"\0\1\0\0" + bytes(15) + bytes([number]) for number in range(3)],
    "report of nobody": [b"\x80\xcb\0\0"],
    "RPC to a program of one's own": [struct.pack(">10I", 7, 0, 2, 0x20000001, 1, 0, 0, 0, 0, 0)],
    "RPC's reply without its call": [cases.RPC_REPLY],
    "EtherNet/IP without a session": [struct.pack("<HHII8sI", 0x6F, 16, 0, 0, bytes(8), 0) + bytes(16)],
    "EtherNet/IP that registers too much": [struct.pack("<HHII8sI", 0x65, 8, 0, 0, bytes(8), 0) + bytes(8)],
    "NTP without a time": [b"\x23\2\6\0" + bytes(8) + b"\1\2\3\4" + bytes(32)],
    "QUIC without connections": [b"\xe0\0\0\0\1\0\0" + bytes(20), b"\x80" + bytes(9) + b"\1\xff\0\0\x1d"],
}
UNRELATED_TCP = {
    "DCE/RPC, big-endian": [bytes.fromhex("05000b0300000000") + struct.pack(">HHI", 32, 0, 1) + bytes(16)],
    "SOCKS with an address of another length": [b"\5\1\0\1\xc0\0\2\1" + bytes([0, number, 0]) for number in (80, 81)],
    "H.323 in a shorter packet": [b"\3\0\0\0\x08\2\0\1\5\4"],
    "DCE/RPC with more authentication than packet": [bytes.fromhex("05000b0310000000") + struct.pack("<HHI", 16, 8, 1)],
    "PostgreSQL's empty message with contents": [b"1\0\0\0\x08\0\0\0\0"],
    "TDS before its login, of another version's size": [cases.TDS_PRELOGIN[:12] + b"\7" + cases.TDS_PRELOGIN[13:]],
    "TDS with a login of zeros": [struct.pack(">2BHHBB", 16, 1, 50, 0, 1, 0) + bytes(42)],
    "TDS without its end": [struct.pack(">2BHHBB", 1, 0, 99, 0, number, 0) + bytes(42) for number in (1, 2)],
    "MongoDB's old reply to nothing": [struct.pack("<4I", 36, 7, 0, 1) + bytes(20), struct.pack("<4I", 36, 8, 0, 1) + bytes(20)],
    "Modbus of different units": [b"\0" + bytes([number]) + b"\0\0\0\6" + bytes([number]) + b"\3\0\0\0\2" for number in (1, 2)],
    "MQTT's acknowledgement with other codes": [b"\x90\3\0" + bytes([number]) + b"\7" for number in (1, 2)],
    "MQTT's subscription with a longer topic": [b"\x82\x08\0" + bytes([number]) + b"\0\xffa/b\0" for number in (1, 2)],
    "NetBIOS's answer without its request": [b"\x82\0\0\0"],
}
ONE_SIDED = ("uTP", "Modbus")


@pytest.mark.parametrize(
    ("protocol", "kind"), [*((UDP, kind) for kind in UNRELATED), *((TCP, kind) for kind in UNRELATED_TCP)], ids=str
)
def test_what_only_looks_like_something_is_nothing(protocol: int, kind: str) -> None:
    classifier = Classifier(use_ports=False)
    sides = (True,) if kind.startswith(ONE_SIDED) else (True, False)
    for payload in (UNRELATED if protocol == UDP else UNRELATED_TCP)[kind]:
        for from_a in sides:
            assert label(classifier, conversation(1, protocol), payload, from_a=from_a) is None


def test_port_of_radius_needs_attributes() -> None:
    cyclic = bytes.fromhex("020002800800030600000000000000000000000000870300")
    assert label(Classifier(), conversation(1, UDP, server_port=1812), cyclic) is None


@pytest.mark.parametrize("option", [b"\0\x27\0\x0d\0\5phone\4ho", b"\0\x27\0\7\0\5phon"])
def test_part_of_a_name_is_no_name(option: bytes) -> None:
    which = Conversation(1, UDP, Endpoint(CLIENT, 546), Endpoint(SERVER, 547))
    found = Classifier().inspect(which, b"\x0b\1\2\3" + cases.DUIDS + option, True, 0)
    assert found is not None
    assert found.name is None


def test_same_payload_again_is_no_second_evidence() -> None:
    classifier = Classifier()
    for _ in range(4):
        assert label(classifier, conversation(1, UDP), cases.rtp(1)) is None
        assert label(classifier, conversation(2, TCP), b"331 password?\r\n") is None


def test_port_decides_what_two_greet_alike() -> None:
    assert label(Classifier(), conversation(1, TCP, server_port=21), b"220 ready\r\n") == "ftp"
    assert label(Classifier(), conversation(1, TCP, server_port=25), b"220 ready\r\n") == "smtp"
    assert label(Classifier(), conversation(1, TCP), b"220 ready\r\n") is None


def test_what_two_say_twice_alike_stays_open() -> None:
    classifier = Classifier()
    for payload in (b"220 ready\r\n", b"500 what?\r\n", b"221 bye\r\n"):
        assert label(classifier, conversation(1, TCP), payload, from_a=False) is None
    assert label(classifier, conversation(1, TCP), b"331 password?\r\n", from_a=False) == "ftp"


def test_port_decides_before_another_payload_does() -> None:
    classifier = Classifier()
    assert label(classifier, conversation(1, TCP, server_port=110), b"USER someone\r\n") == "pop3"
    assert label(classifier, conversation(2, TCP), b"PASS secret\r\n") is None
    which = conversation(2, TCP, server_port=110)
    assert label(classifier, which, b"USER someone\r\n") == "pop3"


@pytest.mark.parametrize(
    ("greeting", "answer", "app"),
    [(b"\5\1\0", b"\5\0", "socks"), (b"\5\2\0\2", b"\5\2", "socks"), (b"\5\1\0", b"\5\2", None), (b"\5\1\0", b"\5\xff", None)],
)
def test_socks_answers_with_a_method_that_was_offered(greeting: bytes, answer: bytes, app: str | None) -> None:
    classifier = Classifier()
    assert label(classifier, conversation(1, TCP), greeting) is None
    assert label(classifier, conversation(1, TCP), answer, from_a=True) is None
    assert label(classifier, conversation(1, TCP), answer, from_a=False) == app


def test_hidden_ports_are_hidden() -> None:
    classifier = Classifier(use_ports=False)
    hello = cases.tls_record(cases.client_hello("example.org"))
    assert label(classifier, conversation(1, TCP, server_port=443), hello) == "tls"
    assert label(classifier, conversation(2, TCP, server_port=21), b"220 ready\r\n") is None
    label(classifier, conversation(3, TCP), b"PORT 192,0,2,1,200,10\r\n")
    assert classifier.n_expected == 0


def test_state_is_bounded() -> None:
    classifier = Classifier()
    for token in range(100_000):
        which = conversation(token, TCP, client_port=token & 0xFFFF)
        classifier.inspect(which, b"220 ready\r\n", True, 0)
        classifier.inspect(which, b"PORT 10,%d,%d,1,9,9\r\n" % (token >> 8 & 255, token & 255), False, 0)
    assert classifier.n_pending <= MAX_PENDING
    assert classifier.n_expected <= MAX_EXPECTED
    assert len(classifier.take_expected()) == MAX_EXPECTED
    assert classifier.take_expected() == []


def kept_bytes(classifier: Classifier) -> int:
    """Return the size of what is kept of conversation 1, as text."""
    state = classifier._pending[1]
    return len(repr((state.memory, state.votes)))


@pytest.mark.parametrize(
    ("protocol", "payloads"),
    [
        (UDP, [cases.rtp(1, source=number) for number in range(1, 3000)]),
        (UDP, [cases.utp(2, 2 * number + 2, 3000 - number, 7, 9) for number in range(3000)]),
        (TCP, [b"220 %d\r\n" % number for number in range(3000)]),
    ],
    ids=["notes of matchers", "packets of uTP", "evidence"],
)
def test_conversation_that_stays_open_keeps_little(protocol: int, payloads: list[bytes]) -> None:
    classifier = Classifier(use_ports=False)
    for payload in payloads:
        assert label(classifier, conversation(1, protocol), payload) is None
    assert 0 < kept_bytes(classifier) < 6000


@pytest.mark.parametrize(("tokens", "kept"), [((1, 2, 2), {1, 2}), ((1, 2, 1, 3), {1, 3})])
def test_conversations_that_are_silent_for_longest_are_given_up_first(tokens: tuple[int, ...], kept: set[int]) -> None:
    classifier = Classifier(max_pending=2)
    for number, token in enumerate(tokens):
        assert label(classifier, conversation(token, TCP), b"220 ready %d\r\n" % number, from_a=False) is None
    for token in sorted(kept) + [token for token in tokens if token not in kept]:
        app = label(classifier, conversation(token, TCP), b"331 password?\r\n", from_a=False)
        assert app == ("ftp" if token in kept else None)
        classifier.forget(token)


@pytest.mark.parametrize(("ports", "kept"), [((1, 2, 2), {1, 2}), ((1, 2, 1, 3), {1, 3})])
def test_endpoints_that_were_announced_last_are_kept(ports: tuple[int, ...], kept: set[int]) -> None:
    classifier = Classifier(max_expected=2)
    for token, port in enumerate(ports):
        label(classifier, conversation(token, TCP, server_port=21), b"PORT 192,0,2,1,200,%d\r\n" % port)
    assert classifier.n_expected == 2
    for port in set(ports):
        data = Conversation(10 + port, TCP, Endpoint(SERVER, 33333), Endpoint(CLIENT, 200 * 256 + port))
        assert label(classifier, data, cases.HTTP_REQUEST) == ("ftp-data" if port in kept else "http")


def test_announced_endpoints_of_one_message_are_few() -> None:
    sdp = b"c=IN IP4 192.0.2.1\r\n" + b"".join(b"m=audio %d RTP/AVP 0\r\n" % port for port in range(10000, 10060, 2))
    setup = b"SETUP rtsp://x/ RTSP/1.0\r\n" + b"".join(
        b"client_port=%d-%d;" % (port, port + 1) for port in range(10000, 10060, 2)
    )
    for protocol, message in ((UDP, cases.SIP_INVITE + sdp), (TCP, setup)):
        classifier = Classifier()
        assert label(classifier, conversation(1, protocol), message) in {"sip", "rtsp"}
        assert 0 < classifier.n_expected <= 16


def test_what_is_decided_leaves_nothing() -> None:
    classifier = Classifier()
    assert label(classifier, conversation(1, TCP), b"USER someone\r\n") is None
    assert classifier.n_pending == 1
    assert label(classifier, conversation(1, TCP), b"CAPA\r\n") == "pop3"
    assert classifier.n_pending == 0


def test_1500_bytes_of_a_payload_are_read() -> None:
    field = b"Host: example.org\n"
    start = b"GET / HTTP/1.1\r\nX: "
    for size, name in ((1500, "example.org"), (1501, None)):
        request = start.ljust(size - len(field) - 2, b"x") + b"\r\n" + field
        found = Classifier().inspect(conversation(1, TCP), request, True, 0)
        assert found is not None
        assert found.name == name


def test_endless_hello_is_bounded() -> None:
    classifier = Classifier()
    which = conversation(1, TCP)
    hello = b"\x16\3\1\x40\0\1\0\x3f\xfc\3\3" + bytes(1400)
    classifier.inspect(which, hello, True, 0)
    for _ in range(1000):
        classifier.inspect(which, bytes(1500), True, 0)
    kept = classifier._pending[1].memory
    assert sum(len(value) for value in kept.values() if isinstance(value, bytes)) < 12_000


def test_forgotten_conversations_leave_nothing() -> None:
    classifier = Classifier()
    classifier.inspect(conversation(1, UDP, server_port=53), cases.dns_query("example.org"), True, 0)
    assert classifier.n_pending == 1
    classifier.forget(1)
    classifier.forget(2)
    assert classifier.n_pending == 0


@pytest.mark.parametrize("protocol", [TCP, UDP])
def test_random_payloads_hardly_ever_match(protocol: int) -> None:
    source = random.Random(protocol)
    classifier = Classifier(use_ports=False)
    n_found = 0
    for token in range(50_000):
        payload = source.randbytes(source.choice((1, 4, 8, 12, 20, 32, 64, 148, 500)))
        n_found += classifier.inspect(conversation(token, protocol), payload, True, 0) is not None
    assert n_found <= 1
    assert classifier.n_failed == 0


@pytest.mark.parametrize("protocol", [TCP, UDP])
def test_random_conversations_hardly_ever_match(protocol: int) -> None:
    source = random.Random(protocol)
    classifier = Classifier(use_ports=False)
    n_found = 0
    for token in range(10_000):
        for turn in range(4):
            payload = source.randbytes(source.choice((4, 8, 12, 20, 32, 64, 148, 500)))
            if classifier.inspect(conversation(token, protocol), payload, turn % 2 == 0, 0) is not None:
                n_found += 1
                break
    assert n_found <= 2


@pytest.mark.parametrize("protocol", [TCP, UDP])
def test_zeros_and_small_numbers_hardly_ever_match(protocol: int) -> None:
    """A payload of random fields, then one that resembles it. Neither is enough evidence for anything."""
    source = random.Random(protocol)
    classifier = Classifier(use_ports=False)
    n_found = 0
    for token in range(20_000):
        first = noise.payload(source, source.choice((*range(1, 33), 40, 48, 54, 64, 92, 148)))
        for from_a, payload in ((True, first), (source.random() < 0.5, noise.changed(source, first))):
            if classifier.inspect(conversation(token, protocol), payload, from_a, 0) is not None:
                n_found += 1
                break
    assert n_found <= 20
    assert classifier.n_failed == 0


def test_importing_needs_no_cryptography() -> None:
    code = "import sys, fastmon.classify; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
