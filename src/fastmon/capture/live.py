"""Sources of frames: live interfaces through pypcap, capture files through the native reader.

pypcap opens and configures a live handle; `_accounting` drains it. pypcap's traps are guarded here, and only here: it takes
a file of the interface's name for the interface, fails on libpcap's warnings, and crashes after `close()`.

What it does not do: decode, account, keep intervals.
"""

from __future__ import annotations

import re
import select
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fastmon import linktypes
from fastmon._accounting import LiveReader, SavefileReader
from fastmon.errors import CaptureError, ClosedCaptureError, ConfigError, UnsupportedLinkTypeError
from fastmon.inputs import open_input
from fastmon.snapshot import Dropped

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    import pcap
    from typing_extensions import Self

    from fastmon.frames import Frame

__all__ = ["Capture", "FileCapture", "InterfaceInfo", "LiveCapture", "interfaces", "open_live", "open_offline"]

DEFAULT_SNAPLEN = 128
"""Bytes captured of each frame: enough for the addresses and ports behind common encapsulations."""

DEFAULT_BUFFER_BYTES = 64 << 20
"""Of the kernel's ring: a second of 400,000 frames."""

RETIRE_MS = 50
"""After so long the kernel hands over a block of its ring that is not full."""

DIRECTIONS = {"inout": 0, "in": 1, "out": 2}  # pcap_direction_t

_SOL_PACKET = 263  # <linux/if_packet.h>
_PACKET_FANOUT = 18
_PACKET_FANOUT_HASH = 0
_SOFTNET_STAT = Path("/proc/net/softnet_stat")


class Capture(Protocol):
    """A source of frames, drained by an accountant; a context manager that closes it."""

    @property
    def name(self) -> str:
        """The interface's or file's name."""
        ...

    @property
    def is_live(self) -> bool:
        """Whether the clock is the wall's, and there is no end."""
        ...

    @property
    def reader(self) -> LiveReader | SavefileReader:
        """What an accountant drains."""
        ...

    @property
    def warnings(self) -> list[str]:
        """What a person should know about this source."""
        ...

    @property
    def exhausted(self) -> bool:
        """Whether a file has been read to its end."""
        ...

    @property
    def next_ts_ns(self) -> int | None:
        """Timestamp of the next frame of a file; None at its end, while none is there yet, and for a live source."""
        ...

    @property
    def position_bytes(self) -> int:
        """Bytes of the file read so far, before decompression."""
        ...

    @property
    def size_bytes(self) -> int | None:
        """The file's size; None if it has none."""
        ...

    def read(self, max_frames: int, until_ns: int | None = None) -> list[Frame]:
        """Return up to `max_frames` frames, the slow way, stopping before the first at or after `until_ns`."""
        ...

    def dropped(self) -> Dropped:
        """Return the frames lost since the source was opened."""
        ...

    def wait(self, timeout_s: float) -> bool:
        """Wait until frames can be read, or for `timeout_s`; return whether they can."""
        ...

    def close(self) -> None:
        """Close the source; a second call does nothing."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


class _Closing:
    """The context-manager half of both captures."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        raise NotImplementedError


class FileCapture(_Closing):
    """A capture file, or standard input; made by `open_offline`."""

    is_live = False

    def __init__(self, path: str, filter: str | None) -> None:
        self.name = "standard input" if path == "-" else path
        self._input = open_input(path, self.name)
        try:
            self.reader = SavefileReader(
                self._input.fd, self.name, stream=self._input.stream, head=self._input.head, filter=filter
            )
            self.reader.open()
            self._refuse_unknown()
        except BaseException:
            self._input.close()
            raise

    def _refuse_unknown(self) -> None:
        """Raise UnsupportedLinkTypeError if no frame of the file can be decoded."""
        if self.size_bytes is not None:
            _ = self.reader.next_ts_ns  # reads ahead to the first frame, past pcapng's descriptions of interfaces
        link_types = self.reader.link_types()
        if link_types and not any(map(linktypes.is_supported, link_types)):
            described = ", ".join(linktypes.describe(link_type) for link_type in dict.fromkeys(link_types))
            raise UnsupportedLinkTypeError(f"{self.name}: link type {described} is not supported")

    @property
    def warnings(self) -> list[str]:
        """Say which interfaces of a pcapng file cannot be decoded."""
        return [
            f"{self.name}: link type {linktypes.describe(link_type)} is not supported; its frames count as undecoded"
            for link_type in dict.fromkeys(self.reader.link_types())
            if not linktypes.is_supported(link_type)
        ]

    @property
    def exhausted(self) -> bool:
        """Whether the file has been read to its end, or to its damage."""
        return self.reader.exhausted

    @property
    def next_ts_ns(self) -> int | None:
        """Timestamp of the next frame; None at the end, and while none is there yet."""
        return self.reader.next_ts_ns

    @property
    def position_bytes(self) -> int:
        """Bytes of the file read so far, before decompression."""
        return self.reader.n_input_bytes if self._input.stream is None else self._input.n_bytes

    @property
    def size_bytes(self) -> int | None:
        """The file's size; None for a pipe."""
        return self._input.size_bytes

    def read(self, max_frames: int, until_ns: int | None = None) -> list[Frame]:
        """Return up to `max_frames` frames, stopping before the first at or after `until_ns`.

        Raises CaptureError when reading failed and no frame from before is left to return.
        """
        return self.reader.read(max_frames, until_ns)

    def dropped(self) -> Dropped:
        """Return no losses: what the capturing program lost is not in the file."""
        return Dropped()

    def wait(self, timeout_s: float) -> bool:  # noqa: ARG002 - a file does not need it
        """Return at once: a file can always be read."""
        return True

    def close(self) -> None:
        """Close the file."""
        self.reader.close()
        self._input.close()


