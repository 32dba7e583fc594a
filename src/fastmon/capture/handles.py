"""Libpcap handles of live interfaces, opened and configured through pypcap, and the interfaces that there are.

pypcap's traps are guarded here, and only here: it takes a file of the interface's name for the interface, and fails on libpcap's
warnings.

What it does not do: read from handles; `live` does.
"""

from __future__ import annotations

import re
import socket
import struct
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fastmon.bounds import BUFFER_BYTES, DIRECTIONS, FANOUT_GROUPS, SNAPLENS, check_choice, check_range
from fastmon.capture import linktypes
from fastmon.capture.base import check_filter
from fastmon.errors import AbsentInterfaceError, CaptureError, ConfigError, UnsupportedLinkTypeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pcap

__all__ = ["ANY", "HandleSettings", "InterfaceInfo", "interface_names", "interfaces", "open_handle"]

ANY = "any"
"""libpcap's name for all interfaces at once."""

DEFAULT_SNAPLEN = 128
"""Bytes captured of each frame: enough for the addresses and ports behind common encapsulations."""

DEFAULT_BUFFER_BYTES = 64 << 20
"""Of the kernel's ring: a second of 400,000 frames."""

RETIRE_MS = 50
"""The kernel hands over a block of its ring that is not full after this time."""

_SOL_PACKET = 263  # <linux/if_packet.h>
_PACKET_FANOUT = 18
_PACKET_FANOUT_HASH = 0


@dataclass(frozen=True, slots=True)
class HandleSettings:
    """How an interface is captured from; see `live.open_live`. Raises ConfigError if a value is wrong."""

    filter: str | None = None
    snaplen: int = DEFAULT_SNAPLEN
    buffer_bytes: int = DEFAULT_BUFFER_BYTES
    promiscuous: bool = True
    direction: str = "inout"
    fanout_group: int | None = None

    def __post_init__(self) -> None:
        check_filter(self.filter)
        check_range("snaplen", self.snaplen, *SNAPLENS)
        check_range("buffer", self.buffer_bytes, *BUFFER_BYTES)
        check_choice("direction", self.direction, DIRECTIONS)
        check_range("fanout group", self.fanout_group, *FANOUT_GROUPS)


def open_handle(interface: str, settings: HandleSettings) -> pcap.pcap:
    """Open an interface. See `live.open_live` for the errors."""
    known = interface_names()
    if interface not in known:
        raise AbsentInterfaceError(f"{interface!r}: no such interface; there are {', '.join(known)}")
    if Path(interface).exists():
        # pypcap would read that file instead.
        raise CaptureError(f"a file named {interface!r} is in the way here; run fastmon from another folder")
    source = _activate(interface, settings)
    try:
        _configure(source, interface, settings)
    except BaseException:
        source.close()
        raise
    return source


def interface_names() -> list[str]:
    """Return the names of all that can be captured from."""
    import pcap

    return list(dict.fromkeys([*(name for _, name in socket.if_nameindex()), *pcap.findalldevs()]))


def _activate(interface: str, settings: HandleSettings) -> pcap.pcap:
    import pcap

    try:
        return pcap.pcap(
            interface,
            snaplen=settings.snaplen,
            # "any" cannot be promiscuous; libpcap warns of it, and pypcap takes the warning for a failure.
            promisc=settings.promiscuous and interface != ANY,
            timeout_ms=RETIRE_MS,
            timestamp_in_ns=True,
            buffer_size=settings.buffer_bytes,
        )
    except OSError as error:
        raise _activation_error(interface, _libpcap_text(error)) from error


def _libpcap_text(error: OSError) -> str:
    """Return libpcap's words from pypcap's exception, which has them as bytes or as the text of a bytes literal."""
    import ast  # slow to import, and seldom needed

    cause = error.args[0] if error.args else ""
    if isinstance(cause, str) and (literal := re.search(r"b(['\"]).*\1$", cause, re.DOTALL)):
        cause = ast.literal_eval(literal.group())
    return cause.decode("utf-8", "replace").strip() if isinstance(cause, bytes) else str(cause)


def _activation_error(interface: str, text: str) -> CaptureError:
    lowered = text.lower()
    if "permi" in lowered or "cap_net_raw" in lowered:
        return CaptureError(f"{interface}: {text}: {_permission_advice()}")
    if "not up" in lowered or "is down" in lowered:
        return AbsentInterfaceError(f"{interface}: {text}: bring it up with 'ip link set dev {interface} up'")
    if "no such device" in lowered:  # it has gone meanwhile
        return AbsentInterfaceError(f"{interface}: {text}")
    return CaptureError(f"{interface}: {text}")


def _permission_advice() -> str:
    """Return what a capture needs, no more, and how this interpreter gets it without giving it to all others."""
    python = Path(sys.executable).resolve()
    unit = "AmbientCapabilities=CAP_NET_RAW in a systemd unit"
    command = f"sudo setcap cap_net_raw=ep {python}"
    if python.is_relative_to(Path(sys.prefix).resolve()) and sys.prefix != sys.base_prefix:
        return f"it needs CAP_NET_RAW, not root: '{command}', or {unit}"
    return (
        f"it needs CAP_NET_RAW, not root: {unit}, or setcap on a Python that fastmon has to itself (python3 -m venv --copies); "
        f"'{command}' would let every program on this one capture"
    )


def _configure(source: pcap.pcap, interface: str, settings: HandleSettings) -> None:
    if not linktypes.is_supported(source.datalink()):
        described = linktypes.describe(source.datalink())
        raise UnsupportedLinkTypeError(f"{interface}: link type {described} is not supported")
    try:
        # An empty one too: only a filter makes the kernel cut frames to the snaplen, not let them take room in the ring whole.
        source.setfilter(settings.filter or "")
    except OSError as error:
        raise ConfigError(f"filter {settings.filter!r}: {_libpcap_text(error)}") from error
    if settings.direction != "inout" and not source.setdirection(DIRECTIONS.index(settings.direction)):
        raise CaptureError(f"{interface}: cannot capture one direction only")
    if settings.fanout_group is not None:
        _join_fanout(source.fd, interface, settings.fanout_group)


def _join_fanout(fd: int, interface: str, group: int) -> None:
    try:
        with socket.fromfd(fd, socket.AF_PACKET, socket.SOCK_RAW) as packet_socket:
            packet_socket.setsockopt(_SOL_PACKET, _PACKET_FANOUT, struct.pack("=I", group | _PACKET_FANOUT_HASH << 16))
    except OSError as error:
        raise CaptureError(f"{interface}: its frames cannot be shared between workers: {error.strerror}") from error


@dataclass(frozen=True, slots=True)
class InterfaceInfo:
    """Something that can be captured from.

    addresses: CIDR texts.  description: for those that are no network interface.
    """

    name: str
    is_up: bool
    addresses: Sequence[str] = ()
    description: str = ""


_PSEUDO_INTERFACES = {ANY: "all interfaces at once"}


def interfaces() -> list[InterfaceInfo]:
    """Return what can be captured from, in libpcap's order."""
    import pcap
    import psutil

    from fastmon.model.addresses import interface_addresses

    stats = psutil.net_if_stats()
    return [
        InterfaceInfo(
            name,
            stats[name].isup if name in stats else True,
            interface_addresses(name) if name in stats else (),
            _PSEUDO_INTERFACES.get(name, "" if name in stats else "not a network interface"),
        )
        for name in pcap.findalldevs()
    ]
