"""Disks that are small or read-only, for the faults of a state."""

from __future__ import annotations

import os
import resource
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from needs import cannot_run

if TYPE_CHECKING:
    from collections.abc import Iterator

DISK_KIB = 2048


@contextmanager
def small_disk(path: Path) -> Iterator[Path]:
    """A file system of its own in memory."""
    if os.geteuid() != 0:
        cannot_run("a file system is mounted, which needs root")
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_KIB}k,mode=700", "fastmon-test", str(path)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        cannot_run("a file system is mounted, which is not allowed here")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def remount(path: Path, option: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{option}", str(path)], check=True)


def fill(path: Path) -> Path:
    """Take all the room that a file system has left; return the file that has it."""
    filler = path / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return filler


@contextmanager
def files_no_longer_than(n_bytes: int) -> Iterator[None]:
    """For this process, files cannot grow beyond a size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
