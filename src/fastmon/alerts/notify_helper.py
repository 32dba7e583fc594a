"""The process that sends messages through Apprise: requests on standard input, answers on standard output, one a line.

What it does not do: write anything else anywhere. Apprise's log may hold secrets, so it goes nowhere; of a failure only what is
known to have none is told.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import warnings
from typing import Any

import msgspec

__all__ = ["is_understood", "main"]

_REASONS = (
    (r"timed? ?out", "it did not answer in time"),
    (r"Connection refused", "connection refused"),
    (r"Name or service not known|getaddrinfo failed|Temporary failure in name resolution|NameResolution", "no such host"),
    (r"CERTIFICATE_VERIFY_FAILED|certificate verify failed", "its certificate cannot be trusted"),
    (r"No route to host", "no route to the host"),
    (r"Network is unreachable", "the network is unreachable"),
    (r"Connection (reset|aborted)|RemoteDisconnected|closed", "the connection was lost"),
    (r"authenticat|\b535\b|Unauthorized|not authori[sz]ed", "it refuses the user or the password"),
    (r"Connection error", "no connection"),
)
"""What to look for in Apprise's log, and what it means. Never the log itself: it has addresses and tokens in it."""

_CODE = re.compile(r"error[=: ]+(\d{3})\b")


class _Request(msgspec.Struct):
    url: str
    title: str
    body: str
    kind: str
    timeout_s: float


class _Listener(logging.Handler):
    """Keeps what Apprise logs about one message, to find the reason of a failure in it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if len(self.lines) < 100:
            self.lines.append(record.getMessage()[:2000])


def main() -> None:
    """Serve requests until there are no more."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a service's code prints is no answer
    listener = _Listener()
    _send_log_to(listener)
    os.nice(5)
    _load()
    answers.write(msgspec.json.encode("") + b"\n")  # ready
    for line in sys.stdin.buffer:
        request = msgspec.json.decode(line, type=_Request)
        listener.lines.clear()
        signal.alarm(int(request.timeout_s) + 2)  # whatever a service does, and even if nobody is left to end this process
        error = _send(request, listener.lines)
        signal.alarm(0)
        answers.write(msgspec.json.encode(error) + b"\n")


def is_understood(url: str) -> bool:
    """Return whether Apprise knows the service of a URL, and finds all in it that the service needs. Nothing is sent."""
    import apprise

    _send_log_to(logging.NullHandler())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what services import is not the user's to mend
            return bool(apprise.Apprise.instantiate(url))
    except Exception:  # noqa: BLE001 - of 130 services, any may fail in any way
        return False


def _send_log_to(handler: logging.Handler) -> None:
    """Let Apprise's log, which may hold secrets, go to `handler` alone."""
    log = logging.getLogger("apprise")
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    log.propagate = False


def _load() -> None:
    """Import Apprise and its services before the first message."""
    import apprise

    apprise.Apprise.instantiate("json://localhost")


def _send(request: _Request, log: list[str]) -> str:
    """Send a message; return why it could not be sent, "" if it was."""
    import apprise

    asset = apprise.AppriseAsset(app_id="fastmon", app_desc="fastmon", app_url="", async_mode=False)
    try:
        service: Any = apprise.Apprise.instantiate(request.url, asset=asset)
        if not service:
            return "is not understood by Apprise: use one URL of a service that it knows, complete"
        service.socket_connect_timeout = min(service.socket_connect_timeout, request.timeout_s)
        if "overflow=" not in request.url:
            service.overflow_mode = apprise.OverflowMode.TRUNCATE
        sender = apprise.Apprise(asset=asset)
        sender.add(service)
        is_sent = sender.notify(
            body=request.body, title=request.title, notify_type=request.kind, body_format=apprise.NotifyFormat.TEXT
        )
    except Exception as error:  # noqa: BLE001 - of 130 services, any may fail in any way
        log.append(str(error))
        return f"failed: {_reason(log) or type(error).__name__}"
    return "" if is_sent else f"cannot be reached: {_reason(log) or 'the service did not take the message'}"


def _reason(log: list[str]) -> str:
    text = "\n".join(log)
    code = _CODE.search(text)
    if code is not None:
        return f"the service answered with {code[1]}"
    return next((reason for pattern, reason in _REASONS if re.search(pattern, text, re.IGNORECASE)), "")


if __name__ == "__main__":
    main()
