"""The benchmarks run, and discard a figure whose answer was wrong. Nothing here looks at a figure."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from harness.case import Plan
from harness.contest import Contest
from harness.live_apps import difference
from harness.multiply import multiply
from harness.programs import NO_PAYLOADS, Program
from harness.results import readme_table

if TYPE_CHECKING:
    from collections.abc import Iterator

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
DEMO = BENCHMARKS.parent / "pcaps" / "demo.pcap"
CANNOT_RUN_HERE = 3


def run(program: str, *arguments: object) -> tuple[int, str, str]:
    command = [sys.executable, "-B", str(BENCHMARKS / program), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    if done.returncode == CANNOT_RUN_HERE:
        pytest.skip(done.stderr.strip())
    return done.returncode, done.stdout, done.stderr


def samples(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def with_wrong_hosts(cache: Path) -> Iterator[Path]:
    """Return a cache whose captures' truths have another checksum of their hosts."""
    code, _, errors = run("run.py", "replay-full", "--quick", "--samples", 1, "--cache", cache)
    assert code == 0, errors
    truths = {path: path.read_text() for path in cache.glob("*.pcap.json")}
    for path, text in truths.items():
        path.write_text(json.dumps(json.loads(text) | {"hosts_sha256": "0" * 64}))
    yield cache
    for path, text in truths.items():
        path.write_text(text)


def test_a_case_gives_a_line_for_each_sample(cache: Path) -> None:
    code, output, errors = run("run.py", "replay-full", "--quick", "--samples", 2, "--json", "--cache", cache)
    found = samples(output)
    assert code == 0, errors
    assert [sample["subject"] for sample in found].count("fastmon") == 2
    for sample in found:
        assert sample["value"] > 0
        assert sample["frames"] == 100_000
        assert {"commit", "dirty", "cpu", "governor", "python", "cython", "libpcap", "workload", "seed", "hosts", "mpps"} <= set(
            sample
        )
        assert {"gb_per_s", "peak_rss_kib", "checksum"} <= set(sample)


def test_two_builds_are_compared(cache: Path) -> None:
    code, output, errors = run("compare.py", "replay-full", sys.executable, sys.executable, "--quick", "--cache", cache)
    assert code == 0, errors
    assert output.splitlines()[-1].startswith("fastmon: B/A ")


def test_a_wrong_answer_is_discarded(with_wrong_hosts: Path) -> None:
    code, output, errors = run("run.py", "replay-full", "--quick", "--samples", 1, "--json", "--cache", with_wrong_hosts)
    found = {sample["subject"]: sample for sample in samples(output)}
    assert code == 1
    assert found["fastmon"]["discarded"] == "hosts' totals differ from the true ones"
    assert "value" not in found["fastmon"]
    assert "value" in found["count frames only"]
    assert "discarded: fastmon: hosts' totals differ from the true ones" in errors


def test_peers_are_measured_on_any_capture(cache: Path, tmp_path: Path) -> None:
    programs = [option for name in ("fastmon", "tcpdump") for option in ("--only", name)]
    arguments = ["--quick", "--no-install", *programs, "--cache", cache, "--output", tmp_path, DEMO]
    code, _, errors = run("peers.py", *arguments)
    assert code == 0, errors
    page = (tmp_path / "RESULTS.md").read_text()
    assert "## demo.pcap" in page
    assert "Provisional" in page
    assert "`unclassified_for_budget`): 0." in page
    for name in ("fastmon, hosts only", "fastmon, everything", "fastmon, everything, 2 workers", NO_PAYLOADS):
        assert re.search(rf"^\| {name} \| [\d,]+ \| [\d,]+ to [\d,]+ \| \d+\.\d\d \|", page, re.MULTILINE)
    ET.fromstring((tmp_path / "RESULTS.svg").read_text())
    assert "fastmon, everything" in readme_table(page)


def shell(name: str, code: str) -> Program:
    return Program(name, lambda _: ["sh", "-c", code], "nothing", "all")


def test_a_peer_that_fails_is_left_out_with_the_reason(cache: Path, tmp_path: Path) -> None:
    made = multiply(DEMO, cache, 1, {})
    works = shell("works", f"echo {made.frames} frames")
    lies = shell("lies", "echo 1000000 frames")
    fails = shell("fails", "echo no >&2; exit 4")
    is_missing = Program("is missing", lambda _: ["no-such-program"], "nothing", "all")
    plan = Plan(Path(sys.executable), cache, tmp_path)
    contest = Contest(plan, made, Path(sys.executable), os.sched_getaffinity(0))
    contest.measure([works, lies, fails, is_missing], 1)
    assert contest.figures.keys() == {"works"}
    assert contest.left_out["lies"] == f"it says that it read 1000000 of {made.frames} frames"
    assert contest.left_out["fails"] == "exit code 4: no"
    assert contest.left_out["is missing"] == "no-such-program is not there"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a network namespace")
def test_live_traffic_is_labelled_as_in_a_replay(cache: Path) -> None:
    options = ["--quick", "--samples", 1, "--json", "--cache", cache, "--capture", DEMO]
    code, output, errors = run("run.py", "live-apps", *options)
    assert code == 0, errors
    [sample] = samples(output)
    assert sample["frames"] == sample["received"] >= 100_000


def test_live_traffic_that_differs_is_discarded() -> None:
    host = {"bytes_in": 1, "apps": {"dns": {"bytes_in": 1}}, "name": "example.org"}
    truth = {
        "frames": 1,
        "bytes": 1,
        "apps": {"dns": {"frames": 1}},
        "dropped": {"kernel": 0},
        "conversations": {"unclassified_for_budget": 0},
        "hosts": {"10.0.0.1": host},
    }
    assert difference(truth, truth) == ""
    assert difference(truth | {"dropped": {"kernel": 2}}, truth) == "frames lost: {'kernel': 2}; payloads passed by: 0"
    passed_by = truth | {"conversations": {"unclassified_for_budget": 3}}
    assert difference(passed_by, truth) == "frames lost: 0; payloads passed by: 3"
    for key in "bytes_in", "apps", "name":
        other = truth | {"hosts": {"10.0.0.1": host | {key: None}}}
        assert difference(other, truth).startswith("10.0.0.1: {")
    more = truth | {"hosts": {"10.0.0.1": host, "10.0.0.2": host}}
    assert difference(more, truth) == "hosts that a replay does not have"


def test_startup_runs(cache: Path) -> None:
    code, output, errors = run("run.py", "startup", "--quick", "--samples", 1, "--json", "--cache", cache)
    assert code == 0, errors
    assert [sample["subject"] for sample in samples(output)] == ["fastmon --help", "fastmon imported", "python alone"]
