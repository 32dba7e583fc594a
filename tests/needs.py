"""What tests need of the machine that they run on."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def cannot_run(reason: str) -> NoReturn:
    """Skip the running test, saying why; where `FASTMON_CI` is set every test has to run: fail it."""
    if os.environ.get("FASTMON_CI", "0") not in {"", "0"}:
        pytest.fail(f"cannot run here: {reason}", pytrace=False)
    pytest.skip(reason)
