"""fastmon as a library: from options to a run, and from a run to snapshots.

What it does not do: handle signals, or show anything.
"""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from fastmon.accounting import make_accountant
from fastmon.config import make_run_options
from fastmon.errors import CaptureError, ConfigError, FastmonError
from fastmon.model.addresses import PRIVATE_NETWORKS
from fastmon.model.names import NameBook
from fastmon.model.rows import Grouping
from fastmon.policy.contents import Policy
from fastmon.policy.limits import LimitAlone
from fastmon.run.control import Control
from fastmon.run.live import LiveMonitor
from fastmon.run.plan import Plan, Team, Worker
from fastmon.run.queues import EventQueue
from fastmon.run.replay import ReplayMonitor
from fastmon.run.subscriber import Problem
from fastmon.run.threads import start_thread
from fastmon.sources import local_networks, make_opener, own_networks

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from fastmon.accounting import Accountant
    from fastmon.capture import Capture, LiveCapture
    from fastmon.classify.classifier import Classifier
    from fastmon.config import RunOptions
    from fastmon.model.alerts import Alert
    from fastmon.model.conversations import EndedConversations
    from fastmon.model.snapshot import Snapshot
    from fastmon.run.inspection import Inspector
    from fastmon.run.plan import RuleSource
    from fastmon.run.shards import SourceOpener
    from fastmon.run.subscriber import Subscriber
    from fastmon.sinks.packet_log import PacketLog

__all__ = ["analyze", "app_names", "live_monitor", "make_guard", "replay_monitor", "source_openers", "watch"]

LIVE_ONLY = ("direction", "handle", "snaplen", "buffer", "exclude", "wait")


def watch(
    *sources: Capture | str | os.PathLike[str],
    on_alert: Callable[[Alert], None] | None = None,
    on_conversations: Callable[[EndedConversations], None] | None = None,
    on_problem: Callable[[Problem], None] | None = None,
    control: Control | None = None,
    **options: Any,
) -> Generator[Snapshot, None, None]:
    """Account capture files or open captures, and iterate over the snapshots.

    The run goes on in a thread of its own while the loop's body works. A replay waits for a slow body; a live capture does not:
    intervals that the body is too slow for come merged into one snapshot (`Snapshot.n_intervals` says how many).

    sources: paths of capture files, in order, "-" for standard input; or captures from `open_offline`, which stay open; or
        captures from `open_live`, with which it goes on until `control.stop` is set, a duration has passed, the loop is left or
        all of them have gone. Those that wait (`open_live`) are opened again when their interfaces are back.
    on_alert: called with each alert, before the snapshot of its interval comes.
    on_conversations: called with the conversations that have ended, now and then.
    on_problem: called with what a person should know: damaged files, steps of the clock, loss.
    options: the command line's that are about the run, as fields of `config.RunOptions`: interval=60 or "60s", limit="1MB" (here
        none by default), local=("192.168.0.0/16",), filter="tcp", inner=True, max_hosts=1_000_000, workers=4, ...

    All callbacks run in the thread that iterates.

    Yields a `Snapshot` for each interval, none with interval=0, and last the summary of the whole run. The captures' filter
    and the like are given when they are opened.

    Raises ConfigError for a wrong option and ValueError for wrong sources at once; the first CaptureError last, after the
    summary of what could be read. Nothing is opened, and no thread started, before the first snapshot is asked for.
    """
    settings = make_run_options({"limit": "0", **options})
    if not all(isinstance(source, (str, os.PathLike)) or hasattr(source, "is_live") for source in sources):
        raise ValueError("watch takes paths of capture files and open captures")
    live = cast(
        "list[LiveCapture]", [source for source in sources if not isinstance(source, (str, os.PathLike)) and source.is_live]
    )
    if settings.hosts_only and on_conversations is not None:
        raise ConfigError("on_conversations cannot be combined with hosts_only")
    _check_given(options, LIVE_ONLY, "is of live captures, and given to open_live")
    if live:
        _check_given(options, ("live_clock",), "is of pipes")
    if any(not isinstance(source, (str, os.PathLike)) for source in sources):
        _check_given(options, ("filter",), "is given when a capture is opened")
    if not sources or (live and len(live) < len(sources)):
        raise ValueError("watch takes capture files, or live captures")
    if len({capture.name for capture in live}) < len(live):
        raise ValueError("watch takes each interface once")
    control = control or Control()
    callbacks: dict[str, Callable[[Any], None] | None] = {
        "conversations": on_conversations,
        "alerts": None if on_alert is None else partial(_call_for_each, on_alert),
        "problem": on_problem,
    }
    kinds = {"snapshot", "problem", *(kind for kind, callback in callbacks.items() if callback is not None)}
    queue = _WatchQueue((lambda: False) if live else (lambda: not control.stop), kinds)
    keeps = on_conversations is not None
    openers = [] if live else [make_opener(source, settings, control) for source in sources]

    def make(guard: RuleSource) -> LiveMonitor | ReplayMonitor:
        if live:
            return live_monitor(live, settings, queue, control, guard, keeps_conversations=keeps)
        return replay_monitor(openers, _names(sources), settings, queue, control, guard, keeps_conversations=keeps)

    return _snapshots(make, lambda: make_guard(settings, queue.problem), queue, control, callbacks)


