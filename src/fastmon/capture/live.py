"""Live interfaces: libpcap handles that native readers drain, and that may come and go.

What it does not do: configure handles (`handles` does), decode, account, keep intervals.
"""

from __future__ import annotations

import select
import threading
import time
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from fastmon.capture.base import Closing
from fastmon.capture.exclusion import Exclusion
from fastmon.capture.handles import (
    ANY,
    DEFAULT_BUFFER_BYTES,
    DEFAULT_SNAPLEN,
    HandleSettings,
    index_of,
    interface_names,
    name_of,
    open_handle,
)
from fastmon.errors import AbsentInterfaceError, CaptureError, ClosedCaptureError, ConfigError, FastmonError
from fastmon.model.frames import Frame
from fastmon.model.snapshot import Dropped
from fastmon.model.units import format_duration
from fastmon.native.live_reader import LiveReader

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastmon.native.live_handle import Handle

__all__ = ["LiveCapture", "attend", "open_live", "open_shares"]

PAYLOAD_SNAPLEN = 1600
"""Enough for a whole frame's payload, from which applications and names are found."""

JOINING_S = 0.001
"""For frames that the kernel is handing out when the last capture joins its group, or a filter comes."""

LOOK_S = 0.5
"""How often to look whether an interface has another name, or another interface its name."""

REPEAT_S = 0.1
"""An error that comes again within this time is there to stay."""

_SOFTNET_STAT = Path("/proc/net/softnet_stat")


class LiveCapture(Closing):
    """An interface, or a share of its frames; made by `open_live`. Draining does not wait for frames; `wait` does.

    is_away: the interface is not there, so there is nothing to drain.
    waits: an interface that is away is opened again when it is back (`attend`).
    exclude: names of interfaces whose frames are left out.

    One thread drains it, calls `leave`, and does not touch it while it is away; another one may call `attend` meanwhile.
    """

    is_live = True
    exhausted = False
    position_bytes = 0
    size_bytes = None

    def __init__(self, interface: str, open_handle: Callable[[], Handle], exclude: Sequence[str], *, waits: bool) -> None:
        self.name = interface
        self.waits = waits
        self.warnings: list[str] = []
        self.is_away = True
        self._is_closed = False
        self._open_handle = open_handle
        self.exclude = tuple(exclude)
        self._handle: _Handle | None = None
        self._lock = threading.Lock()  # between whoever asks the handle and whoever lets go of it
        self._dropped_before = Dropped()  # with earlier handles
        self._n_frames_before = 0
        self._away_since_ns = _steady_ns()
        self._away_before_ns = 0
        self._has_been_there = False
        self._told: str | None = None

    @property
    def reader(self) -> LiveReader:
        """What an accountant drains. Raises CaptureError while the interface is away."""
        return self._there().reader

    def _there(self) -> _Handle:
        if self._handle is None:
            if self._is_closed:
                raise ClosedCaptureError(f"{self.name}: the capture is closed")
            raise AbsentInterfaceError(f"{self.name}: the interface is not there")
        return self._handle

    def times_ahead(self, n_frames: int) -> list[int]:  # noqa: ARG002 - an interface does not need it
        """Return nothing: what comes next has not come yet."""
        return []

    @property
    def next_ts_ns(self) -> int | None:
        """Timestamp of the frame that the last drain or read had to stop before; None if there was none."""
        return None if self._handle is None else self._handle.reader.next_ts_ns

    def read(self, max_frames: int, until_ns: int | None = None, from_ns: int | None = None) -> list[Frame]:
        """Return up to `max_frames` frames that are buffered. See `Capture`."""
        return [Frame(*fields) for fields in self.reader.read(max_frames, until_ns, from_ns)]

    def dropped(self) -> Dropped:
        """Return the frames lost since the first opening; after `close`, those lost until then."""
        with self._lock:
            return self._dropped_before + (Dropped() if self._handle is None else self._handle.dropped())

    @property
    def n_frames(self) -> int:
        """Frames drained or read so far."""
        with self._lock:
            return self._n_frames_before + (0 if self._handle is None else self._handle.reader.n_frames)

    @property
    def away_ns(self) -> int:
        """How long the interface has been away so far."""
        return self._away_before_ns + self.absent_ns

    @property
    def absent_ns(self) -> int:
        """How long the interface has been away now; 0 if it is there."""
        return _steady_ns() - self._away_since_ns if self.is_away and not self._is_closed else 0

    @property
    def is_missed(self) -> bool:
        """Whether the interface is away though a run needs it: it was there, or somebody was told that it is waited for."""
        return self.is_away and (self._has_been_there or self._told is not None)

    def wait(self, timeout_s: float) -> bool:
        """Wait until frames can be read, or for `timeout_s`; return whether to try it. At once if `next_ts_ns` is known.

        Raises CaptureError if the interface is not the one of its name any more, and the capture waits for that one.
        """
        if self.is_away and not self._is_closed:
            time.sleep(max(timeout_s, 0))
            return False
        handle = self._there()
        return handle.reader.next_ts_ns is not None or handle.wait(timeout_s, self.warnings, follows_name=self.waits)

    def outlives_error(self) -> bool:
        """Return whether an error of a drain is not the end: to libpcap an interface with a new name that goes down has gone."""
        return self._handle is not None and self._handle.outlives_error(follows_name=self.waits)

    def leave(self) -> None:
        """Let go of an interface that has gone, once all that came of it is drained."""
        self._away_since_ns = _steady_ns()
        self._let_go()
        self.is_away = True

    def close(self) -> None:
        """Close the handle; a second call does nothing. Raises RuntimeError while another thread reads from it."""
        self._let_go()
        if not self._is_closed:
            self._away_before_ns = self.away_ns
            self._is_closed = True

    def _let_go(self) -> None:
        with self._lock:
            handle = self._handle
            if handle is not None:
                dropped = handle.dropped()
                handle.reader.close()
                self._dropped_before += dropped
                self._n_frames_before += handle.reader.n_frames
                self._handle = None
                handle.close()

    def make_handle(self) -> _Handle:
        """Open the interface, for `enter`."""
        source = self._open_handle()
        try:
            return _Handle(source, self.name, self.exclude)
        except BaseException:
            source.close()
            raise

    def enter(self, handle: _Handle, away_ns: int) -> None:
        """Go on with a new handle, for which the run has waited for `away_ns`."""
        self._handle = handle
        if away_ns:
            self._away_before_ns += away_ns
            what = "back" if self._has_been_there else "there"
            self.warnings.append(f"{self.name}: the interface is {what}, after {_format_seconds(away_ns)}")
        self._has_been_there = True
        self._told = None
        self.is_away = False  # last: whoever drains it may begin now

    def tell_once(self, text: str) -> None:
        """Warn of what keeps the interface away, unless that is known."""
        if text != self._told:
            self._told = text
            self.warnings.append(text)


