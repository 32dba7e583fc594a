"""What each part of fastmon costs: the same capture with more and more of it on, from reading alone to applications and names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .answers import fastmon_fault, read_fastmon
from .case import medians
from .inputs import compiled
from .replay import Replay, cpu_ns_per_frame, printed_fault, replay_command

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from .case import Plan, Sample
    from .process import Run

__all__ = ["Layers"]

FLOOR = "count frames only"
LAYERS = {
    "fastmon --hosts-only": ("--hosts-only",),
    "fastmon --classify-budget 0": ("--classify-budget", "0"),
    "fastmon": (),
}
PARTS = {"fastmon --hosts-only": "decode, hosts", "fastmon --classify-budget 0": "conversations", "fastmon": "classification"}


@dataclass(slots=True)
class Layers(Replay):
    """fastmon with conversations, applications and names, beside itself with less; in ns per frame of the whole process.

    least_mpps: million frames a second that the whole is to reach.
    """

    least_mpps: float = 0

    def subjects(self, plan: Plan) -> list[str]:
        """Return what is measured, each with more than the one before."""
        del plan
        return [FLOOR, *LAYERS]

    def command(self, plan: Plan, subject: str, path: Path) -> tuple[list[object], Callable[[Run, dict[str, Any]], str]]:
        """Return how to run a subject, and what checks its answer."""
        if subject == FLOOR:
            return [compiled("count_frames.c", plan.cache), path], printed_fault
        options = [option for option in replay_command(plan, path) if option != "--hosts-only"]
        return [*options, "--limit", "0", *LAYERS[subject]], layer_fault

    def verdict(self, samples: Sequence[Sample]) -> list[str]:
        """Return rates, and what each part adds."""
        found, in_cpu_time = medians(samples), cpu_ns_per_frame(samples)
        lines, before = [], 0.0
        for name, value in found.items():
            part = PARTS.get(name, "read")
            lines.append(
                f"{name}: {1e3 / value:.1f} million frames/s ({1e3 / in_cpu_time[name]:.1f} by processor time); "
                f"{part}: {in_cpu_time[name] - before:.1f} CPU ns/frame"
            )
            before = in_cpu_time[name]
        if "fastmon" in found:
            lines.append(f"the whole: {1e3 / found['fastmon']:.1f} million frames/s, {self.least_mpps:g} are wanted")
        return lines


def layer_fault(done: Run, truth: dict[str, Any]) -> str:
    """Return how an answer differs from the truth, or from itself: each host's applications add up to the host."""
    fault = fastmon_fault(read_fastmon(done.output), truth)
    for host in json.loads(done.output.read_text().splitlines()[-1])["hosts"]:
        for name in ("bytes_in", "bytes_out", "packets_in", "packets_out"):
            apps = host.get("apps")
            if apps is not None and sum(app[name] for app in apps.values()) != host[name]:
                return fault or f"{host['host']}: applications do not add up to its {name}"
    return fault
