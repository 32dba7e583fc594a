"""Native matchers in an accountant: what they leave to Python, what they tell, and what nobody may do with them."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import builders as b
import pytest
from classify import cases, handshakes
from conversation_tools import LOCAL_1, LOCAL_2, REMOTE_1, REMOTE_2, S, finish, tcp, udp
from inspected import MATCHERS, TABLES, Inspected

from fastmon.accounting import make_accountant
from fastmon.capture import open_offline
from fastmon.classify.classifier import EXPECTED_FOR_NS
from fastmon.model.conversations import FoundName
from fastmon.model.frames import Frame
from fastmon.run.inspection import WANTED_AFTER_LABEL

HELLO = cases.tls_record(cases.client_hello("example.org"))
CONTROL = (LOCAL_1, 40000, REMOTE_1, 21)
PASSIVE = (LOCAL_1, 40001, REMOTE_1, 51210)
ACTIVE = (REMOTE_1, 20, LOCAL_1, 51210)
Ends = tuple[str, int, str, int]


def back(ends: Ends) -> Ends:
    return (*ends[2:], *ends[:2])


def accountant(*, keep_details: bool = True, **options: Any) -> Any:
    """Return an accountant with matchers, whose payloads nobody takes."""
    defaults: dict[str, Any] = {"max_conversations": 1 << 12, "applications": TABLES, "seed": 0}
    target = make_accountant("native", **(defaults | options))
    target.use_matchers(MATCHERS, keep_details)
    target.payload_allowance = 1 << 40
    return target


def in_file(path: Path, frames: Iterable[Frame]) -> Path:
    path.write_bytes(b.pcap_file([Frame(one.ts_ns, len(one.data), 1, one.data) for one in frames]))
    return path


# Announcements.

PASSIVE_FTP = [
    tcp(*back(CONTROL), b"220 FTP\r\n"),
    tcp(*CONTROL, b"PASV\r\n", ts_ns=1),
    tcp(*back(CONTROL), b"227 Entering Passive Mode (192,0,2,1,200,10).\r\n", ts_ns=2),
]
ACTIVE_FTP = [tcp(*back(CONTROL), b"220 FTP\r\n"), tcp(*CONTROL, b"PORT 10,0,0,1,200,10\r\n", ts_ns=1)]
TRANSLATED_FTP = [
    tcp(*back(CONTROL), b"220 FTP\r\n"),
    tcp(*back(CONTROL), b"227 Entering Passive Mode (192,0,2,2,200,10).\r\n", ts_ns=1),
]
ANNOUNCED = {
    "passive": (PASSIVE_FTP, PASSIVE),
    "active": (ACTIVE_FTP, ACTIVE),
    "before translation": (TRANSLATED_FTP, (LOCAL_1, 40001, REMOTE_2, 51210)),
}
LOOKS = ("after every frame", "once")


def shown(run: Inspected, frames: Sequence[Frame], looks: str) -> list[tuple[str, str]]:
    """Account frames, and look after each, or when all are accounted; return the labels."""
    for frame in frames:
        run.account(frame)
        if looks == "after every frame":
            run.look()
    return run.labels()


@pytest.mark.parametrize("looks", LOOKS)
@pytest.mark.parametrize("payload", [HELLO, cases.HTTP_REQUEST, b"\x16\3\1", b"anything"], ids=["TLS", "HTTP", "cut", "text"])
@pytest.mark.parametrize("kind", ANNOUNCED)
def test_data_that_ftp_announces_is_ftp_data(kind: str, payload: bytes, looks: str) -> None:
    control, ends = ANNOUNCED[kind]
    assert shown(Inspected(), [*control, tcp(*ends, payload, ts_ns=9)], looks) == [("ftp", "payload"), ("ftp-data", "payload")]


@pytest.mark.parametrize("looks", LOOKS)
def test_data_without_an_announcement_is_what_it_is(looks: str) -> None:
    for ends in (PASSIVE, (LOCAL_2, 40001, REMOTE_2, 51210)):
        frames = [*PASSIVE_FTP[:-1], tcp(*ends, HELLO, ts_ns=9)]
        assert shown(Inspected(), frames, looks) == [("ftp", "payload"), ("tls", "payload")]


@pytest.mark.parametrize("looks", LOOKS)
def test_announcement_of_strangers_holds_for_their_hosts_only(looks: str) -> None:
    frames = [*PASSIVE_FTP, tcp(LOCAL_2, 40001, REMOTE_2, 51210, HELLO, ts_ns=9)]
    assert shown(Inspected(), frames, looks) == [("ftp", "payload"), ("tls", "payload")]


def test_announcement_and_data_in_one_drain(tmp_path: Path) -> None:
    """So many conversations come first that the announcement and the data are in one batch, behind others."""
    others = [tcp(LOCAL_2, 1000 + number, REMOTE_2, 443, HELLO, ts_ns=number) for number in range(70)]
    frames = [Frame(one.ts_ns + S, 60, 1, one.data) for one in [*PASSIVE_FTP, tcp(*PASSIVE, HELLO, ts_ns=9)]]
    run = Inspected()
    with open_offline(str(in_file(tmp_path / "ftp.pcap", [*others, *frames]))) as capture:
        assert run.accountant.drain(capture, 1000) == 74
    assert run.labels() == [*[("https", "payload")] * 70, ("ftp", "payload"), ("ftp-data", "payload")]


@pytest.mark.parametrize("looks", LOOKS)
def test_announcement_ends(looks: str) -> None:
    frames = [*PASSIVE_FTP, tcp(*PASSIVE, HELLO, ts_ns=2 + EXPECTED_FOR_NS + 1)]
    assert shown(Inspected(), frames, looks) == [("ftp", "payload"), ("tls", "payload")]
    frames[-1] = tcp(*PASSIVE, HELLO, ts_ns=2 + EXPECTED_FOR_NS)
    assert shown(Inspected(), frames, looks) == [("ftp", "payload"), ("ftp-data", "payload")]


SDP_CALL = [udp(REMOTE_1, 5060, LOCAL_1, 5060, cases.SIP_INVITE.replace(b"16384", b"4500"))]
RTSP_CALL = [
    tcp(
        LOCAL_1,
        40000,
        REMOTE_1,
        554,
        b"SETUP rtsp://192.0.2.1/a RTSP/1.0\r\nCSeq: 1\r\nTransport: RTP/AVP;client_port=6000-6001\r\n\r\n",
    ),
    tcp(
        *(REMOTE_1, 554, LOCAL_1, 40000),
        b"RTSP/1.0 200 OK\r\nCSeq: 1\r\nTransport: RTP/AVP;client_port=6000-6001;server_port=4500-4501\r\n\r\n",
        ts_ns=1,
    ),
]


@pytest.mark.parametrize("looks", LOOKS)
@pytest.mark.parametrize("call", [SDP_CALL, RTSP_CALL], ids=["SIP", "RTSP"])
def test_announced_media_is_what_it_was_announced_to_be(call: list[Frame], looks: str) -> None:
    """By itself the packet is nothing certain, and its port says ESP."""
    media = udp(LOCAL_1, 7000, REMOTE_1, 4500, cases.rtp(1), ts_ns=9)
    assert shown(Inspected(), [media], looks) == [("ipsec", "payload")]
    assert shown(Inspected(), [*call, media], looks)[-1] == ("rtp", "payload")


def test_what_is_certain_outweighs_announced_media() -> None:
    for looks in LOOKS:
        frames = [*SDP_CALL, udp(LOCAL_1, 7000, REMOTE_1, 4500, cases.STUN_REQUEST, ts_ns=9)]
        assert shown(Inspected(), frames, looks)[-1] == ("stun", "payload")


def is_asked(target: Any, frame: Frame) -> bool:
    """Return whether a frame's payload is left to Python."""
    target.take_payloads()
    target.account(frame)
    return len(target.take_payloads()) == 1


