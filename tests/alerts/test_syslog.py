"""The action `syslog`, with receivers on loopback."""

from __future__ import annotations

import re
import select
import socket
import ssl
import threading
from typing import TYPE_CHECKING

import pytest
from waiting import wait_until

from alerts.making import make_alert
from alerts.servers import Receiver, bound, free_port, make_certificate
from fastmon.alerts.action import DeliveryError
from fastmon.alerts.records import MoreRecord, alert_record
from fastmon.alerts.syslog import MAX_MESSAGE, SyslogAction, format_syslog
from fastmon.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from alerts.making import Desk

RECORDS = [alert_record(make_alert(number)) for number in range(3)]
LONG_S = 20.0
RFC5424 = re.compile(
    r"<(?P<pri>\d{1,3})>1 (?P<time>\S+) (?P<sender>[!-~]{1,255}) fastmon (?P<pid>\d+) (?P<id>[!-~]{1,32}) "
    r'\[fastmon@32473(?P<data>(?: [a-z]+="(?:[^"\\\]]|\\["\\\]])*")+)\] (?P<text>.*)'
)


def parsed(message: bytes) -> dict[str, str]:
    match = RFC5424.fullmatch(message.decode())
    assert match, message
    data = {name: re.sub(r'\\(["\\\]])', r"\1", text) for name, text in re.findall(r' ([a-z]+)="((?:\\.|[^"])*)"', match["data"])}
    return {**match.groupdict(), **data}


def unframed(stream: bytes) -> list[dict[str, str]]:
    messages = []
    while stream:
        length, _, rest = stream.partition(b" ")
        messages.append(parsed(rest[: int(length)]))
        stream = rest[int(length) :]
    return messages


def test_message_has_all_parts_of_rfc_5424() -> None:
    record = alert_record(make_alert(1, name='a "b" \\ ]c', mac="02:00:5e:10:00:14"))
    found = parsed(format_syslog(record, "gateway"))
    assert (found["pri"], found["time"], found["sender"]) == ("28", "2026-01-01T00:00:01.000000Z", "gateway")
    assert {name: found[name] for name in ("rule", "kind", "state", "name", "value", "window")} == {
        "rule": "uplink",
        "kind": "rate",
        "state": "firing",
        "name": 'a "b" \\ ]c',
        "value": "95200000",
        "window": "10",
    }
    assert found["text"].startswith("ALERT uplink (warning): sends and receives")


@pytest.mark.parametrize(
    ("changes", "priority"),
    [({"severity": "critical"}, 26), ({"severity": "info"}, 30), ({"state": "cleared", "severity": "critical"}, 29)],
)
def test_priority_is_by_severity(changes: dict[str, str], priority: int) -> None:
    assert format_syslog(alert_record(make_alert(1, **changes)), "h").startswith(b"<%d>1 " % priority)


def test_text_that_is_not_ascii_is_marked_and_long_ones_are_cut() -> None:
    text = format_syslog(alert_record(make_alert(1, reason="Küche")), "h")
    assert b"] \xef\xbb\xbfALERT" in text
    long = format_syslog(alert_record(make_alert(1, reason="ü" * 999)), "h")
    assert len(long) in (MAX_MESSAGE - 1, MAX_MESSAGE)
    parsed(long)


def test_number_of_alerts_is_a_message() -> None:
    more = MoreRecord("2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:05.000000Z", 60, 37, {"scan": 37})
    found = parsed(format_syslog(more, "h"))
    assert (found["alerts"], found["id"], found["text"]) == ("37", "more", "37 more in this minute: scan 37")


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_udp_sends_a_datagram_for_each(open_desk: Callable[..., Desk], family: socket.AddressFamily) -> None:
    listening, port = bound(socket.SOCK_DGRAM, family)
    host = "127.0.0.1" if family == socket.AF_INET else "[::1]"
    with Receiver(listening) as receiver:
        desk = open_desk(syslog=f"udp://{host}:{port}")
        desk.send(*map(make_alert, range(3)))
        wait_until(lambda: len(receiver.datagrams) == 3, "datagrams")
        desk.wait_for(delivered=3)
    assert [parsed(message)["host"] for message in receiver.datagrams] == ["10.0.0.0", "10.0.0.1", "10.0.0.2"]


