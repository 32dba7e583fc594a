"""Counts the executed lines of Python, a measure of work that does not depend on the machine's speed."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

from fastmon.classify import Conversation
from fastmon.classify.classifier import Classifier
from fastmon.classify.matchers import quic_initial


class StepCounter:
    """A trace function that counts lines."""

    def __init__(self) -> None:
        self.n_lines = 0

    def trace(self, frame: FrameType, event: str, argument: Any) -> Any:  # noqa: ARG002 - as sys.settrace has it
        self.n_lines += event == "line"
        return self.trace


def inspect_counted(classifier: Classifier, conversation: Conversation, payload: bytes, *, from_a: bool = True) -> int:
    """Inspect a payload; return how many lines of Python were executed."""
    quic_initial._library()  # import it before counting
    counter = StepCounter()
    before = sys.gettrace()
    sys.settrace(counter.trace)
    try:
        classifier.inspect(conversation, payload, from_a, 0)
    finally:
        sys.settrace(before)
    return counter.n_lines
