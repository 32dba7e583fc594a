"""What the tests of alerts share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from alerts.making import Desk, spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastmon.policy.specs import ActionSpec


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test wait for minutes until something is tried again."""
    monkeypatch.setattr("fastmon.alerts.worker.FIRST_DELAY_S", 0.05)
    monkeypatch.setattr("fastmon.alerts.worker.LAST_DELAY_S", 0.2)


@pytest.fixture
def open_desk() -> Iterator[Callable[..., Desk]]:
    """Return what makes a dispatcher of one action, which is closed at the end."""
    desks: list[Desk] = []

    def make(action: ActionSpec | None = None, **values: Any) -> Desk:
        desks.append(Desk(spec(**values) if action is None else action))
        return desks[-1]

    yield make
    for desk in desks:
        desk.dispatcher.close(0.2)
