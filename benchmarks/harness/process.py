"""Runs a program and measures it: time, processor time, memory.

The program is the child of a bare interpreter that does nothing else (`child.py`): the kernel counts a parent's memory into
its child's peak, and this process may have grown.
"""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from .case import Plan

__all__ = ["Run", "run"]

CHILD = Path(__file__).resolve().parent / "child.py"
TIMEOUT_S = 300


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a program; `output` and `errors` are the files that its stdout and stderr went to."""

    wall_ns: int
    user_ns: int
    system_ns: int
    peak_rss_kib: int
    exit_code: int
    output: Path
    errors: Path

    def failure(self) -> str:
        """Return what went wrong, empty if nothing did."""
        if self.exit_code == 0:
            return ""
        return f"exit code {self.exit_code}: {self.errors.read_text(errors='replace').strip()[-200:]}"


def run(plan: Plan, command: Sequence[object], cpus: Collection[int] = (), timeout_s: int = TIMEOUT_S) -> Run:
    """Run a command in the scratch folder, on the plan's core or on the given ones.

    Processor time is that of the command and of the processes that it waited for; memory is that of the largest of them.
    """
    output, errors = plan.scratch / "stdout", plan.scratch / "stderr"
    measure = [sys.executable, "-I", "-S", CHILD, ",".join(map(str, cpus or [plan.cpu])), timeout_s, output, errors, *command]
    done = subprocess.run(
        [*map(str, measure)], capture_output=True, text=True, check=True, timeout=timeout_s + 60, cwd=plan.scratch
    )
    return Run(**json.loads(done.stdout), output=output, errors=errors)
