"""Installs the peers of `programs.py`: Debian packages, and an environment of Python of their own in the cache.

What cannot be installed is told with the reason; nothing here raises for it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from .programs import Program

__all__ = ["environment_python", "install", "version_of", "why_missing"]

SERVICES = {"nfdump": "nfdump", "argus-server": "argus-server", "softflowd": "softflowd"}
"""What some packages would run from now on. Only their programs are wanted."""
MINUTES = 60


def environment_python(cache: Path) -> Path:
    """Return the interpreter of the peers' environment."""
    return cache / "peers" / "venv" / "bin" / "python"


def why_missing(program: Program, cache: Path) -> str:
    """Return why a program cannot run, empty if it can."""
    if program.module:
        python = environment_python(cache)
        if not python.exists():
            return f"no environment of Python has {program.module}"
        done = subprocess.run(
            [python, "-c", f"import {program.module}"], capture_output=True, text=True, check=False, timeout=2 * MINUTES
        )
        return last_line(done.stderr) if done.returncode else ""
    if program.executable and not shutil.which(program.executable):
        return f"{program.executable} is not installed"
    return ""


def install(programs: Sequence[Program], cache: Path) -> dict[str, str]:
    """Install what is missing; return the reason for each program that could not be."""
    missing = [program for program in programs if why_missing(program, cache)]
    reasons: dict[str, str] = {}
    updated = False
    for program in missing:
        if program.module:
            reason = install_module(program.module, cache)
        else:
            if not updated:
                run_as_root(["apt-get", "-qq", "update"])  # one unreachable source fails it; whether it matters shows below
                updated = True
            reason = install_package(program)
        reason = reason or why_missing(program, cache)
        if reason:
            reasons[program.name] = reason
    return reasons


def install_package(program: Program) -> str:
    """Install a program's Debian packages; return what went wrong."""
    print(f"installing {program.package}", file=sys.stderr)
    names = [name for name in (program.package, program.extra) if name]
    arguments = ["-qq", "-y", "-o", "DPkg::Lock::Timeout=120", "install", "--no-install-recommends", *names]
    failure = run_as_root(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", *arguments])
    service = SERVICES.get(program.package)
    if not failure and service and shutil.which("systemctl"):
        run_as_root(["systemctl", "disable", "--now", service])
    return failure and f"Debian package {program.package}: {failure}"


def run_as_root(command: Sequence[str]) -> str:
    """Run a command with root's rights; return what went wrong."""
    prefix = [] if os.geteuid() == 0 else ["sudo", "-n"]
    if not shutil.which("apt-get") or (prefix and not shutil.which("sudo")):
        return "it takes apt-get, as root or with sudo"
    try:
        done = subprocess.run(
            [*prefix, *command], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=15 * MINUTES
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (last_line(done.stderr) or f"exit code {done.returncode}") if done.returncode else ""


def install_module(name: str, cache: Path) -> str:
    """Install a distribution of Python into the peers' environment; return what went wrong."""
    python = environment_python(cache)
    print(f"installing {name} in {python.parents[1]}", file=sys.stderr)
    commands: list[list[object]] = [] if python.exists() else [[sys.executable, "-m", "venv", python.parents[1]]]
    commands.append([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", name])
    for command in commands:
        try:
            done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=15 * MINUTES)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        if done.returncode:
            return f"pip: {last_line(done.stderr)}"
    return ""


def version_of(program: Program, cache: Path) -> str:
    """Return a peer's version, "?" if it is not told."""
    if program.module:
        code = f"from importlib.metadata import version; print(version('{program.module}'))"
        command = [str(environment_python(cache)), "-c", code]
    else:
        command = ["dpkg-query", "-W", "-f", "${Version}", program.package]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=MINUTES)
    except OSError:
        return "?"
    return done.stdout.strip() or "?"


def last_line(text: str) -> str:
    """Return a text's last line, where programs say what went wrong."""
    lines = text.strip().splitlines()
    return lines[-1].strip()[:200] if lines else ""
