"""The action `syslog`: messages of RFC 5424 over UDP (RFC 5426), TCP (RFC 6587), TLS (RFC 5425) or a local socket.

What it does not do: know whether a receiver without acknowledgements has kept a message. UDP has none at all.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from fastmon.alerts.action import DeliveryError
from fastmon.alerts.records import AlertRecord, record_line
from fastmon.errors import ConfigError
from fastmon.model.alerts import CLEARED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastmon.alerts.records import Record

__all__ = ["SyslogAction", "format_syslog", "parse_target"]

PORTS = {"udp": 514, "tcp": 514, "tls": 6514}
DEFAULT_SOCKET = "/dev/log"

FACILITY = 3
"""System daemons."""

LEVELS = {"info": 6, "warning": 4, "critical": 2}
CLEARED_LEVEL = 5

SD_ID = "fastmon@32473"
"""32473 is the number that RFC 5612 sets aside for whoever has none."""

MAX_MESSAGE = 2000
"""Bytes: RFC 5426 and 5425 ask every receiver to take 2048."""

GOODBYE_S = 2.0
"""How long the receiver may take to close its side."""

MAX_PATH = 107
"""Bytes of a local socket's path (unix(7))."""

_URL = re.compile(r"(?:udp|tcp|tls)://(?:\[[0-9A-Fa-f:.]+\]|[\w.-]+)(?::\d{1,5})?/?(?:\?.*)?")

_FIELDS = ("id", "rule", "kind", "state", "severity", "scope", "since", "host", "name", "mac", "value", "limit", "unit", "window")


class _Target(NamedTuple):
    """kind: a key of `PORTS`, or "unix".  ca, cert, key: files for TLS, "" for none."""

    kind: str
    host: str
    port: int
    ca: str = ""
    cert: str = ""
    key: str = ""

    def __str__(self) -> str:
        if self.kind == "unix":
            return self.host
        return f"{self.kind}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


