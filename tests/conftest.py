"""Fixtures that several test modules share."""

from __future__ import annotations

import signal
from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from fastmon.accounting import make_accountant
from fastmon.bounds import PROVIDERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastmon.accounting import Accountant


# A program that was started in the background may ignore them, and what it starts does then, too.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--handle", choices=PROVIDERS, help="who opens the interfaces of the tests in tests/live")


# How long an example takes, or its making, is the machine's affair.
settings.register_profile("fastmon", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fastmon")


@pytest.fixture(params=["native", "reference"])
def accountant(request: pytest.FixtureRequest) -> Callable[..., Accountant]:
    """Return `make_accountant` of one engine: whatever uses this is tested on both."""
    return partial(make_accountant, request.param, seed=0)


@pytest.fixture(params=["native", "reference"])
def conversation_engine(request: pytest.FixtureRequest) -> str:
    """Return an engine's name: whatever uses this is tested on both."""
    name: str = request.param
    return name
