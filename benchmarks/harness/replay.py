"""Replays: the whole process, from a file in the page cache, beside tcpdump and beside programs that do less or do it slower."""

from __future__ import annotations

import json
import os
import shutil
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .answers import fastmon_fault, fault_of, read_fastmon, tcpdump_count
from .case import Case, Plan, Sample, medians
from .inputs import Capture, compiled, cool, warm
from .process import Run, run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Replay", "replay_command"]

PYPCAP_DPKT = Path(__file__).resolve().parent / "pypcap_dpkt.py"
FASTMON, TCPDUMP, FLOOR, BASELINE = "fastmon", "tcpdump --count", "count frames only", "pypcap + dpkt + dict"


def replay_command(plan: Plan, path: Path, interval: str | None = "0") -> list[object]:
    """Return the command that replays a file, hosts only, as JSON lines; `interval` None is the default one."""
    options = [] if interval is None else ["-i", interval]
    return [plan.fastmon, "replay", path, "--hosts-only", *options, "--format", "jsonl"]


@dataclass(slots=True)
class Replay(Case):
    """fastmon against `tcpdump --count` on the same file, in ns per frame.

    small: a cut of the workload for pypcap with dpkt, which is too slow for more; None leaves it out.
    """

    capture: Capture
    quick_capture: Capture
    small: Capture | None = None
    samples: int = 7

    def subjects(self, plan: Plan) -> list[str]:
        """Return the programs to measure."""
        del plan
        return [FASTMON, *([TCPDUMP] if shutil.which("tcpdump") else []), FLOOR, *([BASELINE] if self.small else [])]

    def input(self, plan: Plan, subject: str) -> Capture:
        """Return what the subject reads."""
        if subject == BASELINE and self.small is not None:
            return self.small
        return self.quick_capture if plan.quick else self.capture

    def prepare(self, plan: Plan) -> None:
        """Make the captures, and let them be read from the disk."""
        for capture in {self.input(plan, subject) for subject in self.subjects(plan)}:
            cool(capture.make(plan.cache))
        compiled("count_frames.c", plan.cache)

    def sample(self, plan: Plan, subject: str) -> Sample:
        """Run one program on its file, which is read before: something else may have driven it out of the page cache."""
        capture = self.input(plan, subject)
        path, truth = capture.path(plan.cache), capture.truth(plan.cache)
        command, check = self.command(plan, subject, path)
        warm(path)
        done = run(plan, command)
        fault = done.failure() or fault_of(lambda: check(done, truth))
        frames, file_bytes = truth["frames"], path.stat().st_size
        details = {
            "workload": capture.name,
            "seed": capture.seed,
            "frames": frames,
            "hosts": truth["n_hosts"],
            "seconds": round(done.wall_ns / 1e9, 4),
            "cpu_seconds": round((done.user_ns + done.system_ns) / 1e9, 4),
            "mpps": round(frames / done.wall_ns * 1e3, 3),
            "gb_per_s": round(file_bytes / done.wall_ns, 3),
            "peak_rss_kib": done.peak_rss_kib,
            "checksum": truth["hosts_sha256"][:16],
        }
        return Sample(subject, done.wall_ns / frames, "ns/frame", fault, details)

    def command(self, plan: Plan, subject: str, path: Path) -> tuple[list[object], Callable[[Run, dict[str, Any]], str]]:
        """Return how to run a subject, and what checks its answer."""
        if subject == FASTMON:
            return replay_command(plan, path), lambda done, truth: fastmon_fault(read_fastmon(done.output), truth)
        if subject == TCPDUMP:
            as_root = ["-Z", "root"] if os.geteuid() == 0 else []  # else it gives up the right to read the file
            return ["tcpdump", "--count", *as_root, "-r", path], tcpdump_fault
        if subject == FLOOR:
            return [compiled("count_frames.c", plan.cache), path], printed_fault
        return [plan.python, PYPCAP_DPKT, path], printed_fault

    def verdict(self, samples: Sequence[Sample]) -> list[str]:
        """Return rates, and the ratios to tcpdump."""
        found, in_cpu_time = medians(samples), cpu_ns_per_frame(samples)
        lines = []
        for name, value in found.items():
            speed = statistics.median(sample.details["gb_per_s"] for sample in samples if sample.subject == name)
            lines.append(
                f"{name}: {1e3 / value:.1f} million frames/s, {speed:.1f} GB/s of file; {in_cpu_time[name]:.1f} CPU ns/frame"
            )
        if FASTMON in found and TCPDUMP in found:
            ratios = [of_each[TCPDUMP] / of_each[FASTMON] for of_each in (found, in_cpu_time)]
            lines.append(
                "fastmon reads {:.2f} times as many frames a second as tcpdump --count ({:.2f} by processor time)".format(*ratios)
            )
        return lines


def cpu_ns_per_frame(samples: Sequence[Sample]) -> dict[str, float]:
    """Return each subject's median of processor time, which a busy machine disturbs less than time that passes."""
    figures: dict[str, list[float]] = {}
    for sample in samples:
        figures.setdefault(sample.subject, []).append(sample.details["cpu_seconds"] * 1e9 / sample.details["frames"])
    return {name: statistics.median(values) for name, values in figures.items()}


def tcpdump_fault(done: Run, truth: dict[str, Any]) -> str:
    """Return how tcpdump's answer differs from the truth."""
    found = tcpdump_count(done.output.read_text() + done.errors.read_text())
    return "" if found == truth["frames"] else f"{found} frames, truly {truth['frames']}"


def printed_fault(done: Run, truth: dict[str, Any]) -> str:
    """Return how the answer of a program that prints JSON differs from the truth."""
    found = json.loads(done.output.read_text())
    return next((f"{value} {name}, truly {truth[name]}" for name, value in found.items() if value != truth[name]), "")
