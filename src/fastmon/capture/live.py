"""Live interfaces, through pypcap: it opens and configures a handle, which a native reader drains.

pypcap's traps are guarded here, and only here: it takes a file of the interface's name for the interface, fails on libpcap's
warnings, and crashes after `close()`.

What it does not do: decode, account, keep intervals.
"""

from __future__ import annotations

import re
import select
import socket
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fastmon.bounds import BUFFER_BYTES, DIRECTIONS, FANOUT_GROUPS, SNAPLENS, check_choice, check_range
from fastmon.capture import linktypes
from fastmon.capture.base import Closing, check_filter
from fastmon.errors import CaptureError, ClosedCaptureError, ConfigError, UnsupportedLinkTypeError
from fastmon.model.frames import Frame
from fastmon.model.snapshot import Dropped
from fastmon.native.live_reader import LiveReader

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pcap

__all__ = ["InterfaceInfo", "LiveCapture", "interfaces", "open_live"]

DEFAULT_SNAPLEN = 128
"""Bytes captured of each frame: enough for the addresses and ports behind common encapsulations."""

PAYLOAD_SNAPLEN = 1600
"""Enough for a whole frame's payload, from which applications and names are found."""

DEFAULT_BUFFER_BYTES = 64 << 20
"""Of the kernel's ring: a second of 400,000 frames."""

RETIRE_MS = 50
"""The kernel hands over a block of its ring that is not full after this time."""

_SOL_PACKET = 263  # <linux/if_packet.h>
_PACKET_FANOUT = 18
_PACKET_FANOUT_HASH = 0
_SOFTNET_STAT = Path("/proc/net/softnet_stat")


class LiveCapture(Closing):
    """An interface; made by `open_live`. Draining does not wait for frames; `wait` does."""

    is_live = True
    exhausted = False
    position_bytes = 0
    size_bytes = None

    def __init__(self, source: pcap.pcap, interface: str) -> None:
        self.name = interface
        self.warnings: list[str] = []
        self.reader = LiveReader(source, interface)
        self._source: pcap.pcap | None = source
        self._source_lock = threading.Lock()  # pypcap crashes where one thread asks it while another one closes it
        self._poll = select.poll()
        self._poll.register(source.fd, select.POLLIN)
        self._has_been_down = False
        self._kernel_dropped = _Wrapping32()
        self._interface_dropped = _Wrapping32()
        self._backlog_before = _backlog_dropped()
        self._dropped = self._dropped_before = Dropped()

    def times_ahead(self, n_frames: int) -> list[int]:  # noqa: ARG002 - an interface does not need it
        """Return nothing: what comes next has not come yet."""
        return []

    def begin(self, start_ns: int) -> None:
        """Leave out what was captured before `start_ns`, nanoseconds since the epoch, and what has been lost so far."""
        self.reader.start_ns = start_ns
        self._dropped_before = self._all_dropped()

    @property
    def next_ts_ns(self) -> int | None:
        """Timestamp of the frame that the last drain or read had to stop before; None if there was none."""
        return self.reader.next_ts_ns

    def read(self, max_frames: int, until_ns: int | None = None, from_ns: int | None = None) -> list[Frame]:
        """Return up to `max_frames` frames that are buffered. See `Capture`."""
        return [Frame(*fields) for fields in self.reader.read(max_frames, until_ns, from_ns)]

    def dropped(self) -> Dropped:
        """Return the frames lost since the interface was opened, or since `begin`; after `close`, those lost until then."""
        return self._all_dropped() - self._dropped_before

    def _all_dropped(self) -> Dropped:
        with self._source_lock:
            if self._source is not None:
                with suppress(OSError):  # the interface has gone: what was known last stays
                    _, kernel, interface = self._source.stats()
                    self._dropped = Dropped(
                        self._kernel_dropped.extend(kernel),
                        self._interface_dropped.extend(interface),
                        _backlog_dropped() - self._backlog_before,
                    )
            return self._dropped

    def wait(self, timeout_s: float) -> bool:
        """Wait until frames can be read, or for `timeout_s`; return whether to try it. At once if `next_ts_ns` is known."""
        if self._source is None:
            raise ClosedCaptureError(f"{self.name}: the capture is closed")
        if self.next_ts_ns is not None:
            return True
        events = self._poll.poll(max(timeout_s, 0) * 1000)  # below 0 it would wait for ever
        if any(event & select.POLLERR for _, event in events) and self.name in _interface_names():
            self.warnings.append(f"{self.name}: the interface went down; capture goes on when it is up again")
            self._has_been_down = True
        # The kernel does not report that an interface which is down goes away: only libpcap, reading, finds out.
        return bool(events) or self._has_been_down

    def close(self) -> None:
        """Close the handle; a second call does nothing. Raises RuntimeError while another thread reads from it."""
        self.dropped()
        self.reader.close()
        with self._source_lock:
            if self._source is not None:
                self._source.close()
                self._source = None


