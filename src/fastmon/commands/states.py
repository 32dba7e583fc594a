"""The commands that read and change a state: alerts, usage, silence, devices.

A run may be writing the state meanwhile; what is changed here takes effect in it at its next checkpoint.

What it does not do: know exit codes; `cli` makes them of errors.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastmon.bounds import SEVERITIES, check_choice
from fastmon.errors import ConfigError
from fastmon.model.units import NS_PER_S, parse_duration

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import TextIO

    from fastmon.sinks.grid import Grid
    from fastmon.state.queries import Desk

__all__ = ["add_commands"]

FORMATS = ("table", "jsonl")
MAX_NAME_CHARACTERS = 63

StatePath = Annotated[
    str | None,
    typer.Option(
        "--state",
        metavar="PATH",
        help="The state; by default state.db in $STATE_DIRECTORY, else the service's (/var/lib/fastmon) if there is one, else "
        "in $XDG_STATE_HOME/fastmon.",
        show_default=False,
    ),
]
Format = Annotated[str, typer.Option("--format", metavar="table|jsonl", help="[table]", show_default=False)]
Host = Annotated[
    str | None,
    typer.Option("--host", metavar="HOST", help="Only this address, network, MAC address or name.", show_default=False),
]
Rule = Annotated[str | None, typer.Option("--rule", metavar="NAME", help="Only this rule.", show_default=False)]

devices_app = typer.Typer(invoke_without_command=True)


def add_commands(app: typer.Typer) -> None:
    """Add the commands to those of `app`."""
    app.command()(alerts)
    app.command()(usage)
    app.command()(silence)
    app.add_typer(devices_app, name="devices")


def _desk(state: str | None, *, writes: bool = False) -> Desk:
    from fastmon.state.files import default_path
    from fastmon.state.queries import Desk

    return Desk(default_path() if state is None else Path(state).expanduser(), writes=writes)


def _stdout() -> TextIO:
    if sys.stdout is None:
        raise ConfigError("standard output is closed")
    return sys.stdout


def _remark(text: str) -> None:
    typer.echo(f"fastmon: {text}", err=True)


def _show(format_: str, grids: Callable[[], Iterable[tuple[str, Grid]]], records: Callable[[], Iterable[object]]) -> None:
    """Show grids, each under its heading if that is not empty, or records. A grid without rows is left out."""
    from fastmon.reports.texts import write_records
    from fastmon.sinks.grid import open_page

    check_choice("format", format_, FORMATS)
    with suppress(BrokenPipeError):  # whoever read it has gone
        if format_ == "jsonl":
            write_records(_stdout(), records())
            return
        page = open_page(_stdout())
        separator = ""
        for heading, grid in grids():
            if grid.rows:
                if heading:
                    page.line(separator + heading)
                page.grid(grid)
                separator = "\n"


def alerts(
    host: Host = None,
    rule: Rule = None,
    severity: Annotated[
        str, typer.Option(metavar="SEVERITY", help="Only this one and worse: info, warning, critical. [info]", show_default=False)
    ] = SEVERITIES[0],
    since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Only from then on, and open ones: 2026-01-31, 2026-01-31T12:00Z, or how long ago: 12h, 7d."
        ),
    ] = None,
    top: Annotated[
        int,
        typer.Option("-n", "--top", min=1, metavar="N", help="Rows of the table; JSON lines have all. [100]", show_default=False),
    ] = 100,
    format_: Format = FORMATS[0],
    state: StatePath = None,
) -> int:
    """List alerts: open ones, then past ones, the newest first."""
    from fastmon.model.silences import Target
    from fastmon.reports.alerts import alert_grid, kept_record
    from fastmon.state.queries import AlertFilter

    check_choice("severity", severity, SEVERITIES)
    since_ns = None if since is None else _since(since, time.time_ns())
    wanted = AlertFilter(None if host is None else Target(host), rule, severity, since_ns)
    with _desk(state) as desk:
        ids = desk.alert_ids(wanted)
        _show(
            format_,
            lambda: [("", alert_grid(desk.alerts(ids[:top])))],
            lambda: map(kept_record, desk.alerts(ids)),
        )
    if format_ == FORMATS[0] and len(ids) > top:
        _remark(f"{len(ids) - top:,} more: see --top and --since")
    return 0


def usage(host: Host = None, rule: Rule = None, format_: Format = FORMATS[0], state: StatePath = None) -> int:
    """Show what devices have used of their quotas, and when those begin anew; of others the last day and month (UTC)."""
    from fastmon.model.silences import Target
    from fastmon.reports.usage import day_grid, day_records, period_grid, period_records

    now_ns = time.time_ns()
    with _desk(state) as desk:
        hosts = desk.hosts()
        target = None if host is None else Target(host)
        all_periods = desk.periods()
        periods = [
            period
            for period in all_periods
            if rule in {None, period.rule} and (target is None or hosts.is_meant(target, period.subject))
        ]
        have_quotas = {each for period in all_periods for each in (period.subject, *hosts.addresses(period.subject))}
        days = [
            found
            for found in (desk.days() if rule is None else [])
            if found.day.subject not in have_quotas and (target is None or hosts.is_meant(target, found.day.subject))
        ]
    _show(
        format_,
        lambda: [("", period_grid(periods, hosts, now_ns)), ("" if not periods else "without a quota:", day_grid(days, hosts))],
        lambda: [*period_records(periods, hosts, now_ns), *day_records(days, hosts)],
    )
    return 0


def silence(
    target: Annotated[
        str | None,
        typer.Argument(metavar="[HOST|RULE]", help="An address, network, MAC address or host's name, or a rule's name."),
    ] = None,
    duration: Annotated[str | None, typer.Argument(metavar="[DURATION]", help="For how long: 30m, 8h, 7d.")] = None,
    shows: Annotated[bool, typer.Option("--list", help="List the silences.")] = False,
    removes: Annotated[bool, typer.Option("--remove", help="End the silence of HOST or RULE.")] = False,
    state: StatePath = None,
) -> int:
    """Tell nobody of a host's or a rule's alerts for a while; a run heeds it within 10 s. Alerts are kept all the same."""
    from fastmon.model.silences import Silence, Target
    from fastmon.reports.devices import silence_grid
    from fastmon.reports.texts import cell, moment
    from fastmon.sinks.grid import open_page

    now_ns = time.time_ns()
    _check_silence(target, duration, shows=shows, removes=removes)
    with _desk(state, writes=not shows) as desk:
        if target is None:
            silences = desk.silences(now_ns)
            _show(FORMATS[0], lambda: [("", silence_grid(silences, now_ns))], list)
            return 0
        meant = Target(target)
        if removes:
            if not desk.end_silence(meant) and not desk.end_silence(desk.resolve(meant) or meant):
                raise ConfigError(f"{cell(meant.text)} is not silenced: 'fastmon silence --list' lists what is")
            return 0
        known = desk.resolve(meant)
        if known is None:
            _remark(f"no rule and no device is known as {cell(meant.text)}, so far")
        kept = Silence((known or meant).text, now_ns, min(now_ns + parse_duration(duration or ""), (1 << 63) - 1))
        desk.silence(kept)
    open_page(_stdout()).line(f"{cell(kept.target)} is silenced until {moment(kept.until_ns) or 'further notice'}")
    return 0


def _check_silence(target: str | None, duration: str | None, *, shows: bool, removes: bool) -> None:
    if shows and (removes or target is not None):
        raise ConfigError("--list stands alone")
    if removes and (target is None or duration is not None):
        raise ConfigError("--remove needs HOST or RULE, and nothing else")
    if not shows and (target is None or not target.strip()):
        raise ConfigError("name a HOST or RULE and a DURATION, or --list")
    if target is not None and target.startswith("group:") and not removes:
        raise ConfigError("a group cannot be silenced: name a rule, a network or a host")
    if not shows and not removes:
        if duration is None:
            raise ConfigError("say for how long: 30m, 8h, 7d")
        if parse_duration(duration) == 0:
            raise ConfigError("the duration must be more than 0; --remove ends a silence")


@devices_app.callback()
def devices(context: typer.Context, format_: Format = FORMATS[0], state: StatePath = None) -> int:
    """List the known devices, those seen last first; rename or forget one."""
    from fastmon.reports.devices import device_grid, device_record

    context.obj = state
    if context.invoked_subcommand is None:
        with _desk(state) as desk:
            found = desk.devices()
        _show(format_, lambda: [("", device_grid(found))], lambda: map(device_record, found))
    return 0


@devices_app.command()
def rename(
    context: typer.Context,
    device: Annotated[str, typer.Argument(metavar="ID", help="As listed; or an address, MAC address or name of one device.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help='What to call it; "" takes the name back.')],
    state: StatePath = None,
) -> int:
    """Give a device a name of your own."""
    from fastmon.model.texts import clean_text

    cleaned = clean_text(name)
    if len(cleaned) > MAX_NAME_CHARACTERS:
        raise ConfigError(f"the name has {len(cleaned)} characters: use at most {MAX_NAME_CHARACTERS}")
    with _desk(state or context.obj, writes=True) as desk:
        desk.rename(desk.find_device(device), cleaned)
    return 0


@devices_app.command()
def forget(
    context: typer.Context,
    device: Annotated[str, typer.Argument(metavar="ID", help="As listed; or an address, MAC address or name of one device.")],
    state: StatePath = None,
) -> int:
    """Forget a device: a run that begins later takes it for new."""
    with _desk(state or context.obj, writes=True) as desk:
        desk.forget(desk.find_device(device), time.time_ns())
    return 0


def _since(text: str, now_ns: int) -> int:
    """Return the moment of a text: a time, in UTC unless it says otherwise, or how long ago."""
    try:
        moment = datetime.fromisoformat(f"{text[:-1]}+00:00" if text[-1:] in {"Z", "z"} else text)
    except ValueError:
        try:
            return now_ns - parse_duration(text)
        except ConfigError:
            raise ConfigError(
                f"invalid time {text[:40]!r}: use 2026-01-31, 2026-01-31T12:00Z, or how long ago, like 12h"
            ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return int(moment.timestamp()) * NS_PER_S