def test_expected_endpoint_is_left_to_python_for_its_time() -> None:
    target = accountant()
    source = iter(range(40000, 50000))

    def asks_at(ts_ns: int) -> bool:
        return is_asked(target, tcp(LOCAL_1, next(source), REMOTE_1, 51210, HELLO, ts_ns=ts_ns))

    assert not asks_at(0)
    target.expect(b.TCP, b.host(REMOTE_1), 51210, S)
    assert asks_at(S)
    assert not is_asked(target, tcp(LOCAL_1, next(source), REMOTE_1, 51211, HELLO, ts_ns=S))
    assert not is_asked(target, tcp(LOCAL_1, next(source), REMOTE_2, 51210, HELLO, ts_ns=S))
    assert is_asked(target, tcp(REMOTE_1, 51210, LOCAL_1, next(source), HELLO, ts_ns=S))
    target.expect(b.TCP, b.host(REMOTE_2), 1, S + EXPECTED_FOR_NS)
    assert asks_at(S + EXPECTED_FOR_NS)
    target.expect(b.TCP, b.host(REMOTE_2), 2, S + EXPECTED_FOR_NS + 1)
    assert asks_at(S + EXPECTED_FOR_NS + 1)
    target.expect(b.TCP, b.host(REMOTE_2), 3, S + 2 * EXPECTED_FOR_NS + 2)
    assert not asks_at(S + 2 * EXPECTED_FOR_NS + 2)


