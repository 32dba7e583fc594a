"""Memory: how much one more host costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .answers import fastmon_fault, fault_of, read_fastmon
from .case import Case, Plan, Sample
from .inputs import Capture, write_empty
from .process import run
from .replay import replay_command

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Memory"]

INTERVALS = {"fastmon, summary only": "0", "fastmon, default interval": None}
FLOOD = Capture("flood", 1_000_000, ("--rate", "10000"))  # 100 s: the default interval ends once before the summary
QUICK_FLOOD = Capture("flood", 20_000, ("--rate", "200"))


@dataclass(slots=True)
class Memory(Case):
    """Peak memory of replaying a flood of sources, less that of replaying an empty capture, in bytes for each host."""

    samples: int = 3

    def subjects(self, plan: Plan) -> list[str]:
        """Return the ways to replay."""
        del plan
        return list(INTERVALS)

    def prepare(self, plan: Plan) -> None:
        """Make the flood and the empty capture."""
        self.flood(plan).make(plan.cache)
        write_empty(plan.cache / "empty.pcap")

    def flood(self, plan: Plan) -> Capture:
        """Return the capture with many hosts."""
        return QUICK_FLOOD if plan.quick else FLOOD

    def sample(self, plan: Plan, subject: str) -> Sample:
        """Replay both captures."""
        interval, flood = INTERVALS[subject], self.flood(plan)
        truth = flood.truth(plan.cache)
        idle = run(plan, replay_command(plan, plan.cache / "empty.pcap", interval))
        full = run(plan, replay_command(plan, flood.path(plan.cache), interval))
        fault = idle.failure() or full.failure() or fault_of(lambda: fastmon_fault(read_fastmon(full.output), truth))
        full.output.unlink()
        details = {
            "workload": flood.name,
            "seed": flood.seed,
            "frames": truth["frames"],
            "hosts": truth["n_hosts"],
            "idle_rss_kib": idle.peak_rss_kib,
            "peak_rss_kib": full.peak_rss_kib,
            "checksum": truth["hosts_sha256"][:16],
        }
        per_host = (full.peak_rss_kib - idle.peak_rss_kib) * 1024 / truth["n_hosts"]
        return Sample(subject, per_host, "bytes/host", fault, details)

    def verdict(self, samples: Sequence[Sample]) -> list[str]:
        """Return the memory in whole."""
        worst = max(samples, key=lambda sample: sample.value)
        peak, idle, hosts = (worst.details[name] for name in ("peak_rss_kib", "idle_rss_kib", "hosts"))
        return [f"at worst {peak / 1024:.0f} MiB with {hosts} hosts, {idle / 1024:.0f} MiB with none"]
