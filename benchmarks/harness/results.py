"""Writes `RESULTS.md` from what was measured, and README's table from `RESULTS.md`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .programs import ALL, FASTMON, NDPI, NO_PAYLOADS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .contest import Contest, Figures
    from .programs import Program

__all__ = ["BEGIN", "END", "ENOUGH_SAMPLES", "Report", "readme_table", "with_readme_table"]

ENOUGH_SAMPLES = 5
LEAST_RATIO, MOST_RATIO = 3.0, 1.5
BEGIN, END = "<!-- from benchmarks/RESULTS.md -->", "<!-- end -->"
COLUMNS = (
    "program",
    "processor time, ns a frame",
    "least to most",
    "times fastmon's",
    "time, ns a frame",
    "peak memory, MiB",
    "what it does not do",
)
ROW = re.compile(r"^\| (?P<name>[^|]+?) \| (?P<ns>[\d,]+) \|", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Report:
    """What the page says.

    common: commit, machine and versions, as `environment.describe` has them.  versions, commands: of each program.
    missing: why a program could not be installed.
    """

    contests: Sequence[Contest]
    programs: Sequence[Program]
    common: Mapping[str, Any]
    versions: Mapping[str, str]
    commands: Mapping[str, str]
    missing: Mapping[str, str]
    n_samples: int
    date: str

    def page(self) -> str:
        """Return the page."""
        captures = (line for contest in self.contests for line in self.capture(contest))
        return "\n".join([*self.head(), *captures, *self.list_of_programs(), *self.left_out()])

    def head(self) -> list[str]:
        """Return how it was measured."""
        common = self.common
        changed = " with changes" if common["dirty"] else ""
        provisional = (
            []
            if self.n_samples >= ENOUGH_SAMPLES
            else [f"Provisional: {self.n_samples} runs of each program, where {ENOUGH_SAMPLES} are needed.", ""]
        )
        return [
            "# fastmon beside its peers",
            "",
            "Made by `scripts/bench --peers`; [README.md](README.md) says how to read it. Do not edit it.",
            "",
            *provisional,
            f"Measured {self.date} at commit {common['commit']}{changed}; medians of {self.n_samples} interleaved runs.",
            f"{common['cpu']}, {common['cpus']} cores, load {common['load']} at the start;",
            f"Python {common['python']}, {common['libpcap']}.",
            "",
            "![Processor time for each frame, by program](RESULTS.svg)",
            "",
        ]

    def capture(self, contest: Contest) -> list[str]:
        """Return a capture's table, and what follows from it."""
        capture, ours = contest.capture, contest.figures.get(FASTMON)
        times = f", multiplied by {capture.copies}" if capture.copies > 1 else ""
        lines = [
            f"## {capture.name}",
            "",
            f"{capture.frames:,} frames{times}, {capture.wire_bytes / capture.frames:.0f} bytes each on the wire.",
            "",
            f"| {' | '.join(COLUMNS)} |",
            "|---" * len(COLUMNS) + "|",
        ]
        for program in self.programs:
            if program.name in contest.figures:
                found = contest.figures[program.name]
                lines.append(row(program, found, found.cpu / ours.cpu if ours else None))
        reasons = [f"Left out: {name}: {reason}." for name, reason in contest.left_out.items()]
        return [*lines, "", *verdict(contest), *([""] if reasons else []), *reasons, ""]

    def list_of_programs(self) -> list[str]:
        """Return what each program gives, and how it was run."""
        lines = ["## Programs", "", "| program | version | it gives | what it does not do | command |", "|---|---|---|---|---|"]
        for program in self.programs:
            if program.name not in self.missing:
                version, command = self.versions[program.name], self.commands[program.name].replace("|", r"\|")
                lines.append(f"| {program.name} | {version} | {program.gives} | {program.lacks} | `{command}` |")
        return [*lines, ""]

    def left_out(self) -> list[str]:
        """Return which programs could not be installed."""
        return [f"Not installed: {name}: {reason}." for name, reason in self.missing.items()] + ([""] if self.missing else [])


