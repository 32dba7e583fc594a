"""Inputs: captures that the generator makes once into the cache, and small programs compiled there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .case import UnavailableError

__all__ = ["Capture", "compiled", "cool", "corpus_captures", "warm", "write_empty"]

ROOT = Path(__file__).resolve().parents[2]
CORPUS = Path(os.environ.get("FASTMON_CORPUS") or ROOT.parent / "shared" / "corpus")
LEAST_SIZE = 4_000_000
"""Smaller captures of the corpus would be multiplied too often."""
GENERATOR = ROOT / "pcaps" / "generate.py"
SOURCES = Path(__file__).resolve().parent / "native"
MINUTES = 60
READ_BYTES = 1 << 22


@dataclass(frozen=True, slots=True)
class Capture:
    """A large capture: the arguments with which it is made, which also name it."""

    kind: str
    frames: int
    options: tuple[str, ...] = ()
    seed: int = 0

    @property
    def name(self) -> str:
        """What the workload is called in results."""
        return "".join([self.kind, f"-{self.frames}", *self.options])

    def path(self, cache: Path) -> Path:
        """Return where the capture is, or will be."""
        return cache / f"{self.name}-seed{self.seed}.pcap"

    def make(self, cache: Path) -> Path:
        """Make the capture unless it is there; return its path. It is complete whenever it is there."""
        path = self.path(cache)
        if not (path.exists() and totals_of(path).exists()):
            print(f"making {path.name}", file=sys.stderr)
            with TemporaryDirectory(dir=cache, prefix="making-") as folder:
                made = Path(folder) / path.name
                arguments = [self.kind, made, "--frames", self.frames, "--seed", self.seed, *self.options]
                subprocess.run([sys.executable, GENERATOR, *map(str, arguments)], check=True, timeout=20 * MINUTES)
                made.rename(path)
                totals_of(made).rename(totals_of(path))
        return path

    def truth(self, cache: Path) -> dict[str, Any]:
        """Return the capture's totals."""
        truth: dict[str, Any] = json.loads(totals_of(self.path(cache)).read_text())
        return truth


def corpus_captures() -> list[Path]:
    """Return the big captures of the corpus, the biggest first; none if there is no corpus."""
    found = [path for path in (CORPUS / "large").glob("*.pcap") if path.stat().st_size >= LEAST_SIZE]
    return sorted(found, key=lambda path: -path.stat().st_size)


def totals_of(path: Path) -> Path:
    """Return where the generator writes a capture's totals, after the capture."""
    return path.with_name(path.name + ".json")


def write_empty(path: Path) -> None:
    """Write a pcap file without frames."""
    path.write_bytes(bytes.fromhex("d4c3b2a1 0200 0400 00000000 00000000 00000400 01000000"))


def cool(path: Path) -> None:
    """Drop a file from the page cache, which then holds it as reading leaves it: in larger pages than writing does."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def warm(path: Path) -> None:
    """Read a file, so that it is in the page cache."""
    buffer = bytearray(READ_BYTES)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def compiled(source: str, cache: Path) -> Path:
    """Compile one of the C programs beside this module unless that was done; return the program's path."""
    program, code = cache / Path(source).stem, SOURCES / source
    if not program.exists() or program.stat().st_mtime < code.stat().st_mtime:
        compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            raise UnavailableError(f"no C compiler for {source}")
        with TemporaryDirectory(dir=cache, prefix="compiling-") as folder:
            made = Path(folder) / program.name
            subprocess.run([compiler, "-O2", "-Wall", "-o", made, code], check=True, timeout=2 * MINUTES)
            made.rename(program)
    return program