def _check_given(options: Mapping[str, object], names: Sequence[str], reason: str) -> None:
    """Raise ConfigError for options that would do nothing."""
    for name in names:
        if name in options:
            raise ConfigError(f"{name} {reason}")


def analyze(*paths: str | os.PathLike[str], **options: Any) -> Snapshot:
    """Account capture files; return the summary of the whole, which can be pickled and merged with others.

    paths, options: as those of `watch`, but for `interval`: there is only the summary.

    Raises ConfigError for a wrong option; the first error of reading or of the packet log, whose `partial` is the summary of what
    could be read.
    """
    _check_given(options, ("interval",), "is no option of analyze: it returns the summary")
    summary: Snapshot | None = None
    try:
        for snapshot in watch(*paths, **options, interval=0):
            summary = snapshot
    except FastmonError as error:
        error.partial = summary
        raise
    if summary is None:
        raise CaptureError("nothing was read")
    return summary


def _call_for_each(callback: Callable[[Alert], None], alerts: Sequence[Alert]) -> None:
    for alert in alerts:
        callback(alert)


class _WatchQueue(EventQueue):
    """The events of a run on their way to the thread that iterates; what that is too slow for is told as a problem."""

    def _tell_of_loss(self, kind: str) -> None:
        self.problem(Problem(f"{kind} are dropped: the loop over the snapshots is too slow"))

    def tell_of_loss(self) -> None:
        """Tell how much was lost, if anything was."""
        if self.lost:
            lost = ", ".join(f"{n_rows:,} {kind}" for kind, n_rows in self.lost.items())
            self.problem(Problem(f"{lost} dropped: the loop over the snapshots was too slow"))


def _snapshots(
    make: Callable[[RuleSource], LiveMonitor | ReplayMonitor],
    make_guard: Callable[[], RuleSource],
    queue: _WatchQueue,
    control: Control,
    callbacks: dict[str, Callable[[Any], None] | None],
) -> Generator[Snapshot, None, None]:
    failures: list[BaseException] = []

    guard = make_guard()  # only now: a generator that nobody starts must not have opened anything
    try:
        monitor = make(guard)
    except BaseException:
        guard.close()
        raise

    def run() -> None:
        try:
            with guard:
                monitor.run()
            queue.tell_of_loss()
        except BaseException as error:  # noqa: BLE001 - raised where the snapshots are taken
            failures.append(error)
        finally:
            queue.close()

    first_error: FastmonError | None = None
    thread = start_thread("fastmon-run", run)
    try:
        while (event := queue.get()) is not None:
            kind, value = event
            callback = callbacks.get(kind)
            if callback is not None:
                callback(value)
            if kind == "snapshot":
                yield value
            elif kind == "problem":
                first_error = first_error or value.error
    finally:
        if thread.is_alive():
            control.stop = True
            queue.abandon()
            thread.join()
    if failures:
        raise failures[0]
    if first_error is not None:
        raise first_error


def _names(sources: Sequence[Capture | str | os.PathLike[str]]) -> list[str]:
    return [os.fspath(source) if isinstance(source, (str, os.PathLike)) else source.name for source in sources]


def source_openers(paths: Sequence[str], options: RunOptions, control: Control) -> list[SourceOpener]:
    """Return what opens each of some capture files, unless `control.stop` comes first."""
    return [make_opener(path, options, control) for path in paths]


def replay_monitor(
    openers: Sequence[SourceOpener],
    names: Sequence[str],
    options: RunOptions,
    subscriber: Subscriber,
    control: Control,
    guard: RuleSource,
    *,
    keeps_conversations: bool,
) -> ReplayMonitor:
    """Return the monitor that replays sources."""
    networks = options.local or PRIVATE_NETWORKS
    plan = _plan(", ".join(names), options, guard, infers_networks=options.by == "mac" and not options.local)
    n_workers = min(options.workers, len(openers))
    team = _team(options, networks, n_workers, plan.names, keeps_conversations, guard.wants_contacts, is_live=False)
    packet_log = _packet_log(options, control, waits=True)
    return ReplayMonitor(plan, openers, team, subscriber, control, packet_log, live_clock=options.live_clock)


