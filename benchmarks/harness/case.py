"""What a case is: subjects that do the same work, measured in turn."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass, field
from math import comb
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["Case", "Plan", "Sample", "UnavailableError", "medians", "spread"]


class UnavailableError(Exception):
    """A case or one of its subjects cannot be measured here; the message says why."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to measure.

    python: interpreter of the environment that has fastmon.
    cache: folder of inputs, made when needed.  scratch: folder of outputs, this run's alone; no case needs it to prepare.
    quick: small inputs, to see that everything works; its figures mean nothing.
    cpu, other_cpu: the core of what is measured, and of what must not disturb it.
    capture: what a case with real traffic is measured on; None: the biggest capture of the corpus.
    """

    python: Path
    cache: Path
    scratch: Path
    quick: bool = False
    cpu: int = 0
    other_cpu: int = 1
    capture: Path | None = None

    @property
    def fastmon(self) -> str:
        """The path of the command."""
        return str(self.python.parent / "fastmon")


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement.

    value, unit: the figure that the case is about; less is better.
    fault: why the answer was wrong, which makes the figure worthless; empty if it was right.
    """

    subject: str
    value: float
    unit: str
    fault: str = ""
    details: dict[str, Any] = field(default_factory=dict)

    def as_json(self, common: dict[str, Any]) -> str:
        """Return the sample as one line."""
        figures = {"discarded": self.fault} if self.fault else {"value": round(self.value, 3), "unit": self.unit}
        return json.dumps({**common, "subject": self.subject, **figures, **self.details})


class Case(Protocol):
    """Something to measure."""

    samples: int
    """Of each subject, unless the user wants another number."""

    def subjects(self, plan: Plan) -> list[str]:
        """Return what to measure, in the order of a round; those that run fastmon begin with its name."""
        ...

    def prepare(self, plan: Plan) -> None:
        """Make the inputs, and bring them into the page cache; raise UnavailableError if the case cannot run here."""
        ...

    def sample(self, plan: Plan, subject: str) -> Sample:
        """Measure one subject once."""
        ...

    def verdict(self, samples: Sequence[Sample]) -> list[str]:
        """Return what the right samples say together, in lines for people."""
        ...


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the median and an interval that holds the true one with a confidence of 95 % (all of them, if that needs more).

    The interval is that of order statistics: it assumes nothing about the distribution.
    """
    ordered = sorted(values)
    n, skipped, doubt = len(ordered), 0, 0.0
    for k in range(n // 2):
        doubt += 2 * comb(n, k) / 2**n
        if doubt > 0.05:
            break
        skipped = k
    return statistics.median(ordered), ordered[skipped], ordered[n - 1 - skipped]


def medians(samples: Sequence[Sample]) -> dict[str, float]:
    """Return each subject's median."""
    subjects = dict.fromkeys(sample.subject for sample in samples)
    return {name: statistics.median(sample.value for sample in samples if sample.subject == name) for name in subjects}
