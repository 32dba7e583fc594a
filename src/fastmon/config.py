"""The options of a run, defined once for the command line, the configuration file and the library.

What it does not do: read arguments, or act on options.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fastmon.bounds import DIRECTIONS, MAX_CONVERSATIONS, MAX_HOSTS, SNAPLENS, check_choice, check_range
from fastmon.errors import ConfigError
from fastmon.model.addresses import parse_network
from fastmon.model.units import parse_duration, parse_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping


__all__ = ["FORMATS", "Options", "load_config", "make_options"]

_T = TypeVar("_T")

FORMATS = ("table", "jsonl", "csv")
ENGINES = ("native", "reference")
GROUPS = ("host", "mac")
SHORTEST_INTERVAL_NS = 1_000_000
LEAST_PACKET_LOG_BYTES = 4096


def _option(default: object, *flags: str, metavar: str, about: str) -> Any:
    """Return the field of an option; `flags`, `metavar` and `about` are for the command line's help."""
    return field(default=default, metadata={"flags": flags, "metavar": metavar, "about": about})


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a run is told, as people write it; the parsed values are the properties.

    Raises ConfigError if a value is wrong.
    """

    filter: str | None = _option(None, "-f", "--filter", metavar="BPF", about="Account only frames that this filter matches.")
    interval: str = _option("60s", "-i", "--interval", metavar="DUR", about="Report at this interval; 0: only the summary.")
    top: int = _option(20, "-n", "--top", metavar="N", about="Rows of a table; other formats carry every host.")
    local: tuple[str, ...] = _option(
        (),
        "--local",
        metavar="CIDR",
        about="A local network; repeatable. By default the interface's own networks, else the private ranges.",
    )
    limit: str = _option("1MB", "--limit", metavar="SIZE", about="Flag a host whose total passes this; 0: none.")
    format: str = _option("table", "--format", metavar="|".join(FORMATS), about="What the results look like.")
    output: str | None = _option(None, "-o", "--output", metavar="PATH", about="Write the results to this file.")
    log: str | None = _option(
        None, "--log", metavar="PATH", about="Log snapshots, alerts and problems to this file; it is rotated."
    )
    duration: str = _option(
        "0", "--duration", metavar="DUR", about="Stop after this time, in replay of the packets' clock; 0: never."
    )
    packet_log: str | None = _option(
        None,
        "--packet-log",
        metavar="PATH",
        about="Write a record of each frame to this file: .csv, .csv.gz, .csv.zst, .parquet.",
    )
    packet_log_size: str = _option(
        "1GB", "--packet-log-size", metavar="SIZE", about="Begin another file of the packet log at this size; 0: never."
    )
    packet_log_files: int = _option(10, "--packet-log-files", metavar="N", about="Files of the packet log that are kept.")
    inner: bool = _option(False, "--inner", metavar="", about="Account the innermost IP header of tunnels, not the outermost.")
    hosts_only: bool = _option(
        False, "--hosts-only", metavar="", about="No conversations, applications or names: the fastest way."
    )
    conversations: str | None = _option(
        None,
        "--conversations",
        metavar="PATH",
        about="Write a record of each conversation: CSV if the name ends in .csv, else JSON lines.",
    )
    by: str = _option("host", "--by", metavar="|".join(GROUPS), about="Rows: hosts, or devices with all their addresses.")
    v6_prefix: int = _option(128, "--v6-prefix", metavar="N", about="Report IPv6 hosts with so many equal bits as one.")
    classify_budget: int = _option(
        20, "--classify-budget", metavar="PERCENT", about="Time for looking at payloads; 0: none, 100: without limit."
    )
    max_conversations: int = _option(
        1 << 20, "--max-conversations", metavar="N", about="Conversations kept; of more, the most silent end early."
    )
    max_hosts: int = _option(1 << 20, "--max-hosts", metavar="N", about="Hosts kept; the traffic of further ones is summed up.")
    workers: int = _option(1, "--workers", metavar="N", about="Threads that account at once: files, or shares of an interface.")
    engine: str = _option("native", "--engine", metavar="|".join(ENGINES), about="The reference engine is slow, for comparison.")
    direction: str = _option("inout", "--direction", metavar="|".join(DIRECTIONS), about="Live: account only this direction.")
    snaplen: int | None = _option(None, "--snaplen", metavar="N", about="Live: bytes of each frame that are captured.")
    buffer: str | None = _option(None, "--buffer", metavar="SIZE", about="Live: the kernel's capture buffer.")

    def __post_init__(self) -> None:
        """Check everything that can be told without a source."""
        for option in fields(self):
            _check_type(option.name, getattr(self, option.name), str(option.type))
        check_choice("format", self.format, FORMATS)
        check_choice("engine", self.engine, ENGINES)
        check_choice("direction", self.direction, DIRECTIONS)
        check_range("top", self.top, 0)
        check_range("workers", self.workers, 1, 256)
        check_range("max-hosts", self.max_hosts, *MAX_HOSTS)
        check_range("snaplen", self.snaplen, *SNAPLENS)
        check_choice("by", self.by, GROUPS)
        check_range("v6-prefix", self.v6_prefix, 1, 128)
        check_range("classify-budget", self.classify_budget, 0, 100)
        check_range("max-conversations", self.max_conversations, 1, MAX_CONVERSATIONS[1])
        if self.hosts_only and (self.conversations or self.by != "host"):
            raise ConfigError("hosts-only: conversations and devices cannot be told then")
        for name in ("output", "log", "conversations"):
            path = getattr(self, name)
            if path is not None and (not path or "\0" in path):
                raise ConfigError(f"{name}: {path!r} is no path")
        if 0 < self.interval_ns < SHORTEST_INTERVAL_NS:
            raise ConfigError(f"interval: {self.interval!r} is too short: 1ms at least, or 0")
        _ = self.duration_ns, self.limit_bytes, self.buffer_bytes
        check_range("packet-log-files", self.packet_log_files, 1, 10_000)
        if 0 < self.packet_log_bytes < LEAST_PACKET_LOG_BYTES:
            raise ConfigError(
                f"packet-log-size: {self.packet_log_size!r} is too small: {LEAST_PACKET_LOG_BYTES} bytes at least, or 0"
            )
        for text in self.local:
            _parsed("local", parse_network, text)

    @property
    def interval_ns(self) -> int:
        """The interval; 0: only the summary."""
        return _parsed("interval", parse_duration, self.interval)

    @property
    def duration_ns(self) -> int:
        """The longest a run takes; 0: to the end."""
        return _parsed("duration", parse_duration, self.duration)

    @property
    def limit_bytes(self) -> int:
        """The limit of a host's total; 0: none."""
        return _parsed("limit", parse_size, self.limit)

    @property
    def packet_log_bytes(self) -> int:
        """The size of a packet log's file; 0: no limit."""
        return _parsed("packet-log-size", parse_size, self.packet_log_size)

    @property
    def buffer_bytes(self) -> int | None:
        """The size of the capture buffer; None: `capture.open_live`'s own."""
        return None if self.buffer is None else _parsed("buffer", parse_size, self.buffer)


