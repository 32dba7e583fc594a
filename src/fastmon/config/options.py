"""The options of a run and of its results, defined once for the command line, the configuration file and the library.

What it does not do: read arguments or files, or act on options.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar

from fastmon.bounds import (
    BYTES_OF,
    DIRECTIONS,
    GROUPINGS,
    MAX_CONVERSATIONS,
    MAX_DEDUP_NS,
    MAX_HOSTS,
    PROVIDERS,
    SNAPLENS,
    check_choice,
    check_range,
)
from fastmon.errors import ConfigError
from fastmon.model.addresses import parse_network
from fastmon.model.units import NS_PER_S, TIME_FORMATS, format_duration, parse_duration, parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from fastmon.policy.contents import Policy

__all__ = [
    "FORMATS",
    "Kind",
    "OutputOptions",
    "RunOptions",
    "check_together",
    "duration_ns",
    "make_run_options",
    "size_bytes",
]

_T = TypeVar("_T")
_V = TypeVar("_V")

FORMATS = ("table", "jsonl", "csv")
ENGINES = ("native", "reference")
LIMIT_SCOPES = ("local", "all")
SHORTEST_INTERVAL_NS = 1_000_000
LEAST_PACKET_LOG_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Kind:
    """What values an option takes.

    types: those of a value.  argument: that of the command line's argument.  name: for messages.
    """

    name: str
    types: tuple[type, ...]
    argument: type


TEXT = Kind("a text", (str,), str)
TEXTS = Kind("a list of texts", (tuple, list), list)
NUMBER = Kind("a whole number", (int,), int)
FLAG = Kind("true or false", (bool,), bool)
DURATION = Kind('a duration such as "60s", or a number of seconds', (str, int, float), str)
SIZE = Kind('a size such as "1MB", or a number of bytes', (str, int), str)


def _option(kind: Kind, default: object, *flags: str, metavar: str, about: str) -> Any:
    """Return the field of an option; `flags`, `metavar` and `about` are for the command line's help."""
    return field(default=default, metadata={"kind": kind, "flags": flags, "metavar": metavar, "about": about})


