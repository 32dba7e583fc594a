"""The command `fastmon`, which `python -m fastmon` is too."""

from __future__ import annotations

import sys

from fastmon import signals

__all__ = ["main"]


def main() -> int:
    """Run the command line; return the exit code."""
    signals.keep()
    from fastmon import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