def test_expected_endpoint_is_of_its_protocol() -> None:
    target = accountant()
    target.expect(b.UDP, b.host(REMOTE_1), 51210, 0)
    assert not is_asked(target, tcp(*PASSIVE, HELLO))


def test_conversation_that_python_was_asked_about_stays_its() -> None:
    target = accountant()
    assert is_asked(target, tcp(*PASSIVE, b"220 hello\r\n"))
    assert is_asked(target, tcp(*PASSIVE, HELLO))


def test_conversation_that_is_decided_is_looked_at_no_more() -> None:
    target = accountant()
    assert not is_asked(target, tcp(*PASSIVE, HELLO))
    assert not is_asked(target, tcp(*PASSIVE, b"220 hello\r\n"))


@pytest.mark.parametrize(("n_before", "app"), [(WANTED_AFTER_LABEL, "rtp"), (WANTED_AFTER_LABEL + 1, "stun")])
def test_followed_conversation_is_looked_at_for_so_many_payloads_without_news(n_before: int, app: str) -> None:
    """With matchers as without: the first is the news, then come 64."""
    for matchers in (MATCHERS, None):
        run = Inspected(matchers=matchers)
        for number, data in enumerate([cases.STUN_REQUEST] * n_before + [cases.rtp(1)]):
            run.account(udp(LOCAL_1, 40000, REMOTE_1, 40001, data, ts_ns=number))
            run.look()
        assert run.labels() == [(app, "payload")]


# Names.


def answer(number: int, name: str = "a.example") -> bytes:
    return cases.dns_answer(name, bytes([192, 0, 2, number]))


def dns(data: bytes, ts_ns: int, port: int = 40000) -> Frame:
    return udp(REMOTE_1, 53, LOCAL_1, port, data, ts_ns=ts_ns)


def found(number: int, name: str, ts_ns: int) -> FoundName:
    return FoundName(b.host(f"192.0.2.{number}"), name.encode(), "dns", ts_ns)


def test_name_that_is_told_again_is_passed_on_once_and_its_last_sight_when_asked_for() -> None:
    target = accountant()
    for ts_ns in range(5):
        target.account(dns(answer(1), ts_ns))
    assert target.take_names().hosts == [found(1, "a.example", 0)]
    assert target.take_names().hosts == []
    assert target.take_names(all_sights=True).hosts == [found(1, "a.example", 4)]
    assert target.take_names(all_sights=True).hosts == []
    target.account(dns(answer(1), 3))  # out of order
    assert target.take_names(all_sights=True).hosts == []
    target.account(dns(answer(1), 9))
    assert target.take_names(all_sights=True).hosts == [found(1, "a.example", 9)]


def test_names_in_turn() -> None:
    target = accountant()
    for ts_ns in range(6):
        target.account(dns(answer(1, "ab"[ts_ns % 2] + ".example"), ts_ns, 40000 + ts_ns))
    assert target.take_names().hosts == [found(1, "a.example", 0), found(1, "b.example", 1)]
    assert sorted(target.take_names(all_sights=True).hosts) == [found(1, "a.example", 4), found(1, "b.example", 5)]


def test_same_name_of_other_hosts_and_sources_is_another() -> None:
    target = accountant()
    target.account(dns(answer(1), 0))
    target.account(dns(answer(2), 1))
    target.account(tcp(LOCAL_1, 1, "192.0.2.1", 443, cases.tls_record(cases.client_hello("a.example")), ts_ns=2))
    assert target.take_names().hosts == [
        found(1, "a.example", 0),
        found(2, "a.example", 1),
        FoundName(b.host("192.0.2.1"), b"a.example", "sni", 2),
    ]


