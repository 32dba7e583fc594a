"""The generated captures: the generator makes the committed ones again, and accounting each gives its true totals."""

from __future__ import annotations

import gzip
import ipaddress
import json
import lzma
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from snapshot_checks import assert_conserved, rows

from fastmon.capture import open_offline
from fastmon.errors import CaptureError, TruncatedCaptureError, UnsupportedLinkTypeError
from fastmon.model.snapshot import Interval, Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastmon.accounting import Accountant

    MakeAccountant = Callable[..., Accountant]
    Totals = dict[str, Any]

PCAPS = Path(__file__).parents[1] / "pcaps"
SMALL = PCAPS / "small"
TRUTHS: dict[str, Totals] = json.loads((SMALL / "truth.json").read_text())
ERRORS: dict[str | None, type[CaptureError] | None] = {
    None: None,
    "truncated": TruncatedCaptureError,
    "damaged": CaptureError,
    "unsupported": UnsupportedLinkTypeError,
}


def generate(*arguments: object) -> None:
    subprocess.run([sys.executable, "-B", PCAPS / "generate.py", *map(str, arguments)], check=True, timeout=120)


def replay(path: Path, target: Accountant) -> tuple[Snapshot, type[CaptureError] | None]:
    """Account a whole file; return the summary, and the type of the error with which reading it ended."""
    error: type[CaptureError] | None = None
    with open_offline(str(path)) as capture:
        try:
            while not capture.exhausted:
                target.drain(capture, 1 << 16)
        except CaptureError as caught:
            error = type(caught)
    whole = Interval(0, 1 << 62)
    _, summary = target.finish(whole, whole)
    assert_conserved(summary)
    return summary, error


def counts(snapshot: Snapshot) -> Totals:
    counters = snapshot.counters
    named = {"ip": counters.ip, "non_ip": counters.non_ip, **counters.undecoded}
    shown: Totals = {name: {"frames": count.frames, "bytes": count.bytes} for name, count in named.items()}
    return {"frames": counters.frames.frames, "bytes": counters.frames.bytes, **shown}


def true_counts(truth: Totals) -> Totals:
    undecoded: Totals = truth["undecoded"]
    return {name: truth[name] for name in ("frames", "bytes", "ip", "non_ip")} | undecoded


def hosts(snapshot: Snapshot) -> dict[str, Totals]:
    return {address(row.key): row._asdict() for row in rows(snapshot)}


def address(key: bytes) -> str:
    parsed = ipaddress.IPv6Address(key)
    return str(parsed.ipv4_mapped or parsed)


def assert_true(summary: Snapshot, truth: Totals, true_hosts: dict[str, Totals]) -> None:
    """Compare everything that the truth knows: a capture's format may have stored no times, a large truth leaves them out."""
    assert counts(summary) == true_counts(truth)
    found = hosts(summary)
    assert sorted(found) == sorted(true_hosts)
    for name, true_host in true_hosts.items():
        known = {column: value for column, value in true_host.items() if value is not None}
        assert {column: found[name][column] for column in known} == known, name


@pytest.fixture(scope="module")
def regenerated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pcaps")
    generate("small", "-o", folder / "small")
    generate("demo", "-o", folder / "demo.pcap")
    return folder


class TestCommittedSet:
    def test_same_files_as_generated(self, regenerated: Path) -> None:
        assert sorted(path.name for path in SMALL.iterdir()) == sorted(path.name for path in (regenerated / "small").iterdir())

    @pytest.mark.parametrize("name", [*(f"small/{name}" for name in TRUTHS), "small/truth.json", "demo.pcap", "demo.pcap.json"])
    def test_same_bytes_as_generated(self, name: str, regenerated: Path) -> None:
        committed, made = (PCAPS / name).read_bytes(), (regenerated / name).read_bytes()
        if name.endswith(".gz"):  # zlib's versions compress differently
            committed, made = gzip.decompress(committed), gzip.decompress(made)
        if name.endswith(".xz"):
            committed, made = lzma.decompress(committed), lzma.decompress(made)
        assert committed == made

    def test_another_seed_gives_other_frames(self, regenerated: Path, tmp_path: Path) -> None:
        generate("demo", "--seed", 1, "-o", tmp_path / "demo.pcap")
        assert (tmp_path / "demo.pcap").read_bytes() != (regenerated / "demo.pcap").read_bytes()

    def test_is_small(self) -> None:
        assert sum(path.stat().st_size for path in SMALL.iterdir()) < 1_500_000
        assert (PCAPS / "demo.pcap").stat().st_size < 600_000


class TestTrueTotals:
    @pytest.mark.parametrize("name", TRUTHS)
    def test_outermost_headers(self, name: str, accountant: MakeAccountant) -> None:
        truth = TRUTHS[name]
        summary, error = replay(SMALL / name, accountant())
        assert_true(summary, truth, truth["hosts"])
        assert error == ERRORS[truth["error"]]

    @pytest.mark.parametrize("name", TRUTHS)
    def test_innermost_headers(self, name: str, accountant: MakeAccountant) -> None:
        truth = TRUTHS[name]
        summary, _ = replay(SMALL / name, accountant(inner=True))
        assert_true(summary, truth, truth["inner_hosts"] if "inner_hosts" in truth else truth["hosts"])

    def test_demo(self, accountant: MakeAccountant) -> None:
        truth = json.loads((PCAPS / "demo.pcap.json").read_text())
        summary, error = replay(PCAPS / "demo.pcap", accountant())
        assert_true(summary, truth, truth["hosts"])
        assert error is None

    def test_demo_has_hosts_over_a_megabyte(self) -> None:
        truth = json.loads((PCAPS / "demo.pcap.json").read_text())
        heavy = [name for name, host in truth["hosts"].items() if host["bytes_in"] + host["bytes_out"] > 1_000_000]
        assert 3 <= len(heavy) <= 8


class TestLargeCaptures:
    """Small editions of those that benchmarks make."""

    @pytest.mark.parametrize(
        "arguments",
        [
            ["mix", "--frames", 5000, "--hosts", 200, "--conversations", 1000],
            ["mix", "--frames", 5000, "--hosts", 200, "--conversations", 1000, "--snaplen", 96, "--resolution", "ns"],
            ["mix", "--frames", 5000, "--hosts", 200, "--conversations", 1000, "--snaplen", 54],
            ["flood", "--frames", 5000],
            ["flood-conversations", "--frames", 5000, "--hosts", 300],
        ],
        ids=lambda arguments: "-".join(map(str, arguments)),
    )
    def test_true_totals(self, arguments: list[object], accountant: MakeAccountant, tmp_path: Path) -> None:
        path = tmp_path / "large.pcap"
        generate(*arguments, path)
        truth = json.loads(path.with_name("large.pcap.json").read_text())
        summary, error = replay(path, accountant())
        assert_true(summary, truth, truth["hosts"])
        assert error is None

    def test_mix_has_the_sizes_of_internet_traffic(self, tmp_path: Path) -> None:
        path = tmp_path / "mix.pcap"
        generate("mix", path, "--frames", 30_000, "--hosts", 200, "--conversations", 1000)
        truth = json.loads(path.with_name("mix.pcap.json").read_text())
        assert truth["bytes"] / truth["frames"] == pytest.approx(358, abs=10)

    def test_flood_has_as_many_hosts_as_frames(self, tmp_path: Path) -> None:
        path = tmp_path / "flood.pcap"
        generate("flood", path, "--frames", 5000)
        assert json.loads(path.with_name("flood.pcap.json").read_text())["n_hosts"] == 5001
