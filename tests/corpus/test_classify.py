"""The classifier on every payload of the corpus, and beside nDPI."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import ndpi_compare
import pytest
from classify.steps import inspect_counted

from fastmon.classify import APPLICATIONS, Conversation, Endpoint
from fastmon.classify.classifier import MAX_STEPS, Classifier
from fastmon.errors import CaptureError, UnsupportedLinkTypeError

from .captures import CORPUS

MAX_CUT = 200
MAX_PAYLOADS = 4
"""Payloads of a conversation that the classifier gets, unless it wants more."""

MANY = 40
"""Conversations of a capture with the same labels that are cut."""

CUT_LABELS = {
    ("tls", "https"): "what is within TLS is known by the end of its hello",
    ("http", "rtsp"): "RTSP's version is at the end of a line that begins as HTTP's",
    ("rtcp", "unknown"): "a report of SRTCP, cut where RTCP's would end",
    ("radius", "unknown"): "the message lacks its end already; what is cut lacks the attribute that contradicts it",
    ("http", "unknown"): "the damage is behind the cut",
    ("dns", "unknown"): "the damage is behind the cut",
    ("netbios", "unknown"): "the damage is behind the cut",
    ("tls", "unknown"): "a record's header, which others do not follow",
}
"""Labels of cut payloads, and of the same payloads as a whole, that may differ, each with the reason."""


@dataclass
class Talk:
    """The first payloads of a conversation, each with whether `a` sent it."""

    protocol: int
    a: Endpoint
    b: Endpoint
    payloads: list[tuple[bool, bytes]] = field(default_factory=list)


def talks(name: str) -> Iterator[Talk]:
    """Yield the conversations of a capture. In a capture that is broken on purpose, they end at the damage."""
    found: dict[tuple[int, frozenset[Endpoint]], Talk] = {}
    try:
        for _, protocol, src, dst, payload in ndpi_compare.segments(CORPUS / name):
            talk = found.setdefault((protocol, frozenset({src, dst})), Talk(protocol, src, dst))
            if len(talk.payloads) < MAX_PAYLOADS:
                talk.payloads.append((src == talk.a, payload))
    except (CaptureError, UnsupportedLinkTypeError):
        pass
    yield from found.values()


def labels(talk: Talk, payloads: Sequence[tuple[bool, bytes]], cut: int | None = None) -> set[str]:
    """Return the labels of a conversation by its payloads, without ports."""
    classifier = Classifier(use_ports=False)
    found = set()
    for from_a, payload in payloads:
        finding = classifier.inspect(Conversation(1, talk.protocol, talk.a, talk.b), payload[:cut], from_a, 0)
        if finding is not None:
            found.add(APPLICATIONS[finding.app].name)
            if not finding.wants_more:
                break
    assert classifier.n_failed == 0
    return found


def test_every_payload_takes_bounded_work(name: str) -> None:
    classifier = Classifier()
    seen: set[tuple[int, bytes]] = set()
    try:
        for _, protocol, src, dst, payload in ndpi_compare.segments(CORPUS / name):
            if (protocol, payload) not in seen:
                seen.add((protocol, payload))
                assert inspect_counted(classifier, Conversation(len(seen), protocol, src, dst), payload) <= MAX_STEPS
                classifier.forget(len(seen))
    except (CaptureError, UnsupportedLinkTypeError):
        pass  # a capture that is broken on purpose
    assert classifier.n_failed == 0


def test_conversations_cut_at_every_length_are_what_they_are_or_nothing_certain(name: str) -> None:
    """Cut by a snaplen, payloads have a label that the whole payloads have, too, from one of them on."""
    seen, n_cut = set(), Counter[frozenset[str]]()
    for talk in talks(name):
        beginnings = (talk.protocol, *((from_a, payload[:MAX_CUT]) for from_a, payload in talk.payloads))
        if beginnings in seen:
            continue
        seen.add(beginnings)
        whole = set().union(*(labels(talk, talk.payloads[start:]) for start in range(MAX_PAYLOADS)))
        n_cut[frozenset(whole)] += 1
        if n_cut[frozenset(whole)] > MANY:  # further ones are like those before
            continue
        for cut in range(1, min(MAX_CUT, max(len(payload) for _, payload in talk.payloads))):
            for label in labels(talk, talk.payloads, cut) - whole:
                assert any((label, app) in CUT_LABELS for app in whole or {"unknown"}), (talk.payloads, cut, label, whole)


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