class _Options:
    """What both sets of options share."""

    __slots__ = ()

    def _check_types(self) -> None:
        for option in fields(self):  # type: ignore[arg-type]
            _check_type(option.name, getattr(self, option.name), option.metadata["kind"], option.default)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOptions(_Options):
    """What a run is told, as people write it; the parsed values are the properties.

    Raises ConfigError if a value is wrong.
    """

    filter: str | None = _option(TEXT, None, "-f", "--filter", metavar="BPF", about="Account only frames that match.")
    interval: str | float = _option(
        DURATION, "60s", "-i", "--interval", metavar="DUR", about="Report at this interval; 0: only the summary."
    )
    local: tuple[str, ...] = _option(
        TEXTS,
        (),
        "--local",
        metavar="CIDR",
        about="A local network; repeatable. By default the interface's own networks, else the private ranges.",
    )
    limit: str | int = _option(SIZE, "1MB", "--limit", metavar="SIZE", about="Flag a host whose total passes this; 0: none.")
    limit_scope: str = _option(
        TEXT, "local", "--limit-scope", metavar="|".join(LIMIT_SCOPES), about="Which hosts have the limit: local ones, or all."
    )
    state: str | None = _option(
        TEXT,
        None,
        "--state",
        metavar="PATH",
        about="Keep in this file what rules must not forget: totals of periods, devices, open alerts.",
    )
    duration: str | float = _option(
        DURATION, "0", "--duration", metavar="DUR", about="Stop after this time, in replay of the packets' clock; 0: never."
    )
    live_clock: bool = _option(
        FLAG,
        False,
        "--live-clock",
        metavar="",
        about="A silent pipe ends its intervals; without this, only if its frames are of this machine's time.",
    )
    packet_log: str | None = _option(
        TEXT,
        None,
        "--packet-log",
        metavar="PATH",
        about="Write a record of each frame to this file: .csv, .csv.gz, .csv.zst, .parquet.",
    )
    packet_log_size: str | int = _option(
        SIZE, "1GB", "--packet-log-size", metavar="SIZE", about="Begin another file of the packet log at this size; 0: never."
    )
    packet_log_files: int = _option(NUMBER, 10, "--packet-log-files", metavar="N", about="Files of the packet log that are kept.")
    inner: bool = _option(FLAG, False, "--inner", metavar="", about="Account the innermost IP header of tunnels.")
    bytes: str = _option(
        TEXT, "frame", "--bytes", metavar="|".join(BYTES_OF), about="Count the bytes of whole frames, or of their IP packets."
    )
    dedup: str | float = _option(
        DURATION, "0", "--dedup", metavar="DUR", about="Leave out copies of a frame within this time, and count them; 0: none."
    )
    hosts_only: bool = _option(
        FLAG, False, "--hosts-only", metavar="", about="No conversations, applications or names: the fastest mode."
    )
    by: str = _option(
        TEXT, "host", "--by", metavar="|".join(GROUPINGS), about="Rows: hosts, or devices with all their addresses."
    )
    v6_prefix: int = _option(NUMBER, 128, "--v6-prefix", metavar="N", about="Report IPv6 hosts that share N leading bits as one.")
    classify_budget: int = _option(
        NUMBER,
        20,
        "--classify-budget",
        metavar="PERCENT",
        about="Share of the time for looking at payloads; 0: none, 100: no limit.",
    )
    max_conversations: int = _option(
        NUMBER,
        1 << 20,
        "--max-conversations",
        metavar="N",
        about="Conversations kept; beyond, the longest silent ones end early.",
    )
    max_hosts: int = _option(
        NUMBER, 1 << 20, "--max-hosts", metavar="N", about="Hosts kept; the traffic of further ones is summed up."
    )
    workers: int = _option(
        NUMBER, 1, "--workers", metavar="N", about="Threads that account at once: files, or shares of an interface."
    )
    engine: str = _option(
        TEXT, "native", "--engine", metavar="|".join(ENGINES), about="The reference engine is slow, for comparison."
    )
    direction: str = _option(
        TEXT, "inout", "--direction", metavar="|".join(DIRECTIONS), about="Live: account only this direction."
    )
    handle: str | None = _option(
        TEXT, None, "--handle", metavar="|".join(PROVIDERS), about="Live: who opens the interface; pypcap, if it is installed."
    )
    snaplen: int | None = _option(NUMBER, None, "--snaplen", metavar="N", about="Live: bytes of each frame that are captured.")
    exclude: tuple[str, ...] = _option(
        TEXTS, (), "--exclude", metavar="IFACE", about="Live, with the interface any: leave this one's frames out; repeatable."
    )
    wait: bool = _option(
        FLAG,
        False,
        "--wait",
        metavar="",
        about="Live: wait for interfaces that are not there, or go away; a service always does.",
    )
    buffer: str | int | None = _option(SIZE, None, "--buffer", metavar="SIZE", about="Live: the kernel's capture buffer.")

    def __post_init__(self) -> None:
        """Check everything that can be told without a source."""
        self._check_types()
        check_choice("engine", self.engine, ENGINES)
        check_choice("direction", self.direction, DIRECTIONS)
        if self.handle is not None:
            check_choice("handle", self.handle, PROVIDERS)
        check_choice("by", self.by, GROUPINGS)
        check_choice("bytes", self.bytes, BYTES_OF)
        check_choice("limit-scope", self.limit_scope, LIMIT_SCOPES)
        _check_path("state", self.state)
        check_range("workers", self.workers, 1, 256)
        check_range("max-hosts", self.max_hosts, *MAX_HOSTS)
        check_range("snaplen", self.snaplen, *SNAPLENS)
        check_range("v6-prefix", self.v6_prefix, 1, 128)
        check_range("classify-budget", self.classify_budget, 0, 100)
        check_range("max-conversations", self.max_conversations, 1, MAX_CONVERSATIONS[1])
        check_range("packet-log-files", self.packet_log_files, 1, 10_000)
        if self.hosts_only and self.by != "host":
            raise ConfigError("--hosts-only cannot be combined with --by mac")
        _check_path("packet-log", self.packet_log)
        if 0 < self.interval_ns < SHORTEST_INTERVAL_NS:
            raise ConfigError(f"interval must be 0 or at least 1ms, not {self.interval!r}")
        if self.dedup_ns > MAX_DEDUP_NS:
            raise ConfigError(f"dedup must be at most {format_duration(MAX_DEDUP_NS)}, not {self.dedup!r}")
        _ = self.duration_ns, self.limit_bytes, self.buffer_bytes
        if 0 < self.packet_log_bytes < LEAST_PACKET_LOG_BYTES:
            raise ConfigError(
                f"packet-log-size must be 0 or at least {LEAST_PACKET_LOG_BYTES} bytes, not {self.packet_log_size!r}"
            )
        for text in self.local:
            _parse("local", parse_network, text)

    @property
    def interval_ns(self) -> int:
        """The interval; 0: only the summary."""
        return _duration_ns("interval", self.interval)

    @property
    def duration_ns(self) -> int:
        """The longest a run takes; 0: to the end."""
        return _duration_ns("duration", self.duration)

    @property
    def dedup_ns(self) -> int:
        """How far apart copies of a frame may be; 0: they count."""
        return _duration_ns("dedup", self.dedup)

    @property
    def limit_bytes(self) -> int:
        """The limit of a host's total; 0: none."""
        return _size_bytes("limit", self.limit)

    @property
    def packet_log_bytes(self) -> int:
        """The size of a packet log's file; 0: no limit."""
        return _size_bytes("packet-log-size", self.packet_log_size)

    @property
    def buffer_bytes(self) -> int | None:
        """The size of the capture buffer; None: `capture.open_live`'s own."""
        return None if self.buffer is None else _size_bytes("buffer", self.buffer)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputOptions(_Options):
    """How the command line shows what comes out of a run, and where.

    Raises ConfigError if a value is wrong.
    """

    top: int = _option(NUMBER, 20, "-n", "--top", metavar="N", about="Rows of a table; other formats carry every host.")
    format: str = _option(TEXT, "table", "--format", metavar="|".join(FORMATS), about="What the results look like.")
    ports: bool = _option(FLAG, False, "--ports", metavar="", about="Show the biggest services of a table's hosts, too.")
    output: str | None = _option(TEXT, None, "-o", "--output", metavar="PATH", about="Write the results to this file.")
    time: str = _option(
        TEXT, "utc", "--time", metavar="|".join(TIME_FORMATS), about="The time zone of tables and logs; other formats have UTC."
    )
    append: bool = _option(
        FLAG, False, "--append", metavar="", about="Keep what --output and --conversations have, and write after it."
    )
    log: str | None = _option(
        TEXT, None, "--log", metavar="PATH", about="Log snapshots, alerts and problems to this file; it is rotated."
    )
    conversations: str | None = _option(
        TEXT,
        None,
        "--conversations",
        metavar="PATH",
        about="Write a record of each conversation: CSV if the name ends in .csv, else JSON lines.",
    )

    def __post_init__(self) -> None:
        """Check everything that can be told without opening a file."""
        self._check_types()
        check_choice("format", self.format, FORMATS)
        check_choice("time", self.time, tuple(TIME_FORMATS))
        check_range("top", self.top, 0)
        for name in ("output", "log", "conversations"):
            _check_path(name, getattr(self, name))


