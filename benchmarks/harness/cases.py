"""The cases by name, and the command-line options that `run.py` and `compare.py` share."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from .case import Plan
from .inputs import Capture
from .layers import Layers
from .live import Live
from .live_apps import LiveApps
from .memory import Memory
from .replay import Replay
from .spoofed import Spoofed
from .startup import Startup
from .workers import Workers

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from .case import Case

__all__ = ["CASES", "add_options", "prepared"]

CACHE = Path(__file__).resolve().parents[1] / ".cache"
SNAPLEN_96 = ("--snaplen", "96")

CASES: dict[str, Case] = {
    "replay-snap96": Replay(
        Capture("mix", 60_000_000, SNAPLEN_96),
        quick_capture=Capture("mix", 100_000, SNAPLEN_96),
        small=Capture("mix", 300_000, SNAPLEN_96),
    ),
    "replay-full": Replay(Capture("mix", 30_000_000), quick_capture=Capture("mix", 100_000)),
    "replay-apps": Layers(
        Capture("mix", 60_000_000, SNAPLEN_96), quick_capture=Capture("mix", 100_000, SNAPLEN_96), least_mpps=15
    ),
    "flood-conversations": Layers(
        Capture("flood-conversations", 20_000_000, SNAPLEN_96),
        quick_capture=Capture("flood-conversations", 100_000, SNAPLEN_96),
        least_mpps=3,
    ),
    "flood-payloads": Layers(
        Capture("flood-conversations", 20_000_000, (*SNAPLEN_96, "--random-payload")),
        quick_capture=Capture("flood-conversations", 100_000, (*SNAPLEN_96, "--random-payload")),
        least_mpps=3,
    ),
    "workers": Workers(
        tuple(Capture("mix", 30_000_000, SNAPLEN_96, seed) for seed in (0, 1)),
        quick_captures=tuple(Capture("mix", 100_000, SNAPLEN_96, seed) for seed in (0, 1)),
    ),
    "startup": Startup(),
    "memory": Memory(),
    "spoofed": Spoofed(),
    "live": Live(),
    "live-apps": LiveApps(),
}


def positive(text: str) -> int:
    """Return a number above 0."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the case and the options that both programs have."""
    cpus = sorted(os.sched_getaffinity(0))
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--samples", type=positive, help="of each subject (default: the case's own number)")
    parser.add_argument("--quick", action="store_true", help="small inputs and two samples: whether it works, not how fast it is")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder for inputs (default: %(default)s)")
    parser.add_argument("--capture", type=Path, help="real traffic for live-apps (default: the biggest of the capture corpus)")
    parser.add_argument("--cpu", type=int, default=cpus[0], help="core of what is measured (default: %(default)s)")
    parser.add_argument("--other-cpu", type=int, default=cpus[-1], help="core of the sender (default: %(default)s)")


@contextmanager
def prepared(case: Case, arguments: argparse.Namespace, python: Path) -> Iterator[Plan]:
    """Prepare a case with the options of `add_options`, and give the plan to measure it by."""
    arguments.cache.mkdir(parents=True, exist_ok=True)
    cache = arguments.cache.resolve()
    plan = Plan(python, cache, cache, arguments.quick, arguments.cpu, arguments.other_cpu, arguments.capture)
    case.prepare(plan)
    with TemporaryDirectory(dir=cache, prefix="measuring-") as folder:
        yield replace(plan, scratch=Path(folder))
