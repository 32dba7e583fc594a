"""`fastmon` with a short time between checkpoints, which tells of each when it is written. Run by `test_kills.py`.

Arguments: the descriptor of a pipe, and then the command line's.
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING

from fastmon import cli
from fastmon.run import monitor
from fastmon.state.keeper import Keeper
from fastmon.state.store import Store

if TYPE_CHECKING:
    from fastmon.state.pending import Batch

INTERVAL_S = 0.2
TICK_NS = 50_000_000


def main(pipe: int, arguments: list[str]) -> int:
    write = Store.write

    def told_of(store: Store, batch: Batch) -> None:
        write(store, batch)
        told = {"time": time.monotonic(), "alerts": [alert.id for alert in batch.alerts.values()]}
        os.write(pipe, json.dumps(told).encode() + b"\n")

    Store.write = told_of  # type: ignore[method-assign, assignment]
    defaults = Keeper.__init__.__kwdefaults__
    assert defaults is not None
    defaults["interval_s"] = INTERVAL_S
    monitor.TICK_NS = TICK_NS
    return cli.main(arguments)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
