"""The conversation table with so many rows that the index cannot tell all of them apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from replays import replay
from snapshot_checks import assert_conserved

from fastmon.accounting import make_accountant

from .pairs import pairs, write

if TYPE_CHECKING:
    from pathlib import Path


def test_each_pair_of_hosts_has_one_conversation(tmp_path: Path) -> None:
    records = pairs(1000, 300_000)
    records["seconds"] = 0
    answers = records.copy()
    answers["src"], answers["dst"] = records["dst"], records["src"]
    summary, error = replay(
        write(tmp_path / "x.pcap", np.concatenate([records, answers])), make_accountant(max_conversations=1 << 20)
    )
    assert error is None
    assert_conserved(summary)
    ends = np.sort(np.stack([records["src"], records["dst"]]).astype(np.uint32), axis=0).astype(np.uint64)
    assert summary.conversations is not None
    assert summary.conversations.opened == len(np.unique(ends[0] << np.uint64(32) | ends[1]))