def test_tcp_counts_the_bytes_of_each() -> None:
    listening, port = bound(socket.SOCK_STREAM)
    with Receiver(listening) as receiver:
        action = SyslogAction(f"tcp://localhost:{port}")
        action.deliver([*RECORDS, alert_record(make_alert(9, reason="Küche"))], LONG_S)
        action.deliver(RECORDS[:1], LONG_S)
    first, second = map(unframed, receiver.streams)
    assert [message["value"] for message in first] == ["95200000"] * 4
    assert len(second) == 1


def test_tcp_is_tried_again_when_the_receiver_is_back(open_desk: Callable[..., Desk]) -> None:
    port = free_port()
    desk = open_desk(syslog=f"tcp://127.0.0.1:{port}")
    desk.send(make_alert(1))
    text = desk.wait_for_problem("cannot be reached")
    assert text.startswith(f"action test: tcp://127.0.0.1:{port} cannot be reached: Connection refused; trying again in")
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port))
    with Receiver(listening) as receiver:
        desk.wait_for(delivered=1)
        desk.wait_for_problem("works again")
    assert len(unframed(receiver.streams[-1])) == 1


def test_tcp_receiver_that_ends_without_reading_has_not_got_it() -> None:
    listening, port = bound(socket.SOCK_STREAM)
    listening.listen()

    def end() -> None:
        connection, _ = listening.accept()
        with connection:  # unread data makes its end a reset
            poll = select.poll()
            poll.register(connection, select.POLLRDHUP)
            poll.poll(10_000)

    thread = threading.Thread(target=end)
    thread.start()
    with listening, pytest.raises(DeliveryError, match="cannot be reached: Connection reset"):
        SyslogAction(f"tcp://127.0.0.1:{port}").deliver(RECORDS, LONG_S)
    thread.join()


def test_tcp_receiver_that_reads_nothing_ends_at_the_time_limit() -> None:
    listening, port = bound(socket.SOCK_STREAM)
    listening.listen()
    records = [alert_record(make_alert(number, reason="x" * 900)) for number in range(10_000)]  # more than buffers take
    with listening, pytest.raises(DeliveryError, match=r"did not answer within 0.3 s"):
        SyslogAction(f"tcp://127.0.0.1:{port}").deliver(records, 0.3)


def test_tls_checks_the_receiver(open_desk: Callable[..., Desk], tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "receiver")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listening, port = bound(socket.SOCK_STREAM)
    with Receiver(listening, context=context) as receiver:
        desk = open_desk(syslog=f"tls://127.0.0.1:{port}?ca={certificate}")
        desk.send(*map(make_alert, range(3)))
        desk.wait_for(delivered=3)
        wait_until(lambda: receiver.streams, "the messages")
        assert len(unframed(receiver.streams[0])) == 3
        with pytest.raises(DeliveryError, match=r"cannot be trusted: self.signed certificate"):
            SyslogAction(f"tls://127.0.0.1:{port}").deliver(RECORDS, LONG_S)


def test_tls_checks_the_receivers_name(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "other", "DNS:other.example.org")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listening, port = bound(socket.SOCK_STREAM)
    with Receiver(listening, context=context), pytest.raises(DeliveryError, match="cannot be trusted: IP address mismatch"):
        SyslogAction(f"tls://127.0.0.1:{port}?ca={certificate}").deliver(RECORDS, LONG_S)