def live_monitor(
    captures: Sequence[LiveCapture],
    options: RunOptions,
    subscriber: Subscriber,
    control: Control,
    guard: RuleSource,
    *,
    keeps_conversations: bool,
    n_workers: int = 1,
) -> LiveMonitor:
    """Return the monitor that accounts interfaces; `captures` are those of each together, one for each of `n_workers`."""
    names = list(dict.fromkeys(capture.name for capture in captures))
    find = None if options.local else partial(own_networks, names)
    plan = _plan(", ".join(names), options, guard, find_networks=find)
    networks = local_networks(names, options)
    team = _team(options, networks, n_workers, plan.names, keeps_conversations, guard.wants_contacts, is_live=True)
    packet_log = _packet_log(options, control, waits=False)
    return LiveMonitor(plan, captures, team, subscriber, control, packet_log=packet_log)


def _packet_log(options: RunOptions, control: Control, *, waits: bool) -> PacketLog | None:
    """Return the packet log, if one is wanted. Raises ConfigError if it cannot be written."""
    if options.packet_log is None:
        return None
    from fastmon.sinks.packet_log import PacketLog

    return PacketLog(
        options.packet_log,
        options.packet_log_bytes,
        options.packet_log_files,
        waits=waits,
        is_stopped=lambda: control.stop,
    )


def make_guard(
    options: RunOptions,
    report: Callable[[Problem], None],
    policy: Policy | None = None,
    read_policy: Callable[[], Policy] | None = None,
) -> RuleSource:
    """Return what gives a run its rules; its state and actions begin here.

    policy: what the configuration sets; None: nothing.  read_policy: reads it again.  report: takes what a person should know.
    """
    if read_policy is None and options.state is None:
        return LimitAlone(options.limit_scope)
    from fastmon.guard import Guard

    return Guard(
        policy or Policy(),
        read_policy,
        limit_scope=options.limit_scope,
        state=options.state,
        apps={} if options.hosts_only else app_names(),
        report=report,
    )


def app_names() -> dict[int, str]:
    """Return the name of each application, by its number."""
    from fastmon.classify import APPLICATIONS

    return {number: app.name for number, app in enumerate(APPLICATIONS)}


def _plan(source: str, options: RunOptions, guard: RuleSource, **more: Any) -> Plan:
    names = None if options.hosts_only else NameBook()
    return Plan(
        source,
        options.interval_ns,
        options.duration_ns,
        Grouping(by_mac=options.by == "mac", v6_prefix=options.v6_prefix),
        names,
        load_rules=lambda: guard.load(names),
        limit_scope=options.limit_scope,
        **more,
    )


def _team(
    options: RunOptions,
    networks: Sequence[str],
    n_workers: int,
    names: NameBook | None,
    keeps_conversations: bool,
    keeps_contacts: bool,
    *,
    is_live: bool,
) -> Team:
    """Return one worker, or several and a collector, which alone can tell limits."""
    make = partial(make_accountant, options.engine, bytes_of=options.bytes, inner=options.inner, max_hosts=options.max_hosts)
    make = partial(make, local_networks=networks)
    if not is_live:
        # a capture always gives the same estimates; live, the system knows what is local, and frames may lie
        make = partial(make, sketch_seed=0, follow_announcements=not options.local)
    if not options.hosts_only:
        from fastmon.classify.tables import app_tables

        make = partial(make, max_conversations=options.max_conversations, applications=app_tables())
    draining = partial(
        make,
        keep_conversations=keeps_conversations,
        packet_log=options.packet_log is not None,
        dedup_ns=options.dedup_ns,
        keep_contacts=keeps_contacts and not options.hosts_only,
    )
    inspect = partial(_inspector, options, names, keeps_conversations, is_live=is_live)
    if n_workers <= 1:
        accountant = draining(limit_bytes=options.limit_bytes)
        return Team([Worker(accountant, inspect(accountant))], accountant)
    accountants = [draining() for _ in range(n_workers)]
    return Team([Worker(accountant, inspect(accountant)) for accountant in accountants], make(limit_bytes=options.limit_bytes))


def _inspector(
    options: RunOptions, names: NameBook | None, keeps_conversations: bool, accountant: Accountant, *, is_live: bool
) -> Inspector | None:
    """Return who looks at the payloads of an accountant that drains; nobody where there are no conversations."""
    if names is None:
        return None
    from fastmon.run.inspection import Inspector, LiveBudget, ReplayBudget, native_matchers

    budget = LiveBudget(options.classify_budget) if is_live else ReplayBudget(options.classify_budget)
    matchers = native_matchers() if options.classify_budget else None
    return Inspector(accountant, _make_classifier, budget, names, matchers=matchers, keeps_details=keeps_conversations)


def _make_classifier() -> Classifier:
    from fastmon.classify.classifier import Classifier

    return Classifier()