def row(program: Program, found: Figures, ratio: float | None) -> str:
    """Return a program's row; in brackets, what it read of the capture, and how much of that it counted."""
    name = program.name
    if program.part:
        name += f" (first {found.frames:,} frames)"
    if found.counted is not None and abs(found.counted / found.frames - 1) > 0.01:
        name += f" (counts {found.counted / found.frames:.0%} of the frames)"
    least, most = min(found.cpu_ns), max(found.cpu_ns)
    wall, peak = sorted(found.wall_ns)[len(found.wall_ns) // 2], max(found.peak_mib)
    times = "" if ratio is None else f"{ratio:.2f}"
    return f"| {name} | {found.cpu:,.0f} | {least:,.0f} to {most:,.0f} | {times} | {wall:,.0f} | {peak:,.0f} | {program.lacks} |"


def verdict(contest: Contest) -> list[str]:
    """Return how fastmon compares with nDPI, and with itself without looking at payloads."""
    ours, theirs, less = (contest.figures.get(name) for name in (FASTMON, NDPI, NO_PAYLOADS))
    lines = []
    if ours and contest.unclassified is not None:
        lines.append(f"- Payloads that fastmon skipped (`unclassified_for_budget`): {contest.unclassified}.")
    if ours and theirs:
        times = theirs.cpu / ours.cpu
        met = "met" if times >= LEAST_RATIO else "missed"
        lines.append(f"- fastmon with everything on is {times:.2f} times as fast as `{NDPI}` (wanted: {LEAST_RATIO:g}; {met}).")
    if ours and less:
        times = ours.cpu / less.cpu
        met = "met" if times <= MOST_RATIO else "missed"
        lines.append(
            f"- It takes {times:.2f} times the processor time of `--classify-budget 0` (wanted: {MOST_RATIO:g} at most; {met})."
        )
    return lines


def readme_table(results: str) -> str:
    """Return README's table: processor time by program and capture, as `RESULTS.md` has it."""
    sections = re.findall(r"^## (?!Programs$)(\S+)\n(.*?)(?=^## )", results, re.MULTILINE | re.DOTALL)
    columns = {name: {base_name(row["name"]): row["ns"] for row in ROW.finditer(text)} for name, text in sections}
    measured = re.search(r"^Measured (\S+) at commit (\S+?)(?: with changes)?; medians of (\d+)", results, re.MULTILINE)
    machine = re.search(r"^(.*?), \d+ cores", results, re.MULTILINE)
    if not columns or not measured or not machine:
        raise ValueError("no results")
    date, commit, n_samples = measured.groups()
    lines = [
        f"| processor time, ns a frame | {' | '.join(short_name(name) for name in columns)} | it gives |",
        "|---|" + "---|" * (len(columns) + 1),
    ]
    for program in (program for program in ALL if not program.reads_halves):
        cells = [column.get(program.name, "") for column in columns.values()]
        if any(cells):
            part = " (a part)" if program.part else ""
            lines.append(f"| {program.name}{part} | {' | '.join(cells)} | {program.gives} |")
    state = "Provisional, medians" if int(n_samples) < ENOUGH_SAMPLES else "Medians"
    return "\n".join(
        [*lines, "", f"{state} of {n_samples} interleaved runs, whole processes, {date}, commit {commit}, {machine[1]}."]
    )


def base_name(cell: str) -> str:
    """Return a program's name without what stands behind it in brackets."""
    return cell.partition(" (")[0]


def short_name(capture: str) -> str:
    """Return a capture's name for a narrow column."""
    return re.sub(r"\.(pcap|pcapng|cap)(\.\w+)?$", "", capture.rpartition("__")[2] if "__" in capture else capture)


def with_readme_table(readme: str, results: str) -> str:
    """Return README with the table of these results, between its marks."""
    start, end = readme.index(BEGIN) + len(BEGIN), readme.index(END)
    return f"{readme[:start]}\n{readme_table(results)}\n{readme[end:]}"
