"""The action `apprise`: webhooks, mail and MQTT on loopback, and services that do not do their part."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from email import message_from_bytes, policy
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from needs import cannot_run
from waiting import wait_until

from alerts.making import Desk, make_alert, spec
from alerts.servers import Webhook, free_port, need_program, running_broker
from fastmon.alerts.action import DeliveryError
from fastmon.alerts.notify import AppriseAction
from fastmon.alerts.records import MoreRecord, alert_record
from fastmon.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RECORDS = [alert_record(make_alert(number)) for number in range(3)]
LONG_S = 60.0
LONG_NS = 60_000_000_000


@pytest.fixture(autouse=True)
def _apprise() -> None:
    if find_spec("apprise") is None:
        cannot_run("the package apprise is missing")


@pytest.fixture
def make_action() -> Iterator[Callable[[str], AppriseAction]]:
    actions: list[AppriseAction] = []

    def make(url: str) -> AppriseAction:
        actions.append(AppriseAction(url))
        return actions[-1]

    yield make
    for action in actions:
        action.close()


def helpers() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if _is_helper(child)]


def _is_helper(process: psutil.Process) -> bool:
    try:
        return "fastmon.alerts.notify_helper" in process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return False


def test_webhook_gets_a_message(open_desk: Callable[..., Desk]) -> None:
    with Webhook() as webhook:
        desk = open_desk(apprise=f"json://127.0.0.1:{webhook.port}/alerts", timeout_ns=LONG_NS)
        desk.send(make_alert(1, severity="critical"))
        desk.wait_for(delivered=1)
        (message,) = webhook.received
        assert message["title"] == "[critical] uplink: 10.0.0.1 (local)"
        assert message["type"] == "failure"
        assert "value: 95.2 Mbit/s" in message["message"]
        desk.send(*map(make_alert, range(5)))
        desk.wait_for(delivered=6)
        assert len(webhook.received) == 2
        assert webhook.received[1]["title"] == "[warning] 5 alerts: uplink"
    assert not desk.problems


def test_webhook_is_told_the_number_of_the_rest(open_desk: Callable[..., Desk]) -> None:
    with Webhook() as webhook:
        desk = open_desk(spec(apprise=f"json://127.0.0.1:{webhook.port}", timeout_ns=LONG_NS, rate=3, rate_ns=1_000_000_000))
        desk.send(*map(make_alert, range(40)))
        desk.wait_for(delivered=3, summarised=37)
        wait_until(lambda: "37 more in 1s: uplink 37" in str(webhook.received), "the number")


def test_webhook_that_answers_500_is_tried_again(open_desk: Callable[..., Desk]) -> None:
    with Webhook("error") as webhook:
        desk = open_desk(apprise=f"json://user:hidden-word@127.0.0.1:{webhook.port}/hidden-path", timeout_ns=LONG_NS)
        desk.send(make_alert(1))
        text = desk.wait_for_problem("action test")
        assert text.startswith("action test: cannot be reached: the service answered with 500; trying again in")
        webhook.way = "answer"
        desk.wait_for(delivered=1)
        desk.wait_for_problem("works again")
    assert "hidden" not in repr(desk.problems)


@pytest.mark.parametrize("way", ["hang", "trickle"])
def test_webhook_that_does_not_end_its_answer_delays_nobody(way: str) -> None:
    with Webhook(way) as slow, Webhook() as quick:
        desk = Desk(
            spec(apprise=f"json://127.0.0.1:{slow.port}?rto=50", timeout_ns=3_000_000_000),
            spec("quick", apprise=f"json://127.0.0.1:{quick.port}", timeout_ns=LONG_NS),
        )
        desk.send(*(make_alert(number, actions=("test", "quick")) for number in range(3)))
        wait_until(lambda: desk.count("delivered", "quick") == 3, "the other action")
        text = desk.wait_for_problem("action test")
        assert "had no answer within 3 s" in text
        wait_until(lambda: slow.n_requests, "a request")
        desk.dispatcher.close(0.2)
        assert len(desk.outbox.load()) == 3
    wait_until(lambda: not helpers(), "the end of the helpers")


@pytest.mark.parametrize(
    ("way", "why"), [("refuse", "connection refused"), ("drop", "the connection was lost"), ("name", "no such host")]
)
def test_reason_of_a_failure_is_told_without_secrets(make_action: Callable[[str], AppriseAction], way: str, why: str) -> None:
    with Webhook("drop") as webhook:
        port = free_port() if way == "refuse" else webhook.port
        host = "hidden-host.invalid" if way == "name" else "127.0.0.1"
        with pytest.raises(DeliveryError) as caught:
            make_action(f"json://user:hidden-word@{host}:{port}/hidden-path?+X-Token=hidden-token").deliver(RECORDS, LONG_S)
    assert str(caught.value) == f"cannot be reached: {why}"


def test_url_that_apprise_does_not_know(make_action: Callable[[str], AppriseAction]) -> None:
    with pytest.raises(DeliveryError) as caught:
        make_action("nonsense://hidden-word@example.org").deliver(RECORDS, LONG_S)
    assert str(caught.value).startswith("is not understood by Apprise")


def test_secret_is_read_anew_and_shown_nowhere(
    make_action: Callable[[str], AppriseAction], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "url"
    with Webhook() as first, Webhook() as second:
        path.write_text(f"json://user:hidden-word@127.0.0.1:{first.port}\n")
        path.chmod(0o600)
        action = make_action(f"file:{path}")
        action.deliver(RECORDS, LONG_S)
        (helper,) = helpers()
        assert "hidden-word" not in " ".join(helper.cmdline()) + repr(action)
        assert not any("hidden-word" in value for value in helper.environ().values())
        path.write_text(f"json://127.0.0.1:{second.port}")
        action.deliver(RECORDS, LONG_S)
        assert (len(first.received), len(second.received)) == (1, 1)
        path.chmod(0o644)
        with pytest.raises(DeliveryError, match="its mode is 644, use 600"):
            action.deliver(RECORDS, LONG_S)
    assert capfd.readouterr() == ("", "")


def test_secret_that_is_missing_is_a_wrong_configuration() -> None:
    with pytest.raises(ConfigError, match="action 'test': apprise: the environment variable FASTMON_NONE is not set"):
        Desk(spec(apprise="env:FASTMON_NONE"))


def test_helper_that_dies_is_started_again(make_action: Callable[[str], AppriseAction]) -> None:
    with Webhook() as webhook:
        action = make_action(f"json://127.0.0.1:{webhook.port}")
        action.deliver(RECORDS, LONG_S)
        (helper,) = helpers()
        helper.send_signal(signal.SIGKILL)
        # Not its state: that says zombie while other threads of it still live.
        wait_until(lambda: os.waitid(os.P_PID, helper.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG), "its death")
        action.deliver(RECORDS, LONG_S)
        assert len(webhook.received) == 2
        assert helpers() != [helper]


def test_helper_ends_with_the_process_that_it_works_for() -> None:
    code = (
        "import os, signal\n"
        "from fastmon.alerts.notify import AppriseAction\n"
        "action = AppriseAction('json://127.0.0.1:9')\n"
        "action.open()\n"
        "print(action._helper.pid, flush=True)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False).stdout
    wait_until(lambda: not psutil.pid_exists(int(printed)), "the end of the helper")


def test_modules_in_the_working_folder_are_not_loaded(
    make_action: Callable[[str], AppriseAction], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "apprise.py").write_text(f"open({str(tmp_path / 'evil')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    with Webhook() as webhook:
        make_action(f"json://127.0.0.1:{webhook.port}").deliver(RECORDS, LONG_S)
    assert not (tmp_path / "evil").exists()


def test_apprise_is_not_loaded_into_this_process() -> None:
    code = (
        "import sys\n"
        "from fastmon.alerts.notify import AppriseAction\n"
        "AppriseAction('json://127.0.0.1:9').open()\n"
        "print('apprise' in sys.modules)\n"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=True).stdout
    assert printed == b"False\n"


class Mailbox:
    """Keeps the mails of an SMTP server; refuses them while it is told to."""

    def __init__(self) -> None:
        self.mails: list[bytes] = []
        self.answer = "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802  (aiosmtpd's name)
        if self.answer.startswith("250"):
            self.mails.append(envelope.content)
        return self.answer


def test_mail_is_delivered_when_the_server_takes_it(open_desk: Callable[..., Desk]) -> None:
    try:
        from aiosmtpd.controller import Controller
    except ImportError:
        cannot_run("the package aiosmtpd is missing")
    mailbox = Mailbox()
    mailbox.answer = "451 later"
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        url = f"mailto://127.0.0.1:{controller.port}?from=fastmon@example.org&to=admin@example.org&mode=insecure"
        desk = open_desk(apprise=url, timeout_ns=LONG_NS)
        desk.send(
            make_alert(1, name="Küche\r\nBcc: everybody@example.org", evidence={"peers": [{"host": "192.0.2.1", "bytes": 5}]})
        )
        desk.wait_for_problem("cannot be reached")
        mailbox.answer = "250 OK"
        desk.wait_for(delivered=1)
    finally:
        controller.stop()
    mail = message_from_bytes(mailbox.mails[0], policy=policy.default)
    assert mail["to"] == "admin@example.org"
    assert mail["bcc"] is None
    assert mail["subject"].startswith("[warning] uplink: 10.0.0.1 (Küche\\r\\nBcc: everybody\\x40example.org, local)")
    body = mail.get_body(("plain", "html"))
    assert body is not None
    assert "peers: 192.0.2.1 bytes 5 B" in body.get_content()


def test_mqtt_broker_gets_a_message(open_desk: Callable[..., Desk], tmp_path: Path) -> None:
    need_program("mosquitto")
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    got: list[str] = []
    with running_broker(tmp_path) as port:
        client = Client(CallbackAPIVersion.VERSION2)
        client.on_message = lambda _client, _data, message: got.append(message.payload.decode())
        ready: list[object] = []
        client.on_subscribe = lambda *arguments: ready.append(arguments)
        client.connect("127.0.0.1", port)
        client.subscribe("fastmon/alerts")
        client.loop_start()
        wait_until(lambda: ready, "the subscription")
        desk = open_desk(apprise=f"mqtt://127.0.0.1:{port}/fastmon/alerts", timeout_ns=LONG_NS)
        desk.send(make_alert(1))
        desk.wait_for(delivered=1)
        wait_until(lambda: got, "the message")
        client.disconnect()
        client.loop_stop()
    assert "10.0.0.1" in got[0]


def test_message_of_a_number_alone_is_sent(make_action: Callable[[str], AppriseAction]) -> None:
    with Webhook() as webhook:
        make_action(f"json://127.0.0.1:{webhook.port}").deliver([MoreRecord("a", "b", 60, 37, {"scan": 37})], LONG_S)
        assert (webhook.received[0]["type"], webhook.received[0]["title"]) == ("info", "[info] 37 more alerts")


def test_without_apprise_the_configuration_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastmon.alerts.notify.find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"pip install 'fastmon\[notify\]'"):
        AppriseAction("json://127.0.0.1")


def test_loading_is_no_part_of_an_attempts_time(
    make_action: Callable[[str], AppriseAction], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Webhook() as webhook:
        action = make_action(f"json://127.0.0.1:{webhook.port}")
        exchange, limits = action._exchange, []

        def note(helper: Any, request: bytes, deadline_s: float) -> str | None:
            limits.append((bool(request), deadline_s - time.monotonic() > 20))
            return exchange(helper, request, deadline_s)

        monkeypatch.setattr(action, "_exchange", note)
        for _ in range(2):
            action.deliver(RECORDS, 15)
    assert limits == [(False, True), (True, False), (True, False)]


def test_end_of_the_run_ends_a_message_that_is_under_way(open_desk: Callable[..., Desk]) -> None:
    with Webhook("hang") as webhook:
        desk = open_desk(apprise=f"json://127.0.0.1:{webhook.port}?rto=500", timeout_ns=10**12)
        desk.send(make_alert(1))
        wait_until(lambda: webhook.n_requests, "the request")
        desk.dispatcher.close(0.1)
        assert len(desk.outbox.load()) == 1
    wait_until(lambda: not helpers(), "the end of the helper")
