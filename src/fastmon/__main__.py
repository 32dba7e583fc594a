"""`python -m fastmon` is the command `fastmon`."""

from __future__ import annotations

import sys

from fastmon.cli import main

if __name__ == "__main__":
    sys.exit(main())
