"""The action `apprise`: messages to people by mail, chat, push, webhook, MQTT, through Apprise.

What it does not do: load Apprise into the process that captures. A helper process does, one for each action: it can be ended
whatever a service does, and 130 services take it a second to load.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import time
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING

import msgspec

from fastmon.alerts.action import DeliveryError
from fastmon.alerts.messages import make_message
from fastmon.alerts.secrets import read_secret
from fastmon.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastmon.alerts.records import Record

__all__ = ["INSTALL", "AppriseAction", "has_apprise"]

INSTALL = "pip install 'fastmon[notify]'"

KINDS = {"cleared": "success", "info": "info", "warning": "warning", "critical": "failure"}
"""Apprise's kinds of messages, by severity."""

MAX_ANSWER = 10_000

LOAD_S = 60.0
"""How long the helper may take to load Apprise, on a slow machine under load. No attempt's time limit counts it."""


def has_apprise() -> bool:
    """Return whether Apprise is installed."""
    return find_spec("apprise") is not None


class AppriseAction:
    """Sends the records of a delivery as one message to the service of a URL: as written, "env:NAME" or "file:PATH".

    The secret is read anew for each delivery, and goes to the helper through a pipe: no argument, no log and no error has it.

    Raises ConfigError if there is no secret, or no Apprise.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        read_secret(url)
        if not has_apprise():
            raise ConfigError(f"it needs the package apprise: {INSTALL}")
        self._helper: subprocess.Popen[bytes] | None = None
        self._is_ready = False
        self._is_aborted = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}(...)"

    def open(self) -> None:
        """Start the helper, so that it is ready when the first alert comes."""
        with suppress(DeliveryError):
            self._start()

    def deliver(self, records: Sequence[Record], timeout_s: float) -> None:
        """Send a message."""
        message = make_message(records)
        try:
            url = read_secret(self._url)
        except ConfigError as error:
            raise DeliveryError(str(error)) from None
        request = {
            "url": url,
            "title": message.subject,
            "body": message.body,
            "kind": KINDS.get(message.severity, "info"),
            "timeout_s": timeout_s,
        }
        answer = self._ask(msgspec.json.encode(request) + b"\n", timeout_s)
        if answer is None:
            self._stop()
            raise DeliveryError("was stopped" if self._is_aborted else f"had no answer within {timeout_s:.3g} s")
        if answer:
            raise DeliveryError(answer)

    def abort(self) -> None:
        """End the helper."""
        self._is_aborted = True
        helper = self._helper
        if helper is not None:
            helper.kill()

    def close(self) -> None:
        """End the helper."""
        self._stop()

    def _start(self) -> subprocess.Popen[bytes]:
        """Return the helper, which is started if it does not run."""
        helper = self._helper
        if helper is not None and helper.poll() is None:
            return helper
        self._stop()
        environment = dict(os.environ)
        if "PYTHONPATH" in environment:  # its folder is another one
            paths = environment["PYTHONPATH"].split(os.pathsep)
            environment["PYTHONPATH"] = os.pathsep.join(os.path.abspath(path) for path in paths if path)  # noqa: PTH100
        try:
            self._helper = subprocess.Popen(
                [sys.executable, "-m", "fastmon.alerts.notify_helper"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                cwd="/",  # Python looks for modules there first
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise DeliveryError(f"cannot be started: {error.strerror}") from None
        return self._helper

    def _stop(self) -> None:
        helper, self._helper = self._helper, None
        self._is_ready = False
        if helper is not None:
            helper.kill()
            helper.wait()
            for stream in (helper.stdin, helper.stdout):
                if stream is not None:
                    stream.close()

    def _ask(self, request: bytes, timeout_s: float) -> str | None:
        """Return the helper's answer, "" if the message was sent; None if the time is up."""
        helper = self._start()
        if not self._is_ready:
            failure = self._exchange(helper, b"", time.monotonic() + LOAD_S)
            if failure != "":
                return failure
            self._is_ready = True
        return self._exchange(helper, request, time.monotonic() + timeout_s)

    def _exchange(self, helper: subprocess.Popen[bytes], request: bytes, deadline_s: float) -> str | None:
        """Send a request, and return the next answer."""
        if helper.stdin is None or helper.stdout is None:
            return None
        answer = b""
        data = memoryview(request)
        os.set_blocking(helper.stdin.fileno(), False)
        with selectors.DefaultSelector() as selector:
            selector.register(helper.stdout, selectors.EVENT_READ)
            if request:
                selector.register(helper.stdin, selectors.EVENT_WRITE)
            while not answer.endswith(b"\n"):
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    return None
                for key, _ in selector.select(left_s):
                    if key.fileobj is helper.stdout:
                        part = os.read(helper.stdout.fileno(), MAX_ANSWER)
                        if not part:
                            return None if self._is_aborted else self._death()
                        answer += part
                    else:
                        with suppress(BlockingIOError, BrokenPipeError):
                            data = data[os.write(helper.stdin.fileno(), data) :]
                        if not data:
                            selector.unregister(helper.stdin)
        return msgspec.json.decode(answer, type=str)

    def _death(self) -> str:
        helper = self._helper
        code = helper.wait() if helper is not None else 0
        self._stop()
        return f"failed: the process that sends has ended ({code})"
