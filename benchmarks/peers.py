#!/usr/bin/env python3
"""Measures fastmon beside its peers: peers.py [CAPTURE...].

Without captures, they are a synthetic mix and the big ones of the capture corpus. Each is multiplied with other addresses to at
least two million frames. Programs that are missing are installed. Written are RESULTS.md and RESULTS.svg beside this program, and
README's table; with --quick or --output, only those two, elsewhere. The exit code is 1 if one of fastmon's answers was wrong.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from subprocess import SubprocessError
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from harness.case import Plan, UnavailableError
from harness.cases import CACHE, positive
from harness.contest import Contest
from harness.environment import describe
from harness.inputs import CORPUS, Capture, corpus_captures
from harness.multiply import multiply
from harness.peer_install import environment_python, install, version_of, why_missing
from harness.plot import draw
from harness.programs import ALL, PART, PARTS, SMALL_PART, Setting
from harness.results import Report, with_readme_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from harness.programs import Program

ROOT = Path(__file__).resolve().parents[1]
LEAST_FRAMES, QUICK_FRAMES = 2_000_000, 20_000
QUICK_PARTS = {PART: 5_000, SMALL_PART: 500}


def options() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("capture", nargs="*", type=Path, help="files to measure on (default: a mix, and those of the corpus)")
    parser.add_argument("--samples", type=positive, help="of each program (default: 5)")
    parser.add_argument("--quick", action="store_true", help="few frames, one sample: whether it works, not how fast it is")
    parser.add_argument("--only", action="append", metavar="NAME", help="measure programs whose name begins so; repeatable")
    parser.add_argument("--frames", type=positive, help=f"multiply captures to as many at least (default: {LEAST_FRAMES})")
    parser.add_argument("--no-install", action="store_true", help="leave out what is not installed")
    parser.add_argument("--output", type=Path, help="folder for RESULTS.md and RESULTS.svg (default: here)")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder for inputs (default: %(default)s)")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="of the environment that has fastmon")
    return parser.parse_args()


@contextmanager
def planned(arguments: argparse.Namespace) -> Iterator[Plan]:
    """Give the plan to measure by."""
    arguments.cache.mkdir(parents=True, exist_ok=True)
    cache = arguments.cache.resolve()
    with TemporaryDirectory(dir=cache, prefix="measuring-") as folder:
        yield Plan(arguments.python, cache, Path(folder), arguments.quick)


def contests(plan: Plan, arguments: argparse.Namespace) -> Iterator[Contest]:
    """Yield each capture, multiplied and ready to be measured on."""
    least = arguments.frames or (QUICK_FRAMES if plan.quick else LEAST_FRAMES)
    python, cpus = environment_python(plan.cache), os.sched_getaffinity(0)
    captures, truths = list(arguments.capture), {}
    if not captures:
        mix = Capture("mix", least)
        real = corpus_captures()
        if not real:
            print(
                f"no capture corpus in {CORPUS} (FASTMON_CORPUS names another folder): only the mix is measured", file=sys.stderr
            )
        captures = [mix.make(plan.cache), *(real[-1:] if plan.quick else real)]
        truths[captures[0]] = mix.truth(plan.cache)["hosts_sha256"]
    for path in captures:
        try:
            multiplied = multiply(path, plan.cache, least, QUICK_PARTS if plan.quick else PARTS)
        except (EOFError, OSError, SubprocessError, UnavailableError) as reason:
            print(f"skipped: {path}: {reason}", file=sys.stderr)
            continue
        yield Contest(plan, multiplied, python, cpus, truths.get(path, "") if multiplied.copies == 1 else "")


def command_of(program: Program) -> str:
    """Return a program's command as a person would type it."""
    files = [Path("HALF-1.pcap"), Path("HALF-2.pcap")] if program.reads_halves else [Path("CAPTURE.pcap")]
    words = program.command(Setting("fastmon", Path("python"), files, Path("OUTPUT")))
    return " ".join(word.name if isinstance(word, Path) and word.is_absolute() else str(word) for word in words)


def write(report: Report, folder: Path, *, with_readme: bool) -> None:
    """Write the page and the plot, and README's table."""
    page = report.page()
    note = f"{report.common['cpu']}, {report.date}, commit {report.common['commit']}; medians of {report.n_samples} runs."
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "RESULTS.md").write_text(page)
    (folder / "RESULTS.svg").write_text(draw(report.contests, report.programs, note))
    if with_readme:
        readme = ROOT / "README.md"
        readme.write_text(with_readme_table(readme.read_text(), page))
    print(f"written: {folder / 'RESULTS.md'}", file=sys.stderr)


def chosen(arguments: argparse.Namespace) -> list[Program]:
    """Return the programs to measure."""
    return [program for program in ALL if not arguments.only or program.name.startswith(tuple(arguments.only))]


def measured(plan: Plan, arguments: argparse.Namespace, programs: Sequence[Program], n_samples: int) -> list[Contest]:
    """Measure on all captures; the samples also go into the cache, a line for each capture."""
    common, done = describe(plan), []
    for contest in contests(plan, arguments):
        capture = contest.capture
        print(f"{capture.name}: {capture.frames} frames in {capture.copies} copies", file=sys.stderr)
        contest.measure(programs, n_samples)
        if contest.figures:
            done.append(contest)
        with (plan.cache / "peers.jsonl").open("a") as file:
            file.write(contest.as_json({"quick": plan.quick, **common}) + "\n")
    return done


def main() -> int:
    """Run the command line."""
    arguments = options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # on the way out, what was started and made is cleaned up
    n_samples = arguments.samples or (1 if arguments.quick else 5)
    with planned(arguments) as plan:
        programs, wanted = chosen(arguments), [program for program in chosen(arguments) if not program.is_fastmon]
        missing = {} if arguments.no_install else install(wanted, plan.cache)
        missing |= {program.name: reason for program in wanted if (reason := why_missing(program, plan.cache))}
        for name, reason in missing.items():
            print(f"left out: {name}: {reason}", file=sys.stderr)
        common = describe(plan)
        programs = [program for program in programs if program.name not in missing]
        done = measured(plan, arguments, programs, n_samples)
        if not done:
            print("nothing was measured", file=sys.stderr)
            return 1
        ours = common["commit"] or common["fastmon"]
        versions = {p.name: ours if p.is_fastmon else version_of(p, plan.cache) for p in programs}
        commands = {program.name: command_of(program) for program in programs}
        report = Report(done, programs, common, versions, commands, missing, n_samples, time.strftime("%Y-%m-%d", time.gmtime()))
        elsewhere = arguments.output or (plan.cache if plan.quick else None)
        write(report, elsewhere or Path(__file__).resolve().parent, with_readme=elsewhere is None)
    wrong = {name for contest in done for name in contest.left_out if name.startswith("fastmon")}
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
