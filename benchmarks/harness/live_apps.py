"""Live, everything on: real traffic at even rates, and whether its labels and names are those of a replay.

The capture is multiplied with other addresses. What a replay must say comes from the same frames with the times that sending
gives them, so that conversations end alike.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .answers import read_summary
from .case import Case, Plan, Sample, UnavailableError, medians
from .inputs import compiled, corpus_captures
from .live import CAPTURING, enter_namespace, make_interfaces, measured_live, needs_two_cores
from .multiply import Multiplied, multiply
from .process import run
from .savefile import MICRO, FileHeader, reading

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["LiveApps"]

RATES, QUICK_RATES = (100_000, 400_000), (20_000,)
LEAST_FRAMES, QUICK_FRAMES = 2_000_000, 100_000
START_S = 1_767_225_600
SHOWN = ("apps", "name", "names", "services")
"""What a replay must say of a host, besides its counts."""
COUNTS = ("bytes_in", "bytes_out", "packets_in", "packets_out")


@dataclass(slots=True)
class LiveApps(Case):
    """Processor time per frame received, in ns, with default options; hosts, labels and names must be those of a replay."""

    samples: int = 3
    capture: Multiplied | None = None
    truths: dict[int, dict[str, Any]] = field(default_factory=dict)

    def subjects(self, plan: Plan) -> list[str]:
        """Return fastmon at each rate."""
        return [f"fastmon live, {rate} frames/s" for rate in (QUICK_RATES if plan.quick else RATES)]

    def prepare(self, plan: Plan) -> None:
        """Multiply the capture, and make the sender and the pair of interfaces."""
        enter_namespace()
        needs_two_cores(plan)
        captures = [plan.capture] if plan.capture else corpus_captures()
        if not captures:
            raise UnavailableError("no capture corpus: name a file with --capture, or the corpus with FASTMON_CORPUS")
        try:
            self.capture = multiply(captures[0], plan.cache, QUICK_FRAMES if plan.quick else LEAST_FRAMES, {})
        except (EOFError, OSError, subprocess.SubprocessError) as reason:
            raise UnavailableError(f"{captures[0]}: {reason}") from reason
        compiled("send_frames.c", plan.cache)
        make_interfaces()

    def sample(self, plan: Plan, subject: str) -> Sample:
        """Send the whole capture at one rate."""
        assert self.capture is not None
        rate = int(subject.split()[2])
        if rate not in self.truths:
            self.truths[rate] = replayed(plan, self.capture, rate)
        truth = self.truths[rate]
        command = [plan.fastmon, "live", CAPTURING, "-i", "0", "--format", "jsonl"]
        capturing = measured_live(plan, command, self.capture.path, self.capture.frames, rate)
        summary: dict[str, Any] = {"frames": 0, "dropped": {}}
        fault = f"exit code {capturing.exit_code}" if capturing.exit_code else ""
        if not fault:
            summary = summary_of(capturing.output)
            fault = difference(summary, truth)
        details = {
            "workload": self.capture.name,
            "copies": self.capture.copies,
            "frames": capturing.sent["sent"],
            "rate": round(capturing.sent["sent"] / capturing.sent["ns"] * 1e9),
            "received": summary["frames"],
            "dropped": sum(summary["dropped"].values()),
            "cpu_seconds": round(capturing.cpu_ns / 1e9, 4),
        }
        return Sample(subject, capturing.cpu_ns / max(summary["frames"], 1), "CPU ns/frame", fault, details)

    def verdict(self, samples: Sequence[Sample]) -> list[str]:
        """Return the share of a core that each rate took."""
        found = medians(samples)
        rates = {sample.subject: sample.details["rate"] for sample in samples}
        return [f"{name}: {value * rates[name] / 1e9:.0%} of a core, nothing lost" for name, value in found.items()]


def replayed(plan: Plan, capture: Multiplied, rate: int) -> dict[str, Any]:
    """Return the summary of a replay of the capture's frames, one every 1/rate seconds."""
    paced = plan.scratch / "paced.pcap"
    write_paced(capture.path, paced, rate)
    done = run(plan, [plan.fastmon, "replay", paced, "-i", "0", "--format", "jsonl"])
    paced.unlink()
    if done.failure():
        raise UnavailableError(f"the replay of {capture.name} failed: {done.failure()}")
    return summary_of(done.output)


def write_paced(source: Path, target: Path, rate: int) -> None:
    """Write a capture's frames as they are sent: no longer than they were captured, and with even times."""
    with reading(source) as (header, frames), target.open("wb", buffering=1 << 22) as file:
        file.write(FileHeader("<", MICRO, header.snaplen, header.link_type).pack())
        for n, frame in enumerate(frames):
            seconds, rest = divmod(n, rate)
            fraction = rest * 1_000_000 // rate
            file.write(frame._replace(seconds=START_S + seconds, fraction=fraction, wire_len=len(frame.data)).record_header())
            file.write(frame.data)


def summary_of(output: Path) -> dict[str, Any]:
    """Return the summary, and of its hosts what a replay must say, too."""
    summary, hosts = read_summary(output, lambda host: {key: host[key] for key in (*COUNTS, *SHOWN) if key in host})
    return {**summary, "hosts": hosts}


def difference(summary: dict[str, Any], truth: dict[str, Any]) -> str:
    """Return what differs from the replay, or was lost; empty if nothing."""
    lost = {name: count for name, count in summary["dropped"].items() if count}
    passed_by = summary["conversations"]["unclassified_for_budget"]
    if lost or passed_by:
        return f"frames lost: {lost or 0}; payloads passed by: {passed_by}"
    for name in ("frames", "bytes", "apps"):
        if summary[name] != truth[name]:
            return f"{name}: {summary[name]}, in a replay {truth[name]}"
    for host, expected in truth["hosts"].items():
        if summary["hosts"].get(host) != expected:
            return f"{host}: {summary['hosts'].get(host)}, in a replay {expected}"
    return "" if len(summary["hosts"]) == len(truth["hosts"]) else "hosts that a replay does not have"
