"""Reads what a program answered, and compares it with the generator's totals."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

__all__ = ["COUNTS", "Answer", "checksum", "fastmon_fault", "fault_of", "read_fastmon", "read_summary", "tcpdump_count", "times"]

COUNTS = ("frames", "bytes")
T = TypeVar("T")


class Answer(NamedTuple):
    """fastmon's summary: everything but its hosts, how many those were, and their checksum."""

    summary: dict[str, Any]
    n_hosts: int
    hosts_sha256: str


def read_fastmon(output: Path) -> Answer:
    """Return the summary in fastmon's JSON lines."""
    summary, lines = read_summary(output, lambda host: host_line(host["host"], host))
    return Answer(summary, len(lines), sha256(lines.values()))


def read_summary(output: Path, kept: Callable[[dict[str, Any]], T]) -> tuple[dict[str, Any], dict[str, T]]:
    """Return the summary in fastmon's JSON lines, and of each host what `kept` returns; there may be millions of hosts."""
    with output.open("rb") as file:
        for line in file:
            if line.startswith(b'{"type":"summary"'):
                text = line.decode()
                break
        else:
            raise ValueError("no summary in fastmon's output")
    start = text.index('"hosts":[') + len('"hosts":[')
    hosts, end = {}, start
    for host, after in objects(text, start):
        hosts[host["host"]] = kept(host)
        end = after
    return json.loads(text[:start] + text[end:]), hosts


def objects(text: str, at: int) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield the objects of a JSON array whose first element begins at `at`, each with the position after it."""
    decoder = json.JSONDecoder()
    while text[at] != "]":
        found, at = decoder.raw_decode(text, at + (text[at] == ","))
        yield found, at


def host_line(name: str, host: Mapping[str, Any]) -> str:
    """Return a host as the generator writes it for its checksum."""
    return f"{name} {host['bytes_in']} {host['bytes_out']} {host['packets_in']} {host['packets_out']}\n"


def sha256(lines: Iterable[str]) -> str:
    """Return the checksum of lines in their order."""
    digest = hashlib.sha256()
    for line in sorted(lines):
        digest.update(line.encode())
    return digest.hexdigest()


def checksum(truth: Mapping[str, Any]) -> str:
    """Return the checksum of a truth's hosts."""
    return sha256(host_line(name, host) for name, host in truth["hosts"].items())


def times(truth: Mapping[str, Any], count: int) -> dict[str, Any]:
    """Return the totals of a capture that was sent `count` times."""
    hosts = {name: {column: value * count for column, value in host.items()} for name, host in truth["hosts"].items()}
    scaled = {name: truth[name] * count for name in COUNTS}
    return {**scaled, "n_hosts": len(hosts), "hosts": hosts, "hosts_sha256": checksum({"hosts": hosts})}


def fastmon_fault(answer: Answer, truth: Mapping[str, Any]) -> str:
    """Return how fastmon's summary differs from the truth, empty if it does not."""
    for name in COUNTS:
        if answer.summary[name] != truth[name]:
            return f"{answer.summary[name]} {name}, truly {truth[name]}"
    if answer.n_hosts != truth["n_hosts"]:
        return f"{answer.n_hosts} hosts, truly {truth['n_hosts']}"
    return "" if answer.hosts_sha256 == truth["hosts_sha256"] else "hosts' totals differ from the true ones"


def fault_of(check: Callable[[], str]) -> str:
    """Return what a check finds wrong, be it that the answer cannot be read at all."""
    try:
        return check()
    except (KeyError, ValueError) as error:
        return f"unreadable answer: {error!r}"


def tcpdump_count(text: str) -> int:
    """Return the number of frames that `tcpdump --count` found, -1 if it does not say."""
    found = re.search(r"^(\d+) packets?", text, re.MULTILINE)
    return int(found[1]) if found else -1