def test_more_names_than_are_remembered_lose_no_last_sight() -> None:
    """A name that makes room is passed on with its last sight."""
    target = accountant(max_conversations=1 << 16)
    names = [f"{number}.example" for number in range(6000)]
    latest: dict[bytes, int] = {}
    for turn in range(2):
        for number, name in enumerate(names):
            target.account(dns(answer(1, name), 10**6 * turn + number, 1000 + number))
    for one in (*target.take_names().hosts, *target.take_names(all_sights=True).hosts):
        latest[one.name] = max(one.ts_ns, latest.get(one.name, 0))
    assert latest == {name.encode(): 10**6 + number for number, name in enumerate(names)}
    assert target.names_dropped == 0


@pytest.mark.parametrize("keep_details", [True, False])
def test_titles_are_told_when_wanted(keep_details: bool) -> None:
    target = accountant(keep_details=keep_details, keep_conversations=True)
    target.account(tcp(*PASSIVE, HELLO))
    titles = target.take_names().titles
    finish(target)
    (conversation,) = target.take_conversations()
    assert titles == ([(conversation["token"], b"example.org")] if keep_details else [])


@pytest.mark.parametrize("keep_details", [True, False])
def test_handshakes_are_told_when_wanted(keep_details: bool) -> None:
    target = accountant(keep_details=keep_details)
    target.account(tcp(LOCAL_1, 40000, REMOTE_1, 443, HELLO))
    target.account(tcp(REMOTE_1, 443, LOCAL_1, 40000, handshakes.answer(b"any")))
    names = target.take_names()
    told = [data for _, data in (*names.hellos, *names.certificates)]
    assert told == ([HELLO[5:], b"any"] if keep_details else [])


def test_handshakes_leave_room_for_names() -> None:
    target = accountant(max_conversations=1 << 16)
    hello = cases.tls_record(handshakes.hello(padding=1000))
    n_frames = 0
    while not target.names_dropped:
        target.account(tcp(LOCAL_1, 1024 + n_frames, REMOTE_1, 443, hello, ts_ns=n_frames))
        n_frames += 1
    assert n_frames * len(hello) > 2 << 20
    target.account(dns(answer(1), S))
    names = target.take_names()
    assert names.hosts[-1] == found(1, "a.example", S)
    assert len(names.hellos) == n_frames - 1
    assert target.names_dropped == 1


def many_names(n_messages: int) -> tuple[list[Frame], set[tuple[bytes, bytes]]]:
    """Return messages with many hosts each, and the names that they tell."""
    frames, told = [], set()
    for number in range(n_messages):
        name = ".".join([f"n{number:05}".ljust(60, "x")] * 3 + ["example"])
        records = b""
        for index in range(70):
            address = struct.pack(">BHB", 11, number, index)
            records += b"\xc0\x0c" + struct.pack(">2HIH", 1, 1, 60, 4) + address
            told.add((bytes(10) + b"\xff\xff" + address, name.encode()))
        head = struct.pack(">6H", 1, 0x8180, 1, 70, 0, 0)
        frames.append(dns(head + cases.dns_name(name) + struct.pack(">2H", 1, 1) + records, number, 1000 + number))
    return frames, told


def test_names_that_do_not_fit_are_counted() -> None:
    target = accountant(max_conversations=1 << 16)
    frames, told = many_names(400)
    for frame in frames:
        target.account(frame)
    n_lost = target.names_dropped
    assert n_lost > 1000
    passed_on = target.take_names()
    # A name that makes room for another, and was seen again since, is passed on twice; none was seen again here.
    assert len(passed_on.hosts) + len(passed_on.titles) + n_lost == len(told) + len(frames)
    assert {(one.key, one.name) for one in passed_on.hosts} < told
    target.account(dns(answer(1), S))
    assert target.take_names().hosts == [found(1, "a.example", S)]
    assert target.names_dropped == n_lost


def test_drain_stops_before_names_are_lost(tmp_path: Path) -> None:
    target = accountant(max_conversations=1 << 16)
    target.pauses = True
    frames, told = many_names(400)
    passed_on: set[tuple[bytes, bytes]] = set()
    n_drains = 0
    with open_offline(str(in_file(tmp_path / "names.pcap", frames))) as capture:
        while not capture.exhausted:
            target.drain(capture, 10_000)
            passed_on |= {(one.key, one.name) for one in target.take_names().hosts}
            n_drains += 1
    assert n_drains > 3
    assert passed_on == told
    assert target.names_dropped == 0


