"""What the engine takes of memory: a bounded part for each host, nothing that stays, and no more than there is."""

from __future__ import annotations

import gc
import subprocess
import sys
import tracemalloc
from pathlib import Path

import pytest
from replays import EVER, drain

from fastmon import _accounting
from fastmon.accounting import make_accountant
from fastmon.capture import open_offline
from fastmon.errors import CaptureError

from .pairs import pairs, write

MIB = 1 << 20
BYTES_PER_HOST = 100
N_HOSTS = 1_000_000

ordinary_build = pytest.mark.skipif(
    _accounting.DEBUG, reason="AddressSanitizer keeps freed memory; tests/test_leaks.py looks for leaks instead"
)


def status(field: str) -> int:
    """Return a size from /proc/self/status in bytes."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


def use(path: Path) -> None:
    """Do with the engine what it can do."""
    shard, target = make_accountant(limit_bytes=1000, local_networks=["0.0.0.0/1"]), make_accountant(max_hosts=1000)
    with open_offline(str(path), filter="ip") as source:
        shard.drain(source, 1000)
        shard.take_limit_crossings()
        target.merge(shard)
        target.rotate(EVER)
        drain(target, source)
    target.finish(EVER, EVER)


def use_in_vain(path: Path) -> None:
    with pytest.raises(CaptureError), open_offline(str(path)) as source:
        drain(make_accountant(), source)


@ordinary_build
def test_nothing_stays_of_what_was_used(tmp_path: Path) -> None:
    records = pairs(5000, 6000)
    capture, damaged, text = write(tmp_path / "x.pcap", records), tmp_path / "damaged.pcap", tmp_path / "text"
    damaged.write_bytes(capture.read_bytes()[:-1])
    text.write_text("no capture\n")

    def cycle() -> None:
        use(capture)
        use_in_vain(damaged)
        use_in_vain(text)

    for _ in range(5):
        cycle()
    gc.collect()
    tracemalloc.start()
    cycle()
    gc.collect()
    objects_before, mapped_before, resident_before = tracemalloc.get_traced_memory()[0], status("VmSize"), status("VmRSS")
    for _ in range(50):
        cycle()
    gc.collect()
    assert tracemalloc.get_traced_memory()[0] - objects_before < MIB / 4
    tracemalloc.stop()
    assert status("VmSize") - mapped_before < 8 * MIB  # a table that stayed would be 97 MiB of address space, a reader 1 MiB
    assert status("VmRSS") - resident_before < 8 * MIB


ACCOUNT_FILE = """
import resource, sys
from pathlib import Path
from fastmon.accounting import make_accountant
from fastmon.capture import open_offline
from fastmon.model.snapshot import Interval

EVER = Interval(0, 1 << 62)

def status(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))

def account(path, target):
    with open_offline(path) as source:
        while not source.exhausted:
            target.drain(source, 1 << 16)
"""


def run(script: str, *arguments: object) -> list[int]:
    """Run a script in a Python of its own; return the numbers that it prints."""
    command = [sys.executable, "-c", ACCOUNT_FILE + script, *map(str, arguments)]
    return [int(number) for number in subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()]


def test_a_million_hosts_cost_little(tmp_path: Path) -> None:
    script = """
account(sys.argv[1], idle := make_accountant())
idle.finish(EVER, EVER)
before = status("VmHWM")
account(sys.argv[2], target := make_accountant())
_, summary = target.finish(EVER, EVER)
print(len(summary), status("VmHWM") - before)
"""
    few, many = write(tmp_path / "few.pcap", pairs(10, 10)), write(tmp_path / "many.pcap", pairs(N_HOSTS, N_HOSTS))
    n_hosts, n_bytes = run(script, few, many)
    assert n_hosts == N_HOSTS
    assert n_bytes <= BYTES_PER_HOST * N_HOSTS


@ordinary_build
class TestWithoutMemory:
    def test_no_room_for_the_table_is_an_error(self) -> None:
        script = """
resource.setrlimit(resource.RLIMIT_AS, (status("VmSize") + (64 << 20), resource.RLIM_INFINITY))
try:
    make_accountant(max_hosts=10_000_000)
except MemoryError as error:
    print(int(str(error) == "no address space for 10000000 hosts; lower max_hosts"))
make_accountant(max_hosts=10_000)
"""
        assert run(script) == [1]

    def test_hosts_overflow_when_the_index_cannot_grow(self, tmp_path: Path) -> None:
        script = """
account(sys.argv[1], make_accountant())
target = make_accountant()
with open_offline(sys.argv[1]) as source:
    resource.setrlimit(resource.RLIMIT_AS, (status("VmSize") + (1 << 20), resource.RLIM_INFINITY))
    while not source.exhausted:
        target.drain(source, 1 << 16)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
_, summary = target.finish(EVER, EVER)
summary.check_conservation()
print(len(summary), summary.counters.ip.frames, summary.counters.overflow.frames_out)
"""
        n_hosts, n_frames, n_overflowing = run(script, write(tmp_path / "x.pcap", pairs(300_000, 300_000)))
        assert 2048 <= n_hosts < 300_000
        assert n_frames == 300_000
        assert n_overflowing > 0
