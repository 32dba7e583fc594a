"""Measures programs in turn on one capture: processor time, time that passes, memory; and whether they really read the frames."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .answers import read_fastmon
from .inputs import warm
from .process import run
from .programs import FASTMON, Setting

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from pathlib import Path

    from .case import Plan
    from .multiply import Multiplied
    from .process import Run
    from .programs import Program

__all__ = ["Contest", "Figures"]

TIMEOUT_S = 900
LEAST_SHARE, MOST_SHARE = 0.25, 1.05
"""Of the IP frames, and of all: what a program may say that it has read. Some leave frames out, some count datagrams, too."""


@dataclass(slots=True)
class Figures:
    """What was measured of one program.

    frames: how many it was given.  counted: how many it says it read.  cpu_ns, wall_ns: of each run, for a frame.
    """

    frames: int
    counted: int | None = None
    cpu_ns: list[float] = field(default_factory=list)
    wall_ns: list[float] = field(default_factory=list)
    peak_mib: list[float] = field(default_factory=list)

    @property
    def cpu(self) -> float:
        """The median of processor time, in ns for a frame."""
        return statistics.median(self.cpu_ns)


@dataclass(slots=True)
class Contest:
    """Programs on one capture.

    hosts_sha256: the checksum of all hosts that fastmon must find; empty: what its first run finds.
    ip_share: of the frames, as fastmon says.  unclassified: payloads that it skipped.
    figures: by program.  left_out: why a program is not among them.
    """

    plan: Plan
    capture: Multiplied
    python: Path
    cpus: Collection[int]
    hosts_sha256: str = ""
    ip_share: float = 0.0
    unclassified: int | None = None
    figures: dict[str, Figures] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def measure(self, programs: Sequence[Program], n_samples: int) -> None:
        """Run all programs in turn, `n_samples` times; a round before the first is not counted, but shows who can run."""
        running = []
        for program in programs:
            self.figures[program.name] = Figures(self.frames_of(program))
            reason = self.sample(program, is_first=True)
            if reason:
                self.leave_out(program, reason)
            else:
                running.append(program)
        for n in range(n_samples):
            print(f"  {self.capture.name}: round {n + 1} of {n_samples}", file=sys.stderr)
            for program in list(running):
                reason = self.sample(program)
                if reason:
                    self.leave_out(program, reason)
                    running.remove(program)

    def leave_out(self, program: Program, reason: str) -> None:
        """Note why a program has no figures."""
        print(f"  left out: {program.name}: {reason}", file=sys.stderr)
        self.left_out[program.name] = " ".join(reason.split())
        del self.figures[program.name]

    def frames_of(self, program: Program) -> int:
        """Return the number of frames that a program is given."""
        return self.capture.part_frames[program.part] if program.part else self.capture.frames

    def files_of(self, program: Program) -> Sequence[Path]:
        """Return what a program reads."""
        if program.part:
            return [self.capture.parts[program.part]]
        return self.capture.halves if program.reads_halves else [self.capture.path]

    def sample(self, program: Program, *, is_first: bool = False) -> str:
        """Run a program once; return what is wrong. Its files are read before, so that they are in the page cache."""
        work = self.plan.scratch / "work"
        work.mkdir()
        try:
            setting = Setting(self.plan.fastmon, self.python, self.files_of(program), work)
            for path in setting.files:
                warm(path)
            command = list(map(str, program.command(setting)))
            if not shutil.which(command[0]):
                return f"{command[0]} is not there"
            done = run(self.plan, command, self.cpus, TIMEOUT_S)
            if done.wall_ns >= TIMEOUT_S * 1e9:
                return f"it took longer than {TIMEOUT_S} s"
            fault = done.failure() or (self.fault_of_fastmon(program, done) if program.is_fastmon else "")
            if not fault and not program.is_fastmon and (is_first or program.check is None):
                fault = self.fault_of_peer(program, done, setting)
        except (OSError, LookupError, ValueError, subprocess.SubprocessError) as error:
            return f"{type(error).__name__}: {error}"
        finally:
            shutil.rmtree(work)
        if not fault and not is_first:
            found = self.figures[program.name]
            found.cpu_ns.append((done.user_ns + done.system_ns) / found.frames)
            found.wall_ns.append(done.wall_ns / found.frames)
            found.peak_mib.append(done.peak_rss_kib / 1024)
        return fault

    def fault_of_fastmon(self, program: Program, done: Run) -> str:
        """Return how fastmon's answer is wrong: in all its ways it finds the same hosts, and it skips no payload."""
        answer = read_fastmon(done.output)
        truth = {"frames": self.capture.frames, "bytes": self.capture.wire_bytes}
        for name, value in truth.items():
            if answer.summary[name] != value:
                return f"{answer.summary[name]} {name}, truly {value}"
        self.hosts_sha256 = self.hosts_sha256 or answer.hosts_sha256
        if answer.hosts_sha256 != self.hosts_sha256:
            return "hosts' totals are not those of the other ways to run it"
        self.figures[program.name].counted = answer.summary["frames"]
        self.ip_share = answer.summary["ip"]["frames"] / answer.summary["frames"]
        if program.name.startswith(FASTMON):
            self.unclassified = answer.summary["conversations"]["unclassified_for_budget"]
            if self.unclassified:
                return f"{self.unclassified} payloads were skipped"
        return ""

    def fault_of_peer(self, program: Program, done: Run, setting: Setting) -> str:
        """Return how a peer's count of frames is wrong."""
        text = done.output.read_text(errors="replace") + "\n" + done.errors.read_text(errors="replace")
        if program.check is not None:
            command = list(map(str, program.check(setting)))
            if not shutil.which(command[0]):
                return ""
            checked = subprocess.run(
                command, capture_output=True, text=True, errors="replace", check=False, timeout=TIMEOUT_S, cwd=setting.work
            )
            text = checked.stdout
        counted, frames = program.count(text), self.frames_of(program)
        self.figures[program.name].counted = counted
        if counted is None:
            return "it does not say how many frames it read"
        is_likely = LEAST_SHARE * self.ip_share * frames <= counted <= MOST_SHARE * frames
        return "" if is_likely else f"it says that it read {counted} of {frames} frames"

    def as_json(self, common: dict[str, Any]) -> str:
        """Return all samples as one line."""
        samples = {name: {"cpu_ns": f.cpu_ns, "wall_ns": f.wall_ns, "peak_mib": f.peak_mib} for name, f in self.figures.items()}
        return json.dumps({**common, "capture": self.capture.name, "copies": self.capture.copies, "samples": samples})
