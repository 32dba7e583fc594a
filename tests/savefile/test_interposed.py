"""Capture files that another program changes in the middle of a read, and system calls that are slow: interposed.c."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import builders as b
import pytest

from fastmon.model.frames import Frame

from .reading import T0

SCRIPT = """
import json, os, sys
from fastmon.native.readers import SavefileReader
from fastmon.accounting import make_accountant
from fastmon.errors import CaptureError

reader = SavefileReader(os.open(sys.argv[1], os.O_RDONLY), "x", method=sys.argv[2] or None)
error = ""
try:
    reader.open()
    target = make_accountant()
    while not reader.exhausted:
        target.drain(reader, 1 << 16)
except CaptureError as caught:
    error = str(caught)
print(json.dumps({"n_records": reader.n_records, "n_mapped": reader.n_mapped, "error": error}))
"""
FRAME = b.ethernet(b.IPV4, b.ipv4("10.0.0.1", "192.0.2.1", b"\x55" * 466))
RECORD_BYTES = 16 + len(FRAME)
N_RECORDS = 80_000


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("interposed") / "interposed.so"
    compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
    source = Path(__file__).with_name("interposed.c")
    subprocess.run([*compiler, "-O1", "-shared", "-fPIC", "-o", str(path), str(source), "-ldl"], check=True)
    return path


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    one = b.pcap_file([Frame(T0, len(FRAME), 1, FRAME)])
    (tmp_path / "x.pcap").write_bytes(one[:24] + one[24:] * N_RECORDS)
    (tmp_path / "more").write_bytes(one[24:] * 8000)
    return tmp_path / "x.pcap"


def replay(library: Path, capture: Path, method: str, **variables: object) -> dict[str, Any]:
    preload = ":".join(filter(None, [os.environ.get("LD_PRELOAD"), str(library)]))
    environment = os.environ | {"LD_PRELOAD": preload, "TARGET": str(capture.resolve())}
    environment |= {name: str(value) for name, value in variables.items()}
    command = [sys.executable, "-c", SCRIPT, str(capture), method]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_faster_way_is_taken(library: Path, capture: Path) -> None:
    read = replay(library, capture, "", SLOW_MMAP_US=50_000)
    mapped = replay(library, capture, "", SLOW_READ_US=50_000)
    assert read["error"] == mapped["error"] == ""
    assert read["n_records"] == mapped["n_records"] == N_RECORDS
    assert 0 < read["n_mapped"] < N_RECORDS / 2 < mapped["n_mapped"] < N_RECORDS


def test_cut_in_the_middle_of_a_read(library: Path, capture: Path) -> None:
    cut = 24 + 3000 * RECORD_BYTES + 100
    result = replay(library, capture, "reading", CUT_AFTER=2, CUT_BYTES=cut, DONOR=os.devnull)
    assert result["n_records"] == 3000
    assert "the file was cut while it was read" in result["error"]


def test_cut_in_the_middle_of_a_read_and_grown_before_the_next(library: Path, capture: Path) -> None:
    cut = 24 + 3000 * RECORD_BYTES
    result = replay(library, capture, "reading", CUT_AFTER=2, CUT_BYTES=cut, DONOR=capture.with_name("more"))
    assert result == {
        "n_records": 3000 + 8000,
        "n_mapped": 0,
        "error": "x: the file was cut while it was read, after 11000 records",
    }
