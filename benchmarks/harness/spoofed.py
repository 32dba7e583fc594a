"""A flood of spoofed sources: is memory bounded, are local hosts exact, and are hosts that come later seen whole?"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .answers import COUNTS, fault_of, read_summary
from .case import Case, Plan, Sample
from .process import run
from .spoofed_frames import LOCAL, truth

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Spoofed"]

WRITER = Path(__file__).resolve().parent / "spoofed_frames.py"
FRAMES, QUICK_FRAMES = 100_000_000, 400_000
TABLE_ROWS = 1 << 20
"""The default of --max-hosts and --max-conversations."""
BOUND_MIB = TABLE_ROWS * (300 + 200) / (1 << 20) + 250
"""Hosts and conversations, as docs/gateway.md has them, and for everything else 250 MiB."""
TIMEOUT_S = 3_600


@dataclass(slots=True)
class Spoofed(Case):
    """Peak memory, in MiB, of replaying frames that have a source each, with default options, through a pipe."""

    samples: int = 1

    def subjects(self, plan: Plan) -> list[str]:
        """Return the one subject."""
        del plan
        return ["fastmon"]

    def prepare(self, plan: Plan) -> None:
        """Nothing is prepared: the frames are made while they are read."""

    def sample(self, plan: Plan, subject: str) -> Sample:
        """Replay what the writer makes."""
        frames, pipe = QUICK_FRAMES if plan.quick else FRAMES, plan.scratch / "spoofed"
        expected = truth(frames)
        os.mkfifo(pipe)
        local = [option for network in LOCAL for option in ("--local", network)]
        command = [plan.fastmon, "replay", pipe, "--format", "jsonl", "--limit", "0", *local]
        write = ["sh", "-c", 'exec "$@" >spoofed', "sh", sys.executable, WRITER, frames, 1]
        writer = subprocess.Popen([*map(str, write)], cwd=plan.scratch)
        try:
            done = run(plan, command, timeout_s=TIMEOUT_S)
        finally:
            writer.kill()
            writer.wait()
            pipe.unlink()
        fault = done.failure() or fault_of(lambda: spoofed_fault(done.output, expected))
        peak_mib = done.peak_rss_kib / 1024
        if not fault and peak_mib > BOUND_MIB:
            fault = f"{peak_mib:.0f} MiB, at most {BOUND_MIB:.0f} were expected"
        seconds = (done.user_ns + done.system_ns) / 1e9
        return Sample(subject, peak_mib, "MiB", fault, {"frames": expected["frames"], "cpu_seconds": round(seconds, 4)})

    def verdict(self, samples: Sequence[Sample]) -> list[str]:
        """Return the bound, and the speed."""
        rate = max(sample.details["frames"] / sample.details["cpu_seconds"] for sample in samples) / 1e6
        return [f"at most {BOUND_MIB:.0f} MiB were expected; {rate:.2f} million frames/s of processor time, reports included"]


def spoofed_fault(output: Path, expected: dict[str, Any]) -> str:
    """Return how the summary differs from the truth."""
    summary, hosts = read_summary(output, dict)
    for name in COUNTS:
        if summary[name] != expected[name]:
            return f"{summary[name]} {name}, truly {expected[name]}"
    for name, counts in expected["hosts"].items():
        if any(hosts.get(name, {}).get(column) != count for column, count in counts.items()):
            return f"{name}: {hosts.get(name)}, truly {counts}"
    sums = {way: sum(host[f"packets_{way}"] for host in hosts.values()) for way in ("in", "out")}
    lost = {way: expected["frames"] - sums[way] - summary["overflow"][f"frames_{way}"] for way in sums}
    ended = sum(summary["conversations"]["ended"].values())
    if any(lost.values()) or ended != summary["conversations"]["opened"]:
        return f"frames that are no host's nor overflow: {lost}; {ended} conversations ended"
    return ""