def test_tls_shows_its_own_certificate(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "receiver")
    mine, my_key = make_certificate(tmp_path, "sensor")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(mine)
    listening, port = bound(socket.SOCK_STREAM)
    target = f"tls://127.0.0.1:{port}?ca={certificate}"
    with Receiver(listening, context=context) as receiver:
        SyslogAction(f"{target}&cert={mine}&key={my_key}").deliver(RECORDS, LONG_S)
        wait_until(lambda: receiver.streams, "the messages")
        with pytest.raises(DeliveryError):
            SyslogAction(target).deliver(RECORDS, LONG_S)
    assert len(receiver.streams) == 1


def test_tls_with_a_receiver_that_says_nothing_ends_at_the_time_limit(tmp_path: Path) -> None:
    certificate, _ = make_certificate(tmp_path, "receiver")
    listening, port = bound(socket.SOCK_STREAM)
    listening.listen()
    with listening, pytest.raises(DeliveryError, match="did not answer within"):
        SyslogAction(f"tls://127.0.0.1:{port}?ca={certificate}").deliver(RECORDS, 0.3)


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_unix_socket_of_either_kind(open_desk: Callable[..., Desk], tmp_path: Path, kind: socket.SocketKind) -> None:
    listening = socket.socket(socket.AF_UNIX, kind)
    listening.bind(str(tmp_path / "log"))
    with Receiver(listening) as receiver:
        desk = open_desk(syslog=f"unix:{tmp_path}/log")
        desk.send(*map(make_alert, range(3)))
        desk.wait_for(delivered=3)
        wait_until(lambda: len(receiver.datagrams) == 3 or receiver.streams, "the messages")
    found = [parsed(message) for message in receiver.datagrams] or unframed(receiver.streams[0])
    assert [message["rule"] for message in found] == ["uplink"] * 3


def test_unix_socket_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DeliveryError, match=f"{tmp_path}/log cannot be reached: No such file"):
        SyslogAction(f"unix:{tmp_path}/log").deliver(RECORDS, LONG_S)


def test_end_of_the_run_ends_a_delivery(open_desk: Callable[..., Desk]) -> None:
    listening, port = bound(socket.SOCK_STREAM)
    listening.listen()
    with listening:
        desk = open_desk(syslog=f"tcp://127.0.0.1:{port}", timeout_ns=10**12)
        desk.send(*(make_alert(number, reason="x" * 900) for number in range(10)))
        wait_until(lambda: desk.count("waiting") == 10, "the delivery")
        desk.dispatcher.close(0.1)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "udp",
        "udp://",
        "http://a:1",
        "udp://a:b",
        "udp://a:99999",
        "tcp://a?ca=x",
        "tls://a?verify=no",
        "tls://a/path",
        "tls://a?ca=%00",
        "tcp://a:0",
        "udp://a b",
        "udp://u@a",
        "tls://[a",
    ],
)
def test_wrong_target_is_a_wrong_configuration(text: str) -> None:
    with pytest.raises(ConfigError, match="use udp://HOST:PORT"):
        SyslogAction(text)


@pytest.mark.parametrize("path", ["/" + "a" * 107, "/" + "ä" * 54, "/a\0b"])
def test_path_that_no_socket_can_have_is_a_wrong_configuration(path: str) -> None:
    with pytest.raises(ConfigError, match="at most 107 bytes"):
        SyslogAction(f"unix:{path}")


def test_certificates_that_cannot_be_used_are_a_wrong_configuration(tmp_path: Path) -> None:
    (tmp_path / "bad.pem").write_text("no certificate")
    for option in (f"ca={tmp_path}/none.pem", f"ca={tmp_path}/bad.pem", f"cert={tmp_path}/bad.pem"):
        with pytest.raises(ConfigError, match="cannot use its certificates"):
            SyslogAction(f"tls://localhost?{option}")


@pytest.mark.parametrize(
    ("text", "shown"),
    [("udp://log", "udp://log:514"), ("tls://[::1]", "tls://[::1]:6514"), ("unix:", "/dev/log"), ("unix:///run/x", "/run/x")],
)
def test_defaults_of_targets(text: str, shown: str) -> None:
    assert str(SyslogAction(text)._target) == shown
