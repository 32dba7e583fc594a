#!/usr/bin/env python3
"""Compares two builds of fastmon: compare.py CASE PYTHON_A PYTHON_B.

Each PYTHON is the interpreter of an environment that has one of the builds. They are measured in turn, A, B, A, B, and each
pair gives a ratio. Printed are the median of B's figure over A's, and an interval that holds the true median with a confidence
of 95 %: below 1, B is faster (or smaller); if 1 lies within, nothing was shown.
"""

from __future__ import annotations

import argparse
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.case import UnavailableError, spread
from harness.cases import CASES, add_options, prepared
from harness.environment import describe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.case import Case, Plan


def ratios(case: Case, plans: Sequence[Plan], subject: str, n_pairs: int) -> list[float]:
    """Return B's figure over A's, pair by pair; the first pair only warms up."""
    found = []
    for n in range(n_pairs + 1):
        samples = [case.sample(plan, subject) for plan in plans]
        for name, sample in zip("AB", samples, strict=True):
            if sample.fault:
                print(f"  discarded: {name}: {sample.fault}", file=sys.stderr)
        if n and not any(sample.fault for sample in samples):
            found.append(samples[1].value / samples[0].value)
    return found


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("python", type=Path, nargs=2, help="the interpreter of A, and of B")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # on the way out, what was started and made is cleaned up
    case = CASES[arguments.case]
    try:
        with prepared(case, arguments, arguments.python[0]) as first:
            plans = (first, replace(first, python=arguments.python[1]))
            for name, plan in zip("AB", plans, strict=True):
                print(f"{name}: {plan.python}, {describe(plan)}")
            for subject in (subject for subject in case.subjects(first) if subject.startswith("fastmon")):
                found = ratios(case, plans, subject, arguments.samples or (2 if arguments.quick else max(case.samples, 7)))
                if not found:
                    print(f"{subject}: no pair of right answers")
                    return 1
                middle, low, high = spread(found)
                print(f"{subject}: B/A {middle:.4f} [{low:.4f}, {high:.4f}], {len(found)} pairs")
    except UnavailableError as reason:
        print(f"{arguments.case}: skipped: {reason}", file=sys.stderr)
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
