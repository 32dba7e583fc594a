"""Servers on loopback that take what actions send: well, badly, slowly or not at all."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from needs import cannot_run
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typing_extensions import Self


def need_program(name: str) -> str:
    """Return the path of a program, also of one that only root has in its path."""
    return shutil.which(name, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin") or cannot_run(
        f"there is no {name}"
    )


def free_port() -> int:
    """Return a port that nobody listens at."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Webhook:
    """An HTTP server. way: "answer", "error" (500), "hang", "trickle" (an answer of a byte each tenth of a second) or "drop"."""

    def __init__(self, way: str = "answer") -> None:
        self.way = way
        self.received: list[dict[str, Any]] = []
        self.n_requests = 0
        self.end = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.block_on_close = False
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self.port = self._server.server_port

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                webhook.n_requests += 1
                if webhook.way == "hang":
                    webhook.end.wait()
                elif webhook.way == "trickle":
                    self._trickle()
                elif webhook.way == "drop":
                    self.close_connection = True
                else:
                    if webhook.way == "answer":
                        webhook.received.append(json.loads(body))
                    self.send_response(200 if webhook.way == "answer" else 500)
                    self.send_header("content-length", "0")
                    self.end_headers()

            def _trickle(self) -> None:
                with suppress(OSError):
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                    while not webhook.end.wait(0.1):
                        self.wfile.write(b"x")

            def log_message(self, *_: object) -> None:
                pass

        return Handler

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.end.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Receiver:
    """Takes bytes at a socket: datagrams, or the streams of connections, one after the other."""

    def __init__(self, listening: socket.socket, *, context: ssl.SSLContext | None = None) -> None:
        self.datagrams: list[bytes] = []
        self.streams: list[bytes] = []
        self._socket = listening
        self._context = context
        self._is_stopped = False
        is_stream = listening.type == socket.SOCK_STREAM
        listening.settimeout(0.05)
        if is_stream:
            listening.listen()
        self._thread = threading.Thread(target=self._accept if is_stream else self._receive)

    def _receive(self) -> None:
        while not self._is_stopped:
            with suppress(TimeoutError):
                self.datagrams.append(self._socket.recv(65536))

    def _accept(self) -> None:
        while not self._is_stopped:
            with suppress(TimeoutError, ssl.SSLError, ConnectionError):
                connection, _ = self._socket.accept()
                with connection:
                    connection.settimeout(10)
                    self._read(connection)

    def _read(self, connection: socket.socket) -> None:
        if self._context is not None:
            with self._context.wrap_socket(connection, server_side=True) as secured:
                self.streams.append(_read_all(secured))
        else:
            self.streams.append(_read_all(connection))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_stopped = True
        self._thread.join()
        self._socket.close()


def _read_all(connection: socket.socket) -> bytes:
    data = b""
    while part := connection.recv(4096):
        data += part
    return data


def bound(kind: socket.SocketKind, family: socket.AddressFamily = socket.AF_INET) -> tuple[socket.socket, int]:
    """Return a socket that is bound on loopback, and its port."""
    listening = socket.socket(family, kind)
    listening.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
    return listening, listening.getsockname()[1]


def make_certificate(folder: Path, name: str, names: str = "IP:127.0.0.1,DNS:localhost") -> tuple[str, str]:
    """Return the paths of a certificate that is its own authority, and of its key."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    command = [need_program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName={names}"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=60)
    return str(certificate), str(key)


@contextmanager
def running_broker(folder: Path) -> Iterator[int]:
    """Run Debian's MQTT broker; give its port."""
    program = need_program("mosquitto")
    port = free_port()
    config = folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
    with subprocess.Popen([program, "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: _answers(port), "the broker")
            yield port
        finally:
            process.terminate()


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False
