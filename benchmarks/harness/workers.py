"""What a second worker gains: two captures of the same hosts, one after the other or side by side, everything on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .answers import COUNTS, checksum, fault_of
from .case import Case, Plan, Sample, medians
from .inputs import Capture, cool, warm
from .layers import layer_fault
from .process import run

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Workers"]

SUBJECTS = {"fastmon, 1 worker": 1, "fastmon, 2 workers": 2}


@dataclass(slots=True)
class Workers(Case):
    """fastmon on both cores, in ns per frame of the whole process."""

    captures: tuple[Capture, ...]
    quick_captures: tuple[Capture, ...]
    samples: int = 5

    def subjects(self, plan: Plan) -> list[str]:
        """Return the numbers of workers."""
        del plan
        return list(SUBJECTS)

    def inputs(self, plan: Plan) -> tuple[Capture, ...]:
        """Return what is read."""
        return self.quick_captures if plan.quick else self.captures

    def prepare(self, plan: Plan) -> None:
        """Make the captures, and let them be read from the disk."""
        for capture in self.inputs(plan):
            cool(capture.make(plan.cache))

    def sample(self, plan: Plan, subject: str) -> Sample:
        """Read both with so many workers."""
        paths = [capture.path(plan.cache) for capture in self.inputs(plan)]
        truth = summed([capture.truth(plan.cache) for capture in self.inputs(plan)])
        for path in paths:
            warm(path)
        options = ["-i", "0", "--limit", "0", "--format", "jsonl", "--classify-budget", "100", "--workers", SUBJECTS[subject]]
        done = run(plan, [plan.fastmon, "replay", *paths, *options], (plan.cpu, plan.other_cpu))
        fault = done.failure() or fault_of(lambda: layer_fault(done, truth))
        details = {
            "frames": truth["frames"],
            "seconds": round(done.wall_ns / 1e9, 4),
            "cpu_seconds": round((done.user_ns + done.system_ns) / 1e9, 4),
            "peak_rss_kib": done.peak_rss_kib,
        }
        return Sample(subject, done.wall_ns / truth["frames"], "ns/frame", fault, details)

    def verdict(self, samples: Sequence[Sample]) -> list[str]:
        """Return how many times as fast as one worker two are."""
        found = list(medians(samples).values())
        return [f"2 workers are {found[0] / found[1]:.2f} times as fast as one"] if len(found) == len(SUBJECTS) else []


def summed(truths: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the totals of captures together."""
    hosts: dict[str, Counter[str]] = {}
    for truth in truths:
        for name, counts in truth["hosts"].items():
            hosts.setdefault(name, Counter()).update(counts)
    totals = {name: sum(truth[name] for truth in truths) for name in COUNTS}
    return {**totals, "n_hosts": len(hosts), "hosts_sha256": checksum({"hosts": hosts})}
