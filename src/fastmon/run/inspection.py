"""A closer look at conversations: an accountant's payloads go to the classifier, and its findings back, within a budget of time.

The accountant never waits for it: live, payloads that there is no time for pass by, and are counted. In replay the budget counts
frames instead of time, so that the same capture always gives the same result.

What it does not do: classify, drain, keep intervals.
"""

from __future__ import annotations

import time
from collections import deque
from functools import cache
from typing import TYPE_CHECKING, Protocol

from fastmon.classify.certificates import certificate_name
from fastmon.classify.ja4 import fingerprint
from fastmon.classify.model import TCP, Conversation, Endpoint
from fastmon.model.conversations import EndedConversations
from fastmon.model.names import NameFact, clean_title

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from fastmon.accounting import Accountant
    from fastmon.classify import Finding
    from fastmon.classify.classifier import Classifier
    from fastmon.model.conversations import Payload
    from fastmon.model.names import NameBook
    from fastmon.native.matchers import Matchers

__all__ = ["Budget", "Inspector", "LiveBudget", "ReplayBudget", "native_matchers"]

WANTED_AFTER_LABEL = 64
"""Payloads of a conversation that are still looked at when it may tell more: names, other conversations' ports."""

FREE_PAYLOADS = 65_536
"""Replay: payloads that are looked at whatever the budget is, unless it is 0: all of a small capture."""

FRAME_NS, PAYLOAD_NS = 50, 20_000
"""Replay: what accounting a frame and looking at a payload are taken to cost."""

LOOKS_PER_SIGHTS = 64
"""How many looks pass before the accountant is asked when it has seen known names last."""

LONGEST_TURN_NS = 20_000_000
"""Live: the kernel's ring fills while payloads are looked at."""

_UNLIMITED = 1 << 62


class Budget(Protocol):
    """How many payloads may be looked at, and for how long."""

    pauses: bool

    def allowance(self, n_frames: int, n_left: int) -> int:
        """Return how many payloads may be kept, after `n_frames` more frames, with `n_left` of the last allowance unused."""
        ...

    def begin_turn(self) -> None:
        """Begin to look at payloads."""
        ...

    def is_over(self) -> bool:
        """Tell whether the turn has lasted long enough."""
        ...


class ReplayBudget:
    """A share of the time of a replay, 0 to 100 %, as if each frame and each payload always cost the same; 100: no limit."""

    pauses = True

    def __init__(self, percent: int) -> None:
        self._frames_per_payload = PAYLOAD_NS * (100 - percent) // (FRAME_NS * percent) if percent else 0
        self._n_free = FREE_PAYLOADS if percent else 0
        self._n_frames = 0
        self._is_unlimited = percent >= 100

    def allowance(self, n_frames: int, n_left: int) -> int:
        """Return the payloads that these frames and all before them have earned."""
        if self._is_unlimited:
            return _UNLIMITED
        n_free, self._n_free = self._n_free, 0
        if not self._frames_per_payload:
            return 0
        n_earned, self._n_frames = divmod(self._n_frames + n_frames, self._frames_per_payload)
        return n_left + n_free + n_earned

    def begin_turn(self) -> None:
        """Do nothing: a replay waits."""

    def is_over(self) -> bool:
        """Return False: a replay waits."""
        return False


