"""What a figure depends on besides the code: the commit, the machine, the versions."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .case import Plan

__all__ = ["describe"]

GOVERNOR = "/sys/devices/system/cpu/cpu{}/cpufreq/scaling_governor"

ASK_PYTHON = """
import ctypes, ctypes.util, json, platform
from importlib import metadata, util
def version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
library = ctypes.util.find_library("pcap")
text = None
if library:
    of_libpcap = ctypes.CDLL(library).pcap_lib_version
    of_libpcap.restype = ctypes.c_char_p
    text = of_libpcap().decode()
print(json.dumps({"python": platform.python_version(), "cython": version("Cython"), "libpcap": text,
                  "fastmon": version("fastmon"), "origin": util.find_spec("fastmon").origin}))
"""


def describe(plan: Plan) -> dict[str, Any]:
    """Return the commit, whether the checkout was changed, the processor, its governor, and the versions."""
    answer = subprocess.run(
        [plan.python, "-c", ASK_PYTHON], capture_output=True, text=True, check=True, timeout=60, cwd=plan.scratch
    )
    versions: dict[str, Any] = json.loads(answer.stdout)
    checkout = Path(versions.pop("origin")).parent
    status = git(checkout, "status", "--porcelain", "--untracked-files=no")
    return {
        "commit": git(checkout, "rev-parse", "--short=12", "HEAD"),
        "dirty": None if status is None else bool(status),
        "cpu": processor(),
        "cpus": os.cpu_count(),
        "governor": governor(plan.cpu),
        "load": round(os.getloadavg()[0], 2),
        **versions,
    }


def git(checkout: Path, *arguments: str) -> str | None:
    """Return what git says, None if the folder is in no checkout."""
    done = subprocess.run(["git", "-C", checkout, *arguments], capture_output=True, text=True, check=False, timeout=60)
    return None if done.returncode else done.stdout.strip()


def processor() -> str:
    """Return the processor's name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), os.uname().machine)


def governor(cpu: int) -> str | None:
    """Return the frequency governor, None where the machine has none (most virtual ones)."""
    path = Path(GOVERNOR.format(cpu))
    return path.read_text().strip() if path.exists() else None
