"""Inspection of conversations: which payloads the classifier gets, when, and where its findings go."""

from __future__ import annotations

import tracemalloc
from collections import deque
from typing import TYPE_CHECKING, cast

import builders as b
import numpy as np
import pytest
from classify import handshakes

from fastmon.classify import Endpoint, Finding, NameFact
from fastmon.classify.classifier import Classifier
from fastmon.model.conversations import CONVERSATION_DTYPE, FoundName, FoundNames, Payload
from fastmon.model.names import MAX_NAME_BYTES, NameBook
from fastmon.run.inspection import (
    FRAME_NS,
    FREE_PAYLOADS,
    LONGEST_TURN_NS,
    LOOKS_PER_SIGHTS,
    PAYLOAD_NS,
    WANTED_AFTER_LABEL,
    Inspector,
    LiveBudget,
    ReplayBudget,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from fastmon.accounting import Accountant
    from fastmon.classify import Conversation
    from fastmon.native.matchers import Matchers
    from fastmon.run.inspection import Budget

MS = 1_000_000
LOCAL, REMOTE = b.host("10.0.0.1"), b.host("192.0.2.1")


def payload(token: int, data: bytes = b"x", *, from_a: bool = True) -> Payload:
    return Payload(token, b.TCP, LOCAL, 40000, REMOTE, 80, from_a, 7, data)


def rows(*tokens: int) -> NDArray[np.void]:
    """Return conversations that have ended."""
    ended = np.zeros(len(tokens), CONVERSATION_DTYPE)
    ended["token"] = tokens
    return ended


class FakeRing:
    """The part of an accountant that an inspector uses."""

    def __init__(self, *payloads: Payload) -> None:
        self.payloads = list(payloads)
        self.payload_allowance = -1
        self.pauses: bool | None = None
        self.labels: list[tuple[int, int, int]] = []
        self.over: set[int] = set()
        self.found = FoundNames()
        self.expected: list[tuple[int, bytes, int, int]] = []
        self.matchers: tuple[object, bool] | None = None
        self.looks_at_all_sights: deque[bool] = deque(maxlen=200)

    def take_payloads(self) -> list[Payload]:
        taken, self.payloads = self.payloads, []
        return taken

    def use_matchers(self, matchers: Matchers, keep_details: bool) -> None:
        self.matchers = matchers, keep_details

    def take_names(self, *, all_sights: bool = False) -> FoundNames:
        self.looks_at_all_sights.append(all_sights)
        taken, self.found = self.found, FoundNames()
        return taken

    def expect(self, protocol: int, host: bytes, port: int, ts_ns: int) -> None:
        self.expected.append((protocol, host, port, ts_ns))

    def label(self, token: int, app: int, wanted: int) -> bool:
        self.labels.append((token, app, wanted))
        return token not in self.over


class FakeClassifier:
    """Returns given findings, by token."""

    def __init__(self, findings: dict[int, Finding] | None = None, on_inspect: Callable[[], None] = lambda: None) -> None:
        self.findings = findings or {}
        self.on_inspect = on_inspect
        self.seen: list[tuple[Conversation, bytes, bool, int]] = []
        self.forgotten: list[int] = []
        self.announced: list[tuple[int, Endpoint]] = []

    def inspect(self, conversation: Conversation, data: bytes, from_a: bool, ts_ns: int) -> Finding | None:
        self.seen.append((conversation, data, from_a, ts_ns))
        self.on_inspect()
        return self.findings.get(conversation.token)

    def forget(self, token: int) -> None:
        self.forgotten.append(token)

    def take_expected(self) -> list[tuple[int, Endpoint]]:
        taken, self.announced = self.announced, []
        return taken


def inspector(
    ring: FakeRing,
    classifier: FakeClassifier,
    budget: Budget | None = None,
    names: NameBook | None = None,
    *,
    keeps_details: bool = False,
) -> Inspector:
    return Inspector(
        cast("Accountant", ring),
        lambda: cast("Classifier", classifier),
        budget or ReplayBudget(100),
        NameBook() if names is None else names,
        keeps_details=keeps_details,
    )


# Replay's budget.


@pytest.mark.parametrize("n_calls", [1, 7, 1000])
def test_replay_earns_by_frames_however_they_come(n_calls: int) -> None:
    budget = ReplayBudget(20)
    left = budget.allowance(0, 0)
    assert left == FREE_PAYLOADS
    frames_per_payload = PAYLOAD_NS * 80 // (FRAME_NS * 20)
    n_frames = 3 * frames_per_payload * 1000
    for _ in range(n_calls):
        left = budget.allowance(n_frames // n_calls, left)
    left = budget.allowance(n_frames % n_calls, left)
    assert left == FREE_PAYLOADS + 3000


def test_replay_keeps_the_rest_of_an_allowance() -> None:
    budget = ReplayBudget(50)
    budget.allowance(0, 0)
    assert budget.allowance(0, 17) == 17
    assert budget.allowance(PAYLOAD_NS // FRAME_NS, 17) == 18


def test_replay_earns_more_with_a_greater_share() -> None:
    earned = []
    for percent in (1, 20, 50, 99):
        budget = ReplayBudget(percent)
        budget.allowance(0, 0)
        earned.append(budget.allowance(10**6, 0))
    assert earned == sorted(set(earned))


def test_replay_of_no_budget_looks_at_nothing() -> None:
    budget = ReplayBudget(0)
    assert [budget.allowance(n_frames, 0) for n_frames in (0, 10**9)] == [0, 0]


def test_replay_without_limit_never_runs_out() -> None:
    budget = ReplayBudget(100)
    assert min(budget.allowance(0, 0), budget.allowance(10, 0)) > 1 << 60


def test_replay_waits_and_is_never_over() -> None:
    budget = ReplayBudget(1)
    budget.begin_turn()
    assert budget.pauses
    assert not budget.is_over()


# Live's budget.


class Clock:
    def __init__(self) -> None:
        self.time_ns = 0

    def __call__(self) -> int:
        return self.time_ns


def turn_ns(budget: LiveBudget, clock: Clock) -> int:
    """Return the duration of a turn that begins now, in steps of a millisecond."""
    budget.begin_turn()
    start_ns = clock.time_ns
    while not budget.is_over():
        clock.time_ns += MS
    return clock.time_ns - start_ns


@pytest.mark.parametrize(("percent", "lasts_ms"), [(20, 10), (50, LONGEST_TURN_NS // MS), (1, 1), (100, LONGEST_TURN_NS // MS)])
def test_live_turn_is_a_share_of_the_time_since_the_last(percent: int, lasts_ms: int) -> None:
    clock = Clock()
    budget = LiveBudget(percent, clock)
    for _ in range(3):
        clock.time_ns += 40 * MS
        assert turn_ns(budget, clock) == lasts_ms * MS


def test_live_turn_right_after_another_is_over_at_once() -> None:
    clock = Clock()
    budget = LiveBudget(20, clock)
    clock.time_ns += 40 * MS
    assert turn_ns(budget, clock) == 10 * MS
    assert turn_ns(budget, clock) == 0


def test_live_does_not_wait_and_has_no_number() -> None:
    assert not LiveBudget(20).pauses
    assert LiveBudget(20).allowance(0, 0) > 1 << 60
    assert LiveBudget(0).allowance(10**9, 0) == 0


# The inspector.


@pytest.mark.parametrize("budget", [ReplayBudget(20), LiveBudget(20)])
def test_accountant_is_told_of_the_budget(budget: Budget) -> None:
    ring = FakeRing()
    inspector(ring, FakeClassifier(), budget)
    assert ring.pauses == budget.pauses
    assert ring.payload_allowance >= FREE_PAYLOADS


def test_allowance_grows_with_the_frames_accounted() -> None:
    ring = FakeRing()
    looking = inspector(ring, FakeClassifier(), ReplayBudget(50))
    ring.payload_allowance = 0
    looking.look(5 * PAYLOAD_NS // FRAME_NS)
    assert ring.payload_allowance == 5


def test_payloads_are_shown_as_they_came() -> None:
    classifier = FakeClassifier()
    inspector(FakeRing(payload(1, b"ab"), payload(2, b"c", from_a=False)), classifier).look(2)
    first, second = classifier.seen
    assert (first[0].token, first[0].protocol, first[1:]) == (1, b.TCP, (b"ab", True, 7))
    assert (first[0].a.host, first[0].a.port, first[0].b.host, first[0].b.port) == (LOCAL, 40000, REMOTE, 80)
    assert (second[0].token, second[1:]) == (2, (b"c", False, 7))


def test_findings_become_labels() -> None:
    ring = FakeRing(payload(1), payload(2), payload(3))
    inspector(ring, FakeClassifier({1: Finding(9), 3: Finding(4, wants_more=True)})).look(3)
    assert ring.labels == [(1, 9, 0), (3, 4, WANTED_AFTER_LABEL)]


def test_payloads_beyond_those_wanted_are_not_shown() -> None:
    classifier = FakeClassifier({1: Finding(9), 2: Finding(4, wants_more=True)})
    ring = FakeRing(payload(1), payload(2), payload(1), payload(2))
    looking = inspector(ring, classifier)
    looking.look(4)
    assert [seen[0].token for seen in classifier.seen] == [1, 2, 2]
    ring.payloads.append(payload(1))
    looking.look(1)
    assert [seen[0].token for seen in classifier.seen] == [1, 2, 2, 1]


def test_facts_are_told() -> None:
    names = NameBook()
    finding = Finding(9, facts=(NameFact(REMOTE, "example.org", "dns"),))
    inspector(FakeRing(payload(1)), FakeClassifier({1: finding}), names=names).look(1)
    assert names.name_of(REMOTE, is_local=False) == ("example.org", "dns")


def test_facts_have_the_time_of_their_frame() -> None:
    """So it does not matter which worker records a name first."""
    names = NameBook()
    for ts_ns, name in ((20, "new.example"), (10, "old.example")):
        finding = Finding(9, facts=(NameFact(REMOTE, name, "dns"),))
        inspector(FakeRing(payload(1)._replace(ts_ns=ts_ns)), FakeClassifier({1: finding}), names=names).look(1)
    assert names.name_of(REMOTE, is_local=False) == ("new.example", "dns")


def test_facts_of_a_conversation_that_is_over_are_told_all_the_same() -> None:
    names, ring = NameBook(), FakeRing(payload(1))
    ring.over.add(1)
    finding = Finding(9, "example.org", (NameFact(REMOTE, "example.org", "dns"),))
    looking = inspector(ring, FakeClassifier({1: finding}), names=names, keeps_details=True)
    looking.look(1)
    assert names.name_of(REMOTE, is_local=False) == ("example.org", "dns")
    assert looking.complete(rows(1)).names == [None]


def test_names_of_conversations_come_once_in_the_order_of_their_ends() -> None:
    ring = FakeRing(payload(1), payload(2), payload(3))
    looking = inspector(ring, FakeClassifier({1: Finding(9, "one"), 2: Finding(9), 3: Finding(9, "three")}), keeps_details=True)
    looking.look(3)
    assert looking.complete(rows(3, 2, 1)).names == ["three", None, "one"]
    assert looking.complete(rows(1, 3)).names == [None, None]


def test_latest_name_of_a_conversation_is_kept() -> None:
    classifier = FakeClassifier({1: Finding(9, "old", wants_more=True)})
    ring = FakeRing(payload(1))
    looking = inspector(ring, classifier, keeps_details=True)
    looking.look(1)
    classifier.findings[1] = Finding(9, "new")
    ring.payloads.append(payload(1))
    looking.look(1)
    assert looking.complete(rows(1)).names == ["new"]


def test_name_of_a_conversation_is_bounded_and_clean() -> None:
    names = {1: "x" * MAX_NAME_BYTES, 2: "x" * (MAX_NAME_BYTES + 1), 3: "\xff" * MAX_NAME_BYTES, 4: "a\x1b[2Jb"}
    findings = {token: Finding(1, name) for token, name in names.items()}
    target = inspector(FakeRing(*map(payload, names)), FakeClassifier(findings), keeps_details=True)
    target.look(1)
    assert target.complete(rows(*names)).names == ["x" * MAX_NAME_BYTES, None, None, "a\\x1b[2Jb"]


HELLO, CERTIFICATE = handshakes.hello(), handshakes.der(handshakes.subject((handshakes.UTF8, b"a.example\x1b[2J")))
JA4 = "t13d1516h2_8daaf6152771_e5627efa2ab1"


@pytest.mark.parametrize("keeps_details", [True, False])
def test_details_are_not_kept_unless_wanted(keeps_details: bool) -> None:
    finding = Finding(9, "one", hello=HELLO, certificate=CERTIFICATE)
    looking = inspector(FakeRing(payload(1)), FakeClassifier({1: finding}), keeps_details=keeps_details)
    looking.look(1)
    _, *told = looking.complete(rows(1))
    assert told == ([["one"], [JA4], ["a.example\\x1b[2J"]] if keeps_details else [[None], [None], [None]])
    assert looking.complete(rows(1))[1:] == ([None], [None], [None])


def test_hello_of_udp_is_of_quic_or_dtls() -> None:
    quic, dtls = Finding(9, hello=HELLO), Finding(9, hello=handshakes.hello(legacy=0xFEFD, versions=""))
    ring = FakeRing(*(payload(token)._replace(protocol=b.UDP) for token in (1, 2)))
    looking = inspector(ring, FakeClassifier({1: quic, 2: dtls}), keeps_details=True)
    looking.look(1)
    assert [ja4 and ja4[:3] for ja4 in looking.complete(rows(1, 2)).ja4] == ["q13", "dd2"]


def test_handshakes_that_say_nothing_are_not_kept() -> None:
    looking = inspector(FakeRing(payload(1)), FakeClassifier({1: Finding(9, hello=b"x", certificate=b"x")}), keeps_details=True)
    looking.look(1)
    assert looking.complete(rows(1))[1:] == ([None], [None], [None])


def test_classifier_forgets_what_has_ended() -> None:
    classifier = FakeClassifier()
    looking = inspector(FakeRing(payload(5)), classifier)
    looking.look(1)
    looking.complete(rows(5, 3))
    assert classifier.forgotten == [5, 3]


def test_classifier_is_made_for_the_first_payload() -> None:
    ring = FakeRing()
    looking = Inspector(cast("Accountant", ring), Classifier, ReplayBudget(100), NameBook())
    for n_payloads in range(3):
        ring.payloads = [payload(1) for _ in range(n_payloads)]
        looking.look(1)
        looking.complete(rows())
        assert (looking._classifier is not None) == (n_payloads > 0)


def test_what_there_is_no_time_for_waits_and_what_comes_then_stays_in_the_ring() -> None:
    clock = Clock()
    ring = FakeRing(*map(payload, range(5)))

    def pass_time() -> None:
        clock.time_ns += 6 * MS

    classifier = FakeClassifier(on_inspect=pass_time)
    looking = inspector(ring, classifier, LiveBudget(20, clock))
    clock.time_ns += 40 * MS  # a turn of 10 ms: two payloads
    looking.look(5)
    assert [seen[0].token for seen in classifier.seen] == [0, 1]
    ring.payloads.append(payload(9))
    clock.time_ns += 40 * MS
    looking.look(1)
    assert [seen[0].token for seen in classifier.seen] == [0, 1, 2, 3]
    assert [waiting.token for waiting in ring.payloads] == [9]
    for _ in range(2):
        clock.time_ns += 40 * MS
        looking.look(0)
    assert [seen[0].token for seen in classifier.seen] == [0, 1, 2, 3, 4, 9]


def test_every_turn_looks_at_one_payload_at_least() -> None:
    clock = Clock()
    classifier = FakeClassifier()
    looking = inspector(FakeRing(*map(payload, range(3))), classifier, LiveBudget(20, clock))
    for _ in range(2):
        looking.look(1)
    assert [seen[0].token for seen in classifier.seen] == [0, 1]


def test_what_is_kept_of_conversations_does_not_grow_with_their_number() -> None:
    """Each is decided at once. Half of them have ended before, so `complete` does not see them again."""
    n_conversations = 500
    ring = FakeRing()
    classifier = FakeClassifier()
    looking = inspector(ring, classifier, keeps_details=True)
    sizes = []
    tracemalloc.start()
    try:
        for start in range(0, 40 * n_conversations, n_conversations):
            tokens = range(1000 + start, 1000 + start + n_conversations)
            ring.payloads = [payload(token) for token in tokens]
            ring.over = set(tokens[::2])
            classifier.findings = {token: Finding(9, f"name {token}") for token in tokens}
            looking.look(n_conversations)
            looking.complete(rows(*tokens[1::2]))
            for recorded in (ring.labels, ring.over, classifier.findings, classifier.seen, classifier.forgotten):
                recorded.clear()
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert sizes[-1] - sizes[4] < 100 * n_conversations


# With native matchers.


@pytest.mark.parametrize("keeps_details", [True, False])
def test_matchers_are_given_to_the_accountant(keeps_details: bool) -> None:
    for matchers in (None, cast("Matchers", "matchers")):
        ring = FakeRing()
        accountant = cast("Accountant", ring)
        Inspector(accountant, Classifier, ReplayBudget(100), NameBook(), matchers=matchers, keeps_details=keeps_details)
        assert ring.matchers == (matchers and (matchers, keeps_details))


def test_names_that_matchers_found_are_told() -> None:
    names, ring = NameBook(), FakeRing()
    looking = inspector(ring, FakeClassifier(), names=names, keeps_details=True)
    hosts = [FoundName(REMOTE, b"old.example", "sni", 5), FoundName(REMOTE, b"new.example", "sni", 7)]
    ring.found = FoundNames(
        [*hosts, FoundName(LOCAL, b"B\xc3\xbcro \xff", "mdns", 6)], [(1, b"new.example"), (2, b"\xff\x1b[2J"), (3, b"\xff" * 200)]
    )
    looking.look(1)
    assert names.name_of(REMOTE, is_local=False) == ("new.example", "sni")
    assert names.name_of(LOCAL, is_local=True) == ("B\u00fcro \\xff", "mdns")
    assert looking.complete(rows(1, 2, 3, 4)).names == ["new.example", "\\xff\\x1b[2J", None, None]


def test_last_sights_are_asked_for_now_and_then_and_at_the_end() -> None:
    ring = FakeRing()
    looking = inspector(ring, FakeClassifier())
    for _ in range(2 * LOOKS_PER_SIGHTS):
        looking.look(1)
    assert [number for number, is_all in enumerate(ring.looks_at_all_sights, 1) if is_all] == [
        LOOKS_PER_SIGHTS,
        2 * LOOKS_PER_SIGHTS,
    ]
    looking.finish()
    assert ring.looks_at_all_sights[-1]


def test_accountant_is_told_what_is_announced_when_it_is() -> None:
    """By the next payload it must be known: that may be of the announced conversation."""
    ring, classifier = FakeRing(payload(1), payload(2)._replace(ts_ns=9)), FakeClassifier()
    known: list[int] = []

    def announce() -> None:
        known.append(len(ring.expected))
        classifier.announced.append((b.UDP, Endpoint(REMOTE, 5004)))

    classifier.on_inspect = announce
    inspector(ring, classifier).look(2)
    assert known == [0, 1]
    assert ring.expected == [(b.UDP, REMOTE, 5004, 7), (b.UDP, REMOTE, 5004, 9)]
