"""Accountants with conversations, of both engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from conversation_tools import TABLES

from fastmon.accounting import make_accountant

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastmon.accounting import Accountant


@pytest.fixture
def make(conversation_engine: str) -> Callable[..., Accountant]:
    """Return `make_accountant` of one engine, with the options that most tests here need."""

    def make_one(**options: Any) -> Accountant:
        defaults: dict[str, Any] = {
            "seed": 0,
            "local_networks": ["10.0.0.0/8"],
            "max_conversations": 16,
            "applications": TABLES,
            "keep_conversations": True,
        }
        return make_accountant(conversation_engine, **(defaults | options))

    return make_one


@pytest.fixture(autouse=True)
def sketch_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no two of the few addresses and services of these tests share a cell of a sketch: then estimates are exact."""
    monkeypatch.setattr("fastmon.accounting.SKETCH_SEED", 0)
