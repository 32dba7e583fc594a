"""Startup: how long a person waits before anything happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .case import Case, Plan, Sample
from .process import run

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Startup"]

HELP, IMPORT, FLOOR = "fastmon --help", "fastmon imported", "python alone"


@dataclass(slots=True)
class Startup(Case):
    """Seconds until `fastmon --help` has answered and until `import fastmon` is done, in a process of its own each."""

    samples: int = 15

    def subjects(self, plan: Plan) -> list[str]:
        """Return what is started."""
        del plan
        return [HELP, IMPORT, FLOOR]

    def prepare(self, plan: Plan) -> None:
        """Do nothing: there are no inputs."""
        del plan

    def sample(self, plan: Plan, subject: str) -> Sample:
        """Start one of them."""
        commands: dict[str, list[object]] = {
            HELP: [plan.fastmon, "--help"],
            IMPORT: [plan.python, "-c", "import fastmon"],
            FLOOR: [plan.python, "-c", ""],
        }
        done = run(plan, commands[subject])
        fault = done.failure()
        if subject == HELP and "replay" not in done.output.read_text():
            fault = fault or "no command 'replay' in the help"
        return Sample(subject, done.wall_ns / 1e9, "s", fault, {"peak_rss_kib": done.peak_rss_kib})

    def verdict(self, samples: Sequence[Sample]) -> list[str]:
        """Return nothing: the medians say it all."""
        del samples
        return []
