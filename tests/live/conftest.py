"""A network of the test's own, what sends into it, and the command line in it."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from needs import cannot_run

from fastmon.capture import handles

from .command import Command
from .network import CAPTURED, SENDING, Namespace, make_pair
from .traffic import Sender

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def _provider(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all captures be opened by whom `--handle` names."""
    provider: str | None = request.config.getoption("--handle")
    if provider is not None:
        monkeypatch.setattr(handles, "default_provider", lambda: provider)
        monkeypatch.setattr(Command, "live_options", ("--handle", provider))


@pytest.fixture
def new_namespace() -> Iterator[Callable[[], Namespace]]:
    """Return what makes a network namespace."""
    if shutil.which("ip") is None:
        cannot_run("ip(8) is missing: it is in the package iproute2")
    with ExitStack() as stack:

        def made() -> Namespace:
            try:
                namespace = Namespace()
            except PermissionError as error:
                cannot_run(f"a network namespace needs root: {error}")
            stack.callback(namespace.close)
            return namespace

        yield made


@pytest.fixture
def namespace(new_namespace: Callable[[], Namespace]) -> Iterator[Namespace]:
    """Put the test in a namespace, together with all that it starts."""
    namespace = new_namespace()
    with namespace.entered():
        yield namespace


@pytest.fixture
def sender(namespace: Namespace) -> Iterator[Sender]:
    """Make the pair of interfaces `SENDING` and `CAPTURED`, and return what sends into the first."""
    del namespace
    make_pair(SENDING, CAPTURED)
    sender = Sender(SENDING)
    yield sender
    sender.close()


@pytest.fixture
def command(sender: Sender, tmp_path: Path) -> Iterator[Callable[..., Command]]:
    """Return what starts `fastmon live` on `CAPTURED`, in JSON, without intervals unless they are asked for, and waits for it."""
    del sender
    with ExitStack() as stack:

        def started(*options: str, interface: str = CAPTURED) -> Command:
            command = Command(tmp_path, "live", interface, "--format", "jsonl", "-i", "0", "--limit", "0", *options)
            stack.callback(command.kill)
            command.begin()
            return command

        yield started
