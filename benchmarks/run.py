#!/usr/bin/env python3
"""Measures one case: run.py CASE [--json].

Subjects are measured in turn, so that a change of the machine's speed meets them all. People's lines go to stderr; with --json,
stdout gets one line for each sample. A sample whose answer was wrong is discarded, and the exit code is then 1; 3 says that the
case cannot run here.
"""

from __future__ import annotations

import argparse
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.case import Sample, UnavailableError, spread
from harness.cases import CASES, add_options, prepared
from harness.environment import describe

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.case import Case, Plan


def measure(case: Case, plan: Plan, n_samples: int) -> Iterator[Sample]:
    """Yield samples, round by round; a round before the first is not counted."""
    for subject in case.subjects(plan):
        case.sample(plan, subject)
    for _ in range(n_samples):
        for subject in case.subjects(plan):
            yield case.sample(plan, subject)


def tell(case: Case, samples: Sequence[Sample]) -> None:
    """Print each subject's median and interval, and what the case makes of them."""
    right = [sample for sample in samples if not sample.fault]
    for subject in dict.fromkeys(sample.subject for sample in right):
        values = [sample.value for sample in right if sample.subject == subject]
        middle, low, high = spread(values)
        unit = next(sample.unit for sample in right if sample.subject == subject)
        print(f"  {subject:28} {middle:12.3f} {unit} [{low:.3f}, {high:.3f}], {len(values)} samples", file=sys.stderr)
    for line in case.verdict(right) if right else []:
        print(f"  {line}", file=sys.stderr)


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    parser.add_argument("--json", action="store_true", help="one line for each sample on stdout")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="of the environment that has fastmon")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # on the way out, what was started and made is cleaned up
    case, samples = CASES[arguments.case], []
    try:
        with prepared(case, arguments, arguments.python) as plan:
            common: dict[str, Any] = {"case": arguments.case, "quick": arguments.quick, **describe(plan)}
            print("{case}: {cpu}, commit {commit}, load {load}".format(**common), file=sys.stderr)
            for sample in measure(case, plan, arguments.samples or (2 if arguments.quick else case.samples)):
                samples.append(sample)
                if sample.fault:
                    print(f"  discarded: {sample.subject}: {sample.fault}", file=sys.stderr)
                if arguments.json:
                    print(sample.as_json(common), flush=True)
    except UnavailableError as reason:
        print(f"{arguments.case}: skipped: {reason}", file=sys.stderr)
        return 3
    tell(case, samples)
    return int(any(sample.fault for sample in samples))


if __name__ == "__main__":
    sys.exit(main())
