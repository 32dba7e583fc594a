"""Waiting for what has to happen, instead of for a time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

DEADLINE_S = 30
"""Long, for slow machines and sanitized builds: a test that passes never waits so long."""

_T = TypeVar("_T")


def wait_until(condition: Callable[[], _T], what: str) -> _T:
    """Return what `condition` returns once that is true; fail if it is not in time."""
    deadline = time.monotonic() + DEADLINE_S
    while not (result := condition()):
        assert time.monotonic() < deadline, f"in vain waited for {what}"
        time.sleep(0.01)
    return result
