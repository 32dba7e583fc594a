"""What a finished accountant hands over outlives it, and cannot be changed."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import builders as b
import numpy as np
import pytest
from host_model import Traffic
from replays import EVER, drain, traffic

from fastmon.accounting import make_accountant
from fastmon.capture import open_offline
from fastmon.model.frames import Frame
from fastmon.model.snapshot import HOST_DTYPE

from .pairs import RAW, assert_true, pairs, write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fastmon.accounting import Accountant
    from fastmon.model.snapshot import Snapshot

FRAME = Frame(0, 100, RAW, b.ipv4("10.0.0.1", "10.0.0.2"))


def accounted(path: Path) -> tuple[Snapshot, Snapshot]:
    """Return the last interval and the summary of an accountant that is gone."""
    target = make_accountant()
    with open_offline(str(path)) as source:
        target.drain(source, 5000)
        target.rotate(EVER)
        drain(target, source)
    return target.finish(EVER, EVER)


def test_snapshots_outlive_their_accountant(tmp_path: Path) -> None:
    records = pairs(10_000, 20_000)
    last, summary = accounted(write(tmp_path / "x.pcap", records))
    gc.collect()
    others = [make_accountant() for _ in range(10)]  # whose tables would take the place of a freed one
    for other in others:
        other.account(FRAME)
    assert_true(summary, records)
    assert_true(last, records[5000:])


def test_rows_live_as_long_as_any_view_of_them() -> None:
    target = make_accountant()
    target.account(FRAME)
    _, summary = target.finish(EVER, EVER)
    column = summary.hosts["bytes_out"][:1]
    del target, summary
    gc.collect()
    assert column.tolist() == [100]


def test_rows_are_handed_over_not_copied() -> None:
    target = make_accountant()
    target.account(FRAME)
    _, summary = target.finish(EVER, EVER)
    assert summary.hosts.dtype == HOST_DTYPE
    assert not summary.hosts.flags.owndata
    assert np.shares_memory(summary.hosts, summary.total_bytes_in)


def test_handed_over_rows_cannot_be_made_writeable() -> None:
    target = make_accountant()
    target.account(FRAME)
    last, summary = target.finish(EVER, EVER)
    for array in (summary.hosts, summary.total_bytes_in, summary.total_bytes_out, last.hosts):
        with pytest.raises(ValueError, match="cannot set WRITEABLE flag to True"):
            array.flags.writeable = True


def test_interval_is_independent_of_what_comes_after() -> None:
    target = make_accountant()
    target.account(FRAME)
    snapshot = target.rotate(EVER)
    target.account(FRAME)
    target.finish(EVER, EVER)
    assert traffic(snapshot)[b.host("10.0.0.1")] == Traffic(packets_out=1, bytes_out=100)


USES: dict[str, Callable[[Accountant], object]] = {
    "account": lambda target: target.account(FRAME),
    "rotate": lambda target: target.rotate(EVER),
    "finish": lambda target: target.finish(EVER, EVER),
    "merge into": lambda target: target.merge(make_accountant()),
    "merge from": lambda target: make_accountant().merge(target),
    "drain": lambda target: target.drain(None, 1),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("use", USES)
def test_finished_accountant_is_of_no_more_use(use: str) -> None:
    target = make_accountant()
    target.account(FRAME)
    target.finish(EVER, EVER)
    with pytest.raises(RuntimeError, match="the accountant has finished"):
        USES[use](target)
    assert target.take_limit_crossings() == []
    assert (target.first_ts_ns, target.last_ts_ns) == (0, 0)