class LiveBudget:
    """A share of the time that passes, 0 to 100 %."""

    pauses = False

    def __init__(self, percent: int, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._share = percent / 100
        self._now_ns = now_ns
        self._ended_ns = now_ns()
        self._until_ns = self._ended_ns

    def allowance(self, n_frames: int, n_left: int) -> int:  # noqa: ARG002 - here time decides
        """Return as many as there is room for."""
        return _UNLIMITED if self._share else 0

    def begin_turn(self) -> None:
        """Take the share of the time since the last turn."""
        now_ns = self._now_ns()
        earned_ns = (now_ns - self._ended_ns) * self._share / max(1 - self._share, 0.01)
        self._until_ns = now_ns + min(int(earned_ns), LONGEST_TURN_NS)

    def is_over(self) -> bool:
        """Tell whether that has passed."""
        self._ended_ns = self._now_ns()
        return self._ended_ns >= self._until_ns


class Inspector:
    """Shows the payloads that one accountant keeps to a classifier.

    make_classifier: called with the first payload: a classifier takes long to load.
    names: takes what is learnt of hosts' names; it may be shared with other inspectors.
    matchers: look at payloads first; None: the classifier looks at all of them.
    keeps_details: remember what conversations tell of themselves for `complete`.
    """

    def __init__(
        self,
        accountant: Accountant,
        make_classifier: Callable[[], Classifier],
        budget: Budget,
        names: NameBook,
        *,
        matchers: Matchers | None = None,
        keeps_details: bool = False,
    ) -> None:
        self._accountant = accountant
        self._make_classifier = make_classifier
        self._classifier: Classifier | None = None
        self._budget = budget
        self._book = names
        self._keeps_details = keeps_details
        self._names: dict[int, str] = {}
        self._ja4: dict[int, str] = {}
        self._certificates: dict[int, str] = {}
        self._waiting: deque[Payload] = deque()
        self._done: set[int] = set()  # conversations that wait with more payloads than were wanted
        self._n_looks = 0
        if matchers is not None:
            accountant.use_matchers(matchers, keeps_details)
        accountant.pauses = budget.pauses
        accountant.payload_allowance = budget.allowance(0, 0)

    def look(self, n_frames: int) -> None:
        """Look at what came with the last `n_frames` frames, for as long as the budget allows."""
        self._n_looks += 1
        self._take_names(all_sights=self._n_looks % LOOKS_PER_SIGHTS == 0)
        self._budget.begin_turn()
        if not self._waiting:  # else what comes passes by
            self._done.clear()
            self._waiting.extend(self._accountant.take_payloads())
        while self._waiting:
            self._inspect(self._waiting.popleft())
            if self._budget.is_over():
                break
        self._accountant.payload_allowance = self._budget.allowance(n_frames, self._accountant.payload_allowance)

    def finish(self) -> None:
        """Look at all that is left: no capture has to wait for it any more."""
        self._take_names(all_sights=True)
        self._waiting.extend(self._accountant.take_payloads())
        while self._waiting:
            self._inspect(self._waiting.popleft())

    def complete(self, ended: NDArray[np.void]) -> EndedConversations:
        """Return conversations that have ended, `CONVERSATION_DTYPE`, with what payloads told of them, and forget that."""
        tokens = ended["token"].tolist()
        if self._classifier is not None:
            for token in tokens:
                self._classifier.forget(token)
        told = (self._names, self._ja4, self._certificates)
        return EndedConversations(ended, *([of_kind.pop(token, None) for token in tokens] for of_kind in told))

    def _inspect(self, payload: Payload) -> None:
        if payload.token in self._done:
            return
        if self._classifier is None:
            self._classifier = self._make_classifier()
        conversation = Conversation(
            payload.token,
            payload.protocol,
            Endpoint(payload.a_host, payload.a_port),
            Endpoint(payload.b_host, payload.b_port),
        )
        finding = self._classifier.inspect(conversation, payload.data, payload.from_a, payload.ts_ns)
        if finding is not None:
            self._take(payload, finding)
        for protocol, endpoint in self._classifier.take_expected():
            self._accountant.expect(protocol, *endpoint, payload.ts_ns)

    def _take_names(self, *, all_sights: bool) -> None:
        """Take the names that the native matchers have found."""
        found = self._accountant.take_names(all_sights=all_sights)
        for key, name, source, ts_ns in found.hosts:
            self._book.record((NameFact(key, _decode(name), source),), ts_ns)
        for token, name in found.titles:
            self._name(token, _decode(name))
        for token, hello in found.hellos:
            self._fingerprint(token, hello)
        for token, certificate in found.certificates:
            self._name_server(token, certificate)

    def _take(self, payload: Payload, finding: Finding) -> None:
        token = payload.token
        if not finding.wants_more:
            self._done.add(token)
        is_running = self._accountant.label(token, finding.app, WANTED_AFTER_LABEL if finding.wants_more else 0)
        if self._keeps_details and is_running:
            self._name(token, finding.name or "")
            self._fingerprint(token, finding.hello, is_quic=payload.protocol != TCP)
            self._name_server(token, finding.certificate)
        if finding.facts:
            self._book.record(finding.facts, payload.ts_ns)

    def _name(self, token: int, name: str) -> None:
        if title := clean_title(name):
            self._names[token] = title

    def _fingerprint(self, token: int, hello: bytes, *, is_quic: bool = False) -> None:
        if hello and (ja4 := fingerprint(hello, is_quic=is_quic)):
            self._ja4[token] = ja4

    def _name_server(self, token: int, certificate: bytes) -> None:
        if certificate and (name := clean_title(certificate_name(certificate) or "")):
            self._certificates[token] = name


@cache
def native_matchers() -> Matchers:
    """Return the matchers of the table of applications. Accountants share them."""
    from fastmon.classify.tables import for_native
    from fastmon.native.matchers import Matchers

    return Matchers(*for_native(), WANTED_AFTER_LABEL)


def _decode(name: bytes) -> str:
    return name.decode("utf-8", "backslashreplace")
