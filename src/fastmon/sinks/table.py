"""Tables for people: the biggest hosts of each interval, and whatever a person should know about the rest.

What it does not do: show every host; JSON lines and CSV do.
"""

from __future__ import annotations

from collections import Counter
from itertools import groupby, islice
from typing import TYPE_CHECKING, TextIO

from fastmon.model.alerts import CLEARED
from fastmon.model.units import NS_PER_S, TIME_FORMATS, format_duration, format_rate, format_size
from fastmon.sinks.base import Sink, printable
from fastmon.sinks.categories import remote_categories
from fastmon.sinks.details import app_name, host_details, network_apps
from fastmon.sinks.grid import Grid, open_page
from fastmon.sinks.ports import top_services, top_unknown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from fastmon.model.alerts import Alert
    from fastmon.model.snapshot import Count, HostRow, Snapshot
    from fastmon.sinks.details import HostDetails

__all__ = ["TableSink"]

_NUMBERS = ("bytes in", "bytes out", "total", "packets in", "packets out", "share")
_TITLES = ("host", "side", *_NUMBERS, "state")
_DETAILED_TITLES = ("host", "name", "online service", "side", *_NUMBERS, "mostly", "state")
_OPTIONAL = (
    ("packets in", "packets out"),
    ("share",),
    ("side",),
    ("online service",),
    ("name",),
    ("mostly",),
    ("bytes in", "bytes out"),
    ("state",),
)
"""In 80 columns there is room for an IPv6 address, its bytes and its state; in 40 for an IPv4 address, total and state."""

_APP_TITLES = ("application", "bytes", "frames", "share", "hosts")
_CATEGORY_TITLES = ("category", "bytes", "share", "hosts", "mostly")
_PORT_TITLES = ("host", "role", "service", "bytes in", "bytes out", "conversations")
MAX_NAME = 32
N_UNKNOWN_PORTS = 5


class TableSink(Sink):
    """Shows the `top` biggest hosts of each snapshot, and alerts between them.

    ports: also show the biggest services of these hosts, as many.  times: the zone of times, one of `units.TIME_FORMATS`.
    """

    def __init__(self, stream: TextIO, top: int, *, ports: bool = False, times: str = "utc") -> None:
        self._stream = stream
        self._page = open_page(stream)
        self._top = top
        self._ports = ports
        self._time_text = TIME_FORMATS[times]

    def snapshot(self, snapshot: Snapshot) -> None:
        """Show a table, or a line if there was no traffic."""
        self._page.line(_headline(snapshot, self._time_text), style="bold")
        if snapshot.counters.frames.frames:
            self._page.line(_totals(snapshot))
        if len(snapshot) and self._top:
            self._page.grid(_grid(snapshot, self._top))
        self._more(len(snapshot), "hosts")
        if self._ports and len(snapshot.services) and self._top:
            self._page.line("")
            self._page.grid(_port_grid(snapshot.top(self._top), self._top))
        if snapshot.conversations is not None and len(snapshot) and self._top:
            self._page.line("")
            self._page.grid(_app_grid(snapshot, self._top))
            self._more(len(network_apps(snapshot)), "applications")
            self._categories(snapshot)
        for note in _notes(snapshot):
            self._page.line(note, style="dim")
        self._page.line("")

    def _categories(self, snapshot: Snapshot) -> None:
        """Show what kinds of online services the network used, if any."""
        grid = Grid(_headings(_CATEGORY_TITLES, snapshot), numbers=frozenset({1, 2, 3}), optional=_columns(4, 3, 2))
        for row in remote_categories(snapshot):
            share = _share(min(row.n_bytes, snapshot.counters.ip.bytes), snapshot.counters.ip)
            grid.rows.append((row.category, format_size(row.n_bytes), share, f"{row.n_hosts:,}", row.service))
        if grid.rows:
            self._page.line("")
            self._page.grid(grid)

    def _more(self, n_rows: int, what: str) -> None:
        """Say how many are not shown."""
        if n_rows > self._top:
            self._page.line(f"{n_rows - self._top:,} more {what}", style="dim")

    def alerts(self, alerts: Sequence[Alert]) -> None:
        """Show a line for each that is not silenced."""
        from fastmon.alerts.records import alert_line

        shown = (alert for alert in alerts if not alert.is_silenced)
        for state, group in groupby(shown, key=lambda alert: alert.state):
            lines = (alert_line(alert, self._time_text) for alert in group)
            self._page.line("\n".join(lines), style="bold green" if state == CLEARED else "bold red")

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()