class LiveCapture(_Closing):
    """An interface; made by `open_live`. Frames are drained in non-blocking mode; `wait` waits for them."""

    is_live = True
    exhausted = False
    next_ts_ns = None
    position_bytes = 0
    size_bytes = None

    def __init__(self, source: pcap.pcap, interface: str) -> None:
        self.name = interface
        self.warnings: list[str] = []
        self.reader = LiveReader(source, interface)
        self._source: pcap.pcap | None = source
        self._poll = select.poll()
        self._poll.register(source.fd, select.POLLIN)
        self._has_been_down = False
        self._kernel_dropped = _Wrapping32()
        self._interface_dropped = _Wrapping32()
        self._backlog_before = _backlog_dropped()
        self._dropped = Dropped()

    def read(self, max_frames: int, until_ns: int | None = None) -> list[Frame]:  # noqa: ARG002 - an interface does not need it
        """Return up to `max_frames` frames that are buffered; `until_ns` means nothing here."""
        return self.reader.read(max_frames)

    def dropped(self) -> Dropped:
        """Return the frames lost since the interface was opened; after `close`, those lost until then."""
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
        """Wait until frames can be read, or for `timeout_s`; return whether to try it."""
        if self._source is None:
            raise ClosedCaptureError(f"{self.name}: the capture is closed")
        events = self._poll.poll(timeout_s * 1000)
        if any(event & select.POLLERR for _, event in events) and self.name in _interface_names():
            self.warnings.append(f"{self.name}: the interface went down; capture goes on when it is up again")
            self._has_been_down = True
        # The kernel does not report that an interface which is down goes away: only libpcap, reading, finds out.
        return bool(events) or self._has_been_down

    def close(self) -> None:
        """Close the handle; a second call does nothing."""
        if self._source is not None:
            self.dropped()
            self.reader.close()
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


def open_offline(path: str, *, filter: str | None = None) -> FileCapture:
    """Open a capture file (pcap, pcapng or snoop, plain or compressed with gzip or Zstandard); "-" is standard input.

    filter: BPF expression, pcap-filter(7).

    Raises CaptureError if it cannot be read or is no capture file, UnsupportedLinkTypeError if no decoder knows its link
    type, ConfigError if the filter is wrong.
    """
    _check_filter(filter)
    return FileCapture(path, filter)


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
    _check_filter(filter)
    _check_live_arguments(interface, snaplen, buffer_bytes, direction, fanout_group)
    source = _activate(interface, snaplen, buffer_bytes, promiscuous)
    try:
        _configure(source, interface, filter, direction, fanout_group)
        return LiveCapture(source, interface)
    except BaseException:
        source.close()
        raise


def _check_filter(filter: str | None) -> None:
    # libpcap would read up to a NUL, and pypcap crash on what is not UTF-8.
    if filter and not "".join(filter.split()).isprintable():
        raise ConfigError(f"filter {filter!r}: it has characters that cannot be printed")


def _check_live_arguments(interface: str, snaplen: int, buffer_bytes: int, direction: str, fanout_group: int | None) -> None:
    if not 1 <= snaplen <= 262144:
        raise ConfigError(f"snaplen is {snaplen}; 1 to 262144 are allowed")
    if not 1 << 16 <= buffer_bytes < 1 << 31:
        raise ConfigError(f"the buffer is {buffer_bytes} bytes; {1 << 16} to {(1 << 31) - 1} are allowed")
    if direction not in DIRECTIONS:
        raise ConfigError(f"direction is {direction!r}; {', '.join(DIRECTIONS)} are allowed")
    if fanout_group is not None and not 0 <= fanout_group <= 0xFFFF:
        raise ConfigError(f"the fanout group is {fanout_group}; 0 to {0xFFFF} are allowed")
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
    source.setnonblock(True)
    try:
        # An empty one too: only a filter makes the kernel cut frames to the snaplen, not let them take room in the ring whole.
        source.setfilter(filter or "")
    except OSError as error:
        raise ConfigError(f"filter {filter!r}: {_libpcap_text(error)}") from error
    if direction != "inout" and not source.setdirection(DIRECTIONS[direction]):
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

    from fastmon.addresses import interface_addresses

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
