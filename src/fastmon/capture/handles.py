"""Libpcap handles of live interfaces, opened by pypcap or by fastmon itself, and the interfaces that there are.

What it does not do: read from handles; `live` does.
"""

from __future__ import annotations

import socket
import struct
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from fastmon.bounds import BUFFER_BYTES, DIRECTIONS, FANOUT_GROUPS, PROVIDERS, SNAPLENS, check_choice, check_range
from fastmon.capture import linktypes
from fastmon.capture.base import check_filter
from fastmon.errors import AbsentInterfaceError, CaptureError, ConfigError, UnsupportedLinkTypeError
from fastmon.native import live_handle

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastmon.native.live_handle import Handle

__all__ = ["ANY", "HandleSettings", "InterfaceInfo", "index_of", "interface_names", "interfaces", "name_of", "open_handle"]

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
    """How an interface is captured from; see `live.open_live`. Raises ConfigError if a value is wrong.

    provider: who opens the handle, one of `PROVIDERS`; None: pypcap if it is installed, else fastmon.
    """

    filter: str | None = None
    snaplen: int = DEFAULT_SNAPLEN
    buffer_bytes: int = DEFAULT_BUFFER_BYTES
    promiscuous: bool = True
    direction: str = "inout"
    fanout_group: int | None = None
    provider: str | None = None

    def __post_init__(self) -> None:
        check_filter(self.filter)
        check_range("snaplen", self.snaplen, *SNAPLENS)
        check_range("buffer", self.buffer_bytes, *BUFFER_BYTES)
        check_choice("direction", self.direction, DIRECTIONS)
        check_range("fanout group", self.fanout_group, *FANOUT_GROUPS)
        if self.provider is not None:
            check_choice("handle", self.provider, PROVIDERS)


def open_handle(interface: str, settings: HandleSettings) -> Handle:
    """Open an interface. See `live.open_live` for the errors."""
    known = interface_names()
    if interface not in known:
        raise AbsentInterfaceError(f"{interface!r}: no such interface; there are {', '.join(known)}")
    handle = _activate(interface, settings)
    try:
        _configure(handle, interface, settings)
    except BaseException:
        handle.close()
        raise
    return handle


def interface_names() -> list[str]:
    """Return the names of all that can be captured from."""
    return list(dict.fromkeys([*(name for _, name in socket.if_nameindex()), *live_handle.device_names()]))


def index_of(name: str) -> int | None:
    """Return the number of the interface that has a name now; None if none has."""
    try:
        return socket.if_nametoindex(name)
    except OSError:
        return None


def name_of(index: int) -> str | None:
    """Return the name that the interface of a number has now; None if it has gone."""
    try:
        return socket.if_indextoname(index)
    except OSError:
        return None


def default_provider() -> str:
    """Return who opens handles if nobody says who, one of `PROVIDERS`."""
    return "pypcap" if find_spec("pcap") else "libpcap"


def _activate(interface: str, settings: HandleSettings) -> Handle:
    open_with: Callable[..., Handle] = live_handle.open_handle
    if (settings.provider or default_provider()) == "pypcap":
        from fastmon.capture.pypcap import open_handle as open_with
    try:
        return open_with(
            interface,
            snaplen=settings.snaplen,
            buffer_bytes=settings.buffer_bytes,
            timeout_ms=RETIRE_MS,
            promiscuous=settings.promiscuous and interface != ANY,  # it cannot be
        )
    except CaptureError as error:
        raise _activation_error(interface, str(error)) from error


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


def _configure(handle: Handle, interface: str, settings: HandleSettings) -> None:
    if not linktypes.is_supported(handle.link_type):
        described = linktypes.describe(handle.link_type)
        raise UnsupportedLinkTypeError(f"{interface}: link type {described} is not supported")
    try:
        # An empty one too: only a filter makes the kernel cut frames to the snaplen, not let them take room in the ring whole.
        handle.set_filter(settings.filter or "", live_handle.netmask_of(interface))
    except ConfigError as error:
        raise ConfigError(f"filter {settings.filter!r}: {error}") from error
    if settings.direction != "inout":
        try:
            handle.set_direction(DIRECTIONS.index(settings.direction))
        except CaptureError as error:
            raise CaptureError(f"{interface}: cannot capture one direction only: {error}") from error
    if settings.fanout_group is not None:
        _join_fanout(handle.fd, interface, settings.fanout_group)


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
        for name in live_handle.device_names()
    ]
