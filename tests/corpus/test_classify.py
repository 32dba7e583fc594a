"""The classifier on every payload of the corpus, and beside nDPI."""

from __future__ import annotations

from collections import defaultdict

import ndpi_compare
import pytest
from classify.steps import inspect_counted

from fastmon.classify import Classifier, Conversation
from fastmon.classify.classifier import MAX_STEPS
from fastmon.errors import CaptureError, UnsupportedLinkTypeError

from .captures import CORPUS

MAX_CUT = 200
PAYLOADS_CUT = 4
"""Payloads of a conversation, which is what the classifier gets of each, that are cut at every length."""


def test_every_payload_cut_at_every_length_fails_nowhere(name: str) -> None:
    classifier = Classifier()
    seen: set[tuple[int, bytes]] = set()
    n_of_conversation: dict[frozenset[object], int] = defaultdict(int)
    try:
        for _, protocol, src, dst, payload in ndpi_compare.segments(CORPUS / name):
            if not payload or (protocol, payload) in seen:
                continue
            seen.add((protocol, payload))
            which = Conversation(len(seen), protocol, src, dst)
            assert inspect_counted(classifier, which, payload) <= MAX_STEPS
            classifier.forget(which.token)
            ends: frozenset[object] = frozenset({src, dst})
            n_of_conversation[ends] += 1
            if n_of_conversation[ends] > PAYLOADS_CUT:
                continue
            for length in range(1, min(MAX_CUT, len(payload))):
                if (protocol, payload[:length]) not in seen:
                    seen.add((protocol, payload[:length]))
                    classifier.inspect(which, payload[:length], True, 0)
                    classifier.forget(which.token)
    except (CaptureError, UnsupportedLinkTypeError):
        pass  # a capture that is broken on purpose: what came before counts
    assert classifier.n_failed == 0


@pytest.mark.usefixtures("corpus")
def test_agrees_with_ndpi() -> None:
    total = ndpi_compare.compare(hide_ports=False)
    assert total.n_missing == 0
    assert total.n_all > 800
    assert total.n_right / total.n_all >= 0.97
    assert total.bytes_right / total.bytes_all >= 0.98


@pytest.mark.usefixtures("corpus")
def test_agrees_with_ndpi_by_payload_alone() -> None:
    total = ndpi_compare.compare(hide_ports=True)
    assert total.n_dpi_right / total.n_dpi >= 0.93


@pytest.mark.usefixtures("corpus")
def test_every_disagreement_with_ndpi_has_a_reason() -> None:
    total = ndpi_compare.compare(hide_ports=False)
    assert [miss.line() for miss in total.misses if not miss.reason()] == []
