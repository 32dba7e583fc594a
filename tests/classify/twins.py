"""One conversation shown to the classifier and to the native matchers, payload by payload.

The classifier is the oracle. What the native side decides must be what the classifier decides; it may leave a payload to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fastmon.classify import APPLICATIONS, Conversation, Endpoint, Finding, NameFact
from fastmon.classify.classifier import MAX_PAYLOAD, Classifier
from fastmon.classify.matching import text
from fastmon.classify.tables import for_native
from fastmon.model.names import clean_name, clean_title
from fastmon.native.matchers import Looker, Matchers

MATCHERS = Matchers(*for_native(), 64)
TOKEN = 5
FOLLOWED_IN_VAIN = {"ssdp"}
"""Applications whose Python matchers follow a conversation and find nothing new: the native ones do not."""

Fact = tuple[bytes, str, str]


@dataclass
class Course:
    """What became of a conversation.

    verdicts: of each payload, up to the one that Python was asked about, or that ended the conversation's inspection.
    label: the application, "" for none.  named: all names of hosts, cleaned.
    """

    verdicts: list[str] = field(default_factory=list)
    label: str = ""
    named: set[Fact] = field(default_factory=set)

    @property
    def asks(self) -> bool:
        """Whether Python was asked."""
        return self.verdicts[-1:] == ["ask"]


class MismatchError(AssertionError):
    """The two sides differ."""


def compare(
    protocol: int,
    a: Endpoint,
    b: Endpoint,
    payloads: Iterable[tuple[bool, bytes]],
    *,
    use_ports: bool = True,
    matchers: Matchers = MATCHERS,
) -> Course:
    """Show payloads to both sides until the native one asks or wants no more; raise `MismatchError` where they differ.

    payloads: whether `a` sent each, and its bytes.  use_ports: False hides the ports from both.
    """
    classifier, looker, course, follow = Classifier(use_ports=use_ports), Looker(matchers), Course(), 0
    for ts_ns, (from_a, whole) in enumerate(payloads):
        payload = whole[:MAX_PAYLOAD]
        if not payload:
            continue
        finding = classifier.inspect(Conversation(TOKEN, protocol, a, b), payload, from_a, ts_ns)
        src, dst = (a, b) if from_a else (b, a)
        ports = (src.port, dst.port) if use_ports else (0, 0)
        verdict, app, title, follow_next, facts, *details = looker.look(
            TOKEN, protocol, src.host, ports[0], dst.host, ports[1], from_a, payload, ts_ns, follow
        )
        name = APPLICATIONS[app].name if app or not follow else course.label
        course.verdicts.append(verdict)
        if verdict == "ask":
            return course
        found = _cleaned(NameFact(key, text(name), source) for key, name, source in facts)
        if verdict == "no":
            problem = _problem_of_no(classifier, finding, is_followed=bool(follow))
        else:
            problem = _problem_of_certain(
                finding, course, name, clean_title(text(title or b"")), found, bool(follow_next), bool(follow)
            )
        if not problem and details != ([finding.hello, finding.certificate] if finding else [b"", b""]):
            problem = "another handshake"
        if problem:
            raise MismatchError(f"{problem}: {finding} is not {verdict, name, title, follow_next, facts}; {payload!r}")
        course.named |= found
        if verdict == "certain":
            course.label = name
            follow = follow_next
            if not follow:
                return course
    return course


def _cleaned(facts: Iterable[NameFact]) -> set[Fact]:
    """Return the names that a book would keep."""
    named = ((key, clean_name(name, source), source) for key, name, source in facts)
    return {fact for fact in named if fact[1]}


def _problem_of_no(classifier: Classifier, finding: Finding | None, *, is_followed: bool) -> str:
    """Return why "no" is wrong: Python finds something, or keeps what could matter later."""
    if finding is not None:
        return "Python has a finding"
    state = classifier._pending.get(TOKEN)
    if not is_followed and state is not None and (state.follow or state.memory or state.votes):
        return "Python remembers the payload"
    return ""


def _problem_of_certain(
    finding: Finding | None, course: Course, app: str, title: str, found: set[Fact], is_followed: bool, was_followed: bool
) -> str:
    """Return why a certain verdict is wrong. No finding of Python means that there is no news."""
    if finding is None:
        is_news = app != course.label or title or found - course.named or (was_followed and not is_followed)
        return "Python has no news" if is_news else ""
    if APPLICATIONS[finding.app].name != app:
        return "another application"
    if clean_title(finding.name or "") != title:
        return "another name"
    expected = _cleaned(finding.facts)
    if not found <= expected <= found | course.named:  # the native side tells a name once
        return "other names of hosts"
    if finding.wants_more != is_followed and app not in FOLLOWED_IN_VAIN:
        return "Python wants more" if finding.wants_more else "Python wants no more"
    return ""


def known_port(app: str, protocol: int) -> int:
    """Return an application's own port, 0 if it has none."""
    ports: Sequence[int] = next(one.tcp if protocol == 6 else one.udp for one in APPLICATIONS if one.name == app)
    return ports[0] if ports else 0