def _headline(snapshot: Snapshot, time_text: Callable[[int], str]) -> str:
    start_ns, end_ns = snapshot.interval.start_ns, snapshot.interval.end_ns
    kind = "summary of " if snapshot.is_summary else ""
    nothing = "" if snapshot.counters.frames.frames else ": no traffic"
    if not end_ns:  # no clock ever ran: an empty capture
        return f"{kind}{printable(snapshot.source)}{nothing}"
    start, start_zone = _moment(time_text(start_ns))
    end, zone = _moment(time_text(end_ns))
    if start_zone != zone:  # clocks went forward or back
        start = f"{start} {start_zone}"
    elif start[:10] == end[:10]:
        end = end[11:]
    intervals = f", {snapshot.n_intervals} intervals" if snapshot.n_intervals > 1 else ""
    return f"{kind}{printable(snapshot.source)}  {start} to {end} {zone} ({_length(snapshot.covered_ns)}{intervals}){nothing}"


def _moment(time: str) -> tuple[str, str]:
    """Return a time to the millisecond, "2026-01-01 00:00:00.000", and its zone: "UTC", or "+01:00" of a local one."""
    return time[:23].replace("T", " "), time[26:].replace("Z", "UTC")


def _length(duration_ns: int) -> str:
    """Return a duration without the digits that nobody reads."""
    unit_ns = 1_000_000 if duration_ns < 10 * NS_PER_S else NS_PER_S
    return format_duration(duration_ns // unit_ns * unit_ns or duration_ns)


def _totals(snapshot: Snapshot) -> str:
    frames, size = snapshot.counters.frames.frames, snapshot.counters.frames.bytes
    duration_ns = snapshot.covered_ns
    parts = [f"{len(snapshot):,} hosts", f"{frames:,} frames", format_size(size)]
    if duration_ns > 0:
        parts += [f"{frames * NS_PER_S // duration_ns:,} frames/s", format_rate(size, duration_ns)]
    return ", ".join(parts)


def _grid(snapshot: Snapshot, top: int) -> Grid:
    biggest = snapshot.top(top)
    all_details = host_details(biggest)
    titles: Sequence[str] = _TITLES if snapshot.conversations is None else _DETAILED_TITLES
    if not any(details.service for details in all_details):
        titles = [title for title in titles if title != "online service"]
    grid = Grid(
        _headings(titles, snapshot),
        numbers=frozenset(map(titles.index, _NUMBERS)),
        optional=[frozenset(titles.index(title) for title in group) for group in _OPTIONAL if group[0] in titles],
    )
    for number, (row, details) in enumerate(zip(biggest, all_details, strict=True)):
        cells = _cells(row, details, snapshot.counters.ip)
        grid.rows.append([cells[title] for title in titles])
        if row.flagged:
            grid.styles[number] = "red"
    return grid


def _headings(titles: Sequence[str], snapshot: Snapshot) -> Sequence[str]:
    """Return the titles, which say so where bytes are those of IP packets."""
    return titles if snapshot.bytes_of == "frame" else [title.replace("bytes", "IP bytes") for title in titles]


def _columns(*optional: int) -> Sequence[frozenset[int]]:
    """Return columns that a narrow terminal does without one by one."""
    return [frozenset({column}) for column in optional]


def _cells(row: HostRow, details: HostDetails, ip: Count) -> dict[str, str]:
    """Return what stands under each title."""
    total = row.bytes_in + row.bytes_out
    return {
        "host": row.host,
        "name": _shortened(details.name or (f"({details.vendor})" if details.vendor else "")),
        "online service": details.service,
        "side": "local" if row.local else "remote",
        "bytes in": format_size(row.bytes_in),
        "bytes out": format_size(row.bytes_out),
        "total": format_size(total),
        "packets in": f"{row.packets_in:,}",
        "packets out": f"{row.packets_out:,}",
        # one that talks to itself counts each byte twice
        "share": _share(min(total, ip.bytes), ip),
        "mostly": next(iter(details.apps), ""),
        "state": "FLAGGED" if row.flagged else "OK",
    }


def _shortened(name: str) -> str:
    return name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 1]}…"


def _share(size: int, ip: Count) -> str:
    """Return how much of the IP bytes this is."""
    return f"{size / ip.bytes if ip.bytes else 0:.1%}"


