"""The capture corpus: its captures and what is true of them. Its README.md says how that was found out."""

from __future__ import annotations

import csv
import gzip
import os
from functools import cache
from pathlib import Path

import builders as b
from host_model import Traffic
from replays import Replay, replay

from fastmon.accounting import make_accountant

CORPUS = Path(os.environ.get("FASTMON_CORPUS") or Path(__file__).parents[3] / "shared" / "corpus")
MANIFEST = CORPUS / "MANIFEST.tsv"


def names() -> list[str]:
    """Return the captures' paths within the corpus; none where there is no corpus."""
    if not MANIFEST.exists():
        return []
    with MANIFEST.open(newline="") as lines:
        return [row["path"] for row in csv.DictReader(lines, delimiter="\t")]


def true_hosts(name: str) -> dict[bytes, Traffic]:
    """Return what tshark says of the outermost IP headers."""
    with (CORPUS / "endpoints-outer" / f"{Path(name).name}.tsv").open(newline="") as lines:
        columns = ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes")
        return {
            b.host(row["ip"]): Traffic(*(int(row[column]) for column in columns)) for row in csv.DictReader(lines, delimiter="\t")
        }


def contents(name: str) -> bytes:
    """Return the bytes of a capture, decompressed."""
    data = (CORPUS / name).read_bytes()
    return gzip.decompress(data) if name.endswith(".gz") else data


@cache
def replayed(engine: str, name: str) -> Replay:
    """Return what an engine makes of a capture. Computed once: the reference takes its time."""
    return replay(CORPUS / name, make_accountant(engine, seed=0))