def test_hello_in_two_segments_names_the_server() -> None:
    run = Inspected()
    run.account(tcp(LOCAL_1, 40000, REMOTE_1, 443, HELLO[:60]), tcp(LOCAL_1, 40000, REMOTE_1, 443, HELLO[60:], ts_ns=1))
    run.look()
    assert run.names.name_of(b.host(REMOTE_1), is_local=False) == ("example.org", "sni")
    (ended,) = run.finish().ended
    assert (ended.app, ended.title, run.classifier.n_seen) == ("https", "example.org", 0)


def test_answer_of_dhcp_has_the_name_of_its_request() -> None:
    run = Inspected()
    run.account(
        udp(LOCAL_1, 68, REMOTE_1, 67, cases.dhcp(1, name=b"phone")),
        udp(REMOTE_1, 67, LOCAL_1, 68, cases.dhcp(5, op=2, yours=b"\x0a\0\0\x07"), ts_ns=1),
    )
    run.look()
    assert run.names.name_of(b.host("10.0.0.7"), is_local=True) == ("phone", "dhcp")
    (ended,) = run.finish().ended
    assert (ended.app, ended.title, run.classifier.n_seen) == ("dhcp", "phone", 0)


# What nobody may do.


def test_matchers_are_given_once() -> None:
    target = accountant()
    with pytest.raises(RuntimeError, match="the accountant has matchers"):
        target.use_matchers(MATCHERS, True)
    finish(target)
    with pytest.raises(RuntimeError):
        target.use_matchers(MATCHERS, True)


def test_matchers_after_the_end_are_refused() -> None:
    target = make_accountant("native", max_conversations=10)
    finish(target)
    with pytest.raises(RuntimeError, match="finish"):
        target.use_matchers(MATCHERS, True)


@pytest.mark.parametrize("engine", ["native", "reference"])
def test_accountant_of_hosts_only_has_nothing_to_look_at(engine: str) -> None:
    target = make_accountant(engine)
    for _ in range(2):
        target.use_matchers(MATCHERS, True)
    target.expect(b.TCP, b.host(REMOTE_1), 1, 0)
    target.account(tcp(*PASSIVE, HELLO))
    assert [list(names) for names in target.take_names(all_sights=True)] == [[], [], [], []]
    assert target.names_dropped == 0


def test_reference_leaves_everything_to_python() -> None:
    target = make_accountant("reference", max_conversations=10)
    target.use_matchers(MATCHERS, True)
    target.payload_allowance = 10
    target.expect(b.TCP, b.host(REMOTE_1), 1, 0)
    target.account(tcp(*PASSIVE, HELLO))
    assert [payload.data for payload in target.take_payloads()] == [HELLO]


@pytest.mark.parametrize("matchers", [None, "matchers", 3])
def test_only_matchers_are_taken(matchers: Any) -> None:
    with pytest.raises(TypeError):
        make_accountant("native", max_conversations=10).use_matchers(matchers, True)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((256, b.host(REMOTE_1), 1, 0), OverflowError),
        ((-1, b.host(REMOTE_1), 1, 0), OverflowError),
        ((6, b.host(REMOTE_1), 65536, 0), OverflowError),
        ((6, b.host(REMOTE_1), -1, 0), OverflowError),
        ((6, b.host(REMOTE_1), 1, 1 << 63), OverflowError),
        ((6, b"\1\2\3\4", 1, 0), ValueError),
        ((6, b"", 1, 0), ValueError),
        ((6, None, 1, 0), TypeError),
        ((6, "10.0.0.1", 1, 0), TypeError),
        ((6, bytearray(16), 1, 0), TypeError),
    ],
)
def test_expecting_nonsense_is_refused(arguments: tuple[Any, ...], error: type[Exception]) -> None:
    target = accountant()
    with pytest.raises(error):
        target.expect(*arguments)


def test_names_stay_if_taking_them_fails() -> None:
    target = accountant()
    target.account(dns(answer(1), 0))

    def fails(*_: object) -> None:
        with pytest.raises(RuntimeError):
            target.take_names()
        raise MemoryError

    with pytest.raises(MemoryError):
        target.take_names_as(fails, False)
    assert target.take_names().hosts == [found(1, "a.example", 0)]
