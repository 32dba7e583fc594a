"""Network namespaces of the tests' own, and the interfaces in them.

A namespace has no name: it ends, with its interfaces, when the last process, socket or descriptor in it does, whatever becomes
of the tests. The thread that enters one takes along all processes and threads that it starts there.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CAPTURED", "SENDING", "Namespace", "ip", "make_bridge", "make_pair"]

SENDING, CAPTURED = "fm-tx", "fm-rx"

_CLONE_NEWNET = 0x40000000  # <linux/sched.h>; Python has setns(2) and unshare(2) since 3.12 only
_OWN = "/proc/thread-self/ns/net"
_NO_IPV6 = Path("/proc/sys/net/ipv6/conf/default/disable_ipv6")
_libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """A new network namespace. Nothing in it sends a frame by itself. Raises OSError if this process may not make one."""

    def __init__(self) -> None:
        with _back_afterwards():
            _check(_libc.unshare(_CLONE_NEWNET))
            self._fd = _open_own()
            with suppress(FileNotFoundError):  # a kernel without IPv6
                _NO_IPV6.write_text("1")  # or it would look for routers

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Be in the namespace, with this thread."""
        with _back_afterwards():
            _check(_libc.setns(self._fd, _CLONE_NEWNET))
            yield

    def take(self, interface: str) -> None:
        """Move an interface of the namespace that the thread is in to this one, and bring it up there."""
        ip("link", "set", interface, "netns", f"/proc/{os.getpid()}/fd/{self._fd}")
        with self.entered():
            ip("link", "set", interface, "up")

    def close(self) -> None:
        """Let go of the namespace."""
        os.close(self._fd)


def ip(*arguments: str) -> None:
    """Run ip(8) in the namespace that the thread is in."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=30, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")


def make_pair(one: str, other: str) -> None:
    """Make two interfaces with a cable between them, in the namespace that the thread is in, and bring them up."""
    ip("link", "add", one, "type", "veth", "peer", "name", other)
    ip("link", "set", one, "up")
    ip("link", "set", other, "up")


def make_bridge(name: str, *ports: str) -> None:
    """Make a bridge, up, of interfaces of the namespace that the thread is in, which it looks after without a word."""
    with suppress(FileNotFoundError):  # a kernel whose bridges do not look into packets
        Path("/proc/sys/net/bridge/bridge-nf-call-iptables").write_text("0")  # the frames' checksums are not right
    ip("link", "add", name, "type", "bridge", "stp_state", "0", "mcast_snooping", "0")
    for port in ports:
        ip("link", "set", port, "master", name)
    ip("link", "set", name, "up")


def _open_own() -> int:
    return os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)


@contextmanager
def _back_afterwards() -> Iterator[None]:
    """Return to the namespace that the thread is in now."""
    fd = _open_own()
    try:
        yield
    finally:
        _check(_libc.setns(fd, _CLONE_NEWNET))
        os.close(fd)


def _check(result: int) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