class _Handle:
    """An open interface, until it goes away."""

    def __init__(self, source: Handle, name: str, exclude: Sequence[str]) -> None:
        self.reader = LiveReader(source, name)
        self._source = source
        self._name = self._name_now = name
        self._index = index_of(name)
        self._poll = select.poll()
        self._poll.register(source.fd, select.POLLIN)
        self._exclusion = Exclusion(source.fd, name, exclude) if exclude else None
        self._next_look_s = time.monotonic() + LOOK_S
        self._forgives_from_s = 0.0
        self._has_been_down = False
        self._kernel, self._interface = _Wrapping32(), _Wrapping32()
        self._backlog_before = _backlog_dropped()
        self._dropped = self._dropped_before = Dropped()

    def begin(self, start_ns: int) -> None:
        """Leave out what was captured before `start_ns`, nanoseconds since the epoch, and what has been lost so far."""
        self.reader.start_ns = start_ns
        self._dropped_before = self._all_dropped()

    def dropped(self) -> Dropped:
        """Return the frames lost since `begin`."""
        return self._all_dropped() - self._dropped_before

    def _all_dropped(self) -> Dropped:
        with suppress(CaptureError):  # the interface has gone: what was known last stays
            _, kernel, interface = self._source.statistics()
            backlog = _backlog_dropped() - self._backlog_before
            self._dropped = Dropped(self._kernel.extend(kernel), self._interface.extend(interface), backlog)
        return self._dropped

    def wait(self, timeout_s: float, warnings: list[str], *, follows_name: bool) -> bool:
        """Wait for frames; see `LiveCapture.wait`."""
        events = self._poll.poll(max(timeout_s, 0) * 1000)  # below 0 it would wait for ever
        if any(event & select.POLLERR for _, event in events) and self._is_there():
            warnings.append(f"{self._name}: the interface went down; capture goes on when it is up again")
            self._has_been_down = True
        if time.monotonic() >= self._next_look_s:
            self._next_look_s = time.monotonic() + LOOK_S
            self._look(warnings, follows_name=follows_name)
        # The kernel does not report that an interface which is down goes away: only libpcap, reading, finds out.
        return bool(events) or self._has_been_down

    def _is_there(self) -> bool:
        return self._name in interface_names() if self._index is None else name_of(self._index) is not None

    def _look(self, warnings: list[str], *, follows_name: bool) -> None:
        """Look what has become of names."""
        if self._exclusion is not None:
            self._exclusion.update()
        name_now = None if self._index is None else name_of(self._index)
        if name_now is None:
            return
        if follows_name and self._is_replaced(name_now):
            raise CaptureError(f"{self._name}: this is another interface now")
        if name_now != self._name_now:
            self._name_now = name_now
            warnings.append(f"{self._name}: the interface is called {name_now} now; capture goes on")

    def _is_replaced(self, name_now: str) -> bool:
        """Return whether another interface has the name, now that this one has another."""
        return name_now != self._name and index_of(self._name) is not None

    def outlives_error(self, *, follows_name: bool) -> bool:
        """See `LiveCapture.outlives_error`. It may just have got its name again; then no such error comes any more."""
        is_repeated, self._forgives_from_s = time.monotonic() < self._forgives_from_s, time.monotonic() + REPEAT_S
        name_now = None if self._index is None else name_of(self._index)
        if name_now is None or (follows_name and self._is_replaced(name_now)):
            return False
        return name_now != self._name or not is_repeated

    def close(self) -> None:
        """Close what is not closed yet."""
        self.reader.close()
        self._source.close()


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


