"""The programs that `benchmarks/peers.py` measures beside each other: fastmon in steps, and its peers."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["ALL", "FASTMON", "NDPI", "NO_PAYLOADS", "PART", "PARTS", "SMALL_PART", "Program", "Setting"]

SCRIPTS = Path(__file__).resolve().parent / "peer_scripts"
PART, SMALL_PART = "part", "small part"
PARTS = {PART: 200_000, SMALL_PART: 20_000}
"""What slow programs read in place of a capture: its first frames."""
NDPI = "ndpiReader -q"
FASTMON, NO_PAYLOADS = "fastmon, everything", "fastmon, conversations"


@dataclass(frozen=True, slots=True)
class Setting:
    """What a command is made of.

    fastmon: the command.  python: interpreter of the peers' environment.  files: what to read.
    work: an empty folder for what a program writes.
    """

    fastmon: str
    python: Path
    files: Sequence[Path]
    work: Path


@dataclass(frozen=True, slots=True)
class Program:
    """A program and what is known about it.

    command: how it is run.  gives: what one has afterwards.  lacks: what it does not do.
    executable, package: of Debian.  module: of Python, named like its distribution.  extra: a package for the check.
    part: slow programs read one of PARTS.  reads_halves: reads the capture as two files.
    count: finds the number of frames in what it printed, or in what `check` printed: a command that is run once and not measured.
    """

    name: str
    command: Callable[[Setting], list[object]]
    gives: str
    lacks: str
    executable: str = ""
    package: str = ""
    extra: str = ""
    module: str = ""
    part: str = ""
    reads_halves: bool = False
    count: Callable[[str], int | None] = lambda text: number(r"^(\d+) frames", text)
    check: Callable[[Setting], list[object]] | None = None

    @property
    def is_fastmon(self) -> bool:
        """Whether it is fastmon, in any of its ways."""
        return self.name.startswith("fastmon")


def number(pattern: str, text: str) -> int | None:
    """Return the sum of the numbers that a pattern has groups for, None if it is not found."""
    found = re.search(pattern, text, re.MULTILINE | re.DOTALL)
    return sum(map(int, found.groups())) if found else None


def fastmon(name: str, gives: str, lacks: str, *options: object) -> list[Program]:
    """Return fastmon with some options, with one worker and with two."""

    def command(*more: object) -> Callable[[Setting], list[object]]:
        common = ("-i", "0", "--limit", "0", "--format", "jsonl")
        return lambda setting: [setting.fastmon, "replay", *setting.files, *common, *options, *more]

    two = Program(f"{name}, 2 workers", command("--workers", 2), gives, f"{lacks}; reads two files", reads_halves=True)
    return [Program(name, command(), gives, lacks), two]


def as_root(*options: str) -> tuple[str, ...]:
    """Return options that only root needs to give."""
    return options if os.geteuid() == 0 else ()


def script(name: str, module: str, gives: str, lacks: str, file: str, part: str) -> Program:
    """Return a script beside this module, run in the peers' environment."""
    path = SCRIPTS / file
    return Program(name, lambda s: [s.python, path, *s.files], gives, lacks, module=module, package=module, part=part)


FASTMONS = [
    *fastmon("fastmon, hosts only", "totals of each host", "no conversations, applications or names", "--hosts-only"),
    *fastmon(
        NO_PAYLOADS,
        "totals of each host, conversations, applications by port",
        "no look at payloads",
        "--classify-budget",
        0,
    ),
    *fastmon(
        FASTMON,
        "totals of each host, conversations, applications by payload, names",
        "fewer protocols than nDPI, no decoding of fields",
        "--classify-budget",
        100,
    ),
]

PEERS = [
    Program(
        "tcpdump --count",
        lambda s: ["tcpdump", "--count", *as_root("-Z", "root"), "-r", *s.files],
        "the number of frames",
        "adds nothing up: no hosts, no conversations",
        executable="tcpdump",
        package="tcpdump",
        count=lambda text: number(r"^(\d+) packets?", text),
    ),
    Program(
        "softflowd",
        lambda s: ["softflowd", "-d", "-p", s.work / "pid", "-c", "none", "-m", 1_000_000, "-r", *s.files],
        "flows (as NetFlow, to nobody)",
        "no totals of hosts, applications or names; nothing but IP",
        executable="softflowd",
        package="softflowd",
        count=lambda text: number(r"^Packets processed: (\d+).*^Ignored packets: (\d+)", text),
    ),
    Program(
        "nfpcapd",
        lambda s: ["nfpcapd", "-r", *s.files, "-w", s.work],
        "flows, in files for nfdump",
        "totals of hosts only when nfdump reads its files again; no applications or names",
        executable="nfpcapd",
        package="nfdump",
        count=lambda text: number(r"^Total: Processed: (\d+)", text),
    ),
    Program(
        "argus",
        lambda s: ["argus", "-X", "-r", *s.files, "-w", s.work / "argus"],
        "flows of both directions, in a file for its clients",
        "totals of hosts only when racluster reads its file again; no applications or names",
        executable="argus",
        package="argus-server",
        extra="argus-client",
        count=lambda text: number(r"^\s+sum\s+\d+\s+(\d+)", text),
        check=lambda s: ["racount", "-r", s.work / "argus"],
    ),
    Program(
        NDPI,
        lambda s: ["ndpiReader", "-q", "-i", *s.files],
        "flows with applications by payload, for some 300 protocols, and risks",
        "no totals of hosts, no intervals; with -q it prints nothing",
        executable="ndpiReader",
        package="libndpi-bin",
        count=lambda text: number(r"IP packets:\s+\d+\s+of (\d+) packets total", text),
        check=lambda s: ["ndpiReader", "-i", *s.files],
    ),
    Program(
        "tshark endpoints",
        lambda s: ["tshark", "-n", "-r", *s.files, "-q", "-z", "endpoints,ip", "-z", "endpoints,ipv6"],
        "totals of each address, after decoding every field",
        "no applications of hosts; memory grows with the capture",
        executable="tshark",
        package="tshark",
        part=PART,
        count=lambda text: number(r"<>\s+[\d.]+ \|\s+(\d+) \|", text),
        check=lambda s: ["tshark", "-n", "-r", *s.files, "-q", "-z", "io,stat,0"],
    ),
    script(
        "NFStream",
        "nfstream",
        "flows with applications by payload (nDPI within)",
        "no totals of hosts; nothing but IP",
        "nfstream_flows.py",
        PART,
    ),
    script(
        "dpkt and a dict",
        "dpkt",
        "totals of each host, of captured bytes",
        "no conversations, applications or names; no lengths on the wire",
        "dpkt_hosts.py",
        PART,
    ),
    script(
        "scapy and a dict",
        "scapy",
        "totals of each host",
        "no conversations, applications or names",
        "scapy_hosts.py",
        SMALL_PART,
    ),
]

ALL = [*FASTMONS, *PEERS]
