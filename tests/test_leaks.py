"""What the native engine allocates it frees: LeakSanitizer's word. Only `scripts/test --sanitize` has these tests."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from fastmon import _accounting

__test__ = _accounting.DEBUG

CAPTURES = sorted(path for path in (Path(__file__).parents[1] / "pcaps").rglob("*.pcap*") if path.suffix != ".json")
USE = """
import sys
import fastmon

for path in sys.argv[1:]:
    for filter in (None, "ip or ip6", "no such filter"):
        try:
            for snapshot in fastmon.watch(path, interval="1s", limit="1kB", local=("10.0.0.0/8",), filter=filter):
                snapshot.to_dict()
        except fastmon.FastmonError as error:
            print(error)
"""


def leaks(report: str, *paths: str) -> list[str]:
    """Return the leaks that a library in one of `paths` allocated itself; those of CPython and numpy are not ours."""
    blocks = re.findall(r"^(?:Direct|Indirect) leak of .*?(?=^\s*$)", report, re.MULTILINE | re.DOTALL)
    return [block for block in blocks if re.search(rf"^\s*#1 .*({'|'.join(paths)})", block, re.MULTILINE)]


def test_no_leak_of_a_run_or_of_a_failed_one() -> None:
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1:exitcode=0"}
    command = [sys.executable, "-c", USE, *map(str, CAPTURES)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "filter" in run.stdout
    assert "LeakSanitizer: detected memory leaks" in run.stderr
    assert leaks(run.stderr, "/fastmon/", "libpcap") == []


def test_leaks_are_found() -> None:
    """A report like that of a leak in one of the extensions."""
    report = """
Direct leak of 64 byte(s) in 1 object(s) allocated from:
    #0 0x7f in malloc (/usr/lib/libasan.so.8+0xb)
    #1 0x7e in filter_new (/site/fastmon/native/readers.cpython-311-x86_64-linux-gnu.so+0x1)

Direct leak of 64 byte(s) in 1 object(s) allocated from:
    #0 0x7f in malloc (/usr/lib/libasan.so.8+0xb)
    #1 0x7e in PyObject_Malloc (/usr/bin/python3.11+0x1)

"""
    assert len(leaks(report, "/fastmon/")) == 1