def _steady_ns() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def _format_seconds(duration_ns: int) -> str:
    return format_duration(round(duration_ns, -8))  # to a tenth of a second


def open_live(
    interface: str,
    *,
    filter: str | None = None,
    snaplen: int = DEFAULT_SNAPLEN,
    buffer_bytes: int = DEFAULT_BUFFER_BYTES,
    promiscuous: bool = True,
    direction: str = "inout",
    fanout_group: int | None = None,
    provider: str | None = None,
    exclude: Sequence[str] = (),
    wait: bool = False,
) -> LiveCapture:
    """Open an interface for capture.

    filter: BPF expression for the kernel, pcap-filter(7).  snaplen: bytes captured of each frame.
    buffer_bytes: size of the kernel's ring.  direction: "in", "out" or "inout".
    fanout_group: captures with the same number (0 to 65535) share the interface's frames between them, by flow.
    provider: who opens it: "pypcap", "libpcap" (fastmon itself), or None: pypcap if it is installed.
    exclude: with "any", names of interfaces whose frames are left out.
    wait: where the interface is not there, or down, return a capture that is away; a run opens it when it comes, and again when
        it has gone and is back.

    Raises AbsentInterfaceError if the interface is not there or down, CaptureError if it may not be captured from,
    UnsupportedLinkTypeError if no decoder knows its link type, ConfigError if an argument is wrong.
    """
    settings = HandleSettings(filter, snaplen, buffer_bytes, promiscuous, direction, fanout_group, provider)
    (capture,) = open_shares(interface, settings, 1, exclude=exclude, wait=wait)
    return capture


def open_shares(
    interface: str, settings: HandleSettings, n_shares: int, *, exclude: Sequence[str] = (), wait: bool = False
) -> list[LiveCapture]:
    """Open an interface as `n_shares` captures, of `settings.fanout_group` if they are several. See `open_live`."""
    for name in exclude:
        if name in ("", ANY):
            raise ConfigError(f"an interface is needed to leave out, not {name!r}")
    if exclude and interface != ANY:
        raise ConfigError(f"interfaces can be left out of {ANY!r} only, not of {interface!r}")
    open_share = partial(open_handle, interface, settings)
    captures = [LiveCapture(interface, open_share, exclude, waits=wait) for _ in range(n_shares)]
    try:
        _open_all(captures)
    except AbsentInterfaceError as error:
        if not wait:
            raise
        captures[0].tell_once(f"{error}; fastmon waits for it")
    absent = [name for name in exclude if index_of(name) is None]
    if absent:
        captures[0].warnings.append(f"{', '.join(absent)}: no such interface; its frames are left out once it is there")
    return captures


def attend(shares: Sequence[LiveCapture]) -> None:
    """Open an interface again, of which these are all shares, if it is away, waited for and back."""
    if not all(share.is_away and share.waits for share in shares):
        return
    try:
        _open_all(shares)
    except AbsentInterfaceError:
        pass
    except FastmonError as error:
        shares[0].tell_once(f"{error}; fastmon tries it again")


def _open_all(shares: Sequence[LiveCapture]) -> None:
    """Open an interface for all of its shares at once."""
    first = shares[0]
    with ExitStack() as stack:
        handles = [stack.enter_context(closing(share.make_handle())) for share in shares]
        if len(shares) > 1 or first.exclude:
            # Between its opening and its joining the group each capture got all frames: the others have them, too.
            time.sleep(JOINING_S)
            start_ns = time.time_ns()
            for handle in handles:
                handle.begin(start_ns)
        stack.pop_all()
    away_ns = first.absent_ns if first.is_missed else 0
    for share, handle in zip(shares, handles, strict=True):
        share.enter(handle, away_ns)
