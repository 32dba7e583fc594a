"""fastmon as a library: from options to a monitor, and from a monitor to snapshots.

What it does not do: handle signals, or show anything.
"""

from __future__ import annotations

import os
import socket
import time
from contextlib import ExitStack, closing, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from fastmon.accounting import make_accountant
from fastmon.capture import open_live, open_offline
from fastmon.capture.live import DEFAULT_BUFFER_BYTES, DEFAULT_SNAPLEN, PAYLOAD_SNAPLEN
from fastmon.config import make_options
from fastmon.model.addresses import PRIVATE_NETWORKS, interface_networks
from fastmon.model.conversations import AppTables, EndedConversations
from fastmon.model.names import NameBook
from fastmon.model.rows import Grouping
from fastmon.model.snapshot import Snapshot
from fastmon.run.monitor import Control, LiveMonitor, Plan, Problem, ReplayMonitor

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from fastmon.accounting import Accountant
    from fastmon.capture import Capture, LiveCapture
    from fastmon.config import Options
    from fastmon.errors import FastmonError
    from fastmon.policy.limits import Alert
    from fastmon.run.inspection import Inspector
    from fastmon.run.shards import SourceOpener
    from fastmon.sinks.packet_log import PacketLog

__all__ = ["live_monitor", "open_captures", "replay_monitor", "source_openers", "watch"]

JOINING_S = 0.001
"""For frames that the kernel is handing out when the last capture joins its group."""


def watch(
    *sources: Capture | str | os.PathLike[str],
    on_alert: Callable[[Alert], None] | None = None,
    on_conversations: Callable[[EndedConversations], None] | None = None,
    control: Control | None = None,
    **options: Any,
) -> Generator[Snapshot, None, None]:
    """Account capture files or an open capture, and iterate over the snapshots.

    sources: paths of capture files, in order, "-" for standard input; or captures from `open_offline`, which stay open; or one
        capture from `open_live`, with which it goes on until `control.stop` is set, a duration has passed or the loop is left.
    on_alert: called with each alert, before the snapshot of its interval comes.
    on_conversations: called with the conversations that have ended, now and then.
    options: the command line's, as fields of `config.Options`: interval="60s", limit="1MB" (here none by default),
        local=("192.168.0.0/16",), filter="tcp", inner=True, max_hosts=1_000_000, workers=4, ...

    Yields a `Snapshot` for each interval, none with interval="0", and last the summary of the whole run. The captures' filter
    and the like are given when they are opened.

    Raises ConfigError for a wrong option and ValueError for wrong sources at once; the first CaptureError last, after the
    summary of what could be read.
    """
    if on_conversations is not None:
        options.setdefault("conversations", "-")  # to nowhere but there
    settings = make_options({"limit": "0", **options})
    if not all(isinstance(source, (str, os.PathLike)) or hasattr(source, "is_live") for source in sources):
        raise ValueError("watch takes paths of capture files and open captures")
    live = [source for source in sources if not isinstance(source, (str, os.PathLike)) and source.is_live]
    if not sources or (live and len(sources) > 1):
        raise ValueError("watch takes capture files, or one live capture")
    control = control or Control()
    monitor: LiveMonitor | ReplayMonitor
    if live:
        monitor = live_monitor(live, settings, control)
    else:
        monitor = replay_monitor([_opener(source, settings, control) for source in sources], _names(sources), settings, control)
    return _snapshots(monitor, on_alert, on_conversations)


def _snapshots(
    monitor: LiveMonitor | ReplayMonitor,
    on_alert: Callable[[Alert], None] | None,
    on_conversations: Callable[[EndedConversations], None] | None,
) -> Generator[Snapshot, None, None]:
    first_error: FastmonError | None = None
    with closing(monitor.events()) as events:
        for event in events:
            if isinstance(event, Snapshot):
                yield event
            elif isinstance(event, Problem):
                first_error = first_error or event.error
            elif isinstance(event, EndedConversations):
                if on_conversations is not None:
                    on_conversations(event)
            elif on_alert is not None:
                for alert in event.alerts:
                    on_alert(alert)
    if first_error is not None:
        raise first_error


def _opener(source: Capture | str | os.PathLike[str], options: Options, control: Control) -> SourceOpener:
    if isinstance(source, (str, os.PathLike)):
        return lambda: open_offline(os.fspath(source), filter=options.filter, is_stopped=lambda: control.stop)
    return lambda: nullcontext(source)


