"""The command `fastmon`, which `python -m fastmon` is too."""

from __future__ import annotations

import gc
import sys

from fastmon import signals

__all__ = ["main"]


def main() -> int:
    """Run the command line; return the exit code."""
    signals.keep()
    gc.set_threshold(100_000)  # modules, hosts and conversations make many values, which know no cycles
    from fastmon import cli

    status = cli.main()
    signals.ignore()
    gc.freeze()  # or the interpreter would look for cycles in all that ends with it
    return status


if __name__ == "__main__":
    sys.exit(main())
