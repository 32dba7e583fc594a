"""The native matchers beside the classifier, on the conversations of the corpus."""

from __future__ import annotations

from contextlib import suppress

import pytest
from classify.twins import compare
from inspected import Inspected

from fastmon.accounting import make_accountant
from fastmon.capture import open_offline
from fastmon.classify import Endpoint
from fastmon.errors import CaptureError
from fastmon.model.conversations import Payload

from .captures import CORPUS

GULP_FRAMES = 200
MAX_PAYLOADS = 64
"""Payloads of a conversation that both sides get, unless the native one asks before."""

SHOWN: set[tuple[bool, int, tuple[int, int], tuple[tuple[bool, bytes], ...]]] = set()
"""Conversations of other captures that were shown: many captures have the same ones."""


def conversations(name: str, *, inner: bool) -> list[list[Payload]]:
    """Return the first payloads of a capture's conversations; up to the damage, if it is broken on purpose."""
    found: dict[int, list[Payload]] = {}
    accountant = make_accountant(max_conversations=1 << 18, inner=inner)
    accountant.payload_allowance, accountant.pauses = 1 << 40, True
    with suppress(CaptureError), open_offline(str(CORPUS / name)) as capture:
        while not capture.exhausted:
            accountant.drain(capture, GULP_FRAMES)
            for payload in accountant.take_payloads():
                payloads = found.setdefault(payload.token, [])
                payloads.append(payload)
                accountant.label(payload.token, 0, max(MAX_PAYLOADS - len(payloads), 0))
    return list(found.values())


@pytest.mark.parametrize("use_ports", [True, False], ids=["ports", "no ports"])
def test_native_matchers_say_what_the_classifier_says(name: str, use_ports: bool) -> None:
    for inner in (False, True):
        for payloads in conversations(name, inner=inner):
            first = payloads[0]
            course = tuple((payload.from_a, payload.data) for payload in payloads)
            shown = (use_ports, first.protocol, (first.a_port, first.b_port), course)
            if shown not in SHOWN:
                SHOWN.add(shown)
                a, b = Endpoint(first.a_host, first.a_port), Endpoint(first.b_host, first.b_port)
                compare(first.protocol, a, b, course, use_ports=use_ports)


MAX_FRAMES = 3000
"""Frames of a capture that are accounted one by one."""


def test_run_with_matchers_comes_to_the_same(name: str) -> None:
    """The inspector looks after every frame, so that both sides decide at the same time."""
    outcomes = []
    for run in (Inspected(), Inspected(matchers=None)):
        with suppress(CaptureError), open_offline(str(CORPUS / name)) as capture:
            run.drain(capture, 1, MAX_FRAMES)
        outcomes.append(run.finish())
    assert outcomes[0].ended == outcomes[1].ended
    assert outcomes[0] == outcomes[1]