class _Wrapping32:
    """A counter of libpcap's, 32 bits wide, continued across its wraps."""

    def __init__(self) -> None:
        self._total = 0

    def extend(self, value: int) -> int:
        self._total += (value - self._total) & 0xFFFFFFFF
        return self._total


def _backlog_dropped() -> int:
    """Return the frames that the kernel dropped before any capture saw them, since boot, on the whole machine."""
    try:
        return sum(int(line.split()[1], 16) for line in _SOFTNET_STAT.read_text().splitlines())
    except OSError:
        return 0


def open_live(
    interface: str,
    *,
    filter: str | None = None,
    snaplen: int = DEFAULT_SNAPLEN,
    buffer_bytes: int = DEFAULT_BUFFER_BYTES,
    promiscuous: bool = True,
    direction: str = "inout",
    fanout_group: int | None = None,
) -> LiveCapture:
    """Open an interface for capture.

    filter: BPF expression for the kernel, pcap-filter(7).  snaplen: bytes captured of each frame.
    buffer_bytes: size of the kernel's ring.  direction: "in", "out" or "inout".
    fanout_group: captures with the same number (0 to 65535) share the interface's frames between them, by flow.

    Raises CaptureError if the interface is not there or may not be captured from, UnsupportedLinkTypeError if no decoder
    knows its link type, ConfigError if an argument is wrong.
    """
    check_filter(filter)
    _check_live_arguments(interface, snaplen, buffer_bytes, direction, fanout_group)
    source = _activate(interface, snaplen, buffer_bytes, promiscuous)
    try:
        _configure(source, interface, filter, direction, fanout_group)
        return LiveCapture(source, interface)
    except BaseException:
        source.close()
        raise


def _check_live_arguments(interface: str, snaplen: int, buffer_bytes: int, direction: str, fanout_group: int | None) -> None:
    check_range("snaplen", snaplen, *SNAPLENS)
    check_range("buffer", buffer_bytes, *BUFFER_BYTES)
    check_choice("direction", direction, DIRECTIONS)
    check_range("fanout group", fanout_group, *FANOUT_GROUPS)
    known = _interface_names()
    if interface not in known:
        raise CaptureError(f"{interface!r}: no such interface; there are {', '.join(known)}")
    if Path(interface).exists():
        # pypcap would read that file instead.
        raise CaptureError(f"a file named {interface!r} is in the way here; run fastmon from another folder")


def _interface_names() -> list[str]:
    import pcap

    return list(dict.fromkeys([*(name for _, name in socket.if_nameindex()), *pcap.findalldevs()]))


def _activate(interface: str, snaplen: int, buffer_bytes: int, promiscuous: bool) -> pcap.pcap:
    import pcap

    try:
        return pcap.pcap(
            interface,
            snaplen=snaplen,
            # "any" cannot be promiscuous; libpcap warns of it, and pypcap takes the warning for a failure.
            promisc=promiscuous and interface != "any",
            timeout_ms=RETIRE_MS,
            timestamp_in_ns=True,
            buffer_size=buffer_bytes,
        )
    except OSError as error:
        raise CaptureError(f"{interface}: {_with_advice(_libpcap_text(error), interface)}") from error


def _libpcap_text(error: OSError) -> str:
    """Return libpcap's words from pypcap's exception, which has them as bytes or as the text of a bytes literal."""
    import ast  # slow to import, and seldom needed

    cause = error.args[0] if error.args else ""
    if isinstance(cause, str) and (literal := re.search(r"b(['\"]).*\1$", cause, re.DOTALL)):
        cause = ast.literal_eval(literal.group())
    return cause.decode("utf-8", "replace").strip() if isinstance(cause, bytes) else str(cause)


def _with_advice(text: str, interface: str) -> str:
    lowered = text.lower()
    if "permi" in lowered or "cap_net_raw" in lowered:
        return f"{text}: run as root, or give this Python CAP_NET_RAW and CAP_NET_ADMIN with setcap"
    if "not up" in lowered or "is down" in lowered:
        return f"{text}: bring it up with 'ip link set dev {interface} up'"
    return text


def _configure(source: pcap.pcap, interface: str, filter: str | None, direction: str, fanout_group: int | None) -> None:
    if not linktypes.is_supported(source.datalink()):
        described = linktypes.describe(source.datalink())
        raise UnsupportedLinkTypeError(f"{interface}: link type {described} is not supported")
    try:
        # An empty one too: only a filter makes the kernel cut frames to the snaplen, not let them take room in the ring whole.
        source.setfilter(filter or "")
    except OSError as error:
        raise ConfigError(f"filter {filter!r}: {_libpcap_text(error)}") from error
    if direction != "inout" and not source.setdirection(DIRECTIONS.index(direction)):
        raise CaptureError(f"{interface}: cannot capture one direction only")
    if fanout_group is not None:
        _join_fanout(source.fd, interface, fanout_group)


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


_PSEUDO_INTERFACES = {"any": "all interfaces at once"}


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