def check_together(run: RunOptions, output: OutputOptions, policy: Policy) -> None:
    """Raise ConfigError for options that exclude each other, or the rules of `policy`."""
    if run.hosts_only and output.conversations is not None:
        raise ConfigError("--hosts-only cannot be combined with --conversations")
    if run.hosts_only and output.ports:
        raise ConfigError("--hosts-only cannot be combined with --ports")
    if policy.rules:
        from fastmon.config.needs import check_needs

        check_needs(run, policy)


def make_run_options(values: Mapping[str, object]) -> RunOptions:
    """Return the options of these values, by their names as fields of `RunOptions`. Raises ConfigError for an unknown name."""
    known = [option.name for option in fields(RunOptions)]
    for name in values:
        if any(name == option.name for option in fields(OutputOptions)):
            raise ConfigError(f"{name} is an option of the command line only: it says how results are written")
        if name not in known:
            raise ConfigError(f"unknown option {name!r}; known: {', '.join(known)}")
    return RunOptions(**values)  # type: ignore[arg-type]  # it checks the types itself


def _check_type(name: str, value: object, kind: Kind, default: object) -> None:
    """Raise ConfigError if `value` is none of the kind; None is allowed where it is the default."""
    if value is None and default is None:
        return
    is_right = isinstance(value, kind.types) and (kind is FLAG or not isinstance(value, bool))
    if isinstance(value, (tuple, list)):
        is_right = is_right and all(isinstance(item, str) for item in value)
    if not is_right:
        raise ConfigError(f"{name.replace('_', '-')} must be {kind.name}, not {value!r}")


def _check_path(name: str, path: str | None) -> None:
    if path is not None and (not path or "\0" in path):
        raise ConfigError(f"{name} must be a path, not {path!r}")


def duration_ns(value: str | float) -> int:
    """Return a duration, written as a text or as a number of seconds, in nanoseconds. Raises ConfigError if it is none."""
    if isinstance(value, float):
        if not 0 <= value * NS_PER_S < 1 << 63:
            raise ConfigError(f"use a number of seconds from 0 to {(1 << 63) // NS_PER_S}, not {value!r}")
        return math.ceil(value * NS_PER_S)
    return parse_duration(str(value))


def size_bytes(value: str | int) -> int:
    """Return a size, written as a text or as a number of bytes, in bytes. Raises ConfigError if it is none."""
    return parse_size(str(value))


def _duration_ns(name: str, value: str | float) -> int:
    return _parse(name, duration_ns, value)


def _size_bytes(name: str, value: str | int) -> int:
    return _parse(name, size_bytes, value)


def _parse(name: str, parse: Callable[[_V], _T], value: _V) -> _T:
    try:
        return parse(value)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None
