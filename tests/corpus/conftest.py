"""Every test here that asks for `name` is run on every capture of the corpus."""

from __future__ import annotations

import pytest
from needs import cannot_run

from . import captures

NAMES = captures.names()


@pytest.fixture
def corpus() -> None:
    """Let a test run only where the corpus is."""
    if not NAMES:
        cannot_run(f"there is no capture corpus in {captures.CORPUS}; FASTMON_CORPUS can name another folder")


@pytest.fixture(params=NAMES or ["no corpus"])
def name(request: pytest.FixtureRequest, corpus: None) -> str:  # noqa: ARG001 - asked for before
    """Return a capture's path within the corpus."""
    path: str = request.param
    return path
