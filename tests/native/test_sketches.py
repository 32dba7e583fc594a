"""The error of the estimated numbers of peers and services: no more than docs/conversations.md states, for any addresses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from builders import pcap_file
from replays import drain

from fastmon.accounting import make_accountant
from fastmon.capture import open_offline

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from fastmon.accounting import Accountant

S = 1_000_000_000
RAW = 101
N_HOSTS = 300
LOCAL = 10 << 24
RECORD = np.dtype(
    [
        ("times", "<u4", 2),
        ("lengths", "<u4", 2),
        ("head", "u1", 12),
        ("src", ">u4"),
        ("dst", ">u4"),
        ("ports", ">u2", 2),
        ("udp", "u4"),
    ]
)
"""A pcap record with an IPv4 header and one of UDP."""


def openings(tmp_path: Path, peers: NDArray[Any], ports: NDArray[Any], seconds: NDArray[Any] | int = 1000) -> Accountant:
    """Let each of some local hosts, a row of `peers` and of `ports` each, open its conversations."""
    records = np.zeros(peers.shape, RECORD)
    records["times"][..., 0] = seconds
    records["lengths"] = 28
    records["head"][..., 0], records["head"][..., 9] = 0x45, 17
    records["src"] = LOCAL + np.arange(1, len(peers) + 1)[:, np.newaxis]
    records["dst"] = peers
    records["ports"][..., 0], records["ports"][..., 1] = 65535, ports
    path = tmp_path / "openings.pcap"
    path.write_bytes(pcap_file([], link_type=RAW) + records.tobytes())
    target = make_accountant(max_conversations=1 << 20, local_networks=["10.0.0.0/8"])
    with open_offline(str(path)) as source:
        drain(target, source)
    return target


@pytest.fixture(autouse=True)
def sketch_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each run of the tests come to the same."""
    monkeypatch.setattr("fastmon.accounting.SKETCH_SEED", 12345)


def check_error(estimates: NDArray[Any], n: int) -> None:
    """Check that the mean is right, and the deviations no more than a fifth above the standard error (Whang and others, 1990).

    Their approximation is too small where few cells are left.
    """
    fill = n / 256
    error = math.sqrt(256 * (math.exp(fill) - fill - 1)) if n < 1000 else 0.13 * n
    deviations = estimates.astype(float) - n
    assert abs(deviations.mean()) < 0.02 * n + 4 * error / math.sqrt(len(estimates))
    assert math.sqrt((deviations**2).mean()) < 1.2 * error + 0.5  # a whole number is told


@pytest.mark.parametrize("n_peers", [1, 5, 20, 50, 100, 250, 500, 1000, 1200, 2000, 5000, 10_000])
def test_random_peers(n_peers: int, tmp_path: Path) -> None:
    numbers = np.random.default_rng(n_peers)
    n_hosts = N_HOSTS if n_peers <= 1000 else 90
    peers = np.stack([numbers.choice(1 << 24, n_peers, replace=False) for _ in range(n_hosts)]) + (192 << 24)
    found = openings(tmp_path, peers, np.full(peers.shape, 9)).fanout(1000 * S, S)
    assert len(found) == n_hosts
    check_error(found["peers"], n_peers)
    assert (found["ports"] == 1).all()


@pytest.mark.parametrize("step", [1, 2, 256, 65536])
def test_scanned_addresses_are_not_too_even(step: int, tmp_path: Path) -> None:
    """Addresses in a row must fall into cells by chance, or a scan would look greater than it is."""
    n_peers = 254
    starts = (192 << 24) + np.random.default_rng(step).integers(0, 1 << 16, N_HOSTS)
    peers = starts[:, np.newaxis] + step * np.arange(n_peers)
    check_error(openings(tmp_path, peers, np.full(peers.shape, 9)).fanout(1000 * S, S)["peers"], n_peers)


@pytest.mark.parametrize("n_ports", [20, 100, 500])
def test_scanned_ports(n_ports: int, tmp_path: Path) -> None:
    starts = np.random.default_rng(n_ports).integers(1, 60_000, N_HOSTS)
    ports = starts[:, np.newaxis] + np.arange(n_ports)
    found = openings(tmp_path, np.full(ports.shape, 192 << 24), ports).fanout(1000 * S, S)
    check_error(found["ports"], n_ports)
    assert (found["peers"] == 1).all()


@pytest.mark.parametrize(("window_s", "n_peers"), [(9, 10), (99, 100), (399, 400), (10_000, 400)])
def test_any_window_has_its_own_peers(window_s: int, n_peers: int, tmp_path: Path) -> None:
    numbers = np.random.default_rng(window_s)
    peers = np.stack([numbers.choice(1 << 24, 400, replace=False) for _ in range(N_HOSTS)]) + (192 << 24)
    target = openings(tmp_path, peers, np.full(peers.shape, 9), seconds=np.arange(1601, 2001))
    check_error(target.fanout(2000 * S, window_s * S)["peers"], n_peers)


def test_estimate_has_a_greatest_value(tmp_path: Path) -> None:
    peers = np.tile((192 << 24) + np.arange(60_000), (3, 1))
    found = openings(tmp_path, peers, np.full(peers.shape, 9)).fanout(1000 * S, S)
    assert set(found["peers"].tolist()) == {16 * 1597}


def test_merged_sketches_are_one(tmp_path: Path) -> None:
    numbers = np.random.default_rng(5)
    peers = np.stack([numbers.choice(1 << 24, 300, replace=False) for _ in range(N_HOSTS)]) + (192 << 24)
    merged = make_accountant(max_conversations=10, local_networks=["10.0.0.0/8"])
    for part in (peers[:, :200], peers[:, 100:]):  # a third is in both
        merged.merge(openings(tmp_path, part, np.full(part.shape, 9)))
    check_error(merged.fanout(1000 * S, S)["peers"], 300)


def test_hash_has_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not know the key cannot choose peers that share a cell."""
    peers = np.tile((192 << 24) + np.arange(200), (N_HOSTS, 1))
    found = set()
    for seed in range(8):
        monkeypatch.setattr("fastmon.accounting.SKETCH_SEED", seed)
        found |= set(openings(tmp_path, peers, np.full(peers.shape, 9)).fanout(1000 * S, S)["peers"].tolist())
    assert len(found) > 1
