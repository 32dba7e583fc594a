"""What the tests of alerts share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from alerts.making import OPEN_DESKS, Desk, spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastmon.policy.specs import ActionSpec


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test wait for minutes until something is tried again."""
    monkeypatch.setattr("fastmon.alerts.worker.FIRST_DELAY_S", 0.05)
    monkeypatch.setattr("fastmon.alerts.worker.LAST_DELAY_S", 0.2)


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    while OPEN_DESKS:
        OPEN_DESKS.pop().dispatcher.close(0.2)


@pytest.fixture
def open_desk() -> Callable[..., Desk]:
    """Return what makes a dispatcher of one action."""

    def make(action: ActionSpec | None = None, **values: Any) -> Desk:
        return Desk(spec(**values) if action is None else action)

    return make