class SyslogAction:
    """Sends each record as a message, over a connection that is made for each delivery.

    target: "udp://HOST:PORT", "tcp://HOST:PORT", "tls://HOST:PORT?ca=FILE&cert=FILE&key=FILE" or "unix:PATH". Ports are 514, for
    TLS 6514, unless given. Without `ca` the system's authorities are trusted. cert and key are this client's own.

    Raises ConfigError.
    """

    def __init__(self, target: str) -> None:
        self._target = parse_target(target)
        self._context = _make_context(self._target) if self._target.kind == "tls" else None
        self._socket: socket.socket | None = None
        self._is_aborted = False

    def open(self) -> None:
        """Do nothing: a connection is made for each delivery."""

    def deliver(self, records: Sequence[Record], timeout_s: float) -> None:
        """Send a message for each record."""
        deadline_s = time.monotonic() + timeout_s
        messages = [format_syslog(record, _hostname()) for record in records]
        try:
            self._send(messages, deadline_s)
        except TimeoutError:
            raise DeliveryError(f"{self._target} did not answer within {timeout_s:.3g} s") from None
        except ssl.SSLCertVerificationError as error:
            raise DeliveryError(f"{self._target} cannot be trusted: {error.verify_message}") from None
        except OSError as error:
            why = re.sub(r" \(_ssl\.c:\d+\)", "", error.strerror or type(error).__name__)
            raise DeliveryError(f"{self._target} cannot be reached: {why}") from None
        except UnicodeError:
            raise DeliveryError(f"{self._target} cannot be reached: its name is no name of a host") from None
        finally:
            self._socket = None

    def abort(self) -> None:
        """Shut the connection."""
        self._is_aborted = True
        connection = self._socket
        if connection is not None:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Do nothing: no connection lasts between deliveries."""

    def _send(self, messages: Sequence[bytes], deadline_s: float) -> None:
        if self._target.kind == "unix":
            with _connect_unix(self._target.host, deadline_s) as connection:
                self._socket = connection
                is_stream = connection.type == socket.SOCK_STREAM
                for message in messages:
                    _send_all(connection, _framed(message) if is_stream else message, deadline_s)
            return
        with _connect(self._target, deadline_s) as connection:
            self._socket = connection
            if self._is_aborted:
                raise TimeoutError
            if self._target.kind == "udp":
                for message in messages:
                    connection.settimeout(_left(deadline_s))
                    connection.send(message)
                return
            if self._context is None:
                _send_all(connection, b"".join(map(_framed, messages)), deadline_s)
                connection.shutdown(socket.SHUT_WR)
                _await_goodbye(connection, deadline_s)
                return
            connection.settimeout(_left(deadline_s))
            with self._context.wrap_socket(connection, server_hostname=self._target.host) as secured:
                self._socket = secured
                _send_all(secured, b"".join(map(_framed, messages)), deadline_s)
                _say_goodbye(secured, deadline_s)


def format_syslog(record: Record, hostname: str) -> bytes:
    """Return a record as a message of RFC 5424, of at most `MAX_MESSAGE` bytes."""
    if isinstance(record, AlertRecord):
        level = CLEARED_LEVEL if record.state == CLEARED else LEVELS.get(record.severity, 5)
        fields = {name: getattr(record, name) for name in _FIELDS}
        message_id = record.kind
    else:
        level, message_id = 5, "more"
        fields = {"since": record.since, "alerts": record.alerts, "seconds": record.seconds}
    values = " ".join(f'{name}="{_escape(str(value)[:200])}"' for name, value in fields.items() if value not in (None, "", 0))
    head = f"<{FACILITY * 8 + level}>1 {record.time} {hostname} fastmon {os.getpid()} {_header_text(message_id, 32)}"
    text = record_line(record)
    mark = "" if text.isascii() else "\ufeff"  # a text that is not ASCII begins with this mark of UTF-8
    data = f"{head} [{SD_ID} {values}] {mark}{text}".encode()
    return data if len(data) <= MAX_MESSAGE else data[:MAX_MESSAGE].decode("utf-8", "ignore").encode()


def _escape(value: str) -> str:
    return re.sub(r'(["\\\]])', r"\\\1", value)


def _header_text(text: str, most: int) -> str:
    """Return a text as the header of a message takes it: printing ASCII without spaces."""
    return re.sub(r"[^!-~]", "_", text)[:most] or "-"


def _hostname() -> str:
    return _header_text(socket.gethostname(), 255)


def _framed(message: bytes) -> bytes:
    """Return a message after the number of its bytes."""
    return b"%d %s" % (len(message), message)


def _left(deadline_s: float) -> float:
    """Return the time that is left. Raises TimeoutError if there is none."""
    left_s = deadline_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    return left_s


def _connect(target: _Target, deadline_s: float) -> socket.socket:
    """Return a socket that is connected to the first address that takes it."""
    kind = socket.SOCK_DGRAM if target.kind == "udp" else socket.SOCK_STREAM
    failure: OSError = OSError("it has no address")
    for family, _, protocol, _, address in socket.getaddrinfo(target.host, target.port, type=kind):
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(_left(deadline_s))
            connection.connect(address)
        except OSError as error:
            connection.close()
            failure = error
        else:
            return connection
    raise failure


def _connect_unix(path: str, deadline_s: float) -> socket.socket:
    """Return a socket that is connected to a local one, which may be of either kind."""
    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
        connection = socket.socket(socket.AF_UNIX, kind)
        try:
            connection.settimeout(_left(deadline_s))
            connection.connect(path)
        except OSError as error:
            connection.close()
            if kind == socket.SOCK_STREAM or error.errno != errno.EPROTOTYPE:
                raise
        else:
            return connection
    raise OSError(f"no socket at {path}")


def _send_all(connection: socket.socket, data: bytes, deadline_s: float) -> None:
    """Send everything by the deadline. `sendall` would have its time limit for all of it."""
    connection.settimeout(_left(deadline_s))
    connection.sendall(data)


def _await_goodbye(connection: socket.socket, deadline_s: float) -> None:
    """Wait until the receiver has closed its side: a connection that was reset before has lost messages.

    One that keeps it open has got them all the same.
    """
    end_s = min(deadline_s, time.monotonic() + GOODBYE_S)
    with suppress(TimeoutError):
        while True:
            connection.settimeout(_left(end_s))
            if not connection.recv(4096):
                return


def _say_goodbye(secured: ssl.SSLSocket, deadline_s: float) -> None:
    """End TLS, then the connection. A receiver that refuses this client's certificate says so only now, or resets."""
    try:
        secured.settimeout(_left(min(deadline_s, time.monotonic() + GOODBYE_S)))
        connection = secured.unwrap()
        connection.shutdown(socket.SHUT_WR)
    except (TimeoutError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
        return
    except ssl.SSLError as error:
        if error.reason != "APPLICATION_DATA_AFTER_CLOSE_NOTIFY":
            raise
    else:
        _await_goodbye(connection, deadline_s)


def parse_target(text: str) -> _Target:
    """Return where a text, as `SyslogAction` takes it, sends to. Raises ConfigError."""
    if text.startswith("unix:"):
        return _Target("unix", _checked_path(text[5:].removeprefix("//") or DEFAULT_SOCKET), 0)
    if _URL.fullmatch(text) is None:
        raise _refused(text)
    try:
        parts = urlsplit(text)
        port = parts.port
        options = {name: values[-1] for name, values in parse_qs(parts.query, strict_parsing=bool(parts.query)).items()}
    except ValueError:
        raise _refused(text) from None
    allowed = {"ca", "cert", "key"} if parts.scheme == "tls" else set()
    if not parts.hostname or port == 0 or not set(options) <= allowed or "\0" in "".join(options.values()):
        raise _refused(text)
    return _Target(parts.scheme, unquote(parts.hostname), port or PORTS[parts.scheme], **options)


def _checked_path(path: str) -> str:
    n_bytes = len(os.fsencode(path))
    if "\0" in path or n_bytes > MAX_PATH:
        why = "with a NUL" if "\0" in path else f"of {n_bytes:,} bytes"
        raise ConfigError(f"invalid path {why} of a local socket: use at most {MAX_PATH} bytes, none of them NUL")
    return path


def _refused(text: str) -> ConfigError:
    targets = "udp://HOST:PORT, tcp://HOST:PORT, tls://HOST:PORT?ca=FILE&cert=FILE&key=FILE or unix:PATH"
    return ConfigError(f"invalid syslog server {text!r}: use {targets}")


def _make_context(target: _Target) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=target.ca or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if target.cert:
            # a key with a password would ask for it on the terminal
            context.load_cert_chain(target.cert, target.key or None, password=lambda: "")
    except OSError as error:
        raise ConfigError(f"{target}: cannot use its certificates: {error.strerror or type(error).__name__}") from None
    return context
