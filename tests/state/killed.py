"""Runs a child that makes checkpoints, kills it at random moments, and looks at what it has left. Run by `test_faults.py`."""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from fastmon.state.keeper import Keeper
from fastmon.state.queries import AlertFilter, Desk
from fastmon.state.store import Store
from state.values import alert, changes, numbers

if TYPE_CHECKING:
    from fastmon.state.pending import Batch

N_KILLS = 50


class TellingStore(Store):
    """Tells of each checkpoint when it is written."""

    pipe = -1

    def write(self, batch: Batch) -> None:
        super().write(batch)
        if batch:
            (row,) = batch.rows["periods"].values()
            os.write(self.pipe, row.bytes.to_bytes(8, "big"))


def count(path: Path, pipe: int) -> None:
    """Make checkpoints, each of the next number, until killed."""
    store = TellingStore.open(path)
    store.pipe = pipe
    number = max(numbers(store.load()), default=0)
    keeper = Keeper(store, lambda _: os._exit(1), interval_s=0.0005)
    while True:
        number += 1
        keeper.put(changes(number), [alert(str(number))])
        time.sleep(0.0002)


def last_told(pipe: int) -> int:
    told = b""
    while chunk := os.read(pipe, 1 << 16):
        told += chunk
    return int.from_bytes(told[-8:], "big")


def main(path: Path) -> None:
    moments = random.Random(12)
    least = 0
    for _ in range(N_KILLS):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            count(path, writing)
        os.close(writing)
        first = os.read(reading, 8)
        time.sleep(moments.uniform(0, 0.03))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        least = max(int.from_bytes(first, "big"), last_told(reading))
        os.close(reading)
        with Store.open(path) as store:
            found = numbers(store.load())
            assert (store.fault, store.take_remarks()) == (None, [])
            assert len(found) == 1, f"rows of several checkpoints: {found}"
            assert max(found) >= least, f"checkpoint {least} was written, {found} is there"
        with Desk(path) as desk:
            assert max(map(int, desk.alert_ids(AlertFilter()))) == max(found)
    print(N_KILLS, "kills,", least, "checkpoints")  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