def _port_grid(shown: Snapshot, top: int) -> Grid:
    """Return the services of the hosts that are shown, those with the most bytes."""
    grid = Grid(_headings(_PORT_TITLES, shown), numbers=frozenset({3, 4, 5}), optional=_columns(5, 1))
    hosts = shown.host_texts()
    for service in top_services(shown, top):
        sizes = format_size(service.bytes_in), format_size(service.bytes_out)
        grid.rows.append((hosts[service.host], service.role, service.service, *sizes, f"{service.conversations:,}"))
    return grid


def _app_grid(snapshot: Snapshot, top: int) -> Grid:
    """Return the applications with the most bytes, and how many hosts use each."""
    grid = Grid(_headings(_APP_TITLES, snapshot), numbers=frozenset(range(1, 5)), optional=_columns(2, 4, 3))
    n_hosts = Counter(map(app_name, snapshot.apps["app"].tolist()))
    for app, count in islice(network_apps(snapshot).items(), top):
        hosts = f"{n_hosts[app]:,}" if app in n_hosts else ""
        grid.rows.append((app, format_size(count.bytes), f"{count.frames:,}", _share(count.bytes, snapshot.counters.ip), hosts))
    return grid


def _notes(snapshot: Snapshot) -> Iterator[str]:
    """Yield a line for everything beside hosts and applications that is not zero."""
    counters = snapshot.counters
    for what, count in (("not IP", counters.non_ip), ("left out as copies", counters.duplicates)):
        if count.frames:
            yield f"{what}: {_count(count.frames, count.bytes)}"
    reasons = {reason: count for reason, count in counters.undecoded.items() if count.frames}
    if reasons:
        texts = (f"{reason.replace('_', ' ')} {_count(count.frames, count.bytes)}" for reason, count in reasons.items())
        yield f"not decoded: {', '.join(texts)}"
    unknown = top_unknown(snapshot, N_UNKNOWN_PORTS)
    if unknown:
        yield f"behind unknown: {', '.join(f'{port} {format_size(count.bytes)}' for port, count in unknown.items())}"
    counts = snapshot.conversations
    if counts is not None and (counts.opened or counts.running):
        forced = f", {counts.ended['full']:,} of them early (table full)" if counts.ended["full"] else ""
        yield f"conversations: {counts.opened:,} begun, {sum(counts.ended.values()):,} ended{forced}"
        if counts.n_skipped:
            yield f"payloads skipped (classification budget): {counts.n_skipped:,}"
    if snapshot.services_overflow:
        yield f"conversations whose service did not fit: {snapshot.services_overflow:,}"
    overflow = counters.overflow
    if overflow.frames_in or overflow.frames_out:
        received, sent = _count(overflow.frames_in, overflow.bytes_in), _count(overflow.frames_out, overflow.bytes_out)
        yield f"of hosts that did not fit: in {received}, out {sent}"
    yield from _losses(snapshot)
    if snapshot.packet_log_dropped:
        yield f"LOST records of the packet log: {snapshot.packet_log_dropped:,}"
    if snapshot.contacts_dropped:
        yield f"LOST conversations that rules did not see: {snapshot.contacts_dropped:,}"
    if snapshot.names_dropped:
        yield f"LOST names: {snapshot.names_dropped:,}"


def _losses(snapshot: Snapshot) -> Iterator[str]:
    """Yield the lines for frames that were lost, and interfaces that were away."""
    dropped = snapshot.dropped
    here = (
        ("in the capture buffer", dropped.kernel),
        ("at the interface", dropped.interface),
        ("in the kernel's backlog (whole machine)", dropped.backlog),
    )
    at_the_capture = (
        ("at its interface", dropped.file_interface),
        ("in its system", dropped.file_system),
        ("counted from frame to frame", dropped.file_frames),
    )
    for what, places in (("LOST frames", here), ("LOST frames, as the capture file says", at_the_capture)):
        losses = [f"{frames:,} {place}" for place, frames in places if frames]
        if losses:
            yield f"{what}: {', '.join(losses)}"
    lost = {source.name: source.dropped.kernel + source.dropped.interface for source in snapshot.sources}
    if len(lost) > 1 and any(lost.values()):
        yield f"LOST frames by interface: {', '.join(f'{printable(name)} {frames:,}' for name, frames in lost.items() if frames)}"
    for source in snapshot.sources:
        if away_ns := round(source.away_ns, -8):
            yield f"AWAY: {printable(source.name)} for {format_duration(away_ns)}"


def _count(frames: int, size: int) -> str:
    return f"{frames:,} frames ({format_size(size)})"