def make_options(values: Mapping[str, object]) -> Options:
    """Return the options of these values, by their names as fields of `Options`. Raises ConfigError for an unknown name."""
    _check_names(values)
    return Options(**values)  # type: ignore[arg-type]  # it checks the types itself


def load_config(path: str) -> dict[str, Any]:
    """Return the options that the TOML file at `path` sets, by their name as a field of `Options`.

    The keys are the long options without their dashes. Raises ConfigError if it cannot be read or a key or value is wrong.
    """
    import msgspec

    try:
        table = msgspec.toml.decode(Path(path).read_bytes().decode())
        values = {key.replace("-", "_"): value for key, value in table.items()}
        _check_names(values)
        options = msgspec.convert(values, Options)
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from None
    except RecursionError:
        raise ConfigError(f"{path}: its values are nested too deeply") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: it is no UTF-8 text, at byte {error.start}") from None
    except (msgspec.MsgspecError, ConfigError) as error:
        raise ConfigError(f"{path}: {error}") from None
    except ValueError:  # Python refuses to make a number of thousands of digits
        raise ConfigError(f"{path}: a number has too many digits") from None
    return {name: getattr(options, name) for name in values}


def _check_names(values: Iterable[str]) -> None:
    known = [option.name for option in fields(Options)]
    for name in values:
        if name not in known:
            raise ConfigError(f"unknown option {name!r}; known: {', '.join(known)}")


_TYPES: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "bool": (bool,), "tuple[str, ...]": (tuple, list)}


def _check_type(name: str, value: object, wanted: str) -> None:
    """Raise ConfigError if `value` is not of the type that an annotation says."""
    required = wanted.removesuffix(" | None")
    if value is None and required != wanted:
        return
    is_right = isinstance(value, _TYPES[required]) and isinstance(value, bool) == (required == "bool")
    if isinstance(value, (tuple, list)):
        is_right = is_right and all(isinstance(item, str) for item in value)
    if not is_right:
        raise ConfigError(f"{name} is {value!r}; {wanted} is wanted")


def _parsed(name: str, parse: Callable[[str], _T], text: str) -> _T:
    try:
        return parse(text)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None