def _names(sources: Sequence[Capture | str | os.PathLike[str]]) -> list[str]:
    return [os.fspath(source) if isinstance(source, (str, os.PathLike)) else source.name for source in sources]


def source_openers(paths: Sequence[str], options: Options, control: Control) -> list[SourceOpener]:
    """Return what opens each of some capture files, unless `control.stop` comes first."""
    return [_opener(path, options, control) for path in paths]


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
    plan = _plan(", ".join(names), options)
    inspectors = _inspectors(options, accountants, plan.names, is_live=False)
    packet_log = _packet_log(options, waits=True)
    return ReplayMonitor(plan, openers, accountants, control, on_gulp, inspectors, packet_log)


def open_captures(interface: str, options: Options, stack: ExitStack) -> list[LiveCapture]:
    """Open an interface once for each worker, as a fanout group, for as long as `stack` is open."""
    # At random: processes of two containers may have the same number, and would share the frames.
    group = int.from_bytes(os.urandom(2), "little") if options.workers > 1 else None
    captures = [
        stack.enter_context(
            open_live(
                interface,
                filter=options.filter,
                snaplen=options.snaplen or (DEFAULT_SNAPLEN if options.hosts_only else PAYLOAD_SNAPLEN),
                buffer_bytes=options.buffer_bytes or DEFAULT_BUFFER_BYTES,
                direction=options.direction,
                fanout_group=group,
            )
        )
        for _ in range(options.workers)
    ]
    if options.workers > 1:
        # Between its opening and its joining the group each capture got all frames: the others have them, too.
        time.sleep(JOINING_S)
        start_ns = time.time_ns()
        for capture in captures:
            capture.begin(start_ns)
    return captures


def live_monitor(captures: Sequence[Capture], options: Options, control: Control | None = None) -> LiveMonitor:
    """Return the monitor that accounts an interface through its captures."""
    networks = options.local or interface_networks(captures[0].name) or PRIVATE_NETWORKS
    accountants = _accountants(options, networks, len(captures))
    plan = _plan(captures[0].name, options)
    inspectors = _inspectors(options, accountants, plan.names, is_live=True)
    packet_log = _packet_log(options, waits=False)
    return LiveMonitor(plan, captures, accountants, control, inspectors=inspectors, packet_log=packet_log)


def _packet_log(options: Options, *, waits: bool) -> PacketLog | None:
    """Return the packet log, if one is wanted. Raises ConfigError if it cannot be written."""
    if options.packet_log is None:
        return None
    from fastmon.sinks.packet_log import PacketLog

    return PacketLog(options.packet_log, options.packet_log_bytes, options.packet_log_files, waits=waits)


def _plan(source: str, options: Options) -> Plan:
    grouping = Grouping(by_mac=options.by == "mac", v6_prefix=options.v6_prefix)
    return Plan(source, options.interval_ns, options.duration_ns, grouping, None if options.hosts_only else NameBook())


def _accountants(options: Options, networks: Sequence[str], n_workers: int) -> list[Accountant]:
    """Return one accountant; for several workers a collector and one for each, whose limits only the collector can tell."""
    make = partial(make_accountant, options.engine, inner=options.inner, max_hosts=options.max_hosts, local_networks=networks)
    if not options.hosts_only:
        make = partial(make, max_conversations=options.max_conversations, applications=_app_tables())
    draining = partial(make, keep_conversations=options.conversations is not None, packet_log=options.packet_log is not None)
    if n_workers <= 1:
        return [draining(limit_bytes=options.limit_bytes)]
    return [make(limit_bytes=options.limit_bytes), *(draining() for _ in range(n_workers))]


def _app_tables() -> AppTables:
    from fastmon.classify import by_port, by_protocol

    return AppTables(by_protocol(), by_port(socket.IPPROTO_TCP), by_port(socket.IPPROTO_UDP))


def _inspectors(options: Options, accountants: Sequence[Accountant], names: NameBook | None, *, is_live: bool) -> list[Inspector]:
    """Return who looks at the payloads of each accountant that drains; nobody where there are no conversations."""
    if names is None:
        return []
    from fastmon.classify import Classifier
    from fastmon.run.inspection import Inspector, LiveBudget, ReplayBudget

    return [
        Inspector(
            accountant,
            Classifier(),
            LiveBudget(options.classify_budget) if is_live else ReplayBudget(options.classify_budget),
            names,
            keeps_names=options.conversations is not None,
        )
        for accountant in accountants[1:] or accountants
    ]
