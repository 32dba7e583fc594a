"""fastmon as a library: from options to a monitor, and from a monitor to snapshots.

What it does not do: handle signals, or show anything.
"""

from __future__ import annotations

import os
from contextlib import ExitStack, closing, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from fastmon.accounting import make_accountant
from fastmon.addresses import PRIVATE_NETWORKS, interface_networks
from fastmon.capture import DEFAULT_BUFFER_BYTES, DEFAULT_SNAPLEN, open_live, open_offline
from fastmon.config import Options
from fastmon.monitor import LiveMonitor, Plan, Problem, ReplayMonitor
from fastmon.snapshot import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from fastmon.accounting import Accountant
    from fastmon.capture import Capture
    from fastmon.errors import FastmonError
    from fastmon.export.packet_log import PacketLog
    from fastmon.monitor import Control
    from fastmon.policy import Alert
    from fastmon.shards import SourceOpener

__all__ = ["live_monitor", "open_captures", "replay_monitor", "source_openers", "watch"]


def watch(
    *sources: Capture | str | os.PathLike[str],
    on_alert: Callable[[Alert], None] | None = None,
    control: Control | None = None,
    **options: Any,
) -> Generator[Snapshot, None, None]:
    """Account capture files or an open capture, and iterate over the snapshots.

    sources: paths of capture files, in order, "-" for standard input; or captures from `open_offline`, which stay open; or one
        capture from `open_live`, with which it goes on until `control.stop` is set, a duration has passed or the loop is left.
    on_alert: called with each alert, before the snapshot of its interval comes.
    options: the command line's, as fields of `config.Options`: interval="60s", limit="1MB" (here none by default),
        local=("192.168.0.0/16",), filter="tcp", inner=True, max_hosts=1_000_000, workers=4, ...

    Yields a `Snapshot` for each interval, none with interval="0", and last the summary of the whole run. The captures' filter
    and the like are given when they are opened.

    Raises ConfigError for a wrong option and ValueError for wrong sources at once; the first CaptureError last, after the
    summary of what could be read.
    """
    settings = Options(**{"limit": "0", **options})
    live = [source for source in sources if not isinstance(source, (str, os.PathLike)) and source.is_live]
    if not sources or (live and len(sources) > 1):
        raise ValueError("watch takes capture files, or one live capture")
    monitor: LiveMonitor | ReplayMonitor
    if live:
        monitor = live_monitor(live, settings, control)
    else:
        monitor = replay_monitor([_opener(source, settings) for source in sources], _names(sources), settings, control)
    return _snapshots(monitor, on_alert)


def _snapshots(monitor: LiveMonitor | ReplayMonitor, on_alert: Callable[[Alert], None] | None) -> Generator[Snapshot, None, None]:
    first_error: FastmonError | None = None
    with closing(monitor.events()) as events:
        for event in events:
            if isinstance(event, Snapshot):
                yield event
            elif isinstance(event, Problem):
                first_error = first_error or event.error
            elif on_alert is not None:
                on_alert(event)
    if first_error is not None:
        raise first_error


def _opener(source: Capture | str | os.PathLike[str], options: Options) -> SourceOpener:
    if isinstance(source, (str, os.PathLike)):
        return lambda: open_offline(os.fspath(source), filter=options.filter)
    return lambda: nullcontext(source)


def _names(sources: Sequence[Capture | str | os.PathLike[str]]) -> list[str]:
    return [os.fspath(source) if isinstance(source, (str, os.PathLike)) else source.name for source in sources]


def source_openers(paths: Sequence[str], options: Options) -> list[SourceOpener]:
    """Return what opens each of some capture files."""
    return [_opener(path, options) for path in paths]


def replay_monitor(
    openers: Sequence[SourceOpener],
    names: Sequence[str],
    options: Options,
    control: Control | None = None,
    on_gulp: Callable[[int], None] | None = None,
) -> ReplayMonitor:
    """Return the monitor that replays sources."""
    networks = options.local or PRIVATE_NETWORKS
    accountants = _accountants(options, networks, min(options.workers, len(openers)))
    plan = Plan(", ".join(names), options.interval_ns, options.duration_ns)
    return ReplayMonitor(plan, openers, accountants, control, on_gulp, _packet_log(options, waits=True))


def open_captures(interface: str, options: Options, stack: ExitStack) -> list[Capture]:
    """Open an interface once for each worker, as a fanout group, for as long as `stack` is open."""
    # At random: processes of two containers may have the same number, and would share the frames.
    group = int.from_bytes(os.urandom(2), "little") if options.workers > 1 else None
    return [
        stack.enter_context(
            open_live(
                interface,
                filter=options.filter,
                snaplen=options.snaplen or DEFAULT_SNAPLEN,
                buffer_bytes=options.buffer_bytes or DEFAULT_BUFFER_BYTES,
                direction=options.direction,
                fanout_group=group,
            )
        )
        for _ in range(options.workers)
    ]


def live_monitor(captures: Sequence[Capture], options: Options, control: Control | None = None) -> LiveMonitor:
    """Return the monitor that accounts an interface through its captures."""
    networks = options.local or interface_networks(captures[0].name) or PRIVATE_NETWORKS
    accountants = _accountants(options, networks, len(captures))
    plan = Plan(captures[0].name, options.interval_ns, options.duration_ns)
    return LiveMonitor(plan, captures, accountants, control, packet_log=_packet_log(options, waits=False))


def _packet_log(options: Options, *, waits: bool) -> PacketLog | None:
    """Return the packet log, if one is wanted. Raises ConfigError if it cannot be written."""
    if options.packet_log is None:
        return None
    from fastmon.export.packet_log import PacketLog

    return PacketLog(options.packet_log, options.packet_log_bytes, options.packet_log_files, waits=waits)


def _accountants(options: Options, networks: Sequence[str], n_workers: int) -> list[Accountant]:
    """Return one accountant; for several workers a collector and one for each, whose limits only the collector can tell."""
    make = partial(make_accountant, options.engine, inner=options.inner, max_hosts=options.max_hosts, local_networks=networks)
    has_log = options.packet_log is not None
    if n_workers <= 1:
        return [make(limit_bytes=options.limit_bytes, packet_log=has_log)]
    return [make(limit_bytes=options.limit_bytes), *(make(packet_log=has_log) for _ in range(n_workers))]
